/* SPDX-License-Identifier: ISC */
/* What proc(5) says of a process. */
#ifndef NMNOTIFY_CTL_PROCESS_H
#define NMNOTIFY_CTL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/text.h"

/* The kernel keeps 15 bytes of a name, which the process may change; here each can be \xHH. */
#define PROCESS_COMMAND_MAX 64

struct process {
	char command[PROCESS_COMMAND_MAX]; /* escaped, for people */
	uint64_t age;                      /* milliseconds */
};

/* False: there is no such process, or it is not of the user `owner`, or nobody may know. */
bool process_look(pid_t pid, uid_t owner, struct process *process);

/* Adds the name of a process, whoever's it is, escaped; nothing if there is no such process. */
void process_name(pid_t pid, struct text *name);

#endif
