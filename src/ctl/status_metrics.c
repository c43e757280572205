/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "ctl/account_status.h"
#include "ctl/metrics.h"
#include "ctl/status.h"
#include "lib/verdict.h"

/* ---- The listener ---- */

/* Of each account: the member of the document, or of an object in it. */
static const struct of_account {
	const char *name, *type, *help, *object, *member;
} of_account[] = {
	{ "nmnotify_starts_total", "counter", "Starts of the action.", NULL, "starts" },
	{ "nmnotify_last_start_timestamp_seconds", "gauge",
		"When the action was started last, since 1970.", NULL, "last_start" },
	{ "nmnotify_failed_total", "counter", "Runs of the action that failed.", NULL, "failed" },
	{ "nmnotify_consecutive_failures", "gauge", "How many runs in a row have failed.",
		"last_run", "failures_in_a_row" },
	{ "nmnotify_last_run_status", "gauge",
		"How the last run ended: its exit status, or 128 and a signal's number.",
		"last_run", "status" },
	{ "nmnotify_last_run_end_timestamp_seconds", "gauge", "When it ended, since 1970.",
		"last_run", "ended" },
	{ "nmnotify_running", "gauge", "Is the action running?", NULL, "is_running" },
	{ "nmnotify_run_duration_seconds", "gauge", "For how long the run in progress has run.",
		"run", "seconds" },
	{ "nmnotify_waiter", "gauge", "Does a process wait for the next start?", NULL, "waiter" },
	{ "nmnotify_next_start_timestamp_seconds", "gauge",
		"When the action may be started next, since 1970, if a start is owed.",
		"next_start", "time" },
	{ "nmnotify_limit_cells", "gauge", "Cells that sources are limited by.", "limit", "cells" },
	{ "nmnotify_limit_cells_used", "gauge", "Those of them that count something.", "limit",
		"used" },
	{ "nmnotify_limit_cells_full", "gauge", "Those of them whose sources have to wait.",
		"limit", "full" },
	{ "nmnotify_limit_burst", "gauge", "Starts at once that the limit allows a source.",
		"limit", "burst" },
	{ "nmnotify_limit_fullest", "gauge",
		"Starts that the fullest of the cells counts: from the burst on, its sources wait.",
		"limit", "fullest" },
};

/* Where no line has come yet, counters are 0: if that is not said, the first one is no increase for
 * Prometheus. */
static bool has_no_state(const json_t *account)
{
	return strcmp(status_text(account, "state"), "none") == 0;
}

static void accounts_write(
	const struct metrics *metrics, const json_t *accounts, const struct of_account *row)
{
	json_t *none = json_integer(0);

	metrics_family(metrics, row->name, row->type, row->help);
	for (size_t i = 0; i < json_array_size(accounts); i++) {
		const json_t *account = json_array_get(accounts, i),
			     *object = row->object != NULL ? json_object_get(account, row->object)
							   : account;
		struct label label = { "account", status_text(account, "account") };
		bool is_none = strcmp(row->type, "counter") == 0 && has_no_state(account);

		metrics_sample(metrics, row->name, &label, NULL,
			is_none ? none : json_object_get(object, row->member));
	}
	json_decref(none);
}

/* One for each verdict, in an object of the document. */
static void verdicts_write(const struct metrics *metrics, const json_t *accounts, const char *name,
	const char *type, const char *help, const char *object)
{
	json_t *none = json_integer(0);

	metrics_family(metrics, name, type, help);
	for (size_t i = 0; i < json_array_size(accounts); i++) {
		const json_t *account = json_array_get(accounts, i),
			     *counts = json_object_get(account, object);
		struct label label = { "account", status_text(account, "account") };

		for (unsigned j = 0; j < VERDICTS; j++) {
			struct label verdict = { "verdict", verdict_name(j) };

			metrics_sample(metrics, name, &label, &verdict,
				has_no_state(account) ? none
						      : json_object_get(counts, verdict.value));
		}
	}
	json_decref(none);
}

static const json_t *has(const json_t *array, const char *word)
{
	for (size_t i = 0; i < json_array_size(array); i++)
		if (strcmp(json_string_value(json_array_get(array, i)), word) == 0)
			return json_true();
	return json_false();
}

/* Each of them, so that it is known when one has gone. */
static void debts_write(const struct metrics *metrics, const json_t *accounts)
{
	static const char *const debts[] = { "due", "owed", "asked" };
	static const char name[] = "nmnotify_debt";

	metrics_family(metrics, name, "gauge", "Is a start owed by a process that has died?");
	for (size_t i = 0; i < json_array_size(accounts); i++) {
		const json_t *account = json_array_get(accounts, i),
			     *array = json_object_get(account, "debts");
		struct label label = { "account", status_text(account, "account") };

		for (unsigned j = 0; array != NULL && j < sizeof(debts) / sizeof(debts[0]); j++) {
			struct label debt = { "debt", debts[j] };

			metrics_sample(metrics, name, &label, &debt, has(array, debts[j]));
		}
	}
}

/* What the next start waits for: each of the reasons, likewise. */
static void reasons_write(const struct metrics *metrics, const json_t *accounts)
{
	static const char name[] = "nmnotify_next_start_reason";

	metrics_family(metrics, name, "gauge", "Is it this that the next start waits for?");
	for (size_t i = 0; i < json_array_size(accounts); i++) {
		const json_t *account = json_array_get(accounts, i),
			     *next = json_object_get(account, "next_start");
		struct label label = { "account", status_text(account, "account") };

		for (enum next_why why = NEXT_NONE + 1; next != NULL && why < NEXT_WHYS; why++) {
			struct label reason = { "reason", next_why_name(why) };
			bool is_it = strcmp(status_text(next, "why"), reason.value) == 0;

			metrics_sample(
				metrics, name, &label, &reason, is_it ? json_true() : json_false());
		}
	}
}

static void readable_write(const struct metrics *metrics, const json_t *accounts)
{
	static const char name[] = "nmnotify_state_readable";

	metrics_family(metrics, name, "gauge",
		"Could the account's state be read? (1 also if there is none yet.)");
	for (size_t i = 0; i < json_array_size(accounts); i++) {
		const json_t *account = json_array_get(accounts, i);
		struct label label = { "account", status_text(account, "account") };

		metrics_sample(metrics, name, &label, NULL,
			json_object_get(account, "error") == NULL ? json_true() : json_false());
	}
}

static void listener_write(const struct metrics *metrics, const json_t *listener)
{
	const json_t *accounts = json_object_get(listener, "accounts");

	readable_write(metrics, accounts);
	for (unsigned i = 0; i < sizeof(of_account) / sizeof(of_account[0]); i++)
		accounts_write(metrics, accounts, &of_account[i]);
	verdicts_write(metrics, accounts, "nmnotify_connections_total", "counter",
		"Connections and datagrams, by what became of them.", "verdicts");
	verdicts_write(metrics, accounts, "nmnotify_log_lines_suppressed", "gauge",
		"Of those, how many had no line in the log since the last that had one.",
		"not_logged");
	debts_write(metrics, accounts);
	reasons_write(metrics, accounts);
	metrics_family(metrics, "nmnotify_denied_total", "counter",
		"Connections and datagrams of sources that no account takes.");
	metrics_sample(
		metrics, "nmnotify_denied_total", NULL, NULL, json_object_get(listener, "denied"));
}

void status_write_metrics(FILE *stream, const json_t *status, bool is_strict)
{
	const struct metrics metrics = { .stream = stream, .is_strict = is_strict };
	const json_t *listener = json_object_get(status, "listener"),
		     *relay = json_object_get(status, "relay");
	struct label version = { "version", status_text(status, "version") };

	metrics_family(&metrics, "nmnotify_build_info", "gauge", "The version of nmnotifyctl.");
	metrics_sample(&metrics, "nmnotify_build_info", &version, NULL, json_true());
	if (json_is_object(listener))
		listener_write(&metrics, listener);
	if (json_is_object(relay))
		status_write_relay_metrics(&metrics, relay);
	metrics_end(&metrics);
}
