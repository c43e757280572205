/* SPDX-License-Identifier: ISC */
/* Processes that take turns with real files, for the tests of the turn (turn*.c). */
#ifndef NMNOTIFY_STAGE_H
#define NMNOTIFY_STAGE_H

#include "unit.h"

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

static inline struct turn turn_of(const struct stage *stage)
{
	struct turn turn = {
		.state = stage->state, .fd = -1, .interval = stage->interval, .reach = stage->reach
	};
	struct state_error error;

	(void)turn_open(&turn, stage->directory, &error);
	return turn;
}

static inline struct stage *stage_make(void **state, uint32_t interval_ms, uint32_t reach_ms)
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
static inline void stage_clear(struct stage *stage)
{
	(void)close(stage->probe.fd);
	(void)unlinkat(stage->directory, STATE_LIMITS, 0);
	(void)unlinkat(stage->directory, STATE_TURN, 0);
	unit_unshare(stage->state, sizeof(struct state));
	unit_unshare(stage, sizeof(*stage));
}

static inline struct moment from_now(int32_t ms)
{
	return (struct moment){ .ms = moment_now().ms + (uint32_t)ms };
}

static inline void halt_if(const struct player *player, enum halt here)
{
	if (player->halt == here)
		unit_halt();
}

/* The start itself, and what its guarantees are about: its time, and that it is alone. */
static inline void perform(struct stage *stage, struct player *player, struct turn *turn)
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

static inline enum turn_place play_turn(
	struct stage *stage, struct player *player, struct turn *turn)
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

static inline int play(void *context)
{
	struct casting *casting = context;
	struct turn turn = turn_of(casting->stage);

	return play_turn(casting->stage, casting->player, &turn) == TURN_FAILED;
}

/* Starts player number `number`, as told. */
static inline pid_t enter(struct stage *stage, unsigned number, struct player player)
{
	struct casting casting = { .stage = stage, .player = &stage->player[number] };

	stage->player[number] = player;
	return unit_fork(play, &casting);
}

static inline struct player line_at(struct moment allowed)
{
	return (struct player){ .has_line = true, .allowed = allowed };
}

static inline struct player line_now(enum halt halt)
{
	return (struct player){ .has_line = true, .allowed = moment_now(), .halt = halt };
}

/* Waits until player `number` has joined, and how. */
static inline enum turn_place joined(struct stage *stage, unsigned number)
{
	assert_true(unit_await(&stage->player[number].joined));
	return atomic_load(&stage->player[number].joined) - 1;
}

/* A waiter that has died; what it owed stays. */
static inline void die_as_waiter(struct stage *stage, struct moment allowed)
{
	struct player player = line_at(allowed);
	pid_t child;

	player.halt = AT_JOINED;
	child = enter(stage, PLAYERS - 1, player);
	assert_int_equal(joined(stage, PLAYERS - 1), TURN_WAITER);
	unit_kill(child);
}

static inline uint32_t due(const struct stage *stage)
{
	return atomic_load(&stage->state->due);
}

/* How long a line takes to its start, with words of the state as they are. */
static inline uint64_t start_takes(struct stage *stage, bool has_line)
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

/* Linux 5.3; valgrind has it later than that. Without, an action of a killed supervisor is not
 * waited for. */
static inline bool has_pidfd_open(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	return fd >= 0 && close(fd) == 0;
}

#endif
