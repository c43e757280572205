/* SPDX-License-Identifier: ISC */
/*
 * An account's state as it is at one moment: a copy, since whoever has the state mapped dies if its
 * file is cut off. Nothing is made, written or locked: fcntl(2) says who holds a lock without
 * taking it.
 */
#ifndef NMNOTIFY_SNAPSHOT_H
#define NMNOTIFY_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/clock.h"
#include "state/state.h"
#include "state/turn.h"

enum snapshot_found {
	SNAPSHOT_READ,
	SNAPSHOT_NONE,   /* no process of the account has made one yet */
	SNAPSHOT_FAILED, /* `error` says why */
};

struct snapshot {
	struct state state;
	struct moment now;
	uint32_t last_written; /* the word of the turn file */
	uint64_t written_ago;  /* milliseconds, by the clock that can be set: when it was written */
	uint64_t uptime;       /* milliseconds */
	uid_t owner;           /* of the turn file: the account's user */
	struct turn_locks locks;
};

/* Reads the state of `account` below the directory `base`. */
enum snapshot_found snapshot_read(
	struct snapshot *snapshot, int base, const char *account, struct state_error *error);

/* How often the verdict `denied` was given to sources that no account takes. */
enum snapshot_found snapshot_denied(int base, uint32_t *count, struct state_error *error);

#endif
