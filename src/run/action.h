/* SPDX-License-Identifier: ISC */
/*
 * Runs an account's action as a child and supervises it to its end. The child gets no descriptor
 * but 0, 1, 2, an environment made from nothing, default signals, a session of its own, and the
 * confinement that this process is already under. It dies with this process.
 */
#ifndef NMNOTIFY_ACTION_H
#define NMNOTIFY_ACTION_H

#include "conf/conf.h"
#include "run/decision.h"
#include "state/tally.h"
#include "lib/users.h"

/* What this process exits with if the system refuses it something (sysexits.h's EX_OSERR). */
#define STATUS_REFUSED 71

/* Exit statuses of sh(1) for what could not be executed, and for a signal. */
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND      127
#define STATUS_SIGNAL         128

struct action {
	const struct conf *conf;
	const struct account *account;
	const struct user *user;
	const char *source; /* as text, for NMNOTIFY_SOURCE */
	struct tally *tally;
};

/*
 * For the waiter: sleeps until its turn has come, starts the action, waits for its end or its
 * timeout, logs, and returns the exit status of this process. Descriptor 0 must be /dev/null.
 */
int action_run(const struct action *action, struct decision *decision);

#endif
