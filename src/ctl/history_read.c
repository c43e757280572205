/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-journal.h>

#include "ctl/history.h"
#include "conf/conf.h"
#include "lib/text.h"

#define VALUE_MAX 128

/* Lines whose start is not known yet, of one account: one waits, and others come while it runs. */
#define LINES_MOST 16

/* The log says how long a run took, to a hundredth of a second. */
#define ROUNDED_US 10000

struct pending {
	char account[CONF_NAME_MAX + 1];
	unsigned count;
	uint64_t line[LINES_MOST]; /* when each came: microseconds, as the clock says */
};

struct reading_history {
	struct history *history;
	sd_journal *records;
	unsigned accounts_count;
	struct pending accounts[CONF_ACCOUNTS_MAX];
};

/* ---- Periods ---- */

static time_t next_begin(const struct history *history, time_t begin)
{
	struct tm tm;

	if (!history->by_day)
		return begin + 3600;
	(void)localtime_r(&begin, &tm);
	tm.tm_mday++;
	tm.tm_isdst = -1;
	return mktime(&tm);
}

bool history_divide(struct history *history)
{
	struct tm tm;
	time_t begin;

	(void)localtime_r(&history->since, &tm);
	tm.tm_sec = tm.tm_min = 0;
	if (history->by_day)
		tm.tm_hour = 0;
	tm.tm_isdst = history->by_day ? -1 : tm.tm_isdst;
	begin = mktime(&tm);
	for (history->count = 0; begin < history->until; begin = next_begin(history, begin)) {
		if (history->count == HISTORY_MOST)
			return false;
		history->period[history->count++] = (struct period){ .begin = begin };
	}
	return true;
}

static struct period *period_of(struct history *history, uint64_t us)
{
	time_t at = (time_t)(us / 1000000);
	unsigned low = 0, high = history->count;

	if (history->count == 0 || at < history->since)
		return NULL;
	while (high - low > 1) {
		unsigned middle = low + (high - low) / 2;

		if (history->period[middle].begin <= at)
			low = middle;
		else
			high = middle;
	}
	return &history->period[low];
}

uint64_t period_lines(const struct period *period)
{
	return period->verdicts[VERDICT_ACCEPTED] + period->verdicts[VERDICT_DEFERRED] +
	       period->verdicts[VERDICT_COALESCED];
}

/* ---- Records ---- */

/* The value of a field; "": it has none, or too long a one. */
static const char *value_of(sd_journal *records, const char *field, char value[static VALUE_MAX])
{
	size_t before = strlen(field) + 1, length; /* FIELD= */
	const void *found;

	value[0] = '\0';
	if (sd_journal_get_data(records, field, &found, &length) < 0 || length < before ||
		length - before >= VALUE_MAX)
		return value;
	memcpy(value, (const char *)found + before, length - before);
	value[length - before] = '\0';
	return value;
}

static uint64_t number_of(sd_journal *records, const char *field)
{
	char value[VALUE_MAX];
	uint64_t number;

	return number_parse(value_of(records, field, value), UINT32_MAX, &number) ? number : 0;
}

/* NULL: they are too many, or it has no name. */
static struct pending *pending_of(struct reading_history *reading, const char *account)
{
	struct pending *one;

	for (unsigned i = 0; i < reading->accounts_count; i++)
		if (strcmp(reading->accounts[i].account, account) == 0)
			return &reading->accounts[i];
	if (reading->accounts_count == CONF_ACCOUNTS_MAX || *account == '\0' ||
		strlen(account) > CONF_NAME_MAX)
		return NULL;
	one = &reading->accounts[reading->accounts_count++];
	memcpy(one->account, account, strlen(account) + 1);
	return one;
}

static void read_verdict(
	struct reading_history *reading, const char *verdict, const char *account, uint64_t at)
{
	struct period *period = period_of(reading->history, at);
	struct pending *pending = pending_of(reading, account);
	uint64_t count = 1 + number_of(reading->records, "NMNOTIFY_SUPPRESSED");

	for (unsigned i = 0; i < VERDICTS; i++) {
		if (strcmp(verdict, verdict_name(i)) != 0)
			continue;
		if (period != NULL)
			period->verdicts[i] += count;
		reading->history->all.verdicts[i] += period != NULL ? count : 0;
		if ((i == VERDICT_ACCEPTED || i == VERDICT_DEFERRED) && pending != NULL &&
			pending->count < LINES_MOST)
			pending->line[pending->count++] = at;
	}
}

/* How long the first line had waited that the run was for. Negative: there is none. */
static double take_lines(struct pending *pending, uint64_t start)
{
	unsigned covered = 0;
	double delay = -1;

	while (covered < pending->count && pending->line[covered] <= start + ROUNDED_US)
		covered++;
	if (covered > 0)
		delay = pending->line[0] < start ? (double)(start - pending->line[0]) / 1e6 : 0;
	pending->count -= covered;
	memmove(pending->line, pending->line + covered, pending->count * sizeof(*pending->line));
	return delay;
}

static void add_run(struct period *period, double took, double delay, bool has_failed)
{
	period->runs++;
	period->failed += has_failed;
	period->run_sum += took;
	if (took > period->run_most)
		period->run_most = took;
	if (delay < 0)
		return;
	period->delays++;
	period->delay_sum += delay;
	if (delay > period->delay_most)
		period->delay_most = delay;
}

static void read_run(struct reading_history *reading, const char *account, uint64_t at)
{
	char value[VALUE_MAX];
	/* For strtod(3) what is no number is 0; "nan" and "inf" are compared away. */
	double took = strtod(value_of(reading->records, "NMNOTIFY_SECONDS", value), NULL);
	bool has_failed = number_of(reading->records, "NMNOTIFY_STATUS") != 0;
	struct pending *pending = pending_of(reading, account);
	struct period *period;
	uint64_t start;
	double delay;

	if (!(took >= 0 && took < (double)at / 1e6))
		took = 0;
	start = at - (uint64_t)(took * 1e6);
	delay = pending != NULL ? take_lines(pending, start) : -1;
	period = period_of(reading->history, start);
	if (period == NULL)
		return;
	add_run(period, took, delay, has_failed);
	add_run(&reading->history->all, took, delay, has_failed);
}

static void read_record(struct reading_history *reading, uint64_t at)
{
	char account[VALUE_MAX], verdict[VALUE_MAX], run[VALUE_MAX];

	(void)value_of(reading->records, "NMNOTIFY_ACCOUNT", account);
	if (reading->history->account != NULL && strcmp(account, reading->history->account) != 0)
		return;
	if (*value_of(reading->records, "NMNOTIFY_VERDICT", verdict) != '\0')
		read_verdict(reading, verdict, account, at);
	if (*value_of(reading->records, "NMNOTIFY_RUN", run) != '\0')
		read_run(reading, account, at);
}

/* ---- The journal ---- */

/* Two values of one field are alternatives (sd_journal_add_match(3)). */
static int seek(const struct reading_history *reading)
{
	static const char *const programs[] = { "SYSLOG_IDENTIFIER=nmnotify",
		"SYSLOG_IDENTIFIER=nmnotifyd" };
	int got = 0;

	for (unsigned i = 0; got >= 0 && i < sizeof(programs) / sizeof(programs[0]); i++)
		got = sd_journal_add_match(reading->records, programs[i], 0);
	return got < 0 ? got
		       : sd_journal_seek_realtime_usec(
				 reading->records, (uint64_t)reading->history->since * 1000000);
}

static int read_all(struct reading_history *reading)
{
	const uint64_t until = (uint64_t)reading->history->until * 1000000 + 999999;
	uint64_t at;
	int got = seek(reading);

	while (got >= 0 && (got = sd_journal_next(reading->records)) > 0) {
		if (sd_journal_get_realtime_usec(reading->records, &at) < 0)
			continue; /* damaged on the disk */
		if (at > until)
			break;
		read_record(reading, at);
	}
	return got < 0 ? got : 0;
}

int history_read(struct history *history)
{
	static struct reading_history reading; /* large */
	int got;

	reading = (struct reading_history){ .history = history };
	got = history->directory != NULL
		      ? sd_journal_open_directory(&reading.records, history->directory, 0)
		      : sd_journal_open(&reading.records, SD_JOURNAL_LOCAL_ONLY);
	if (got < 0)
		return got;
	/* Of files that this user may not read, libsystemd says nothing. */
	if (history->directory == NULL && sd_journal_has_runtime_files(reading.records) <= 0 &&
		sd_journal_has_persistent_files(reading.records) <= 0)
		got = -EACCES;
	else
		got = read_all(&reading);
	sd_journal_close(reading.records);
	return got;
}
