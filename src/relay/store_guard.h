/* SPDX-License-Identifier: ISC */
/*
 * Guards calls that read a mapped file whose pages may be missing (somebody has cut it, or the disk
 * fails: SIGBUS) or senseless (SIGSEGV; SIGABRT of malloc(3), if something was written beyond its
 * memory). The call is left, and the caller goes on without the file.
 *
 * It is there because LMDB follows what is in its file wherever that leads: of 1,000 files with one
 * to eight wrong bytes 180 would end the process by these signals, and again at each start. If what
 * it has written elsewhere ends the process later, the next one does not find the file.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_STORE_GUARD_H
#define NMNOTIFY_STORE_GUARD_H

#include <signal.h>
#include <stdbool.h>

/* SIGBUS, SIGSEGV and SIGABRT. Outside of a guarded call they end the process, as ever. */
#define GUARDED_SIGNALS 3

struct guard {
	struct sigaction before[GUARDED_SIGNALS];
};

void guard_open(struct guard *guard);
void guard_close(const struct guard *guard);

typedef int guarded_call(void *context);

/* What the call returns, or `fault`. What it had allocated then is lost: it must not be freed. */
int guard_call(guarded_call *call, void *context, int fault);

/* Leaves the call, if there is one; else returns. */
void guard_leave(void);

#endif
