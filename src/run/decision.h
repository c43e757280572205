/* SPDX-License-Identifier: ISC */
/*
 * From what was read to a verdict: the account's limiter and turn put together.
 *
 * In the handler, and in a turn process of nmnotifyd: as the account's user, under the policy that
 * the account names. In nmnotifyd's network process: as nmnotify or nobody if the runner is root,
 * else as the runner; under network.policy.
 */
#ifndef NMNOTIFY_DECISION_H
#define NMNOTIFY_DECISION_H

#include <stdbool.h>

#include "conf/conf.h"
#include "state/limiter.h"
#include "lib/line.h"
#include "state/turn.h"
#include "lib/verdict.h"

struct decision {
	const struct account *account;
	struct turn *turn;
	struct cells cells; /* of the source */
	enum verdict verdict;
	bool has_line;         /* a valid one was read */
	struct moment allowed; /* with a line: when the source's limit lets it start */
	bool is_charged;       /* the source, for a start at `allowed` */
	struct span uncharged; /* what of that charge did not fit into the window */
	bool is_waiter;        /* this process must now call decision_wait() and run the action */
};

/* The account's turn on a mapped state: `fd` is the turn file. */
struct turn decision_turn(const struct account *account, struct state *state);

/* Would even a valid line of this source change nothing? Then it need not be read. */
bool decision_is_covered(const struct decision *decision);

/* Decides on what was read: sets the verdict, for a valid line provisionally VERDICT_COALESCED,
 * and charges its source. */
void decision_line(struct decision *decision, enum line_state line);

/*
 * Goes on with what another process has decided by decision_line(): whether there is a line, when
 * it is allowed, whether its source is charged, and how many starts there had been when it was
 * read.
 */
void decision_resume(struct decision *decision, bool has_line, struct moment allowed,
	bool is_charged, uint32_t noted);

/*
 * Must a process take its turn: for the line, unless a live waiter covers it; or, without a line,
 * for a debt that a dead process has left?
 */
bool decision_needs_turn(const struct decision *decision);

/*
 * turn_join(), and the final verdict. False: the turn file failed, errno says why, and the verdict
 * is VERDICT_ERROR.
 */
bool decision_join(struct decision *decision);

/* decision_line(), and if need be decision_join(). */
bool decision_make(struct decision *decision, enum line_state line);

/* For the waiter: sleeps until the action may start. False with errno set. */
bool decision_wait(struct decision *decision);

/*
 * For the waiter whose run has failed and is owed again: turn_await_retry(). `is_waiter` tells
 * whether this process goes on. False with errno set.
 */
bool decision_retry(struct decision *decision);

/* The action was executed: the debt is paid, and the source's limit counts from now. */
void decision_executed(struct decision *decision);

#endif
