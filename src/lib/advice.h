/* SPDX-License-Identifier: ISC */
/*
 * What to write instead: for words that are usual in other programs' configurations, or that an
 * editor has changed, and that mean nothing here. Only for messages: nothing here decides.
 */
#ifndef NMNOTIFY_ADVICE_H
#define NMNOTIFY_ADVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/prefix.h"
#include "lib/text.h"

/* Adds what is wrong with a word of `from`, or of `to`, that prefix_parse() does not take, and
 * what to write instead. */
void advice_prefix(struct text *text, const char *word, bool is_to);

/* A word of `from` or `to` that means one address, and looks as if a network were meant: adds what
 * is odd, and what to write instead. False if nothing is. */
bool advice_one_address(
	struct text *text, const char *word, const struct prefix *prefix, bool is_to);

/* Adds what a shell would make of an unquoted word, which nothing here does, and what to write
 * instead. False if it is an ordinary word. */
bool advice_shell(struct text *text, const char *word);

/* Would the word, alone and unquoted, end a command or open a file, such as && or >? */
bool advice_is_operator(const char *word);

/* Is it a shell, or another program whose option -c is followed by a script? */
bool advice_is_interpreter(const char *path);

#endif
