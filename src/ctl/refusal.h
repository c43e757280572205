/* SPDX-License-Identifier: ISC */
/*
 * Says of a system call that was refused what it was, who refused it, and what would allow it.
 */
#ifndef NMNOTIFY_REFUSAL_H
#define NMNOTIFY_REFUSAL_H

#include "conf/conf.h"
#include "ctl/trace.h"
#include "lib/users.h"
#include "policy/policy.h"

/* What was said once is not said again; after so many different ones the rest is only counted. */
#define REFUSALS_MOST 256

struct refusals {
	const struct account *account;
	const struct policy *policy; /* the account's */
	const struct user *user;     /* whom the action runs as */
	const char *own[2];          /* paths of nmnotify's: no action may reach what is there */
	unsigned count;              /* all, also those that were said before */
	unsigned said_count;
	uint64_t said[REFUSALS_MOST]; /* hashes of what was said */
};

/* A trace_watcher; `context` is the refusals. Writes a line to standard error for a call that was
 * refused: by the account's policy, or with EACCES, EPERM or EROFS. */
void refusal_watch(void *context, const struct traced_call *traced);

#endif
