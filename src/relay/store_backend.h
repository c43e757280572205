/* SPDX-License-Identifier: ISC */
/*
 * What a store is to relay/store.c, whichever it is. One that is away takes nothing, and
 * relay/store.c works from memory.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_STORE_BACKEND_H
#define NMNOTIFY_STORE_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/store.h"
#include "relay/store_memory.h"

/* How long a text for the log can be; longer ones are cut. */
#define STORE_MESSAGE_MAX 512

enum ask_kind { ASK_LOGIN, ASK_LOOK_UP, ASK_CLAIM, ASK_RELEASE };

/* Who is to be answered; a backend that answers later keeps it until then. */
struct ask {
	enum ask_kind kind;
	struct memory_key key; /* of the user or destination */
	struct span lasts;     /* of a claim */
	union {
		store_answer *answer;
		store_claimed *claimed;
	} then;
	void *context;
};

/* With its time: a login counts for a while. */
struct dated_address {
	uint64_t seconds; /* of CLOCK_REALTIME, which outlives the machine */
	struct source address;
};

/* Of one user, the newest first; no address twice. */
struct dated_addresses {
	unsigned count;
	struct dated_address entry[STORE_ADDRESSES_MAX];
};

/* What is of the future is of now: the clock was set back, and is not to make a login the last one
 * for years. Was there any? */
bool dated_set_back(struct dated_addresses *dated, uint64_t now);

/* Adds a login, in the order of time. With too many, the oldest goes. */
void dated_add(struct dated_addresses *dated, uint64_t seconds, const struct source *address);

/* What is from before `since` is old. */
struct last_addresses dated_since(const struct dated_addresses *dated, uint64_t since);

/* The time, as in dated_address. */
uint64_t store_seconds(void);

/* Keeps a login in memory, for while the store is away. */
void store_remember(
	struct store *store, const char *user, const struct source *address, uint64_t seconds);

/* What a backend is given. */
struct backend_setup {
	struct store *store; /* for what follows */
	const char *place;   /* its part of the text */
	const char *password_file;
	uint64_t last_for, users_most;
	sd_event *loop;
	uint64_t token; /* says which relay we are; random */
};

/* One kind of store. `open` returns NULL with *wrong for a text that is none. Each of the calls
 * that return bool is false if the store is away, and then nothing has happened. */
struct backend_kind {
	const char *prefix;
	bool is_shared;
	/* What is wrong with its part of the text; NULL: nothing. */
	const char *(*check)(const char *place);
	void *(*open)(const struct backend_setup *setup, const char **wrong);
	void (*close)(void *backend);
	bool (*login)(void *backend, const struct ask *ask, const char *user,
		const struct source *address, uint64_t seconds);
	bool (*look_up)(void *backend, const struct ask *ask, const char *user);
	/* How many users' addresses are there? NULL: that is not known. */
	bool (*count)(void *backend, uint64_t *count);
	/* Of a store that is not shared: NULL. */
	bool (*claim)(void *backend, const struct ask *ask, const struct destination *destination);
	bool (*release)(void *backend, const struct ask *ask, const struct destination *destination,
		struct span left);
};

extern const struct backend_kind store_lmdb, store_redis_tcp, store_redis_unix;

/* ---- What a backend says ---- */

/* Each gives the store's answer to who asked; NULL: the answer is from memory. Who asked may ask
 * more from within. */
void store_settle_look_up(
	struct store *store, const struct ask *ask, const struct last_addresses *last);
void store_settle_claim(struct store *store, const struct ask *ask, const struct span *wait);

/* Nothing is said twice in a row. */
void store_say_away(struct store *store, const char *why);
void store_say_back(struct store *store);
bool store_is_away(const struct store *store);

/* Anything else. */
__attribute__((format(printf, 2, 3))) void store_say(struct store *store, const char *format, ...);

#endif
