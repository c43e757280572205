/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include "state/limiter.h"

/* ---- Time that passes when we say so: cells are moved into the past ---- */

/* The reference: the GCRA of ITU-T I.371, Annex A (virtual scheduling), on a clock that does not
 * wrap. */
struct model {
	struct rate rate;
	int64_t tat;
};

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t model_window(const struct model *model)
{
	return ((int64_t)model->rate.burst + 1) * model->rate.emission.ms;
}

static int64_t model_conforms(const struct model *model, int64_t now)
{
	int64_t tolerance = ((int64_t)model->rate.burst - 1) * model->rate.emission.ms;

	return larger(now, larger(model->tat, now) - tolerance);
}

static bool model_take(struct model *model, int64_t now)
{
	if (model_conforms(model, now) > now)
		return false;
	model->tat = larger(model->tat, now) + model->rate.emission.ms;
	return true;
}

/* Returns what did not fit. */
static int64_t model_advance(struct model *model, int64_t now, int64_t by, int64_t most)
{
	int64_t tat = larger(model->tat, now);

	model->tat = larger(tat, smaller(tat + by, now + most));
	return tat + by - model->tat;
}

struct trial {
	struct model model;
	struct cells cells;
	struct state *state;
	int64_t passed; /* by our word */
	uint64_t seed;
};

/* A word that no TAT can be now or in the next seconds. */
static uint32_t garbage(struct trial *trial, uint32_t now)
{
	uint32_t window = (uint32_t)model_window(&trial->model), word;

	do
		word = (uint32_t)random_next(&trial->seed);
	while (word - now - 1 < window + 60000 || now - word < 60000);
	return random_below(&trial->seed, 2) ? word : now;
}

/* Lets `ms` pass, and fills cells that are then of the past with rubbish. */
static void pass(struct trial *trial, uint32_t ms)
{
	uint32_t now = moment_now().ms;
	struct span window = { .ms = (uint32_t)model_window(&trial->model) };

	trial->passed += ms;
	for (unsigned i = 0; i < trial->cells.count; i++) {
		uint32_t word = atomic_load(trial->cells.cell[i]);

		if (moment_within(moment_of_word(word), moment_of_word(now), window) &&
			word - now > ms)
			atomic_store(trial->cells.cell[i], word - ms);
		else
			atomic_store(trial->cells.cell[i], garbage(trial, now));
	}
}

/* How far ahead of now a cell is; 0 if it reads as empty. */
static uint32_t ahead(const struct trial *trial, unsigned cell, uint32_t now)
{
	uint32_t word = atomic_load(trial->cells.cell[cell]);

	return word - now - 1 < (uint32_t)model_window(&trial->model) ? word - now : 0;
}

/* What sources that share cells do: some of them, but not a least one, are later. */
static void disturb(struct trial *trial)
{
	uint32_t now = moment_now().ms, window = (uint32_t)model_window(&trial->model);
	unsigned kept = random_below(&trial->seed, trial->cells.count);

	for (unsigned i = 0; i < trial->cells.count; i++)
		if (ahead(trial, i, now) < ahead(trial, kept, now))
			kept = i;
	for (unsigned i = 0; i < trial->cells.count; i++) {
		uint32_t is = ahead(trial, i, now);

		if (i != kept && is + 10 < window)
			atomic_store(trial->cells.cell[i],
				now + is + 1 + random_below(&trial->seed, window - is - 10));
	}
}

enum operation { TAKE, PEEK, CHARGE_AHEAD, DELAY, OPERATIONS };

/* Does it to the cells and to the model, at the same millisecond, and compares. */
static void operate(struct trial *trial, enum operation operation, struct span late)
{
	uint32_t words[LIMITER_CELLS];
	struct rate rate = trial->model.rate;
	struct moment before, at = { .ms = 0 };
	struct span left = { .ms = 0 };
	bool taken = false;
	int64_t now;

	for (unsigned i = 0; i < trial->cells.count; i++)
		words[i] = atomic_load(trial->cells.cell[i]);
	do {
		for (unsigned i = 0; i < trial->cells.count; i++)
			atomic_store(trial->cells.cell[i], words[i]);
		before = moment_now();
		switch (operation) {
		case TAKE: taken = limiter_take(&trial->cells, rate, &at); break;
		case PEEK: at = limiter_peek(&trial->cells, rate); break;
		case CHARGE_AHEAD: left = limiter_charge_ahead(&trial->cells, rate); break;
		default: limiter_delay(&trial->cells, rate, late); break;
		}
	} while (moment_now().ms != before.ms); /* it is not known which one it read */
	now = (int64_t)before.ms + trial->passed;
	if (operation == TAKE || operation == PEEK)
		assert_int_equal(at.ms - before.ms, model_conforms(&trial->model, now) - now);
	if (operation == TAKE)
		assert_int_equal(taken, model_take(&trial->model, now));
	if (operation == CHARGE_AHEAD)
		assert_int_equal(left.ms, model_advance(&trial->model, now, rate.emission.ms,
						  model_window(&trial->model)));
	if (operation == DELAY)
		(void)model_advance(
			&trial->model, now, late.ms, (int64_t)rate.burst * rate.emission.ms);
}

static struct source numbered(uint32_t number)
{
	struct source source = { .kind = SOURCE_IPV4 };

	memcpy(source.address, &number, sizeof(number));
	return source;
}

static struct trial trial_begin(uint64_t seed, struct rate rate)
{
	struct trial trial = { .state = unit_shared(sizeof(struct state)), .seed = seed };
	struct source source = numbered(1);

	trial.model = (struct model){ .rate = rate, .tat = INT64_MIN / 2 };
	trial.cells = limiter_locate(trial.state, &source);
	return trial;
}

static void trial_end(struct trial *trial)
{
	unit_unshare(trial->state, sizeof(struct state));
}

static struct rate random_rate(uint64_t *seed)
{
	struct rate rate = { .emission = {
				     .ms = 1 + random_below(seed, 1u << random_below(seed, 29)) } };
	uint32_t most = SPAN_MAX_MS / rate.emission.ms - 1;

	rate.burst = 1 + random_below(seed, most < 20 ? most : 20);
	return rate;
}

static void G3_limiter_is_the_gcra(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct rate rate = random_rate(&seed);
		struct trial trial = trial_begin(seed, rate);

		for (unsigned step = 0; step < 200; step++) {
			enum operation operation = random_below(&seed, OPERATIONS + 3);
			struct span late = { .ms = random_below(&seed, 3 * rate.emission.ms) };

			if (random_below(&seed, 3) == 0)
				pass(&trial, random_below(&seed, 2 * rate.emission.ms));
			operate(&trial, operation < OPERATIONS ? operation : TAKE, late);
		}
		trial_end(&trial);
	}
}

/* Whatever other sources do to some of the cells, as long as one is left alone. */
static void G3_limiter_is_the_gcra_whatever_sharers_do_to_other_cells(void **state)
{
	uint64_t seed = 4;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		/* Long enough that the clock's own milliseconds do not matter here. */
		struct rate rate = { .emission.ms = 600000 + random_below(&seed, 1000000),
			.burst = 1 + random_below(&seed, 20) };
		struct trial trial = trial_begin(seed, rate);

		operate(&trial, TAKE, (struct span){ .ms = 0 });
		for (unsigned step = 0; step < 100; step++) {
			if (random_below(&seed, 3) == 0)
				operate(&trial, CHARGE_AHEAD, (struct span){ .ms = 0 });
			disturb(&trial);
			operate(&trial, PEEK, (struct span){ .ms = 0 });
			operate(&trial, TAKE, (struct span){ .ms = 0 });
		}
		trial_end(&trial);
	}
}

static void G3_burst_at_once_and_then_one_each_emission(void **state)
{
	(void)state;
	for (uint32_t burst = 1; burst <= 40; burst++) {
		struct rate rate = { .emission.ms = 3600000, .burst = burst };
		struct trial trial = trial_begin(burst, rate);
		struct moment first, at;

		assert_true(limiter_take(&trial.cells, rate, &first));
		for (uint32_t i = 1; i < burst; i++)
			assert_true(limiter_take(&trial.cells, rate, &at));
		for (uint32_t i = 0; i < 3; i++) {
			assert_false(limiter_take(&trial.cells, rate, &at));
			assert_int_equal(at.ms, first.ms + rate.emission.ms);
			assert_int_equal(limiter_peek(&trial.cells, rate).ms, at.ms);
		}
		trial_end(&trial);
	}
}

/* ---- Bounds ---- */

/* Charges in advance and delays add up to the window and no further: beyond it, a TAT would read
 * as empty, and grant everything. */
static void G3_advance_ends_at_the_window(void **state)
{
	uint64_t seed = 5;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		struct rate rate = { .emission.ms = 60000 + random_below(&seed, 1000000),
			.burst = 1 + random_below(&seed, 20) };
		struct trial trial = trial_begin(seed, rate);
		uint32_t window = (rate.burst + 1) * rate.emission.ms;
		struct moment now = moment_now(), at;

		for (unsigned k = 0; k < 60; k++) {
			if (k % 2 == 0 && i % 2 == 0)
				limiter_delay(&trial.cells, rate,
					(struct span){ .ms = random_below(&seed, SPAN_MAX_MS) });
			limiter_charge_ahead(&trial.cells, rate);
			at = limiter_peek(&trial.cells, rate);
			assert_in_range(at.ms - now.ms, 0, 2 * rate.emission.ms + UNIT_SLACK_MS);
		}
		assert_in_range(at.ms - now.ms, 2 * rate.emission.ms - 1,
			2 * rate.emission.ms + UNIT_SLACK_MS);
		for (unsigned k = 0; k < LIMITER_CELLS; k++)
			assert_in_range(atomic_load(trial.cells.cell[k]) - now.ms, window,
				window + UNIT_SLACK_MS);
		assert_false(limiter_take(&trial.cells, rate, &at));
		trial_end(&trial);
	}
}

/* A start that was long in coming counts as of its time: no burst is left over behind it. */
static void G3_delayed_start_leaves_no_more_than_a_fresh_one(void **state)
{
	const struct rate rate = { .emission.ms = 600000, .burst = 5 };
	struct trial trial = trial_begin(1, rate);
	struct moment at;

	(void)state;
	assert_true(limiter_take(&trial.cells, rate, &at));
	limiter_delay(&trial.cells, rate, (struct span){ .ms = 0 });
	assert_true(limiter_take(&trial.cells, rate, &at));
	limiter_delay(&trial.cells, rate, (struct span){ .ms = 600000 });
	/* Two charges and one emission's delay: two of five are left. */
	assert_true(limiter_take(&trial.cells, rate, &at));
	assert_true(limiter_take(&trial.cells, rate, &at));
	assert_false(limiter_take(&trial.cells, rate, &at));
	limiter_delay(&trial.cells, rate, (struct span){ .ms = SPAN_MAX_MS });
	limiter_delay(&trial.cells, rate, (struct span){ .ms = INT32_MAX });
	assert_false(limiter_take(&trial.cells, rate, &at));
	assert_in_range(at.ms - moment_now().ms, 600000 - UNIT_SLACK_MS, 600000);
	trial_end(&trial);
}

/* ---- Damage ---- */

static void G6_any_words_delay_no_longer_than_the_window(void **state)
{
	uint64_t seed = 6;

	(void)state;
	for (unsigned i = 0; i < 50000; i++) {
		struct rate rate = random_rate(&seed);
		static struct state all;
		struct source source = numbered(i);
		struct cells cells = limiter_locate(&all, &source);
		struct moment before = moment_now(), at;
		bool taken;

		for (unsigned k = 0; k < LIMITER_CELLS; k++)
			atomic_store(cells.cell[k], (uint32_t)random_next(&seed));
		at = limiter_peek(&cells, rate);
		assert_in_range(
			at.ms - before.ms, 0, (rate.burst + 1) * rate.emission.ms + UNIT_SLACK_MS);
		taken = limiter_take(&cells, rate, &at);
		assert_in_range(
			at.ms - before.ms, 0, (rate.burst + 1) * rate.emission.ms + UNIT_SLACK_MS);
		if (i % 2)
			limiter_charge_ahead(&cells, rate);
		else
			limiter_delay(&cells, rate, (struct span){ .ms = 1000 });
		if (rate.burst == 1 && taken && rate.emission.ms > UNIT_SLACK_MS)
			assert_false(limiter_take(&cells, rate, &at));
	}
}

/* One cell outside the window is enough: it reads as empty, whichever it is. */
static void G6_cell_outside_the_window_reads_as_empty(void **state)
{
	const struct rate rate = { .emission.ms = 600000, .burst = 2 };
	const uint32_t window = 3 * 600000;
	uint32_t now = moment_now().ms;
	const uint32_t outside[] = { 0, now - 1, now - 1000, now, now + window + 600000,
		now + 0x7fffffff, now + 0x80000000u, now + 0x80000001u, UINT32_MAX };

	(void)state;
	for (unsigned i = 0; i < COUNT(outside); i++) {
		if (outside[i] - now - 1 < window + 60000)
			continue; /* by chance within it */
		for (unsigned k = 0; k < LIMITER_CELLS; k++) {
			struct trial trial = trial_begin(1, rate);
			struct moment at;

			for (unsigned n = 0; n < LIMITER_CELLS; n++)
				atomic_store(trial.cells.cell[n],
					n == k ? outside[i] : now + window - 60000);
			assert_true(limiter_take(&trial.cells, rate, &at));
			assert_true(limiter_take(&trial.cells, rate, &at));
			assert_false(limiter_take(&trial.cells, rate, &at));
			trial_end(&trial);
		}
	}
}

/* A cell at the end of the window counts; the TAT is the least of all. */
static void G3_least_of_the_cells_counts(void **state)
{
	const struct rate rate = { .emission.ms = 600000, .burst = 2 };
	uint32_t now = moment_now().ms;

	(void)state;
	for (unsigned k = 0; k < LIMITER_CELLS; k++) {
		struct trial trial = trial_begin(1, rate);

		for (unsigned n = 0; n < LIMITER_CELLS; n++)
			atomic_store(trial.cells.cell[n],
				now + 3 * 600000 - (n == k ? 500000 : 100 * n));
		assert_int_equal(
			limiter_peek(&trial.cells, rate).ms, now + 3 * 600000 - 500000 - 600000);
		trial_end(&trial);
	}
}

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

static unsigned shared_cells(const struct cells *a, const struct cells *b)
{
	unsigned shared = 0;

	for (unsigned i = 0; i < a->count; i++)
		for (unsigned k = 0; k < b->count; k++)
			shared += a->cell[i] == b->cell[k];
	return shared;
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
	struct arena *arena = arena_make(rate, 4, 300);

	(void)state;
	unit_expect(unit_before_wrap_run(150, take_all_and_check, arena));
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
#define STEPS_MAX 20000

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
	is_even(cells_of_line, STATE_LINE_CELLS, (double)LIMITER_CELLS * sources / STATE_LINE_CELLS);
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
		cmocka_unit_test(G3_limiter_is_the_gcra),
		cmocka_unit_test(G3_limiter_is_the_gcra_whatever_sharers_do_to_other_cells),
		cmocka_unit_test(G3_burst_at_once_and_then_one_each_emission),
		cmocka_unit_test(G3_advance_ends_at_the_window),
		cmocka_unit_test(G3_delayed_start_leaves_no_more_than_a_fresh_one),
		cmocka_unit_test(G6_any_words_delay_no_longer_than_the_window),
		cmocka_unit_test(G6_cell_outside_the_window_reads_as_empty),
		cmocka_unit_test(G3_least_of_the_cells_counts),
		cmocka_unit_test(G3_concurrent_charges_are_never_lost),
		cmocka_unit_test(G3_sources_that_share_cells_get_no_more_than_their_own),
		cmocka_unit_test(G3_limit_holds_while_the_clock_wraps_around),
		cmocka_unit_test(G3_no_cell_is_ever_beyond_the_window),
		cmocka_unit_test(G3_charge_held_up_at_any_instruction_is_counted_once),
		cmocka_unit_test(G3_charge_of_a_sharer_held_up_at_any_instruction_is_counted),
		cmocka_unit_test(G5_charge_killed_at_any_instruction_takes_nothing),
		cmocka_unit_test(G3_charge_held_up_beyond_the_window_is_counted_once),
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
