/* SPDX-License-Identifier: ISC */
/*
 * The inbox: datagrams (letters) are received straight into a mapped file. As soon as the kernel
 * has one no more, the file has it, until what it says is noted. So a death at any instruction
 * loses none; at worst one is noted twice.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_INBOX_H
#define NMNOTIFY_INBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/clock.h"
#include "relay/event.h"
#include "relay/records.h"

/* Proxied: notices that nmnotify-relay-proxy hands on. */
enum inbox_kind { INBOX_NOTICE, INBOX_BIFF, INBOX_CYRUS, INBOX_PROXIED, INBOX_KINDS };

/* Of a letter: what is longer is cut, and refused. */
#define INBOX_BYTES 8192

/* That are read at once, at most. */
#define INBOX_LETTERS 64

struct letter {
	enum inbox_kind kind;
	const char *bytes;
	size_t length;
	bool is_cut;         /* it was longer than INBOX_BYTES */
	struct instant came; /* to the kernel; 0: not known, since a death came in between */
	bool has_sender;     /* the kernel has named him (unix(7): SCM_CREDENTIALS) */
	uid_t uid;
	gid_t gid;
};

typedef void inbox_reader(void *context, const struct letter *letter);

struct inbox;

/* NULL: no memory. If the file cannot be used, that goes to the log, and memory takes its place. */
struct inbox *inbox_open(
	int directory, inbox_reader *reader, records_logger *logger, void *context);
void inbox_close(struct inbox *inbox);

/* Reads the letters that a death has left unread. To be called before inbox_receive(). */
void inbox_read_left(struct inbox *inbox, struct instant now);

/* Asks the kernel to name senders, to say when letters came, and to count what it had no room for.
 */
void inbox_prepare(int fd, enum inbox_kind kind);

/*
 * Reads what has come, a bounded number. Returns how many letters; -1 with errno set. If the kernel
 * says how many it had no room for, since the socket was made, that is put into *lost (socket(7):
 * SO_RXQ_OVFL).
 */
int inbox_receive(
	struct inbox *inbox, int fd, enum inbox_kind kind, struct instant now, uint32_t *lost);

#endif
