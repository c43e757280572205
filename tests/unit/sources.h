/* SPDX-License-Identifier: ISC */
/* Sources, and the cells that they have, for the tests of the limiter (limiter*.c). */
#ifndef NMNOTIFY_SOURCES_H
#define NMNOTIFY_SOURCES_H

#include "unit.h"

#include "state/limiter.h"

/* More instructions than the limiter takes for anything. */
#define STEPS_MAX 20000

static inline struct source numbered(uint32_t number)
{
	struct source source = { .kind = SOURCE_IPV4 };

	memcpy(source.address, &number, sizeof(number));
	return source;
}

static inline int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static inline unsigned shared_cells(const struct cells *a, const struct cells *b)
{
	unsigned shared = 0;

	for (unsigned i = 0; i < a->count; i++)
		for (unsigned k = 0; k < b->count; k++)
			shared += a->cell[i] == b->cell[k];
	return shared;
}

#endif
