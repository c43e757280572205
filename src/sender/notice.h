/* SPDX-License-Identifier: ISC */
/*
 * A notice: what the relay is told, in one datagram of plain text to its Unix socket:
 *
 *     mail USER             a message is in the user's mailbox
 *     early USER            it will be, in a moment
 *     login USER ADDRESS    the user checks mail from there; the address is behind the last space
 *
 * In the process of nmnotify-send or nmnotify-login: as who started it, often root; under no
 * filter.
 */
#ifndef NMNOTIFY_NOTICE_H
#define NMNOTIFY_NOTICE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/text.h"

/* Longer ones the relay does not take. */
#define NOTICE_MAX    512

#define NOTICE_SOCKET "/run/nmnotify-relay/socket"

struct notice {
	char bytes[NOTICE_MAX + 1]; /* and a NUL, which is not sent */
	size_t length;
};

/* Each fills in a notice. NULL, or what is wrong with the user or the address. */
const char *notice_of_mail(struct notice *notice, const char *user, bool is_early);
const char *notice_of_login(struct notice *notice, const char *user, const char *address);

/* Hands it over: one datagram that waits for nobody, whatever the relay does. False: it was not,
 * and the text gets why. */
bool notice_send(const struct notice *notice, const char *path, struct text *why);

#endif
