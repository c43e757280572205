/* SPDX-License-Identifier: ISC */
/*
 * The log: one line a decision, `key=value`, to the journal (its native protocol, with a field
 * NMNOTIFY_KEY for each key), to syslog, or to standard error. Never to the other end, and never
 * waiting: a log that is full loses a line, not a connection. Lines that a flood can cause are
 * limited through the shared state; the counters there are exact.
 */
#ifndef NMNOTIFY_LOG_H
#define NMNOTIFY_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "state.h"
#include "verdict.h"

struct log {
	const char *program;
	enum log_target target;
	bool stderr_usable;  /* it does not lead to the other end */
	bool stderr_told;    /* it is a terminal where the next line was said already */
	struct state *state; /* where to count and limit; NULL before it is known, or if it cannot
			      * be had: then errors alone are written */
	bool is_mute;        /* without state: not even those */
	const char *account; /* NULL: not known, left out */
	const char *source;  /* likewise */
	char source_text[SOURCE_TEXT_MAX];
	int socket; /* 0: not opened yet; close-on-exec */
};

/* `verdict=...`, counted. `reason` may be NULL. */
void log_verdict(struct log *log, enum verdict verdict, const char *reason);

/*
 * The two halves of log_verdict(), for a process that decides but must not write a log. Counts
 * the verdict; true if a line of it may be written, *suppressed being how many were not since
 * the last. Then the other process writes it.
 */
bool log_admit(struct state *state, enum verdict verdict, uint32_t *suppressed);
void log_admitted(struct log *log, enum verdict verdict, const char *reason, uint32_t suppressed);

/* May another line be written of those that are limited together? Their TAT is in a word. */
bool log_take(atomic_word *tat);

/* `verdict=error reason=...`, with printf's format. */
__attribute__((format(printf, 2, 3))) void log_error(struct log *log, const char *format, ...);

/* `run=ended`: how the action ended. `reason`: why we ended it, or NULL. `has_left`: processes of
 * it live on. */
void log_run_ended(
	struct log *log, int status, uint64_t milliseconds, const char *reason, bool has_left);

/* `run=failed`: the action could not be executed. */
void log_run_failed(struct log *log, int status, const char *reason);

#endif
