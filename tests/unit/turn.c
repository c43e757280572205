/* SPDX-License-Identifier: ISC */
#include "stage.h"

#include <linux/futex.h>
#include <sys/syscall.h>

/* ---- Joining ---- */

static int join_in_crowd(void *context)
{
	struct stage *stage = context;
	unsigned number = atomic_fetch_add(&stage->numbers, 1);
	struct player *player = &stage->player[number];
	struct turn turn = turn_of(stage);
	enum turn_place place;

	*player = line_now(GO_ON);
	unit_meet(&stage->here, stage->crowd);
	place = turn_join(&turn, &player->allowed);
	atomic_store(&player->joined, 1 + place);
	/* The waiter stays until all have joined. */
	unit_meet(&stage->running, stage->crowd);
	return place == TURN_FAILED;
}

static void G4_one_waiter_of_many(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);

	stage->crowd = 24;
	for (unsigned round = 0; round < 10; round++) {
		unsigned count[3] = { 0 };

		atomic_store(&stage->here, 0);
		atomic_store(&stage->numbers, 0);
		atomic_store(&stage->running, 0);
		atomic_store(&stage->state->due, 0);
		unit_crowd(stage->crowd, join_in_crowd, stage);
		for (unsigned i = 0; i < stage->crowd; i++)
			count[atomic_load(&stage->player[i].joined) - 1]++;
		assert_int_equal(count[TURN_WAITER], 1);
		assert_int_equal(count[TURN_COVERED], stage->crowd - 1);
	}
	stage_clear(stage);
}

static void G1_earlier_line_wakes_the_waiter(void **state)
{
	struct stage *stage = stage_make(state, 0, NEVER_MS);
	pid_t child = enter(stage, 0, line_at(from_now(NEVER_MS)));
	struct moment sooner;
	uint64_t begun = unit_ms();

	assert_int_equal(joined(stage, 0), TURN_WAITER);
	unit_sleep_ms(50); /* it sleeps by now; whether it does changes nothing */
	sooner = from_now(100);
	assert_int_equal(turn_join(&stage->probe, &sooner), TURN_COVERED);
	assert_int_equal(due(stage), sooner.ms);
	assert_int_equal(unit_reap(child), 0);
	assert_in_range(unit_ms() - begun, 149, 150 + UNIT_SLACK_MS);
	assert_int_equal(due(stage), 0);
	stage_clear(stage);
}

struct sleeper {
	struct stage *stage;
	_Atomic unsigned is_here;
};

/* Sleeps on the word as one does who looks again. */
static int sleep_on_due(void *context)
{
	struct sleeper *sleeper = context;

	atomic_store(&sleeper->is_here, 1);
	(void)syscall(SYS_futex, &sleeper->stage->state->due, FUTEX_WAIT, 0, NULL, NULL, 0);
	return 0;
}

/* The one wake-up of a lowering must not go to somebody else who sleeps on the same word. */
static void G1_earlier_line_wakes_the_waiter_whoever_else_sleeps(void **state)
{
	struct stage *stage = stage_make(state, 0, NEVER_MS);
	struct sleeper *sleeper = unit_shared(sizeof(*sleeper));
	pid_t other, child;
	struct moment sooner;
	uint64_t begun;

	sleeper->stage = stage;
	other = unit_fork(sleep_on_due, sleeper);
	assert_true(unit_await(&sleeper->is_here));
	unit_sleep_ms(30);
	child = enter(stage, 0, line_at(from_now(3000)));
	assert_int_equal(joined(stage, 0), TURN_WAITER);
	unit_sleep_ms(50);
	sooner = moment_now();
	begun = unit_ms();
	assert_int_equal(turn_join(&stage->probe, &sooner), TURN_COVERED);
	assert_int_equal(unit_reap(child), 0);
	assert_in_range(unit_ms() - begun, 0, UNIT_SLACK_MS);
	unit_kill(other);
	unit_unshare(sleeper, sizeof(*sleeper));
	stage_clear(stage);
}

static void G1_later_line_changes_nothing(void **state)
{
	struct stage *stage = stage_make(state, 0, NEVER_MS);
	struct moment first = from_now(200), later = from_now(201);
	pid_t child = enter(stage, 0, line_at(first));

	assert_int_equal(joined(stage, 0), TURN_WAITER);
	assert_int_equal(turn_join(&stage->probe, &later), TURN_COVERED);
	assert_int_equal(turn_join(&stage->probe, &first), TURN_COVERED);
	assert_int_equal(due(stage), first.ms);
	assert_int_equal(unit_reap(child), 0);
	stage_clear(stage);
}

/* ---- Covered ---- */

static void G1_line_is_covered_by_a_live_waiter_in_time_alone(void **state)
{
	struct stage *stage = stage_make(state, 0, NEVER_MS);
	struct moment at = from_now(NEVER_MS / 2);
	struct player player = line_at(at);
	pid_t child;

	assert_false(turn_is_covered(&stage->probe, at));
	player.halt = AT_JOINED;
	child = enter(stage, 0, player);
	assert_int_equal(joined(stage, 0), TURN_WAITER);
	assert_true(turn_is_covered(&stage->probe, at));
	assert_true(turn_is_covered(&stage->probe, moment_add(at, (struct span){ .ms = 1 })));
	assert_false(turn_is_covered(&stage->probe, moment_sub(at, (struct span){ .ms = 1 })));
	assert_false(turn_is_covered(&stage->probe, moment_now()));
	unit_kill(child);
	assert_false(turn_is_covered(&stage->probe, at));
	assert_int_equal(due(stage), at.ms);
	stage_clear(stage);
}

static void G1_line_is_not_covered_by_a_start_that_was_made(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	pid_t child = enter(stage, 0, line_now(AT_EXECUTED));

	assert_true(unit_await(&stage->player[0].started));
	unit_sleep_ms(20);
	assert_false(turn_is_covered(&stage->probe, from_now(100)));
	unit_kill(child);
	stage_clear(stage);
}

/* ---- Debts ---- */

static void G5_debt_of_a_dead_waiter_is_seen_until_it_is_taken(void **state)
{
	struct stage *stage = stage_make(state, 0, NEVER_MS);
	struct player player = line_at(from_now(NEVER_MS));
	pid_t child;

	assert_false(turn_has_debt(&stage->probe));
	player.halt = AT_JOINED;
	child = enter(stage, 0, player);
	assert_int_equal(joined(stage, 0), TURN_WAITER);
	assert_false(turn_has_debt(&stage->probe));
	unit_kill(child);
	assert_true(turn_has_debt(&stage->probe));
	child = enter(stage, 1, (struct player){ .halt = AT_JOINED });
	assert_int_equal(joined(stage, 1), TURN_WAITER);
	assert_false(turn_has_debt(&stage->probe));
	unit_kill(child);
	assert_true(turn_has_debt(&stage->probe));
	stage_clear(stage);
}

/* Whatever the next connection says, the start is as soon as the dead process owed it, or sooner
 * if a line is allowed sooner; and it is no new debt. */
static void G5_debt_of_a_dead_waiter_is_paid_by_the_next(void **state)
{
	static const struct {
		int32_t debt_ms, line_ms; /* line_ms 0: no line */
		int32_t expected_ms;
	} table[] = {
		{ 1000, 0, 1000 },
		{ 1000, 3000, 1000 },
		{ 3000, 1000, 1000 },
		{ -100, 0, 0 },
		{ -100, 500, 0 },
	};

	for (unsigned i = 0; i < COUNT(table); i++) {
		struct stage *stage = stage_make(state, 0, 5000);
		uint32_t begun = moment_now().ms;
		struct player player =
			line_at((struct moment){ begun + (uint32_t)table[i].line_ms });
		pid_t child;

		die_as_waiter(stage, (struct moment){ begun + (uint32_t)table[i].debt_ms });
		player.has_line = table[i].line_ms != 0;
		player.halt = AT_JOINED;
		child = enter(stage, 0, player);
		assert_int_equal(joined(stage, 0), TURN_WAITER);
		assert_false(stage->player[0].new_debt);
		if (table[i].expected_ms > 0)
			assert_int_equal(due(stage) - begun, table[i].expected_ms);
		unit_kill(child);
		/* And it is paid, in the end. */
		assert_int_equal(unit_reap(enter(stage, 1, (struct player){ .halt = GO_ON })), 0);
		assert_in_range(moment_now().ms - begun + 1, table[i].expected_ms,
			table[i].expected_ms + UNIT_SLACK_MS);
		assert_int_equal(atomic_load(&stage->player[1].ended), 1);
		assert_false(turn_has_debt(&stage->probe));
		assert_int_equal(due(stage), 0);
		stage_clear(stage);
	}
}

static void G5_waiter_without_debt_before_it_owes_a_new_one(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);

	assert_int_equal(unit_reap(enter(stage, 0, line_now(GO_ON))), 0);
	assert_true(stage->player[0].new_debt);
	stage_clear(stage);
}

/* Between the start and the executed action, the debt is the supervisor's; then it is paid. */
static void G5_debt_lasts_until_the_action_is_executed(void **state)
{
	static const struct {
		enum halt halt;
		bool is_owed;
	} table[] = {
		{ AT_WAITED, true },
		{ AT_STARTED, true },
		{ AT_ACTING, true },
		{ AT_EXECUTED, false },
	};

	for (unsigned i = 0; i < COUNT(table); i++) {
		struct stage *stage = stage_make(state, 0, 1000);
		pid_t child = enter(stage, 0, line_now(table[i].halt));

		assert_true(unit_await(&stage->player[0].waited));
		unit_sleep_ms(30);
		assert_false(turn_has_debt(&stage->probe));
		unit_kill(child);
		assert_int_equal(turn_has_debt(&stage->probe), table[i].is_owed);
		if (table[i].is_owed) {
			assert_int_equal(
				unit_reap(enter(stage, 1, (struct player){ .halt = GO_ON })), 0);
			assert_int_equal(atomic_load(&stage->player[1].ended), 1);
			assert_false(turn_has_debt(&stage->probe));
		}
		stage_clear(stage);
	}
}

/* It had been due already: it does not wait until the source conforms whose line finds it. */
static void G5_debt_of_a_dead_supervisor_waits_for_nobody_s_limit(void **state)
{
	struct stage *stage = stage_make(state, 0, NEVER_MS);
	uint64_t begun = unit_ms();

	atomic_store(&stage->state->owed, 1);
	assert_int_equal(unit_reap(enter(stage, 0, line_at(from_now(NEVER_MS)))), 0);
	assert_int_equal(atomic_load(&stage->player[0].ended), 1);
	assert_in_range(unit_ms() - begun, 0, UNIT_SLACK_MS);
	stage_clear(stage);
}

/* Whoever only looks for debts, and sees one that is paid before he gets his turn, must not start:
 * senders of rubbish are not charged for anything. */
static void G3_nobody_without_line_starts_what_nobody_owes(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	pid_t child;

	assert_int_equal(unit_reap(enter(stage, 0, (struct player){ .halt = GO_ON })), 0);
	assert_int_equal(atomic_load(&stage->player[0].joined), 1 + TURN_COVERED);
	assert_int_equal(atomic_load(&stage->player[0].started), 0);
	assert_int_equal(due(stage), 0);
	/* A run in progress whose debt is in good hands. */
	child = enter(stage, 0, line_now(AT_STARTED));
	assert_true(unit_await(&stage->player[0].started));
	assert_int_equal(turn_join(&stage->probe, NULL), TURN_COVERED);
	assert_int_equal(due(stage), 0);
	unit_kill(child);
	stage_clear(stage);
}

static void G5_debt_left_for_the_next_is_paid(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	struct moment first = from_now(300), sooner = from_now(100);

	turn_owe(&stage->probe, first);
	assert_int_equal(due(stage), first.ms);
	assert_true(turn_has_debt(&stage->probe));
	turn_owe(&stage->probe, sooner);
	assert_int_equal(due(stage), sooner.ms);
	turn_owe(&stage->probe, first);
	assert_int_equal(due(stage), sooner.ms);
	assert_int_equal(unit_reap(enter(stage, 0, (struct player){ .halt = GO_ON })), 0);
	assert_int_equal(atomic_load(&stage->player[0].ended), 1);
	assert_false(turn_has_debt(&stage->probe));
	stage_clear(stage);
}

static void G1_debt_left_to_a_live_waiter_wakes_it(void **state)
{
	struct stage *stage = stage_make(state, 0, NEVER_MS);
	pid_t child = enter(stage, 0, line_at(from_now(NEVER_MS)));
	uint64_t begun = unit_ms();

	assert_int_equal(joined(stage, 0), TURN_WAITER);
	unit_sleep_ms(30);
	turn_owe(&stage->probe, moment_now());
	assert_int_equal(unit_reap(child), 0);
	assert_in_range(unit_ms() - begun, 0, 30 + UNIT_SLACK_MS);
	stage_clear(stage);
}

/* ---- A line that is held up between its reading and its turn ---- */

static void G1_line_that_a_start_has_overtaken_starts_nothing(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	struct turn turn = turn_of(stage);
	struct moment now = moment_now(), later = from_now(NEVER_MS);
	pid_t waiter;

	turn_note(&turn);
	assert_int_equal(unit_reap(enter(stage, 0, line_now(GO_ON))), 0);
	assert_int_equal(turn_join(&turn, &now), TURN_COVERED);
	assert_int_equal(due(stage), 0);
	/* Nor does it wake another line's waiter. */
	waiter = enter(stage, 1, line_at(later));
	assert_int_equal(joined(stage, 1), TURN_WAITER);
	assert_int_equal(turn_join(&turn, &now), TURN_COVERED);
	assert_int_equal(due(stage), later.ms);
	unit_kill(waiter);
	(void)close(turn.fd);
	stage_clear(stage);
}

/* Only a start behind its reading covers it. */
static void G1_line_read_behind_a_start_is_not_overtaken_by_it(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	struct turn turn = turn_of(stage);
	struct moment now = moment_now();

	assert_int_equal(unit_reap(enter(stage, 0, line_now(GO_ON))), 0);
	turn_note(&turn);
	assert_int_equal(turn_join(&turn, &now), TURN_WAITER);
	(void)close(turn.fd);
	stage_clear(stage);
}

/* The start that has overtaken it was never executed: then its debt is this line's to pay. */
static void G5_line_that_a_dead_start_has_overtaken_pays_its_debt(void **state)
{
	static const enum halt halts[] = { AT_STARTED, AT_EXECUTED };

	for (unsigned i = 0; i < COUNT(halts); i++) {
		struct stage *stage = stage_make(state, 0, 1000);
		struct turn turn = turn_of(stage);
		struct moment now = moment_now();
		pid_t child;

		turn_note(&turn);
		child = enter(stage, 0, line_now(halts[i]));
		assert_true(unit_await(&stage->player[0].started));
		unit_sleep_ms(20);
		unit_kill(child);
		assert_int_equal(turn_join(&turn, &now),
			halts[i] == AT_STARTED ? TURN_WAITER : TURN_COVERED);
		assert_true(halts[i] != AT_STARTED || turn_ready(&turn));
		(void)close(turn.fd);
		stage_clear(stage);
	}
}

/* ---- A waiter that is stopped where its debt is not written ---- */

struct holder {
	struct stage *stage;
	_Atomic unsigned is_here;
};

/* Holds `waiting`, and owes nothing: stopped between taking it and writing `due`. */
static int hold_waiting(void *context)
{
	struct holder *holder = context;
	struct turn turn = turn_of(holder->stage);
	struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };

	if (fcntl(turn.fd, F_OFD_SETLK, &range) != 0)
		return 1;
	atomic_store(&holder->is_here, 1);
	unit_halt();
}

/* A line that it is said to cover must not be lost with it. */
static void G5_line_that_met_a_stopped_waiter_stays_owed(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	struct holder *holder = unit_shared(sizeof(*holder));
	struct moment now = moment_now();
	uint64_t begun = unit_ms();
	pid_t child;

	holder->stage = stage;
	child = unit_fork(hold_waiting, holder);
	assert_true(unit_await(&holder->is_here));
	assert_int_equal(turn_join(&stage->probe, &now), TURN_COVERED);
	assert_in_range(unit_ms() - begun, 0, 1500 + UNIT_SLACK_MS);
	unit_kill(child);
	assert_true(turn_has_debt(&stage->probe));
	unit_unshare(holder, sizeof(*holder));
	stage_clear(stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST_PLACE(G4_one_waiter_of_many),
		UNIT_TEST_PLACE(G1_earlier_line_wakes_the_waiter),
		UNIT_TEST_PLACE(G1_earlier_line_wakes_the_waiter_whoever_else_sleeps),
		UNIT_TEST_PLACE(G1_later_line_changes_nothing),
		UNIT_TEST_PLACE(G1_line_is_covered_by_a_live_waiter_in_time_alone),
		UNIT_TEST_PLACE(G1_line_is_not_covered_by_a_start_that_was_made),
		UNIT_TEST_PLACE(G5_debt_of_a_dead_waiter_is_seen_until_it_is_taken),
		UNIT_TEST_PLACE(G5_debt_of_a_dead_waiter_is_paid_by_the_next),
		UNIT_TEST_PLACE(G5_waiter_without_debt_before_it_owes_a_new_one),
		UNIT_TEST_PLACE(G5_debt_lasts_until_the_action_is_executed),
		UNIT_TEST_PLACE(G5_debt_of_a_dead_supervisor_waits_for_nobody_s_limit),
		UNIT_TEST_PLACE(G3_nobody_without_line_starts_what_nobody_owes),
		UNIT_TEST_PLACE(G5_debt_left_for_the_next_is_paid),
		UNIT_TEST_PLACE(G1_debt_left_to_a_live_waiter_wakes_it),
		UNIT_TEST_PLACE(G1_line_that_a_start_has_overtaken_starts_nothing),
		UNIT_TEST_PLACE(G1_line_read_behind_a_start_is_not_overtaken_by_it),
		UNIT_TEST_PLACE(G5_line_that_a_dead_start_has_overtaken_pays_its_debt),
		UNIT_TEST_PLACE(G5_line_that_met_a_stopped_waiter_stays_owed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
