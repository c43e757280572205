/* SPDX-License-Identifier: ISC */
#include "ctl/explain_user.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "ctl/relay.h"
#include "ctl/status.h"

static void print_text(const json_t *object, const char *name)
{
	print_escaped(stdout, status_text(object, name));
}

static void print_time(const json_t *object, const char *name)
{
	double number = status_number(object, name);
	time_t at = (time_t)number;
	char text[32];
	struct tm tm;

	(void)localtime_r(&at, &tm);
	/* strftime(3) says 0 if it does not fit; it does. */
	(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	(void)fputs(text, stdout);
}

/* Who says where the line goes. */
static void print_said(const json_t *answer)
{
	const json_t *said = json_object_get(answer, "said");

	(void)fputs("User ", stdout);
	print_text(answer, "user");
	if (!json_is_object(said)) {
		(void)puts(
			": no line of the configuration, and no table, says where his line goes");
		return;
	}
	if (strcmp(status_text(said, "by"), "line") == 0) {
		(void)fputs(": ", stdout);
		print_text(said, "file");
		(void)printf(":%.0f: `user ", status_number(said, "line"));
		print_text(said, "pattern");
		(void)puts("` says where his line goes");
		return;
	}
	(void)fputs(": the table ", stdout);
	print_text(said, "table");
	(void)fputs(" says where his line goes", stdout);
	if (*status_text(said, "reason") != '\0') {
		(void)fputs(", but that is wrong: ", stdout);
		print_text(said, "reason");
	}
	(void)putchar('\n');
}

/* Why a destination is not told: nmnotify-relay(8) has the words. */
static void print_why_not(const json_t *one)
{
	static const struct {
		const char *word, *text;
	} reasons[] = {
		{ "never", "`never` excludes " },
		{ "never-default", "`never default` excludes " },
		{ "own", "it is an address of this machine" },
		{ "interface", "it is link-local, of no interface that is known" },
		{ "beyond", "`last` has as many as it is to have" },
		{ "spared", "it is for a user who has no last address" },
	};
	const char *word = status_text(one, "why_not");

	for (unsigned i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (strcmp(reasons[i].word, word) == 0) {
			(void)fputs(reasons[i].text, stdout);
			print_text(one, "network");
			return;
		}
	print_escaped(stdout, word);
}

static void print_told(const json_t *one)
{
	if (status_is_true(one, "told")) {
		(void)fputs("told", stdout);
		return;
	}
	(void)fputs("not told: ", stdout);
	print_why_not(one);
}

static void print_place(const json_t *one)
{
	print_text(one, json_object_get(one, "address") != NULL ? "address" : "name");
	(void)printf(" port %.0f ", status_number(one, "port"));
	print_text(one, "protocol");
}

static void print_addresses(const json_t *one)
{
	const json_t *addresses = json_object_get(one, "addresses"), *address;
	size_t i;

	json_array_foreach(addresses, i, address)
	{
		(void)fputs("    ", stdout);
		print_text(address, "address");
		(void)fputs(": ", stdout);
		print_told(address);
		(void)putchar('\n');
	}
	if (json_array_size(addresses) == 0 && *status_text(one, "reason") != '\0') {
		(void)fputs("    no address: ", stdout);
		print_text(one, "reason");
		(void)putchar('\n');
	}
}

static void print_destinations(const json_t *answer)
{
	const json_t *destinations = json_object_get(answer, "destinations"), *one;
	size_t i;

	json_array_foreach(destinations, i, one)
	{
		(void)fputs("  ", stdout);
		print_place(one);
		if (strcmp(status_text(one, "by"), "last") == 0)
			(void)fputs(", a last address", stdout);
		(void)fputs(": ", stdout);
		print_told(one);
		(void)putchar('\n');
		print_addresses(one);
	}
	if (json_array_size(destinations) == 0)
		(void)puts("  nobody is told");
	if (status_is_true(answer, "incomplete"))
		(void)puts("  The store may know of more, but does not answer");
}

static void print_logins(const json_t *answer)
{
	const json_t *logins = json_object_get(answer, "logins"), *one;
	size_t i;

	json_array_foreach(logins, i, one)
	{
		(void)fputs("Checked mail from ", stdout);
		print_text(one, "address");
		if (json_is_number(json_object_get(one, "at"))) {
			(void)fputs(" at ", stdout);
			print_time(one, "at");
		}
		(void)puts(json_is_false(json_object_get(one, "valid"))
				   ? ", which is too long ago (`last-for`)"
				   : "");
	}
}

static void print_owed(const json_t *answer)
{
	const json_t *owed = json_object_get(answer, "owed"), *one;
	size_t i;

	if (!json_is_object(owed)) {
		(void)puts("No line is owed");
		return;
	}
	(void)fputs("A line is owed since ", stdout);
	print_time(owed, "since");
	(void)fputs(", until ", stdout);
	print_time(owed, "ends");
	(void)putchar('\n');
	json_array_foreach(json_object_get(owed, "list"), i, one)
	{
		(void)fputs("  ", stdout);
		print_place(one);
		(void)printf(": failed %.0f times", status_number(one, "failures"));
		if (*status_text(one, "reason") != '\0') {
			(void)fputs(", ", stdout);
			print_text(one, "reason");
		}
		if (json_is_number(json_object_get(one, "next_ms")))
			(void)printf("; again in %.1f s", status_number(one, "next_ms") / 1000);
		(void)putchar('\n');
	}
}

int explain_user(const struct ctl *ctl, const char *name)
{
	struct relay_answer answer;
	char *question = NULL;
	int status = EX_OK;

	if (*name == '\0' || strchr(name, '\n') != NULL)
		return ctl_fail_usage(ctl, "'%s' is no user's name", name);
	if (asprintf(&question, "user %s", name) < 0)
		return ctl_fail(ctl, EX_OSERR, "%s", strerror(ENOMEM));
	answer = relay_ask(ctl->relay, question);
	free(question);
	if (answer.document == NULL)
		return ctl_fail(
			ctl, EX_UNAVAILABLE, "%s; %s", answer.wrong, relay_remedy(answer.said));
	if (*status_text(answer.document, "error") != '\0') {
		status = ctl_fail(
			ctl, EX_DATAERR, "the relay: %s", status_text(answer.document, "error"));
	} else {
		print_said(answer.document);
		print_destinations(answer.document);
		print_logins(answer.document);
		print_owed(answer.document);
	}
	json_decref(answer.document);
	return status;
}
