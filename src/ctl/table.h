/* SPDX-License-Identifier: ISC */
/* A table for people: columns as wide as what is in them, colours where the terminal has them. */
#ifndef NMNOTIFY_TABLE_H
#define NMNOTIFY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum colour { COLOUR_NONE, COLOUR_HEAD, COLOUR_GOOD, COLOUR_NOTE, COLOUR_BAD };

struct table {
	bool has_colour;
	unsigned columns, count; /* cells that were added */
	struct table_cell {
		char *text;
		enum colour colour;
	} * cell;
};

/* A table with so many columns. */
struct table table_new(unsigned columns, bool has_colour);

/* Adds a row of headings, one a column. */
void table_heads(struct table *table, const char *const *names);

/* Adds the next cell, row by row, in printf's format. What a terminal might obey is escaped. */
__attribute__((format(printf, 3, 4))) void table_add(
	struct table *table, enum colour colour, const char *format, ...);

/* Writes all rows, and frees the table. */
void table_end(struct table *table, FILE *stream);

/* Between these two, text has that colour. */
const char *colour_begin(enum colour colour, bool has_colour);
const char *colour_end(enum colour colour, bool has_colour);

/* A length of time for people, such as "40 s" or "5 min". */
struct length {
	char text[32];
};
struct length table_length(double seconds);

/* Is `stream` a terminal whose user wants colours? https://no-color.org/ */
bool colour_wanted(FILE *stream);

#endif
