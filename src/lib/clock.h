/* SPDX-License-Identifier: ISC */
/*
 * Time as types, all in milliseconds but for long_span. A moment is a point of CLOCK_BOOTTIME
 * modulo 2^32: that clock goes on while the machine sleeps and cannot be set back, and a moment
 * fits the one atomic word that every architecture has. A span is a length of time, at most
 * SPAN_MAX_MS: so two moments that are compared are less than half of 2^32 apart, and it is known
 * which is later. A deadline is a point of CLOCK_MONOTONIC, which stands still while the machine
 * sleeps: for what only this process reads. An instant is a point of CLOCK_BOOTTIME, whole.
 */
#ifndef NMNOTIFY_CLOCK_H
#define NMNOTIFY_CLOCK_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * A process that reads the clock once or twice is better off without the kernel's page that saves
 * the call: to find it, and its first two page faults, cost more than ten calls. With it a handler
 * takes 2 % longer when denied, 3 % unread, 2 % for a malformed line. Where libc's and the kernel's
 * struct timespec may differ, libc knows.
 */
#if defined(CLOCK_SELDOM) && defined(SYS_clock_gettime) && LONG_MAX > INT32_MAX
#define CLOCK_BY_SYSTEM_CALL
#endif

struct moment {
	uint32_t ms;
};

struct span {
	uint32_t ms;
};

/* A length of time beyond what a span can say. */
struct long_span {
	uint64_t s;
};

/* It may be in the past: when something has begun. */
struct deadline {
	uint64_t ms;
};

#define DEADLINE_NEVER ((struct deadline){ .ms = UINT64_MAX })

/* A week: the longest interval, timeout or rate window that a configuration may ask for. */
#define SPAN_MAX_MS (7u * 24 * 3600 * 1000)

static inline uint64_t clock_milliseconds(clockid_t clock)
{
	struct timespec ts = { 0 };

	/* clock_gettime(2) fails only for a clock that the kernel lacks; BOOTTIME is of 2.6.39. */
#ifdef CLOCK_BY_SYSTEM_CALL
	(void)syscall(SYS_clock_gettime, clock, &ts);
#else
	(void)clock_gettime(clock, &ts);
#endif
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline struct span span_shorter(struct span a, struct span b)
{
	return a.ms < b.ms ? a : b;
}

static inline struct moment moment_now(void)
{
	return (struct moment){ .ms = (uint32_t)clock_milliseconds(CLOCK_BOOTTIME) };
}

static inline struct moment moment_add(struct moment m, struct span s)
{
	return (struct moment){ .ms = m.ms + s.ms };
}

static inline struct moment moment_sub(struct moment m, struct span s)
{
	return (struct moment){ .ms = m.ms - s.ms };
}

/* Is a later than b? Right as long as they are less than 24.8 days apart. */
static inline bool moment_later(struct moment a, struct moment b)
{
	return (int32_t)(a.ms - b.ms) > 0;
}

static inline struct moment moment_latest(struct moment a, struct moment b)
{
	return moment_later(a, b) ? a : b;
}

static inline struct moment moment_earliest(struct moment a, struct moment b)
{
	return moment_later(a, b) ? b : a;
}

/* How long from a until b: nothing if b is not later. */
static inline struct span moment_until(struct moment a, struct moment b)
{
	return (struct span){ .ms = moment_later(b, a) ? b.ms - a.ms : 0 };
}

/* Is m in (now, now + window]? */
static inline bool moment_within(struct moment m, struct moment now, struct span window)
{
	return m.ms - now.ms - 1 < window.ms;
}

/*
 * A moment in a word of the state file, where 0 means "none". The one moment in 49.7 days that
 * is 0 itself is written a millisecond late.
 */
static inline uint32_t moment_to_word(struct moment m)
{
	return m.ms ? m.ms : 1;
}

static inline struct moment moment_of_word(uint32_t word)
{
	return (struct moment){ .ms = word };
}

static inline struct deadline deadline_now(void)
{
	return (struct deadline){ .ms = clock_milliseconds(CLOCK_MONOTONIC) };
}

static inline bool deadline_is_never(struct deadline d)
{
	return d.ms == DEADLINE_NEVER.ms;
}

static inline struct deadline deadline_add(struct deadline from, struct span s)
{
	return (struct deadline){ .ms = from.ms + s.ms };
}

static inline struct deadline deadline_in(struct span s)
{
	return deadline_add(deadline_now(), s);
}

static inline struct deadline deadline_earlier(struct deadline a, struct deadline b)
{
	return a.ms < b.ms ? a : b;
}

/* Has it passed by then? */
static inline bool deadline_is_over(struct deadline d, struct deadline now)
{
	return d.ms <= now.ms;
}

static inline bool deadline_has_passed(struct deadline d)
{
	return deadline_is_over(d, deadline_now());
}

/* How long from a until b: nothing if b is not later, and not more than a span can say. */
static inline struct span deadline_until(struct deadline a, struct deadline b)
{
	uint64_t ms = deadline_is_over(b, a) ? 0 : b.ms - a.ms;

	return (struct span){ .ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX };
}

/* How long from now until then: nothing if it has passed. */
static inline struct span deadline_rest(struct deadline d)
{
	return deadline_until(deadline_now(), d);
}

/* How long ago that was. */
static inline struct span deadline_age(struct deadline d)
{
	return deadline_until(d, deadline_now());
}

/*
 * For what a file keeps from one process to the next of the same boot, for longer than moments can
 * be put in order. 0: never yet.
 */
struct instant {
	uint64_t ms;
};

#define INSTANT_NEVER ((struct instant){ .ms = UINT64_MAX })

static inline struct instant instant_now(void)
{
	return (struct instant){ .ms = clock_milliseconds(CLOCK_BOOTTIME) };
}

static inline struct instant instant_add(struct instant i, struct span s)
{
	return (struct instant){ .ms = i.ms + s.ms };
}

static inline struct instant instant_later(struct instant a, struct instant b)
{
	return a.ms > b.ms ? a : b;
}

static inline struct instant instant_earlier(struct instant a, struct instant b)
{
	return a.ms < b.ms ? a : b;
}

/* Is it over by then? */
static inline bool instant_is_over(struct instant i, struct instant now)
{
	return i.ms <= now.ms;
}

/* As the kernel wants it. */
static inline struct timespec span_timespec(struct span s)
{
	return (struct timespec){ .tv_sec = (time_t)(s.ms / 1000),
		.tv_nsec = (long)(s.ms % 1000) * 1000000 };
}

/* `limit COUNT/PERIOD burst BURST`. */
struct rate {
	struct span emission; /* T: period / count, rounded up; at least a millisecond */
	uint32_t burst;       /* at least 1; (burst + 1) * T is at most SPAN_MAX_MS */
};

/* How far ahead of now a TAT (state/limiter.h) can be; also how far a deferred start can be. */
static inline struct span rate_window(struct rate rate)
{
	return (struct span){ .ms = (rate.burst + 1) * rate.emission.ms };
}

#endif
