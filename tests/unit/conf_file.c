/* SPDX-License-Identifier: ISC */
#include "reading.h"

/* ---- The file ---- */

static void conf_file_that_cannot_be_trusted_is_not_read(void **state)
{
	static const mode_t modes[] = { 0664, 0646, 0666, 0620 };
	const char *path;

	for (unsigned i = 0; i < COUNT(modes); i++) {
		begin();
		path = unit_file(state, REST, sizeof(REST) - 1);
		assert_int_equal(chmod(path, modes[i]), 0);
		conf_file(&conf, path, false);
		assert_false(conf_end(&conf));
		assert_string_equal(
			reports.text, "f:0: others than its owner may write it: chmod go-w\n");
		assert_int_equal(conf.accounts_count, 0);
		assert_int_equal(unlink(path), 0);
	}
	if (geteuid() != 0)
		skip();
	begin();
	path = unit_file(state, REST, sizeof(REST) - 1);
	assert_int_equal(chown(path, STRANGER, STRANGER), 0);
	conf_file(&conf, path, false);
	assert_false(conf_end(&conf));
	assert_string_equal(reports.text,
		"f:0: owned by user 54321, neither root nor the running user: chown it\n");
	assert_int_equal(unlink(path), 0);
}

static void conf_file_that_is_none_is_told(void **state)
{
	begin();
	conf_file(&conf, unit_path(state, "missing"), false);
	assert_false(conf_end(&conf));
	assert_string_equal(reports.text, "missing:0: cannot open: No such file or directory\n");
	begin();
	conf_file(&conf, unit_path(state, "missing"), true);
	assert_int_equal(reports.count, 0);
	begin();
	assert_int_equal(mkfifo(unit_path(state, "fifo"), 0600), 0);
	conf_file(&conf, unit_path(state, "fifo"), true);
	assert_false(conf_end(&conf));
	assert_string_equal(reports.text, "fifo:0: not a regular file\n");
	begin();
	conf_file(&conf, ((struct unit_place *)*state)->path, false);
	assert_false(conf_end(&conf));
	assert_non_null(strstr(reports.text, ":0: not a regular file\n"));
}

/* ---- Bounds: what fits, and one more ---- */

static char large[CONF_BYTES_MAX + 16];

static char *append(char *end, const char *text, unsigned times)
{
	size_t length = strlen(text);

	while (times-- > 0) {
		memcpy(end, text, length);
		end += length;
	}
	*end = '\0';
	return end;
}

static void conf_bytes_fit_or_are_told(void **state)
{
	size_t head = strlen(REST "#");

	(void)append(large, REST "#", 1);
	memset(large + head, 'x', sizeof(large) - head);
	assert_true(read_bytes(state, large, CONF_BYTES_MAX - 1)); /* and a NUL */
	assert_false(read_bytes(state, large, CONF_BYTES_MAX));
	assert_string_equal(reports.text, "f:0: the configuration is longer than 65536 bytes\n");
	begin();
	large[CONF_BYTES_MAX - head] = '\0';
	conf_option(&conf, large + head - 1, 1); /* a comment of half the room */
	conf_option(&conf, large + head - 1, 2);
	assert_string_equal(reports.text, "-o:2: the configuration is longer than 65536 bytes\n");
}

static void conf_words_of_a_line_fit_or_are_told(void **state)
{
	char *end = append(large, REST "from", 0);

	end = append(end, "user nobody\naction /x\nfrom", 1);
	end = append(end, " any", WORDS_MAX - 1);
	good(state, large);
	assert_int_equal(conf.accounts[0].from.count, WORDS_MAX - 1);
	(void)append(end, " any\n", 1);
	bad(state, large, "f:3: from: 'any' is too much: 256 words a line is the most\n");
}

static void conf_accounts_fit_or_are_told(void **state)
{
	char *end = append(large, REST, 1), name[32];

	for (unsigned i = 0; i <= CONF_ACCOUNTS_MAX; i++) {
		if (i == CONF_ACCOUNTS_MAX)
			good(state, large);
		(void)snprintf(name, sizeof(name), "account a%u\n", i);
		end = append(end, name, 1);
	}
	bad(state, large, "f:68: account: 'a64' is one too many: 64 accounts is the most\n");
}

static void conf_prefixes_fit_or_are_told(void **state)
{
	char *end = append(large, "user nobody\naction /x\n", 1), name[32];

	for (unsigned i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof(name), "account a%u\nfrom", i);
		end = append(append(append(end, name, 1), " ::1", 255), "\n", 1);
	}
	end = append(end, "to ::1 ::1 ::1 ::1", 1);
	good(state, large);
	assert_int_equal(conf.prefixes_count, CONF_PREFIXES_MAX);
	(void)append(end, " ::1\n", 1);
	bad(state, large, "f:11: to: '::1' is one too many: 1024 networks in all is the most\n");
}

/* Eight actions of 255 words and a NULL each fill the room; `less` leaves out that many. */
static char *append_actions(unsigned less)
{
	char *end = append(large, "user nobody\nfrom any\n", 1), name[32];

	for (unsigned i = 0; i < 8; i++) {
		(void)snprintf(name, sizeof(name), "account a%u\naction /x", i);
		end = append(end, name, 1);
		end = append(append(end, " y", i == 0 ? 254 - less : 254), "\n", 1);
	}
	return end;
}

static void conf_action_words_fit_or_are_told(void **state)
{
	(void)append_actions(0);
	good(state, large);
	assert_int_equal(conf.words_count, CONF_WORDS_MAX);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(words_count(conf.accounts[i].action.words), 255);
		assert_null(conf.accounts[i].action.words[255]);
	}
	(void)append(append_actions(2), "account b\naction /x\n", 1);
	good(state, large);
	assert_int_equal(conf.words_count, CONF_WORDS_MAX);
	(void)append(append_actions(1), "account b\naction /x\n", 1);
	bad(state, large,
		"f:20: action: '/x' has too many words: 2048 in all actions is the most\n");
}

/* Paths and ports are words, too. */
static void conf_paths_and_ports_fit_or_are_told(void **state)
{
	char *end = append(large, REST, 1);

	/* The action has two of them, with what ends it. */
	for (unsigned i = 0; i < 8; i++) {
		end = append(end, "account a", 1);
		*end++ = (char)('a' + i);
		end = append(append(end, "\nread", 1), i == 7 ? " /" : " /", i == 7 ? 252 : 255);
		end = append(end, "\n", 1);
	}
	good(state, large);
	assert_int_equal(conf.words_count, CONF_WORDS_MAX - 1);
	(void)append(end, "connect 1\n", 1);
	bad(state, large,
		"f:20: connect: '1' is one word too many: 2048 of actions, paths and ports is the "
		"most\n");
}

static void conf_variables_fit_or_are_told(void **state)
{
	char *end = append(large, REST "env", 1);

	end = append(append(end, " A=1", 255), "\nenv", 1);
	end = append(append(end, " A=1", 255), "\nenv A=1 A=1", 1);
	good(state, large);
	assert_int_equal(conf.variables_count, CONF_ENV_MAX);
	(void)append(end, " A=1\n", 1);
	bad(state, large, "f:6: env: 'A=1' is one too many: 512 variables in all is the most\n");
}

/* ---- Anything ---- */

static const char *const tokens[] = { "state", "log", "idle", "account", "from", "to", "limit",
	"interval", "timeout", "read-timeout", "bare-lf", "user", "env", "confine", "isolate",
	"landlock", "read", "write", "execute", "connect", "default", "~/x", "993", "action", " ",
	" ", " ", " ", "\n", "\n", "\n", "\t", "#", "'", "\"", "\\", "any", "local", "192.0.2.0/24",
	"::1", "fe80::1%1", "12/m", "burst", "6", "0", "10s", "7d", "yes", "no", "A=1", "mail",
	"none", "/bin/true", "a", "b", "\r", "\x01", "\xff", "%s%n", "/", ":", "%", "=",
	"4294967296", "18446744073709551616" };

static bool is_of_memory(const void *first, size_t count, size_t size)
{
	const char *bytes = first;

	return count == 0 ||
	       (bytes >= conf.memory && count * size <= conf.reading.memory_used &&
		       (size_t)(bytes - conf.memory) <= conf.reading.memory_used - count * size);
}

static void is_sound(const struct account *account)
{
	assert_true(account->from.count > 0 && words_count(account->action.words) > 0);
	assert_true(account->from.count + account->to.count <= conf.prefixes_count);
	assert_true(is_of_memory(account->from.prefix, account->from.count, sizeof(struct prefix)));
	assert_true(is_of_memory(account->to.prefix, account->to.count, sizeof(struct prefix)));
	assert_true(is_of_memory(
		account->action.words, words_count(account->action.words) + 1, sizeof(char *)));
	assert_true(words_count(account->action.words) < conf.words_count);
	assert_int_equal(account->action.words[0][0], '/');
	assert_true(account->limit.burst >= 1 && account->limit.emission.ms >= 1);
	assert_true((uint64_t)account->limit.emission.ms * (account->limit.burst + 1ull) <=
		    SPAN_MAX_MS);
	assert_true(account->interval.ms <= SPAN_MAX_MS);
	assert_in_range(account->timeout.ms, 1, SPAN_MAX_MS);
	assert_in_range(account->read_timeout.ms, 1, SPAN_MAX_MS);
	assert_non_null(account->confine);
	assert_in_range(strlen(account->name), 1, CONF_NAME_MAX);
}

static size_t scribble(uint64_t *seed, char *text)
{
	unsigned count = 1 + random_below(seed, 40);
	size_t length = 0;

	for (unsigned i = 0; i < count; i++) {
		const char *token = tokens[random_below(seed, COUNT(tokens))];

		length += (size_t)sprintf(text + length, "%s", token);
		if (random_below(seed, 100) == 0)
			text[length++] = (char)random_next(seed);
	}
	return length;
}

/* Lines that are mostly right, so that the rest is reached, too. */
static size_t compose(uint64_t *seed, char *text)
{
	static const char *const lines[] = { "log auto", "idle 1s", "from any", "user nobody",
		"limit 3/m burst 2", "env A=1 'B=2 3'", "confine none", "action /bin/true x 'y z'",
		"account a", "interval 1s", "to ::1", "from ::1 local", "env A=1", "account b",
		"bare-lf yes", "timeout 1d", "action /bin/false" };
	size_t length = 0;

	for (unsigned i = 0; i < COUNT(lines); i++) {
		if (random_below(seed, 10) != 0)
			length += (size_t)sprintf(text + length, "%s\n", lines[i]);
		if (random_below(seed, 30) == 0)
			length += scribble(seed, text + length);
	}
	return length;
}

static void conf_of_any_bytes_is_sound_or_refused(void **state)
{
	static char text[8192];
	uint64_t seed = 2;
	unsigned accepted = 0;

	for (unsigned i = 0; i < 30000; i++) {
		begin();
		for (unsigned k = random_below(&seed, 4); k > 0; k--) {
			text[i % 8 == 1 ? scribble(&seed, text) : 0] = '\0';
			conf_option(&conf, text, k);
		}
		if (i % 3 == 0) {
			conf_file(&conf, unit_path(state, "missing"), true);
		} else {
			size_t length = i % 3 == 1 ? compose(&seed, text) : scribble(&seed, text);

			conf_file(&conf, unit_file(state, text, length), false);
		}
		if (!conf_end(&conf)) {
			assert_true(reports.count > 0);
			continue;
		}
		assert_int_equal(reports.count, 0);
		assert_in_range(conf.accounts_count, 1, CONF_ACCOUNTS_MAX);
		for (unsigned k = 0; k < conf.accounts_count; k++)
			is_sound(&conf.accounts[k]);
		accepted++;
	}
	assert_in_range(accepted, 1000, 29000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conf_file_that_cannot_be_trusted_is_not_read),
		cmocka_unit_test(conf_file_that_is_none_is_told),
		cmocka_unit_test(conf_bytes_fit_or_are_told),
		cmocka_unit_test(conf_words_of_a_line_fit_or_are_told),
		cmocka_unit_test(conf_accounts_fit_or_are_told),
		cmocka_unit_test(conf_prefixes_fit_or_are_told),
		cmocka_unit_test(conf_action_words_fit_or_are_told),
		cmocka_unit_test(conf_paths_and_ports_fit_or_are_told),
		cmocka_unit_test(conf_variables_fit_or_are_told),
		cmocka_unit_test(conf_of_any_bytes_is_sound_or_refused),
	};

	return cmocka_run_group_tests(tests, unit_place_make, unit_place_remove);
}
