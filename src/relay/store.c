/* SPDX-License-Identifier: ISC */
/*
 * In the relay's process: the store that is configured, and the memory that stands in for it while
 * it is away.
 */
#include "relay/store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/text.h"
#include "relay/store_backend.h"

/* 40 and 4 MiB if all are used: what one host hears of in the hours that a store may be away. */
#define USERS_REMEMBERED  (UINT32_C(1) << 17)
#define CLAIMS_REMEMBERED (UINT32_C(1) << 16)

struct claim {
	struct deadline over;
};

struct store {
	const struct backend_kind *kind;
	void *backend;
	uint64_t last_for;
	struct memory_secret secret;
	struct memory *users;  /* of struct dated_addresses */
	struct memory *claims; /* of struct claim */
	bool is_away;
	char *name;
	uint64_t since;              /* that it is away, or is not */
	char why[STORE_MESSAGE_MAX]; /* it was away the last time; "": it never was */
	store_logger *logger;
	void *context;
};

/* ---- Addresses with their times ---- */

static bool is_same(const struct source *a, const struct source *b)
{
	return a->kind == b->kind && a->scope == b->scope &&
	       memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static void dated_remove(struct dated_addresses *dated, unsigned at)
{
	dated->count--;
	memmove(&dated->entry[at], &dated->entry[at + 1],
		(dated->count - at) * sizeof(dated->entry[0]));
}

bool dated_set_back(struct dated_addresses *dated, uint64_t now)
{
	unsigned count = 0;

	/* They are the first. */
	while (count < dated->count && dated->entry[count].seconds > now)
		dated->entry[count++].seconds = now;
	return count > 0;
}

void dated_add(struct dated_addresses *dated, uint64_t seconds, const struct source *address)
{
	uint64_t now = store_seconds();
	unsigned at = 0;

	(void)dated_set_back(dated, now);
	if (seconds > now)
		seconds = now;
	for (unsigned i = 0; i < dated->count; i++)
		if (is_same(&dated->entry[i].address, address)) {
			if (dated->entry[i].seconds > seconds)
				return;
			dated_remove(dated, i);
			break;
		}
	while (at < dated->count && dated->entry[at].seconds > seconds)
		at++;
	if (at == STORE_ADDRESSES_MAX)
		return;
	if (dated->count == STORE_ADDRESSES_MAX)
		dated->count--;
	memmove(&dated->entry[at + 1], &dated->entry[at],
		(dated->count - at) * sizeof(dated->entry[0]));
	dated->entry[at] = (struct dated_address){ .seconds = seconds, .address = *address };
	dated->count++;
}

struct last_addresses dated_since(const struct dated_addresses *dated, uint64_t since)
{
	struct last_addresses last = { .count = 0 };

	for (unsigned i = 0; i < dated->count; i++) {
		last.address[i] = dated->entry[i].address;
		last.seconds[i] = dated->entry[i].seconds;
		/* The newest are first. */
		if (dated->entry[i].seconds >= since)
			last.count++;
		else
			last.old++;
	}
	return last;
}

uint64_t store_seconds(void)
{
	return clock_milliseconds(CLOCK_REALTIME) / 1000;
}

/* ---- What is said ---- */

void store_say(struct store *store, const char *format, ...)
{
	char message[STORE_MESSAGE_MAX];
	struct text text = TEXT_IN(message);
	va_list arguments;

	text_add(&text, "store: ");
	va_start(arguments, format);
	text_add_list(&text, format, arguments);
	va_end(arguments);
	store->logger(store->context, message);
}

void store_say_away(struct store *store, const char *why)
{
	struct text text = TEXT_IN(store->why);

	if (store->is_away)
		return;
	store->is_away = true;
	store->since = store_seconds();
	text_add(&text, "%s", why);
	store_say(store, "away, going on from memory: %s", why);
}

void store_say_back(struct store *store)
{
	if (!store->is_away)
		return;
	store->is_away = false;
	store->since = store_seconds();
	store_say(store, "back");
}

bool store_is_away(const struct store *store)
{
	return store->is_away;
}

struct store_look store_look_at(const struct store *store)
{
	return (struct store_look){ .name = store->name,
		.kind = store->kind->prefix,
		.is_away = store->is_away,
		.since = store->since,
		.why = store->why[0] == '\0' ? NULL : store->why };
}

bool store_count(const struct store *store, uint64_t *users)
{
	return store->kind->count != NULL && store->kind->count(store->backend, users);
}

/* ---- Opening ---- */

/* NULL: `text` begins as no store does. *place: what is behind that. */
static const struct backend_kind *kind_of(const char *text, const char **place)
{
	static const struct backend_kind *const kinds[] = { &store_lmdb, &store_redis_tcp,
		&store_redis_unix };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t length = strlen(kinds[i]->prefix);

		if (strncmp(text, kinds[i]->prefix, length) == 0) {
			*place = text + length;
			return kinds[i];
		}
	}
	return NULL;
}

const char *store_text_wrong(const char *text)
{
	const char *place;
	const struct backend_kind *kind = kind_of(text, &place);

	if (kind == NULL)
		return "it is no store: write lmdb:/DIRECTORY, redis://HOST or redis+unix:/SOCKET";
	return kind->check(place);
}

static bool remember(struct store *store, uint64_t users_most)
{
	uint32_t most = users_most < USERS_REMEMBERED ? (uint32_t)users_most : USERS_REMEMBERED;

	store->users = memory_open(most > 0 ? most : 1, sizeof(struct dated_addresses));
	store->claims = memory_open(CLAIMS_REMEMBERED, sizeof(struct claim));
	return store->users != NULL && store->claims != NULL;
}

void store_close(struct store *store)
{
	if (store->backend != NULL)
		store->kind->close(store->backend);
	if (store->users != NULL)
		memory_close(store->users);
	if (store->claims != NULL)
		memory_close(store->claims);
	free(store->name);
	free(store);
}

struct store *store_open(const char *text, const char *password_file, uint64_t last_for,
	uint64_t users_most, sd_event *loop, store_logger *logger, void *context,
	const char **wrong)
{
	struct backend_setup setup = { .password_file = password_file,
		.last_for = last_for,
		.users_most = users_most,
		.loop = loop };
	const struct backend_kind *kind = kind_of(text, &setup.place);
	struct store *store;

	*wrong = store_text_wrong(text);
	if (kind == NULL || *wrong != NULL)
		return NULL;
	*wrong = "there is no memory for the store";
	store = calloc(1, sizeof(*store));
	if (store == NULL)
		return NULL;
	*store = (struct store){ .kind = kind,
		.last_for = last_for,
		.name = strdup(text),
		.since = store_seconds(),
		.logger = logger,
		.context = context };
	setup.store = store;
	if (store->name != NULL &&
		getrandom(&store->secret, sizeof(store->secret), 0) ==
			(ssize_t)sizeof(store->secret) &&
		getrandom(&setup.token, sizeof(setup.token), 0) == (ssize_t)sizeof(setup.token) &&
		remember(store, users_most))
		store->backend = kind->open(&setup, wrong);
	if (store->backend != NULL)
		return store;
	store_close(store);
	return NULL;
}

bool store_is_shared(const struct store *store)
{
	return store->kind->is_shared;
}

/* ---- Users ---- */

/* Is it one of relay/event.h's? */
static bool is_user(const char *user)
{
	size_t length = strnlen(user, USER_NAME_MAX + 1);

	return length > 0 && length <= USER_NAME_MAX;
}

static struct memory_key key_of_user(const struct store *store, const char *user)
{
	return memory_key_of(&store->secret, user, strlen(user));
}

void store_remember(
	struct store *store, const char *user, const struct source *address, uint64_t seconds)
{
	dated_add(memory_make(store->users, key_of_user(store, user)), seconds, address);
}

void store_login(struct store *store, const char *user, const struct source *address)
{
	struct ask ask = { .kind = ASK_LOGIN };
	uint64_t seconds = store_seconds();

	if (!is_user(user) || (address->kind != SOURCE_IPV4 && address->kind != SOURCE_IPV6))
		return;
	/* The other end of a network may go away before it has this. */
	if (!store->kind->login(store->backend, &ask, user, address, seconds) ||
		store->kind->is_shared || store->is_away)
		store_remember(store, user, address, seconds);
}

static struct last_addresses remembered(struct store *store, struct memory_key key)
{
	const struct dated_addresses *dated = memory_find(store->users, key);
	struct last_addresses last = { .count = 0 };
	uint64_t now = store_seconds();

	if (dated != NULL)
		last = dated_since(dated, now > store->last_for ? now - store->last_for : 0);
	last.is_remembered = true;
	return last;
}

void store_settle_look_up(
	struct store *store, const struct ask *ask, const struct last_addresses *last)
{
	struct last_addresses known = { .count = 0 };

	/* One that is away, and answers nevertheless, does not know the newest. */
	if (last == NULL || store->is_away)
		known = remembered(store, ask->key);
	if (last != NULL && known.count == 0)
		known = *last;
	ask->then.answer(ask->context, &known);
}

void store_look_up(struct store *store, const char *user, store_answer *answer, void *context)
{
	struct ask ask = { .kind = ASK_LOOK_UP,
		.key = key_of_user(store, user),
		.then.answer = answer,
		.context = context };

	if (!is_user(user) || !store->kind->look_up(store->backend, &ask, user))
		store_settle_look_up(store, &ask, NULL);
}

/* ---- Destinations ---- */

static struct memory_key key_of_destination(
	const struct store *store, const struct destination *destination)
{
	/* Byte by byte: what is between the members of a struct is not set. */
	uint8_t bytes[24] = { (uint8_t)destination->address.kind, destination->is_udp };

	memcpy(bytes + 2, &destination->port, 2);
	memcpy(bytes + 4, &destination->address.scope, 4);
	memcpy(bytes + 8, destination->address.address, 16);
	return memory_key_of(&store->secret, bytes, sizeof(bytes));
}

/* Of this host alone. */
static struct span claim_remember(struct store *store, const struct ask *ask)
{
	struct claim *claim = memory_make(store->claims, ask->key);
	struct span wait = deadline_rest(claim->over);

	if (wait.ms == 0)
		claim->over = deadline_in(ask->lasts);
	return wait;
}

void store_settle_claim(struct store *store, const struct ask *ask, const struct span *wait)
{
	struct span known;

	if (wait == NULL)
		known = claim_remember(store, ask);
	else
		known = *wait;
	/* For when the store is away before this is over. */
	if (wait != NULL && known.ms == 0) {
		struct claim *claim = memory_make(store->claims, ask->key);

		claim->over = deadline_in(ask->lasts);
	}
	ask->then.claimed(ask->context, known);
}

void store_claim(struct store *store, const struct destination *destination, struct span lasts,
	store_claimed *claimed, void *context)
{
	struct ask ask = { .kind = ASK_CLAIM,
		.key = key_of_destination(store, destination),
		.lasts = lasts,
		.then.claimed = claimed,
		.context = context };

	if (store->kind->claim == NULL || !store->kind->claim(store->backend, &ask, destination))
		store_settle_claim(store, &ask, NULL);
}

void store_release(struct store *store, const struct destination *destination, struct span left)
{
	struct ask ask = { .kind = ASK_RELEASE, .key = key_of_destination(store, destination) };
	struct claim *claim = memory_find(store->claims, ask.key);

	if (claim != NULL)
		claim->over = deadline_earlier(claim->over, deadline_in(left));
	if (store->kind->release != NULL)
		(void)store->kind->release(store->backend, &ask, destination, left);
}
