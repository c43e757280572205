/* SPDX-License-Identifier: ISC */
/*
 * Runs a program, and all that it starts, to which the kernel refuses a system call from one time
 * on that it is made, and up to another; and counts calls.
 *
 *     refuse_at COUNTS CALL ERRNO FIRST LAST PROGRAM [ARGUMENT ...]
 *
 * CALL is its name; the first time is 1. "-": none is refused, and all are counted. COUNTS is a
 * file of struct count, by the calls' numbers, that can be read at any moment. Ends with 3 if there
 * is no such call here.
 *
 * Who decides is a process of its own, which the kernel asks (SECCOMP_RET_USER_NOTIF): seccomp(2).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { NUMBERS = 1024, STACK = 65536 };

struct count {
	char name[24];
	uint32_t made, refused;
};

/* What both processes know; the listener's number is 0 until there is one. */
struct shared {
	struct count *counts;
	volatile int listener;
	int number, error;
	unsigned first, last;
};

extern char **environ;

static void answer(const struct shared *shared, int listener)
{
	struct seccomp_notif asked;
	struct seccomp_notif_resp reply;
	struct count *count;

	memset(&asked, 0, sizeof(asked));
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0)
		return; /* who made it has died, or poll(2) says what it is */
	reply = (struct seccomp_notif_resp){ .id = asked.id };
	reply.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	if (asked.data.nr >= 0 && asked.data.nr < NUMBERS) {
		count = &shared->counts[asked.data.nr];
		if (count->name[0] == '\0') {
			char *name =
				seccomp_syscall_resolve_num_arch(asked.data.arch, asked.data.nr);

			if (name != NULL)
				strncpy(count->name, name, sizeof(count->name) - 1);
			free(name);
		}
		count->made++;
		if (asked.data.nr == shared->number && count->made >= shared->first &&
			count->made <= shared->last) {
			count->refused++;
			reply.flags = 0;
			reply.error = -shared->error;
		}
	}
	(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
}

/* Has the same descriptors as the one that installs the filter, until that is another program. */
static int decide(void *context)
{
	const struct shared *shared = context;
	struct pollfd poll_fd = { .events = POLLIN };

	while (shared->listener == 0)
		(void)nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	poll_fd.fd = shared->listener;
	/* It must keep nothing open, and outlive a signal to the group. */
	if (unshare(CLONE_FILES) != 0 || setsid() < 0)
		_exit(2);
	for (int fd = 0; fd < 1024; fd++)
		if (fd != poll_fd.fd)
			(void)close(fd);
	while (poll(&poll_fd, 1, -1) >= 0 && (poll_fd.revents & POLLIN) != 0)
		answer(shared, poll_fd.fd);
	_exit(0);
}

/* It is no child of the program's: that waits for its own. */
static int begin(struct shared *shared)
{
	char *stack =
		mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int flags = CLONE_FILES | SIGCHLD, between;

	if (stack == MAP_FAILED)
		return -1;
	between = (int)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
	if (between == 0)
		_exit(clone(decide, stack + STACK, flags, shared) < 0);
	return between < 0 || waitpid(between, &flags, 0) < 0 || flags != 0 ? -1 : 0;
}

static int filter_install(int number)
{
	struct sock_filter one[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_filter *filter = number < 0 ? &one[2] : one;
	struct sock_fprog program = { .len = number < 0 ? 1 : 4, .filter = filter };

	return (int)syscall(
		SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

int main(int argc, char **argv)
{
	struct shared *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t size = NUMBERS * sizeof(struct count);
	int fd, program;

	if (argc < 7 || shared == MAP_FAILED)
		return 2;
	shared->number = strcmp(argv[2], "-") == 0 ? -1 : seccomp_syscall_resolve_name(argv[2]);
	if (shared->number < 0 && strcmp(argv[2], "-") != 0)
		return 3;
	shared->error = atoi(argv[3]);
	shared->first = (unsigned)atoi(argv[4]);
	shared->last = (unsigned)atoi(argv[5]);
	fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
		return 2;
	shared->counts = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	program = open(argv[6], O_PATH | O_CLOEXEC);
	if (shared->counts == MAP_FAILED || program < 0 || begin(shared) != 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		perror("refuse_at");
		return 2;
	}
	/* That it is executed is our own. */
	if (shared->number == SYS_execveat) {
		shared->first++;
		shared->last += shared->last < UINT32_MAX;
	}
	shared->listener = filter_install(shared->number);
	if (shared->listener < 0)
		return 2;
	syscall(SYS_execveat, program, "", argv + 6, environ, AT_EMPTY_PATH);
	return 2;
}
