/* SPDX-License-Identifier: ISC */
/*
 * In the relay.
 */
#include "relay/map.h"

#include <stdlib.h>

#define BUCKETS_FIRST 64

bool map_open(struct map *map)
{
	map->count = 0;
	map->buckets = BUCKETS_FIRST;
	map->bucket = calloc(map->buckets, sizeof(struct link *));
	return map->bucket != NULL;
}

void map_close(struct map *map)
{
	free(map->bucket);
}

static struct link **bucket_of(const struct map *map, uint64_t hash)
{
	return &map->bucket[hash & (map->buckets - 1)];
}

static void put(struct map *map, struct link *link)
{
	struct link **bucket = bucket_of(map, link->hash);

	link->next = *bucket;
	*bucket = link;
}

static void grow(struct map *map)
{
	struct map larger = { .buckets = 2 * map->buckets, .count = map->count };

	larger.bucket = calloc(larger.buckets, sizeof(struct link *));
	if (larger.bucket == NULL)
		return;
	for (size_t i = 0; i < map->buckets; i++) {
		for (struct link *link = map->bucket[i], *next; link != NULL; link = next) {
			next = link->next;
			put(&larger, link);
		}
	}
	free(map->bucket);
	*map = larger;
}

void map_add(struct map *map, struct link *link, uint64_t hash)
{
	if (map->count >= map->buckets)
		grow(map);
	link->hash = hash;
	put(map, link);
	map->count++;
}

void map_remove(struct map *map, struct link *link)
{
	struct link **at = bucket_of(map, link->hash);

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	map->count--;
}

struct link *map_next(const struct map *map, const struct link *link, uint64_t hash)
{
	struct link *next = link == NULL ? *bucket_of(map, hash) : link->next;

	while (next != NULL && next->hash != hash)
		next = next->next;
	return next;
}
