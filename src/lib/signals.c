/* SPDX-License-Identifier: ISC */
#include "lib/signals.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

bool signals_reset(void)
{
	static const char standard[64]; /* the kernel's struct sigaction, with SIG_DFL */
	sigset_t none;

	/* Not sigaction(3), which will not touch the signals that libc keeps for threads, though
	 * posix_spawn(3) may have left them ignored. Fails for SIGKILL and SIGSTOP alone. */
	for (int number = 1; number < _NSIG; number++)
		if (number != SIGBUS) /* caught while the state is mapped; execve(2) resets it */
			(void)syscall(SYS_rt_sigaction, number, standard, NULL, _NSIG / 8);
	(void)sigemptyset(&none); /* sigsetops(3): fails for no valid set */
	return sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}
