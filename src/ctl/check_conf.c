/* SPDX-License-Identifier: ISC */
/* Configurations, as who reads them sees them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/check.h"
#include "ctl/command.h"
#include "ctl/view.h"
#include "policy/landlock.h"
#include "run/reach.h"

/* From here on it is systemd's: the program was not started. */
#define SYSTEMD_STATUS_LEAST 200

static const struct start_failure {
	int status; /* systemd.exec(5) */
	const char *what;
} start_failures[] = {
	{ 203, "its program cannot be executed" },
	{ 216, "its Group= does not exist" },
	{ 217, "its User= does not exist, or its PrivateUsers= cannot be had" },
	{ 226, "a path in its settings is not there, or cannot be mounted" },
	{ 233, "its RuntimeDirectory= cannot be made" },
	{ 238, "its StateDirectory= cannot be made" },
};

static void add_start_failure(struct check *check, const char *unit, int status)
{
	const char *what = "systemd cannot start it";
	char *remedy = NULL;

	for (unsigned i = 0; i < sizeof(start_failures) / sizeof(start_failures[0]); i++)
		if (start_failures[i].status == status)
			what = start_failures[i].what;
	if (asprintf(&remedy, "mend it with `systemctl edit %s`", unit) < 0)
		remedy = NULL;
	check_add(check, FINDING_CRITICAL, remedy, "%s: %s (status %d of systemd.exec(5))", unit,
		what, status);
	free(remedy);
}

static void add_masked(struct check *check, const char *unit)
{
	char *remedy = NULL;

	if (asprintf(&remedy, "run `systemctl unmask %s`", unit) < 0)
		remedy = NULL;
	check_add(check, FINDING_CRITICAL, remedy, "%s is masked", unit);
	free(remedy);
}

/* As the unit does it: `unit` is what its user calls it, `service` one that can be loaded. */
static void check_in_view(struct check *check, const char *unit, const char *service)
{
	char *what = NULL, *remedy = NULL, *untried = NULL;
	struct view view;

	if (unit_is(&check->units, service, "LoadState", "masked")) {
		add_masked(check, unit);
		return;
	}
	view_run(&check->units, service, "-t", &view);
	if (asprintf(&what, "%s: ", unit) < 0 ||
		asprintf(&remedy, "mend it, or what the unit may see: `systemctl edit %s`", unit) <
			0 ||
		asprintf(&untried,
			"see what `systemctl cat %s` has as ExecStart=, and run that "
			"with -t behind it",
			unit) < 0)
		check_add(check, FINDING_UNKNOWN, NULL, "%s: %s", unit, strerror(errno));
	else if (view.wrong[0] != '\0')
		check_add(check, FINDING_UNKNOWN, untried, "%s: could not be tried: %s", unit,
			view.wrong);
	else if (check_add_lines(check, what, remedy, view.said) != 0)
		;
	else if (view.status >= SYSTEMD_STATUS_LEAST)
		add_start_failure(check, unit, view.status);
	else if (view.status != 0)
		check_add(check, FINDING_CRITICAL, remedy, "%s: -t ends with status %d", unit,
			view.status);
	else
		check_add(check, FINDING_OK, NULL,
			"%s: its user can read the configuration, and do what it says", unit);
	free(view.said);
	free(untried);
	free(remedy);
	free(what);
}

/* As who runs us. */
static void check_here(struct check *check)
{
	const struct ctl *ctl = check->ctl;
	const char *words[] = { ctl->handler, "-t", "-f", ctl->conf_file, NULL };
	int status = 0;
	char *said = command_read(words, COMMAND_ERRORS, &status);

	if (said == NULL)
		check_add(check, FINDING_UNKNOWN, "install the listener, or say where it is by -p",
			"%s: %s", ctl->handler, strerror(errno));
	else if (check_add_lines(check, "", "mend it: nmnotify.conf(5)", said) != 0)
		;
	else if (status != 0)
		check_add(check, FINDING_CRITICAL, "run it", "%s -t ends with status %d",
			ctl->handler, status);
	else
		check_add(check, FINDING_OK, NULL, "%s: can be read, and done", ctl->conf_file);
	free(said);
}

/* What is wrong was said by -t already. */
static void ignore(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	(void)context;
	(void)severity;
	(void)file;
	(void)line;
	(void)message;
}

/* It is left out where the kernel has none; if that may not be, -t has said so. */
static void check_landlock(struct check *check)
{
	char bytes[256];
	struct text text = TEXT_IN(bytes);

	for (unsigned i = 0; check->has_conf && i < check->ctl->conf.accounts_count; i++) {
		const struct account *account = &check->ctl->conf.accounts[i];

		text.length = 0;
		if (account->landlock != LANDLOCK_REQUIRED &&
			reach_add_lacks(&text, reach_wants(account), landlock_abi()))
			check_add(check, FINDING_OK, NULL,
				"account %s: nothing is done about what this kernel's Landlock "
				"lacks: %s",
				account->name, bytes);
	}
}

/* Does the unit run as somebody who may not become whom an account names? Then no line does
 * anything, and what -t sees as that user is not what is wrong. */
static bool is_other_user(
	struct check *check, const char *socket, const char *unit, const char *service)
{
	char name[USER_TEXT_MAX], *remedy = NULL;
	struct user own, wanted;
	bool is_other = false;

	unit_text(&check->units, service, UNIT_SERVICE, "User", name, sizeof(name));
	if (name[0] == '\0' || user_by_name(name, &own) != NULL || own.uid == 0)
		return false;
	for (unsigned i = 0; check->has_conf && i < check->ctl->conf.accounts_count; i++) {
		const struct account *account = &check->ctl->conf.accounts[i];

		if (account->user.text == NULL ||
			user_by_name(account->user.text, &wanted) != NULL || wanted.uid == own.uid)
			continue;
		is_other = true;
		if (asprintf(&remedy,
			    "write [Service] and User=%s with `systemctl edit %s`, and run "
			    "`systemctl restart %s`",
			    account->user.text, unit, socket) < 0)
			remedy = NULL;
		check_add(check, FINDING_CRITICAL, remedy,
			"%s runs as %s, and account %s is to run as %s: its action is not started",
			unit, name, account->name, account->user.text);
		free(remedy);
	}
	return is_other;
}

void check_conf(struct check *check)
{
	static const struct {
		const char *socket, *unit, *service;
	} pairs[] = {
		{ "nmnotify.socket", "nmnotify@.service", "nmnotify@check.service" },
		{ "nmnotifyd.socket", "nmnotifyd.service", "nmnotifyd.service" },
	};
	bool is_done = false;

	if (!check->has_listener)
		return;
	conf_begin(&check->ctl->conf, ignore, NULL);
	/* Then an account without a user, which the unit has, is no mistake. */
	check->ctl->conf.reading.report.advises = true;
	conf_file(&check->ctl->conf, check->ctl->conf_file, false);
	check->has_conf = conf_end(&check->ctl->conf);
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if (check->is_user || check->is_own_conf ||
			!unit_is_used(&check->units, pairs[i].socket))
			continue;
		if (check->is_root &&
			!is_other_user(check, pairs[i].socket, pairs[i].unit, pairs[i].service))
			check_in_view(check, pairs[i].unit, pairs[i].service);
		else if (!check->is_root)
			check_add(check, FINDING_UNKNOWN, "run this as root",
				"%s: only root can see what its user sees", pairs[i].unit);
		is_done = true;
	}
	if (!is_done)
		check_here(check);
	check_landlock(check);
}

void check_relay_conf(struct check *check)
{
	if (!check->has_relay)
		return;
	if (check->is_root)
		check_in_view(check, "nmnotify-relay.service", "nmnotify-relay.service");
	else
		check_add(check, FINDING_UNKNOWN, "run this as root",
			"nmnotify-relay.service: only root can see what its user sees");
}
