/* SPDX-License-Identifier: ISC */
/*
 * Counts verdicts in the shared state, exactly, and says which of them may have a line in the log.
 * Lines that a flood can cause are limited in the state, too, for all processes together.
 */
#ifndef NMNOTIFY_TALLY_H
#define NMNOTIFY_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/log.h"
#include "state/state.h"

struct tally {
	struct log *log;     /* the caller's */
	struct state *state; /* where to count and limit; NULL before it is known, or if it cannot
			      * be had: then errors alone are written */
	bool is_mute;        /* without state: not even those */
};

/* Counts the verdict, and writes its line if it may. `reason` may be NULL. */
void tally_verdict(struct tally *tally, enum verdict verdict, const char *reason);

/* `verdict=error reason=...`, with printf's format. */
__attribute__((format(printf, 2, 3))) void tally_error(
	struct tally *tally, const char *format, ...);

/*
 * The first half of tally_verdict(), for a process that decides but does not write the log. Counts
 * the verdict. True if its line may be written, by another process with log_verdict(); *suppressed
 * is how many such lines were left out since the last one.
 */
bool tally_admit(struct state *state, enum verdict verdict, uint32_t *suppressed);

/* May another line be written, of a kind that has its limit in this word (a TAT)? */
bool tally_take(atomic_word *tat);

#endif
