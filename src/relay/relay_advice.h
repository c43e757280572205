/* SPDX-License-Identifier: ISC */
/*
 * Warns of what is correct in a configuration, and is probably not meant.
 *
 * In a process that was started as `nmnotify-relay -t`: as who started it, without a filter.
 */
#ifndef NMNOTIFY_RELAY_ADVICE_H
#define NMNOTIFY_RELAY_ADVICE_H

#include "relay/relay_conf.h"

/* When all is read, and route_index() is done. */
void relay_conf_advise(struct relay_conf *conf);

#endif
