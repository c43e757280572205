/* SPDX-License-Identifier: ISC */
/*
 * The resolver, from its beginning: as the relay's user, under the relay's filter, and from
 * resolver_confine() on under resolver.policy. It reads the system's files, then gives up
 * everything, then asks name servers what the relay asks it.
 *
 * c-ares (Debian 12 has 1.18.1, 13 has 1.34) makes the questions, reads the answers, follows
 * aliases, tries again, and goes to TCP for what is too long. It has the time that resolv.conf and
 * the relay leave it; search domains are not used: what is configured is a whole name.
 */
#include "relay/resolver.h"

#include <ares.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fd.h"
#include "policy/confine.h"
#include "relay/resolver_changes.h"
#include "relay/resolver_confine.h"
#include "relay/resolver_hosts.h"

/* As many as the relay asks, and those that it no longer waits for. */
#define QUERIES_MAX (NAMES_ASKED_MAX + 256)

/* Of the relay's time: what c-ares may take, and then we. The rest is for an answer to be heard. */
#define SHARE_OF_LIBRARY(ms) ((ms) / 4 * 3)
#define SHARE_OF_QUERY(ms)   ((ms) / 8 * 7)

/* Addresses of /etc/hosts: it is read again when it changes. */
#define HOSTS_LIVE_S 60u

#define EVENTS_MOST  64
#define SERVERS_MAX  16
#define DNS_PORT     53

struct resolver;

/* `resolver` is NULL while it is free. */
struct query {
	struct resolver *resolver;
	bool is_answered; /* before c-ares was done with it */
	uint64_t id;
	struct deadline end;
	struct query *next; /* free ones, or those asked, in order */
};

struct resolver {
	ares_channel channel;
	struct hosts hosts;
	struct changes changes;
	struct span timeout;
	int relay; /* its process */
	unsigned servers;
	uint16_t port[SERVERS_MAX]; /* for TCP */
	struct query *free;
	struct query *first, *last; /* asked and not answered, by their ends */
	struct query query[QUERIES_MAX];
};

/* ---- To the relay ---- */

/* Waits if there is no room: what else there is to do is for the relay, too. */
static void answer_send(const struct resolver_answer *answer)
{
	while (send(RELAY_FD, answer, sizeof(*answer), MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			_exit(EX_OSERR); /* the relay is gone */
}

static void wrong_send(uint64_t id, enum resolver_wrong wrong)
{
	answer_send(&(struct resolver_answer){ .id = id, .wrong = wrong });
}

/* ---- Queries ---- */

static struct query *query_new(struct resolver *resolver, uint64_t id)
{
	struct query *query = resolver->free;

	if (query == NULL)
		return NULL;
	resolver->free = query->next;
	*query = (struct query){ .resolver = resolver,
		.id = id,
		.end = deadline_in((struct span){ .ms = SHARE_OF_QUERY(resolver->timeout.ms) }) };
	if (resolver->first != NULL)
		resolver->last->next = query;
	else
		resolver->first = query;
	resolver->last = query;
	return query;
}

static void query_unlink(struct query *query)
{
	struct resolver *resolver = query->resolver;
	struct query *before = NULL, *at = resolver->first;

	while (at != query) {
		before = at;
		at = at->next;
	}
	if (before != NULL)
		before->next = query->next;
	else
		resolver->first = query->next;
	if (resolver->last == query)
		resolver->last = before;
}

static void query_free(struct query *query)
{
	struct resolver *resolver = query->resolver;

	if (!query->is_answered)
		query_unlink(query);
	query->resolver = NULL;
	query->next = resolver->free;
	resolver->free = query;
}

/* The library should have given up by now; what it says of it later is not sent. */
static void queries_end(struct resolver *resolver)
{
	const struct deadline now = deadline_now();
	struct query *query;

	while ((query = resolver->first) != NULL && deadline_is_over(query->end, now)) {
		query_unlink(query);
		query->is_answered = true;
		wrong_send(query->id, RESOLVER_SILENT);
	}
}

/* ---- What the library says ---- */

static enum resolver_wrong wrong_of(int status)
{
	switch (status) {
	case ARES_SUCCESS: return RESOLVER_NO_ADDRESS; /* a kind of address that is none */
	case ARES_ENOTFOUND: return RESOLVER_NO_NAME;
	case ARES_ENODATA: return RESOLVER_NO_ADDRESS;
	case ARES_ETIMEOUT: return RESOLVER_SILENT;
	case ARES_ECONNREFUSED: return RESOLVER_UNREACHABLE;
	case ARES_ESERVFAIL: return RESOLVER_SERVER_FAILED;
	case ARES_EREFUSED: return RESOLVER_SERVER_REFUSED;
	case ARES_ENOTIMP:
	case ARES_EFORMERR:
	case ARES_EBADNAME:
	case ARES_EBADRESP: return RESOLVER_SERVER_RUBBISH;
	default: return RESOLVER_OTHER;
	}
}

static bool has_address(
	const struct resolver_answer *answer, const struct resolver_address *address)
{
	for (uint32_t i = 0; i < answer->count; i++)
		if (memcmp(&answer->address[i], address, sizeof(*address)) == 0)
			return true;
	return false;
}

static void address_add(struct resolver_answer *answer, const struct source *source)
{
	struct resolver_address address;

	if (answer->count == NAME_ADDRESSES_MAX ||
		(source->kind != SOURCE_IPV4 && source->kind != SOURCE_IPV6))
		return;
	resolver_address_put(&address, source);
	if (!has_address(answer, &address))
		answer->address[answer->count++] = address;
}

/* RFC 2181, section 8: one with its highest bit set is 0. */
static void lives_lower(struct resolver_answer *answer, int seconds)
{
	uint32_t lives = seconds < 0 ? 0 : (uint32_t)seconds;

	if (lives < answer->lives_s)
		answer->lives_s = lives;
}

static void answer_fill(struct resolver_answer *answer, const struct ares_addrinfo *result)
{
	const struct ares_addrinfo_cname *alias = result->cnames;
	const struct ares_addrinfo_node *node = result->nodes;
	struct sockaddr_storage address;
	struct source source;

	answer->lives_s = UINT32_MAX;
	for (; alias != NULL; alias = alias->next)
		lives_lower(answer, alias->ttl);
	for (; node != NULL; node = node->ai_next) {
		if (node->ai_addrlen > sizeof(address))
			continue;
		memset(&address, 0, sizeof(address));
		memcpy(&address, node->ai_addr, node->ai_addrlen);
		source = source_of_sockaddr(&address);
		address_add(answer, &source);
		lives_lower(answer, node->ai_ttl);
	}
}

static void on_result(void *context, int status, int timeouts, struct ares_addrinfo *result)
{
	struct query *query = context;
	struct resolver_answer answer = { .id = query->id };

	(void)timeouts;
	if (result != NULL && status == ARES_SUCCESS)
		answer_fill(&answer, result);
	if (result != NULL)
		ares_freeaddrinfo(result);
	if (answer.count == 0)
		answer = (struct resolver_answer){ .id = query->id, .wrong = wrong_of(status) };
	if (!query->is_answered)
		answer_send(&answer);
	query_free(query);
}

/* ---- What the relay asks ---- */

static bool hosts_answer(const struct resolver *resolver, uint64_t id, const char *name)
{
	struct resolver_answer answer = { .id = id, .lives_s = HOSTS_LIVE_S };
	struct source found[NAME_ADDRESSES_MAX];
	unsigned count = hosts_find(&resolver->hosts, name, found, NAME_ADDRESSES_MAX);

	for (unsigned i = 0; i < count; i++)
		address_add(&answer, &found[i]);
	if (answer.count == 0)
		return false;
	answer_send(&answer);
	return true;
}

static void look_up(struct resolver *resolver, const struct resolver_question *question)
{
	const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM };
	struct query *query;

	if (hosts_answer(resolver, question->id, question->name))
		return;
	query = query_new(resolver, question->id);
	if (query == NULL)
		wrong_send(question->id, RESOLVER_BUSY);
	else
		ares_getaddrinfo(resolver->channel, question->name, NULL, &hints, on_result, query);
}

/* False: the relay has ended. */
static bool questions_take(struct resolver *resolver)
{
	struct resolver_question question;
	ssize_t got;

	for (unsigned i = 0; i < EVENTS_MOST; i++) {
		got = recv(RELAY_FD, &question, sizeof(question), MSG_DONTWAIT);
		if (got != (ssize_t)sizeof(question))
			return got < 0 && fd_would_wait(errno);
		question.name[sizeof(question.name) - 1] = '\0';
		look_up(resolver, &question);
	}
	return true;
}

/* ---- The loop ---- */

static bool watch(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(EPOLL_FD, EPOLL_CTL_MOD, fd, &event) == 0 ||
	       epoll_ctl(EPOLL_FD, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* The library says which of its sockets it wants to hear of. One that cannot be watched is one that
 * says nothing. A socket that is closed is no longer watched. */
static void on_socket(void *context, ares_socket_t fd, int readable, int writable)
{
	(void)context;
	if (readable || writable)
		(void)watch(fd, (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u));
}

static int wait_most(struct resolver *resolver)
{
	struct timeval time = { .tv_sec = 0 };
	const struct timeval *library = ares_timeout(resolver->channel, NULL, &time);
	struct deadline next = resolver->first != NULL ? resolver->first->end : DEADLINE_NEVER;

	/* Rounded up: woken early, it would go round for nothing. */
	if (library != NULL)
		next = deadline_earlier(next,
			deadline_in(
				(struct span){ .ms = (uint32_t)(time.tv_sec * 1000 +
								(time.tv_usec + 999) / 1000) }));
	return deadline_is_never(next) ? -1 : (int)deadline_rest(next).ms;
}

static void library_work(struct resolver *resolver, const struct epoll_event *event)
{
	const bool readable = event->events & (EPOLLIN | EPOLLERR | EPOLLHUP);
	const bool writable = event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP);

	ares_process_fd(resolver->channel, readable ? event->data.fd : ARES_SOCKET_BAD,
		writable ? event->data.fd : ARES_SOCKET_BAD);
}

static int resolver_serve(struct resolver *resolver)
{
	struct epoll_event event[EVENTS_MOST];

	for (;;) {
		int count = epoll_wait(EPOLL_FD, event, EVENTS_MOST, wait_most(resolver));

		for (int i = 0; i < count; i++) {
			if (event[i].data.fd == RELAY_FD) {
				if (!questions_take(resolver))
					return EX_OSERR;
			} else if (event[i].data.fd == CHANGES_FD && resolver->changes.fd >= 0) {
				if (changes_are_there(&resolver->changes))
					return EX_OK;
			} else {
				library_work(resolver, &event[i]);
			}
		}
		ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
		queries_end(resolver);
	}
}

/* ---- The beginning ---- */

/* How long to wait for a server's answer, for the first time: the last time it is twice or four
 * times as long, and all of it together is the library's share. */
static int first_wait_ms(const struct resolver *resolver, int tries)
{
	const uint32_t rounds = (1u << tries) - 1;
	const uint32_t servers = resolver->servers > 0 ? resolver->servers : 1;

	return 1 + (int)(SHARE_OF_LIBRARY(resolver->timeout.ms) / (rounds * servers));
}

/* Its settings, but for the servers, are not resolv.conf's: that has more time than we. */
static bool channel_open(struct resolver *resolver)
{
	static char only_dns[] = "b";
	struct ares_options options = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.tries = resolver->servers > 1 ? 2 : 3,
		.ndomains = 0,
		.lookups = only_dns,
		.sock_state_cb = on_socket,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_DOMAINS |
		   ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;

	options.timeout = first_wait_ms(resolver, options.tries);
#ifdef ARES_OPT_UDP_MAX_QUERIES
	options.udp_max_queries = 16; /* then another port, which a forger has to guess, too */
	mask |= ARES_OPT_UDP_MAX_QUERIES;
#endif
#ifdef ARES_OPT_QUERY_CACHE
	options.qcache_max_ttl = 0; /* the relay has one */
	mask |= ARES_OPT_QUERY_CACHE;
#endif
	return ares_init_options(&resolver->channel, &options, mask) == ARES_SUCCESS;
}

/* How many name servers there are, and their ports. */
static bool servers_read(struct resolver *resolver)
{
	struct ares_addr_port_node *servers = NULL, *server;

	if (ares_get_servers_ports(resolver->channel, &servers) != ARES_SUCCESS)
		return false;
	for (server = servers; server != NULL && resolver->servers < SERVERS_MAX;
		server = server->next)
		resolver->port[resolver->servers++] =
			server->tcp_port > 0 ? (uint16_t)server->tcp_port : DNS_PORT;
	ares_free_data(servers);
	return true;
}

/* Opens it twice, since the time for each server depends on how many there are. */
static bool library_open(struct resolver *resolver)
{
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS || !channel_open(resolver) ||
		!servers_read(resolver))
		return false;
	ares_destroy(resolver->channel);
	return channel_open(resolver);
}

static bool start_take(struct resolver *resolver)
{
	struct resolver_start start;

	if (recv(RELAY_FD, &start, sizeof(start), MSG_DONTWAIT) != (ssize_t)sizeof(start))
		return false;
	resolver->timeout.ms = start.timeout_ms;
	resolver->relay = start.relay;
	for (unsigned i = QUERIES_MAX; i-- > 0;) {
		resolver->query[i].next = resolver->free;
		resolver->free = &resolver->query[i];
	}
	return true;
}

/* The numbers that the policy knows them by are those that are free. */
static bool descriptors_open(struct resolver *resolver)
{
	static const char *const files[] = { "/etc/resolv.conf", HOSTS_FILE, NULL };

	if (epoll_create1(EPOLL_CLOEXEC) != EPOLL_FD || !watch(RELAY_FD, EPOLLIN))
		return false;
	changes_watch(&resolver->changes, files);
	return resolver->changes.fd < 0 ||
	       (resolver->changes.fd == CHANGES_FD && watch(CHANGES_FD, EPOLLIN));
}

/* Without the relay nobody would end us, were we taken over: the kernel does. */
static bool die_with_relay(const struct resolver *resolver)
{
	return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == resolver->relay;
}

int resolver_main(void)
{
	static struct resolver resolver; /* zeros, and too much for a stack */

	process_guard();
	/* Neither fails: the name, else the number of a descriptor; and a server's closed
	 * connection. */
	(void)prctl(PR_SET_NAME, "nmnotify-names");
	(void)signal(SIGPIPE, SIG_IGN);
	if (!start_take(&resolver) || !die_with_relay(&resolver) || !descriptors_open(&resolver))
		return EX_OSERR;
	hosts_read(&resolver.hosts, HOSTS_FILE);
	if (!library_open(&resolver) || !resolver_confine(resolver.port, resolver.servers))
		return EX_OSERR;
	return resolver_serve(&resolver);
}
