/* SPDX-License-Identifier: ISC */
/* In the relay. Names of users, and reasons, may be strangers' bytes. */
#include "relay/status_json.h"

#include <stdlib.h>

#include "lib/text.h"

/* Each byte of a text can become four. */
#define ESCAPED_MAX 4096

void status_set(json_t *object, const char *member, json_t *value)
{
	(void)json_object_set_new(object, member, value); /* without memory it is not there */
}

void status_add(json_t *list, json_t *value)
{
	(void)json_array_append_new(list, value); /* likewise */
}

void status_set_number(json_t *object, const char *member, uint64_t number)
{
	status_set(object, member, json_integer((json_int_t)number));
}

/* ---- Texts ---- */

json_t *status_text(const char *text)
{
	char bytes[ESCAPED_MAX];
	struct text escaped = TEXT_IN(bytes);
	json_t *value;

	if (text == NULL)
		return json_null();
	value = json_string(text); /* NULL: it is not UTF-8 */
	if (value != NULL)
		return value;
	text_add_escaped(&escaped, text);
	return json_string(bytes);
}

json_t *status_address(const struct source *address)
{
	char bytes[SOURCE_TEXT_MAX];

	return status_text(source_text(address, bytes));
}

/* ---- Times ---- */

json_t *status_seconds(uint64_t seconds)
{
	return seconds == 0 ? json_null() : json_integer((json_int_t)seconds);
}

uint64_t status_now(void)
{
	return clock_milliseconds(CLOCK_REALTIME) / 1000;
}

json_t *status_instant(struct instant at)
{
	int64_t seconds =
		(int64_t)status_now() + ((int64_t)at.ms - (int64_t)instant_now().ms) / 1000;

	return json_integer(seconds > 0 ? seconds : 0);
}

json_t *status_until(struct instant at)
{
	uint64_t now = instant_now().ms;

	if (at.ms == INSTANT_NEVER.ms)
		return json_null();
	return json_integer((json_int_t)(at.ms > now ? at.ms - now : 0));
}

/* ---- Objects ---- */

void status_add_target(void *list, const struct target_look *look)
{
	json_t *object = json_object();

	if (look->name != NULL)
		status_set(object, "name", status_text(look->name));
	else
		status_set(object, "address", status_address(&look->destination->address));
	status_set_number(object, "port", look->destination->port);
	status_set(object, "protocol", json_string(look->destination->is_udp ? "udp" : "tcp"));
	status_set(
		object, "since", look->since.ms == 0 ? json_null() : status_instant(look->since));
	status_set_number(object, "failures", look->failures);
	status_set(object, "busy", json_boolean(look->is_busy));
	status_set(object, "next_ms", status_until(look->next));
	status_set(object, "reason", status_text(look->reason));
	status_add(list, object);
}

json_t *status_wrong(const char *why)
{
	json_t *answer = json_object();

	status_set(answer, "error", status_text(why));
	return answer;
}

char *status_write(const json_t *answer, size_t *length)
{
	const size_t flags = JSON_COMPACT | JSON_ENSURE_ASCII;
	size_t size = answer == NULL ? 0 : json_dumpb(answer, NULL, 0, flags);
	char *bytes = size == 0 ? NULL : malloc(size + 1);

	if (bytes == NULL)
		return NULL;
	(void)json_dumpb(answer, bytes, size, flags); /* as before: nothing has changed */
	bytes[size] = '\n';
	*length = size + 1;
	return bytes;
}
