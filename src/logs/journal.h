/* SPDX-License-Identifier: ISC */
/*
 * The journal, followed from its end: each record that says of a login who it was.
 *
 * In the process of nmnotify-relay-logs: opened before it is confined, read under logs.policy.
 */
#ifndef NMNOTIFY_JOURNAL_H
#define NMNOTIFY_JOURNAL_H

#include <stdint.h>
#include <systemd/sd-event.h>
#include <systemd/sd-journal.h>

#include "logs/logins.h"

/* A record says that somebody has logged in. `wrong`, if it is not NULL, is why that cannot be
 * taken; then `sighting` is NULL if it is unclear who it is. */
typedef void journal_reader(void *context, const struct sighting *sighting, const char *wrong);

/* A login that is read so long after it was logged is too old: the relay would take it for one that
 * came after what has been delivered since, and its line for told (S1). By default it does not for
 * those that come within `settle`, which is this. */
#define JOURNAL_LATE_US 2000000

struct journal {
	sd_journal *records;
	sd_event *loop;
	sd_event_source *rest; /* to be read before the loop waits again */
	const struct logins *logins;
	journal_reader *reader;
	void *context; /* of the reader */
};

/* Opens this machine's journal, or the one in a directory, and goes to its end; the loop reads what
 * comes from now on. What cannot be read on ends the loop, with EX_IOERR. 0, or an errno with
 * *wrong. */
int journal_open(struct journal *journal, const char *directory, const char **wrong);

void journal_close(struct journal *journal);

#endif
