/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "handler/connection.h"

/* ---- Descriptors of all kinds ---- */

static struct sockaddr_storage loopback(int family)
{
	struct sockaddr_storage storage = { 0 };
	struct sockaddr_in ipv4 = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };

	if (family == AF_INET)
		memcpy(&storage, &ipv4, sizeof(ipv4));
	else
		memcpy(&storage, &ipv6, sizeof(ipv6));
	return storage;
}

/* A socket that listens on loopback; its address goes to *address. -1: it cannot be had. */
static int listener_open(int family, struct sockaddr_storage *address)
{
	socklen_t length = sizeof(*address);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;

	*address = loopback(family);
	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (fd < 0 || bind(fd, (struct sockaddr *)address, length) != 0 || listen(fd, 1) != 0 ||
		getsockname(fd, (struct sockaddr *)address, &length) != 0)
		return -1;
	return fd;
}

/* A connection: [0] is the accepted end. */
static bool connection_open(int family, int fd[2])
{
	struct sockaddr_storage address;
	int listener = listener_open(family, &address);

	fd[1] = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || connect(fd[1], (struct sockaddr *)&address, sizeof(address)) != 0)
		return false;
	fd[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return close(listener) == 0 && fd[0] >= 0;
}

enum kind {
	TCP,
	TCP_OTHER,
	UDP,
	UNIX,
	UNIX_OTHER,
	PIPE_IN,
	PIPE,
	PIPE_OTHER,
	PLAIN_FILE,
	NULL_DEVICE,
	TERMINAL,
	CLOSED,
	KINDS
};

/* One of each, out of the way of 0, 1 and 2. */
static int kind_open(enum kind kind)
{
	int pair[2] = { -1, -1 };

	switch (kind) {
	case TCP:
	case TCP_OTHER: return connection_open(AF_INET, pair) ? pair[0] : -1;
	case UDP: return socket(AF_INET, SOCK_DGRAM, 0);
	case UNIX:
	case UNIX_OTHER: return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 ? pair[0] : -1;
	case PIPE_IN: return pipe(pair) == 0 ? pair[0] : -1;
	case PIPE:
	case PIPE_OTHER: return pipe(pair) == 0 ? pair[1] : -1;
	case PLAIN_FILE: return open("/tmp", O_TMPFILE | O_RDWR, 0600);
	case NULL_DEVICE: return open("/dev/null", O_RDWR);
	default: return posix_openpt(O_RDWR | O_NOCTTY);
	}
}

static bool kinds_open(int fd[KINDS])
{
	for (enum kind kind = 0; kind < CLOSED; kind++) {
		fd[kind] = fcntl(kind_open(kind), F_DUPFD, 100);
		if (fd[kind] < 0)
			return false;
	}
	return true;
}

/* ---- Guarding ---- */

enum fate { OTHER, KEPT, IS_NULL };

struct guard {
	enum kind kind[3];
	bool tell, close_rest;
	bool result;
	int error;
	struct connection connection;
	enum fate guarded[3], closed[3]; /* behind streams_guard(), and connection_close() */
	unsigned left_open;              /* above 2 */
};

static enum fate fate_of(int fd, const struct stat *before)
{
	struct stat after, null;

	if (fstat(fd, &after) != 0 || stat("/dev/null", &null) != 0)
		return OTHER;
	if (S_ISCHR(after.st_mode) && after.st_rdev == null.st_rdev)
		return IS_NULL;
	return after.st_dev == before->st_dev && after.st_ino == before->st_ino ? KEPT : OTHER;
}

static int guard_in_child(void *context)
{
	struct guard *guard = context;
	struct stat before[3];
	int fd[KINDS];

	memset(before, 0, sizeof(before));
	if (!kinds_open(fd))
		return UNIT_CANNOT;
	for (int i = 0; i < 3; i++) {
		if (guard->kind[i] == CLOSED)
			(void)close(i);
		else if (dup2(fd[guard->kind[i]], i) != i || fstat(i, &before[i]) != 0)
			return 1;
	}
	guard->result = streams_guard(&guard->connection.streams, guard->tell, guard->close_rest);
	guard->error = errno;
	if (!guard->result)
		return 0;
	for (int i = 3; i < 200; i++)
		guard->left_open += fcntl(i, F_GETFD) >= 0;
	for (int i = 0; i < 3; i++)
		guard->guarded[i] = fate_of(i, &before[i]);
	if (!connection_close(&guard->connection))
		return 2;
	for (int i = 0; i < 3; i++)
		guard->closed[i] = fate_of(i, &before[i]);
	return 0;
}

static const struct guard *guard(struct guard guard)
{
	static struct guard *shared;

	if (shared == NULL)
		shared = unit_shared(sizeof(*shared));
	*shared = guard;
	unit_expect(unit_reap(unit_fork(guard_in_child, shared)));
	return shared;
}

struct usable {
	enum kind kind[3];
	bool out, error; /* may be written to */
};

/* Of standard error it holds from the beginning; standard output is let go with the connection. */
static void is_usable(const struct usable *row, bool tell)
{
	const struct guard *g = guard((struct guard){
		.kind = { row->kind[0], row->kind[1], row->kind[2] }, .tell = tell });
	enum fate out = row->kind[1] == CLOSED || row->kind[1] == NULL_DEVICE ? IS_NULL : KEPT;
	enum fate error = row->error && row->kind[2] != NULL_DEVICE ? KEPT : IS_NULL;

	assert_true(g->result);
	if (g->connection.streams.stdout_usable != row->out || g->connection.streams.stderr_usable != row->error)
		fail_msg("%d %d %d", row->kind[0], row->kind[1], row->kind[2]);
	assert_int_equal(g->guarded[0], row->kind[0] == NULL_DEVICE ? IS_NULL : KEPT);
	assert_int_equal(g->guarded[1], out);
	assert_int_equal(g->guarded[2], error);
	assert_int_equal(g->closed[0], IS_NULL);
	assert_int_equal(g->closed[1], row->out ? out : IS_NULL);
	assert_int_equal(g->closed[2], error);
}

static void G7_nothing_is_written_where_the_other_end_is(void **state)
{
	static const struct usable table[] = {
		/* inetd; and with one of them elsewhere */
		{ { TCP, TCP, TCP }, false, false },
		{ { TCP, TCP, PLAIN_FILE }, false, true },
		{ { TCP, PLAIN_FILE, TCP }, true, false },
		{ { UDP, UDP, UDP }, false, false },
		{ { UNIX, UNIX, UNIX }, false, false },
		/* other internet sockets */
		{ { TCP, TCP_OTHER, TCP_OTHER }, false, false },
		{ { TCP, UDP, UDP }, false, false },
		{ { NULL_DEVICE, TCP, UDP }, false, false },
		/* tcpserver, systemd: standard error, or both, is a log */
		{ { TCP, TCP, PIPE }, false, true },
		{ { TCP, PIPE, PIPE }, true, true },
		{ { TCP, PIPE, PIPE_OTHER }, true, true },
		{ { TCP, UNIX, UNIX_OTHER }, true, true },
		{ { TCP, UNIX, UNIX }, true, true },
		{ { TCP, NULL_DEVICE, NULL_DEVICE }, true, true },
		{ { TCP, PLAIN_FILE, PLAIN_FILE }, true, true },
		/* a wrapper that hands over pipes, or sockets of its own */
		{ { PIPE_IN, PIPE, PIPE }, false, false },
		{ { PIPE_IN, PIPE, PIPE_OTHER }, false, true },
		{ { PIPE_IN, PIPE, PLAIN_FILE }, false, true },
		{ { PIPE_IN, UNIX, UNIX }, false, false },
		{ { PIPE_IN, UNIX, UNIX_OTHER }, false, true },
		{ { UNIX, UNIX_OTHER, UNIX_OTHER }, false, false },
		{ { UNIX, UNIX, PIPE }, false, true },
		{ { UNIX, PIPE, UNIX }, false, false },
		{ { UNIX, PIPE, PIPE_OTHER }, false, true },
		{ { PIPE_IN, NULL_DEVICE, NULL_DEVICE }, true, true },
		{ { PIPE_IN, PLAIN_FILE, PIPE }, true, true },
		/* by hand */
		{ { TERMINAL, TERMINAL, TERMINAL }, true, true },
		{ { NULL_DEVICE, PIPE, PIPE }, true, true },
		{ { PLAIN_FILE, PIPE, PIPE_OTHER }, true, true },
		/* not there at all */
		{ { TCP, CLOSED, CLOSED }, false, false },
		{ { TCP, CLOSED, PIPE }, false, true },
		{ { TCP, PIPE, CLOSED }, true, false },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		is_usable(&table[i], false);
}

/* Whoever only asks is no wrapper; but a socket that it was given may be the network still. */
static void G7_answers_go_into_pipes_but_never_into_the_network(void **state)
{
	static const struct usable table[] = {
		{ { PIPE_IN, PIPE, PIPE }, true, true },
		{ { UNIX, PIPE, PIPE_OTHER }, true, true },
		{ { PIPE_IN, UNIX, UNIX }, true, true },
		{ { TERMINAL, PIPE, TERMINAL }, true, true },
		{ { UNIX, UNIX, UNIX }, false, false },
		{ { TCP, TCP, TCP }, false, false },
		{ { PIPE_IN, TCP, UDP }, false, false },
		{ { PIPE_IN, CLOSED, CLOSED }, false, false },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		is_usable(&table[i], true);
}

static void streams_guard_tells_sockets_from_others(void **state)
{
	(void)state;
	for (enum kind kind = 0; kind < CLOSED; kind++) {
		const struct guard *g =
			guard((struct guard){ .kind = { kind, NULL_DEVICE, NULL_DEVICE } });

		assert_true(g->result);
		assert_int_equal(g->connection.streams.is_socket, kind == TCP || kind == TCP_OTHER ||
								  kind == UDP || kind == UNIX ||
								  kind == UNIX_OTHER);
	}
}

static void streams_guard_fails_without_descriptor_0(void **state)
{
	const struct guard *g =
		guard((struct guard){ .kind = { CLOSED, NULL_DEVICE, NULL_DEVICE } });

	(void)state;
	assert_false(g->result);
	assert_int_equal(g->error, EBADF);
}

/* What was left open by whoever started us is not for the action, nor for us. */
static void streams_guard_closes_all_other_descriptors(void **state)
{
	(void)state;
	assert_int_equal(
		guard((struct guard){ .kind = { TCP, TCP, TCP }, .close_rest = true })->left_open,
		0);
	assert_in_range(guard((struct guard){ .kind = { TCP, TCP, TCP } })->left_open, CLOSED, 100);
}

/* ---- Who is there ---- */

enum scene {
	SCENE_PIPE,
	SCENE_UNIX,
	SCENE_IPV4,
	SCENE_IPV6,
	SCENE_MAPPED, /* IPv4 to a listener of both */
	SCENE_RESET,
	SCENE_LISTENING,
	SCENE_DATAGRAM,
	SCENE_TERMINAL,
	SCENE_FILE,
	SCENE_NULL,
	SCENE_ZERO,
	SCENE_DIRECTORY,
};

struct identity {
	enum scene scene;
	bool needs_to;
	const char *wrong; /* text, or NULL */
	char text[512];
	struct connection connection;
};

static bool scene_mapped(int fd[2])
{
	struct sockaddr_storage address;
	int listener = listener_open(AF_INET6, &address), off = 0;
	struct sockaddr_in ipv4 = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	socklen_t length = sizeof(any);

	(void)close(listener);
	listener = socket(AF_INET6, SOCK_STREAM, 0);
	(void)setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) != 0 || listen(listener, 1) != 0 ||
		getsockname(listener, (struct sockaddr *)&any, &length) != 0)
		return false;
	ipv4.sin_port = any.sin6_port;
	fd[1] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd[1], (struct sockaddr *)&ipv4, sizeof(ipv4)) != 0)
		return false;
	fd[0] = accept(listener, NULL, NULL);
	return fd[0] >= 0;
}

static bool scene_reset(int fd[2])
{
	struct linger linger = { .l_onoff = 1 };
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (!connection_open(AF_INET, fd))
		return false;
	(void)setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	(void)close(fd[1]);
	while (getpeername(fd[0], (struct sockaddr *)&address, &length) == 0)
		unit_sleep_us(100);
	return true;
}

static bool scene_make(enum scene scene, int fd[2])
{
	struct sockaddr_storage address;

	switch (scene) {
	case SCENE_PIPE: return pipe(fd) == 0;
	case SCENE_UNIX: return socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0;
	case SCENE_IPV4: return connection_open(AF_INET, fd);
	case SCENE_IPV6: return connection_open(AF_INET6, fd);
	case SCENE_MAPPED: return scene_mapped(fd);
	case SCENE_RESET: return scene_reset(fd);
	case SCENE_LISTENING: return (fd[0] = listener_open(AF_INET, &address)) >= 0;
	case SCENE_DATAGRAM: return (fd[0] = socket(AF_INET, SOCK_DGRAM, 0)) >= 0;
	case SCENE_TERMINAL: return (fd[0] = posix_openpt(O_RDWR | O_NOCTTY)) >= 0;
	case SCENE_FILE: return (fd[0] = open("/tmp", O_TMPFILE | O_RDWR, 0600)) >= 0;
	case SCENE_NULL: return (fd[0] = open("/dev/null", O_RDONLY)) >= 0;
	case SCENE_ZERO: return (fd[0] = open("/dev/zero", O_RDONLY)) >= 0;
	default: return (fd[0] = open("/tmp", O_RDONLY | O_DIRECTORY)) >= 0;
	}
}

static int identify_in_child(void *context)
{
	struct identity *identity = context;
	int fd[2];

	if (!scene_make(identity->scene, fd))
		return UNIT_CANNOT;
	if (dup2(fd[0], STDIN_FILENO) < 0)
		return 1;
	identity->connection.streams.is_socket =
		identity->scene != SCENE_PIPE && identity->scene < SCENE_TERMINAL;
	identity->wrong = connection_identify(&identity->connection, identity->needs_to);
	if (identity->wrong != NULL) /* it is in the child's memory */
		identity->wrong =
			strncpy(identity->text, identity->wrong, sizeof(identity->text) - 1);
	return 0;
}

static const struct identity *identify(enum scene scene, bool needs_to)
{
	static struct identity *shared;

	if (shared == NULL)
		shared = unit_shared(sizeof(*shared));
	*shared = (struct identity){ .scene = scene, .needs_to = needs_to };
	unit_expect(unit_reap(unit_fork(identify_in_child, shared)));
	return shared;
}

static void variables(const char *remote, const char *local, const char *systemd)
{
	assert_int_equal(remote ? setenv("TCPREMOTEIP", remote, 1) : unsetenv("TCPREMOTEIP"), 0);
	assert_int_equal(local ? setenv("TCPLOCALIP", local, 1) : unsetenv("TCPLOCALIP"), 0);
	assert_int_equal(systemd ? setenv("REMOTE_ADDR", systemd, 1) : unsetenv("REMOTE_ADDR"), 0);
}

static void is_text(const struct source *source, const char *expected)
{
	char text[SOURCE_TEXT_MAX];

	assert_string_equal(source_text(source, text), expected);
}

/* What the environment says counts only where the kernel knows nothing. */
static void connection_source_is_the_kernel_s_word(void **state)
{
	const struct identity *i;

	(void)state;
	variables("192.0.2.1", "192.0.2.2", "192.0.2.3");
	i = identify(SCENE_IPV4, true);
	assert_null(i->wrong);
	is_text(&i->connection.source, "127.0.0.1");
	is_text(&i->connection.to, "127.0.0.1");
	i = identify(SCENE_IPV4, false);
	is_text(&i->connection.source, "127.0.0.1");
	is_text(&i->connection.to, "unknown");
	variables(NULL, NULL, NULL);
}

static void connection_mapped_source_is_ipv4(void **state)
{
	const struct identity *i = identify(SCENE_MAPPED, true);

	(void)state;
	assert_null(i->wrong);
	is_text(&i->connection.source, "127.0.0.1");
	is_text(&i->connection.to, "127.0.0.1");
}

static void connection_ipv6_source_is_known(void **state)
{
	const struct identity *i = identify(SCENE_IPV6, true);

	(void)state;
	assert_null(i->wrong);
	is_text(&i->connection.source, "::1");
	is_text(&i->connection.to, "::1");
}

static void connection_source_without_socket_is_the_environment_s_word(void **state)
{
	(void)state;
	for (enum scene scene = SCENE_PIPE; scene <= SCENE_UNIX; scene++) {
		const struct identity *i;

		variables(NULL, NULL, NULL);
		i = identify(scene, true);
		assert_null(i->wrong);
		is_text(&i->connection.source, "local");
		is_text(&i->connection.to, "local");
		variables("192.0.2.1", "2001:db8::2", "192.0.2.3");
		i = identify(scene, true);
		assert_null(i->wrong);
		is_text(&i->connection.source, "192.0.2.1");
		is_text(&i->connection.to, "2001:db8::2");
		variables(NULL, NULL, "192.0.2.3");
		i = identify(scene, true);
		is_text(&i->connection.source, "192.0.2.3");
		/* systemd's names of Unix sockets */
		variables(NULL, NULL, "/run/peer");
		is_text(&identify(scene, true)->connection.source, "local");
		variables(NULL, NULL, "@peer");
		is_text(&identify(scene, true)->connection.source, "local");
	}
	variables(NULL, NULL, NULL);
}

/* socat writes IPv6 in brackets, and every digit of it. */
static void connection_address_may_be_in_brackets(void **state)
{
	const struct identity *i;

	(void)state;
	variables("[0000:0000:0000:0000:0000:0000:0000:0001]", "[2001:db8::2]", NULL);
	i = identify(SCENE_PIPE, true);
	assert_null(i->wrong);
	is_text(&i->connection.source, "::1");
	is_text(&i->connection.to, "2001:db8::2");
	variables("[fe80::1%lo]", "[fe80::2%1]", NULL);
	i = identify(SCENE_PIPE, true);
	assert_null(i->wrong);
	is_text(&i->connection.source, "fe80::1%lo");
	is_text(&i->connection.to, "fe80::2%lo");
	variables(NULL, NULL, "[::ffff:192.0.2.1]");
	is_text(&identify(SCENE_PIPE, true)->connection.source, "192.0.2.1");
	variables(NULL, NULL, NULL);
}

/* The administrator sees what the super-server said, and where. */
static void connection_shows_what_is_not_an_address(void **state)
{
	static const char *const wrong[] = { "", "[", "]", "[]", "[::1", "::1]", "[[::1]]",
		"[::1]:79", "[192.0.2.1]", "192.0.2.1:79", "mail.example.org", "[fe80::1]%lo",
		"[%lo]",
		"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001%lo]" };

	(void)state;
	for (unsigned i = 0; i < COUNT(wrong); i++) {
		char expected[256];

		variables(wrong[i], NULL, "192.0.2.3");
		(void)snprintf(
			expected, sizeof(expected), "TCPREMOTEIP '%s' is not an address", wrong[i]);
		assert_string_equal(identify(SCENE_PIPE, true)->wrong, expected);
		variables(NULL, NULL, wrong[i]);
		(void)snprintf(
			expected, sizeof(expected), "REMOTE_ADDR '%s' is not an address", wrong[i]);
		assert_string_equal(identify(SCENE_UNIX, true)->wrong, expected);
		variables("192.0.2.1", wrong[i], NULL);
		(void)snprintf(
			expected, sizeof(expected), "TCPLOCALIP '%s' is not an address", wrong[i]);
		assert_string_equal(identify(SCENE_UNIX, true)->wrong, expected);
	}
	variables(NULL, NULL, NULL);
}

/* Not local: that would give a stranger what is for this machine's own users. */
static void connection_that_was_reset_has_no_known_source(void **state)
{
	static const char *const none[] = { NULL, "", "local", "/run/peer", "@peer",
		"mail.example.org" };

	(void)state;
	for (unsigned i = 0; i < COUNT(none); i++) {
		const struct identity *r;

		variables(none[i], none[i], none[i]);
		r = identify(SCENE_RESET, true);
		assert_null(r->wrong);
		assert_int_equal(r->connection.source.kind, SOURCE_UNKNOWN);
		is_text(&r->connection.to, "127.0.0.1");
	}
	variables(NULL, NULL, NULL);
}

/* Whoever accepted it had asked the kernel in time. */
static void G1_connection_that_was_reset_is_the_super_servers_word(void **state)
{
	static const char *const remote[] = { "TCPREMOTEIP", "REMOTE_ADDR", "REMOTE_HOST",
		"SOCAT_PEERADDR" };
	const struct identity *r;

	(void)state;
	for (unsigned i = 0; i < COUNT(remote); i++) {
		assert_int_equal(
			setenv(remote[i], i % 2 ? "::ffff:192.0.2.1" : "[2001:db8::1]", 1), 0);
		r = identify(SCENE_RESET, true);
		assert_null(r->wrong);
		is_text(&r->connection.source, i % 2 ? "192.0.2.1" : "2001:db8::1");
		is_text(&r->connection.to, "127.0.0.1");
		assert_int_equal(unsetenv(remote[i]), 0);
	}
}

static void connection_that_is_none_is_told(void **state)
{
	(void)state;
	assert_string_equal(identify(SCENE_LISTENING, false)->wrong,
		"descriptor 0 is a listening socket, not a connection");
	assert_string_equal(identify(SCENE_DATAGRAM, false)->wrong,
		"descriptor 0 is a datagram socket, not a connection");
}

/* A sender must not be blamed for what he could not say. */
static void connection_is_none_on_other_devices(void **state)
{
	static const enum scene none[] = { SCENE_NULL, SCENE_ZERO, SCENE_DIRECTORY };
	static const char *const remote[] = { NULL, "192.0.2.1" };

	(void)state;
	for (unsigned i = 0; i < COUNT(none); i++) {
		for (unsigned j = 0; j < COUNT(remote); j++) {
			variables(NULL, NULL, remote[j]);
			assert_string_equal(identify(none[i], false)->wrong,
				"descriptor 0 is no connection, but /dev/null or the like: "
				"a unit needs StandardInput=socket");
		}
	}
	variables(NULL, NULL, NULL);
}

/* By hand; but systemd that knows an address was not told to hand over the connection. */
static void connection_of_a_terminal_is_local(void **state)
{
	(void)state;
	variables(NULL, NULL, NULL);
	assert_null(identify(SCENE_TERMINAL, false)->wrong);
	is_text(&identify(SCENE_TERMINAL, false)->connection.source, "local");
	variables("192.0.2.1", NULL, NULL);
	is_text(&identify(SCENE_TERMINAL, false)->connection.source, "192.0.2.1");
	variables(NULL, NULL, "192.0.2.1");
	assert_string_equal(identify(SCENE_TERMINAL, false)->wrong,
		"descriptor 0 is no connection, but a terminal: a unit needs StandardInput=socket");
	variables(NULL, NULL, NULL);
}

static void connection_of_a_file_is_as_of_a_pipe(void **state)
{
	(void)state;
	variables(NULL, NULL, NULL);
	assert_null(identify(SCENE_FILE, false)->wrong);
	is_text(&identify(SCENE_FILE, false)->connection.source, "local");
	variables("192.0.2.1", NULL, NULL);
	is_text(&identify(SCENE_FILE, false)->connection.source, "192.0.2.1");
	variables(NULL, NULL, NULL);
}

/* ---- The end ---- */

struct closing {
	int fd[2];
	_Atomic unsigned is_seen;
};

/* Lives on until the other end has seen what it sees. */
static int close_in_child(void *context)
{
	struct closing *closing = context;
	const struct connection connection = { .streams.is_socket = true };
	struct stat st, null;

	/* The other descriptor stays open, as systemd's does. */
	if (dup2(closing->fd[0], STDIN_FILENO) < 0 || close(closing->fd[1]) != 0)
		return 1;
	if (!connection_close(&connection) || fstat(STDIN_FILENO, &st) != 0 ||
		stat("/dev/null", &null) != 0)
		return 2;
	if (st.st_rdev != null.st_rdev)
		return 3;
	return unit_await(&closing->is_seen) ? 0 : 4;
}

static void G7_closing_is_all_that_the_other_end_sees(void **state)
{
	struct closing *closing = unit_shared(sizeof(*closing));
	char byte;
	pid_t child;

	(void)state;
	assert_true(connection_open(AF_INET, closing->fd));
	child = unit_fork(close_in_child, closing);
	(void)close(closing->fd[0]);
	assert_int_equal(read(closing->fd[1], &byte, 1), 0);
	atomic_store(&closing->is_seen, 1);
	assert_int_equal(unit_reap(child), 0);
	(void)close(closing->fd[1]);
	unit_unshare(closing, sizeof(*closing));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(G7_nothing_is_written_where_the_other_end_is),
		cmocka_unit_test(G7_answers_go_into_pipes_but_never_into_the_network),
		cmocka_unit_test(streams_guard_tells_sockets_from_others),
		cmocka_unit_test(streams_guard_fails_without_descriptor_0),
		cmocka_unit_test(streams_guard_closes_all_other_descriptors),
		cmocka_unit_test(connection_source_is_the_kernel_s_word),
		cmocka_unit_test(connection_mapped_source_is_ipv4),
		cmocka_unit_test(connection_ipv6_source_is_known),
		cmocka_unit_test(connection_source_without_socket_is_the_environment_s_word),
		cmocka_unit_test(connection_address_may_be_in_brackets),
		cmocka_unit_test(connection_shows_what_is_not_an_address),
		cmocka_unit_test(connection_that_was_reset_has_no_known_source),
		cmocka_unit_test(G1_connection_that_was_reset_is_the_super_servers_word),
		cmocka_unit_test(connection_that_is_none_is_told),
		cmocka_unit_test(connection_is_none_on_other_devices),
		cmocka_unit_test(connection_of_a_terminal_is_local),
		cmocka_unit_test(connection_of_a_file_is_as_of_a_pipe),
		cmocka_unit_test(G7_closing_is_all_that_the_other_end_sees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
