/* SPDX-License-Identifier: ISC */
/*
 * nmnotify: takes one connection from a super-server on descriptor 0, reads the line, decides,
 * and runs the account's action at most once. With -s it does as if such a line had come.
 * nmnotify(8), nmnotify.conf(5).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "policy/confine.h"
#include "handler/connection.h"
#include "lib/line.h"
#include "run/program.h"
#include "run/waiter.h"
#include "state/state.h"
#include "lib/text.h"
#include "lib/users.h"

/* What every connection needs comes first, and shares a page. */
struct handler {
	struct connection connection;
	struct job job;
	struct line line;
	char source_text[SOURCE_TEXT_MAX];
	int directory; /* of the account's state */
	struct program program;
	struct user user;
};

static const char usage[] =
	"usage: nmnotify [-h | -t | -V] [-b] [-s account] [-f file] [-o 'keyword value']...\n"
	"Takes one connection on descriptor 0; to be started by a super-server.\n"
	"  -f file     configuration, instead of " CONF_FILE "\n"
	"  -o words    a line of configuration, said before the file's\n"
	"  -s account  take no connection, but do as if a line had come for the account\n"
	"  -b          leave the retries of a run that fails to a process in the background\n"
	"  -t          check the configuration, print what is wrong, and exit\n"
	"  -V          print the version and what it can do here, and exit\n"
	"  -h          print this and exit\n";

_Noreturn static void finish(struct handler *h, enum verdict verdict)
{
	tally_verdict(&h->program.tally, verdict, NULL);
	exit(EX_OK);
}

static void guard_descriptors(struct handler *h, int argc, char **argv)
{
	struct streams *streams = &h->connection.streams;
	bool is_guarded = streams_guard(streams, program_only_tells(argc, argv), true);

	program_begin(&h->program, "nmnotify", usage, streams);
	h->program.can_start = true;
	if (!is_guarded)
		program_fail(&h->program, "descriptors 0 to 2");
}

static void identify_source(struct handler *h)
{
	const char *wrong = NULL;

	if (h->program.start != NULL)
		connection_none(&h->connection);
	else
		wrong = connection_identify(&h->connection, conf_needs_to(&h->program.conf));
	if (wrong != NULL)
		program_fail_configuration(&h->program, wrong);
	h->program.log.source = source_text(&h->connection.source, h->source_text);
}

_Noreturn static void fail_unknown_account(struct handler *h)
{
	char bytes[MISTAKE_TEXT_MAX];
	struct text text = TEXT_IN(bytes);

	text_add(&text, "-s: there is no account '%s'", h->program.start);
	program_fail_configuration(&h->program, bytes);
}

static void choose_account(struct handler *h)
{
	const struct conf *conf = &h->program.conf;
	const char *start = h->program.start;
	struct state_error error;

	h->job.account = start != NULL
				 ? conf_account_named(conf, start)
				 : conf_account(conf, &h->connection.source, &h->connection.to);
	if (h->job.account != NULL) {
		h->program.log.account = h->job.account->name;
		return;
	}
	if (start != NULL)
		fail_unknown_account(h);
	/* Without it nothing is said. */
	h->program.tally.state = state_map(
		h->program.base, STATE_DENIED, h->program.self, STATE_HEADER_BYTES, &error);
	finish(h, VERDICT_DENIED);
}

static void open_account(struct handler *h)
{
	struct state_error error;

	h->directory = state_account_open(h->program.base, h->job.account->name, h->program.self,
		h->user.uid, h->user.gid, &error);
	if (h->directory < 0)
		program_fail_state(&h->program, &error);
}

static void drop_privileges(struct handler *h)
{
	if (h->program.self == 0 && !privileges_become(&h->user))
		program_fail(&h->program, "dropping privileges");
}

/* Root starts by hand what a super-server starts as the account's user: then the state is his, and
 * only he opens it. */
static void open_base_by_hand(struct handler *h)
{
	if (h->program.self == 0 && program_base_is_of(&h->program, h->user.uid)) {
		drop_privileges(h);
		h->program.self = h->user.uid;
	}
	program_open_base(&h->program);
}

static void map_state(struct handler *h)
{
	struct state_error error;
	struct state *state;

	program_guard_state(&h->program);
	state = state_map(h->directory, STATE_LIMITS, h->user.uid, sizeof(struct state), &error);
	if (state == NULL)
		program_fail_state(&h->program, &error);
	h->program.tally.state = state;
	if (!limiter_key(state))
		program_fail(&h->program, "getrandom");
	job_prepare(&h->job, state, &h->connection.source);
	if (!turn_open(&h->job.turn, h->directory, &error))
		program_fail_state(&h->program, &error);
}

static void drop_unread_if_covered(struct handler *h)
{
	if (decision_is_covered(&h->job.decision))
		finish(h, VERDICT_COALESCED);
}

static void confine_self(struct handler *h)
{
	if (!confine(policy_find(h->job.account->confine)))
		program_fail(&h->program, "confine");
}

static enum line_state read_line(struct handler *h)
{
	enum line_state state;

	if (h->program.start != NULL)
		return LINE_VALID;
	state = line_read(&h->line, STDIN_FILENO, h->connection.streams.is_socket,
		h->job.account->read_timeout, h->job.account->bare_lf);
	if (state == LINE_FAILED)
		tally_error(&h->program.tally, "reading: %s", strerror(errno));
	return state;
}

static void decide(struct handler *h, enum line_state line)
{
	const char *reason = NULL;

	if (h->program.start == NULL)
		reason = line_reason_name(line_malformed_reason(&h->line));
	if (!decision_make(&h->job.decision, line))
		program_fail(&h->program, "the turn file");
	/* The verdict is known: the sender need not wait, and a waiter must not hold a socket. */
	if (!connection_close(&h->connection))
		program_fail(&h->program, "/dev/null");
	if (h->job.decision.verdict != VERDICT_ERROR)
		tally_verdict(&h->program.tally, h->job.decision.verdict, reason);
	if (!h->job.decision.is_waiter)
		exit(h->job.decision.verdict == VERDICT_ERROR ? EX_OSERR : EX_OK);
}

/* Whoever waits for this process's end, or for that of its output, waits for no retry. Nothing is
 * held here that the retry needs: until it is slept for it is a debt like any. False in the process
 * that was there; without another one that goes on. */
static bool go_on_in_background(struct handler *h)
{
	pid_t child = fork();

	if (child != 0)
		return child < 0;
	h->program.log.stderr_usable = false;
	(void)setsid(); /* it leads no group: its parent is in that */
	/* 0 is /dev/null. */
	return dup2(STDIN_FILENO, STDOUT_FILENO) >= 0 && dup2(STDIN_FILENO, STDERR_FILENO) >= 0;
}

static int run_action(struct handler *h)
{
	int status;

	if (h->user.name[0] == '\0')
		user_running(&h->user);
	h->job.conf = &h->program.conf;
	h->job.user = &h->user;
	h->job.source_text = h->source_text;
	h->job.state_path = h->program.base_path;
	h->job.tally = &h->program.tally;
	status = waiter_run(&h->job);
	if (h->job.is_owed_again && h->program.lets_retries && !go_on_in_background(h))
		return status;
	while (waiter_retries(&h->job))
		status = waiter_run(&h->job);
	return status;
}

int main(int argc, char **argv)
{
	/* Zeros; large, but only what is used is ever touched. */
	static struct handler h;

	process_guard();
	guard_descriptors(&h, argc, argv);
	program_configure(&h.program, argc, argv);
	identify_source(&h);
	if (h.program.start == NULL)
		program_open_base(&h.program);
	choose_account(&h);
	program_choose_user(&h.program, h.job.account, true, &h.user);
	if (h.program.start != NULL)
		open_base_by_hand(&h);
	open_account(&h);
	drop_privileges(&h);
	map_state(&h);
	drop_unread_if_covered(&h);
	confine_self(&h);
	decide(&h, read_line(&h));
	return run_action(&h);
}
