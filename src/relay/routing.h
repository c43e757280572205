/* SPDX-License-Identifier: ISC */
/*
 * From a letter to what is owed: who says what of whom, and where the user's line goes.
 *
 * In the relay: as the user it was started as; under relay.policy.
 */
#ifndef NMNOTIFY_ROUTING_H
#define NMNOTIFY_ROUTING_H

#include "relay/relay.h"

/* What a letter says is noted, or refused and counted. For inbox_open(). */
void routing_read(void *relay, const struct letter *letter);

/* Routes all addressees that are not routed: a bounded number now, the rest by the loop. The
 * store's answers come by the loop, too. */
void routing_go_on(struct relay *relay);

/* The store could not tell some users' addresses: it is asked again. */
void routing_ask_again(struct relay *relay);

#endif
