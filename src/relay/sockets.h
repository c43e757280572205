/* SPDX-License-Identifier: ISC */
/*
 * Where local programs speak to the relay: sockets that systemd hands over, or, by hand, our own.
 *
 * In the relay: as the user it was started as, before it is confined.
 */
#ifndef NMNOTIFY_SOCKETS_H
#define NMNOTIFY_SOCKETS_H

#include "lib/text.h"
#include "relay/inbox.h"
#include "relay/relay_conf.h"

/* Different sockets may be of one kind. */
#define SOCKETS_MAX 16

/* Cyrus's socket has this name (FileDescriptorName=); the other Unix sockets are for notices. */
#define CYRUS_SOCKET_NAME "cyrus"

struct socket {
	int fd;
	enum inbox_kind kind;
};

/* Takes those that systemd hands over. Returns how many, or -1, and the text gets what is wrong. */
int sockets_take(struct socket socket[static SOCKETS_MAX], struct text *wrong);

/* Makes those that the configuration names, in the place of sockets that nobody answers at. Returns
 * the same.
 */
int sockets_make(const struct relay_conf *conf, struct socket socket[static SOCKETS_MAX],
	struct text *wrong);

/* Reads what is in Cyrus's socket that systemd has handed over, and drops it. False: it has handed
 * over none. To be called by a relay that cannot start; sockets_take() need not have been called.
 */
bool sockets_drop_cyrus(void);

#endif
