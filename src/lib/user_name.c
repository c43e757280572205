/* SPDX-License-Identifier: ISC */
#include "lib/user_name.h"

#include "lib/text.h"

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
