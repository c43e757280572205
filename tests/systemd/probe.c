/* SPDX-License-Identifier: ISC */
/*
 * probe FILE: makes every system call with some wrong arguments, each in a process of its own, and
 * writes into FILE which of them are refused: a line each with the call's number, the argument that
 * it got six times, and how. Run in two places by the same user, the difference is what one of them
 * takes away. What the kernel itself says to such arguments is the same in both.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* Some wait for ever: then a signal ends the process. */
enum { CALLS = 470, FAMILIES = 46, PATIENCE_US = 50000 };
/* Single bits and small numbers, which may be modes, families, protections, policies; and all of them. */
static const long values[] = { -1, 0, 1, 2, 3, 4, 5, 6, 8 };

enum { PASSES, IS_EPERM, IS_ENOSYS, IS_OTHER };

static int result_of(long outcome)
{
	if (outcome >= 0 || (errno != EPERM && errno != ENOSYS))
		return PASSES;
	return errno == EPERM ? IS_EPERM : IS_ENOSYS;
}

/* In the child. The end of the process may be what the call does. */
static void call(long number, long v, int file)
{
	struct itimerval patience = { .it_value = { .tv_usec = PATIENCE_US } };

	(void)close(file); /* or it could be what is written to, or cut */
	(void)setsid();
	(void)signal(SIGALRM, SIG_DFL);
	(void)setitimer(ITIMER_REAL, &patience, NULL);
	_exit(result_of(syscall(number, v, v, v, v, v, v)));
}

static const char *refused(int status)
{
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? "SIGSYS" : NULL;
	if (WEXITSTATUS(status) == IS_EPERM)
		return "EPERM";
	return WEXITSTATUS(status) == IS_ENOSYS ? "ENOSYS" : NULL;
}

static bool try_call(FILE *file, long number, long v)
{
	const char *how;
	pid_t child = fork();
	int status;

	if (child == 0)
		call(number, v, fileno(file));
	if (child < 0 || waitpid(child, &status, 0) != child)
		return false;
	how = refused(status);
	if (how != NULL)
		(void)fprintf(file, "call %ld %ld %s\n", number, v, how);
	return true;
}

static void try_families(FILE *file)
{
	for (int family = 0; family < FAMILIES; family++) {
		for (int protocol = 0; protocol < 2; protocol++) {
			int fd = socket(family, SOCK_DGRAM, protocol);

			if (fd < 0 && errno == EPERM)
				(void)fprintf(file, "socket %d %d\n", family, protocol);
			if (fd >= 0)
				(void)close(fd);
		}
	}
}

int main(int argc, char **argv)
{
	FILE *file = argc == 2 ? fopen(argv[1], "w") : NULL;

	if (file == NULL)
		return 2;
	(void)setvbuf(file, NULL, _IOFBF, 1 << 16);
	for (long number = 0; number < CALLS; number++) {
		for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
			(void)fflush(file);
			if (!try_call(file, number, values[i]))
				return 3;
		}
	}
	try_families(file);
	(void)fputs("end\n", file);
	return fclose(file) == 0 ? 0 : 4;
}
