/* SPDX-License-Identifier: ISC */
/* For what other programs take, and editors make of a word: what is said, word for word. */
#include "unit.h"

#include "lib/advice.h"
#include "conf/conf.h"

#define FORGED "because an answer of the name service could change or be forged"
#define NAMES  "names are not looked up: "
#define FOUR   "an IPv4 address has four numbers"
#define OCTAL  "a leading zero, which means octal to some: write "
#define BITS   "the address has bits beyond its prefix length: write "
#define RANGE  "a range is not understood: write"
#define GROUPS "an IPv6 address has eight groups, or '::' for zeros: write "
#define MASK   "a network mask is written as the number of its bits: write "
#define ALL    "write 'any' for every source, or 0.0.0.0/0 for all of IPv4"
#define BEGIN  " for all that begin so"

static const char *advice_of(const char *word, bool is_to)
{
	static char bytes[1024];
	struct text text = TEXT_IN(bytes);
	struct prefix prefix;

	if (prefix_parse(word, &prefix) && (!is_to || prefix.kind == PREFIX_ADDRESS))
		fail_msg("'%s' is a network", word);
	advice_prefix(&text, word, is_to);
	assert_false(text.cut);
	return bytes;
}

/* ---- Networks ---- */

static void advice_on_a_word_of_from(void **state)
{
	static const char no_address[] =
		"not an address, network, 'any' or 'local', such as 192.0.2.25";
	static const char no_ipv6[] = "not an IPv6 address, such as 2001:db8::25";
	static const char length4[] = "the prefix length is not a number from 0 to 32";
	static const char length6[] = "the prefix length is not a number from 0 to 128";
	static const char *const table[][2] = {
		/* nothing that could be meant */
		{ "", no_address },
		{ "/24", no_address },
		{ "~", no_address },
		{ "a b", no_address },
		/* all, and who is here */
		{ "Any", ALL },
		{ "ALL", ALL },
		{ "*", ALL },
		{ "everyone", ALL },
		{ "world", ALL },
		{ "*.*.*.*", ALL },
		{ "0/0", ALL },
		{ "any4", ALL },
		{ "Local", "write 'local' for Unix sockets, pipes and terminals" },
		{ "unix", "write 'local' for Unix sockets, pipes and terminals" },
		{ "localhost", NAMES "write 127.0.0.1 and ::1" },
		{ "ip6-localhost", NAMES "write 127.0.0.1 and ::1" },
		/* forms */
		{ "!192.0.2.1", "nothing can be excluded: write what is permitted, the rest is denied" },
		{ "192.0.2.1,192.0.2.2", "networks stand apart by spaces alone: write them so" },
		{ "192.0.2.1;", "networks stand apart by spaces alone: write them so" },
		{ "https://192.0.2.1/", "write the address alone, not a URL" },
		{ "alice@example.org", "the line has no sender: write the address of the mail server" },
		{ "[2001:db8::1]", "an address has no brackets and no port here: write 2001:db8::1" },
		{ "[192.0.2.1]:79", "an address has no brackets and no port here: write 192.0.2.1" },
		{ "[x]", "an address has no brackets here, as in 2001:db8::25" },
		{ "[2001:db8::1", "an address has no brackets and no port here: write 2001:db8::1" },
		/* IPv4 */
		{ "192.0.2", FOUR ": write 192.0.2.0/24" BEGIN },
		{ "192.0.2.", FOUR ": write 192.0.2.0/24" BEGIN },
		{ "192.0.2.*", FOUR ": write 192.0.2.0/24" BEGIN },
		{ "192.0.x.X", FOUR ": write 192.0.0.0/16" BEGIN },
		{ "10", FOUR ": write 10.0.0.0/8" BEGIN },
		{ "10/8", FOUR ": write 10.0.0.0/8" },
		{ "172.16/12", FOUR ": write 172.16.0.0/12" },
		{ "256.1.1.1", FOUR " from 0 to 255" },
		{ "1.2.3.256", FOUR " from 0 to 255" },
		{ "1.2.3.99999999999999999999", FOUR " from 0 to 255" },
		{ "1.2.3.4.5", FOUR " from 0 to 255" },
		{ "010.2.3.4", OCTAL "10.2.3.4" },
		{ "192.0.2.010/32", OCTAL "192.0.2.10/32" },
		{ "192.0.2.0/33", length4 },
		{ "192.0.2.0/", length4 },
		{ "192.0.2.0/x", length4 },
		{ "192.0.2.0/-1", length4 },
		{ "192.0.2.0/24x", length4 },
		{ "192.0.2.0/24/24", length4 },
		{ "192.0.2.0/ 24", length4 },
		{ "192.0.2.0/99999999999999999999", length4 },
		{ "192.0.2.0/255.0.255.0", length4 },
		{ "192.0.2.0/255.255.255", length4 },
		{ "192.0.2.0/255.255.255.0", MASK "192.0.2.0/24" },
		{ "192.0.2.77/255.255.255.240", MASK "192.0.2.64/28" },
		{ "192.0.2.0/0.0.0.255", MASK "192.0.2.0/24" },
		{ "192.0.2.1/255.255.255.255", MASK "192.0.2.1/32" }, /* not 0.0.0.0/0 */
		{ "192.0.2.1/0.0.0.0", length4 }, /* ... nor here: to some it is one address */
		{ "0.0.0.0/0.0.0.0", MASK "0.0.0.0/0" },
		{ "128.0.0.0/128.0.0.0", MASK "128.0.0.0/1" },
		{ "192.0.2.1/31", BITS "192.0.2.0/31 for the network, or 192.0.2.1 for the one address" },
		{ "192.0.2.1/0", BITS "0.0.0.0/0 for the network, or 192.0.2.1 for the one address" },
		{ "192.0.2.1-192.0.2.9", RANGE " 192.0.2.1 192.0.2.2/31 192.0.2.4/30 192.0.2.8/31" },
		{ "192.0.2.0-255", RANGE " 192.0.2.0/24" },
		{ "0.0.0.0-255.255.255.255", RANGE " 0.0.0.0/0" },
		{ "192.0.2.5-5", RANGE " 192.0.2.5" },
		{ "192.0.2.9-192.0.2.1", RANGE " networks, such as 192.0.2.0/24" },
		{ "192.0.2.1-x", RANGE " networks, such as 192.0.2.0/24" },
		{ "192.0.2.1-256", RANGE " networks, such as 192.0.2.0/24" },
		{ "0.0.0.1-255.255.255.254", RANGE " networks, such as 0.0.0.0/24" },
		{ "192.0.2.1:79", "a sender's port says nothing: write 192.0.2.1" },
		{ "192.0.2.1%eth0", "an IPv4 address has no interface behind it: write 192.0.2.1" },
		/* IPv6 */
		{ "2001:db8", GROUPS "2001:db8::/32" },
		{ "2001:db8:", GROUPS "2001:db8::/32" },
		{ "2001:db8:*", GROUPS "2001:db8::/32" },
		{ "1:2:3:4:5:6:7", GROUPS "1:2:3:4:5:6:7::/112" },
		{ "2001:db8:::1", no_ipv6 },
		{ "1:2:3:4:5:6:7:8:9", no_ipv6 },
		{ "2001:db8::/129", length6 },
		{ "2001:db8::/x", length6 },
		{ "::ffff:192.0.2.0/129", length6 },
		{ "2001:db8::1/127", BITS "2001:db8::/127 for the network, or 2001:db8::1 for the one address" },
		{ "2001:db8::/28", BITS "2001:db0::/28 for the network, or 2001:db8:: for the one address" },
		{ "fe80::1%1/64", BITS "fe80::%lo/64 for the network, or fe80::1%lo for the one address" },
		{ "fe80::1%1/10", BITS "fe80::%lo/10 for the network, or fe80::1%lo for the one address" },
		{ "fe80::1%1/9", BITS "fe80::/9 for the network, or fe80::1%lo for the one address" },
		{ "::ffff:192.0.2.1/127", BITS "192.0.2.0/31 for the network, or 192.0.2.1 for the one address" },
		{ "::ffff:192.0.2.0/95", "the prefix length is less than 96, where IPv4 begins: write it as IPv4" },
		{ "::1%lo", "only a link-local address has an interface behind it: write ::1" },
		{ "::ffff:192.0.2.1%lo", "only a link-local address has an interface behind it: write 192.0.2.1" },
		{ "fe80::1%nosuchif0", "there is no interface 'nosuchif0': leave out one that comes and goes, and write fe80::1" },
		{ "fe80::1%nosuchif0/64", "there is no interface 'nosuchif0': leave out one that comes and goes, and write fe80::1" },
		/* names */
		{ "mail.example.org", NAMES "write the address that 'getent hosts mail.example.org' shows, " FORGED },
		{ "mail.example.org:79", NAMES "write the address that 'getent hosts mail.example.org' shows, " FORGED },
		{ "local/8", NAMES "write the address that 'getent hosts local' shows, " FORGED },
		{ "*.example.org", NAMES "write addresses or networks, such as 192.0.2.0/24" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		assert_string_equal(advice_of(table[i][0], false), table[i][1]);
}

static void advice_on_a_word_of_to(void **state)
{
	static const char *const table[][2] = {
		{ "any", "not an address or network: without 'to' every local address counts" },
		{ "ALL", "not an address or network: without 'to' every local address counts" },
		{ "local", "a Unix socket has no address: write those of this machine" },
		{ "localhost", NAMES "write 127.0.0.1 and ::1" },
		{ "192.0.2", FOUR ": write 192.0.2.0/24" BEGIN },
		{ "~", "not an address or network, such as 192.0.2.79" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		assert_string_equal(advice_of(table[i][0], true), table[i][1]);
}

/* The networks that stand for a range hold all of it and no more. */
static void advice_on_a_range_is_exact(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		unsigned from = random_below(&seed, 256), to = from + random_below(&seed, 256 - from);
		char word[64], advice[1024], *one;
		bool held[256] = { false };

		(void)snprintf(word, sizeof(word), "192.0.2.%u-%u", from, to);
		(void)strcpy(advice, advice_of(word, false));
		if (strstr(advice, "networks, such as") != NULL)
			continue; /* too many to read */
		assert_memory_equal(advice, RANGE " ", sizeof(RANGE));
		for (one = strtok(advice + sizeof(RANGE), " "); one != NULL; one = strtok(NULL, " ")) {
			struct prefix prefix;

			assert_true(prefix_parse(one, &prefix));
			for (unsigned i = 0; i < 256; i++) {
				const struct source source = { .kind = SOURCE_IPV4,
					.address = { 192, 0, 2, (uint8_t)i } };

				assert_false(held[i] && prefix_holds(&prefix, &source));
				held[i] = held[i] || prefix_holds(&prefix, &source);
			}
		}
		for (unsigned i = 0; i < 256; i++)
			assert_int_equal(held[i], i >= from && i <= to);
	}
}

/* ---- One address ---- */

static void advice_on_one_address_where_a_network_is_meant(void **state)
{
	static const char nobody[] = "it is one address, which nobody has: write 'any' for every "
				     "source, or ";
	static const char nothing[] = "it is one address, which no connection is to: leave out 'to' "
				      "for every local address, or ";
	static const char meant[] = "it is one address: if its network is meant, write ";
	static const struct {
		const char *word, *said, *more;
		bool is_to;
	} table[] = {
		{ "0.0.0.0", nobody, "0.0.0.0/0 for all of IPv4", false },
		{ "::ffff:0.0.0.0", nobody, "0.0.0.0/0 for all of IPv4", false },
		{ "::", nobody, "::/0 for all of IPv6", false },
		{ "0:0::0", nobody, "::/0 for all of IPv6", false },
		{ "0.0.0.0", nothing, "0.0.0.0/0 for all of IPv4", true },
		{ "::", nothing, "::/0 for all of IPv6", true },
		{ "192.0.2.0", meant, "192.0.2.0/24", false },
		{ "192.0.1.0", meant, "192.0.1.0/24", false },
		{ "172.16.0.0", meant, "172.16.0.0/16", true },
		{ "10.0.0.0", meant, "10.0.0.0/8", false },
		{ "2001:db8::", meant, "2001:db8::/64", false },
		{ "2001:db8:1:2::", meant, "2001:db8:1:2::/64", true },
		{ "2001:db8:1:1::", meant, "2001:db8:1:1::/64", true },
		/* what is meant so */
		{ "0.0.0.0/0", NULL, NULL, false },
		{ "0.0.0.0/32", NULL, NULL, false },
		{ "::/0", NULL, NULL, false },
		{ "::/128", NULL, NULL, false },
		{ "192.0.2.0/24", NULL, NULL, false },
		{ "192.0.2.0/32", NULL, NULL, false },
		{ "192.0.2.128", NULL, NULL, false },
		{ "192.0.2.25", NULL, NULL, false },
		{ "127.0.0.1", NULL, NULL, false },
		{ "::1", NULL, NULL, false },
		{ "2001:db8::8000:0:0:0", NULL, NULL, false },
		{ "any", NULL, NULL, false },
		{ "local", NULL, NULL, false },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++) {
		char bytes[256] = "", wanted[256] = "";
		struct text text = TEXT_IN(bytes);
		struct prefix prefix;

		assert_true(prefix_parse(table[i].word, &prefix));
		assert_int_equal(
			advice_one_address(&text, table[i].word, &prefix, table[i].is_to),
			table[i].said != NULL);
		if (table[i].said != NULL)
			(void)snprintf(wanted, sizeof(wanted), "%s%s", table[i].said, table[i].more);
		assert_string_equal(bytes, wanted);
	}
}

/* ---- A shell's words ---- */

static void advice_on_a_word_that_only_a_shell_understands(void **state)
{
	static const char tilde[] = "only a shell understands '~': write the absolute path";
	static const char dollar[] = "only a shell understands '$': write the value itself, or "
				     "/bin/sh -c '...', or quote it";
	static const char that[] = "only a shell understands that: write /bin/sh -c '...', or quote "
				   "it if it is meant as it is";
	static const struct {
		const char *words[16], *said;
	} table[] = {
		{ { "~", "~/x", "~alice/x", "--rc=~/x" }, tilde },
		{ { "$HOME", "$HOME/x", "a$b", "${x}", "$$", "$(x)", "/x/$y" }, dollar },
		{ { "&&", "||", "|", "|&", ";", ";;", "&", "(", ")", ">", "<", ">>/x", "2>&1", "&>x",
			  "</dev/null" },
			that },
		{ { "a;b", "a|b", "a&b", "`x`", "*", "*.c", "a?", "{a,b}", "x{1..9}", "$x|y" },
			that },
		{ { "", "a", "-q", "--x=y", "a~", "a=b~", "$", "$/x", "a$", "{}", "{a}", "a,b", "a..b",
			  "}a,b{", "[a]" },
			NULL },
		{ { "#", "!", "%s", "a@b:c,d+e", "\\", "'", "{a},", "1..2{x}", "(a)" }, NULL },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		for (const char *const *word = table[i].words; *word != NULL; word++) {
			char bytes[256] = "";
			struct text text = TEXT_IN(bytes);
			bool is_said = advice_shell(&text, *word);

			if (is_said != (table[i].said != NULL))
				fail_msg("'%s': '%s'", *word, bytes);
			assert_string_equal(bytes, is_said ? table[i].said : "");
		}
}

static void advice_knows_operators_and_interpreters(void **state)
{
	static const char *const operators[] = { "&&", "||", "|", "|&", ";", ";;", "&", "(", ")",
		"<", ">", ">>", "2>", "2>&1", "&>", ">x" };
	static const char *const none[] = { "", "a", "a&&b", "2", "a>b", "-", "2&" };
	static const char *const shells[] = { "/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/zsh",
		"/bin/busybox", "/usr/bin/python3", "/usr/bin/python3.11", "sh" };
	static const char *const others[] = { "/usr/bin/mbsync", "/bin/true", "/bin/ssh", "/sh/x",
		"/usr/bin/shfmt", "" };

	(void)state;
	for (unsigned i = 0; i < COUNT(operators); i++)
		assert_true(advice_is_operator(operators[i]));
	for (unsigned i = 0; i < COUNT(none); i++)
		assert_false(advice_is_operator(none[i]));
	for (unsigned i = 0; i < COUNT(shells); i++)
		assert_true(advice_is_interpreter(shells[i]));
	for (unsigned i = 0; i < COUNT(others); i++)
		assert_false(advice_is_interpreter(others[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(advice_on_a_word_of_from),
		cmocka_unit_test(advice_on_a_word_of_to),
		cmocka_unit_test(advice_on_a_range_is_exact),
		cmocka_unit_test(advice_on_one_address_where_a_network_is_meant),
		cmocka_unit_test(advice_on_a_word_that_only_a_shell_understands),
		cmocka_unit_test(advice_knows_operators_and_interpreters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
