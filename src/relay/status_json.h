/* SPDX-License-Identifier: ISC */
/*
 * Parts of the JSON objects that the relay answers with. Without memory a member is not there. What
 * returns a value gives it to the caller.
 *
 * In the relay: as the user it was started as; under relay.policy.
 */
#ifndef NMNOTIFY_STATUS_JSON_H
#define NMNOTIFY_STATUS_JSON_H

#include <jansson.h>

#include "relay/owed.h"

/* Of the contract that nmnotify-relay(8) writes down: another one if a member that is there goes,
 * or gets another meaning. */
#define STATUS_FORMAT 1

/* Entries of a list. */
#define STATUS_LIST_MAX 100

/* Each takes the value. */
void status_set(json_t *object, const char *member, json_t *value);
void status_add(json_t *list, json_t *value);

void status_set_number(json_t *object, const char *member, uint64_t number);

/* A text of any bytes: as it is if it is UTF-8, else with \xHH for what is not printable ASCII.
 * NULL is null. */
json_t *status_text(const char *text);

json_t *status_address(const struct source *address);

/* Seconds of CLOCK_REALTIME; 0 is null. */
json_t *status_seconds(uint64_t seconds);
uint64_t status_now(void);

/* The same of an instant, by the clock as it is set now. */
json_t *status_instant(struct instant at);

/* How long until then, in milliseconds; null: never. */
json_t *status_until(struct instant at);

/* Adds a target to a list: a target_viewer. */
void status_add_target(void *list, const struct target_look *look);

json_t *status_wrong(const char *why);

/* One line of ASCII, of so many bytes with its LF, and no NUL. NULL: no memory; else the caller's
 * to free. `answer` may be NULL, too. */
char *status_write(const json_t *answer, size_t *length);

#endif
