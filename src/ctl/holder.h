/* SPDX-License-Identifier: ISC */
/* Who has a port of this machine, as proc(5) says. */
#ifndef NMNOTIFY_CTL_HOLDER_H
#define NMNOTIFY_CTL_HOLDER_H

#include <stdbool.h>
#include <sys/types.h>

#include "ctl/process.h"

enum holder_of {
	HOLDER_TCP, /* a listening socket */
	HOLDER_UDP, /* one that is not connected */
};

struct holder {
	bool is_held; /* by a socket, whatever its address */
	pid_t pid;    /* the process with the lowest number; 0: only root may know, or it is gone */
	char command[PROCESS_COMMAND_MAX]; /* its name, escaped; "" with pid 0 */
};

/* If several sockets have it, the first that a process is known of. */
struct holder holder_find(enum holder_of of, unsigned port);

#endif
