/* SPDX-License-Identifier: ISC */
/*
 * A generation of nmnotifyd: one reading of the configuration, the accounts' state as it is kept
 * open for it, and the network process that serves it. When the configuration is read again, a new
 * generation takes the sockets over, and the old one ends with what it still has to do.
 *
 * In the runner: as who started it, with no filter but the unit's.
 */
#ifndef NMNOTIFY_GENERATION_H
#define NMNOTIFY_GENERATION_H

#include <sys/types.h>

#include "daemon/accounts.h"
#include "daemon/handover.h"
#include "run/program.h"

/* At a time: one that serves, one that is about to serve, and those that are ending. */
#define GENERATIONS_MAX 4

/* What all generations have in common: how the program was started. */
struct launch {
	const char *usage;
	int argc;
	char **argv;
	struct streams streams;
	int image; /* this program's own file: after an upgrade its name is another's */
	struct listener listener[LISTENERS_MAX];
	unsigned listeners_count;
	struct span alive_every; /* 0: nobody watches */
};

struct generation {
	struct program program;
	struct served_accounts accounts;
	struct shared *shared;
	int memory;   /* the file of `shared`, until the network process has it */
	int denied;   /* likewise, of the counters of sources without account */
	int requests; /* the runner's end of the socket pair */
	pid_t network_pid;
	bool is_ready, is_ended; /* of the network process */
	int status;              /* wait(2)'s */
	/* The runner's bounds on what it says. */
	struct deadline alive_at; /* before that, another REQUEST_ALIVE is ignored */
	bool is_rubbish_told;     /* in the log: it has sent what is no request */
	atomic_word log_tat[CONF_ACCOUNTS_MAX + 1][VERDICTS];
};

/* An empty one, for program_configure(); NULL with errno set. */
struct generation *generation_new(const struct launch *launch);
void generation_free(struct generation *generation);

/* Opens the state of all accounts. One whose state cannot be used is shut (accounts.h). Ends the
 * process if none can be used. */
void generation_open(struct generation *generation);

/* Starts the trial: a process that finds out whether the configuration is good and the state can be
 * opened, and says in the log what is wrong. It ends with EX_OK if nothing is. -1 with errno set.
 */
pid_t generation_try(const struct launch *launch);

/* The log for one account, or ACCOUNT_NONE, and one source, whose text goes into `text`. */
struct log generation_log(const struct generation *generation, unsigned account,
	const struct source *source, char text[static SOURCE_TEXT_MAX]);

/* Starts the network process. */
void generation_serve(struct generation *generation, const struct launch *launch);

#endif
