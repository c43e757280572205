/* SPDX-License-Identifier: ISC */
#include "lib/report.h"

#include "lib/words.h"

void report_text(struct report *report, enum severity severity, const struct text *text)
{
	report->wrong += severity == SEVERITY_ERROR;
	report->writer(
		report->context, severity, report->here.file, report->here.line, text->bytes);
}

__attribute__((format(printf, 3, 0))) static void report_list(
	struct report *report, enum severity severity, const char *format, va_list arguments)
{
	char message[REPORT_MESSAGE_MAX];
	struct text text = TEXT_IN(message);

	text_add_list(&text, format, arguments);
	report_text(report, severity, &text);
}

void report_wrong(struct report *report, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	report_list(report, SEVERITY_ERROR, format, arguments);
	va_end(arguments);
}

__attribute__((format(printf, 5, 0))) static void report_word_list(struct report *report,
	enum severity severity, const char *keyword, const char *word, const char *format,
	va_list arguments)
{
	char message[REPORT_MESSAGE_MAX];
	struct text text = TEXT_IN(message);

	if (keyword != NULL)
		text_add(&text, "%s: ", keyword);
	text_add_word(&text, word);
	text_add_list(&text, format, arguments);
	report_text(report, severity, &text);
}

void report_wrong_form(
	struct report *report, const char *keyword, const char *word, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	report_word_list(report, SEVERITY_ERROR, keyword, word, format, arguments);
	va_end(arguments);
}

void report_wrong_word(
	struct report *report, const char *keyword, const char *word, const char *format, ...)
{
	const char *oddity = word_oddity(word);
	va_list arguments;

	if (oddity != NULL) {
		report_wrong_form(report, keyword, word, " has %s", oddity);
		return;
	}
	va_start(arguments, format);
	report_word_list(report, SEVERITY_ERROR, keyword, word, format, arguments);
	va_end(arguments);
}

void report_warn_word(
	struct report *report, const char *keyword, const char *word, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	report_word_list(report, SEVERITY_WARNING, keyword, word, format, arguments);
	va_end(arguments);
}

void report_at_list(struct report *report, enum severity severity, const struct place *place,
	const char *format, va_list arguments)
{
	report->here = *place;
	report_list(report, severity, format, arguments);
}

void report_at(struct report *report, enum severity severity, const struct place *place,
	const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	report_at_list(report, severity, place, format, arguments);
	va_end(arguments);
}

const char *place_text(
	const char *here, const struct place *place, char bytes[static PLACE_TEXT_MAX])
{
	struct text text = { .bytes = bytes, .size = PLACE_TEXT_MAX };

	if (place->file == here)
		text_add(&text, "line %u", place->line);
	else
		text_add(&text, "%s:%u", place->file, place->line);
	return bytes;
}
