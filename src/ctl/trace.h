/* SPDX-License-Identifier: ISC */
/*
 * Follows a program and all that it starts, by ptrace(2), and shows each system call as it ends.
 */
#ifndef NMNOTIFY_TRACE_H
#define NMNOTIFY_TRACE_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct traced_call {
	pid_t process;            /* or thread */
	struct seccomp_data call; /* as a filter sees it */
	int64_t result;           /* negative: an errno */
	bool has_result;          /* not if it was killed for it */
};

/* Is called while the process stands still at the end of the call. It can be looked into by
 * /proc/PID. */
typedef void trace_watcher(void *context, const struct traced_call *traced);

struct trace {
	trace_watcher *watcher; /* for the calls of all that the program executes */
	void *context;
};

/*
 * Executes `words` and waits for its end: the status is wait(2)'s. False with errno set if it could
 * not be started. If this process may not trace another (ptrace(2), Yama), it runs all the same,
 * *is_watched is false, and nothing is shown. Signals that a terminal sends are the program's.
 */
bool trace_run(const struct trace *trace, char *const *words, int *status, bool *is_watched);

#endif
