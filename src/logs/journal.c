/* SPDX-License-Identifier: ISC */
/* In the process of nmnotify-relay-logs: opened before it is confined, read under logs.policy. */
#include "logs/journal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <time.h>

#include "lib/text.h"

#define MESSAGE "MESSAGE="

/* Records that are read before the loop has a look at the watchdog and at signals. */
#define RECORDS_AT_ONCE 4096

/* ---- A record ---- */

static bool record_has(void *record, const char *field)
{
	char name[64];
	size_t name_length = strcspn(field, "="), length;
	const void *found;

	if (name_length >= sizeof(name)) /* journald takes none of more than 64 bytes */
		return false;
	memcpy(name, field, name_length);
	name[name_length] = '\0';
	return sd_journal_get_data(record, name, &found, &length) >= 0 && length == strlen(field) &&
	       memcmp(found, field, length) == 0;
}

/* When the server wrote it, by the kernel's time if journald has that, else by journald's: in
 * microseconds, as the clock says. */
static uint64_t record_time(sd_journal *records)
{
	static const char name[] = "_SOURCE_REALTIME_TIMESTAMP";
	const void *found;
	uint64_t time = 0;
	size_t length;
	char digits[32];

	if (sd_journal_get_data(records, name, &found, &length) >= 0 && length > sizeof(name) &&
		length - sizeof(name) < sizeof(digits)) {
		memcpy(digits, (const char *)found + sizeof(name), length - sizeof(name));
		digits[length - sizeof(name)] = '\0';
		if (number_parse(digits, UINT64_MAX / 10 - 1, &time))
			return time;
	}
	return sd_journal_get_realtime_usec(records, &time) >= 0 ? time : 0;
}

static bool is_late(sd_journal *records)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now); /* fails for no clock that there is */
	return record_time(records) + JOURNAL_LATE_US <
	       (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Of any record. libsystemd could select those with certain fields, but seeks less surely with that
 * (systemd 252); another server's takes 6 microseconds, and a login 17. */
static void record_read(const struct journal *journal)
{
	const size_t before = strlen(MESSAGE);
	struct sighting sighting;
	enum meaning meaning;
	const void *found;
	size_t length;

	if (sd_journal_get_data(journal->records, "MESSAGE", &found, &length) < 0 ||
		length < before)
		return; /* it has none, or one that was damaged on the disk */
	meaning = logins_read(journal->logins, record_has, journal->records,
		(const char *)found + before, length - before, &sighting);
	if (meaning == MEANS_UNCLEAR)
		journal->reader(journal->context, NULL,
			"a line can be read in several ways, or names no user and address");
	else if (meaning == MEANS_LOGIN)
		journal->reader(journal->context, &sighting,
			is_late(journal->records) ? "the line was read too late" : NULL);
}

/* ---- In the loop ---- */

static int give_up(const struct journal *journal)
{
	return sd_event_exit(journal->loop, EX_IOERR);
}

static int on_rest(sd_event_source *source, void *context)
{
	const struct journal *journal = context;

	for (unsigned i = 0; i < RECORDS_AT_ONCE; i++) {
		int got = sd_journal_next(journal->records);

		if (got < 0)
			return give_up(journal);
		if (got == 0)
			return 0;
		record_read(journal);
	}
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_change(sd_event_source *source, int fd, uint32_t events, void *context)
{
	const struct journal *journal = context;

	(void)source;
	(void)fd;
	(void)events;
	if (sd_journal_process(journal->records) < 0)
		return give_up(journal);
	return sd_event_source_set_enabled(journal->rest, SD_EVENT_ONESHOT);
}

/* ---- Opening ---- */

/* The next record is the first that comes from now on. In a journal in which there is none yet,
 * that is the first of all. */
static int go_to_end(sd_journal *records)
{
	int got = sd_journal_seek_tail(records);

	if (got >= 0)
		got = sd_journal_previous(records);
	return got == 0 ? sd_journal_seek_head(records) : got;
}

/* Of files that this user may not read, libsystemd says nothing. */
static bool is_readable(sd_journal *records)
{
	return sd_journal_has_runtime_files(records) > 0 ||
	       sd_journal_has_persistent_files(records) > 0;
}

static int begin(struct journal *journal, const char *directory, const char **wrong)
{
	int fd, got;

	*wrong = "the journal cannot be opened";
	got = directory != NULL ? sd_journal_open_directory(&journal->records, directory, 0)
				: sd_journal_open(&journal->records, SD_JOURNAL_LOCAL_ONLY);
	if (got < 0)
		return got;
	if (directory == NULL && !is_readable(journal->records)) {
		*wrong = "no journal can be read: this user has to be in the group systemd-journal";
		return -EACCES;
	}
	/* Nothing longer counts: see pattern_read(). */
	got = sd_journal_set_data_threshold(journal->records, LOG_LINE_MAX + 1 + sizeof(MESSAGE));
	if (got < 0)
		return got;
	*wrong = "the journal cannot be followed";
	fd = sd_journal_get_fd(journal->records);
	if (fd < 0)
		return fd;
	got = go_to_end(journal->records);
	if (got < 0)
		return got;
	got = sd_event_add_defer(journal->loop, &journal->rest, on_rest, journal);
	if (got < 0)
		return got;
	return sd_event_add_io(journal->loop, NULL, fd, EPOLLIN, on_change, journal);
}

int journal_open(struct journal *journal, const char *directory, const char **wrong)
{
	int got = begin(journal, directory, wrong);

	return got < 0 ? -got : 0;
}

void journal_close(struct journal *journal)
{
	(void)sd_event_source_unref(journal->rest);
	sd_journal_close(journal->records);
}
