/* SPDX-License-Identifier: ISC */
/*
 * The configuration, nmnotify.conf(5): read whole at start-up into a structure of fixed size,
 * checked whole, and refused whole if anything in it is wrong. Strings point into its own buffer.
 */
#ifndef NMNOTIFY_CONF_H
#define NMNOTIFY_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/clock.h"
#include "lib/keyword.h"
#include "lib/log.h"
#include "lib/prefix.h"

/* Bounds: far more than a person writes, and small enough to be static. Pages that a
 * configuration does not reach cost nothing. */
#define CONF_BYTES_MAX    65536
#define CONF_ACCOUNTS_MAX 64
#define CONF_PREFIXES_MAX 1024
#define CONF_WORDS_MAX    2048 /* of all actions, paths and ports */
#define CONF_ENV_MAX      512  /* variables */
#define CONF_PASS_MAX     128  /* names of variables */
#define CONF_NAME_MAX     32   /* of an account: it is a directory's name too */

#define FAILURES_MAX      1000

/* Enough for the most of everything. Twice, since each list begins at an aligned address. */
#define CONF_MEMORY_BYTES                                                                          \
	(CONF_BYTES_MAX +                                                                          \
		2 * CONF_PREFIXES_MAX * (sizeof(struct prefix) + sizeof(struct prefix_word)) +     \
		2 * CONF_WORDS_MAX * sizeof(char *))

/* A prefix as it was written, for messages. */
struct prefix_word {
	const char *text;
	struct place place;
};

/* What `from` or `to` says. */
struct networks {
	const struct prefix *prefix;
	const struct prefix_word *word; /* one for each; only if the reading advises */
	unsigned count;                 /* of `to`, 0: any local address */
};

struct command {
	char **words; /* a NULL follows the last; NULL: not said */
	struct place place;
};

/* Exit statuses, a bit each. */
struct statuses {
	uint32_t bits[8];
};

/* After so many runs in a row that have failed, this is run. */
struct failure {
	uint32_t count;
	struct command command;
};

/* What `read`, `write` or `execute` says: absolute paths, or ~ and what is below it. */
struct path_list {
	char **word;
	unsigned count;
	bool is_said, is_any, has_default; /* `any`; `default` beside the paths */
};

/* What `connect` says: TCP ports. */
struct port_list {
	uint16_t *port;
	unsigned count;
	bool is_said, is_any, has_default;
};

/* In the order of the keyword's choices. */
enum landlock_use { LANDLOCK_YES, LANDLOCK_NO, LANDLOCK_REQUIRED };

struct account {
	const char *name;
	struct place place; /* where it begins */
	struct networks from, to;
	struct command action;
	struct rate limit;
	struct span interval, timeout, read_timeout;
	struct span retry;       /* a run that has failed is owed again then; 0: it is not */
	struct statuses success; /* what an action that has not failed ends with */
	struct failure failure;
	bool bare_lf;
	struct said_text user; /* not said: the running user */
	const char *confine;   /* the policy's name */
	bool isolate;          /* the action from other processes */
	enum landlock_use landlock;
	struct path_list read, write, execute; /* not said: the policy's default */
	struct port_list connect;              /* likewise */
	struct said said;                      /* in this block */
};

/* `env NAME=value`, or `pass NAME`, and the block that says it. */
struct variable {
	const struct account *block;
	char *text;
};

struct conf {
	const char *file;       /* it was read from; NULL: from none */
	struct said_text state; /* base directory; not said: state_base_path() */
	enum log_target log;
	struct span idle; /* nmnotifyd ends after this long without work; 0: never */
	unsigned accounts_count, prefixes_count, words_count, variables_count, passes_count;
	struct reading reading;

	/* Large and mostly unused: behind the rest, which then shares a page with their beginning.
	 */
	struct account defaults;
	struct account accounts[CONF_ACCOUNTS_MAX];
	struct variable variables[CONF_ENV_MAX];
	struct variable passes[CONF_PASS_MAX];
	_Alignas(void *) char memory[CONF_MEMORY_BYTES]; /* of the reading */
};

/* `conf` must be all zeros. */
void conf_begin(struct conf *conf, report_writer *writer, void *context);

/* One -o argument, the `number`th; before conf_file(). */
void conf_option(struct conf *conf, const char *text, unsigned number);

/* The file: reading_file(). */
void conf_file(struct conf *conf, const char *path, bool optional);

/* Ends the reading: inherits the defaults, checks that every account is whole. True if nothing
 * was wrong: only then may the rest of conf be used. */
bool conf_end(struct conf *conf);

/* The first account that takes connections of `source` to the local address `to`; or NULL. */
const struct account *conf_account(
	const struct conf *conf, const struct source *source, const struct source *to);

/* The account of that name; or NULL. */
const struct account *conf_account_named(const struct conf *conf, const char *name);

/* Is an exit status among them? */
bool statuses_hold(const struct statuses *statuses, int status);

/* Is the source in one of them? */
bool networks_hold(const struct networks *networks, const struct source *source);

/* Does a variable, or a name to pass, count for an account: does its block say it, or the defaults?
 */
bool conf_variable_is_of(
	const struct conf *conf, const struct variable *variable, const struct account *account);

/* Does any account look at the local address? If not, nobody needs to find it out. */
bool conf_needs_to(const struct conf *conf);

#endif
