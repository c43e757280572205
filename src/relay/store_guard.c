/* SPDX-License-Identifier: ISC */
/* In the relay's process. */
#include "relay/store_guard.h"

#include <setjmp.h>
#include <stddef.h>
#include <unistd.h>

static const int guarded_signals[GUARDED_SIGNALS] = { SIGBUS, SIGSEGV, SIGABRT };

/* Where the handler goes on; NULL: outside of a call. */
static sigjmp_buf *volatile guard_place;

void guard_leave(void)
{
	if (guard_place != NULL)
		siglongjmp(*guard_place, 1);
}

/*
 * What is not guarded has the signal as if there were no handler. Two are the very instruction's,
 * and come again and again; abort(3) raises the third once more. One that somebody else has sent,
 * as systemd's watchdog does, is for the process, whatever it is doing.
 */
static void guard_signal(int number, siginfo_t *info, void *context)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	bool is_others = number == SIGABRT && info->si_pid != getpid();

	(void)context;
	if (!is_others)
		guard_leave();
	(void)sigaction(number, &action, NULL);
	if (is_others)
		(void)kill(getpid(), number);
}

void guard_open(struct guard *guard)
{
	/* SA_NODEFER: the handler is left by a jump that does not unblock it, to save two system
	 * calls for each guarded call. */
	struct sigaction action = { .sa_sigaction = guard_signal,
		.sa_flags = SA_NODEFER | SA_SIGINFO };

	for (size_t i = 0; i < GUARDED_SIGNALS; i++)
		(void)sigaction(guarded_signals[i], &action, &guard->before[i]);
}

void guard_close(const struct guard *guard)
{
	for (size_t i = 0; i < GUARDED_SIGNALS; i++)
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
