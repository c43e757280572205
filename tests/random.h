/* SPDX-License-Identifier: ISC */
/* Numbers by chance, the same for the same seed, for all tests in C. */
#ifndef NMNOTIFY_RANDOM_H
#define NMNOTIFY_RANDOM_H

#include <stdint.h>

/* xorshift64* (Marsaglia, "Xorshift RNGs", 2003). *seed is not 0. */
static inline uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed * 0x2545f4914f6cdd1du;
}

static inline uint32_t random_below(uint64_t *seed, uint32_t bound)
{
	return (uint32_t)((random_next(seed) >> 32) * bound >> 32);
}

#endif
