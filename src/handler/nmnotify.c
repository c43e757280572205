/* SPDX-License-Identifier: ISC */
/*
 * nmnotify: takes one connection from a super-server on descriptor 0, reads the line, decides,
 * and runs the account's action at most once. nmnotify(8), nmnotify.conf(5).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "run/action.h"
#include "policy/confine.h"
#include "handler/connection.h"
#include "run/decision.h"
#include "lib/layout.h"
#include "lib/line.h"
#include "run/program.h"
#include "state/state.h"
#include "lib/users.h"

/* What every connection needs comes first, and shares a page. */
struct handler {
	struct connection connection;
	const struct account *account;
	struct turn turn;
	struct line line;
	struct decision decision;
	int directory; /* of the account's state */
	struct program program;
	struct user user;
};

static const char usage[] =
	"usage: nmnotify [-h | -t | -V] [-f file] [-o 'keyword value']...\n"
	"Takes one connection on descriptor 0; to be started by a super-server.\n"
	"  -f file   configuration, instead of " CONF_FILE "\n"
	"  -o words  a line of configuration, said before the file's\n"
	"  -t        check the configuration, print what is wrong, and exit\n"
	"  -V        print the version and what it can do here, and exit\n"
	"  -h        print this and exit\n";

_Noreturn static void finish(struct handler *h, enum verdict verdict)
{
	tally_verdict(&h->program.tally, verdict, NULL);
	exit(EX_OK);
}

static void guard_descriptors(struct handler *h, char **arguments)
{
	struct streams *streams = &h->connection.streams;
	bool is_guarded = streams_guard(streams, program_only_tells(arguments), true);

	program_begin(
		&h->program, "nmnotify", usage, streams->stdout_usable, streams->stderr_usable);
	if (!is_guarded)
		program_fail(&h->program, "descriptors 0 to 2");
}

static void identify_source(struct handler *h)
{
	const char *wrong = connection_identify(&h->connection, conf_needs_to(&h->program.conf));

	if (wrong != NULL)
		program_fail_configuration(&h->program, wrong);
	h->program.log.source = source_text(&h->connection.source, h->program.log.source_text);
}

static void choose_account(struct handler *h)
{
	struct state_error error;

	h->account = conf_account(&h->program.conf, &h->connection.source, &h->connection.to);
	if (h->account != NULL) {
		h->program.log.account = h->account->name;
		return;
	}
	/* Without it nothing is said. */
	h->program.tally.state = state_map(
		h->program.base, STATE_DENIED, h->program.self, STATE_HEADER_BYTES, &error);
	finish(h, VERDICT_DENIED);
}

static void open_account(struct handler *h)
{
	struct state_error error;

	h->directory = state_account_open(h->program.base, h->account->name, h->program.self,
		h->user.uid, h->user.gid, &error);
	if (h->directory < 0)
		program_fail_state(&h->program, &error);
}

static void drop_privileges(struct handler *h)
{
	if (h->program.self == 0 && !privileges_become(&h->user))
		program_fail(&h->program, "dropping privileges");
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
	h->turn = decision_turn(h->account, state);
	if (!turn_open(&h->turn, h->directory, &error))
		program_fail_state(&h->program, &error);
	if (!limiter_key(state))
		program_fail(&h->program, "getrandom");
	h->decision.account = h->account;
	h->decision.turn = &h->turn;
	h->decision.cells = limiter_locate(state, &h->connection.source);
}

static void drop_unread_if_covered(struct handler *h)
{
	if (decision_is_covered(&h->decision))
		finish(h, VERDICT_COALESCED);
}

static void confine_self(struct handler *h)
{
	if (!confine(policy_find(h->account->confine)))
		program_fail(&h->program, "confine");
}

static enum line_state read_line(struct handler *h)
{
	enum line_state state = line_read(&h->line, STDIN_FILENO, h->connection.streams.is_socket,
		h->account->read_timeout, h->account->bare_lf);

	if (state == LINE_FAILED)
		tally_error(&h->program.tally, "reading: %s", strerror(errno));
	return state;
}

static void decide(struct handler *h, enum line_state line)
{
	if (!decision_make(&h->decision, line))
		program_fail(&h->program, "the turn file");
	/* The verdict is known: the sender need not wait, and a waiter must not hold a socket. */
	if (!connection_close(&h->connection))
		program_fail(&h->program, "/dev/null");
	if (h->decision.verdict != VERDICT_ERROR)
		tally_verdict(&h->program.tally, h->decision.verdict,
			line_reason_name(line_malformed_reason(&h->line)));
	if (!h->decision.is_waiter)
		exit(h->decision.verdict == VERDICT_ERROR ? EX_OSERR : EX_OK);
}

static int run_action(struct handler *h)
{
	const struct action action = {
		.conf = &h->program.conf,
		.account = h->account,
		.user = &h->user,
		.source = h->program.log.source,
		.tally = &h->program.tally,
	};

	if (h->user.name[0] == '\0')
		user_running(&h->user);
	return action_run(&action, &h->decision);
}

int main(int argc, char **argv)
{
	/* Zeros; large, but only what is used is ever touched. */
	static LAYOUT_BEHIND_SMALL struct handler h;

	process_guard();
	argv += argc > 0; /* without our name */
	guard_descriptors(&h, argv);
	program_configure(&h.program, argv);
	identify_source(&h);
	program_open_base(&h.program);
	choose_account(&h);
	program_choose_user(&h.program, h.account, true, &h.user);
	open_account(&h);
	drop_privileges(&h);
	map_state(&h);
	drop_unread_if_covered(&h);
	confine_self(&h);
	decide(&h, read_line(&h));
	return run_action(&h);
}
