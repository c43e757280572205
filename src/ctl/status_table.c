/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "ctl/status.h"
#include "ctl/table.h"
#include "lib/text.h"
#include "lib/verdict.h"

/* ---- The listener ---- */

static bool is_read(const json_t *account)
{
	return strcmp(status_text(account, "state"), "read") == 0;
}

static void cell_last(struct table *table, const json_t *account, double now)
{
	if (json_is_number(json_object_get(account, "last_start")))
		table_add(table, COLOUR_NONE, "%s ago",
			table_length(now - status_number(account, "last_start")).text);
	else
		table_add(table, COLOUR_NONE, "never yet");
}

static void cell_last_run(struct table *table, const json_t *account)
{
	const json_t *run = json_object_get(account, "last_run");
	double failures = status_number(run, "failures_in_a_row"),
	       status = status_number(run, "status");

	if (!json_is_object(run))
		table_add(table, COLOUR_NONE, "-");
	else if (failures > 1)
		table_add(table, COLOUR_BAD, "status %.0f, %.0f failed in a row", status, failures);
	else
		table_add(table, failures > 0 ? COLOUR_BAD : COLOUR_GOOD, "%sstatus %.0f",
			failures > 0 ? "failed: " : "", status);
}

static void cell_run(struct table *table, const json_t *account)
{
	const json_t *run = json_object_get(account, "run");
	const char *command = status_text(run, "command");

	if (!json_is_object(run))
		table_add(table, COLOUR_NONE, "-");
	else
		table_add(table, COLOUR_GOOD, "%s (%d), %s", *command != '\0' ? command : "process",
			(int)json_integer_value(json_object_get(run, "process")),
			table_length(status_number(run, "seconds")).text);
}

static void cell_next(struct table *table, const json_t *account)
{
	const json_t *next = json_object_get(account, "next_start");
	const char *why = status_text(next, "why");
	struct length rest = table_length(status_number(next, "seconds"));
	bool is_past = !(status_number(next, "seconds") > 0);

	if (!json_is_object(next))
		table_add(table, COLOUR_NONE, "-");
	else if (strcmp(why, "now") == 0)
		table_add(table, COLOUR_GOOD, "now");
	else if (strcmp(why, "run") == 0)
		table_add(table, COLOUR_NONE, "after this run%s%s", is_past ? "" : ", not before ",
			is_past ? "" : rest.text);
	else if (strcmp(why, "debt") == 0)
		table_add(table, COLOUR_BAD, "with the next line");
	else
		table_add(table, COLOUR_NONE, "in %s: %s", rest.text, why);
}

static void cell_debts(struct table *table, const json_t *account)
{
	const json_t *debts = json_object_get(account, "debts");
	char bytes[64];
	struct text text = TEXT_IN(bytes);

	bytes[0] = '\0';
	for (size_t i = 0; i < json_array_size(debts); i++)
		text_add(&text, "%s%s", i == 0 ? "" : " ",
			json_string_value(json_array_get(debts, i)));
	if (text.length != 0)
		table_add(table, COLOUR_BAD, "%s", bytes);
	else
		table_add(table, COLOUR_NONE, "-");
}

static void cell_limit(struct table *table, const json_t *account)
{
	const json_t *limit = json_object_get(account, "limit");
	double full = status_number(limit, "full"),
	       part = 100 * status_number(limit, "used") / status_number(limit, "cells");

	table_add(table, full > 0 ? COLOUR_NOTE : COLOUR_NONE, "%.0f %%, fullest %.0f of %.0f",
		part, status_number(limit, "fullest"), status_number(limit, "burst"));
}

static void write_now(FILE *stream, const json_t *accounts, double now, bool has_colour)
{
	static const char *const names[] = { "ACCOUNT", "LAST START", "LAST END", "RUNS NOW",
		"WAITER", "NEXT START", "DEBTS", "LIMIT" };
	struct table table = table_new(sizeof(names) / sizeof(names[0]), has_colour);

	table_heads(&table, names);
	for (size_t i = 0; i < json_array_size(accounts); i++) {
		const json_t *account = json_array_get(accounts, i);

		if (!is_read(account))
			continue;
		table_add(&table, COLOUR_NONE, "%s", status_text(account, "account"));
		cell_last(&table, account, now);
		cell_last_run(&table, account);
		cell_run(&table, account);
		table_add(
			&table, COLOUR_NONE, "%s", status_is_true(account, "waiter") ? "yes" : "-");
		cell_next(&table, account);
		cell_debts(&table, account);
		cell_limit(&table, account);
	}
	table_end(&table, stream);
}

static void write_counts(FILE *stream, const json_t *accounts, bool has_colour)
{
	struct table table = table_new(2 + VERDICTS, has_colour);

	table_add(&table, COLOUR_HEAD, "ACCOUNT");
	table_add(&table, COLOUR_HEAD, "STARTS");
	for (unsigned i = 0; i < VERDICTS; i++)
		table_add(&table, COLOUR_HEAD, "%s", verdict_name(i));
	for (size_t i = 0; i < json_array_size(accounts); i++) {
		const json_t *account = json_array_get(accounts, i),
			     *verdicts = json_object_get(account, "verdicts");

		if (!is_read(account))
			continue;
		table_add(&table, COLOUR_NONE, "%s", status_text(account, "account"));
		table_add(&table, COLOUR_NONE, "%.0f", status_number(account, "starts"));
		for (unsigned j = 0; j < VERDICTS; j++) {
			double count = status_number(verdicts, verdict_name(j));

			table_add(&table,
				j == VERDICT_ERROR && count > 0 ? COLOUR_NOTE : COLOUR_NONE, "%.0f",
				count);
		}
	}
	table_end(&table, stream);
}

/* Accounts without a state that can be read. Returns how many have one. */
static size_t write_missing(FILE *stream, const json_t *accounts, bool has_colour)
{
	size_t read = 0;

	for (size_t i = 0; i < json_array_size(accounts); i++) {
		const json_t *account = json_array_get(accounts, i);
		const char *name = status_text(account, "account");

		if (is_read(account))
			read++;
		else if (strcmp(status_text(account, "state"), "none") == 0)
			(void)fprintf(stream,
				"%s: no state yet: no line has come; `nmnotifyctl explain ADDRESS` "
				"says what would become of one\n",
				name);
		else
			(void)fprintf(stream, "%s%s: %s%s\n", colour_begin(COLOUR_BAD, has_colour),
				name, status_text(account, "error"),
				colour_end(COLOUR_BAD, has_colour));
	}
	return read;
}

static void write_listener(FILE *stream, const json_t *listener, double now, bool has_colour)
{
	const json_t *accounts = json_object_get(listener, "accounts");
	double denied = status_number(listener, "denied");

	(void)fprintf(stream, "Listener: %s, state %s\n", status_text(listener, "configuration"),
		status_text(listener, "state"));
	if (write_missing(stream, accounts, has_colour) != 0) {
		write_now(stream, accounts, now, has_colour);
		(void)fputc('\n', stream);
		write_counts(stream, accounts, has_colour);
	}
	if (denied > 0)
		(void)fprintf(stream,
			"denied, for no account takes their source: %.0f; `journalctl "
			"NMNOTIFY_VERDICT=denied` says whose\n",
			denied);
}

void status_write_table(FILE *stream, const json_t *status, bool has_colour)
{
	const json_t *listener = json_object_get(status, "listener"),
		     *relay = json_object_get(status, "relay");
	double now = status_number(status, "time");

	if (json_is_object(listener))
		write_listener(stream, listener, now, has_colour);
	else
		(void)fputs("Listener: none here: there is no " CONF_FILE "\n", stream);
	if (json_is_object(relay))
		status_write_relay(stream, relay, now, has_colour);
}
