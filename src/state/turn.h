/* SPDX-License-Identifier: ISC */
/*
 * The turn: who starts the action, and when (G1, G2, G4, G5).
 *
 * Two locks say who is alive: open-file-description locks (fcntl(2)) on the turn file, which the
 * kernel drops when the last descriptor of their holder is gone, however it died. `waiting` is
 * held by the one process that sleeps until the action may start, `running` by the one whose
 * action runs. Nobody queues for `waiting`: whoever does not get it is covered by the start that
 * its holder will make. The words beside them are in the state file: `due`, when a start is owed;
 * `last_start`, which is in the turn file, too; `owed`, a start that was begun; `action`, the
 * process of the run; and how the last run ended. `asked` and `asked_for` are nmnotifyd's: a line
 * that it has taken, for which it has yet to start a process; its network process holds a third
 * lock, `asking`. A run that has failed may be owed again, in `due`; whoever sleeps for that holds
 * the fourth lock, `retrying`.
 */
#ifndef NMNOTIFY_TURN_H
#define NMNOTIFY_TURN_H

#include <stdbool.h>

#include "lib/clock.h"
#include "state/state.h"

struct turn {
	struct state *state;
	int fd;               /* the turn file; close-on-exec */
	struct span interval; /* least time between two starts */
	struct span reach;    /* how far ahead a line can be allowed: the rate's window */
	struct span retry;    /* a run that fails is owed again so much later; 0: it is not */
	struct moment latest; /* for the waiter: its start is due then, whatever becomes of `due` */
	uint32_t last;        /* for the waiter: the last start; 0: none within the interval */
	bool new_debt;        /* for the waiter: nobody owed a start before, or a later one */
	bool running;         /* holds `running` */
	bool has_noted;       /* turn_note() was called */
	uint32_t noted;       /* how many starts there had been then */
};

enum turn_place {
	TURN_WAITER,  /* this process holds `waiting` and will start the action */
	TURN_COVERED, /* a live waiter will start it, and in time */
	TURN_FAILED,  /* errno says why */
};

/* Opens the turn file, and makes room for its word. False with *error set: then nothing may run. */
bool turn_open(struct turn *turn, int directory, struct state_error *error);

/*
 * Would a line that is allowed at `allowed` change nothing, because a live waiter will start the
 * action by then? Cheap; `false` is always safe.
 */
bool turn_is_covered(const struct turn *turn, struct moment allowed);

/* Does a dead process owe a start that nobody alive is about to make? Or a run that has failed, and
 * nobody sleeps for its next try? */
bool turn_has_debt(const struct turn *turn);

/* Of a debt: how long until it is due. */
struct span turn_debt_rest(const struct turn *turn);

/*
 * A line was read: a start from here on covers it. To be called before its source is charged: else
 * a start in between would go unnoticed, and the line would cause another one on the charge that
 * was for the first.
 */
void turn_note(struct turn *turn);

/*
 * For a valid line that is allowed at *allowed: becomes the waiter, or sees to it that there is one
 * which starts in time. NULL: there is no line; becomes the waiter only to pay what a dead process
 * owes.
 */
enum turn_place turn_join(struct turn *turn, const struct moment *allowed);

/* Takes the lock `asking`, which holds as long as this descriptor of the turn file is open in any
 * process. Several processes can have it. If none has, what one asked for that has died becomes a
 * debt first. False with errno set. */
bool turn_lock_asking(const struct turn *turn);

/* A line was taken that is allowed at `allowed`; the request for it has this number. Should the
 * process that asked die before it is answered, the line is a debt. */
void turn_ask(const struct turn *turn, uint32_t number, struct moment allowed);

/* Whoever the request was for has found its place in the turn. */
void turn_answer(const struct turn *turn, uint32_t number);

/*
 * Leaves a debt for a line whose waiter cannot be started: the next connection pays it. If a
 * waiter is alive after all, it pays; at worst there is a start too many, never one too few.
 */
void turn_owe(const struct turn *turn, struct moment allowed);

/* A process that may have asked has died while another holds `asking`: what is not answered is
 * owed. */
void turn_owe_asked(const struct turn *turn);

/*
 * For the waiter: takes `running` if it is free. True if the action may start now; else
 * turn_wait() must be called.
 */
bool turn_ready(struct turn *turn);

/* For the waiter: takes `running`, and sleeps until the start is due. False with errno set. */
bool turn_wait(struct turn *turn);

/*
 * For the waiter, just before it forks: the start is now. Releases `waiting`; the debt is in
 * `owed` from here on.
 */
void turn_start(struct turn *turn);

/* The action was executed: the debt is paid, unless a run that fails is owed again. Returns the
 * moment that the interval counts from. */
struct moment turn_executed(struct turn *turn);

/* In the child, before it executes the action: `self` is the process of the run. */
void turn_action_is(struct turn *turn, pid_t self);

/*
 * The run has ended, or could not begin: notes how, while `running` is still held. `status` is
 * wait(2)'s. If it is to be tried again, that is in `due` from here on; turn_await_retry() must
 * follow turn_ended(), or somebody must look for debts then. Returns how many runs in a row have
 * failed now.
 */
uint32_t turn_note_end(struct turn *turn, int status, bool has_failed);

/* When a run is tried again after so many failures in a row: doubling, up to an hour. */
struct span turn_retry_span(const struct turn *turn, uint32_t failures);

/* state_forget(), and the word in the turn file. False with errno set. */
bool turn_forget(const struct turn *turn);

/* The run has ended; releases `running`. */
void turn_ended(struct turn *turn);

/*
 * Sleeps until a run of ours that has failed is owed again. TURN_WAITER: this process will start
 * the action. TURN_COVERED: a line or a debt was first, or is about to be. Signals must be able to
 * end us: the debt stays.
 */
enum turn_place turn_await_retry(struct turn *turn);

/* What the state says of the last run. Its words are written one by one, and may be damaged: for
 * people, nothing is concluded from it. */
struct last_run {
	bool is_known;           /* else there has been none */
	int status;              /* wait(2)'s */
	uint32_t failures;       /* in a row, the last run's included */
	uint32_t starts, failed; /* since the state was fresh */
};

struct last_run turn_last_run(const struct state *state);

/* Which locks are held, by anybody. */
struct turn_locks {
	bool waiting, running, asking, retrying;
};

/* For who only looks, and has opened the turn file for reading: its locks, and the last start as it
 * is written there, 0: none. */
struct turn_locks turn_look(const struct turn *turn);
uint32_t turn_last_written(const struct turn *turn);

#endif
