/* SPDX-License-Identifier: ISC */
/* In the process of nmnotify-relay-logs: a pattern before it is confined, lines under logs.policy.
 */
#include "logs/pattern.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lib/text.h"

/* ---- Patterns ---- */

/* Where the next part goes; NULL: there are too many. */
static struct part *part_add(struct pattern *pattern, enum part_kind kind)
{
	struct part *part = &pattern->part[pattern->parts];

	if (pattern->parts == PATTERN_PARTS_MAX)
		return NULL;
	pattern->parts++;
	*part = (struct part){ .kind = kind };
	return part;
}

static unsigned count_of(const struct pattern *pattern, enum part_kind kind)
{
	unsigned count = 0;

	for (unsigned i = 0; i < pattern->parts; i++)
		count += pattern->part[i].kind == kind;
	return count;
}

/* What has no end of its own would end where a line was cut; what has no beginning of its own,
 * where somebody wants it to. */
static const char *form_wrong(const struct pattern *pattern)
{
	const struct part *last = &pattern->part[pattern->parts - 1];

	if (count_of(pattern, PART_USER) != 1)
		return "has to have one %u, where the user is";
	if (count_of(pattern, PART_ADDRESS) != 1)
		return "has to have one %a, where the address is";
	if (pattern->part[0].kind != PART_TEXT)
		return "has to begin with text, else any line could be meant";
	for (unsigned i = 1; i < pattern->parts; i++)
		if (pattern->part[i].kind != PART_TEXT && pattern->part[i - 1].kind != PART_TEXT)
			return "has to have text between two places, else nobody knows where one "
			       "ends";
	if (last->kind == PART_USER || last->kind == PART_ADDRESS)
		return "has to have text behind %u and %a, else a line that was cut would be taken";
	return NULL;
}

/* '%' is one of the text; else the place that the letter stands for. */
static bool place_of(char letter, enum part_kind *kind)
{
	switch (letter) {
	case 'u': *kind = PART_USER; return true;
	case 'a': *kind = PART_ADDRESS; return true;
	case '*': *kind = PART_ANY; return true;
	case '%': *kind = PART_TEXT; return true;
	default: return false;
	}
}

const char *pattern_parse(struct pattern *pattern, char *text)
{
	struct part *open = NULL; /* the text that goes on */
	char *to = text;

	pattern->parts = 0;
	for (const char *from = text; *from != '\0'; from++) {
		enum part_kind kind = PART_TEXT;

		if (*from == '%' && !place_of(*++from, &kind))
			return "has a % that is none of %u, %a, %* and %%";
		if (kind != PART_TEXT) {
			open = NULL;
			if (part_add(pattern, kind) == NULL)
				return "has too many parts";
			continue;
		}
		if (open == NULL) {
			open = part_add(pattern, PART_TEXT);
			if (open == NULL)
				return "has too many parts";
			open->text = to;
		}
		open->length++;
		*to++ = *from;
	}
	return pattern->parts == 0 ? "is empty" : form_wrong(pattern);
}

/* ---- Lines ---- */

/* Bytes of the line: from, and how many; none: that place has not come yet. */
struct run {
	uint16_t at, length;
};

/* All ways to read the line up to here. */
struct way {
	enum meaning meaning; /* MEANS_NOTHING: there is none */
	struct run user, address;
};

struct reader {
	const char *line;
	size_t length;
	struct way *now, *next; /* length + 1 each: up to which byte */
};

static bool is_same_run(const struct reader *reader, struct run a, struct run b)
{
	return a.length == b.length &&
	       memcmp(reader->line + a.at, reader->line + b.at, a.length) == 0;
}

/* Another way to get to the same byte. */
static void way_join(const struct reader *reader, struct way *way, const struct way *other)
{
	if (way->meaning == MEANS_NOTHING)
		*way = *other;
	else if (other->meaning == MEANS_UNCLEAR ||
		 (other->meaning == MEANS_LOGIN &&
			 (!is_same_run(reader, way->user, other->user) ||
				 !is_same_run(reader, way->address, other->address))))
		way->meaning = MEANS_UNCLEAR;
}

static bool is_here(const struct reader *reader, const struct part *text, size_t at)
{
	return text->length <= reader->length - at &&
	       memcmp(reader->line + at, text->text, text->length) == 0;
}

static void read_text(const struct reader *reader, const struct part *part)
{
	for (size_t at = 0; at <= reader->length; at++)
		if (reader->now[at].meaning != MEANS_NOTHING && is_here(reader, part, at))
			way_join(reader, &reader->next[at + part->length], &reader->now[at]);
}

static void read_any(const struct reader *reader)
{
	struct way way = { .meaning = MEANS_NOTHING };

	for (size_t at = 0; at <= reader->length; at++) {
		way_join(reader, &way, &reader->now[at]);
		reader->next[at] = way;
	}
}

/* The user or the address ends wherever the text behind it comes. */
static void read_place(const struct reader *reader, const struct part *part)
{
	for (size_t at = 0; at <= reader->length; at++) {
		struct way way = reader->now[at];
		struct run *run = part->kind == PART_USER ? &way.user : &way.address;

		for (size_t end = at; way.meaning != MEANS_NOTHING && end <= reader->length;
			end++) {
			if (!is_here(reader, part + 1, end))
				continue;
			*run = (struct run){ .at = (uint16_t)at, .length = (uint16_t)(end - at) };
			way_join(reader, &reader->next[end], &way);
		}
	}
}

static void read_part(const struct reader *reader, const struct part *part)
{
	memset(reader->next, 0, (reader->length + 1) * sizeof(*reader->next));
	if (part->kind == PART_TEXT)
		read_text(reader, part);
	else if (part->kind == PART_ANY)
		read_any(reader);
	else
		read_place(reader, part);
}

/* ---- What they say ---- */

/* Dovecot logs the first bytes of a long name, and three dots: it is somebody else's. */
static bool is_cut(const char *user, size_t length)
{
	return length >= 3 && memcmp(user + length - 3, "...", 3) == 0;
}

static bool user_take(const char *bytes, size_t length, char user[static USER_NAME_MAX + 1])
{
	if (user_name_wrong(bytes, length) != NULL || is_cut(bytes, length))
		return false;
	memcpy(user, bytes, length);
	user[length] = '\0';
	return true;
}

/* Without an interface's name: to look that up would take more than logs.policy has. */
static bool address_take(const char *bytes, size_t length, char address[static SOURCE_TEXT_MAX])
{
	struct source source;

	if (length >= SOURCE_TEXT_MAX || memchr(bytes, '%', length) != NULL)
		return false;
	memcpy(address, bytes, length);
	address[length] = '\0';
	if (!source_parse(address, &source))
		return false;
	(void)source_text(&source, address);
	return true;
}

static bool is_clean(const char *line, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (is_control(line[i]))
			return false;
	return true;
}

enum meaning pattern_read(
	const struct pattern *pattern, const char *line, size_t length, struct sighting *sighting)
{
	static struct way ways[2][LOG_LINE_MAX + 1];
	struct reader reader = { .line = line, .length = length, .now = ways[0], .next = ways[1] };
	const struct way *end;

	if (length > LOG_LINE_MAX || !is_clean(line, length))
		return MEANS_NOTHING;
	memset(ways[0], 0, sizeof(ways[0]));
	ways[0][0].meaning = MEANS_LOGIN;
	for (unsigned i = 0; i < pattern->parts; i++) {
		struct way *read = reader.now;

		read_part(&reader, &pattern->part[i]);
		reader.now = reader.next;
		reader.next = read;
	}
	end = &reader.now[length];
	if (end->meaning != MEANS_LOGIN)
		return end->meaning;
	return user_take(line + end->user.at, end->user.length, sighting->user) &&
			       address_take(line + end->address.at, end->address.length,
				       sighting->address)
		       ? MEANS_LOGIN
		       : MEANS_UNCLEAR;
}

enum meaning meaning_join(struct sighting *sighting, enum meaning meaning,
	const struct sighting *other, enum meaning other_meaning)
{
	if (other_meaning == MEANS_NOTHING)
		return meaning;
	if (meaning == MEANS_NOTHING) {
		*sighting = *other;
		return other_meaning;
	}
	if (meaning == MEANS_LOGIN && other_meaning == MEANS_LOGIN &&
		strcmp(sighting->user, other->user) == 0 &&
		strcmp(sighting->address, other->address) == 0)
		return MEANS_LOGIN;
	return MEANS_UNCLEAR;
}
