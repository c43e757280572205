/* SPDX-License-Identifier: ISC */
/*
 * The runner's children that take turns: one for each REQUEST_TURN, and for each debt of a process
 * that died. One becomes the waiter; others find that there is one, and end.
 *
 * In the runner, as who started it, with no filter but the unit's; and from the fork to the verdict
 * in its child, which becomes the account's user, under the account's policy.
 */
#ifndef NMNOTIFY_TURN_PROCESS_H
#define NMNOTIFY_TURN_PROCESS_H

#include "daemon/runner.h"

/* Starts one. If that fails, what it was for stays owed, and is tried again. */
void turn_process_start(
	struct runner *runner, struct generation *generation, const struct request *request);

/* A child of the runner's, or of one of its children, has ended; `status` is wait(2)'s. */
void turn_process_ended(struct runner *runner, pid_t pid, int status);

/* The children that a generation has; if `account` is not ACCOUNT_NONE, that one's alone. */
unsigned turn_processes_of(
	const struct runner *runner, const struct generation *generation, unsigned account);

/* Tells the network processes how many there are, or will be: none ends for idleness as long as
 * there are. */
void turn_processes_tell(const struct runner *runner);

/* The debts of dead processes are paid at once, runs that have failed when they are owed again. */
void debts_pay(struct runner *runner);

#endif
