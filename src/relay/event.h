/* SPDX-License-Identifier: ISC */
/*
 * What local programs tell the relay, in datagrams: that a user has mail, or checks mail. Every
 * byte is a stranger's.
 *
 * In the process of nmnotify-relay.
 */
#ifndef NMNOTIFY_EVENT_H
#define NMNOTIFY_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/destination.h"
#include "lib/user_name.h"

enum event_kind {
	EVENT_MAIL,
	EVENT_EARLY, /* the message cannot be seen yet */
	EVENT_LOGIN,
};

struct event {
	enum event_kind kind;
	char user[USER_NAME_MAX + 1];
	struct source address; /* of a login; IPv4-mapped IPv6 is IPv4 */
};

/* Each fills in an event from a datagram. NULL, or a constant text: why it is none. */
const char *event_of_notice(struct event *event, const char *bytes, size_t length);
const char *event_of_biff(struct event *event, const char *bytes, size_t length);

/* Cyrus says more than we want to know: `is_news` is false for what is right and no event. */
const char *event_of_cyrus(struct event *event, bool *is_news, const char *bytes, size_t length);

/* The user, from bytes that nobody has looked at. NULL, or why it is none. */
const char *event_set_user(struct event *event, const char *bytes, size_t length);

#endif
