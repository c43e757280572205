/* SPDX-License-Identifier: ISC */
/*
 * The board's words are sequentially consistent, like the turn's, whose locks and words they are
 * read and written between: board_look() comes before the child's look at the turn, and who does
 * not see it yet (board_is_looking()) has come before that look.
 */
#include "daemon/share.h"

#include <string.h>
#include <sys/mman.h>

/* What the network process may say of a connection: accepted and deferred are not its to say. */
static bool is_its_verdict(const struct request *request)
{
	switch (request->verdict) {
	case VERDICT_DENIED: return request->account == ACCOUNT_NONE;
	case VERDICT_COALESCED:
	case VERDICT_MALFORMED:
	case VERDICT_TIMEOUT:
	case VERDICT_ERROR: return request->account != ACCOUNT_NONE;
	default: return false;
	}
}

bool request_check(struct request *request, const struct conf *conf)
{
	bool account = request->account < conf->accounts_count;

	if (request->source.kind > SOURCE_IPV6)
		return false;
	switch (request->kind) {
	case REQUEST_READY:
	case REQUEST_ALIVE: return true;
	case REQUEST_TURN:
		/* Whoever is not permitted cannot be who it was for. */
		return account &&
		       (!request->has_line || conf_takes(conf, &conf->accounts[request->account],
						      &request->source));
	case REQUEST_LOG:
		return (account || request->account == ACCOUNT_NONE) && is_its_verdict(request) &&
		       request->reason < LINE_REASONS;
	default: return false;
	}
}

static struct slice prefixes_copy(
	struct prefix *to, unsigned *count, const struct prefix *from, const struct slice *slice)
{
	struct slice copy = { .start = *count, .count = slice->count };

	memcpy(to + *count, from + slice->start, slice->count * sizeof(*to));
	*count += slice->count;
	return copy;
}

/* The prefixes that accounts inherit are there once for each; there are at most so many as fit. */
static struct slice prefixes_tell(
	struct told *told, const struct conf *conf, unsigned account, bool is_to)
{
	const struct account *own = &conf->accounts[account];
	const struct slice *slice = is_to ? &own->to : &own->from;

	for (unsigned i = 0; i < account; i++) {
		const struct account *other = &conf->accounts[i];

		if (!is_to && other->from.start == slice->start &&
			other->from.count == slice->count)
			return told->account[i].from;
		if (is_to && other->to.start == slice->start && other->to.count == slice->count)
			return told->account[i].to;
	}
	return prefixes_copy(told->prefixes, &told->prefixes_count, conf->prefixes, slice);
}

void told_fill(struct told *told, const struct conf *conf)
{
	told->idle = conf->idle;
	told->prefixes_count = 0;
	told->accounts_count = conf->accounts_count;
	for (unsigned i = 0; i < conf->accounts_count; i++) {
		const struct account *account = &conf->accounts[i];

		told->account[i] = (struct told_account){
			.from = prefixes_tell(told, conf, i, false),
			.to = prefixes_tell(told, conf, i, true),
			.limit = account->limit,
			.interval = account->interval,
			.read_timeout = account->read_timeout,
			.bare_lf = account->bare_lf,
		};
	}
}

void told_take(const struct told *told, struct conf *conf)
{
	conf->idle = told->idle;
	conf->accounts_count = told->accounts_count;
	conf->prefixes_count = told->prefixes_count;
	memcpy(conf->prefixes, told->prefixes, told->prefixes_count * sizeof(told->prefixes[0]));
	for (unsigned i = 0; i < told->accounts_count; i++) {
		const struct told_account *account = &told->account[i];

		conf->accounts[i] = (struct account){
			.from = account->from,
			.to = account->to,
			.limit = account->limit,
			.interval = account->interval,
			.read_timeout = account->read_timeout,
			.bare_lf = account->bare_lf,
		};
	}
}

struct board *board_map(int memory)
{
	void *board =
		mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);

	return board == MAP_FAILED ? NULL : board;
}

bool desks_shut_at(struct desks *desks, const void *address)
{
	const size_t size = sizeof(struct state);

	for (unsigned i = 0; i < desks->count && desks->count > 1 && desks->is_root; i++) {
		struct desk *desk = &desks->desk[i];

		if ((uintptr_t)address - (uintptr_t)desk->state < size && !desk->is_shut &&
			mremap(desk->spare, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
				desk->state) == desk->state) {
			desk->is_shut = true;
			return true;
		}
	}
	return false;
}

/* Numbers go round; two that are compared are never far apart. */
static bool is_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static bool has_reached(const atomic_word *word, uint32_t number)
{
	return !is_before(atomic_load(word), number);
}

static void number_raise(atomic_word *word, uint32_t number)
{
	uint32_t was = atomic_load(word);

	while (is_before(was, number) && !atomic_compare_exchange_weak(word, &was, number))
		;
}

bool board_is_looking(const struct board *board, unsigned account, uint32_t number)
{
	return has_reached(&board->looking[account], number);
}

bool board_is_settled(const struct board *board, unsigned account, uint32_t number)
{
	return has_reached(&board->settled[account], number);
}

void board_look(struct board *board, unsigned account, uint32_t number)
{
	number_raise(&board->looking[account], number);
}

void board_settle(struct board *board, unsigned account, uint32_t number)
{
	number_raise(&board->settled[account], number);
}
