/* SPDX-License-Identifier: ISC */
/*
 * The board's words are sequentially consistent, like the turn's, whose locks and words they are
 * read and written between: board_look() comes before the child's look at the turn, and who does
 * not see it yet (board_is_looking()) has come before that look.
 */
#include "share.h"

bool request_check(struct request *request, unsigned accounts)
{
	bool account = request->account < accounts;

	switch (request->kind) {
	case REQUEST_ALIVE: return true;
	case REQUEST_TURN:
		if (!account)
			return false;
		break;
	case REQUEST_LOG:
		if ((!account && request->account != ACCOUNT_NONE) || request->verdict >= VERDICTS)
			return false;
		break;
	default: return false;
	}
	return request->source.kind <= SOURCE_IPV6;
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
