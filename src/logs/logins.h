/* SPDX-License-Identifier: ISC */
/*
 * The configuration, nmnotify-relay-logs.conf: for each mail server, which records of the journal
 * are its own, and what it logs at a login. Read whole, checked whole, and refused whole if
 * anything in it is wrong.
 *
 * In the process of nmnotify-relay-logs: read before it is confined, used under logs.policy.
 */
#ifndef NMNOTIFY_LOGINS_H
#define NMNOTIFY_LOGINS_H

#include <stdbool.h>

#include "lib/keyword.h"
#include "logs/pattern.h"

#define LOGINS_SERVERS_MAX  32
#define LOGINS_FIELDS_MAX   16 /* of a server */
#define LOGINS_MESSAGES_MAX 16 /* likewise */
#define LOGINS_BYTES_MAX    65536

enum logins_keyword { LOGINS_SERVER, LOGINS_FIELD, LOGINS_MESSAGE, LOGINS_KEYWORDS };

extern const struct keyword logins_keywords[LOGINS_KEYWORDS];

struct login_server {
	struct said_text name;
	const char *field[LOGINS_FIELDS_MAX]; /* NAME=VALUE */
	unsigned fields;
	struct pattern message[LOGINS_MESSAGES_MAX];
	unsigned messages;
	struct said said;
};

struct logins {
	struct login_server server[LOGINS_SERVERS_MAX];
	unsigned servers;
	struct reading reading;
	char memory[LOGINS_BYTES_MAX + 1];
};

void logins_begin(struct logins *logins, report_writer *writer, void *context);

/* The file: reading_file(). */
void logins_file(struct logins *logins, const char *path);

/* Ends the reading. True if nothing was wrong: only then may the rest be used. */
bool logins_end(struct logins *logins);

/* Has the record this field, NAME=VALUE? */
typedef bool logins_has(void *record, const char *field);

/* What a record says, whose field MESSAGE has these bytes, by the servers whose record it is. */
enum meaning logins_read(const struct logins *logins, logins_has *has, void *record,
	const char *message, size_t length, struct sighting *sighting);

#endif
