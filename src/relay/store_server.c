/* SPDX-License-Identifier: ISC */
/* In the relay's process. */
#include "relay/store_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/text.h"

/* Longer than that nobody waits for an answer that memory has, too. */
#define ANSWER_WITHIN ((struct span){ .ms = 1000 })

/* How long until the server is looked for again: doubling. */
#define RETRY_FIRST_MS 500
#define RETRY_MOST_MS  15000

/* A server may close what is idle. After so long that is not said, only connected anew. */
#define IDLE_MS 10000

/* Outstanding commands. At a fifth of a millisecond each way, millions a second. */
#define PENDING_MAX 1024
#define OUT_SIZE    (512 * 1024)
#define IN_SIZE     (8 * REPLY_SIZE_MAX)

/* How much of an error of the server's is said. */
#define ERROR_TEXT_MAX 128

enum server_state {
	SERVER_AWAY,
	SERVER_CONNECTING,
	SERVER_GREETING, /* connected; who we are, and whether it serves us, is under way */
	SERVER_READY,
};

/* Whose reply is the next. */
struct pending {
	struct ask ask;
	bool is_greeting, ends_greeting;
	struct deadline until;
};

struct server {
	struct server_setup setup;
	server_answer *answer;
	void *context;
	enum server_state state;
	int fd; /* -1: none */
	sd_event_source *io, *timer;
	bool is_timed, is_told; /* that it refused a command */
	uint64_t retry_ms, refused;
	struct deadline ready; /* since then */
	unsigned first, count; /* of `pending`, a ring */
	struct pending pending[PENDING_MAX];
	size_t out_begin, out_end, in_length;
	char out[OUT_SIZE], in[IN_SIZE];
};

/* ---- Time ---- */

static void timer_set(struct server *server, uint64_t ms)
{
	server->is_timed = sd_event_source_set_time_relative(server->timer, ms * 1000) >= 0 &&
			   sd_event_source_set_enabled(server->timer, SD_EVENT_ONESHOT) >= 0;
}

/* So that many relays do not come back at the same moment. */
static uint64_t with_jitter(uint64_t ms)
{
	uint16_t chance = 0;

	if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) < 0)
		return ms; /* it has none yet */
	return ms + ms * chance / 4 / UINT16_MAX;
}

/* ---- Whose turn it is ---- */

static void pending_add(struct server *server, const struct pending *pending)
{
	server->pending[(server->first + server->count++) % PENDING_MAX] = *pending;
	if (!server->is_timed)
		timer_set(server, ANSWER_WITHIN.ms);
}

static struct pending pending_take(struct server *server)
{
	struct pending pending = server->pending[server->first];

	server->first = (server->first + 1) % PENDING_MAX;
	server->count--;
	return pending;
}

static void pending_fail(struct server *server, const struct pending *pending)
{
	if (!pending->is_greeting)
		server->answer(server->context, &pending->ask, NULL);
}

/* ---- Away ---- */

static void disconnect(struct server *server)
{
	server->io = sd_event_source_disable_unref(server->io);
	fd_close_if_open(server->fd);
	server->fd = -1;
	server->state = SERVER_AWAY;
	server->out_begin = server->out_end = server->in_length = 0;
	server->is_told = false;
}

/* All that waits is answered; what is asked from within an answer is not even sent. */
static void lost(struct server *server, const char *why)
{
	unsigned count = server->count;

	disconnect(server);
	store_say_away(server->setup.store, why);
	timer_set(server, with_jitter(server->retry_ms));
	server->retry_ms =
		server->retry_ms * 2 < RETRY_MOST_MS ? server->retry_ms * 2 : RETRY_MOST_MS;
	while (count-- > 0) {
		struct pending pending = pending_take(server);

		pending_fail(server, &pending);
	}
}

static void error_text(struct text *text, struct slice error)
{
	char bytes[ERROR_TEXT_MAX + 1];
	size_t length = error.length < ERROR_TEXT_MAX ? error.length : ERROR_TEXT_MAX;

	memcpy(bytes, error.bytes, length);
	bytes[length] = '\0';
	text_add_escaped(text, bytes);
}

static void lost_by(struct server *server, struct slice error)
{
	char why[STORE_MESSAGE_MAX];
	struct text text = TEXT_IN(why);

	text_add(&text, "the server says: ");
	error_text(&text, error);
	lost(server, why);
}

/* ---- Sending ---- */

static size_t room(const struct server *server)
{
	return sizeof(server->out) - server->out_end;
}

static void out_add(struct server *server, const void *bytes, size_t length)
{
	memcpy(server->out + server->out_end, bytes, length);
	server->out_end += length;
}

static void out_number(struct server *server, char kind, size_t number)
{
	server->out_end += (size_t)snprintf(
		server->out + server->out_end, room(server), "%c%zu\r\n", kind, number);
}

/* False: there is no room. */
static bool out_command(struct server *server, const struct slice *word, unsigned count)
{
	size_t needed = 32;

	for (unsigned i = 0; i < count; i++)
		needed += word[i].length + 32;
	if (server->out_begin > 0 && room(server) < needed) {
		server->out_end -= server->out_begin;
		memmove(server->out, server->out + server->out_begin, server->out_end);
		server->out_begin = 0;
	}
	if (room(server) < needed)
		return false;
	out_number(server, '*', count);
	for (unsigned i = 0; i < count; i++) {
		out_number(server, '$', word[i].length);
		out_add(server, word[i].bytes, word[i].length);
		out_add(server, "\r\n", 2);
	}
	return true;
}

/* Written by the loop: all that is asked in one round of it in one piece. */
static void want_write(struct server *server, bool wants)
{
	(void)sd_event_source_set_io_events(
		server->io, wants ? EPOLLIN | EPOLLOUT : (uint32_t)EPOLLIN);
}

static void flush(struct server *server)
{
	size_t length = server->out_end - server->out_begin;
	ssize_t sent = send(
		server->fd, server->out + server->out_begin, length, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0 && !fd_would_wait(errno)) {
		lost(server, strerror(errno));
		return;
	}
	server->out_begin += sent > 0 ? (size_t)sent : 0;
	if (server->out_begin < server->out_end)
		return;
	server->out_begin = server->out_end = 0;
	want_write(server, false);
}

/* The answers to what did not fit are memory's: said, once until the server has caught up. */
static bool refuse(struct server *server)
{
	if (server->refused++ == 0)
		store_say(server->setup.store, "too many commands wait for the server: going on "
					       "from memory until it answers");
	return false;
}

bool server_send(
	struct server *server, const struct ask *ask, const struct slice *word, unsigned count)
{
	struct pending pending = { .ask = *ask, .until = deadline_in(ANSWER_WITHIN) };
	bool was_empty = server->out_begin == server->out_end;

	/* When it is new it is waited for, but not each time when it is looked for again. */
	if (server->state == SERVER_AWAY ||
		(server->state != SERVER_READY && store_is_away(server->setup.store)))
		return false;
	if (server->count == PENDING_MAX || !out_command(server, word, count))
		return refuse(server);
	pending_add(server, &pending);
	if (was_empty && server->state != SERVER_CONNECTING)
		want_write(server, true);
	return true;
}

/* ---- Greeting ---- */

static struct slice word_of(const char *text)
{
	return (struct slice){ .bytes = text, .length = strlen(text) };
}

static void greet_with(
	struct server *server, const struct slice *word, unsigned count, bool ends_greeting)
{
	struct pending pending = { .is_greeting = true,
		.ends_greeting = ends_greeting,
		.until = deadline_in(ANSWER_WITHIN) };

	/* It is the first in an empty buffer. */
	(void)out_command(server, word, count);
	pending_add(server, &pending);
}

/* Ends with a command like ours. One who may not write, or is full, is not there. */
static void greet(struct server *server)
{
	char database[16];
	struct slice auth[] = { word_of("AUTH"), word_of(server->setup.password) },
		     select[] = { word_of("SELECT"), { 0 } },
		     probe[] = { word_of("EVAL"),
			     word_of("return redis.call('SET',KEYS[1],'','PX',10000)"),
			     word_of("1"), server->setup.probe_key };

	if (server->setup.password[0] != '\0')
		greet_with(server, auth, 2, false);
	(void)snprintf(database, sizeof(database), "%u", server->setup.database);
	select[1] = word_of(database);
	if (server->setup.database != 0)
		greet_with(server, select, 2, false);
	greet_with(server, probe, 4, true);
}

static void greeted(struct server *server, const struct pending *pending, const struct reply *reply)
{
	if (reply->kind == REPLY_ERROR) {
		lost_by(server, reply->text);
		return;
	}
	if (reply->kind != REPLY_STATUS) {
		lost(server, "the server does not answer as Redis does");
		return;
	}
	if (!pending->ends_greeting)
		return;
	server->state = SERVER_READY;
	server->ready = deadline_now();
	server->retry_ms = RETRY_FIRST_MS;
	store_say_back(server->setup.store);
}

/* ---- Replies ---- */

static bool begins_with(struct slice text, const char *with)
{
	size_t length = strlen(with);

	return text.length >= length && memcmp(text.bytes, with, length) == 0;
}

/* An error of one command is its key's: somebody else's use of it. Any other would be the next
 * command's, too. */
static void refused(struct server *server, const struct pending *pending, struct slice error)
{
	char message[STORE_MESSAGE_MAX];
	struct text text = TEXT_IN(message);

	if (!begins_with(error, "ERR ") && !begins_with(error, "WRONGTYPE ")) {
		lost_by(server, error);
	} else if (!server->is_told) {
		server->is_told = true;
		error_text(&text, error);
		store_say(server->setup.store, "the server refuses a command: %s", message);
	}
	pending_fail(server, pending);
}

static void replied(struct server *server, const struct reply *reply)
{
	struct pending pending = pending_take(server);

	if (server->count == 0)
		server->refused = 0;
	if (pending.is_greeting)
		greeted(server, &pending, reply);
	else if (reply->kind == REPLY_ERROR)
		refused(server, &pending, reply->text);
	else
		server->answer(server->context, &pending.ask, reply);
}

/* Answers may ask more, and the connection may be lost meanwhile. */
static void read_replies(struct server *server)
{
	size_t at = 0;

	while (server->state != SERVER_AWAY) {
		struct reply reply = reply_read(server->in + at, server->in_length - at);

		if (reply.kind == REPLY_MORE) {
			server->in_length -= at;
			memmove(server->in, server->in + at, server->in_length);
			return;
		}
		if (reply.kind == REPLY_BAD || server->count == 0) {
			lost(server, "the server does not answer as Redis does");
			return;
		}
		at += reply.length;
		replied(server, &reply);
	}
}

/* ---- Connecting ---- */

static void connected(struct server *server)
{
	int error = fd_socket_option(server->fd, SO_ERROR);

	if (error != 0)
		lost(server, strerror(error));
	else
		server->state = SERVER_GREETING;
}

static void begin(struct server *server);

static void closed(struct server *server)
{
	if (server->state == SERVER_READY && server->count == 0 &&
		deadline_age(server->ready).ms > IDLE_MS) {
		disconnect(server);
		begin(server);
	} else {
		lost(server, "the server has closed the connection");
	}
}

static void fill(struct server *server)
{
	ssize_t got = recv(server->fd, server->in + server->in_length,
		sizeof(server->in) - server->in_length, MSG_DONTWAIT);

	if (got > 0) {
		server->in_length += (size_t)got;
		read_replies(server);
	} else if (got == 0) {
		closed(server);
	} else if (!fd_would_wait(errno)) {
		lost(server, strerror(errno));
	}
}

static int server_event(sd_event_source *source, int fd, uint32_t revents, void *context)
{
	struct server *server = context;

	(void)source;
	(void)fd;
	if (server->state == SERVER_CONNECTING)
		connected(server);
	if (server->state != SERVER_AWAY && (revents & EPOLLOUT) != 0)
		flush(server);
	if (server->state != SERVER_AWAY && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		fill(server);
	return 0;
}

static void begin(struct server *server)
{
	const struct server_address *address = &server->setup.address;

	server->fd = fd_socket(address->socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK);
	if (server->fd < 0 || (connect(server->fd, (const struct sockaddr *)&address->socket,
				       address->length) != 0 &&
				      errno != EINPROGRESS)) {
		lost(server, strerror(errno));
		return;
	}
	/* Or a command would wait for the acknowledgement of the one before; a Unix socket has no
	 * such thing. */
	(void)setsockopt(server->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (sd_event_add_io(server->setup.loop, &server->io, server->fd, EPOLLIN | EPOLLOUT,
		    server_event, server) < 0) {
		lost(server, "there is no memory");
		return;
	}
	server->state = SERVER_CONNECTING;
	greet(server);
}

static int timer_over(sd_event_source *source, uint64_t us, void *context)
{
	struct server *server = context;

	(void)source;
	(void)us;
	server->is_timed = false;
	if (server->state == SERVER_AWAY) {
		begin(server);
	} else if (server->count > 0) {
		struct span rest = deadline_rest(server->pending[server->first].until);

		if (rest.ms == 0)
			lost(server, "the server does not answer in time");
		else
			timer_set(server, rest.ms);
	}
	return 0;
}

struct server *server_open(const struct server_setup *setup, server_answer *answer, void *context)
{
	struct server *server = calloc(1, sizeof(*server));

	if (server == NULL)
		return NULL;
	server->setup = *setup;
	server->answer = answer;
	server->context = context;
	server->fd = -1;
	server->retry_ms = RETRY_FIRST_MS;
	if (sd_event_add_time_relative(
		    setup->loop, &server->timer, CLOCK_MONOTONIC, 0, 0, timer_over, server) < 0) {
		free(server);
		return NULL;
	}
	(void)sd_event_source_set_enabled(server->timer, SD_EVENT_OFF);
	/* What has come while we could not run is read first. */
	(void)sd_event_source_set_priority(server->timer, SD_EVENT_PRIORITY_NORMAL + 1);
	begin(server);
	return server;
}

/* Nothing is answered any more. */
void server_close(struct server *server)
{
	disconnect(server);
	sd_event_source_disable_unref(server->timer);
	explicit_bzero(server->setup.password, sizeof(server->setup.password));
	free(server);
}
