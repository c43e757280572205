/* SPDX-License-Identifier: ISC */
/* A configuration that is read, and what was reported of it, for the tests of conf*.c. */
#ifndef NMNOTIFY_READING_H
#define NMNOTIFY_READING_H

#include "unit.h"

#include "conf/conf.h"

/* What makes an account whole. */
#define REST    "from any\nuser nobody\naction /bin/true\n"
#define ACCOUNT "account a\n" REST

/* A user that is neither root nor us. */
#define STRANGER 54321

static struct conf conf;

/* What was reported: "LINE: message" for each, and a newline. */
static struct {
	char text[65536];
	size_t length;
	unsigned count;
} reports;

static inline void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	const char *name = strrchr(file, '/');
	size_t room = sizeof(reports.text) - reports.length;

	assert_ptr_equal(context, &reports);
	assert_int_equal(severity, SEVERITY_ERROR); /* advice is only for who asks for it */
	reports.count++;
	reports.length += (size_t)snprintf(reports.text + reports.length, room, "%s:%u: %s\n",
		name != NULL ? name + 1 : file, line, message);
	assert_true(reports.length < sizeof(reports.text));
}

static inline unsigned words_count(char **word)
{
	unsigned count = 0;

	while (word[count] != NULL)
		count++;
	return count;
}

static inline void begin(void)
{
	memset(&conf, 0, sizeof(conf));
	reports.length = reports.count = 0;
	reports.text[0] = '\0';
	conf_begin(&conf, report, &reports);
}

static inline bool read_bytes(void **state, const char *text, size_t length)
{
	begin();
	conf_file(&conf, unit_file(state, text, length), false);
	return conf_end(&conf);
}

/* Reads `text`, after options that end with a NULL. */
static inline bool read_with(void **state, const char *const *option, const char *text)
{
	begin();
	for (unsigned i = 0; option[i] != NULL; i++)
		conf_option(&conf, option[i], i + 1);
	conf_file(&conf, unit_file(state, text, strlen(text)), false);
	return conf_end(&conf);
}

static inline void good(void **state, const char *text)
{
	if (!read_bytes(state, text, strlen(text)))
		fail_msg("%s%s", text, reports.text);
	assert_int_equal(reports.count, 0);
}

static inline void bad(void **state, const char *text, const char *expected)
{
	assert_false(read_bytes(state, text, strlen(text)));
	assert_string_equal(reports.text, expected);
}

#endif
