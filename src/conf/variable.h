/* SPDX-License-Identifier: ISC */
/*
 * Which variables of the starter's environment an action may see.
 */
#ifndef NMNOTIFY_VARIABLE_H
#define NMNOTIFY_VARIABLE_H

#include <stdbool.h>
#include <stddef.h>

/* How many of the first bytes are a name: letters, digits and '_', no digit first. */
size_t variable_name_length(const char *text);

/* Why `pass` does not take a variable of this name; NULL if it does. */
const char *variable_refusal(const char *name);

#endif
