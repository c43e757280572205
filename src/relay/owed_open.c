/* SPDX-License-Identifier: ISC */
/* The owed table is read from its files, whatever is in them. In the relay. */
#include "relay/owed_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of both records of owed_parts.h: another layout has another number. */
#define LAYOUT_VERSION 1

/* ---- Opening ---- */

struct opening {
	struct owed *owed;
	uint64_t now;  /* the millisecond's first stamp */
	uint64_t most; /* its last */
	uint8_t size;
};

static struct opening opening_of(struct owed *owed, struct instant now)
{
	uint64_t stamp = now.ms << STAMP_BITS;

	return (struct opening){
		.owed = owed, .now = stamp, .most = stamp | ((1u << STAMP_BITS) - 1), .size = SHORT
	};
}

/* Times of another boot mean nothing, and those of the future are damage: then it is now. */
static uint64_t time_kept(
	const struct opening *opening, bool is_same_boot, uint64_t at, uint64_t most)
{
	return is_same_boot && at <= most ? at : opening->now;
}

/* Likewise of a stamp; the next one is behind it. */
static uint64_t stamp_kept(const struct opening *opening, bool is_same_boot, uint64_t stamp)
{
	stamp = time_kept(opening, is_same_boot, stamp, opening->most);
	opening->owed->last = later(opening->owed->last, stamp);
	return stamp;
}

static bool addressee_keep(void *context, uint32_t index, void *bytes)
{
	struct opening *opening = context;
	struct owed *owed = opening->owed;
	struct addressee_record *record = bytes;
	bool same = owed->addressees[opening->size].is_same_boot;
	uint64_t settled = opening->most + stamps(owed->bounds.settle), hash;

	if (record->used != RECORD_USED || record->length == 0 ||
		record->length > (opening->size == SHORT ? SHORT_NAME : USER_NAME_MAX) ||
		memchr(record->user, '\0', record->length) != NULL)
		return false;
	record->noted = stamp_kept(opening, same, record->noted);
	record->due_last = time_kept(opening, same, record->due_last, settled);
	record->due_first = time_kept(opening, same, record->due_first, record->due_last);
	hash = hash_of_user(owed, record->user, record->length);
	return addressee_find(owed, record->user, record->length, hash) == NULL &&
	       addressee_add(owed, opening->size, index, hash) != NULL;
}

static bool target_keep(void *context, uint32_t index, void *bytes)
{
	struct opening *opening = context;
	struct owed *owed = opening->owed;
	struct target_record *record = bytes;
	struct destination destination = { .port = record->port, .is_udp = record->is_udp == 1 };
	uint64_t began = record->began;
	struct target *target;

	if (!owed->targets.is_same_boot || record->used > RECORD_BUSY || record->port == 0 ||
		record->is_udp > 1 || (record->kind != SOURCE_IPV4 && record->kind != SOURCE_IPV6))
		return false;
	destination.address.kind = record->kind;
	destination.address.scope = record->scope;
	memcpy(destination.address.address, record->address, sizeof(record->address));
	/* tests/model/owed.pml: relay_open(). The first packet may have left at any time since the
	 * beginning was written down. Who dies in between leaves the record busy. */
	if (record->used == RECORD_BUSY)
		began = later(began, stamp_within(opening->now));
	began = stamp_kept(opening, true, began);
	__atomic_store_n(&record->began, began, __ATOMIC_RELAXED);
	__atomic_store_n(&record->used, RECORD_USED, __ATOMIC_RELEASE);
	if (record->covered > began)
		record->covered = 0;
	if (target_find(owed, &destination, NULL, hash_of_target(owed, &destination, NULL)) != NULL)
		return false;
	target = calloc(1, sizeof(*target));
	if (target == NULL || !queue_reserve(&owed->proven, owed->targets_count + 1) ||
		!queue_reserve(&owed->unproven, owed->targets_count + 1)) {
		free(target);
		return false;
	}
	target->index = index;
	target->record = record;
	target->destination = destination;
	target->is_proven = record->covered != 0 && record->failures == 0;
	target_add(owed, target);
	/* Since when is in no file. */
	if (record->failures != 0)
		failing_add(owed, target, (struct instant){ .ms = opening->now >> STAMP_BITS });
	return true;
}

static int by_age(const void *a, const void *b)
{
	const struct addressee *one = *(const struct addressee *const *)a,
			       *other = *(const struct addressee *const *)b;

	return one->record->noted < other->record->noted
		       ? -1
		       : one->record->noted > other->record->noted;
}

/* Records come in no order. */
static bool sort_by_age(struct owed *owed)
{
	struct addressee **addressees, *addressee = owed->oldest;
	size_t count = 0;

	if (owed->users == 0)
		return true;
	addressees = calloc(owed->users, sizeof(struct addressee *));
	if (addressees == NULL)
		return false;
	for (; addressee != NULL; addressee = addressee->newer)
		addressees[count++] = addressee;
	qsort(addressees, count, sizeof(struct addressee *), by_age);
	owed->oldest = owed->newest = NULL;
	for (size_t i = 0; i < count; i++)
		age_add(owed, addressees[i]);
	free(addressees);
	return true;
}

static bool open_files(struct owed *owed, int directory)
{
	static const char *const names[SIZES] = { "owed", "owed-long" };
	static const size_t user[SIZES] = { SHORT_NAME, LONG_NAME };

	for (unsigned size = SHORT; size < SIZES; size++)
		if (!records_open(&owed->addressees[size], directory, names[size],
			    sizeof(struct addressee_record) + user[size], LAYOUT_VERSION,
			    owed->bounds.users))
			return false;
	return records_open(&owed->targets, directory, "told", sizeof(struct target_record),
		LAYOUT_VERSION, owed->bounds.users);
}

static bool read_files(struct owed *owed, struct instant now)
{
	struct opening opening = opening_of(owed, now);

	for (; opening.size < SIZES; opening.size++)
		records_each(&owed->addressees[opening.size], addressee_keep, &opening);
	records_each(&owed->targets, target_keep, &opening);
	owed->last = later(owed->last, opening.now);
	return sort_by_age(owed);
}

struct owed *owed_open(int directory, const struct owed_bounds *bounds, const uint64_t key[2],
	owed_clock *clock, records_logger *logger, void *context)
{
	struct owed *owed = calloc(1, sizeof(*owed));
	int error;

	if (owed == NULL)
		return NULL;
	owed->bounds = *bounds;
	owed->key[0] = key[0];
	owed->key[1] = key[1];
	owed->random = key[0] | 1;
	for (unsigned i = 0; i < SIZES; i++)
		owed->addressees[i] =
			(struct records){ .fd = -1, .logger = logger, .context = context };
	owed->targets = owed->addressees[0];
	/* The clock behind the locks: until then another relay may write down a beginning, which
	 * would be of the future else. */
	if (map_open(&owed->addressee_map) && map_open(&owed->target_map) &&
		open_files(owed, directory) && read_files(owed, clock()))
		return owed;
	error = errno;
	owed_close(owed);
	errno = error;
	return NULL;
}

static void targets_free(struct owed *owed)
{
	for (size_t i = 0; i < owed->target_map.buckets; i++) {
		for (struct link *link = owed->target_map.bucket[i], *next; link != NULL;
			link = next) {
			struct target *target = target_of_link(link);

			next = link->next;
			if (target->named != NULL)
				free(target->named->addresses);
			free(target->named);
			free(target);
		}
	}
}

/* What is in the files stays as it is. */
void owed_close(struct owed *owed)
{
	for (struct addressee *addressee = owed->oldest, *next; addressee != NULL;
		addressee = next) {
		next = addressee->newer;
		for (struct pair *pair = addressee->pairs, *after; pair != NULL; pair = after) {
			after = pair->next_of_addressee;
			free(pair);
		}
		free(addressee);
	}
	if (owed->target_map.bucket != NULL)
		targets_free(owed);
	map_close(&owed->addressee_map);
	map_close(&owed->target_map);
	queue_close(&owed->proven);
	queue_close(&owed->unproven);
	for (unsigned i = 0; i < SIZES; i++)
		records_close(&owed->addressees[i]);
	records_close(&owed->targets);
	free(owed);
}

void owed_set_bounds(struct owed *owed, const struct owed_bounds *bounds)
{
	uint32_t users = owed->bounds.users;

	owed->bounds = *bounds;
	owed->bounds.users = users;
}
