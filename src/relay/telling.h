/* SPDX-License-Identifier: ISC */
/*
 * Telling: what happens to a target whose time has come. If it is a name, that is looked up; with a
 * shared store a claim is asked for; then the line is sent. Thousands at once, and none waits for
 * another.
 *
 * In the relay: as the user it was started as; under relay.policy.
 */
#ifndef NMNOTIFY_TELLING_H
#define NMNOTIFY_TELLING_H

#include "relay/relay.h"

/* NULL: no memory. */
struct telling *telling_open(struct relay *relay);
void telling_close(struct telling *telling);

/* Begins what is due, and ends what took too long. The loop calls it when a time has come; others
 * call it when they have noted something. */
void telling_go_on(struct telling *telling);

/* Has the loop call telling_go_on() next. For an answer of the store or of the resolver, which
 * changes what is due, and cannot call it itself. */
void telling_wake(struct telling *telling);

#endif
