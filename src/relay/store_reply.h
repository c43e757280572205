/* SPDX-License-Identifier: ISC */
/*
 * What hiredis makes of a reply of a Redis server, whose bytes may be anybody's. Only what our
 * commands can be answered with is a reply, and no more of it is kept than they ask for: so nothing
 * is allocated because a reply says how long it is.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_STORE_REPLY_H
#define NMNOTIFY_STORE_REPLY_H

#include <hiredis/hiredis.h>

/* As many as are asked for: the addresses of a user. */
#define REPLY_ITEMS_MAX 8

/* The rest of a text is left out, and what is behind a NUL: of an error there is enough to be
 * understood, and an address is shorter. */
#define REPLY_TEXT_MAX 128

struct reply {
	int type;          /* of REDIS_REPLY_...: STATUS, ERROR, INTEGER, ARRAY, or NIL */
	long long integer; /* INTEGER */
	unsigned count;    /* ARRAY, of texts */
	char text[REPLY_ITEMS_MAX][REPLY_TEXT_MAX]; /* ARRAY; or the first: STATUS, ERROR */
};

/* From now on redisReaderGetReply() answers with `reply`. Any other pointer, or REDIS_ERR: it was
 * none of ours. */
void reply_read_into(redisReader *reader, struct reply *reply);

#endif
