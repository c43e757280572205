/* SPDX-License-Identifier: ISC */
/* In the relay, and in its child until that is executed anew. */
#include "relay/resolver_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/fd.h"
#include "relay/resolver.h"

/* Out of the way of the numbers that the process has its descriptors by. */
#define OUT_OF_THE_WAY 16

bool resolver_process_prepare(struct resolver_process *process)
{
	const unsigned long name = getauxval(AT_EXECFN);

	*process = (struct resolver_process){ .fd = -1 };
	process->nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* This very file, whatever has taken its place by then. Without /proc, by its name. */
	process->image = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (process->image < 0)
		process->image = open((const char *)name, O_PATH | O_CLOEXEC);
	if (process->nowhere >= 0 && process->image >= 0)
		return true;
	fd_close_if_open(process->nowhere);
	fd_close_if_open(process->image);
	return false;
}

/* In the child: /dev/null and the pair are its descriptors, and this file until it is executed. */
static bool descriptors_arrange(int nowhere, int pair, int image)
{
	nowhere = fcntl(nowhere, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
	pair = fcntl(pair, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
	image = fcntl(image, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
	if (nowhere < 0 || pair < 0 || image < 0)
		return false;
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (dup2(nowhere, fd) < 0)
			return false;
	if (dup2(pair, RELAY_FD) < 0 || dup3(image, RELAY_FD + 1, O_CLOEXEC) < 0)
		return false;
	fd_close_from(RELAY_FD + 2);
	return true;
}

static bool signals_reset(void)
{
	sigset_t none;

	/* sigsetops(3), signal(2): these fail for no valid set and signal. Execution resets what is
	 * caught, but not what is ignored. */
	(void)sigemptyset(&none);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGCHLD, SIG_DFL);
	return sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

_Noreturn static void execute(const struct resolver_process *process, int pair)
{
	static char name[] = RESOLVER_NAME;
	char *const arguments[] = { name, NULL };
	char *const environment[] = { NULL };

	if (descriptors_arrange(process->nowhere, pair, process->image) && signals_reset())
		(void)syscall(
			SYS_execveat, RELAY_FD + 1, "", arguments, environment, AT_EMPTY_PATH);
	_exit(EX_OSERR); /* the relay says so */
}

bool resolver_process_start(struct resolver_process *process, struct span timeout)
{
	const struct resolver_start start = { .timeout_ms = timeout.ms, .relay = getpid() };
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	/* The first packet of a pair has room. */
	if (send(pair[0], &start, sizeof(start), MSG_DONTWAIT | MSG_NOSIGNAL) ==
		(ssize_t)sizeof(start))
		process->pid = fork();
	else
		process->pid = -1;
	error = errno;
	if (process->pid == 0)
		execute(process, pair[1]);
	(void)close(pair[1]); /* the other's now */
	if (process->pid > 0) {
		process->fd = pair[0];
		return true;
	}
	process->pid = 0;
	(void)close(pair[0]); /* nothing is lost: nobody has the other end */
	errno = error;
	return false;
}

void resolver_process_kill(struct resolver_process *process)
{
	fd_close_if_open(process->fd);
	process->fd = -1;
	if (process->pid > 0)
		(void)kill(process->pid, SIGKILL); /* not waited for yet: it is there */
}

bool resolver_process_has_ended(struct resolver_process *process, int *status)
{
	pid_t ended = process->pid > 0 ? waitpid(process->pid, status, WNOHANG) : -1;

	if (ended == 0 || (ended < 0 && errno == EINTR))
		return false;
	if (ended < 0)
		*status = 0; /* somebody else has waited for it */
	process->pid = 0;
	return true;
}

void resolver_process_close(struct resolver_process *process)
{
	pid_t ended = 0;

	resolver_process_kill(process);
	/* It has no file open and no memory to write back: its end is a matter of microseconds. */
	do
		ended = process->pid > 0 ? waitpid(process->pid, NULL, 0) : 0;
	while (ended < 0 && errno == EINTR);
	(void)close(process->image); /* opened to be executed, and to be nothing */
	(void)close(process->nowhere);
}
