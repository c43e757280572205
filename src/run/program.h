/* SPDX-License-Identifier: ISC */
/*
 * What the programs that take connections have in common before the first one: options,
 * configuration, the state's base, and how they end when something is wrong.
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
	bool check_only; /* -t */
	/* A service of systemd's does not serve yet. RestartSec= is short for those that have
	 * served; a start that fails, and will again, would be a flood of lines. */
	bool is_starting;
	struct deadline serving_since; /* 0: not, or nobody starts another when it ends */
	int base;                      /* directory of the state */
	const char *base_path;         /* its name */
	struct log log;
	struct tally tally; /* of what goes there */
	struct conf conf;
	char base_buffer[PATH_TEXT_MAX]; /* for a name that has to be put together */
	char mistake[MISTAKE_TEXT_MAX];  /* the first in the configuration; or empty */
};

/* Before anything else: who is speaking, and where to. `program` must be all zeros. */
void program_begin(struct program *program, const char *name, const char *usage,
	const struct streams *streams);

/* Do the arguments ask for nothing but an answer: -h, -V or -t? */
bool program_only_tells(int argc, char **argv);

/* Reads options and configuration. Ends the process after -h, -V and -t, and with EX_CONFIG if
 * anything is wrong. */
void program_configure(struct program *program, int argc, char **argv);

/* Opens the state's base directory. */
void program_open_base(struct program *program);

/* From here on, a state file that is cut while it is mapped ends the process with EX_OSERR and a
 * line in the log, instead of a crash. */
void program_guard_state(struct program *program);

/* What happens then. */
_Noreturn void program_state_is_cut(int signal);

/* The user of an account, when root started us; else the running one, whom the account must not
 * contradict: only his number, if `by_number`, since the rest takes a look into /etc/passwd. */
void program_choose_user(
	struct program *program, const struct account *account, bool by_number, struct user *user);

/* Has systemd itself started this process, as a service? */
bool program_is_unit(void);

/* Begins to serve descriptor 0, which may then be closed. */
void program_serves(struct program *program);

/* Ends the process. If it failed soon, and descriptor 0 is something that waits, it rests first: a
 * super-server would start it again and again. So does a service of systemd's that cannot start. */
_Noreturn void program_end(struct program *program, int status);

/* Each says what is wrong in the log and ends the process: EX_OSERR with errno's text, EX_OSERR
 * for a state that cannot be used, EX_CONFIG. */
_Noreturn void program_fail(struct program *program, const char *what);
_Noreturn void program_fail_state(struct program *program, const struct state_error *error);
_Noreturn void program_fail_configuration(struct program *program, const char *wrong);

/* Says why state cannot be used, and goes on. */
void program_tell_state(struct program *program, const struct state_error *error);

#endif
