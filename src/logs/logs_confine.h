/* SPDX-License-Identifier: ISC */
/* What nmnotify-relay-logs gives up once the journal is open, and before it reads a record of it.
 */
#ifndef NMNOTIFY_LOGS_CONFINE_H
#define NMNOTIFY_LOGS_CONFINE_H

#include <stdbool.h>

/*
 * For good: all capabilities; every system call that logs.policy does not name; and, as far as the
 * kernel has Landlock for it (Linux 5.13), all files but those of the journal, or of `directory` if
 * that is not NULL, which can be read. No port can be connected to or listened at (6.7), and no
 * other process signalled or reached by an abstract socket (6.12). False with errno set: then
 * nothing may be read.
 */
bool logs_confine(const char *directory);

#endif
