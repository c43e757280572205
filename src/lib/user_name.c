/* SPDX-License-Identifier: ISC */
#include "lib/user_name.h"

#include <stdbool.h>

/* What could end a line of the log, or move a terminal's cursor. */
static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == '\x7f';
}

const char *user_name_wrong(const char *bytes, size_t length)
{
	if (length == 0)
		return "the user has no name";
	if (length > USER_NAME_MAX)
		return "the user's name is longer than " USER_NAME_MAX_TEXT " bytes";
	for (size_t i = 0; i < length; i++)
		if (is_control(bytes[i]))
			return "the user's name has control characters";
	return NULL;
}
