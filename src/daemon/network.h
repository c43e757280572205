/* SPDX-License-Identifier: ISC */
/*
 * The network process of nmnotifyd: everything that comes from outside ends here. It decides, and
 * asks the runner for a process where one must take its turn.
 *
 * In the network process: as nmnotify or nobody if the runner is root, else as the runner; under
 * network.policy.
 */
#ifndef NMNOTIFY_NETWORK_H
#define NMNOTIFY_NETWORK_H

#include "conf/conf.h"
#include "daemon/accounts.h"
#include "daemon/datagram.h"
#include "daemon/pending.h"
#include "daemon/progress.h"
#include "daemon/requester.h"
#include "lib/service.h"

struct network {
	/* What it is given. */
	const struct conf *conf;
	struct served_accounts *accounts;
	const struct progress *progress;
	const struct listener *listener;
	unsigned listeners_count;
	struct span alive_every; /* between two REQUEST_ALIVE; 0: none */

	/* Its own: all zeros before network_prepare(). */
	int epoll;
	struct requester requester;
	struct pending_list pending;
	struct datagrams datagrams;
	struct deadline now;      /* of this round of the loop */
	struct deadline idle_at;  /* if nothing happens: when we have been idle for long enough */
	struct deadline alive_at; /* when the runner is told next that we are */
	bool is_draining;         /* the sockets are another process's: nothing new is taken */
	bool had_children;        /* the runner, in the round before */
	bool is_behind;           /* this round has left something that had come */
	bool may_nap;             /* the machine can sleep for so short a time */
};

/*
 * Prepares what must be there before the filter: the poll set, the sockets' options. False with
 * errno set.
 */
bool network_prepare(struct network *network);

/*
 * Serves. Returns EX_OK when there has been nothing to do for `idle`; or, once another process
 * serves the sockets (the runner has sent a byte), when all that was taken is done. Returns
 * EX_OSERR when the runner is gone.
 */
int network_serve(struct network *network);

/* The program as the network process, from its first step to its end. */
int network_main(void);

#endif
