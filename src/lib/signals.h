/* SPDX-License-Identifier: ISC */
/* Signals: what a process inherits is undone. */
#ifndef NMNOTIFY_SIGNALS_H
#define NMNOTIFY_SIGNALS_H

#include <stdbool.h>

/* Sets what programs expect when they start: the default for each signal, and an empty mask. But
 * SIGBUS keeps its handler until execve(2) resets it. False with errno set. */
bool signals_reset(void);

#endif
