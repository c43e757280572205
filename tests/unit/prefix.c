/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include "lib/prefix.h"

static struct source parse(const char *text)
{
	struct source source = { .kind = SOURCE_UNKNOWN };

	if (!source_parse(text, &source))
		fail_msg("'%s' is no address", text);
	return source;
}

static bool holds(const char *text, const char *address)
{
	struct prefix one;
	struct source source = parse(address);

	assert_true(prefix_parse(text, &one));
	return prefix_holds(&one, &source);
}

static void prefix_holds_what_its_bits_say(void **state)
{
	static const struct {
		const char *prefix, *address;
		bool holds;
	} table[] = {
		{ "192.0.2.25", "192.0.2.25", true },
		{ "192.0.2.25", "192.0.2.24", false },
		{ "192.0.2.25/32", "192.0.2.25", true },
		{ "192.0.2.24/31", "192.0.2.25", true },
		{ "192.0.2.24/31", "192.0.2.26", false },
		{ "192.0.2.0/24", "192.0.2.255", true },
		{ "192.0.2.0/24", "192.0.3.0", false },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.128/25", "192.0.2.129", true },
		{ "0.0.0.0/0", "255.255.255.255", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "::1", true },
		{ "::/0", "192.0.2.25", false }, /* ::ffff:0:0/96 is IPv4 */
		{ "::ffff:0.0.0.0/96", "192.0.2.25", true },
		{ "::ffff:192.0.2.0/120", "192.0.2.25", true },
		{ "::ffff:192.0.2.0/120", "192.0.3.25", false },
		{ "192.0.2.0/24", "::ffff:192.0.2.25", true },
		{ "2001:db8::/32", "2001:db8:ffff::1", true },
		{ "2001:db8::/32", "2001:db9::1", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "2001:db8::25", "2001:db8::25", true },
		{ "2001:db8::25", "2001:db8::24", false },
		{ "2001:db8::24/127", "2001:db8::25", true },
		{ "2001:db8::25/128", "2001:db8::25", true },
		{ "fe80::/10", "fe80::1%1", true },
		{ "fe80::1%1", "fe80::1%1", true },
		{ "fe80::1%1", "fe80::1%2", false },
		{ "fe80::%1/64", "fe80::5%1", true },
		{ "fe80::%1/64", "fe80::5%2", false },
		{ "any", "192.0.2.25", true },
		{ "any", "2001:db8::25", true },
		{ "local", "192.0.2.25", false },
		{ "local", "::1", false },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		if (holds(table[i].prefix, table[i].address) != table[i].holds)
			fail_msg("%s %s", table[i].prefix, table[i].address);
}

/* Every prefix length against every bit: a bit counts if it is within the prefix. */
static void prefix_of_every_length_ignores_the_bits_behind_it(void **state)
{
	(void)state;
	for (unsigned kind = SOURCE_IPV4; kind <= SOURCE_IPV6; kind++) {
		unsigned total = kind == SOURCE_IPV4 ? 32 : 128;

		for (unsigned bits = 0; bits <= total; bits++) {
			struct prefix one = { .kind = PREFIX_ADDRESS,
				.bits = bits,
				.base.kind = (enum source_kind)kind };

			for (unsigned bit = 0; bit < total; bit++) {
				struct source source = { .kind = (enum source_kind)kind };

				source.address[bit / 8] = (uint8_t)(0x80 >> bit % 8);
				assert_int_equal(prefix_holds(&one, &source), bit >= bits);
			}
		}
	}
}

static void prefix_any_holds_all_but_the_unknown(void **state)
{
	struct source local = { .kind = SOURCE_LOCAL }, unknown = { .kind = SOURCE_UNKNOWN };
	struct prefix one;

	(void)state;
	assert_true(prefix_parse("any", &one));
	assert_true(prefix_holds(&one, &local));
	assert_false(prefix_holds(&one, &unknown));
	assert_true(prefix_parse("local", &one));
	assert_true(prefix_holds(&one, &local));
	assert_false(prefix_holds(&one, &unknown));
	assert_true(prefix_parse("0.0.0.0/0", &one));
	assert_false(prefix_holds(&one, &local));
	assert_false(prefix_holds(&one, &unknown));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefix_holds_what_its_bits_say),
		cmocka_unit_test(prefix_of_every_length_ignores_the_bits_behind_it),
		cmocka_unit_test(prefix_any_holds_all_but_the_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
