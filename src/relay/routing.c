/* SPDX-License-Identifier: ISC */
#include "relay/routing.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "relay/route.h"
#include "relay/telling.h"
#include "sender/proxied.h"

/* Routes at once, before the loop looks at anything else. */
#define AT_ONCE 1000

/* ---- Letters ---- */

static void refuse(struct relay *relay, const char *why)
{
	uint32_t suppressed;

	relay->refusals++;
	if (allowance_take(&relay->refused, instant_now(), &suppressed))
		log_relay(&relay->log, "refused", why, false);
}

static const char *event_of(struct event *event, bool *is_news, const struct letter *letter)
{
	*is_news = true;
	if (letter->is_cut)
		return "a datagram is too long";
	switch (letter->kind) {
	case INBOX_BIFF: return event_of_biff(event, letter->bytes, letter->length);
	case INBOX_CYRUS: return event_of_cyrus(event, is_news, letter->bytes, letter->length);
	default: return event_of_notice(event, letter->bytes, letter->length);
	}
}

/* When it came to the kernel, if that is before `came`. A clock that was set back since then says
 * nothing; one that was set forward makes a letter old, as in the inbox. */
static struct instant earlier(struct instant came, const struct proxied *proxied)
{
	struct instant now = instant_now();
	struct timespec wall;
	int64_t age;

	(void)clock_gettime(CLOCK_REALTIME, &wall); /* clock_gettime(2): fails for no such clock */
	age = ((int64_t)wall.tv_sec - proxied->seconds) * 1000 +
	      (wall.tv_nsec - (int64_t)proxied->nanoseconds) / 1000000;
	if (came.ms == 0 || age <= (int64_t)(now.ms - came.ms))
		return came;
	return (struct instant){ .ms = (uint64_t)age < now.ms ? now.ms - (uint64_t)age : 1 };
}

static bool is_caught_up(const struct letter *letter)
{
	static const char word[] = PROXIED_CAUGHT_UP;

	return letter->length == sizeof(word) - 1 &&
	       memcmp(letter->bytes, word, letter->length) == 0;
}

/* What the proxy has handed on becomes what it was handed; its own word stays what it is. It is the
 * relay's user's, who alone may write to that socket; here the kernel says that it is. NULL, or
 * what is wrong. */
static const char *unwrap(struct relay *relay, struct letter *letter)
{
	struct proxied proxied;

	if (!letter->has_sender || letter->uid != relay->user)
		return "somebody else than the proxy writes to its socket";
	if (is_caught_up(letter)) {
		relay->is_caught_up = true;
		return NULL;
	}
	if (!proxied_take(&proxied, &letter->bytes, &letter->length))
		return "it is no notice of the proxy's";
	letter->kind = INBOX_NOTICE;
	letter->uid = proxied.uid;
	letter->gid = proxied.gid;
	letter->came = earlier(letter->came, &proxied);
	return NULL;
}

/* Of biff's port nobody knows who speaks: what may be said there can be said by anybody. */
static bool may_say(struct relay *relay, const struct letter *letter, const struct event *event)
{
	if (letter->kind != INBOX_NOTICE)
		return letter->kind == INBOX_CYRUS || event->kind != EVENT_LOGIN;
	return letter->has_sender &&
	       relay_conf_may_say(relay->conf, letter->uid, letter->gid, event);
}

static void note_login(struct relay *relay, const struct letter *letter, const struct event *event)
{
	relay->logins++;
	/* When a login that a death left unread has come is not known: it may be older than what is
	 * owed. */
	if (letter->came.ms != 0)
		owed_login(relay->owed, event->user, &event->address, letter->came);
	if (!relay_conf_never(relay->conf, &event->address))
		store_login(relay->store, event->user, &event->address);
}

void routing_read(void *context, const struct letter *read)
{
	struct relay *relay = context;
	struct letter letter = *read;
	struct event event;
	bool is_news = true;
	const char *wrong = letter.kind == INBOX_PROXIED ? unwrap(relay, &letter) : NULL;

	if (wrong == NULL && letter.kind == INBOX_PROXIED)
		return;
	if (wrong == NULL)
		wrong = event_of(&event, &is_news, &letter);
	if (wrong == NULL && !is_news)
		return;
	if (wrong == NULL && !may_say(relay, &letter, &event))
		wrong = "a user who is not trusted speaks for others";
	if (wrong != NULL) {
		refuse(relay, wrong);
		return;
	}
	relay_conf_strip(relay->conf, event.user);
	if (event.kind == EVENT_LOGIN) {
		note_login(relay, &letter, &event);
		return;
	}
	relay->events++;
	if (owed_note(relay->owed, event.user, event.kind == EVENT_EARLY, instant_now()) == NULL)
		refuse(relay, "as many users are owed a line as `users` allows");
}

/* ---- Routes ---- */

struct lookup {
	struct relay *relay;
	char user[USER_NAME_MAX + 1];
};

struct routing {
	struct relay *relay;
	struct addressee *addressee;
};

static void add_target(void *context, const struct route_choice *choice)
{
	const struct routing *routing = context;
	const struct route_target *target = choice->target;
	struct destination destination = { .address = choice->address,
		.port = target->port,
		.is_udp = routing->relay->conf->protocol == RELAY_UDP };
	enum via via = target->kind != ROUTE_LAST ? VIA_CONFIGURED
		       : target->last == 1        ? VIA_LAST
						  : VIA_ONE_OF;

	if (choice->fate == ROUTE_TAKEN)
		owed_route_add(routing->relay->owed, routing->addressee, &destination,
			target->kind == ROUTE_NAME ? target->name : NULL, via);
}

static void route(struct relay *relay, struct addressee *addressee, const struct route *route,
	const struct last_addresses *last)
{
	struct routing routing = { .relay = relay, .addressee = addressee };

	owed_route_begin(relay->owed, addressee);
	if (route_walk(relay->conf, route, last, add_target, &routing))
		/* It stays owed: the store may know more when it is back. */
		relay->asks_again = true;
	else
		owed_route_end(relay->owed, addressee);
}

/* The store has answered: the configuration, and what is owed, may be others by now. */
static void looked_up(void *context, const struct last_addresses *last)
{
	struct lookup *lookup = context;
	struct relay *relay = lookup->relay;
	struct addressee *addressee = owed_find(relay->owed, lookup->user);
	static struct route found;

	if (addressee != NULL) {
		route_find(relay->conf, relay->table, lookup->user, &found);
		route(relay, addressee, &found, last);
		telling_wake(relay->telling);
	}
	free(lookup);
}

static void look_up(struct relay *relay, const char *user)
{
	struct lookup *lookup = malloc(sizeof(*lookup));

	if (lookup == NULL) {
		relay->asks_again = true;
		return;
	}
	lookup->relay = relay;
	memcpy(lookup->user, user, strlen(user) + 1);
	store_look_up(relay->store, user, looked_up, lookup);
}

static void route_one(struct relay *relay, struct addressee *addressee)
{
	static const struct last_addresses nothing;
	static struct route found;
	const char *user = addressee_name(addressee);

	route_find(relay->conf, relay->table, user, &found);
	if (found.wrong != NULL)
		refuse(relay, found.wrong);
	if (route_needs_last(&found))
		look_up(relay, user);
	else
		route(relay, addressee, &found, &nothing);
}

static int go_on(sd_event_source *source, void *context)
{
	struct relay *relay = context;

	(void)source;
	routing_go_on(relay);
	telling_go_on(relay->telling);
	return 0;
}

void routing_go_on(struct relay *relay)
{
	struct addressee *addressee = NULL;

	for (unsigned i = 0; i < AT_ONCE && (addressee = owed_unrouted(relay->owed)) != NULL; i++)
		route_one(relay, addressee);
	if (addressee == NULL)
		return;
	if (relay->routing == NULL)
		(void)sd_event_add_defer(relay->loop, &relay->routing, go_on, relay);
	else
		(void)sd_event_source_set_enabled(relay->routing, SD_EVENT_ONESHOT);
}

void routing_ask_again(struct relay *relay)
{
	if (!relay->asks_again)
		return;
	relay->asks_again = false;
	owed_reroute_lost(relay->owed);
	routing_go_on(relay);
	telling_go_on(relay->telling);
}
