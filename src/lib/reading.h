/* SPDX-License-Identifier: ISC */
/*
 * Reads a configuration: the lines of a file that nobody but its owner may write, and those of the
 * command line.
 */
#ifndef NMNOTIFY_READING_H
#define NMNOTIFY_READING_H

#include <stdbool.h>

#include "lib/keyword.h"

/* One -o argument, the `number`th; before reading_file(). */
void reading_option(struct reading *reading, const char *text, unsigned number);

/*
 * The file. One that cannot be read, or that somebody other than root and the running user owns
 * or may write, is reported and not looked at. If `optional`, a missing file is an empty one.
 */
void reading_file(struct reading *reading, const char *path, bool optional);

#endif
