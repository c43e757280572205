/* SPDX-License-Identifier: ISC */
/*
 * Datagrams, received straight into a mapped file: from the moment that the kernel has them no
 * more, the file has them, until what they say is noted. A death at any instruction loses none; at
 * worst one is noted twice.
 */
#ifndef NMNOTIFY_INBOX_H
#define NMNOTIFY_INBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/clock.h"
#include "relay/event.h"
#include "relay/records.h"

enum inbox_kind { INBOX_NOTICE, INBOX_BIFF, INBOX_CYRUS, INBOX_KINDS };

/* Longer ones are none of ours. */
#define INBOX_BYTES 8192

struct letter {
	enum inbox_kind kind;
	const char *bytes;
	size_t length;
	bool is_cut;         /* it was longer than INBOX_BYTES */
	struct instant read; /* when it was; 0: not known, since a death came in between */
	bool has_sender;     /* the kernel has named him (unix(7): SCM_CREDENTIALS) */
	uid_t uid;
	gid_t gid;
};

typedef void inbox_reader(void *context, const struct letter *letter);

struct inbox;

/* NULL: no memory. A file that cannot be used is said, and memory takes its place. */
struct inbox *inbox_open(
	int directory, inbox_reader *reader, records_listener *listener, void *context);
void inbox_close(struct inbox *inbox);

/* Reads what a death has left unread, before anything else. */
void inbox_read_left(struct inbox *inbox, struct instant now);

/* Asks the kernel to name senders, and to count what it had no room for. */
void inbox_prepare(int fd, enum inbox_kind kind);

/*
 * Reads what has come, at most some at once. Returns how many letters; -1 with errno set.
 * `*lost`: how many the kernel had no room for (socket(7): SO_RXQ_OVFL), since the beginning.
 */
int inbox_receive(
	struct inbox *inbox, int fd, enum inbox_kind kind, struct instant now, uint32_t *lost);

#endif
