/* SPDX-License-Identifier: ISC */
/* In the relay, when its configuration is read. */
#include "relay/relay_keywords.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "lib/advice.h"
#include "relay/route.h"
#include "relay/store.h"

/* Of `trust`, with the members of groups. */
#define IDS_MAX 1024

static void wrong(struct reading *reading, const struct words *words, unsigned i, const char *what)
{
	report_wrong_word(&reading->report, words->word[0], words->word[i], ": %s", what);
}

/* ---- Where events come from ---- */

static void set_socket(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	const struct sockaddr_un *address = NULL;
	size_t most = sizeof(address->sun_path) - 1;

	if (strlen(words->word[1]) > most)
		report_wrong_word(&reading->report, keyword->name, words->word[1],
			" is too long for a socket: %u bytes is the most", (unsigned)most);
	else
		keyword_path(reading, keyword, to, words);
}

static bool is_loopback(const struct source *address)
{
	static const struct source ipv6 = { .kind = SOURCE_IPV6, .address = { [15] = 1 } };

	return address->kind == SOURCE_IPV4
		       ? address->address[0] == 127
		       : memcmp(address->address, ipv6.address, sizeof(ipv6.address)) == 0;
}

static void set_biff(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	struct route_target target[ROUTE_TARGETS_MAX];
	unsigned count, fallback, at;
	struct relay_port *port = to;

	(void)keyword;
	if (words->word[1][strspn(words->word[1], "0123456789abcdefABCDEF.:[]")] != '\0' ||
		route_targets(words, 1, target, &count, &fallback, &at) != NULL || count != 1 ||
		target[0].kind != ROUTE_ADDRESS || target[0].port == 0)
		wrong(reading, words, 1, "it is no address and port: write 127.0.0.1:512");
	else if (!is_loopback(&target[0].address))
		wrong(reading, words, 1,
			"other machines could send to it, who say anything: write 127.0.0.1:512");
	else
		*port = (struct relay_port){ .address = target[0].address, .port = target[0].port };
}

/* ---- Who may say what ---- */

struct ids {
	uid_t *uid;
	gid_t *gid;
	unsigned uids, gids;
};

/* A number that is one of 32 bits, and not the one that is nobody's. */
static bool id_parse(const char *text, uint32_t *id)
{
	uint64_t number;

	if (!number_parse(text, UINT32_MAX - 1, &number))
		return false;
	*id = (uint32_t)number;
	return true;
}

static void trust_user(
	struct reading *reading, struct ids *ids, const struct words *words, unsigned i)
{
	const char *name = words->word[i];
	const struct passwd *user;
	uint32_t uid;

	if (!id_parse(name, &uid)) {
		user = getpwnam(name);
		if (user == NULL) {
			report_wrong_word(&reading->report, words->word[0], name,
				": there is no such user%s",
				getgrnam(name) != NULL ? ", but a group: write a colon before it"
						       : "; a group is written as in :mail");
			return;
		}
		uid = user->pw_uid;
	}
	if (ids->uids == IDS_MAX)
		wrong(reading, words, i, "it is one too many: 1024 users is the most");
	else
		ids->uid[ids->uids++] = uid;
}

/* The kernel says only with which group a process runs, so who else is in it is asked here. */
static void trust_members(struct reading *reading, struct ids *ids, const struct words *words,
	unsigned i, char *const *member)
{
	for (; *member != NULL; member++) {
		const struct passwd *user = getpwnam(*member);

		if (user == NULL)
			continue;
		if (ids->uids == IDS_MAX) {
			wrong(reading, words, i,
				"its members are too many: 1024 users is the most");
			return;
		}
		ids->uid[ids->uids++] = user->pw_uid;
	}
}

static void trust_group(
	struct reading *reading, struct ids *ids, const struct words *words, unsigned i)
{
	const char *name = words->word[i] + 1;
	const struct group *group;
	uint32_t gid;

	if (!id_parse(name, &gid)) {
		group = getgrnam(name);
		if (group == NULL) {
			wrong(reading, words, i, "there is no such group");
			return;
		}
		gid = group->gr_gid;
	} else {
		group = getgrgid(gid);
	}
	ids->gid[ids->gids++] = gid;
	if (group != NULL)
		trust_members(reading, ids, words, i, group->gr_mem);
}

static void set_trust(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	struct ids ids = { .uid = reading_keep(reading, IDS_MAX * sizeof(*ids.uid)),
		.gid = reading_keep(reading, WORDS_MAX * sizeof(*ids.gid)) };

	(void)keyword;
	if (ids.uid == NULL || ids.gid == NULL)
		return;
	for (unsigned i = 1; i < words->count; i++) {
		if (words->word[i][0] == ':')
			trust_group(reading, &ids, words, i);
		else
			trust_user(reading, &ids, words, i);
	}
	*(struct relay_ids *)to = (struct relay_ids){
		.uid = ids.uid, .gid = ids.gid, .uids = ids.uids, .gids = ids.gids
	};
}

/* ---- Whose mail it is, and where the line goes ---- */

static const char *domain_wrong(const char *domain)
{
	if (strchr(domain, '@') != NULL)
		return "write the domain alone, without what is before it and the '@'";
	if (strchr(domain, '*') != NULL)
		return "a domain is written whole; 'yes' alone is for all domains";
	if (*domain == '\0' || strchr(domain, '.') == NULL)
		return "it is not yes, no, or a domain such as example.org";
	return NULL;
}

static void set_strip_domain(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	const char **domain = reading_keep(reading, words->count * sizeof(*domain));
	struct relay_domains *domains = to;
	bool is_any = strcmp(words->word[1], "yes") == 0;

	(void)keyword;
	if (domain == NULL)
		return;
	*domains = (struct relay_domains){ .domain = domain };
	if (words->count == 2 && (is_any || strcmp(words->word[1], "no") == 0)) {
		domains->any = is_any;
		return;
	}
	for (unsigned i = 1; i < words->count; i++) {
		const char *what = domain_wrong(words->word[i]);

		if (what != NULL)
			wrong(reading, words, i, what);
		domain[domains->count++] = words->word[i];
	}
}

static const char *pattern_wrong(const char *pattern)
{
	if (*pattern == '\0')
		return "a user has a name";
	if (strlen(pattern) > USER_NAME_MAX)
		return "no user's name is longer than " USER_NAME_MAX_TEXT " bytes";
	return NULL;
}

/* Words that are read, and yet are hardly meant. */
static void advise_target(
	struct reading *reading, const struct words *words, const struct route_target *target)
{
	const uint8_t *bytes = target->address.address;

	if (target->kind == ROUTE_NAME && strchr(target->name, '.') == NULL)
		report_warn_word(&reading->report, words->word[0], target->name,
			": a name without a dot: write it whole, as in home.example.org");
	if (target->kind != ROUTE_ADDRESS)
		return;
	if (bytes[0] == 0xff || (target->address.kind == SOURCE_IPV4 && bytes[0] >= 224)) {
		char text[SOURCE_TEXT_MAX];

		report_warn_word(&reading->report, words->word[0],
			source_text(&target->address, text),
			" is no single machine's: nobody accepts a connection there");
	}
}

static void user_add(struct reading *reading, const struct words *words,
	const struct route_target *target, unsigned count, unsigned fallback)
{
	struct relay_conf *conf = reading->owner;
	struct relay_users *users = &conf->lines;
	struct route_target *kept = NULL;

	if (users->targets + count > RELAY_TARGETS_MAX) {
		wrong(reading, words, 1, "there are too many targets: 65536 in all is the most");
		return;
	}
	if (count > 0) {
		kept = reading_keep(reading, count * sizeof(*kept));
		if (kept == NULL)
			return;
		memcpy(kept, target, count * sizeof(*kept));
	}
	users->targets += count;
	users->line[users->count++] = (struct relay_user){ .pattern = words->word[1],
		.target = kept,
		.place = reading->report.here,
		.count = (uint16_t)count,
		.fallback = (uint16_t)fallback };
}

/* Upper case where there is none, and what others call it. */
static const char *target_meant(const char *word)
{
	static const char *const table[][2] = { { "last", "last" }, { "none", "none" },
		{ "never", "none" }, { "off", "none" }, { "no", "none" }, { "nobody", "none" },
		{ "lastip", "last" }, { "auto", "last" }, { "any", "last" } };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcasecmp(word, table[i][0]) == 0 && strcmp(word, table[i][1]) != 0)
			return table[i][1];
	return NULL;
}

static void wrong_target(
	struct reading *reading, const struct words *words, unsigned at, const char *what)
{
	if (at >= words->count)
		report_wrong_word(&reading->report, words->word[0], words->word[1],
			": %s behind it: write such as '192.0.2.7', 'last' or 'none'", what);
	else
		wrong(reading, words, at, what);
}

static bool targets_meant(struct reading *reading, const struct words *words)
{
	bool is_well = true;

	for (unsigned i = 2; i < words->count; i++) {
		const char *meant = target_meant(words->word[i]);

		if (meant == NULL)
			continue;
		report_wrong_word(&reading->report, words->word[0], words->word[i],
			" is no target: write '%s'", meant);
		is_well = false;
	}
	return is_well;
}

static void set_user(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	const struct relay_conf *conf = reading->owner;
	const char *what = pattern_wrong(words->word[1]);
	struct route_target target[ROUTE_TARGETS_MAX];
	unsigned count, fallback, at;

	(void)keyword;
	(void)to;
	if (what != NULL) {
		wrong(reading, words, 1, what);
		return;
	}
	if (!targets_meant(reading, words))
		return;
	what = route_targets(words, 2, target, &count, &fallback, &at);
	if (what != NULL) {
		wrong_target(reading, words, at, what);
		return;
	}
	if (conf->lines.count == RELAY_USERS_MAX) {
		wrong(reading, words, 1,
			"it is one too many: 16384 lines is the most, and 'table' is for more");
		return;
	}
	if (reading->report.advises)
		for (unsigned i = 0; i < count; i++)
			advise_target(reading, words, &target[i]);
	user_add(reading, words, target, count, fallback);
}

static void set_table(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	struct relay_conf *conf = reading->owner;

	if (strncmp(words->word[1], "lmdb:/", 6) != 0) {
		wrong(reading, words, 1, "it is no table: write lmdb: and the file's whole path");
		return;
	}
	keyword_text(reading, keyword, to, words);
	if (to == &conf->table)
		conf->table_at = conf->lines.count;
}

/* ---- Where it never goes, and where from ---- */

static const char *never_meant(const char *word)
{
	if (strcmp(word, "any") == 0 || strcmp(word, "all") == 0 || strcmp(word, "*") == 0)
		return "then no login would count: leave out 'last' in 'user' instead";
	if (strcmp(word, "local") == 0 || strcasecmp(word, "default") == 0)
		return "write 'default' for this machine's own addresses, and those that are no "
		       "single machine's";
	if (strcmp(word, "none") == 0 || strcmp(word, "no") == 0)
		return "write a network that nobody has, such as 192.0.2.0/24";
	return NULL;
}

static const char *tunnel_meant(const char *word)
{
	if (strcmp(word, "any") == 0 || strcmp(word, "all") == 0 || strcmp(word, "*") == 0)
		return "write 0.0.0.0/0 and ::/0 if nothing goes anywhere else";
	if (strcmp(word, "none") == 0 || strcmp(word, "no") == 0)
		return "leave it out if there is none";
	return NULL;
}

static void wrong_network(
	struct reading *reading, const struct words *words, unsigned i, bool is_never)
{
	char bytes[REPORT_MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);
	const char *word = words->word[i],
		   *meant = is_never ? never_meant(word) : tunnel_meant(word);

	if (meant != NULL)
		text_add(&text, "%s", meant);
	else if (*word == '!')
		text_add(&text, "nothing can be excluded: write the networks that are meant");
	else if (strchr(word, '@') != NULL)
		text_add(&text, "not an address or network, such as 192.0.2.0/24");
	else
		advice_prefix(&text, word, true);
	wrong(reading, words, i, bytes);
}

static void advise_network(
	struct reading *reading, const struct words *words, unsigned i, const struct prefix *prefix)
{
	char bytes[REPORT_MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	/* 0.0.0.0 and :: are meant as they are. */
	if (prefix->bits == 0 || strcmp(words->word[i], "0.0.0.0") == 0 ||
		strcmp(words->word[i], "::") == 0)
		return;
	text_add(&text, ": ");
	if (advice_one_address(&text, words->word[i], prefix, true))
		report_warn_word(&reading->report, words->word[0], words->word[i], "%s", bytes);
}

static void set_networks(struct reading *reading, struct relay_networks *networks,
	const struct words *words, bool is_never)
{
	struct prefix *prefix = reading_keep(reading, words->count * sizeof(*prefix));

	if (prefix == NULL)
		return;
	*networks = (struct relay_networks){ .prefix = prefix };
	for (unsigned i = 1; i < words->count; i++) {
		if (is_never && strcmp(words->word[i], "default") == 0) {
			networks->has_default = true;
			continue;
		}
		if (!prefix_parse(words->word[i], prefix) || prefix->kind != PREFIX_ADDRESS) {
			wrong_network(reading, words, i, is_never);
			continue;
		}
		if (reading->report.advises)
			advise_network(reading, words, i, prefix);
		prefix++;
		networks->count++;
	}
}

static void set_never(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	(void)keyword;
	set_networks(reading, to, words, true);
}

static void set_tunnel(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	(void)keyword;
	set_networks(reading, to, words, false);
}

static void set_source(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	struct relay_sources *sources = to;

	(void)keyword;
	*sources = (struct relay_sources){ .ipv4 = { .kind = SOURCE_UNKNOWN } };
	for (unsigned i = 1; i < words->count; i++) {
		struct source address, *place;

		if (!source_parse(words->word[i], &address)) {
			wrong(reading, words, i,
				"it is no address of this machine, such as 192.0.2.25 or "
				"2001:db8::25");
			continue;
		}
		place = address.kind == SOURCE_IPV4 ? &sources->ipv4 : &sources->ipv6;
		if (place->kind != SOURCE_UNKNOWN)
			wrong(reading, words, i,
				"it is one too many: one IPv4 and one IPv6 address is the most");
		*place = address;
	}
}

/* ---- The store ---- */

/* As others write it into such a text: USER:PASSWORD@, or ?password=. */
static bool may_have_password(const char *text)
{
	bool is_path = strncmp(text, "redis+unix:/", 12) == 0;

	return strncmp(text, "redis", 5) == 0 &&
	       (strchr(text, '?') != NULL || strstr(text, is_path ? "@/" : "@") != NULL);
}

/* The word is not quoted where it may be a secret: messages go to the log. */
static void set_store(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	const char *text = words->word[1], *what = store_text_wrong(text);

	if (may_have_password(text))
		report_wrong(&reading->report,
			"store: it takes no user, password or options: write the password to a "
			"file, and the file's path behind `password-file`");
	else if (what != NULL)
		wrong(reading, words, 1, what);
	else
		keyword_text(reading, keyword, to, words);
}

/* ---- The table ---- */

#define VALUE(member) .global = true, KEYWORD_MEMBER(struct relay_conf, member)
#define LIST          .list = true, .most = WORDS_MAX
#define MINUTE        60000
#define DAY           86400

const struct keyword relay_keywords[RELAY_KEYWORDS] = {
	[RELAY_KEYWORD_SOCKET] = { "socket", "/run/nmnotify-relay/own", .type = set_socket,
		.most = 1, VALUE(socket) },
	[RELAY_KEYWORD_BIFF] = { "biff", "127.0.0.1:512", .type = set_biff, .most = 1,
		VALUE(biff) },
	[RELAY_KEYWORD_CYRUS] = { "cyrus", "/run/cyrus/socket/notify", .type = set_socket,
		.most = 1, VALUE(cyrus) },
	[RELAY_KEYWORD_STATUS] = { "status", "/run/nmnotify-relay/own", .type = set_socket,
		.most = 1, VALUE(status) },
	[RELAY_KEYWORD_TRUST] = { "trust", "root :mail", .type = set_trust, LIST, VALUE(trust) },
	[RELAY_KEYWORD_STRIP_DOMAIN] = { "strip-domain", "yes", .type = set_strip_domain, LIST,
		VALUE(strip_domain) },
	[RELAY_KEYWORD_USER] = { "user", "alice 192.0.2.7", .type = set_user, .global = true,
		.repeats = true, .most = WORDS_MAX },
	[RELAY_KEYWORD_TABLE] = { "table", "lmdb:/etc/nmnotify/users", .type = set_table, .most = 1,
		VALUE(table) },
	[RELAY_KEYWORD_NEVER] = { "never", "default 192.0.2.80", .type = set_never, LIST,
		VALUE(never) },
	[RELAY_KEYWORD_TUNNEL] = { "tunnel", "127.0.0.0/8", .type = set_tunnel, LIST,
		VALUE(tunnel) },
	[RELAY_KEYWORD_STORE] = { "store", "redis://192.0.2.30", .type = set_store, .most = 1,
		VALUE(store) },
	[RELAY_KEYWORD_PASSWORD_FILE] = { "password-file", "/etc/nmnotify/password",
		.type = keyword_path, .most = 1, VALUE(password_file) },
	[RELAY_KEYWORD_LAST_FOR] = { "last-for", "30d", .type = keyword_long_span, .most = 1,
		VALUE(last_for), .least = 60, .greatest = 3650 * DAY,
		.initial.long_span.s = 30 * DAY },
	[RELAY_KEYWORD_USERS] = { "users", "1000000", .type = keyword_number, .most = 1,
		VALUE(users), .least = 1, .greatest = 100000000, .initial.number = 1000000 },
	[RELAY_KEYWORD_SETTLE] = { "settle", "2s", .type = keyword_span, .most = 1, VALUE(settle),
		.initial.span.ms = 2000 },
	[RELAY_KEYWORD_INTERVAL] = { "interval", "5s", .type = keyword_span, .most = 1,
		VALUE(interval), .least = 100, .initial.span.ms = 5000 },
	[RELAY_KEYWORD_TIMEOUT] = { "timeout", "10s", .type = keyword_span, .most = 1,
		VALUE(timeout), .least = 100, .initial.span.ms = 10000 },
	[RELAY_KEYWORD_KEEP] = { "keep", "1h", .type = keyword_span, .most = 1, VALUE(keep),
		.initial.span.ms = 60 * MINUTE },
	[RELAY_KEYWORD_MOST] = { "most", "4096", .type = keyword_number, .most = 1, VALUE(most),
		.least = 1, .greatest = 65536, .initial.number = 4096 },
	[RELAY_KEYWORD_PORT] = { "port", "79", .type = keyword_number, .most = 1, VALUE(port),
		.least = 1, .greatest = UINT16_MAX, .initial.number = 79 },
	[RELAY_KEYWORD_PROTOCOL] = { "protocol", "tcp", .type = keyword_choice, .most = 1,
		VALUE(protocol), .choices = "tcp\0udp\0" }, /* in the order of relay_protocol */
	[RELAY_KEYWORD_SOURCE] = { "source", "127.0.0.1 ::1", .type = set_source, .most = 2,
		.list = true, VALUE(source) },
	[RELAY_KEYWORD_STATE] = { "state", "/var/lib/nmnotify-relay", .type = keyword_path,
		.most = 1, VALUE(state) },
	[RELAY_KEYWORD_LOG] = { "log", "journal", .type = keyword_choice, .most = 1, VALUE(log),
		.choices = "auto\0journal\0syslog\0stderr\0" }, /* in the order of log_target */
	[RELAY_KEYWORD_IDLE] = { "idle", "60s", .type = keyword_span, .most = 1, VALUE(idle),
		.initial.span.ms = MINUTE },
};
