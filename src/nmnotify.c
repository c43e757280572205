/* SPDX-License-Identifier: ISC */
/*
 * nmnotify: takes one connection from a super-server on descriptor 0, reads the line, decides,
 * and runs the account's action at most once. nmnotify(8), nmnotify.conf(5).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sysexits.h>
#include <unistd.h>

#include "action.h"
#include "conf.h"
#include "confine.h"
#include "connection.h"
#include "decision.h"
#include "line.h"
#include "log.h"
#include "state.h"
#include "text.h"
#include "users.h"

#define PATH_TEXT_MAX 4096
#define MESSAGE_MAX   1024

struct handler {
	uid_t self; /* who started us */
	struct conf conf;
	struct connection connection;
	struct log log;
	const struct account *account;
	struct user user;
	struct turn turn;
	struct decision decision;
	char base_path[PATH_TEXT_MAX];
	int base, directory; /* of the state */
	bool check_only;     /* -t */
};

static const char usage[] =
	"usage: nmnotify [-htV] [-f file] [-o 'keyword value']...\n"
	"Takes one connection on descriptor 0; to be started by a super-server.\n"
	"  -f file   configuration, instead of " CONF_FILE "\n"
	"  -o words  a line of configuration, said before the file's\n"
	"  -t        check the configuration, print what is wrong, and exit\n"
	"  -V        print the version and exit\n"
	"  -h        print this and exit\n";

/* ---- Ends ---- */

_Noreturn static void finish(struct handler *h, enum verdict verdict)
{
	log_verdict(&h->log, verdict, NULL);
	exit(EX_OK);
}

_Noreturn static void fail_errno(struct handler *h, const char *what)
{
	log_error(&h->log, "%s: %s", what, strerror(errno));
	exit(EX_OSERR);
}

_Noreturn static void fail_state(struct handler *h, const struct state_error *error)
{
	log_error(&h->log, "state %s: %s %s%s%s", h->base_path, error->what, error->name,
		error->code != 0 ? ": " : "", error->code != 0 ? strerror(error->code) : "");
	exit(EX_OSERR);
}

/* For the handler of SIGBUS alone. */
static struct log *bus_log;

/* Somebody cut the state file while it was mapped (mmap(2)). A clean end: what is owed cannot be
 * known any more, and the next connection finds a fresh state. */
static void on_bus(int number)
{
	(void)number;
	bus_log->state = NULL;
	log_error(bus_log, "the state file was truncated");
	_exit(EX_OSERR);
}

/* ---- Options and configuration ---- */

static void report(void *context, const char *file, unsigned line, const char *message)
{
	struct handler *h = context;
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	text_add(&text, "%s:", file);
	if (line != 0)
		text_add(&text, "%u:", line);
	text_add(&text, " %s", message);
	h->log.target = h->conf.log;
	if (!h->check_only && h->conf.wrong == 1) /* one line is enough for the log */
		log_error(&h->log, "%s", bytes);
	text_add(&text, "\n");
	if (h->check_only)
		(void)text_write(&text, STDERR_FILENO); /* -t has nobody else to tell */
}

static void report_account(
	struct handler *h, const struct account *account, const char *what, const char *wrong)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	h->conf.wrong++;
	text_add(&text, "%s %s", what, wrong);
	report(h, account->file, account->line, bytes);
}

/* What only the machine can tell: do the users and programs exist? */
static void check_account(struct handler *h, const struct account *account)
{
	const char *program = h->conf.words[account->action.start];
	const char *wrong = account->user == NULL ? NULL : user_by_name(account->user, &h->user);

	if (wrong != NULL)
		report_account(h, account, account->user, wrong);
	if (access(program, X_OK) != 0)
		report_account(h, account, program, strerror(errno));
}

_Noreturn static void check(struct handler *h)
{
	if (conf_end(&h->conf))
		for (unsigned i = 0; i < h->conf.accounts_count; i++)
			check_account(h, &h->conf.accounts[i]);
	exit(h->conf.wrong == 0 ? EX_OK : EX_CONFIG);
}

_Noreturn static void say(const struct handler *h, const char *words)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	text_add(&text, "%s", words);
	exit(!h->connection.stdout_usable || text_write(&text, STDOUT_FILENO) ? EX_OK : EX_OSERR);
}

_Noreturn static void fail_usage(struct handler *h, const char *wrong, const char *argument)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	log_error(&h->log, "%s '%s'", wrong, argument);
	text_add(&text, "nmnotify: %s '%s'\n%s", wrong, argument, usage);
	if (h->connection.stderr_usable)
		(void)text_write(&text, STDERR_FILENO); /* the log was told */
	exit(EX_CONFIG);
}

/* The value of an option: the rest of its argument, or the next one. */
static const char *option_value(struct handler *h, char ***argument)
{
	const char *rest = **argument + 2;

	if (*rest != '\0')
		return rest;
	if (*++*argument == NULL)
		fail_usage(h, "a value is missing behind", (*argument)[-1]);
	return **argument;
}

/* getopt(3) would do; some libcs' takes stdio along for the messages that we do not want. */
static void read_options(struct handler *h, char **argument, const char **file, unsigned *lines)
{
	for (; *argument != NULL; argument++) {
		const char *option = *argument;
		char letter = option[0] == '-' ? option[1] : '\0';

		if (letter == 'f')
			*file = option_value(h, &argument);
		else if (letter == 'o')
			conf_option(&h->conf, option_value(h, &argument), ++*lines);
		else if (strcmp(option, "-t") == 0)
			h->check_only = true;
		else if (strcmp(option, "-h") == 0)
			say(h, usage);
		else if (strcmp(option, "-V") == 0)
			say(h, "nmnotify " VERSION "\n");
		else
			fail_usage(h, "cannot use", option);
	}
}

static void read_configuration(struct handler *h, char **arguments)
{
	const char *file = NULL;
	unsigned lines = 0;

	conf_begin(&h->conf, report, h);
	read_options(h, arguments, &file, &lines);
	conf_file(&h->conf, file != NULL ? file : CONF_FILE, file == NULL && lines != 0);
	if (h->check_only)
		check(h);
	if (!conf_end(&h->conf))
		exit(EX_CONFIG);
	h->log.target = h->conf.log;
}

/* ---- Steps ---- */

static void guard_descriptors(struct handler *h)
{
	h->self = (uid_t)getauxval(AT_EUID);
	h->log.program = "nmnotify";
	if (!connection_guard(&h->connection))
		fail_errno(h, "descriptors 0 to 2");
	h->log.stderr_usable = h->connection.stderr_usable;
}

static void identify_source(struct handler *h)
{
	const char *wrong = connection_identify(&h->connection, conf_needs_to(&h->conf));

	if (wrong != NULL) {
		log_error(&h->log, "%s", wrong);
		exit(EX_CONFIG);
	}
	h->log.source = source_text(&h->connection.source, h->log.source_text);
}

static void open_state_base(struct handler *h)
{
	struct state_error error;

	if (!state_base_path(h->conf.state, h->base_path, sizeof(h->base_path))) {
		log_error(&h->log, "state: the path is too long");
		exit(EX_CONFIG);
	}
	h->base = state_base_open(h->base_path, h->self, &error);
	if (h->base < 0)
		fail_state(h, &error);
}

static void choose_account(struct handler *h)
{
	struct state_error error;

	h->account = conf_account(&h->conf, &h->connection.source, &h->connection.to);
	if (h->account != NULL) {
		h->log.account = h->account->name;
		return;
	}
	/* Without it lines are neither counted nor limited, but nothing runs either. */
	h->log.state = state_map(h->base, STATE_DENIED, h->self, STATE_HEADER_BYTES, &error);
	finish(h, VERDICT_DENIED);
}

/* Whose the action is, and the state. An ordinary user's home is looked up only if it runs. */
static void choose_user(struct handler *h)
{
	const char *name = h->account->user, *wrong = NULL;

	if (h->self == 0) {
		wrong = user_by_name(name, &h->user);
	} else if (name != NULL) {
		user_running(&h->user);
		if (strcmp(name, h->user.name) != 0)
			wrong = "is not the running user, who is not root";
	} else {
		h->user.uid = h->self;
	}
	if (wrong != NULL) {
		log_error(&h->log, "user %s %s", name, wrong);
		exit(EX_CONFIG);
	}
}

static void open_account(struct handler *h)
{
	struct state_error error;

	h->directory = state_account_open(h->base, h->account->name, h->self, h->user.uid,
		h->user.gid, &error);
	if (h->directory < 0)
		fail_state(h, &error);
}

static void drop_privileges(struct handler *h)
{
	if (h->self == 0 && !privileges_become(&h->user))
		fail_errno(h, "dropping privileges");
}

static void map_state(struct handler *h)
{
	struct sigaction bus = { .sa_handler = on_bus };
	struct state_error error;
	struct state *state;

	bus_log = &h->log;
	if (sigaction(SIGBUS, &bus, NULL) != 0)
		fail_errno(h, "sigaction");
	state = state_map(h->directory, STATE_LIMITS, h->user.uid, sizeof(struct state), &error);
	if (state == NULL)
		fail_state(h, &error);
	h->log.state = state;
	h->turn = decision_turn(h->account, state);
	if (!turn_open(&h->turn, h->directory, &error))
		fail_state(h, &error);
	if (!limiter_key(state))
		fail_errno(h, "getrandom");
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
		fail_errno(h, "confine");
}

static enum line_state read_line(struct handler *h)
{
	enum line_state state = line_read(STDIN_FILENO, h->connection.is_socket,
		h->account->read_timeout, h->account->bare_lf);

	if (state == LINE_FAILED)
		log_error(&h->log, "reading: %s", strerror(errno));
	return state;
}

static void decide(struct handler *h, enum line_state line)
{
	if (!decision_make(&h->decision, line))
		fail_errno(h, "the turn file");
	/* The verdict is known: the sender need not wait, and a waiter must not hold a socket. */
	if (!connection_close())
		fail_errno(h, "/dev/null");
	if (h->decision.verdict != VERDICT_ERROR)
		log_verdict(&h->log, h->decision.verdict, NULL);
	if (!h->decision.is_waiter)
		exit(h->decision.verdict == VERDICT_ERROR ? EX_OSERR : EX_OK);
}

static void await_turn(struct handler *h)
{
	if (!action_signals_reset())
		fail_errno(h, "signals");
	if (!decision_wait(&h->decision))
		fail_errno(h, "waiting for the turn");
}

static int run_action(struct handler *h)
{
	const struct action action = {
		.conf = &h->conf,
		.account = h->account,
		.user = &h->user,
		.source = h->log.source,
		.log = &h->log,
		.turn = &h->turn,
	};

	if (h->user.name[0] == '\0')
		user_running(&h->user);
	return action_run(&action);
}

int main(int argc, char **argv)
{
	static struct handler h; /* zeros; large, but only what is used is ever touched */

	guard_descriptors(&h);
	read_configuration(&h, argc > 0 ? argv + 1 : argv);
	identify_source(&h);
	open_state_base(&h);
	choose_account(&h);
	choose_user(&h);
	open_account(&h);
	drop_privileges(&h);
	map_state(&h);
	drop_unread_if_covered(&h);
	confine_self(&h);
	decide(&h, read_line(&h));
	await_turn(&h);
	return run_action(&h);
}
