/* SPDX-License-Identifier: ISC */
/*
 * A configuration's keywords: a table says what each is called, what values it takes, where the
 * value goes and what it is if nobody says it.
 */
#ifndef NMNOTIFY_KEYWORD_H
#define NMNOTIFY_KEYWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/clock.h"
#include "lib/report.h"
#include "lib/words.h"

#define KEYWORDS_MAX     32 /* of a table */
#define KEYWORD_SIZE_MAX 64 /* of a value */

struct reading;
struct keyword;

/* Takes a line's words, the first of which is the keyword, and puts the value at `to`. What is
 * wrong is reported; the value is then not used. */
typedef void keyword_type(struct reading *reading, const struct keyword *keyword, void *to,
	const struct words *words);

/* Few pointers: each has to be relocated at every start. */
struct keyword {
	char name[14];
	char example[25];  /* what could stand behind it */
	bool global;       /* belongs before the first block */
	bool repeats;      /* lines of a block add up */
	bool list;         /* one line has all the values */
	uint16_t most;     /* words behind it; at least one */
	uint16_t offset;   /* of the value, in what the configuration or the block is read into */
	uint16_t size;     /* of the value; 0: it goes elsewhere */
	uint32_t least;    /* for keyword_span: milliseconds; keyword_long_span: seconds */
	uint32_t greatest; /* for keyword_number; for keyword_long_span: seconds, whole days */
	keyword_type *type;
	const char *choices; /* for keyword_choice: each ends with a NUL, the last with two */
	union {
		struct span span;
		struct long_span long_span;
		struct rate rate;
		uint32_t number;
		const char *text;
	} initial; /* what the value begins with, if nobody says it */
};

/* Where a value goes: .offset and .size of a member of a structure. */
#define KEYWORD_MEMBER(type, member)                                                               \
	.offset = offsetof(type, member), .size = sizeof(((type *)0)->member)

/* A text, and where it was said. */
struct said_text {
	const char *text; /* NULL: not said */
	struct place place;
};

/* What was said in a block of the configuration, by the number of the keyword. */
struct said {
	uint32_t line[KEYWORDS_MAX]; /* 0: not said */
	bool pinned[KEYWORDS_MAX];   /* on the command line: a file does not change it */
};

/* A configuration that is being read. */
struct reading {
	struct report report;
	const struct keyword *keywords; /* the table */
	unsigned keywords_count;
	const char *page;             /* the manual page that has all keywords */
	void *owner;                  /* for keyword types: what is read into */
	void *globals;                /* where the values of global keywords go */
	void *block;                  /* where those of others go: the defaults, or an account */
	struct said *said;            /* what was said there */
	struct said_text first_block; /* of this file: its name; not said: none yet */
	bool is_command_line;
	size_t text_most, text_length; /* bytes of configuration, as many as are allowed and read */
	/* For text and values, in the order in which they come; words point into it. A usual
	 * configuration fills one page. */
	char *memory;
	size_t memory_size, memory_used;
};

/* Memory for so many bytes, aligned for any pointer; NULL, which is reported, if none is left. */
void *reading_keep(struct reading *reading, size_t size);

/* Puts the initial values of all keywords that are `global`, or of those that are not, into what
 * they are read into. */
void keyword_defaults(const struct reading *reading, bool global, void *to);

/* A block begins: where its values go, what is said there, and its name. */
void reading_block(struct reading *reading, void *block, struct said *said, const char *name);

/* Fills in a block's values that it does not say itself. */
void keyword_inherit(
	const struct reading *reading, const struct said *said, void *block, const void *defaults);

/* A line that was split into words, at least one. */
void keyword_apply(struct reading *reading, const struct words *words);

/* Adds an example of a line with that keyword, for a message that it is missing or has no value. */
void keyword_add_example(const struct reading *reading, struct text *text, const char *name);

/* Types of values. */
keyword_type keyword_span;      /* struct span: a number and its unit, such as 10s */
keyword_type keyword_long_span; /* struct long_span: the same, whole seconds, such as 30d */
keyword_type keyword_number;    /* uint32_t: from .least to .greatest */
keyword_type keyword_rate;      /* struct rate: COUNT/PERIOD, perhaps burst NUMBER */
keyword_type keyword_yes_no;    /* bool */
keyword_type keyword_choice;    /* an enum: the number of one of .choices */
keyword_type keyword_text;      /* struct said_text: one word */
keyword_type keyword_path;      /* struct said_text: one that begins with a slash */

/* Reports a path that does not begin with a slash. */
void keyword_wrong_path(struct reading *reading, const struct words *words);

#endif
