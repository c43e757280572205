/* SPDX-License-Identifier: ISC */
/*
 * More users than belong in a file: a table of LMDB, read only, that the administrator makes with
 * mdb_load(1) and puts in the place of the old one. Key: the user. Value: as behind `user PATTERN`.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_TABLE_H
#define NMNOTIFY_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct table;

/* A line for the log: the table is away, is back. `message` names it, and says why. */
typedef void table_logger(void *context, const char *message);

/* `text`: lmdb:PATH, a file or a directory; it is not copied. Never fails for a table that is away;
 * NULL without memory. */
struct table *table_open(const char *text, table_logger *logger, void *context);
void table_close(struct table *table);

/* The user's value, good until the next call; NULL: there is none. What was put in its place since
 * the last call is opened now. */
const char *table_find(struct table *table, const char *user, size_t *length);

/* Can it be read now? NULL, or what is wrong: for -t. */
const char *table_check(const char *text);

#endif
