/* SPDX-License-Identifier: ISC */
/*
 * A line of a configuration, taken apart into words as sh(1) does: quotes and backslashes protect,
 * '#' begins a comment, and nothing is expanded.
 */
#ifndef NMNOTIFY_WORDS_H
#define NMNOTIFY_WORDS_H

#include <stdbool.h>

#define WORDS_MAX 256 /* of a line */

struct words {
	char *word[WORDS_MAX];
	bool quoted[WORDS_MAX]; /* with a quote or backslash: meant as it is */
	unsigned count;
};

enum words_error {
	WORDS_FINE,
	WORDS_TOO_MANY,
	WORDS_BACKSLASH,  /* ends the line */
	WORDS_OPEN_QUOTE, /* is not closed */
};

/* What is wrong, and the text there. */
struct words_fault {
	enum words_error error;
	const char *at;
	char quote;
};

/* In place: the words point into `text`. At a fault, those before it are there. */
struct words_fault words_split(char *text, struct words *words);

/*
 * Finds the first character of a word that is not what it looks like: a byte order mark, a space
 * that is none, a quote or dash of a word processor. Returns its name, and what to do; or NULL.
 */
const char *word_oddity(const char *word);

#endif
