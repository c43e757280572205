/* SPDX-License-Identifier: ISC */
/*
 * What the relay says of itself, as JSON objects. Lists are cut, and then `more` says how many are
 * not there. NULL: no memory.
 *
 * In the relay: as the user it was started as; under relay.policy.
 */
#ifndef NMNOTIFY_STATUS_ANSWER_H
#define NMNOTIFY_STATUS_ANSWER_H

#include <jansson.h>

#include "relay/relay.h"

json_t *status_answer(const struct relay *relay);
json_t *status_answer_wrong(const char *why);

/* A text of any bytes: as it is if it is UTF-8, else with \xHH for what is not printable ASCII.
 * NULL is null. */
json_t *status_text(const char *text);

/* One line of ASCII, of so many bytes with its LF, and no NUL. NULL: no memory; else the caller's
 * to free. `answer` may be NULL, too. */
char *status_write(const json_t *answer, size_t *length);

#endif
