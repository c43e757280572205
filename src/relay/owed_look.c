/* SPDX-License-Identifier: ISC */
/* For who asks what is owed: nothing is changed here. In the relay. */
#include "relay/owed_parts.h"

#include <string.h>

static void show(const struct target *target, target_viewer *viewer, void *context)
{
	const struct target_look seen = { .destination = &target->destination,
		.name = target_name(target),
		.is_busy = target->is_busy,
		.next = target->entry.place == 0
				? INSTANT_NEVER
				: (struct instant){ .ms = target->entry.at >> STAMP_BITS },
		.since = target->failing_since,
		.failures = target->record->failures,
		.reason = target->reason };

	viewer(context, &seen);
}

uint32_t owed_look_failing(
	const struct owed *owed, unsigned most, target_viewer *viewer, void *context)
{
	const struct target *target = owed->first_failing;

	for (unsigned i = 0; i < most && target != NULL; i++, target = target->failing_next)
		show(target, viewer, context);
	return owed->failing;
}

bool owed_look_user(const struct owed *owed, const char *user, struct addressee_look *look,
	target_viewer *viewer, void *context)
{
	size_t length = strlen(user);
	const struct addressee *addressee =
		addressee_find(owed, user, length, hash_of_user(owed, user, length));

	if (addressee == NULL)
		return false;
	look->noted.ms = addressee->record->noted >> STAMP_BITS;
	look->ends = instant_add(look->noted, owed->bounds.keep);
	look->is_routed = addressee->pairs != NULL;
	for (const struct pair *pair = addressee->pairs; pair != NULL;
		pair = pair->next_of_addressee)
		if (pair->is_owed)
			show(pair->target, viewer, context);
	return true;
}
