/* SPDX-License-Identifier: ISC */
/*
 * In the network process: as nmnotify or nobody if the runner is root, else as the runner; under
 * network.policy.
 */
#include "daemon/pending.h"

#include <sys/resource.h>

/* Descriptors that are kept for other things than connections. */
#define DESCRIPTORS_KEPT 200

/* How many connections can be pending in a process that may have so many descriptors. */
static uint32_t places_for(rlim_t descriptors)
{
	if (descriptors >= PENDING_MAX + DESCRIPTORS_KEPT)
		return PENDING_MAX;
	if (descriptors > 2 * DESCRIPTORS_KEPT)
		return (uint32_t)descriptors - DESCRIPTORS_KEPT;
	return 1 + (uint32_t)descriptors / 4;
}

void pending_prepare(struct pending_list *list)
{
	struct rlimit limit;

	list->most = PENDING_MAX;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		list->most = places_for(limit.rlim_cur);
	for (uint32_t i = 0; i < list->most; i++) {
		list->pending[i].fd = -1;
		list->pending[i].newer = i + 1 < list->most ? i + 1 : PENDING_NONE;
	}
	list->next_deadline = DEADLINE_NEVER;
	list->free = 0;
	list->oldest = list->newest = PENDING_NONE;
}

static struct pending *at(struct pending_list *list, uint32_t place)
{
	return place == PENDING_NONE ? NULL : &list->pending[place];
}

struct pending *pending_oldest(struct pending_list *list)
{
	return at(list, list->oldest);
}

struct pending *pending_newer(struct pending_list *list, const struct pending *pending)
{
	return at(list, pending->newer);
}

struct pending *pending_at(struct pending_list *list, uint32_t place)
{
	return list->pending[place].fd < 0 ? NULL : &list->pending[place];
}

uint32_t pending_place(const struct pending_list *list)
{
	return list->free;
}

void pending_add(struct pending_list *list, const struct pending *pending)
{
	uint32_t place = list->free;
	struct pending *added = &list->pending[place];

	list->free = added->newer;
	*added = *pending;
	added->older = list->newest;
	added->newer = PENDING_NONE;
	if (list->newest == PENDING_NONE)
		list->oldest = place;
	else
		list->pending[list->newest].newer = place;
	list->newest = place;
	list->next_deadline = deadline_earlier(list->next_deadline, added->deadline);
}

void pending_remove(struct pending_list *list, struct pending *pending)
{
	uint32_t place = (uint32_t)(pending - list->pending);

	if (pending->older == PENDING_NONE)
		list->oldest = pending->newer;
	else
		list->pending[pending->older].newer = pending->newer;
	if (pending->newer == PENDING_NONE)
		list->newest = pending->older;
	else
		list->pending[pending->newer].older = pending->older;
	pending->fd = -1; /* an event that was fetched already may still name this place */
	pending->newer = list->free;
	list->free = place;
}
