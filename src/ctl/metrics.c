/* SPDX-License-Identifier: ISC */
#include "ctl/metrics.h"

#include <string.h>

#define TOTAL "_total"

void metrics_family(
	const struct metrics *metrics, const char *name, const char *type, const char *help)
{
	int length = (int)strlen(name);

	if (metrics->is_strict && strcmp(type, "counter") == 0)
		length -= (int)strlen(TOTAL);
	(void)fprintf(metrics->stream, "# HELP %.*s %s\n# TYPE %.*s %s\n", length, name, help,
		length, name, type);
}

/* A backslash, a quote and the end of a line have escapes of the format's own. What is not
 * printable stands as elsewhere, \xHH. */
static void label_write(FILE *stream, const struct label *label)
{
	(void)fprintf(stream, "%s=\"", label->name);
	for (const char *c = label->value; *c != '\0'; c++) {
		if (*c == '\n')
			(void)fputs("\\n", stream);
		else if (*c < ' ' || *c > '~')
			(void)fprintf(stream, "\\\\x%02x", (unsigned char)*c);
		else
			(void)fprintf(stream, "%s%c", *c == '\\' || *c == '"' ? "\\" : "", *c);
	}
	(void)fputc('"', stream);
}

void metrics_sample(const struct metrics *metrics, const char *name, const struct label *first,
	const struct label *second, const json_t *value)
{
	FILE *stream = metrics->stream;

	if (value == NULL || json_is_null(value))
		return;
	(void)fputs(name, stream);
	if (first != NULL) {
		(void)fputc('{', stream);
		label_write(stream, first);
		if (second != NULL) {
			(void)fputc(',', stream);
			label_write(stream, second);
		}
		(void)fputc('}', stream);
	}
	if (json_is_boolean(value))
		(void)fprintf(stream, " %d\n", json_is_true(value));
	else if (json_is_integer(value))
		(void)fprintf(stream, " %" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
	else
		(void)fprintf(stream, " %.3f\n", json_number_value(value));
}

void metrics_end(const struct metrics *metrics)
{
	(void)fputs("# EOF\n", metrics->stream);
}
