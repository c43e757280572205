/* SPDX-License-Identifier: ISC */
/*
 * Sends the line to the hosts that nmnotify-send is given, without a relay: one after another, each
 * once. This waits until a deadline.
 *
 * In the process of nmnotify-send: as who started it. From direct_confine() on under send.policy,
 * without capabilities.
 */
#ifndef NMNOTIFY_DIRECT_H
#define NMNOTIFY_DIRECT_H

#include "lib/clock.h"
#include "lib/text.h"
#include "sender/failure.h"
#include "sender/host.h"
#include "lib/sending.h"

/* The first step: closes what was inherited, but for standard error; 0 and 1 lead nowhere. False
 * with errno set. */
bool direct_guard(void);

/* Confines this process to what is left to do: to send, and to say what failed. False with errno
 * set: then nothing may be sent. */
bool direct_confine(struct failures *failures);

struct direct_how {
	bool is_udp;
	const struct source *from; /* the local address; NULL: the kernel chooses */
};

/*
 * Sends to one address of the host after another, until one has acknowledged it. False when all
 * have failed or the time is up; the text gets why.
 */
bool direct_send(const struct host *host, const struct direct_how *how, struct deadline deadline,
	struct text *why);

#endif
