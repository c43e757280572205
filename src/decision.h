/* SPDX-License-Identifier: ISC */
/*
 * From what was read to a verdict: the account's limiter and turn put together. Used by whoever
 * has a connection, one or many.
 */
#ifndef NMNOTIFY_DECISION_H
#define NMNOTIFY_DECISION_H

#include <stdbool.h>

#include "conf.h"
#include "limiter.h"
#include "line.h"
#include "turn.h"
#include "verdict.h"

struct decision {
	const struct account *account;
	struct turn *turn;
	struct cells cells;    /* of the source */
	struct moment allowed; /* when its limit lets it start; set for a valid line */
	enum verdict verdict;
	bool is_waiter; /* this process must now call decision_wait() and run the action */
	bool is_charged; /* for a start at `allowed` */
};

/* The account's turn on a mapped state: `fd` is the turn file. */
struct turn decision_turn(const struct account *account, struct state *state);

/* Would even a valid line of this source change nothing? Then it need not be read. */
bool decision_is_covered(const struct decision *decision);

/*
 * Decides on what was read: sets verdict, and makes this process the waiter if one is needed, be
 * it for a debt of a dead process. False: errno says why the turn file failed; the verdict is
 * VERDICT_ERROR.
 */
bool decision_make(struct decision *decision, enum line_state line);

/* For the waiter: sleeps until the action may start. False with errno set. */
bool decision_wait(struct decision *decision);

#endif
