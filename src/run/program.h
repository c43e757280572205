/* SPDX-License-Identifier: ISC */
/*
 * What the programs that take connections have in common before the first one: options,
 * configuration, the state's base, and how they end when something is wrong.
 *
 * In the handler, in the runner, and in a process that was started with -t: as who started it,
 * without a filter. Errors are said there, and in the handler also later, as the account's user and
 * under its policy.
 */
#ifndef NMNOTIFY_PROGRAM_H
#define NMNOTIFY_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "state/state.h"
#include "state/tally.h"
#include "lib/users.h"

#define PATH_TEXT_MAX    4096
#define MISTAKE_TEXT_MAX 1024

struct program {
	const char *name;
	const char *usage;
	uid_t self; /* who started us */
	bool stdout_usable;
	bool check_only;   /* -t */
	bool can_start;    /* -b and -s are among its options */
	bool lets_retries; /* -b: another process waits for a retry, in the background */
	const char *start; /* -s: the account to start; NULL: there is a connection instead */
	/* A service of systemd's that does not serve yet. If it fails, it waits before it ends: it
	 * would fail again, and RestartSec=, which is short, would make that a flood of lines. */
	bool is_starting;
	struct deadline serving_since; /* 0: it does not yet, or nobody starts another one */
	int base;                      /* directory of the state */
	const char *base_path;         /* its name */
	struct log log;
	struct tally tally; /* of what goes there */
	struct conf conf;
	char base_buffer[PATH_TEXT_MAX]; /* for a name that has to be put together */
	char mistake[MISTAKE_TEXT_MAX];  /* the first in the configuration; or empty */
};

/* To be called first: the name for messages, and where those may go. `program` must be all zeros.
 */
void program_begin(struct program *program, const char *name, const char *usage,
	const struct streams *streams);

/* Do the arguments ask for nothing but an answer: -h, -V or -t? */
bool program_only_tells(int argc, char **argv);

/* Reads options and configuration. Ends the process after -h, -V and -t, and with EX_CONFIG if
 * anything is wrong. */
void program_configure(struct program *program, int argc, char **argv);

/* Does that user own the state's base directory, or what is there in its place? */
bool program_base_is_of(struct program *program, uid_t user);

/* Opens the state's base directory. */
void program_open_base(struct program *program);

/* From here on, a state file that is cut while it is mapped ends the process with EX_OSERR and a
 * line in the log, instead of a crash. */
void program_guard_state(struct program *program);

/* The handler of SIGBUS that does so. */
_Noreturn void program_state_is_cut(int signal);

/* Whom an account's action runs as: if root started us, the user that the account names; else the
 * running user, and the account must name no other. With `by_number` of the running user only the
 * uid may be filled in, which saves a look into /etc/passwd. Ends the process if the user is wrong.
 */
void program_choose_user(
	struct program *program, const struct account *account, bool by_number, struct user *user);

/* Has systemd itself started this process, as a service? */
bool program_is_unit(void);

/* Begins to serve descriptor 0, which may then be closed. */
void program_serves(struct program *program);

/* Ends the process. If it has failed soon, and on descriptor 0 something still waits, it sleeps
 * first: else a super-server would start it again and again. So does a service of systemd's that
 * cannot start. */
_Noreturn void program_end(struct program *program, int status);

/* Each says what is wrong in the log and ends the process: EX_OSERR with errno's text, EX_OSERR
 * for a state that cannot be used, EX_CONFIG. */
_Noreturn void program_fail(struct program *program, const char *what);
_Noreturn void program_fail_state(struct program *program, const struct state_error *error);
_Noreturn void program_fail_configuration(struct program *program, const char *wrong);

/* Says why state cannot be used, and goes on. */
void program_tell_state(struct program *program, const struct state_error *error);

#endif
