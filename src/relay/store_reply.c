/* SPDX-License-Identifier: ISC */
/* In the relay's process. */
#include "relay/store_reply.h"

#include <stdbool.h>
#include <string.h>

#include "lib/text.h"

/* What is left to be read. */
struct rest {
	const char *at, *end;
};

/* Both are the kind of the whole reply if something is missing or wrong. */
#define FINE REPLY_STATUS

/* A line up to CR LF. */
static enum reply_kind take_line(struct rest *rest, struct slice *line)
{
	size_t length = (size_t)(rest->end - rest->at);
	const char *cr = memchr(rest->at, '\r', length);

	if (cr == NULL || cr + 1 == rest->end)
		return length < REPLY_SIZE_MAX ? REPLY_MORE : REPLY_BAD;
	if (cr[1] != '\n')
		return REPLY_BAD;
	*line = (struct slice){ .bytes = rest->at, .length = (size_t)(cr - rest->at) };
	rest->at = cr + 2;
	return FINE;
}

/* Nothing but -?digits, of which as many as cannot overflow. */
static bool integer_of(struct slice line, int64_t *integer)
{
	bool is_negative = line.length > 0 && line.bytes[0] == '-';
	int64_t number = 0;

	if (is_negative) {
		line.bytes++;
		line.length--;
	}
	if (line.length == 0 || line.length > 18)
		return false;
	for (size_t i = 0; i < line.length; i++) {
		if (!is_digit(line.bytes[i]))
			return false;
		number = number * 10 + (line.bytes[i] - '0');
	}
	*integer = is_negative ? -number : number;
	return true;
}

static enum reply_kind take_integer(struct rest *rest, int64_t *integer)
{
	struct slice line;
	enum reply_kind kind = take_line(rest, &line);

	if (kind != FINE)
		return kind;
	return integer_of(line, integer) ? FINE : REPLY_BAD;
}

/* Behind its '$'. REPLY_NONE: nil. */
static enum reply_kind take_text(struct rest *rest, struct slice *text)
{
	int64_t length;
	enum reply_kind kind = take_integer(rest, &length);

	if (kind != FINE)
		return kind;
	if (length == -1)
		return REPLY_NONE;
	if (length < 0 || length > REPLY_SIZE_MAX)
		return REPLY_BAD;
	if (rest->end - rest->at < length + 2)
		return REPLY_MORE;
	*text = (struct slice){ .bytes = rest->at, .length = (size_t)length };
	rest->at += length;
	if (memcmp(rest->at, "\r\n", 2) != 0)
		return REPLY_BAD;
	rest->at += 2;
	return FINE;
}

static enum reply_kind take_item(struct rest *rest, struct slice *item)
{
	enum reply_kind kind;

	if (rest->at == rest->end)
		return REPLY_MORE;
	if (*rest->at++ != '$')
		return REPLY_BAD;
	kind = take_text(rest, item);
	return kind == REPLY_NONE ? REPLY_BAD : kind;
}

/* Behind its '*'. */
static enum reply_kind take_list(struct rest *rest, struct reply *reply)
{
	int64_t count;
	enum reply_kind kind = take_integer(rest, &count);

	if (kind != FINE)
		return kind;
	if (count == -1)
		return REPLY_NONE;
	if (count < 0 || count > REPLY_ITEMS_MAX)
		return REPLY_BAD;
	for (reply->count = 0; reply->count < count; reply->count++) {
		kind = take_item(rest, &reply->item[reply->count]);
		if (kind != FINE)
			return kind;
	}
	return REPLY_LIST;
}

/* `wanted`, if nothing is missing or wrong. */
static enum reply_kind if_fine(enum reply_kind kind, enum reply_kind wanted)
{
	return kind == FINE ? wanted : kind;
}

static enum reply_kind take_reply(struct rest *rest, struct reply *reply)
{
	if (rest->at == rest->end)
		return REPLY_MORE;
	switch (*rest->at++) {
	case '+': return if_fine(take_line(rest, &reply->text), REPLY_STATUS);
	case '-': return if_fine(take_line(rest, &reply->text), REPLY_ERROR);
	case ':': return if_fine(take_integer(rest, &reply->integer), REPLY_INTEGER);
	case '$': return if_fine(take_text(rest, &reply->text), REPLY_TEXT);
	case '*': return take_list(rest, reply);
	default: return REPLY_BAD;
	}
}

struct reply reply_read(const char *bytes, size_t length)
{
	struct rest rest = { .at = bytes, .end = bytes + length };
	struct reply reply = { .kind = REPLY_MORE };

	reply.kind = take_reply(&rest, &reply);
	reply.length = (size_t)(rest.at - bytes);
	/* However it was cut into pieces. */
	if (reply.length > REPLY_SIZE_MAX || (reply.kind == REPLY_MORE && length >= REPLY_SIZE_MAX))
		reply.kind = REPLY_BAD;
	return reply;
}
