/* SPDX-License-Identifier: ISC */
/*
 * nmnotifyd with a hostile network process: everything is the real program's but network_serve(),
 * which does what somebody would try who has taken that process over, inside its real confinement.
 * taken_over.t builds on it, and says what each attempt may gain.
 *
 * It takes one connection and reads one byte: which attempt. It cannot answer; what it has achieved
 * it adds up in a word of the counters that it may write to, `denied`.
 */
#define network_serve honest_network_serve
#include "../../src/daemon/network.c"
#undef network_serve

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static struct network *self;

static void achieve(unsigned word, uint32_t count)
{
	atomic_fetch_add(&self->accounts->denied->reserved[word], count);
}

/* As soon as possible, whatever it costs. */
static void put(const struct request *request)
{
	while (send(RUNNER_FD, request, sizeof(*request), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		if (errno != EAGAIN && errno != ENOBUFS)
			_exit(1);
}

static int take_connection(struct sockaddr_storage *address)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	socklen_t length = sizeof(*address);
	int fd;

	while ((fd = accept4(self->listener[0].fd, (struct sockaddr *)address, &length, 0)) < 0)
		(void)nanosleep(&nap, NULL); /* the test waits until it sleeps */
	return fd;
}

/* A byte to whoever has connected, by every call there is, on every descriptor. */
static void send_out(void)
{
	struct sockaddr_storage address;
	char byte[] = "x";
	struct iovec iov = { .iov_base = byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr messages = { .msg_hdr = message };

	achieve(0, close(RUNNER_FD) == 0);
	achieve(0, dup2(self->listener[0].fd, RUNNER_FD) >= 0);
	achieve(0, dup3(self->listener[0].fd, RUNNER_FD, 0) >= 0);
	(void)take_connection(&address);
	for (int fd = 0; fd < 64; fd++) {
		if (fd == RUNNER_FD)
			continue;
		achieve(1, send(fd, byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0);
		achieve(1, send(fd, byte, 1, MSG_OOB) > 0);
		achieve(1, sendto(fd, byte, 1, MSG_DONTWAIT, (struct sockaddr *)&address,
				   sizeof(struct sockaddr_in)) > 0);
		achieve(1, sendmsg(fd, &message, 0) > 0);
		achieve(1, sendmmsg(fd, &messages, 1, 0) > 0);
		achieve(1, write(fd, byte, 1) > 0);
		achieve(1, writev(fd, &iov, 1) > 0);
		achieve(1, pwrite(fd, byte, 1, 0) > 0);
	}
}

/* Everything that the filter should refuse; each that it does not counts. */
static void do_more(void)
{
	char byte = 0;

	achieve(0, open("/etc/passwd", O_RDONLY) >= 0);
	achieve(0, socket(AF_INET, SOCK_STREAM, 0) >= 0);
	achieve(0, socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
#ifdef SYS_fork /* younger architectures have clone(2) alone */
	achieve(0, syscall(SYS_fork) >= 0);
#endif
	achieve(0, syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) >= 0);
	achieve(0, syscall(SYS_execveat, RUNNER_FD, "", NULL, NULL, 0) >= 0);
	achieve(0, kill(getppid(), 0) == 0);
	achieve(0, syscall(SYS_rt_sigaction, SIGTERM, NULL, NULL, 8) == 0);
	achieve(0, syscall(SYS_rt_sigprocmask, 0, NULL, NULL, 8) == 0);
	achieve(0, syscall(SYS_prctl, 1 /* PR_SET_PDEATHSIG */, 0, 0, 0, 0) == 0);
	achieve(0, mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	achieve(0, mprotect(&byte, 1, PROT_READ | PROT_EXEC) == 0 || errno != EPERM);
	achieve(0, read(self->accounts->served[0].turn.fd, &byte, 1) >= 0);
	achieve(0, ftruncate(self->accounts->served[0].turn.fd, 0) == 0);
	achieve(0, fcntl(self->accounts->served[0].turn.fd, F_DUPFD, 0) >= 0);
	achieve(0, shutdown(RUNNER_FD, SHUT_RDWR) == 0);
	achieve(0, setsockopt(self->listener[0].fd, SOL_SOCKET, SO_REUSEADDR, &byte, 4) == 0);
}

/* Starts without an interval and a limit: as if each line were the first, and each debt real. */
static void start_on(void)
{
	struct state *state = self->accounts->served[0].state;
	struct request request = { .kind = REQUEST_TURN, .is_charged = 1 };

	request.source = (struct source){ .kind = SOURCE_IPV4, .address = { 127, 0, 0, 1 } };
	for (uint32_t number = 1;; number++) {
		memset(state->line, 0, sizeof(state->line));
		atomic_store(&state->last_start, 0);
		atomic_store(&state->owed, number & 1);
		atomic_store(&state->action, 0);
		atomic_store(&state->due, 1);
		atomic_store(&state->asked, number);
		request.number = number;
		request.has_line = number & 2;
		request.allowed = moment_now().ms;
		request.noted = atomic_load(&state->starts);
		put(&request);
	}
}

/* Each kind of line, each account, and what is none. */
static void write_lines(void)
{
	struct request request = { .kind = REQUEST_LOG };

	for (uint32_t number = 0;; number++) {
		request.verdict = number % VERDICTS;
		request.account = number % 3 == 0 ? ACCOUNT_NONE : 0;
		request.reason = number % LINE_REASONS;
		request.suppressed = number;
		request.source = (struct source){ .kind = SOURCE_IPV4, .address = { 10 } };
		memcpy(request.source.address, &number, 4);
		put(&request);
	}
}

static void be_alive(void)
{
	const struct request request = { .kind = REQUEST_ALIVE };

	for (;;)
		put(&request);
}

static void go_on(void)
{
	for (;;)
		(void)recv(RUNNER_FD, NULL, 0, MSG_DONTWAIT);
}

int network_serve(struct network *network)
{
	struct sockaddr_storage address;
	char what = 0;
	int fd;

	self = network;
	tell_ready(&self->requester);
	fd = take_connection(&address);
	while (recv(fd, &what, 1, MSG_DONTWAIT) < 0)
		;
	switch (what) {
	case 'o': send_out(); break;
	case 'm': do_more(); break;
	case 's': start_on(); break;
	case 'l': write_lines(); break;
	case 'a': be_alive(); break;
	default: break;
	}
	achieve(2, 1);
	go_on();
	return EX_OK;
}
