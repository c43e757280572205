/* SPDX-License-Identifier: ISC */
/*
 * The line to the hosts that nmnotify-send is told, without a relay: one sending after another, and
 * no second try. This waits, for as long as it may.
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

/* The first step: nobody else's descriptors stay open, and 0 to 2 lead nowhere but for standard
 * error. False with errno set. */
bool direct_guard(void);

/* What is left is to send, and to say what failed. False with errno set: then nothing may be sent.
 */
bool direct_confine(struct failures *failures);

struct direct_how {
	bool is_udp;
	const struct source *from; /* the local address; NULL: the kernel chooses */
};

/*
 * To one address of the host after another, until one has it. False when the time is up or all have
 * failed, and the text gets why.
 */
bool direct_send(const struct host *host, const struct direct_how *how, struct deadline deadline,
	struct text *why);

#endif
