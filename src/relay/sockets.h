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

/* Cyrus's socket and the proxy's have these names (FileDescriptorName=); the other Unix sockets are
 * for notices. */
#define CYRUS_SOCKET_NAME   "cyrus"
#define PROXIED_SOCKET_NAME "proxied"

/* Who asks what the relay does connects to the one of this name. */
#define STATUS_SOCKET_NAME "status"

/* For datagrams. */
struct socket {
	int fd;
	enum inbox_kind kind;
	bool is_deaf;        /* it cannot be read, which is said */
	uint32_t lost;       /* datagrams that it had no room for */
	struct instant read; /* when it had something last */
	bool is_napping;     /* it is not looked at for a moment */
};

struct sockets {
	struct socket socket[SOCKETS_MAX];
	int count;
	int status; /* -1: there is none */
};

/* Takes those that systemd hands over. False: the text gets what is wrong. */
bool sockets_take(struct sockets *sockets, struct text *wrong);

/* Makes those that the configuration names, in the place of sockets that nobody answers at. False:
 * the same. */
bool sockets_make(const struct relay_conf *conf, struct sockets *sockets, struct text *wrong);

/* Reads what is in Cyrus's socket that systemd has handed over, and drops it. False: it has handed
 * over none. To be called by a relay that cannot start; sockets_take() need not have been called.
 */
bool sockets_drop_cyrus(void);

#endif
