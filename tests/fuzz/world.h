/* SPDX-License-Identifier: ISC */
/*
 * The turn's and the limiter's own sources on a state whose words say anything (G6), in a world of one
 * process with a clock that is moved: whoever sleeps finds that time has passed. So a week is over at
 * once, and how long something blocked is known to the millisecond.
 *
 * There is another process in it, which may be the waiter, and then runs; and words may change while
 * we sleep. What must hold whatever the words say:
 *
 *   G6  nothing blocks for longer than a rate window or an interval, counted from the end of the run
 *       that it waits for, or from the last change of a word by a foreign hand
 *   G2  no start while another run goes on; none within an interval of the last one, unless the word
 *       that says when that was has been changed
 *   G1  whoever is told that he is covered sees a start after he came
 *   G5  what a process owes that is killed, the next one pays, unless the words that say so were changed
 *
 * The fuzzer makes the input from what it finds out; corrupt.c by chance, a million times.
 */
#ifndef NMNOTIFY_WORLD_H
#define NMNOTIFY_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

static int world_clock(clockid_t clock, struct timespec *now);
static long world_call(long number, ...);
static int world_poll(struct pollfd *pollfd, int timeout);
static int world_lock(int fd, int command, struct flock *range);
static int world_close(int fd);

/* The sources, with a world of ours around them. */
#define clock_gettime(clock, now)      world_clock(clock, now)
#define syscall(...)                   world_call(__VA_ARGS__)
#define poll(pollfd, count, timeout)   world_poll(pollfd, timeout)
#define fcntl(fd, command, range)      world_lock(fd, command, range)
#define close(fd)                      world_close(fd)
#define sigaction(number, action, old) ((void)(action), 0)
#include "../../src/state/limiter.c"
#include "../../src/state/turn.c"
#include "../../src/run/decision.c"
#undef clock_gettime
#undef syscall
#undef poll
#undef fcntl
#undef close
#undef sigaction

#define NEVER             UINT64_MAX
#define PIDFD             100000 /* no descriptor of ours */
#define TIMER             7
#define TIMER_AGAIN_MS    10
#define LOOK_MOST_MS      1000 /* at a waiter that neither says when it starts nor starts */
#define CALLS_MAX         100000 /* by one connection: more would be a loop without end */
#define OPERATIONS_MAX    40
#define HEADER_WORDS      ((uint32_t)(STATE_HEADER_BYTES / sizeof(uint32_t)))
#define WORDS             ((uint32_t)(sizeof(struct state) / sizeof(uint32_t)))

enum header_word { WORD_DUE, WORD_LAST_START, WORD_OWED, WORD_ACTION, WORD_KEY };

static struct {
	/* Made once. */
	int fd, other_fd; /* the turn file, as two processes have it open */
	struct state *state;
	uint64_t changes; /* of words by a foreign hand, in all inputs */
	uint64_t starts;

	struct input input;
	struct account account;
	uint64_t now;   /* of all clocks, in ms */
	uint64_t timer; /* when it fires */
	unsigned calls;

	/* The other process. */
	bool other_waits, other_runs;
	uint64_t other_starts, other_ends; /* when it will */
	uint32_t other_lasts;              /* how long its run will */

	/* A process that the word `action` names. */
	bool action_exists;
	uint64_t action_ends;

	/* A foreign hand that changes a word while we sleep. */
	uint64_t change_at;
	unsigned change_word;
	uint8_t change_mode;

	/* For the oracles. */
	bool has_started, is_last_touched; /* since the last start */
	uint64_t last_start, free_at, changed_at;
	bool is_debt; /* of a process that was killed, and nobody has touched the words since */
} world;

/* The words of the state as an array: what a foreign hand sees. */
static atomic_word *world_word(unsigned index)
{
	return (atomic_word *)world.state + index;
}

static uint32_t longest(void)
{
	uint32_t window = rate_window(world.account.limit).ms, interval = world.account.interval.ms;

	return window > interval ? window : interval;
}

/* ---- A foreign hand ---- */

enum change {
	CHANGE_ZERO,
	CHANGE_ONES,
	CHANGE_ANY,
	CHANGE_BIT,
	CHANGE_SOON, /* a moment near now */
	CHANGE_INTERVAL, /* about an interval from now, or ago */
	CHANGE_WINDOW,
	CHANGE_FAR, /* where the order of moments turns */
	CHANGE_ONE,
	CHANGES
};

#define CHANGE_PAST 128 /* a bit: the other way */

static uint32_t changed_word(uint32_t was, uint8_t mode)
{
	uint32_t now = (uint32_t)world.now, window = rate_window(world.account.limit).ms;
	uint32_t near = (uint32_t)(int8_t)take_byte(&world.input), sign = mode & CHANGE_PAST ? -1u : 1;

	switch (mode % CHANGE_PAST % CHANGES) {
	case CHANGE_ZERO: return 0;
	case CHANGE_ONES: return UINT32_MAX;
	case CHANGE_ANY: return take_word(&world.input);
	case CHANGE_BIT: return was ^ 1u << (near & 31);
	case CHANGE_SOON: return now + near;
	case CHANGE_INTERVAL: return now + sign * world.account.interval.ms + (near & 3) - 1;
	case CHANGE_WINDOW: return now + sign * window + (near & 3) - 1;
	case CHANGE_FAR: return now + 0x80000000u + (near & 3) - 1;
	default: return 1;
	}
}

static void world_change(unsigned index, uint8_t mode)
{
	atomic_word *word = world_word(index);

	atomic_store(word, changed_word(atomic_load(word), mode));
	world.changes++;
	world.changed_at = world.now;
	world.is_last_touched |= index == WORD_LAST_START;
	if (index == WORD_DUE || index == WORD_OWED)
		world.is_debt = false;
}

/* ---- Time passes ---- */

static void lock_set(int fd, enum turn_lock which, short type)
{
	struct flock range = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)which, .l_len = 1
	};

	must(fcntl(fd, F_OFD_SETLK, &range) == 0);
}

/* Whoever starts: G2. */
static void start_seen(void)
{
	if (world.has_started && !world.is_last_touched)
		must(world.now - world.last_start >= world.account.interval.ms);
	world.has_started = true;
	world.is_last_touched = false;
	world.last_start = world.now;
	world.starts++;
}

/* The other's start has no oracle: it is part of the world, not what is tested. */
static void other_start(void)
{
	lock_set(world.other_fd, LOCK_RUNNING, F_WRLCK);
	atomic_store(&world.state->last_start, moment_to_word(moment_of_word((uint32_t)world.now)));
	atomic_store(&world.state->due, 0);
	atomic_store(&world.state->owed, 0);
	lock_set(world.other_fd, LOCK_WAITING, F_UNLCK);
	world.has_started = true;
	world.is_last_touched = false;
	world.last_start = world.now;
	world.other_waits = false;
	world.other_runs = true;
	world.other_ends = world.now + world.other_lasts;
	world.is_debt = false;
}

static void other_end(void)
{
	lock_set(world.other_fd, LOCK_RUNNING, F_UNLCK);
	world.other_runs = false;
	world.free_at = world.now;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Until `until`, and all that happens before. */
static void world_pass(uint64_t until)
{
	for (;;) {
		uint64_t starts = world.other_waits && !world.other_runs ? world.other_starts : NEVER;
		uint64_t ends = world.other_runs ? world.other_ends : NEVER;
		uint64_t next = earliest(earliest(starts, ends), world.change_at);

		if (next > until)
			break;
		world.now = next > world.now ? next : world.now;
		if (next == world.change_at) {
			world.change_at = NEVER;
			world_change(world.change_word, world.change_mode);
		} else if (next == ends) {
			other_end();
		} else {
			other_start();
		}
	}
	world.now = until > world.now ? until : world.now;
}

/* ---- What the sources call ---- */

static int world_clock(clockid_t clock, struct timespec *now)
{
	(void)clock;
	must(world.calls++ < CALLS_MAX);
	*now = (struct timespec){ .tv_sec = (time_t)(world.now / 1000),
		.tv_nsec = (long)(world.now % 1000) * 1000000 };
	return 0;
}

static uint64_t milliseconds_of(const kernel_time *time)
{
	must(time[0] >= 0 && time[1] >= 0 && time[1] < 1000000000);
	return (uint64_t)time[0] * 1000 + (uint64_t)time[1] / 1000000;
}

/* The timer that is set fires, and then again and again, as long as it is not set anew. */
static uint64_t timer_next(void)
{
	if (world.timer != NEVER && world.timer < world.now)
		world.timer += (world.now - world.timer + TIMER_AGAIN_MS - 1) / TIMER_AGAIN_MS *
			       TIMER_AGAIN_MS;
	return world.timer;
}

static long futex_call(va_list list)
{
	atomic_word *word = va_arg(list, atomic_word *);
	int operation = va_arg(list, int);
	uint32_t value;
	const kernel_time *timeout;
	uint64_t until;

	if (operation == FUTEX_WAKE)
		return 0;
	must(operation == FUTEX_WAIT && word == &world.state->due);
	value = va_arg(list, uint32_t);
	timeout = va_arg(list, const kernel_time *);
	until = world.now + milliseconds_of(timeout);
	errno = EAGAIN;
	if (atomic_load(word) != value)
		return -1;
	errno = until < timer_next() ? ETIMEDOUT : EINTR;
	world_pass(earliest(until, timer_next()));
	return -1;
}

static long world_call(long number, ...)
{
	long result = 0;
	va_list list;

	must(world.calls++ < CALLS_MAX);
	va_start(list, number);
	if (number == FUTEX) {
		result = futex_call(list);
	} else if (number == SYS_timer_create) {
		must(va_arg(list, int) == CLOCK_BOOTTIME);
		(void)va_arg(list, struct sigevent *);
		*va_arg(list, int *) = TIMER;
	} else if (number == TIMER_SETTIME) {
		must(va_arg(list, int) == TIMER && va_arg(list, int) == 0);
		world.timer = world.now + milliseconds_of(va_arg(list, const kernel_time *) + 2);
	} else if (number == SYS_timer_delete) {
		must(va_arg(list, int) == TIMER);
		world.timer = NEVER;
	} else {
		must(number == SYS_pidfd_open && va_arg(list, pid_t) > 0);
		errno = ESRCH;
		result = world.action_exists ? PIDFD : -1;
	}
	va_end(list);
	return result;
}

static int world_poll(struct pollfd *pollfd, int timeout)
{
	must(pollfd->fd == PIDFD && timeout >= 0);
	world_pass(earliest(world.now + (unsigned)timeout,
		world.action_ends > world.now ? world.action_ends : world.now));
	return world.now >= world.action_ends;
}

static int world_close(int fd)
{
	must(fd == PIDFD);
	return 0;
}

/* Blocks, if it must, until the other's run ends. */
static int world_lock(int fd, int command, struct flock *range)
{
	must(world.calls++ < CALLS_MAX);
	if (command != F_OFD_SETLKW)
		return fcntl(fd, command, range);
	must(range->l_start == LOCK_RUNNING);
	if (world.other_runs)
		world_pass(world.other_ends);
	return fcntl(fd, F_OFD_SETLK, range);
}

/* ---- A connection ---- */

enum death { DEATH_NONE, DEATH_WAITING, DEATH_BEGUN, DEATH_EXECUTED, DEATHS };

/* The process is gone, and its locks with it. */
static void killed(bool owes)
{
	lock_set(world.fd, LOCK_WAITING, F_UNLCK);
	lock_set(world.fd, LOCK_RUNNING, F_UNLCK);
	world.timer = NEVER;
	world.is_debt = owes;
}

static void action_start(struct decision *decision, enum death death)
{
	struct turn *turn = decision->turn;

	must(!world.other_runs);
	start_seen();
	turn_start(turn);
	if (death == DEATH_BEGUN) {
		killed(true);
		return;
	}
	turn_action_is(turn, getpid());
	decision_executed(decision);
	world.is_debt = false;
	if (death == DEATH_EXECUTED) {
		killed(false);
		return;
	}
	world_pass(world.now + take_byte(&world.input) % 8);
	turn_ended(turn);
}

/* The waiter's time, to its end. */
static void wait_and_start(struct decision *decision, enum death death)
{
	uint64_t begun = world.now;

	if (death == DEATH_WAITING) {
		killed(true);
		return;
	}
	must(decision_wait(decision));
	if (world.free_at > begun)
		begun = world.free_at;
	if (world.changed_at > begun)
		begun = world.changed_at;
	/* G6: a millisecond longer, as moments are cut; and 0 is written as 1, in `due` and in
	 * `last_start`. */
	must(world.now <= begun + longest() + 3);
	action_start(decision, death);
}

static struct source source_of(uint8_t index)
{
	return (struct source){ .kind = SOURCE_IPV4, .address = { 192, 0, 2, index % 4 } };
}

static void connection(enum line_state line)
{
	struct turn turn = decision_turn(&world.account, world.state);
	struct source source = source_of(take_byte(&world.input));
	enum death death = take_byte(&world.input) % (2 * DEATHS);
	struct decision decision = { .account = &world.account, .turn = &turn };
	bool was_debt = world.is_debt, other_waited = world.other_waits;
	uint64_t begun = world.now;

	turn.fd = world.fd;
	world.calls = 0;
	must(limiter_key(world.state));
	decision.cells = limiter_locate(world.state, &source);
	if (decision_is_covered(&decision)) {
		must(world.other_waits); /* G1 */
		if (death & 1)
			return; /* dropped unread */
	}
	must(decision_make(&decision, line));
	must(world.now - begun <= LOOK_MOST_MS);
	if (line == LINE_VALID && !decision.is_waiter) /* G1 */
		must(world.other_waits || world.last_start >= begun);
	if (was_debt && !other_waited && world.is_debt) /* G5 */
		must(decision.is_waiter);
	if (decision.is_waiter)
		wait_and_start(&decision, death < DEATHS ? death : DEATH_NONE);
	must(world.now >= begun);
}

/* ---- The world ---- */

/* Another process becomes the waiter. */
static void other_comes(void)
{
	uint8_t how = take_byte(&world.input);

	world.other_lasts = how & 128 ? how & 31 : 0;
	if (world.other_waits || world.other_runs)
		return;
	world.other_waits = true;
	world.other_starts = world.now + (how & 64 ? longest() : how & 15);
	if (world.has_started && !world.is_last_touched &&
		world.other_starts < world.last_start + world.account.interval.ms + 1)
		world.other_starts = world.last_start + world.account.interval.ms + 1;
	lock_set(world.other_fd, LOCK_WAITING, F_WRLCK);
	atomic_store(&world.state->due, (uint32_t)world.other_starts | 1);
	world.is_debt = false;
}

static void change_later(void)
{
	world.change_at = world.now + take_byte(&world.input) * (longest() / 64u + 1);
	world.change_word = take_byte(&world.input) % 8;
	world.change_mode = take_byte(&world.input);
}

/* All of a process that the word may name. */
static void action_lives(void)
{
	uint8_t how = take_byte(&world.input);

	world.action_exists = how & 1;
	world.action_ends = how & 2 ? NEVER : world.now + how;
}

static void operate(void)
{
	uint8_t operation = take_byte(&world.input);
	uint32_t word;

	switch (operation % 12) {
	case 0:
	case 1:
	case 2: connection(LINE_VALID); break;
	case 3: connection(LINE_MALFORMED); break;
	case 4: world_pass(world.now + take_byte(&world.input)); break;
	case 5: world_pass(world.now + longest() / 2 + take_byte(&world.input)); break;
	case 6: other_comes(); break;
	case 7: change_later(); break;
	case 8: action_lives(); break;
	case 9:
		word = take_word(&world.input) % WORDS;
		world_change(word, take_byte(&world.input));
		break;
	default:
		word = take_byte(&world.input);
		world_change(word % (word & 64 ? HEADER_WORDS : 8), operation);
		break;
	}
}

static void world_configure(void)
{
	static const uint32_t intervals[] = { 0, 1, 7, 100, 1000, 10000, 600000, SPAN_MAX_MS };
	static const struct rate limits[] = {
		{ { 1 }, 1 },
		{ { 1 }, 5 },
		{ { 10 }, 3 },
		{ { 1000 }, 6 },
		{ { 5000 }, 6 },
		{ { 60000 }, 100 },
		{ { SPAN_MAX_MS / 2 }, 1 },
		{ { 1 }, SPAN_MAX_MS - 1 },
	};
	uint8_t choice = take_byte(&world.input);

	world.account = (struct account){ .name = "fuzz",
		.interval = { intervals[choice % COUNT(intervals)] },
		.limit = limits[choice / 8 % COUNT(limits)] };
	/* Some way into the circle of 2^32 ms, often near its end. */
	world.now = (5ull << 32) - take_byte(&world.input);
	if (choice & 64)
		world.now += take_word(&world.input);
}

/* The words at the beginning: all zeros, or any. */
static void world_fill(void)
{
	uint8_t mode = take_byte(&world.input);
	uint32_t cell = 0;

	if (mode & 1)
		cell = changed_word(0, (uint8_t)(mode >> 1));
	for (unsigned i = HEADER_WORDS; i < WORDS; i++)
		atomic_store_explicit(world_word(i), cell, memory_order_relaxed);
	for (unsigned i = 0; i < HEADER_WORDS; i++)
		atomic_store_explicit(world_word(i), 0, memory_order_relaxed);
	for (unsigned i = 0; mode & 64 && i < 8; i++)
		world_change(i, take_byte(&world.input));
}

static void world_make(void)
{
	char path[64];

	world.fd = memfd_create("turn", MFD_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", world.fd);
	world.other_fd = open(path, O_RDWR | O_CLOEXEC);
	must(world.fd >= 0 && world.other_fd >= 0);
	world.state = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(world.state != MAP_FAILED);
}

/* One life of a world. */
static void world_run(const uint8_t *bytes, size_t length)
{
	if (world.state == NULL)
		world_make();
	world.input = (struct input){ bytes, length };
	world.timer = world.change_at = NEVER;
	world.other_waits = world.other_runs = world.action_exists = false;
	world.has_started = world.is_last_touched = world.is_debt = false;
	world.last_start = world.free_at = world.changed_at = 0;
	world_configure();
	world_fill();
	for (unsigned i = 0; i < OPERATIONS_MAX && world.input.length > 0; i++)
		operate();
	killed(false);
	lock_set(world.other_fd, LOCK_WAITING, F_UNLCK);
	lock_set(world.other_fd, LOCK_RUNNING, F_UNLCK);
}

#endif
