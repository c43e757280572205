/* SPDX-License-Identifier: ISC */
/*
 * What the relay can be asked, in one line: `status`, or `user NAME`.
 *
 * In the relay: as the user it was started as; under relay.policy.
 */
#ifndef NMNOTIFY_STATUS_REQUEST_H
#define NMNOTIFY_STATUS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/user_name.h"

enum status_kind { STATUS_ALL, STATUS_USER };

struct status_request {
	enum status_kind kind;
	char user[USER_NAME_MAX + 1];
};

/* "user ", the name, LF */
#define STATUS_REQUEST_MAX (5 + USER_NAME_MAX + 1)

/*
 * Reads the first line of what has come. NULL, or a constant text: why it is none that is answered.
 * `at_end`: no more will come. *is_whole false: more has to come before that is known.
 */
const char *status_request_take(struct status_request *request, const char *bytes, size_t length,
	bool at_end, bool *is_whole);

#endif
