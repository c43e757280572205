/* SPDX-License-Identifier: ISC */
/*
 * Load for the relay, and what it is compared with. Bounded in number:
 *
 *     relay_load lines PORT COUNT             a bare loop of socket, connect, send and close
 *     relay_load sink PORT FILE               one of accept, recv and close, that counts into FILE
 *     relay_load events SOCKET COUNT USERS    `mail uN`, as fast as they are taken
 *     relay_load logins SOCKET USERS          `login uN 10.A.B.C`
 *     relay_load launch PROGRAM ARGUMENT...   starts it when something has come on descriptor 3
 *     relay_load calls PID                    counts its system calls until SIGTERM
 *     relay_load steps PID                    counts instructions, while it reads what has come
 *
 * COUNT lines go to COUNT addresses, from 127.1.0.0 on. `lines`, `events` and `logins` print how
 * many nanoseconds that took, and how many of a processor. `launch` hands over the descriptor as
 * systemd does. `steps` stops a process that waits, and goes on at the end of a line; of the next
 * recvmmsg(2) that got something it prints how many datagrams that were, and how many instructions
 * in user space follow up to the next system call, one by one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT_MOST 10000000
#define AT_ONCE    64
#define LETTER_MAX 64
#define FIRST      0x7f010000u /* 127.1.0.0 */

static const char line[] = "nm_notifyuser\r\n";

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "relay_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static unsigned number(const char *text, unsigned most)
{
	unsigned long value = strtoul(text, NULL, 10);

	if (value == 0 || value > most) {
		fprintf(stderr, "relay_load: '%s' is not from 1 to %u\n", text, most);
		exit(2);
	}
	return (unsigned)value;
}

/* ---- Lines ---- */

static void lines(uint16_t port, unsigned count)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };

	for (unsigned i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		to.sin_addr.s_addr = htonl(FIRST + i);
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
			send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL) < 0)
			fail("a line");
		(void)close(fd);
	}
}

_Noreturn static void sink(uint16_t port, const char *path)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	uint64_t *counted;

	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 4096) != 0)
		fail("listen");
	if (file < 0 || ftruncate(file, sizeof(*counted)) != 0)
		fail(path);
	counted = mmap(NULL, sizeof(*counted), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (counted == MAP_FAILED)
		fail(path);
	for (;;) {
		char bytes[16];
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		if (recv(fd, bytes, sizeof(bytes), 0) == sizeof(line) - 1)
			__atomic_add_fetch(counted, 1, __ATOMIC_RELAXED);
		(void)close(fd);
	}
}

/* ---- Letters ---- */

static int write_event(char *letter, unsigned i, unsigned users)
{
	return snprintf(letter, LETTER_MAX, "mail u%u", i % users);
}

static int write_login(char *letter, unsigned i, unsigned users)
{
	(void)users;
	return snprintf(letter, LETTER_MAX, "login u%u 10.%u.%u.%u", i, 1 + (i >> 16), i >> 8 & 255,
		i & 255);
}

typedef int writer(char *letter, unsigned i, unsigned users);

static void letters(const char *path, unsigned count, unsigned users, writer *write_one)
{
	static char letter[AT_ONCE][LETTER_MAX];
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct mmsghdr message[AT_ONCE];
	struct iovec part[AT_ONCE];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		fail(path);
	memset(message, 0, sizeof(message));
	for (unsigned begun = 0; begun < count; begun += AT_ONCE) {
		unsigned here = count - begun < AT_ONCE ? count - begun : AT_ONCE;

		for (unsigned i = 0; i < here; i++) {
			part[i].iov_base = letter[i];
			part[i].iov_len = (size_t)write_one(letter[i], begun + i, users);
			message[i].msg_hdr.msg_iov = &part[i];
			message[i].msg_hdr.msg_iovlen = 1;
		}
		for (unsigned i = 0; i < here;) {
			int sent = sendmmsg(fd, message + i, here - i, 0);

			if (sent < 0)
				fail("sendmmsg");
			i += (unsigned)sent;
		}
	}
	(void)close(fd);
}

/* ---- Starting ---- */

_Noreturn static void launch(char **words)
{
	struct pollfd wait = { .fd = 3, .events = POLLIN };
	char self[16];
	int status;
	pid_t pid;

	if (poll(&wait, 1, -1) != 1)
		fail("poll");
	pid = fork();
	if (pid == 0) {
		(void)snprintf(self, sizeof(self), "%d", getpid());
		(void)setenv("LISTEN_PID", self, 1);
		(void)setenv("LISTEN_FDS", "1", 1);
		execv(words[0], words);
		_exit(99);
	}
	/* Whoever ends this one means that one. */
	printf("%d\n", pid);
	(void)fflush(stdout);
	(void)waitpid(pid, &status, 0);
	exit(0);
}

/* ---- Counting ---- */

static void stop(int signal)
{
	(void)signal;
}

/* A process that waits in one call when this begins, and when it ends. */
static void calls(pid_t pid)
{
	struct sigaction action = { .sa_handler = stop };
	unsigned long stops = 0;
	int status;

	(void)sigaction(SIGTERM, &action, NULL); /* no SA_RESTART: it ends waitpid(2) */
	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD) != 0 ||
		ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) != 0)
		fail("ptrace");
	puts("ready");
	(void)fflush(stdout);
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		stops += WSTOPSIG(status) == (SIGTRAP | 0x80);
		(void)ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
	}
	printf("%lu\n", stops / 2); /* one when it begins, one when it ends */
}

static void seize(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD) != 0 ||
		ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) != 0)
		fail("ptrace");
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		fail("waitpid");
}

static void go_on(enum __ptrace_request how, pid_t pid)
{
	int status;

	if (ptrace(how, pid, NULL, NULL) != 0)
		fail("ptrace");
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		fail("waitpid");
}

/* How many datagrams it has got. */
static unsigned until_received(pid_t pid)
{
	struct __ptrace_syscall_info info;
	bool is_receiving = false;

	for (;;) {
		go_on(PTRACE_SYSCALL, pid);
		info.op = PTRACE_SYSCALL_INFO_NONE;
		(void)ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info);
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
			is_receiving = info.entry.nr == SYS_recvmmsg;
		else if (info.op == PTRACE_SYSCALL_INFO_EXIT && is_receiving && info.exit.rval > 0)
			return (unsigned)info.exit.rval;
	}
}

static bool is_at_call(pid_t pid)
{
#ifdef __x86_64__
	struct user_regs_struct registers;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) != 0)
		fail("ptrace");
	return (ptrace(PTRACE_PEEKTEXT, pid, (void *)registers.rip, NULL) & 0xffff) == 0x050f;
#else
	(void)pid;
	fputs("relay_load: steps: not on this machine\n", stderr);
	exit(1);
#endif
}

static void steps(pid_t pid)
{
	unsigned long counted = 0;
	unsigned received;

	seize(pid);
	puts("ready");
	(void)fflush(stdout);
	while (getchar() != '\n' && !feof(stdin))
		;
	received = until_received(pid);
	for (; !is_at_call(pid); counted++)
		go_on(PTRACE_SINGLESTEP, pid);
	(void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
	printf("%u %lu\n", received, counted);
}

static int use(void)
{
	fputs("usage: relay_load lines PORT COUNT | sink PORT FILE | events SOCKET COUNT USERS |\n"
	      "       logins SOCKET USERS | launch PROGRAM... | calls PID |\n"
	      "       steps PID\n",
		stderr);
	return 2;
}

int main(int argc, char **argv)
{
	uint64_t wall = now_ns(CLOCK_MONOTONIC);
	const char *what = argc > 1 ? argv[1] : "";

	if (argc == 4 && strcmp(what, "lines") == 0)
		lines((uint16_t)number(argv[2], 65535), number(argv[3], COUNT_MOST));
	else if (argc == 4 && strcmp(what, "sink") == 0)
		sink((uint16_t)number(argv[2], 65535), argv[3]);
	else if (argc == 5 && strcmp(what, "events") == 0)
		letters(argv[2], number(argv[3], COUNT_MOST), number(argv[4], COUNT_MOST),
			write_event);
	else if (argc == 4 && strcmp(what, "logins") == 0)
		letters(argv[2], number(argv[3], COUNT_MOST), 0, write_login);
	else if (argc >= 3 && strcmp(what, "launch") == 0)
		launch(argv + 2);
	else if (argc == 3 && strcmp(what, "calls") == 0)
		calls((pid_t)number(argv[2], 1u << 30));
	else if (argc == 3 && strcmp(what, "steps") == 0)
		steps((pid_t)number(argv[2], 1u << 30));
	else
		return use();
	if (strcmp(what, "calls") != 0 && strcmp(what, "steps") != 0)
		printf("%llu %llu\n", (unsigned long long)(now_ns(CLOCK_MONOTONIC) - wall),
			(unsigned long long)now_ns(CLOCK_PROCESS_CPUTIME_ID));
	return 0;
}
