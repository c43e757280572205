/* SPDX-License-Identifier: ISC */
/*
 * The form of a line that a mail server logs at a login: text, and places in it.
 *
 *     %u    the user
 *     %a    the address
 *     %*    anything, or nothing
 *     %%    a '%'
 *
 * A user's name is a stranger's to choose, and may look like the rest of the line. So a line is not
 * read from its front, where the first thing that fits is taken: all ways to read it count, with
 * any bytes in any place. Only if they agree about who it is and from where, and that is a user and
 * an address, it is a login. That takes time in proportion to the square of the line's length at
 * worst.
 *
 * In the process of nmnotify-relay-logs: under logs.policy.
 */
#ifndef NMNOTIFY_PATTERN_H
#define NMNOTIFY_PATTERN_H

#include <stddef.h>

#include "lib/source.h"
#include "lib/user_name.h"

#define PATTERN_PARTS_MAX 16

/* Of a line: what Dovecot or Cyrus logs at a login has some 200 bytes. */
#define LOG_LINE_MAX 1024

enum part_kind { PART_TEXT, PART_USER, PART_ADDRESS, PART_ANY };

struct part {
	enum part_kind kind;
	const char *text; /* of PART_TEXT: not ended by a NUL */
	size_t length;
};

struct pattern {
	struct part part[PATTERN_PARTS_MAX];
	unsigned parts;
};

/* Who has logged in, and from where. */
struct sighting {
	char user[USER_NAME_MAX + 1];
	char address[SOURCE_TEXT_MAX]; /* as lib/source.h writes it */
};

enum meaning {
	MEANS_NOTHING, /* it is not of that form */
	MEANS_LOGIN,
	MEANS_UNCLEAR, /* it is, but can be read in ways that differ, or says no user and address */
};

/* Takes a pattern apart, in place: its parts point into `text`. NULL, or what is wrong with it. */
const char *pattern_parse(struct pattern *pattern, char *text);

/* What the line says by this pattern. */
enum meaning pattern_read(
	const struct pattern *pattern, const char *line, size_t length, struct sighting *sighting);

/* The same line by two patterns, or two servers: *sighting and `meaning` become what it says by
 * both. */
enum meaning meaning_join(struct sighting *sighting, enum meaning meaning,
	const struct sighting *other, enum meaning other_meaning);

#endif
