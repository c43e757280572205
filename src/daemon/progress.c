/* SPDX-License-Identifier: ISC */
/*
 * The words are sequentially consistent, like the turn's, whose locks and words they are read and
 * written between. A child raises `looking` before it tries the lock: so while we read a lower
 * number, it has not looked, and will cover a line that is noted now.
 *
 * In all processes of nmnotifyd: the network process, under network.policy; the runner, without a
 * filter; its children, under their account's policy.
 */
#include "daemon/progress.h"

/* Numbers go round; two that are compared are never far apart. */
static bool is_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static bool has_reached(const atomic_word *word, uint32_t number)
{
	return !is_before(atomic_load(word), number);
}

static void number_raise(atomic_word *word, uint32_t number)
{
	uint32_t was = atomic_load(word);

	while (is_before(was, number) && !atomic_compare_exchange_weak(word, &was, number))
		;
}

bool progress_is_looking(const struct progress *progress, unsigned account, uint32_t number)
{
	return has_reached(&progress->looking[account], number);
}

bool progress_is_settled(const struct progress *progress, unsigned account, uint32_t number)
{
	return has_reached(&progress->settled[account], number);
}

void progress_look(struct progress *progress, unsigned account, uint32_t number)
{
	number_raise(&progress->looking[account], number);
}

void progress_settle(struct progress *progress, unsigned account, uint32_t number)
{
	number_raise(&progress->settled[account], number);
}
