/* SPDX-License-Identifier: ISC */
/*
 * A proxied notice: what nmnotify-relay-proxy hands on to the relay, in one datagram:
 *
 *     from UID GID SECONDS NANOSECONDS NOTICE
 *
 * All four are decimal numbers, and the kernel's own words: who has sent the notice, and when it
 * came (CLOCK_REALTIME).
 *
 * In the proxy, and in the relay: see there.
 */
#ifndef NMNOTIFY_PROXIED_H
#define NMNOTIFY_PROXIED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the proxy says once, by itself: it has handed on all that waited when it began. */
#define PROXIED_CAUGHT_UP "caught-up"

/* What stands before the notice has no more bytes. */
#define PROXIED_MAX 64

struct proxied {
	uint32_t uid, gid;
	uint32_t seconds, nanoseconds;
};

/* Writes what stands before the notice: how many bytes. */
size_t proxied_write(const struct proxied *proxied, char bytes[static PROXIED_MAX]);

/* Takes it: then `bytes` are the notice. False: there is none. */
bool proxied_take(struct proxied *proxied, const char **bytes, size_t *length);

#endif
