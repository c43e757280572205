/* SPDX-License-Identifier: ISC */
/*
 * Sources that begin alike: a network of addresses, as a configuration names it, or `any`, or
 * `local`.
 */
#ifndef NMNOTIFY_PREFIX_H
#define NMNOTIFY_PREFIX_H

#include <stdbool.h>

#include "lib/source.h"

enum prefix_kind { PREFIX_ANY, PREFIX_LOCAL, PREFIX_ADDRESS };

struct prefix {
	enum prefix_kind kind;
	struct source base;
	unsigned bits; /* of the address that count: 0 to 32 or 128 */
};

/* A word of `from` or `to`; false if it is none. lib/advice.h says why. */
bool prefix_parse(const char *text, struct prefix *prefix);

/* Is the source one of them? SOURCE_UNKNOWN never is. */
bool prefix_holds(const struct prefix *prefix, const struct source *source);

/* Does it hold every source that the other one holds? */
bool prefix_covers(const struct prefix *prefix, const struct prefix *other);

#endif
