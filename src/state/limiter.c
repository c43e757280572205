/* SPDX-License-Identifier: ISC */
/*
 * Why concurrent charges are never lost, though a TAT is several words and no lock is held. A
 * charge reads all cells, finds the least, and computes the new TAT from it. It first raises the
 * other cells to the new TAT, and last of all moves the least one by compare-and-swap: that is
 * the charge, and it fails if anybody moved that cell meanwhile. So at the moment of a charge
 * every cell is at least its new TAT. A later charge is a successful compare-and-swap from a
 * value that it read in one of these cells, which is therefore at least that TAT: it counts the
 * earlier one. A charge that dies or fails half-way has raised some cells and granted nothing:
 * the error is on the safe side.
 *
 * Cells are read before the clock. A good cell is never beyond the window of the moment at which
 * it was written, thus not beyond that of any later moment; read the other way round, a process
 * that was held up between the two would take a fresh TAT for damage and ignore it.
 */
#include "state/limiter.h"

#include <sys/random.h>

#include "lib/siphash.h"

struct tat {
	uint32_t word[LIMITER_CELLS]; /* as read */
	unsigned least;               /* which cell the TAT is in */
	struct moment now;
	struct moment at;
};

/* tau of the GCRA: how far the TAT may be ahead of a conforming arrival. */
static struct span rate_tolerance(struct rate rate)
{
	return (struct span){ .ms = (rate.burst - 1) * rate.emission.ms };
}

bool limiter_key(struct state *state)
{
	uint32_t fresh[4], none;

	if (atomic_load_explicit(&state->key[3], memory_order_relaxed) != 0)
		return true;
	if (getrandom(fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh))
		return false;
	/* Word by word, the first to write wins: all processes end up with the same key. The
	 * last word is set last (release, pairs with the acquire in limiter_locate). */
	for (unsigned i = 0; i < 4; i++) {
		none = 0;
		(void)atomic_compare_exchange_strong_explicit(&state->key[i], &none, fresh[i] | 1,
			memory_order_release, memory_order_relaxed);
	}
	return true;
}

/* Acquire: pairs with the release in limiter_key. The later word is read first. */
static uint64_t key_half(const atomic_word word[2])
{
	uint64_t high = atomic_load_explicit(&word[1], memory_order_acquire);

	return high << 32 | atomic_load_explicit(&word[0], memory_order_acquire);
}

/* One of a line's cells, named by four bits of the hash; the next one if it is taken already. */
static atomic_word *cell_pick(struct state_line *line, uint64_t bits, unsigned *used)
{
	unsigned index = bits & (STATE_LINE_CELLS - 1);

	while (*used & 1u << index)
		index = (index + 1) % STATE_LINE_CELLS;
	*used |= 1u << index;
	return &line->cell[index];
}

struct cells limiter_locate(struct state *state, const struct source *source)
{
	uint8_t identity[SOURCE_IDENTITY_MAX];
	size_t length = source_identity(source, identity);
	uint64_t key[2], hash;
	struct state_line *line;
	struct cells cells = { .count = LIMITER_CELLS };
	unsigned used = 0;

	key[1] = key_half(&state->key[2]);
	key[0] = key_half(&state->key[0]);
	hash = siphash(key, identity, length);
	/* The upper half picks the line. */
	line = &state->line[(hash >> 32) * STATE_LINES >> 32];
	for (unsigned i = 0; i < LIMITER_CELLS; i++)
		cells.cell[i] = cell_pick(line, hash >> 4 * i, &used);
	return cells;
}

/* A cell outside (now, now + window] is of the past, or damaged: it reads as empty. So does 0,
 * which a fresh one is: before moment 0 it would be within the window. */
static struct moment cell_read(uint32_t word, struct moment now, struct span window)
{
	struct moment at = moment_of_word(word);

	return word != 0 && moment_within(at, now, window) ? at : now;
}

static void tat_read(struct tat *tat, const struct cells *cells, struct rate rate)
{
	/* tests/model/cells.pml: tat_read. */
	/* Acquire: pairs with the releases in tat_move; whoever sees a charge sees the raised
	 * cells that came before it, and reads the clock after it. */
	for (unsigned i = 0; i < cells->count; i++)
		tat->word[i] = atomic_load_explicit(cells->cell[i], memory_order_acquire);
	tat->now = moment_now();
	tat->least = 0;
	tat->at = moment_add(tat->now, rate_window(rate)); /* no cell is later */
	for (unsigned i = 0; i < cells->count; i++) {
		struct moment at = cell_read(tat->word[i], tat->now, rate_window(rate));

		if (moment_later(tat->at, at)) {
			tat->at = at;
			tat->least = i;
		}
	}
}

static void cell_raise(
	atomic_word *cell, uint32_t word, struct moment now, struct moment to, struct span window)
{
	/* tests/model/cells.pml: cell_raise, look_again. */
	/* Release: pairs with the acquire in tat_read. */
	while (moment_later(to, cell_read(word, now, window)) &&
		!atomic_compare_exchange_strong_explicit(cell, &word, moment_to_word(to),
			memory_order_release, memory_order_acquire))
		now = moment_now(); /* the word is newer than the clock that we had read */
}

/* The charge. False if another process moved the TAT since it was read: then read it again. */
static bool tat_move(
	const struct cells *cells, struct tat *tat, struct moment to, struct span window)
{
	/* tests/model/cells.pml: cell_raise to move_least. */
	for (unsigned i = 0; i < cells->count; i++)
		if (i != tat->least)
			cell_raise(cells->cell[i], tat->word[i], tat->now, to, window);
	/* Release: pairs with the acquire in tat_read; orders the raised cells before it. */
	return atomic_compare_exchange_strong_explicit(cells->cell[tat->least],
		&tat->word[tat->least], moment_to_word(to), memory_order_release,
		memory_order_relaxed);
}

static struct moment conforms_at(const struct tat *tat, struct rate rate)
{
	/* tests/model/limit.pml: conform(). */
	return moment_latest(tat->now, moment_sub(tat->at, rate_tolerance(rate)));
}

struct moment limiter_peek(const struct cells *cells, struct rate rate)
{
	struct tat tat;

	tat_read(&tat, cells, rate);
	return conforms_at(&tat, rate);
}

bool limiter_take(const struct cells *cells, struct rate rate, struct moment *at)
{
	/* tests/model/limit.pml: limiter_take(); cells.pml: charger. */
	struct tat tat;

	do {
		tat_read(&tat, cells, rate);
		*at = conforms_at(&tat, rate);
		if (moment_later(*at, tat.now))
			return false;
	} while (!tat_move(cells, &tat, moment_add(tat.at, rate.emission), rate_window(rate)));
	return true;
}

/* Moves the TAT ahead by `by`, but not further than `most` from now: a TAT beyond the window
 * would read as empty. Returns what is left of `by`. */
static struct span tat_advance(
	const struct cells *cells, struct rate rate, struct span by, struct span most)
{
	/* tests/model/limit.pml: charge_ahead(); cells.pml: charger, ahead. */
	struct moment to, wanted;
	struct tat tat;

	do {
		tat_read(&tat, cells, rate);
		wanted = moment_add(tat.at, by);
		to = moment_earliest(wanted, moment_add(tat.now, most));
		/* 0 is written a millisecond late: at the end of the window that is beyond it. */
		if (to.ms == 0 && most.ms == rate_window(rate).ms)
			to.ms--;
		if (!moment_later(to, tat.at))
			return by;
	} while (!tat_move(cells, &tat, to, rate_window(rate)));
	return moment_until(to, wanted);
}

struct span limiter_charge_ahead(const struct cells *cells, struct rate rate)
{
	return tat_advance(cells, rate, rate.emission, rate_window(rate));
}

void limiter_delay(const struct cells *cells, struct rate rate, struct span late)
{
	/* tests/model/limit.pml: delay. */
	/* The most that a GCRA's TAT can be ahead just after it admitted an arrival. */
	struct span most = { .ms = rate.burst * rate.emission.ms };

	if (late.ms != 0)
		(void)tat_advance(cells, rate, late, most); /* more would be more than it is */
}
