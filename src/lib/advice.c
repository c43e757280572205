/* SPDX-License-Identifier: ISC */
#include "lib/advice.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* Of a host's name in a message; longer ones do not exist (RFC 1035, 2.3.4). */
#define NAME_MAX_SHOWN 255

/* fe80::/10 (RFC 4291, 2.5.6): a wider network has no interface. */
#define LINK_LOCAL_BITS 10

/* As many networks are named in place of a range; a longer list is of no help. */
#define RANGE_PREFIXES_MAX 8

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcasecmp(word, *list) == 0)
			return true;
	return false;
}

/* ---- IPv4 ---- */

/* What begins as an IPv4 address does: numbers with dots between them. */
struct dotted {
	unsigned count; /* of numbers: at most 4 */
	uint32_t value; /* of the four numbers; those that are missing are 0 */
	bool too_large;
	const char *rest;
};

static struct dotted dotted_take(const char *word)
{
	struct dotted dotted = { .rest = word };
	uint64_t number;

	while (dotted.count < 4 && is_digit(*word)) {
		if (!number_take(&word, 255, &number)) {
			dotted.too_large = true;
			number = 0;
			word += strspn(word, "0123456789");
		}
		dotted.value |= (uint32_t)number << (24 - 8 * dotted.count++);
		dotted.rest = word;
		if (*word != '.')
			break;
		word++;
	}
	return dotted;
}

static uint32_t mask_of(unsigned bits)
{
	return bits == 0 ? 0 : ~UINT32_C(0) << (32 - bits);
}

static void add_ipv4(struct text *text, uint32_t value)
{
	text_add(
		text, "%u.%u.%u.%u", value >> 24, value >> 16 & 255, value >> 8 & 255, value & 255);
}

static void add_ipv4_prefix(struct text *text, uint32_t value, unsigned bits)
{
	add_ipv4(text, value & mask_of(bits));
	text_add(text, "/%u", bits);
}

/* 255.255.255.0, or as some write it 0.0.0.255. False if it is neither, or could be both: of all
 * zeros and of all ones, one is a single address and the other is everybody. */
static bool netmask_parse(const char *word, uint32_t address, unsigned *bits)
{
	struct dotted mask = dotted_take(word);

	if (mask.count != 4 || mask.too_large || *mask.rest != '\0')
		return false;
	*bits = 0;
	if (mask.value == 0)
		return address == 0;
	for (*bits = 32; *bits > 0; --*bits)
		if (mask.value == mask_of(*bits) || mask.value == ~mask_of(*bits))
			return true;
	return false;
}

static void advice_slash(struct text *text, const struct dotted *address)
{
	const char *word = address->rest + 1;
	unsigned mask;
	uint64_t bits;

	if (strchr(word, '.') != NULL && netmask_parse(word, address->value, &mask)) {
		text_add(text, "a network mask is written as the number of its bits: write ");
		add_ipv4_prefix(text, address->value, mask);
	} else if (!number_parse(word, 32, &bits)) {
		text_add(text, "the prefix length is not a number from 0 to 32");
	} else if (address->value == (address->value & mask_of((unsigned)bits))) {
		text_add(text, "a leading zero, which means octal to some: write ");
		add_ipv4_prefix(text, address->value, (unsigned)bits);
	} else {
		text_add(text, "the address has bits beyond its prefix length: write ");
		add_ipv4_prefix(text, address->value, (unsigned)bits);
		text_add(text, " for the network, or ");
		add_ipv4(text, address->value);
		text_add(text, " for the one address");
	}
}

/* The networks that a range is made of; false if there are too many to read. */
static bool add_range(struct text *text, uint32_t from, uint32_t to)
{
	for (unsigned count = 0; count < RANGE_PREFIXES_MAX; count++) {
		unsigned bits = 32;

		/* The largest that begins here and does not go beyond the end. */
		while (bits > 0 && (from & mask_of(bits - 1)) == from &&
			(from | ~mask_of(bits - 1)) <= to)
			bits--;
		text_add(text, " ");
		if (bits == 32)
			add_ipv4(text, from);
		else
			add_ipv4_prefix(text, from, bits);
		if ((from | ~mask_of(bits)) >= to)
			return true;
		from = (from | ~mask_of(bits)) + 1;
	}
	return false;
}

static void advice_range(struct text *text, const struct dotted *from)
{
	struct dotted to = dotted_take(from->rest + 1);
	size_t before;

	if (to.count == 1) /* 192.0.2.1-9 */
		to.value = (from->value & mask_of(24)) | to.value >> 24;
	text_add(text, "a range is not understood: write");
	before = text->length;
	if ((to.count == 1 || to.count == 4) && !to.too_large && *to.rest == '\0' &&
		to.value >= from->value && add_range(text, from->value, to.value))
		return;
	text->length = before;
	text_add(text, " networks, such as ");
	add_ipv4_prefix(text, from->value, 24);
}

/* 192.0.2, 192.0.2., 192.0.2.*, 192.0.2.x, 192.0.2/24, 10/8: what is behind the numbers. */
static bool is_wildcard(const char *rest)
{
	while (rest[0] == '.' && (rest[1] == '*' || rest[1] == 'x' || rest[1] == 'X'))
		rest += 2;
	return *rest == '\0' || strcmp(rest, ".") == 0;
}

static bool advice_part(struct text *text, const struct dotted *address)
{
	const char *rest = address->rest;
	uint64_t bits;

	if (*rest == '/' && number_parse(rest + 1, 32, &bits)) {
		text_add(text, "an IPv4 address has four numbers: write ");
		add_ipv4_prefix(text, address->value, (unsigned)bits);
		return true;
	}
	if (!is_wildcard(rest))
		return false;
	text_add(text, "an IPv4 address has four numbers: write ");
	add_ipv4_prefix(text, address->value, 8 * address->count);
	text_add(text, " for all that begin so");
	return true;
}

/* False if it is not meant as an IPv4 address. */
static bool advice_ipv4(struct text *text, const char *word)
{
	struct dotted address = dotted_take(word);

	if (address.count == 0)
		return false;
	if (address.too_large || (address.count == 4 && *address.rest == '.')) {
		if (word[strspn(word, "0123456789./:-")] != '\0')
			return false;
		text_add(text, "an IPv4 address has four numbers from 0 to 255");
		return true;
	}
	if (address.count < 4)
		return advice_part(text, &address);
	switch (*address.rest) {
	case '/': advice_slash(text, &address); return true;
	case '-': advice_range(text, &address); return true;
	case ':':
		text_add(text, "a sender's port says nothing: write ");
		add_ipv4(text, address.value);
		return true;
	case '%':
		text_add(text, "an IPv4 address has no interface behind it: write ");
		add_ipv4(text, address.value);
		return true;
	case '\0':
		text_add(text, "a leading zero, which means octal to some: write ");
		add_ipv4(text, address.value);
		return true;
	default: return false;
	}
}

/* ---- IPv6 ---- */

/* The beginning of a word, as a word of its own. */
static const char *part(char bytes[static SOURCE_TEXT_MAX], const char *word, size_t length)
{
	if (length >= SOURCE_TEXT_MAX)
		length = SOURCE_TEXT_MAX - 1;
	memcpy(bytes, word, length);
	bytes[length] = '\0';
	return bytes;
}

static void add_source(struct text *text, const struct source *source)
{
	char bytes[SOURCE_TEXT_MAX];

	text_add(text, "%s", source_text(source, bytes));
}

static void advice_ipv6_slash(struct text *text, const struct source *source, const char *bits)
{
	bool is_mapped = source->kind == SOURCE_IPV4;
	struct source base = *source;
	uint64_t number;

	if (!number_parse(bits, 128, &number)) {
		text_add(text, "the prefix length is not a number from 0 to 128");
		return;
	}
	if (is_mapped && number < 96) {
		text_add(text,
			"the prefix length is less than 96, where IPv4 begins: write it as IPv4");
		return;
	}
	number -= is_mapped ? 96 : 0;
	for (unsigned bit = (unsigned)number; bit < 8 * sizeof(base.address); bit++)
		base.address[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	if (number < LINK_LOCAL_BITS)
		base.scope = 0;
	text_add(text, "the address has bits beyond its prefix length: write ");
	add_source(text, &base);
	text_add(text, "/%u for the network, or ", (unsigned)number);
	add_source(text, source);
	text_add(text, " for the one address");
}

static void advice_scope(struct text *text, const struct source *source, const char *scope)
{
	bool is_link_local = source->address[0] == 0xfe && (source->address[1] & 0xc0) == 0x80;
	char name[SOURCE_TEXT_MAX];

	if (source->kind != SOURCE_IPV6 || !is_link_local)
		text_add(text, "only a link-local address has an interface behind it: write ");
	else
		text_add(text,
			"there is no interface '%s': leave out one that comes and goes, and write ",
			part(name, scope, strcspn(scope, "/")));
	add_source(text, source);
}

/* 2001:db8, 2001:db8:*: as many groups as there are, and all that begins so. */
static bool advice_groups(struct text *text, const char *word)
{
	char bytes[SOURCE_TEXT_MAX];
	struct text whole = TEXT_IN(bytes);
	size_t length = strspn(word, "0123456789abcdefABCDEF:");
	struct source source;
	unsigned groups = 1;

	if (word[length] != '\0' && strcmp(word + length, "*") != 0)
		return false;
	while (length > 0 && word[length - 1] == ':')
		length--;
	for (size_t i = 0; i < length; i++)
		groups += word[i] == ':';
	if (length == 0 || length + 3 > sizeof(bytes))
		return false;
	for (size_t i = 0; i < length; i++)
		text_add(&whole, "%c", word[i]);
	text_add(&whole, "::");
	if (strstr(bytes, "::") != bytes + length || groups > 7 || !source_parse(bytes, &source))
		return false;
	text_add(text, "an IPv6 address has eight groups, or '::' for zeros: write %s/%u", bytes,
		16 * groups);
	return true;
}

static bool advice_ipv6(struct text *text, const char *word)
{
	size_t length = strcspn(word, "/%"), whole = strcspn(word, "/");
	char bytes[SOURCE_TEXT_MAX];
	struct source source;

	if (strchr(word, ':') == NULL || word[strspn(word, "0123456789abcdefABCDEF:.*")] == '@' ||
		strspn(word, "0123456789abcdefABCDEF:.*-") < length)
		return false;
	if (!source_parse(part(bytes, word, length), &source)) {
		if (!advice_groups(text, word))
			text_add(text, "not an IPv6 address, such as 2001:db8::25");
		return true;
	}
	/* With an interface that there is, it is not that which is wrong. */
	if (word[length] == '%' && source_parse(part(bytes, word, whole), &source))
		length = whole;
	if (word[length] == '%')
		advice_scope(text, &source, word + length + 1);
	else if (word[length] == '/')
		advice_ipv6_slash(text, &source, word + length + 1);
	else
		text_add(text, "not an IPv6 address, such as 2001:db8::25");
	return true;
}

/* [2001:db8::25], [2001:db8::25]:79 */
static void advice_brackets(struct text *text, const char *word)
{
	char bytes[SOURCE_TEXT_MAX];
	struct source source;

	if (source_parse(part(bytes, word + 1, strcspn(word + 1, "]")), &source)) {
		text_add(text, "an address has no brackets and no port here: write ");
		add_source(text, &source);
	} else {
		text_add(text, "an address has no brackets here, as in 2001:db8::25");
	}
}

/* ---- Names ---- */

static bool advice_name(struct text *text, const char *word)
{
	static const char good[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	size_t length = strspn(word, good);
	char name[NAME_MAX_SHOWN + 1];

	if (strncmp(word, "*.", 2) == 0) {
		text_add(text, "names are not looked up: write addresses or networks, such as "
			       "192.0.2.0/24");
		return true;
	}
	/* mail.example.org:79, mail.example.org/24 */
	if (length == 0 || length > NAME_MAX_SHOWN ||
		(word[length] != '\0' && word[length] != ':' && word[length] != '/'))
		return false;
	memcpy(name, word, length);
	name[length] = '\0';
	text_add(text,
		"names are not looked up: write the address that 'getent hosts %s' shows, "
		"because an answer of the name service could change or be forged",
		name);
	return true;
}

/* Words that other programs take for all addresses, or some. */
static bool advice_known(struct text *text, const char *word, bool is_to)
{
	static const char *const all[] = { "any", "all", "*", "everyone", "everybody", "anyone",
		"anybody", "world", "*.*.*.*", "0/0", "/0", "any4", "any6", NULL };
	static const char *const here[] = { "localhost", "localhost.localdomain", "ip6-localhost",
		"loopback", NULL };

	if (is_one_of(word, all)) {
		if (is_to)
			text_add(text, "not an address or network: without 'to' every local "
				       "address counts");
		else
			text_add(text, "write 'any' for every source, or 0.0.0.0/0 for all of "
				       "IPv4");
		return true;
	}
	if (strcasecmp(word, "local") == 0 || strcasecmp(word, "unix") == 0) {
		text_add(text, "%s",
			is_to ? "a Unix socket has no address: write those of this machine"
			      : "write 'local' for Unix sockets, pipes and terminals");
		return true;
	}
	if (is_one_of(word, here)) {
		text_add(text, "names are not looked up: write 127.0.0.1 and ::1");
		return true;
	}
	return false;
}

static bool advice_form(struct text *text, const char *word)
{
	if (*word == '!')
		text_add(text, "nothing can be excluded: write what is permitted, the rest is "
			       "denied");
	else if (strpbrk(word, ",;") != NULL)
		text_add(text, "networks stand apart by spaces alone: write them so");
	else if (strstr(word, "://") != NULL)
		text_add(text, "write the address alone, not a URL");
	else if (strchr(word, '@') != NULL)
		text_add(text, "the line has no sender: write the address of the mail server");
	else if (*word == '[')
		advice_brackets(text, word);
	else
		return false;
	return true;
}

void advice_prefix(struct text *text, const char *word, bool is_to)
{
	if (advice_known(text, word, is_to) || advice_form(text, word) || advice_ipv4(text, word) ||
		advice_ipv6(text, word) || advice_name(text, word))
		return;
	text_add(text, "%s",
		is_to ? "not an address or network, such as 192.0.2.79"
		      : "not an address, network, 'any' or 'local', such as 192.0.2.25");
}

/* ---- A network that is written as an address ---- */

/* How many of the last bits of an address are zero. */
static unsigned zero_bits(const uint8_t *address, unsigned bytes)
{
	unsigned bits = 0;

	while (bits < 8 * bytes && (address[bytes - 1 - bits / 8] & (1u << bits % 8)) == 0)
		bits++;
	return bits;
}

bool advice_one_address(
	struct text *text, const char *word, const struct prefix *prefix, bool is_to)
{
	bool is_ipv4 = prefix->base.kind == SOURCE_IPV4;
	unsigned bytes = is_ipv4 ? 4 : 16, zeros;

	if (prefix->kind != PREFIX_ADDRESS || strchr(word, '/') != NULL)
		return false;
	zeros = zero_bits(prefix->base.address, bytes);
	if (zeros == 8 * bytes) {
		text_add(text, "it is one address, which %s: ",
			is_to ? "no connection is to" : "nobody has");
		if (is_to)
			text_add(text, "leave out 'to' for every local address, or ");
		else
			text_add(text, "write 'any' for every source, or ");
		text_add(text, is_ipv4 ? "0.0.0.0/0 for all of IPv4" : "::/0 for all of IPv6");
		return true;
	}
	/* In IPv6 it is the routers' (RFC 4291, 2.6.1). */
	if (zeros < (is_ipv4 ? 8 : 64))
		return false;
	zeros = is_ipv4 ? zeros / 8 * 8 : 64;
	text_add(text, "it is one address: if its network is meant, write ");
	add_source(text, &prefix->base);
	text_add(text, "/%u", 8 * bytes - zeros);
	return true;
}

/* ---- What a shell understands ---- */

bool advice_is_operator(const char *word)
{
	static const char *const operators[] = { "&&", "||", "|", "|&", ";", ";;", "&", "(", ")",
		NULL };
	const char *behind = word + strspn(word, "0123456789&");

	return is_one_of(word, operators) || *behind == '<' || *behind == '>';
}

bool advice_is_interpreter(const char *path)
{
	static const char *const names[] = { "sh", "ash", "bash", "dash", "fish", "ksh", "ksh93",
		"mksh", "yash", "zsh", "csh", "tcsh", "busybox", NULL };
	const char *name = strrchr(path, '/');

	name = name == NULL ? path : name + 1;
	return is_one_of(name, names) || strncmp(name, "python", 6) == 0;
}

/* A brace list: {a,b} or {1..9}. */
static bool has_braces(const char *word)
{
	const char *open = strchr(word, '{');
	const char *close = open == NULL ? NULL : strchr(open, '}');
	const char *comma = open == NULL ? NULL : strchr(open, ',');
	const char *dots = open == NULL ? NULL : strstr(open, "..");

	return close != NULL &&
	       ((comma != NULL && comma < close) || (dots != NULL && dots < close));
}

static bool has_dollar(const char *word)
{
	for (word = strchr(word, '$'); word != NULL; word = strchr(word + 1, '$'))
		if (word[1] != '\0' && word[1] != '/')
			return true;
	return false;
}

/* At the beginning, or behind an option's =. */
static bool has_tilde(const char *word)
{
	const char *equals = strchr(word, '=');

	return *word == '~' || (equals != NULL && equals[1] == '~');
}

bool advice_shell(struct text *text, const char *word)
{
	if (has_tilde(word))
		text_add(text, "only a shell understands '~': write the absolute path");
	else if (has_dollar(word) && strpbrk(word, "|&;<>") == NULL)
		text_add(text, "only a shell understands '$': write the value itself, or /bin/sh "
			       "-c '...', or quote it");
	else if (advice_is_operator(word) || strpbrk(word, "|&;<>`*?") != NULL || has_braces(word))
		text_add(text, "only a shell understands that: write /bin/sh -c '...', or quote it "
			       "if it is meant as it is");
	else
		return false;
	return true;
}
