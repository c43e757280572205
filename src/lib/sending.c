/* SPDX-License-Identifier: ISC */
#include "lib/sending.h"

#include <errno.h>
#include <linux/bpf.h>
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

/* Our end is said already: has the other end said its own? The states are the kernel's own, which
 * <netinet/tcp.h> has, too, but that and <linux/tcp.h> exclude each other. */
static bool has_ended(const struct tcp_info *info)
{
	return info->tcpi_state == BPF_TCP_CLOSE || info->tcpi_state == BPF_TCP_TIME_WAIT ||
	       info->tcpi_state == BPF_TCP_CLOSING || info->tcpi_state == BPF_TCP_LAST_ACK;
}

/* The kernel's count stays when the connection is gone: so one that was reset behind the line is
 * done, if it was not to be passed on. */
static bool is_there(const struct sending *sending)
{
	struct tcp_info info = { .tcpi_bytes_acked = 0 };
	socklen_t size = sizeof(info);

	return getsockopt(sending->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
	       info.tcpi_bytes_acked >= LINE_LENGTH && (!sending->is_passed_on || has_ended(&info));
}

/* Is it there, or lost? The error of a reset is set before the state that it leaves, so it is asked
 * for behind that. */
static void look_for_end(struct sending *sending)
{
	bool it_is = is_there(sending);
	int error = it_is && !sending->is_passed_on ? 0 : fd_socket_option(sending->fd, SO_ERROR);

	if (error != 0)
		fail(sending, error);
	else if (it_is)
		sending->state = SENDING_DONE;
}

/* The connection's end is a packet of its own. Were it in one packet with the line, the other
 * kernel would wait before it acknowledges either (Linux: tcp_fin() enters ping-pong mode). */
static void send_line(struct sending *sending)
{
	if (!fd_send(sending->fd, LINE_TEXT, LINE_LENGTH)) {
		if (errno != EAGAIN) /* else it is not connected yet */
			fail(sending, errno);
		return;
	}
	(void)shutdown(sending->fd, SHUT_WR); /* fails if it was reset: look_for_end() sees that */
	sending->state = SENDING_UNACKNOWLEDGED;
	look_for_end(sending); /* from this machine itself it is there already */
}

static void send_datagram(struct sending *sending)
{
	int error;

	if (!fd_send(sending->fd, LINE_TEXT, LINE_LENGTH)) {
		fail(sending, errno);
		return;
	}
	/* If the destination is this machine, an error is known by now. Nobody waits for another's.
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

void sending_begin(struct sending *sending, const struct destination *destination,
	const struct source *from, bool is_passed_on)
{
	/* Has the kernel wake us when all is acknowledged: it puts a message into the error queue,
	 * which poll(2) says and nobody reads (Documentation/networking/timestamping.rst). Where it
	 * cannot, sending_end() looks once more. */
	const int tell = SOF_TIMESTAMPING_TX_ACK | SOF_TIMESTAMPING_OPT_TSONLY;
	bool is_udp = destination->is_udp;
	struct sockaddr_storage address;
	socklen_t size = source_to_sockaddr(&destination->address, destination->port, &address);

	*sending = (struct sending){ .state = SENDING_CONNECTING, .is_passed_on = is_passed_on };
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
	/* If there is no connection, the attempt to send says why. */
	if (sending->state == SENDING_UNACKNOWLEDGED)
		look_for_end(sending);
	else
		send_line(sending);
}

void sending_end(struct sending *sending, int error)
{
	/* close(2) resets it: the kernel must not go on with it, since the next one may come soon.
	 */
	const struct linger none = { .l_onoff = 1, .l_linger = 0 };

	/* The kernel may not have been able to tell: see sending_begin(). */
	if (sending->state == SENDING_UNACKNOWLEDGED)
		look_for_end(sending);
	if (sending_goes_on(sending)) {
		fail(sending, error);
		(void)setsockopt(sending->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	}
	fd_close_if_open(sending->fd);
	sending->fd = -1;
}
