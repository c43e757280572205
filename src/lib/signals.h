/* SPDX-License-Identifier: ISC */
/* What a process inherits of its parent's ways with signals. */
#ifndef NMNOTIFY_SIGNALS_H
#define NMNOTIFY_SIGNALS_H

#include <stdbool.h>

/* What a program expects that was started afresh: default dispositions, but for SIGBUS, which
 * execve(2) resets, and an empty mask. False with errno set. */
bool signals_reset(void);

#endif
