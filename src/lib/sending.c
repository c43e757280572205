/* SPDX-License-Identifier: ISC */
#include "lib/sending.h"

#include <errno.h>
#include <linux/net_tstamp.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "lib/fd.h"
#include "lib/line.h"

#define LINE_LENGTH (sizeof(LINE_TEXT) - 1)

static void fail(struct sending *sending, int error)
{
	sending->state = SENDING_FAILED;
	sending->error = error;
}

/* What the kernel has counted stays when the connection is gone: one that was reset behind the line
 * is done. */
static bool is_acknowledged(int fd)
{
	struct tcp_info info = { .tcpi_bytes_acked = 0 };
	socklen_t size = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
	       info.tcpi_bytes_acked >= LINE_LENGTH;
}

static void look_for_acknowledgement(struct sending *sending)
{
	if (is_acknowledged(sending->fd))
		sending->state = SENDING_DONE;
}

/* It is acknowledged, or lost. */
static void look_for_end(struct sending *sending)
{
	int error;

	look_for_acknowledgement(sending);
	if (sending->state == SENDING_DONE)
		return;
	error = fd_socket_option(sending->fd, SO_ERROR);
	if (error != 0)
		fail(sending, error);
}

/* The end is a packet of its own: in one with the line a kernel would wait before it acknowledged
 * either (Linux: tcp_fin() enters ping-pong mode). */
static void send_line(struct sending *sending)
{
	if (!fd_send(sending->fd, LINE_TEXT, LINE_LENGTH)) {
		if (errno != EAGAIN) /* else it is not connected yet */
			fail(sending, errno);
		return;
	}
	(void)shutdown(sending->fd, SHUT_WR); /* reset meanwhile: that is found out later */
	sending->state = SENDING_UNACKNOWLEDGED;
	look_for_acknowledgement(sending); /* on this machine it is there already */
}

static void send_datagram(struct sending *sending)
{
	int error;

	if (!fd_send(sending->fd, LINE_TEXT, LINE_LENGTH)) {
		fail(sending, errno);
		return;
	}
	/* What this machine knows of itself it knows by now; for an answer of others nobody waits.
	 */
	error = fd_socket_option(sending->fd, SO_ERROR);
	if (error != 0)
		fail(sending, error);
	else
		sending->state = SENDING_DONE;
}

static bool bind_from(int fd, const struct source *from)
{
	struct sockaddr_storage address;
	socklen_t size;

	if (from == NULL)
		return true;
	size = source_to_sockaddr(from, 0, &address);
	return bind(fd, (const struct sockaddr *)&address, size) == 0;
}

void sending_begin(
	struct sending *sending, const struct destination *destination, const struct source *from)
{
	/* The kernel is to tell when all is acknowledged: by an error that is none, and that nobody
	 * reads (Documentation/networking/timestamping.rst). Where it cannot, the end of the time
	 * tells. */
	const int tell = SOF_TIMESTAMPING_TX_ACK | SOF_TIMESTAMPING_OPT_TSONLY;
	bool is_udp = destination->is_udp;
	struct sockaddr_storage address;
	socklen_t size = source_to_sockaddr(&destination->address, destination->port, &address);

	*sending = (struct sending){ .state = SENDING_CONNECTING };
	sending->fd =
		fd_socket(address.ss_family, (is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK);
	if (sending->fd < 0 || !bind_from(sending->fd, from)) {
		fail(sending, errno);
		return;
	}
	if (!is_udp)
		(void)setsockopt(sending->fd, SOL_SOCKET, SO_TIMESTAMPING, &tell, sizeof(tell));
	if (connect(sending->fd, (const struct sockaddr *)&address, size) != 0) {
		if (errno != EINPROGRESS)
			fail(sending, errno);
	} else if (is_udp) {
		send_datagram(sending);
	} else {
		send_line(sending);
	}
}

short sending_events(const struct sending *sending)
{
	return sending->state == SENDING_CONNECTING ? POLLOUT : 0;
}

void sending_go_on(struct sending *sending)
{
	/* Sending says why there is no connection, if there is none. */
	if (sending->state == SENDING_UNACKNOWLEDGED)
		look_for_end(sending);
	else
		send_line(sending);
}

void sending_end(struct sending *sending)
{
	/* Not even the kernel goes on with it: there may be another one soon. */
	const struct linger none = { .l_onoff = 1, .l_linger = 0 };

	/* The last look, should the kernel have been unable to tell. */
	if (sending->state == SENDING_UNACKNOWLEDGED)
		look_for_end(sending);
	if (sending_goes_on(sending)) {
		fail(sending, ETIMEDOUT);
		(void)setsockopt(sending->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	}
	fd_close_if_open(sending->fd);
	sending->fd = -1;
}
