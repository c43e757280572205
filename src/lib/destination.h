/* SPDX-License-Identifier: ISC */
/*
 * Where a line goes: an address, a port, and TCP or UDP. A name has to be looked up before.
 */
#ifndef NMNOTIFY_DESTINATION_H
#define NMNOTIFY_DESTINATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/source.h"

/* Characters of a name in the domain name system, written without a dot at its end (RFC
 * 1035, 2.3.4). */
#define DNS_NAME_MAX 253

struct destination {
	struct source address; /* SOURCE_IPV4 or SOURCE_IPV6 */
	uint16_t port;
	bool is_udp;
};

#endif
