/* SPDX-License-Identifier: ISC */
/* In the process of nmnotify-relay-logs: the reading before it is confined, the rest under
 * logs.policy. */
#include "logs/logins.h"

#include <string.h>

#include "lib/reading.h"

/* ---- The words ---- */

static void set_server(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	struct logins *logins = reading->owner;
	const char *name = words->word[1];
	struct login_server *server;
	char place[PLACE_TEXT_MAX];

	(void)to;
	for (unsigned i = 0; i < logins->servers; i++)
		if (strcmp(name, logins->server[i].name.text) == 0)
			report_wrong_word(&reading->report, keyword->name, name,
				" is there already (%s): write another name",
				place_text(reading->report.here.file, &logins->server[i].name.place,
					place));
	if (logins->servers == LOGINS_SERVERS_MAX) {
		report_wrong_word(&reading->report, keyword->name, name,
			" is one too many: %d is the most", LOGINS_SERVERS_MAX);
		return;
	}
	server = &logins->server[logins->servers++];
	server->name = (struct said_text){ .text = name, .place = reading->report.here };
	reading_block(reading, server, &server->said, name);
}

/* The server that a line is about; NULL, which is reported: none yet. */
static struct login_server *server_of(struct reading *reading, const struct keyword *keyword)
{
	struct logins *logins = reading->owner;

	if (logins->servers != 0)
		return &logins->server[logins->servers - 1];
	report_wrong(&reading->report,
		"%s says something of a server: write such as 'server dovecot' above it",
		keyword->name);
	return NULL;
}

/* systemd.journal-fields(7): capital letters, digits and underscores. */
static bool is_field(const char *word)
{
	size_t length = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return length > 0 && word[length] == '=' && word[length + 1] != '\0';
}

static void set_field(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	struct login_server *server = server_of(reading, keyword);

	(void)to;
	for (unsigned i = 1; server != NULL && i < words->count; i++) {
		if (!is_field(words->word[i]))
			report_wrong_word(&reading->report, keyword->name, words->word[i],
				" is not NAME=VALUE, such as _SYSTEMD_UNIT=dovecot.service");
		else if (server->fields == LOGINS_FIELDS_MAX)
			report_wrong_word(&reading->report, keyword->name, words->word[i],
				" is one too many: %d is the most", LOGINS_FIELDS_MAX);
		else
			server->field[server->fields++] = words->word[i];
	}
}

static void set_message(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	struct login_server *server = server_of(reading, keyword);
	char shown[REPORT_MESSAGE_MAX];
	struct text text = TEXT_IN(shown);
	const char *wrong;

	(void)to;
	if (server == NULL)
		return;
	text_add(&text, "%s", words->word[1]); /* it is taken apart in place */
	if (server->messages == LOGINS_MESSAGES_MAX) {
		report_wrong_word(&reading->report, keyword->name, shown,
			" is one too many: %d is the most", LOGINS_MESSAGES_MAX);
		return;
	}
	wrong = pattern_parse(&server->message[server->messages], words->word[1]);
	if (wrong != NULL)
		report_wrong_word(&reading->report, keyword->name, shown, " %s", wrong);
	else
		server->messages++;
}

const struct keyword logins_keywords[LOGINS_KEYWORDS] = {
	[LOGINS_SERVER] = { "server", "dovecot", .type = set_server, .most = 1, .repeats = true },
	[LOGINS_FIELD] = { "field", "_SYSTEMD_UNIT=x.service", .type = set_field,
		.most = LOGINS_FIELDS_MAX, .repeats = true, .list = true },
	[LOGINS_MESSAGE] = { "message", "'Login: %u from %a.'", .type = set_message, .most = 1,
		.repeats = true },
};

/* ---- The whole ---- */

void logins_begin(struct logins *logins, report_writer *writer, void *context)
{
	memset(logins, 0, sizeof(*logins));
	logins->reading = (struct reading){
		.report = { .writer = writer, .context = context },
		.keywords = logins_keywords,
		.keywords_count = LOGINS_KEYWORDS,
		.page = "nmnotify-relay-logs(8)",
		.owner = logins,
		.block = &logins->server[0],
		.said = &logins->server[0].said,
		.text_most = LOGINS_BYTES_MAX,
		.memory = logins->memory,
		.memory_size = sizeof(logins->memory),
	};
}

void logins_file(struct logins *logins, const char *path)
{
	reading_file(&logins->reading, path, false);
}

/* The fields that journald adds itself, and that say who wrote the line. Any other can be had by
 * any local user. */
static bool is_somebodys(const struct login_server *server)
{
	for (unsigned i = 0; i < server->fields; i++)
		if (strncmp(server->field[i], "_SYSTEMD_UNIT=", 14) == 0 ||
			strncmp(server->field[i], "_UID=", 5) == 0)
			return true;
	return false;
}

bool logins_end(struct logins *logins)
{
	struct report *report = &logins->reading.report;

	if (report->wrong != 0)
		return false;
	for (unsigned i = 0; i < logins->servers; i++) {
		const struct login_server *server = &logins->server[i];

		if (!is_somebodys(server))
			report_at(report, SEVERITY_ERROR, &server->name.place,
				"server %s: any local user could write its lines: add 'field "
				"_SYSTEMD_UNIT=...' or 'field _UID=...'",
				server->name.text);
		if (server->messages == 0)
			report_at(report, SEVERITY_ERROR, &server->name.place,
				"server %s: there is no 'message', so it says nothing",
				server->name.text);
	}
	report->here.line = 0;
	if (logins->servers == 0)
		report_wrong(report, "there is no 'server', so nobody is read of");
	return report->wrong == 0;
}

/* ---- Records ---- */

static bool is_same_name(const char *a, const char *b)
{
	size_t length = strcspn(a, "=");

	return strncmp(a, b, length + 1) == 0;
}

/* One of the values that are said of each name. */
static bool is_of(const struct login_server *server, logins_has *has, void *record)
{
	for (unsigned i = 0; i < server->fields; i++) {
		bool is_there = false;

		for (unsigned k = 0; k < server->fields && !is_there; k++)
			is_there = is_same_name(server->field[i], server->field[k]) &&
				   has(record, server->field[k]);
		if (!is_there)
			return false;
	}
	return true;
}

enum meaning logins_read(const struct logins *logins, logins_has *has, void *record,
	const char *message, size_t length, struct sighting *sighting)
{
	enum meaning meaning = MEANS_NOTHING;
	struct sighting one = { .user = "" };

	for (unsigned i = 0; i < logins->servers; i++) {
		const struct login_server *server = &logins->server[i];

		if (!is_of(server, has, record))
			continue;
		for (unsigned k = 0; k < server->messages; k++) {
			enum meaning by_this =
				pattern_read(&server->message[k], message, length, &one);

			meaning = meaning_join(sighting, meaning, &one, by_this);
		}
	}
	return meaning;
}
