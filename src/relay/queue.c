/* SPDX-License-Identifier: ISC */
/*
 * In the relay.
 */
#include "relay/queue.h"

#include <stdlib.h>

#define ROOM_FIRST 64

bool queue_reserve(struct queue *queue, size_t count)
{
	size_t room = queue->room == 0 ? ROOM_FIRST : queue->room;
	struct queue_entry **entry;

	if (count <= queue->room)
		return true;
	while (room < count)
		room *= 2;
	entry = realloc(queue->entry, room * sizeof(struct queue_entry *));
	if (entry == NULL)
		return false;
	queue->entry = entry;
	queue->room = room;
	return true;
}

void queue_close(struct queue *queue)
{
	free(queue->entry);
}

static void put(struct queue *queue, size_t place, struct queue_entry *entry)
{
	queue->entry[place - 1] = entry;
	entry->place = place;
}

static struct queue_entry *at_place(const struct queue *queue, size_t place)
{
	return queue->entry[place - 1];
}

static void move_up(struct queue *queue, struct queue_entry *entry)
{
	size_t place = entry->place;

	while (place > 1 && entry->at < at_place(queue, place / 2)->at) {
		put(queue, place, at_place(queue, place / 2));
		place /= 2;
	}
	put(queue, place, entry);
}

static void move_down(struct queue *queue, struct queue_entry *entry)
{
	size_t place = entry->place, child;

	while ((child = 2 * place) <= queue->count) {
		if (child < queue->count &&
			at_place(queue, child + 1)->at < at_place(queue, child)->at)
			child++;
		if (entry->at <= at_place(queue, child)->at)
			break;
		put(queue, place, at_place(queue, child));
		place = child;
	}
	put(queue, place, entry);
}

void queue_set(struct queue *queue, struct queue_entry *entry, uint64_t at)
{
	if (entry->place == 0)
		put(queue, ++queue->count, entry);
	entry->at = at;
	move_up(queue, entry);
	move_down(queue, entry);
}

void queue_remove(struct queue *queue, struct queue_entry *entry)
{
	struct queue_entry *last = at_place(queue, queue->count--);

	if (last != entry) {
		put(queue, entry->place, last);
		move_up(queue, last);
		move_down(queue, last);
	}
	entry->place = 0;
}

struct queue_entry *queue_first(const struct queue *queue)
{
	return queue->count == 0 ? NULL : queue->entry[0];
}
