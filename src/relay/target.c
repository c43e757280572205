/* SPDX-License-Identifier: ISC */
/* Targets: where lines go, and when they may. In the relay. */
#include "relay/owed_parts.h"

#include <stdlib.h>
#include <string.h>

#include "lib/siphash.h"

uint64_t hash_of_target(
	const struct owed *owed, const struct destination *destination, const char *name)
{
	uint8_t bytes[sizeof(struct destination)];

	if (name != NULL)
		return siphash(owed->key, (const uint8_t *)name, strlen(name)) +
		       destination->port * 2u + destination->is_udp;
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, destination->address.address, 16);
	memcpy(bytes + 16, &destination->address.scope, 4);
	memcpy(bytes + 20, &destination->port, 2);
	bytes[22] = (uint8_t)destination->address.kind;
	bytes[23] = destination->is_udp;
	return siphash(owed->key, bytes, 24);
}

struct target *target_of_link(struct link *link)
{
	return (struct target *)(void *)((char *)link - offsetof(struct target, link));
}

bool source_is(const struct source *a, const struct source *b)
{
	return a->kind == b->kind && a->scope == b->scope &&
	       memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

/* ---- When a target may begin ---- */

struct queue *queue_of(struct owed *owed, const struct target *target)
{
	return target->is_proven ? &owed->proven : &owed->unproven;
}

/* The earliest that one of its pairs is due; UINT64_MAX: none is owed. */
static uint64_t target_due(const struct target *target)
{
	uint64_t due = UINT64_MAX;

	for (const struct pair *pair = target->owed; pair != NULL; pair = pair->next)
		due = earlier(due, pair->due);
	return due;
}

/* `due`: of a pair. The time is the latest of what S1 says. */
uint64_t target_time(const struct owed *owed, const struct target *target, uint64_t due)
{
	uint64_t began = target->record->began;

	if (began != 0)
		due = later(due, began + stamps(owed->bounds.interval));
	return later(due, target->not_before);
}

void target_wait(struct owed *owed, struct target *target)
{
	uint64_t due = target_due(target);

	if (target->is_busy)
		return;
	if (due == UINT64_MAX) {
		if (target->entry.place != 0)
			queue_remove(queue_of(owed, target), &target->entry);
		return;
	}
	queue_set(queue_of(owed, target), &target->entry, target_time(owed, target, due));
}

/* A pair has come that is due then: no need to look at the others. */
void target_hurry(struct owed *owed, struct target *target, uint64_t due)
{
	uint64_t at = target_time(owed, target, due);

	if (!target->is_busy && (target->entry.place == 0 || at < target->entry.at))
		queue_set(queue_of(owed, target), &target->entry, at);
}

void target_set_proven(struct owed *owed, struct target *target, bool is_proven)
{
	if (target->is_proven == is_proven)
		return;
	if (target->entry.place != 0)
		queue_remove(queue_of(owed, target), &target->entry);
	target->is_proven = is_proven;
}

/* ---- Targets ---- */

void idle_remove(struct owed *owed, struct target *target)
{
	if (!target->is_idle)
		return;
	target->is_idle = false;
	*(target->newer != NULL ? &target->newer->older : &owed->newest_idle) = target->older;
	*(target->older != NULL ? &target->older->newer : &owed->oldest_idle) = target->newer;
}

static void idle_add(struct owed *owed, struct target *target)
{
	target->is_idle = true;
	target->newer = NULL;
	target->older = owed->newest_idle;
	*(owed->newest_idle != NULL ? &owed->newest_idle->newer : &owed->oldest_idle) = target;
	owed->newest_idle = target;
}

/* It has failed; `now`: if it had not before, since then. */
void failing_add(struct owed *owed, struct target *target, struct instant now)
{
	if (target->failing_since.ms != 0)
		return;
	target->failing_since = instant_later(now, (struct instant){ .ms = 1 });
	target->failing_next = NULL;
	target->failing_previous = owed->last_failing;
	*(owed->last_failing != NULL ? &owed->last_failing->failing_next : &owed->first_failing) =
		target;
	owed->last_failing = target;
	owed->failing++;
}

void failing_remove(struct owed *owed, struct target *target)
{
	struct target *next = target->failing_next, *previous = target->failing_previous;

	if (target->failing_since.ms == 0)
		return;
	*(next != NULL ? &next->failing_previous : &owed->last_failing) = previous;
	*(previous != NULL ? &previous->failing_next : &owed->first_failing) = next;
	target->failing_since.ms = 0;
	target->reason = NULL;
	owed->failing--;
}

static void target_free(struct owed *owed, struct target *target)
{
	idle_remove(owed, target);
	failing_remove(owed, target);
	map_remove(&owed->target_map, &target->link);
	if (target->index != RECORD_NONE)
		records_give(&owed->targets, target->index);
	owed->targets_count--;
	if (target->named != NULL)
		free(target->named->addresses);
	free(target->named);
	free(target);
}

/* One that nobody is owed a line to: until its interval is over it is remembered, and then as long
 * as there is room, for Fair's sake. */
void target_rest(struct owed *owed, struct target *target)
{
	if (target->pairs_count == 0 && !target->is_busy && target->waiting == NULL &&
		!target->is_idle)
		idle_add(owed, target);
}

/* Makes room, if the one that was idle longest may be forgotten. */
static bool target_forget(struct owed *owed, struct instant now)
{
	struct target *target = owed->oldest_idle;

	if (target == NULL || target_time(owed, target, 0) > stamp_now(owed, now))
		return false;
	target_free(owed, target);
	return true;
}

struct target *target_find(const struct owed *owed, const struct destination *destination,
	const char *name, uint64_t hash)
{
	for (struct link *link = NULL; (link = map_next(&owed->target_map, link, hash));) {
		struct target *target = target_of_link(link);

		if (target->destination.port != destination->port ||
			target->destination.is_udp != destination->is_udp ||
			(target->named == NULL) != (name == NULL))
			continue;
		if (name != NULL ? strcmp(target->named->name, name) == 0
				 : source_is(&target->destination.address, &destination->address))
			return target;
	}
	return NULL;
}

void target_add(struct owed *owed, struct target *target)
{
	owed->targets_count++;
	map_add(&owed->target_map, &target->link,
		hash_of_target(owed, &target->destination, target_name(target)));
	idle_add(owed, target);
}

/* False: no record is left. */
static bool target_record(struct owed *owed, struct target *target)
{
	const struct destination *destination = &target->destination;
	struct target_record *record;

	if (target->named != NULL) {
		target->record = &target->named->record;
		return true;
	}
	target->index = records_take(&owed->targets);
	if (target->index == RECORD_NONE)
		return false;
	record = record_at(&owed->targets, target->index);
	record->scope = destination->address.scope;
	record->port = destination->port;
	record->kind = (uint8_t)destination->address.kind;
	record->is_udp = destination->is_udp;
	memcpy(record->address, destination->address.address, sizeof(record->address));
	__atomic_store_n(&record->used, RECORD_USED, __ATOMIC_RELEASE);
	target->record = record;
	return true;
}

static struct named *named_make(const char *name)
{
	struct named *named = calloc(1, sizeof(*named) + strlen(name) + 1);

	if (named != NULL)
		memcpy(named->name, name, strlen(name) + 1);
	return named;
}

static struct target *target_make(
	struct owed *owed, const struct destination *destination, const char *name)
{
	struct target *target = calloc(1, sizeof(*target));

	if (target == NULL)
		return NULL;
	target->index = RECORD_NONE;
	target->destination = *destination;
	target->named = name != NULL ? named_make(name) : NULL;
	if ((name != NULL && target->named == NULL) ||
		!queue_reserve(&owed->proven, owed->targets_count + 1) ||
		!queue_reserve(&owed->unproven, owed->targets_count + 1) ||
		!target_record(owed, target)) {
		free(target->named);
		free(target);
		return NULL;
	}
	target_add(owed, target);
	return target;
}

/* NULL: there are as many as may be. */
struct target *target_of(struct owed *owed, const struct destination *destination, const char *name,
	struct instant now)
{
	struct target *target =
		target_find(owed, destination, name, hash_of_target(owed, destination, name));

	if (target != NULL)
		return target;
	while (owed->targets_count >= owed->bounds.users && target_forget(owed, now))
		;
	return owed->targets_count < owed->bounds.users ? target_make(owed, destination, name)
							: NULL;
}
