/* SPDX-License-Identifier: ISC */
/*
 * The limiter's own source (src/state/limiter.c) under Relacy: threads of two sources, which share two
 * cells of three, charge them at the same time. Every interleaving is tried, every value that a
 * load may return by C11, and the clock may go on whenever it is looked at. Checked: G3 at every
 * charge.
 *
 * What it cannot see: for Relacy, the compare-and-swaps of one thread take effect in the order of
 * the program, and each acts on the latest value. That another processor could see a charge before
 * the raised cells, which its release prevents, is therefore not tried. The mutant that charges the
 * least cell first, here and in cells.pml, shows what that would do.
 *
 * LIMITER: the source, so that a mutant of it can be given. Bounds: THREADS, TICKS; ITERATIONS:
 * so many, at random, instead of all.
 */
#include <relacy/relacy.hpp>

#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#ifndef LIMITER
#define LIMITER "../../src/state/limiter.c"
#endif
#ifndef TICKS
#define TICKS 3
#endif

/* What the language calls by another name. */
#define memory_order_relaxed                      rl::mo_relaxed
#define memory_order_acquire                      rl::mo_acquire
#define memory_order_release                      rl::mo_release
#define atomic_load_explicit(word, order)         ((word)->load(order, $))
#define atomic_store_explicit(word, value, order) ((word)->store(value, order, $))
#define atomic_compare_exchange_strong_explicit(word, was, value, order, failed)                   \
	((word)->compare_exchange_strong(*(was), value, order, $, failed, $))

typedef rl::atomic<uint32_t> atomic_word;

/* source.h, which has [static], and state.h: as much of them as the limiter uses. */
#define NMNOTIFY_SOURCE_H
#define SOURCE_IDENTITY_MAX 13

struct source;
size_t source_identity(const struct source *, uint8_t *)
{
	return 0;
}

#define NMNOTIFY_STATE_H
#define STATE_LINES      1
#define STATE_LINE_CELLS 16

struct state_line {
	atomic_word cell[STATE_LINE_CELLS];
};

struct state {
	atomic_word key[4];
	struct state_line line[STATE_LINES];
};

#define BEGIN 1000
static uint32_t clock_ms;

static int clock_looked_at(clockid_t, struct timespec *time)
{
	clock_ms += rl::rand(BEGIN + TICKS + 1 - clock_ms);
	time->tv_sec = clock_ms / 1000;
	time->tv_nsec = clock_ms % 1000 * 1000000;
	return 0;
}

#define clock_gettime clock_looked_at
#include LIMITER

uint64_t siphash(const uint64_t[2], const uint8_t *, size_t)
{
	return 0;
}

#ifndef THREADS
#define THREADS 3
#endif

struct charges : rl::test_suite<charges, THREADS> {
	atomic_word cell[4];
	uint32_t granted[2];

	void before()
	{
		clock_ms = BEGIN;
		for (unsigned i = 0; i < 4; i++)
			cell[i]($).store(0, rl::mo_relaxed);
		granted[0] = granted[1] = BEGIN;
	}

	void thread(unsigned index)
	{
		const struct rate rate = { { 1 }, 1 };
		unsigned source = index == 2;
		struct cells cells;
		struct moment at;

		cells.count = 3;
		cells.cell[0] = &cell[source == 0 ? 0 : 2];
		cells.cell[1] = &cell[1];
		cells.cell[2] = &cell[source == 0 ? 2 : 3];
		if (!limiter_take(&cells, rate, &at))
			return;
		RL_ASSERT(at.ms >= granted[source]); /* G3 */
		granted[source] = at.ms + rate.emission.ms;
	}
};

int main()
{
	rl::test_params how;

#ifdef ITERATIONS
	how.search_type = rl::random_scheduler_type;
	how.iteration_count = ITERATIONS;
#else
	how.search_type = rl::fair_full_search_scheduler_type;
#endif
	how.execution_depth_limit = 500;
	return !rl::simulate<charges>(how);
}
