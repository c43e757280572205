/* SPDX-License-Identifier: ISC */
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/text.h"

#define FIELDS_MAX      8
#define VALUES_MAX      768 /* of a record together */
#define RECORD_TEXT_MAX 2048
#define KMSG_TEXT_MAX   976 /* kernels before 5.11 refuse a longer one: printk.c, LOG_LINE_MAX */

struct field {
	const char *key, *value;
};

struct record {
	int priority; /* syslog(3) */
	unsigned count;
	struct field field[FIELDS_MAX];
	size_t used; /* of `values` */
	char values[VALUES_MAX];
};

static bool is_plain(char c)
{
	return c > ' ' && c <= '~' && c != '\\' && c != '"';
}

/* A copy of the value in which all that is not printable ASCII is \xHH, so that people and programs
 * can read it back. It goes behind the values before it. */
static const char *value_escape(struct record *record, const char *from)
{
	static const char hex[] = "0123456789abcdef";
	char *value = record->values + record->used;
	size_t length = 0, room = VALUES_MAX - record->used;

	for (; *from != '\0' && length + 5 < room; from++) {
		unsigned char c = (unsigned char)*from;

		if (is_plain(*from) || c == ' ') {
			value[length++] = *from;
			continue;
		}
		value[length++] = '\\';
		value[length++] = 'x';
		value[length++] = hex[c >> 4];
		value[length++] = hex[c & 15];
	}
	value[length] = '\0';
	record->used += length + 1;
	return value;
}

static void field_add(struct record *record, const char *key, const char *value)
{
	struct field *field = &record->field[record->count];

	if (value == NULL || record->count == FIELDS_MAX || record->used == VALUES_MAX)
		return;
	record->count++;
	field->key = key;
	field->value = value_escape(record, value);
}

static void field_add_number(struct record *record, const char *key, unsigned number)
{
	char digits[16];
	struct text text = TEXT_IN(digits);

	text_add(&text, "%u", number);
	field_add(record, key, digits);
}

/* key=value key="value with spaces" ... */
static void text_add_record(struct text *text, const struct record *record)
{
	for (unsigned i = 0; i < record->count; i++) {
		const struct field *field = &record->field[i];
		const char *quote = strpbrk(field->value, " =") != NULL ? "\"" : "";

		text_add(text, "%s%s=%s%s%s", i == 0 ? "" : " ", field->key, quote, field->value,
			quote);
	}
}

static bool datagram_send(struct log *log, const char *path, const struct text *text)
{
	if (log->socket <= 0)
		log->socket = fd_socket(AF_UNIX, SOCK_DGRAM);
	if (log->socket < 0)
		return false;
	if (log->is_connected ? fd_send(log->socket, text->bytes, text->length)
			      : fd_send_to(log->socket, path, text->bytes, text->length))
		return true;
	/* It is there, and full: the line is lost, and no other place is tried. */
	return fd_would_wait(errno);
}

#define JOURNAL "/run/systemd/journal/socket"
#define SYSLOG  "/dev/log"

void log_connect(struct log *log)
{
	if (log->socket <= 0)
		log->socket = fd_socket(AF_UNIX, SOCK_DGRAM);
	log->is_connected = true;
	if (fd_connect_to(log->socket, JOURNAL))
		log->target = LOG_TARGET_JOURNAL;
	else if (fd_connect_to(log->socket, SYSLOG))
		log->target = LOG_TARGET_SYSLOG;
}

/* systemd.io/JOURNAL_NATIVE_PROTOCOL: NAME=value lines; our values have no newline. */
static bool journal_send(struct log *log, const struct record *record)
{
	char bytes[RECORD_TEXT_MAX];
	struct text text = TEXT_IN(bytes);

	text_add(&text,
		"SYSLOG_IDENTIFIER=%s\nPRIORITY=%d\nSYSLOG_FACILITY=%d\nMESSAGE=", log->program,
		record->priority, LOG_DAEMON >> 3);
	text_add_record(&text, record);
	for (unsigned i = 0; i < record->count; i++) {
		text_add(&text, "\nNMNOTIFY_");
		for (const char *c = record->field[i].key; *c != '\0'; c++)
			text_add(&text, "%c", *c - 'a' + 'A');
		text_add(&text, "=%s", record->field[i].value);
	}
	text_add(&text, "\n");
	return datagram_send(log, JOURNAL, &text);
}

/* RFC 3164 without the time, which the daemon adds; ours would need the time zone's file. */
static bool syslog_send(struct log *log, const struct record *record)
{
	char bytes[RECORD_TEXT_MAX];
	struct text text = TEXT_IN(bytes);

	text_add(&text, "<%d>%s[%d]: ", LOG_DAEMON | record->priority, log->program, getpid());
	text_add_record(&text, record);
	return datagram_send(log, SYSLOG, &text);
}

void log_open(struct log *log)
{
	if (log->target == LOG_TARGET_KMSG && log->kmsg == 0)
		log->kmsg = open(LOG_KMSG, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void log_close(struct log *log)
{
	fd_close_if_open(log->socket > 0 ? log->socket : -1);
	fd_close_if_open(log->kmsg > 0 ? log->kmsg : -1);
	log->socket = 0;
	log->kmsg = 0;
}

/* A write is a message (Documentation/ABI/testing/dev-kmsg). */
static void kmsg_send(struct log *log, const struct record *record)
{
	char bytes[KMSG_TEXT_MAX];
	struct text text = TEXT_IN(bytes);

	log_open(log);
	if (log->kmsg < 0)
		return;
	text_add(&text, "<%d>%s[%d]: ", LOG_DAEMON | record->priority, log->program, getpid());
	text_add_record(&text, record);
	(void)text_write(&text, log->kmsg); /* there is no other place */
}

static void stderr_send(struct log *log, const struct record *record)
{
	char bytes[RECORD_TEXT_MAX];
	struct text text = TEXT_IN(bytes);

	if (!log->stderr_usable || log->stderr_told || !fd_is_ready(STDERR_FILENO))
		return;
	text_add(&text, "%s[%d]: ", log->program, getpid());
	text_add_record(&text, record);
	text_add(&text, "\n");
	(void)text_write(&text, STDERR_FILENO); /* nowhere is left to say that this failed */
}

static void record_send(struct log *log, const struct record *record)
{
	enum log_target target = log->target;

	if (target == LOG_TARGET_STDERR && !log->stderr_usable)
		target = LOG_TARGET_AUTO; /* under inetd it is the network */
	if ((target == LOG_TARGET_AUTO || target == LOG_TARGET_JOURNAL) &&
		journal_send(log, record))
		return;
	if ((target == LOG_TARGET_AUTO || target == LOG_TARGET_SYSLOG) && syslog_send(log, record))
		return;
	if (target == LOG_TARGET_AUTO || target == LOG_TARGET_STDERR)
		stderr_send(log, record);
	if (target == LOG_TARGET_KMSG)
		kmsg_send(log, record);
}

static void record_add_place(struct record *record, struct log *log)
{
	field_add(record, "account", log->account);
	field_add(record, "source", log->source);
}

void log_verdict(struct log *log, enum verdict verdict, const char *reason, uint32_t suppressed)
{
	/* Not info, as systemd's own lines about each connection are: those can be left out by
	 * their level. */
	struct record record = { .priority = verdict == VERDICT_ERROR ? LOG_ERR : LOG_NOTICE };

	field_add(&record, "verdict", verdict_name(verdict));
	record_add_place(&record, log);
	field_add(&record, "reason", reason);
	if (suppressed != 0)
		field_add_number(&record, "suppressed", suppressed);
	record_send(log, &record);
}

void log_run_ended(struct log *log, const struct run_end *end)
{
	struct record record = { .priority = end->has_failed ? LOG_WARNING : LOG_NOTICE };
	char seconds[32];
	struct text text = TEXT_IN(seconds);
	unsigned hundredths = end->took.ms % 1000 / 10;

	text_add(&text, "%u.%u%u", end->took.ms / 1000, hundredths / 10, hundredths % 10);
	field_add(&record, "run", "ended");
	record_add_place(&record, log);
	field_add_number(&record, "status", (unsigned)end->status);
	field_add(&record, "seconds", seconds);
	field_add(&record, "reason", end->reason);
	field_add(&record, "left", end->has_left ? "running" : NULL);
	if (end->retry.ms != 0)
		field_add_number(&record, "retry", (end->retry.ms + 999) / 1000);
	record_send(log, &record);
}

void log_run_failing(struct log *log, int status, uint32_t failures)
{
	struct record record = { .priority = LOG_ERR };

	field_add(&record, "run", "failing");
	record_add_place(&record, log);
	field_add_number(&record, "status", (unsigned)status);
	field_add_number(&record, "failures", failures);
	record_send(log, &record);
}

void log_run_recovered(struct log *log, uint32_t failures)
{
	struct record record = { .priority = LOG_NOTICE };

	field_add(&record, "run", "recovered");
	record_add_place(&record, log);
	field_add_number(&record, "failures", failures);
	record_send(log, &record);
}

void log_run_failed(struct log *log, int status, const char *reason)
{
	struct record record = { .priority = LOG_ERR };

	field_add(&record, "run", "failed");
	record_add_place(&record, log);
	field_add_number(&record, "status", (unsigned)status);
	field_add(&record, "reason", reason);
	record_send(log, &record);
}

void log_failed(
	struct log *log, const char *what, const char *key, const char *value, const char *reason)
{
	struct record record = { .priority = LOG_ERR };

	field_add(&record, what, "failed");
	field_add(&record, key, value);
	field_add(&record, "reason", reason);
	record_send(log, &record);
}

void log_told(struct log *log, const char *user, unsigned others, const char *to,
	const char *reason, uint32_t suppressed)
{
	struct record record = { .priority = reason == NULL ? LOG_INFO : LOG_NOTICE };

	field_add(&record, "told", reason == NULL ? "done" : "failed");
	field_add(&record, "user", user);
	if (others != 0)
		field_add_number(&record, "others", others);
	field_add(&record, "to", to);
	field_add(&record, "reason", reason);
	if (suppressed != 0)
		field_add_number(&record, "suppressed", suppressed);
	record_send(log, &record);
}

void log_relay(struct log *log, const char *what, const char *reason, bool is_error)
{
	struct record record = { .priority = is_error ? LOG_ERR : LOG_NOTICE };

	field_add(&record, "relay", what);
	field_add(&record, "reason", reason);
	record_send(log, &record);
}
