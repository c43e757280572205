/* SPDX-License-Identifier: ISC */
#include "logs/pattern.h"

#include "unit.h"

#define DOVECOT  "imap-login: Login: user=<%u>, method=%*, rip=%a, lip=%*"
#define DOVECOT4 "imap-login: Logged in: user=<%u>, method=%*, rip=%a, lip=%*"
#define COURIER  "LOGIN, user=%u, ip=[%a], port=[%*"
#define CYRUS    "login: %*[%a] %u %* User logged in%*"
#define UW       "Login user=%u host=%*[%a]%*"

static char kept[256]; /* the pattern's parts point into it */

static const char *parse(struct pattern *pattern, const char *text)
{
	assert_true(strlen(text) < sizeof(kept));
	(void)snprintf(kept, sizeof(kept), "%s", text);
	return pattern_parse(pattern, kept);
}

/* "USER ADDRESS", "?" if it is unclear, "" if it is nothing. */
static const char *said_of(const struct pattern *pattern, const char *line, size_t length)
{
	static char text[USER_NAME_MAX + SOURCE_TEXT_MAX + 2];
	/* Of its own size, so that a sanitizer sees a byte that is read behind it. */
	char *own = malloc(length + (length == 0));
	struct sighting sighting;
	enum meaning meaning;

	assert_non_null(own);
	memcpy(own, line, length);
	meaning = pattern_read(pattern, own, length, &sighting);
	free(own);
	if (meaning != MEANS_LOGIN)
		return meaning == MEANS_NOTHING ? "" : "?";
	(void)snprintf(text, sizeof(text), "%s %s", sighting.user, sighting.address);
	return text;
}

static const char *said(const char *form, const char *line)
{
	struct pattern pattern;

	assert_null(parse(&pattern, form));
	return said_of(&pattern, line, strlen(line));
}

/* ---- Servers ---- */

/* As they were seen in the journal; UW's as its source has it. */
static const struct {
	const char *form, *line, *said;
} lines[] = {
	{ DOVECOT,
		"imap-login: Login: user=<alice>, method=PLAIN, rip=127.0.0.5, lip=127.0.0.1, "
		"mpid=102, session=<0R8vmD1hF7R/AAAF>",
		"alice 127.0.0.5" },
	{ DOVECOT,
		"imap-login: Login: user=<alice@example.org>, method=PLAIN, rip=2001:db8::7, "
		"lip=2001:db8::1, mpid=102, TLS, session=<0R8vmD1hF7R/AAAF>",
		"alice@example.org 2001:db8::7" },
	{ "pop3-login: Login: user=<%u>, method=%*, rip=%a, lip=%*",
		"pop3-login: Login: user=<alice>, method=PLAIN, rip=127.0.0.5, lip=127.0.0.1, "
		"mpid=104, session=<ayRHmD1hfcx/AAAF>",
		"alice 127.0.0.5" },
	{ DOVECOT4,
		"imap-login: Logged in: user=<alice>, method=PLAIN, rip=127.0.0.5, lip=127.0.0.1, "
		"mpid=131, session=<eJMplT1hkZV/AAAF>",
		"alice 127.0.0.5" },
	{ COURIER, "LOGIN, user=alice, ip=[::ffff:127.0.0.5], port=[42107], protocol=IMAP",
		"alice 127.0.0.5" },
	{ COURIER, "LOGIN, user=alice, ip=[2001:db8::7], port=[42107]", "alice 2001:db8::7" },
	{ CYRUS, "login: [127.0.0.5] alice plaintext User logged in SESSIONID=<cyrus-1-2-1-3>",
		"alice 127.0.0.5" },
	{ CYRUS,
		"login: home.example.org [192.0.2.7] alice PLAIN+TLS User logged in "
		"SESSIONID=<cyrus-1-2-1-3>",
		"alice 192.0.2.7" },
	{ CYRUS, "login: [2001:db8::7] alice plaintext User logged in", "alice 2001:db8::7" },
	{ UW, "Login user=alice host=home.example.org [192.0.2.7]", "alice 192.0.2.7" },
	{ UW, "Login user=alice host=[192.0.2.7] nmsgs=0/0", "alice 192.0.2.7" },
};

static void pattern_reads_each_servers_line(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT(lines); i++)
		assert_string_equal(said(lines[i].form, lines[i].line), lines[i].said);
}

/* A line that was cut, at its end or at its beginning: it is the same login, or none. */
static void pattern_reads_nobody_else_in_a_part_of_a_line(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT(lines); i++) {
		size_t length = strlen(lines[i].line);
		struct pattern pattern;

		assert_null(parse(&pattern, lines[i].form));
		for (size_t end = 0; end < length; end++) {
			const char *found = said_of(&pattern, lines[i].line, end);

			if (*found != '\0')
				assert_string_equal(found, lines[i].said);
			found = said_of(&pattern, lines[i].line + end + 1, length - end - 1);
			assert_string_equal(found, "");
		}
	}
}

static void pattern_reads_no_failure(void **state)
{
	static const char *const failures[][2] = {
		{ DOVECOT, "imap-login: Disconnected: Aborted login by logging out (auth failed, 1 "
			   "attempts in 2 secs): user=<alice>, method=PLAIN, rip=192.0.2.7, "
			   "lip=192.0.2.1, session=<x>" },
		{ DOVECOT4,
			"imap-login: Login aborted: Logged out (auth failed, 1 attempts in 2 secs) "
			"(auth_failed): user=<alice>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1" },
		{ COURIER, "LOGIN FAILED, user=alice, ip=[192.0.2.7], port=[42107]" },
		{ COURIER, "LOGOUT, user=alice, ip=[192.0.2.7], port=[42107], headers=0" },
		{ CYRUS,
			"badlogin: [192.0.2.7] plaintext alice SASL(-13): authentication failure" },
		{ UW, "Login failure user=alice host=home.example.org [192.0.2.7]" },
		{ UW, "Login failed user=alice auth=alice host=[192.0.2.7]" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(failures); i++)
		assert_string_equal(said(failures[i][0], failures[i][1]), "");
}

/* ---- Hostile names ---- */

/* The places of a server's line, as it writes them: printf(3) with the name. */
static const struct {
	const char *form, *line;
} servers[] = {
	{ DOVECOT, "imap-login: Login: user=<%s>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, "
		   "mpid=1, session=<x>" },
	{ COURIER, "LOGIN, user=%s, ip=[192.0.2.7], port=[42107], protocol=IMAP" },
	{ CYRUS, "login: home.example.org [192.0.2.7] %s plaintext User logged in SESSIONID=<x>" },
	{ UW, "Login user=%s host=home.example.org [192.0.2.7]" },
};

/* Whatever the name is, either it is that name and the true address, or it is nothing. */
static void assert_true_or_nothing(unsigned server, const char *name)
{
	char line[LOG_LINE_MAX], expected[USER_NAME_MAX + 32];
	const char *found;
	struct pattern pattern;
	int length;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	length = snprintf(line, sizeof(line), servers[server].line, name);
#pragma GCC diagnostic pop
	assert_true(length > 0 && (size_t)length < sizeof(line));
	assert_null(parse(&pattern, servers[server].form));
	found = said_of(&pattern, line, (size_t)length);
	(void)snprintf(expected, sizeof(expected), "%s 192.0.2.7", name);
	if (*found != '\0' && *found != '?')
		assert_string_equal(found, expected);
}

static void pattern_is_not_fooled_by_names(void **state)
{
	static const char *const names[] = {
		"bob>, method=PLAIN, rip=192.0.2.66, lip=192.0.2.1",
		"bob>, method=PLAIN, rip=192.0.2.66, lip=",
		", rip=192.0.2.66, ",
		"x>, method=, rip=192.0.2.66, lip=1, user=<bob",
		"user=<bob>",
		"bob, ip=[192.0.2.66], port=[1",
		"bob, ip=[192.0.2.66], port=[",
		"bob, ip=[192.0.2.66",
		"[192.0.2.66] bob plaintext User logged in",
		"bob plaintext User logged in",
		"x [192.0.2.66] bob",
		"] bob",
		"bob host=evil.example [192.0.2.66]",
		"bob host=[192.0.2.66",
		"bob host=",
		"a b",
		" ",
		"  bob",
		"\"bob\"",
		"'bob'",
		"%u",
		"%a %u %*",
		"...",
		"bob...",
		">",
		"<<>>",
		"[]",
		"bob, ",
	};

	(void)state;
	for (unsigned server = 0; server < COUNT(servers); server++)
		for (unsigned i = 0; i < COUNT(names); i++)
			assert_true_or_nothing(server, names[i]);
	/* Those that have a line of their own in them are nobody's. */
	assert_string_equal(
		said(DOVECOT, "imap-login: Login: user=<x>, method=PLAIN, rip=192.0.2.66, "
			      "lip=1>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1"),
		"?");
	assert_string_equal(
		said(COURIER, "LOGIN, user=x, ip=[192.0.2.66], port=[1, ip=[192.0.2.7], port=[1]"),
		"?");
	assert_string_equal(said(CYRUS, "login: x [192.0.2.66] y [192.0.2.7] alice plaintext User "
					"logged in"),
		"?");
	assert_string_equal(said(UW, "Login user=x host=[192.0.2.66] host=y [192.0.2.7]"), "?");
	/* The true address is none, and a false one stands in the name. */
	assert_string_equal(
		said(DOVECOT, "imap-login: Login: user=<x>, method=PLAIN, rip=192.0.2.66, "
			      "lip=1>, method=PLAIN, rip=, lip="),
		"?");
}

/* Names put together of what lines are made of. */
static void pattern_is_not_fooled_by_random_names(void **state)
{
	static const char *const pieces[] = { "bob", ">, method=", "PLAIN", ", rip=", "192.0.2.66",
		", lip=", "user=<", ", ip=[", "], port=[", "[", "] ", " ", " User logged in",
		" host=", "]", "x", ".", ",", "login: ", "%" };
	uint64_t seed = 4146;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		char name[USER_NAME_MAX + 1] = "";
		size_t length = 0;

		for (unsigned count = 1 + (unsigned)(random_next(&seed) % 9); count > 0; count--) {
			const char *piece = pieces[random_next(&seed) % COUNT(pieces)];

			if (length + strlen(piece) < sizeof(name))
				length += (size_t)snprintf(
					name + length, sizeof(name) - length, "%s", piece);
		}
		assert_true_or_nothing(i % COUNT(servers), name);
	}
}

/* ---- Against a slower reader ---- */

/* All ways to read a line, one after the other, as the grammar has it; they add up in `found`. */
struct search {
	const struct pattern *pattern;
	const char *line;
	size_t length;
	char first[512];
	bool is_found, differs;
	unsigned steps;
};

static void search_on(struct search *search, unsigned i, size_t at, char *user, char *address)
{
	const struct part *part = &search->pattern->part[i];
	char both[512];

	if (++search->steps > 200000)
		return;
	if (i == search->pattern->parts) {
		if (at != search->length)
			return;
		(void)snprintf(both, sizeof(both), "%s\n%s", user, address);
		search->differs |= search->is_found && strcmp(search->first, both) != 0;
		if (!search->is_found)
			memcpy(search->first, both, sizeof(both));
		search->is_found = true;
		return;
	}
	if (part->kind == PART_TEXT) {
		if (part->length <= search->length - at &&
			memcmp(search->line + at, part->text, part->length) == 0)
			search_on(search, i + 1, at + part->length, user, address);
		return;
	}
	for (size_t end = at; end <= search->length; end++) {
		char *to = part->kind == PART_USER ? user : address;

		if (part->kind != PART_ANY)
			(void)snprintf(to, 128, "%.*s", (int)(end - at), search->line + at);
		search_on(search, i + 1, end, user, address);
	}
}

static void pattern_reads_as_a_search_does(void **state)
{
	static const char *const forms[] = { "a%u,%a;", "a%u,%*;%a,", "a%*,%u;%a,", "a%a;%*a%u,%*",
		"a%u%%%a,", "ab%u,%*,%a,%*" };
	static const char *const pieces[] = { "a", "b", ",", ",", ";", "::1", "::1", "::2", "%" };
	uint64_t seed = 79;
	unsigned logins = 0, unclear = 0;

	(void)state;
	for (unsigned i = 0; i < 60000; i++) {
		struct pattern pattern;
		char line[40] = "a", user[128] = "", address[128] = "";
		struct search search = { .pattern = &pattern, .line = line };
		const char *found;

		search.length = 1;
		for (unsigned k = (unsigned)(random_next(&seed) % 11); k > 0; k--)
			search.length +=
				(size_t)snprintf(line + search.length, sizeof(line) - search.length,
					"%s", pieces[random_next(&seed) % COUNT(pieces)]);
		assert_null(parse(&pattern, forms[i % COUNT(forms)]));
		search_on(&search, 0, 0, user, address);
		assert_true(search.steps <= 200000);
		found = said_of(&pattern, line, search.length);
		assert_int_equal(*found != '\0', search.is_found);
		if (search.differs)
			assert_string_equal(found, "?");
		if (*found != '\0' && *found != '?') {
			size_t length = strcspn(search.first, "\n");

			assert_memory_equal(found, search.first, length);
			assert_int_equal(found[length], ' ');
			logins++;
		}
		unclear += *found == '?';
	}
	assert_true(logins > 100 && unclear > 100);
}

/* ---- Anything ---- */

static void pattern_takes_any_bytes(void **state)
{
	uint64_t seed = 512;
	char line[LOG_LINE_MAX + 1];

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		size_t length = (size_t)(random_next(&seed) % 300);
		struct pattern pattern;

		assert_null(parse(&pattern, lines[i % COUNT(lines)].form));
		for (size_t k = 0; k < length; k++)
			line[k] = (char)random_next(&seed);
		assert_string_equal(said_of(&pattern, line, length), "");
		/* One byte of a line that is good. */
		length = strlen(lines[i % COUNT(lines)].line);
		memcpy(line, lines[i % COUNT(lines)].line, length);
		line[random_next(&seed) % length] = (char)random_next(&seed);
		(void)said_of(&pattern, line, length);
	}
}

static void pattern_takes_no_control_characters(void **state)
{
	static const char controls[] = { '\n', '\r', '\0', '\t', '\x1b', '\x7f' };

	(void)state;
	for (unsigned i = 0; i < COUNT(controls); i++) {
		char line[] = "LOGIN, user=ali?e, ip=[192.0.2.7], port=[1]";
		struct pattern pattern;

		*strchr(line, '?') = controls[i];
		assert_null(parse(&pattern, COURIER));
		assert_string_equal(said_of(&pattern, line, sizeof(line) - 1), "");
	}
}

/* A name and a line as long as they may be, and longer. */
static void pattern_takes_lengths(void **state)
{
	static char line[LOG_LINE_MAX + 2];
	struct pattern pattern;

	(void)state;
	for (unsigned length = USER_NAME_MAX - 1; length <= USER_NAME_MAX + 1; length++) {
		char name[USER_NAME_MAX + 2], expected[USER_NAME_MAX + 16];

		memset(name, 'x', length);
		name[length] = '\0';
		(void)snprintf(
			line, sizeof(line), "LOGIN, user=%s, ip=[192.0.2.7], port=[1]", name);
		(void)snprintf(expected, sizeof(expected), "%s 192.0.2.7", name);
		assert_string_equal(said(COURIER, line), length <= USER_NAME_MAX ? expected : "?");
	}
	(void)snprintf(line, sizeof(line), "LOGIN, user=alice, ip=[192.0.2.7], port=[1]");
	memset(line + strlen(line), 'x', sizeof(line) - strlen(line));
	assert_null(parse(&pattern, COURIER));
	assert_string_equal(said_of(&pattern, line, LOG_LINE_MAX), "alice 192.0.2.7");
	assert_string_equal(said_of(&pattern, line, LOG_LINE_MAX + 1), "");
	/* What takes longest. */
	memset(line, ',', sizeof(line));
	assert_null(parse(&pattern, ",%*,%u,%*,%a,%*,%*,"));
}

static void pattern_takes_addresses(void **state)
{
	static const char *const addresses[][2] = {
		{ "192.0.2.7", "alice 192.0.2.7" },
		{ "::ffff:192.0.2.7", "alice 192.0.2.7" },
		{ "2001:DB8::7", "alice 2001:db8::7" },
		{ "fe80::7", "alice fe80::7" },
		{ "", "?" },
		{ "192.0.2", "?" },
		{ "192.0.2.256", "?" },
		{ "192.0.2.7 ", "?" },
		{ "home.example.org", "?" },
		{ "fe80::7%lo", "?" },
		{ "UNKNOWN", "?" },
		{ "::ffff:192.0.2.7::ffff:192.0.2.7::ffff:192.0.2.7::ffff:192.0.2.7", "?" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(addresses); i++) {
		char line[256];

		(void)snprintf(line, sizeof(line), "LOGIN, user=alice, ip=[%s], port=[1]",
			addresses[i][0]);
		assert_string_equal(said(COURIER, line), addresses[i][1]);
	}
}

/* What Dovecot has cut is not the user. */
static void pattern_takes_no_name_that_was_cut(void **state)
{
	(void)state;
	assert_string_equal(said(COURIER, "LOGIN, user=alic..., ip=[192.0.2.7], port=[1]"), "?");
	assert_string_equal(said(COURIER, "LOGIN, user=..., ip=[192.0.2.7], port=[1]"), "?");
	assert_string_equal(said(COURIER, "LOGIN, user=al...ice, ip=[192.0.2.7], port=[1]"),
		"al...ice 192.0.2.7");
	assert_string_equal(
		said(COURIER, "LOGIN, user=.., ip=[192.0.2.7], port=[1]"), ".. 192.0.2.7");
}

/* ---- Patterns ---- */

static void pattern_parse_refuses(void **state)
{
	static const char *const forms[][2] = {
		{ "", "is empty" },
		{ "x", "has to have one %u" },
		{ "x%u,", "has to have one %a" },
		{ "x%a,", "has to have one %u" },
		{ "x%u,%a,%u,", "has to have one %u" },
		{ "x%u,%a,%a,", "has to have one %a" },
		{ "%u,%a,", "has to begin with text" },
		{ "%*x%u,%a,", "has to begin with text" },
		{ "x%u%a,", "has to have text between" },
		{ "x%u%*,%a,", "has to have text between" },
		{ "x%*%u,%a,", "has to have text between" },
		{ "x%u,%a,%*%*", "has to have text between" },
		{ "x%u,%a", "has to have text behind" },
		{ "x%a,%u", "has to have text behind" },
		{ "x%u,%a,%", "has a %" },
		{ "x%u,%a,%x", "has a %" },
		{ "x%u,%a,%U", "has a %" },
		{ "a%u,%a,%*,%*,%*,%*,%*,%*,%*", "has too many" },
	};
	struct pattern pattern;

	(void)state;
	for (unsigned i = 0; i < COUNT(forms); i++) {
		const char *wrong = parse(&pattern, forms[i][0]);

		assert_non_null(wrong);
		if (strncmp(wrong, forms[i][1], strlen(forms[i][1])) != 0)
			fail_msg("%s: %s", forms[i][0], wrong);
	}
	assert_null(parse(&pattern, "a%u,%a,%*,%*,%*,%*,%*,%*"));
	assert_int_equal(pattern.parts, PATTERN_PARTS_MAX);
}

static void pattern_takes_percents(void **state)
{
	(void)state;
	assert_string_equal(
		said("100%%%% of %u at %a%%", "100%% of bob at 192.0.2.7%"), "bob 192.0.2.7");
	assert_string_equal(said("%%%u at %a%%%*", "%bob at 192.0.2.7%"), "bob 192.0.2.7");
}

static void meanings_are_joined(void **state)
{
	const struct sighting alice = { "alice", "192.0.2.7" }, bob = { "bob", "192.0.2.7" };
	const struct sighting away = { "alice", "192.0.2.8" };
	struct sighting both = { .user = "" };

	(void)state;
	assert_int_equal(meaning_join(&both, MEANS_NOTHING, &bob, MEANS_NOTHING), MEANS_NOTHING);
	assert_int_equal(meaning_join(&both, MEANS_NOTHING, &alice, MEANS_LOGIN), MEANS_LOGIN);
	assert_string_equal(both.user, "alice");
	assert_int_equal(meaning_join(&both, MEANS_LOGIN, &bob, MEANS_NOTHING), MEANS_LOGIN);
	assert_int_equal(meaning_join(&both, MEANS_LOGIN, &alice, MEANS_LOGIN), MEANS_LOGIN);
	assert_string_equal(both.address, "192.0.2.7");
	assert_int_equal(meaning_join(&both, MEANS_LOGIN, &bob, MEANS_LOGIN), MEANS_UNCLEAR);
	assert_int_equal(meaning_join(&both, MEANS_LOGIN, &away, MEANS_LOGIN), MEANS_UNCLEAR);
	assert_int_equal(meaning_join(&both, MEANS_LOGIN, &alice, MEANS_UNCLEAR), MEANS_UNCLEAR);
	assert_int_equal(meaning_join(&both, MEANS_UNCLEAR, &alice, MEANS_LOGIN), MEANS_UNCLEAR);
	assert_int_equal(meaning_join(&both, MEANS_UNCLEAR, &bob, MEANS_NOTHING), MEANS_UNCLEAR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pattern_reads_each_servers_line),
		cmocka_unit_test(pattern_reads_nobody_else_in_a_part_of_a_line),
		cmocka_unit_test(pattern_reads_no_failure),
		cmocka_unit_test(pattern_is_not_fooled_by_names),
		cmocka_unit_test(pattern_is_not_fooled_by_random_names),
		cmocka_unit_test(pattern_reads_as_a_search_does),
		cmocka_unit_test(pattern_takes_any_bytes),
		cmocka_unit_test(pattern_takes_no_control_characters),
		cmocka_unit_test(pattern_takes_lengths),
		cmocka_unit_test(pattern_takes_addresses),
		cmocka_unit_test(pattern_takes_no_name_that_was_cut),
		cmocka_unit_test(pattern_parse_refuses),
		cmocka_unit_test(pattern_takes_percents),
		cmocka_unit_test(meanings_are_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
