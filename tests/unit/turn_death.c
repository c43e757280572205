/* SPDX-License-Identifier: ISC */
#include "stage.h"

/* ---- Everything at once ---- */

/* A line, as a process of its own would do it: it is lost if no start comes behind it. */
static void one_line(struct stage *stage, struct player *player, uint64_t *seed)
{
	struct turn turn = turn_of(stage);
	uint64_t arrived = unit_ns();
	enum turn_place place;

	*player = line_at(from_now((int32_t)random_below(seed, 4)));
	place = play_turn(stage, player, &turn);
	if (place == TURN_FAILED)
		atomic_fetch_add(&stage->failures, 1);
	while (place == TURN_COVERED && atomic_load(&stage->last_executed_ns) < arrived) {
		if (unit_ns() - arrived > 5000000000u) {
			atomic_fetch_add(&stage->lost, 1);
			break;
		}
		unit_sleep_us(50);
	}
	(void)close(turn.fd);
}

static int many_lines(void *context)
{
	struct stage *stage = context;
	unsigned number = atomic_fetch_add(&stage->numbers, 1);
	uint64_t seed = number + 1;

	while (unit_ns() < stage->end_ns)
		one_line(stage, &stage->player[number], &seed);
	return 0;
}

static void G1_every_line_is_followed_by_a_start(void **state)
{
	struct stage *stage = stage_make(state, 2, 10);

	stage->end_ns = unit_ns() + 700000000;
	unit_crowd(12, many_lines, stage);
	assert_int_equal(atomic_load(&stage->lost), 0);
	assert_int_equal(atomic_load(&stage->too_soon), 0);
	assert_int_equal(atomic_load(&stage->overlaps), 0);
	assert_int_equal(atomic_load(&stage->failures), 0);
	/* Lowering has left no debt behind a start that paid it. */
	assert_int_equal(due(stage), 0);
	assert_int_equal(atomic_load(&stage->state->owed), 0);
	assert_true(atomic_load(&stage->state->starts) > 20);
	stage_clear(stage);
}

/* Rubbish all the while: it starts nothing, so that there is a start for each line at most. */
static int look_for_debts(void *context)
{
	struct stage *stage = context;
	struct player *player = &stage->player[atomic_fetch_add(&stage->numbers, 1)];

	while (unit_ns() < stage->end_ns) {
		struct turn turn = turn_of(stage);

		if (turn_has_debt(&turn)) {
			*player = (struct player){ .has_line = false };
			(void)play_turn(stage, player, &turn);
			if (atomic_load(&player->started))
				atomic_fetch_add(&stage->lost, 1); /* nobody has died */
		}
		(void)close(turn.fd);
	}
	return 0;
}

static void G3_rubbish_starts_nothing_while_lines_do(void **state)
{
	struct stage *stage = stage_make(state, 0, 10);
	pid_t child[4];

	stage->end_ns = unit_ns() + 500000000;
	for (unsigned i = 0; i < COUNT(child); i++)
		child[i] = unit_fork(i == 0 ? many_lines : look_for_debts, stage);
	for (unsigned i = 0; i < COUNT(child); i++)
		assert_int_equal(unit_reap(child[i]), 0);
	assert_int_equal(atomic_load(&stage->lost), 0);
	stage_clear(stage);
}

/* ---- Death at any point ---- */

/* All that a dead process leaves behind for the others. */
struct traces {
	uint32_t due, last_start, owed, action;
	bool is_waiting, is_running, has_joined, has_executed;
};

static bool is_locked(const struct stage *stage, off_t byte)
{
	struct flock range = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};

	return fcntl(stage->probe.fd, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
}

static struct traces traces_of(struct stage *stage)
{
	struct traces traces;

	memset(&traces, 0, sizeof(traces)); /* padding, too: they are compared */
	traces.due = due(stage);
	traces.last_start = atomic_load(&stage->state->last_start);
	traces.owed = atomic_load(&stage->state->owed);
	traces.action = atomic_load(&stage->state->action);
	traces.is_waiting = is_locked(stage, 0);
	traces.is_running = is_locked(stage, 1);
	traces.has_joined = atomic_load(&stage->player[0].joined) != 0;
	traces.has_executed = atomic_load(&stage->last_executed_ns) != 0;
	return traces;
}

static pid_t step_player(struct stage *stage, struct player player)
{
	struct casting casting = { .stage = stage, .player = &stage->player[0] };
	pid_t child;

	stage->player[0] = player;
	child = unit_step_begin(play, &casting);
	if (child < 0)
		skip();
	return child;
}

/* Steps until its traces have changed `changes` times. False: it ended before. */
static bool step_to_change(struct stage *stage, pid_t child, unsigned changes)
{
	struct traces before = traces_of(stage);

	while (changes > 0) {
		struct traces now;

		if (!unit_step(child) || atomic_load(&stage->player[0].ended))
			return false;
		now = traces_of(stage);
		changes -= memcmp(&now, &before, sizeof(now)) != 0;
		before = now;
	}
	return true;
}

/* Killed behind every change that it makes: its debt is seen, and whoever comes pays it. */
static void G5_killed_at_any_instruction_it_leaves_nothing_stuck_and_nothing_lost(void **state)
{
	unsigned changes = 0;
	bool goes_on = true;

	if (!unit_can_step())
		skip();
	for (; goes_on; changes++) {
		struct stage *stage = stage_make(state, 0, 1000);
		struct player player = line_now(GO_ON);
		struct traces traces;
		pid_t child;

		player.action = 0x7ffffff0; /* nobody */
		child = step_player(stage, player);
		goes_on = step_to_change(stage, child, changes);
		unit_kill(child);
		traces = traces_of(stage);
		assert_false(traces.is_waiting || traces.is_running);
		if (traces.has_joined && !traces.has_executed)
			assert_true(turn_has_debt(&stage->probe));
		atomic_store(&stage->running, 0);
		assert_in_range(start_takes(stage, true), 0, UNIT_SLACK_MS);
		assert_false(turn_has_debt(&stage->probe));
		stage_clear(stage);
	}
	assert_in_range(changes, 10, 100); /* locks and words taken, written and given back */
}

/* Another line comes while the waiter is held up at any instruction. */
static void line_meanwhile(struct stage *stage, pid_t waiter, bool goes_on)
{
	pid_t other = enter(stage, 1, line_now(GO_ON));
	uint64_t deadline = unit_ms() + 3;

	while (atomic_load(&stage->player[1].joined) == 0 && unit_ms() < deadline)
		unit_sleep_us(50);
	if (goes_on) {
		unit_step_end(waiter);
		assert_int_equal(unit_reap(waiter), 0);
	}
	assert_int_equal(unit_reap(other), 0);
}

/* It is covered by the waiter's start, which then comes later, or starts by itself. */
static void G1_line_at_any_instruction_of_the_waiter_is_followed_by_a_start(void **state)
{
	unsigned steps = 0;
	bool goes_on = true;

	if (!unit_can_step())
		skip();
	for (; goes_on; steps += 41) {
		struct stage *stage = stage_make(state, 0, 1000);
		/* The waiter's own time is later: the line has to lower it. */
		pid_t child = step_player(stage, line_at(from_now(steps % 2 ? 0 : 20)));
		uint64_t arrived;

		goes_on = unit_steps(child, steps);
		arrived = unit_ns();
		line_meanwhile(stage, child, goes_on);
		assert_true(atomic_load(&stage->last_executed_ns) >= arrived);
		assert_int_equal(due(stage), 0);
		assert_int_equal(atomic_load(&stage->state->owed), 0);
		assert_int_equal(atomic_load(&stage->overlaps), 0);
		stage_clear(stage);
		assert_in_range(steps, 0, 20000);
	}
	assert_true(steps > 200);
}

static void set_lock(const struct stage *stage, off_t byte, short type)
{
	struct flock range = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

	assert_int_equal(fcntl(stage->probe.fd, F_OFD_SETLK, &range), 0);
}

/* Rubbish comes while a start is being executed, and is held up at any instruction until the run
 * has ended: what was owed when it looked is not owed any more. */
static void G3_debt_that_is_paid_meanwhile_is_not_paid_by_rubbish(void **state)
{
	bool goes_on = true;

	if (!unit_can_step())
		skip();
	for (unsigned steps = 0; goes_on; steps += 5) {
		struct stage *stage = stage_make(state, 0, 1000);
		pid_t child;

		atomic_store(&stage->state->owed, 1);
		set_lock(stage, 1, F_WRLCK);
		child = step_player(stage, (struct player){ .has_line = false });
		goes_on = unit_steps(child, steps) && atomic_load(&stage->player[0].joined) == 0;
		atomic_store(&stage->state->owed, 0);
		set_lock(stage, 1, F_UNLCK);
		unit_step_end(child);
		(void)unit_reap(child);
		assert_int_equal(atomic_load(&stage->player[0].started), 0);
		assert_int_equal(due(stage), 0);
		stage_clear(stage);
		assert_in_range(steps, 0, 20000);
	}
}

/* Somebody lowers the debt of a dead process while a waiter takes it over, who would start much
 * later by himself: held up at any instruction, he must not write over it. */
static void G1_lowering_is_not_lost_at_any_instruction_of_a_takeover(void **state)
{
	bool goes_on = true;

	if (!unit_can_step())
		skip();
	for (unsigned steps = 0; goes_on; steps += 9) {
		struct stage *stage = stage_make(state, 0, NEVER_MS);
		uint64_t arrived;
		pid_t waiter, other;

		atomic_store(&stage->state->due, from_now(NEVER_MS / 2).ms);
		waiter = step_player(stage, line_at(from_now(NEVER_MS / 2)));
		goes_on = unit_steps(waiter, steps) && !is_locked(stage, 1);
		arrived = unit_ns();
		other = enter(stage, 1, line_now(GO_ON));
		for (unsigned i = 0; i < 30 && atomic_load(&stage->player[1].joined) == 0; i++)
			unit_sleep_us(100);
		unit_step_end(waiter);
		while (atomic_load(&stage->last_executed_ns) < arrived &&
			unit_ns() - arrived < UNIT_SLACK_MS * UINT64_C(1000000))
			unit_sleep_us(100);
		assert_true(atomic_load(&stage->last_executed_ns) >= arrived);
		assert_int_equal(unit_reap(other), 0);
		unit_kill(waiter); /* if it came behind the other, it waits for long */
		stage_clear(stage);
		assert_in_range(steps, 0, 20000);
	}
}

/* Held up behind a start that has paid the debt: a line that comes now may not lower what is none,
 * or it would leave a debt that somebody pays again. */
static void G1_due_is_never_lowered_from_none(void **state)
{
	struct stage *stage = stage_make(state, 0, 1000);
	pid_t waiter, other;

	if (!unit_can_step())
		skip();
	waiter = step_player(stage, line_now(GO_ON));
	while (unit_step(waiter))
		if (due(stage) == 0 && is_locked(stage, 0) && is_locked(stage, 1))
			break;
	assert_int_not_equal(atomic_load(&stage->state->last_start), 0);
	other = enter(stage, 1, line_now(GO_ON));
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(due(stage), 0);
		unit_sleep_us(200);
	}
	assert_int_equal(atomic_load(&stage->player[1].joined), 0);
	unit_step_end(waiter);
	assert_int_equal(unit_reap(waiter), 0);
	assert_int_equal(unit_reap(other), 0);
	assert_int_equal(atomic_load(&stage->player[1].joined), 1 + TURN_WAITER);
	assert_int_equal(atomic_load(&stage->state->starts), 2);
	stage_clear(stage);
}

/* A few lines, and SIGKILLs to some of their processes at any time. When the last of the lines
 * came that are known to have been covered or to have a waiter. */
static uint64_t massacre(struct stage *stage, uint64_t *seed)
{
	uint64_t last = 0;
	pid_t child[6];

	for (unsigned i = 0; i < COUNT(child); i++) {
		child[i] = enter(stage, i, line_at(from_now((int32_t)random_below(seed, 3))));
		if (random_below(seed, 2) == 0)
			unit_sleep_us(random_below(seed, 1200));
		if (random_below(seed, 3) != 0) /* not waited for: it is there, dead or alive */
			(void)kill(child[random_below(seed, i + 1)], SIGKILL);
	}
	for (unsigned i = 0; i < COUNT(child); i++)
		(void)unit_reap(child[i]);
	for (unsigned i = 0; i < COUNT(child); i++)
		if (atomic_load(&stage->player[i].joined) != 0 &&
			stage->player[i].arrived_ns > last)
			last = stage->player[i].arrived_ns;
	return last;
}

/* After it all one more connection, if there is a debt; and no line is lost. */
static void G5_whoever_is_killed_no_line_is_lost(void **state)
{
	struct stage *stage = stage_make(state, 0, 5);
	unsigned debts = 0, known = 0;
	uint64_t seed = 10;

	for (unsigned round = 0; round < 150; round++) {
		uint64_t last = massacre(stage, &seed);

		atomic_store(&stage->running, 0);
		known += last != 0;
		if (turn_has_debt(&stage->probe)) {
			debts++;
			assert_in_range(start_takes(stage, false), 0, UNIT_SLACK_MS);
		}
		assert_false(turn_has_debt(&stage->probe));
		assert_true(atomic_load(&stage->last_executed_ns) >= last);
	}
	assert_true(debts > 0 && known > 50);
	stage_clear(stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST_PLACE(G1_every_line_is_followed_by_a_start),
		UNIT_TEST_PLACE(G3_rubbish_starts_nothing_while_lines_do),
		UNIT_TEST_PLACE(
			G5_killed_at_any_instruction_it_leaves_nothing_stuck_and_nothing_lost),
		UNIT_TEST_PLACE(G1_line_at_any_instruction_of_the_waiter_is_followed_by_a_start),
		UNIT_TEST_PLACE(G3_debt_that_is_paid_meanwhile_is_not_paid_by_rubbish),
		UNIT_TEST_PLACE(G1_lowering_is_not_lost_at_any_instruction_of_a_takeover),
		UNIT_TEST_PLACE(G1_due_is_never_lowered_from_none),
		UNIT_TEST_PLACE(G5_whoever_is_killed_no_line_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
