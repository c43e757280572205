/* SPDX-License-Identifier: ISC */
/*
 * The rate limit of one source (G3): the Generic Cell Rate Algorithm (ITU-T I.371, Annex A) on
 * cells that all processes share without a lock. A source is not stored; its keyed hash names
 * LIMITER_CELLS cells of one cache line, and its theoretical arrival time (TAT) is the least of
 * them. Sources that share cells can only make each other look busier than they are.
 */
#ifndef NMNOTIFY_LIMITER_H
#define NMNOTIFY_LIMITER_H

#include <stdbool.h>

#include "lib/clock.h"
#include "lib/source.h"
#include "state/state.h"

#define LIMITER_CELLS 3

/* Where a TAT is kept: a source's in LIMITER_CELLS cells, any other in one. */
struct cells {
	unsigned count;
	atomic_word *cell[LIMITER_CELLS];
};

/* Sets the hash key if the state has none yet, from getrandom(2). False if that failed. */
bool limiter_key(struct state *state);

/* The cells of a source. The key must be set. */
struct cells limiter_locate(struct state *state, const struct source *source);

/* When would the source conform? Now, or later. Charges nothing. */
struct moment limiter_peek(const struct cells *cells, struct rate rate);

/*
 * If the source conforms, charges it and returns true, with *at now. Else charges nothing and
 * returns false, with *at the moment when it would conform.
 */
bool limiter_take(const struct cells *cells, struct rate rate, struct moment *at);

/* Charges the source for a start that it will cause when it conforms. Returns how much of the
 * charge did not fit into the window: limiter_delay() has to make up for that. */
struct span limiter_charge_ahead(const struct cells *cells, struct rate rate);

/*
 * A start came so much later than the moment that was charged: moves the TAT by as much, since the
 * limit is on starts. Else charges could gather during a long run, and their starts all come after
 * it.
 */
void limiter_delay(const struct cells *cells, struct rate rate, struct span late);

#endif
