/* SPDX-License-Identifier: ISC */
/*
 * What is wrong with a configuration, or is probably not meant: where the reader is, who is told,
 * and how it is said. A message names the keyword and the word, and says what to write instead.
 */
#ifndef NMNOTIFY_REPORT_H
#define NMNOTIFY_REPORT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/text.h"

#define REPORT_MESSAGE_MAX 1024

enum severity {
	SEVERITY_ERROR,   /* it is wrong, and nothing runs */
	SEVERITY_WARNING, /* it is probably not meant */
};

/* Where a word was said. */
struct place {
	const char *file;
	unsigned line; /* 0: the whole file */
};

/* Is called for each message. `line` is 0 where it is about the whole file. The message is one
 * line, but the words that it quotes can have any bytes. */
typedef void report_writer(void *context, enum severity severity, const char *file, unsigned line,
	const char *message);

struct report {
	struct place here; /* what a message is about */
	unsigned wrong;    /* how many errors there were */
	bool advises;      /* warnings are wanted, too */
	report_writer *writer;
	void *context; /* of the writer */
};

/* Reports an error at report.here. All formats are text_add()'s. */
__attribute__((format(printf, 2, 3))) void report_wrong(
	struct report *report, const char *format, ...);

/* The same, for a message that was put together. */
void report_text(struct report *report, enum severity severity, const struct text *text);

/* KEYWORD: 'WORD' and what is wrong with how it is written. `keyword` may be NULL. */
__attribute__((format(printf, 4, 5))) void report_wrong_form(
	struct report *report, const char *keyword, const char *word, const char *format, ...);

/* The same for any other mistake. If word_oddity() finds something in the word, that is reported
 * instead.
 */
__attribute__((format(printf, 4, 5))) void report_wrong_word(
	struct report *report, const char *keyword, const char *word, const char *format, ...);

/* The same as a warning; only for report.advises. */
__attribute__((format(printf, 4, 5))) void report_warn_word(
	struct report *report, const char *keyword, const char *word, const char *format, ...);

/* About something that was read before, at `place`. */
__attribute__((format(printf, 4, 5))) void report_at(struct report *report, enum severity severity,
	const struct place *place, const char *format, ...);
__attribute__((format(printf, 4, 0))) void report_at_list(struct report *report,
	enum severity severity, const struct place *place, const char *format, va_list arguments);

/* Writes a place for a message about the file `here`: "line 3", or, if it is not in that file,
 * "-o:3". */
#define PLACE_TEXT_MAX 64
const char *place_text(
	const char *here, const struct place *place, char bytes[static PLACE_TEXT_MAX]);

#endif
