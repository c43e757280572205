/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/account_status.h"
#include "ctl/process.h"
#include "ctl/status.h"
#include "lib/fd.h"
#include "run/action.h"
#include "state/turn.h"

/* It may be before 1970, where the clock was set back since. */
static json_t *time_ago(uint64_t ms)
{
	int64_t then = (int64_t)(clock_milliseconds(CLOCK_REALTIME) - ms);

	return json_real((double)then / 1000.0);
}

static json_t *time_ahead(struct span span)
{
	return status_seconds(clock_milliseconds(CLOCK_REALTIME) + span.ms);
}

/* "cannot open limits: Permission denied" */
static json_t *wrong(const struct state_error *error)
{
	bool is_whole = error->code == 0;
	char *message;
	json_t *text;

	if (asprintf(&message, "%s %s%s%s", error->what, error->name, is_whole ? "" : ": ",
		    is_whole ? "" : strerror(error->code)) < 0)
		return json_string(error->what);
	text = status_escaped(message);
	free(message);
	return text;
}

static json_t *verdicts(const atomic_word *counts)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < VERDICTS; i++)
		(void)json_object_set_new(
			object, verdict_name(i), json_integer(atomic_load(&counts[i])));
	return object;
}

/* `status` as the log has it: of a signal 128 and its number. */
static json_t *last_run(const struct last_run *last, const struct account_status *status)
{
	json_t *object = json_object();

	(void)json_object_set_new(
		object, "ended", status->has_end ? time_ago(status->end_ago) : json_null());
	(void)json_object_set_new(object, "status", json_integer(action_exit_status(last->status)));
	(void)json_object_set_new(object, "failures_in_a_row", json_integer(last->failures));
	return object;
}

static json_t *run(const struct account_status *status, uid_t owner)
{
	struct process process;
	json_t *object = json_object();

	(void)json_object_set_new(object, "process", json_integer(status->action));
	if (process_look(status->action, owner, &process)) {
		(void)json_object_set_new(object, "command", json_string(process.command));
		(void)json_object_set_new(object, "seconds", status_seconds(process.age));
	} else {
		(void)json_object_set_new(object, "command", json_null());
		(void)json_object_set_new(object, "seconds",
			status->has_last ? status_seconds(status->last_ago) : json_null());
	}
	return object;
}

static json_t *next_start(const struct account_status *status)
{
	json_t *object = json_object();

	(void)json_object_set_new(object, "why", json_string(next_why_name(status->next)));
	(void)json_object_set_new(object, "time", time_ahead(status->next_in));
	(void)json_object_set_new(object, "seconds", status_seconds(status->next_in.ms));
	return object;
}

static json_t *debts(const struct account_status *status)
{
	json_t *array = json_array();

	if (status->due)
		(void)json_array_append_new(array, json_string("due"));
	if (status->owed)
		(void)json_array_append_new(array, json_string("owed"));
	if (status->asked)
		(void)json_array_append_new(array, json_string("asked"));
	return array;
}

static json_t *limit(const struct limit_fill *fill, struct rate rate)
{
	json_t *object = json_object();

	(void)json_object_set_new(object, "cells", json_integer(STATE_LINES * STATE_LINE_CELLS));
	(void)json_object_set_new(object, "used", json_integer(fill->used));
	(void)json_object_set_new(object, "full", json_integer(fill->full));
	(void)json_object_set_new(object, "burst", json_integer(rate.burst));
	(void)json_object_set_new(object, "fullest", json_integer(fill->fullest));
	return object;
}

static void add_state(
	json_t *object, const struct snapshot *snapshot, const struct account *account)
{
	struct account_status status = account_status(snapshot, account);
	struct last_run last = turn_last_run(&snapshot->state);

	(void)json_object_set_new(
		object, "starts", json_integer(atomic_load(&snapshot->state.starts)));
	(void)json_object_set_new(
		object, "last_start", status.has_last ? time_ago(status.last_ago) : json_null());
	(void)json_object_set_new(object, "failed", json_integer(last.failed));
	(void)json_object_set_new(
		object, "last_run", last.is_known ? last_run(&last, &status) : json_null());
	(void)json_object_set_new(object, "is_running", json_boolean(status.is_running));
	(void)json_object_set_new(
		object, "run", status.is_running ? run(&status, snapshot->owner) : json_null());
	(void)json_object_set_new(object, "waiter", json_boolean(status.is_waiting));
	(void)json_object_set_new(
		object, "next_start", status.next != NEXT_NONE ? next_start(&status) : json_null());
	(void)json_object_set_new(object, "debts", debts(&status));
	(void)json_object_set_new(object, "verdicts", verdicts(snapshot->state.verdicts));
	(void)json_object_set_new(object, "not_logged", verdicts(snapshot->state.suppressed));
	(void)json_object_set_new(object, "limit", limit(&status.limit, account->limit));
}

/* `base_error` is why `base` could not be opened, if it is -1. */
static json_t *account_object(
	int base, const struct state_error *base_error, const struct account *account)
{
	static struct snapshot snapshot; /* large */
	static const char *const found[] = {
		[SNAPSHOT_READ] = "read", [SNAPSHOT_NONE] = "none", [SNAPSHOT_FAILED] = "unreadable"
	};
	struct state_error error = *base_error;
	enum snapshot_found was = error.code == ENOENT ? SNAPSHOT_NONE : SNAPSHOT_FAILED;
	json_t *object = json_object();

	if (base >= 0)
		was = snapshot_read(&snapshot, base, account->name, &error);
	(void)json_object_set_new(object, "account", json_string(account->name));
	(void)json_object_set_new(object, "state", json_string(found[was]));
	if (was == SNAPSHOT_FAILED)
		(void)json_object_set_new(object, "error", wrong(&error));
	if (was == SNAPSHOT_READ)
		add_state(object, &snapshot, account);
	return object;
}

static void add_denied(json_t *listener, int base)
{
	struct state_error error;
	uint32_t count;

	if (snapshot_denied(base, &count, &error) != SNAPSHOT_FAILED)
		(void)json_object_set_new(listener, "denied", json_integer(count));
}

json_t *status_listener(const struct ctl *ctl, const struct account *only)
{
	json_t *listener = json_object(), *accounts = json_array();
	int base = open(ctl->base_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct state_error error = {
		.what = "cannot open directory", .name = ctl->base_path, .code = errno
	};

	(void)json_object_set_new(listener, "configuration", status_escaped(ctl->conf_file));
	(void)json_object_set_new(listener, "state", status_escaped(ctl->base_path));
	(void)json_object_set_new(listener, "accounts", accounts);
	for (unsigned i = 0; i < ctl->conf.accounts_count; i++)
		if (only == NULL || only == &ctl->conf.accounts[i])
			(void)json_array_append_new(
				accounts, account_object(base, &error, &ctl->conf.accounts[i]));
	if (base >= 0)
		add_denied(listener, base);
	else if (error.code == ENOENT)
		(void)json_object_set_new(listener, "denied", json_integer(0));
	fd_close_if_open(base);
	return listener;
}
