/* SPDX-License-Identifier: ISC */
/*
 * Counts verdicts in the shared state, exactly, and says which of them may have a line in the log:
 * lines that a flood can cause are limited there, for all processes together.
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
 * The first half of tally_verdict(), for a process that decides but must not write a log. Counts
 * the verdict; true if a line of it may be written, *suppressed being how many were not since
 * the last. Then the other process writes it, with log_verdict().
 */
bool tally_admit(struct state *state, enum verdict verdict, uint32_t *suppressed);

/* May another line be written of those that are limited together? Their TAT is in a word. */
bool tally_take(atomic_word *tat);

#endif
