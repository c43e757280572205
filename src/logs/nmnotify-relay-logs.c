/* SPDX-License-Identifier: ISC */
/*
 * nmnotify-relay-logs: reads in the journal who has logged in from where, and tells the relay.
 * nmnotify-relay-logs(8).
 *
 * As the user it was started as; from logs_confine() on under logs.policy.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "lib/allowance.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "logs/journal.h"
#include "logs/logs_confine.h"
#include "policy/confine.h"
#include "sender/failure.h"
#include "sender/notice.h"

#define WHY_MAX 1024

/* The status is said so long after something has changed. */
#define STATUS_AFTER_US 1000000u

/* With -m: that is no login. */
#define STATUS_NO_LOGIN 1

struct service {
	struct log log;
	const char *file, *socket, *directory, *message;
	bool check_only;
	bool is_typed; /* somebody sits at standard error */
	struct journal journal;
	sd_event_source *status; /* is to be said */
	uint64_t done, failed, unclear;
	struct allowance lines; /* of what fails */
};

static const char usage[] =
	"usage: nmnotify-relay-logs [-l] [-D directory] [-f file] [-s socket]\n"
	"       nmnotify-relay-logs [-f file] -m message | -t | -V | -h\n"
	"Reads in the journal who has logged in from where, and tells nmnotify-relay.\n"
	"  -D directory  of journal files, instead of this machine's\n"
	"  -f file       read this instead of " LOGS_CONF_FILE "\n"
	"  -l            log to standard error\n"
	"  -s socket     the relay's, instead of " NOTICE_SOCKET "\n"
	"  -m message    say what this one would be, whoever had logged it, and exit\n"
	"  -t            check the configuration, and exit\n"
	"  -V            print the version, and exit\n"
	"  -h            print this, and exit\n";

/* ---- Saying ---- */

static bool print(const char *text, int fd)
{
	char bytes[2 * WHY_MAX];
	struct text line = TEXT_IN(bytes);

	text_add(&line, "%s", text);
	return text_write(&line, fd);
}

_Noreturn static void fail(struct service *service, int status, const char *what, int error)
{
	char bytes[WHY_MAX];
	struct text text = TEXT_IN(bytes);

	text_add(&text, "%s%s%s", what, error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
	log_relay(&service->log, "error", bytes, true);
	exit(status);
}

_Noreturn static void fail_usage(struct service *service, const char *wrong)
{
	log_relay(&service->log, "error", wrong, true);
	(void)print(usage, STDERR_FILENO); /* nowhere is left to say that it failed */
	exit(EX_USAGE);
}

static void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	struct service *service = context;
	char bytes[WHY_MAX], shown[WHY_MAX + 1];
	struct text text = TEXT_IN(bytes), escaped = TEXT_IN(shown);

	(void)severity; /* nothing here is a warning */
	text_add(&text, "%s:", file);
	if (line != 0)
		text_add(&text, "%u:", line);
	text_add(&text, " %s", message);
	if (!service->check_only && !service->is_typed) {
		log_relay(&service->log, "error", bytes, true);
		return;
	}
	text_add_escaped(&escaped, bytes);
	text_add(&escaped, "\n");
	(void)print(shown, STDERR_FILENO);
}

/* ---- Beginning ---- */

static void read_options(struct service *service, int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "+:D:f:hlm:s:tV")) != -1) {
		switch (option) {
		case 'D': service->directory = optarg; break;
		case 'f': service->file = optarg; break;
		case 'h': answer(usage);
		case 'l': service->log.target = LOG_TARGET_STDERR; break;
		case 'm': service->message = optarg; break;
		case 's': service->socket = optarg; break;
		case 't': service->check_only = true; break;
		case 'V': answer("nmnotify-relay-logs " VERSION "\n");
		default: fail_usage(service, option_wrong(option));
		}
	}
	if (optind < argc)
		fail_usage(service, "an argument is too much");
}

static const struct logins *logins_of(struct service *service)
{
	static struct logins logins;

	logins_begin(&logins, report, service);
	logins_file(&logins, service->file);
	return logins_end(&logins) ? &logins : NULL;
}

static bool has_all(void *record, const char *field)
{
	(void)record;
	(void)field;
	return true;
}

/* -m */
static int say_meaning(const struct logins *logins, const char *message)
{
	char bytes[WHY_MAX];
	struct text text = TEXT_IN(bytes);
	struct sighting sighting;

	switch (logins_read(logins, has_all, NULL, message, strlen(message), &sighting)) {
	case MEANS_LOGIN:
		text_add(&text, "login ");
		text_add_escaped(&text, sighting.user);
		text_add(&text, " %s\n", sighting.address);
		return text_write(&text, STDOUT_FILENO) ? EX_OK : EX_OSERR;
	case MEANS_UNCLEAR:
		(void)print("it can be read in several ways, or names no user and address\n",
			STDERR_FILENO);
		return STATUS_NO_LOGIN;
	default:
		(void)print("it has the form of no 'message'\n", STDERR_FILENO);
		return STATUS_NO_LOGIN;
	}
}

/* ---- Serving ---- */

static int on_status(sd_event_source *source, uint64_t at, void *context)
{
	const struct service *service = context;

	(void)source;
	(void)at;
	(void)sd_notifyf(0, "STATUS=%llu logins handed over, %llu not; %llu unclear lines",
		(unsigned long long)service->done, (unsigned long long)service->failed,
		(unsigned long long)service->unclear);
	return 0;
}

static void change_status(struct service *service)
{
	int enabled;

	if (sd_event_source_get_enabled(service->status, &enabled) > 0)
		return;
	(void)sd_event_source_set_time_relative(service->status, STATUS_AFTER_US);
	(void)sd_event_source_set_enabled(service->status, SD_EVENT_ONESHOT);
}

static void say_failed(struct service *service, const char *user, const char *why)
{
	uint32_t left_out;

	if (allowance_take(&service->lines, instant_now(), &left_out))
		log_failed(&service->log, "login", "user", user, why);
}

static void on_login(void *context, const struct sighting *sighting, const char *wrong)
{
	struct service *service = context;
	char bytes[WHY_MAX];
	struct text why = TEXT_IN(bytes);
	struct notice notice;

	change_status(service);
	if (sighting == NULL) {
		service->unclear++;
		say_failed(service, NULL, wrong);
		return;
	}
	if (wrong == NULL)
		wrong = notice_of_login(&notice, sighting->user, sighting->address);
	if (wrong == NULL && !notice_send(&notice, service->socket, &why))
		wrong = bytes;
	if (wrong == NULL) {
		service->done++;
		return;
	}
	service->failed++;
	say_failed(service, sighting->user, wrong);
}

static int on_end(sd_event_source *source, const struct signalfd_siginfo *signal, void *context)
{
	(void)signal;
	(void)context;
	return sd_event_exit(sd_event_source_get_event(source), EX_OK);
}

static void block_signals(void)
{
	sigset_t signals;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigprocmask(SIG_SETMASK, &signals, NULL); /* fails for no valid set */
}

static bool make_loop(struct service *service)
{
	sd_event **loop = &service->journal.loop;

	return sd_event_default(loop) >= 0 &&
	       sd_event_add_time_relative(
		       *loop, &service->status, CLOCK_MONOTONIC, 0, 0, on_status, service) >= 0 &&
	       sd_event_add_signal(*loop, NULL, SIGTERM, on_end, service) >= 0 &&
	       sd_event_add_signal(*loop, NULL, SIGINT, on_end, service) >= 0 &&
	       sd_event_set_watchdog(*loop, true) >= 0;
}

static int serve(struct service *service)
{
	struct journal *journal = &service->journal;
	const char *wrong;
	int error, status;

	if (!make_loop(service))
		fail(service, EX_OSERR, "the loop", errno);
	error = journal_open(journal, service->directory, &wrong);
	if (error != 0)
		fail(service, EX_NOINPUT, wrong, error);
	if (!logs_confine(service->directory))
		fail(service, EX_OSERR, "this process cannot be confined", errno);
	(void)sd_notify(0, "READY=1");
	status = sd_event_loop(journal->loop);
	(void)sd_notify(0, "STOPPING=1");
	if (status == EX_IOERR)
		log_relay(&service->log, "error", "the journal cannot be read", true);
	journal_close(journal);
	(void)sd_event_source_unref(service->status);
	(void)sd_event_unref(journal->loop);
	return status < 0 ? EX_OSERR : status;
}

int main(int argc, char **argv)
{
	static struct service service = { .file = LOGS_CONF_FILE, .socket = NOTICE_SOCKET };
	struct streams streams;

	process_guard();
	if (!streams_guard(&streams, true, false))
		return EX_OSERR;
	service.log = (struct log){ .program = "nmnotify-relay-logs",
		.stderr_usable = streams.stderr_usable };
	service.is_typed = isatty(STDERR_FILENO) == 1;
	read_options(&service, argc, argv);
	if (service.message != NULL)
		service.check_only = true; /* somebody waits for the answer */
	service.journal.logins = logins_of(&service);
	if (service.journal.logins == NULL)
		return EX_CONFIG;
	if (service.message != NULL)
		return say_meaning(service.journal.logins, service.message);
	if (service.check_only)
		return EX_OK;
	service.journal.reader = on_login;
	service.journal.context = &service;
	block_signals();
	return serve(&service);
}
