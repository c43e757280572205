/* SPDX-License-Identifier: ISC */
/*
 * What reads the journal, taken over: everything is real until it is confined, and then it does
 * what somebody would try who runs code in it. TAKEN_OUTSIDE of its environment is a directory with
 * `file`, and -D one with a journal.
 *
 * It writes to standard error what went through that should not (`through CALL`), what did not that
 * should (`refused CALL`), how many were tried (`tried COUNT`), and ends.
 */
#include "policy/landlock.h"
#include "logs/logs_confine.h"

static bool confine_and_attack(const char *directory);
#define logs_confine confine_and_attack
#include "../../src/logs/nmnotify-relay-logs.c"
#undef logs_confine

#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "taken.h"

/* What the filter refuses, whichever file it is. */
static void try_files(const char *directory)
{
	FILTERED(open(beside(directory, "x.journal"), O_WRONLY));
	FILTERED(open(beside(directory, "x.journal"), O_RDWR));
	FILTERED(open("/dev/null", O_WRONLY));
	FILTERED(unlink(beside(directory, "x.journal")));
	FILTERED(rename(beside(directory, "x.journal"), beside(directory, "y")));
	FILTERED(truncate(beside(directory, "x.journal"), 0));
	FILTERED(mkdir(beside(directory, "y"), 0700));
	FILTERED(link(beside(directory, "x.journal"), beside(directory, "y")));
	FILTERED(symlink("/etc", beside(directory, "y")));
	FILTERED(chmod(beside(directory, "x.journal"), 04755));
	FILTERED(chown(beside(directory, "x.journal"), 0, 0));
	FILTERED(mknod(beside(directory, "y"), S_IFIFO, 0));
	FILTERED(chdir("/"));
	FILTERED(chroot("/"));
	FILTERED(ioctl(0, TIOCSTI, "x"));
	FILTERED((int)syscall(SYS_memfd_create, "x", 0));
	FILTERED((int)syscall(SYS_openat2, AT_FDCWD, "/", NULL, 0));
	FILTERED((int)syscall(SYS_open_by_handle_at, -1, NULL, 0));
	FILTERED((int)syscall(SYS_mount, NULL, NULL, NULL, 0, NULL));
	CAN(open(beside(directory, "x.journal"), O_RDONLY));
	CAN(open(directory, O_RDONLY | O_DIRECTORY));
}

/* What needs Landlock. */
static void try_paths(const char *outside)
{
	TRY(open(beside(outside, "file"), O_RDONLY));
	TRY(open(outside, O_RDONLY | O_DIRECTORY));
	TRY(open(beside(outside, "new"), O_RDONLY | O_CREAT, 0600));
	TRY(open("/etc/passwd", O_RDONLY));
	TRY(open("/proc/self/mem", O_RDONLY));
	TRY(open("/proc/self/environ", O_RDONLY));
	TRY(open("/proc/1/cmdline", O_RDONLY));
	TRY(open("/sys/kernel", O_RDONLY));
}

static void try_processes(void)
{
	char *const none[] = { NULL };

	FILTERED(fork());
	FILTERED((int)syscall(SYS_clone, 0, 0, 0, 0, 0));
	FILTERED((int)syscall(SYS_clone3, NULL, 0));
	FILTERED(execve("/bin/true", none, none));
	FILTERED((int)syscall(SYS_execveat, AT_FDCWD, "/bin/true", none, none, 0));
	FILTERED(kill(getppid(), 0));
	FILTERED(kill(getpid(), 0));
	FILTERED((int)syscall(SYS_tgkill, getpid(), getpid(), 0));
	FILTERED((int)syscall(SYS_ptrace, 0, 0, 0, 0));
	FILTERED((int)process_vm_readv(getppid(), NULL, 0, NULL, 0, 0));
	FILTERED(setuid(0));
	FILTERED(unshare(CLONE_NEWUSER));
	FILTERED(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	FILTERED((int)syscall(SYS_seccomp, 0, 0, NULL));
	FILTERED((int)syscall(SYS_bpf, 0, NULL, 0));
	FILTERED((int)syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0));
	FILTERED((int)syscall(SYS_io_uring_setup, 1, NULL));
	FILTERED((int)syscall(SYS_userfaultfd, 0));
	FILTERED((int)syscall(SYS_add_key, NULL, NULL, NULL, 0, 0));
}

static void try_sockets(void)
{
	FILTERED(socket(AF_INET, SOCK_STREAM, 0));
	FILTERED(socket(AF_INET, SOCK_DGRAM, 0));
	FILTERED(socket(AF_INET6, SOCK_STREAM, 0));
	FILTERED(socket(AF_UNIX, SOCK_STREAM, 0));
	FILTERED(socket(AF_UNIX, SOCK_SEQPACKET, 0));
	FILTERED(socket(AF_NETLINK, SOCK_RAW, 0));
	FILTERED(socket(AF_PACKET, SOCK_RAW, 0));
	FILTERED(socketpair(AF_UNIX, SOCK_DGRAM, 0, (int[2]){ 0 }));
	FILTERED(bind(0, NULL, 0));
	FILTERED(listen(0, 1));
	FILTERED(accept(0, NULL, NULL));
	CAN(socket(AF_UNIX, SOCK_DGRAM, 0));
}

static int mapped(int protection, int flags)
{
	return mmap(NULL, 4096, protection, flags, -1, 0) == MAP_FAILED ? -1 : 0;
}

static void try_memory(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	FILTERED(mapped(PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS));
	FILTERED(mapped(PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS));
	FILTERED(mprotect(page, 4096, PROT_READ | PROT_EXEC));
	CAN(mprotect(page, 4096, PROT_READ));
}

static bool confine_and_attack(const char *directory)
{
	const char *outside = getenv("TAKEN_OUTSIDE");

	if (!logs_confine(directory))
		return false;
	try_files(directory);
	if (landlock_abi() > 0)
		try_paths(outside);
	try_processes();
	try_sockets();
	try_memory();
	fprintf(stderr, "tried %u\n", tried);
	exit(0);
}
