/* SPDX-License-Identifier: ISC */
/*
 * What the parts of the relay have in common while it serves: one process, one loop, no thread.
 *
 * In the relay: as the user it was started as, under relay.policy.
 */
#ifndef NMNOTIFY_RELAY_H
#define NMNOTIFY_RELAY_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "lib/allowance.h"
#include "lib/log.h"
#include "relay/inbox.h"
#include "relay/names.h"
#include "relay/owed.h"
#include "relay/relay_conf.h"
#include "relay/sockets.h"
#include "relay/store.h"
#include "relay/table.h"

struct telling;
struct status;

/* When what happened, for who asks: in seconds of CLOCK_REALTIME; 0: never. */
struct history {
	uint64_t began, conf_read;
	uint64_t conf_refused; /* a reload, since conf_read */
	const char *mistake;   /* why */
};

struct relay {
	sd_event *loop;
	struct relay_conf *conf; /* another one after each reload */
	struct inbox *inbox;
	struct owed *owed;
	struct store *store;
	struct table *table; /* NULL: none */
	struct names *names;
	struct telling *telling;
	struct status *status; /* NULL: there is no socket for it */
	struct sockets sockets;
	const char *file; /* of the configuration */
	struct history history;
	bool asks_again;          /* some users' addresses the store could not tell */
	sd_event_source *routing; /* goes on with it, when it was too much at once */
	struct log log;
	struct allowance told, failed, refused;
	uint64_t events, logins, refusals, lost;
	uid_t user;        /* that it runs as, and so does the proxy */
	bool is_caught_up; /* the proxy has just said so */
};

/* The logger of all parts: a line for the log. `context` is the relay. */
void relay_say(void *context, const char *message);

#endif
