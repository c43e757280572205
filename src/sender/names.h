/* SPDX-License-Identifier: ISC */
/*
 * Names are looked up by getent(1), which asks whatever this machine asks: its file of hosts, DNS,
 * multicast DNS. A static program could ask no more than DNS, in its own way; and what answers is
 * read by another process than ours.
 *
 * In the process of nmnotify-send, as who started it, before it is confined; getent is a child of
 * it, as nobody if it is root, under mail.policy.
 */
#ifndef NMNOTIFY_NAMES_H
#define NMNOTIFY_NAMES_H

#include "lib/clock.h"
#include "sender/host.h"

/* Adds the addresses of a host that is a name. NULL, or why it has none. */
const char *names_find(struct host *host, struct deadline deadline);

/* Adds those that `getent ahosts` has printed: what a line begins with. */
void names_take(struct host *host, const char *printed, size_t length);

#endif
