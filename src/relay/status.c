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
#include "relay/status_json.h"
#include "relay/status_request.h"

/* Others wait until one of them is done. */
#define CLIENTS_MAX 4

/* To say what is wanted; and to take the answer. */
#define PATIENCE_MS 2000

/* For the store and the names that an answer about a user needs: it is looked at so often, and so
 * many times. */
#define LOOK_MS 50
#define LOOKS   20

/* Whether the store has been asked, for a client's user. */
enum asking { ASKING_NOT, ASKING_STORE, ASKING_NAMES };

struct client {
	struct status *status;
	int fd; /* -1: nobody is here, or has gone before the store's answer came */
	enum asking asking;
	unsigned looks;
	char user[USER_NAME_MAX + 1];
	struct last_addresses last;
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
	sd_event_source *timer; /* set off when nobody is left; NULL: all are welcome */
};

/* ---- The end ---- */

static void listen_if_wanted(struct status *status)
{
	if (status->clients < CLIENTS_MAX && status->timer == NULL)
		(void)sd_event_source_set_enabled(status->listener, SD_EVENT_ON);
}

/* Its place is free, unless the store will still answer: within a second, whatever it is. */
static void client_free(struct client *client)
{
	if (client->asking == ASKING_STORE)
		return;
	client->status->clients--;
	listen_if_wanted(client->status);
	if (client->status->clients == 0 && client->status->timer != NULL)
		(void)sd_event_source_set_time_relative(client->status->timer, 0);
}

static void client_close(struct client *client)
{
	if (client->fd < 0)
		return;
	(void)sd_event_source_disable_unref(client->io);
	(void)sd_event_source_disable_unref(client->timer);
	free(client->answer);
	(void)close(client->fd); /* what was sent is on its way */
	*client = (struct client){ .status = client->status,
		.fd = -1,
		.asking = client->asking == ASKING_STORE ? ASKING_STORE : ASKING_NOT };
	client_free(client);
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
	(void)sd_event_source_set_enabled(client->timer, SD_EVENT_ONESHOT);
	(void)sd_event_source_set_io_events(client->io, EPOLLOUT);
	if (client->answer == NULL)
		client_close(client); /* no memory */
	else
		go_on_sending(client);
}

/* ---- The request ---- */

/* With what is known now; or not yet, since a name is being looked up. */
static void answer_of_user(struct client *client)
{
	bool is_whole, is_last = ++client->looks >= LOOKS;
	json_t *answer =
		status_answer_user(client->status->relay, client->user, &client->last, &is_whole);

	if (is_whole || is_last) {
		answer_with(client, answer);
		return;
	}
	json_decref(answer);
	(void)sd_event_source_set_time_relative(client->timer, LOOK_MS * 1000ull);
	(void)sd_event_source_set_enabled(client->timer, SD_EVENT_ONESHOT);
}

static void looked_up(void *context, const struct last_addresses *last)
{
	struct client *client = context;

	if (client->fd < 0) {
		client->asking = ASKING_NOT;
		client_free(client);
		return;
	}
	client->asking = ASKING_NAMES;
	client->last = *last;
	answer_of_user(client);
}

static void answer_to(struct client *client, const struct status_request *request)
{
	struct relay *relay = client->status->relay;

	if (request->kind == STATUS_ALL) {
		answer_with(client, status_answer(relay));
		return;
	}
	memcpy(client->user, request->user, sizeof(client->user));
	relay_conf_strip(relay->conf, client->user);
	/* That it goes away is heard meanwhile: nothing else of it is. */
	(void)sd_event_source_set_io_events(client->io, 0);
	(void)sd_event_source_set_time_relative(client->timer, PATIENCE_MS * 1000ull);
	client->asking = ASKING_STORE;
	store_look_up(relay->store, client->user, looked_up, client);
}

/* The time is up. */
static int on_timer(sd_event_source *source, uint64_t at, void *context)
{
	struct client *client = context;

	(void)source;
	(void)at;
	if (client->asking == ASKING_NAMES && client->answer == NULL)
		answer_of_user(client);
	else
		client_close(client);
	return 0;
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
		answer_with(client, status_wrong(wrong));
	else
		answer_to(client, &request);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct client *client = context;

	(void)source;
	(void)fd;
	if (client->answer == NULL && client->asking != ASKING_NOT &&
		(events & (EPOLLHUP | EPOLLERR)) != 0)
		client_close(client);
	else if (client->answer != NULL)
		go_on_sending(client);
	else if (client->asking == ASKING_NOT)
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

	while (client->fd >= 0 || client->asking != ASKING_NOT)
		client++;
	client->fd = fd;
	status->clients++;
	if (sd_event_add_io(loop, &client->io, fd, EPOLLIN, on_io, client) < 0 ||
		sd_event_add_time_relative(loop, &client->timer, CLOCK_MONOTONIC,
			PATIENCE_MS * 1000ull, 0, on_timer, client) < 0)
		client_close(client);
	else if (!may_ask(fd))
		answer_with(client,
			status_wrong("only root, and the user that the relay runs as, may ask"));
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
	status->timer = NULL;
	listen_if_wanted(status);
}

bool status_leave(struct status *status, sd_event_source *timer)
{
	if (status->clients == 0)
		return true;
	status->timer = timer;
	(void)sd_event_source_set_enabled(status->listener, SD_EVENT_OFF);
	return false;
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
