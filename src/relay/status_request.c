/* SPDX-License-Identifier: ISC */
/* In the relay. */
#include "relay/status_request.h"

#include <string.h>

#define USER "user "

static const char *line_take(struct status_request *request, const char *line, size_t length)
{
	static const char status[] = "status";
	const size_t before = sizeof(USER) - 1;
	const char *wrong;

	if (length == sizeof(status) - 1 && memcmp(line, status, length) == 0) {
		request->kind = STATUS_ALL;
		return NULL;
	}
	if (length < before || memcmp(line, USER, before) != 0)
		return "the line is neither 'status' nor 'user NAME'";
	wrong = user_name_wrong(line + before, length - before);
	if (wrong != NULL)
		return wrong;
	request->kind = STATUS_USER;
	memcpy(request->user, line + before, length - before);
	request->user[length - before] = '\0';
	return NULL;
}

const char *status_request_take(struct status_request *request, const char *bytes, size_t length,
	bool at_end, bool *is_whole)
{
	const char *end = memchr(bytes, '\n', length);

	*is_whole = end != NULL || at_end || length >= STATUS_REQUEST_MAX;
	if (!*is_whole)
		return NULL;
	if (end == NULL)
		return length >= STATUS_REQUEST_MAX ? "the line is too long"
						    : "the line does not end";
	return line_take(request, bytes, (size_t)(end - bytes));
}
