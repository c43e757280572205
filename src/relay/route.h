/* SPDX-License-Identifier: ISC */
/*
 * Where a user's line goes: what `user` lines of the configuration and values of the table say,
 * and which of them is the user's. Only words: the store and the name service are asked by others.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_ROUTE_H
#define NMNOTIFY_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/words.h"
#include "relay/relay_conf.h"
#include "relay/store.h"
#include "relay/table.h"

#define ROUTE_TARGETS_MAX 16 /* of a user */
#define ROUTE_LAST_MAX    STORE_ADDRESSES_MAX

/* Bytes of a table's value: as many targets as there may be, names of 60 bytes. */
#define ROUTE_VALUE_MAX 1023

enum route_kind {
	ROUTE_ADDRESS, /* as the configuration says: `never` does not hold for it */
	ROUTE_NAME,    /* to be looked up; for what it gives, `never` holds */
	ROUTE_LAST,    /* what the store knows; `never` holds */
};

struct route_target {
	enum route_kind kind;
	uint16_t port;         /* never 0 */
	uint8_t last;          /* ROUTE_LAST: at most so many addresses, 1 to ROUTE_LAST_MAX */
	struct source address; /* ROUTE_ADDRESS */
	const char *name;      /* ROUTE_NAME: at most DNS_NAME_MAX bytes, no dot at its end */
};

/*
 * The targets before `fallback` are told always; those from there on only if the store knows no
 * last address. At most one is ROUTE_LAST, the one just before `fallback`; without it, `fallback`
 * is `count`. No target: nobody is told.
 */
struct route {
	const struct route_target *target;
	unsigned count, fallback;
	bool is_said;      /* some line is the user's, or a value of the table; it may be `none` */
	const char *wrong; /* a constant text: the table's value is none; then there is no target */
	const struct relay_user *line; /* that says so; NULL: the table, or nobody */

	/* For a route of the table's: the targets, and their names. So a route is not copied. */
	struct route_target own[ROUTE_TARGETS_MAX];
	char text[ROUTE_VALUE_MAX + 1];
};

/* The first line, or value of the table where that stands among the lines, that is the user's.
 * `table` may be NULL. What it says holds as long as `conf` and `route` are there. */
void route_find(
	const struct relay_conf *conf, struct table *table, const char *user, struct route *route);

/* A value of the table, as `user` lines have it behind the pattern. NULL, or a constant text: what
 * is wrong. */
const char *route_parse(struct route *route, const char *value, size_t length, uint16_t port);

/* What becomes of a target, or of an address that `last` has for it. */
enum route_fate {
	ROUTE_TAKEN,
	ROUTE_NEVER,  /* `never` excludes the address */
	ROUTE_BEYOND, /* `last N` has N already */
	ROUTE_SPARED, /* it is for who has no last address, and there is one */
};

struct route_choice {
	const struct route_target *target; /* of ROUTE_LAST: one for each of the addresses */
	struct source address;             /* of ROUTE_ADDRESS and ROUTE_LAST */
	enum route_fate fate;
};

/*
 * Where the line goes, if these are the user's last addresses: shows each target, in their order,
 * whether it is taken or not. Returns whether the store may know addresses that are missing.
 */
typedef void route_viewer(void *context, const struct route_choice *choice);
bool route_walk(const struct relay_conf *conf, const struct route *route,
	const struct last_addresses *last, route_viewer *viewer, void *context);

/* Do last addresses matter? */
bool route_needs_last(const struct route *route);

/* ---- For the reading of the configuration ---- */

struct relay_user {
	const char *pattern;
	struct route_target *target;
	struct place place;
	uint16_t count, fallback;
};

/* Does a pattern, in which '*' is any run of characters, match the text? */
bool route_matches(const char *pattern, const char *text);

/* Reads the words from `first` on as targets; their names point into the words. Port 0: none was
 * said. NULL, or a constant text: what is wrong with words->word[*at]. */
const char *route_targets(const struct words *words, unsigned first,
	struct route_target target[static ROUTE_TARGETS_MAX], unsigned *count, unsigned *fallback,
	unsigned *at);

/* The hash table and the list of patterns, when all lines are there. */
void route_index(struct relay_conf *conf);

/* The number of the first line that is the user's, or how many there are. For a pattern, too: of
 * the first that has every user that it has. */
unsigned route_line(const struct relay_conf *conf, const char *user);

#endif
