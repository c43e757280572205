/* SPDX-License-Identifier: ISC */
#include "ctl/account_status.h"

/* Words of the state wrap around after 49.7 days. */
#define WORD_PERIOD_MS (UINT64_C(1) << 32)

/* The moment 0 is written a millisecond late (clock.h). */
#define FUTURE_MS 1

const char *next_why_name(enum next_why why)
{
	static const char *const names[NEXT_WHYS] = {
		[NEXT_NONE] = "nothing",
		[NEXT_NOW] = "now",
		[NEXT_LIMIT] = "limit",
		[NEXT_INTERVAL] = "interval",
		[NEXT_RUN] = "run",
		[NEXT_RETRY] = "retry",
		[NEXT_DEBT] = "debt",
	};

	return names[why];
}

static uint32_t word_of(const atomic_word *word)
{
	return atomic_load_explicit(word, memory_order_relaxed); /* it is a copy */
}

/*
 * How long ago a word was written. When the turn file was last changed says how often the word has
 * wrapped around since, and whether the machine was started meanwhile: then that is all there is to
 * know. False: never, or the word is damaged.
 */
static bool word_ago(const struct snapshot *snapshot, uint32_t word, uint64_t *ago)
{
	uint64_t since = snapshot->now.ms - word, /* modulo 2^32 */
		written = snapshot->written_ago;

	since &= WORD_PERIOD_MS - 1;
	if (word == 0)
		return false;
	*ago = written;
	if (written > snapshot->uptime)
		return true;
	if (since >= WORD_PERIOD_MS - FUTURE_MS)
		since = 0;
	*ago = since;
	if (written > since)
		*ago += (written - since + WORD_PERIOD_MS / 2) / WORD_PERIOD_MS * WORD_PERIOD_MS;
	else if (since - written > WORD_PERIOD_MS / 2)
		return false; /* of the future */
	return *ago <= snapshot->uptime;
}

/* The later of the two places where the last start is written. */
static void find_last(struct account_status *status, const struct snapshot *snapshot)
{
	uint32_t words[] = { word_of(&snapshot->state.last_start), snapshot->last_written };
	uint64_t ago;

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!word_ago(snapshot, words[i], &ago) ||
			(status->has_last && ago >= status->last_ago))
			continue;
		status->has_last = true;
		status->last_ago = ago;
	}
}

/*
 * When the last run ended is a second of the clock that begins when the machine is started. So if
 * the last start was before that, or is not known, it is a second of some earlier boot.
 */
static void find_end(struct account_status *status, const struct snapshot *snapshot)
{
	uint64_t ended = word_of(&snapshot->state.run_ended), /* counted from 1 */
		now = snapshot->uptime / 1000 + 1;

	status->has_end = ended != 0 && ended <= now && status->has_last &&
			  status->last_ago <= snapshot->uptime;
	if (status->has_end)
		status->end_ago = (now - ended) * 1000;
}

/* How far ahead a start can be owed: as long as a line can be put off, or a retry. */
static struct span reach_of(const struct account *account)
{
	struct turn turn = { .retry = account->retry };
	struct span window = rate_window(account->limit),
		    retry = turn_retry_span(&turn, account->retry.ms != 0 ? UINT32_MAX : 0);

	return retry.ms > window.ms ? retry : window;
}

/* Until when the word says, but not further ahead than it can be: the rest is damage. */
static struct span due_in(const struct snapshot *snapshot, const struct account *account)
{
	uint32_t due = word_of(&snapshot->state.due);
	struct span rest = moment_until(snapshot->now, moment_of_word(due)),
		    reach = reach_of(account);

	if (due == 0)
		return (struct span){ 0 };
	return rest.ms > reach.ms ? reach : rest;
}

/* Does somebody see to it that a run that has failed is tried again? For nmnotifyd nobody sleeps:
 * its runner looks, as long as it is alive. */
static bool is_retry(const struct snapshot *snapshot, const struct account *account)
{
	if (word_of(&snapshot->state.due) == 0 || snapshot->locks.waiting)
		return false;
	return snapshot->locks.retrying || (account->retry.ms != 0 && snapshot->locks.asking &&
						   word_of(&snapshot->state.failures) != 0 &&
						   due_in(snapshot, account).ms != 0);
}

static void find_debts(struct account_status *status, const struct snapshot *snapshot)
{
	status->due = word_of(&snapshot->state.due) != 0 && !snapshot->locks.waiting &&
		      !status->is_retrying;
	status->owed = word_of(&snapshot->state.owed) != 0 && !snapshot->locks.running;
	status->asked = word_of(&snapshot->state.asked) != 0 && !snapshot->locks.asking;
}

static void find_interval(struct account_status *status, struct span interval)
{
	/* turn.c adds one to make sure of the whole. */
	if (status->has_last && status->last_ago <= interval.ms)
		status->interval.ms = interval.ms + 1 - (uint32_t)status->last_ago;
}

static void find_next(struct account_status *status, const struct snapshot *snapshot,
	const struct account *account)
{
	const struct state *state = &snapshot->state;
	struct span due = due_in(snapshot, account);

	/* A start that a dead process began is made up for whatever the limit says. */
	if (word_of(&state->owed) != 0)
		due.ms = 0;
	status->next_in = due.ms > status->interval.ms ? due : status->interval;
	if (!status->is_waiting && (status->due || status->owed || status->asked))
		status->next = NEXT_DEBT;
	else if (!status->is_waiting)
		status->next = status->is_retrying ? NEXT_RETRY : NEXT_NONE;
	else if (status->is_running)
		status->next = NEXT_RUN;
	else if (status->next_in.ms == 0)
		status->next = NEXT_NOW;
	else
		status->next = due.ms > status->interval.ms ? NEXT_LIMIT : NEXT_INTERVAL;
	if (status->next == NEXT_NONE)
		status->next_in.ms = 0;
}

static void cell_count(struct limit_fill *fill, struct span ahead, struct rate rate)
{
	uint32_t starts = (ahead.ms + rate.emission.ms - 1) / rate.emission.ms;

	fill->used++;
	fill->full += starts >= rate.burst;
	if (starts > fill->fullest)
		fill->fullest = starts;
}

static void find_fill(struct account_status *status, const struct snapshot *snapshot,
	const struct account *account)
{
	struct span window = rate_window(account->limit);

	for (unsigned i = 0; i < STATE_LINES; i++)
		for (unsigned j = 0; j < STATE_LINE_CELLS; j++) {
			uint32_t word = word_of(&snapshot->state.line[i].cell[j]);
			struct moment at = moment_of_word(word);

			if (word != 0 && moment_within(at, snapshot->now, window))
				cell_count(&status->limit, moment_until(snapshot->now, at),
					account->limit);
		}
}

struct account_status account_status(const struct snapshot *snapshot, const struct account *account)
{
	/* Who waits holds `running`, too, while nothing runs: then there is no action. */
	uint32_t action = snapshot->locks.running ? word_of(&snapshot->state.action) : 0;
	struct account_status status = {
		.is_waiting = snapshot->locks.waiting,
		.is_retrying = is_retry(snapshot, account),
		.is_running = action != 0,
		.action = action <= INT32_MAX ? (pid_t)action : 0,
	};

	find_last(&status, snapshot);
	find_end(&status, snapshot);
	find_debts(&status, snapshot);
	find_interval(&status, account->interval);
	find_next(&status, snapshot, account);
	find_fill(&status, snapshot, account);
	return status;
}
