/* SPDX-License-Identifier: ISC */
/*
 * Datagrams: each is one line, whole; as many as there are in one system call.
 *
 * In the network process: as nmnotify or nobody if the runner is root, else as the runner; under
 * network.policy.
 */
#ifndef NMNOTIFY_DATAGRAM_H
#define NMNOTIFY_DATAGRAM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "lib/line.h"
#include "lib/service.h"
#include "lib/source.h"

/* A system call. With one a call each takes 1.5 times the processor's time, with 8 a call 1.01. */
#define DATAGRAMS_MOST 32

struct datagram {
	struct line line;
	struct source source, to; /* `to`: the local address, as far as the socket says it */
};

/* Room for control messages, which tell where a datagram was sent to. */
union datagram_control {
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
	struct cmsghdr align;
};

struct datagrams {
	struct datagram datagram[DATAGRAMS_MOST];
	/* The kernel's side. */
	struct sockaddr_storage address[DATAGRAMS_MOST];
	union datagram_control control[DATAGRAMS_MOST];
	struct iovec iov[DATAGRAMS_MOST];
	struct mmsghdr message[DATAGRAMS_MOST];
};

/* Makes a socket of datagrams say where each was sent to: one of all addresses does not do it by
 * itself. False with errno set. */
bool datagrams_prepare(const struct listener *listener);

/* Receives what is there; how many. */
unsigned datagrams_receive(struct datagrams *datagrams, const struct listener *listener);

#endif
