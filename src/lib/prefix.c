/* SPDX-License-Identifier: ISC */
#include "lib/prefix.h"

#include <string.h>

#include "lib/text.h"

/* Is every bit of the address behind the first `bits` zero? */
static bool host_bits_zero(const uint8_t *address, unsigned bits, unsigned total)
{
	for (unsigned bit = bits; bit < total; bit++)
		if (address[bit / 8] & (0x80u >> bit % 8))
			return false;
	return true;
}

/* ADDRESS or ADDRESS/BITS; *written: how many bits an address has that is written so. */
static bool address_parse(
	const char *text, struct source *address, unsigned *written, unsigned *bits)
{
	const char *slash = strchr(text, '/');
	char before[SOURCE_TEXT_MAX];
	uint64_t number;

	/* ::ffff:192.0.2.0/120 is written in IPv6's bits and means IPv4's last 32. */
	*written = strchr(text, ':') != NULL ? 128 : 32;
	*bits = *written;
	if (slash == NULL)
		return source_parse(text, address);
	if ((size_t)(slash - text) >= sizeof(before) || !number_parse(slash + 1, *written, &number))
		return false;
	memcpy(before, text, (size_t)(slash - text));
	before[slash - text] = '\0';
	*bits = (unsigned)number;
	return source_parse(before, address);
}

bool prefix_parse(const char *text, struct prefix *prefix)
{
	unsigned total, written;

	*prefix = (struct prefix){ .kind = PREFIX_ADDRESS };
	if (strcmp(text, "any") == 0) {
		prefix->kind = PREFIX_ANY;
		return true;
	}
	if (strcmp(text, "local") == 0) {
		prefix->kind = PREFIX_LOCAL;
		return true;
	}
	if (!address_parse(text, &prefix->base, &written, &prefix->bits))
		return false;
	total = prefix->base.kind == SOURCE_IPV4 ? 32 : 128;
	if (prefix->bits < written - total)
		return false;
	prefix->bits -= written - total;
	return host_bits_zero(prefix->base.address, prefix->bits, total);
}

bool prefix_holds(const struct prefix *prefix, const struct source *source)
{
	const struct source *base = &prefix->base;
	unsigned bytes = prefix->bits / 8, rest = prefix->bits % 8;

	if (source->kind == SOURCE_UNKNOWN)
		return false;
	if (prefix->kind == PREFIX_ANY)
		return true;
	if (prefix->kind == PREFIX_LOCAL)
		return source->kind == SOURCE_LOCAL;
	if (source->kind != base->kind || memcmp(source->address, base->address, bytes) != 0)
		return false;
	if (base->scope != 0 && base->scope != source->scope)
		return false;
	return rest == 0 || ((source->address[bytes] ^ base->address[bytes]) &
				    (0xffu << (8 - rest)) & 0xff) == 0;
}

bool prefix_covers(const struct prefix *prefix, const struct prefix *other)
{
	if (prefix->kind == PREFIX_ANY)
		return true;
	if (prefix->kind != other->kind)
		return false;
	if (prefix->kind == PREFIX_LOCAL)
		return true;
	return prefix->bits <= other->bits && prefix_holds(prefix, &other->base);
}
