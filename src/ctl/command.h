/* SPDX-License-Identifier: ISC */
/* What another program says. */
#ifndef NMNOTIFY_CTL_COMMAND_H
#define NMNOTIFY_CTL_COMMAND_H

#include <stdbool.h>

enum command_stream { COMMAND_OUTPUT, COMMAND_ERRORS };

/* Runs a program, by its path or from the usual directories, with a NULL behind its words; without
 * input, and with one of its two outputs. What it said there, up to its end, for free(); NULL with
 * errno set: ENOENT if there is no such program. `*status` is its exit status, or 128 and the
 * number of a signal. */
char *command_read(const char *const *words, enum command_stream stream, int *status);

#endif
