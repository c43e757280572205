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

/*
 * Of a user: where his line goes now, and why. `last`: what the store has answered. Names that are
 * not known yet are asked for: then *is_whole is false, and it is worth it to ask again later.
 */
json_t *status_answer_user(
	struct relay *relay, const char *user, const struct last_addresses *last, bool *is_whole);

#endif
