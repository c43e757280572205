/* SPDX-License-Identifier: ISC */
/*
 * The connection to a Redis server. Commands are sent one behind the other, a bounded number. For
 * each the callback is called within a second, with the server's reply or with none. A server that
 * is away is looked for again.
 *
 * The protocol is hiredis's. The socket is ours, since hiredis may wait for the name service, and
 * so is what a reply becomes (relay/store_reply.h). Its asynchronous interface is not used: that
 * ends the process by an assertion if a server sends what nobody asked for. SIGPIPE has to be
 * ignored.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_STORE_SERVER_H
#define NMNOTIFY_STORE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "relay/store_backend.h"
#include "relay/store_reply.h"

#define SERVER_PASSWORD_MAX 512

struct server_address {
	struct sockaddr_storage socket;
	socklen_t length;
};

struct server_setup {
	struct server_address address;
	char password[SERVER_PASSWORD_MAX]; /* empty: none */
	unsigned database;
	const char *probe_key; /* the caller's: written to before the server counts as there */
	struct store *store;
	sd_event *loop;
};

struct server;

/* Is called once for each command that was sent. NULL: no reply came, or it was an error. */
typedef void server_answer(void *context, const struct ask *ask, const struct reply *reply);

/* NULL: there is no memory. */
struct server *server_open(const struct server_setup *setup, server_answer *answer, void *context);
void server_close(struct server *server);

/* Sends a command. Spaces in `format` separate its words; spaces in a string that takes the place
 * of %s do not. False: it is not sent, since the server is away or too many wait. */
__attribute__((format(printf, 3, 4))) bool server_send(
	struct server *server, const struct ask *ask, const char *format, ...);

#endif
