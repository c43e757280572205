/* SPDX-License-Identifier: ISC */
/*
 * Addresses and networks as text: what inet_pton(3) takes is taken, and nothing else; what is written
 * can be read back; a network holds an address if and only if the bits before its prefix length are
 * the same, one by one.
 *
 * Input: a text, a NUL, and perhaps the bytes of an address to ask networks for.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "lib/advice.h"
#include "fuzz.h"
#include "lib/source.h"

#define TEXT_MAX 160

static bool is_mapped(const uint8_t address[16])
{
	static const uint8_t prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	return memcmp(address, prefix, sizeof(prefix)) == 0;
}

static bool is_link_local(const uint8_t address[16])
{
	return address[0] == 0xfe && address[1] >= 0x80 && address[1] <= 0xbf;
}

/* The address of a text, by inet_pton(3). What is behind a % is not its business. */
static int wanted_address(const char *text, uint8_t address[16])
{
	char bare[TEXT_MAX];
	int family = AF_INET6;

	memset(address, 0, 16);
	if (inet_pton(AF_INET, text, address) == 1)
		return AF_INET;
	(void)strcpy(bare, text);
	bare[strcspn(bare, "%")] = '\0';
	if (inet_pton(AF_INET6, bare, address) != 1)
		return 0;
	if (is_mapped(address)) {
		memmove(address, address + 12, 4);
		memset(address + 4, 0, 12);
		family = AF_INET;
	}
	return family;
}

static void check_written(const struct source *source)
{
	char text[SOURCE_TEXT_MAX], ours[INET6_ADDRSTRLEN];
	struct source again = { .kind = SOURCE_UNKNOWN };
	bool is_ipv4 = source->kind == SOURCE_IPV4;
	static const uint8_t zeros[12];

	must(source_text(source, text) == text);
	must(strlen(text) < sizeof(text));
	must(source_parse(text, &again));
	must(again.kind == source->kind && again.scope == source->scope);
	must(memcmp(again.address, source->address, 16) == 0);
	must(inet_ntop(is_ipv4 ? AF_INET : AF_INET6, source->address, ours, sizeof(ours)) != NULL);
	text[strcspn(text, "%")] = '\0';
	/* inet_ntop(3) writes ::a.b.c.d, which nobody has used since RFC 4291 gave it up. */
	if (is_ipv4 || memcmp(source->address, zeros, sizeof(zeros)) != 0)
		must(strcmp(text, ours) == 0);
}

static void check_address(const char *text)
{
	struct source source = { .kind = SOURCE_UNKNOWN };
	uint8_t address[16], identity[SOURCE_IDENTITY_MAX];
	int family = wanted_address(text, address);
	bool has_scope = strchr(text, '%') != NULL;

	if (!source_parse(text, &source)) {
		/* Without a scope it must be no address; with one, it may be a wrong scope. */
		must(family == 0 || has_scope);
		return;
	}
	must(family != 0);
	must(source.kind == (family == AF_INET ? SOURCE_IPV4 : SOURCE_IPV6));
	must(memcmp(source.address, address, 16) == 0);
	must((source.scope != 0) == has_scope);
	must(!has_scope || is_link_local(address));
	must(source_identity(&source, identity) <= sizeof(identity));
	check_written(&source);
}

static bool bit_of(const uint8_t *bytes, unsigned bit)
{
	return bytes[bit / 8] >> (7 - bit % 8) & 1;
}

static bool wanted_held(const struct prefix *prefix, const struct source *source)
{
	if (source->kind == SOURCE_UNKNOWN)
		return false;
	if (prefix->kind != PREFIX_ADDRESS)
		return prefix->kind == PREFIX_ANY || source->kind == SOURCE_LOCAL;
	if (source->kind != prefix->base.kind)
		return false;
	for (unsigned bit = 0; bit < prefix->bits; bit++)
		if (bit_of(source->address, bit) != bit_of(prefix->base.address, bit))
			return false;
	return prefix->base.scope == 0 || prefix->base.scope == source->scope;
}

/* Asks for the base, for it with each of its bits turned, and for another address. */
static void check_members(const struct prefix *prefix, const struct source *other)
{
	struct source member = prefix->base;
	unsigned total = prefix->base.kind == SOURCE_IPV4 ? 32 : 128;

	must(prefix_holds(prefix, other) == wanted_held(prefix, other));
	if (prefix->kind != PREFIX_ADDRESS)
		return;
	must(prefix->bits <= total);
	must(prefix_holds(prefix, &member));
	for (unsigned bit = 0; bit < total; bit++) {
		uint8_t turn = (uint8_t)(0x80u >> bit % 8);

		must(bit < prefix->bits || !bit_of(member.address, bit));
		member.address[bit / 8] ^= turn;
		must(prefix_holds(prefix, &member) == (bit >= prefix->bits));
		member.address[bit / 8] ^= turn;
	}
}

/* What is advised to be written is a network, each word of it. */
static void check_advice(const char *advice)
{
	const char *from = NULL;
	char word[256];
	size_t length;

	/* The last: an interface's name can have one, too. */
	for (const char *at = strstr(advice, "write "); at != NULL; at = strstr(at + 1, "write "))
		from = at;
	if (from == NULL)
		return;
	if (strncmp(from, "write networks, such as ", 24) == 0)
		from += 18;
	for (from += 6;; from += length + (from[length] == ' ')) {
		struct prefix prefix;

		length = strcspn(from, " ");
		must(length < sizeof(word));
		memcpy(word, from, length);
		word[length] = '\0';
		/* Words of English have neither. */
		if (length == 0 || strpbrk(word, ".:") == NULL || strpbrk(word, "'()") != NULL ||
			word[length - 1] == ':')
			return;
		must(prefix_parse(word, &prefix));
	}
}

static void check_prefix(const char *text, const struct source *other)
{
	struct prefix prefix;
	struct source source;
	char bytes[256];
	struct text advice = TEXT_IN(bytes);
	bool is_prefix = prefix_parse(text, &prefix);

	if (is_prefix) {
		check_members(&prefix, other);
		must(prefix_covers(&prefix, &prefix));
		if (advice_one_address(&advice, text, &prefix, false))
			check_advice(bytes);
	} else {
		advice_prefix(&advice, text, false);
		must(advice.length != 0);
		check_advice(bytes);
	}
	/* An address is a network of its own. (Linux looks for an interface by what is before a
	 * colon, so that a scope may have anything behind one.) */
	if (strchr(text, '/') == NULL && source_parse(text, &source)) {
		must(is_prefix && prefix.kind == PREFIX_ADDRESS);
		must(prefix.bits == (source.kind == SOURCE_IPV4 ? 32 : 128));
		must(prefix_holds(&prefix, &source));
	}
}

/* The same bytes, as they come from the kernel. */
static struct source other_source(struct input *input)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in ipv4 = { .sin_family = AF_INET };
	uint8_t kind = take_byte(input) % 4;
	struct source source;

	(void)take_bytes(input, &ipv6.sin6_addr, sizeof(ipv6.sin6_addr));
	ipv6.sin6_scope_id = take_byte(input);
	memcpy(&ipv4.sin_addr, &ipv6.sin6_addr, sizeof(ipv4.sin_addr));
	if (kind == 0)
		memcpy(&address, &ipv4, sizeof(ipv4));
	if (kind == 1)
		memcpy(&address, &ipv6, sizeof(ipv6));
	if (kind == 2)
		address.ss_family = AF_UNIX;
	source = source_of_sockaddr(&address);
	must(source.kind == SOURCE_IPV4 || kind != 0);
	must((source.kind == SOURCE_IPV6) == (kind == 1 && !is_mapped(ipv6.sin6_addr.s6_addr)));
	must(source.scope == 0 || is_link_local(source.address));
	if (source.kind != SOURCE_LOCAL)
		check_written(&source);
	return source;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct source other;
	char text[TEXT_MAX];

	take_text(&input, '\0', text, sizeof(text));
	other = other_source(&input);
	check_address(text);
	check_prefix(text, &other);
	return 0;
}
