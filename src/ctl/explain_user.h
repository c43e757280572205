/* SPDX-License-Identifier: ISC */
/* `explain user NAME`: where the relay would send, and why. */
#ifndef NMNOTIFY_EXPLAIN_USER_H
#define NMNOTIFY_EXPLAIN_USER_H

#include "ctl/ctl.h"

/* Asks the relay, and prints what it says. Returns the exit status. */
int explain_user(const struct ctl *ctl, const char *name);

#endif
