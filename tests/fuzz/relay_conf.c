/* SPDX-License-Identifier: ISC */
/*
 * The relay's configuration: any text is either refused with a message that says where, or is one
 * whose every value is within its bounds, and in which the first line that is a user's is found as
 * by a search from the front. Each is read with advice and without: errors are the same.
 *
 * Input: lines that begin with "-o " are arguments of the command line; from the first other line
 * on, it is the file.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "relay/relay_conf.h"
#include "relay/route.h"

#define OPTION_MAX  512
#define OPTIONS_MAX 8

/* Users who are looked for; a search from the front takes its time. */
#define USERS_TRIED 50

struct attempt {
	const char *path;
	unsigned options, lines; /* how many there are */
	unsigned reports;
	bool advises;
	char said[65536]; /* the errors, as far as there is room */
	size_t length;
};

static void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	struct attempt *attempt = context;

	must(message != NULL && *message != '\0' && strchr(message, '\n') == NULL);
	must(severity == SEVERITY_ERROR || attempt->advises);
	if (file == attempt->path)
		must(line <= attempt->lines);
	else
		must(strcmp(file, "-o") == 0 && line >= 1 && line <= attempt->options);
	if (severity != SEVERITY_ERROR)
		return;
	attempt->reports++;
	if (attempt->length < sizeof(attempt->said))
		attempt->length += (size_t)snprintf(attempt->said + attempt->length,
			sizeof(attempt->said) - attempt->length, "%s:%u: %s\n", file, line,
			message);
}

/* ---- What must hold of a whole one ---- */

static bool is_kept(const struct relay_conf *conf, const void *kept, size_t size)
{
	const char *bytes = kept, *memory = conf->reading.memory;

	return bytes >= memory && size <= conf->reading.memory_used &&
	       (size_t)(bytes - memory) <= conf->reading.memory_used - size;
}

static bool is_text_of(const struct relay_conf *conf, const char *text)
{
	return is_kept(conf, text, 1) && is_kept(conf, text, strlen(text) + 1);
}

static void check_text(const struct relay_conf *conf, const struct said_text *said, char first)
{
	if (said->text != NULL)
		must(is_text_of(conf, said->text) && (first == 0 || said->text[0] == first));
}

static void check_target(const struct route_target *target)
{
	must(target->kind <= ROUTE_LAST && target->port != 0);
	if (target->kind == ROUTE_ADDRESS) {
		static const uint8_t zeros[16];

		must(target->address.kind == SOURCE_IPV4 || target->address.kind == SOURCE_IPV6);
		must(memcmp(target->address.address, zeros, sizeof(zeros)) != 0);
	}
	if (target->kind == ROUTE_LAST)
		must(target->last >= 1 && target->last <= ROUTE_LAST_MAX);
	if (target->kind == ROUTE_NAME) {
		size_t length = strlen(target->name);

		must(length >= 1 && length <= DNS_NAME_MAX);
		must(target->name[length - 1] != '.' && target->name[0] != '.');
		must(strpbrk(target->name, " :/[]@*") == NULL);
	}
}

static void check_route(const struct route_target *target, unsigned count, unsigned fallback)
{
	must(count <= ROUTE_TARGETS_MAX && fallback <= count && (count == 0 || fallback >= 1));
	for (unsigned i = 0; i < count; i++) {
		check_target(&target[i]);
		must(target[i].kind != ROUTE_LAST || fallback == i + 1);
	}
	must(fallback == count || target[fallback - 1].kind == ROUTE_LAST);
}

static void check_users(const struct relay_conf *conf)
{
	unsigned targets = 0;

	must(conf->lines.count <= RELAY_USERS_MAX && conf->lines.targets <= RELAY_TARGETS_MAX);
	must(conf->table_at <= conf->lines.count);
	for (unsigned i = 0; i < conf->lines.count; i++) {
		const struct relay_user *user = &conf->lines.line[i];

		must(is_text_of(conf, user->pattern));
		must(*user->pattern != '\0' && strlen(user->pattern) <= USER_NAME_MAX);
		if (user->count > 0)
			must(is_kept(conf, user->target, user->count * sizeof(*user->target)));
		check_route(user->target, user->count, user->fallback);
		targets += user->count;
	}
	must(targets == conf->lines.targets);
}

/* From the front, and with the '*' tried from its shortest run on. */
static bool matches(const char *pattern, const char *text, unsigned *steps)
{
	if (++*steps > 100000)
		return false;
	while (*pattern != '*' && *pattern != '\0' && *pattern == *text) {
		pattern++;
		text++;
	}
	if (*pattern != '*')
		return *pattern == '\0' && *text == '\0';
	for (;; text++) {
		if (matches(pattern + 1, text, steps))
			return true;
		if (*text == '\0')
			return false;
	}
}

static void check_found(const struct relay_conf *conf, const char *user)
{
	static struct route route;
	unsigned first = 0, steps = 0;

	while (first < conf->lines.count &&
		!matches(conf->lines.line[first].pattern, user, &steps) && steps <= 100000)
		first++;
	if (steps > 100000)
		return; /* not known */
	route_find(conf, NULL, user, &route);
	must(route.wrong == NULL);
	must(route.is_said == (first < conf->lines.count));
	if (route.is_said)
		must(route.count == conf->lines.line[first].count &&
			(route.count == 0 || route.target == conf->lines.line[first].target));
	else
		must(route.count == 0);
	check_route(route.target, route.count, route.fallback);
}

static void check_finding(const struct relay_conf *conf)
{
	for (unsigned i = 0; i < conf->lines.count && i < USERS_TRIED; i++) {
		char user[USER_NAME_MAX + 2];
		char *star;

		(void)snprintf(user, sizeof(user), "%s", conf->lines.line[i].pattern);
		check_found(conf, user);
		star = strchr(user, '*');
		if (star != NULL)
			*star = 'x';
		check_found(conf, user);
		relay_conf_strip(conf, user);
		check_found(conf, user);
	}
	check_found(conf, "");
}

static void check_never(const struct relay_conf *conf)
{
	static const struct source loopback = { .kind = SOURCE_IPV4, .address = { 127, 0, 0, 1 } };
	static const struct source unknown = { .kind = SOURCE_UNKNOWN };

	must(conf->never.count == 0 ||
		is_kept(conf, conf->never.prefix, conf->never.count * sizeof(struct prefix)));
	for (unsigned i = 0; i < conf->never.count; i++) {
		const struct source *base = &conf->never.prefix[i].base;

		must(conf->never.prefix[i].kind == PREFIX_ADDRESS);
		must(relay_conf_never(conf, base));
	}
	must(!conf->never.has_default || relay_conf_never(conf, &loopback));
	must(relay_conf_never(conf, &unknown));
}

static void check_tunnel(const struct relay_conf *conf)
{
	must(!conf->tunnel.has_default);
	must(conf->tunnel.count == 0 ||
		is_kept(conf, conf->tunnel.prefix, conf->tunnel.count * sizeof(struct prefix)));
	for (unsigned i = 0; i < conf->tunnel.count; i++)
		must(relay_conf_tunnel(conf, &conf->tunnel.prefix[i].base));
}

static void check_whole(struct relay_conf *conf)
{
	must(conf->lines.count > 0 || conf->table.text != NULL);
	must(conf->interval.ms >= 100 && conf->interval.ms <= SPAN_MAX_MS);
	must(conf->timeout.ms >= 100 && conf->timeout.ms <= SPAN_MAX_MS);
	must(conf->settle.ms <= SPAN_MAX_MS && conf->keep.ms <= SPAN_MAX_MS);
	must(conf->idle.ms <= SPAN_MAX_MS);
	must(conf->last_for.s >= 60 && conf->last_for.s <= 3650u * 86400);
	must(conf->most >= 1 && conf->most <= 65536);
	must(conf->users >= 1 && conf->users <= 100000000);
	must(conf->port >= 1 && conf->port <= UINT16_MAX);
	must(conf->protocol <= RELAY_UDP && conf->log <= LOG_TARGET_STDERR);
	must(conf->source.ipv4.kind == SOURCE_UNKNOWN || conf->source.ipv4.kind == SOURCE_IPV4);
	must(conf->source.ipv6.kind == SOURCE_UNKNOWN || conf->source.ipv6.kind == SOURCE_IPV6);
	must(conf->biff.port == 0 || conf->biff.address.kind != SOURCE_UNKNOWN);
	check_text(conf, &conf->socket, '/');
	check_text(conf, &conf->cyrus, '/');
	check_text(conf, &conf->password_file, '/');
	check_text(conf, &conf->state, '/');
	check_text(conf, &conf->store, 0);
	check_text(conf, &conf->table, 'l');
	check_users(conf);
	check_finding(conf);
	check_never(conf);
	check_tunnel(conf);
	must(relay_conf_trusts(conf, 0, 1));
}

/* ---- A table's value ---- */

/* The whole input as one: what is taken is a route. */
static void check_value(const uint8_t *data, size_t size)
{
	static struct route route;
	const char *wrong = route_parse(&route, (const char *)data, size, 79);

	must(route.is_said && route.target == route.own);
	must(wrong == NULL || (*wrong != '\0' && route.count == 0));
	check_route(route.target, route.count, route.fallback);
}

/* ---- Reading ---- */

static int file_make(void)
{
	int fd = memfd_create("conf", MFD_CLOEXEC);

	must(fd >= 0 && fchmod(fd, 0600) == 0);
	return fd;
}

static unsigned count_lines(const uint8_t *bytes, size_t length)
{
	unsigned lines = 1;

	for (size_t i = 0; i < length; i++)
		lines += bytes[i] == '\n';
	return lines;
}

static void read_options(struct relay_conf *conf, struct input *input, struct attempt *attempt)
{
	char option[OPTION_MAX];

	while (attempt->options < OPTIONS_MAX && input->length >= 3 &&
		memcmp(input->bytes, "-o ", 3) == 0) {
		take_text(input, '\n', option, sizeof(option));
		relay_conf_option(conf, option + 3, ++attempt->options);
	}
}

static void read_all(struct attempt *attempt, struct input input, int fd)
{
	static struct relay_conf conf;
	bool good;

	memset(&conf, 0, sizeof(conf));
	relay_conf_begin(&conf, report, attempt);
	conf.reading.report.advises = attempt->advises;
	read_options(&conf, &input, attempt);
	must(ftruncate(fd, 0) == 0);
	must(pwrite(fd, input.bytes, input.length, 0) == (ssize_t)input.length);
	attempt->lines = count_lines(input.bytes, input.length);
	relay_conf_file(&conf, attempt->path, false);
	good = relay_conf_end(&conf);
	must(conf.reading.report.wrong == attempt->reports);
	must(good == (attempt->reports == 0));
	if (good)
		check_whole(&conf);
	relay_conf_free(&conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	static struct attempt advised, plain;
	static int fd = -1;

	if (fd < 0) {
		fd = file_make();
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	advised.path = plain.path = path;
	advised.advises = true;
	advised.options = advised.reports = plain.options = plain.reports = 0;
	advised.length = plain.length = 0;
	advised.said[0] = plain.said[0] = '\0';
	check_value(data, size);
	read_all(&advised, (struct input){ data, size }, fd);
	read_all(&plain, (struct input){ data, size }, fd);
	must(strcmp(advised.said, plain.said) == 0);
	return 0;
}
