/* SPDX-License-Identifier: ISC */
/*
 * The store: what several relays may share, which is the addresses that users last checked mail
 * from, and who may send to a destination now. Nothing here waits: an answer comes at once, or by
 * the loop. A store that is away goes to the log once; meanwhile memory takes its place.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_STORE_H
#define NMNOTIFY_STORE_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "lib/clock.h"
#include "lib/destination.h"
#include "lib/user_name.h"

#define STORE_ADDRESSES_MAX 8 /* of a user: `last 8` is the most */

/* The last different addresses of a user, the newest first. */
struct last_addresses {
	unsigned count;
	unsigned old; /* behind them: so many that are too old, of which some are known still */
	bool is_remembered; /* the store is away, and may know more: if need be, ask again */
	struct source address[STORE_ADDRESSES_MAX];
	uint64_t seconds[STORE_ADDRESSES_MAX]; /* of the logins, by CLOCK_REALTIME; 0: not known */
};

struct store;

/* A line for the log: the store is away, is back, had to begin afresh. `message` is one line, but
 * what others said in it can have any bytes. */
typedef void store_logger(void *context, const char *message);

/* What is wrong with a store's text, as it is below; NULL: nothing. Constant. What is said of a
 * store elsewhere has the whole text in it, so a password is none of it. */
const char *store_text_wrong(const char *text);

/*
 * `text`: lmdb:DIRECTORY, redis://HOST[:PORT][/DATABASE], redis+unix:PATH. `password_file` may be
 * NULL. `last_for`: seconds that a login counts. Never fails for a store that is away; NULL with
 * *wrong (constant or static) for a text that is none.
 */
struct store *store_open(const char *text, const char *password_file, uint64_t last_for,
	uint64_t users_most, sd_event *loop, store_logger *logger, void *context,
	const char **wrong);

/* Those who still wait for an answer get none. Not to be called from within an answer. */
void store_close(struct store *store);

/* For who asks. */
struct store_look {
	const char *name; /* as it was opened, and the first part of that */
	const char *kind;
	bool is_away;
	uint64_t since;  /* that it is, or is not: of CLOCK_REALTIME, in seconds */
	const char *why; /* it was away the last time, with any bytes; NULL: it never was */
};
/* It reads from the disk, if it has to. False: how many is not known. */
bool store_count(const struct store *store, uint64_t *users);
struct store_look store_look_at(const struct store *store);

/* Do other relays see what we write there? */
bool store_is_shared(const struct store *store);

/* A user checks mail from there. */
void store_login(struct store *store, const char *user, const struct source *address);

/* The answer to store_look_up() may come before that returns. */
typedef void store_answer(void *context, const struct last_addresses *last);
void store_look_up(struct store *store, const char *user, store_answer *answer, void *context);

/* Then memory answers, and the store counts as away: it is not worth a longer wait. */
#define STORE_ANSWERS_WITHIN ((struct span){ .ms = 1000 })

/*
 * Asks for a claim: may this relay begin to send to a destination? If so, `wait` is 0, and nobody
 * else may for `lasts`, unless store_release() shortens that to `left` from then on. If not, ask
 * again after `wait`. The answer may come before store_claim() returns.
 */
typedef void store_claimed(void *context, struct span wait);
void store_claim(struct store *store, const struct destination *destination, struct span lasts,
	store_claimed *claimed, void *context);
void store_release(struct store *store, const struct destination *destination, struct span left);

#endif
