/* SPDX-License-Identifier: ISC */
/*
 * What the sender's programs do about what fails. Whoever runs them for a mail system puts what
 * they print into a bounce, and lets their exit status decide about the mail. So without -e it goes
 * to the log alone, and the status is 0; but somebody at a terminal is told.
 *
 * In the process of nmnotify-send or nmnotify-login: as who started it.
 */
#ifndef NMNOTIFY_FAILURE_H
#define NMNOTIFY_FAILURE_H

#include <stdbool.h>

#include "lib/log.h"

struct failures {
	const char *usage;   /* how the program is called */
	bool is_asked;       /* -e: for the truth, on standard error and by the exit status */
	bool is_confined;    /* by failure_confine() */
	bool is_at_terminal; /* as it was when that was called */
	int status;          /* what the process is to end with */
	struct log log;
};

/* Something failed. `what` is its word for the log; `key` and `value` say whom it was about, and
 * `value` may be NULL; `reason` says why. */
void failure_say(struct failures *failures, const char *what, const char *key, const char *value,
	const char *reason);

/* For a process that is about to be confined: what it needs to say something afterwards. */
void failure_confine(struct failures *failures);

/* What is wrong with an option: its value, or, if `option` is : or ?, what getopt(3) means by that.
 * Valid until the next call. */
const char *option_wrong(int option);

/* The program was called in a wrong way. */
void failure_say_usage(struct failures *failures, const char *reason);

/* Prints an answer that was asked for, -h or -V, and ends the process. */
_Noreturn void answer(const char *text);

#endif
