/* SPDX-License-Identifier: ISC */
/*
 * forbidden POLICY FILE: tries, as an action, what the policy (mail, local, none) says, and looks
 * at the state it was started in. Writes TAP to FILE; exits 1 if anything was wrong. With a third
 * word, no-i386, it leaves out the calls of 32-bit programs.
 *
 * forbidden i386: without confinement; exits 0 if the kernel takes such calls, else 1. Where it has no
 * IA32 emulation they are SIGSEGV, which would say nothing of the filter.
 *
 * No row does any harm if there is no filter: it has an argument that the kernel finds wrong before
 * it does anything, and answers with another error than EPERM. That rules out the calls that ask
 * for a capability before they look at their arguments (reboot, swapon, init_module ...): an action
 * has none, so their EPERM would tell nothing.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sockios.h>

/* Where an architecture does not have a call, its row is left out. */
enum { ABSENT = -1 };

#ifndef SYS_clock_adjtime
#define SYS_clock_adjtime ABSENT
#endif
#ifndef SYS_clock_settime
#define SYS_clock_settime ABSENT
#endif
#ifndef SYS_clock_settime64
#define SYS_clock_settime64 ABSENT
#endif
#ifndef SYS_iopl
#define SYS_iopl ABSENT
#endif
#ifndef SYS_ioperm
#define SYS_ioperm ABSENT
#endif
#ifndef SYS_mknod
#define SYS_mknod ABSENT
#endif
#ifndef SYS_modify_ldt
#define SYS_modify_ldt ABSENT
#endif
#ifndef SYS_settimeofday
#define SYS_settimeofday ABSENT
#endif
#ifndef SYS_socketcall
#define SYS_socketcall ABSENT
#endif

/* Calls from 5.1 on have the same number everywhere, but for mips' base; spelt out, because the
 * headers may be older. */
#ifdef __mips__
#define SINCE_5_1(number) (__NR_Linux + (number))
#else
#define SINCE_5_1(number) (number)
#endif

enum { MAIL, LOCAL, NONE, POLICIES };

static const char *const policy_names[POLICIES] = { "mail", "local", "none" };

enum { ANYTHING_BUT_EPERM = -1 };

struct row {
	const char *name;
	long number;
	long args[6];
	int expected[POLICIES]; /* errno; 0: it succeeds */
};

#define ALWAYS(error)                                                                              \
	{                                                                                          \
		error, error, error                                                                \
	}
#define NEVER ALWAYS(EPERM)

/* What the kernel says about socket type 15, which there is not: the filter has let it pass. */
#define PASSES EINVAL
enum { BAD_TYPE = 15 };

/* A thread's signal handlers without its memory: so clone() is wrong before it starts anything. */
enum { BAD_CLONE = CLONE_SIGHAND };

#ifdef __s390__
#define CLONE_ARGS(flags)                                                                          \
	{                                                                                          \
		0, (long)(flags)                                                                   \
	}
#else
#define CLONE_ARGS(flags)                                                                          \
	{                                                                                          \
		(long)(flags)                                                                      \
	}
#endif

static const struct row rows[] = {
	/* Other processes. */
	{ "ptrace", SYS_ptrace, { -1, 0 }, NEVER },
	{ "process_vm_readv", SYS_process_vm_readv, { -1, 0, 0, 0, 0, 1 }, NEVER },
	{ "process_vm_writev", SYS_process_vm_writev, { -1, 0, 0, 0, 0, 1 }, NEVER },
	{ "kcmp", SYS_kcmp, { -1, -1, 0, 0, 0 }, NEVER },
	{ "pidfd_getfd", SINCE_5_1(438), { -1, -1, 0 }, NEVER },
	{ "process_madvise", SINCE_5_1(440), { -1, 0, 0, 0, 1 }, NEVER },
	{ "process_mrelease", SINCE_5_1(448), { -1, 1 }, NEVER },

	/* Mounts and namespaces. */
	{ "mount", SYS_mount, { 0, 0, 0, 0, 0 }, NEVER },
	{ "umount2", SYS_umount2, { 0, -1 }, NEVER },
	{ "chroot", SYS_chroot, { 0 }, NEVER },
	{ "unshare", SYS_unshare, { 1 }, NEVER },
	{ "setns", SYS_setns, { -1, 0 }, NEVER },
	{ "open_tree", SINCE_5_1(428), { -1, 0, -1 }, NEVER },
	{ "mount_setattr", SINCE_5_1(442), { -1, 0, -1, 0, 0 }, NEVER },
	{ "clone, new user namespace", SYS_clone, CLONE_ARGS(CLONE_NEWUSER | BAD_CLONE), NEVER },
	{ "clone, new mount namespace", SYS_clone, CLONE_ARGS(CLONE_NEWNS | BAD_CLONE), NEVER },
	{ "clone, new net namespace", SYS_clone, CLONE_ARGS(CLONE_NEWNET | BAD_CLONE), NEVER },
	{ "clone, new pid namespace", SYS_clone, CLONE_ARGS(CLONE_NEWPID | BAD_CLONE), NEVER },
	{ "clone, new ipc namespace", SYS_clone, CLONE_ARGS(CLONE_NEWIPC | BAD_CLONE), NEVER },
	{ "clone, new uts namespace", SYS_clone, CLONE_ARGS(CLONE_NEWUTS | BAD_CLONE), NEVER },
	{ "clone, new cgroup namespace", SYS_clone, CLONE_ARGS(CLONE_NEWCGROUP | BAD_CLONE),
	        NEVER },
	{ "clone, no namespace", SYS_clone, CLONE_ARGS(BAD_CLONE), ALWAYS(EINVAL) },
	{ "clone3", SINCE_5_1(435), { 0, 0 }, ALWAYS(ENOSYS) },

	/* The kernel's darker corners. */
	{ "bpf", SYS_bpf, { -1, 0, 1 << 20 }, NEVER },
	{ "perf_event_open", SYS_perf_event_open, { 0, 0, 0, -1, -1 }, NEVER },
	{ "userfaultfd", SYS_userfaultfd, { -1 }, NEVER },
	{ "io_uring_setup", SINCE_5_1(425), { 0, 0 }, NEVER },
	{ "io_uring_enter", SINCE_5_1(426), { -1, 0, 0, -1, 0, 0 }, NEVER },
	{ "io_uring_register", SINCE_5_1(427), { -1, -1, 0, 0 }, NEVER },
	{ "iopl", SYS_iopl, { 4 }, NEVER },
	{ "ioperm", SYS_ioperm, { 0, 0, 1 }, NEVER },
	{ "modify_ldt", SYS_modify_ldt, { 99, 0, 0 }, NEVER },
	{ "fanotify_mark", SYS_fanotify_mark, { -1, -1, 0, 0, 0, 0 }, NEVER },
	{ "quotactl", SYS_quotactl, { -1, 0, 0, 0 }, NEVER },

	/* Keys. */
	{ "add_key", SYS_add_key, { 0, 0, 0, 0, 0 }, NEVER },
	{ "request_key", SYS_request_key, { 0, 0, 0, 0 }, NEVER },
	{ "keyctl", SYS_keyctl, { -1 }, NEVER },

	/* The clock. */
	{ "settimeofday", SYS_settimeofday, { 1, 1 }, NEVER },
	{ "clock_settime", SYS_clock_settime, { 9999, 0 }, NEVER },
	{ "clock_settime64", SYS_clock_settime64, { 9999, 0 }, NEVER },
	{ "adjtimex", SYS_adjtimex, { 0 }, NEVER },
	{ "clock_adjtime", SYS_clock_adjtime, { 9999, 0 }, NEVER },

	/* Input for terminals. Standard input is none, which ENOTTY would say. */
	{ "ioctl TIOCSTI", SYS_ioctl, { 0, TIOCSTI, 0 }, NEVER },
	{ "ioctl TIOCLINUX", SYS_ioctl, { 0, TIOCLINUX, 0 }, NEVER },
	{ "ioctl TIOCSETD", SYS_ioctl, { 0, TIOCSETD, 0 }, NEVER },
	{ "ioctl SIOCGIFBR", SYS_ioctl, { 0, SIOCGIFBR, 0 }, NEVER },
	{ "ioctl SIOCGIFVLAN", SYS_ioctl, { 0, SIOCGIFVLAN, 0 }, NEVER },
	{ "ioctl SIOCADDDLCI", SYS_ioctl, { 0, SIOCADDDLCI, 0 }, NEVER },
	{ "ioctl SIOCGIFCONF", SYS_ioctl, { 0, SIOCGIFCONF, 0 }, ALWAYS(ENOTTY) },
	{ "ioctl TIOCGWINSZ", SYS_ioctl, { 0, (long)TIOCGWINSZ, 0 }, ALWAYS(ENOTTY) },
#if __SIZEOF_LONG__ == 8
	/* The kernel looks at the low half only: so must the filter. */
	{ "ioctl TIOCSTI under rubbish", SYS_ioctl, { 0, 0xbad00000000 | TIOCSTI, 0 }, NEVER },
	{ "socket AF_ALG under rubbish", SYS_socket, { 0xbad00000000 | AF_ALG, BAD_TYPE, 0 },
	        { EPERM, EPERM, PASSES } },
#endif

	/* Devices; the folder does not exist. */
	{ "mknodat, device", SYS_mknodat, { AT_FDCWD, (long)"/proc/nowhere/x", S_IFCHR | 0600, 0 },
	        NEVER },
	{ "mknodat, fifo", SYS_mknodat, { AT_FDCWD, (long)"/proc/nowhere/x", S_IFIFO | 0600, 0 },
	        ALWAYS(ENOENT) },
	{ "mknod, device", SYS_mknod, { (long)"/proc/nowhere/x", S_IFBLK | 0600, 0 }, NEVER },
	{ "mknod, fifo", SYS_mknod, { (long)"/proc/nowhere/x", S_IFIFO | 0600, 0 }, ALWAYS(ENOENT) },

	{ "personality, no address randomisation", SYS_personality, { 0x40000 }, NEVER },
	{ "personality, which?", SYS_personality, { (long)0xffffffff }, ALWAYS(0) },

	/* Sockets. */
	{ "socket AF_UNIX", SYS_socket, { AF_UNIX, BAD_TYPE, 0 }, ALWAYS(PASSES) },
	{ "socket AF_INET, TCP", SYS_socket, { AF_INET, SOCK_STREAM, 0 }, { 0, EPERM, 0 } },
	{ "socket AF_INET, UDP", SYS_socket, { AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP },
		{ 0, EPERM, 0 } },
	{ "socket AF_INET, ping", SYS_socket, { AF_INET, SOCK_DGRAM, IPPROTO_ICMP },
		{ ANYTHING_BUT_EPERM, EPERM, ANYTHING_BUT_EPERM } },
	{ "socket AF_INET6, TCP", SYS_socket, { AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP },
		{ ANYTHING_BUT_EPERM, EPERM, ANYTHING_BUT_EPERM } },
	{ "socket AF_INET, bad type", SYS_socket, { AF_INET, BAD_TYPE, 0 }, { EPERM, EPERM, PASSES } },
	/* Kinds for which a kernel that has them loads a module; a raw one asks for a capability. */
	{ "socket AF_INET, MPTCP", SYS_socket, { AF_INET, SOCK_STREAM, 262 },
		{ EPERM, EPERM, ANYTHING_BUT_EPERM } },
	{ "socket AF_INET, SCTP", SYS_socket, { AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP },
		{ EPERM, EPERM, ANYTHING_BUT_EPERM } },
	{ "socket AF_INET, SCTP stream", SYS_socket, { AF_INET, SOCK_STREAM, IPPROTO_SCTP },
		{ EPERM, EPERM, ANYTHING_BUT_EPERM } },
	{ "socket AF_INET6, DCCP", SYS_socket, { AF_INET6, SOCK_DCCP, IPPROTO_DCCP },
		{ EPERM, EPERM, ANYTHING_BUT_EPERM } },
	{ "socket AF_INET, UDP-Lite", SYS_socket, { AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE },
		{ EPERM, EPERM, ANYTHING_BUT_EPERM } },
	{ "socket AF_INET, SMC", SYS_socket, { AF_INET, SOCK_STREAM, 256 },
		{ EPERM, EPERM, ANYTHING_BUT_EPERM } },
	{ "socket AF_SMC", SYS_socket, { 43, BAD_TYPE, 0 }, { EPERM, EPERM, ANYTHING_BUT_EPERM } },

	/* On what is no socket. */
	{ "sendto, out of band", SYS_sendto, { 0, 0, 0, MSG_OOB }, { EPERM, EPERM, ENOTSOCK } },
	{ "sendto, connecting", SYS_sendto, { 0, 0, 0, MSG_FASTOPEN }, { EPERM, EPERM, ENOTSOCK } },
	{ "sendmsg, connecting", SYS_sendmsg, { 0, 0, MSG_FASTOPEN }, { EPERM, EPERM, ENOTSOCK } },
	{ "recvfrom, out of band", SYS_recvfrom, { 0, 0, 0, MSG_OOB | MSG_PEEK },
		{ EPERM, EPERM, ENOTSOCK } },
	{ "sendmsg, out of band", SYS_sendmsg, { 0, 0, MSG_OOB }, { EPERM, EPERM, ENOTSOCK } },
	{ "recvmsg, out of band", SYS_recvmsg, { 0, 0, MSG_OOB }, { EPERM, EPERM, ENOTSOCK } },
	{ "sendmmsg, out of band", SYS_sendmmsg, { 0, 0, 0, MSG_OOB }, { EPERM, EPERM, ENOTSOCK } },
	{ "recvmmsg, out of band", SYS_recvmmsg, { 0, 0, 0, MSG_OOB }, { EPERM, EPERM, ENOTSOCK } },
	{ "sendto", SYS_sendto, { 0, 0, 0, MSG_NOSIGNAL }, ALWAYS(ENOTSOCK) },
	{ "recvfrom", SYS_recvfrom, { 0, 0, 0, MSG_PEEK }, ALWAYS(ENOTSOCK) },
	{ "setsockopt TCP_ULP", SYS_setsockopt, { 0, IPPROTO_TCP, TCP_ULP, 0, 3 },
		{ EPERM, EPERM, ENOTSOCK } },
	{ "setsockopt TCP_NODELAY", SYS_setsockopt, { 0, IPPROTO_TCP, TCP_NODELAY, 0, 4 },
		ALWAYS(ENOTSOCK) },
	{ "socket AF_NETLINK, route", SYS_socket, { AF_NETLINK, BAD_TYPE, 0 },
	        { PASSES, EPERM, PASSES } },
	{ "socket AF_NETLINK, audit", SYS_socket, { AF_NETLINK, BAD_TYPE, 9 },
	        { EPERM, EPERM, PASSES } },
	{ "socket AF_PACKET", SYS_socket, { AF_PACKET, BAD_TYPE, 0 }, { EPERM, EPERM, PASSES } },
	{ "socket AF_ALG", SYS_socket, { AF_ALG, BAD_TYPE, 0 }, { EPERM, EPERM, PASSES } },
	{ "socket AF_VSOCK", SYS_socket, { AF_VSOCK, BAD_TYPE, 0 }, { EPERM, EPERM, PASSES } },
	{ "socketpair AF_UNIX", SYS_socketpair, { AF_UNIX, BAD_TYPE, 0, 0 },
	        ALWAYS(ANYTHING_BUT_EPERM) },
	{ "socketpair AF_TIPC", SYS_socketpair, { AF_TIPC, BAD_TYPE, 0, 0 },
	        { EPERM, EPERM, ANYTHING_BUT_EPERM } },
	{ "socketcall", SYS_socketcall, { 1, 0 }, { EPERM, EPERM, EFAULT } },

	/* Left out of the lists, but not forbidden as such. */
	{ "mq_unlink", SYS_mq_unlink, { 0 }, { EPERM, EPERM, ANYTHING_BUT_EPERM } },
	{ "vmsplice", SYS_vmsplice, { -1, 0, 0, -1 }, { EPERM, EPERM, ANYTHING_BUT_EPERM } },

	/* Programs may confine themselves further. */
	{ "seccomp", SYS_seccomp, { -1, 0, 0 }, ALWAYS(EINVAL) },
	{ "landlock_create_ruleset", SINCE_5_1(444), { 0, 0, -1 }, ALWAYS(ANYTHING_BUT_EPERM) },

	/* Newer than the policy, whether this kernel has it (451 is cachestat, 6.5) or nobody. */
	{ "call 451", SINCE_5_1(451), { -1, 0, 0, 0 }, ALWAYS(ENOSYS) },
	{ "call 900", SINCE_5_1(900), { 0 }, ALWAYS(ENOSYS) },
	{ "call 0x3fffffff", 0x3fffffff, { 0 }, ALWAYS(ENOSYS) },
};

struct tap {
	FILE *file;
	unsigned count;
	unsigned failures;
};

__attribute__((format(printf, 3, 4))) static void ok(
        struct tap *tap, bool condition, const char *format, ...)
{
	va_list args;

	fprintf(tap->file, "%sok %u - ", condition ? "" : "not ", ++tap->count);
	va_start(args, format);
	vfprintf(tap->file, format, args);
	va_end(args);
	fputc('\n', tap->file);
	if (!condition)
		tap->failures++;
}

static const char *error_name(int error)
{
	switch (error) {
	case 0: return "done";
	case EPERM: return "EPERM";
	case ENOSYS: return "ENOSYS";
	case EINVAL: return "EINVAL";
	case ENOENT: return "ENOENT";
	case ENOTTY: return "ENOTTY";
	case EFAULT: return "EFAULT";
	case ENOTSOCK: return "ENOTSOCK";
	case ANYTHING_BUT_EPERM: return "not EPERM";
	default: return strerror(error);
	}
}

static void try_rows(struct tap *tap, unsigned policy)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		int expected = r->expected[policy], got;
		const long *a = r->args;

		if (r->number == ABSENT)
			continue;
		got = syscall(r->number, a[0], a[1], a[2], a[3], a[4], a[5]) < 0 ? errno : 0;
		ok(tap, expected == ANYTHING_BUT_EPERM ? got != EPERM : got == expected, "%s: %s",
		        r->name, error_name(expected));
		if (got != expected && expected != ANYTHING_BUT_EPERM)
			fprintf(tap->file, "# it was %s\n", error_name(got));
	}
}

#ifdef __x86_64__
/* getpid, by the other doors of the same kernel. */
static void call_as_i386(void)
{
	long result = 20;

	__asm__ volatile("int $0x80" : "+a"(result) : : "r8", "r9", "r10", "r11", "memory");
}

static void call_as_x32(void)
{
	syscall(0x40000000 | SYS_getpid);
}

/* Its wait status; 0 if there is no process to be had. */
static int status_of(void (*call)(void))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		prctl(PR_SET_DUMPABLE, 0); /* a signal would leave a core file */
		call();
		_exit(0);
	}
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static void try_foreign(struct tap *tap, void (*call)(void), const char *name)
{
	int status;

	fflush(tap->file);
	status = status_of(call);
	ok(tap, WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s: killed", name);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
		fprintf(tap->file, "# its wait status was 0x%x\n", (unsigned)status);
}

static void try_foreign_abis(struct tap *tap, bool with_i386)
{
	if (with_i386)
		try_foreign(tap, call_as_i386, "i386 call");
	try_foreign(tap, call_as_x32, "x32 call");
}

static bool has_i386(void)
{
	return status_of(call_as_i386) == 0;
}
#else
static void try_foreign_abis(struct tap *tap, bool with_i386)
{
	(void)tap;
	(void)with_i386;
}

static bool has_i386(void)
{
	return true; /* there is nothing to leave out */
}
#endif

/* The value of a line of /proc/self/status, as a number of that base. */
static unsigned long long status_value(const char *key, int base)
{
	unsigned long long value = ~0ULL;
	char line[4096];
	FILE *file = fopen("/proc/self/status", "re");

	if (!file)
		return value;
	while (fgets(line, sizeof(line), file)) {
		size_t length = strlen(key);

		if (strncmp(line, key, length) == 0 && line[length] == ':')
			value = strtoull(line + length + 1, NULL, base);
	}
	fclose(file);
	return value;
}

static void check_status(struct tap *tap)
{
	ok(tap, status_value("NoNewPrivs", 10) == 1, "no new privileges");
	ok(tap, status_value("Seccomp", 10) == 2, "a seccomp filter");
	ok(tap, status_value("CapInh", 16) == 0, "no inheritable capabilities");
	ok(tap, status_value("CapPrm", 16) == 0, "no permitted capabilities");
	ok(tap, status_value("CapEff", 16) == 0, "no effective capabilities");
	ok(tap, status_value("CapAmb", 16) == 0, "no ambient capabilities");
	ok(tap, status_value("SigBlk", 16) == 0, "no signal blocked");
	ok(tap, status_value("SigIgn", 16) == 0, "no signal ignored");
}

/* Descriptors above 2; asked before anything is opened here. -1 if that can't be told. */
static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int count = 0;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)) != NULL) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] != '.' && fd > 2 && fd != dirfd(dir))
			count++;
	}
	closedir(dir);
	return count;
}

static void check_descriptors(struct tap *tap, int extra)
{
	struct stat st;

	ok(tap, extra == 0, "no descriptor but 0, 1, 2");
	if (extra != 0)
		fprintf(tap->file, "# there were %d more\n", extra);
	ok(tap, fstat(0, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3),
	        "standard input is /dev/null");
	for (int fd = 1; fd <= 2; fd++)
		ok(tap, fstat(fd, &st) == 0 && !S_ISSOCK(st.st_mode), "%d is no socket", fd);
}

int main(int argc, char **argv)
{
	int extra = count_descriptors();
	unsigned policy = 0;
	struct tap tap = { 0 };

	if (argc == 2 && strcmp(argv[1], "i386") == 0)
		return has_i386() ? 0 : 1;
	while (argc >= 3 && policy < POLICIES && strcmp(argv[1], policy_names[policy]) != 0)
		policy++;
	if (argc < 3 || argc > 4 || policy == POLICIES) {
		fprintf(stderr, "usage: forbidden mail|local|none FILE [no-i386]\n");
		return 2;
	}
	tap.file = fopen(argv[2], "we");
	if (!tap.file) {
		perror(argv[2]);
		return 2;
	}
	check_descriptors(&tap, extra);
	check_status(&tap);
	try_rows(&tap, policy);
	try_foreign_abis(&tap, argc == 3);
	fprintf(tap.file, "1..%u\n", tap.count);
	return fclose(tap.file) == 0 && tap.failures == 0 ? 0 : 1;
}
