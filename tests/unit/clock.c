/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include "lib/clock.h"

static const uint32_t edges[] = { 0, 1, 2, 999, 0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001,
	0xfffffffe, 0xffffffff };

static struct moment at(uint64_t ms)
{
	return (struct moment){ .ms = (uint32_t)ms };
}

/* Pairs less than half the circle apart, on a clock that does not wrap. */
static void clock_order_holds_across_the_wrap(void **state)
{
	static const int64_t apart[] = { 0, 1, 2, 1000, SPAN_MAX_MS, INT32_MAX - 1, INT32_MAX };

	(void)state;
	for (unsigned i = 0; i < COUNT(edges); i++) {
		for (unsigned k = 0; k < COUNT(apart); k++) {
			uint64_t early = ((uint64_t)1 << 32) + edges[i];
			uint64_t late = early + (uint64_t)apart[k];

			assert_int_equal(moment_later(at(late), at(early)), late > early);
			assert_false(moment_later(at(early), at(late)));
			assert_int_equal(moment_latest(at(early), at(late)).ms, at(late).ms);
			assert_int_equal(moment_latest(at(late), at(early)).ms, at(late).ms);
			assert_int_equal(moment_earliest(at(early), at(late)).ms, at(early).ms);
			assert_int_equal(moment_earliest(at(late), at(early)).ms, at(early).ms);
			assert_int_equal(moment_until(at(early), at(late)).ms, late - early);
			assert_int_equal(moment_until(at(late), at(early)).ms, 0);
		}
	}
}

static void clock_addition_is_undone_by_subtraction(void **state)
{
	static const uint32_t spans[] = { 0, 1, 1000, SPAN_MAX_MS };

	(void)state;
	for (unsigned i = 0; i < COUNT(edges); i++) {
		for (unsigned k = 0; k < COUNT(spans); k++) {
			struct moment m = at(edges[i]);
			struct span s = { .ms = spans[k] };

			assert_int_equal(moment_sub(moment_add(m, s), s).ms, m.ms);
			assert_int_equal(moment_until(m, moment_add(m, s)).ms, s.ms);
			assert_int_equal(moment_later(moment_add(m, s), m), s.ms != 0);
		}
	}
}

/* A moment is within a window behind now: (now, now + window], wherever on the circle. */
static void clock_window_is_open_at_now_and_closed_at_its_end(void **state)
{
	static const uint32_t windows[] = { 1, 2, 1000, SPAN_MAX_MS };

	(void)state;
	for (unsigned i = 0; i < COUNT(edges); i++) {
		for (unsigned k = 0; k < COUNT(windows); k++) {
			struct moment now = at(edges[i]);
			uint32_t most = windows[k];
			struct span window = { .ms = most };

			assert_false(moment_within(now, now, window));
			assert_true(moment_within(at(now.ms + 1u), now, window));
			assert_true(moment_within(at(now.ms + most), now, window));
			assert_false(moment_within(at(now.ms + most + 1u), now, window));
			assert_false(moment_within(at(now.ms - 1u), now, window));
			assert_false(moment_within(at(now.ms + 0x80000000u), now, window));
			assert_false(moment_within(now, now, (struct span){ .ms = 0 }));
			assert_false(moment_within(at(now.ms + 1u), now, (struct span){ .ms = 0 }));
		}
	}
}

static void clock_word_is_never_none_and_at_most_a_millisecond_late(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT(edges); i++) {
		uint32_t word = moment_to_word(at(edges[i]));

		assert_int_not_equal(word, 0);
		assert_int_equal(moment_of_word(word).ms, edges[i] == 0 ? 1 : edges[i]);
	}
}

/* 0: moment_now is CLOCK_BOOTTIME, which is far from CLOCK_MONOTONIC here. */
static int is_boottime(void *context)
{
	uint64_t before = clock_milliseconds(CLOCK_BOOTTIME);
	uint32_t now = moment_now().ms;
	uint64_t after = clock_milliseconds(CLOCK_BOOTTIME);

	(void)context;
	return now - (uint32_t)before <= after - before ? 0 : 1;
}

static void clock_goes_on_while_the_machine_sleeps(void **state)
{
	(void)state;
	assert_int_equal(is_boottime(NULL), 0);
	unit_expect(unit_boottime_run(86400 * 1000, is_boottime, NULL));
}

static int is_ticking_over(void *context)
{
	struct moment first = moment_now(), later;

	(void)context;
	unit_sleep_ms(100);
	later = moment_now();
	/* The word has become small, and the order is still right. */
	return later.ms < first.ms && moment_later(later, first) &&
			       moment_until(first, later).ms >= 99
		       ? 0
		       : 1;
}

static void clock_wraps_around_without_notice(void **state)
{
	(void)state;
	unit_expect(unit_before_wrap_run(50, is_ticking_over, NULL));
}

static void clock_counts_milliseconds(void **state)
{
	uint64_t before = clock_milliseconds(CLOCK_MONOTONIC), after;

	(void)state;
	unit_sleep_ms(30);
	after = clock_milliseconds(CLOCK_MONOTONIC);
	assert_in_range(after - before, 29, 30 + UNIT_SLACK_MS);
	assert_in_range(unit_ms() - after, 0, UNIT_SLACK_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clock_order_holds_across_the_wrap),
		cmocka_unit_test(clock_addition_is_undone_by_subtraction),
		cmocka_unit_test(clock_window_is_open_at_now_and_closed_at_its_end),
		cmocka_unit_test(clock_word_is_never_none_and_at_most_a_millisecond_late),
		cmocka_unit_test(clock_goes_on_while_the_machine_sleeps),
		cmocka_unit_test(clock_wraps_around_without_notice),
		cmocka_unit_test(clock_counts_milliseconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
