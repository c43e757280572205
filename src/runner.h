/* SPDX-License-Identifier: ISC */
/*
 * The runner of nmnotifyd: has the privileges and the log, and never sees a byte of the network.
 * It forks a process for each turn that the network process asks for, keeps debts paid when one
 * is killed, and speaks to the service manager.
 */
#ifndef NMNOTIFY_RUNNER_H
#define NMNOTIFY_RUNNER_H

#include <sys/types.h>

#include "program.h"
#include "share.h"

struct runner {
	struct program *program;
	struct desks *desks;
	struct board *board;
	int requests; /* our end of the socket pair */
	int signals;  /* signalfd(2): SIGCHLD, SIGTERM, SIGINT; the signals are blocked */
	pid_t network;
};

/*
 * Runs until the network process ends or a signal asks to stop. Returns the exit status: EX_OK
 * when it was idle or asked to stop, EX_OSERR when the network process died.
 */
int runner_run(struct runner *runner);

#endif
