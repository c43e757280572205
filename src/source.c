/* SPDX-License-Identifier: ISC */
#include "source.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

static bool is_link_local(const uint8_t address[16])
{
	return address[0] == 0xfe && (address[1] & 0xc0) == 0x80; /* RFC 4291, 2.5.6 */
}

static struct source from_ipv4(const void *address)
{
	struct source source = { .kind = SOURCE_IPV4 };

	memcpy(source.address, address, 4);
	return source;
}

static struct source from_ipv6(const uint8_t address[16], uint32_t scope)
{
	struct source source = { .kind = SOURCE_IPV6 };

	if (memcmp(address, mapped_prefix, sizeof(mapped_prefix)) == 0)
		return from_ipv4(address + sizeof(mapped_prefix));
	memcpy(source.address, address, 16);
	if (is_link_local(address))
		source.scope = scope;
	return source;
}

struct source source_of_sockaddr(const struct sockaddr_storage *address)
{
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;

	switch (address->ss_family) {
	case AF_INET:
		memcpy(&ipv4, address, sizeof(ipv4));
		return from_ipv4(&ipv4.sin_addr);
	case AF_INET6:
		memcpy(&ipv6, address, sizeof(ipv6));
		return from_ipv6(ipv6.sin6_addr.s6_addr, ipv6.sin6_scope_id);
	default:
		return (struct source){ .kind = SOURCE_LOCAL };
	}
}

/* RFC 4007, section 11: an interface's number or its name. 0 is no scope. */
static uint32_t scope_parse(const char *text)
{
	char *end;
	unsigned long number;

	if (*text < '0' || *text > '9')
		return if_nametoindex(text);
	number = strtoul(text, &end, 10);
	return *end == '\0' && number <= UINT32_MAX ? (uint32_t)number : 0;
}

bool source_parse(const char *text, struct source *source)
{
	char address[INET6_ADDRSTRLEN];
	uint8_t bytes[16];
	size_t length = strcspn(text, "%");
	uint32_t scope = 0;

	if (inet_pton(AF_INET, text, bytes) == 1) {
		*source = from_ipv4(bytes);
		return true;
	}
	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	if (inet_pton(AF_INET6, address, bytes) != 1)
		return false;
	if (text[length] == '%') {
		scope = scope_parse(text + length + 1);
		if (scope == 0 || !is_link_local(bytes))
			return false;
	}
	*source = from_ipv6(bytes, scope);
	return true;
}

const char *source_text(const struct source *source, char text[static SOURCE_TEXT_MAX])
{
	char name[IF_NAMESIZE];
	size_t length;

	switch (source->kind) {
	case SOURCE_IPV4: return inet_ntop(AF_INET, source->address, text, SOURCE_TEXT_MAX);
	case SOURCE_IPV6: break;
	case SOURCE_LOCAL: return strcpy(text, "local");
	default: return strcpy(text, "unknown");
	}
	(void)inet_ntop(AF_INET6, source->address, text, SOURCE_TEXT_MAX);
	if (source->scope != 0) {
		length = strlen(text);
		if (if_indextoname(source->scope, name) != NULL)
			(void)snprintf(text + length, SOURCE_TEXT_MAX - length, "%%%s", name);
		else
			(void)snprintf(
				text + length, SOURCE_TEXT_MAX - length, "%%%u", source->scope);
	}
	return text;
}

size_t source_identity(const struct source *source, uint8_t identity[static SOURCE_IDENTITY_MAX])
{
	identity[0] = (uint8_t)source->kind;
	switch (source->kind) {
	case SOURCE_IPV4: memcpy(identity + 1, source->address, 4); return 5;
	case SOURCE_IPV6:
		/* A /64 is what one customer gets at least: within it, addresses are free. */
		memcpy(identity + 1, source->address, 8);
		memcpy(identity + 9, &source->scope, 4);
		return 13;
	default: return 1;
	}
}

/* Is every bit of the address behind the first `bits` zero? */
static bool host_bits_zero(const uint8_t *address, unsigned bits, unsigned total)
{
	for (unsigned bit = bits; bit < total; bit++)
		if (address[bit / 8] & (0x80u >> bit % 8))
			return false;
	return true;
}

static const char *prefix_parse(const char *text, unsigned total, unsigned *bits)
{
	char *end;
	unsigned long value;

	if (*text < '0' || *text > '9')
		return "the prefix length is not a number";
	value = strtoul(text, &end, 10);
	if (*end != '\0' || value > total)
		return "the prefix length is out of range";
	*bits = (unsigned)value;
	return NULL;
}

const char *network_parse(char *text, struct network *network)
{
	char *slash = strchr(text, '/');
	unsigned total, written;
	const char *wrong;

	*network = (struct network){ .kind = NETWORK_ADDRESS };
	if (strcmp(text, "any") == 0) {
		network->kind = NETWORK_ANY;
		return NULL;
	}
	if (strcmp(text, "local") == 0) {
		network->kind = NETWORK_LOCAL;
		return NULL;
	}
	if (slash != NULL)
		*slash = '\0';
	if (!source_parse(text, &network->base))
		return "not an address, network, 'any' or 'local'";
	total = network->base.kind == SOURCE_IPV4 ? 32 : 128;
	/* ::ffff:192.0.2.0/120 is written in IPv6's bits and means IPv4's last 32. */
	written = strchr(text, ':') != NULL ? 128 : 32;
	network->bits = written;
	if (slash != NULL) {
		wrong = prefix_parse(slash + 1, written, &network->bits);
		if (wrong != NULL)
			return wrong;
	}
	if (network->bits < written - total)
		return "the prefix length is out of range";
	network->bits -= written - total;
	if (!host_bits_zero(network->base.address, network->bits, total))
		return "the address has bits beyond its prefix length";
	return NULL;
}

bool network_holds(const struct network *network, const struct source *source)
{
	const struct source *base = &network->base;
	unsigned bytes = network->bits / 8, rest = network->bits % 8;

	if (source->kind == SOURCE_UNKNOWN)
		return false;
	if (network->kind == NETWORK_ANY)
		return true;
	if (network->kind == NETWORK_LOCAL)
		return source->kind == SOURCE_LOCAL;
	if (source->kind != base->kind || memcmp(source->address, base->address, bytes) != 0)
		return false;
	if (base->scope != 0 && base->scope != source->scope)
		return false;
	return rest == 0 ||
	       ((source->address[bytes] ^ base->address[bytes]) & (0xffu << (8 - rest)) & 0xff) == 0;
}
