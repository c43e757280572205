/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "lib/source.h"
#include "lib/text.h"

static struct source parse(const char *text)
{
	struct source source = { .kind = SOURCE_UNKNOWN };

	if (!source_parse(text, &source))
		fail_msg("'%s' is no address", text);
	return source;
}

static void source_is_written_as_it_is_usually_written(void **state)
{
	static const char *const table[][2] = {
		{ "192.0.2.25", "192.0.2.25" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "::ffff:192.0.2.25", "192.0.2.25" }, /* mapped: RFC 4291, 2.5.5.2 */
		{ "::FFFF:c000:0219", "192.0.2.25" },
		{ "0:0:0:0:0:ffff:192.0.2.25", "192.0.2.25" },
		{ "2001:db8:0:0:0:0:0:1", "2001:db8::1" }, /* RFC 5952, 4.1 to 4.3 */
		{ "2001:0DB8::0001", "2001:db8::1" },
		{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" },
		{ "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" },
		{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
		{ "::", "::" },
		{ "::1", "::1" },
		{ "1::", "1::" },
		{ "0:1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7" },
		{ "1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0" },
		{ "1:2:3:4:5:6:0:0", "1:2:3:4:5:6::" },
		{ "0:0:3:4:5:6:7:8", "::3:4:5:6:7:8" },
		{ "a:ab:abc:abcd:1000:0100:0010:1", "a:ab:abc:abcd:1000:100:10:1" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
		{ "::fffe:192.0.2.25", "::fffe:c000:219" }, /* not mapped */
		{ "64:ff9b::192.0.2.25", "64:ff9b::c000:219" },
		{ "fe80::1%1000000", "fe80::1%1000000" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++) {
		struct source source = parse(table[i][0]);
		char text[SOURCE_TEXT_MAX];

		assert_string_equal(source_text(&source, text), table[i][1]);
		assert_ptr_equal(source_text(&source, text), text);
	}
}

/* Every address with each of its groups zero or not, in small and in large. */
static void source_written_is_read_back(void **state)
{
	uint64_t seed = 6;

	(void)state;
	for (unsigned i = 0; i < 256 * 20; i++) {
		struct source source = { .kind = SOURCE_IPV6, .address[0] = 0x20 }, back;
		char text[SOURCE_TEXT_MAX], libc[INET6_ADDRSTRLEN];

		for (unsigned group = 1; group < 8; group++) {
			unsigned value = i & 1u << group ? random_below(&seed, 65536) : 0;

			value >>= random_below(&seed, 4) * 4;
			source.address[2 * group] = (uint8_t)(value >> 8);
			source.address[2 * group + 1] = (uint8_t)value;
		}
		back = parse(source_text(&source, text));
		assert_memory_equal(&back, &source, sizeof(source));
		(void)inet_ntop(AF_INET6, source.address, libc, sizeof(libc));
		assert_string_equal(text, libc);
	}
}

static void source_text_is_refused_if_it_is_no_address(void **state)
{
	static const char *const table[] = { "", " ", "192.0.2", "192.0.2.256", "192.0.2.1.1",
		"192.0.2.1 ", " 192.0.2.1", "192.0.2.1%lo", "0x7f.1", "localhost", "local", "any",
		":", ":::", "1::2::3", "12345::", "g::", "[::1]", "::1 ", "::1/64", "fe80::1%",
		"fe80::1%nosuchinterface", "fe80::1%0", "fe80::1%-1", "fe80::1%4294967296",
		"fe80::1%1x", "::1%1", "2001:db8::1%1", "::ffff:192.0.2.1%1", "%1",
		"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111",
		"0000000000000000000000000000000000000000000000000000000000000000" };
	struct source source;

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		if (source_parse(table[i], &source))
			fail_msg("'%s' is an address", table[i]);
}

static void source_scope_is_an_interface_of_a_link_local_address(void **state)
{
	unsigned lo = if_nametoindex("lo");
	struct source source = parse("fe80::1%7");
	char text[SOURCE_TEXT_MAX];

	(void)state;
	assert_int_equal(source.scope, 7);
	assert_int_equal(parse("febf::1%7").scope, 7); /* fe80::/10 */
	assert_int_equal(parse("fe80::1%4294967295").scope, 4294967295);
	assert_int_equal(parse("fe80::1").scope, 0);
	assert_false(source_parse("fec0::1%7", &source));
	if (lo == 0)
		skip();
	source = parse("fe80::1%lo");
	assert_int_equal(source.scope, lo);
	assert_string_equal(source_text(&source, text), "fe80::1%lo");
}

static void source_without_address_is_local_or_unknown(void **state)
{
	struct source local = { .kind = SOURCE_LOCAL }, unknown = { .kind = SOURCE_UNKNOWN };
	char text[SOURCE_TEXT_MAX];

	(void)state;
	assert_string_equal(source_text(&local, text), "local");
	assert_string_equal(source_text(&unknown, text), "unknown");
}

/* ---- Socket addresses ---- */

static struct source of_ipv6(const char *text, uint32_t scope)
{
	struct sockaddr_in6 ipv6 = {
		.sin6_family = AF_INET6, .sin6_scope_id = scope, .sin6_port = 79
	};
	struct sockaddr_storage storage = { 0 };

	assert_int_equal(inet_pton(AF_INET6, text, &ipv6.sin6_addr), 1);
	memcpy(&storage, &ipv6, sizeof(ipv6));
	return source_of_sockaddr(&storage);
}

static void source_of_a_socket_is_its_peer(void **state)
{
	struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = 79 };
	struct sockaddr_storage storage = { 0 };
	struct source source;
	char text[SOURCE_TEXT_MAX];

	(void)state;
	ipv4.sin_addr.s_addr = inet_addr("192.0.2.25");
	memcpy(&storage, &ipv4, sizeof(ipv4));
	source = source_of_sockaddr(&storage);
	assert_string_equal(source_text(&source, text), "192.0.2.25");
	source = of_ipv6("::ffff:192.0.2.25", 0);
	assert_int_equal(source.kind, SOURCE_IPV4);
	assert_string_equal(source_text(&source, text), "192.0.2.25");
	source = of_ipv6("2001:db8::25", 5);
	assert_string_equal(source_text(&source, text), "2001:db8::25");
	assert_int_equal(source.scope, 0); /* of a link-local address alone */
	assert_int_equal(of_ipv6("fe80::25", 5).scope, 5);
	storage.ss_family = AF_UNIX;
	assert_int_equal(source_of_sockaddr(&storage).kind, SOURCE_LOCAL);
	storage.ss_family = AF_UNSPEC;
	assert_int_equal(source_of_sockaddr(&storage).kind, SOURCE_LOCAL);
}

/* An IPv4 source is one and the same however it comes. */
static void source_mapped_is_the_ipv4_source(void **state)
{
	struct source plain = parse("192.0.2.25"), mapped = parse("::ffff:192.0.2.25");
	struct source peer = of_ipv6("::ffff:192.0.2.25", 3);

	(void)state;
	assert_memory_equal(&plain, &mapped, sizeof(plain));
	assert_memory_equal(&plain, &peer, sizeof(plain));
}

/* ---- Identities ---- */

static bool same_identity(const char *a, const char *b)
{
	struct source one = parse(a), other = parse(b);
	uint8_t x[SOURCE_IDENTITY_MAX], y[SOURCE_IDENTITY_MAX];
	size_t length = source_identity(&one, x);

	return length == source_identity(&other, y) && memcmp(x, y, length) == 0;
}

static void G3_an_ipv4_source_is_its_whole_address(void **state)
{
	char text[SOURCE_TEXT_MAX];

	(void)state;
	assert_true(same_identity("192.0.2.25", "::ffff:192.0.2.25"));
	for (unsigned bit = 0; bit < 32; bit++) {
		struct source other = parse("192.0.2.25");

		other.address[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		assert_false(same_identity("192.0.2.25", source_text(&other, text)));
	}
}

static void G3_an_ipv6_source_is_its_64(void **state)
{
	char text[SOURCE_TEXT_MAX];

	(void)state;
	for (unsigned bit = 0; bit < 128; bit++) {
		struct source other = parse("2001:db8:0:25::25");

		other.address[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		assert_int_equal(
			same_identity("2001:db8:0:25::25", source_text(&other, text)), bit >= 64);
	}
	assert_true(same_identity("fe80::1%1", "fe80::2%1"));
	assert_false(same_identity("fe80::1%1", "fe80::1%2"));
}

/* No identity is another one's beginning, or is shared by kinds. */
static void G3_sources_of_different_kinds_are_different(void **state)
{
	static const struct source sources[] = {
		{ .kind = SOURCE_LOCAL },
		{ .kind = SOURCE_UNKNOWN },
		{ .kind = SOURCE_IPV4 },
		{ .kind = SOURCE_IPV6 },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(sources); i++) {
		for (unsigned k = 0; k < i; k++) {
			uint8_t a[SOURCE_IDENTITY_MAX], b[SOURCE_IDENTITY_MAX];
			size_t length = source_identity(&sources[i], a);

			assert_in_range(length, 1, SOURCE_IDENTITY_MAX);
			if (length == source_identity(&sources[k], b))
				assert_memory_not_equal(a, b, length);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(source_is_written_as_it_is_usually_written),
		cmocka_unit_test(source_written_is_read_back),
		cmocka_unit_test(source_text_is_refused_if_it_is_no_address),
		cmocka_unit_test(source_scope_is_an_interface_of_a_link_local_address),
		cmocka_unit_test(source_without_address_is_local_or_unknown),
		cmocka_unit_test(source_of_a_socket_is_its_peer),
		cmocka_unit_test(source_mapped_is_the_ipv4_source),
		cmocka_unit_test(G3_an_ipv4_source_is_its_whole_address),
		cmocka_unit_test(G3_an_ipv6_source_is_its_64),
		cmocka_unit_test(G3_sources_of_different_kinds_are_different),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
