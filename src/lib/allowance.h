/* SPDX-License-Identifier: ISC */
/*
 * Lines of one kind for the log of a program that runs on: some in each second, and the next one
 * says how many were left out.
 */
#ifndef NMNOTIFY_ALLOWANCE_H
#define NMNOTIFY_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/clock.h"

#define LINES_A_SECOND 20

/* All zeros at first. */
struct allowance {
	uint64_t second;
	uint32_t used, left_out;
};

/* May a line of this kind be written? `*suppressed`: how many were not since the last one. */
static inline bool allowance_take(
	struct allowance *allowance, struct instant now, uint32_t *suppressed)
{
	uint64_t second = now.ms / 1000;

	if (second != allowance->second) {
		allowance->second = second;
		allowance->used = 0;
	}
	if (allowance->used == LINES_A_SECOND) {
		allowance->left_out++;
		return false;
	}
	allowance->used++;
	*suppressed = allowance->left_out;
	allowance->left_out = 0;
	return true;
}

#endif
