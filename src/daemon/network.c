/* SPDX-License-Identifier: ISC */
#include "daemon/network.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "daemon/request.h"
#include "lib/fd.h"
#include "lib/line.h"
#include "run/decision.h"
#include "state/tally.h"

/* From one listening socket before the others are looked at again. */
#define ACCEPTS_MOST 64

/* Datagrams a system call. */
#define DATAGRAMS_MOST 32

#define EVENTS_MOST    64

/* In a flood a nap of this length follows each round of the loop: falling asleep and being woken
 * for each connection would cost as much as half of all else that is done for it. */
static const struct span nap_span = { .ms = 1 };

/* Descriptors that are kept for other things than connections. */
#define DESCRIPTORS_KEPT 200

/* How soon a request is sent again that the runner had no room for. */
static const struct span resend_span = { .ms = 10 };

/* The longest sleep. */
static const struct span sleep_span = { .ms = 60000 };

/* epoll's data: an index into the connections, or one of these. */
#define EVENT_LISTENER 0x10000u
#define EVENT_RUNNER   0x20000u

#define NONE           UINT32_MAX

/* A connection whose line is not whole. In a list by age. */
struct pending {
	int fd;
	struct line line;
	struct source source;
	unsigned account;
	struct deadline deadline;
	uint32_t older, newer;
};

/* What the runner was last asked for an account, until it is settled. */
struct turn_request {
	struct request request;
	bool is_unsent;
};

/* What happens round the loop. One to a process. */
static struct {
	struct network_process *network;
	int epoll;
	struct pending pending[NETWORK_CONNECTIONS_MAX];
	uint32_t pending_most, oldest, newest, free; /* free: list through `newer` */
	struct turn_request turn_request[CONF_ACCOUNTS_MAX];
	struct deadline now;      /* of this round */
	struct deadline idle_at;  /* if nothing happens: when we have been idle for long enough */
	struct deadline alive_at; /* when the runner is told next that we are */
	struct deadline next_deadline; /* no pending connection's time is up before */
	bool is_runner_gone, is_draining, has_unsent, had_children;
	bool is_behind; /* this round has left something that had come */
	bool may_nap;   /* the machine can sleep for so short a time */
} loop;

/* ---- The runner ---- */

/* True if it was sent, or never can be. */
static bool runner_send(const struct request *request)
{
	if (send(RUNNER_FD, request, sizeof(*request), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	if (fd_would_wait(errno))
		return false;
	loop.is_runner_gone = true;
	return true;
}

static bool turn_request_is_open(unsigned account)
{
	return !progress_is_settled(
		loop.network->progress, account, loop.turn_request[account].request.number);
}

/*
 * Is a line that is allowed at `allowed` covered by what the runner has been asked already? It is
 * if the process that it starts looks for its turn later than now, and is not overtaken by a
 * start that has been already (tests/model/progress.pml: network).
 */
static bool turn_request_covers(unsigned account, struct moment allowed)
{
	const struct network_process *network = loop.network;
	const struct request *request = &loop.turn_request[account].request;

	return request->has_line && !moment_later(moment_of_word(request->allowed), allowed) &&
	       request->noted == atomic_load(&network->accounts->served[account].state->starts) &&
	       !progress_is_looking(network->progress, account, request->number);
}

static void turn_request_send(
	unsigned account, const struct decision *decision, const struct source *source)
{
	/* tests/model/progress.pml: turn_request_send(). */
	struct turn_request *asked = &loop.turn_request[account];
	struct moment allowed = decision->allowed;

	/* This one takes the place of one whose process may yet die; but not of one that a start
	 * has overtaken, and whose time is not this line's. */
	if (decision->has_line && asked->request.has_line && turn_request_is_open(account) &&
		asked->request.noted == decision->turn->noted)
		allowed = moment_earliest(allowed, moment_of_word(asked->request.allowed));
	asked->request = (struct request){
		.kind = REQUEST_TURN,
		.account = account,
		.number = asked->request.number + 1,
		.has_line = decision->has_line,
		.allowed = moment_to_word(allowed),
		.is_charged = decision->is_charged,
		.noted = decision->turn->noted,
		.source = *source,
	};
	/* Before anybody can know of it: from here on it outlives us both. */
	if (decision->has_line)
		turn_ask(decision->turn, asked->request.number, allowed);
	asked->is_unsent = !runner_send(&asked->request);
	loop.has_unsent |= asked->is_unsent;
}

static void turn_requests_resend(void)
{
	/* tests/model/progress.pml: turn_requests_resend(). */
	if (!loop.has_unsent)
		return;
	loop.has_unsent = false;
	for (unsigned i = 0; i < loop.network->accounts->count; i++) {
		struct turn_request *asked = &loop.turn_request[i];

		if (asked->is_unsent)
			asked->is_unsent = !runner_send(&asked->request);
		loop.has_unsent |= asked->is_unsent;
	}
}

static void tell_verdict(struct state *state, uint32_t account, enum verdict verdict,
	enum line_reason reason, const struct source *source)
{
	struct request request = { .kind = REQUEST_LOG,
		.account = account,
		.verdict = verdict,
		.reason = reason,
		.source = *source };

	if (state == NULL || !tally_admit(state, verdict, &request.suppressed))
		return;
	/* No room: the line is lost, but not its count. */
	if (!runner_send(&request))
		atomic_fetch_add_explicit(
			&state->suppressed[verdict], request.suppressed + 1, memory_order_relaxed);
}

/* The pair is empty at the beginning: there is room. */
static void tell_ready(void)
{
	const struct request request = { .kind = REQUEST_READY };

	(void)runner_send(&request);
}

/* 0: what never happens. */
static struct deadline in_or_never(struct span span)
{
	return span.ms == 0 ? DEADLINE_NEVER : deadline_add(loop.now, span);
}

static void tell_alive(void)
{
	const struct request request = { .kind = REQUEST_ALIVE };

	if (!deadline_is_over(loop.alive_at, loop.now))
		return;
	loop.alive_at = in_or_never(loop.network->alive_every);
	(void)runner_send(&request); /* a runner without room will be told next time */
}

/* ---- Decisions ---- */

static struct decision decision_of(unsigned account, const struct source *source)
{
	struct served_account *served = &loop.network->accounts->served[account];

	return (struct decision){
		.account = served->account,
		.turn = &served->turn,
		.cells = limiter_locate(served->state, source),
	};
}

/* Would even a valid line change nothing? */
static bool is_covered(unsigned account, const struct decision *decision)
{
	return turn_request_covers(
		       account, limiter_peek(&decision->cells, decision->account->limit)) ||
	       decision_is_covered(decision);
}

/* The index of the account that takes the connection; ACCOUNT_NONE: none does, or can, and said so.
 */
static unsigned account_find(const struct source *source, const struct source *to)
{
	struct network_process *network = loop.network;
	const struct account *found = conf_account(network->conf, source, to);
	unsigned account;

	if (found == NULL) {
		tell_verdict(network->accounts->denied, ACCOUNT_NONE, VERDICT_DENIED,
			LINE_REASON_NONE, source);
		return ACCOUNT_NONE;
	}
	account = (unsigned)(found - network->conf->accounts);
	if (!network->accounts->served[account].is_shut)
		return account;
	tell_verdict(network->accounts->served[account].state, account, VERDICT_ERROR,
		LINE_REASON_NONE, source);
	return ACCOUNT_NONE;
}

/* A line, or what is not one: the verdict, and the runner if somebody must take a turn. */
static void conclude(unsigned account, const struct source *source, const struct line *line,
	enum line_state line_state)
{
	/* tests/model/progress.pml: network. */
	struct decision decision = decision_of(account, source);
	struct state *state = loop.network->accounts->served[account].state;
	bool needs_turn;

	decision_line(&decision, line_state);
	needs_turn = !(decision.has_line ? turn_request_covers(account, decision.allowed)
					 : turn_request_is_open(account)) &&
		     decision_needs_turn(&decision);
	if (needs_turn)
		turn_request_send(account, &decision, source);
	/* The process that takes the turn for a line knows, and tells, its verdict. */
	if (!needs_turn || !decision.has_line)
		tell_verdict(state, account, decision.verdict,
			decision.has_line || line_state == LINE_FAILED
				? LINE_REASON_NONE
				: line_malformed_reason(line),
			source);
}

/* ---- Connections whose line is not whole ---- */

static void pending_prepare(void)
{
	struct rlimit limit = { .rlim_cur = NETWORK_CONNECTIONS_MAX };

	loop.pending_most = NETWORK_CONNECTIONS_MAX;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
		limit.rlim_cur < NETWORK_CONNECTIONS_MAX + DESCRIPTORS_KEPT)
		loop.pending_most = limit.rlim_cur > 2 * DESCRIPTORS_KEPT
					    ? (uint32_t)limit.rlim_cur - DESCRIPTORS_KEPT
					    : 1 + (uint32_t)limit.rlim_cur / 4;
	for (uint32_t i = 0; i < loop.pending_most; i++) {
		loop.pending[i].fd = -1;
		loop.pending[i].newer = i + 1 < loop.pending_most ? i + 1 : NONE;
	}
	loop.next_deadline = DEADLINE_NEVER;
	loop.free = 0;
	loop.oldest = loop.newest = NONE;
}

static void pending_remove(struct pending *pending)
{
	uint32_t index = (uint32_t)(pending - loop.pending);

	if (pending->older == NONE)
		loop.oldest = pending->newer;
	else
		loop.pending[pending->older].newer = pending->newer;
	if (pending->newer == NONE)
		loop.newest = pending->older;
	else
		loop.pending[pending->newer].older = pending->older;
	pending->fd = -1; /* an event that was fetched already may still name it */
	pending->newer = loop.free;
	loop.free = index;
}

static void pending_end(struct pending *pending, enum line_state line)
{
	/* Closed first: the verdict takes longer, and the sender need not wait for it. */
	(void)close(pending->fd); /* which also takes it out of the poll set */
	conclude(pending->account, &pending->source, &pending->line, line);
	pending_remove(pending);
}

/* There is always room: for the oldest silent one the time is up when another comes. */
static void pending_add(
	int fd, const struct line *line, const struct source *source, unsigned account)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct pending *pending;
	uint32_t index;

	if (loop.free == NONE)
		pending_end(&loop.pending[loop.oldest], LINE_TIMEOUT);
	index = loop.free;
	pending = &loop.pending[index];
	event.data.u32 = index;
	if (epoll_ctl(loop.epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
		(void)close(fd);
		conclude(account, source, line, LINE_FAILED);
		return;
	}
	loop.free = pending->newer;
	*pending = (struct pending){
		.fd = fd,
		.line = *line,
		.source = *source,
		.account = account,
		.deadline = deadline_add(
			loop.now, loop.network->accounts->served[account].account->read_timeout),
		.older = loop.newest,
		.newer = NONE,
	};
	loop.next_deadline = deadline_earlier(loop.next_deadline, pending->deadline);
	if (loop.newest == NONE)
		loop.oldest = index;
	else
		loop.pending[loop.newest].newer = index;
	loop.newest = index;
}

/* Ends those whose time is up. Accounts may differ in their read-timeout, so all are looked at,
 * but only when the first of them may be due. */
static void pending_expire(void)
{
	uint32_t index = loop.oldest;

	if (!deadline_is_over(loop.next_deadline, loop.now))
		return;
	loop.next_deadline = DEADLINE_NEVER;
	while (index != NONE) {
		struct pending *pending = &loop.pending[index];

		index = pending->newer;
		if (deadline_is_over(pending->deadline, loop.now))
			pending_end(pending, LINE_TIMEOUT);
		else
			loop.next_deadline =
				deadline_earlier(loop.next_deadline, pending->deadline);
	}
}

/* ---- What comes ---- */

/* Reads what is there. LINE_INCOMPLETE: nothing more for now. */
static enum line_state line_receive(int fd, struct line *line, bool bare_lf)
{
	ssize_t got =
		recv(fd, line->bytes + line->length, LINE_READ_MAX - line->length, MSG_DONTWAIT);

	if (got < 0 && fd_would_wait(errno))
		return LINE_INCOMPLETE;
	if (got > 0)
		line->length += (size_t)got;
	return line_judge(line, got <= 0, bare_lf);
}

static void pending_read(struct pending *pending)
{
	const struct account *account = loop.network->accounts->served[pending->account].account;
	enum line_state state = line_receive(pending->fd, &pending->line, account->bare_lf);

	if (state != LINE_INCOMPLETE)
		pending_end(pending, state);
}

static void connection_take(int fd, const struct sockaddr_storage *address)
{
	struct source source = source_of_sockaddr(address), to = { .kind = SOURCE_UNKNOWN };
	struct line line = { .length = 0 };
	struct decision decision;
	enum line_state state;
	unsigned account;

	if (conf_needs_to(loop.network->conf))
		(void)fd_local_address(fd, &to); /* else it is unknown: no `to` holds it */
	account = account_find(&source, &to);
	if (account == ACCOUNT_NONE) {
		(void)close(fd);
		return;
	}
	decision = decision_of(account, &source);
	if (is_covered(account, &decision)) {
		(void)close(fd);
		tell_verdict(loop.network->accounts->served[account].state, account,
			VERDICT_COALESCED, LINE_REASON_NONE, &source);
		return;
	}
	state = line_receive(fd, &line, decision.account->bare_lf);
	if (state == LINE_INCOMPLETE) {
		pending_add(fd, &line, &source, account);
		return;
	}
	(void)close(fd);
	conclude(account, &source, &line, state);
}

/* Errors of accept(2): there is no descriptor, or no memory, for one more connection. */
static bool is_full(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

/* Can more be accepted after such an error? If there is no room, one that is pending is given up
 * for another. Else if what is wrong is one connection: not that there is none, nor the socket. */
static bool accept_goes_on(int error)
{
	if (is_full(error)) {
		if (loop.oldest == NONE)
			return false;
		pending_end(&loop.pending[loop.oldest], LINE_TIMEOUT);
		return true;
	}
	return !fd_would_wait(error) && error != EBADF && error != EINVAL;
}

static void connections_accept(const struct listener *listener)
{
	for (unsigned i = 0; i < ACCEPTS_MOST; i++) {
		struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
		socklen_t length = sizeof(address);
		int fd = accept4(listener->fd, (struct sockaddr *)&address, &length,
			SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			connection_take(fd, &address);
		else if (!accept_goes_on(errno))
			return;
	}
	loop.is_behind = true;
}

/* One datagram, one line, whole. */
static void datagram_take(
	const struct line *line, const struct source *source, const struct source *to)
{
	unsigned account = account_find(source, to);
	struct decision decision;

	if (account == ACCOUNT_NONE)
		return;
	decision = decision_of(account, source);
	if (is_covered(account, &decision))
		tell_verdict(loop.network->accounts->served[account].state, account,
			VERDICT_COALESCED, LINE_REASON_NONE, source);
	else
		conclude(account, source, line, line_judge(line, true, decision.account->bare_lf));
}

/* musl's CMSG_NXTHDR() makes unsigned of a negative mask. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"

/* The local address that a datagram came to (ip(7), ipv6(7)). */
static struct source datagram_to(struct msghdr *message)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct sockaddr_in *ipv4 = (struct sockaddr_in *)&address;
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			*ipv4 = (struct sockaddr_in){ .sin_family = AF_INET,
				.sin_addr = info.ipi_addr };
			return source_of_sockaddr(&address);
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&address;
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			*ipv6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
				.sin6_addr = info.ipi6_addr,
				.sin6_scope_id = info.ipi6_ifindex };
			return source_of_sockaddr(&address);
		}
	}
	return (struct source){ .kind = SOURCE_UNKNOWN };
}

#pragma GCC diagnostic pop

union control {
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
	struct cmsghdr align;
};

static void datagrams_receive(const struct listener *listener)
{
	static struct line line[DATAGRAMS_MOST];
	static struct sockaddr_storage address[DATAGRAMS_MOST];
	static union control control[DATAGRAMS_MOST];
	static struct iovec iov[DATAGRAMS_MOST];
	static struct mmsghdr message[DATAGRAMS_MOST];
	int count;

	for (unsigned i = 0; i < DATAGRAMS_MOST; i++) {
		/* Not for a Unix socket, whose messages could bring descriptors (unix(7)): without
		 * room for them the kernel closes them. */
		void *room = listener->is_internet ? &control[i] : NULL;

		/* A 16th byte tells of more; what is beyond is never copied. */
		iov[i] = (struct iovec){ .iov_base = line[i].bytes, .iov_len = LINE_READ_MAX };
		address[i].ss_family = AF_UNSPEC;
		message[i].msg_hdr = (struct msghdr){
			.msg_name = &address[i],
			.msg_namelen = sizeof(address[i]),
			.msg_iov = &iov[i],
			.msg_iovlen = 1,
			.msg_control = room,
			.msg_controllen = room == NULL ? 0 : sizeof(control[i]),
		};
	}
	count = recvmmsg(listener->fd, message, DATAGRAMS_MOST, MSG_DONTWAIT, NULL);
	loop.is_behind |= count == DATAGRAMS_MOST;
	for (int i = 0; i < count; i++) {
		struct source source = source_of_sockaddr(&address[i]);
		struct source to = datagram_to(&message[i].msg_hdr);

		line[i].length = message[i].msg_len;
		datagram_take(&line[i], &source, &to);
	}
}

/* ---- The loop ---- */

static bool listener_add(unsigned index)
{
	const struct listener *listener = &loop.network->listener[index];
	struct epoll_event event = { .events = EPOLLIN, .data = { .u32 = EVENT_LISTENER | index } };
	int on = 1;

	/* Where each datagram was sent to: a socket of all addresses does not say it by itself. An
	 * IPv6 socket may be given IPv4's datagrams too. */
	if (listener->is_datagram && listener->is_internet &&
		(setsockopt(listener->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) != 0 ||
			(listener->is_ipv6 && setsockopt(listener->fd, IPPROTO_IPV6,
						      IPV6_RECVPKTINFO, &on, sizeof(on)) != 0)))
		return false;
	return epoll_ctl(loop.epoll, EPOLL_CTL_ADD, listener->fd, &event) == 0;
}

bool network_prepare(struct network_process *network)
{
	struct epoll_event event = { .events = EPOLLIN, .data = { .u32 = EVENT_RUNNER } };
	struct timespec tick;

	loop.network = network;
	/* Without high-resolution timers every sleep lasts a tick or two, 20 ms. */
	loop.may_nap = clock_getres(CLOCK_MONOTONIC, &tick) == 0 && tick.tv_sec == 0 &&
		       tick.tv_nsec <= span_timespec(nap_span).tv_nsec;
	loop.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop.epoll < 0 || epoll_ctl(loop.epoll, EPOLL_CTL_ADD, RUNNER_FD, &event) != 0)
		return false;
	for (unsigned i = 0; i < network->listeners_count; i++)
		if (!listener_add(i))
			return false;
	for (unsigned i = 0; i < network->accounts->count; i++)
		loop.turn_request[i].request.number = atomic_load(&network->progress->settled[i]);
	pending_prepare();
	return true;
}

/* Takes nothing new, and ends when what it has is ended. The sockets are another's now. */
static void drain(void)
{
	struct epoll_event none = { .events = 0 };

	for (unsigned i = 0; i < loop.network->listeners_count; i++)
		(void)epoll_ctl(loop.epoll, EPOLL_CTL_DEL, loop.network->listener[i].fd, &none);
	loop.is_draining = true;
}

/* The runner says one thing only, by any byte; or it has ended. */
static void runner_hear(void)
{
	char byte;
	ssize_t got = recv(RUNNER_FD, &byte, sizeof(byte), MSG_DONTWAIT);

	if (got > 0)
		drain();
	else if (got == 0 || !fd_would_wait(errno))
		loop.is_runner_gone = true;
}

static void event_handle(const struct epoll_event *event)
{
	uint32_t data = event->data.u32;
	const struct listener *listener;

	if (data == EVENT_RUNNER) {
		runner_hear();
	} else if (data & EVENT_LISTENER) {
		if (loop.is_draining)
			return; /* an event that was fetched before */
		listener = &loop.network->listener[data & ~EVENT_LISTENER];
		if (listener->is_datagram)
			datagrams_receive(listener);
		else
			connections_accept(listener);
	} else if (loop.pending[data].fd >= 0) {
		pending_read(&loop.pending[data]);
	}
}

/* Is there nothing to do, and has there been nothing for the time that was configured? */
static bool is_idle(void)
{
	if (loop.oldest != NONE)
		return false;
	if (!loop.is_draining && (!deadline_is_over(loop.idle_at, loop.now) || loop.had_children))
		return false;
	for (unsigned i = 0; i < loop.network->accounts->count; i++)
		if (turn_request_is_open(i))
			return false;
	return true;
}

static int wait_most(void)
{
	struct span most = loop.has_unsent || loop.is_draining ? resend_span : sleep_span;
	struct deadline next = deadline_add(loop.now, most);

	next = deadline_earlier(next, loop.next_deadline);
	next = deadline_earlier(next, loop.alive_at);
	next = deadline_earlier(next, loop.idle_at);
	return (int)deadline_until(loop.now, next).ms;
}

/* A round came soon after the one before, and has taken all that was there: what comes next can
 * wait for what comes with it. */
static void nap_in_flood(struct deadline before)
{
	const struct timespec nap = span_timespec(nap_span);

	if (loop.may_nap && deadline_until(before, loop.now).ms <= nap_span.ms && !loop.is_behind)
		(void)nanosleep(&nap, NULL); /* cut short: as well */
}

int network_serve(struct network_process *network)
{
	struct epoll_event event[EVENTS_MOST];

	loop.now = deadline_now();
	loop.idle_at = in_or_never(network->conf->idle);
	loop.alive_at = in_or_never(network->alive_every);
	tell_ready();
	while (!loop.is_runner_gone) {
		int count = epoll_wait(loop.epoll, event, EVENTS_MOST, wait_most());
		struct deadline before = loop.now;

		loop.now = deadline_now();
		loop.is_behind = count == EVENTS_MOST;
		for (int i = 0; i < count; i++)
			event_handle(&event[i]);
		pending_expire();
		if (count > 0 || loop.had_children)
			loop.idle_at = in_or_never(network->conf->idle);
		loop.had_children = atomic_load(&loop.network->progress->children) != 0;
		turn_requests_resend();
		tell_alive();
		if (is_idle())
			return EX_OK;
		if (count > 0)
			nap_in_flood(before);
	}
	return EX_OSERR; /* what it had not settled is in the state: turn_ask() */
}
