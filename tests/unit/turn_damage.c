/* SPDX-License-Identifier: ISC */
#include "stage.h"

#include <linux/futex.h>
#include <sys/syscall.h>

/* ---- Damage ---- */

/* Words that matter, wherever now is. */
static uint32_t damaged_word(uint64_t *seed)
{
	static const uint32_t apart[] = { 0, 1, 50, 100, 150, 1000, 0x7fffff00, 0x7fffffff,
		0x80000000, 0x80000001, 0x80000100 };
	uint32_t word = apart[random_below(seed, COUNT(apart))];

	switch (random_below(seed, 4)) {
	case 0: return (uint32_t)random_next(seed);
	case 1: return word;
	case 2: return moment_now().ms + word;
	default: return moment_now().ms - word;
	}
}

static void G6_any_words_delay_a_start_no_longer_than_interval_or_window(void **state)
{
	struct stage *stage = stage_make(state, 30, 20);
	uint64_t seed = 9;

	for (unsigned i = 0; i < 60; i++) {
		atomic_store(&stage->state->due, damaged_word(&seed));
		atomic_store(&stage->state->last_start, damaged_word(&seed));
		atomic_store(&stage->state->owed, damaged_word(&seed));
		/* Not a process of this machine: that is another test's. */
		atomic_store(&stage->state->action, damaged_word(&seed) | 0x40000000);
		if (i % 2 == 0)
			atomic_store(&stage->state->due, damaged_word(&seed) | 1);
		assert_in_range(start_takes(stage, i % 2), 0, 30 + UNIT_SLACK_MS);
	}
	stage_clear(stage);
}

static void G6_debt_too_far_ahead_is_taken_for_the_window_s_end(void **state)
{
	struct stage *stage = stage_make(state, 0, 100);
	const uint32_t far[] = { from_now(5000).ms, from_now(NEVER_MS).ms,
		from_now(INT32_MAX / 2).ms };

	for (unsigned i = 0; i < COUNT(far); i++) {
		atomic_store(&stage->state->due, far[i]);
		assert_in_range(start_takes(stage, false), 99, 100 + UNIT_SLACK_MS);
	}
	stage_clear(stage);
}

/* The waiter remembers when it is to start at the latest, whatever becomes of the word. */
static void G6_due_damaged_under_a_waiter_delays_it_no_further(void **state)
{
	const uint32_t words[] = { 0, 1, from_now(NEVER_MS).ms, from_now(INT32_MAX / 2).ms,
		from_now(-NEVER_MS).ms, UINT32_MAX };

	for (unsigned i = 0; i < COUNT(words); i++) {
		struct stage *stage = stage_make(state, 0, 1000);
		uint64_t begun = unit_ms();
		pid_t child = enter(stage, 0, line_at(from_now(100)));

		assert_int_equal(joined(stage, 0), TURN_WAITER);
		unit_sleep_ms(20);
		atomic_store(&stage->state->due, words[i]);
		(void)syscall(SYS_futex, &stage->state->due, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
		assert_int_equal(unit_reap(child), 0);
		assert_in_range(unit_ms() - begun, 0, 100 + UNIT_SLACK_MS);
		stage_clear(stage);
	}
}

/* A debt of about half the circle ago, or ahead: none of its comparisons may turn round while the
 * waiter waits for the run before it. */
static void G6_debt_half_the_circle_away_delays_no_longer(void **state)
{
	static const uint32_t apart[] = { 0x80000000u + 60, 0x80000000u + 120, 0x80000000u };

	for (unsigned i = 0; i < COUNT(apart); i++) {
		struct stage *stage = stage_make(state, 400, 30);
		struct player player = line_now(GO_ON);
		uint64_t begun = unit_ms();
		pid_t child[2];

		player.run_ms = 200;
		child[0] = enter(stage, 0, player);
		assert_true(unit_await(&stage->player[0].started));
		unit_sleep_ms(5);
		atomic_store(&stage->state->due, moment_now().ms + apart[i]);
		child[1] = enter(stage, 1, (struct player){ .halt = GO_ON });
		assert_int_equal(unit_reap(child[0]), 0);
		while (atomic_load(&stage->player[1].ended) == 0 &&
			unit_ms() - begun < 400 + UNIT_SLACK_MS)
			unit_sleep_ms(1);
		unit_kill(child[1]);
		assert_int_equal(atomic_load(&stage->player[1].ended), 1);
		assert_int_equal(atomic_load(&stage->too_soon), 0);
		stage_clear(stage);
	}
}

/* An account that has started nothing for 24.8 days: its last start must not turn into one of the
 * future while a waiter waits, nor hide when he may start. */
static void G6_last_start_half_the_circle_ago_changes_nothing(void **state)
{
	static const uint32_t apart[] = { 0x80000000u, 0x80000000u + 20, 0x80000000u + 60,
		0x80000000u + 150 };

	for (unsigned i = 0; i < COUNT(apart); i++) {
		struct stage *stage = stage_make(state, 30, 1000);
		uint64_t begun = unit_ms();
		pid_t child;

		atomic_store(&stage->state->last_start, moment_now().ms + apart[i]);
		child = enter(stage, 0, line_at(from_now(100)));
		while (atomic_load(&stage->player[0].ended) == 0 &&
			unit_ms() - begun < 100 + UNIT_SLACK_MS)
			unit_sleep_ms(1);
		unit_kill(child);
		assert_int_equal(atomic_load(&stage->player[0].ended), 1);
		assert_in_range(unit_ms() - begun, 99, 100 + UNIT_SLACK_MS);
		stage_clear(stage);
	}
}

/* The word may name any process: it is waited for no longer than an interval or a window. */
static void G6_action_that_is_somebody_else_delays_no_longer(void **state)
{
	const uint32_t words[] = { (uint32_t)getpid(), 1, 2, UINT32_MAX, INT32_MAX, 0x80000001 };

	for (unsigned i = 0; i < COUNT(words); i++) {
		struct stage *stage = stage_make(state, 50, 100);

		atomic_store(&stage->state->action, words[i]);
		assert_in_range(start_takes(stage, true), i == 0 && has_pidfd_open() ? 99 : 0,
			100 + UNIT_SLACK_MS);
		stage_clear(stage);
	}
}

/* An owed start that nobody knows of costs one start, and is paid by it. */
static void G6_owed_word_of_any_value_is_one_debt(void **state)
{
	static const uint32_t words[] = { 1, 2, 0x80000000u, UINT32_MAX };

	for (unsigned i = 0; i < COUNT(words); i++) {
		struct stage *stage = stage_make(state, 0, 100);

		atomic_store(&stage->state->owed, words[i]);
		assert_true(turn_has_debt(&stage->probe));
		assert_in_range(start_takes(stage, false), 0, UNIT_SLACK_MS);
		assert_false(turn_has_debt(&stage->probe));
		stage_clear(stage);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST_PLACE(G6_any_words_delay_a_start_no_longer_than_interval_or_window),
		UNIT_TEST_PLACE(G6_debt_too_far_ahead_is_taken_for_the_window_s_end),
		UNIT_TEST_PLACE(G6_due_damaged_under_a_waiter_delays_it_no_further),
		UNIT_TEST_PLACE(G6_debt_half_the_circle_away_delays_no_longer),
		UNIT_TEST_PLACE(G6_last_start_half_the_circle_ago_changes_nothing),
		UNIT_TEST_PLACE(G6_action_that_is_somebody_else_delays_no_longer),
		UNIT_TEST_PLACE(G6_owed_word_of_any_value_is_one_debt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
