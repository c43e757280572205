/* SPDX-License-Identifier: ISC */
/*
 * What the runner hands over to a network process, which is the same program, executed anew: it
 * has no other memory in common with the runner, no stack canary and no layout, and knows what it
 * is told here.
 *
 * In the runner, as who started it; and in the network process before it gives up that user and
 * has a filter.
 */
#ifndef NMNOTIFY_HANDOVER_H
#define NMNOTIFY_HANDOVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "daemon/progress.h"
#include "lib/service.h"
#include "lib/users.h"
#include "state/state.h"

/*
 * The network process's descriptors, by number: 0 to 2 lead nowhere, then the socket pair, the only
 * one that its filter lets it send to and does not let it close (network.policy), the shared
 * memory, the counters of sources without account, the listening sockets, and for each account its
 * state and its turn file.
 */
enum network_fd { RUNNER_FD = 3, SHARED_FD, DENIED_FD, LISTENERS_FD };

/* The name that it is executed by, from which the program knows that it is the network process. */
#define NETWORK_NAME "nmnotifyd-network"

/* Which of network_conf.prefixes. */
struct prefix_range {
	unsigned start, count;
};

/* What the network process has to know of an account. */
struct network_account {
	struct prefix_range from, to;
	struct rate limit;
	struct span interval, read_timeout;
	bool bare_lf;
	bool is_shut;
};

/* All that it is told: no word of an action, its environment, a name or a path. */
struct network_conf {
	pid_t runner;
	bool is_root;     /* the runner is */
	struct user user; /* then: whom it becomes */
	struct span alive_every, idle;
	unsigned listeners_count, accounts_count, prefixes_count;
	struct listener listener[LISTENERS_MAX];
	struct network_account account[CONF_ACCOUNTS_MAX];
	struct prefix prefixes[CONF_PREFIXES_MAX];
};

/* The first takes from the configuration what the network process has to know; the second puts that
 * into an empty configuration. */
void network_conf_fill(struct network_conf *network_conf, const struct conf *conf);
void network_conf_take(const struct network_conf *network_conf, struct conf *conf);

/* Memory that the network process, the runner and its children share. Most of it is never touched.
 */
struct shared {
	struct progress progress;
	struct network_conf conf; /* written before there is a network process */
	/* Takes the place of an account's state that cannot be used: whole pages, whatever their
	 * size (mremap(2)). */
	_Alignas(sizeof(struct state)) struct state spare[CONF_ACCOUNTS_MAX];
};

/* The memory that is in this file; NULL with errno set. */
struct shared *shared_map(int memory);

#endif
