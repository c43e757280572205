/* SPDX-License-Identifier: ISC */
/*
 * The keywords of nmnotify-relay.conf(5): what each takes, and where that goes.
 *
 * In the relay, when its configuration is read: see relay_conf.h.
 */
#ifndef NMNOTIFY_RELAY_KEYWORDS_H
#define NMNOTIFY_RELAY_KEYWORDS_H

#include "relay/relay_conf.h"

/* Each keyword's number in the table, and in struct said. */
enum relay_keyword {
	RELAY_KEYWORD_SOCKET,
	RELAY_KEYWORD_BIFF,
	RELAY_KEYWORD_CYRUS,
	RELAY_KEYWORD_TRUST,
	RELAY_KEYWORD_STRIP_DOMAIN,
	RELAY_KEYWORD_USER,
	RELAY_KEYWORD_TABLE,
	RELAY_KEYWORD_NEVER,
	RELAY_KEYWORD_STORE,
	RELAY_KEYWORD_PASSWORD_FILE,
	RELAY_KEYWORD_LAST_FOR,
	RELAY_KEYWORD_USERS,
	RELAY_KEYWORD_SETTLE,
	RELAY_KEYWORD_INTERVAL,
	RELAY_KEYWORD_TIMEOUT,
	RELAY_KEYWORD_KEEP,
	RELAY_KEYWORD_MOST,
	RELAY_KEYWORD_PORT,
	RELAY_KEYWORD_PROTOCOL,
	RELAY_KEYWORD_SOURCE,
	RELAY_KEYWORD_STATE,
	RELAY_KEYWORD_LOG,
	RELAY_KEYWORD_IDLE,
	RELAY_KEYWORDS
};

extern const struct keyword relay_keywords[RELAY_KEYWORDS];

#endif
