/* SPDX-License-Identifier: ISC */
/*
 * Why a program cannot be executed. execve(2) has one errno for many reasons: that a file is
 * missing can mean that a script's interpreter is, or a program's loader.
 *
 * In the waiter, and in a process that was started with -t: as the account's user, as far as he is
 * known.
 */
#ifndef NMNOTIFY_EXECUTABLE_H
#define NMNOTIFY_EXECUTABLE_H

#include <stdbool.h>

#include "lib/text.h"

enum executable {
	EXECUTABLE_FINE,     /* nothing is wrong, as far as the running user can see */
	EXECUTABLE_DOUBTFUL, /* only binfmt_misc could run it, and has something installed */
	EXECUTABLE_WRONG,
};

/* Asks as the running user, in the working directory. Unless it is fine, adds "PATH: " and why. */
enum executable executable_explain(const char *path, struct text *text);

/* Is it a script, which its interpreter has to read? False if that cannot be found out. */
bool executable_is_script(const char *path);

#endif
