/* SPDX-License-Identifier: ISC */
#include "sources.h"

/* ---- Many processes ---- */

#define GRANTS_MAX 40000
#define SOURCES    6

struct grants {
	_Atomic unsigned count;
	uint32_t at[GRANTS_MAX];
};

struct arena {
	struct state state;
	struct rate rate;
	struct source source[SOURCES];
	unsigned sources_count, processes, ms;
	_Atomic unsigned here, numbers;
	struct grants grants[SOURCES];
};

/* Takes whatever it can get, as fast as it can. */
static int take_all(void *context)
{
	struct arena *arena = context;
	uint64_t seed = 1 + atomic_fetch_add(&arena->numbers, 1), end;
	struct cells cells[SOURCES];

	for (unsigned i = 0; i < arena->sources_count; i++)
		cells[i] = limiter_locate(&arena->state, &arena->source[i]);
	unit_meet(&arena->here, arena->processes);
	end = unit_ms() + arena->ms;
	while (unit_ms() < end) {
		unsigned i = random_below(&seed, arena->sources_count);
		struct grants *grants = &arena->grants[i];
		struct moment at;

		if (limiter_take(&cells[i], arena->rate, &at)) {
			unsigned n = atomic_fetch_add(&grants->count, 1);

			if (n >= GRANTS_MAX)
				return 1;
			grants->at[n] = at.ms;
		}
	}
	return 0;
}

static int earlier(const void *a, const void *b)
{
	struct moment x = { .ms = *(const uint32_t *)a }, y = { .ms = *(const uint32_t *)b };

	return moment_later(x, y) - moment_later(y, x);
}

/* In any time t, however chosen, there are at most burst + t/T of them: for each i <= j,
 * at[j] - at[i] >= (j - i + 1 - burst) * T. */
static bool conform(struct grants *grants, struct rate rate)
{
	int64_t T = rate.emission.ms, latest = INT64_MIN;
	unsigned count = atomic_load(&grants->count);

	qsort(grants->at, count, sizeof(grants->at[0]), earlier);
	for (unsigned j = 0; j < count; j++) {
		int64_t at = (int64_t)(grants->at[j] - grants->at[0]) - (int64_t)j * T;

		if (j > 0 && at < latest - ((int64_t)rate.burst - 1) * T)
			return false;
		latest = larger(latest, at);
	}
	return true;
}

static struct arena *arena_make(struct rate rate, unsigned processes, unsigned ms)
{
	struct arena *arena = unit_shared(sizeof(*arena));

	arena->rate = rate;
	arena->processes = processes;
	arena->ms = ms;
	arena->sources_count = 1;
	arena->source[0] = numbered(1);
	return arena;
}

static void G3_concurrent_charges_are_never_lost(void **state)
{
	static const struct rate rates[] = {
		{ .emission.ms = 1, .burst = 1 },
		{ .emission.ms = 1, .burst = 50 },
		{ .emission.ms = 5, .burst = 10 },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(rates); i++) {
		struct arena *arena = arena_make(rates[i], 8, 300);
		uint64_t begun = unit_ms(), most;
		unsigned count;

		unit_crowd(8, take_all, arena);
		most = rates[i].burst + (unit_ms() - begun + 1) / rates[i].emission.ms;
		count = atomic_load(&arena->grants[0].count);
		assert_in_range(count, 1, most);
		assert_true(conform(&arena->grants[0], rates[i]));
		/* And no grant is lost: as long as the burst can bridge that nobody is running,
		 * all that may be had is had. */
		if (rates[i].burst > 1)
			assert_true(count >= 300 / rates[i].emission.ms * 7 / 10);
		unit_unshare(arena, sizeof(*arena));
	}
}

/* Real sources, each of which shares `least` cells or more with one found before it. */
static void sources_find(struct arena *arena, unsigned least)
{
	struct cells cells[SOURCES];

	cells[0] = limiter_locate(&arena->state, &arena->source[0]);
	arena->sources_count = 1;
	for (uint32_t number = 2; arena->sources_count < SOURCES; number++) {
		unsigned n = arena->sources_count;

		arena->source[n] = numbered(number);
		cells[n] = limiter_locate(&arena->state, &arena->source[n]);
		if (shared_cells(&cells[n], &cells[n - 1]) >= least)
			arena->sources_count++;
		assert_in_range(number, 2, 50000000);
	}
}

/* Sharing may delay a source; never does it grant it more. */
static void G3_sources_that_share_cells_get_no_more_than_their_own(void **state)
{
	const struct rate rate = { .emission.ms = 2, .burst = 5 };

	(void)state;
	for (unsigned least = 1; least < LIMITER_CELLS; least++) {
		struct arena *arena = arena_make(rate, 8, 150);
		unsigned sum = 0;

		sources_find(arena, least);
		unit_crowd(8, take_all, arena);
		for (unsigned i = 0; i < SOURCES; i++) {
			assert_true(conform(&arena->grants[i], rate));
			sum += atomic_load(&arena->grants[i].count);
		}
		assert_true(sum >= 150 / rate.emission.ms / 2); /* one source's worth, at least */
		unit_unshare(arena, sizeof(*arena));
	}
}

static int take_all_and_check(void *context)
{
	struct arena *arena = context;
	uint32_t begun = moment_now().ms;
	pid_t child[4];
	int worst = 0;

	for (unsigned i = 0; i < COUNT(child); i++)
		child[i] = unit_fork(take_all, arena);
	for (unsigned i = 0; i < COUNT(child); i++)
		worst |= unit_reap(child[i]);
	if (worst != 0)
		return 1;
	if (moment_now().ms > begun)
		return 2; /* it did not wrap */
	if (!conform(&arena->grants[0], arena->rate))
		return 3;
	return atomic_load(&arena->grants[0].count) >= 30 ? 0 : 4;
}

static void G3_limit_holds_while_the_clock_wraps_around(void **state)
{
	const struct rate rate = { .emission.ms = 5, .burst = 8 };
	struct arena *arena = arena_make(rate, 4, 1300);

	(void)state;
	unit_expect(unit_before_wrap_run(1000, take_all_and_check, arena));
	unit_unshare(arena, sizeof(*arena));
}

/* Charges in advance and delays at the same time: whoever looks sees no cell beyond the window,
 * where it would read as empty. */
static int advance_all(void *context)
{
	struct arena *arena = context;
	struct cells cells = limiter_locate(&arena->state, &arena->source[0]);
	uint64_t seed = 1 + atomic_fetch_add(&arena->numbers, 1), end;
	uint32_t window = (arena->rate.burst + 1) * arena->rate.emission.ms;

	unit_meet(&arena->here, arena->processes);
	end = unit_ms() + arena->ms;
	while (unit_ms() < end) {
		struct moment at;

		switch (random_below(&seed, 4)) {
		case 0: limiter_charge_ahead(&cells, arena->rate); break;
		case 1: limiter_delay(&cells, arena->rate, arena->rate.emission); break;
		default: (void)limiter_take(&cells, arena->rate, &at); break;
		}
		for (unsigned i = 0; i < cells.count; i++) {
			struct moment cell = moment_of_word(atomic_load(cells.cell[i]));

			if (moment_until(moment_now(), cell).ms > window)
				return 1;
		}
	}
	return 0;
}

static void G3_no_cell_is_ever_beyond_the_window(void **state)
{
	const struct rate rate = { .emission.ms = 3, .burst = 3 };
	struct arena *arena = arena_make(rate, 8, 300);

	(void)state;
	unit_crowd(8, advance_all, arena);
	unit_unshare(arena, sizeof(*arena));
}

/* ---- One process held up at any instruction, while another does all of its own ---- */

/* Each run starts afresh, so that strides save much and miss nothing: what lies between two looks
 * at shared memory is longer. */
struct duel {
	struct state state;
	struct rate rate;
	struct cells cells[2];
	bool taken[2];
	struct moment at[2];
	_Atomic unsigned is_done;
};

static int duel_take(void *context)
{
	struct duel *duel = context;

	duel->taken[0] = limiter_take(&duel->cells[0], duel->rate, &duel->at[0]);
	atomic_store(&duel->is_done, 1);
	return 0;
}

enum outcome { GOES_ON, KILLED };

/* Holds one process up behind `steps` instructions, for `ms`, while this one takes, too. False:
 * it was done before. */
static bool duel_at(struct duel *duel, unsigned steps, unsigned ms, enum outcome outcome)
{
	pid_t child;
	bool in_time;

	memset(duel->state.line, 0, sizeof(duel->state.line));
	memset(duel->taken, 0, sizeof(duel->taken));
	atomic_store(&duel->is_done, 0);
	child = unit_step_begin(duel_take, duel);
	if (child < 0)
		skip();
	in_time = unit_steps(child, steps) && atomic_load(&duel->is_done) == 0;
	unit_sleep_ms(ms);
	if (in_time)
		duel->taken[1] = limiter_take(&duel->cells[1], duel->rate, &duel->at[1]);
	if (outcome == KILLED || !in_time) {
		unit_kill(child);
		return in_time;
	}
	unit_step_end(child);
	assert_int_equal(unit_reap(child), 0);
	return true;
}

static struct duel *duel_make(struct rate rate)
{
	struct source source = numbered(1);
	struct duel *duel;

	if (!unit_can_step())
		skip();
	duel = unit_shared(sizeof(*duel));
	duel->rate = rate;
	duel->cells[0] = duel->cells[1] = limiter_locate(&duel->state, &source);
	(void)duel_at(duel, 0, 0, GOES_ON); /* what the linker does at first is done here */
	return duel;
}

/* Of two charges one is a grant, wherever the first was held up. */
static void G3_charge_held_up_at_any_instruction_is_counted_once(void **state)
{
	struct duel *duel = duel_make((struct rate){ .emission.ms = 3600000, .burst = 1 });
	unsigned steps = 0;

	(void)state;
	for (; duel_at(duel, steps, 0, GOES_ON); steps += 3) {
		assert_int_equal(duel->taken[0] + duel->taken[1], 1);
		assert_in_range(steps, 0, STEPS_MAX);
	}
	assert_true(steps > 50);
	unit_unshare(duel, sizeof(*duel));
}

/* Of two sources that share cells, each gets what is its own or less, and both know it after. */
static void G3_charge_of_a_sharer_held_up_at_any_instruction_is_counted(void **state)
{
	struct duel *duel = duel_make((struct rate){ .emission.ms = 3600000, .burst = 1 });
	struct moment at;

	(void)state;
	/* Two cells are shared, in another order; the others are each one's own. */
	duel->cells[0].cell[0] = &duel->state.line[0].cell[0];
	for (unsigned i = 1; i < LIMITER_CELLS; i++)
		duel->cells[0].cell[i] = duel->cells[0].cell[0] + i;
	for (unsigned i = 0; i < LIMITER_CELLS; i++)
		duel->cells[1].cell[i] = duel->cells[0].cell[0] + LIMITER_CELLS - i;
	for (unsigned steps = 0; duel_at(duel, steps, 0, GOES_ON); steps += 3) {
		assert_true(duel->taken[0] + duel->taken[1] >= 1);
		for (unsigned i = 0; i < 2; i++)
			if (duel->taken[i])
				assert_false(limiter_take(&duel->cells[i], duel->rate, &at));
		assert_in_range(steps, 0, STEPS_MAX);
	}
	unit_unshare(duel, sizeof(*duel));
}

/* A charge that dies half-way has granted nothing, and holds up nobody. */
static void G5_charge_killed_at_any_instruction_takes_nothing(void **state)
{
	struct duel *duel = duel_make((struct rate){ .emission.ms = 3600000, .burst = 1 });
	unsigned steps = 0, taken = 0;

	(void)state;
	for (; duel_at(duel, steps, 0, KILLED); steps += 5) {
		taken += duel->taken[1];
		assert_in_range(steps, 0, STEPS_MAX);
	}
	/* All but those behind the charge itself, a few instructions before the end. */
	assert_true(steps > 50 && taken >= steps / 5 * 3 / 4);
	unit_unshare(duel, sizeof(*duel));
}

/* Held up for longer than the window: a TAT that is newer than the clock it had read must not
 * look like damage to it. */
static void G3_charge_held_up_beyond_the_window_is_counted_once(void **state)
{
	struct duel *duel = duel_make((struct rate){ .emission.ms = 6, .burst = 1 });

	(void)state;
	for (unsigned steps = 0; duel_at(duel, steps, 9, GOES_ON); steps += 6) {
		if (duel->taken[0] && duel->taken[1]) {
			uint32_t apart = duel->at[0].ms - duel->at[1].ms;

			/* Or the other way round: it was held up behind its own charge. */
			apart = apart < 0x80000000u ? apart : 0 - apart;
			assert_true(apart >= duel->rate.emission.ms);
		}
		assert_in_range(steps, 0, STEPS_MAX);
	}
	unit_unshare(duel, sizeof(*duel));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(G3_concurrent_charges_are_never_lost),
		cmocka_unit_test(G3_sources_that_share_cells_get_no_more_than_their_own),
		cmocka_unit_test(G3_limit_holds_while_the_clock_wraps_around),
		cmocka_unit_test(G3_no_cell_is_ever_beyond_the_window),
		cmocka_unit_test(G3_charge_held_up_at_any_instruction_is_counted_once),
		cmocka_unit_test(G3_charge_of_a_sharer_held_up_at_any_instruction_is_counted),
		cmocka_unit_test(G5_charge_killed_at_any_instruction_takes_nothing),
		cmocka_unit_test(G3_charge_held_up_beyond_the_window_is_counted_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
