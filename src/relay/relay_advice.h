/* SPDX-License-Identifier: ISC */
/*
 * What of a configuration that is right is probably not meant. Only for messages.
 *
 * In the process of `nmnotify-relay -t`.
 */
#ifndef NMNOTIFY_RELAY_ADVICE_H
#define NMNOTIFY_RELAY_ADVICE_H

#include "relay/relay_conf.h"

/* When all is read, and route_index() is done. */
void relay_conf_advise(struct relay_conf *conf);

#endif
