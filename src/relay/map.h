/* SPDX-License-Identifier: ISC */
/*
 * A hash table of things that have a link in them. Its hashes are the caller's: SipHash's with a
 * secret key, so that whoever chooses names and addresses cannot put many into one bucket.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_MAP_H
#define NMNOTIFY_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link {
	struct link *next;
	uint64_t hash;
};

struct map {
	struct link **bucket;
	size_t buckets, count;
};

/* False: no memory. */
bool map_open(struct map *map);
void map_close(struct map *map);

/* The table grows by itself; without memory for that, it becomes slower. */
void map_add(struct map *map, struct link *link, uint64_t hash);
void map_remove(struct map *map, struct link *link);

/* The first with this hash, or behind `link` if that is not NULL; NULL: no more. */
struct link *map_next(const struct map *map, const struct link *link, uint64_t hash);

#endif
