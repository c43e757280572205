/* SPDX-License-Identifier: ISC */
/*
 * Logins of the journal. Any configuration is either refused, with a message that says where, or is
 * one of whose servers strangers can write no lines; and whatever a message says, no user and
 * address are found in it that are not its only reading: a slower reader tries them all.
 *
 * Input: the message, a NUL, and the configuration.
 */
#include "logs/logins.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define STEPS_MAX 2000

static struct logins logins;
static unsigned reports, lines;

static void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	must(context == &logins && file != NULL);
	must(severity == SEVERITY_ERROR && line <= lines);
	must(*message != '\0' && strchr(message, '\n') == NULL);
	reports++;
}

static bool configure(const uint8_t *text, size_t length)
{
	static char path[64];
	static int fd = -1;
	bool is_good;

	if (fd < 0) {
		fd = memfd_create("conf", MFD_CLOEXEC);
		must(fd >= 0 && fchmod(fd, 0600) == 0);
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	must(ftruncate(fd, 0) == 0 && pwrite(fd, text, length, 0) == (ssize_t)length);
	reports = 0;
	lines = 1;
	for (size_t i = 0; i < length; i++)
		lines += text[i] == '\n';
	logins_begin(&logins, report, &logins);
	logins_file(&logins, path);
	is_good = logins_end(&logins);
	must(is_good == (reports == 0));
	return is_good;
}

static bool is_kept(const char *text, size_t length)
{
	return text >= logins.memory && length <= sizeof(logins.memory) &&
	       (size_t)(text - logins.memory) <= sizeof(logins.memory) - length;
}

static void check_pattern(const struct pattern *pattern)
{
	unsigned users = 0, addresses = 0;

	must(pattern->parts >= 4 && pattern->parts <= PATTERN_PARTS_MAX);
	must(pattern->part[0].kind == PART_TEXT);
	for (unsigned i = 0; i < pattern->parts; i++) {
		const struct part *part = &pattern->part[i];

		users += part->kind == PART_USER;
		addresses += part->kind == PART_ADDRESS;
		if (part->kind == PART_TEXT)
			must(part->length > 0 && is_kept(part->text, part->length));
		else
			must(i > 0 && pattern->part[i - 1].kind == PART_TEXT);
		if (part->kind == PART_USER || part->kind == PART_ADDRESS)
			must(i + 1 < pattern->parts && part[1].kind == PART_TEXT);
	}
	must(users == 1 && addresses == 1);
}

static void check_servers(void)
{
	must(logins.servers >= 1 && logins.servers <= LOGINS_SERVERS_MAX);
	for (unsigned i = 0; i < logins.servers; i++) {
		const struct login_server *server = &logins.server[i];
		bool is_known = false;

		must(server->fields >= 1 && server->fields <= LOGINS_FIELDS_MAX);
		must(server->messages >= 1 && server->messages <= LOGINS_MESSAGES_MAX);
		for (unsigned k = 0; k < server->fields; k++) {
			must(is_kept(server->field[k], strlen(server->field[k]) + 1));
			is_known |= strncmp(server->field[k], "_UID=", 5) == 0 ||
				    strncmp(server->field[k], "_SYSTEMD_UNIT=", 14) == 0;
		}
		must(is_known);
		for (unsigned k = 0; k < server->messages; k++)
			check_pattern(&server->message[k]);
	}
}

/* ---- A slower reader ---- */

struct search {
	const char *line;
	size_t length;
	size_t from[2], to[2];    /* of the user and the address: this way */
	size_t first[2], last[2]; /* the first way */
	unsigned ways, steps;
	bool differs;
};

static bool is_same(const struct search *search, unsigned i)
{
	size_t length = search->to[i] - search->from[i];

	return length == search->last[i] - search->first[i] &&
	       memcmp(search->line + search->from[i], search->line + search->first[i], length) == 0;
}

static void search_on(struct search *search, const struct part *part, unsigned parts, size_t at)
{
	if (++search->steps > STEPS_MAX)
		return;
	if (parts == 0) {
		if (at != search->length)
			return;
		if (search->ways++ == 0) {
			memcpy(search->first, search->from, sizeof(search->first));
			memcpy(search->last, search->to, sizeof(search->last));
		}
		search->differs |= !is_same(search, 0) || !is_same(search, 1);
		return;
	}
	if (part->kind == PART_TEXT) {
		if (part->length <= search->length - at &&
			memcmp(search->line + at, part->text, part->length) == 0)
			search_on(search, part + 1, parts - 1, at + part->length);
		return;
	}
	for (size_t end = at; end <= search->length; end++) {
		if (part->kind != PART_ANY) {
			search->from[part->kind == PART_ADDRESS] = at;
			search->to[part->kind == PART_ADDRESS] = end;
		}
		search_on(search, part + 1, parts - 1, end);
	}
}

static void check_sighting(const struct sighting *sighting)
{
	size_t length = strnlen(sighting->user, sizeof(sighting->user));
	char again[SOURCE_TEXT_MAX];
	struct source source;

	must(length >= 1 && length <= USER_NAME_MAX);
	must(user_name_wrong(sighting->user, length) == NULL);
	must(length < 3 || strcmp(sighting->user + length - 3, "...") != 0);
	must(source_parse(sighting->address, &source));
	must(source.kind == SOURCE_IPV4 || source.kind == SOURCE_IPV6);
	must(strcmp(source_text(&source, again), sighting->address) == 0);
}

static void check_message(const struct pattern *pattern, const char *line, size_t length)
{
	struct search search = { .line = line, .length = length };
	struct sighting sighting;
	enum meaning meaning = pattern_read(pattern, line, length, &sighting);

	if (meaning == MEANS_LOGIN)
		check_sighting(&sighting);
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == '\x7f' || length > LOG_LINE_MAX) {
			must(meaning == MEANS_NOTHING);
			return;
		}
	search_on(&search, pattern->part, pattern->parts, 0);
	if (search.ways > 0)
		must(meaning != MEANS_NOTHING);
	if (search.differs)
		must(meaning == MEANS_UNCLEAR);
	if (search.steps > STEPS_MAX)
		return; /* the rest is not known */
	must((search.ways > 0) == (meaning != MEANS_NOTHING));
	if (meaning == MEANS_LOGIN)
		must(strlen(sighting.user) == search.last[0] - search.first[0] &&
			memcmp(sighting.user, line + search.first[0], strlen(sighting.user)) == 0);
}

static bool has_all(void *record, const char *field)
{
	must(record == &logins && strchr(field, '=') != NULL);
	return true;
}

static bool has_none(void *record, const char *field)
{
	(void)record;
	(void)field;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\0', size);
	size_t length = end != NULL ? (size_t)(end - data) : 0;
	struct sighting sighting;
	char *line;

	if (end == NULL || !configure(end + 1, size - length - 1))
		return 0;
	check_servers();
	/* Of its own size, so that the sanitizer sees a byte that is read behind it. */
	line = malloc(length + (length == 0));
	must(line != NULL);
	memcpy(line, data, length);
	for (unsigned i = 0; i < logins.servers; i++)
		for (unsigned k = 0; k < logins.server[i].messages; k++)
			check_message(&logins.server[i].message[k], line, length);
	if (logins_read(&logins, has_all, &logins, line, length, &sighting) == MEANS_LOGIN)
		check_sighting(&sighting);
	must(logins_read(&logins, has_none, &logins, line, length, &sighting) == MEANS_NOTHING);
	free(line);
	return 0;
}
