/* SPDX-License-Identifier: ISC */
/* Times of an account's state, around each place where its 32-bit words turn round. */
#include "ctl/account_status.c"

#include "unit.h"

#define SECOND UINT64_C(1000)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)

static struct snapshot snapshot; /* large */

static const struct account account = { .interval = { .ms = 60000 },
	.retry = { .ms = 5000 },
	.limit = { .emission = { .ms = 20000 }, .burst = 5 } };

/* A word that was written so long ago, by a machine that has been up since `uptime`. */
static uint32_t word_ago_of(uint64_t uptime, uint64_t ago)
{
	return moment_to_word((struct moment){ .ms = (uint32_t)(uptime - ago) });
}

/* A machine that is up so long, whose account was started `ago`, as both places say. */
static struct account_status status_of(uint64_t uptime, uint64_t ago, uint64_t written_ago)
{
	memset(&snapshot, 0, sizeof(snapshot));
	snapshot.uptime = uptime;
	snapshot.now.ms = (uint32_t)uptime;
	snapshot.written_ago = written_ago;
	snapshot.last_written = word_ago_of(uptime, ago);
	atomic_store(&snapshot.state.last_start, snapshot.last_written);
	return account_status(&snapshot, &account);
}

/* Half of the words' circle is 24.8 days, all of it 49.7. */
static void last_start_is_known_for_longer_than_words_last(void **state)
{
	static const uint64_t agos[] = { 1, SECOND, HOUR, 24 * DAY, 24 * DAY + 20 * HOUR, 25 * DAY,
		49 * DAY, 49 * DAY + 17 * HOUR, 50 * DAY, 74 * DAY, 75 * DAY, 99 * DAY, 100 * DAY,
		500 * DAY, WORD_PERIOD_MS - 1, WORD_PERIOD_MS, WORD_PERIOD_MS + 1,
		WORD_PERIOD_MS / 2 - 1, WORD_PERIOD_MS / 2, WORD_PERIOD_MS / 2 + 1 };
	/* Of the file, which the clock that can be set says: it may be off by days. */
	static const int64_t off[] = { 0, 1, -1, 3 * (int64_t)DAY, -3 * (int64_t)DAY,
		20 * (int64_t)DAY, -20 * (int64_t)DAY };

	(void)state;
	for (unsigned i = 0; i < COUNT(agos); i++)
		for (unsigned j = 0; j < COUNT(off); j++) {
			int64_t written = (int64_t)agos[i] + off[j];
			/* The machine may have been started just before; the clock is set after. */
			uint64_t written_ago = written > 0 ? (uint64_t)written : 0,
				 uptime = (agos[i] > written_ago ? agos[i] : written_ago) + SECOND;
			struct account_status status = status_of(uptime, agos[i], written_ago);

			assert_true(status.has_last);
			assert_in_range(status.last_ago, agos[i] - 1, agos[i] + 1);
		}
}

static void last_start_before_the_boot_is_as_old_as_the_file(void **state)
{
	static const uint64_t uptimes[] = { SECOND, HOUR, 25 * DAY, 50 * DAY };

	(void)state;
	for (unsigned i = 0; i < COUNT(uptimes); i++)
		for (unsigned j = 0; j < COUNT(uptimes); j++) {
			uint64_t written_ago = uptimes[i] + DAY;
			struct account_status status;

			status = status_of(uptimes[i], uptimes[i] - uptimes[j], written_ago);
			assert_true(status.has_last);
			assert_int_equal(status.last_ago, written_ago);
			assert_false(status.has_end);
		}
}

static void what_is_left_of_the_interval_is_never_more_than_it(void **state)
{
	struct account_status status;

	(void)state;
	status = status_of(DAY, 10 * SECOND, 10 * SECOND);
	assert_int_equal(status.interval.ms, 50001);
	/* After half of the circle, and after all of it, the same word is not of now. */
	status = status_of(100 * DAY, WORD_PERIOD_MS + 10 * SECOND, WORD_PERIOD_MS + 10 * SECOND);
	assert_int_equal(status.interval.ms, 0);
	status = status_of(
		100 * DAY, WORD_PERIOD_MS / 2 + 10 * SECOND, WORD_PERIOD_MS / 2 + 10 * SECOND);
	assert_int_equal(status.interval.ms, 0);
}

/* The program takes a time too far ahead for the furthest that it can be, and so is it shown. */
static void due_time_is_bounded_wherever_the_circle_turns(void **state)
{
	static const uint64_t uptimes[] = { 2 * DAY, WORD_PERIOD_MS - SECOND, WORD_PERIOD_MS,
		WORD_PERIOD_MS / 2 - SECOND, WORD_PERIOD_MS / 2 };

	(void)state;
	for (unsigned i = 0; i < COUNT(uptimes); i++) {
		(void)status_of(uptimes[i], DAY, DAY);
		snapshot.locks.waiting = true;
		atomic_store(&snapshot.state.due, snapshot.now.ms + 5000);
		assert_int_equal(account_status(&snapshot, &account).next, NEXT_LIMIT);
		assert_int_equal(account_status(&snapshot, &account).next_in.ms, 5000);
		atomic_store(&snapshot.state.due, snapshot.now.ms - 5000);
		assert_int_equal(account_status(&snapshot, &account).next, NEXT_NOW);
		atomic_store(&snapshot.state.due, snapshot.now.ms + INT32_MAX);
		assert_int_equal(account_status(&snapshot, &account).next_in.ms, HOUR);
	}
}

static void end_of_the_last_run_is_of_this_boot_or_not_known(void **state)
{
	struct account_status status;

	(void)state;
	(void)status_of(DAY, HOUR, HOUR);
	atomic_store(&snapshot.state.run_ended, (uint32_t)((DAY - HOUR / 2) / SECOND + 1));
	status = account_status(&snapshot, &account);
	assert_true(status.has_end);
	assert_int_equal(status.end_ago, HOUR / 2);
	atomic_store(&snapshot.state.run_ended, (uint32_t)(DAY / SECOND + 2));
	assert_false(account_status(&snapshot, &account).has_end);
	atomic_store(&snapshot.state.run_ended, 0);
	assert_false(account_status(&snapshot, &account).has_end);
}

/* G6: whatever the words are. */
static void G6_damaged_words_say_nothing_impossible(void **state)
{
	static const uint64_t uptimes[] = { 0, 1, SECOND, HOUR, 25 * DAY, 50 * DAY, 1000 * DAY };
	uint64_t seed = 4146;

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		uint32_t *words = (uint32_t *)(void *)&snapshot;
		struct account_status status;

		for (size_t j = 0; j < sizeof(snapshot.state) / sizeof(*words); j++)
			words[j] = (uint32_t)random_next(&seed);
		snapshot.uptime = uptimes[random_below(&seed, COUNT(uptimes))];
		snapshot.now.ms = (uint32_t)snapshot.uptime;
		snapshot.written_ago = random_below(&seed, 2) == 0 ? 0 : random_next(&seed) >> 20;
		snapshot.last_written = (uint32_t)random_next(&seed);
		snapshot.locks = (struct turn_locks){ .waiting = random_below(&seed, 2) != 0,
			.running = random_below(&seed, 2) != 0,
			.asking = random_below(&seed, 2) != 0,
			.retrying = random_below(&seed, 2) != 0 };
		status = account_status(&snapshot, &account);
		if (status.has_last && snapshot.written_ago <= snapshot.uptime)
			assert_true(status.last_ago <= snapshot.uptime);
		else if (status.has_last)
			assert_int_equal(status.last_ago, snapshot.written_ago);
		if (status.has_end)
			assert_true(status.end_ago <= snapshot.uptime + SECOND);
		assert_true(status.action >= 0);
		assert_true(status.interval.ms <= account.interval.ms + 1);
		assert_true(status.next_in.ms <= HOUR);
		assert_true(status.limit.used <= STATE_LINES * STATE_LINE_CELLS);
		assert_true(status.limit.full <= status.limit.used);
		assert_true(status.limit.fullest <= account.limit.burst + 1);
		assert_true(*next_why_name(status.next) != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_start_is_known_for_longer_than_words_last),
		cmocka_unit_test(last_start_before_the_boot_is_as_old_as_the_file),
		cmocka_unit_test(what_is_left_of_the_interval_is_never_more_than_it),
		cmocka_unit_test(due_time_is_bounded_wherever_the_circle_turns),
		cmocka_unit_test(end_of_the_last_run_is_of_this_boot_or_not_known),
		cmocka_unit_test(G6_damaged_words_say_nothing_impossible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
