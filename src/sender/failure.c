/* SPDX-License-Identifier: ISC */
/* In the process of nmnotify-send or nmnotify-login: as who started it. */
#include "sender/failure.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/text.h"

#define MESSAGE_MAX 2048

/* Without waiting, and without SIGPIPE: what cannot be written now is in the log. */
static void print(const struct text *text)
{
	if (fd_is_ready(STDERR_FILENO))
		(void)text_write(text, STDERR_FILENO);
}

static bool is_at_terminal(const struct failures *failures)
{
	return failures->is_confined ? failures->is_at_terminal : isatty(STDERR_FILENO) == 1;
}

static bool is_to_be_told(const struct failures *failures)
{
	return failures->is_asked || is_at_terminal(failures);
}

void failure_confine(struct failures *failures)
{
	failures->is_at_terminal = is_at_terminal(failures);
	failures->is_confined = true;
	log_connect(&failures->log);
}

void failure_say(struct failures *failures, const char *what, const char *key, const char *value,
	const char *reason)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	if (failures->is_asked)
		failures->status = EX_TEMPFAIL;
	if (is_to_be_told(failures)) {
		text_add(&text, "%s: ", failures->log.program);
		if (value != NULL) {
			text_add(&text, "%s ", key);
			text_add_escaped(&text, value);
			text_add(&text, ": ");
		}
		text_add_escaped(&text, reason);
		text_add(&text, "\n");
		print(&text);
	}
	log_failed(&failures->log, what, key, value, reason);
}

const char *option_wrong(int option)
{
	static char bytes[64];
	const char *what = option == ':'   ? "a value is missing behind"
			   : option == '?' ? "cannot use"
					   : "cannot use the value of";
	struct text text = TEXT_IN(bytes);

	text_add(&text, "%s '-%c'", what, option == ':' || option == '?' ? optopt : option);
	return bytes;
}

void failure_say_usage(struct failures *failures, const char *reason)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	if (is_to_be_told(failures)) {
		failures->status = EX_USAGE;
		text_add(&text, "%s: ", failures->log.program);
		text_add_escaped(&text, reason);
		text_add(&text, "\n%s", failures->usage);
		print(&text);
	}
	log_failed(&failures->log, "command", NULL, NULL, reason);
}

_Noreturn void answer(const char *text)
{
	size_t length = strlen(text);

	exit(write(STDOUT_FILENO, text, length) == (ssize_t)length ? EX_OK : EX_OSERR);
}
