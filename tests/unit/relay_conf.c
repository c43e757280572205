/* SPDX-License-Identifier: ISC */
#include "relay/relay_conf.h"

#include <grp.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pwd.h>

#include "relay/relay_keywords.h"
#include "relay/route.h"
#include "unit.h"

/* What makes a configuration whole. */
#define REST "user alice 192.0.2.7\n"

static struct relay_conf conf;

/* What was reported: "FILE:LINE: message" for each, and a newline. */
static struct {
	char text[65536];
	size_t length;
	bool advises;
} reports;

static void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	const char *name = strrchr(file, '/');
	size_t room = sizeof(reports.text) - reports.length;

	assert_ptr_equal(context, &reports);
	assert_true(severity == SEVERITY_ERROR || reports.advises);
	reports.length += (size_t)snprintf(reports.text + reports.length, room, "%s:%u: %s%s\n",
		name != NULL ? name + 1 : file, line,
		severity == SEVERITY_WARNING ? "warning: " : "", message);
	assert_true(reports.length < sizeof(reports.text));
}

static void begin(void)
{
	relay_conf_free(&conf);
	memset(&conf, 0, sizeof(conf));
	reports.length = 0;
	reports.text[0] = '\0';
	relay_conf_begin(&conf, report, &reports);
	conf.reading.report.advises = reports.advises;
}

static bool read_text(void **state, const char *option, const char *text)
{
	begin();
	if (option != NULL)
		relay_conf_option(&conf, option, 1);
	relay_conf_file(&conf, unit_file(state, text, strlen(text)), false);
	return relay_conf_end(&conf);
}

static void good(void **state, const char *text)
{
	if (!read_text(state, NULL, text))
		fail_msg("%s%s", text, reports.text);
	assert_string_equal(reports.text, "");
}

static void bad(void **state, const char *text, const char *expected)
{
	assert_false(read_text(state, NULL, text));
	assert_string_equal(reports.text, expected);
}

/* What -t says of what is right. */
static void advised(void **state, const char *text, const char *expected)
{
	reports.advises = true;
	assert_true(read_text(state, NULL, text));
	assert_string_equal(reports.text, expected);
	reports.advises = false;
	good(state, text);
}

static struct source source_of(const char *text)
{
	struct source source;

	assert_true(source_parse(text, &source));
	return source;
}

static bool is_never(const char *text)
{
	struct source source = source_of(text);

	return relay_conf_never(&conf, &source);
}

static bool is_tunnel(const char *text)
{
	struct source source = source_of(text);

	return relay_conf_tunnel(&conf, &source);
}

/* ---- Defaults and values ---- */

static void relay_conf_has_defaults(void **state)
{
	good(state, REST);
	assert_null(conf.socket.text);
	assert_int_equal(conf.biff.port, 0);
	assert_null(conf.cyrus.text);
	assert_null(conf.status.text);
	assert_null(conf.store.text);
	assert_null(conf.password_file.text);
	assert_null(conf.table.text);
	assert_null(conf.state.text);
	assert_int_equal(conf.trust.uids + conf.trust.gids, 0);
	assert_false(conf.strip_domain.any);
	assert_int_equal(conf.strip_domain.count, 0);
	assert_true(conf.never.has_default);
	assert_int_equal(conf.never.count, 0);
	assert_int_equal(conf.tunnel.count, 0);
	assert_int_equal(conf.settle.ms, 2000);
	assert_int_equal(conf.interval.ms, 5000);
	assert_int_equal(conf.timeout.ms, 10000);
	assert_int_equal(conf.keep.ms, 3600000);
	assert_int_equal(conf.last_for.s, 30 * 86400);
	assert_int_equal(conf.most, 4096);
	assert_int_equal(conf.users, 1000000);
	assert_int_equal(conf.port, 79);
	assert_int_equal(conf.protocol, RELAY_TCP);
	assert_int_equal(conf.source.ipv4.kind, SOURCE_UNKNOWN);
	assert_int_equal(conf.source.ipv6.kind, SOURCE_UNKNOWN);
	assert_int_equal(conf.log, LOG_TARGET_AUTO);
	assert_int_equal(conf.idle.ms, 60000);
}

static void relay_conf_takes_every_keyword(void **state)
{
	char text[SOURCE_TEXT_MAX];

	good(state, "socket /run/x/socket\n"
		    "biff 127.0.0.1:512\n"
		    "cyrus /run/cyrus/socket/notify\n"
		    "status /run/own/status\n"
		    "store redis+unix:/run/redis.sock\n"
		    "password-file /etc/nmnotify/password\n"
		    "table lmdb:/etc/nmnotify/users\n"
		    "user alice 192.0.2.7\n"
		    "trust 8 :12\n"
		    "strip-domain mx.test example.org\n"
		    "never default 10.0.0.0/8 192.0.2.80\n"
		    "tunnel 127.0.0.0/8 ::1\n"
		    "settle 3s\n"
		    "interval 100ms\n"
		    "timeout 4s\n"
		    "keep 7d\n"
		    "last-for 3650d\n"
		    "most 65536\n"
		    "users 7\n"
		    "port 7979\n"
		    "protocol udp\n"
		    "source 2001:db8::25 192.0.2.25\n"
		    "log stderr\n"
		    "idle 0s\n"
		    "state /var/x\n");
	assert_string_equal(conf.socket.text, "/run/x/socket");
	assert_int_equal(conf.biff.port, 512);
	assert_string_equal(source_text(&conf.biff.address, text), "127.0.0.1");
	assert_string_equal(conf.cyrus.text, "/run/cyrus/socket/notify");
	assert_string_equal(conf.status.text, "/run/own/status");
	assert_string_equal(conf.store.text, "redis+unix:/run/redis.sock");
	assert_string_equal(conf.password_file.text, "/etc/nmnotify/password");
	assert_string_equal(conf.table.text, "lmdb:/etc/nmnotify/users");
	assert_int_equal(conf.trust.uids, 1);
	assert_int_equal(conf.trust.uid[0], 8);
	assert_true(conf.trust.gids == 1 && conf.trust.gid[0] == 12);
	assert_int_equal(conf.strip_domain.count, 2);
	assert_true(conf.never.has_default);
	assert_int_equal(conf.never.count, 2);
	assert_int_equal(conf.tunnel.count, 2);
	assert_int_equal(conf.settle.ms, 3000);
	assert_int_equal(conf.interval.ms, 100);
	assert_int_equal(conf.timeout.ms, 4000);
	assert_int_equal(conf.keep.ms, 7 * 86400000);
	assert_int_equal(conf.last_for.s, 3650 * 86400);
	assert_int_equal(conf.most, 65536);
	assert_int_equal(conf.users, 7);
	assert_int_equal(conf.port, 7979);
	assert_int_equal(conf.lines.line[0].target[0].port, 7979); /* said behind it */
	assert_int_equal(conf.protocol, RELAY_UDP);
	assert_string_equal(source_text(&conf.source.ipv4, text), "192.0.2.25");
	assert_string_equal(source_text(&conf.source.ipv6, text), "2001:db8::25");
	assert_int_equal(conf.log, LOG_TARGET_STDERR);
	assert_int_equal(conf.idle.ms, 0);
	assert_string_equal(conf.state.text, "/var/x");
}

/* What is shown as an example is right. */
static void relay_conf_keyword_example_is_taken(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RELAY_KEYWORDS; i++) {
		char line[64];

		assert_string_not_equal(relay_keywords[i].example, "");
		(void)snprintf(line, sizeof(line), "%s %s", relay_keywords[i].name,
			relay_keywords[i].example);
		begin();
		relay_conf_option(&conf, line, 1);
		assert_string_equal(reports.text, "");
	}
}

static void relay_conf_keyword_values_have_their_own_place(void **state)
{
	(void)state;
	assert_true(RELAY_KEYWORDS <= KEYWORDS_MAX);
	for (unsigned i = 0; i < RELAY_KEYWORDS; i++) {
		const struct keyword *one = &relay_keywords[i];

		assert_true(one->size <= KEYWORD_SIZE_MAX && one->most >= 1 && one->global);
		for (unsigned j = 0; j < i; j++)
			assert_true(
				one->size == 0 || relay_keywords[j].size == 0 ||
				one->offset + one->size <= relay_keywords[j].offset ||
				relay_keywords[j].offset + relay_keywords[j].size <= one->offset);
	}
}

#define SPAN      " is not a time such as 500ms, 10s, 5m, 2h or 1d\n"
#define LONG_SPAN " is not a time such as 10s, 5m, 2h or 30d\n"
#define BIFF      "it is no address and port: write 127.0.0.1:512\n"
#define STORE     "it is no store: write lmdb:/DIRECTORY, redis://HOST or redis+unix:/SOCKET\n"
#define HOST                                                                                       \
	"HOST is an address or localhost; any other name would have to be looked up, and mail "    \
	"would wait for that\n"
#define ABSOLUTE "is not an absolute path: write it whole, from '/' on\n"
#define TABLE    "it is no table: write lmdb: and the file's whole path\n"

/* A store's text is said in the log, in its status and as a label of metrics. */
static void store_has_no_password_in_it_and_none_is_said(void **state)
{
	static const char *const texts[] = { "redis://user:secret@192.0.2.1",
		"redis://:secret@192.0.2.1:6379/0", "redis://secret@192.0.2.1", "redis:secret@h",
		"rediss://user:secret@192.0.2.1", "redis://192.0.2.1/0?password=secret",
		"redis+unix:/run/redis.sock?password=secret", "redis+unix:secret@/run/redis.sock",
		"redis+unix://:secret@/run/redis.sock" };

	for (unsigned i = 0; i < COUNT(texts); i++) {
		char line[128];

		(void)snprintf(line, sizeof(line), "store %s\n" REST, texts[i]);
		bad(state, line,
			"f:1: store: it takes no user, password or options: write the password to "
			"a file, and the file's path behind `password-file`\n");
		assert_null(conf.store.text);
	}
	good(state, "store redis+unix:/run/redis@1/redis.sock\n" REST);
}

static void relay_conf_values_that_are_wrong_are_told(void **state)
{
	static const char *const table[][2] = {
		{ "socket run\n", "f:1: socket: 'run' " ABSOLUTE },
		{ "socket @abstract\n", "f:1: socket: '@abstract' " ABSOLUTE },
		{ "cyrus ~/x\n", "f:1: cyrus: '~/x' is not an absolute path: nothing is expanded "
				 "here, so write it whole\n" },
		{ "socket "
		  "/3456789012345678901234567890123456789012345678901234567890123456789012345678901"
		  "2345678901234567890123456789\n",
			"f:1: socket: "
			"'/"
			"34567890123456789012345678901234567890123456789012345678901234567890123456"
			"789012345678901234567890123456789' is too long for a socket: 107 bytes is "
			"the most\n" },
		{ "biff 512\n", "f:1: biff: '512': " BIFF },
		{ "biff 127.0.0.1\n", "f:1: biff: '127.0.0.1': " BIFF },
		{ "biff localhost:512\n", "f:1: biff: 'localhost:512': " BIFF },
		{ "biff 127.0.0.1:0\n", "f:1: biff: '127.0.0.1:0': " BIFF },
		{ "biff last\n", "f:1: biff: 'last': " BIFF },
		{ "biff yes\n", "f:1: biff: 'yes': " BIFF },
		{ "biff 192.0.2.1:512\n", "f:1: biff: '192.0.2.1:512': other machines could send "
					  "to it, who say anything: write 127.0.0.1:512\n" },
		{ "biff [2001:db8::1]:512\n",
			"f:1: biff: '[2001:db8::1]:512': other machines could send to it, who say "
			"anything: write 127.0.0.1:512\n" },
		{ "store /var/lib\n", "f:1: store: '/var/lib': " STORE },
		{ "store lmdb:relative\n",
			"f:1: store: 'lmdb:relative': needs the absolute path of a "
			"directory\n" },
		{ "store redis:host\n", "f:1: store: 'redis:host': " STORE },
		{ "store redis://\n", "f:1: store: 'redis://': " HOST },
		{ "store redis:///0\n", "f:1: store: 'redis:///0': " HOST },
		{ "store redis://redis.example\n", "f:1: store: 'redis://redis.example': " HOST },
		{ "store redis://192.0.2.1:x\n",
			"f:1: store: 'redis://192.0.2.1:x': it is redis://HOST[:PORT][/DATABASE], "
			"an IPv6 address in brackets\n" },
		{ "store redis+unix:sock\n",
			"f:1: store: 'redis+unix:sock': needs the absolute path of a socket, of "
			"107 characters at most\n" },
		{ "store memory\n", "f:1: store: 'memory': " STORE },
		{ "password-file secret\n", "f:1: password-file: 'secret' " ABSOLUTE },
		{ "state var\n", "f:1: state: 'var' " ABSOLUTE },
		{ "table /etc/nmnotify/users\n", "f:1: table: '/etc/nmnotify/users': " TABLE },
		{ "table lmdb:users\n", "f:1: table: 'lmdb:users': " TABLE },
		{ "trust nobody-of-that-name\n", "f:1: trust: 'nobody-of-that-name': there is no "
						 "such user; a group is written as in :mail\n" },
		{ "trust tty\n", "f:1: trust: 'tty': there is no such user, but a group: write a "
				 "colon before it\n" },
		{ "trust :no-such-group\n",
			"f:1: trust: ':no-such-group': there is no such group\n" },
		{ "trust :\n", "f:1: trust: ':': there is no such group\n" },
		{ "trust 4294967295\n", "f:1: trust: '4294967295': there is no such user; a group "
					"is written as in :mail\n" },
		{ "strip-domain maybe\n", "f:1: strip-domain: 'maybe': it is not yes, no, or a "
					  "domain such as example.org\n" },
		{ "strip-domain ''\n", "f:1: strip-domain: '': it is not yes, no, or a domain such "
				       "as example.org\n" },
		{ "strip-domain example.org yes\n", "f:1: strip-domain: 'yes': it is not yes, no, "
						    "or a domain such as example.org\n" },
		{ "strip-domain @example.org\n",
			"f:1: strip-domain: '@example.org': write the domain alone, without what "
			"is before it and the '@'\n" },
		{ "strip-domain *.example.org\n",
			"f:1: strip-domain: '*.example.org': a domain is written whole; 'yes' "
			"alone is for all domains\n" },
		{ "never any\n", "f:1: never: 'any': then no login would count: leave out 'last' "
				 "in 'user' instead\n" },
		{ "never local\n", "f:1: never: 'local': write 'default' for this machine's own "
				   "addresses, and those that are no single machine's\n" },
		{ "tunnel any\n",
			"f:1: tunnel: 'any': write 0.0.0.0/0 and ::/0 if nothing goes anywhere "
			"else\n" },
		{ "tunnel none\n", "f:1: tunnel: 'none': leave it out if there is none\n" },
		{ "tunnel default\n",
			"f:1: tunnel: 'default': names are not looked up: write the address "
			"that 'getent hosts default' shows, because an answer of the name "
			"service could change or be forged\n" },
		{ "never none\n", "f:1: never: 'none': write a network that nobody has, such as "
				  "192.0.2.0/24\n" },
		{ "never !10.0.0.1\n", "f:1: never: '!10.0.0.1': nothing can be excluded: write "
				       "the networks that are meant\n" },
		{ "never 10.0.0.1/8\n",
			"f:1: never: '10.0.0.1/8': the address has bits beyond its prefix length: "
			"write 10.0.0.0/8 for the network, or 10.0.0.1 for the one address\n" },
		{ "never a@b\n",
			"f:1: never: 'a@b': not an address or network, such as 192.0.2.0/24\n" },
		{ "settle 2\n", "f:1: settle: '2'" SPAN },
		{ "settle 8d\n", "f:1: settle: '8d' is not between 0ms and 7d\n" },
		{ "interval 99ms\n", "f:1: interval: '99ms' is not between 100ms and 7d\n" },
		{ "interval 0s\n", "f:1: interval: '0s' is not between 100ms and 7d\n" },
		{ "timeout 0s\n", "f:1: timeout: '0s' is not between 100ms and 7d\n" },
		{ "keep forever\n", "f:1: keep: 'forever'" SPAN },
		{ "keep 8d\n", "f:1: keep: '8d' is not between 0ms and 7d\n" },
		{ "idle never\n", "f:1: idle: 'never'" SPAN },
		{ "last-for 30\n", "f:1: last-for: '30'" LONG_SPAN },
		{ "last-for 500ms\n", "f:1: last-for: '500ms'" LONG_SPAN },
		{ "last-for 99999999999d\n", "f:1: last-for: '99999999999d'" LONG_SPAN },
		{ "last-for 59s\n", "f:1: last-for: '59s' is not between 60s and 3650d\n" },
		{ "last-for 3651d\n", "f:1: last-for: '3651d' is not between 60s and 3650d\n" },
		{ "last-for 4294967295d\n",
			"f:1: last-for: '4294967295d' is not between 60s and 3650d\n" },
		{ "most 0\n", "f:1: most: '0' is not a number from 1 to 65536\n" },
		{ "most 65537\n", "f:1: most: '65537' is not a number from 1 to 65536\n" },
		{ "most many\n", "f:1: most: 'many' is not a number from 1 to 65536\n" },
		{ "users 0\n", "f:1: users: '0' is not a number from 1 to 100000000\n" },
		{ "users 1e6\n", "f:1: users: '1e6' is not a number from 1 to 100000000\n" },
		{ "port 0\n", "f:1: port: '0' is not a number from 1 to 65535\n" },
		{ "port 65536\n", "f:1: port: '65536' is not a number from 1 to 65535\n" },
		{ "port finger\n", "f:1: port: 'finger' is not a number from 1 to 65535\n" },
		{ "protocol TCP\n", "f:1: protocol: 'TCP' is not tcp or udp\n" },
		{ "source mx.example.org\n", "f:1: source: 'mx.example.org': it is no address of "
					     "this machine, such as 192.0.2.25 or 2001:db8::25\n" },
		{ "source 192.0.2.1 192.0.2.2\n", "f:1: source: '192.0.2.2': it is one too many: "
						  "one IPv4 and one IPv6 address is the most\n" },
		{ "source ::1 ::2 ::3\n",
			"f:1: source: '::3' is one word too many: nothing can be behind '::2'\n" },
		{ "log file\n", "f:1: log: 'file' is not auto, journal, syslog or stderr\n" },
		{ "interval 5s\ninterval 5s\n",
			"f:2: interval is said twice, first on line 1: leave out one of them\n" },
		{ "never default\nnever 10.0.0.0/8\n", "f:2: never is said twice, first on line 1: "
						       "write all of it on one line\n" },
		{ "account a\n", "f:1: there is no keyword 'account': nmnotify-relay.conf(5) has "
				 "them all\n" },
		{ "intervall 5s\n",
			"f:1: there is no keyword 'intervall': write 'interval' and a space\n" },
		{ "user\n",
			"f:1: user: a value is missing: write such as 'user alice 192.0.2.7'\n" },
		{ "", "f:0: there is no 'user' and no 'table', so nobody is told: write such as "
		      "'user alice 192.0.2.7'\n" },
	};

	for (unsigned i = 0; i < COUNT(table); i++)
		bad(state, table[i][0], table[i][1]);
	good(state, "table lmdb:/etc/nmnotify/users\n");
}

/* ---- Users ---- */

#define NO_IPV6 "it is no IPv6 address; with a port, write as in [2001:db8::7]:7979\n"
#define NO_HOST "it is no address and no name, such as 192.0.2.7 or home.example.org\n"
#define PORT    "the port is not a number from 1 to 65535\n"
#define FOUR    "an IPv4 address has four numbers from 0 to 255\n"

static void relay_conf_targets_that_are_wrong_are_told(void **state)
{
	static const char *const table[][2] = {
		{ "a", "'a': a target is missing behind it: write such as '192.0.2.7', 'last' or "
		       "'none'\n" },
		{ "'' last", "'': a user has a name\n" },
		{ "a 192.0.2", "'192.0.2': " FOUR },
		{ "a 192.0.2.256", "'192.0.2.256': " FOUR },
		{ "a 192.0.2.256:79", "'192.0.2.256:79': " FOUR },
		{ "a 192.0.2.7:0", "'192.0.2.7:0': " PORT },
		{ "a 192.0.2.7:65536", "'192.0.2.7:65536': " PORT },
		{ "a 192.0.2.7:", "'192.0.2.7:': " PORT },
		{ "a 192.0.2.7:finger", "'192.0.2.7:finger': " PORT },
		{ "a home.example.org:0", "'home.example.org:0': " PORT },
		{ "a last:0", "'last:0': " PORT },
		{ "a 2001:db8::7:7979x", "'2001:db8::7:7979x': " NO_IPV6 },
		{ "a 2001:db8:7", "'2001:db8:7': " NO_IPV6 },
		{ "a [2001:db8::7", "'[2001:db8::7': the bracket is not closed: write as in "
				    "[2001:db8::7]:7979\n" },
		{ "a [192.0.2.7]:79",
			"'[192.0.2.7]:79': only an IPv6 address has brackets: write it without\n" },
		{ "a [2001:db8::g]:79", "'[2001:db8::g]:79': it is no address\n" },
		{ "a [2001:db8::7]79", "'[2001:db8::7]79': " PORT },
		{ "a [2001:db8::7]:", "'[2001:db8::7]:': " PORT },
		{ "a fe80::7", "'fe80::7': a link-local address needs its interface: write it as "
			       "in fe80::7%eth0\n" },
		{ "a [fe80::7]:79", "'[fe80::7]:79': a link-local address needs its interface: "
				    "write it as in fe80::7%eth0\n" },
		{ "a 0.0.0.0", "'0.0.0.0': no machine has that address\n" },
		{ "a ::", "'::': no machine has that address\n" },
		{ "a 192.0.2.0/24", "'192.0.2.0/24': a network is no place to send to: write an "
				    "address or a name\n" },
		{ "a alice@example.org", "'alice@example.org': it is a mail address: write the "
					 "address or name of a machine\n" },
		{ "a 192.0.2.7, 192.0.2.8",
			"'192.0.2.7,': targets stand apart by spaces alone: write them so\n" },
		{ "a tcp://192.0.2.7",
			"'tcp://192.0.2.7': it is a URL: write the address or name alone\n" },
		{ "a b\xc3\xbc"
		  "cher.example",
			"'b\xc3\xbc"
			"cher.example': a name is ASCII: write it as in xn--bcher-kva.example\n" },
		{ "a -x.example.org", "'-x.example.org': " NO_HOST },
		{ "a x..example.org", "'x..example.org': " NO_HOST },
		{ "a .example.org", "'.example.org': " NO_HOST },
		{ "a .", "'.': " NO_HOST },
		{ "a *.example.org", "'*.example.org': " NO_HOST },
		{ "a ''", "'': " NO_HOST },
		{ "a 1234567890123456789012345678901234567890123456789012345678901234.org",
			"'1234567890123456789012345678901234567890123456789012345678901234.org':"
			" " NO_HOST },
		{ "a last 0", "'0': it is not a number from 1 to 8, behind 'last'\n" },
		{ "a last 9", "'9': it is not a number from 1 to 8, behind 'last'\n" },
		{ "a 3", "'3': a number stands only behind 'last'\n" },
		{ "a last 3 3", "'3': a number stands only behind 'last'\n" },
		{ "a last last",
			"'last': 'last' is there already: 'last 2' is for two addresses\n" },
		{ "a none 192.0.2.7", "'none': 'none' stands alone\n" },
		{ "a 192.0.2.7 none", "'none': 'none' stands alone\n" },
		{ "a LAST", "'LAST' is no target: write 'last'\n" },
		{ "a off", "'off' is no target: write 'none'\n" },
		{ "a 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 "
		  "192.0.2.8 "
		  "192.0.2.9 192.0.2.10 192.0.2.11 192.0.2.12 192.0.2.13 192.0.2.14 192.0.2.15 "
		  "192.0.2.16 192.0.2.17",
			"'192.0.2.17': it is one too many: 16 targets is the most\n" },
		{ "a 192.0.2.7\xc2\xa0",
			"'192.0.2.7\xc2\xa0' has a no-break space, where a space is meant\n" },
	};
	char line[1024], message[1024];

	for (unsigned i = 0; i < COUNT(table); i++) {
		(void)snprintf(line, sizeof(line), "user %s\n", table[i][0]);
		(void)snprintf(message, sizeof(message), "f:1: user: %s", table[i][1]);
		bad(state, line, message);
	}
}

static void relay_conf_users_have_254_bytes_at_most(void **state)
{
	char line[512], name[257];

	memset(name, 'x', sizeof(name));
	(void)snprintf(line, sizeof(line), "user %.*s last\n", USER_NAME_MAX, name);
	good(state, line);
	(void)snprintf(line, sizeof(line), "user %.*s last\n", USER_NAME_MAX + 1, name);
	assert_false(read_text(state, NULL, line));
	assert_non_null(strstr(reports.text, "no user's name is longer than 254 bytes"));
}

/* As many lines as there may be, of as many targets; and one more of each. */
static void S4_relay_conf_lines_and_targets_have_bounds(void **state)
{
	static char text[RELAY_BYTES_MAX + 64];
	size_t length = 0;

	for (unsigned i = 0; i < RELAY_USERS_MAX; i++)
		length += (size_t)sprintf(
			text + length, "user u%u@example.org last 3 192.0.2.%u\n", i, i % 250 + 1);
	good(state, text);
	assert_int_equal(conf.lines.count, RELAY_USERS_MAX);
	(void)sprintf(text + length, "user x none\n");
	bad(state, text,
		"f:16385: user: 'x': it is one too many: 16384 lines is the most, and 'table' is "
		"for more\n");
	length = 0;
	for (unsigned i = 0; i < RELAY_TARGETS_MAX / 16; i++)
		length += (size_t)sprintf(
			text + length, "user u%u a a a a a a a a a a a a a a a a\n", i);
	good(state, text);
	assert_int_equal(conf.lines.targets, RELAY_TARGETS_MAX);
	(void)sprintf(text + length, "user x last\n");
	bad(state, text,
		"f:4097: user: 'x': there are too many targets: 65536 in all is the most\n");
}

static void S4_relay_conf_text_has_a_bound(void **state)
{
	static char text[RELAY_BYTES_MAX + 64];

	(void)strcpy(text, REST);
	memset(text + strlen(REST), '\n', RELAY_BYTES_MAX - 1 - strlen(REST));
	good(state, text);
	text[RELAY_BYTES_MAX - 1] = '\n';
	bad(state, text, "f:0: the configuration is longer than 1048576 bytes\n");
	/* Lines are counted beyond 16 bits. */
	memset(text, '\n', 65536);
	(void)strcpy(text + 65536, "port 79\nport 79\n" REST);
	bad(state, text,
		"f:65538: port is said twice, first on line 65537: leave out one of them\n");
}

static void relay_conf_without_memory_says_so(void **state)
{
	begin();
	free(conf.reading.memory);
	conf.reading.memory = NULL;
	relay_conf_option(&conf, "port 1", 1);
	relay_conf_file(&conf, unit_file(state, REST, strlen(REST)), false);
	assert_false(relay_conf_end(&conf));
	assert_non_null(strstr(reports.text, "f:0: there is no memory to read it: "));
}

/* ---- The command line ---- */

static void relay_conf_command_line_comes_first(void **state)
{
	struct route route;

	assert_true(read_text(state, "user alice last 2", "user alice 192.0.2.7\nuser bob none\n"));
	route_find(&conf, NULL, "alice", &route);
	assert_int_equal(route.target[0].kind, ROUTE_LAST);
	assert_true(read_text(state, "interval 7s", REST "interval 9s\n"));
	assert_int_equal(conf.interval.ms, 7000);
	assert_true(read_text(state, "never 10.0.0.0/8", REST "never default\n"));
	assert_false(is_never("127.0.0.1"));
	assert_true(is_never("10.1.2.3"));
	/* The file's word is checked all the same, and changes nothing. */
	assert_true(read_text(state, "table lmdb:/a", "user x none\ntable lmdb:/b\nuser y none\n"));
	assert_string_equal(conf.table.text, "lmdb:/a");
	assert_int_equal(conf.table_at, 0);
	assert_false(read_text(state, "port 80", REST "port 0\n"));
}

/* ---- never ---- */

static void S6_relay_conf_never_is_by_default_what_is_nobody_elses(void **state)
{
	static const char *const never[] = { "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.1",
		"::ffff:127.0.0.1", "224.0.0.1", "239.255.255.250", "255.255.255.255", "::", "::1",
		"::127.0.0.1", "ff02::1", "fe80::1" };
	static const char *const fine[] = { "1.1.1.1", "128.0.0.1", "223.255.255.255", "240.0.0.1",
		"10.0.0.1", "169.254.1.1", "2001:db8::1", "fd00::1", "::1:0:0:1" };
	static const struct source local = { .kind = SOURCE_LOCAL },
				   unknown = { .kind = SOURCE_UNKNOWN };

	good(state, REST);
	for (unsigned i = 0; i < COUNT(never); i++)
		if (!is_never(never[i]))
			fail_msg("%s", never[i]);
	for (unsigned i = 0; i < COUNT(fine); i++)
		if (is_never(fine[i]))
			fail_msg("%s", fine[i]);
	assert_true(relay_conf_never(&conf, &local));
	assert_true(relay_conf_never(&conf, &unknown));
}

static void relay_conf_tunnel_is_what_was_said(void **state)
{
	good(state, REST);
	assert_false(is_tunnel("127.0.0.1") || is_tunnel("::1"));
	good(state, REST "tunnel 127.0.0.0/8 2001:db8:80::/48\n");
	assert_true(is_tunnel("127.0.0.9") && is_tunnel("2001:db8:80::1"));
	assert_false(is_tunnel("128.0.0.1") || is_tunnel("::1") || is_tunnel("192.0.2.7"));
	/* It has nothing to do with what nothing is sent to. */
	assert_true(is_never("127.0.0.9"));
	assert_false(is_never("2001:db8:80::1"));
}

static void S6_relay_conf_never_replaces_the_default(void **state)
{
	good(state, REST "never 192.0.2.80 2001:db8:80::/48\n");
	assert_true(is_never("192.0.2.80") && is_never("2001:db8:80::1"));
	assert_false(is_never("192.0.2.81") || is_never("127.0.0.1") || is_never("ff02::1"));
	good(state, REST "never 192.0.2.80 default\n");
	assert_true(is_never("192.0.2.80") && is_never("127.0.0.1") && is_never("ff02::1"));
	assert_false(is_never("192.0.2.81"));
}

/* Each address that an interface has, and each broadcast address; not their neighbours. */
static void S6_relay_conf_never_has_the_machines_own(void **state)
{
	struct ifaddrs *list;
	unsigned seen = 0;

	good(state, REST);
	assert_true(relay_conf_own_addresses(&conf));
	assert_true(relay_conf_own_addresses(&conf)); /* again, as a reload does */
	assert_int_equal(getifaddrs(&list), 0);
	for (const struct ifaddrs *one = list; one != NULL; one = one->ifa_next) {
		struct sockaddr_storage storage = { .ss_family = AF_UNSPEC };
		struct source source;

		if (one->ifa_addr == NULL || (one->ifa_addr->sa_family != AF_INET &&
						     one->ifa_addr->sa_family != AF_INET6))
			continue;
		memcpy(&storage, one->ifa_addr,
			one->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
							    : sizeof(struct sockaddr_in6));
		source = source_of_sockaddr(&storage);
		assert_true(relay_conf_never(&conf, &source));
		seen++;
	}
	freeifaddrs(list);
	assert_true(seen > 0);
	/* As if it had this one. */
	conf.own[0] = source_of("203.0.113.9");
	conf.own_count = 1;
	assert_true(is_never("203.0.113.9"));
	assert_false(is_never("203.0.113.8") || is_never("203.0.113.10"));
	conf.never.has_default = false;
	assert_false(is_never("203.0.113.9"));
}

/* ---- trust ---- */

static struct event event_of(enum event_kind kind, const char *user)
{
	struct event event = { .kind = kind };

	(void)snprintf(event.user, sizeof(event.user), "%s", user);
	return event;
}

static bool may(uid_t uid, enum event_kind kind, const char *user)
{
	struct event event = event_of(kind, user);

	return relay_conf_may_say(&conf, uid, 65500, &event);
}

static void S6_relay_conf_trusts_root_and_whom_it_names(void **state)
{
	good(state, REST "trust mail 1234 :tty :4321\n");
	assert_true(relay_conf_trusts(&conf, 0, 65500));
	assert_true(relay_conf_trusts(&conf, 8, 65500)); /* mail, in every Debian */
	assert_true(relay_conf_trusts(&conf, 1234, 65500));
	assert_true(relay_conf_trusts(&conf, 65500, 5)); /* tty */
	assert_true(relay_conf_trusts(&conf, 65500, 4321));
	assert_false(relay_conf_trusts(&conf, 65500, 65500));
	assert_false(relay_conf_trusts(&conf, 4321, 1234));
	assert_false(relay_conf_trusts(&conf, 65500, 0)); /* root's group is not root */
	good(state, REST);
	assert_true(relay_conf_trusts(&conf, 0, 65500));
	assert_false(relay_conf_trusts(&conf, 8, 8));
}

/* Who is in a group by /etc/group is trusted by his own number. */
static void S6_relay_conf_trusts_members_of_a_group(void **state)
{
	char name[64] = "", line[128];
	const struct group *group;
	uid_t member = 0;

	setgrent();
	while ((group = getgrent()) != NULL && member == 0)
		for (char **one = group->gr_mem; *one != NULL && member == 0; one++) {
			const struct passwd *user = getpwnam(*one);

			if (user == NULL || user->pw_uid == 0)
				continue;
			member = user->pw_uid;
			(void)snprintf(name, sizeof(name), "%s", group->gr_name);
		}
	endgrent();
	if (member == 0)
		skip();
	(void)snprintf(line, sizeof(line), "%strust :%s\n", REST, name);
	good(state, line);
	assert_true(relay_conf_trusts(&conf, member, 65500));
}

static void S6_relay_conf_others_may_say_that_they_have_mail(void **state)
{
	good(state, REST);
	for (unsigned i = 0; i < 2; i++) { /* asked, and known */
		assert_true(may(8, EVENT_MAIL, "mail"));
		assert_true(may(8, EVENT_EARLY, "mail"));
		assert_false(may(8, EVENT_LOGIN, "mail"));
		assert_false(may(8, EVENT_MAIL, "alice"));
		assert_false(may(8, EVENT_MAIL, "mail@example.org"));
		assert_false(may(8, EVENT_MAIL, ""));
		assert_false(may(8 + RELAY_NAMES, EVENT_MAIL, "mail")); /* of the same slot */
		assert_false(may(65501, EVENT_MAIL, "mail"));
		assert_true(may(0, EVENT_LOGIN, "mail"));
	}
}

/* What was known a minute ago is asked again. */
static void relay_conf_names_are_asked_again(void **state)
{
	good(state, REST);
	assert_true(may(8, EVENT_MAIL, "mail"));
	(void)strcpy(conf.names[8 % RELAY_NAMES].name, "else");
	assert_false(may(8, EVENT_MAIL, "mail"));
	conf.names[8 % RELAY_NAMES].until = deadline_now();
	assert_true(may(8, EVENT_MAIL, "mail"));
}

/* ---- strip-domain ---- */

static void check_strip(const char *from, const char *to)
{
	char user[USER_NAME_MAX + 1];

	(void)snprintf(user, sizeof(user), "%s", from);
	relay_conf_strip(&conf, user);
	assert_string_equal(user, to);
}

static void relay_conf_strips_domains(void **state)
{
	good(state, REST);
	check_strip("alice@mx.test", "alice@mx.test");
	good(state, REST "strip-domain no\n");
	check_strip("alice@mx.test", "alice@mx.test");
	good(state, REST "strip-domain yes\n");
	check_strip("alice@mx.test", "alice");
	check_strip("alice", "alice");
	check_strip("a@b@c", "a@b");
	check_strip("alice@", "alice");
	check_strip("@mx.test", "@mx.test"); /* that would be nobody */
	good(state, REST "strip-domain mx.test Example.org\n");
	check_strip("alice@mx.test", "alice");
	check_strip("alice@MX.test", "alice");
	check_strip("alice@example.ORG", "alice");
	check_strip("alice@xmx.test", "alice@xmx.test");
	check_strip("alice@mx.tes", "alice@mx.tes");
}

/* ---- Advice ---- */

static void relay_conf_advises_of_what_is_hardly_meant(void **state)
{
	static const char *const table[][2] = {
		{ "user * last\nuser alice none\n", "f:2: warning: user: 'alice' is never looked "
						    "at: '*' (line 1) comes before it\n" },
		{ "user alice last\nuser bob none\nuser alice none\n",
			"f:3: warning: user: 'alice' is never looked at: 'alice' (line 1) comes "
			"before it\n" },
		{ "user *@example.org last\nuser *@example.org none\n",
			"f:2: warning: user: '*@example.org' is never looked at: '*@example.org' "
			"(line 1) comes before it\n" },
		{ "user *.org last\nuser a*@*.org none\n",
			"f:2: warning: user: 'a*@*.org' is never looked at: '*.org' (line 1) comes "
			"before it\n" },
		{ "user a*b last\nuser a*b*b none\nuser a* none\n",
			"f:2: warning: user: 'a*b*b' is never looked at: 'a*b' (line 1) comes "
			"before it\n" },
		{ "user alice last\nuser * none\n", "" },
		{ "user alice home\n", "f:1: warning: user: 'home': a name without a dot: write it "
				       "whole, as in home.example.org\n" },
		{ "user alice 224.0.0.1\n", "f:1: warning: user: '224.0.0.1' is no single "
					    "machine's: nobody accepts a connection there\n" },
		{ "user alice ff02::1\n", "f:1: warning: user: 'ff02::1' is no single machine's: "
					  "nobody accepts a connection there\n" },
		{ "user alice 255.255.255.255:79\n",
			"f:1: warning: user: '255.255.255.255' is no single machine's: nobody "
			"accepts a connection there\n" },
		{ REST "password-file /etc/password\n",
			"f:2: warning: password-file: no store asks for it: write such as 'store "
			"redis://192.0.2.30', or leave it out\n" },
		{ REST "password-file /etc/password\nstore redis://192.0.2.9\n", "" },
		{ REST "keep 9s\n", "f:2: warning: keep is shorter than timeout, so nothing is "
				    "tried twice: write 'keep 0s' if that is meant\n" },
		{ REST "timeout 2h\n", "f:2: warning: keep is shorter than timeout, so nothing is "
				       "tried twice: write 'keep 0s' if that is meant\n" },
		{ REST "keep 0s\n", "" },
		{ REST "settle 2h\n", "f:2: warning: settle is longer than keep: an early event "
				      "would be too old before it counts\n" },
		{ REST "source 203.0.113.9\n", "f:2: warning: source: '203.0.113.9' is no address "
					       "of this machine now: 'ip address' shows them\n" },
		{ REST "source 127.0.0.1\n", "" },
		{ REST "never 10.0.0.0\n", "f:2: warning: never: '10.0.0.0': it is one address: if "
					   "its network is meant, write 10.0.0.0/8\n" },
		{ REST "never default 0.0.0.0 ::\n", "" },
		{ "table lmdb:/nowhere/at/all\n", "f:1: warning: table: 'lmdb:/nowhere/at/all' "
						  "cannot be read: No such file or directory\n" },
		{ "user * last\ntable lmdb:/nowhere\n",
			"f:2: warning: table: it is never looked at: 'user *' (line 1) comes "
			"before it\n"
			"f:2: warning: table: 'lmdb:/nowhere' cannot be read: No such file or "
			"directory\n" },
	};

	for (unsigned i = 0; i < COUNT(table); i++)
		advised(state, table[i][0], table[i][1]);
}

/* ---- What is shown to people ---- */

static bool begins_with_keyword(const char *line)
{
	size_t length = strcspn(line, " \t\n");

	for (unsigned i = 0; i < RELAY_KEYWORDS; i++)
		if (strlen(relay_keywords[i].name) == length &&
			strncmp(line, relay_keywords[i].name, length) == 0)
			return true;
	return false;
}

/* Whom they trust is not on this machine. */
static void add_line(char *text, size_t size, const char *line)
{
	size_t length = strlen(text);

	if (strncmp(line, "trust", 5) != 0)
		(void)snprintf(text + length, size - length, "%s", line);
}

static FILE *open_shown(const char *path)
{
	FILE *file = fopen(path, "r");

	if (file == NULL)
		skip(); /* it runs elsewhere than in the source */
	return file;
}

/* Each display of the page whose first word is a keyword. */
static void relay_conf_examples_of_the_page_are_right(void **state)
{
	FILE *file = open_shown("man/nmnotify-relay.conf.5");
	static char line[512], text[4096];
	bool is_shown = false, is_first = false;
	unsigned shown = 0;

	while (fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, ".Ed", 3) == 0) {
			if (text[0] != '\0') {
				if (strstr(text, "user") == NULL)
					add_line(text, sizeof(text), REST);
				good(state, text);
				shown++;
			}
			is_shown = false;
			text[0] = '\0';
		}
		if (is_first)
			is_shown = begins_with_keyword(line);
		is_first = strncmp(line, ".Bd -literal", 12) == 0;
		if (is_shown)
			add_line(text, sizeof(text), line);
	}
	assert_int_equal(fclose(file), 0);
	assert_true(shown >= 7);
}

/* The installed example, whole as it is with each comment that is a line taken for one. */
static void relay_conf_installed_example_is_right(void **state)
{
	FILE *file = open_shown("units/nmnotify-relay.conf");
	static char line[512], text[8192];
	unsigned lines = 0;

	while (fgets(line, sizeof(line), file) != NULL) {
		if (line[0] != '#' || !begins_with_keyword(line + 1))
			continue;
		add_line(text, sizeof(text), line + 1);
		lines++;
	}
	assert_int_equal(fclose(file), 0);
	assert_true(lines >= 13);
	good(state, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST_PLACE(relay_conf_has_defaults),
		UNIT_TEST_PLACE(relay_conf_takes_every_keyword),
		UNIT_TEST_PLACE(relay_conf_keyword_example_is_taken),
		UNIT_TEST_PLACE(relay_conf_keyword_values_have_their_own_place),
		UNIT_TEST_PLACE(store_has_no_password_in_it_and_none_is_said),
		UNIT_TEST_PLACE(relay_conf_values_that_are_wrong_are_told),
		UNIT_TEST_PLACE(relay_conf_targets_that_are_wrong_are_told),
		UNIT_TEST_PLACE(relay_conf_users_have_254_bytes_at_most),
		UNIT_TEST_PLACE(S4_relay_conf_lines_and_targets_have_bounds),
		UNIT_TEST_PLACE(S4_relay_conf_text_has_a_bound),
		UNIT_TEST_PLACE(relay_conf_without_memory_says_so),
		UNIT_TEST_PLACE(relay_conf_command_line_comes_first),
		UNIT_TEST_PLACE(S6_relay_conf_never_is_by_default_what_is_nobody_elses),
		UNIT_TEST_PLACE(relay_conf_tunnel_is_what_was_said),
		UNIT_TEST_PLACE(S6_relay_conf_never_replaces_the_default),
		UNIT_TEST_PLACE(S6_relay_conf_never_has_the_machines_own),
		UNIT_TEST_PLACE(S6_relay_conf_trusts_root_and_whom_it_names),
		UNIT_TEST_PLACE(S6_relay_conf_trusts_members_of_a_group),
		UNIT_TEST_PLACE(S6_relay_conf_others_may_say_that_they_have_mail),
		UNIT_TEST_PLACE(relay_conf_names_are_asked_again),
		UNIT_TEST_PLACE(relay_conf_strips_domains),
		UNIT_TEST_PLACE(relay_conf_advises_of_what_is_hardly_meant),
		UNIT_TEST_PLACE(relay_conf_examples_of_the_page_are_right),
		UNIT_TEST_PLACE(relay_conf_installed_example_is_right),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	relay_conf_free(&conf);
	return failed;
}
