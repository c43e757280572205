/* SPDX-License-Identifier: ISC */
/* In the relay's process. */
#include "relay/store_guard.h"

#include <setjmp.h>
#include <stddef.h>

static const int guarded_signals[2] = { SIGBUS, SIGSEGV };

/* Where the handler goes on; NULL: outside of a call. */
static sigjmp_buf *volatile guard_place;

void guard_leave(void)
{
	if (guard_place != NULL)
		siglongjmp(*guard_place, 1);
}

/* Both signals are the very instruction's: it would come again and again, so what is not guarded
 * has them as if there were no handler. */
static void guard_signal(int number)
{
	struct sigaction action = { .sa_handler = SIG_DFL };

	guard_leave();
	(void)sigaction(number, &action, NULL);
}

void guard_open(struct guard *guard)
{
	/* SA_NODEFER: the handler is left by a jump that does not unblock it, to save two system
	 * calls for each guarded call. */
	struct sigaction action = { .sa_handler = guard_signal, .sa_flags = SA_NODEFER };

	for (size_t i = 0; i < 2; i++)
		(void)sigaction(guarded_signals[i], &action, &guard->before[i]);
}

void guard_close(const struct guard *guard)
{
	for (size_t i = 0; i < 2; i++)
		(void)sigaction(guarded_signals[i], &guard->before[i], NULL);
}

int guard_call(guarded_call *call, void *context, int fault)
{
	sigjmp_buf place;
	int result;

	if (sigsetjmp(place, 0) != 0) {
		guard_place = NULL;
		return fault;
	}
	guard_place = &place;
	result = call(context);
	guard_place = NULL;
	return result;
}
