/* SPDX-License-Identifier: ISC */
/*
 * What the network process says to the runner: requests of one size, through a socket pair. The
 * runner says one thing only, by any byte: that another serves the sockets now. It trusts no
 * byte of a request.
 *
 * The runner's check runs as who started it, with no filter but the unit's.
 */
#ifndef NMNOTIFY_REQUEST_H
#define NMNOTIFY_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "lib/source.h"

enum request_kind {
	REQUEST_READY, /* the network process serves */
	REQUEST_TURN,  /* a process must take its turn: for a line, or for a dead process's debt */
	REQUEST_LOG,   /* write a line; it was counted and admitted already */
	REQUEST_ALIVE, /* the network process goes round its loop */
};

#define ACCOUNT_NONE UINT32_MAX

/* Any bytes of this size are safe for the runner. */
struct request {
	uint32_t kind;
	uint32_t account;                       /* index, or ACCOUNT_NONE */
	uint32_t number;                        /* REQUEST_TURN: see progress.h */
	uint32_t has_line, allowed, is_charged; /* REQUEST_TURN: as in struct decision */
	uint32_t noted;                         /* REQUEST_TURN: as in struct turn */
	uint32_t verdict, reason, suppressed;   /* REQUEST_LOG; an enum line_reason */
	struct source source;
};

/* Checks a request as it came; false if it is none. Every field is in its range afterwards, and a
 * line's source is one that its account takes. */
bool request_check(struct request *request, const struct conf *conf);

#endif
