/* SPDX-License-Identifier: ISC */
/* In the relay. */
#include "relay/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fd.h"
#include "relay/status_answer.h"
#include "relay/status_request.h"

/* Others wait until one of them is done. */
#define CLIENTS_MAX 4

/* To say what is wanted; and to take the answer. */
#define PATIENCE_MS 2000

struct client {
	struct status *status;
	int fd; /* -1: nobody is here */
	sd_event_source *io, *timer;
	size_t length; /* of the request, and then of the answer */
	size_t sent;
	char *answer; /* NULL: the request is not whole yet */
	char request[STATUS_REQUEST_MAX];
};

struct status {
	struct relay *relay;
	sd_event_source *listener;
	struct client client[CLIENTS_MAX];
	unsigned clients;
};

/* ---- The end ---- */

static void client_close(struct client *client)
{
	if (client->fd < 0)
		return;
	(void)sd_event_source_disable_unref(client->io);
	(void)sd_event_source_disable_unref(client->timer);
	free(client->answer);
	(void)close(client->fd); /* what was sent is on its way */
	*client = (struct client){ .status = client->status, .fd = -1 };
	client->status->clients--;
	status_listen_again(client->status);
}

/* The time is up. */
static int on_timer(sd_event_source *source, uint64_t at, void *context)
{
	(void)source;
	(void)at;
	client_close(context);
	return 0;
}

/* ---- The answer ---- */

static void go_on_sending(struct client *client)
{
	ssize_t sent = send(client->fd, client->answer + client->sent,
		client->length - client->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0 && !fd_would_wait(errno)) {
		client_close(client);
		return;
	}
	client->sent += sent < 0 ? 0 : (size_t)sent;
	if (client->sent == client->length)
		client_close(client);
}

/* Takes the object. */
static void answer_with(struct client *client, json_t *object)
{
	client->answer = status_write(object, &client->length);
	json_decref(object);
	/* Neither fails for what is there (sd_event_source_set_time(3)). */
	(void)sd_event_source_set_time_relative(client->timer, PATIENCE_MS * 1000ull);
	(void)sd_event_source_set_io_events(client->io, EPOLLOUT);
	if (client->answer == NULL)
		client_close(client); /* no memory */
	else
		go_on_sending(client);
}

/* ---- The request ---- */

static void answer_to(struct client *client, const struct status_request *request)
{
	switch (request->kind) {
	case STATUS_USER:
		answer_with(client, status_answer_wrong("users are not answered for yet"));
		break;
	default: answer_with(client, status_answer(client->status->relay));
	}
}

static void go_on_reading(struct client *client)
{
	ssize_t got = recv(client->fd, client->request + client->length,
		sizeof(client->request) - client->length, MSG_DONTWAIT);
	struct status_request request;
	const char *wrong;
	bool is_whole;

	if (got < 0) {
		if (!fd_would_wait(errno))
			client_close(client);
		return;
	}
	client->length += (size_t)got;
	wrong = status_request_take(&request, client->request, client->length, got == 0, &is_whole);
	if (!is_whole)
		return;
	if (wrong != NULL)
		answer_with(client, status_answer_wrong(wrong));
	else
		answer_to(client, &request);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct client *client = context;

	(void)source;
	(void)fd;
	(void)events;
	if (client->answer != NULL)
		go_on_sending(client);
	else
		go_on_reading(client);
	return 0;
}

/* ---- Beginning ---- */

/* The mode of the socket's file says so, too. */
static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static void client_begin(struct status *status, int fd)
{
	struct client *client = status->client;
	sd_event *loop = status->relay->loop;

	while (client->fd >= 0)
		client++;
	client->fd = fd;
	status->clients++;
	if (sd_event_add_io(loop, &client->io, fd, EPOLLIN, on_io, client) < 0 ||
		sd_event_add_time_relative(loop, &client->timer, CLOCK_MONOTONIC,
			PATIENCE_MS * 1000ull, 0, on_timer, client) < 0)
		client_close(client);
	else if (!may_ask(fd))
		answer_with(
			client, status_answer_wrong(
					"only root, and the user that the relay runs as, may ask"));
}

/* One at a time: the loop has others to see to. */
static int on_listener(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct status *status = context;
	int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (client >= 0)
		client_begin(status, client);
	/* Else who waits there would wake the loop all the time. */
	if (status->clients == CLIENTS_MAX ||
		(client < 0 && !fd_would_wait(errno) && errno != ECONNABORTED))
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

void status_listen_again(struct status *status)
{
	if (status->clients < CLIENTS_MAX)
		(void)sd_event_source_set_enabled(status->listener, SD_EVENT_ON);
}

struct status *status_open(struct relay *relay)
{
	struct status *status = calloc(1, sizeof(*status));

	if (status == NULL)
		return NULL;
	status->relay = relay;
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		status->client[i] = (struct client){ .status = status, .fd = -1 };
	if (sd_event_add_io(relay->loop, &status->listener, relay->sockets.status, EPOLLIN,
		    on_listener, status) >= 0)
		return status;
	free(status);
	return NULL;
}

void status_close(struct status *status)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		client_close(&status->client[i]);
	(void)sd_event_source_disable_unref(status->listener);
	free(status);
}
