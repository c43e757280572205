/* SPDX-License-Identifier: ISC */
/* What became of a connection: the same words in the log, the counters and the documentation. */
#ifndef NMNOTIFY_VERDICT_H
#define NMNOTIFY_VERDICT_H

enum verdict {
	VERDICT_ACCEPTED,  /* its action starts now */
	VERDICT_DEFERRED,  /* it became the waiter */
	VERDICT_COALESCED, /* a start that is still to come covers it */
	VERDICT_DENIED,    /* no account takes this source */
	VERDICT_MALFORMED, /* not the line */
	VERDICT_TIMEOUT,   /* no whole line in time */
	VERDICT_ERROR,     /* our own failure */
	VERDICTS
};

const char *verdict_name(enum verdict verdict);

#endif
