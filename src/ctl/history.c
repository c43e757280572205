/* SPDX-License-Identifier: ISC */
#include "ctl/history.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/table.h"

#define DAY 86400

enum form { FORM_BARS, FORM_JSON, FORM_SVG };

static bool ago_parse(const char *text, time_t now, time_t *since)
{
	static const struct {
		char unit;
		time_t seconds;
	} units[] = { { 'm', 60 }, { 'h', 3600 }, { 'd', DAY }, { 'w', (time_t)7 * DAY } };
	uint64_t number;

	if (!number_take(&text, UINT32_MAX, &number) || text[0] == '\0' || text[1] != '\0')
		return false;
	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (units[i].unit == text[0]) {
			*since = now - (time_t)number * units[i].seconds;
			return true;
		}
	return false;
}

static bool date_parse(const char *text, time_t *since)
{
	static const char *const forms[] = { "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M" };

	for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct tm tm = { .tm_isdst = -1 };
		const char *end = strptime(text, forms[i], &tm);

		if (end == NULL || *end != '\0')
			continue;
		*since = mktime(&tm);
		return true;
	}
	return false;
}

/* A time of the past: how long ago, or a date. */
static bool time_parse(const char *text, time_t now, time_t *time)
{
	return (ago_parse(text, now, time) || date_parse(text, time)) && *time > 0 && *time <= now;
}

static unsigned terminal_width(void)
{
	struct winsize window;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col != 0 ? window.ws_col
										    : 80;
}

static int show(const struct ctl *ctl, struct history *history, enum form form)
{
	int got;

	if (!history_divide(history))
		return ctl_fail_usage(ctl,
			"that is more than %d %s: say --by day, or a later "
			"--since",
			HISTORY_MOST, history->by_day ? "days" : "hours");
	got = history_read(history);
	if (got == -EACCES)
		return ctl_fail(ctl, EX_NOPERM,
			"no journal can be read: run as root, or in the group systemd-journal");
	if (got < 0)
		return ctl_fail(ctl, EX_NOINPUT,
			"the journal%s%s cannot be read: %s; see what "
			"`journalctl%s%s -n 1` says",
			history->directory != NULL ? " in " : "",
			history->directory != NULL ? history->directory : "", strerror(-got),
			history->directory != NULL ? " -D " : "",
			history->directory != NULL ? history->directory : "");
	switch (form) {
	case FORM_BARS:
		history_write_bars(stdout, history, terminal_width(), colour_wanted(stdout));
		break;
	case FORM_JSON: history_write_json(stdout, history); break;
	default: history_write_svg(stdout, history); break;
	}
	return EX_OK;
}

struct request {
	enum form form;
	const char *by, *since, *until;
};

static int read_options(const struct ctl *ctl, struct request *request, struct history *history,
	int argc, char **argv)
{
	static const struct option options[] = {
		{ "by", required_argument, NULL, 'b' },
		{ "directory", required_argument, NULL, 'D' },
		{ "json", no_argument, NULL, 'j' },
		{ "since", required_argument, NULL, 's' },
		{ "svg", no_argument, NULL, 'v' },
		{ "until", required_argument, NULL, 'u' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	optind = 0; /* its own arguments, from the beginning */
	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'b': request->by = optarg; break;
		case 'D': history->directory = optarg; break;
		case 'j': request->form = FORM_JSON; break;
		case 's': request->since = optarg; break;
		case 'u': request->until = optarg; break;
		case 'v': request->form = FORM_SVG; break;
		default:
			return ctl_fail_usage(
				ctl, "there is no such option, or its value is missing");
		}
	}
	if (argc - optind > 1)
		return ctl_fail_usage(ctl, "takes one account, or none");
	history->account = argv[optind];
	return EX_OK;
}

static int fail_time(const struct ctl *ctl, const char *option, const char *text)
{
	return ctl_fail_usage(ctl,
		"%s: '%s' is no time of the past: write 90m, 12h, 7d, 2w, 2026-01-31 or "
		"'2026-01-31 14:00'",
		option, text);
}

/* What the options say of times. */
static int read_times(const struct ctl *ctl, const struct request *request, struct history *history)
{
	const time_t now = time(NULL);
	const char *by = request->by;

	history->until = now;
	if (request->until != NULL && !time_parse(request->until, now, &history->until))
		return fail_time(ctl, "--until", request->until);
	history->since = history->until - DAY;
	if (request->since != NULL && !time_parse(request->since, now, &history->since))
		return fail_time(ctl, "--since", request->since);
	if (history->since >= history->until)
		return ctl_fail_usage(ctl, "--until is not later than --since");
	if (by != NULL && strcmp(by, "hour") != 0 && strcmp(by, "day") != 0)
		return ctl_fail_usage(ctl, "--by takes hour or day, not '%s'", by);
	history->by_day = by != NULL ? strcmp(by, "day") == 0
				     : history->until - history->since > (time_t)3 * DAY;
	return EX_OK;
}

int ctl_history(struct ctl *ctl, int argc, char **argv)
{
	static struct history history; /* large */
	struct request request = { .form = FORM_BARS };
	/* With the subcommand's name, as getopt_long(3) wants it. */
	int wrong = read_options(ctl, &request, &history, argc + 1, argv - 1);

	if (wrong == EX_OK)
		wrong = read_times(ctl, &request, &history);
	return wrong != EX_OK ? wrong : show(ctl, &history, request.form);
}
