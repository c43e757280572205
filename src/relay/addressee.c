/* SPDX-License-Identifier: ISC */
/* Addressees: users who are owed something, and what joins them to targets. In the relay. */
#include "relay/owed_parts.h"

#include <stdlib.h>
#include <string.h>

#include "lib/siphash.h"

uint64_t hash_of_user(const struct owed *owed, const char *user, size_t length)
{
	return siphash(owed->key, (const uint8_t *)user, length);
}

/* ---- Pairs ---- */

void pair_owe(struct owed *owed, struct pair *pair, uint64_t due)
{
	struct target *target = pair->target;

	if (pair->is_owed) {
		pair->due = earlier(pair->due, due);
	} else {
		pair->is_owed = true;
		pair->due = due;
		pair->addressee->pairs_owed++;
		pair->previous = NULL;
		pair->next = target->owed;
		owed->targets_owed += target->owed == NULL;
		if (pair->next != NULL)
			pair->next->previous = pair;
		target->owed = pair;
	}
	target_hurry(owed, target, pair->due);
}

/* It is not owed any more. Its target's time may be too early now: is_due() sees to that. */
void pair_settle(struct owed *owed, struct pair *pair)
{
	if (!pair->is_owed)
		return;
	pair->is_owed = false;
	pair->addressee->pairs_owed--;
	*(pair->previous != NULL ? &pair->previous->next : &pair->target->owed) = pair->next;
	if (pair->next != NULL)
		pair->next->previous = pair->previous;
	owed->targets_owed -= pair->target->owed == NULL;
}

void addressee_drop_pairs(struct owed *owed, struct addressee *addressee)
{
	while (addressee->pairs != NULL) {
		struct pair *pair = addressee->pairs;
		struct target *target = pair->target;

		addressee->pairs = pair->next_of_addressee;
		pair_settle(owed, pair);
		target->pairs_count--;
		if (target->owed == NULL)
			target_wait(owed, target);
		target_rest(owed, target);
		free(pair);
	}
}

/* ---- Addressees ---- */

void age_remove(struct owed *owed, struct addressee *addressee)
{
	*(addressee->newer != NULL ? &addressee->newer->older : &owed->newest) = addressee->older;
	*(addressee->older != NULL ? &addressee->older->newer : &owed->oldest) = addressee->newer;
}

void age_add(struct owed *owed, struct addressee *addressee)
{
	addressee->newer = NULL;
	addressee->older = owed->newest;
	*(owed->newest != NULL ? &owed->newest->newer : &owed->oldest) = addressee;
	owed->newest = addressee;
}

void unrouted_add(struct owed *owed, struct addressee *addressee)
{
	addressee->is_unrouted = true;
	addressee->next_unrouted = owed->unrouted;
	owed->unrouted = addressee;
}

void unrouted_remove(struct owed *owed, struct addressee *addressee)
{
	struct addressee **at = &owed->unrouted;

	if (!addressee->is_unrouted)
		return;
	while (*at != addressee)
		at = &(*at)->next_unrouted;
	*at = addressee->next_unrouted;
	addressee->is_unrouted = false;
}

/* All of it is covered, or given up. */
void addressee_free(struct owed *owed, struct addressee *addressee)
{
	addressee_drop_pairs(owed, addressee);
	unrouted_remove(owed, addressee);
	age_remove(owed, addressee);
	map_remove(&owed->addressee_map, &addressee->link);
	records_give(&owed->addressees[addressee->size], addressee->index);
	owed->users--;
	free(addressee);
}

struct addressee *addressee_find(
	const struct owed *owed, const char *user, size_t length, uint64_t hash)
{
	for (struct link *link = NULL; (link = map_next(&owed->addressee_map, link, hash));) {
		struct addressee *addressee = (struct addressee *)link; /* its first member */

		if (addressee->record->length == length &&
			memcmp(addressee->record->user, user, length) == 0)
			return addressee;
	}
	return NULL;
}

struct addressee *addressee_add(struct owed *owed, uint8_t size, uint32_t index, uint64_t hash)
{
	struct addressee *addressee = calloc(1, sizeof(*addressee));

	if (addressee == NULL)
		return NULL;
	addressee->size = size;
	addressee->index = index;
	addressee->record = record_at(&owed->addressees[size], index);
	map_add(&owed->addressee_map, &addressee->link, hash);
	age_add(owed, addressee);
	unrouted_add(owed, addressee);
	owed->users++;
	return addressee;
}

struct addressee *addressee_make(struct owed *owed, const char *user, size_t length, uint64_t hash,
	uint64_t due, uint64_t now)
{
	uint8_t size = length <= SHORT_NAME ? SHORT : LONG;
	struct addressee_record *record;
	struct addressee *addressee;
	uint32_t index;

	if (owed->users >= owed->bounds.users)
		return NULL;
	index = records_take(&owed->addressees[size]);
	if (index == RECORD_NONE)
		return NULL;
	addressee = addressee_add(owed, size, index, hash);
	if (addressee == NULL) {
		records_give(&owed->addressees[size], index);
		return NULL;
	}
	record = addressee->record;
	record->length = (uint32_t)length;
	record->noted = now;
	record->due_first = record->due_last = due;
	memcpy(record->user, user, length);
	__atomic_store_n(&record->used, RECORD_USED, __ATOMIC_RELEASE);
	return addressee;
}
