/* SPDX-License-Identifier: ISC */
/*
 * In the relay's process: one reply of a Redis server (RESP2), whose bytes may be anybody's. Only
 * what our commands can be answered with is a reply, so its size is bounded, and nothing is
 * allocated for it.
 */
#ifndef NMNOTIFY_STORE_REPLY_H
#define NMNOTIFY_STORE_REPLY_H

#include <stddef.h>
#include <stdint.h>

/* As many as are asked for: the addresses of a user. */
#define REPLY_ITEMS_MAX 8

/* The longest is a list of addresses as text; a message of an error can be as long. */
#define REPLY_SIZE_MAX 2048

enum reply_kind {
	REPLY_MORE, /* it has not come whole */
	REPLY_BAD,  /* none of ours */
	REPLY_STATUS,
	REPLY_ERROR,
	REPLY_INTEGER,
	REPLY_TEXT,
	REPLY_NONE, /* nil */
	REPLY_LIST, /* of texts */
};

/* Any bytes; they are the caller's. */
struct slice {
	const char *bytes;
	size_t length;
};

struct reply {
	enum reply_kind kind;
	size_t length;     /* of the whole reply, as it was sent */
	int64_t integer;   /* REPLY_INTEGER */
	struct slice text; /* REPLY_STATUS, REPLY_ERROR, REPLY_TEXT */
	unsigned count;    /* REPLY_LIST */
	struct slice item[REPLY_ITEMS_MAX];
};

/* The first reply of those bytes. */
struct reply reply_read(const char *bytes, size_t length);

#endif
