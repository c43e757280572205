/* SPDX-License-Identifier: ISC */
/*
 * Who is at the other end. Addresses are kept as they are sent, the highest byte first; an
 * IPv4-mapped IPv6 address is IPv4 everywhere.
 */
#ifndef NMNOTIFY_SOURCE_H
#define NMNOTIFY_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum source_kind {
	SOURCE_UNKNOWN, /* an internet peer that is already gone: no account takes it */
	SOURCE_LOCAL,   /* a Unix socket, pipe, file or terminal */
	SOURCE_IPV4,
	SOURCE_IPV6,
};

struct source {
	enum source_kind kind;
	uint8_t address[16]; /* IPv4: the first four bytes, the rest zero */
	uint32_t scope;      /* interface of a link-local IPv6 address, else 0 */
};

/* "fe80::" + 39 more, '%', an interface's name (16), NUL. */
#define SOURCE_TEXT_MAX 64

/* The longest identity: kind, address or /64, scope. */
#define SOURCE_IDENTITY_MAX 13

/* From a socket address (ip(7), ipv6(7), unix(7)); any other family is SOURCE_LOCAL. */
struct source source_of_sockaddr(const struct sockaddr_storage *address);

/* From text, as in TCPREMOTEIP; false if it is no address. A scope may be a name or a number. */
bool source_parse(const char *text, struct source *source);

/* Writes the address as text, "local" or "unknown", and returns text. */
const char *source_text(const struct source *source, char text[static SOURCE_TEXT_MAX]);

/*
 * The bytes that rate limits know a source by: an IPv4 address whole, an IPv6 address by its
 * /64. Returns how many.
 */
size_t source_identity(const struct source *source, uint8_t identity[static SOURCE_IDENTITY_MAX]);

#endif
