/* SPDX-License-Identifier: ISC */
/*
 * Runs a program to which the kernel refuses a system call: what cannot fail, fails.
 *
 *     refuse CALL ERRNO PROGRAM [ARGUMENT ...]
 *
 * CALL is its name, ERRNO a number. Ends with 3 if there is no such call here.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
	int number = argc < 4 ? -1 : seccomp_syscall_resolve_name(argv[1]);
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)atoi(argc < 4 ? "0" : argv[2])),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };
	int fd;

	if (number < 0)
		return 3;
	/* By its descriptor, so that execve(2) itself can be refused. */
	fd = open(argv[3], O_PATH | O_CLOEXEC);
	if (fd < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
		perror("refuse");
		return 2;
	}
	syscall(SYS_execveat, fd, "", argv + 3, environ, AT_EMPTY_PATH);
	return 2;
}
