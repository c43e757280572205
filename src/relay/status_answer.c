/* SPDX-License-Identifier: ISC */
/* In the relay. Names of users, and reasons, may be strangers' bytes. */
#include "relay/status_answer.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/text.h"

/* Of the contract that nmnotify-relay(8) writes down: another one if a member that is there goes,
 * or gets another meaning. */
#define FORMAT   1

#define LIST_MAX 100

/* Each byte of a text can become four. */
#define ESCAPED_MAX 4096

/* ---- Values ---- */

json_t *status_text(const char *text)
{
	char bytes[ESCAPED_MAX];
	struct text escaped = TEXT_IN(bytes);
	json_t *value;

	if (text == NULL)
		return json_null();
	value = json_string(text); /* NULL: it is not UTF-8 */
	if (value != NULL)
		return value;
	text_add_escaped(&escaped, text);
	return json_string(bytes);
}

static void set(json_t *object, const char *member, json_t *value)
{
	(void)json_object_set_new(object, member, value); /* without memory it is not there */
}

static void set_number(json_t *object, const char *member, uint64_t number)
{
	set(object, member, json_integer((json_int_t)number));
}

static uint64_t seconds_now(void)
{
	return clock_milliseconds(CLOCK_REALTIME) / 1000;
}

/* When that was, in seconds of CLOCK_REALTIME, as it is set now. */
static json_t *seconds_of(struct instant at)
{
	uint64_t now = instant_now().ms, ago = at.ms < now ? (now - at.ms) / 1000 : 0,
		 seconds = seconds_now();

	return json_integer((json_int_t)(seconds > ago ? seconds - ago : 0));
}

/* 0: never. */
static json_t *seconds_or_null(uint64_t seconds)
{
	return seconds == 0 ? json_null() : json_integer((json_int_t)seconds);
}

static json_t *milliseconds_until(struct instant at)
{
	uint64_t now = instant_now().ms;

	if (at.ms == INSTANT_NEVER.ms)
		return json_null();
	return json_integer((json_int_t)(at.ms > now ? at.ms - now : 0));
}

/* ---- Numbers ---- */

static json_t *counts_of(const struct relay *relay)
{
	const struct owed_counts *counts = owed_counts(relay->owed);
	json_t *object = json_object();

	set_number(object, "events", relay->events);
	set_number(object, "logins", relay->logins);
	set_number(object, "told", counts->done);
	set_number(object, "failed", counts->failed);
	set_number(object, "given_up", counts->expired);
	set_number(object, "refused", relay->refusals);
	set_number(object, "lost", relay->lost);
	return object;
}

static json_t *owed_of(const struct relay *relay)
{
	json_t *object = json_object();

	set_number(object, "users", owed_users(relay->owed));
	set_number(object, "destinations", owed_targets(relay->owed));
	return object;
}

/* ---- Destinations that failed ---- */

static void add_failing(void *list, const struct target_look *look)
{
	json_t *object = json_object();
	char address[SOURCE_TEXT_MAX];

	if (look->name != NULL)
		set(object, "name", status_text(look->name));
	else
		set(object, "address",
			status_text(source_text(&look->destination->address, address)));
	set_number(object, "port", look->destination->port);
	set(object, "protocol", json_string(look->destination->is_udp ? "udp" : "tcp"));
	set(object, "since", seconds_of(look->since));
	set_number(object, "failures", look->failures);
	set(object, "busy", json_boolean(look->is_busy));
	set(object, "next_ms", milliseconds_until(look->next));
	set(object, "reason", status_text(look->reason));
	(void)json_array_append_new(list, object); /* without memory it is not there */
}

static json_t *unreachable_of(const struct relay *relay)
{
	json_t *object = json_object(), *list = json_array();
	uint32_t total = owed_look_failing(relay->owed, LIST_MAX, add_failing, list);

	set_number(object, "total", total);
	set_number(object, "more", total - json_array_size(list));
	set(object, "list", list);
	return object;
}

/* ---- Parts ---- */

static json_t *stores_of(const struct relay *relay)
{
	struct store_look look = store_look_at(relay->store);
	json_t *list = json_array(), *object = json_object();
	char bytes[32];
	struct text kind = TEXT_IN(bytes);

	text_add(&kind, "%s", look.kind);
	if (strchr(bytes, ':') != NULL)
		*strchr(bytes, ':') = '\0';
	set(object, "name", status_text(look.name));
	set(object, "kind", json_string(bytes));
	set(object, "away", json_boolean(look.is_away));
	set_number(object, "since", look.since);
	set(object, "reason", status_text(look.why));
	(void)json_array_append_new(list, object);
	return list;
}

static json_t *names_of(const struct relay *relay)
{
	struct names_look look = names_look_at(relay->names);
	json_t *object = json_object();

	set_number(object, "known", look.known);
	set_number(object, "asked", look.asked);
	set(object, "process", json_boolean(look.has_process));
	return object;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
	struct sockaddr_in ipv4; /* in IPv6's the port is at the same place */

	memcpy(&ipv4, address, sizeof(ipv4));
	return ntohs(ipv4.sin_port);
}

/* Where a socket is: a path, or address and port. */
static json_t *place_of(int fd)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t size = sizeof(address);
	const struct sockaddr_un *local = (const void *)&address;
	char bytes[sizeof(local->sun_path) + SOURCE_TEXT_MAX], host[SOURCE_TEXT_MAX];
	struct text text = TEXT_IN(bytes);
	struct source source;

	if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
		return json_null();
	if (address.ss_family == AF_UNIX) {
		memcpy(bytes, local->sun_path, sizeof(local->sun_path));
		bytes[sizeof(local->sun_path)] = '\0';
		return status_text(bytes);
	}
	source = source_of_sockaddr(&address);
	text_add(&text, source.kind == SOURCE_IPV6 ? "[%s]:%u" : "%s:%u",
		source_text(&source, host), port_of(&address));
	return status_text(bytes);
}

static void add_socket(json_t *list, const char *kind, int fd)
{
	json_t *object = json_object();

	set(object, "kind", json_string(kind));
	set(object, "place", place_of(fd));
	(void)json_array_append_new(list, object);
}

static json_t *sockets_of(const struct relay *relay)
{
	static const char *const kinds[INBOX_KINDS] = {
		[INBOX_NOTICE] = "event", [INBOX_BIFF] = "biff", [INBOX_CYRUS] = "cyrus"
	};
	json_t *list = json_array();

	for (int i = 0; i < relay->sockets.count; i++) {
		const struct socket *socket = &relay->sockets.socket[i];
		json_t *object;

		add_socket(list, kinds[socket->kind], socket->fd);
		object = json_array_get(list, (size_t)i);
		set(object, "deaf", json_boolean(socket->is_deaf));
		set_number(object, "lost", socket->lost);
	}
	add_socket(list, "status", relay->sockets.status);
	return list;
}

static json_t *configuration_of(const struct relay *relay)
{
	const struct history *history = &relay->history;
	json_t *object = json_object();

	set(object, "file", status_text(relay->file));
	set(object, "read", seconds_or_null(history->conf_read));
	set(object, "refused", seconds_or_null(history->conf_refused));
	set(object, "reason", status_text(history->conf_refused != 0 ? history->mistake : NULL));
	return object;
}

/* ---- All of it ---- */

json_t *status_answer(const struct relay *relay)
{
	json_t *answer = json_object();

	set_number(answer, "format", FORMAT);
	set(answer, "version", json_string(VERSION));
	set_number(answer, "since", relay->history.began);
	set_number(answer, "now", seconds_now());
	set(answer, "owed", owed_of(relay));
	set_number(answer, "connections", owed_busy(relay->owed));
	set_number(answer, "most", relay->conf->most);
	set(answer, "counts", counts_of(relay));
	set(answer, "unreachable", unreachable_of(relay));
	set(answer, "stores", stores_of(relay));
	set(answer, "names", names_of(relay));
	set(answer, "sockets", sockets_of(relay));
	set(answer, "configuration", configuration_of(relay));
	return answer;
}

json_t *status_answer_wrong(const char *why)
{
	json_t *answer = json_object();

	set(answer, "error", status_text(why));
	return answer;
}

char *status_write(const json_t *answer, size_t *length)
{
	const size_t flags = JSON_COMPACT | JSON_ENSURE_ASCII;
	size_t size = answer == NULL ? 0 : json_dumpb(answer, NULL, 0, flags);
	char *bytes = size == 0 ? NULL : malloc(size + 1);

	if (bytes == NULL)
		return NULL;
	(void)json_dumpb(answer, bytes, size, flags); /* as before: nothing has changed */
	bytes[size] = '\n';
	*length = size + 1;
	return bytes;
}
