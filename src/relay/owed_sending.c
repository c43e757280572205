/* SPDX-License-Identifier: ISC */
/* Whose turn it is, and what becomes of it. In the relay. */
#include "relay/owed_parts.h"

#include <stdlib.h>
#include <string.h>

/* Between two tries: the first, doubling, at most the second; less up to a quarter, so that what
 * failed together is not tried together again. */
#define RETRY_FIRST ((struct span){ .ms = 1000 })
#define RETRY_MOST  ((struct span){ .ms = 300000 })

/* xorshift64 (Marsaglia, "Xorshift RNGs", 2003): for jitter. */
static uint64_t random_next(struct owed *owed)
{
	owed->random ^= owed->random << 13;
	owed->random ^= owed->random >> 7;
	owed->random ^= owed->random << 17;
	return owed->random;
}

/* The millisecond from which on it is over. */
static struct instant stamp_instant(uint64_t stamp)
{
	return (struct instant){ .ms = (stamp >> STAMP_BITS) +
				       ((stamp & ((1u << STAMP_BITS) - 1)) != 0) };
}

/* ---- Sending ---- */

static bool has_place(const struct owed *owed, bool is_proven)
{
	return owed->busy < owed->bounds.connections &&
	       (is_proven || owed->busy_unproven < (owed->bounds.connections + 1) / 2);
}

static struct target *first_of(const struct owed *owed, const struct queue *queue, bool is_proven)
{
	return has_place(owed, is_proven) ? (struct target *)queue_first(queue) : NULL;
}

static void busy_begin(struct owed *owed, struct target *target, bool is_counted)
{
	if (target->entry.place != 0)
		queue_remove(queue_of(owed, target), &target->entry);
	idle_remove(owed, target);
	target->is_busy = true;
	target->is_counted = is_counted;
	if (is_counted) {
		owed->busy++;
		owed->busy_unproven += !target->is_proven;
	}
}

static void busy_end(struct owed *owed, struct target *target)
{
	target->is_busy = false;
	if (target->is_counted) {
		owed->busy--;
		owed->busy_unproven -= !target->is_proven;
	}
	target->is_counted = false;
}

/* Its time has come, but what it came for may be settled, or the interval be longer now: then it
 * waits. */
static bool is_due(struct owed *owed, struct target *target, uint64_t now)
{
	if (target_time(owed, target, 0) <= now)
		for (const struct pair *pair = target->owed; pair != NULL; pair = pair->next)
			if (pair->due <= now)
				return true;
	target_wait(owed, target);
	return false;
}

static struct target *pick_of(struct owed *owed, struct queue *queue, bool is_proven, uint64_t now)
{
	struct target *target;

	while ((target = first_of(owed, queue, is_proven)) != NULL && target->entry.at <= now) {
		if (is_due(owed, target, now)) {
			busy_begin(owed, target, true);
			return target;
		}
	}
	return NULL;
}

struct target *owed_pick(struct owed *owed, struct instant now)
{
	struct target *target = pick_of(owed, &owed->proven, true, stamp_now(owed, now));

	return target != NULL ? target
			      : pick_of(owed, &owed->unproven, false, stamp_now(owed, now));
}

struct instant owed_when(const struct owed *owed)
{
	const struct target *proven = first_of(owed, &owed->proven, true);
	const struct target *unproven = first_of(owed, &owed->unproven, false);
	uint64_t when = UINT64_MAX;

	if (proven != NULL)
		when = proven->entry.at;
	if (unproven != NULL)
		when = earlier(when, unproven->entry.at);
	if (owed->oldest != NULL)
		when = earlier(when, owed->oldest->record->noted + stamps(owed->bounds.keep));
	return when == UINT64_MAX ? INSTANT_NEVER : stamp_instant(when);
}

const struct destination *target_destination(const struct target *target)
{
	return &target->destination;
}

const char *target_name(const struct target *target)
{
	return target->named == NULL ? NULL : target->named->name;
}

const char *target_user(const struct target *target, unsigned *others)
{
	const struct pair *pair = target->owed;

	*others = 0;
	if (pair == NULL)
		return NULL;
	for (const struct pair *other = pair->next; other != NULL; other = other->next)
		++*others;
	return addressee_name(pair->addressee);
}

void target_set_reason(struct target *target, const char *reason)
{
	target->reason = reason;
}

void target_resolved(
	struct owed *owed, struct target *target, const struct source *addresses, unsigned count)
{
	(void)owed;
	free(target->named->addresses);
	target->named->addresses_count = 0;
	target->named->addresses = calloc(count == 0 ? 1 : count, sizeof(*addresses));
	if (target->named->addresses == NULL)
		return;
	memcpy(target->named->addresses, addresses, count * sizeof(*addresses));
	target->named->addresses_count = count;
}

/* It is not busy any more: names that waited for it, too, can go on. */
static void target_ended(struct owed *owed, struct target *target)
{
	struct target *name = target->waiting;

	__atomic_store_n(&target->record->used, RECORD_USED, __ATOMIC_RELEASE);
	busy_end(owed, target);
	target->waiting = NULL;
	target_wait(owed, target);
	target_rest(owed, target);
	while (name != NULL) {
		struct target *next = name->next_waiting;

		name->is_busy = false;
		name->not_before = later(name->not_before, target_time(owed, target, 0));
		target_wait(owed, name);
		target_rest(owed, name);
		name = next;
	}
}

static void wait_for(struct owed *owed, struct target *name, struct target *address)
{
	busy_end(owed, name);
	name->is_busy = true; /* in no queue until the address is free */
	name->next_waiting = address->waiting;
	address->waiting = name;
}

struct target *owed_pick_address(
	struct owed *owed, struct target *name, const struct source *address, struct instant now)
{
	struct destination destination = name->destination;
	struct target *target;
	uint64_t at;

	destination.address = *address;
	target = target_of(owed, &destination, NULL, now);
	if (target == NULL) {
		owed->counts.refused++;
		owed_failed(owed, name, now);
		return NULL;
	}
	if (target->is_busy) {
		wait_for(owed, name, target);
		return NULL;
	}
	at = target_time(owed, target, 0);
	if (at > stamp_now(owed, now)) {
		name->not_before = later(name->not_before, at);
		target_ended(owed, name);
		return NULL;
	}
	busy_begin(owed, target, false);
	return target;
}

void owed_begins(struct owed *owed, struct target *target, struct instant now)
{
	target->covers = stamp_next(owed, now);
	__atomic_store_n(&target->record->used, RECORD_BUSY, __ATOMIC_RELEASE);
	__atomic_store_n(&target->record->began, target->covers, __ATOMIC_RELEASE);
}

void owed_has_begun(struct owed *owed, struct target *target, struct instant now)
{
	owed->last = stamp_within(stamp_next(owed, now));
	__atomic_store_n(&target->record->began, owed->last, __ATOMIC_RELEASE);
}

/* What was due when it began is covered; what was not will be due from now on.
 * tests/model/owed.pml: cover. */
static void cover(struct owed *owed, struct target *target, uint64_t began)
{
	for (struct pair *pair = target->owed, *next; pair != NULL; pair = next) {
		struct addressee *addressee = pair->addressee;

		next = pair->next;
		if (addressee->record->due_last > began) {
			pair->due = later(pair->due, began + 1);
			continue;
		}
		pair_settle(owed, pair);
		owed->counts.covered++;
		if (addressee->pairs_owed == 0)
			addressee_free(owed, addressee);
	}
}

void owed_done(struct owed *owed, struct target *target)
{
	uint64_t began = target->covers;

	owed->counts.done++;
	/* tests/model/owed.pml: done. Written down before the addressees are freed: after a death
	 * in between they are found to be covered. */
	__atomic_store_n(&target->record->covered, began, __ATOMIC_RELEASE);
	target->record->failures = 0;
	failing_remove(owed, target);
	target->not_before = 0;
	cover(owed, target, began);
	busy_end(owed, target);
	target_set_proven(owed, target, true);
	target_ended(owed, target);
}

void owed_failed(struct owed *owed, struct target *target, struct instant now)
{
	uint64_t rest = stamps(RETRY_FIRST);

	owed->counts.failed++;
	for (uint32_t i = 0; i < target->record->failures && rest < stamps(RETRY_MOST); i++)
		rest *= 2;
	rest = earlier(rest, stamps(RETRY_MOST));
	target->record->failures += target->record->failures < UINT32_MAX;
	failing_add(owed, target, now);
	target->not_before = stamp_now(owed, now) + rest - random_next(owed) % (rest / 4);
	busy_end(owed, target);
	target_set_proven(owed, target, false);
	target_ended(owed, target);
}

void owed_put_back(struct owed *owed, struct target *target, struct instant at)
{
	target->not_before = later(target->not_before, at.ms << STAMP_BITS);
	target_ended(owed, target);
}

unsigned owed_expire(struct owed *owed, struct instant now)
{
	unsigned count = 0;

	while (owed->oldest != NULL &&
		owed->oldest->record->noted + stamps(owed->bounds.keep) <= stamp_now(owed, now)) {
		addressee_free(owed, owed->oldest);
		count++;
	}
	owed->counts.expired += count;
	return count;
}
