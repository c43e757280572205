/* SPDX-License-Identifier: ISC */
#include "ctl/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"

struct table table_new(unsigned columns, bool has_colour)
{
	return (struct table){ .columns = columns, .has_colour = has_colour };
}

/* As print_escaped() prints it. */
static char *escaped(const char *string)
{
	char *bytes = NULL;
	size_t size;
	FILE *stream = open_memstream(&bytes, &size);

	if (stream == NULL)
		return NULL;
	print_escaped(stream, string);
	(void)fclose(stream); /* without memory it is shorter */
	return bytes;
}

/* Without memory a cell is left empty. */
void table_add(struct table *table, enum colour colour, const char *format, ...)
{
	struct table_cell *more = realloc(table->cell, (table->count + 1) * sizeof(*more));
	va_list arguments;
	char *text, *shown;

	if (more == NULL)
		return;
	table->cell = more;
	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	shown = text != NULL ? escaped(text) : NULL;
	free(text);
	more[table->count++] = (struct table_cell){ .text = shown, .colour = colour };
}

void table_heads(struct table *table, const char *const *names)
{
	for (unsigned i = 0; i < table->columns; i++)
		table_add(table, COLOUR_HEAD, "%s", names[i]);
}

static const char *text_of(const struct table_cell *cell)
{
	return cell->text != NULL ? cell->text : "";
}

static int width(const struct table *table, unsigned column)
{
	size_t most = 0;

	for (unsigned i = column; i < table->count; i += table->columns)
		if (strlen(text_of(&table->cell[i])) > most)
			most = strlen(text_of(&table->cell[i]));
	return (int)most;
}

const char *colour_begin(enum colour colour, bool has_colour)
{
	static const char *const codes[] = { [COLOUR_NONE] = "",
		[COLOUR_HEAD] = "\033[1m",
		[COLOUR_GOOD] = "\033[32m",
		[COLOUR_NOTE] = "\033[33m",
		[COLOUR_BAD] = "\033[31m" };

	return has_colour ? codes[colour] : "";
}

const char *colour_end(enum colour colour, bool has_colour)
{
	return has_colour && colour != COLOUR_NONE ? "\033[0m" : "";
}

static void cell_write(const struct table *table, unsigned i, FILE *stream)
{
	const struct table_cell *cell = &table->cell[i];
	bool is_last = (i + 1) % table->columns == 0;

	(void)fprintf(stream, "%s%s%s", colour_begin(cell->colour, table->has_colour),
		text_of(cell), colour_end(cell->colour, table->has_colour));
	if (is_last)
		(void)fputc('\n', stream);
	else
		(void)fprintf(stream, "%*s",
			width(table, i % table->columns) + 2 - (int)strlen(text_of(cell)), "");
}

void table_end(struct table *table, FILE *stream)
{
	for (unsigned i = 0; i < table->count; i++)
		cell_write(table, i, stream);
	for (unsigned i = 0; i < table->count; i++)
		free(table->cell[i].text);
	free(table->cell);
	table->cell = NULL;
	table->count = 0;
}

struct length table_length(double seconds)
{
	static const struct {
		double least;
		double of;
		const char *unit;
	} units[] = { { 2 * 86400, 86400, "days" }, { 2 * 3600, 3600, "h" }, { 120, 60, "min" },
		{ 10, 1, "s" } };
	struct length length;

	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (seconds < units[i].least)
			continue;
		(void)snprintf(length.text, sizeof(length.text), "%.0f %s", seconds / units[i].of,
			units[i].unit);
		return length;
	}
	(void)snprintf(length.text, sizeof(length.text), "%.1f s", seconds);
	return length;
}

bool colour_wanted(FILE *stream)
{
	const char *refused = getenv("NO_COLOR"), *terminal = getenv("TERM");

	return isatty(fileno(stream)) && (refused == NULL || *refused == '\0') &&
	       terminal != NULL && strcmp(terminal, "dumb") != 0;
}
