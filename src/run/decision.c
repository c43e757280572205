/* SPDX-License-Identifier: ISC */
#include "run/decision.h"

struct turn decision_turn(const struct account *account, struct state *state)
{
	return (struct turn){
		.state = state,
		.fd = -1,
		.interval = account->interval,
		.reach = rate_window(account->limit),
		.retry = account->retry,
	};
}

bool decision_is_covered(const struct decision *decision)
{
	return turn_is_covered(
		decision->turn, limiter_peek(&decision->cells, decision->account->limit));
}

void decision_line(struct decision *decision, enum line_state line)
{
	/* tests/model/turn.pml: note; limit.pml: limiter_take(). */
	decision->has_line = line == LINE_VALID;
	switch (line) {
	case LINE_VALID: decision->verdict = VERDICT_COALESCED; break;
	case LINE_TIMEOUT: decision->verdict = VERDICT_TIMEOUT; return;
	case LINE_FAILED: decision->verdict = VERDICT_ERROR; return;
	default: decision->verdict = VERDICT_MALFORMED; return;
	}
	turn_note(decision->turn);
	decision->is_charged =
		limiter_take(&decision->cells, decision->account->limit, &decision->allowed);
}

void decision_resume(struct decision *decision, bool has_line, struct moment allowed,
	bool is_charged, uint32_t noted)
{
	decision->has_line = has_line;
	decision->allowed = allowed;
	decision->is_charged = is_charged;
	decision->turn->has_noted = has_line;
	decision->turn->noted = noted;
}

bool decision_needs_turn(const struct decision *decision)
{
	return decision->has_line ? !turn_is_covered(decision->turn, decision->allowed)
				  : turn_has_debt(decision->turn);
}

/* What a line's waiter is. Without a line it only pays a debt, and the verdict stands (G5). */
static void settle(struct decision *decision)
{
	/* tests/model/limit.pml: settle(). */
	/* A dead process that owed the start has been charged for it. */
	if (!decision->is_charged && decision->turn->new_debt) {
		decision->uncharged =
			limiter_charge_ahead(&decision->cells, decision->account->limit);
		decision->is_charged = true;
	}
	decision->verdict = turn_ready(decision->turn) ? VERDICT_ACCEPTED : VERDICT_DEFERRED;
}

bool decision_join(struct decision *decision)
{
	switch (turn_join(decision->turn, decision->has_line ? &decision->allowed : NULL)) {
	case TURN_COVERED: return true;
	case TURN_WAITER: break;
	default: decision->verdict = VERDICT_ERROR; return false;
	}
	decision->is_waiter = true;
	if (decision->has_line)
		settle(decision);
	return true;
}

bool decision_make(struct decision *decision, enum line_state line)
{
	/* tests/model/turn.pml: read_line to join. */
	decision_line(decision, line);
	if (!decision->has_line && !decision_needs_turn(decision))
		return true;
	return decision_join(decision);
}

/* The start is at `at`, not at the moment that was charged. */
static void charge_late(struct decision *decision, struct moment at)
{
	/* tests/model/limit.pml: delay. */
	struct span late = moment_until(decision->allowed, at);

	if (!decision->is_charged)
		return;
	late.ms += decision->uncharged.ms;
	decision->uncharged.ms = 0;
	limiter_delay(&decision->cells, decision->account->limit, late);
	decision->allowed = moment_latest(decision->allowed, at);
}

bool decision_wait(struct decision *decision)
{
	if (!turn_wait(decision->turn))
		return false;
	/* Before the next waiter can come, whose source may be the same. */
	charge_late(decision, moment_now());
	return true;
}

bool decision_retry(struct decision *decision)
{
	/* No source's charge: what bounds it is `retry`. */
	decision->has_line = decision->is_charged = false;
	decision->uncharged.ms = 0;
	switch (turn_await_retry(decision->turn)) {
	case TURN_COVERED: decision->is_waiter = false; return true;
	case TURN_WAITER: decision->is_waiter = true; return true;
	default: decision->is_waiter = false; return false;
	}
}

void decision_executed(struct decision *decision)
{
	charge_late(decision, turn_executed(decision->turn));
}
