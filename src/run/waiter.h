/* SPDX-License-Identifier: ISC */
/*
 * The waiter: the one process of an account that will start the action.
 *
 * In the handler, or in a turn process of nmnotifyd: as the account's user, under the policy that
 * the account names.
 */
#ifndef NMNOTIFY_WAITER_H
#define NMNOTIFY_WAITER_H

#include "run/job.h"

/* What this process exits with if the system refuses it something (sysexits.h's EX_OSERR). */
#define STATUS_REFUSED 71

/*
 * For a job whose decision is that this process is the waiter: sleeps until its turn has come,
 * starts the action, waits for its end or its timeout, logs, and returns the exit status of this
 * process. Descriptor 0 must be /dev/null.
 */
int waiter_run(struct job *job);

/*
 * Behind that: has the run failed, and is it now for this process to try again? Sleeps until it is
 * known. Then waiter_run() must be called once more.
 */
bool waiter_retries(struct job *job);

#endif
