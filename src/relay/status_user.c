/* SPDX-License-Identifier: ISC */
/*
 * In the relay: where a user's line goes. It is found out by what routes it when he has mail:
 * route_find(), route_walk(), relay_conf_never().
 */
#include "relay/status_answer.h"

#include <string.h>

#include "lib/text.h"
#include "relay/route.h"
#include "relay/status_json.h"

struct walk {
	struct relay *relay;
	json_t *list;
	bool is_whole;
};

/* ---- Whether something is told ---- */

static json_t *network_of(const struct prefix *network)
{
	char bytes[SOURCE_TEXT_MAX + 8], address[SOURCE_TEXT_MAX];
	struct text text = TEXT_IN(bytes);

	if (network->kind != PREFIX_ADDRESS)
		return json_string("any");
	text_add(&text, "%s/%u", source_text(&network->base, address), network->bits);
	return status_text(bytes);
}

static void set_told(json_t *object, const char *why)
{
	status_set(object, "told", json_boolean(why == NULL));
	status_set(object, "why_not", status_text(why));
}

/* Of an address that a login or a name has given. */
static void set_never(json_t *object, const struct relay_conf *conf, const struct source *address)
{
	static const char *const words[] = { [NEVER_NOT] = NULL,
		[NEVER_INTERFACE] = "interface",
		[NEVER_NETWORK] = "never",
		[NEVER_DEFAULT] = "never-default",
		[NEVER_OWN] = "own" };
	const struct prefix *network = NULL;
	enum never never = relay_conf_never_why(conf, address, &network);

	set_told(object, words[never]);
	if (network != NULL)
		status_set(object, "network", network_of(network));
}

/* ---- Names ---- */

static void set_addresses(json_t *object, struct walk *walk, const char *name)
{
	json_t *list = json_array();
	struct name_answer answer;

	if (!names_find(walk->relay->names, name, &answer)) {
		walk->is_whole = false;
		answer.wrong = "it is being looked up";
		answer.count = 0;
	}
	for (unsigned i = 0; i < answer.count; i++) {
		json_t *one = json_object();

		status_set(one, "address", status_address(&answer.address[i]));
		set_never(one, walk->relay->conf, &answer.address[i]);
		status_add(list, one);
	}
	status_set(object, "addresses", list);
	status_set(object, "reason", status_text(answer.count == 0 ? answer.wrong : NULL));
}

/* ---- Destinations ---- */

static void add_choice(void *context, const struct route_choice *choice)
{
	struct walk *walk = context;
	const struct relay_conf *conf = walk->relay->conf;
	const struct route_target *target = choice->target;
	json_t *object = json_object();

	status_set(object, "by", json_string(target->kind == ROUTE_LAST ? "last" : "target"));
	if (target->kind == ROUTE_NAME)
		status_set(object, "name", status_text(target->name));
	else
		status_set(object, "address", status_address(&choice->address));
	status_set_number(object, "port", target->port);
	status_set(object, "protocol", json_string(conf->protocol == RELAY_UDP ? "udp" : "tcp"));
	switch (choice->fate) {
	case ROUTE_NEVER: set_never(object, conf, &choice->address); break;
	case ROUTE_BEYOND: set_told(object, "beyond"); break;
	case ROUTE_SPARED: set_told(object, "spared"); break;
	default: set_told(object, NULL);
	}
	if (target->kind == ROUTE_NAME)
		set_addresses(object, walk, target->name);
	status_add(walk->list, object);
}

/* ---- Who says so ---- */

static json_t *said_of(const struct relay *relay, const struct route *route)
{
	json_t *object;

	if (!route->is_said)
		return json_null();
	object = json_object();
	status_set(object, "by", json_string(route->line != NULL ? "line" : "table"));
	if (route->line != NULL) {
		status_set(object, "file", status_text(route->line->place.file));
		status_set_number(object, "line", route->line->place.line);
		status_set(object, "pattern", status_text(route->line->pattern));
	} else {
		status_set(object, "table", status_text(relay->conf->table.text));
		status_set(object, "reason", status_text(route->wrong));
	}
	return object;
}

/* ---- Logins ---- */

static json_t *logins_of(const struct last_addresses *last)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < last->count + last->old; i++) {
		json_t *object = json_object();

		status_set(object, "address", status_address(&last->address[i]));
		status_set(object, "at", status_seconds(last->seconds[i]));
		status_set(object, "valid", json_boolean(i < last->count));
		status_add(list, object);
	}
	return list;
}

/* ---- What he is owed ---- */

static json_t *owed_of(const struct relay *relay, const char *user)
{
	json_t *object = json_object(), *list = json_array();
	struct addressee_look look;

	if (!owed_look_user(relay->owed, user, &look, status_add_target, list)) {
		json_decref(list);
		json_decref(object);
		return json_null();
	}
	status_set(object, "since", status_instant(look.noted));
	status_set(object, "ends", status_instant(look.ends));
	status_set(object, "routed", json_boolean(look.is_routed));
	status_set(object, "list", list);
	return object;
}

/* ---- All of it ---- */

json_t *status_answer_user(
	struct relay *relay, const char *user, const struct last_addresses *last, bool *is_whole)
{
	json_t *answer = json_object();
	struct walk walk = { .relay = relay, .list = json_array(), .is_whole = true };
	static struct route route;
	bool is_missing;

	route_find(relay->conf, relay->table, user, &route);
	is_missing = route_walk(relay->conf, &route, last, add_choice, &walk);
	status_set_number(answer, "format", STATUS_FORMAT);
	status_set(answer, "user", status_text(user));
	status_set_number(answer, "now", status_now());
	status_set(answer, "said", said_of(relay, &route));
	status_set(answer, "destinations", walk.list);
	status_set(answer, "incomplete", json_boolean(is_missing));
	status_set(answer, "logins", logins_of(last));
	status_set(answer, "remembered", json_boolean(last->is_remembered));
	status_set(answer, "owed", owed_of(relay, user));
	*is_whole = walk.is_whole;
	return answer;
}
