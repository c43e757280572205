/* SPDX-License-Identifier: ISC */
#include "ctl/status.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "ctl/relay.h"
#include "ctl/table.h"
#include "lib/clock.h"
#include "lib/text.h"

#define WATCH_SECONDS     2
#define WATCH_SECONDS_MAX 86400
#define WATCH_BYTES       65536

enum form { FORM_TABLE, FORM_JSON, FORM_METRICS, FORM_OPENMETRICS };

struct request {
	enum form form;
	unsigned watch; /* seconds; 0: once */
	const struct account *only;
	bool has_listener; /* it is configured here */
	bool has_relay;    /* it is asked, too */
};

json_t *status_seconds(uint64_t milliseconds)
{
	return json_real((double)milliseconds / 1000.0);
}

json_t *status_escaped(const char *string)
{
	char *bytes = NULL;
	size_t size;
	FILE *stream = open_memstream(&bytes, &size);
	json_t *text = NULL;

	if (stream == NULL)
		return NULL;
	print_escaped(stream, string);
	if (fclose(stream) == 0)
		text = json_string(bytes);
	free(bytes);
	return text;
}

double status_number(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

const char *status_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

bool status_is_true(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

void status_write_json(FILE *stream, const json_t *status)
{
	(void)json_dumpf(
		status, stream, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(13));
	(void)fputc('\n', stream);
}

static json_t *gather(const struct ctl *ctl, const struct request *request)
{
	json_t *status = json_object();

	(void)json_object_set_new(status, "version", json_string(VERSION));
	(void)json_object_set_new(
		status, "time", status_seconds(clock_milliseconds(CLOCK_REALTIME)));
	(void)json_object_set_new(status, "listener",
		request->has_listener ? status_listener(ctl, request->only) : json_null());
	(void)json_object_set_new(
		status, "relay", request->has_relay ? status_relay(ctl) : json_null());
	return status;
}

json_t *status_relay(const struct ctl *ctl)
{
	struct relay_answer answer;
	char *wrong = NULL;
	json_t *object;

	if (relay_is_at_rest(ctl->relay))
		return json_pack("{sb}", "at_rest", 1);
	answer = relay_ask(ctl->relay, "status");
	if (answer.said == RELAY_ANSWERED)
		return answer.document;
	if (answer.said == RELAY_ABSENT)
		return json_null();
	object = json_object();
	if (asprintf(&wrong, "%s; %s", answer.wrong, relay_remedy(answer.said)) < 0)
		wrong = NULL;
	(void)json_object_set_new(
		object, "error", status_escaped(wrong != NULL ? wrong : answer.wrong));
	free(wrong);
	return object;
}

static void write_as(enum form form, FILE *stream, const json_t *status)
{
	switch (form) {
	case FORM_TABLE: status_write_table(stream, status, colour_wanted(stdout)); break;
	case FORM_JSON: status_write_json(stream, status); break;
	case FORM_METRICS: status_write_metrics(stream, status, false); break;
	default: status_write_metrics(stream, status, true); break;
	}
}

/* Could nothing be read of all that was asked for? */
static bool is_unreadable(const json_t *status)
{
	const json_t *accounts = json_object_get(json_object_get(status, "listener"), "accounts");
	size_t read = 0;

	for (size_t i = 0; i < json_array_size(accounts); i++)
		read += strcmp(status_text(json_array_get(accounts, i), "state"), "unreadable") !=
			0;
	return json_array_size(accounts) != 0 && read == 0;
}

static int print_once(const struct ctl *ctl, const struct request *request)
{
	json_t *status = gather(ctl, request);
	bool is_wrong = is_unreadable(status),
	     is_nothing = !request->has_listener && json_is_null(json_object_get(status, "relay"));

	if (!is_nothing)
		write_as(request->form, stdout, status);
	json_decref(status);
	if (is_nothing)
		return ctl_fail(ctl, EX_UNAVAILABLE,
			"there is neither a listener (%s) nor a relay (%s) here; -f and -s say "
			"where they are",
			ctl->conf_file, ctl->relay);
	return is_wrong ? ctl_fail(ctl, EX_NOPERM,
				  "no state could be read; run as root, or as the account's user")
			: EX_OK;
}

/* ---- In place ---- */

/* Lines that fit on the terminal, each up to its end. What is longer is left to the terminal. */
static void redraw(char *shown)
{
	struct winsize window = { .ws_row = 0 };
	char *line, *rest = shown;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_row == 0)
		window.ws_row = 24;
	(void)fputs("\033[H", stdout);
	for (unsigned row = 1; row < window.ws_row && (line = strsep(&rest, "\n")) != NULL; row++)
		(void)printf("%s\033[K\n", line);
	(void)fputs("\033[J", stdout);
}

/* Nothing of the terminal is changed that would have to be restored: a signal may end it at any
 * time. */
static int watch(const struct ctl *ctl, const struct request *request)
{
	const struct timespec rest = { .tv_sec = (time_t)request->watch };

	/* A whole one at a time: else it flickers. */
	(void)setvbuf(stdout, NULL, _IOFBF, WATCH_BYTES);
	(void)fputs("\033[H\033[J", stdout);
	while (ferror(stdout) == 0) {
		json_t *status = gather(ctl, request);
		char *shown = NULL;
		size_t size;
		FILE *stream = open_memstream(&shown, &size);

		if (stream == NULL)
			return ctl_fail(ctl, EX_OSERR, "%s", strerror(errno));
		write_as(request->form, stream, status);
		json_decref(status);
		if (fclose(stream) == 0)
			redraw(shown);
		free(shown);
		if (fflush(stdout) != 0)
			break;
		(void)nanosleep(&rest, NULL);
	}
	return EX_OK; /* end() says what is wrong */
}

/* ---- Options ---- */

static int read_watch(const struct ctl *ctl, struct request *request, const char *text)
{
	uint64_t seconds = WATCH_SECONDS;

	if (text != NULL && (!number_parse(text, WATCH_SECONDS_MAX, &seconds) || seconds == 0))
		return ctl_fail_usage(ctl, "--watch wants seconds, such as --watch=5");
	request->watch = (unsigned)seconds;
	return EX_OK;
}

static int read_options(const struct ctl *ctl, struct request *request, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "metrics", no_argument, NULL, 'm' },
		{ "openmetrics", no_argument, NULL, 'o' },
		{ "watch", optional_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	int option, wrong = EX_OK;

	optind = 0; /* its own arguments, from the beginning */
	opterr = 0;
	while (wrong == EX_OK && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'j': request->form = FORM_JSON; break;
		case 'm': request->form = FORM_METRICS; break;
		case 'o': request->form = FORM_OPENMETRICS; break;
		case 'w': wrong = read_watch(ctl, request, optarg); break;
		default: return ctl_fail_usage(ctl, "there is no such option");
		}
	}
	if (wrong != EX_OK)
		return wrong;
	if (argc - optind > 1)
		return ctl_fail_usage(ctl, "takes one account, or none");
	if (request->watch != 0 && (request->form != FORM_TABLE || !isatty(STDOUT_FILENO)))
		return ctl_fail_usage(ctl, "--watch redraws a table, on a terminal");
	return EX_OK;
}

/* A mail server may have the relay alone. Another file than the usual one has to be there. */
static bool is_configured(const struct ctl *ctl)
{
	return strcmp(ctl->conf_file, CONF_FILE) != 0 || access(CONF_FILE, F_OK) == 0 ||
	       errno != ENOENT;
}

int ctl_status(struct ctl *ctl, int argc, char **argv)
{
	struct request request = { .form = FORM_TABLE };
	char **arguments = argv - 1; /* with the subcommand's name, as getopt_long(3) wants it */
	int wrong = read_options(ctl, &request, argc + 1, arguments);

	if (wrong != EX_OK)
		return wrong;
	request.has_relay = optind > argc;
	request.has_listener = !request.has_relay || is_configured(ctl);
	if (request.has_listener && !ctl_read_conf(ctl))
		return EX_CONFIG;
	if (optind <= argc) {
		request.only = ctl_account(ctl, arguments[optind]);
		if (request.only == NULL)
			return EX_USAGE;
	}
	return request.watch != 0 ? watch(ctl, &request) : print_once(ctl, &request);
}
