/* SPDX-License-Identifier: ISC */
/*
 * How far the runner and its children have come with what the network process has asked for. Words
 * in memory that all of them have: the network process, which could write anything there, reads
 * them to ask no more than it must.
 *
 * In all processes of nmnotifyd: the network process, under network.policy; the runner, without a
 * filter; its children, under their account's policy.
 */
#ifndef NMNOTIFY_PROGRESS_H
#define NMNOTIFY_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "state/state.h"

struct progress {
	/* Per account: the number of the last REQUEST_TURN whose process looks for its turn. What
	 * comes now may be later than that look. */
	atomic_word looking[CONF_ACCOUNTS_MAX];
	/* Of the last one that is settled: its process has become the waiter, or found one. */
	atomic_word settled[CONF_ACCOUNTS_MAX];
	atomic_word children; /* of the runner: waiters and supervisors */
};

/* Has this request, or a later one, reached that stage? */
bool progress_is_looking(const struct progress *progress, unsigned account, uint32_t number);
bool progress_is_settled(const struct progress *progress, unsigned account, uint32_t number);

/* This request, and all before it, have reached that stage. */
void progress_look(struct progress *progress, unsigned account, uint32_t number);
void progress_settle(struct progress *progress, unsigned account, uint32_t number);

#endif
