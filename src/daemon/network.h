/* SPDX-License-Identifier: ISC */
/*
 * The network process of nmnotifyd: everything that comes from outside ends here. It runs under
 * network.policy, and tells the runner by requests (request.h).
 */
#ifndef NMNOTIFY_NETWORK_H
#define NMNOTIFY_NETWORK_H

#include "conf/conf.h"
#include "lib/service.h"
#include "daemon/accounts.h"
#include "daemon/handover.h"

/* Connections that have not said their line yet. One more, and the oldest is dropped. */
#define NETWORK_CONNECTIONS_MAX 1024

struct network_process {
	const struct conf *conf;
	struct served_accounts *accounts;
	const struct progress *progress;
	struct listener *listener;
	unsigned listeners_count;
	struct span alive_every; /* between two REQUEST_ALIVE; 0: none */
};

/*
 * Prepares what must be there before the filter: the poll set, the sockets' options. False with
 * errno set.
 */
bool network_prepare(struct network_process *network);

/*
 * Serves until there is nothing to do for `idle`, or until what there was is done if the runner has
 * sent a byte, which means that another serves the sockets (returns EX_OK); or until the runner is
 * gone (EX_OSERR).
 */
int network_serve(struct network_process *network);

/* The program as the network process, from its first step to its end. */
int network_main(void);

#endif
