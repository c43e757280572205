/* SPDX-License-Identifier: ISC */
#include "sender/proxied.h"

#include <string.h>

#include "lib/text.h"

#define WORD "from "

/* Numbers have ten digits at most, and each a space. */
_Static_assert(sizeof(WORD) + 4 * (10 + 1) <= PROXIED_MAX, "every number fits");

size_t proxied_write(const struct proxied *proxied, char bytes[static PROXIED_MAX])
{
	struct text text = { .bytes = bytes, .size = PROXIED_MAX };

	text_add(&text, WORD "%u %u %u %u ", proxied->uid, proxied->gid, proxied->seconds,
		proxied->nanoseconds);
	return text.length;
}

bool proxied_take(struct proxied *proxied, const char **bytes, size_t *length)
{
	uint32_t *const numbers[] = { &proxied->uid, &proxied->gid, &proxied->seconds,
		&proxied->nanoseconds };
	size_t size = *length < PROXIED_MAX ? *length : PROXIED_MAX - 1;
	char head[PROXIED_MAX];
	const char *from = head + sizeof(WORD) - 1;

	memcpy(head, *bytes, size);
	head[size] = '\0';
	if (strncmp(head, WORD, sizeof(WORD) - 1) != 0)
		return false;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		uint64_t number;

		if (!number_take(&from, UINT32_MAX, &number) || *from++ != ' ')
			return false;
		*numbers[i] = (uint32_t)number;
	}
	*bytes += from - head;
	*length -= (size_t)(from - head);
	return true;
}
