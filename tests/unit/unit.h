/* SPDX-License-Identifier: ISC */
/*
 * What the unit tests share: cmocka with what it needs, real child processes, memory and folders
 * that they share, and time.
 *
 * An assertion is a longjmp into cmocka's runner, and a child that made one would run the rest of
 * the tests. So children assert nothing: they say what they saw in shared memory or by their exit
 * status, and the parent asserts.
 */
#ifndef NMNOTIFY_UNIT_H
#define NMNOTIFY_UNIT_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../random.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* How much later than expected something may happen on a busy machine, or under an analyser. What
 * is broken is later by far more, or does not happen. */
#define UNIT_SLACK_MS 1500

/* A child that takes longer hangs. */
#define UNIT_PATIENCE_MS 30000

/* What unit_reap() says besides exit statuses. */
#define UNIT_HUNG    (-1)
#define UNIT_SIGNAL  128 /* + the signal's number */
#define UNIT_CANNOT  77  /* this machine does not let us test this: see unit_expect() */
#define UNIT_LATE    78  /* it began too late to show anything: it is tried again */
#define UNIT_NO_FORK 98

/* ---- Time ---- */

static inline uint64_t unit_ns(void)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t unit_ms(void)
{
	return unit_ns() / 1000000;
}

static inline void unit_sleep_us(uint64_t us)
{
	struct timespec time = { .tv_sec = (time_t)(us / 1000000),
		.tv_nsec = (long)(us % 1000000) * 1000 };

	while (nanosleep(&time, &time) != 0 && errno == EINTR)
		;
}

static inline void unit_sleep_ms(uint64_t ms)
{
	unit_sleep_us(ms * 1000);
}

/* ---- Processes ---- */

typedef int unit_child(void *context);

/* Starts a child that does `run` and ends with what it returns, or with us. */
static inline pid_t unit_fork(unit_child *run, void *context)
{
	pid_t parent = getpid(), child;

	(void)fflush(NULL);
	child = fork();
	if (child != 0)
		return child;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(UNIT_NO_FORK);
	_exit(run(context));
}

/* Stays where it is until it is killed. */
_Noreturn static inline void unit_halt(void)
{
	for (;;)
		(void)pause();
}

/* Waits for a child's end: its exit status, UNIT_SIGNAL + n, or UNIT_HUNG. */
static inline int unit_reap(pid_t child)
{
	uint64_t deadline = unit_ms() + UNIT_PATIENCE_MS;
	bool hung = false;
	int status;

	if (child < 0)
		return UNIT_NO_FORK;
	while (waitpid(child, &status, WNOHANG) == 0) {
		if (!hung && unit_ms() > deadline) {
			hung = true;
			(void)kill(child, SIGKILL);
		}
		unit_sleep_us(200);
	}
	if (hung)
		return UNIT_HUNG;
	return WIFSIGNALED(status) ? UNIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static inline void unit_kill(pid_t child)
{
	(void)kill(child, SIGKILL);
	(void)unit_reap(child);
}

/* Asserts that a child ended with 0; a test that this machine cannot do is skipped. */
static inline void unit_expect(int status)
{
	if (status == UNIT_CANNOT)
		skip();
	assert_int_equal(status, 0);
}

/* Runs `run` in `count` children at once; each gets `context`. All must end with 0. */
static inline void unit_crowd(unsigned count, unit_child *run, void *context)
{
	pid_t child[64];
	int worst = 0;

	assert_true(count <= COUNT(child));
	for (unsigned i = 0; i < count; i++)
		child[i] = unit_fork(run, context);
	for (unsigned i = 0; i < count; i++) {
		int status = unit_reap(child[i]);

		worst = status != 0 ? status : worst;
	}
	assert_int_equal(worst, 0);
}

/* Zeros that children share with us. */
static inline void *unit_shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(memory != MAP_FAILED);
	return memory;
}

static inline void unit_unshare(void *memory, size_t size)
{
	assert_int_equal(munmap(memory, size), 0);
}

/* Waits until `count` processes are here; a counter serves once. */
static inline void unit_meet(_Atomic unsigned *here, unsigned count)
{
	atomic_fetch_add(here, 1);
	while (atomic_load(here) < count)
		(void)sched_yield();
}

/* Waits until *word is not 0. False: it took too long. */
static inline bool unit_await(const _Atomic unsigned *word)
{
	uint64_t deadline = unit_ms() + UNIT_PATIENCE_MS;

	while (atomic_load(word) == 0) {
		if (unit_ms() > deadline)
			return false;
		unit_sleep_us(100);
	}
	return true;
}

/* ---- A child that goes on one instruction at a time (ptrace(2)) ---- */

/* valgrind runs its own instructions in place of ours, and sanitizers add theirs. */
static inline bool unit_can_step(void)
{
	const char *preload = getenv("LD_PRELOAD");

#if defined(__SANITIZE_ADDRESS__)
	return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(undefined_behavior_sanitizer) || \
	__has_feature(memory_sanitizer)
	return false;
#endif
#endif
	return preload == NULL || strstr(preload, "vgpreload") == NULL;
}

struct unit_stepped {
	unit_child *run;
	void *context;
};

static inline int unit_stepped_run(void *context)
{
	const struct unit_stepped *stepped = context;

	/* kill(2) and not raise(3): fewer instructions on the way back. */
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 || kill(getpid(), SIGSTOP) != 0)
		return UNIT_CANNOT;
	return stepped->run(stepped->context);
}

/* Starts a child that is stopped just before `run`. -1: not on this machine. */
static inline pid_t unit_step_begin(unit_child *run, void *context)
{
	struct unit_stepped stepped = { .run = run, .context = context };
	pid_t child = unit_fork(unit_stepped_run, &stepped);
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
		return -1;
	(void)ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)PTRACE_O_EXITKILL);
	return child;
}

/* One instruction further. False: it has ended and was waited for, or cannot be stepped. */
static inline bool unit_step(pid_t child)
{
	int status;

	if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0)
		return false;
	return waitpid(child, &status, 0) == child && WIFSTOPPED(status);
}

/* `steps` instructions further; false as in unit_step. */
static inline bool unit_steps(pid_t child, unsigned steps)
{
	while (steps-- > 0)
		if (!unit_step(child))
			return false;
	return true;
}

/* Lets it run on freely; unit_reap() waits for it. */
static inline void unit_step_end(pid_t child)
{
	(void)ptrace(PTRACE_DETACH, child, NULL, NULL);
}

/* ---- A clock that is about to wrap around (time_namespaces(7)) ---- */

struct unit_timed {
	unit_child *run;
	void *context;
	int64_t offset_ms;
};

/* Sets the offset of CLOCK_BOOTTIME for this process's children. */
static inline bool unit_boottime_shift(int64_t offset_ms)
{
	char text[64];
	int length, fd;
	bool written;

	if (unshare(CLONE_NEWTIME) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWTIME) != 0)
		return false;
	length = snprintf(text, sizeof(text), "boottime %lld %lld\n", (long long)(offset_ms / 1000),
		(long long)(offset_ms % 1000 * 1000000));
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	written = write(fd, text, (size_t)length) == length;
	return close(fd) == 0 && written;
}

static inline int unit_timed_run(void *context)
{
	const struct unit_timed *timed = context;
	int status;

	if (!unit_boottime_shift(timed->offset_ms))
		return UNIT_CANNOT;
	status = unit_reap(unit_fork(timed->run, timed->context));
	return status < 0 ? UNIT_NO_FORK : status;
}

/* Runs `run` in a child whose CLOCK_BOOTTIME is ahead of ours by offset_ms. Its exit status. */
static inline int unit_boottime_run(int64_t offset_ms, unit_child *run, void *context)
{
	struct unit_timed timed = { .run = run, .context = context, .offset_ms = offset_ms };

	return unit_reap(unit_fork(unit_timed_run, &timed));
}

struct unit_wrap {
	uint32_t before; /* milliseconds */
	unit_child *run;
	void *context;
};

static inline uint32_t unit_boottime_word(void)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint32_t)((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

/* On a busy machine the clock may be over before the child has begun: under valgrind, beside other
 * work, a fork takes a tenth of a second. */
static inline int unit_wrap_run(void *context)
{
	const struct unit_wrap *wrap = context;
	uint32_t left = 0 - unit_boottime_word();

	if (left < wrap->before / 2 || left > wrap->before)
		return UNIT_LATE;
	return wrap->run(wrap->context);
}

/* The same with a clock whose low 32 bits of milliseconds are `before` short of 0, or half of that.
 */
static inline int unit_before_wrap_run(uint32_t before, unit_child *run, void *context)
{
	struct unit_wrap wrap = { .before = before, .run = run, .context = context };
	int status = UNIT_LATE;

	for (unsigned i = 0; i < 100 && status == UNIT_LATE; i++)
		status = unit_boottime_run(0 - unit_boottime_word() - before, unit_wrap_run, &wrap);
	return status;
}

/* ---- A folder of the test's own ---- */

struct unit_place {
	char path[256];
	int fd;
};

static inline int unit_place_make(void **state)
{
	struct unit_place *place = calloc(1, sizeof(*place));
	const char *base = getenv("TMPDIR");

	if (place == NULL)
		return -1;
	(void)snprintf(place->path, sizeof(place->path), "%s/nmnotify-unit.XXXXXX",
		base != NULL ? base : "/tmp");
	*state = place;
	if (mkdtemp(place->path) == NULL)
		return -1;
	place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return place->fd < 0 ? -1 : 0;
}

static inline int unit_place_empty(
	const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	return remove(path);
}

static inline int unit_place_remove(void **state)
{
	struct unit_place *place = *state;
	int result = nftw(place->path, unit_place_empty, 8, FTW_DEPTH | FTW_PHYS);

	(void)close(place->fd);
	free(place);
	return result;
}

/* The path of a file there. Valid until the call after the next. */
static inline const char *unit_path(void **state, const char *name)
{
	static char path[2][512];
	static unsigned turn;
	const struct unit_place *place = *state;

	turn = !turn;
	(void)snprintf(path[turn], sizeof(path[turn]), "%s/%s", place->path, name);
	return path[turn];
}

/* Its file `f` with this text; the path. */
static inline const char *unit_file(void **state, const char *text, size_t length)
{
	const char *path = unit_path(state, "f");
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, length), length);
	/* Not O_TRUNC: some file systems write a file out to the disk that was emptied first. */
	assert_int_equal(ftruncate(fd, (off_t)length), 0);
	assert_int_equal(close(fd), 0);
	return path;
}

#define UNIT_TEST_PLACE(test)                                                                      \
	cmocka_unit_test_setup_teardown(test, unit_place_make, unit_place_remove)

#endif
