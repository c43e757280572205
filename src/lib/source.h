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

/* A name of the domain name system has 253 characters at most (RFC 1035, 2.3.4). */
#define SOURCE_HOST_MAX 256

/* The longest identity: kind, address or /64, scope. */
#define SOURCE_IDENTITY_MAX 13

/* From a socket address (ip(7), ipv6(7), unix(7)); any other family is SOURCE_LOCAL. */
struct source source_of_sockaddr(const struct sockaddr_storage *address);

/* From text, as in TCPREMOTEIP; false if it is no address. A scope may be a name or a number. */
bool source_parse(const char *text, struct source *source);

/* As the kernel wants it (ip(7), ipv6(7)), for an IPv4 or IPv6 source; returns its size. */
socklen_t source_to_sockaddr(
	const struct source *source, uint16_t port, struct sockaddr_storage *address);

/*
 * Splits HOST, HOST:PORT, [HOST] or [HOST]:PORT, as people write an address or a name beside a
 * port. An IPv6 address has more than one colon: with a port it stands in brackets. *port is NULL
 * where there is none. False if it is none of these, or too long.
 */
bool source_split(const char *text, char host[static SOURCE_HOST_MAX], const char **port);

/* Writes the address as text, "local" or "unknown", and returns text. */
const char *source_text(const struct source *source, char text[static SOURCE_TEXT_MAX]);

/*
 * The bytes that rate limits know a source by: an IPv4 address whole, an IPv6 address by its
 * /64. Returns how many.
 */
size_t source_identity(const struct source *source, uint8_t identity[static SOURCE_IDENTITY_MAX]);

#endif
