/* SPDX-License-Identifier: ISC */
#include "sources.h"

/* ---- Time that passes when we say so: cells are moved into the past ---- */

/* The reference: the GCRA of ITU-T I.371, Annex A (virtual scheduling), on a clock that does not
 * wrap. */
struct model {
	struct rate rate;
	int64_t tat;
};

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
