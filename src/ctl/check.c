/* SPDX-License-Identifier: ISC */
#include "ctl/check.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/holder.h"

static check_function *const checks[] = { check_conf, check_fetchers, check_units, check_namespaces,
	check_port, check_firewall, check_relay_conf, check_relay, check_biff, check_mail };

/* The worst first. */
static const struct kind {
	enum finding finding;
	const char *name, *word;
} kinds[FINDING_KINDS] = {
	{ FINDING_CRITICAL, "CRITICAL", "critical" },
	{ FINDING_WARNING, "WARNING", "warning" },
	{ FINDING_UNKNOWN, "UNKNOWN", "unknown" },
	{ FINDING_OK, "OK", "ok" },
};

/* ---- Findings ---- */

static void add(struct check *check, enum finding finding, char *text)
{
	for (unsigned i = 0; i < check->count; i++)
		if (strcmp(check->found[i].text, text) == 0) {
			free(text);
			return;
		}
	check->of_kind[finding]++;
	if (check->count == FINDINGS_MAX) {
		free(text); /* it is counted, so the status is right */
		return;
	}
	check->found[check->count].finding = finding;
	check->found[check->count++].text = text;
}

void check_add(
	struct check *check, enum finding finding, const char *remedy, const char *format, ...)
{
	char *what = NULL, *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&what, format, arguments) < 0)
		what = NULL;
	va_end(arguments);
	if (what != NULL && asprintf(&text, "%s%s%s", what, remedy != NULL ? ": " : "",
				    remedy != NULL ? remedy : "") >= 0)
		add(check, finding, text);
	else
		check->of_kind[finding]++;
	free(what);
}

unsigned check_add_lines(struct check *check, const char *what, const char *remedy, char *said)
{
	char *rest = NULL;
	unsigned count = 0;

	for (char *line = strtok_r(said, "\n", &rest); line != NULL;
		line = strtok_r(NULL, "\n", &rest)) {
		char *warning = strstr(line, " warning: ");

		/* Which it is, is said once, at the line's beginning. */
		if (warning != NULL)
			memmove(warning, warning + strlen(" warning:"),
				strlen(warning + strlen(" warning:")) + 1);
		check_add(check, warning != NULL ? FINDING_WARNING : FINDING_CRITICAL, remedy,
			"%s%s", what, line);
		count++;
	}
	return count;
}

const char *check_systemctl(const struct check *check)
{
	return check->is_user ? "systemctl --user" : "systemctl";
}

/* ---- What is there ---- */

/* Is that the file which the user's own units read? */
static bool is_user_conf(const char *file)
{
	const char *home = getenv("HOME");
	char *path = NULL;
	struct stat a, b;
	bool is_same = false;

	if (geteuid() == 0 || home == NULL || asprintf(&path, "%s/.config/nmnotify.conf", home) < 0)
		return false;
	if (stat(file, &a) == 0 && stat(path, &b) == 0)
		is_same = a.st_dev == b.st_dev && a.st_ino == b.st_ino;
	free(path);
	return is_same;
}

static void find_ends(struct check *check)
{
	const char *file = check->ctl->conf_file;
	bool exists = access(file, F_OK) == 0;

	check->is_root = geteuid() == 0;
	check->is_own_conf = !check->is_user && strcmp(file, CONF_FILE) != 0;
	check->has_relay = unit_is_used(&check->units, "nmnotify-relay.socket");
	/* A mail server can have a configuration that `make install` has left, and no listener. */
	check->has_listener =
		check->is_user || check->is_own_conf ||
		unit_is_used(&check->units, "nmnotify.socket") ||
		unit_is_used(&check->units, "nmnotifyd.socket") ||
		(exists && (!check->has_relay || holder_find(HOLDER_TCP, 79).is_held));
	if (!check->has_listener && !check->has_relay)
		check_add(check, FINDING_UNKNOWN,
			"write the configuration, and run `systemctl enable --now "
			"nmnotifyd.socket`; on a mail server, `systemctl enable --now "
			"nmnotify-relay.socket`",
			"neither end is in use here: there is no %s", file);
}

/* ---- The answer ---- */

static const struct kind *worst_of(const struct check *check)
{
	const struct kind *kind = kinds;

	while (kind->finding != FINDING_OK && check->of_kind[kind->finding] == 0)
		kind++;
	return kind;
}

static void print_summary(const struct check *check, const struct kind *worst)
{
	(void)printf("%s:", worst->name);
	for (const struct kind *kind = kinds; kind < kinds + FINDING_KINDS; kind++)
		if (check->of_kind[kind->finding] != 0 || kind->finding == FINDING_OK)
			(void)printf("%s %u %s", kind == worst ? "" : ",",
				check->of_kind[kind->finding], kind->word);
	(void)putchar('\n');
}

static void print(const struct check *check, bool is_verbose)
{
	print_summary(check, worst_of(check));
	for (const struct kind *kind = kinds; kind < kinds + FINDING_KINDS; kind++) {
		if (kind->finding == FINDING_OK && !is_verbose)
			continue;
		for (unsigned i = 0; i < check->count; i++) {
			if (check->found[i].finding != kind->finding)
				continue;
			(void)printf("%s: ", kind->word);
			print_escaped(stdout, check->found[i].text);
			(void)putchar('\n');
		}
	}
}

/* False: the arguments are wrong, which was said. */
static bool take_options(const struct ctl *ctl, int argc, char **argv, bool *is_verbose)
{
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--verbose") != 0) {
			(void)ctl_fail_usage(ctl, "takes no '%s'", argv[i]);
			return false;
		}
		*is_verbose = true;
	}
	return true;
}

int ctl_check(struct ctl *ctl, int argc, char **argv)
{
	static struct check check; /* large */
	bool is_verbose = false;
	enum finding worst;

	if (!take_options(ctl, argc, argv, &is_verbose))
		return FINDING_UNKNOWN;
	check.ctl = ctl;
	check.is_user = is_user_conf(ctl->conf_file);
	units_open(&check.units, check.is_user);
	find_ends(&check);
	for (unsigned i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](&check);
	units_close(&check.units);
	print(&check, is_verbose);
	worst = worst_of(&check)->finding;
	for (unsigned i = 0; i < check.count; i++)
		free(check.found[i].text);
	return (int)worst;
}
