/* SPDX-License-Identifier: ISC */
/*
 * The telling: whose time has come is asked for at the store, looked up if it is a name, and sent
 * the line. Thousands at once, and none waits for another.
 *
 * In the relay.
 */
#ifndef NMNOTIFY_TELLING_H
#define NMNOTIFY_TELLING_H

#include "relay/relay.h"

/* NULL: no memory. */
struct telling *telling_open(struct relay *relay);
void telling_close(struct telling *telling);

/* Begins what is due, and ends what took too long. The loop does so by itself when its time has
 * come; whoever has noted something calls it. */
void telling_go_on(struct telling *telling);

/* From within an answer of the store or of the name service, which has changed what is due and
 * when: the loop goes on next. */
void telling_wake(struct telling *telling);

#endif
