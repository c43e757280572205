/* SPDX-License-Identifier: ISC */
/* Events come, logins cover, and routes say where lines go. In the relay. */
#include "relay/owed_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- Events ---- */

struct addressee *owed_note(struct owed *owed, const char *user, bool is_early, struct instant now)
{
	size_t length = strlen(user);
	uint64_t hash = hash_of_user(owed, user, length);
	uint64_t noted = stamp_next(owed, now);
	uint64_t due = noted + (is_early ? stamps(owed->bounds.settle) : 0);
	struct addressee *addressee = addressee_find(owed, user, length, hash);

	owed->counts.noted++;
	if (addressee == NULL) {
		addressee = addressee_make(owed, user, length, hash, due, noted);
		owed->counts.refused += addressee == NULL;
		return addressee;
	}
	/* tests/model/owed.pml: letter. `due_last` before `noted`: after a death in between, the
	 * event is read again, but a login may be read before it, and must not cover it. */
	addressee->record->due_last = later(addressee->record->due_last, due);
	addressee->record->due_first = earlier(addressee->record->due_first, due);
	addressee->record->noted = noted;
	age_remove(owed, addressee);
	age_add(owed, addressee);
	for (struct pair *pair = addressee->pairs; pair != NULL; pair = pair->next_of_addressee)
		pair_owe(owed, pair, due);
	return addressee;
}

static bool target_is_at(const struct target *target, const struct source *address)
{
	if (target->named == NULL)
		return source_is(&target->destination.address, address);
	for (unsigned i = 0; i < target->named->addresses_count; i++)
		if (source_is(&target->named->addresses[i], address))
			return true;
	return false;
}

void owed_login(
	struct owed *owed, const char *user, const struct source *address, struct instant now)
{
	size_t length = strlen(user);
	struct addressee *addressee =
		addressee_find(owed, user, length, hash_of_user(owed, user, length));

	/* tests/model/owed.pml: check_mail. Logins and events come by different sockets, in no
	 * order: so a login covers only what is old enough. */
	if (addressee == NULL || addressee->pairs == NULL ||
		addressee->record->noted + stamps(owed->bounds.settle) > now.ms << STAMP_BITS)
		return;
	for (struct pair *pair = addressee->pairs; pair != NULL; pair = pair->next_of_addressee)
		if (pair->via == VIA_LAST || target_is_at(pair->target, address))
			pair_settle(owed, pair);
	if (addressee->pairs_owed == 0) {
		owed->counts.by_login++;
		addressee_free(owed, addressee);
	}
}

/* ---- Routing ---- */

const char *addressee_name(const struct addressee *addressee)
{
	static char user[USER_NAME_MAX + 1];

	memcpy(user, addressee->record->user, addressee->record->length);
	user[addressee->record->length] = '\0';
	return user;
}

struct addressee *owed_unrouted(struct owed *owed)
{
	struct addressee *addressee = owed->unrouted;

	if (addressee != NULL) {
		owed->unrouted = addressee->next_unrouted;
		addressee->is_unrouted = false;
	}
	return addressee;
}

void owed_reroute_all(struct owed *owed)
{
	for (struct addressee *addressee = owed->oldest; addressee != NULL;
		addressee = addressee->newer)
		if (!addressee->is_unrouted)
			unrouted_add(owed, addressee);
}

void owed_reroute_lost(struct owed *owed)
{
	for (struct addressee *addressee = owed->oldest; addressee != NULL;
		addressee = addressee->newer)
		if (addressee->pairs == NULL && !addressee->is_unrouted)
			unrouted_add(owed, addressee);
}

void owed_reroute(struct owed *owed, const struct target *target)
{
	for (const struct pair *pair = target->owed; pair != NULL; pair = pair->next)
		if (pair->via != VIA_CONFIGURED && !pair->addressee->is_unrouted)
			unrouted_add(owed, pair->addressee);
}

struct addressee *owed_find(struct owed *owed, const char *user)
{
	size_t length = strlen(user);

	return addressee_find(owed, user, length, hash_of_user(owed, user, length));
}

void owed_route_begin(struct owed *owed, struct addressee *addressee)
{
	unrouted_remove(owed, addressee);
	addressee_drop_pairs(owed, addressee);
}

void owed_route_add(struct owed *owed, struct addressee *addressee,
	const struct destination *destination, const char *name, enum via via)
{
	struct target *target = target_of(owed, destination, name, instant_now());
	struct pair *pair;

	for (pair = addressee->pairs; pair != NULL; pair = pair->next_of_addressee)
		if (pair->target == target)
			return;
	pair = target == NULL ? NULL : calloc(1, sizeof(*pair));
	if (pair == NULL) {
		owed->counts.refused++;
		return;
	}
	*pair = (struct pair){ .addressee = addressee,
		.target = target,
		.via = via,
		.next_of_addressee = addressee->pairs };
	addressee->pairs = pair;
	idle_remove(owed, target);
	target->pairs_count++;
	if (addressee->record->due_last > target->record->covered)
		pair_owe(owed, pair,
			later(addressee->record->due_first, target->record->covered + 1));
}

void owed_route_end(struct owed *owed, struct addressee *addressee)
{
	if (addressee->pairs_owed == 0)
		addressee_free(owed, addressee);
}

/* ---- Numbers ---- */

const struct owed_counts *owed_counts(const struct owed *owed)
{
	return &owed->counts;
}

uint32_t owed_users(const struct owed *owed)
{
	return owed->users;
}

uint32_t owed_busy(const struct owed *owed)
{
	return owed->busy;
}

uint32_t owed_targets(const struct owed *owed)
{
	return owed->targets_owed;
}
