/* SPDX-License-Identifier: ISC */
/*
 * Text of bounded length. stdio(3) would do it too, and would be a third of the program.
 */
#ifndef NMNOTIFY_TEXT_H
#define NMNOTIFY_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In ASCII, whatever the locale says. */
static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* What could end a line of the log, or move a terminal's cursor. */
static inline bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == '\x7f';
}

/* Always ends with a NUL; what does not fit is cut off, and `cut` says so. */
struct text {
	char *bytes; /* the caller's */
	size_t size, length;
	bool cut;
};

/* An empty text in `array`. */
#define TEXT_IN(array) ((struct text){ .bytes = (array), .size = sizeof(array) })

/* Appends. Knows the conversions %s, %u, %d, %c and %%, and none of their flags. */
__attribute__((format(printf, 2, 3))) void text_add(struct text *text, const char *format, ...);
__attribute__((format(printf, 2, 0))) void text_add_list(
	struct text *text, const char *format, va_list arguments);

/* Appends a string with each byte that is not printable ASCII as \xHH: for people's eyes, and for
 * terminals, which would obey some of them. */
void text_add_escaped(struct text *text, const char *string);

/* Appends a word between quotes, its bytes as they are; of a very long one the beginning and "...".
 */
void text_add_word(struct text *text, const char *word);

/* Reads digits at *from, a number of at most `most`, and moves *from behind them. False if there
 * are none or it is more. */
bool number_take(const char **from, uint64_t most, uint64_t *number);

/* The same for a text that is nothing but the number. */
bool number_parse(const char *text, uint64_t most, uint64_t *number);

/* Writes all of it to a descriptor in one write(2): lines of several processes do not mix. False
 * if it was not written whole. */
bool text_write(const struct text *text, int fd);

#endif
