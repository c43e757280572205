/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include "lib/text.h"
#include "sender/host.h"
#include "sender/names.h"

static struct host parse(const char *text)
{
	struct host host;
	const char *wrong = host_parse(&host, text, 79, SOURCE_UNKNOWN);

	if (wrong != NULL)
		fail_msg("'%s': %s", text, wrong);
	assert_ptr_equal(host.text, text);
	return host;
}

static void host_is_an_address_and_a_port(void **state)
{
	static const struct {
		const char *text, *address;
		unsigned port;
	} table[] = {
		{ "192.0.2.7", "192.0.2.7", 79 },
		{ "192.0.2.7:1", "192.0.2.7", 1 },
		{ "192.0.2.7:65535", "192.0.2.7", 65535 },
		{ "[192.0.2.7]:80", "192.0.2.7", 80 },
		{ "2001:db8::7", "2001:db8::7", 79 },
		{ "2001:db8::7:7979", "2001:db8::7:7979", 79 },
		{ "[2001:db8::7]", "2001:db8::7", 79 },
		{ "[2001:db8::7]:7979", "2001:db8::7", 7979 },
		{ "::", "::", 79 },
		{ "[fe80::1%1000000]:7979", "fe80::1%1000000", 7979 },
		{ "::ffff:192.0.2.7", "192.0.2.7", 79 },
		{ "[::ffff:192.0.2.7]:7979", "192.0.2.7", 7979 },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++) {
		struct host host = parse(table[i].text);
		char text[SOURCE_TEXT_MAX];

		assert_false(host.is_name);
		assert_int_equal(host.count, 1);
		assert_int_equal(host.port, table[i].port);
		assert_string_equal(source_text(&host.address[0], text), table[i].address);
	}
}

static void host_is_a_name_and_a_port(void **state)
{
	static const char *const names[] = { "localhost", "a", "a1", "1a", "home.dora.example.org",
		"xn--jrg-sna.example", "a_b", "_a", "x.", "3com.example" };

	(void)state;
	for (unsigned i = 0; i < COUNT(names); i++) {
		char text[300];
		struct host host = parse(names[i]);

		assert_true(host.is_name);
		assert_string_equal(host.name, names[i]);
		assert_int_equal(host.count, 0);
		assert_int_equal(host.port, 79);
		(void)snprintf(text, sizeof(text), "%s:7979", names[i]);
		host = parse(text);
		assert_string_equal(host.name, names[i]);
		assert_int_equal(host.port, 7979);
	}
}

static void host_that_is_neither_is_refused(void **state)
{
	static const char *const table[] = { "", ":", ":79", "[]", "[]:79", "[", "]", "[::1", "::1]",
		"[::1]79", "[::1]:", "[::1]:0", "[::1]:65536", "[::1]:x", "[::1]:1 ", "[localhost]",
		"localhost:", "localhost:0", "localhost:-1", "localhost:+1", "localhost:79:79",
		"192.0.2.7:", "192.0.2.7:99999", "192.0.2", "192.0.2.7.1", "1", "1.2", "-a", "--",
		".a", "a b", " a", "a ", "a/b", "/a", "a\n", "a%b", "a@b", "J\xf6rg", "*", "a;b", "$a",
		":::", "1::2::3", "fe80::1%", "::1%lo", "a\x1b" };
	struct host host;
	char name[SOURCE_HOST_MAX + 8];

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		if (host_parse(&host, table[i], 79, SOURCE_UNKNOWN) == NULL)
			fail_msg("'%s' is a host", table[i]);
	for (size_t length = 1; length < sizeof(name); length++) {
		memset(name, 'a', length);
		name[length] = '\0';
		assert_int_equal(host_parse(&host, name, 79, SOURCE_UNKNOWN) == NULL,
			length < SOURCE_HOST_MAX);
	}
}

static void host_of_one_kind_has_no_address_of_the_other(void **state)
{
	struct host host;

	(void)state;
	assert_null(host_parse(&host, "::1", 79, SOURCE_IPV6));
	assert_null(host_parse(&host, "192.0.2.7", 79, SOURCE_IPV4));
	assert_null(host_parse(&host, "::ffff:192.0.2.7", 79, SOURCE_IPV4));
	assert_non_null(host_parse(&host, "::1", 79, SOURCE_IPV4));
	assert_non_null(host_parse(&host, "192.0.2.7", 79, SOURCE_IPV6));
}

/* ---- What getent(1) prints ---- */

static const char *taken(const char *printed, enum source_kind only)
{
	static char all[2048];
	struct host host = { .only = only };
	struct text text = TEXT_IN(all);
	char bytes[SOURCE_TEXT_MAX];

	names_take(&host, printed, strlen(printed));
	text_add(&text, "%s", "");
	for (unsigned i = 0; i < host.count; i++)
		text_add(&text, "%s ", source_text(&host.address[i], bytes));
	return all;
}

static void names_are_what_lines_begin_with(void **state)
{
	const char *glibc = "2001:db8::7     STREAM two.example.org\n2001:db8::7     DGRAM  \n"
			    "2001:db8::7     RAW    \n192.0.2.7       STREAM \n"
			    "192.0.2.7       DGRAM  \n192.0.2.7       RAW    \n";
	const char *musl = "192.0.2.7         STREAM two.example.org\n::ffff:192.0.2.8 DGRAM x\n";

	(void)state;
	assert_string_equal(taken(glibc, SOURCE_UNKNOWN), "2001:db8::7 192.0.2.7 ");
	assert_string_equal(taken(glibc, SOURCE_IPV4), "192.0.2.7 ");
	assert_string_equal(taken(glibc, SOURCE_IPV6), "2001:db8::7 ");
	assert_string_equal(taken(musl, SOURCE_UNKNOWN), "192.0.2.7 192.0.2.8 ");
	assert_string_equal(taken("fe80::1%1000000 STREAM\n", SOURCE_UNKNOWN), "fe80::1%1000000 ");
	assert_string_equal(taken("192.0.2.7\n\n::1\n", SOURCE_UNKNOWN), "192.0.2.7 ::1 ");
}

static void names_that_are_none_are_passed_over(void **state)
{
	static const char *const table[] = { "", "\n", "192.0.2.7", "192.0.2.7 STREAM", " 192.0.2.7\n",
		"x 192.0.2.7\n", "192.0.2.7\x80\n", "192.0.2\n", "localhost\n",
		"1111111111111111111111111111111111111111111111111111111111111111111111\n" };

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		assert_string_equal(taken(table[i], SOURCE_UNKNOWN), "");
	assert_string_equal(taken("x\n192.0.2.7\n192.0.2.8", SOURCE_UNKNOWN), "192.0.2.7 ");
}

static void S4_a_name_has_so_many_addresses_at_most(void **state)
{
	char printed[4096];
	struct text text = TEXT_IN(printed);
	struct host host = { .port = 79 };

	(void)state;
	for (unsigned i = 1; i < 100; i++)
		text_add(&text, "192.0.2.%u STREAM\n192.0.2.%u DGRAM\n", i, i);
	names_take(&host, text.bytes, text.length);
	assert_int_equal(host.count, HOST_ADDRESSES_MAX);
	assert_int_equal(host.address[HOST_ADDRESSES_MAX - 1].address[3], HOST_ADDRESSES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_is_an_address_and_a_port),
		cmocka_unit_test(host_is_a_name_and_a_port),
		cmocka_unit_test(host_that_is_neither_is_refused),
		cmocka_unit_test(host_of_one_kind_has_no_address_of_the_other),
		cmocka_unit_test(names_are_what_lines_begin_with),
		cmocka_unit_test(names_that_are_none_are_passed_over),
		cmocka_unit_test(S4_a_name_has_so_many_addresses_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
