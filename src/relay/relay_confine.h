/* SPDX-License-Identifier: ISC */
/*
 * What the relay gives up once all is open, and before it reads a byte of anybody.
 *
 * In the relay: as the user it was started as.
 */
#ifndef NMNOTIFY_RELAY_CONFINE_H
#define NMNOTIFY_RELAY_CONFINE_H

#include "relay/relay_conf.h"

/*
 * For good: all capabilities; every system call that relay.policy does not name; and, as far as the
 * kernel has Landlock for it (Linux 5.13), all files but these: to be changed, what is below
 * `state` and the store's directory; to be read, the directories where the configuration `file`,
 * its table and its password file are now (each may be put in the place of an older one), the
 * system's libraries and its configuration; to be executed, this program. TCP ports cannot be
 * listened at (6.7), and no other process signalled or reached by an abstract socket (6.12). False
 * with errno set: then nothing may be read.
 */
bool relay_confine(const struct relay_conf *conf, const char *file, const char *state);

#endif
