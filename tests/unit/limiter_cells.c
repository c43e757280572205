/* SPDX-License-Identifier: ISC */
#include "sources.h"

/* ---- Where the cells are ---- */

static void G3_cells_of_a_source_are_three_of_one_cache_line(void **state)
{
	static struct state all;
	uint64_t seed = 8;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		struct source source = numbered(i);
		struct cells cells;
		uintptr_t base;

		for (unsigned k = 0; k < 4; k++)
			atomic_store(&all.key[k], (uint32_t)random_next(&seed));
		cells = limiter_locate(&all, &source);
		base = (uintptr_t)cells.cell[0] / STATE_LINE_BYTES;
		assert_int_equal(cells.count, LIMITER_CELLS);
		assert_true(cells.cell[0] >= &all.line[0].cell[0]);
		for (unsigned k = 0; k < LIMITER_CELLS; k++) {
			assert_true((const void *)cells.cell[k] < (const void *)(&all + 1));
			assert_int_equal((uintptr_t)cells.cell[k] / STATE_LINE_BYTES, base);
			for (unsigned n = 0; n < k; n++)
				assert_ptr_not_equal(cells.cell[k], cells.cell[n]);
		}
	}
}

/* Chi-squared of `bins` counts: about bins, give or take a few times sqrt(2 bins). */
static void is_even(const unsigned *counts, unsigned bins, double each)
{
	double sum = 0, deviation;

	for (unsigned i = 0; i < bins; i++)
		sum += (counts[i] - each) * (counts[i] - each) / each;
	deviation = sum - bins;
	assert_true(deviation * deviation < 36.0 * 2 * bins);
}

static void G3_sources_are_spread_evenly(void **state)
{
	static struct state all;
	static unsigned lines[STATE_LINES], cells_of_line[STATE_LINE_CELLS];
	const unsigned sources = 100000;

	(void)state;
	for (unsigned k = 0; k < 4; k++)
		atomic_store(&all.key[k], 0x12345671 * (k + 1));
	for (unsigned i = 0; i < sources; i++) {
		struct source source = numbered(i); /* neighbours: what an attacker has */
		struct cells cells = limiter_locate(&all, &source);
		size_t first = (size_t)(cells.cell[0] - &all.line[0].cell[0]);

		lines[first / STATE_LINE_CELLS]++;
		for (unsigned k = 0; k < cells.count; k++)
			cells_of_line[(size_t)(cells.cell[k] - &all.line[0].cell[0]) %
				      STATE_LINE_CELLS]++;
	}
	is_even(lines, STATE_LINES, (double)sources / STATE_LINES);
	is_even(cells_of_line, STATE_LINE_CELLS,
		(double)LIMITER_CELLS * sources / STATE_LINE_CELLS);
}

/* Without the key nobody can tell who shares cells with whom: each of its words matters. */
static void G3_cells_depend_on_every_word_of_the_key(void **state)
{
	static struct state all;

	(void)state;
	for (unsigned k = 0; k < 4; k++) {
		unsigned moved = 0;

		for (unsigned i = 0; i < 1000; i++) {
			struct source source = numbered(i);
			struct cells before = limiter_locate(&all, &source), after;

			atomic_fetch_xor(&all.key[k], 1u << i % 32);
			after = limiter_locate(&all, &source);
			moved += shared_cells(&before, &after) == 0;
		}
		assert_true(moved > 990);
	}
}

static void G3_cells_are_of_the_identity(void **state)
{
	static struct state all;
	struct source a, b, c;
	struct cells x, y;

	(void)state;
	assert_true(source_parse("2001:db8:0:25::1", &a));
	assert_true(source_parse("2001:db8:0:25:ffff::2", &b));
	assert_true(source_parse("2001:db8:0:26::1", &c));
	x = limiter_locate(&all, &a);
	y = limiter_locate(&all, &b);
	assert_memory_equal(x.cell, y.cell, sizeof(x.cell));
	y = limiter_locate(&all, &c);
	assert_int_equal(shared_cells(&x, &y), 0);
}

/* ---- The key ---- */

#define KEYERS 8

struct keyring {
	struct state state;
	_Atomic unsigned here, numbers;
	uint32_t seen[KEYERS][4];
	const atomic_word *cell[KEYERS];
};

static int set_key(void *context)
{
	struct keyring *ring = context;
	struct source source = numbered(1);
	unsigned number = atomic_fetch_add(&ring->numbers, 1);

	unit_meet(&ring->here, KEYERS);
	if (!limiter_key(&ring->state))
		return 1;
	ring->cell[number] = limiter_locate(&ring->state, &source).cell[0];
	for (unsigned i = 0; i < 4; i++)
		ring->seen[number][i] = atomic_load(&ring->state.key[i]);
	return 0;
}

static void G3_key_is_the_same_for_all_from_the_first_moment(void **state)
{
	struct keyring *ring = unit_shared(sizeof(*ring));
	uint32_t before[4] = { 0 };

	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		memset(ring, 0, sizeof(*ring));
		unit_crowd(KEYERS, set_key, ring);
		for (unsigned i = 0; i < KEYERS; i++) {
			assert_memory_equal(ring->seen[i], ring->seen[0], sizeof(before));
			assert_ptr_equal(ring->cell[i], ring->cell[0]);
		}
		for (unsigned i = 0; i < 4; i++)
			assert_int_not_equal(ring->seen[0][i], 0);
		assert_memory_not_equal(ring->seen[0], before, sizeof(before));
		memcpy(before, ring->seen[0], sizeof(before));
	}
	unit_unshare(ring, sizeof(*ring));
}

static int set_key_alone(void *context)
{
	struct keyring *ring = context;

	if (!limiter_key(&ring->state))
		return 1;
	atomic_store(&ring->numbers, 1);
	return 0;
}

/* Held up at any instruction of setting it: the other's key is already what it stays. */
static void G3_key_held_up_at_any_instruction_is_the_same_for_all(void **state)
{
	struct source source = numbered(1);
	bool goes_on = true;

	(void)state;
	if (!unit_can_step())
		skip();
	for (unsigned steps = 0; goes_on; steps++) {
		struct keyring *ring = unit_shared(sizeof(*ring));
		const atomic_word *cell;
		pid_t child = unit_step_begin(set_key_alone, ring);

		if (child < 0)
			skip();
		goes_on = unit_steps(child, steps) && atomic_load(&ring->numbers) == 0;
		assert_true(limiter_key(&ring->state));
		cell = limiter_locate(&ring->state, &source).cell[0];
		unit_step_end(child);
		(void)unit_reap(child);
		assert_ptr_equal(limiter_locate(&ring->state, &source).cell[0], cell);
		unit_unshare(ring, sizeof(*ring));
		assert_in_range(steps, 0, STEPS_MAX);
	}
}

/* Whoever set it was killed half-way: what he had set stays, and the rest is set. */
static void G5_key_half_set_is_completed(void **state)
{
	(void)state;
	for (unsigned set = 0; set <= 4; set++) {
		struct state *all = unit_shared(sizeof(*all));

		for (unsigned i = 0; i < set; i++)
			atomic_store(&all->key[i], 100 + i);
		for (unsigned again = 0; again < 2; again++) {
			assert_true(limiter_key(all));
			for (unsigned i = 0; i < 4; i++) {
				assert_int_not_equal(atomic_load(&all->key[i]), 0);
				if (i < set)
					assert_int_equal(atomic_load(&all->key[i]), 100 + i);
			}
		}
		unit_unshare(all, sizeof(*all));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(G3_cells_of_a_source_are_three_of_one_cache_line),
		cmocka_unit_test(G3_sources_are_spread_evenly),
		cmocka_unit_test(G3_cells_depend_on_every_word_of_the_key),
		cmocka_unit_test(G3_cells_are_of_the_identity),
		cmocka_unit_test(G3_key_is_the_same_for_all_from_the_first_moment),
		cmocka_unit_test(G3_key_held_up_at_any_instruction_is_the_same_for_all),
		cmocka_unit_test(G5_key_half_set_is_completed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
