/* SPDX-License-Identifier: ISC */
/*
 * In the network process: as nmnotify or nobody if the runner is root, else as the runner; under
 * network.policy.
 */
#include "daemon/network.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "daemon/handover.h"
#include "lib/fd.h"
#include "lib/line.h"
#include "run/decision.h"

/* From one listening socket before the others are looked at again. */
#define ACCEPTS_MOST 64

#define EVENTS_MOST  64

/* In a flood a nap of this length follows each round of the loop: falling asleep and being woken
 * for each connection takes 1.3 times the processor's time for valid lines of one source, and 1.6
 * times for junk among the lines of many, of whom half are denied. */
static const struct span nap_span = { .ms = 1 };

/* How soon a request is sent again that the runner had no room for. */
static const struct span resend_span = { .ms = 10 };

/* The longest sleep. */
static const struct span sleep_span = { .ms = 60000 };

/* epoll's data: the place of a connection that is pending, or one of these. */
#define EVENT_LISTENER 0x10000u
#define EVENT_RUNNER   0x20000u

/* ---- Decisions ---- */

static struct decision decision_of(
	struct network *network, unsigned account, const struct source *source)
{
	struct served_account *served = &network->accounts->served[account];

	return (struct decision){
		.account = served->account,
		.turn = &served->turn,
		.cells = limiter_locate(served->state, source),
	};
}

/* The index of the account that takes a source. ACCOUNT_NONE: there is none, or it is shut; the
 * verdict has been told. */
static unsigned account_find(
	struct network *network, const struct source *source, const struct source *to)
{
	const struct account *found = conf_account(network->conf, source, to);
	const struct served_account *served;
	unsigned account;

	if (found == NULL) {
		tell_verdict(&network->requester, network->accounts->denied, ACCOUNT_NONE,
			VERDICT_DENIED, LINE_REASON_NONE, source);
		return ACCOUNT_NONE;
	}
	account = (unsigned)(found - network->conf->accounts);
	served = &network->accounts->served[account];
	if (!served->is_shut)
		return account;
	tell_verdict(&network->requester, served->state, account, VERDICT_ERROR, LINE_REASON_NONE,
		source);
	return ACCOUNT_NONE;
}

/* Would even a valid line change nothing? Then it need not be read, and has got its verdict. */
static bool is_covered(struct network *network, unsigned account, const struct source *source)
{
	struct decision decision = decision_of(network, account, source);
	struct moment allowed = limiter_peek(&decision.cells, decision.account->limit);

	if (!turn_request_covers(&network->requester, account, allowed) &&
		!decision_is_covered(&decision))
		return false;
	tell_verdict(&network->requester, network->accounts->served[account].state, account,
		VERDICT_COALESCED, LINE_REASON_NONE, source);
	return true;
}

/* A line, or what is not one: the verdict, and the runner if somebody must take a turn. */
static void conclude(struct network *network, unsigned account, const struct source *source,
	const struct line *line, enum line_state line_state)
{
	/* tests/model/progress.pml: network. */
	struct decision decision = decision_of(network, account, source);
	struct requester *requester = &network->requester;
	bool needs_turn;

	decision_line(&decision, line_state);
	needs_turn = !(decision.has_line ? turn_request_covers(requester, account, decision.allowed)
					 : turn_request_is_open(requester, account)) &&
		     decision_needs_turn(&decision);
	if (needs_turn)
		turn_request_send(requester, account, &decision, source);
	/* The process that takes the turn for a line knows, and tells, its verdict. */
	if (!needs_turn || !decision.has_line)
		tell_verdict(requester, network->accounts->served[account].state, account,
			decision.verdict,
			decision.has_line || line_state == LINE_FAILED
				? LINE_REASON_NONE
				: line_malformed_reason(line),
			source);
}

/* ---- Connections ---- */

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

static void connection_end(
	struct network *network, struct pending *connection, enum line_state line)
{
	/* Closed first: the verdict takes longer, and the sender need not wait for it. */
	(void)close(connection->fd); /* which also takes it out of the poll set */
	conclude(network, connection->account, &connection->source, &connection->line, line);
	pending_remove(&network->pending, connection);
}

static void connection_read(struct network *network, struct pending *connection)
{
	const struct account *account = network->accounts->served[connection->account].account;
	enum line_state state = line_receive(connection->fd, &connection->line, account->bare_lf);

	if (state != LINE_INCOMPLETE)
		connection_end(network, connection, state);
}

/* There is always room: if need be, the connection that has been silent longest times out now. */
static void connection_keep(struct network *network, const struct pending *connection)
{
	struct pending_list *pending = &network->pending;
	struct epoll_event event = { .events = EPOLLIN };

	if (pending_place(pending) == PENDING_NONE)
		connection_end(network, pending_oldest(pending), LINE_TIMEOUT);
	event.data.u32 = pending_place(pending);
	if (epoll_ctl(network->epoll, EPOLL_CTL_ADD, connection->fd, &event) == 0) {
		pending_add(pending, connection);
		return;
	}
	(void)close(connection->fd);
	conclude(network, connection->account, &connection->source, &connection->line, LINE_FAILED);
}

/* Ends those whose time is up. Accounts may differ in their read-timeout, so all are looked at,
 * but only when the first of them may be due. */
static void connections_expire(struct network *network)
{
	struct pending_list *pending = &network->pending;
	struct pending *connection = pending_oldest(pending), *next;

	if (!deadline_is_over(pending->next_deadline, network->now))
		return;
	pending->next_deadline = DEADLINE_NEVER;
	for (; connection != NULL; connection = next) {
		next = pending_newer(pending, connection);
		if (deadline_is_over(connection->deadline, network->now))
			connection_end(network, connection, LINE_TIMEOUT);
		else
			pending->next_deadline =
				deadline_earlier(pending->next_deadline, connection->deadline);
	}
}

static void connection_take(struct network *network, int fd, const struct sockaddr_storage *address)
{
	struct source to = { .kind = SOURCE_UNKNOWN };
	struct pending connection = { .fd = fd, .source = source_of_sockaddr(address) };
	const struct account *account;
	enum line_state state;

	if (conf_needs_to(network->conf))
		(void)fd_local_address(fd, &to); /* else it is unknown: no `to` holds it */
	connection.account = account_find(network, &connection.source, &to);
	if (connection.account == ACCOUNT_NONE ||
		is_covered(network, connection.account, &connection.source)) {
		(void)close(fd);
		return;
	}
	account = network->accounts->served[connection.account].account;
	state = line_receive(fd, &connection.line, account->bare_lf);
	if (state == LINE_INCOMPLETE) {
		connection.deadline = deadline_add(network->now, account->read_timeout);
		connection_keep(network, &connection);
		return;
	}
	(void)close(fd);
	conclude(network, connection.account, &connection.source, &connection.line, state);
}

/* Errors of accept(2): there is no descriptor, or no memory, for one more connection. */
static bool is_full(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

/* Can more be accepted after such an error? If there is no room, yes, once the oldest pending
 * connection has been given up. If only this connection is wrong, yes. If there is none, or the
 * socket is wrong, no. */
static bool accept_goes_on(struct network *network, int error)
{
	struct pending *oldest = pending_oldest(&network->pending);

	if (is_full(error)) {
		if (oldest == NULL)
			return false;
		connection_end(network, oldest, LINE_TIMEOUT);
		return true;
	}
	return !fd_would_wait(error) && error != EBADF && error != EINVAL;
}

static void connections_accept(struct network *network, const struct listener *listener)
{
	for (unsigned i = 0; i < ACCEPTS_MOST; i++) {
		struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
		socklen_t length = sizeof(address);
		int fd = accept4(listener->fd, (struct sockaddr *)&address, &length,
			SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			connection_take(network, fd, &address);
		else if (!accept_goes_on(network, errno))
			return;
	}
	network->is_behind = true;
}

/* ---- Datagrams ---- */

static void datagram_take(struct network *network, const struct datagram *datagram)
{
	const struct line *line = &datagram->line;
	const struct source *source = &datagram->source;
	unsigned account = account_find(network, source, &datagram->to);
	bool bare_lf;

	if (account == ACCOUNT_NONE || is_covered(network, account, source))
		return;
	bare_lf = network->accounts->served[account].account->bare_lf;
	conclude(network, account, source, line, line_judge(line, true, bare_lf));
}

static void datagrams_take(struct network *network, const struct listener *listener)
{
	unsigned count = datagrams_receive(&network->datagrams, listener);

	network->is_behind |= count == DATAGRAMS_MOST;
	for (unsigned i = 0; i < count; i++)
		datagram_take(network, &network->datagrams.datagram[i]);
}

/* ---- The loop ---- */

static bool listener_add(struct network *network, unsigned index)
{
	const struct listener *listener = &network->listener[index];
	struct epoll_event event = { .events = EPOLLIN, .data = { .u32 = EVENT_LISTENER | index } };

	return (!listener->is_datagram || datagrams_prepare(listener)) &&
	       epoll_ctl(network->epoll, EPOLL_CTL_ADD, listener->fd, &event) == 0;
}

bool network_prepare(struct network *network)
{
	struct epoll_event event = { .events = EPOLLIN, .data = { .u32 = EVENT_RUNNER } };
	struct timespec tick;

	/* Without high-resolution timers every sleep lasts a tick or two, 20 ms. */
	network->may_nap = clock_getres(CLOCK_MONOTONIC, &tick) == 0 && tick.tv_sec == 0 &&
			   tick.tv_nsec <= span_timespec(nap_span).tv_nsec;
	network->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (network->epoll < 0 || epoll_ctl(network->epoll, EPOLL_CTL_ADD, RUNNER_FD, &event) != 0)
		return false;
	for (unsigned i = 0; i < network->listeners_count; i++)
		if (!listener_add(network, i))
			return false;
	requester_prepare(&network->requester, network->accounts, network->progress);
	pending_prepare(&network->pending);
	return true;
}

/* Takes nothing new, and ends when what it has is ended. The sockets are another's now. */
static void drain(struct network *network)
{
	struct epoll_event none = { .events = 0 };

	for (unsigned i = 0; i < network->listeners_count; i++)
		(void)epoll_ctl(network->epoll, EPOLL_CTL_DEL, network->listener[i].fd, &none);
	network->is_draining = true;
}

static void event_handle(struct network *network, uint32_t data)
{
	const struct listener *listener;
	struct pending *connection;

	if (data == EVENT_RUNNER) {
		if (runner_says_that_another_serves(&network->requester))
			drain(network);
	} else if (data & EVENT_LISTENER) {
		if (network->is_draining)
			return; /* an event that was fetched before */
		listener = &network->listener[data & ~EVENT_LISTENER];
		if (listener->is_datagram)
			datagrams_take(network, listener);
		else
			connections_accept(network, listener);
	} else {
		connection = pending_at(&network->pending, data);
		if (connection != NULL)
			connection_read(network, connection);
	}
}

/* 0: what never happens. */
static struct deadline in_or_never(const struct network *network, struct span span)
{
	return span.ms == 0 ? DEADLINE_NEVER : deadline_add(network->now, span);
}

static void say_alive(struct network *network)
{
	if (!deadline_is_over(network->alive_at, network->now))
		return;
	network->alive_at = in_or_never(network, network->alive_every);
	tell_alive(&network->requester);
}

/* Is there nothing to do, and has there been nothing for the time that was configured? */
static bool is_idle(struct network *network)
{
	if (pending_oldest(&network->pending) != NULL)
		return false;
	if (!network->is_draining &&
		(!deadline_is_over(network->idle_at, network->now) || network->had_children))
		return false;
	return turn_requests_are_settled(&network->requester);
}

/* Milliseconds. */
static int wait_most(const struct network *network)
{
	bool is_soon = network->is_draining || !turn_requests_are_sent(&network->requester);
	struct deadline next = deadline_add(network->now, is_soon ? resend_span : sleep_span);

	next = deadline_earlier(next, network->pending.next_deadline);
	next = deadline_earlier(next, network->alive_at);
	next = deadline_earlier(next, network->idle_at);
	return (int)deadline_until(network->now, next).ms;
}

/* If this round came soon after the one before, and has taken all that was there: what comes next
 * is left to gather for a while. */
static void nap_in_flood(const struct network *network, struct deadline before)
{
	const struct timespec nap = span_timespec(nap_span);

	if (network->may_nap && !network->is_behind &&
		deadline_until(before, network->now).ms <= nap_span.ms)
		(void)nanosleep(&nap, NULL); /* cut short: that is fine */
}

/* What comes after the events of a round. */
static void round_end(struct network *network, bool had_events)
{
	connections_expire(network);
	if (had_events || network->had_children)
		network->idle_at = in_or_never(network, network->conf->idle);
	network->had_children = atomic_load(&network->progress->children) != 0;
	turn_requests_resend(&network->requester);
	say_alive(network);
}

int network_serve(struct network *network)
{
	struct epoll_event event[EVENTS_MOST];

	network->now = deadline_now();
	network->idle_at = in_or_never(network, network->conf->idle);
	network->alive_at = in_or_never(network, network->alive_every);
	tell_ready(&network->requester);
	while (!network->requester.is_runner_gone) {
		int count = epoll_wait(network->epoll, event, EVENTS_MOST, wait_most(network));
		struct deadline before = network->now;

		network->now = deadline_now();
		network->is_behind = count == EVENTS_MOST;
		for (int i = 0; i < count; i++)
			event_handle(network, event[i].data.u32);
		round_end(network, count > 0);
		if (is_idle(network))
			return EX_OK;
		if (count > 0)
			nap_in_flood(network, before);
	}
	return EX_OSERR; /* what it had not settled is in the state: turn_ask() */
}
