/* SPDX-License-Identifier: ISC */
#include "lib/source.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "lib/text.h"

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
	case AF_INET: memcpy(&ipv4, address, sizeof(ipv4)); return from_ipv4(&ipv4.sin_addr);
	case AF_INET6:
		memcpy(&ipv6, address, sizeof(ipv6));
		return from_ipv6(ipv6.sin6_addr.s6_addr, ipv6.sin6_scope_id);
	default: return (struct source){ .kind = SOURCE_LOCAL };
	}
}

socklen_t source_to_sockaddr(
	const struct source *source, uint16_t port, struct sockaddr_storage *address)
{
	struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 ipv6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = source->scope
	};

	*address = (struct sockaddr_storage){ .ss_family = AF_UNSPEC };
	if (source->kind == SOURCE_IPV4) {
		memcpy(&ipv4.sin_addr, source->address, 4);
		memcpy(address, &ipv4, sizeof(ipv4));
		return sizeof(ipv4);
	}
	memcpy(&ipv6.sin6_addr, source->address, 16);
	memcpy(address, &ipv6, sizeof(ipv6));
	return sizeof(ipv6);
}

bool source_split(const char *text, char host[static SOURCE_HOST_MAX], const char **port)
{
	bool has_brackets = *text == '[';
	const char *end, *first;
	size_t length;

	text += has_brackets;
	first = strchr(text, ':');
	if (has_brackets)
		end = strchr(text, ']');
	else if (first != NULL && strchr(first + 1, ':') == NULL)
		end = first;
	else
		end = text + strlen(text);
	if (end == NULL)
		return false;
	length = (size_t)(end - text);
	end += has_brackets;
	if (length >= SOURCE_HOST_MAX || (*end != ':' && *end != '\0'))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	*port = *end == ':' ? end + 1 : NULL;
	return true;
}

/* RFC 4007, section 11: an interface's number or its name. 0 is no scope. */
static uint32_t scope_parse(const char *text)
{
	uint64_t number;

	if (*text < '0' || *text > '9')
		return if_nametoindex(text);
	return number_parse(text, UINT32_MAX, &number) ? (uint32_t)number : 0;
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

/* The longest run of at least two zero groups, where "::" goes (RFC 5952, 4.2). */
static void zeros_find(const unsigned group[8], unsigned *start, unsigned *length)
{
	*start = 8;
	*length = 1;
	for (unsigned i = 0; i < 8; i++) {
		unsigned run = 0;

		while (i + run < 8 && group[i + run] == 0)
			run++;
		if (run > *length) {
			*start = i;
			*length = run;
		}
	}
}

static void add_group(struct text *text, unsigned group)
{
	static const char hex[] = "0123456789abcdef";

	for (unsigned shift = 12; shift > 0; shift -= 4)
		if (group >> shift != 0)
			text_add(text, "%c", hex[group >> shift & 15]);
	text_add(text, "%c", hex[group & 15]);
}

/* As inet_ntop(3) writes it, which in some libcs takes printf(3) along. */
static void add_ipv6(struct text *text, const uint8_t address[16])
{
	unsigned group[8], zeros, length;

	for (unsigned i = 0; i < 8; i++)
		group[i] = (unsigned)address[2 * i] << 8 | address[2 * i + 1];
	zeros_find(group, &zeros, &length);
	for (unsigned i = 0; i < 8; i++) {
		if (i == zeros) {
			text_add(text, "::");
			i += length - 1;
			continue;
		}
		if (i > 0 && i != zeros + length)
			text_add(text, ":");
		add_group(text, group[i]);
	}
}

const char *source_text(const struct source *source, char text[static SOURCE_TEXT_MAX])
{
	struct text out = { .bytes = text, .size = SOURCE_TEXT_MAX };
	const uint8_t *a = source->address;
	char name[IF_NAMESIZE];

	switch (source->kind) {
	case SOURCE_IPV4: text_add(&out, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]); break;
	case SOURCE_IPV6: add_ipv6(&out, a); break;
	case SOURCE_LOCAL: text_add(&out, "local"); break;
	default: text_add(&out, "unknown"); break;
	}
	if (source->scope != 0 && if_indextoname(source->scope, name) != NULL)
		text_add(&out, "%%%s", name);
	else if (source->scope != 0)
		text_add(&out, "%%%u", source->scope);
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
