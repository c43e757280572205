/* SPDX-License-Identifier: ISC */
/*
 * The look-ups with a hostile process: everything is real until it is confined, and then it
 * does what somebody would try who has taken it over, It is told what by the
 * first label of the name that it is asked:
 *
 *   calls        every call that it should not have: the addresses are a text, how many there were,
 *                and those that went through
 *   small, large, empty
 *                an answer of a wrong size
 *   unknown      an id that was never asked for
 *   twice        the right answer, twice
 *   flood        10,000 right answers
 *   local, mapped, scope, count, rest, wrong
 *                an answer that is none
 *   huge         ten thousand years to live, 16 addresses, a name of the machine's own
 *   silent, leave, crash
 *   stay         nothing, and it does not end with the relay
 */
#include "policy/landlock.h"
#include "relay/resolver_confine.h"

static bool confine_and_attack(const uint16_t *tcp_ports, unsigned count);
#define resolver_confine confine_and_attack
#include "../../src/relay/resolver.c"
#undef resolver_confine
#include "names.c"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "lib/text.h"

static unsigned tried;
static bool has_ports; /* Landlock's, of which nothing can be asked later */
static char through[NAME_ADDRESSES_MAX * 16 + 1];

static void achieve(const char *what, bool is_through)
{
	struct text text = TEXT_IN(through);

	tried++;
	text.length = strlen(through);
	if (is_through)
		text_add(&text, " %s;", what);
}

#define TRY(call)     achieve(#call, (call) >= 0)
#define REFUSED(call) achieve(#call, (call) >= 0 || errno != EPERM)

static void try_files(void)
{
	struct stat st;
	char byte;

	TRY(open("/etc/passwd", O_RDONLY));
	TRY(open("/etc/resolv.conf", O_RDONLY));
	TRY(open("/proc/self/exe", O_PATH));
	TRY(syscall(SYS_openat2, AT_FDCWD, "/", NULL, 0));
	TRY(stat("/etc/passwd", &st));
	TRY(access("/", F_OK));
	TRY(unlink("/nowhere"));
	TRY(mkdir("/tmp/nmnotify-names", 0700));
	REFUSED(chdir("/"));
	TRY(syscall(SYS_memfd_create, "x", 0));
	TRY(inotify_init1(0));
	TRY(write(STDOUT_FILENO, "x", 1));
	TRY(write(RELAY_FD, "x", 1));
	TRY(read(STDIN_FILENO, &byte, 1));
	TRY(readlink("/proc/self/exe", &byte, 1));
}

/* A child that should not be there leaves no more behind. */
static int child_of(long number)
{
	long child = syscall(number, SIGCHLD, 0, 0, 0, 0);

	if (child == 0)
		_exit(0);
	return (int)child;
}

static void try_processes(void)
{
	char *const none[] = { NULL };

#ifdef SYS_fork /* younger architectures have clone(2) alone */
	TRY(child_of(SYS_fork));
#endif
	TRY(child_of(SYS_clone));
	TRY((int)syscall(SYS_clone3, NULL, 0));
	TRY(execve("/bin/true", none, none));
	TRY((int)syscall(SYS_execveat, RELAY_FD, "", none, none, AT_EMPTY_PATH));
	TRY(kill(getppid(), 0));
	TRY((int)syscall(SYS_tgkill, getppid(), getppid(), 0));
	TRY((int)syscall(SYS_pidfd_open, getppid(), 0));
	TRY((int)syscall(SYS_ptrace, 0x4206 /* PTRACE_SEIZE */, getppid(), 0, 0));
	TRY(prctl(PR_SET_DUMPABLE, 1));
	TRY(prctl(PR_SET_PDEATHSIG, 0));
	TRY((int)syscall(SYS_rt_sigaction, SIGTERM, NULL, NULL, 8));
	TRY(setrlimit(RLIMIT_DATA, &(struct rlimit){ 1, 1 }));
	TRY(setuid(0));
	TRY((int)syscall(SYS_unshare, CLONE_NEWUSER));
	TRY((int)syscall(SYS_bpf, 0, NULL, 0));
	TRY((int)syscall(SYS_io_uring_setup, 1, NULL));
}

static void try_memory(void)
{
	static char page[8192] __attribute__((aligned(4096)));

	REFUSED((int)(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
			      ? -1
			      : 0));
	REFUSED((int)(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, RELAY_FD, 0) ==
				      MAP_FAILED
			      ? -1
			      : 0));
	REFUSED(mprotect(page, 4096, PROT_READ | PROT_EXEC));
	achieve("65 MiB",
		mmap(NULL, (size_t)65 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0) != MAP_FAILED);
}

static int connected(int type, uint16_t port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type, 0);

	return connect(fd, (const struct sockaddr *)&address, sizeof(address));
}

static void try_sockets(void)
{
	const struct sockaddr_in any = { .sin_family = AF_INET };
	const struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "/run/x" };
	char byte[] = "x";
	struct iovec iov = { .iov_base = byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), pair[2];

	TRY(socket(AF_UNIX, SOCK_DGRAM, 0));
	TRY(socket(AF_NETLINK, SOCK_RAW, 0));
	TRY(socket(AF_PACKET, SOCK_RAW, 0));
	TRY(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	TRY(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
	TRY(socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */));
	TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	TRY(bind(fd, (const struct sockaddr *)&any, sizeof(any)));
	TRY(listen(fd, 1));
	REFUSED(accept(RELAY_FD, NULL, NULL));
	TRY(sendto(fd, byte, 1, 0, (const struct sockaddr *)&any, sizeof(any)));
	REFUSED(sendmsg(RELAY_FD, &message, 0));
	REFUSED(recvmsg(RELAY_FD, &message, MSG_DONTWAIT));
	REFUSED(writev(RELAY_FD, &iov, 1));
	REFUSED(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &(int){ 1 }, 4));
	REFUSED(setsockopt(fd, SOL_IP, 1, &(int){ 1 }, 4));
	REFUSED(connect(RELAY_FD, (const struct sockaddr *)&name, sizeof(name)));
	REFUSED(close(RELAY_FD));
	REFUSED(shutdown(RELAY_FD, SHUT_RDWR));
	REFUSED(dup(RELAY_FD));
	REFUSED(dup2(fd, RELAY_FD));
	REFUSED(fcntl(RELAY_FD, F_SETFL, O_NONBLOCK));
	REFUSED(fcntl(fd, F_DUPFD, 0));
	REFUSED(ioctl(fd, FIONREAD, &pair[0]));
	/* Port 79 has a listener. What Landlock forbids is EACCES, where the kernel knows of ports. */
	if (has_ports)
		achieve("TCP to port 79", connected(SOCK_STREAM, 79) == 0 || errno != EACCES);
}

static void try_all(struct resolver_answer *answer)
{
	char told[sizeof(through)] = "";
	struct text text = TEXT_IN(told);

	try_files();
	try_processes();
	try_memory();
	try_sockets();
	text_add(&text, "%u tried:%s", tried, through);
	for (unsigned i = 0; i < NAME_ADDRESSES_MAX; i++) {
		answer->address[i].bits = 128;
		memcpy(answer->address[i].bytes, told + 16 * i, 16);
	}
	answer->count = NAME_ADDRESSES_MAX;
}

static void put(const void *bytes, size_t length)
{
	(void)send(RELAY_FD, bytes, length, MSG_NOSIGNAL);
}

/* An answer that is right but for one thing, by the name of what that is. */
static void spoil(struct resolver_answer *answer, const char *how)
{
	if (strcmp(how, "unknown") == 0)
		answer->id += NAMES_MAX;
	if (strcmp(how, "local") == 0)
		answer->address[0].bits = SOURCE_LOCAL;
	if (strcmp(how, "mapped") == 0)
		answer->address[0] = (struct resolver_address){ 128, 0,
			{ [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 } };
	if (strcmp(how, "scope") == 0)
		answer->address[0].scope = 1;
	if (strcmp(how, "count") == 0)
		answer->count = NAME_ADDRESSES_MAX + 1;
	if (strcmp(how, "none") == 0)
		*answer = (struct resolver_answer){ .id = answer->id };
	if (strcmp(how, "rest") == 0)
		answer->address[NAME_ADDRESSES_MAX - 1].bytes[15] = 1;
	if (strcmp(how, "behind") == 0)
		answer->address[0].bytes[15] = 1;
	if (strcmp(how, "wrong") == 0)
		*answer = (struct resolver_answer){ .id = answer->id, .wrong = RESOLVER_WRONGS };
	if (strcmp(how, "both") == 0)
		answer->wrong = RESOLVER_SILENT;
	if (strcmp(how, "huge") == 0)
		answer->lives_s = UINT32_MAX;
}

static void attempt(const struct resolver_question *question)
{
	struct resolver_answer answer[2] = { { .id = question->id,
		.count = 1,
		.lives_s = 300,
		.address = { { .bits = 32, .bytes = { 192, 0, 2, 66 } } } } };
	char what[sizeof(question->name)];

	(void)strcpy(what, question->name);
	what[strcspn(what, ".")] = '\0';
	if (strcmp(what, "silent") == 0)
		return;
	while (strcmp(what, "stay") == 0)
		continue;
	if (strcmp(what, "leave") == 0)
		_exit(EX_OK);
	if (strcmp(what, "crash") == 0)
		__builtin_trap();
	if (strcmp(what, "calls") == 0)
		try_all(answer);
	spoil(answer, what);
	if (strcmp(what, "small") == 0)
		put(answer, sizeof(*answer) - 1);
	else if (strcmp(what, "large") == 0)
		put(answer, sizeof(*answer) + 1);
	else if (strcmp(what, "empty") == 0)
		put(answer, 0);
	else
		put(answer, sizeof(*answer));
	for (unsigned more = strcmp(what, "flood") == 0 ? 10000 : strcmp(what, "twice") == 0; more > 0;
		more--)
		put(answer, sizeof(*answer));
}

static bool confine_and_attack(const uint16_t *tcp_ports, unsigned count)
{
	struct resolver_question question;

	has_ports = landlock_abi() >= 4;
	if (!resolver_confine(tcp_ports, count))
		return false;
	while (recv(RELAY_FD, &question, sizeof(question), 0) == (ssize_t)sizeof(question))
		attempt(&question);
	_exit(EX_OSERR);
}
