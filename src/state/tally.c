/* SPDX-License-Identifier: ISC */
#include "state/tally.h"

#include <stdarg.h>

#include "lib/text.h"
#include "state/limiter.h"

#define REASON_MAX 768

/* Ten lines of a kind at once, then one in ten seconds. */
static const struct rate line_rate = { .emission = { .ms = 10000 }, .burst = 10 };

/* Can whoever reaches the port cause any number of them? The others are bounded by `interval`. */
static bool may_flood(enum verdict verdict)
{
	return verdict != VERDICT_ACCEPTED && verdict != VERDICT_DEFERRED;
}

bool tally_take(atomic_word *tat)
{
	struct cells cell = { .count = 1, .cell = { tat } };
	struct moment at;

	return limiter_take(&cell, line_rate, &at);
}

/* Counters are relaxed: nothing is concluded from one about another. */
bool tally_admit(struct state *state, enum verdict verdict, uint32_t *suppressed)
{
	*suppressed = 0;
	atomic_fetch_add_explicit(&state->verdicts[verdict], 1, memory_order_relaxed);
	if (!may_flood(verdict))
		return true;
	if (!tally_take(&state->log_tat[verdict])) {
		atomic_fetch_add_explicit(&state->suppressed[verdict], 1, memory_order_relaxed);
		return false;
	}
	*suppressed =
		atomic_exchange_explicit(&state->suppressed[verdict], 0, memory_order_relaxed);
	return true;
}

void tally_verdict(struct tally *tally, enum verdict verdict, const char *reason)
{
	uint32_t suppressed = 0;

	/* Where nothing can be counted, a flood of strangers must not be a flood of lines. */
	if (tally->state == NULL && (verdict != VERDICT_ERROR || tally->is_mute))
		return;
	if (tally->state == NULL || tally_admit(tally->state, verdict, &suppressed))
		log_verdict(tally->log, verdict, reason, suppressed);
}

void tally_error(struct tally *tally, const char *format, ...)
{
	char reason[REASON_MAX];
	struct text text = TEXT_IN(reason);
	va_list arguments;

	va_start(arguments, format);
	text_add_list(&text, format, arguments);
	va_end(arguments);
	tally_verdict(tally, VERDICT_ERROR, reason);
}
