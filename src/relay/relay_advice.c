/* SPDX-License-Identifier: ISC */
/* In the process of `nmnotify-relay -t`. */
#include "relay/relay_advice.h"

#include <string.h>

#include "relay/relay_keywords.h"
#include "relay/route.h"
#include "relay/table.h"

/* Where a keyword was said; only of those that are said once. */
static struct place place_of(const struct relay_conf *conf, enum relay_keyword keyword)
{
	return (struct place){ .file = conf->said.pinned[keyword] ? "-o"
								  : conf->reading.report.here.file,
		.line = conf->said.line[keyword] };
}

/* Lines that come behind one that has all their users. */
static void advise_lines(struct relay_conf *conf)
{
	const struct relay_users *users = &conf->lines;

	for (unsigned i = 0; i < users->count; i++) {
		const struct relay_user *user = &users->line[i];
		unsigned first = route_line(conf, user->pattern);
		char place[PLACE_TEXT_MAX];

		if (first < i)
			report_at(&conf->reading.report, SEVERITY_WARNING, &user->place,
				"user: '%s' is never looked at: '%s' (%s) comes before it",
				user->pattern, users->line[first].pattern,
				place_text(user->place.file, &users->line[first].place, place));
	}
}

static void advise_table(struct relay_conf *conf)
{
	unsigned first = route_line(conf, "*");
	const char *wrong;
	char place[PLACE_TEXT_MAX];

	if (conf->table.text == NULL)
		return;
	if (first < conf->table_at)
		report_at(&conf->reading.report, SEVERITY_WARNING, &conf->table.place,
			"table: it is never looked at: 'user %s' (%s) comes before it",
			conf->lines.line[first].pattern,
			place_text(conf->table.place.file, &conf->lines.line[first].place, place));
	wrong = table_check(conf->table.text);
	if (wrong != NULL)
		report_at(&conf->reading.report, SEVERITY_WARNING, &conf->table.place,
			"table: '%s' cannot be read: %s", conf->table.text, wrong);
}

static bool is_redis(const struct said_text *store)
{
	return store->text != NULL && strncmp(store->text, "redis", 5) == 0;
}

static void advise_store(struct relay_conf *conf)
{
	if (conf->password_file.text != NULL && !is_redis(&conf->store))
		report_at(&conf->reading.report, SEVERITY_WARNING, &conf->password_file.place,
			"password-file: no store asks for it: write such as 'store "
			"redis://192.0.2.30', or leave it out");
}

static void advise_times(struct relay_conf *conf)
{
	struct place place = place_of(conf, RELAY_KEYWORD_KEEP);

	/* What is kept too short is what was not said, perhaps: then the line is another one's. */
	if (conf->keep.ms != 0 && conf->keep.ms < conf->timeout.ms) {
		if (place.line == 0)
			place = place_of(conf, RELAY_KEYWORD_TIMEOUT);
		report_at(&conf->reading.report, SEVERITY_WARNING, &place,
			"keep is shorter than timeout, so nothing is tried twice: write 'keep 0s' "
			"if that is meant");
	}
	if (conf->settle.ms > conf->keep.ms && conf->keep.ms != 0) {
		place = place_of(conf, RELAY_KEYWORD_SETTLE);
		report_at(&conf->reading.report, SEVERITY_WARNING, &place,
			"settle is longer than keep: an early event would be too old before it "
			"counts");
	}
}

static bool is_own_address(const struct relay_conf *conf, const struct source *address)
{
	for (unsigned i = 0; i < conf->own_count; i++)
		if (conf->own[i].kind == address->kind &&
			memcmp(conf->own[i].address, address->address, sizeof(address->address)) ==
				0)
			return true;
	return address->kind == SOURCE_UNKNOWN;
}

static void advise_source(struct relay_conf *conf)
{
	const struct source *both[2] = { &conf->source.ipv4, &conf->source.ipv6 };
	struct place place = place_of(conf, RELAY_KEYWORD_SOURCE);
	char text[SOURCE_TEXT_MAX];

	if (place.line == 0 || !relay_conf_own_addresses(conf))
		return;
	for (unsigned i = 0; i < 2; i++)
		if (!is_own_address(conf, both[i]))
			report_at(&conf->reading.report, SEVERITY_WARNING, &place,
				"source: '%s' is no address of this machine now: 'ip address' "
				"shows them",
				source_text(both[i], text));
}

void relay_conf_advise(struct relay_conf *conf)
{
	const char *file = conf->reading.report.here.file;

	advise_lines(conf);
	advise_table(conf);
	conf->reading.report.here.file = file;
	advise_store(conf);
	conf->reading.report.here.file = file;
	advise_times(conf);
	conf->reading.report.here.file = file;
	advise_source(conf);
}
