/* SPDX-License-Identifier: ISC */
/*
 * In the network process: as nmnotify or nobody if the runner is root, else as the runner; under
 * network.policy.
 */
#include "daemon/datagram.h"

#include <string.h>

bool datagrams_prepare(const struct listener *listener)
{
	int fd = listener->fd, on = 1;

	if (!listener->is_internet)
		return true;
	/* An IPv6 socket may be given IPv4's datagrams, too. */
	return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) == 0 &&
	       (!listener->is_ipv6 ||
		       setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) == 0);
}

/* musl's CMSG_NXTHDR() makes unsigned of a negative mask. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"

/* The local address that a datagram came to (ip(7), ipv6(7)). */
static struct source datagram_to(struct msghdr *message)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct sockaddr_in *ipv4 = (struct sockaddr_in *)&address;
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			*ipv4 = (struct sockaddr_in){ .sin_family = AF_INET,
				.sin_addr = info.ipi_addr };
			return source_of_sockaddr(&address);
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&address;
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			*ipv6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
				.sin6_addr = info.ipi6_addr,
				.sin6_scope_id = info.ipi6_ifindex };
			return source_of_sockaddr(&address);
		}
	}
	return (struct source){ .kind = SOURCE_UNKNOWN };
}

#pragma GCC diagnostic pop

/* Makes the kernel's side of one ready. */
static void receive_into(struct datagrams *d, unsigned i, bool is_internet)
{
	/* Not for a Unix socket, whose messages could bring descriptors (unix(7)): without room for
	 * them the kernel closes them. */
	void *control = is_internet ? &d->control[i] : NULL;

	/* A 16th byte tells of more; what is beyond is never copied. */
	d->iov[i] =
		(struct iovec){ .iov_base = d->datagram[i].line.bytes, .iov_len = LINE_READ_MAX };
	d->address[i].ss_family = AF_UNSPEC;
	d->message[i].msg_hdr = (struct msghdr){
		.msg_name = &d->address[i],
		.msg_namelen = sizeof(d->address[i]),
		.msg_iov = &d->iov[i],
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = control == NULL ? 0 : sizeof(d->control[i]),
	};
}

unsigned datagrams_receive(struct datagrams *datagrams, const struct listener *listener)
{
	int count;

	for (unsigned i = 0; i < DATAGRAMS_MOST; i++)
		receive_into(datagrams, i, listener->is_internet);
	count = recvmmsg(listener->fd, datagrams->message, DATAGRAMS_MOST, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++) {
		struct datagram *datagram = &datagrams->datagram[i];

		datagram->line.length = datagrams->message[i].msg_len;
		datagram->source = source_of_sockaddr(&datagrams->address[i]);
		datagram->to = datagram_to(&datagrams->message[i].msg_hdr);
	}
	return count < 0 ? 0 : (unsigned)count;
}
