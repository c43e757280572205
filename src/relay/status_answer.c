/* SPDX-License-Identifier: ISC */
/* In the relay. Names of users, and reasons, may be strangers' bytes. */
#include "relay/status_answer.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/text.h"
#include "relay/status_json.h"

/* ---- Numbers ---- */

static json_t *counts_of(const struct relay *relay)
{
	const struct owed_counts *counts = owed_counts(relay->owed);
	json_t *object = json_object();

	status_set_number(object, "events", relay->events);
	status_set_number(object, "logins", relay->logins);
	status_set_number(object, "told", counts->done);
	status_set_number(object, "failed", counts->failed);
	status_set_number(object, "given_up", counts->expired);
	status_set_number(object, "refused", relay->refusals);
	status_set_number(object, "lost", relay->lost);
	return object;
}

static json_t *owed_of(const struct relay *relay)
{
	json_t *object = json_object();

	status_set_number(object, "users", owed_users(relay->owed));
	status_set_number(object, "destinations", owed_targets(relay->owed));
	return object;
}

/* ---- Destinations that failed ---- */

static json_t *unreachable_of(const struct relay *relay)
{
	json_t *object = json_object(), *list = json_array();
	uint32_t total = owed_look_failing(relay->owed, STATUS_LIST_MAX, status_add_target, list);

	status_set_number(object, "total", total);
	status_set_number(object, "more", total - json_array_size(list));
	status_set(object, "list", list);
	return object;
}

/* ---- Parts ---- */

static json_t *stores_of(const struct relay *relay)
{
	uint64_t users = 0;
	bool is_counted = store_count(relay->store, &users);
	struct store_look look = store_look_at(relay->store);
	json_t *list = json_array(), *object = json_object();
	char bytes[32];
	struct text kind = TEXT_IN(bytes);

	text_add(&kind, "%s", look.kind);
	if (strchr(bytes, ':') != NULL)
		*strchr(bytes, ':') = '\0';
	status_set(object, "name", status_text(look.name));
	status_set(object, "kind", json_string(bytes));
	status_set(object, "away", json_boolean(look.is_away));
	status_set_number(object, "since", look.since);
	status_set(object, "reason", status_text(look.why));
	status_set(object, "users", is_counted ? json_integer((json_int_t)users) : json_null());
	status_add(list, object);
	return list;
}

static json_t *names_of(const struct relay *relay)
{
	struct names_look look = names_look_at(relay->names);
	json_t *object = json_object();

	status_set_number(object, "known", look.known);
	status_set_number(object, "asked", look.asked);
	status_set(object, "process", json_boolean(look.has_process));
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

	status_set(object, "kind", json_string(kind));
	status_set(object, "place", place_of(fd));
	status_add(list, object);
}

static json_t *sockets_of(const struct relay *relay)
{
	static const char *const kinds[INBOX_KINDS] = { [INBOX_NOTICE] = "event",
		[INBOX_PROXIED] = "event",
		[INBOX_BIFF] = "biff",
		[INBOX_CYRUS] = "cyrus" };
	json_t *list = json_array();

	for (int i = 0; i < relay->sockets.count; i++) {
		const struct socket *socket = &relay->sockets.socket[i];
		json_t *object;

		add_socket(list, kinds[socket->kind], socket->fd);
		object = json_array_get(list, (size_t)i);
		status_set(object, "deaf", json_boolean(socket->is_deaf));
		status_set_number(object, "lost", socket->lost);
	}
	add_socket(list, "status", relay->sockets.status);
	return list;
}

static json_t *configuration_of(const struct relay *relay)
{
	const struct history *history = &relay->history;
	json_t *object = json_object();

	status_set(object, "file", status_text(relay->file));
	status_set(object, "read", status_seconds(history->conf_read));
	status_set(object, "refused", status_seconds(history->conf_refused));
	status_set(object, "reason",
		status_text(history->conf_refused != 0 ? history->mistake : NULL));
	return object;
}

/* ---- All of it ---- */

json_t *status_answer(const struct relay *relay)
{
	json_t *answer = json_object();

	status_set_number(answer, "format", STATUS_FORMAT);
	status_set(answer, "version", json_string(VERSION));
	status_set_number(answer, "since", relay->history.began);
	status_set_number(answer, "now", status_now());
	status_set(answer, "owed", owed_of(relay));
	status_set_number(answer, "connections", owed_busy(relay->owed));
	status_set_number(answer, "most", relay->conf->most);
	status_set(answer, "counts", counts_of(relay));
	status_set(answer, "unreachable", unreachable_of(relay));
	status_set(answer, "stores", stores_of(relay));
	status_set(answer, "names", names_of(relay));
	status_set(answer, "sockets", sockets_of(relay));
	status_set(answer, "configuration", configuration_of(relay));
	return answer;
}
