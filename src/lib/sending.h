/* SPDX-License-Identifier: ISC */
/*
 * A sending: the line to one address, and nothing else. By TCP that is a connection that ends in
 * order; it is done when the other host's kernel has acknowledged the line, whatever its program
 * does with it. Where a program listens that passes the line on, such as stunnel or sshd, that says
 * nothing: then it is done when the other end has ended the connection, too, in order. By UDP it is
 * a datagram, and done when that has left. Not one byte that comes back is read.
 *
 * No call here waits. The caller waits for sending_events(), of one sending or of thousands.
 *
 * In the process of nmnotify-send and in the relay: as who started it, under send.policy or
 * relay.policy.
 */
#ifndef NMNOTIFY_SENDING_H
#define NMNOTIFY_SENDING_H

#include <stdbool.h>

#include "lib/destination.h"

enum sending_state {
	SENDING_CONNECTING,
	SENDING_UNACKNOWLEDGED, /* the line is sent */
	SENDING_DONE,
	SENDING_FAILED,
};

struct sending {
	enum sending_state state;
	int fd;    /* -1: none */
	int error; /* errno, if it failed */
	bool is_passed_on;
};

/* Begins one; if that fails, its state and error say so. `from`: the local address to send from;
 * NULL: the kernel chooses. `is_passed_on`: by whoever listens there. */
void sending_begin(struct sending *sending, const struct destination *destination,
	const struct source *from, bool is_passed_on);

/* Is it neither done nor failed? */
static inline bool sending_goes_on(const struct sending *sending)
{
	return sending->state < SENDING_DONE;
}

/* The events of poll(2) to wait for, beside errors, as long as it goes on. */
short sending_events(const struct sending *sending);

/* To be called when one of them, or an error, has come. */
void sending_go_on(struct sending *sending);

/* Closes it. One that still goes on has failed then, with this errno. */
void sending_end(struct sending *sending, int error);

#endif
