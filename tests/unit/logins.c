/* SPDX-License-Identifier: ISC */
#include "logs/logins.h"

#include "unit.h"

#define FIELD   "field _UID=0\n"
#define MESSAGE "message 'in: %u from %a.'\n"

static struct logins logins;

/* What was reported: "LINE: message" for each, and a newline. */
static struct {
	char text[65536];
	size_t length;
} reports;

static void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	size_t room = sizeof(reports.text) - reports.length;

	assert_ptr_equal(context, &reports);
	assert_int_equal(severity, SEVERITY_ERROR);
	assert_non_null(file);
	reports.length +=
		(size_t)snprintf(reports.text + reports.length, room, "%u: %s\n", line, message);
	assert_true(reports.length < sizeof(reports.text));
}

static bool read_bytes(void **state, const char *text, size_t length)
{
	reports.length = 0;
	reports.text[0] = '\0';
	logins_begin(&logins, report, &reports);
	logins_file(&logins, unit_file(state, text, length));
	return logins_end(&logins);
}

static void good(void **state, const char *text)
{
	if (!read_bytes(state, text, strlen(text)))
		fail_msg("%s%s", text, reports.text);
	assert_string_equal(reports.text, "");
}

static void bad(void **state, const char *text, const char *expected)
{
	assert_false(read_bytes(state, text, strlen(text)));
	assert_string_equal(reports.text, expected);
}

/* A record: its fields, ended by NULL. */
static bool has(void *record, const char *field)
{
	for (const char *const *own = record; *own != NULL; own++)
		if (strcmp(*own, field) == 0)
			return true;
	return false;
}

/* "USER ADDRESS", "?" if it is unclear, "" if it is nothing. */
static const char *said(const char *const *record, const char *message)
{
	static char text[USER_NAME_MAX + SOURCE_TEXT_MAX + 2];
	struct sighting sighting;
	enum meaning meaning = logins_read(
		&logins, has, (void *)(uintptr_t)record, message, strlen(message), &sighting);

	if (meaning != MEANS_LOGIN)
		return meaning == MEANS_NOTHING ? "" : "?";
	(void)snprintf(text, sizeof(text), "%s %s", sighting.user, sighting.address);
	return text;
}

#define RECORD(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- Fields ---- */

static void fields_must_all_be_there(void **state)
{
	static const char line[] = "in: alice from 192.0.2.7.";

	good(state, "server x\nfield _UID=0 SYSLOG_IDENTIFIER=a SYSLOG_IDENTIFIER=b\n"
		    "field _SYSTEMD_UNIT=x.service\n" MESSAGE);
	for (unsigned i = 0; i < 2; i++)
		assert_string_equal(
			said(RECORD("_UID=0",
				     i == 0 ? "SYSLOG_IDENTIFIER=a" : "SYSLOG_IDENTIFIER=b",
				     "_SYSTEMD_UNIT=x.service"),
				line),
			"alice 192.0.2.7");
	assert_string_equal(
		said(RECORD("_UID=1000", "SYSLOG_IDENTIFIER=a", "_SYSTEMD_UNIT=x.service"), line),
		"");
	assert_string_equal(
		said(RECORD("_UID=0", "SYSLOG_IDENTIFIER=c", "_SYSTEMD_UNIT=x.service"), line), "");
	assert_string_equal(said(RECORD("_UID=0", "SYSLOG_IDENTIFIER=a"), line), "");
	assert_string_equal(
		said(RECORD("SYSLOG_IDENTIFIER=a", "_SYSTEMD_UNIT=x.service"), line), "");
	assert_string_equal(said(RECORD("_UID=0", "_SYSTEMD_UNIT=x.service"), line), "");
	assert_string_equal(said(RECORD("UID=0"), line), "");
}

/* One name is the beginning of another. */
static void fields_have_whole_names(void **state)
{
	good(state, "server x\nfield _UID=0 _UIDX=1\n" MESSAGE);
	assert_string_equal(said(RECORD("_UID=0"), "in: alice from 192.0.2.7."), "");
	assert_string_equal(said(RECORD("_UIDX=1"), "in: alice from 192.0.2.7."), "");
	assert_string_equal(
		said(RECORD("_UID=0", "_UIDX=1"), "in: alice from 192.0.2.7."), "alice 192.0.2.7");
}

static void servers_are_told_apart(void **state)
{
	good(state, "server x\n" FIELD MESSAGE "server y\nfield _UID=1\nmessage 'at %a: %u.'\n");
	assert_string_equal(said(RECORD("_UID=0"), "in: alice from 192.0.2.7."), "alice 192.0.2.7");
	assert_string_equal(said(RECORD("_UID=1"), "in: alice from 192.0.2.7."), "");
	assert_string_equal(said(RECORD("_UID=0"), "at 192.0.2.7: alice."), "");
	assert_string_equal(said(RECORD("_UID=1"), "at 192.0.2.7: alice."), "alice 192.0.2.7");
	assert_string_equal(said(RECORD("_UID=2"), "at 192.0.2.7: alice."), "");
}

static void two_that_differ_are_unclear(void **state)
{
	good(state, "server x\n" FIELD "message 'in: %u from %a.'\nmessage 'in%*: %u from %a.'\n"
		    "server y\nfield _UID=0\nfield _PID=7\nmessage 'in: bob %* %u from %a.'\n");
	assert_string_equal(said(RECORD("_UID=0"), "in: alice from 192.0.2.7."), "alice 192.0.2.7");
	assert_string_equal(
		said(RECORD("_UID=0"), "in: bob - alice from 192.0.2.7."), "bob - alice 192.0.2.7");
	assert_string_equal(
		said(RECORD("_UID=0", "_PID=7"), "in: bob - alice from 192.0.2.7."), "?");
}

/* ---- What is wrong ---- */

static void anybodys_lines_are_refused(void **state)
{
	static const char anybody[] =
		"1: server x: any local user could write its lines: add 'field "
		"_SYSTEMD_UNIT=...' or 'field _UID=...'\n";

	bad(state, "server x\n" MESSAGE, anybody);
	bad(state, "server x\nfield SYSLOG_IDENTIFIER=dovecot\n" MESSAGE, anybody);
	bad(state, "server x\nfield UID=0 SYSTEMD_UNIT=x.service _COMM=x\n" MESSAGE, anybody);
	bad(state, "server x\nfield _UIDS=0 _SYSTEMD_UNITS=x\n" MESSAGE, anybody);
	good(state, "server x\nfield _UID=0\n" MESSAGE);
	good(state, "server x\nfield _SYSTEMD_UNIT=x.service\n" MESSAGE);
}

static void mistakes_are_said(void **state)
{
	bad(state, "", "0: there is no 'server', so nobody is read of\n");
	bad(state, "server x\n" FIELD, "1: server x: there is no 'message', so it says nothing\n");
	bad(state, FIELD,
		"1: field says something of a server: write such as 'server dovecot' above it\n");
	bad(state, MESSAGE,
		"1: message says something of a server: write such as 'server dovecot' above it\n");
	bad(state, "server x\n" FIELD MESSAGE "server x\n" FIELD MESSAGE,
		"4: server: 'x' is there already (line 1): write another name\n");
	bad(state, "server x\nfield _UID=0 x=1\n" MESSAGE,
		"2: field: 'x=1' is not NAME=VALUE, such as _SYSTEMD_UNIT=dovecot.service\n");
	bad(state, "server x\nfield _UID=\n" MESSAGE,
		"2: field: '_UID=' is not NAME=VALUE, such as _SYSTEMD_UNIT=dovecot.service\n");
	bad(state, "server x\n" FIELD "message 'in: %u%%%a'\n",
		"3: message: 'in: %u%%%a' has to have text behind %u and %a, else a line that was "
		"cut would be taken\n");
	bad(state, "server x\n" FIELD "message 'in: %q'\n",
		"3: message: 'in: %q' has a % that is none of %u, %a, %* and %%\n");
	bad(state, "server x\n" FIELD "message in: %u from %a.\n",
		"3: message: '%u' is one word too many: nothing can be behind 'in:'\n");
	bad(state, "sever x\n", "1: there is no keyword 'sever': write 'server' and a space\n");
	bad(state, "server\n", "1: server: a value is missing: write such as 'server dovecot'\n");
}

static void bounds_are_kept(void **state)
{
	static char text[LOGINS_BYTES_MAX * 2];
	size_t length = 0;

	for (unsigned i = 0; i <= LOGINS_SERVERS_MAX; i++)
		length += (size_t)snprintf(
			text + length, sizeof(text) - length, "server s%u\n%s", i, FIELD MESSAGE);
	assert_false(read_bytes(state, text, length));
	assert_non_null(strstr(reports.text, "'s32' is one too many: 32 is the most"));
	length = (size_t)snprintf(text, sizeof(text), "%s", "server x\n" FIELD);
	for (unsigned i = 0; i <= LOGINS_MESSAGES_MAX; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s", MESSAGE);
	assert_false(read_bytes(state, text, length));
	assert_non_null(strstr(reports.text, "is one too many: 16 is the most"));
	length = (size_t)snprintf(text, sizeof(text), "%s", "server x\n" MESSAGE);
	for (unsigned i = 0; i <= LOGINS_FIELDS_MAX; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s", FIELD);
	assert_false(read_bytes(state, text, length));
	assert_non_null(strstr(reports.text, "is one too many: 16 is the most"));
	memset(text, '#', sizeof(text));
	assert_false(read_bytes(state, text, LOGINS_BYTES_MAX));
	assert_non_null(strstr(reports.text, "is longer than 65536 bytes"));
}

/* Those that are installed, and those that only stand there. */
static void those_that_are_installed_are_good(void **state)
{
	static const char *const records[][5] = {
		{ "_SYSTEMD_UNIT=dovecot.service", "_UID=0", "SYSLOG_IDENTIFIER=dovecot" },
		{ "_SYSTEMD_UNIT=courier-imap.service", "SYSLOG_IDENTIFIER=imapd" },
		{ "_SYSTEMD_UNIT=courier-pop.service", "SYSLOG_IDENTIFIER=pop3d" },
		{ "_SYSTEMD_UNIT=cyrus-imapd.service", "SYSLOG_IDENTIFIER=cyrus/imap" },
		{ "_SYSTEMD_UNIT=inetd.service", "SYSLOG_IDENTIFIER=imapd" },
	};
	static const char *const messages[] = {
		("imap-login: Logged in: user=<alice>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, "
		 "mpid=131, session=<x>"),
		"LOGIN, user=alice, ip=[::ffff:192.0.2.7], port=[42107], protocol=IMAP",
		"LOGIN, user=alice, ip=[::ffff:192.0.2.7], port=[42107]",
		"login: [192.0.2.7] alice plaintext User logged in SESSIONID=<x>",
		"Login user=alice host=home.example.org [192.0.2.7]",
	};
	char text[8192];
	FILE *file = fopen("units/nmnotify-relay-logs.conf", "re");
	size_t length;

	if (file == NULL)
		skip(); /* elsewhere than in the project's directory */
	length = fread(text, 1, sizeof(text) - 1, file);
	assert_int_equal(fclose(file), 0);
	text[length] = '\0';
	good(state, text);
	assert_string_equal(said(records[1], messages[1]), "");
	for (char *c = strstr(text, "\n#"); c != NULL; c = strstr(c + 1, "\n#"))
		if (strncmp(c, "\n#server ", 9) == 0 || strncmp(c, "\n#\t", 3) == 0)
			c[1] = ' ';
	good(state, text);
	for (unsigned i = 0; i < COUNT(records); i++)
		for (unsigned k = 0; k < COUNT(messages); k++)
			assert_string_equal(said(records[i], messages[k]),
				k == i || (i == 2 && k == 1) || (i == 1 && k == 2)
					? "alice 192.0.2.7"
					: "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST_PLACE(fields_must_all_be_there),
		UNIT_TEST_PLACE(fields_have_whole_names),
		UNIT_TEST_PLACE(servers_are_told_apart),
		UNIT_TEST_PLACE(two_that_differ_are_unclear),
		UNIT_TEST_PLACE(anybodys_lines_are_refused),
		UNIT_TEST_PLACE(mistakes_are_said),
		UNIT_TEST_PLACE(bounds_are_kept),
		UNIT_TEST_PLACE(those_that_are_installed_are_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
