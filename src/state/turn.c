/* SPDX-License-Identifier: ISC */
/*
 * All operations on the words of the turn are sequentially consistent: they are few, and each
 * pairs with a lock operation in the kernel or with the next process's look at the same word.
 */
#include "state/turn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"

enum turn_lock { LOCK_WAITING, LOCK_RUNNING, LOCK_ASKING, LOCK_RETRYING };

/*
 * Between taking `waiting` and writing `due`, and again between clearing `due` and releasing
 * `waiting`, a waiter needs microseconds. Whoever meets it there looks again this often, this
 * far apart: a second in all, enough for any delay but a stopped process.
 */
#define LOOK_AGAIN_MS   1
#define LOOK_AGAIN_MOST 1000

static int lock(const struct turn *turn, int command, short type, enum turn_lock which)
{
	struct flock range = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)which, .l_len = 1
	};
	int result;

	do
		result = fcntl(turn->fd, command, &range);
	while (result != 0 && errno == EINTR);
	if (result == 0 && command == F_OFD_GETLK)
		return range.l_type != F_UNLCK;
	return result;
}

/* 0: got it; 1: another has it; -1: errno. */
static int lock_try(const struct turn *turn, enum turn_lock which)
{
	if (lock(turn, F_OFD_SETLK, F_WRLCK, which) == 0)
		return 0;
	return fd_is_locked(errno) ? 1 : -1;
}

static void lock_release(const struct turn *turn, enum turn_lock which)
{
	/* fcntl(2): unlocking a byte of an open file has no way to fail. */
	(void)lock(turn, F_OFD_SETLK, F_UNLCK, which);
}

/* Is it held by anybody? An error counts as "no": then the caller reads on, which is safe. */
static bool lock_is_held(const struct turn *turn, enum turn_lock which)
{
	return lock(turn, F_OFD_GETLK, F_WRLCK, which) == 1;
}

/* The older system calls take times in the machine's words. Linux has not got them on its younger
 * 32-bit architectures: there are only those with 64-bit times. musl has other names for some of
 * the older ones. */
#ifdef SYS_futex
typedef long kernel_time;
#define FUTEX SYS_futex
#ifdef SYS_timer_settime
#define TIMER_SETTIME SYS_timer_settime
#else
#define TIMER_SETTIME SYS_timer_settime32
#endif
#else
typedef int64_t kernel_time;
#define FUTEX         SYS_futex_time64
#define TIMER_SETTIME SYS_timer_settime64
#endif

/* Sleeps while *word is `value`, at most `most`. Every return is a reason to look again. Not
 * FUTEX_PRIVATE: the others are processes. */
static void word_wait(atomic_word *word, uint32_t value, struct span most)
{
	kernel_time timeout[2] = { (kernel_time)(most.ms / 1000),
		(kernel_time)(most.ms % 1000) * 1000000 };

	(void)syscall(FUTEX, word, FUTEX_WAIT, value, timeout, NULL, 0);
}

/* All of them: those who look again in turn_join() sleep on the same word as the waiter. */
static void word_wake(atomic_word *word)
{
	/* Fails only if the address is wrong; and a waiter that is not asleep needs no waking. */
	(void)syscall(FUTEX, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/*
 * The last start is also a word at the beginning of the turn file: nmnotifyd's network process has
 * the state mapped, but cannot write to a file (network.policy). The later of both counts.
 */
static bool word_write(const struct turn *turn, uint32_t word)
{
	return pwrite(turn->fd, &word, sizeof(word), 0) == (ssize_t)sizeof(word);
}

static uint32_t word_read(const struct turn *turn)
{
	uint32_t word;

	return pread(turn->fd, &word, sizeof(word), 0) == (ssize_t)sizeof(word) ? word : 0;
}

bool turn_forget(const struct turn *turn)
{
	return state_forget(turn->state) && word_write(turn, 0);
}

bool turn_open(struct turn *turn, int directory, struct state_error *error)
{
	int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	struct stat st;

	turn->fd = openat(directory, STATE_TURN, flags, 0600);
	if (turn->fd < 0) {
		*error = (struct state_error){
			.what = "cannot open", .name = STATE_TURN, .code = errno
		};
		return false;
	}
	if (fstat(turn->fd, &st) != 0)
		*error = (struct state_error){
			.what = "cannot examine", .name = STATE_TURN, .code = errno
		};
	else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		/* Whoever may only read it can put a lock for readers on it, which keeps ours out.
		 */
		*error = (struct state_error){ .what = "others may open", .name = STATE_TURN };
	else if (state_grow(turn->fd, &st, sizeof(uint32_t)) != 0) /* for its word */
		*error = (struct state_error){
			.what = "no room for", .name = STATE_TURN, .code = errno
		};
	else
		return true;
	(void)close(turn->fd);
	turn->fd = -1;
	return false;
}

/* The longest time from a run that failed to the next one, unless `retry` is longer. */
static const struct span retry_most = { .ms = 3600 * 1000 };

struct span turn_retry_span(const struct turn *turn, uint32_t failures)
{
	struct span span = turn->retry;

	for (; failures > 1 && span.ms < retry_most.ms; failures--)
		span.ms = span.ms < retry_most.ms / 2 ? 2 * span.ms : retry_most.ms;
	return span;
}

/* How far ahead a due time can be. */
static struct span due_reach(const struct turn *turn)
{
	struct span retry = turn_retry_span(turn, turn->retry.ms != 0 ? UINT32_MAX : 0);

	return retry.ms > turn->reach.ms ? retry : turn->reach;
}

/* When a start is owed: not before now, and not further ahead than it can be. The rest is damage
 * (G6). */
static struct moment due_read(uint32_t due, struct moment now, struct span reach)
{
	struct moment at = moment_latest(moment_of_word(due), now);

	return moment_earliest(at, moment_add(now, reach));
}

bool turn_is_covered(const struct turn *turn, struct moment allowed)
{
	/* tests/model/turn.pml: is_covered, probe, probe_again. */
	uint32_t due = atomic_load(&turn->state->due);

	if (due == 0 || moment_later(moment_of_word(due), allowed))
		return false;
	/*
	 * Alive now, so it starts the action later than now. Had it been due later than `allowed`
	 * we would see that in `due` still, unless it has started since: which covers us too.
	 */
	if (!lock_is_held(turn, LOCK_WAITING))
		return false;
	due = atomic_load(&turn->state->due);
	return due != 0 && !moment_later(moment_of_word(due), allowed);
}

/* Has a start begun that neither was executed nor is in anybody's hands? */
static bool has_unfinished_start(const struct turn *turn)
{
	/* tests/model/turn.pml: find_owed to find_again, debt_owed to debt_again. */
	/* The first look only spares the other two. The last is after the lock's: whoever held that
	 * may have executed the action meanwhile. */
	return atomic_load(&turn->state->owed) != 0 && !lock_is_held(turn, LOCK_RUNNING) &&
	       atomic_load(&turn->state->owed) != 0;
}

/* Has nmnotifyd taken a line and then died, before a process of its has looked for the turn? */
static bool is_unanswered(const struct turn *turn)
{
	/* The last look is after the lock's, as in has_unfinished_start(). */
	return atomic_load(&turn->state->asked) != 0 && !lock_is_held(turn, LOCK_ASKING) &&
	       atomic_load(&turn->state->asked) != 0;
}

bool turn_has_debt(const struct turn *turn)
{
	/* tests/model/turn.pml: find_due, find_waiting. */
	if (atomic_load(&turn->state->due) != 0 && !lock_is_held(turn, LOCK_WAITING) &&
		!lock_is_held(turn, LOCK_RETRYING))
		return true;
	return has_unfinished_start(turn) || is_unanswered(turn);
}

struct span turn_debt_rest(const struct turn *turn)
{
	struct moment due = moment_of_word(atomic_load(&turn->state->due)), now = moment_now();
	struct span rest = { 0 };

	if (due.ms == 0 || has_unfinished_start(turn) || is_unanswered(turn))
		return rest;
	rest = moment_until(now, due);
	/* Damage: whoever pays it makes it a time that can be. */
	if (rest.ms > due_reach(turn).ms)
		rest.ms = 0;
	return rest;
}

bool turn_lock_asking(const struct turn *turn)
{
	/* Before we take the lock: after that it would look like ours, and nobody would pay it. */
	if (is_unanswered(turn))
		turn_owe_asked(turn);
	return lock(turn, F_OFD_SETLK, F_RDLCK, LOCK_ASKING) == 0;
}

/* 0 means that nobody asks. */
static uint32_t number_word(uint32_t number)
{
	return number != 0 ? number : UINT32_MAX;
}

void turn_ask(const struct turn *turn, uint32_t number, struct moment allowed)
{
	/* tests/model/progress.pml: turn_request_send(). */
	/* First the time, then the word that says that there is one. Pairs with become_waiter,
	 * which reads them in the other order. */
	atomic_store(&turn->state->asked_for, moment_to_word(allowed));
	atomic_store(&turn->state->asked, number_word(number));
}

void turn_answer(const struct turn *turn, uint32_t number)
{
	/* tests/model/progress.pml: turn_answer(). */
	uint32_t asked = number_word(number);

	/* Compare and swap: a later line's number stays. Pairs with turn_ask. */
	(void)atomic_compare_exchange_strong(&turn->state->asked, &asked, 0);
}

void turn_owe(const struct turn *turn, struct moment allowed)
{
	/* tests/model/turn.pml: owe; progress.pml: turn_failed(). */
	atomic_word *due = &turn->state->due;
	uint32_t was = atomic_load(due);

	/* Pairs with become_waiter, turn_join and turn_start. */
	while ((was == 0 || moment_later(moment_of_word(was), allowed)) &&
		!atomic_compare_exchange_weak(due, &was, moment_to_word(allowed)))
		;
	word_wake(due);
}

void turn_owe_asked(const struct turn *turn)
{
	uint32_t asked = atomic_load(&turn->state->asked);

	if (asked == 0)
		return;
	turn_owe(turn, due_read(atomic_load(&turn->state->asked_for), moment_now(), turn->reach));
	(void)atomic_compare_exchange_strong(&turn->state->asked, &asked, 0);
}

/* We hold `waiting`: other processes can only lower a due time that a dead waiter has left. False
 * if there is no line, and somebody has paid meanwhile: senders of rubbish start nothing. */
static bool become_waiter(struct turn *turn, const struct moment *allowed)
{
	/* tests/model/turn.pml: got_waiting, become. */
	atomic_word *due = &turn->state->due;
	uint32_t was = atomic_load(due), asked = 0;
	struct moment now = moment_now(), at, asked_for = now;

	if (is_unanswered(turn)) {
		asked = atomic_load(&turn->state->asked);
		asked_for = due_read(atomic_load(&turn->state->asked_for), now, turn->reach);
	}
	if (allowed == NULL && was == 0 && asked == 0 && !has_unfinished_start(turn))
		return false;
	do {
		at = was == 0 ? now : due_read(was, now, due_reach(turn));
		/* What may be a run that has failed is owed by nobody's charge, and others can
		 * make it sooner: whose line waits for it pays. */
		turn->new_debt = was == 0 || (turn->retry.ms != 0 && allowed != NULL);
		if (allowed != NULL)
			at = was == 0 ? *allowed : moment_earliest(*allowed, at);
		else if (was == 0 && asked != 0)
			at = asked_for;
		if (asked != 0)
			at = moment_earliest(at, asked_for);
		/* Compare and swap: pairs with the one in turn_join, whose lowering must not be
		 * lost. */
	} while (!atomic_compare_exchange_weak(due, &was, moment_to_word(at)));
	/* From here on it is in `due`. If another line was asked for meanwhile, that one stays. */
	if (asked != 0)
		(void)atomic_compare_exchange_strong(&turn->state->asked, &asked, 0);
	turn->latest = at;
	return true;
}

void turn_note(struct turn *turn)
{
	/* tests/model/turn.pml: note; limit.pml: generation. */
	turn->has_noted = true;
	turn->noted = atomic_load(&turn->state->starts); /* pairs with turn_start */
}

/* Has an action been started since the line was read? Then only debts are left to pay. */
static bool is_overtaken(const struct turn *turn)
{
	return turn->has_noted && atomic_load(&turn->state->starts) != turn->noted;
}

enum turn_place turn_join(struct turn *turn, const struct moment *allowed)
{
	/* tests/model/turn.pml: join, got_waiting, no_debt, taken, look_again. */
	atomic_word *due = &turn->state->due;

	for (unsigned looks = 0; looks < LOOK_AGAIN_MOST; looks++) {
		int taken = lock_try(turn, LOCK_WAITING);
		uint32_t was;

		if (taken < 0)
			return TURN_FAILED;
		if (taken == 0) {
			if (become_waiter(turn, is_overtaken(turn) ? NULL : allowed))
				return TURN_WAITER;
			lock_release(turn, LOCK_WAITING);
			return TURN_COVERED;
		}
		if (allowed == NULL)
			return TURN_COVERED;
		was = atomic_load(due);
		if (was == 0) {
			/* That waiter has just come, or is about to start: see which. */
			word_wait(due, 0, (struct span){ .ms = LOOK_AGAIN_MS });
			continue;
		}
		if (!moment_later(moment_of_word(was), *allowed) || is_overtaken(turn))
			return TURN_COVERED;
		/* Never from 0: then the start has happened, and this would be a debt that is paid
		 * already. Pairs with become_waiter, start_time and turn_start. */
		if (atomic_compare_exchange_strong(due, &was, moment_to_word(*allowed))) {
			word_wake(due);
			return TURN_COVERED;
		}
	}
	/* The waiter is stopped. It will find the debt when it goes on; if it dies, the next one
	 * will. */
	turn_owe(turn, *allowed);
	return TURN_COVERED;
}

/* From one start to the next. Moments are cut to milliseconds: one more makes sure of the whole
 * interval. */
static struct span apart_from(const struct turn *turn)
{
	return (struct span){ .ms = turn->interval.ms + 1 };
}

/*
 * When may the action start, as far as is known now? *due is what that was read from. We hold
 * `running`, so a start that is still owed is a dead process's, and does not wait for our source.
 */
static struct moment start_time(struct turn *turn, uint32_t *due)
{
	/* tests/model/turn.pml: time. */
	struct moment now, at;

	*due = atomic_load(&turn->state->due);
	now = moment_now();
	at = now;
	if (*due != 0 && atomic_load(&turn->state->owed) == 0)
		at = moment_earliest(due_read(*due, now, due_reach(turn)), turn->latest);
	if (turn->last != 0)
		at = moment_latest(at, moment_add(moment_of_word(turn->last), apart_from(turn)));
	return at;
}

/*
 * The last start, of a word; 0: none that matters. We hold `running`, so nobody else writes that
 * word: if it is of the future, it is damaged, and must not hold us up (G6). But the moment 0 is
 * written a millisecond late (clock.h). A start that is longer ago than the interval does not
 * matter. It must be dropped now: after 24.8 days it would look as if it were of the future.
 */
static uint32_t last_of_word(const struct turn *turn, uint32_t word, struct moment now)
{
	struct moment last = moment_of_word(word);
	bool is_future = moment_later(last, moment_add(now, (struct span){ .ms = 1 }));
	bool is_over = !moment_later(moment_add(last, apart_from(turn)), now);

	return is_future || is_over ? 0 : last.ms;
}

static void last_read(struct turn *turn)
{
	struct moment now = moment_now();
	uint32_t mapped = last_of_word(turn, atomic_load(&turn->state->last_start), now);
	uint32_t written = last_of_word(turn, word_read(turn), now);

	/* Both are 0, for none, or near to now, and so can be put in order. */
	turn->last = mapped;
	if (mapped == 0 ||
		(written != 0 && moment_later(moment_of_word(written), moment_of_word(mapped))))
		turn->last = written;
}

/* Only the turn file's owner can make writing there fail; then the word in the state has to do. */
static void last_write(const struct turn *turn, struct moment at)
{
	atomic_store(&turn->state->last_start, moment_to_word(at));
	(void)word_write(turn, moment_to_word(at));
}

/*
 * A supervisor that was killed frees `running` a moment before the kernel kills its action. Only
 * then is `action` not 0 here; wait for the end of that process, but, as the word may be damaged
 * and name any process, not longer than an interval or a rate window (G6).
 */
static void await_orphaned_action(struct turn *turn)
{
	/* tests/model/turn.pml: behind ready. */
	uint32_t action = atomic_load(&turn->state->action);
	struct pollfd pollfd = { .events = POLLIN };
	uint32_t most = turn->interval.ms > turn->reach.ms ? turn->interval.ms : turn->reach.ms;

	/* If its supervisor died before turn_executed(), it may have started later than
	 * `last_start`. */
	if (action != 0 && atomic_load(&turn->state->owed) != 0)
		last_write(turn, moment_now());
	last_read(turn); /* before we wait: a start that is of the future now is damage */
	if (action == 0)
		return;
	pollfd.fd = action <= INT32_MAX ? (int)syscall(SYS_pidfd_open, (pid_t)action, 0) : -1;
	if (pollfd.fd >= 0) {
		(void)poll(&pollfd, 1, (int)most);
		(void)close(pollfd.fd);
	}
	atomic_store(&turn->state->action, 0);
}

bool turn_ready(struct turn *turn)
{
	/* tests/model/turn.pml: ready. */
	uint32_t due;

	if (lock_try(turn, LOCK_RUNNING) != 0)
		return false;
	turn->running = true;
	if (atomic_load(&turn->state->action) != 0)
		return false;
	last_read(turn);
	return !moment_later(start_time(turn, &due), moment_now());
}

/*
 * futex(2) counts its timeouts on a clock that stands still while the machine sleeps, and `due`
 * is on one that does not: a timer of ours interrupts the futex. It repeats, as its first signal
 * may come just before we sleep. The system calls are used bare: libc's timers can also start
 * threads, whose code would be a tenth of the program.
 */
static bool alarm_at(int timer, struct span from_now)
{
	kernel_time when[4] = { 0, 10 * 1000000, /* again every 10 ms */
		(kernel_time)(from_now.ms / 1000), (kernel_time)(from_now.ms % 1000) * 1000000 };

	return syscall(TIMER_SETTIME, timer, 0, when, NULL) == 0;
}

static void on_alarm(int signal)
{
	(void)signal; /* its only purpose is to interrupt */
}

static bool alarm_make(int *timer)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };

	return sigaction(SIGALRM, &action, NULL) == 0 &&
	       syscall(SYS_timer_create, CLOCK_BOOTTIME, &event, timer) == 0;
}

static bool sleep_until_due(struct turn *turn)
{
	/* tests/model/turn.pml: time. */
	struct span rest;
	uint32_t due;
	int timer;
	bool armed = true;

	if (!alarm_make(&timer))
		return false;
	while (armed && (rest = moment_until(moment_now(), start_time(turn, &due))).ms != 0) {
		armed = alarm_at(timer, rest);
		word_wait(&turn->state->due, due, rest); /* pairs with the wake in turn_join */
	}
	return syscall(SYS_timer_delete, timer) == 0 && armed;
}

bool turn_wait(struct turn *turn)
{
	/* tests/model/turn.pml: ready to time. */
	uint32_t due;

	if (!turn->running && lock(turn, F_OFD_SETLKW, F_WRLCK, LOCK_RUNNING) != 0)
		return false;
	turn->running = true;
	await_orphaned_action(turn);
	if (!moment_later(start_time(turn, &due), moment_now()))
		return true;
	return sleep_until_due(turn);
}

void turn_start(struct turn *turn)
{
	/* tests/model/turn.pml: start. */
	last_write(turn, moment_now());
	/* The debt is in one of the two words at any instant: first written here, then cleared
	 * there. */
	atomic_store(&turn->state->owed, 1);
	atomic_store(&turn->state->due, 0);
	if (turn->retry.ms != 0)
		word_wake(&turn->state->due);      /* pairs with turn_await_retry */
	atomic_fetch_add(&turn->state->starts, 1); /* pairs with turn_note and is_overtaken */
	/* Before the fork: who finds `waiting` held has come before the start. */
	lock_release(turn, LOCK_WAITING);
}

struct moment turn_executed(struct turn *turn)
{
	/* tests/model/turn.pml: is_executed. */
	struct moment now = moment_now();

	/* Once more, as getting here may have taken a while: the interval counts from the later. */
	last_write(turn, now);
	/* Else until it is known how the run ends: if we are killed, that is a debt, too. */
	if (turn->retry.ms == 0)
		atomic_store(&turn->state->owed, 0);
	return now;
}

void turn_action_is(struct turn *turn, pid_t self)
{
	atomic_store(&turn->state->action, (uint32_t)self);
}

void turn_ended(struct turn *turn)
{
	/* tests/model/turn.pml: ended. */
	atomic_store(&turn->state->action, 0);
	lock_release(turn, LOCK_RUNNING);
	turn->running = false;
}

/* A second in a word, where 0 means "never". */
static uint32_t second_now(void)
{
	return (uint32_t)(clock_milliseconds(CLOCK_BOOTTIME) / 1000) + 1;
}

/* First in `due`, then no longer in `owed`. If a line's waiter is there already, that is sooner, or
 * is now. */
static void owe_again(struct turn *turn, uint32_t failures)
{
	/* tests/model/turn.pml: owe_again, owe_retry. */
	turn_owe(turn, moment_add(moment_now(), turn_retry_span(turn, failures)));
}

uint32_t turn_note_end(struct turn *turn, int status, bool has_failed)
{
	struct state *state = turn->state;
	uint32_t failures = has_failed ? atomic_load(&state->failures) + 1 : 0;

	atomic_store(&state->run_status, (uint32_t)status);
	atomic_store(&state->run_ended, second_now());
	if (has_failed)
		atomic_fetch_add(&state->failed, 1);
	atomic_store(&state->failures, failures);
	if (turn->retry.ms != 0) {
		if (has_failed)
			owe_again(turn, failures);
		atomic_store(&state->owed, 0);
	}
	return failures;
}

/* How often a waiter is looked after that is there already when the retry is due. */
static const struct span waiter_look = { .ms = 1000 };

/* Until `due` is 0, or it is for us to become the waiter. Any other change is a time to sleep for:
 * a line that took us for the waiter may have made it sooner. */
static enum turn_place sleep_for_retry(struct turn *turn)
{
	/* tests/model/turn.pml: retry_time, retry_join. */
	struct moment latest = moment_add(moment_now(), due_reach(turn));
	enum turn_place place = TURN_COVERED;
	uint32_t due;
	int timer;

	if (!alarm_make(&timer))
		return TURN_FAILED;
	while (place == TURN_COVERED && (due = atomic_load(&turn->state->due)) != 0) {
		struct moment at = due_read(due, moment_now(), due_reach(turn));
		struct span rest = moment_until(moment_now(), moment_earliest(at, latest));

		if (rest.ms == 0) {
			place = turn_join(turn, NULL);
			rest = waiter_look;
		}
		if (place == TURN_COVERED && !alarm_at(timer, rest))
			place = TURN_FAILED;
		if (place == TURN_COVERED)
			word_wait(&turn->state->due, due, rest); /* pairs with turn_start */
	}
	return syscall(SYS_timer_delete, timer) == 0 ? place : TURN_FAILED;
}

enum turn_place turn_await_retry(struct turn *turn)
{
	/* tests/model/turn.pml: retry to retry_over. */
	enum turn_place place = TURN_COVERED;

	/* Whoever sleeps already looks again once the lock is free: here. */
	while (place == TURN_COVERED && atomic_load(&turn->state->due) != 0) {
		int taken = lock_try(turn, LOCK_RETRYING);

		if (taken != 0)
			return taken > 0 ? TURN_COVERED : TURN_FAILED;
		place = sleep_for_retry(turn);
		lock_release(turn, LOCK_RETRYING);
	}
	return place;
}

struct last_run turn_last_run(const struct state *state)
{
	return (struct last_run){
		.is_known = atomic_load(&state->run_ended) != 0,
		.status = (int)atomic_load(&state->run_status),
		.failures = atomic_load(&state->failures),
		.starts = atomic_load(&state->starts),
		.failed = atomic_load(&state->failed),
	};
}

struct turn_locks turn_look(const struct turn *turn)
{
	return (struct turn_locks){
		.waiting = lock_is_held(turn, LOCK_WAITING),
		.running = lock_is_held(turn, LOCK_RUNNING),
		.asking = lock_is_held(turn, LOCK_ASKING),
		.retrying = lock_is_held(turn, LOCK_RETRYING),
	};
}

uint32_t turn_last_written(const struct turn *turn)
{
	return word_read(turn);
}
