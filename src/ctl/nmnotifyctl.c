/* SPDX-License-Identifier: ISC */
/*
 * nmnotifyctl: what the listener and the sender are doing, and why. nmnotifyctl(8).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/relay.h"

static const struct row {
	const char *name, *arguments, *what;
	subcommand *run;
	const char *options;
} rows[] = {
	{ "status", "[ACCOUNT] [OPTION]...", "what each account, and the relay, is doing",
		ctl_status, "--json, --metrics, --openmetrics or --watch[=SECONDS]" },
	{ "check", "[--verbose]", "what is wrong on this machine, and how to mend it", ctl_check,
		NULL },
	{ "explain", "ADDRESS [to ADDRESS] | user NAME", "what becomes of a line, and why",
		ctl_explain, NULL },
	{ "history", "[ACCOUNT] [OPTION]...", "lines and runs by hour or day, from the journal",
		ctl_history,
		"--since TIME, --until TIME, --by hour|day, --directory DIRECTORY; --json or "
		"--svg" },
	{ "reset", "ACCOUNT", "make its state a fresh one", ctl_reset, NULL },
	{ "start", "ACCOUNT", "start its action, as if a line had come", ctl_start, NULL },
	{ "try", "ACCOUNT", "start it here, and see what is refused to it", ctl_try, NULL },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void print_usage(FILE *stream)
{
	(void)fputs("usage: nmnotifyctl [-f file] [-p file] [-s socket] subcommand [argument]...\n"
		    "       nmnotifyctl -h | -V\n"
		    "  -f file  configuration of the listener, instead of " CONF_FILE "\n"
		    "  -p file  the listener's program, instead of " HANDLER_FILE "\n"
		    "  -s path  socket of the relay's status, instead of " RELAY_STATUS_PATH "\n"
		    "  -V       print the version, and exit\n"
		    "  -h       print this, and exit\n"
		    "Subcommands:\n",
		stream);
	for (unsigned i = 0; i < ROWS; i++)
		(void)fprintf(
			stream, "  %-8s %-34s %s\n", rows[i].name, rows[i].arguments, rows[i].what);
}

static const struct row *row_of(const char *name)
{
	for (unsigned i = 0; i < ROWS; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

int ctl_fail_usage(const struct ctl *ctl, const char *format, ...)
{
	char *message = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&message, format, arguments) < 0)
		message = NULL;
	va_end(arguments);
	(void)ctl_fail(ctl, 0, "%s", message != NULL ? message : strerror(ENOMEM));
	free(message);
	(void)fprintf(stderr, "usage: nmnotifyctl %s %s\n", ctl->command, ctl->arguments);
	if (ctl->options != NULL)
		(void)fprintf(stderr, "options: %s\n", ctl->options);
	return EX_USAGE;
}

/* What was printed may not have arrived: the disk is full, or nobody reads. */
static int end(const struct ctl *ctl, int status)
{
	if (fflush(stdout) != 0 || ferror(stdout) != 0)
		return ctl_fail(ctl, EX_IOERR, "not all could be printed: %s", strerror(errno));
	return status;
}

int main(int argc, char **argv)
{
	/* large */
	static struct ctl ctl = {
		.conf_file = CONF_FILE, .handler = HANDLER_FILE, .relay = RELAY_STATUS_PATH
	};
	const struct row *row;
	int option;

	while ((option = getopt(argc, argv, "+f:hp:s:V")) != -1) {
		switch (option) {
		case 'f': ctl.conf_file = optarg; break;
		case 'p': ctl.handler = optarg; break;
		case 'h': print_usage(stdout); return end(&ctl, EX_OK);
		case 's': ctl.relay = optarg; break;
		case 'V': (void)puts("nmnotifyctl " VERSION); return end(&ctl, EX_OK);
		default: print_usage(stderr); return EX_USAGE;
		}
	}
	if (optind == argc) {
		print_usage(stderr);
		return EX_USAGE;
	}
	row = row_of(argv[optind]);
	if (row == NULL) {
		(void)ctl_fail(
			&ctl, 0, "no subcommand is called %s; these are there:", argv[optind]);
		print_usage(stderr);
		return EX_USAGE;
	}
	ctl.command = row->name;
	ctl.arguments = row->arguments;
	ctl.options = row->options;
	return end(&ctl, row->run(&ctl, argc - optind - 1, argv + optind + 1));
}
