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

/* How long until the server is looked for again: doubling. */
#define RETRY_FIRST_MS 500
#define RETRY_MOST_MS  15000

/* A server may close what is idle. After so long that is not said, only connected anew. */
#define IDLE_MS 10000

/* Commands without a reply yet. At a fifth of a millisecond each way, millions a second. What
 * hiredis keeps of them until it is written is less than a mebibyte. */
#define SENT_MAX 1024

/* Of a reply that has not come whole: as much as hiredis reads at once. */
#define UNREAD_MAX 16384

enum server_state {
	SERVER_AWAY,
	SERVER_CONNECTING,
	SERVER_GREETING, /* connected; who we are, and whether it serves us, is under way */
	SERVER_READY,
};

/* A command that waits for its reply; replies come in the order of commands. */
struct sent {
	struct ask ask;
	bool is_greeting, ends_greeting;
	struct deadline until;
};

struct server {
	struct server_setup setup;
	server_answer *answer;
	void *context;
	enum server_state state;
	redisContext *redis; /* NULL: none; its socket goes with it */
	struct reply reply;  /* the one that is read */
	sd_event_source *io, *timer;
	bool is_writing;        /* or wants to */
	bool is_timed, is_told; /* that it refused a command */
	uint64_t retry_ms, refused;
	struct deadline ready; /* since then */
	unsigned first, count; /* of `sent`, a ring */
	struct sent sent[SENT_MAX];
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

/* ---- Commands without a reply ---- */

static void sent_add(struct server *server, const struct sent *sent)
{
	server->sent[(server->first + server->count++) % SENT_MAX] = *sent;
	if (!server->is_timed)
		timer_set(server, STORE_ANSWERS_WITHIN.ms);
}

static struct sent sent_take(struct server *server)
{
	struct sent sent = server->sent[server->first];

	server->first = (server->first + 1) % SENT_MAX;
	server->count--;
	return sent;
}

static void sent_fail(struct server *server, const struct sent *sent)
{
	if (!sent->is_greeting)
		server->answer(server->context, &sent->ask, NULL);
}

/* ---- Away ---- */

static void disconnect(struct server *server)
{
	server->io = sd_event_source_disable_unref(server->io);
	redisFree(server->redis);
	server->redis = NULL;
	server->state = SERVER_AWAY;
	server->is_told = false;
}

/* All that waits is answered; what is asked from within an answer is not even sent. `why` may be of
 * the connection. */
static void lost(struct server *server, const char *why)
{
	unsigned count = server->count;

	store_say_away(server->setup.store, why);
	disconnect(server);
	timer_set(server, with_jitter(server->retry_ms));
	server->retry_ms =
		server->retry_ms * 2 < RETRY_MOST_MS ? server->retry_ms * 2 : RETRY_MOST_MS;
	while (count-- > 0) {
		struct sent sent = sent_take(server);

		sent_fail(server, &sent);
	}
}

static void lost_by(struct server *server, const char *error)
{
	char why[STORE_MESSAGE_MAX];
	struct text text = TEXT_IN(why);

	text_add(&text, "the server says: ");
	text_add_escaped(&text, error);
	lost(server, why);
}

/* ---- Sending ---- */

/* Written by the loop: all that is asked in one round of it in one piece. */
static void want_write(struct server *server, bool wants)
{
	server->is_writing = wants;
	(void)sd_event_source_set_io_events(
		server->io, wants ? EPOLLIN | EPOLLOUT : (uint32_t)EPOLLIN);
}

static void flush(struct server *server)
{
	int is_done;

	if (redisBufferWrite(server->redis, &is_done) != REDIS_OK)
		lost(server, server->redis->errstr);
	else if (is_done)
		want_write(server, false);
}

/* What does not fit is answered from memory. That goes to the log once, until the server has caught
 * up. */
static bool refuse(struct server *server)
{
	if (server->refused++ == 0)
		store_say(server->setup.store, "too many commands wait for the server: going on "
					       "from memory until it answers");
	return false;
}

bool server_send(struct server *server, const struct ask *ask, const char *format, ...)
{
	struct sent sent = { .ask = *ask, .until = deadline_in(STORE_ANSWERS_WITHIN) };
	va_list arguments;
	int result;

	/* At the start commands wait for the connection; later, while a lost server is looked for
	 * again, they do not. */
	if (server->state == SERVER_AWAY ||
		(server->state != SERVER_READY && store_is_away(server->setup.store)))
		return false;
	if (server->count == SENT_MAX)
		return refuse(server);
	va_start(arguments, format);
	result = redisvAppendCommand(server->redis, format, arguments);
	va_end(arguments);
	if (result != REDIS_OK)
		return refuse(server);
	sent_add(server, &sent);
	if (!server->is_writing)
		want_write(server, true);
	return true;
}

/* ---- Greeting ---- */

/* hiredis knows what it had no memory for, and flush() meets that. */
__attribute__((format(printf, 3, 4))) static void greet_with(
	struct server *server, bool ends_greeting, const char *format, ...)
{
	struct sent sent = { .is_greeting = true,
		.ends_greeting = ends_greeting,
		.until = deadline_in(STORE_ANSWERS_WITHIN) };
	va_list arguments;

	va_start(arguments, format);
	(void)redisvAppendCommand(server->redis, format, arguments);
	va_end(arguments);
	sent_add(server, &sent);
}

/* Ends with a command like ours: a server that lets us not write, or is full, counts as away. */
static void greet(struct server *server)
{
	static const char probe[] = "return redis.call('SET',KEYS[1],'','PX',10000)";
	const struct server_setup *setup = &server->setup;

	if (setup->password[0] != '\0')
		greet_with(server, false, "AUTH %s", setup->password);
	if (setup->database != 0)
		greet_with(server, false, "SELECT %u", setup->database);
	greet_with(server, true, "EVAL %s 1 %s", probe, setup->probe_key);
}

static void greeted(struct server *server, const struct sent *sent, const struct reply *reply)
{
	if (reply->type == REDIS_REPLY_ERROR) {
		lost_by(server, reply->text[0]);
		return;
	}
	if (reply->type != REDIS_REPLY_STATUS) {
		lost(server, "the server does not answer as Redis does");
		return;
	}
	if (!sent->ends_greeting)
		return;
	server->state = SERVER_READY;
	server->ready = deadline_now();
	server->retry_ms = RETRY_FIRST_MS;
	store_say_back(server->setup.store);
}

/* ---- Replies ---- */

static bool begins_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* An error of one command is its key's: somebody else's use of it. Any other would be the next
 * command's, too. */
static void refused(struct server *server, const struct sent *sent, const char *error)
{
	char message[STORE_MESSAGE_MAX];
	struct text text = TEXT_IN(message);

	if (!begins_with(error, "ERR ") && !begins_with(error, "WRONGTYPE ")) {
		lost_by(server, error);
	} else if (!server->is_told) {
		server->is_told = true;
		text_add_escaped(&text, error);
		store_say(server->setup.store, "the server refuses a command: %s", message);
	}
	sent_fail(server, sent);
}

static void replied(struct server *server, const struct reply *reply)
{
	struct sent sent = sent_take(server);

	if (server->count == 0)
		server->refused = 0;
	if (sent.is_greeting)
		greeted(server, &sent, reply);
	else if (reply->type == REDIS_REPLY_ERROR)
		refused(server, &sent, reply->text[0]);
	else
		server->answer(server->context, &sent.ask, reply);
}

/* Answers may ask more, and the connection may be lost meanwhile. */
static void read_replies(struct server *server)
{
	while (server->state != SERVER_AWAY) {
		redisReader *reader = server->redis->reader;
		bool is_fine;
		void *reply;

		is_fine = redisReaderGetReply(reader, &reply) == REDIS_OK;
		if (is_fine && reply == NULL && reader->len - reader->pos <= UNREAD_MAX)
			return;
		if (!is_fine || reply != &server->reply || server->count == 0) {
			lost(server, "the server does not answer as Redis does");
			return;
		}
		replied(server, &server->reply);
	}
}

/* ---- Connecting ---- */

static void connected(struct server *server)
{
	int error = fd_socket_option(server->redis->fd, SO_ERROR);

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
	if (redisBufferRead(server->redis) == REDIS_OK)
		read_replies(server);
	else if (server->redis->err == REDIS_ERR_EOF)
		closed(server);
	else
		lost(server, server->redis->errstr);
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

/* -1 with errno set. */
static int connection(const struct server_address *address)
{
	int fd = fd_socket(address->socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK), error;

	if (fd < 0 ||
		connect(fd, (const struct sockaddr *)&address->socket, address->length) == 0 ||
		errno == EINPROGRESS)
		return fd;
	error = errno;
	(void)close(fd);
	errno = error;
	return -1;
}

/* False: there is no memory. */
static bool take_connection(struct server *server, int fd)
{
	/* Or a command would wait for the acknowledgement of the one before; a Unix socket has no
	 * such thing. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	server->redis = redisConnectFd(fd);
	if (server->redis == NULL) {
		(void)close(fd);
		return false;
	}
	/* hiredis takes a socket that it is given for one that waits. */
	server->redis->flags &= ~REDIS_BLOCK;
	reply_read_into(server->redis->reader, &server->reply);
	server->is_writing = true;
	return sd_event_add_io(server->setup.loop, &server->io, fd, EPOLLIN | EPOLLOUT,
		       server_event, server) >= 0;
}

static void begin(struct server *server)
{
	int fd = connection(&server->setup.address);

	if (fd < 0) {
		lost(server, strerror(errno));
	} else if (!take_connection(server, fd)) {
		lost(server, "there is no memory");
	} else {
		server->state = SERVER_CONNECTING;
		greet(server);
	}
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
		struct span rest = deadline_rest(server->sent[server->first].until);

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
