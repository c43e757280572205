/* SPDX-License-Identifier: ISC */
/*
 * What -t looks for beyond the words of a configuration: whether this machine has the users,
 * programs and directories that it names, as the accounts' users see them.
 */
#ifndef NMNOTIFY_CHECK_H
#define NMNOTIFY_CHECK_H

#include <sys/types.h>

#include "conf/conf.h"

/*
 * For a configuration without a mistake: reports what no starter could run as errors, what some
 * could not as warnings. `self` is the running user, `base` the path of the state, NULL if it is
 * too long. Changes nothing.
 */
void check_machine(struct conf *conf, uid_t self, const char *base);

#endif
