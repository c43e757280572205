/* SPDX-License-Identifier: ISC */
/*
 * The connection that a super-server hands over on descriptor 0. Nothing is ever written to the
 * other end (G7).
 *
 * In the handler: identified as who started it; closed as the account's user, under its policy.
 */
#ifndef NMNOTIFY_CONNECTION_H
#define NMNOTIFY_CONNECTION_H

#include <stdbool.h>

#include "lib/fd.h"
#include "lib/source.h"

struct connection {
	struct streams streams;
	struct source source, to;
};

/*
 * Who is there, and, if `needs_to`, which local address was connected to. For an internet socket
 * the kernel says it, unless the connection was reset already; else UCSPI's TCPREMOTEIP and
 * TCPLOCALIP, or systemd's REMOTE_ADDR, if set; else it is local. NULL, or what is wrong, such as
 * that it is /dev/null.
 */
const char *connection_identify(struct connection *connection, bool needs_to);

/* There is no connection: whoever has started us is local. */
void connection_none(struct connection *connection);

/* Closes it, whoever else has it open: /dev/null takes its place, on descriptor 1 too. False with
 * errno set. */
bool connection_close(const struct connection *connection);

#endif
