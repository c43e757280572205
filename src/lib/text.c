/* SPDX-License-Identifier: ISC */
#include "lib/text.h"

#include <string.h>
#include <unistd.h>

/* Longer than what people write, and short enough to leave room for what is said about it. */
#define WORD_SHOWN_MAX 160

static void add_char(struct text *text, char c)
{
	if (text->length + 1 >= text->size) {
		text->cut = true;
		return;
	}
	text->bytes[text->length++] = c;
	text->bytes[text->length] = '\0';
}

static void add_string(struct text *text, const char *string)
{
	size_t length = strlen(string), room = text->size - 1 - text->length;

	if (length > room) {
		length = room;
		text->cut = true;
	}
	memcpy(text->bytes + text->length, string, length);
	text->length += length;
	text->bytes[text->length] = '\0';
}

static void add_number(struct text *text, unsigned number)
{
	if (number >= 10)
		add_number(text, number / 10);
	add_char(text, (char)('0' + number % 10));
}

static void add_signed(struct text *text, int number)
{
	if (number < 0)
		add_char(text, '-');
	add_number(text, number < 0 ? 0u - (unsigned)number : (unsigned)number);
}

void text_add_list(struct text *text, const char *format, va_list arguments)
{
	text->bytes[text->length] = '\0';
	for (; *format != '\0'; format++) {
		if (*format != '%') {
			add_char(text, *format);
			continue;
		}
		switch (*++format) {
		case 's': add_string(text, va_arg(arguments, const char *)); break;
		case 'u': add_number(text, va_arg(arguments, unsigned)); break;
		case 'd': add_signed(text, va_arg(arguments, int)); break;
		case 'c': add_char(text, (char)va_arg(arguments, int)); break;
		default: add_char(text, *format); break;
		}
	}
}

void text_add(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text_add_list(text, format, arguments);
	va_end(arguments);
}

void text_add_escaped(struct text *text, const char *string)
{
	static const char hex[] = "0123456789abcdef";

	for (; *string != '\0'; string++) {
		unsigned char c = (unsigned char)*string;

		if (c >= ' ' && c <= '~')
			add_char(text, *string);
		else
			text_add(text, "\\x%c%c", hex[c >> 4], hex[c & 15]);
	}
}

void text_add_word(struct text *text, const char *word)
{
	add_char(text, '\'');
	for (unsigned i = 0; *word != '\0' && i < WORD_SHOWN_MAX; i++)
		add_char(text, *word++);
	if (*word != '\0')
		add_string(text, "...");
	add_char(text, '\'');
}

bool number_take(const char **from, uint64_t most, uint64_t *number)
{
	const char *c = *from;

	for (*number = 0; is_digit(*c); c++) {
		uint64_t digit = (uint64_t)(*c - '0');

		if (digit > most || *number > (most - digit) / 10)
			return false;
		*number = *number * 10 + digit;
	}
	if (c == *from)
		return false;
	*from = c;
	return true;
}

bool number_parse(const char *text, uint64_t most, uint64_t *number)
{
	return number_take(&text, most, number) && *text == '\0';
}

bool text_write(const struct text *text, int fd)
{
	return write(fd, text->bytes, text->length) == (ssize_t)text->length;
}
