/* SPDX-License-Identifier: ISC */
/*
 * The runner of nmnotifyd: has the privileges and the log, and never sees a byte of the network.
 * It forks a process for each turn that a network process asks for, keeps debts paid when one is
 * killed, reads the configuration again, and speaks to the service manager. Of a network process it
 * believes no more than an honest one would have to say.
 */
#ifndef NMNOTIFY_RUNNER_H
#define NMNOTIFY_RUNNER_H

#include "daemon/generation.h"

struct runner {
	const struct launch *launch;
	struct generation
		*generation; /* what is served already; at the end, what was served last */
	int signals; /* signalfd(2): SIGCHLD, SIGTERM, SIGINT, SIGHUP; the signals are blocked */
};

/*
 * Runs until the network process ends or a signal asks to stop. Returns the exit status: EX_OK when
 * it was idle or asked to stop, EX_OSERR when the network process died.
 */
int runner_run(struct runner *runner);

#endif
