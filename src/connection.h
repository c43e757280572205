/* SPDX-License-Identifier: ISC */
/*
 * The connection that a super-server hands over on descriptor 0, and what descriptors 1 and 2
 * are: under inetd all three are the network. Nothing is ever written to the other end (G7).
 */
#ifndef NMNOTIFY_CONNECTION_H
#define NMNOTIFY_CONNECTION_H

#include <stdbool.h>

#include "source.h"

struct connection {
	bool is_socket;     /* descriptor 0 is a socket of any kind */
	bool stdout_usable; /* does not lead to the other end, as far as can be told */
	bool stderr_usable; /* likewise */
	struct source source, to;
};

/*
 * First of all: finds out what descriptors 1 and 2 are. /dev/null takes the place of 2 if that
 * leads to the other end, and of either if it is not open. Descriptor 1 stays as it is until
 * connection_close(): a wrapper takes its end for ours. With `tell`, nothing is a connection and
 * pipes are somebody who wants to read what -h, -V and -t say. Closes all above 2 if `close_rest`.
 * False with errno set: descriptor 0 is not there, or there is no /dev/null.
 */
bool connection_guard(struct connection *connection, bool tell, bool close_rest);

/*
 * Who is there, and, if `needs_to`, which local address was connected to. For an internet socket
 * the kernel says it, unless the connection was reset already; else UCSPI's TCPREMOTEIP and
 * TCPLOCALIP, or systemd's REMOTE_ADDR, if set; else it is local. NULL, or what is wrong, such as
 * that it is /dev/null.
 */
const char *connection_identify(struct connection *connection, bool needs_to);

/* Closes it, whoever else has it open: /dev/null takes its place, on descriptor 1 too. False with
 * errno set. */
bool connection_close(const struct connection *connection);

/* A number that is an option of a socket (socket(7)); -1: it has none. */
int socket_option(int fd, int option);

/* Closes this descriptor and all above it. */
void connection_close_from(int first);

/* Puts /dev/null in the place of a descriptor. False with errno set. */
bool connection_void(int fd);

#endif
