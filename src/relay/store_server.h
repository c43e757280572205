/* SPDX-License-Identifier: ISC */
/*
 * In the relay's process: the connection to a Redis server. Commands are sent one behind the other,
 * a bounded number, and each is answered within a second, by the server or by not being answered.
 * One that is away is looked for again.
 *
 * The protocol is hiredis's. The socket is ours, since hiredis may wait for the name service, and
 * so is what a reply becomes (relay/store_reply.h). Its asynchronous interface is none for us: that
 * ends the process by an assertion if a server sends what nobody asked for. SIGPIPE has to be
 * ignored.
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

/* The answer to a command that was sent. NULL: none came, or it was an error. */
typedef void server_answer(void *context, const struct ask *ask, const struct reply *reply);

/* NULL: there is no memory. */
struct server *server_open(const struct server_setup *setup, server_answer *answer, void *context);
void server_close(struct server *server);

/* A command: spaces of `format` are between its words, those of what takes the place of %s or a
 * number are not. False: it is not sent, since the server is away, or too many wait. */
__attribute__((format(printf, 3, 4))) bool server_send(
	struct server *server, const struct ask *ask, const char *format, ...);

#endif
