/* SPDX-License-Identifier: ISC */
/*
 * What -t looks for beyond the words of a configuration: whether this machine has the users,
 * programs and directories that it names, as the accounts' users see them.
 *
 * In a process that was started with -t: as who started it, without a filter; in a child of it as
 * the account's user.
 */
#ifndef NMNOTIFY_CHECK_H
#define NMNOTIFY_CHECK_H

#include <sys/types.h>

#include "conf/conf.h"

/*
 * For a configuration without a mistake. Reports as an error what cannot run whoever starts the
 * program, and as a warning what depends on that. `self` is the running user, `base` the path of
 * the state, or NULL if it is too long. Changes nothing.
 */
void check_machine(struct conf *conf, uid_t self, const char *base);

#endif
