/* SPDX-License-Identifier: ISC */
/*
 * The log: one line a decision, `key=value`, to the journal (its native protocol, with a field
 * NMNOTIFY_KEY for each key), to syslog, to standard error, or to the kernel's own. Never to the
 * other end, and never waiting: if the log is full, the line is lost, and nobody is kept waiting.
 * What may be written at all is the callers' to know: state/tally.h.
 */
#ifndef NMNOTIFY_LOG_H
#define NMNOTIFY_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/clock.h"
#include "lib/verdict.h"

enum log_target {
	LOG_TARGET_AUTO,
	LOG_TARGET_JOURNAL,
	LOG_TARGET_SYSLOG,
	LOG_TARGET_STDERR,
	LOG_TARGET_KMSG
};

struct log {
	const char *program;
	enum log_target target;
	bool stderr_usable; /* it does not lead to the other end */
	bool stderr_told;   /* it is a terminal, and what the next line says stands there already */
	const char *account; /* NULL: not known, left out */
	const char *source;  /* likewise; both are the caller's */
	int socket;          /* 0: not opened yet; close-on-exec */
	bool is_connected;   /* by log_connect() */
	int kmsg;            /* 0: not opened yet; -1: it cannot be; close-on-exec */
};

/* For a process that is root now and soon is not: opens the kernel's log, if that is where lines
 * go.
 */
#define LOG_KMSG "/dev/kmsg"
void log_open(struct log *log);

/* Closes what was opened, whenever that was. */
void log_close(struct log *log);

/* For a process that soon cannot make a Unix socket, or send to one by name: makes one, and
 * connects it to the journal, else to syslog, else to nothing. */
void log_connect(struct log *log);

/* `verdict=...`. `reason` may be NULL; `suppressed`: how many such lines were left out since the
 * last one. */
void log_verdict(struct log *log, enum verdict verdict, const char *reason, uint32_t suppressed);

/* How a run ended. */
struct run_end {
	int status; /* as sh(1) would say it */
	bool has_failed;
	struct span took;
	struct span retry;  /* when it is tried again; 0: it is not */
	const char *reason; /* why we ended it, or NULL */
	bool has_left;      /* processes of it live on */
};

/* `run=ended`. */
void log_run_ended(struct log *log, const struct run_end *end);

/* `run=failing`: so many runs in a row have failed; or `run=recovered`: the last one has not. */
void log_run_failing(struct log *log, int status, uint32_t failures);
void log_run_recovered(struct log *log, uint32_t failures);

/* `run=failed`: the action could not be executed. */
void log_run_failed(struct log *log, int status, const char *reason);

/* `told=done`, or `told=failed` with a reason: the relay's. `others`: users beside this one. */
void log_told(struct log *log, const char *user, unsigned others, const char *to,
	const char *reason, uint32_t suppressed);

/* `relay=WHAT`: what the relay has to say of itself. */
void log_relay(struct log *log, const char *what, const char *reason, bool is_error);

/* `WHAT=failed`: the sender's. `key` and `value` say whom it was about; `value` may be NULL. */
void log_failed(
	struct log *log, const char *what, const char *key, const char *value, const char *reason);

#endif
