/* SPDX-License-Identifier: ISC */
/*
 * Linked with the handler or a sender by --wrap, for what qemu-user does not have: filters, which
 * this says that there are, and hold; and children without a termination signal, or with their
 * parent's memory.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int __real_prctl(int option, unsigned long, unsigned long, unsigned long, unsigned long);
int __wrap_prctl(int option, unsigned long, unsigned long, unsigned long, unsigned long);
int __wrap_clone(int (*entry)(void *), void *stack, int flags, void *argument);

int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	if (option != PR_SET_SECCOMP)
		return __real_prctl(option, a, b, c, d);
	if ((const void *)b != NULL)
		return 0;
	errno = EFAULT;
	return -1;
}

int __wrap_clone(int (*entry)(void *), void *stack, int flags, void *argument)
{
	pid_t child = fork();

	(void)stack;
	if (flags != (CLONE_VM | CLONE_VFORK))
		abort();
	if (child == 0)
		_exit(entry(argument));
	return child;
}
