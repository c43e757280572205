/* SPDX-License-Identifier: ISC */
/*
 * The relay's child that looks up names: its start and its end. Nothing here waits.
 *
 * In the relay; and in the child, as the relay's user and under the relay's filter, until it is
 * executed anew.
 */
#ifndef NMNOTIFY_RESOLVER_PROCESS_H
#define NMNOTIFY_RESOLVER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/clock.h"

struct resolver_process {
	int image, nowhere; /* this program's own file, and /dev/null */
	int fd;             /* of the pair, while it is believed to live; else -1 */
	pid_t pid;          /* until it has been waited for; else 0 */
};

/* Opens what it takes to start one, in a relay that may still open files. False with errno set. */
bool resolver_process_prepare(struct resolver_process *process);

/* For one whose `pid` is 0. False with errno set. */
bool resolver_process_start(struct resolver_process *process, struct span timeout);

/* Whatever it does: it is no longer heard, and will be killed. */
void resolver_process_kill(struct resolver_process *process);

/* Of one that is no longer heard: has it ended? Then there is none; *status is wait(2)'s. */
bool resolver_process_has_ended(struct resolver_process *process, int *status);

/* Ends it, waits for that, and closes all. */
void resolver_process_close(struct resolver_process *process);

#endif
