/* SPDX-License-Identifier: ISC */
/*
 * The runner of nmnotifyd: has the privileges and the log, and never sees a byte of the network.
 * It forks a process for each turn that a network process asks for, keeps debts paid when one is
 * killed, reads the configuration again, and speaks to the service manager. Of a network process it
 * believes no more than an honest one would have to say.
 *
 * In the runner: as who started it, with no filter but the unit's.
 */
#ifndef NMNOTIFY_RUNNER_H
#define NMNOTIFY_RUNNER_H

#include "daemon/generation.h"
#include "daemon/request.h"

/* An account has at most one waiter and one supervisor. More children live only until they find the
 * turn taken. The bound is each account's, since a hostile action can stop its account's children
 * as they come. */
#define TURN_PROCESSES_EACH 32
#define TURN_PROCESSES_MAX  (CONF_ACCOUNTS_MAX * TURN_PROCESSES_EACH)

/* A child that takes a turn: the waiter, or one that finds it taken. */
struct turn_process {
	pid_t pid;
	struct generation *generation;
	struct request request; /* that it was started for */
};

struct runner {
	/* What it is given. */
	const struct launch *launch;
	int signals; /* signalfd(2): SIGCHLD, SIGTERM, SIGINT, SIGHUP; the signals are blocked */
	struct generation *current; /* serves already; at the end, it has served last */

	/* Its own: all zeros before runner_run(). */
	struct generation *generation[GENERATIONS_MAX]; /* all that there are, or NULL */
	struct generation *next;                        /* one that is about to serve, or NULL */
	struct turn_process process[TURN_PROCESSES_MAX];
	unsigned processes_count;
	struct deadline status_at; /* when the status is told next */
	struct deadline debts_at;  /* when debts are looked for next */
	struct deadline stopped;   /* when we were asked to stop; 0: not yet */
	pid_t trial;               /* reads the configuration; 0: nobody does */
	bool is_full_told;         /* in the log: there is no room for a process */
	bool is_reload_wanted;     /* asked for, and not yet begun */
	bool is_reload_refused;    /* the last one has failed: for the status */
};

static inline bool runner_is_stopping(const struct runner *runner)
{
	return runner->stopped.ms != 0;
}

/* Where the runner counts, and says, what is wrong. */
static inline struct tally *runner_tally(struct runner *runner)
{
	return &runner->current->program.tally;
}

/*
 * Runs until the network process ends or a signal asks to stop. Returns the exit status: EX_OK when
 * it was idle or asked to stop, EX_OSERR when the network process died.
 */
int runner_run(struct runner *runner);

#endif
