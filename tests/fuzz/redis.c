/* SPDX-License-Identifier: ISC */
/*
 * Replies of a Redis server: whatever it sends, what hiredis and ours make of it stays within its
 * bounds, and is the same in whatever pieces it comes. Then through the store's whole end of the
 * connection: each question is answered once.
 *
 * Input: how the bytes are cut into pieces (a byte), then the bytes.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "relay/store_reply.h"

/* Its connection is ours. */
static int fuzz_connect(int fd, const struct sockaddr *address, socklen_t length);

#define connect fuzz_connect
#include "relay/store_server.c"
#undef connect

/* ---- Replies alone ---- */

/* False: there is no next one. */
static bool next(redisReader *reader, struct reply *reply)
{
	void *got;

	if (redisReaderGetReply(reader, &got) != REDIS_OK || got != reply)
		return false;
	must(reply->type == REDIS_REPLY_STATUS || reply->type == REDIS_REPLY_ERROR ||
		reply->type == REDIS_REPLY_INTEGER || reply->type == REDIS_REPLY_NIL ||
		(reply->type == REDIS_REPLY_ARRAY && reply->count <= REPLY_ITEMS_MAX));
	for (unsigned i = 0; i < REPLY_ITEMS_MAX; i++)
		must(memchr(reply->text[i], '\0', REPLY_TEXT_MAX) != NULL);
	return true;
}

static void must_be_same(const struct reply *a, const struct reply *b)
{
	must(a->type == b->type && a->integer == b->integer && a->count == b->count);
	must(memcmp(a->text, b->text, sizeof(a->text)) == 0);
}

static redisReader *reader_of(struct reply *reply)
{
	redisReader *reader = redisReaderCreate();

	must(reader != NULL);
	reply_read_into(reader, reply);
	return reader;
}

static void check_alone(const char *bytes, size_t length, size_t piece)
{
	struct reply whole, cut;
	redisReader *all = reader_of(&whole), *pieces = reader_of(&cut);

	(void)redisReaderFeed(all, bytes, length);
	for (size_t at = 0; at < length; at += piece) {
		(void)redisReaderFeed(pieces, bytes + at, length - at < piece ? length - at : piece);
		while (next(pieces, &cut)) {
			must(next(all, &whole));
			must_be_same(&whole, &cut);
		}
	}
	must(!next(all, &whole) && all->err == pieces->err);
	redisReaderFree(all);
	redisReaderFree(pieces);
}

/* ---- The connection ---- */

static int other_end;

static int fuzz_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	int pair[2];

	(void)address;
	(void)length;
	if (other_end >= 0) {
		errno = ECONNREFUSED;
		return -1;
	}
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	must(dup3(pair[0], fd, O_CLOEXEC) == fd);
	(void)close(pair[0]);
	other_end = pair[1];
	return 0;
}

struct count {
	unsigned looks, claims;
};

static void hear(void *context, const char *message)
{
	(void)context;
	for (; *message != '\0'; message++)
		must(*message >= ' ' && *message <= '~');
}

static void looked(void *context, const struct last_addresses *last)
{
	struct count *count = context;

	must(last->count <= STORE_ADDRESSES_MAX);
	for (unsigned i = 0; i < last->count; i++)
		must(last->address[i].kind == SOURCE_IPV4 || last->address[i].kind == SOURCE_IPV6);
	count->looks++;
}

static void claimed(void *context, struct span wait)
{
	struct count *count = context;

	must(wait.ms <= 60000);
	count->claims++;
}

static void ask(struct store *store, struct count *count)
{
	struct source address = { .kind = SOURCE_IPV4, .address = { 192, 0, 2, 1 } };
	struct destination destination = { .address = address, .port = 79 };

	store_login(store, "alice", &address);
	store_look_up(store, "alice", looked, count);
	store_claim(store, &destination, (struct span){ .ms = 1000 }, claimed, count);
	store_release(store, &destination, (struct span){ .ms = 0 });
	store_look_up(store, "bob", looked, count);
}

static void check_connection(const char *bytes, size_t length, size_t piece)
{
	struct count count = { .looks = 0 };
	const char *wrong;
	struct store *store;
	sd_event *loop;

	other_end = -1;
	must(sd_event_new(&loop) >= 0);
	store = store_open(
		"redis+unix:/nowhere", NULL, 1000, 100, loop, hear, NULL, &wrong);
	must(store != NULL && other_end >= 0);
	ask(store, &count);
	while (sd_event_run(loop, 0) > 0)
		;
	for (size_t at = 0; at < length; at += piece) {
		size_t rest = length - at < piece ? length - at : piece;

		if (send(other_end, bytes + at, rest, MSG_NOSIGNAL) < 0)
			break;
		while (sd_event_run(loop, 0) > 0)
			;
	}
	(void)close(other_end);
	while (sd_event_run(loop, 0) > 0)
		;
	must(count.looks == 2 && count.claims == 1);
	store_close(store);
	sd_event_unref(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	(void)signal(SIGPIPE, SIG_IGN);
	check_alone((const char *)data + 1, size - 1, (size_t)data[0] + 1);
	check_connection((const char *)data + 1, size - 1, (size_t)data[0] + 1);
	return 0;
}
