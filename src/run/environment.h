/* SPDX-License-Identifier: ISC */
/*
 * The action's environment: made from nothing, nmnotify(8) ENVIRONMENT. Of the super-server's
 * environment the action gets what `pass` names, and nothing else.
 *
 * In the waiter: as the account's user, under the policy that the account names.
 */
#ifndef NMNOTIFY_ENVIRONMENT_H
#define NMNOTIFY_ENVIRONMENT_H

#include "run/job.h"

enum base_variable {
	VARIABLE_PATH,
	VARIABLE_HOME,
	VARIABLE_USER,
	VARIABLE_LOGNAME,
	VARIABLE_SHELL,
	VARIABLE_ACCOUNT,
	VARIABLE_SOURCE,
	VARIABLE_RUNTIME,
	VARIABLE_FAILURES,
	VARIABLE_STATUS,
	VARIABLES
};

struct environment {
	char text[VARIABLES][sizeof("NMNOTIFY_ACCOUNT=") + USER_TEXT_MAX];
	char *variable[VARIABLES + CONF_PASS_MAX + CONF_ENV_MAX + 1];
	unsigned count;
};

/* Into an empty one. Its strings are its own, the configuration's and our own environment's. */
void environment_make(struct environment *environment, const struct job *job);

/* A variable's value; NULL: it is not there. */
const char *environment_value(const struct environment *environment, const char *name);

#endif
