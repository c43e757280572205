/* SPDX-License-Identifier: ISC */
/*
 * What an account's state means at the moment of its snapshot: PROTOCOL.md has the words. Every bit
 * pattern of a state means something (G6); what cannot be is left out here.
 */
#ifndef NMNOTIFY_ACCOUNT_STATUS_H
#define NMNOTIFY_ACCOUNT_STATUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "ctl/snapshot.h"

/* What the next start waits for. */
enum next_why {
	NEXT_NONE,     /* nothing is owed */
	NEXT_NOW,      /* for nothing */
	NEXT_LIMIT,    /* the limit of the source that sent the line */
	NEXT_INTERVAL, /* from the last start on */
	NEXT_RUN,      /* the end of the run in progress, whenever that is */
	NEXT_RETRY,    /* a run that has failed is tried again; a line does not wait for that */
	NEXT_DEBT,     /* the next connection, or nmnotifyd: whoever owed it is dead */
	NEXT_WHYS
};

/* Where lines are limited: cells of the limiter (limiter.c). A source has LIMITER_CELLS. */
struct limit_fill {
	uint32_t used;    /* cells that count something */
	uint32_t full;    /* those of them whose sources would have to wait */
	uint32_t fullest; /* starts that the fullest of them counts; from the burst on, it waits */
};

struct account_status {
	bool has_last;
	uint64_t last_ago; /* milliseconds, since the last start */
	bool is_waiting;   /* a process waits for its start */
	bool is_retrying;  /* somebody sees to it that a run that has failed is tried again */
	bool is_running;
	pid_t action;     /* if it runs: its process, as it wrote itself down */
	bool has_end;     /* it is known when the last run ended */
	uint64_t end_ago; /* milliseconds, since then */
	enum next_why next;
	struct span interval;  /* what is left of it since the last start */
	struct span next_in;   /* from now; of NEXT_RUN: at the earliest, of NEXT_DEBT: then */
	bool due, owed, asked; /* debts, by their word in the state: each of a dead process */
	struct limit_fill limit;
};

struct account_status account_status(
	const struct snapshot *snapshot, const struct account *account);

/* In the documents that `status` prints: "limit". */
const char *next_why_name(enum next_why why);

#endif
