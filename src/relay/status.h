/* SPDX-License-Identifier: ISC */
/*
 * Who asks what the relay is doing, at a Unix socket of its own: one line, which is answered by one
 * JSON document, and then the connection is closed. nmnotify-relay(8) says what is in it. A few
 * connections at a time; each has its deadlines, and nobody waits for it.
 *
 * In the relay: as the user it was started as; under relay.policy.
 */
#ifndef NMNOTIFY_STATUS_H
#define NMNOTIFY_STATUS_H

#include "relay/relay.h"

/* Serves the relay's socket, by its loop. NULL: no memory. */
struct status *status_open(struct relay *relay);
void status_close(struct status *status);

/* Connections could not be taken, or status_leave() was called: it is tried again. */
void status_listen_again(struct status *status);

/* The relay would like to end. True: nobody waits for an answer of this one. Else nobody else's
 * connection is taken, and this timer is set off when those that are here have gone. */
bool status_leave(struct status *status, sd_event_source *timer);

#endif
