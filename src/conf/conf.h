/* SPDX-License-Identifier: ISC */
/*
 * The configuration, nmnotify.conf(5): read whole at start-up into a structure of fixed size,
 * checked whole, and refused whole if anything in it is wrong. Strings point into its own buffer.
 */
#ifndef NMNOTIFY_CONF_H
#define NMNOTIFY_CONF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/prefix.h"

/* Bounds: far more than a person writes, and small enough to be static. Pages that a
 * configuration does not reach cost nothing. */
#define CONF_BYTES_MAX    65536
#define CONF_ACCOUNTS_MAX 64
#define CONF_PREFIXES_MAX 1024
#define CONF_WORDS_MAX    2048 /* of all actions */
#define CONF_ENV_MAX      512  /* variables */
#define CONF_PASS_MAX     128  /* names of variables */
#define CONF_LINE_WORDS   256
#define CONF_NAME_MAX     32 /* of an account: it is a directory's name too */

/* Enough for the most of all: with what is left out before it, an entry takes less than twice its
 * size. */
#define CONF_POOL_BYTES                                                                            \
	(CONF_BYTES_MAX + 2 * CONF_PREFIXES_MAX * sizeof(struct prefix) +                          \
		2 * CONF_WORDS_MAX * sizeof(char *))

enum keyword {
	KEYWORD_STATE,
	KEYWORD_LOG,
	KEYWORD_IDLE,
	KEYWORD_ACCOUNT,
	KEYWORD_FROM,
	KEYWORD_TO,
	KEYWORD_LIMIT,
	KEYWORD_INTERVAL,
	KEYWORD_TIMEOUT,
	KEYWORD_READ_TIMEOUT,
	KEYWORD_BARE_LF,
	KEYWORD_USER,
	KEYWORD_ENV,
	KEYWORD_PASS,
	KEYWORD_CONFINE,
	KEYWORD_ISOLATE,
	KEYWORD_ACTION,
	KEYWORDS
};

/* A run of entries in one of the pools of struct conf. */
struct slice {
	unsigned start, count;
};

/* Where a word was said, for messages. */
struct place {
	const char *file;
	unsigned line; /* 0: the whole file */
};

struct account {
	const char *name;
	struct place place;  /* where it begins */
	struct slice from;   /* of conf.prefixes */
	struct slice to;     /* likewise; empty: any local address */
	unsigned from_word;  /* of conf.prefix_words: where the words of `from` begin */
	unsigned to_word;    /* likewise */
	struct slice action; /* of conf.words; a NULL follows the last */
	struct place action_place, user_place;
	struct rate limit;
	struct span interval, timeout, read_timeout;
	bool bare_lf;
	const char *user;       /* NULL: the running user */
	const char *confine;    /* the policy's name */
	bool isolate;           /* the action from other processes */
	uint16_t set[KEYWORDS]; /* the line that says it in this block; 0: inherited */
	bool pinned[KEYWORDS];  /* defaults only: said on the command line */
};

/* `env NAME=value`, or `pass NAME`, and the block that says it. */
struct variable {
	const struct account *block;
	char *text;
};

/* A prefix as it was written, for messages. */
struct prefix_word {
	const char *text;
	struct place place;
};

enum severity {
	SEVERITY_ERROR,   /* it is wrong, and nothing runs */
	SEVERITY_WARNING, /* it is probably not meant */
};

/* Is told of each thing that is wrong. `line` is 0 where a message is about the whole file. The
 * message is one line, but its words can have any bytes. */
typedef void conf_report(void *context, enum severity severity, const char *file, unsigned line,
	const char *message);

struct conf {
	const char *state; /* base directory; NULL: state_base_path() */
	struct place state_place;
	enum log_target log;
	struct span idle; /* nmnotifyd ends after this long without work; 0: never */
	unsigned accounts_count, prefixes_count, words_count, variables_count, passes_count;
	size_t text_length, pool_used; /* bytes */

	/* While reading. */
	const char *file;
	unsigned line;
	struct account *block;
	bool command_line;
	unsigned wrong; /* how many errors were reported */
	bool advises;   /* to be set after conf_begin(): warnings are wanted, too */
	conf_report *report;
	void *context;

	/* Large and mostly unused: behind the rest, which then shares a page with their beginning.
	 */
	struct account defaults;
	struct account accounts[CONF_ACCOUNTS_MAX];
	struct variable variables[CONF_ENV_MAX];
	struct variable passes[CONF_PASS_MAX];
	struct prefix_word prefix_words[CONF_PREFIXES_MAX]; /* only if `advises` */
	/* One piece of memory for text, prefixes and words, in the order in which they come: a
	 * common configuration fills a page of it. */
	union {
		char text[CONF_POOL_BYTES];
		struct prefix prefixes[CONF_POOL_BYTES / sizeof(struct prefix)];
		char *words[CONF_POOL_BYTES / sizeof(char *)];
	};
};

/* `conf` must be all zeros. */
void conf_begin(struct conf *conf, conf_report *report, void *context);

/* One -o argument, the `number`th; before conf_file(). */
void conf_option(struct conf *conf, const char *text, unsigned number);

/*
 * The file. One that cannot be read, or that somebody other than root and the running user owns
 * or may write, is reported and not looked at. If `optional`, a missing file is an empty one.
 */
void conf_file(struct conf *conf, const char *path, bool optional);

/* Ends the reading: inherits the defaults, checks that every account is whole. True if nothing
 * was wrong: only then may the rest of conf be used. */
bool conf_end(struct conf *conf);

/* The first account that takes connections of `source` to the local address `to`; or NULL. */
const struct account *conf_account(
	const struct conf *conf, const struct source *source, const struct source *to);

/* Is it among the account's `from`? */
bool conf_takes(
	const struct conf *conf, const struct account *account, const struct source *source);

/* Is a variable, or a name to pass, of an account's environment: the defaults' or its own? */
bool conf_variable_is_of(
	const struct conf *conf, const struct variable *variable, const struct account *account);

/* Reports something about a line, as the reading does. */
__attribute__((format(printf, 4, 5))) void conf_tell(struct conf *conf, enum severity severity,
	const struct place *place, const char *format, ...);
__attribute__((format(printf, 4, 0))) void conf_tell_list(struct conf *conf, enum severity severity,
	const struct place *place, const char *format, va_list arguments);

/* A place, for a message about what stands elsewhere in the file `here`: "line 3"; or "-o:3". */
#define CONF_PLACE_MAX 64
const char *conf_place(
	const char *here, const struct place *place, char bytes[static CONF_PLACE_MAX]);

/* Does any account look at the local address? If not, nobody needs to find it out. */
bool conf_needs_to(const struct conf *conf);

#endif
