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
	unit_sleep_ms(1100);
	later = moment_now();
	/* The word has become small, and the order is still right. */
	return later.ms < first.ms && moment_later(later, first) &&
			       moment_until(first, later).ms >= 1099
		       ? 0
		       : 1;
}

static void clock_wraps_around_without_notice(void **state)
{
	(void)state;
	unit_expect(unit_before_wrap_run(1000, is_ticking_over, NULL));
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

static struct deadline of(uint64_t ms)
{
	return (struct deadline){ .ms = ms };
}

static void deadline_is_over_at_its_very_millisecond(void **state)
{
	static const uint64_t times[] = { 0, 1, 2, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX - 1 };

	(void)state;
	for (unsigned i = 0; i < COUNT(times); i++) {
		for (unsigned k = 0; k < COUNT(times); k++) {
			struct deadline a = of(times[i]), b = of(times[k]);

			assert_int_equal(deadline_is_over(a, b), i <= k);
			assert_int_equal(deadline_earlier(a, b).ms, times[i < k ? i : k]);
			assert_int_equal(deadline_until(a, b).ms == 0, i >= k);
		}
		assert_false(deadline_is_over(DEADLINE_NEVER, of(times[i])));
		assert_int_equal(deadline_earlier(DEADLINE_NEVER, of(times[i])).ms, times[i]);
		assert_false(deadline_is_never(of(times[i])));
	}
	assert_true(deadline_is_never(DEADLINE_NEVER));
}

/* What no span can say is the longest one, not what is left of it modulo 2^32. */
static void deadline_span_is_whole_or_the_longest(void **state)
{
	static const uint32_t spans[] = { 0, 1, 999, 1000, SPAN_MAX_MS, UINT32_MAX - 1, UINT32_MAX };
	static const uint64_t starts[] = { 0, 1, UINT32_MAX, (uint64_t)UINT32_MAX + 1 };

	(void)state;
	for (unsigned i = 0; i < COUNT(starts); i++) {
		for (unsigned k = 0; k < COUNT(spans); k++) {
			struct span span = { .ms = spans[k] };
			struct deadline later = deadline_add(of(starts[i]), span);

			assert_int_equal(later.ms, starts[i] + spans[k]);
			assert_int_equal(deadline_until(of(starts[i]), later).ms, spans[k]);
			assert_int_equal(deadline_until(later, of(starts[i])).ms, 0);
		}
		assert_int_equal(
			deadline_until(of(starts[i]), of(starts[i] + UINT32_MAX + 1)).ms, UINT32_MAX);
		assert_int_equal(deadline_until(of(starts[i]), DEADLINE_NEVER).ms, UINT32_MAX);
	}
}

static void deadline_passes_as_time_does(void **state)
{
	struct deadline begun = deadline_now(), end = deadline_in((struct span){ 30 });

	(void)state;
	assert_in_range(unit_ms() - begun.ms, 0, UNIT_SLACK_MS); /* CLOCK_MONOTONIC */
	assert_true(deadline_has_passed(begun));
	assert_in_range(deadline_rest(deadline_in((struct span){ 10000 })).ms, 10000 - UNIT_SLACK_MS,
		10000);
	while (!deadline_has_passed(end)) {
		assert_in_range(deadline_rest(end).ms, 0, 30);
		unit_sleep_ms(1);
	}
	assert_int_equal(deadline_rest(end).ms, 0);
	assert_in_range(deadline_age(begun).ms, 30, 30 + UNIT_SLACK_MS);
	assert_int_equal(deadline_age(deadline_in((struct span){ 10000 })).ms, 0);
}

static void span_is_told_to_the_kernel_in_seconds_and_nanoseconds(void **state)
{
	static const uint32_t spans[] = { 0, 1, 999, 1000, 1001, SPAN_MAX_MS, UINT32_MAX };

	(void)state;
	for (unsigned i = 0; i < COUNT(spans); i++) {
		struct timespec told = span_timespec((struct span){ .ms = spans[i] });

		assert_in_range(told.tv_nsec, 0, 999999999);
		assert_int_equal((uint64_t)told.tv_sec * 1000000000 + (uint64_t)told.tv_nsec,
			(uint64_t)spans[i] * 1000000);
	}
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
		cmocka_unit_test(deadline_is_over_at_its_very_millisecond),
		cmocka_unit_test(deadline_span_is_whole_or_the_longest),
		cmocka_unit_test(deadline_passes_as_time_does),
		cmocka_unit_test(span_is_told_to_the_kernel_in_seconds_and_nanoseconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
