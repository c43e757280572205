/* SPDX-License-Identifier: ISC */
#include "relay/route.h"

#include "unit.h"

static struct relay_conf conf;
static char said[1024];

static void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	(void)context;
	(void)severity;
	(void)snprintf(said, sizeof(said), "%s:%u: %s", file, line, message);
}

/* Lines, as a command line has them. */
static void read_lines(const char *const *lines)
{
	relay_conf_free(&conf);
	memset(&conf, 0, sizeof(conf));
	said[0] = '\0';
	relay_conf_begin(&conf, report, NULL);
	for (unsigned i = 0; lines[i] != NULL; i++)
		relay_conf_option(&conf, lines[i], i + 1);
	if (!relay_conf_end(&conf))
		fail_msg("%s", said);
}

#define READ(...) read_lines((const char *const[]){ __VA_ARGS__, NULL })

/* A route as text: targets, and a '|' before those of the fallback. */
static const char *text_of(const struct route *route)
{
	static char bytes[4096];
	struct text text = TEXT_IN(bytes);
	char address[SOURCE_TEXT_MAX];

	bytes[0] = '\0';
	if (route->wrong != NULL)
		text_add(&text, "wrong: %s", route->wrong);
	else if (!route->is_said)
		text_add(&text, "nobody's");
	else if (route->count == 0)
		text_add(&text, "none");
	for (unsigned i = 0; i < route->count; i++) {
		const struct route_target *target = &route->target[i];

		text_add(&text, "%s", i == 0 ? "" : i == route->fallback ? " | " : " ");
		switch (target->kind) {
		case ROUTE_ADDRESS:
			text_add(&text, "%s", source_text(&target->address, address));
			break;
		case ROUTE_NAME: text_add(&text, "%s", target->name); break;
		case ROUTE_LAST: text_add(&text, "last%u", target->last); break;
		default: fail();
		}
		text_add(&text, " %u", target->port);
	}
	assert_true(route->fallback <= route->count);
	return bytes;
}

static const char *route_of(const char *user)
{
	static struct route route;

	memset(&route, 0x55, sizeof(route));
	route_find(&conf, NULL, user, &route);
	return text_of(&route);
}

static const char *value_of(const char *value, size_t length)
{
	static struct route route;
	char *copy = malloc(length + (length == 0));

	assert_non_null(copy);
	memcpy(copy, value, length);
	memset(&route, 0x55, sizeof(route));
	route.wrong = route_parse(&route, copy, length, 79);
	free(copy);
	return text_of(&route);
}

/* ---- The contract's and the page's examples ---- */

static void route_is_as_the_examples_say(void **state)
{
	static const struct {
		const char *targets, *route;
	} table[] = {
		{ "192.0.2.7 [2001:db8::7]:7979", "192.0.2.7 79 2001:db8::7 7979" },
		{ "last", "last1 79" },
		{ "last 3", "last3 79" },
		{ "none", "none" },
		{ "last 192.0.2.9", "last1 79 | 192.0.2.9 79" },
		{ "home.dora.example.org", "home.dora.example.org 79" },
		/* What else may stand there. */
		{ "192.0.2.7:7979", "192.0.2.7 7979" },
		{ "2001:db8::7", "2001:db8::7 79" },
		{ "[2001:db8::7]", "2001:db8::7 79" },
		{ "::ffff:192.0.2.7", "192.0.2.7 79" },
		{ "[::ffff:192.0.2.7]:80", "192.0.2.7 80" },
		{ "2001:db8::", "2001:db8:: 79" },
		{ "fe80::7%lo", "fe80::7%lo 79" },
		{ "[fe80::7%1]:7979", "fe80::7%lo 7979" },
		{ "127.0.0.1", "127.0.0.1 79" }, /* taken at its word */
		{ "home.example.org:7979", "home.example.org 7979" },
		{ "home.example.org.", "home.example.org 79" },
		{ "home.example.org.:80", "home.example.org 80" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example 79" },
		{ "my_pc", "my_pc 79" },
		{ "7up.example", "7up.example 79" },
		{ "1.2.3.4.example", "1.2.3.4.example 79" },
		{ "last:7979", "last1 7979" },
		{ "last:7979 8", "last8 7979" },
		{ "last 1", "last1 79" },
		{ "last.example.org", "last.example.org 79" },
		{ "192.0.2.7 last", "192.0.2.7 79 last1 79" },
		{ "192.0.2.7 last 2 192.0.2.9:80 home.example.org",
			"192.0.2.7 79 last2 79 | 192.0.2.9 80 home.example.org 79" },
	};
	char line[256];

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++) {
		(void)snprintf(line, sizeof(line), "user alice %s", table[i].targets);
		READ(line);
		assert_string_equal(route_of("alice"), table[i].route);
		assert_string_equal(route_of("bob"), "nobody's");
		/* A value of a table is the same. */
		assert_string_equal(
			value_of(table[i].targets, strlen(table[i].targets)), table[i].route);
	}
}

/* ---- Which line ---- */

static void route_first_match_wins(void **state)
{
	(void)state;
	READ("user alice last 1", "user *@lists.example.org none", "user x@lists.example.org last 2",
		"user a*e last 3", "user alice last 4", "user bob last 5", "user * last 6",
		"user carol last 7");
	assert_string_equal(route_of("alice"), "last1 79");
	assert_string_equal(route_of("x@lists.example.org"), "none");
	assert_string_equal(route_of("@lists.example.org"), "none");
	assert_string_equal(route_of("alicee"), "last3 79");
	assert_string_equal(route_of("ae"), "last3 79");
	assert_string_equal(route_of("bob"), "last5 79");
	assert_string_equal(route_of("Bob"), "last6 79"); /* as given */
	assert_string_equal(route_of("bob "), "last6 79");
	assert_string_equal(route_of("carol"), "last6 79");
	assert_string_equal(route_of(""), "last6 79");
	assert_string_equal(route_of("*"), "last6 79");
}

static void route_patterns_are_runs(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool matches;
	} table[] = { { "*", "", true }, { "*", "abc", true }, { "**", "", true },
		{ "a*", "a", true }, { "a*", "ba", false }, { "*a", "a", true },
		{ "*a", "ab", false }, { "*a", "aba", true }, { "a*b*c", "abc", true },
		{ "a*b*c", "aXbXbXc", true }, { "a*b*c", "acb", false }, { "*ab", "aab", true },
		{ "*aab", "aaab", true }, { "*a*a*", "a", false }, { "*a*a*", "aa", true },
		{ "?", "a", false }, { "[a]", "a", false }, { "a", "a", true }, { "", "", true },
		{ "", "a", false }, { "a", "", false }, { "*@x", "a@b@x", true },
		{ "*@x", "a@x.", false },
		/* Patterns as texts: which has all that the other one has. */
		{ "*", "*", true }, { "a*", "*", false }, { "*a*", "*a", true },
		{ "a*", "ab*", true }, { "ab*", "a*", false } };

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		if (route_matches(table[i].pattern, table[i].text) != table[i].matches)
			fail_msg("'%s' '%s'", table[i].pattern, table[i].text);
}

/* By the definition: text and pattern, from the front. */
static bool matches_slowly(const char *pattern, const char *text)
{
	if (*pattern == '\0')
		return *text == '\0';
	if (*pattern == '*')
		return matches_slowly(pattern + 1, text) ||
		       (*text != '\0' && matches_slowly(pattern, text + 1));
	return *text == *pattern && matches_slowly(pattern + 1, text + 1);
}

/* The `number`th word of up to `most` letters out of `letters`. */
static void word_of(char *word, unsigned number, const char *letters, unsigned most)
{
	unsigned base = (unsigned)strlen(letters) + 1, at = 0;

	for (unsigned i = 0; i < most; i++, number /= base)
		if (number % base != 0)
			word[at++] = letters[number % base - 1];
	word[at] = '\0';
}

static void route_patterns_match_by_their_definition(void **state)
{
	char pattern[8], text[8];

	(void)state;
	for (unsigned i = 0; i < 1024; i++)
		for (unsigned k = 0; k < 729; k++) {
			word_of(pattern, i, "ab*", 5);
			word_of(text, k, "ab", 6);
			if (route_matches(pattern, text) != matches_slowly(pattern, text))
				fail_msg("'%s' '%s'", pattern, text);
		}
}

/* The first of many lines, found by hash, is the one that a search from the front finds. */
static void route_hash_keeps_the_order(void **state)
{
	static char line[400][32];
	static const char *lines[COUNT(line) + 1];
	char user[8];

	(void)state;
	for (unsigned i = 0; i < COUNT(line); i++) {
		char name[8];

		word_of(name, i * 7919 % 1024, i % 10 == 9 ? "ab*" : "abc", 5);
		(void)snprintf(line[i], sizeof(line[i]), "user x%s 10.0.%u.%u", name, i / 200,
			i % 200 + 1);
		lines[i] = line[i];
	}
	read_lines(lines);
	for (unsigned k = 0; k < 1024; k++) {
		unsigned first = 0;

		user[0] = 'x';
		word_of(user + 1, k, "abc", 5);
		while (first < conf.lines.count &&
			!matches_slowly(conf.lines.line[first].pattern, user))
			first++;
		assert_int_equal(route_line(&conf, user), first);
	}
}

/* ---- Values of a table ---- */

static void route_value_that_is_none_has_a_reason(void **state)
{
	static const struct {
		const char *value, *route;
	} table[] = {
		{ "", "wrong: a target is missing" },
		{ " ", "wrong: a target is missing" },
		{ "# nothing", "wrong: a target is missing" },
		{ "192.0.2.7\n", "wrong: it has control characters" },
		{ "192.0.2.7 'x", "wrong: a quote is not closed, or there are too many words" },
		{ "192.0.2.7 none", "wrong: 'none' stands alone" },
		{ "192.0.2.7 192.0.2", "wrong: an IPv4 address has four numbers from 0 to 255" },
		{ "192.0.2.7:0", "wrong: the port is not a number from 1 to 65535" },
		{ "LAST", "LAST 79" }, /* only the configuration knows what is hardly meant */
		{ "  last\t2  ", "last2 79" },
		{ "\"last\" '192.0.2.9'", "last1 79 | 192.0.2.9 79" },
	};
	static char longest[ROUTE_VALUE_MAX + 2];

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		assert_string_equal(
			value_of(table[i].value, strlen(table[i].value)), table[i].route);
	assert_string_equal(value_of("last\0", 5), "last1 79");
	assert_string_equal(value_of("last\0\0", 6), "wrong: it has control characters");
	memset(longest, ' ', sizeof(longest));
	memcpy(longest, "last", 4);
	assert_string_equal(value_of(longest, ROUTE_VALUE_MAX), "last1 79");
	assert_string_equal(value_of(longest, ROUTE_VALUE_MAX + 1), "wrong: it is too long");
}

/* Names as long as they may be, and longer. */
static void route_names_have_253_bytes_at_most(void **state)
{
	char name[300], line[320];

	(void)state;
	memset(name, 'x', sizeof(name));
	for (unsigned i = 63; i < sizeof(name); i += 64)
		name[i] = '.';
	(void)snprintf(line, sizeof(line), "%.253s 79", name);
	assert_string_equal(value_of(name, 253), line);
	assert_string_equal(value_of(name, 254), "wrong: the name is too long");
}

/* ---- The table among the lines ---- */

/* In the place of table_lmdb.c: users that begin with 't', the value behind a colon. */
struct table {
	unsigned asked;
};

static const char *find_in(struct table *table, const char *user, size_t *length)
{
	const char *value = strchr(user, ':');

	table->asked++;
	if (*user != 't' || value == NULL)
		return NULL;
	*length = strlen(value + 1);
	return value + 1;
}

const char *table_find(struct table *table, const char *user, size_t *length)
{
	return find_in(table, user, length);
}

const char *table_check(const char *text)
{
	(void)text;
	return NULL;
}

static void route_table_stands_where_its_line_stands(void **state)
{
	static struct route route;
	struct table table = { .asked = 0 };
	static const struct {
		const char *user, *route;
		unsigned asked;
	} rows[] = { { "t:last 2", "last2 7979", 1 }, { "t:none", "none", 1 },
		{ "t1:last 2", "last3 7979", 0 }, { "alice", "192.0.2.7 7979", 0 },
		{ "bob", "last4 7979", 1 }, { "t:192.0.2", "wrong: an IPv4 address has four numbers from 0 to 255", 1 },
		{ "carol", "last5 7979", 1 }, { "t", "last5 7979", 1 } };

	(void)state;
	READ("port 7979", "user alice 192.0.2.7", "user t1* last 3", "table lmdb:/users",
		"user bob last 4", "user * last 5");
	for (unsigned i = 0; i < COUNT(rows); i++) {
		table.asked = 0;
		route_find(&conf, &table, rows[i].user, &route);
		assert_string_equal(text_of(&route), rows[i].route);
		assert_int_equal(table.asked, rows[i].asked);
	}
	READ("table lmdb:/users");
	route_find(&conf, &table, "t:last", &route);
	assert_string_equal(text_of(&route), "last1 79");
	route_find(&conf, &table, "x", &route);
	assert_string_equal(text_of(&route), "nobody's");
}

/* ---- Walking ---- */

/* What becomes of each target: + it is told, n never, b beyond, s spared. */
static void show(void *context, const struct route_choice *choice)
{
	char address[SOURCE_TEXT_MAX];

	text_add(context, "%c%s ", "+nbs"[choice->fate],
		choice->target->kind == ROUTE_NAME ? choice->target->name
						   : source_text(&choice->address, address));
}

static void walk(const char *user, const char *logins, bool is_remembered, const char *wanted,
	bool wanted_more)
{
	struct last_addresses last = { .is_remembered = is_remembered };
	char bytes[512] = "", copy[256];
	struct text text = TEXT_IN(bytes);
	static struct route route;

	(void)snprintf(copy, sizeof(copy), "%s", logins);
	for (char *rest = copy, *word; (word = strsep(&rest, " ")) != NULL && *word != '\0';)
		assert_true(source_parse(word, &last.address[last.count++]));
	last.address[last.count] = (struct source){ .kind = SOURCE_IPV4, .address = { 9, 9, 9, 9 } };
	last.old = 1;
	route_find(&conf, NULL, user, &route);
	assert_int_equal(route_walk(&conf, &route, &last, show, &text), wanted_more);
	assert_string_equal(bytes, wanted);
}

static void S6_route_shows_what_becomes_of_each_target(void **state)
{
	(void)state;
	READ("never 198.51.100.0/24", "user a 198.51.100.1 last 2 home.test 192.0.2.9", "user b none",
		"user c home.test", "user d last");
	walk("a", "", false, "+198.51.100.1 +home.test +192.0.2.9 ", false);
	walk("a", "", true, "+198.51.100.1 +home.test +192.0.2.9 ", true);
	walk("a", "192.0.2.1", true, "+198.51.100.1 +192.0.2.1 shome.test s192.0.2.9 ", false);
	walk("a", "198.51.100.2 192.0.2.1 192.0.2.2 192.0.2.3 198.51.100.3", false,
		"+198.51.100.1 n198.51.100.2 +192.0.2.1 +192.0.2.2 b192.0.2.3 b198.51.100.3 shome.test "
		"s192.0.2.9 ",
		false);
	walk("a", "198.51.100.2", true,
		"+198.51.100.1 n198.51.100.2 +home.test +192.0.2.9 ", true);
	walk("b", "192.0.2.1", true, "", false);
	walk("c", "192.0.2.1", true, "+home.test ", false);
	walk("d", "", true, "", true);
	walk("d", "192.0.2.1 192.0.2.2", false, "+192.0.2.1 b192.0.2.2 ", false);
	walk("e", "192.0.2.1", true, "", false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(route_is_as_the_examples_say),
		cmocka_unit_test(route_first_match_wins),
		cmocka_unit_test(route_patterns_are_runs),
		cmocka_unit_test(route_patterns_match_by_their_definition),
		cmocka_unit_test(route_hash_keeps_the_order),
		cmocka_unit_test(route_value_that_is_none_has_a_reason),
		cmocka_unit_test(route_names_have_253_bytes_at_most),
		cmocka_unit_test(route_table_stands_where_its_line_stands),
		cmocka_unit_test(S6_route_shows_what_becomes_of_each_target),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	relay_conf_free(&conf);
	return failed;
}
