/* SPDX-License-Identifier: ISC */
/*
 * For a program that is taken over: tries what it should not be able to do, and what it should, and
 * writes to standard error what went through that should not (`through CALL`) and what did not that
 * should (`refused CALL`).
 */
#ifndef NMNOTIFY_TAKEN_H
#define NMNOTIFY_TAKEN_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static unsigned tried;

static void note(const char *what, bool is_done, bool should)
{
	tried++;
	if (is_done != should)
		fprintf(stderr, "%s %s: %s\n", should ? "refused" : "through", what,
			strerror(errno));
}

#define TRY(call) note(#call, (call) >= 0, false)
#define CAN(call) note(#call, (call) >= 0, true)

/* By the filter: another error says that the kernel has looked at it. */
#define FILTERED(call) note(#call, (call) >= 0 || errno != EPERM, false)

/* A path there. Valid until the call after the next. */
static const char *beside(const char *directory, const char *name)
{
	static char path[2][1024];
	static unsigned turn;

	turn = 1 - turn;
	(void)snprintf(path[turn], sizeof(path[turn]), "%s/%s", directory, name);
	return path[turn];
}

#endif
