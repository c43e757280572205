/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#include "state/turn.h"

/* Later than any test waits. */
#define NEVER_MS 3600000

/* ---- A stage: real files, and what players say of themselves ---- */

enum halt { GO_ON, AT_JOINED, AT_WAITED, AT_STARTED, AT_ACTING, AT_EXECUTED };

struct player {
	/* What it is to do. */
	bool has_line;
	struct moment allowed;
	enum halt halt;  /* where it stays until it is killed */
	unsigned run_ms; /* how long its run takes */
	pid_t action;    /* if not 0: what it says that its run is */
	/* What it has done. */
	_Atomic unsigned joined; /* 1 + enum turn_place */
	_Atomic unsigned waited, started, ended;
	bool was_ready, new_debt;
	uint64_t arrived_ns, executed_ns;
};

#define PLAYERS 32

struct stage {
	int directory;
	struct span interval, reach;
	struct state *state;
	struct turn probe; /* the test's own: it looks, and joins as a line that is covered */
	_Atomic unsigned here, crowd;
	struct player player[PLAYERS];
	/* Of all players together. */
	_Atomic unsigned running, overlaps, too_soon, lost, failures;
	_Atomic uint64_t last_executed_ns;
	uint64_t end_ns;
	_Atomic unsigned numbers;
};

static struct turn turn_of(const struct stage *stage)
{
	struct turn turn = {
		.state = stage->state, .fd = -1, .interval = stage->interval, .reach = stage->reach
	};
	struct state_error error;

	(void)turn_open(&turn, stage->directory, &error);
	return turn;
}

static struct stage *stage_make(void **state, uint32_t interval_ms, uint32_t reach_ms)
{
	const struct unit_place *place = *state;
	struct stage *stage = unit_shared(sizeof(*stage));
	struct state_error error;

	stage->directory = place->fd;
	stage->interval.ms = interval_ms;
	stage->reach.ms = reach_ms;
	stage->state = state_map(place->fd, STATE_LIMITS, geteuid(), sizeof(struct state), &error);
	assert_non_null(stage->state);
	stage->probe = turn_of(stage);
	assert_true(stage->probe.fd >= 0);
	return stage;
}

/* The next one finds no files, as in the beginning. */
static void stage_clear(struct stage *stage)
{
	(void)close(stage->probe.fd);
	(void)unlinkat(stage->directory, STATE_LIMITS, 0);
	(void)unlinkat(stage->directory, STATE_TURN, 0);
	unit_unshare(stage->state, sizeof(struct state));
	unit_unshare(stage, sizeof(*stage));
}

static struct moment from_now(int32_t ms)
{
	return (struct moment){ .ms = moment_now().ms + (uint32_t)ms };
}

static void halt_if(const struct player *player, enum halt here)
{
	if (player->halt == here)
		unit_halt();
}

/* The start itself, and what its guarantees are about: its time, and that it is alone. */
static void perform(struct stage *stage, struct player *player, struct turn *turn)
{
	uint64_t before;

	turn_start(turn);
	atomic_store(&player->started, 1);
	halt_if(player, AT_STARTED);
	if (player->action != 0)
		turn_action_is(turn, player->action);
	halt_if(player, AT_ACTING);
	player->executed_ns = unit_ns();
	before = atomic_exchange(&stage->last_executed_ns, player->executed_ns);
	if (before != 0 && player->executed_ns - before < stage->interval.ms * UINT64_C(1000000))
		atomic_fetch_add(&stage->too_soon, 1);
	if (atomic_fetch_add(&stage->running, 1) != 0)
		atomic_fetch_add(&stage->overlaps, 1);
	turn_executed(turn);
	halt_if(player, AT_EXECUTED);
}

static enum turn_place play_turn(struct stage *stage, struct player *player, struct turn *turn)
{
	enum turn_place place;

	player->arrived_ns = unit_ns();
	place = turn_join(turn, player->has_line ? &player->allowed : NULL);
	player->new_debt = turn->new_debt;
	atomic_store(&player->joined, 1 + place);
	if (place != TURN_WAITER)
		return place;
	halt_if(player, AT_JOINED);
	player->was_ready = turn_ready(turn);
	if (!player->was_ready && !turn_wait(turn))
		return TURN_FAILED;
	atomic_store(&player->waited, 1);
	halt_if(player, AT_WAITED);
	perform(stage, player, turn);
	unit_sleep_ms(player->run_ms);
	atomic_fetch_sub(&stage->running, 1);
	turn_ended(turn);
	atomic_store(&player->ended, 1);
	return place;
}

struct casting {
	struct stage *stage;
	struct player *player;
};

static int play(void *context)
{
	struct casting *casting = context;
	struct turn turn = turn_of(casting->stage);

	return play_turn(casting->stage, casting->player, &turn) == TURN_FAILED;
}

/* Starts player number `number`, as told. */
static pid_t enter(struct stage *stage, unsigned number, struct player player)
{
	struct casting casting = { .stage = stage, .player = &stage->player[number] };

	stage->player[number] = player;
	return unit_fork(play, &casting);
}

static struct player line_at(struct moment allowed)
{
	return (struct player){ .has_line = true, .allowed = allowed };
}

static struct player line_now(enum halt halt)
{
	return (struct player){ .has_line = true, .allowed = moment_now(), .halt = halt };
}

/* Waits until player `number` has joined, and how. */
static enum turn_place joined(struct stage *stage, unsigned number)
{
	assert_true(unit_await(&stage->player[number].joined));
	return atomic_load(&stage->player[number].joined) - 1;
}

/* A waiter that has died; what it owed stays. */
static void die_as_waiter(struct stage *stage, struct moment allowed)
{
	struct player player = line_at(allowed);
	pid_t child;

	player.halt = AT_JOINED;
	child = enter(stage, PLAYERS - 1, player);
	assert_int_equal(joined(stage, PLAYERS - 1), TURN_WAITER);
	unit_kill(child);
}

static uint32_t due(const struct stage *stage)
{
	return atomic_load(&stage->state->due);
}

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

	assert_false(turn_has_orphan(&stage->probe));
	player.halt = AT_JOINED;
	child = enter(stage, 0, player);
	assert_int_equal(joined(stage, 0), TURN_WAITER);
	assert_false(turn_has_orphan(&stage->probe));
	unit_kill(child);
	assert_true(turn_has_orphan(&stage->probe));
	child = enter(stage, 1, (struct player){ .halt = AT_JOINED });
	assert_int_equal(joined(stage, 1), TURN_WAITER);
	assert_false(turn_has_orphan(&stage->probe));
	unit_kill(child);
	assert_true(turn_has_orphan(&stage->probe));
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
		{ 120, 0, 120 },
		{ 120, 400, 120 },
		{ 400, 120, 120 },
		{ -100, 0, 0 },
		{ -100, 500, 0 },
	};

	for (unsigned i = 0; i < COUNT(table); i++) {
		struct stage *stage = stage_make(state, 0, 1000);
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
		assert_false(turn_has_orphan(&stage->probe));
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
		assert_false(turn_has_orphan(&stage->probe));
		unit_kill(child);
		assert_int_equal(turn_has_orphan(&stage->probe), table[i].is_owed);
		if (table[i].is_owed) {
			assert_int_equal(
				unit_reap(enter(stage, 1, (struct player){ .halt = GO_ON })), 0);
			assert_int_equal(atomic_load(&stage->player[1].ended), 1);
			assert_false(turn_has_orphan(&stage->probe));
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
	assert_true(turn_has_orphan(&stage->probe));
	turn_owe(&stage->probe, sooner);
	assert_int_equal(due(stage), sooner.ms);
	turn_owe(&stage->probe, first);
	assert_int_equal(due(stage), sooner.ms);
	assert_int_equal(unit_reap(enter(stage, 0, (struct player){ .halt = GO_ON })), 0);
	assert_int_equal(atomic_load(&stage->player[0].ended), 1);
	assert_false(turn_has_orphan(&stage->probe));
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
	assert_true(turn_has_orphan(&stage->probe));
	unit_unshare(holder, sizeof(*holder));
	stage_clear(stage);
}

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
	assert_true(turn_asks(&other));
	turn_ask(&other, 7, moment_now());
	assert_false(turn_has_orphan(&stage->probe)); /* alive: it asks itself */
	turn_answer(&other, 6);
	assert_int_equal(close(other.fd), 0);
	assert_true(turn_has_orphan(&stage->probe)); /* another's answer is not its own */
	assert_int_equal(unit_reap(enter(stage, 0, (struct player){ .has_line = false })), 0);
	assert_int_equal(atomic_load(&stage->state->starts), 1);
	assert_false(turn_has_orphan(&stage->probe));
	turn_ask(&stage->probe, 0, moment_now());
	assert_true(turn_has_orphan(&stage->probe));
	turn_answer(&stage->probe, 0);
	assert_false(turn_has_orphan(&stage->probe));
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

/* Linux 5.3; valgrind has it later than that. Without, an action of a killed supervisor is not
 * waited for. */
static bool has_pidfd_open(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	return fd >= 0 && close(fd) == 0;
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

/* ---- Damage ---- */

/* How long a line takes to its start, with words of the state as they are. */
static uint64_t start_takes(struct stage *stage, bool has_line)
{
	uint64_t begun = unit_ms();
	struct player player = { .has_line = has_line, .allowed = moment_now() };

	assert_int_equal(unit_reap(enter(stage, 0, player)), 0);
	assert_int_equal(atomic_load(&stage->player[0].ended), 1);
	assert_int_equal(due(stage), 0);
	assert_int_equal(atomic_load(&stage->state->owed), 0);
	assert_int_equal(atomic_load(&stage->state->action), 0);
	return unit_ms() - begun;
}

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
		assert_true(turn_has_orphan(&stage->probe));
		assert_in_range(start_takes(stage, false), 0, UNIT_SLACK_MS);
		assert_false(turn_has_orphan(&stage->probe));
		stage_clear(stage);
	}
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
static int look_for_orphans(void *context)
{
	struct stage *stage = context;
	struct player *player = &stage->player[atomic_fetch_add(&stage->numbers, 1)];

	while (unit_ns() < stage->end_ns) {
		struct turn turn = turn_of(stage);

		if (turn_has_orphan(&turn)) {
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
		child[i] = unit_fork(i == 0 ? many_lines : look_for_orphans, stage);
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
			assert_true(turn_has_orphan(&stage->probe));
		atomic_store(&stage->running, 0);
		assert_in_range(start_takes(stage, true), 0, UNIT_SLACK_MS);
		assert_false(turn_has_orphan(&stage->probe));
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
		if (turn_has_orphan(&stage->probe)) {
			debts++;
			assert_in_range(start_takes(stage, false), 0, UNIT_SLACK_MS);
		}
		assert_false(turn_has_orphan(&stage->probe));
		assert_true(atomic_load(&stage->last_executed_ns) >= last);
	}
	assert_true(debts > 0 && known > 50);
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
		UNIT_TEST_PLACE(G2_starts_are_an_interval_apart),
		UNIT_TEST_PLACE(G2_interval_counts_from_the_executed_action),
		UNIT_TEST_PLACE(G2_run_waits_for_the_end_of_the_one_before),
		UNIT_TEST_PLACE(G1_waiter_is_ready_if_nothing_stands_against_it),
		UNIT_TEST_PLACE(G2_last_start_in_the_turn_file_counts_alone),
		UNIT_TEST_PLACE(G5_line_asked_for_by_a_dead_process_is_a_debt),
		UNIT_TEST_PLACE(G5_killed_supervisor_frees_its_turn),
		UNIT_TEST_PLACE(G2_run_waits_for_the_action_of_a_killed_supervisor),
		UNIT_TEST_PLACE(G6_any_words_delay_a_start_no_longer_than_interval_or_window),
		UNIT_TEST_PLACE(G6_debt_too_far_ahead_is_taken_for_the_window_s_end),
		UNIT_TEST_PLACE(G6_due_damaged_under_a_waiter_delays_it_no_further),
		UNIT_TEST_PLACE(G6_debt_half_the_circle_away_delays_no_longer),
		UNIT_TEST_PLACE(G6_last_start_half_the_circle_ago_changes_nothing),
		UNIT_TEST_PLACE(G6_action_that_is_somebody_else_delays_no_longer),
		UNIT_TEST_PLACE(G6_owed_word_of_any_value_is_one_debt),
		UNIT_TEST_PLACE(G2_interval_holds_while_the_clock_wraps_around),
		UNIT_TEST_PLACE(G1_start_owed_at_moment_0_is_owed),
		UNIT_TEST_PLACE(turn_file_that_cannot_be_had_is_told),
		UNIT_TEST_PLACE(turn_without_file_fails),
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
