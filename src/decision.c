/* SPDX-License-Identifier: ISC */
#include "decision.h"

struct turn decision_turn(const struct account *account, struct state *state)
{
	return (struct turn){
		.state = state,
		.fd = -1,
		.interval = account->interval,
		.reach = rate_window(account->limit),
	};
}

bool decision_is_covered(const struct decision *decision)
{
	return turn_is_covered(
		decision->turn, limiter_peek(&decision->cells, decision->account->limit));
}

static bool join(struct decision *decision, const struct moment *allowed)
{
	switch (turn_join(decision->turn, allowed)) {
	case TURN_WAITER: decision->is_waiter = true; return true;
	case TURN_COVERED: return true;
	default: decision->verdict = VERDICT_ERROR; return false;
	}
}

/* Not a line: the verdict is known. But it may find a debt of a dead process, and pay it (G5). */
static bool make_without_line(struct decision *decision, enum verdict verdict)
{
	decision->verdict = verdict;
	return !turn_has_orphan(decision->turn) || join(decision, NULL);
}

bool decision_make(struct decision *decision, enum line_state line)
{
	struct rate rate = decision->account->limit;

	if (line != LINE_VALID)
		return make_without_line(decision,
			line == LINE_TIMEOUT ? VERDICT_TIMEOUT
			: line == LINE_FAILED ? VERDICT_ERROR
					      : VERDICT_MALFORMED);
	decision->allowed = limiter_take(&decision->cells, rate);
	decision->is_charged = !moment_later(decision->allowed, moment_now());
	decision->verdict = VERDICT_COALESCED;
	if (!join(decision, &decision->allowed))
		return false;
	if (!decision->is_waiter)
		return true;
	/* A dead process that owed the start has been charged for it. */
	if (!decision->is_charged && decision->turn->new_debt) {
		limiter_charge_ahead(&decision->cells, rate);
		decision->is_charged = true;
	}
	decision->verdict = turn_ready(decision->turn) ? VERDICT_ACCEPTED : VERDICT_DEFERRED;
	return true;
}

bool decision_wait(struct decision *decision)
{
	struct rate rate = decision->account->limit;

	if (!turn_wait(decision->turn))
		return false;
	if (decision->is_charged)
		limiter_delay(
			&decision->cells, rate, moment_until(decision->allowed, moment_now()));
	return true;
}
