/* SPDX-License-Identifier: ISC */
/* In the relay: it is read before that is confined, and at a reload afterwards; the rest is under
 * relay.policy. */
#include "relay/relay_conf.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/reading.h"
#include "relay/relay_advice.h"
#include "relay/relay_keywords.h"
#include "relay/route.h"

/* Lines, slots of their hash table, patterns; text; targets; and lists of some hundred words. */
#define MEMORY_BYTES                                                                               \
	(RELAY_USERS_MAX * (sizeof(struct relay_user) + 3 * sizeof(uint32_t)) + RELAY_BYTES_MAX +  \
		RELAY_TARGETS_MAX * sizeof(struct route_target) +                                  \
		RELAY_USERS_MAX * sizeof(void *) + 131072)

/* How long a user's name holds, and how large the rest of his entry may be. */
#define NAME_MS     60000
#define ENTRY_BYTES 16384

/* ---- Reading ---- */

static bool memory_make(struct relay_conf *conf)
{
	struct relay_users *users = &conf->lines;
	struct reading *reading = &conf->reading;

	reading->memory = calloc(1, MEMORY_BYTES); /* pages that are not needed cost nothing */
	if (reading->memory == NULL)
		return false;
	reading->memory_size = MEMORY_BYTES;
	users->line = reading_keep(reading, RELAY_USERS_MAX * sizeof(*users->line));
	users->exact = reading_keep(reading, 2 * RELAY_USERS_MAX * sizeof(*users->exact));
	users->pattern = reading_keep(reading, RELAY_USERS_MAX * sizeof(*users->pattern));
	return true;
}

void relay_conf_begin(struct relay_conf *conf, report_writer *writer, void *context)
{
	conf->reading = (struct reading){
		.report = { .writer = writer, .context = context },
		.keywords = relay_keywords,
		.keywords_count = RELAY_KEYWORDS,
		.page = "nmnotify-relay.conf(5)",
		.owner = conf,
		.globals = conf,
		.said = &conf->said,
		.text_most = RELAY_BYTES_MAX,
	};
	keyword_defaults(&conf->reading, true, conf);
	conf->never.has_default = true;
	(void)memory_make(conf); /* where there is none, relay_conf_file() says it */
}

void relay_conf_option(struct relay_conf *conf, const char *text, unsigned number)
{
	if (conf->reading.memory != NULL)
		reading_option(&conf->reading, text, number);
}

void relay_conf_file(struct relay_conf *conf, const char *path, bool optional)
{
	if (conf->reading.memory != NULL) {
		reading_file(&conf->reading, path, optional);
		return;
	}
	conf->reading.report.here = (struct place){ .file = path };
	report_wrong(&conf->reading.report, "there is no memory to read it: %u KiB are needed",
		(unsigned)(MEMORY_BYTES / 1024));
}

static void ports_fill(struct relay_conf *conf)
{
	for (unsigned i = 0; i < conf->lines.count; i++) {
		const struct relay_user *user = &conf->lines.line[i];

		for (unsigned k = 0; k < user->count; k++)
			if (user->target[k].port == 0)
				user->target[k].port = (uint16_t)conf->port;
	}
}

bool relay_conf_end(struct relay_conf *conf)
{
	struct report *report = &conf->reading.report;

	if (report->wrong != 0)
		return false;
	if (conf->lines.count == 0 && conf->table.text == NULL) {
		char message[REPORT_MESSAGE_MAX];
		struct text text = TEXT_IN(message);

		report->here.line = 0;
		text_add(&text, "there is no 'user' and no 'table', so nobody is told");
		keyword_add_example(&conf->reading, &text, "user");
		report_text(report, SEVERITY_ERROR, &text);
		return false;
	}
	ports_fill(conf);
	route_index(conf);
	if (report->advises)
		relay_conf_advise(conf);
	return true;
}

void relay_conf_free(struct relay_conf *conf)
{
	free(conf->reading.memory);
	free(conf->own);
	conf->reading.memory = NULL;
	conf->own = NULL;
}

/* ---- Where it never goes ---- */

/* The unspecified ones, of which Linux takes 0.0.0.0 for itself; loopback; multicast; broadcast.
 * ::/96 has the first two of IPv6, and what was once IPv4 in it (RFC 4291, 2.5.5.1). */
static const struct prefix never_default[] = {
	{ .kind = PREFIX_ADDRESS, .base = { .kind = SOURCE_IPV4, .address = { 0 } }, .bits = 8 },
	{ .kind = PREFIX_ADDRESS, .base = { .kind = SOURCE_IPV4, .address = { 127 } }, .bits = 8 },
	{ .kind = PREFIX_ADDRESS, .base = { .kind = SOURCE_IPV4, .address = { 224 } }, .bits = 4 },
	{ .kind = PREFIX_ADDRESS,
		.base = { .kind = SOURCE_IPV4, .address = { 255, 255, 255, 255 } },
		.bits = 32 },
	{ .kind = PREFIX_ADDRESS, .base = { .kind = SOURCE_IPV6, .address = { 0 } }, .bits = 96 },
	{ .kind = PREFIX_ADDRESS, .base = { .kind = SOURCE_IPV6, .address = { 0xff } }, .bits = 8 },
};

static int source_order(const void *a, const void *b)
{
	const struct source *one = a, *other = b;
	int order = memcmp(one->address, other->address, sizeof(one->address));

	if (order == 0)
		order = (one->kind > other->kind) - (one->kind < other->kind);
	if (order == 0)
		order = (one->scope > other->scope) - (one->scope < other->scope);
	return order;
}

/* An interface's address, and where there is one, its network's broadcast address. */
static void own_add(struct source *own, unsigned *count, const struct sockaddr *address)
{
	struct sockaddr_storage storage = { .ss_family = AF_UNSPEC };

	if (address == NULL)
		return;
	if (address->sa_family == AF_INET)
		memcpy(&storage, address, sizeof(struct sockaddr_in));
	else if (address->sa_family == AF_INET6)
		memcpy(&storage, address, sizeof(struct sockaddr_in6));
	else
		return;
	own[(*count)++] = source_of_sockaddr(&storage);
}

bool relay_conf_own_addresses(struct relay_conf *conf)
{
	struct ifaddrs *list;
	struct source *own;
	unsigned count = 0;

	if (getifaddrs(&list) != 0)
		return false;
	for (const struct ifaddrs *one = list; one != NULL; one = one->ifa_next)
		count += 2;
	own = calloc(count + 1, sizeof(*own));
	if (own == NULL) {
		freeifaddrs(list);
		errno = ENOMEM;
		return false;
	}
	count = 0;
	for (const struct ifaddrs *one = list; one != NULL; one = one->ifa_next) {
		own_add(own, &count, one->ifa_addr);
		if (one->ifa_flags & IFF_BROADCAST)
			own_add(own, &count, one->ifa_broadaddr);
	}
	freeifaddrs(list);
	qsort(own, count, sizeof(*own), source_order);
	free(conf->own);
	conf->own = own;
	conf->own_count = count;
	return true;
}

static bool is_own(const struct relay_conf *conf, const struct source *address)
{
	return conf->own_count > 0 &&
	       bsearch(address, conf->own, conf->own_count, sizeof(*address), source_order) != NULL;
}

/* NULL: none of them. */
static const struct prefix *holder_of(
	const struct prefix *prefix, size_t count, const struct source *address)
{
	for (size_t i = 0; i < count; i++)
		if (prefix_holds(&prefix[i], address))
			return &prefix[i];
	return NULL;
}

/* By which interface? A connection to it cannot be tried. */
static bool is_without_interface(const struct source *address)
{
	return address->kind == SOURCE_IPV6 && address->scope == 0 && address->address[0] == 0xfe &&
	       (address->address[1] & 0xc0) == 0x80;
}

enum never relay_conf_never_why(
	const struct relay_conf *conf, const struct source *address, const struct prefix **network)
{
	const struct relay_networks *never = &conf->never;
	const struct prefix *holder;

	if ((address->kind != SOURCE_IPV4 && address->kind != SOURCE_IPV6) ||
		is_without_interface(address))
		return NEVER_INTERFACE;
	holder = holder_of(never->prefix, never->count, address);
	if (network != NULL)
		*network = holder;
	if (holder != NULL)
		return NEVER_NETWORK;
	if (!never->has_default)
		return NEVER_NOT;
	holder =
		holder_of(never_default, sizeof(never_default) / sizeof(never_default[0]), address);
	if (network != NULL)
		*network = holder;
	if (holder != NULL)
		return NEVER_DEFAULT;
	return is_own(conf, address) ? NEVER_OWN : NEVER_NOT;
}

bool relay_conf_never(const struct relay_conf *conf, const struct source *address)
{
	return relay_conf_never_why(conf, address, NULL) != NEVER_NOT;
}

bool relay_conf_tunnel(const struct relay_conf *conf, const struct source *address)
{
	return holder_of(conf->tunnel.prefix, conf->tunnel.count, address) != NULL;
}

/* ---- Who may say what ---- */

bool relay_conf_trusts(const struct relay_conf *conf, uid_t uid, gid_t gid)
{
	if (uid == 0)
		return true;
	for (unsigned i = 0; i < conf->trust.uids; i++)
		if (conf->trust.uid[i] == uid)
			return true;
	for (unsigned i = 0; i < conf->trust.gids; i++)
		if (conf->trust.gid[i] == gid)
			return true;
	return false;
}

static void name_ask(struct relay_name *name, uid_t uid)
{
	static char bytes[ENTRY_BYTES];
	struct passwd entry, *found = NULL;
	size_t length;

	*name = (struct relay_name){ .until = deadline_in((struct span){ .ms = NAME_MS }),
		.uid = uid };
	if (getpwuid_r(uid, &entry, bytes, sizeof(bytes), &found) != 0 || found == NULL)
		return;
	length = strlen(entry.pw_name);
	if (length <= USER_NAME_MAX)
		memcpy(name->name, entry.pw_name, length + 1);
}

/* The name that the system knows that user by; "" if none. */
static const char *name_of(struct relay_conf *conf, uid_t uid)
{
	struct relay_name *name = &conf->names[uid % RELAY_NAMES];

	if (name->uid != uid || deadline_has_passed(name->until))
		name_ask(name, uid);
	return name->name;
}

bool relay_conf_may_say(struct relay_conf *conf, uid_t uid, gid_t gid, const struct event *event)
{
	if (relay_conf_trusts(conf, uid, gid))
		return true;
	return event->kind != EVENT_LOGIN && strcmp(event->user, name_of(conf, uid)) == 0;
}

/* ---- Users ---- */

void relay_conf_strip(const struct relay_conf *conf, char *user)
{
	const struct relay_domains *domains = &conf->strip_domain;
	char *at = strrchr(user, '@');
	bool is_meant = domains->any;

	if (at == NULL || at == user)
		return;
	for (unsigned i = 0; i < domains->count && !is_meant; i++)
		is_meant = strcasecmp(at + 1, domains->domain[i]) == 0;
	if (is_meant)
		*at = '\0';
}
