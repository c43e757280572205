/* SPDX-License-Identifier: ISC */
/* For who asks what is owed: nothing is changed here. In the relay. */
#include "relay/owed_parts.h"

static void look(const struct target *target, target_viewer *viewer, void *context)
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
		look(target, viewer, context);
	return owed->failing;
}
