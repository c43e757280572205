/* SPDX-License-Identifier: ISC */
#include "relay/event.h"

#include "unit.h"

/* Bytes with a length, since some have a NUL among them. */
#define BYTES(text) text, sizeof(text) - 1

struct row {
	const char *bytes;
	size_t length;
	enum event_kind kind;
	const char *user, *address; /* of what is right */
	const char *wrong;
};

typedef const char *parser(struct event *event, const char *bytes, size_t length);

/* A copy of its own size, so that a sanitizer sees a byte that is read behind it. */
static const char *parse(parser *parse_it, struct event *event, const char *bytes, size_t length)
{
	char *copy = malloc(length + (length == 0));
	const char *wrong;

	assert_non_null(copy);
	memcpy(copy, bytes, length);
	memset(event, 0x55, sizeof(*event));
	wrong = parse_it(event, copy, length);
	free(copy);
	return wrong;
}

static void check_row(parser *parse_it, const struct row *row)
{
	struct event event;
	const char *wrong = parse(parse_it, &event, row->bytes, row->length);
	char text[SOURCE_TEXT_MAX];

	if (row->wrong != NULL) {
		if (wrong == NULL)
			fail_msg("'%s' is taken, wanted: %s", row->bytes, row->wrong);
		assert_string_equal(wrong, row->wrong);
		return;
	}
	if (wrong != NULL)
		fail_msg("'%s': %s", row->bytes, wrong);
	assert_int_equal(event.kind, row->kind);
	assert_string_equal(event.user, row->user);
	if (row->address == NULL)
		assert_int_equal(event.address.kind, SOURCE_UNKNOWN);
	else
		assert_string_equal(source_text(&event.address, text), row->address);
}

#define NO_NAME    "the user has no name"
#define CONTROL    "the user's name has control characters"
#define LONG       "the user's name is longer than 254 bytes"
#define NO_NOTICE  "it is no notice"
#define NO_ADDRESS "the address is none"

/* ---- Notices ---- */

static void event_notices_are_as_the_protocol_says(void **state)
{
	static const struct row table[] = {
		{ BYTES("mail alice"), EVENT_MAIL, "alice", NULL, NULL },
		{ BYTES("early alice"), EVENT_EARLY, "alice", NULL, NULL },
		{ BYTES("login alice 192.0.2.7"), EVENT_LOGIN, "alice", "192.0.2.7", NULL },
		{ BYTES("login alice 2001:db8::7"), EVENT_LOGIN, "alice", "2001:db8::7", NULL },
		/* IPv4-mapped is IPv4; also a form that RFC 5952 would not write is an address. */
		{ BYTES("login a ::ffff:192.0.2.1"), EVENT_LOGIN, "a", "192.0.2.1", NULL },
		{ BYTES("login a 2001:DB8:0::7"), EVENT_LOGIN, "a", "2001:db8::7", NULL },
		{ BYTES("login a ::"), EVENT_LOGIN, "a", "::", NULL },
		{ BYTES("login a b c 192.0.2.7"), EVENT_LOGIN, "a b c", "192.0.2.7", NULL },
		{ BYTES("login a  192.0.2.7"), EVENT_LOGIN, "a ", "192.0.2.7", NULL },
		{ BYTES("mail a b"), EVENT_MAIL, "a b", NULL, NULL },
		{ BYTES("mail alice@mx.test"), EVENT_MAIL, "alice@mx.test", NULL, NULL },
		{ BYTES("mail  "), EVENT_MAIL, " ", NULL, NULL },
		{ BYTES("mail mail x"), EVENT_MAIL, "mail x", NULL, NULL },
		{ BYTES("mail \xc3\xa9lise"), EVENT_MAIL, "\xc3\xa9lise", NULL, NULL },
		{ BYTES("mail \xe9\xff"), EVENT_MAIL, "\xe9\xff", NULL, NULL },
		{ BYTES(""), 0, NULL, NULL, NO_NOTICE },
		{ BYTES("mail"), 0, NULL, NULL, NO_NOTICE },
		{ BYTES("mail\talice"), 0, NULL, NULL, NO_NOTICE },
		{ BYTES("MAIL alice"), 0, NULL, NULL, NO_NOTICE },
		{ BYTES(" mail alice"), 0, NULL, NULL, NO_NOTICE },
		{ BYTES("mails alice"), 0, NULL, NULL, NO_NOTICE },
		{ BYTES("logout alice 192.0.2.7"), 0, NULL, NULL, NO_NOTICE },
		{ BYTES("mail "), 0, NULL, NULL, NO_NAME },
		{ BYTES("early "), 0, NULL, NULL, NO_NAME },
		{ BYTES("mail alice\n"), 0, NULL, NULL, CONTROL },
		{ BYTES("mail alice\0"), 0, NULL, NULL, CONTROL },
		{ BYTES("mail al\0ice"), 0, NULL, NULL, CONTROL },
		{ BYTES("mail al\x7fice"), 0, NULL, NULL, CONTROL },
		{ BYTES("mail al\x1bice"), 0, NULL, NULL, CONTROL },
		{ BYTES("login "), 0, NULL, NULL, "the login has no address" },
		{ BYTES("login alice"), 0, NULL, NULL, "the login has no address" },
		{ BYTES("login alice "), 0, NULL, NULL, NO_ADDRESS },
		{ BYTES("login alice 192.0.2"), 0, NULL, NULL, NO_ADDRESS },
		{ BYTES("login alice 192.0.2.7\n"), 0, NULL, NULL, NO_ADDRESS },
		{ BYTES("login alice 192.0.2.7\0"), 0, NULL, NULL, NO_ADDRESS },
		{ BYTES("login alice 192.0.2.7\0x"), 0, NULL, NULL, NO_ADDRESS },
		{ BYTES("login alice 192.0.2.7:79"), 0, NULL, NULL, NO_ADDRESS },
		{ BYTES("login alice [2001:db8::7]"), 0, NULL, NULL, NO_ADDRESS },
		{ BYTES("login alice home.example.org"), 0, NULL, NULL, NO_ADDRESS },
		{ BYTES("login alice 0000000000000000000000000000000000000000000000000000000000000"
			"00000000000001"),
			0, NULL, NULL, NO_ADDRESS },
		{ BYTES("login  192.0.2.7"), 0, NULL, NULL, NO_NAME },
		{ BYTES("login a\tb 192.0.2.7"), 0, NULL, NULL, CONTROL },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		check_row(event_of_notice, &table[i]);
}

/* ---- comsat ---- */

static void event_biff_is_as_mail_systems_send_it(void **state)
{
	static const struct row table[] = {
		/* Postfix; procmail, and into a Maildir; Exim, and into a Maildir; mail.local;
		 * OpenSMTPD. */
		{ BYTES("alice@0\0"), EVENT_MAIL, "alice", NULL, NULL },
		{ BYTES("alice@367\0"), EVENT_MAIL, "alice", NULL, NULL },
		{ BYTES("alice@1110:/var/mail/alice"), EVENT_MAIL, "alice", NULL, NULL },
		{ BYTES("alice@0:/home/alice/Maildir/new/1795.1_0.mx@x"), EVENT_MAIL, "alice", NULL,
			NULL },
		{ BYTES("alice@418\n\0"), EVENT_MAIL, "alice", NULL, NULL },
		{ BYTES("alice@-1\n\0"), EVENT_MAIL, "alice", NULL, NULL },
		{ BYTES("alice@0\n\0"), EVENT_MAIL, "alice", NULL, NULL },
		{ BYTES("alice@1472\n\0"), EVENT_MAIL, "alice", NULL, NULL },
		/* What the form permits, too. */
		{ BYTES("alice@mx.test@12"), EVENT_MAIL, "alice@mx.test", NULL, NULL },
		{ BYTES("alice@0"), EVENT_MAIL, "alice", NULL, NULL },
		{ BYTES("alice@0:"), EVENT_MAIL, "alice", NULL, NULL },
		{ BYTES("alice@0:a@1"), EVENT_MAIL, "alice", NULL, NULL },
		{ BYTES("alice@0:\n\0\xff"), EVENT_MAIL, "alice", NULL, NULL },
		{ BYTES("alice@0\nx"), EVENT_MAIL, "alice", NULL, NULL },
		{ BYTES("alice@0\0x"), EVENT_MAIL, "alice", NULL, NULL },
		{ BYTES("a b@99999999999999999999999999"), EVENT_MAIL, "a b", NULL, NULL },
		{ BYTES("@@1"), EVENT_MAIL, "@", NULL, NULL },
		{ BYTES(""), 0, NULL, NULL, "it has no '@'" },
		{ BYTES("alice"), 0, NULL, NULL, "it has no '@'" },
		{ BYTES("alice\0@1"), 0, NULL, NULL, "it has no '@'" },
		{ BYTES("alice\n@1"), 0, NULL, NULL, "it has no '@'" },
		{ BYTES("alice:@1"), 0, NULL, NULL, "it has no '@'" },
		{ BYTES("alice@"), 0, NULL, NULL, "behind the '@' is no number" },
		{ BYTES("alice@-"), 0, NULL, NULL, "behind the '@' is no number" },
		{ BYTES("alice@--1"), 0, NULL, NULL, "behind the '@' is no number" },
		{ BYTES("alice@+1"), 0, NULL, NULL, "behind the '@' is no number" },
		{ BYTES("alice@1x"), 0, NULL, NULL, "behind the '@' is no number" },
		{ BYTES("alice@1 "), 0, NULL, NULL, "behind the '@' is no number" },
		{ BYTES("alice@1\r\n"), 0, NULL, NULL, "behind the '@' is no number" },
		{ BYTES("alice@:1"), 0, NULL, NULL, "behind the '@' is no number" },
		{ BYTES("@1"), 0, NULL, NULL, NO_NAME },
		{ BYTES("al\tice@1"), 0, NULL, NULL, CONTROL },
		{ BYTES("al\x7fice@1"), 0, NULL, NULL, CONTROL },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		check_row(event_of_biff, &table[i]);
}

/* ---- Bounds ---- */

/* `before`, a name of so many bytes, `behind`. */
static const char *with_name(
	parser *parse_it, struct event *event, const char *before, size_t count, const char *behind)
{
	char bytes[1024];
	size_t length = strlen(before);

	memcpy(bytes, before, length);
	memset(bytes + length, 'x', count);
	memcpy(bytes + length + count, behind, strlen(behind));
	return parse(parse_it, event, bytes, length + count + strlen(behind));
}

static void event_names_have_254_bytes_at_most(void **state)
{
	static const struct {
		parser *parse_it;
		const char *before, *behind;
	} table[] = { { event_of_notice, "mail ", "" }, { event_of_notice, "early ", "" },
		{ event_of_notice, "login ", " 192.0.2.7" }, { event_of_biff, "", "@0" } };
	struct event event;

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++) {
		assert_null(with_name(table[i].parse_it, &event, table[i].before, USER_NAME_MAX,
			table[i].behind));
		assert_int_equal(strlen(event.user), USER_NAME_MAX);
		assert_string_equal(with_name(table[i].parse_it, &event, table[i].before,
					    USER_NAME_MAX + 1, table[i].behind),
			LONG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(event_notices_are_as_the_protocol_says),
		cmocka_unit_test(event_biff_is_as_mail_systems_send_it),
		cmocka_unit_test(event_names_have_254_bytes_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
