/* SPDX-License-Identifier: ISC */
#include "relay/event.h"

#include "unit.h"

#define BYTES(text) text, sizeof(text) - 1

/* What Cyrus 3.6.1 sent, shortened where there are dots. */
#define EVENT(json) "external\0EVENT\0\0\0\00" "0\0" json "\0"

struct row {
	const char *bytes;
	size_t length;
	bool is_news;
	enum event_kind kind;
	const char *user, *address, *wrong;
};

#define NEWS(user) true, EVENT_MAIL, user, NULL, NULL
#define LOGIN(user, address) true, EVENT_LOGIN, user, address, NULL
#define NO_NEWS false, 0, NULL, NULL, NULL
#define WRONG(why) false, 0, NULL, NULL, why

static void check_row(const struct row *row, const char *bytes)
{
	struct event event;
	bool is_news = !row->is_news;
	const char *wrong = event_of_cyrus(&event, &is_news, bytes, row->length);
	char text[SOURCE_TEXT_MAX];

	if (row->wrong != NULL)
		assert_non_null(wrong);
	if (wrong != NULL) {
		assert_string_equal(wrong, row->wrong == NULL ? "" : row->wrong);
		assert_false(is_news);
		return;
	}
	assert_int_equal(is_news, row->is_news);
	if (!is_news)
		return;
	assert_int_equal(event.kind, row->kind);
	assert_string_equal(event.user, row->user);
	if (row->address != NULL)
		assert_string_equal(source_text(&event.address, text), row->address);
}

static void check(const struct row *table, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		/* Of its own size, so that a sanitizer sees a byte that is read behind it. */
		char *copy = malloc(table[i].length + 1);

		assert_non_null(copy);
		memcpy(copy, table[i].bytes, table[i].length);
		check_row(&table[i], copy);
		free(copy);
	}
}

static void cyrus_class_mail_is_a_delivery(void **state)
{
	static const struct row table[] = {
		{ BYTES("external\0MAIL\0\0alice\0INBOX\00" "0\0From: bob@mx.test\nSubject: x\n\n\0"),
			NEWS("alice") },
		{ BYTES("log\0MAIL\0\0alice@mx.test\0user.alice.sub\00" "0\0\0"),
			NEWS("alice@mx.test") },
		{ BYTES("external\0MAIL\0\0alice\0INBOX\00" "2\0a\0b\0text\0"), NEWS("alice") },
		{ BYTES("external\0SIEVE\0\0alice\0INBOX\00" "0\0new mail\0"), NO_NEWS },
		{ BYTES("external\0MAIL\0\0\0INBOX\00" "0\0x\0"), WRONG("the user has no name") },
		{ BYTES("external\0MAIL\0\0a\nb\0INBOX\00" "0\0x\0"),
			WRONG("the user's name has control characters") },
	};

	(void)state;
	check(table, COUNT(table));
}

static void cyrus_class_event_is_new_mail_or_a_login(void **state)
{
	static const struct row table[] = {
		{ BYTES(EVENT("{\"event\":\"MessageNew\",\"timestamp\":\"2026-11-26T10:00:00.000Z\","
			      "\"service\":\"lmtpunix\",\"uri\":\"imap://alice@mx.test/INBOX\","
			      "\"user\":\"alice\"}")),
			NEWS("alice") },
		{ BYTES(EVENT("{\"event\":\"Login\",\"service\":\"imap\",\"clientIP\":\"127.0.0.5\","
			      "\"user\":\"alice\"}")),
			LOGIN("alice", "127.0.0.5") },
		{ BYTES(EVENT("{\"event\":\"Login\",\"service\":\"pop3s\",\"clientIP\":\"::ffff:192.0.2.7\","
			      "\"user\":\"alice\"}")),
			LOGIN("alice", "192.0.2.7") },
		{ BYTES(EVENT("{\"event\":\"Login\",\"clientIP\":\"2001:db8::7\",\"user\":\"a b\"}")),
			LOGIN("a b", "2001:db8::7") },
		{ BYTES(EVENT("{\"user\":\"\\u00e9lise\",\"event\":\"MessageNew\"}")),
			NEWS("\xc3\xa9lise") },
		/* What users' own programs do, and all else. */
		{ BYTES(EVENT("{\"event\":\"Login\",\"service\":\"sieve\",\"clientIP\":\"127.0.0.5\","
			      "\"user\":\"alice\"}")),
			NO_NEWS },
		{ BYTES(EVENT("{\"event\":\"MessageAppend\",\"user\":\"alice\"}")), NO_NEWS },
		{ BYTES(EVENT("{\"event\":\"MessageRead\",\"user\":\"alice\"}")), NO_NEWS },
		{ BYTES(EVENT("{\"event\":\"FlagsSet\",\"user\":\"alice\"}")), NO_NEWS },
		{ BYTES(EVENT("{\"event\":\"Logout\",\"user\":\"alice\"}")), NO_NEWS },
		{ BYTES(EVENT("{\"event\":\"messagenew\",\"user\":\"alice\"}")), NO_NEWS },
		{ BYTES(EVENT("{\"event\":\"\"}")), NO_NEWS },
	};

	(void)state;
	check(table, COUNT(table));
}

static void cyrus_events_that_are_wrong_are_refused(void **state)
{
	static const struct row table[] = {
		{ BYTES(EVENT("")), WRONG("the event is not JSON") },
		{ BYTES(EVENT("{\"event\":\"MessageNew\"")), WRONG("the event is not JSON") },
		{ BYTES(EVENT("{\"event\":\"MessageNew\",\"user\":\"a\"}x")),
			WRONG("the event is not JSON") },
		{ BYTES(EVENT("{\"event\":\"MessageNew\",\"user\":\"a\",\"user\":\"b\"}")),
			WRONG("the event is not JSON") },
		{ BYTES(EVENT("{\"event\":\"MessageNew\",\"user\":\"\xff\"}")),
			WRONG("the event is not JSON") },
		{ BYTES(EVENT("{\"event\":\"MessageNew\",\"user\":\"a\\u0000b\"}")),
			WRONG("the event is not JSON") },
		{ BYTES(EVENT("[\"event\"]")), WRONG("the event has no name") },
		{ BYTES(EVENT("{}")), WRONG("the event has no name") },
		{ BYTES(EVENT("{\"event\":1,\"user\":\"alice\"}")), WRONG("the event has no name") },
		{ BYTES(EVENT("{\"event\":\"MessageNew\"}")), WRONG("the event has no user") },
		{ BYTES(EVENT("{\"event\":\"MessageNew\",\"user\":[\"a\"]}")),
			WRONG("the event has no user") },
		{ BYTES(EVENT("{\"event\":\"MessageNew\",\"user\":\"\"}")),
			WRONG("the user has no name") },
		{ BYTES(EVENT("{\"event\":\"MessageNew\",\"user\":\"a\\nb\"}")),
			WRONG("the user's name has control characters") },
		{ BYTES(EVENT("{\"event\":\"Login\",\"user\":\"alice\"}")),
			WRONG("the login has no clientIP: event_extra_params lacks clientAddress") },
		{ BYTES(EVENT("{\"event\":\"Login\",\"clientIP\":\"mx\",\"user\":\"alice\"}")),
			WRONG("the address is none") },
		{ BYTES(EVENT("{\"event\":\"Login\",\"clientIP\":\"192.0.2.7\"}")),
			WRONG("the event has no user") },
	};

	(void)state;
	check(table, COUNT(table));
}

static void cyrus_fields_are_all_there(void **state)
{
	static const char whole[] = "external\0MAIL\0\0alice\0INBOX\00" "1\0option\0text";
	static const struct row table[] = {
		{ BYTES("external\0MAIL\0\0alice\0INBOX\0x\0\0"),
			WRONG("the number of options is none") },
		{ BYTES("external\0MAIL\0\0alice\0INBOX\0\0\0"),
			WRONG("the number of options is none") },
		{ BYTES("external\0MAIL\0\0alice\0INBOX\0-1\0\0"),
			WRONG("the number of options is none") },
		{ BYTES("external\0MAIL\0\0alice\0INBOX\0" "65\0\0"),
			WRONG("the number of options is none") },
		{ BYTES("external\0MAIL\0\0alice\0INBOX\0" "18446744073709551617\0\0"),
			WRONG("the number of options is none") },
	};
	struct event event;
	bool is_news;

	(void)state;
	/* Cut anywhere, the last NUL too, it has too few. */
	for (size_t length = 0; length < sizeof(whole); length++) {
		assert_string_equal(event_of_cyrus(&event, &is_news, whole, length),
			"it has too few fields");
		assert_false(is_news);
	}
	assert_null(event_of_cyrus(&event, &is_news, whole, sizeof(whole)));
	assert_true(is_news);
	check(table, COUNT(table));
}

/* Deeper than its parser goes: no stack is used up. */
static void S4_cyrus_depth_of_an_event_is_bounded(void **state)
{
	static char bytes[8192] = EVENT("");
	size_t head = sizeof(EVENT("")) - 2;
	struct event event;
	bool is_news;

	(void)state;
	memset(bytes + head, '[', sizeof(bytes) - head - 1);
	bytes[sizeof(bytes) - 1] = '\0';
	assert_string_equal(event_of_cyrus(&event, &is_news, bytes, sizeof(bytes)),
		"the event is not JSON");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cyrus_class_mail_is_a_delivery),
		cmocka_unit_test(cyrus_class_event_is_new_mail_or_a_login),
		cmocka_unit_test(cyrus_events_that_are_wrong_are_refused),
		cmocka_unit_test(cyrus_fields_are_all_there),
		cmocka_unit_test(S4_cyrus_depth_of_an_event_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
