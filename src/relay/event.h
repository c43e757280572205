/* SPDX-License-Identifier: ISC */
/*
 * What local programs tell the relay, in datagrams: that a user has mail, or checks mail. Every
 * byte may be a stranger's.
 *
 * In the relay: as the user it was started as; under relay.policy.
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

/* Each fills in an event from a datagram of any bytes. NULL, or a constant text: why it is none. */
const char *event_of_notice(struct event *event, const char *bytes, size_t length);
const char *event_of_biff(struct event *event, const char *bytes, size_t length);

/* The same for Cyrus, which says more than we want to know: then *is_news is false. */
const char *event_of_cyrus(struct event *event, bool *is_news, const char *bytes, size_t length);

/* Sets the user, from any bytes. NULL, or a constant text: why they are no user's name. */
const char *event_set_user(struct event *event, const char *bytes, size_t length);

#endif
