/* SPDX-License-Identifier: ISC */
/* The relay's own document, nmnotify-relay(8), in the table and as metrics. */
#include <string.h>

#include "ctl/metrics.h"
#include "ctl/status.h"
#include "ctl/table.h"

/* ---- The table ---- */

static void cell_since(struct table *table, const json_t *object, double now)
{
	if (json_is_number(json_object_get(object, "since")))
		table_add(table, COLOUR_NONE, "%s",
			table_length(now - status_number(object, "since")).text);
	else
		table_add(table, COLOUR_NONE, "-");
}

static void cell_next_try(struct table *table, const json_t *destination)
{
	if (status_is_true(destination, "busy"))
		table_add(table, COLOUR_NONE, "now");
	else if (json_is_number(json_object_get(destination, "next_ms")))
		table_add(table, COLOUR_NONE, "in %s",
			table_length(status_number(destination, "next_ms") / 1000).text);
	else
		table_add(table, COLOUR_NONE, "-");
}

static void write_unreachable(FILE *stream, const json_t *unreachable, double now, bool has_colour)
{
	static const char *const names[] = { "UNREACHABLE", "FOR", "FAILURES", "NEXT TRY",
		"REASON" };
	const json_t *list = json_object_get(unreachable, "list");
	double more = status_number(unreachable, "more");
	struct table table = table_new(sizeof(names) / sizeof(names[0]), has_colour);

	if (json_array_size(list) == 0)
		return;
	table_heads(&table, names);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);
		const char *address = status_text(one, "address");
		const char *which = *address != '\0' ? address : status_text(one, "name");

		table_add(&table, COLOUR_BAD, "%s port %.0f %s", which, status_number(one, "port"),
			status_text(one, "protocol"));
		cell_since(&table, one, now);
		table_add(&table, COLOUR_NONE, "%.0f", status_number(one, "failures"));
		cell_next_try(&table, one);
		table_add(&table, COLOUR_NONE, "%s", status_text(one, "reason"));
	}
	(void)fputc('\n', stream);
	table_end(&table, stream);
	if (more > 0)
		(void)fprintf(stream, "and %.0f more\n", more);
}

static void write_stores(FILE *stream, const json_t *stores, double now, bool has_colour)
{
	static const char *const names[] = { "STORE", "STATE", "FOR", "USERS", "REASON" };
	struct table table = table_new(sizeof(names) / sizeof(names[0]), has_colour);

	table_heads(&table, names);
	for (size_t i = 0; i < json_array_size(stores); i++) {
		const json_t *store = json_array_get(stores, i);
		bool is_away = status_is_true(store, "away");

		table_add(&table, COLOUR_NONE, "%s", status_text(store, "name"));
		table_add(&table, is_away ? COLOUR_BAD : COLOUR_GOOD, is_away ? "away" : "there");
		cell_since(&table, store, now);
		if (json_is_number(json_object_get(store, "users")))
			table_add(&table, COLOUR_NONE, "%.0f", status_number(store, "users"));
		else
			table_add(&table, COLOUR_NONE, "-");
		table_add(&table, COLOUR_NONE, "%s", is_away ? status_text(store, "reason") : "-");
	}
	(void)fputc('\n', stream);
	table_end(&table, stream);
}

static void write_counts(FILE *stream, const json_t *relay, bool has_colour)
{
	static const char *const counts[] = { "events", "logins", "told", "failed", "given_up",
		"refused", "lost" };
	struct table table = table_new(2 + sizeof(counts) / sizeof(counts[0]), has_colour);
	const json_t *owed = json_object_get(relay, "owed"),
		     *counted = json_object_get(relay, "counts");

	table_add(&table, COLOUR_HEAD, "OWED");
	table_add(&table, COLOUR_HEAD, "CONNECTIONS");
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		table_add(&table, COLOUR_HEAD, "%s", counts[i]);
	table_add(&table, COLOUR_NONE, "%.0f users, %.0f destinations",
		status_number(owed, "users"), status_number(owed, "destinations"));
	table_add(&table, COLOUR_NONE, "%.0f of %.0f", status_number(relay, "connections"),
		status_number(relay, "most"));
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		table_add(&table, COLOUR_NONE, "%.0f", status_number(counted, counts[i]));
	table_end(&table, stream);
}

/* What keeps it from its work. */
static void write_troubles(FILE *stream, const json_t *relay, bool has_colour)
{
	const json_t *configuration = json_object_get(relay, "configuration"),
		     *sockets = json_object_get(relay, "sockets");
	struct table table = table_new(1, has_colour);

	if (json_is_number(json_object_get(configuration, "refused")))
		table_add(&table, COLOUR_BAD, "its configuration was refused: %s",
			status_text(configuration, "reason"));
	for (size_t i = 0; i < json_array_size(sockets); i++) {
		const json_t *one = json_array_get(sockets, i);

		if (status_is_true(one, "deaf"))
			table_add(
				&table, COLOUR_BAD, "it cannot read %s", status_text(one, "place"));
	}
	table_end(&table, stream);
}

void status_write_relay(FILE *stream, const json_t *relay, double now, bool has_colour)
{
	const char *wrong = status_text(relay, "error");
	const json_t *stores = json_object_get(relay, "stores");
	struct table head = table_new(1, has_colour);

	(void)fputc('\n', stream);
	if (status_is_true(relay, "at_rest")) {
		(void)fputs("Relay: at rest; the next mail starts it\n", stream);
		return;
	}
	if (*wrong != '\0') {
		table_add(&head, COLOUR_NONE, "Relay: %s", wrong);
		table_end(&head, stream);
		return;
	}
	table_add(&head, COLOUR_NONE, "Relay: %s, it runs for %s",
		status_text(json_object_get(relay, "configuration"), "file"),
		table_length(now - status_number(relay, "since")).text);
	table_end(&head, stream);
	write_troubles(stream, relay, has_colour);
	write_counts(stream, relay, has_colour);
	write_unreachable(stream, json_object_get(relay, "unreachable"), now, has_colour);
	if (json_array_size(stores) != 0)
		write_stores(stream, stores, now, has_colour);
}

/* ---- Metrics ---- */

/* A member of the document, or of an object in it. */
static const struct row {
	const char *name, *type, *help, *object, *member;
} rows[] = {
	{ "nmnotify_relay_start_time_seconds", "gauge", "When the relay was started, since 1970.",
		NULL, "since" },
	{ "nmnotify_relay_owed_users", "gauge", "Users who are owed a line.", "owed", "users" },
	{ "nmnotify_relay_owed_destinations", "gauge", "Destinations that are owed a line.", "owed",
		"destinations" },
	{ "nmnotify_relay_connections", "gauge", "Connections in progress.", NULL, "connections" },
	{ "nmnotify_relay_connections_limit", "gauge", "How many there may be at a time.", NULL,
		"most" },
	{ "nmnotify_relay_events_total", "counter", "Events since the relay was started.", "counts",
		"events" },
	{ "nmnotify_relay_logins_total", "counter", "Logins.", "counts", "logins" },
	{ "nmnotify_relay_told_total", "counter", "Lines that arrived.", "counts", "told" },
	{ "nmnotify_relay_failed_total", "counter", "Tries that failed.", "counts", "failed" },
	{ "nmnotify_relay_given_up_total", "counter", "Users whose line was given up.", "counts",
		"given_up" },
	{ "nmnotify_relay_refused_total", "counter", "Datagrams that were refused.", "counts",
		"refused" },
	{ "nmnotify_relay_lost_total", "counter", "Datagrams that a socket had no room for.",
		"counts", "lost" },
	{ "nmnotify_relay_unreachable_destinations", "gauge", "Destinations whose last try failed.",
		"unreachable", "total" },
	{ "nmnotify_relay_names_known", "gauge", "Names with an answer.", "names", "known" },
	{ "nmnotify_relay_names_asked", "gauge", "Names being looked up.", "names", "asked" },
	{ "nmnotify_relay_configuration_refused_timestamp_seconds", "gauge",
		"When a later configuration was refused, since 1970, if the last was.",
		"configuration", "refused" },
};

static void write_up(const struct metrics *metrics, const json_t *relay, bool is_at_rest)
{
	static const char name[] = "nmnotify_relay_up";

	static const char running[] = "nmnotify_relay_running";
	bool is_wrong = json_object_get(relay, "error") != NULL;

	metrics_family(metrics, name, "gauge",
		"Does the relay say what it is doing, or is it at rest until the next mail?");
	metrics_sample(metrics, name, NULL, NULL, is_wrong ? json_false() : json_true());
	metrics_family(metrics, running, "gauge", "Does it say so, and is not at rest?");
	metrics_sample(
		metrics, running, NULL, NULL, is_wrong || is_at_rest ? json_false() : json_true());
}

/* What is not running will count from 0 on: if that is not said, what it counts up to the first
 * look at it is no increase for Prometheus. */
static void write_rows(const struct metrics *metrics, const json_t *relay, bool is_at_rest)
{
	json_t *none = json_integer(0);

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		const json_t *object =
			row->object != NULL ? json_object_get(relay, row->object) : relay;
		bool is_none = is_at_rest && strcmp(row->type, "counter") == 0;

		metrics_family(metrics, row->name, row->type, row->help);
		metrics_sample(metrics, row->name, NULL, NULL,
			is_none ? none : json_object_get(object, row->member));
	}
	json_decref(none);
}

/* Those that have failed for longest come first. */
static void write_oldest(const struct metrics *metrics, const json_t *relay)
{
	static const char name[] = "nmnotify_relay_unreachable_since_timestamp_seconds";
	const json_t *list = json_object_get(json_object_get(relay, "unreachable"), "list");

	metrics_family(metrics, name, "gauge",
		"Since when the destination has failed that has failed for longest, since 1970.");
	metrics_sample(
		metrics, name, NULL, NULL, json_object_get(json_array_get(list, 0), "since"));
}

/* A member of each store. */
static void write_stores_metric(const struct metrics *metrics, const json_t *stores,
	const char *name, const char *help, const char *member)
{
	metrics_family(metrics, name, "gauge", help);
	for (size_t i = 0; i < json_array_size(stores); i++) {
		const json_t *store = json_array_get(stores, i);
		struct label label = { "store", status_text(store, "name") };

		metrics_sample(metrics, name, &label, NULL, json_object_get(store, member));
	}
}

static void write_deaf(const struct metrics *metrics, const json_t *sockets)
{
	static const char name[] = "nmnotify_relay_socket_deaf";

	metrics_family(metrics, name, "gauge", "Can this socket of the relay not be read?");
	for (size_t i = 0; i < json_array_size(sockets); i++) {
		const json_t *one = json_array_get(sockets, i);
		struct label kind = { "kind", status_text(one, "kind") };
		struct label place = { "place", status_text(one, "place") };

		metrics_sample(metrics, name, &kind, &place, json_object_get(one, "deaf"));
	}
}

void status_write_relay_metrics(const struct metrics *metrics, const json_t *relay)
{
	bool is_at_rest = status_is_true(relay, "at_rest");

	write_up(metrics, relay, is_at_rest);
	if (json_object_get(relay, "error") != NULL)
		return;
	write_rows(metrics, relay, is_at_rest);
	write_oldest(metrics, relay);
	write_stores_metric(metrics, json_object_get(relay, "stores"), "nmnotify_relay_store_away",
		"Can the store of last addresses not be reached?", "away");
	write_stores_metric(metrics, json_object_get(relay, "stores"), "nmnotify_relay_store_users",
		"Users whose last addresses are in the store.", "users");
	write_deaf(metrics, json_object_get(relay, "sockets"));
}
