/* SPDX-License-Identifier: ISC */
#include "stage.h"

/* ---- Starts ---- */

static void G2_starts_are_an_interval_apart(void **state)
{
	struct stage *stage = stage_make(state, 120, 1000);

	for (unsigned i = 0; i < 4; i++) {
		uint64_t begun = unit_ms();

		assert_int_equal(unit_reap(enter(stage, i, line_now(GO_ON))), 0);
		assert_int_equal(stage->player[i].was_ready, i == 0);
		if (i > 0)
			assert_in_range(
				(stage->player[i].executed_ns - stage->player[i - 1].executed_ns) /
					1000000,
				120, 122 + UNIT_SLACK_MS);
		assert_in_range(unit_ms() - begun, 0, 120 + UNIT_SLACK_MS);
	}
	assert_int_equal(atomic_load(&stage->state->starts), 4);
	stage_clear(stage);
}

/* The interval counts from the executed action, however long it took to get there. */
static void G2_interval_counts_from_the_executed_action(void **state)
{
	struct stage *stage = stage_make(state, 150, 1000);
	struct turn turn = turn_of(stage);
	struct moment now = moment_now();

	assert_int_equal(turn_join(&turn, &now), TURN_WAITER);
	assert_true(turn_ready(&turn));
	turn_start(&turn);
	unit_sleep_ms(100); /* a slow fork */
	atomic_store(&stage->last_executed_ns, unit_ns());
	turn_executed(&turn);
	turn_ended(&turn);
	assert_int_equal(unit_reap(enter(stage, 0, line_now(GO_ON))), 0);
	assert_int_equal(atomic_load(&stage->too_soon), 0);
	(void)close(turn.fd);
	stage_clear(stage);
}

static void G2_run_waits_for_the_end_of_the_one_before(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	struct player player = line_now(GO_ON);
	pid_t child[3];

	player.run_ms = 200;
	child[0] = enter(stage, 0, player);
	assert_true(unit_await(&stage->player[0].started));
	unit_sleep_ms(10);
	child[1] = enter(stage, 1, player);
	assert_int_equal(joined(stage, 1), TURN_WAITER);
	child[2] = enter(stage, 2, line_now(GO_ON));
	assert_int_equal(joined(stage, 2), TURN_COVERED);
	for (unsigned i = 0; i < COUNT(child); i++)
		assert_int_equal(unit_reap(child[i]), 0);
	assert_false(stage->player[1].was_ready);
	assert_true(stage->player[1].executed_ns - stage->player[0].executed_ns >= 200000000);
	assert_int_equal(atomic_load(&stage->overlaps), 0);
	assert_int_equal(atomic_load(&stage->state->starts), 2);
	stage_clear(stage);
}

/* In both places. */
static void last_start_set(struct stage *stage, uint32_t word)
{
	atomic_store(&stage->state->last_start, word);
	assert_int_equal(pwrite(stage->probe.fd, &word, sizeof(word), 0), sizeof(word));
}

static void G1_waiter_is_ready_if_nothing_stands_against_it(void **state)
{
	struct stage *stage = stage_make(state, NEVER_MS, NEVER_MS);

	assert_int_equal(unit_reap(enter(stage, 0, line_now(GO_ON))), 0);
	assert_true(stage->player[0].was_ready);
	last_start_set(stage, from_now(-NEVER_MS - 2).ms);
	assert_int_equal(unit_reap(enter(stage, 1, line_now(GO_ON))), 0);
	assert_true(stage->player[1].was_ready);
	last_start_set(stage, from_now(100 - NEVER_MS).ms);
	assert_int_equal(unit_reap(enter(stage, 2, line_now(GO_ON))), 0);
	assert_false(stage->player[2].was_ready);
	last_start_set(stage, 0);
	assert_int_equal(unit_reap(enter(stage, 3, line_at(from_now(100)))), 0);
	assert_false(stage->player[3].was_ready);
	stage_clear(stage);
}

/* The state is what nmnotifyd's network process can write to; the turn file is not. */
static void G2_last_start_in_the_turn_file_counts_alone(void **state)
{
	struct stage *stage = stage_make(state, NEVER_MS, NEVER_MS);

	last_start_set(stage, from_now(100 - NEVER_MS).ms);
	atomic_store(&stage->state->last_start, 0);
	assert_int_equal(unit_reap(enter(stage, 0, line_now(GO_ON))), 0);
	assert_false(stage->player[0].was_ready);
	stage_clear(stage);
}

static void G5_line_asked_for_by_a_dead_process_is_a_debt(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	struct turn other;
	struct state_error error;

	other = stage->probe;
	assert_true(turn_open(&other, stage->directory, &error));
	assert_true(turn_lock_asking(&other));
	turn_ask(&other, 7, moment_now());
	assert_false(turn_has_debt(&stage->probe)); /* alive: it asks itself */
	turn_answer(&other, 6);
	assert_int_equal(close(other.fd), 0);
	assert_true(turn_has_debt(&stage->probe)); /* another's answer is not its own */
	assert_int_equal(unit_reap(enter(stage, 0, (struct player){ .has_line = false })), 0);
	assert_int_equal(atomic_load(&stage->state->starts), 1);
	assert_false(turn_has_debt(&stage->probe));
	turn_ask(&stage->probe, 0, moment_now());
	assert_true(turn_has_debt(&stage->probe));
	turn_answer(&stage->probe, 0);
	assert_false(turn_has_debt(&stage->probe));
	stage_clear(stage);
}

/* As long as one holds `asking`, what another had asked for looks as if it were its own. */
static void G5_line_asked_for_is_a_debt_before_another_asks(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	struct turn first = stage->probe, second = stage->probe;
	struct state_error error;

	turn_ask(&stage->probe, 7, moment_now());
	assert_true(turn_open(&first, stage->directory, &error));
	assert_true(turn_lock_asking(&first));
	assert_int_equal(atomic_load(&stage->state->asked), 0);
	assert_true(turn_has_debt(&stage->probe));
	turn_ask(&first, 8, moment_now());
	assert_true(turn_open(&second, stage->directory, &error));
	assert_true(turn_lock_asking(&second));
	assert_int_equal(atomic_load(&stage->state->asked), 8); /* the first one lives */
	assert_int_equal(close(first.fd), 0);
	assert_int_equal(close(second.fd), 0);
	stage_clear(stage);
}

/* ---- Runs whose supervisor was killed ---- */

static void G5_killed_supervisor_frees_its_turn(void **state)
{
	static const enum halt halts[] = { AT_STARTED, AT_ACTING, AT_EXECUTED };

	for (unsigned i = 0; i < COUNT(halts); i++) {
		struct stage *stage = stage_make(state, 0, 1000);
		pid_t running = enter(stage, 0, line_now(halts[i])), waiting;
		uint64_t begun;

		assert_true(unit_await(&stage->player[0].started));
		waiting = enter(stage, 1, line_now(GO_ON));
		assert_int_equal(joined(stage, 1), TURN_WAITER);
		unit_sleep_ms(50);
		assert_int_equal(atomic_load(&stage->player[1].waited), 0);
		begun = unit_ms();
		unit_kill(running);
		assert_int_equal(unit_reap(waiting), 0);
		assert_in_range(unit_ms() - begun, 0, UNIT_SLACK_MS);
		stage_clear(stage);
	}
}

static int sleep_until_killed(void *context)
{
	(void)context;
	unit_halt();
}

/* The kernel frees the lock a moment before it kills the action: the next run waits for that. */
static void G2_run_waits_for_the_action_of_a_killed_supervisor(void **state)
{
	struct stage *stage = stage_make(state, 0, 20000);
	struct player player = line_now(AT_ACTING);
	pid_t action, child;

	if (!has_pidfd_open())
		skip();
	action = unit_fork(sleep_until_killed, NULL);
	player.action = action;
	child = enter(stage, 0, player);
	while (atomic_load(&stage->state->action) == 0)
		unit_sleep_us(200);
	unit_kill(child);
	child = enter(stage, 1, line_now(GO_ON));
	assert_int_equal(joined(stage, 1), TURN_WAITER);
	unit_sleep_ms(150);
	assert_int_equal(atomic_load(&stage->player[1].started), 0);
	unit_kill(action);
	assert_int_equal(unit_reap(child), 0);
	assert_false(stage->player[1].was_ready);
	assert_int_equal(atomic_load(&stage->state->action), 0);
	stage_clear(stage);
}

/* ---- Time ---- */

static int turns_over(void *context)
{
	struct stage *stage = context;
	uint32_t begun = moment_now().ms;

	stage->player[0] = line_at(from_now(50));  /* before the wrap */
	stage->player[1] = line_at(from_now(200)); /* after it */
	for (unsigned i = 0; i < 4; i++) {
		struct turn turn = turn_of(stage);

		if (i >= 2)
			stage->player[i] = line_now(GO_ON);
		if (play_turn(stage, &stage->player[i], &turn) != TURN_WAITER ||
			close(turn.fd) != 0)
			return 1;
	}
	return moment_now().ms < begun ? 0 : 2;
}

static void G2_interval_holds_while_the_clock_wraps_around(void **state)
{
	struct stage *stage = stage_make(state, 100, 1000);
	uint64_t begun = unit_ms();

	unit_expect(unit_before_wrap_run(120, turns_over, stage));
	assert_in_range(unit_ms() - begun, 400, 420 + UNIT_SLACK_MS);
	assert_int_equal(atomic_load(&stage->too_soon), 0);
	stage_clear(stage);
}

static int owe_at_0(void *context)
{
	struct stage *stage = context;
	struct turn turn = turn_of(stage);
	struct moment zero = { .ms = 0 };

	/* The moment whose word would say that nobody owes a start. */
	if (turn_join(&turn, &zero) != TURN_WAITER || due(stage) == 0)
		return 1;
	return turn_wait(&turn) ? 0 : 2;
}

static void G1_start_owed_at_moment_0_is_owed(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	uint64_t begun = unit_ms();

	unit_expect(unit_before_wrap_run(150, owe_at_0, stage));
	assert_in_range(unit_ms() - begun, 100, 150 + UNIT_SLACK_MS);
	stage_clear(stage);
}

/* ---- The file ---- */

static void turn_file_that_cannot_be_had_is_told(void **state)
{
	const struct unit_place *place = *state;
	struct turn turn = { .fd = -1 };
	struct state_error error;

	assert_int_equal(symlinkat("elsewhere", place->fd, STATE_TURN), 0);
	assert_false(turn_open(&turn, place->fd, &error));
	assert_string_equal(error.what, "cannot open");
	assert_string_equal(error.name, STATE_TURN);
	assert_int_equal(error.code, ELOOP);
	assert_int_equal(faccessat(place->fd, "elsewhere", F_OK, 0), -1);
	assert_int_equal(unlinkat(place->fd, STATE_TURN, 0), 0);
	assert_true(turn_open(&turn, place->fd, &error));
	assert_int_equal(fcntl(turn.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	(void)close(turn.fd);
}

static void turn_without_file_fails(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	struct turn turn = stage->probe;
	struct moment now = moment_now();

	turn.fd = -1;
	errno = 0;
	assert_int_equal(turn_join(&turn, &now), TURN_FAILED);
	assert_int_equal(errno, EBADF);
	assert_false(turn_ready(&turn));
	assert_false(turn_wait(&turn));
	assert_false(turn_is_covered(&turn, from_now(1000)));
	assert_int_equal(due(stage), 0);
	stage_clear(stage);
}

static void how_the_last_run_ended_is_noted(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	struct last_run last = turn_last_run(stage->state);

	assert_false(last.is_known);
	assert_int_equal(turn_note_end(&stage->probe, 1 << 8, true), 1);
	assert_int_equal(turn_note_end(&stage->probe, SIGTERM, true), 2);
	last = turn_last_run(stage->state);
	assert_true(last.is_known);
	assert_int_equal(last.status, SIGTERM);
	assert_int_equal(last.failures, 2);
	assert_int_equal(turn_note_end(&stage->probe, 0, false), 0);
	last = turn_last_run(stage->state);
	assert_int_equal(last.status, 0);
	assert_int_equal(last.failures, 0);
	assert_int_equal(last.failed, 2);
	stage_clear(stage);
}

static void retries_double_up_to_an_hour(void **state)
{
	static const struct {
		uint32_t retry, failures, expected;
	} table[] = { { 1000, 0, 1000 }, { 1000, 1, 1000 }, { 1000, 2, 2000 }, { 1000, 4, 8000 },
		{ 1000, 12, 2048000 }, { 1000, 13, 3600000 }, { 1000, UINT32_MAX, 3600000 },
		{ 1, UINT32_MAX, 3600000 }, { 3600000, 7, 3600000 },
		{ SPAN_MAX_MS, 9, SPAN_MAX_MS } };
	struct turn turn = { 0 };

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++) {
		turn.retry.ms = table[i].retry;
		assert_int_equal(turn_retry_span(&turn, table[i].failures).ms, table[i].expected);
	}
}

/* A run that has failed and is owed again, as one of this process. */
static struct turn failed_turn(struct stage *stage, uint32_t retry_ms)
{
	struct turn turn = turn_of(stage);
	struct moment now = moment_now();

	turn.retry.ms = retry_ms;
	stage->probe.retry = turn.retry;
	assert_int_equal(turn_join(&turn, &now), TURN_WAITER);
	assert_true(turn_wait(&turn));
	turn_start(&turn);
	turn_executed(&turn);
	assert_int_equal(atomic_load(&stage->state->owed), 1);
	(void)turn_note_end(&turn, 1 << 8, true);
	assert_int_equal(atomic_load(&stage->state->owed), 0);
	turn_ended(&turn);
	return turn;
}

static void G1_run_that_failed_is_owed_again(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	uint64_t begun = unit_ms();
	struct turn turn = failed_turn(stage, 300);

	assert_true(turn_has_debt(&stage->probe)); /* nobody sleeps for it yet */
	assert_in_range(turn_debt_rest(&stage->probe).ms, 0, 300);
	assert_int_equal(turn_await_retry(&turn), TURN_WAITER);
	assert_true(unit_ms() - begun >= 299);
	assert_false(turn_has_debt(&stage->probe));
	assert_true(turn_wait(&turn));
	turn_start(&turn);
	turn_executed(&turn);
	(void)turn_note_end(&turn, 0, false);
	turn_ended(&turn);
	assert_int_equal(turn_await_retry(&turn), TURN_COVERED);
	assert_false(turn_has_debt(&stage->probe));
	(void)close(turn.fd);
	stage_clear(stage);
}

static int await_retry(void *context)
{
	struct stage *stage = context;
	struct turn turn = turn_of(stage);

	turn.retry = stage->probe.retry;
	return (int)turn_await_retry(&turn);
}

static void G4_one_process_sleeps_for_a_retry(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	struct turn turn = failed_turn(stage, 3600000), line = turn_of(stage);
	struct moment now = moment_now();
	pid_t child = unit_fork(await_retry, stage);

	while (turn_has_debt(&stage->probe)) /* until it has the lock */
		unit_sleep_ms(1);
	assert_int_equal(turn_await_retry(&turn), TURN_COVERED);
	/* A line does not wait for it, and pays for making the start sooner. */
	line.retry = turn.retry;
	assert_int_equal(turn_join(&line, &now), TURN_WAITER);
	assert_true(line.new_debt);
	assert_true(turn_wait(&line));
	turn_start(&line);
	turn_executed(&line);
	assert_int_equal(unit_reap(child), TURN_COVERED);
	(void)turn_note_end(&line, 0, false);
	turn_ended(&line);
	(void)close(turn.fd);
	(void)close(line.fd);
	stage_clear(stage);
}

/* It looks like the waiter's, to a line that saw `waiting` taken a moment ago. */
static void G1_retry_that_a_line_made_sooner_is_not_forgotten(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	struct turn turn = failed_turn(stage, 3600000);
	pid_t child = unit_fork(await_retry, stage);

	while (turn_has_debt(&stage->probe))
		unit_sleep_ms(1);
	turn_owe(&stage->probe, from_now(50));
	assert_int_equal(unit_reap(child), TURN_WAITER);
	assert_true(turn_has_debt(&stage->probe)); /* it has ended without a start */
	(void)close(turn.fd);
	stage_clear(stage);
}

static void G6_retry_of_a_damaged_time_is_looked_at_now(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);

	stage->probe.retry.ms = 1000;
	atomic_store(&stage->state->due, from_now(2 * 3600 * 1000).ms);
	assert_true(turn_has_debt(&stage->probe));
	assert_int_equal(turn_debt_rest(&stage->probe).ms, 0);
	stage_clear(stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST_PLACE(G2_starts_are_an_interval_apart),
		UNIT_TEST_PLACE(G2_interval_counts_from_the_executed_action),
		UNIT_TEST_PLACE(G2_run_waits_for_the_end_of_the_one_before),
		UNIT_TEST_PLACE(G1_waiter_is_ready_if_nothing_stands_against_it),
		UNIT_TEST_PLACE(G2_last_start_in_the_turn_file_counts_alone),
		UNIT_TEST_PLACE(G5_line_asked_for_by_a_dead_process_is_a_debt),
		UNIT_TEST_PLACE(G5_line_asked_for_is_a_debt_before_another_asks),
		UNIT_TEST_PLACE(G5_killed_supervisor_frees_its_turn),
		UNIT_TEST_PLACE(G2_run_waits_for_the_action_of_a_killed_supervisor),
		UNIT_TEST_PLACE(G2_interval_holds_while_the_clock_wraps_around),
		UNIT_TEST_PLACE(G1_start_owed_at_moment_0_is_owed),
		UNIT_TEST_PLACE(how_the_last_run_ended_is_noted),
		UNIT_TEST_PLACE(retries_double_up_to_an_hour),
		UNIT_TEST_PLACE(G1_run_that_failed_is_owed_again),
		UNIT_TEST_PLACE(G4_one_process_sleeps_for_a_retry),
		UNIT_TEST_PLACE(G1_retry_that_a_line_made_sooner_is_not_forgotten),
		UNIT_TEST_PLACE(G6_retry_of_a_damaged_time_is_looked_at_now),
		UNIT_TEST_PLACE(turn_file_that_cannot_be_had_is_told),
		UNIT_TEST_PLACE(turn_without_file_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
