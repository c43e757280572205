/* SPDX-License-Identifier: ISC */
/*
 * Runs a program for which the kernel's Landlock is of an older version: who asks for that is told so. The
 * kernel can do more, and takes what the older one could.
 *
 *     older_landlock ABI PROGRAM [ARGUMENT ...]
 *
 * Ends as the program does, or with 3 if that cannot be done here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#define VERSION_QUESTION 1
#define LOW_WORD         (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 4)

/* A descriptor by which the question is answered. */
static int ask_us(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2]) + LOW_WORD),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VERSION_QUESTION, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* Who asked may be gone meanwhile. */
static void answer(int listener, int abi)
{
	struct seccomp_notif question;
	struct seccomp_notif_resp response = { .val = abi };

	memset(&question, 0, sizeof(question));
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) != 0)
		return;
	response.id = question.id;
	(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

int main(int argc, char **argv)
{
	struct pollfd ready[2] = { { .events = POLLIN }, { .events = POLLIN } };
	int status;
	pid_t pid;

	if (argc < 3 || (ready[0].fd = ask_us()) < 0)
		return 3;
	pid = fork();
	if (pid == 0) {
		execv(argv[2], argv + 2);
		_exit(2);
	}
	ready[1].fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pid < 0 || ready[1].fd < 0)
		return 3;
	/* The program has the connection for itself. */
	(void)close(STDIN_FILENO);
	while (ready[1].revents == 0) {
		if (poll(ready, 2, -1) < 0 && errno != EINTR)
			return 3;
		if ((ready[0].revents & POLLIN) != 0)
			answer(ready[0].fd, atoi(argv[1]));
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 2;
	return WEXITSTATUS(status);
}
