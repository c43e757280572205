/* SPDX-License-Identifier: ISC */
/* In the relay. Words come from its configuration and table; users' names come from strangers. */
#include "relay/route.h"

#include <string.h>

#include "lib/siphash.h"
#include "lib/text.h"

/* RFC 1035, 2.3.4 */
#define LABEL_MAX 63

/* ---- Patterns ---- */

bool route_matches(const char *pattern, const char *text)
{
	const char *star = NULL, *from = text;

	/* Only the last '*' is ever tried again: those before it have their shortest match. In a
	 * pattern that is the text of another one, '*' is only matched by '*'. */
	while (*text != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			from = text;
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star + 1;
			text = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* ---- Ports ---- */

/* :PORT or nothing */
static const char *port_take(const char *text, uint16_t *port)
{
	uint64_t number;

	*port = 0;
	if (*text == '\0')
		return NULL;
	if (*text != ':' || !number_parse(text + 1, UINT16_MAX, &number) || number == 0)
		return "the port is not a number from 1 to 65535";
	*port = (uint16_t)number;
	return NULL;
}

/* ---- Addresses ---- */

/* Nobody has it; or it is reached by one of several interfaces, and none is named. */
static const char *address_wrong(const struct source *address)
{
	static const uint8_t zeros[16];
	const uint8_t *bytes = address->address;

	if (memcmp(bytes, zeros, sizeof(zeros)) == 0)
		return "no machine has that address";
	if (address->kind == SOURCE_IPV6 && address->scope == 0 && bytes[0] == 0xfe &&
		(bytes[1] & 0xc0) == 0x80)
		return "a link-local address needs its interface: write it as in fe80::7%eth0";
	return NULL;
}

static const char *address_take(struct route_target *target, const char *text, size_t length)
{
	char address[SOURCE_TEXT_MAX];

	if (length >= sizeof(address))
		return "it is no address";
	memcpy(address, text, length);
	address[length] = '\0';
	if (!source_parse(address, &target->address))
		return "it is no address";
	target->kind = ROUTE_ADDRESS;
	return address_wrong(&target->address);
}

/* [ADDRESS]:PORT */
static const char *brackets_take(struct route_target *target, const char *word)
{
	const char *end = strchr(word, ']');
	const char *wrong;

	if (end == NULL)
		return "the bracket is not closed: write as in [2001:db8::7]:7979";
	if (memchr(word, ':', (size_t)(end - word)) == NULL)
		return "only an IPv6 address has brackets: write it without";
	wrong = address_take(target, word + 1, (size_t)(end - word) - 1);
	if (wrong != NULL)
		return wrong;
	return port_take(end + 1, &target->port);
}

/* ---- Names (RFC 952, RFC 1123, 2.1; underscores are seen, too) ---- */

static bool is_label(const char *label, size_t length)
{
	if (length == 0 || length > LABEL_MAX || label[0] == '-' || label[length - 1] == '-')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_letter(label[i]) && !is_digit(label[i]) && label[i] != '-' &&
			label[i] != '_')
			return false;
	return true;
}

/* *last: its last label. */
static bool is_name(const char *name, size_t length, const char **last)
{
	const char *end = name + length;

	*last = name;
	for (const char *label = name;; label = *last + 1) {
		const char *dot = memchr(label, '.', (size_t)(end - label));

		if (!is_label(label, (size_t)((dot == NULL ? end : dot) - label)))
			return false;
		if (dot == NULL) {
			*last = label;
			return true;
		}
		*last = dot;
	}
}

static const char *wrong_name(const char *word)
{
	if (strchr(word, '/') != NULL)
		return "a network is no place to send to: write an address or a name";
	if (strchr(word, '@') != NULL)
		return "it is a mail address: write the address or name of a machine";
	if (strchr(word, ',') != NULL || strchr(word, ';') != NULL)
		return "targets stand apart by spaces alone: write them so";
	for (const char *c = word; *c != '\0'; c++)
		if ((unsigned char)*c > '~')
			return "a name is ASCII: write it as in xn--bcher-kva.example";
	return "it is no address and no name, such as 192.0.2.7 or home.example.org";
}

/* HOST or HOST:PORT; the name is cut off behind its end, in place. */
static const char *name_take(struct route_target *target, char *word)
{
	size_t length = strcspn(word, ":");
	const char *wrong = port_take(word + length, &target->port), *last;

	/* Its last dot says that it is whole, as every name here is. */
	if (length > 1 && word[length - 1] == '.')
		length--;
	if (!is_name(word, length, &last))
		return wrong_name(word);
	if (wrong != NULL)
		return wrong;
	if (length > DNS_NAME_MAX)
		return "the name is too long";
	/* No top-level domain is a number: it is an address that is none. */
	if (strspn(last, "0123456789") == (size_t)(word + length - last))
		return "an IPv4 address has four numbers from 0 to 255";
	word[length] = '\0';
	target->kind = ROUTE_NAME;
	target->name = word;
	return NULL;
}

/* An address alone; one with a port; or a name. */
static const char *host_take(struct route_target *target, char *word)
{
	const char *colon = strchr(word, ':');
	struct source address;

	if (*word == '[')
		return brackets_take(target, word);
	if (source_parse(word, &address))
		return address_take(target, word, strlen(word));
	if (strstr(word, "://") != NULL)
		return "it is a URL: write the address or name alone";
	if (colon != NULL && strchr(colon + 1, ':') != NULL)
		return "it is no IPv6 address; with a port, write as in [2001:db8::7]:7979";
	if (colon != NULL && address_take(target, word, (size_t)(colon - word)) == NULL)
		return port_take(colon, &target->port);
	return name_take(target, word);
}

/* ---- Targets ---- */

static bool is_number(const char *word)
{
	return *word != '\0' && word[strspn(word, "0123456789")] == '\0';
}

static bool is_last(const char *word)
{
	return strcmp(word, "last") == 0 || strncmp(word, "last:", 5) == 0;
}

/* last [N]; *at is moved to its last word. */
static const char *last_take(struct route_target *target, const struct words *words, unsigned *at)
{
	const char *wrong = port_take(words->word[*at] + strlen("last"), &target->port);
	uint64_t number = 1;

	if (wrong != NULL)
		return wrong;
	if (*at + 1 < words->count && is_number(words->word[*at + 1])) {
		++*at;
		if (!number_parse(words->word[*at], ROUTE_LAST_MAX, &number) || number == 0)
			return "it is not a number from 1 to 8, behind 'last'";
	}
	target->kind = ROUTE_LAST;
	target->last = (uint8_t)number;
	return NULL;
}

static const char *known_wrong(const char *word, bool is_alone)
{
	if (strcmp(word, "none") == 0)
		return is_alone ? NULL : "'none' stands alone";
	if (is_number(word))
		return "a number stands only behind 'last'";
	return NULL;
}

const char *route_targets(const struct words *words, unsigned first,
	struct route_target target[static ROUTE_TARGETS_MAX], unsigned *count, unsigned *fallback,
	unsigned *at)
{
	bool has_last = false;
	const char *wrong = NULL;

	*count = *fallback = 0;
	for (*at = first; *at < words->count; ++*at) {
		char *word = words->word[*at];

		wrong = known_wrong(word, words->count == first + 1);
		if (wrong != NULL)
			return wrong;
		if (strcmp(word, "none") == 0)
			return NULL;
		if (*count == ROUTE_TARGETS_MAX)
			return "it is one too many: 16 targets is the most";
		target[*count] = (struct route_target){ .kind = ROUTE_ADDRESS };
		if (is_last(word)) {
			if (has_last)
				return "'last' is there already: 'last 2' is for two addresses";
			has_last = true;
			wrong = last_take(&target[*count], words, at);
			*fallback = *count + 1;
		} else {
			wrong = host_take(&target[*count], word);
		}
		if (wrong != NULL)
			return wrong;
		++*count;
	}
	if (!has_last)
		*fallback = *count;
	return *count == 0 ? "a target is missing" : NULL;
}

const char *route_parse(struct route *route, const char *value, size_t length, uint16_t port)
{
	struct words words;
	const char *wrong;
	unsigned at;

	route->target = route->own;
	route->count = route->fallback = 0;
	route->is_said = true;
	route->wrong = NULL;
	if (length > 0 && value[length - 1] == '\0')
		length--; /* some who write tables count it, too */
	if (length > ROUTE_VALUE_MAX)
		return "it is too long";
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)value[i] < ' ' && value[i] != '\t')
			return "it has control characters";
	memcpy(route->text, value, length);
	route->text[length] = '\0';
	if (words_split(route->text, &words).error != WORDS_FINE)
		return "a quote is not closed, or there are too many words";
	wrong = route_targets(&words, 0, route->own, &route->count, &route->fallback, &at);
	if (wrong != NULL)
		route->count = route->fallback = 0;
	for (unsigned i = 0; i < route->count; i++)
		if (route->own[i].port == 0)
			route->own[i].port = port;
	return wrong;
}

/* ---- Finding ---- */

/* Slots are twice as many as lines can be, a power of two: some are always empty. */
#define SLOTS (2 * RELAY_USERS_MAX)

/* The key is not secret: what is in the table the administrator chose, and to look for what is
 * not there takes as long as it may for him. */
static uint32_t *slot_find(const struct relay_users *users, const char *user)
{
	static const uint64_t key[2] = { 0, 0 };
	uint64_t slot = siphash(key, (const uint8_t *)user, strlen(user));

	for (;; slot++) {
		uint32_t *at = &users->exact[slot % SLOTS];

		if (*at == 0 || strcmp(users->line[*at - 1].pattern, user) == 0)
			return at;
	}
}

void route_index(struct relay_conf *conf)
{
	struct relay_users *users = &conf->lines;

	for (unsigned i = 0; i < users->count; i++) {
		if (strchr(users->line[i].pattern, '*') != NULL) {
			users->pattern[users->patterns++] = i;
		} else {
			uint32_t *at = slot_find(users, users->line[i].pattern);

			if (*at == 0) /* else the first one holds */
				*at = i + 1;
		}
	}
}

unsigned route_line(const struct relay_conf *conf, const char *user)
{
	const struct relay_users *users = &conf->lines;
	uint32_t at = *slot_find(users, user);
	unsigned first = at == 0 ? users->count : at - 1;

	for (unsigned i = 0; i < users->patterns && users->pattern[i] < first; i++)
		if (route_matches(users->line[users->pattern[i]].pattern, user))
			return users->pattern[i];
	return first;
}

void route_find(
	const struct relay_conf *conf, struct table *table, const char *user, struct route *route)
{
	unsigned line = route_line(conf, user);
	size_t length;
	const char *value;

	route->target = route->own;
	route->count = route->fallback = 0;
	route->is_said = false;
	route->wrong = NULL;
	route->line = NULL;
	if (table != NULL && conf->table_at <= line &&
		(value = table_find(table, user, &length)) != NULL) {
		route->wrong = route_parse(route, value, length, (uint16_t)conf->port);
		return;
	}
	if (line == conf->lines.count)
		return;
	route->line = &conf->lines.line[line];
	route->target = route->line->target;
	route->count = route->line->count;
	route->fallback = route->line->fallback;
	route->is_said = true;
}

/* ---- Walking ---- */

bool route_needs_last(const struct route *route)
{
	for (unsigned i = 0; i < route->count; i++)
		if (route->target[i].kind == ROUTE_LAST)
			return true;
	return false;
}

/* Returns how many are taken. */
static unsigned walk_last(const struct relay_conf *conf, const struct route_target *target,
	const struct last_addresses *last, route_viewer *viewer, void *context)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < last->count; i++) {
		struct route_choice choice = { .target = target, .address = last->address[i] };

		if (taken == target->last)
			choice.fate = ROUTE_BEYOND;
		else if (relay_conf_never(conf, &choice.address))
			choice.fate = ROUTE_NEVER;
		else
			taken++;
		viewer(context, &choice);
	}
	return taken;
}

bool route_walk(const struct relay_conf *conf, const struct route *route,
	const struct last_addresses *last, route_viewer *viewer, void *context)
{
	unsigned known = 0;

	for (unsigned i = 0; i < route->count; i++) {
		const struct route_target *target = &route->target[i];
		const struct route_choice choice = { .target = target,
			.address = target->address,
			.fate = i >= route->fallback && known > 0 ? ROUTE_SPARED : ROUTE_TAKEN };

		if (target->kind == ROUTE_LAST)
			known += walk_last(conf, target, last, viewer, context);
		else
			viewer(context, &choice);
	}
	return last->is_remembered && known == 0 && route_needs_last(route);
}
