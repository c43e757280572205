/* SPDX-License-Identifier: ISC */
/* In the relay: what the resolver may say. */
#include "relay/resolver.h"

#include <string.h>

/* A time to live is believed within these bounds: a second, so that a name with none is not asked
 * for all the time; a day, so that a wrong one ends. */
#define LIVES_LEAST_S 1u
#define LIVES_MOST_S  (24u * 3600)

/* That there is no such name, or no name server, can be over soon. */
#define LIVES_NEGATIVE_S 10u

static const char *const wrong_text[RESOLVER_WRONGS] = {
	[RESOLVER_NO_NAME] = "there is no such name",
	[RESOLVER_NO_ADDRESS] = "the name has no address",
	[RESOLVER_SILENT] = "no name server of /etc/resolv.conf answers",
	/* c-ares before 1.34 does not tell these apart. */
	[RESOLVER_UNREACHABLE] =
		"the name servers of /etc/resolv.conf fail, refuse, or cannot be reached",
	[RESOLVER_SERVER_FAILED] = "the name servers of /etc/resolv.conf fail to look it up",
	[RESOLVER_SERVER_REFUSED] = "the name servers of /etc/resolv.conf refuse to look it up",
	[RESOLVER_SERVER_RUBBISH] = "what the name servers of /etc/resolv.conf say is wrong",
	[RESOLVER_BUSY] = "too many names at once",
	[RESOLVER_OTHER] = "the name could not be looked up",
};

static bool is_zero(const void *memory, size_t length)
{
	const uint8_t *bytes = memory;

	while (length > 0 && bytes[length - 1] == 0)
		length--;
	return length == 0;
}

static bool is_link_local(const uint8_t address[16])
{
	return address[0] == 0xfe && (address[1] & 0xc0) == 0x80; /* RFC 4291, 2.5.6 */
}

/* IPv4 written as IPv6 would go past whoever forbids IPv4 addresses. */
static bool is_mapped(const uint8_t address[16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(address, prefix, sizeof(prefix)) == 0;
}

static bool address_take(const struct resolver_address *told, struct source *source)
{
	*source = (struct source){ .kind = told->bits == 32 ? SOURCE_IPV4 : SOURCE_IPV6,
		.scope = told->scope };
	memcpy(source->address, told->bytes, sizeof(source->address));
	if (told->bits == 32)
		return told->scope == 0 && is_zero(told->bytes + 4, sizeof(told->bytes) - 4);
	return told->bits == 128 && !is_mapped(told->bytes) &&
	       (told->scope == 0 || is_link_local(told->bytes));
}

static struct span lives(uint32_t seconds)
{
	if (seconds < LIVES_LEAST_S)
		seconds = LIVES_LEAST_S;
	if (seconds > LIVES_MOST_S)
		seconds = LIVES_MOST_S;
	return (struct span){ .ms = seconds * 1000 };
}

bool resolver_answer_take(
	const struct resolver_answer *told, size_t length, struct name_answer *answer)
{
	*answer = (struct name_answer){ .count = 0 };
	if (length != sizeof(*told) || told->nothing != 0 || told->wrong >= RESOLVER_WRONGS ||
		told->count > NAME_ADDRESSES_MAX || (told->count == 0) == (told->wrong == 0) ||
		!is_zero(told->address + told->count,
			(NAME_ADDRESSES_MAX - told->count) * sizeof(told->address[0])))
		return false;
	for (uint32_t i = 0; i < told->count; i++)
		if (!address_take(&told->address[i], &answer->address[i]))
			return false;
	answer->count = told->count;
	answer->wrong = wrong_text[told->wrong];
	answer->lives = lives(told->wrong == 0 ? told->lives_s : LIVES_NEGATIVE_S);
	return true;
}

void resolver_address_put(struct resolver_address *address, const struct source *source)
{
	*address = (struct resolver_address){ .bits = source->kind == SOURCE_IPV4 ? 32 : 128,
		.scope = source->scope };
	memcpy(address->bytes, source->address, sizeof(address->bytes));
}
