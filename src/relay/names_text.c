/* SPDX-License-Identifier: ISC */
/* In the relay: what is a name, and how it is compared. */
#include <string.h>

#include "lib/text.h"
#include "relay/names.h"

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* One label: its length, or 0 for one that is none. */
static size_t label_take(const char *from, char *to)
{
	size_t length = 0;

	for (; from[length] != '\0' && from[length] != '.'; length++) {
		char c = lower(from[length]);

		if (length == 63 || !(is_letter(c) || is_digit(c) || c == '-' || c == '_'))
			return 0;
		to[length] = c;
	}
	return length > 0 && from[0] != '-' && from[length - 1] != '-' ? length : 0;
}

static bool is_number(const char *label, size_t length)
{
	while (length > 0 && is_digit(label[length - 1]))
		length--;
	return length == 0;
}

const char *name_take(const char *name, char taken[static DNS_NAME_MAX + 1])
{
	size_t length = strnlen(name, DNS_NAME_MAX + 2), at = 0, label = 0;

	if (length > 0 && name[length - 1] == '.')
		length--;
	if (length == 0)
		return "it is no name: it is empty";
	if (length > DNS_NAME_MAX)
		return "it is no name: a name has at most 253 characters";
	for (; at < length; at += label + 1) {
		label = label_take(name + at, taken + at);
		if (label == 0)
			return "it is no name: between dots are at most 63 letters, digits, _, "
			       "and - in the middle";
		taken[at + label] = at + label < length ? '.' : '\0';
	}
	if (at != length + 1)
		return "it is no name: it has two dots at its end";
	/* inet_aton(3) would take 127.1 for an address. */
	if (is_number(taken + length - label, label))
		return "it is no name: a name does not end with a number";
	return NULL;
}
