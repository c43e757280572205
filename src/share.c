/* SPDX-License-Identifier: ISC */
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

bool board_is_settled(const struct board *board, unsigned account, uint32_t number)
{
	/* Acquire: pairs with the release in board_settle. */
	return !is_before(
		atomic_load_explicit(&board->settled[account], memory_order_acquire), number);
}

void board_settle(struct board *board, unsigned account, uint32_t number)
{
	uint32_t was = atomic_load_explicit(&board->settled[account], memory_order_relaxed);

	/* Release: pairs with the acquire in board_is_settled: who sees it sees the waiter. */
	while (is_before(was, number) &&
		!atomic_compare_exchange_weak_explicit(&board->settled[account], &was, number,
			memory_order_release, memory_order_relaxed))
		;
}
