/* SPDX-License-Identifier: ISC */
/*
 * The resolver as the relay's child: its start and its end. Nothing here waits, but for the last
 * function.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy. And in the
 * child, as the same user and under the same filter, until the resolver is executed.
 */
#ifndef NMNOTIFY_RESOLVER_PROCESS_H
#define NMNOTIFY_RESOLVER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/clock.h"

struct resolver_process {
	int image, nowhere; /* this program's own file, and /dev/null */
	int fd;             /* the relay's end of the pair, while the process is heard; else -1 */
	pid_t pid;          /* until it has been waited for; else 0 */
};

/* Opens what it takes to start one, in a relay that may still open files. False with errno set. */
bool resolver_process_prepare(struct resolver_process *process);

/* For one whose `pid` is 0. False with errno set. */
bool resolver_process_start(struct resolver_process *process, struct span timeout);

/* Kills it, and hears it no more. */
void resolver_process_kill(struct resolver_process *process);

/* Of one that is not heard any more: has it ended? Then .pid is 0, and *status is wait(2)'s. */
bool resolver_process_has_ended(struct resolver_process *process, int *status);

/* Ends it, waits for that, and closes all. */
void resolver_process_close(struct resolver_process *process);

#endif
