/* SPDX-License-Identifier: ISC */
/*
 * The keywords of nmnotify.conf(5): what each takes, and where that goes.
 */
#ifndef NMNOTIFY_KEYWORDS_H
#define NMNOTIFY_KEYWORDS_H

#include "conf/conf.h"

/* Each keyword's number in the table, and in struct said. */
enum conf_keyword {
	KEYWORD_STATE,
	KEYWORD_LOG,
	KEYWORD_IDLE,
	KEYWORD_ACCOUNT,
	KEYWORD_FROM,
	KEYWORD_TO,
	KEYWORD_LIMIT,
	KEYWORD_INTERVAL,
	KEYWORD_TIMEOUT,
	KEYWORD_RETRY,
	KEYWORD_SUCCESS,
	KEYWORD_FAILURE,
	KEYWORD_READ_TIMEOUT,
	KEYWORD_BARE_LF,
	KEYWORD_USER,
	KEYWORD_ENV,
	KEYWORD_PASS,
	KEYWORD_CONFINE,
	KEYWORD_ISOLATE,
	KEYWORD_LANDLOCK,
	KEYWORD_READ,
	KEYWORD_WRITE,
	KEYWORD_EXECUTE,
	KEYWORD_CONNECT,
	KEYWORD_ACTION,
	KEYWORDS
};

extern const struct keyword keywords[KEYWORDS];

/* Begins an account of this name. */
struct account *account_add(struct conf *conf, const char *name);

#endif
