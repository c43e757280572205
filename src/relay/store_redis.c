/* SPDX-License-Identifier: ISC */
/*
 * In the relay's process: the stores redis://HOST and redis+unix:PATH, which several relays share.
 * Redis or Valkey:
 *
 * - nmnotify:user:USER, a sorted set: the last addresses by their time, as text. It expires when
 *   the user has not logged in for so long.
 * - nmnotify:to:PROTOCOL:ADDRESS:PORT, a text that says which relay may send there; it expires.
 *
 * Each command is one for the server, too, be it a small script: no relay can come in between, and
 * nothing is left half done.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/text.h"
#include "relay/store_backend.h"
#include "relay/store_server.h"

#define REDIS_PORT 6379

/* A claim is asked for again at least so often, whatever the server says. */
#define WAIT_MOST_MS 60000

#define USER_KEY     "nmnotify:user:%s"
#define TO_KEY       "nmnotify:to:%s:%s:%u"

struct redis {
	struct store *store;
	struct server *server;
	uint64_t last_for;
	char token[17]; /* says which relay we are */
	char probe_key[sizeof("nmnotify:relay:") + 16];
};

/* ---- Commands ---- */

static uint64_t milliseconds(void)
{
	return clock_milliseconds(CLOCK_REALTIME);
}

static uint64_t since(const struct redis *redis, uint64_t now)
{
	uint64_t last_for = redis->last_for * 1000;

	return now > last_for ? now - last_for : 0;
}

/* First: what is of the future was before this, by a clock that is another host's or was set back.
 * -9: all but the eight last. */
_Static_assert(STORE_ADDRESSES_MAX == 8, "the script's -9, the command's 8");

static bool redis_login(void *backend, const struct ask *ask, const char *user,
	const struct source *address, uint64_t seconds)
{
	static const char script[] = "for _,a in ipairs(redis.call('ZRANGEBYSCORE',"
				     "KEYS[1],ARGV[1],'+inf')) do "
				     "redis.call('ZADD',KEYS[1],ARGV[1]-1,a) end "
				     "redis.call('ZADD',KEYS[1],ARGV[1],ARGV[2])"
				     "redis.call('ZREMRANGEBYSCORE',KEYS[1],'-inf','('..ARGV[3])"
				     "redis.call('ZREMRANGEBYRANK',KEYS[1],0,-9)"
				     "return redis.call('EXPIRE',KEYS[1],ARGV[4])";
	const struct redis *redis = backend;
	uint64_t now = milliseconds();
	char member[SOURCE_TEXT_MAX];

	(void)seconds;
	return server_send(redis->server, ask,
		"EVAL %s 1 " USER_KEY " %" PRIu64 " %s %" PRIu64 " %" PRIu64, script, user, now,
		source_text(address, member), since(redis, now),
		redis->last_for > 0 ? redis->last_for : 1);
}

static bool redis_look_up(void *backend, const struct ask *ask, const char *user)
{
	const struct redis *redis = backend;

	return server_send(redis->server, ask,
		"ZREVRANGEBYSCORE " USER_KEY " +inf %" PRIu64 " LIMIT 0 8", user,
		since(redis, milliseconds()));
}

static const char *protocol_of(const struct destination *destination)
{
	return destination->is_udp ? "udp" : "tcp";
}

/* How long it is another's; 0: it is ours now. PTTL says 0 in the last part of a millisecond. */
static bool redis_claim(void *backend, const struct ask *ask, const struct destination *destination)
{
	static const char script[] =
		"if redis.call('SET',KEYS[1],ARGV[1],'NX','PX',ARGV[2]) then return 0 end "
		"local left=redis.call('PTTL',KEYS[1]) if left==0 then left=1 end return left";
	const struct redis *redis = backend;
	char address[SOURCE_TEXT_MAX];

	return server_send(redis->server, ask, "EVAL %s 1 " TO_KEY " %s %u", script,
		protocol_of(destination), source_text(&destination->address, address),
		destination->port, redis->token, ask->lasts.ms > 0 ? ask->lasts.ms : 1);
}

/* PEXPIRE with 0 deletes. */
static bool redis_release(void *backend, const struct ask *ask,
	const struct destination *destination, struct span left)
{
	static const char script[] = "if redis.call('GET',KEYS[1])~=ARGV[1] then return 0 end "
				     "return redis.call('PEXPIRE',KEYS[1],ARGV[2])";
	const struct redis *redis = backend;
	char address[SOURCE_TEXT_MAX];

	return server_send(redis->server, ask, "EVAL %s 1 " TO_KEY " %s %u", script,
		protocol_of(destination), source_text(&destination->address, address),
		destination->port, redis->token, left.ms);
}

/* ---- Answers ---- */

static void look_up_answered(struct redis *redis, const struct ask *ask, const struct reply *reply)
{
	struct last_addresses last = { .count = 0 };

	if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
		store_settle_look_up(redis->store, ask, NULL);
		return;
	}
	/* What is no address is somebody else's, or of an interface that only another host has. */
	for (unsigned i = 0; i < reply->count; i++)
		if (source_parse(reply->text[i], &last.address[last.count]))
			last.count++;
	store_settle_look_up(redis->store, ask, &last);
}

static void claim_answered(struct redis *redis, const struct ask *ask, const struct reply *reply)
{
	struct span wait = { .ms = 0 };

	if (reply == NULL || reply->type != REDIS_REPLY_INTEGER) {
		store_settle_claim(redis->store, ask, NULL);
		return;
	}
	/* Less than 0: it does not expire, which is not our doing. */
	if (reply->integer < 0 || reply->integer > WAIT_MOST_MS)
		wait.ms = WAIT_MOST_MS;
	else
		wait.ms = (uint32_t)reply->integer;
	store_settle_claim(redis->store, ask, &wait);
}

static void redis_answer(void *context, const struct ask *ask, const struct reply *reply)
{
	if (ask->kind == ASK_LOOK_UP)
		look_up_answered(context, ask, reply);
	else if (ask->kind == ASK_CLAIM)
		claim_answered(context, ask, reply);
}

/* ---- The text of a store ---- */

static bool address_tcp(const char *host, uint16_t port, struct server_address *address)
{
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct source source;

	if (!source_parse(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &source))
		return false;
	if (source.kind == SOURCE_IPV4) {
		memcpy(&ipv4.sin_addr, source.address, 4);
		memcpy(&address->socket, &ipv4, sizeof(ipv4));
		address->length = sizeof(ipv4);
		return true;
	}
	memcpy(&ipv6.sin6_addr, source.address, 16);
	ipv6.sin6_scope_id = source.scope;
	memcpy(&address->socket, &ipv6, sizeof(ipv6));
	address->length = sizeof(ipv6);
	return true;
}

/* [:PORT][/DATABASE] */
static bool take_rest(const char *at, uint64_t *port, uint64_t *database)
{
	if (*at == ':') {
		at++;
		if (!number_take(&at, UINT16_MAX, port) || *port == 0)
			return false;
	}
	if (*at == '/' && at[1] != '\0') {
		at++;
		return number_parse(at, 1000000, database);
	}
	return *at == '\0' || strcmp(at, "/") == 0;
}

static const char *tcp_parse(const char *text, struct server_setup *setup)
{
	char host[SOURCE_TEXT_MAX];
	bool has_brackets = *text == '[';
	size_t length = strcspn(text += has_brackets, has_brackets ? "]" : ":/");
	uint64_t port = REDIS_PORT, database = 0;
	const char *rest = text + length;

	if (length >= sizeof(host) || (has_brackets && *rest++ != ']') ||
		!take_rest(rest, &port, &database))
		return "it is redis://HOST[:PORT][/DATABASE], an IPv6 address in brackets";
	memcpy(host, text, length);
	host[length] = '\0';
	setup->database = (unsigned)database;
	return address_tcp(host, (uint16_t)port, &setup->address)
		       ? NULL
		       : "HOST is an address or localhost; any other name would have to be "
			 "looked up, and mail would wait for that";
}

static const char *unix_parse(const char *path, struct server_setup *setup)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(path);

	if (path[0] != '/' || length >= sizeof(address.sun_path))
		return "needs the absolute path of a socket, of 107 characters at most";
	memcpy(address.sun_path, path, length + 1);
	memcpy(&setup->address.socket, &address, sizeof(address));
	setup->address.length = sizeof(address);
	return NULL;
}

static const char *tcp_check(const char *place)
{
	struct server_setup server = { .database = 0 };

	return tcp_parse(place, &server);
}

static const char *unix_check(const char *place)
{
	struct server_setup server = { .database = 0 };

	return unix_parse(place, &server);
}

/* ---- Opening and closing ---- */

static const char *password_take(int fd, char password[SERVER_PASSWORD_MAX])
{
	struct stat st;
	ssize_t length;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return "the password file is no file";
	if ((st.st_mode & S_IRWXO) != 0)
		return "the password file can be read by everybody: chmod o= it";
	length = read(fd, password, SERVER_PASSWORD_MAX - 1);
	if (length < 0)
		return "the password file cannot be read";
	password[length] = '\0';
	password[strcspn(password, "\r\n")] = '\0';
	return password[0] != '\0' ? NULL : "the password file begins with an empty line";
}

static const char *password_read(const char *file, char password[SERVER_PASSWORD_MAX])
{
	const char *wrong;
	int fd;

	if (file == NULL)
		return NULL;
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return "the password file cannot be opened";
	wrong = password_take(fd, password);
	(void)close(fd);
	return wrong;
}

static void redis_close(void *backend)
{
	struct redis *redis = backend;

	if (redis->server != NULL)
		server_close(redis->server);
	free(redis);
}

static void *redis_open(
	const struct backend_setup *setup, struct server_setup *server, const char **wrong)
{
	struct redis *redis;

	if (*wrong == NULL)
		*wrong = password_read(setup->password_file, server->password);
	if (*wrong != NULL)
		return NULL;
	*wrong = "there is no memory for the store";
	redis = calloc(1, sizeof(*redis));
	if (redis == NULL)
		return NULL;
	redis->store = setup->store;
	redis->last_for = setup->last_for;
	(void)snprintf(redis->token, sizeof(redis->token), "%016" PRIx64, setup->token);
	(void)snprintf(
		redis->probe_key, sizeof(redis->probe_key), "nmnotify:relay:%s", redis->token);
	server->probe_key = redis->probe_key;
	server->store = setup->store;
	server->loop = setup->loop;
	redis->server = server_open(server, redis_answer, redis);
	explicit_bzero(server->password, sizeof(server->password));
	if (redis->server != NULL)
		return redis;
	redis_close(redis);
	return NULL;
}

static void *redis_open_tcp(const struct backend_setup *setup, const char **wrong)
{
	struct server_setup server = { .database = 0 };

	*wrong = tcp_parse(setup->place, &server);
	return redis_open(setup, &server, wrong);
}

static void *redis_open_unix(const struct backend_setup *setup, const char **wrong)
{
	struct server_setup server = { .database = 0 };

	*wrong = unix_parse(setup->place, &server);
	return redis_open(setup, &server, wrong);
}

const struct backend_kind store_redis_tcp = {
	.prefix = "redis://",
	.is_shared = true,
	.check = tcp_check,
	.open = redis_open_tcp,
	.close = redis_close,
	.login = redis_login,
	.look_up = redis_look_up,
	.claim = redis_claim,
	.release = redis_release,
};

const struct backend_kind store_redis_unix = {
	.prefix = "redis+unix:",
	.is_shared = true,
	.check = unix_check,
	.open = redis_open_unix,
	.close = redis_close,
	.login = redis_login,
	.look_up = redis_look_up,
	.claim = redis_claim,
	.release = redis_release,
};
