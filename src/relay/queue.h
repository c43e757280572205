/* SPDX-License-Identifier: ISC */
/*
 * A priority queue by time, the earliest first: a binary heap (Williams, "Algorithm 232: Heapsort",
 * 1964) of things that have an entry in them, each of which knows its place.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_QUEUE_H
#define NMNOTIFY_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue_entry {
	uint64_t at;
	size_t place; /* from 1; 0: it is in no queue */
};

struct queue {
	struct queue_entry **entry;
	size_t count, room;
};

/* Makes room for so many entries in all; false: no memory. queue_set() needs that room, and cannot
 * fail. */
bool queue_reserve(struct queue *queue, size_t count);
void queue_close(struct queue *queue);

/* Adds it, or moves it to its new time. */
void queue_set(struct queue *queue, struct queue_entry *entry, uint64_t at);
void queue_remove(struct queue *queue, struct queue_entry *entry);

/* The earliest; NULL: none. */
struct queue_entry *queue_first(const struct queue *queue);

#endif
