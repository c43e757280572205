/* SPDX-License-Identifier: ISC */
/*
 * The relay, taken over: everything is real until it is confined, and then it does what somebody
 * would try who runs code in it. The places that it tries are in its environment:
 *
 *   TAKEN_PORT      at 127.0.0.1: somebody listens there
 *   TAKEN_OUTSIDE   a directory with `file`, outside of what it may touch
 *   TAKEN_NOEXEC    if set, what can be executed is the service manager's choice (NoExecPaths=)
 *   TAKEN_UNICAST   if set, so is where datagrams go (IPAddressDeny=)
 *
 * It writes to standard error what went through that should not (`through CALL`), what did not that
 * should (`refused CALL`), how many were tried (`tried COUNT`), and ends.
 */
#include "policy/landlock.h"
#include "relay/relay_confine.h"

static bool confine_and_attack(const struct relay_conf *conf, const char *file, const char *state);
#define relay_confine confine_and_attack
#include "../../src/relay/nmnotify-relay.c"
#undef relay_confine

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "taken.h"

static const char *outside;

/* What needs Landlock. */
static void try_paths(const char *file, const char *state)
{
	char *const none[] = { NULL };
	int fd;

	TRY(open(beside(outside, "file"), O_RDONLY));
	TRY(open(beside(outside, "file"), O_WRONLY));
	TRY(open(beside(outside, "file"), O_WRONLY | O_TRUNC));
	TRY(open(beside(outside, "new"), O_WRONLY | O_CREAT, 0600));
	TRY(open(outside, O_RDONLY | O_DIRECTORY));
	TRY(mkdir(beside(outside, "directory"), 0700));
	TRY(unlink(beside(outside, "file")));
	TRY(rename(beside(outside, "file"), beside(state, "file")));
	TRY(rename(beside(state, "inbox"), beside(outside, "inbox")));
	TRY(open("/tmp/nmnotify-taken", O_WRONLY | O_CREAT, 0600));
	TRY(open("/dev/shm/nmnotify-taken", O_WRONLY | O_CREAT, 0600));
	TRY(open("/proc/self/mem", O_RDWR));
	TRY(open("/proc/self/environ", O_RDONLY));
	TRY(open("/proc/1/cmdline", O_RDONLY));
	TRY(open("/sys/kernel", O_RDONLY));
	TRY(open("/etc/passwd", O_RDWR));
	TRY(open(file, O_WRONLY));
	TRY(unlink(file));
	TRY(open(beside("/etc", "nmnotify-taken"), O_WRONLY | O_CREAT, 0600));
	/* Other programs: by the only way to execute any, in the place that it has. */
	fd = open("/bin/true", O_PATH);
	if (fd >= 0 && dup2(fd, 4) == 4)
		TRY((int)syscall(SYS_execveat, 4, "", none, none, AT_EMPTY_PATH));
	fd = open(beside(state, "program"), O_RDWR | O_CREAT, 0700);
	(void)!write(fd, "#!/bin/true\n", 12);
	(void)close(fd);
	fd = open(beside(state, "program"), O_RDONLY);
	if (fd >= 0 && dup2(fd, 4) == 4)
		TRY((int)syscall(SYS_execveat, 4, "", none, none, AT_EMPTY_PATH));
	CAN(unlink(beside(state, "program")));
	CAN(open("/etc/passwd", O_RDONLY));
	CAN(open(file, O_RDONLY));
}

static void try_files(const char *state)
{
	CAN(open(beside(state, "mine"), O_WRONLY | O_CREAT | O_TRUNC, 0600));
	FILTERED(chmod(beside(state, "mine"), 04755));
	FILTERED(chown(beside(state, "mine"), 0, 0));
	FILTERED(link(beside(state, "mine"), beside(state, "other")));
	FILTERED(symlink("/etc", beside(state, "other")));
	FILTERED(mknod(beside(state, "other"), S_IFIFO, 0));
	FILTERED((int)syscall(SYS_setxattr, "", "", "", 0, 0));
	FILTERED(chdir("/"));
	FILTERED(chroot("/"));
	FILTERED((int)syscall(SYS_memfd_create, "x", 0));
	FILTERED((int)syscall(SYS_openat2, AT_FDCWD, "/", NULL, 0));
	FILTERED(ioctl(0, TIOCSTI, "x"));
	FILTERED((int)syscall(SYS_open_by_handle_at, -1, NULL, 0));
	FILTERED((int)syscall(SYS_mount, NULL, NULL, NULL, 0, NULL));
}

/* It is allowed, and harmless: a child that is its own. */
static int copy(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	return child > 0 ? waitpid(child, NULL, 0) : -1;
}

static void try_processes(void)
{
	char *const none[] = { NULL };

	CAN(copy());
#ifdef SYS_vfork /* younger architectures have clone(2) alone */
	FILTERED((int)syscall(SYS_vfork));
#endif
	FILTERED((int)syscall(SYS_clone, SIGCHLD | CLONE_NEWUSER, 0, 0, 0, 0));
	FILTERED((int)syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, 0, 0, 0, 0));
	FILTERED(execve("/bin/true", none, none));
	FILTERED(execve("/proc/self/exe", none, none));
	FILTERED((int)syscall(SYS_execveat, 3, "", none, none, AT_EMPTY_PATH));
	FILTERED((int)syscall(SYS_execveat, 4, "x", none, none, 0));
	FILTERED((int)syscall(SYS_tgkill, getppid(), getppid(), 0));
	FILTERED((int)syscall(SYS_pidfd_open, getppid(), 0));
	FILTERED((int)syscall(SYS_pidfd_getfd, -1, 0, 0));
	FILTERED((int)syscall(SYS_ptrace, 16 /* PTRACE_ATTACH */, getppid(), 0, 0));
	FILTERED((int)syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
	FILTERED((int)syscall(SYS_kcmp, getppid(), getpid(), 0, 0, 0));
	FILTERED(setuid(0));
	FILTERED((int)syscall(SYS_setgroups, 0, NULL));
	FILTERED((int)syscall(SYS_unshare, CLONE_NEWUSER));
	FILTERED((int)syscall(SYS_setns, -1, 0));
	FILTERED((int)syscall(SYS_bpf, 0, NULL, 0));
	FILTERED((int)syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	FILTERED((int)syscall(SYS_userfaultfd, 0));
	FILTERED((int)syscall(SYS_io_uring_setup, 1, NULL));
	FILTERED((int)syscall(SYS_keyctl, 0, 0, 0, 0, 0));
}

static int mapped(int protection, int fd)
{
	return mmap(NULL, 4096, protection, MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0) ==
			       MAP_FAILED
		       ? -1
		       : 0;
}

static void try_memory(void)
{
	static char page[8192] __attribute__((aligned(4096)));

	FILTERED(mapped(PROT_READ | PROT_WRITE | PROT_EXEC, -1));
	FILTERED(mapped(PROT_READ | PROT_EXEC, -1));
	FILTERED(mapped(PROT_EXEC, -1));
	FILTERED(mapped(PROT_READ | PROT_WRITE | PROT_EXEC, 0));
	FILTERED(mprotect(page, 4096, PROT_READ | PROT_EXEC));
	FILTERED((int)syscall(SYS_pkey_mprotect, page, 4096, PROT_READ | PROT_EXEC, -1));
	FILTERED((int)syscall(SYS_shmget, 1, 4096, 01600));
}

/* By the loopback interface, where nobody else hears it. */
static bool sends_to_group(void)
{
	const struct in_addr by = { .s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr_in group = { .sin_family = AF_INET,
		.sin_port = htons(5353),
		.sin_addr.s_addr = htonl(INADDR_ALLHOSTS_GROUP) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof(by)) == 0 &&
	       sendto(fd, "x", 1, 0, (const struct sockaddr *)&group, sizeof(group)) == 1;
}

/* What only the unit forbids. Elsewhere it goes through: so it is the unit that does. */
static void try_unit(const char *state)
{
	const char *path = beside(state, "code");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0700);

	if (fd < 0 || ftruncate(fd, 4096) != 0)
		note("a file of its own", false, true);
	note("a state file is mapped to be executed", mapped(PROT_READ | PROT_EXEC, fd) == 0,
		getenv("TAKEN_NOEXEC") == NULL);
	note("a datagram to a group", sends_to_group(), getenv("TAKEN_UNICAST") == NULL);
	CAN(mapped(PROT_READ | PROT_EXEC, open("/proc/self/exe", O_RDONLY)));
	CAN(unlink(path));
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void try_sockets(uint16_t port, int abi)
{
	struct sockaddr_in to = loopback(port), own = loopback(0), other = loopback(port + 1), any;
	socklen_t any_size = sizeof(any);
	int fd = socket(AF_INET, SOCK_STREAM, 0), second = socket(AF_INET, SOCK_STREAM, 0);

	CAN(bind(fd, (struct sockaddr *)&own, sizeof(own)));
	CAN(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	FILTERED(listen(second, 1));
	FILTERED(accept4(second, NULL, NULL, 0));
	FILTERED(accept4(second, NULL, NULL, SOCK_CLOEXEC));
	FILTERED(accept4(second, (struct sockaddr *)&any, &any_size, SOCK_NONBLOCK | SOCK_CLOEXEC));
	TRY(accept4(second, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)); /* it does not listen */
	FILTERED(accept(second, NULL, NULL));
	FILTERED(setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4));
	if (abi >= 4)
		TRY(bind(second, (struct sockaddr *)&other, sizeof(other)));
	FILTERED(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	FILTERED(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
	FILTERED(socket(AF_INET, SOCK_STREAM, 262 /* MPTCP */));
	FILTERED(socket(AF_INET, SOCK_STREAM, 132 /* SCTP */));
	FILTERED(socket(AF_PACKET, SOCK_RAW, 0));
	FILTERED(socket(AF_NETLINK, SOCK_RAW, 16 /* generic */));
	FILTERED(socket(AF_ALG, SOCK_SEQPACKET, 0));
	FILTERED(socket(AF_VSOCK, SOCK_STREAM, 0));
	FILTERED(socket(AF_BLUETOOTH, SOCK_RAW, 0));
	CAN(socket(AF_UNIX, SOCK_DGRAM, 0));
}

static bool confine_and_attack(const struct relay_conf *conf, const char *file, const char *state)
{
	const char *port = getenv("TAKEN_PORT");
	const int abi = landlock_abi();

	outside = getenv("TAKEN_OUTSIDE");
	if (outside == NULL || port == NULL || !relay_confine(conf, file, state))
		return false;
	if (abi > 0)
		try_paths(file, state);
	try_files(state);
	try_processes();
	try_memory();
	try_unit(state);
	try_sockets((uint16_t)atoi(port), abi);
	if (abi >= LANDLOCK_ABI_SCOPES)
		TRY(kill(getppid(), 0));
	fprintf(stderr, "tried %u\n", tried);
	_exit(0);
}
