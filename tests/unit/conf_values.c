/* SPDX-License-Identifier: ISC */
#include "reading.h"

/* ---- Values ---- */

static void conf_times_have_a_unit_and_bounds(void **state)
{
	static const struct {
		const char *text;
		uint32_t ms;
	} table[] = { { "0s", 0 }, { "0ms", 0 }, { "1ms", 1 }, { "500ms", 500 }, { "007s", 7000 },
		{ "5m", 300000 }, { "2h", 7200000 }, { "1d", 86400000 }, { "7d", 604800000 },
		{ "604800000ms", 604800000 }, { "168h", 604800000 } };
	static const char *const no_time[] = { "1", "s", "-1s", "+1s", "1.5s", "1 s", "1S", "1sec",
		"1s1", "0x1s", "604800001ms", "18446744073709551616s", "1w", "''" };
	static const char *const out[] = { "8d", "169h", "10081m", "604801s", "604800000d" };
	char text[256], message[256];

	for (unsigned i = 0; i < COUNT(table); i++) {
		(void)snprintf(text, sizeof(text), "interval %s\n" REST, table[i].text);
		good(state, text);
		assert_int_equal(conf.accounts[0].interval.ms, table[i].ms);
	}
	for (unsigned i = 0; i < COUNT(no_time); i++) {
		(void)snprintf(text, sizeof(text), "interval %s\n", no_time[i]);
		(void)snprintf(message, sizeof(message),
			"f:1: interval: '%s' is not a time such as 500ms, 10s, 5m, 2h or 1d\n",
			strcmp(no_time[i], "''") == 0 ? "" : no_time[i]);
		if (strcmp(no_time[i], "1 s") == 0)
			(void)strcpy(message, "f:1: interval: 's' is one word too many: nothing "
					      "can be behind '1'\n");
		bad(state, text, message);
	}
	for (unsigned i = 0; i < COUNT(out); i++) {
		(void)snprintf(text, sizeof(text), "interval %s\n", out[i]);
		(void)snprintf(message, sizeof(message),
			"f:1: interval: '%s' is not between 0ms and 7d\n", out[i]);
		bad(state, text, message);
	}
}

static void conf_timeouts_are_not_zero(void **state)
{
	bad(state, "timeout 0s\n", "f:1: timeout: '0s' is not between 1ms and 7d\n");
	bad(state, "read-timeout 0ms\n", "f:1: read-timeout: '0ms' is not between 1ms and 7d\n");
	bad(state, "idle 8d\n", "f:1: idle: '8d' is not between 0ms and 7d\n");
	good(state, "timeout 1ms\nread-timeout 1ms\nidle 0s\n" REST);
}

static void conf_retry_is_off_unless_said(void **state)
{
	good(state, REST);
	assert_int_equal(conf.accounts[0].retry.ms, 0);
	good(state, "retry 90s\n" REST "account b\nretry 0s\n");
	assert_int_equal(conf.accounts[0].retry.ms, 0);
	good(state, "retry 90s\n" REST);
	assert_int_equal(conf.accounts[0].retry.ms, 90000);
}

static void conf_success_is_exit_statuses(void **state)
{
	const struct statuses *success = &conf.accounts[0].success;

	good(state, REST);
	for (int status = 0; status < 256; status++)
		assert_int_equal(statuses_hold(success, status), status == 0);
	good(state, "success 1 31 32 255\n" REST);
	for (int status = 0; status < 256; status++)
		assert_int_equal(statuses_hold(success, status),
			status == 1 || status == 31 || status == 32 || status == 255);
	bad(state, "success 256\n",
		"f:1: success: '256' is no exit status: write a number from 0 to 255\n");
	bad(state, "success 0 -1\n",
		"f:1: success: '-1' is no exit status: write a number from 0 to 255\n");
}

static void conf_failure_is_a_count_and_perhaps_a_command(void **state)
{
	const struct failure *failure = &conf.accounts[0].failure;

	good(state, REST);
	assert_int_equal(failure->count, 3);
	assert_null(failure->command.words);
	good(state, "failure 1000\n" REST);
	assert_int_equal(failure->count, 1000);
	assert_null(failure->command.words);
	good(state, "failure 5 /bin/x 'a b' c\n" REST);
	assert_int_equal(failure->count, 5);
	assert_string_equal(failure->command.words[0], "/bin/x");
	assert_string_equal(failure->command.words[1], "a b");
	assert_string_equal(failure->command.words[2], "c");
	assert_null(failure->command.words[3]);
	bad(state, "failure /bin/x\n",
		"f:1: failure: '/bin/x' is no number of runs from 1 to 1000: write it before the "
		"program\n");
	bad(state, "failure 0 /bin/x\n",
		"f:1: failure: '0' is no number of runs from 1 to 1000: write it before the "
		"program\n");
	bad(state, "failure 3 x\n",
		"f:1: failure: 'x' is not an absolute path: write the one that 'command -v x' "
		"shows\n");
}

static void conf_limit_is_count_period_and_burst(void **state)
{
	static const struct {
		const char *text;
		uint32_t emission, burst;
	} table[] = {
		{ "12/m", 5000, 1 },
		{ "12/m burst 6", 5000, 6 },
		{ "1/90s", 90000, 1 },
		{ "7/s burst 2", 143, 2 }, /* rounded up: never more than was asked for */
		{ "1000/s", 1, 1 },
		{ "1001/s", 1, 1 },
		{ "4294967295/ms", 1, 1 },
		{ "1/302400s", 302400000, 1 },
		{ "1/ms burst 604799999", 1, 604799999 },
		{ "2/7d", 302400000, 1 },
		{ "3/2h burst 0083", 2400000, 83 },
	};
	char text[256];

	for (unsigned i = 0; i < COUNT(table); i++) {
		const struct rate *limit = &conf.accounts[0].limit;

		(void)snprintf(text, sizeof(text), "limit %s\n" REST, table[i].text);
		good(state, text);
		assert_int_equal(limit->emission.ms, table[i].emission);
		assert_int_equal(limit->burst, table[i].burst);
		assert_true((uint64_t)limit->emission.ms * (limit->burst + 1) <= SPAN_MAX_MS);
	}
}

static void conf_limit_that_is_none_is_refused(void **state)
{
	static const char *const table[] = { "12", "12/", "/m", "0/m", "12/0m", "12/m6", "12/w",
		"12/m burst", "12/m burst 0", "12/m burst x", "12/m burst 6x", "12/m burst -1",
		"12/m BURST 6", "12/m 6", "12m", "-1/m", "4294967296/m", "12/m burst 4294967296",
		"1/604800001d", "12 / m", "12/ m", "1.5/m" };
	char text[256], message[256];

	for (unsigned i = 0; i < COUNT(table); i++) {
		(void)snprintf(text, sizeof(text), "limit %s\n", table[i]);
		(void)snprintf(message, sizeof(message),
			"f:1: limit: '%s' is not COUNT/PERIOD, such as 12/m, and perhaps burst "
			"NUMBER\n",
			table[i]);
		bad(state, text, message);
	}
	bad(state, "limit 12/m burst 6 7\n",
		"f:1: limit: '7' is one word too many: nothing can be behind '6'\n");
}

/* (burst + 1) * T must fit the span that moments can be compared within. */
static void G3_conf_limit_with_too_long_a_window_is_refused(void **state)
{
	bad(state, "limit 1/7d\n",
		"f:1: limit: '1/7d': burst 1 at this rate takes more than 7d to recover: write a "
		"shorter PERIOD\n");
	bad(state, "limit 1/ms burst 604800000\n",
		"f:1: limit: '1/ms burst 604800000': burst 604800000 at this rate takes more than "
		"7d to recover: write a shorter PERIOD, or a smaller burst\n");
	bad(state, "limit 1/604800000d\n",
		"f:1: limit: '1/604800000d': burst 1 at this rate takes more than 7d to recover: "
		"write a shorter PERIOD\n");
	bad(state, "limit 1/604800000d burst 4294967295\n",
		"f:1: limit: '1/604800000d burst 4294967295': burst 4294967295 at this rate takes "
		"more than 7d to recover: write a shorter PERIOD, or a smaller burst\n");
	/* T * (burst + 1) is a multiple of 2^64 here. */
	bad(state, "limit 1/536870912d burst 33554431\n",
		"f:1: limit: '1/536870912d burst 33554431': burst 33554431 at this rate takes more "
		"than 7d to recover: write a shorter PERIOD, or a smaller burst\n");
}

static void conf_values_that_are_wrong_are_told(void **state)
{
	static const char *const table[][2] = {
		{ "state run\n", "f:1: state: 'run' is not an absolute path: write it whole, from "
				 "'/' on\n" },
		{ "state ''\n",
			"f:1: state: '' is not an absolute path: write it whole, from '/' on\n" },
		{ "log file\n", "f:1: log: 'file' is not auto, journal, syslog, stderr or kmsg\n" },
		{ "isolate maybe\n", "f:1: isolate: 'maybe' is not yes or no\n" },
		{ "landlock maybe\n", "f:1: landlock: 'maybe' is not yes, no or required\n" },
		{ "read etc\n", "f:1: read: 'etc' is not an absolute path, nor one below ~, the "
				"action's home\n" },
		{ "write ~alice\n", "f:1: write: '~alice' is not an absolute path, nor one below "
				    "~, the action's home\n" },
		{ "execute ''\n", "f:1: execute: '' is not an absolute path, nor one below ~, the "
				  "action's home\n" },
		{ "write any /x\n", "f:1: write: 'any' is everything: leave out the rest\n" },
		{ "connect 993 any\n", "f:1: connect: 'any' is everything: leave out the rest\n" },
		{ "connect 0\n", "f:1: connect: '0' is not a TCP port: write its number, or imaps, "
				 "pop3s or the like (nmnotify.conf(5))\n" },
		{ "connect 65536\n",
			"f:1: connect: '65536' is not a TCP port: write its number, or "
			"imaps, pop3s or the like (nmnotify.conf(5))\n" },
		{ "connect telnet\n", "f:1: connect: 'telnet' is not a TCP port: write its number, "
				      "or imaps, pop3s or the like (nmnotify.conf(5))\n" },
		{ "bare-lf maybe\n", "f:1: bare-lf: 'maybe' is not yes or no\n" },
		{ "bare-lf YES\n", "f:1: bare-lf: 'YES' is not yes or no\n" },
		{ "confine much\n",
			"f:1: confine: 'much' is no policy: write mail, local or none\n" },
		{ "action mbsync -a\n", "f:1: action: 'mbsync' is not an absolute path: write the "
					"one that 'command -v mbsync' shows\n" },
		{ "action ''\n",
			"f:1: action: '' is not an absolute path: write it whole, from '/' on\n" },
		{ "from 192.0.2.1/33\n",
			"f:1: from: '192.0.2.1/33': the prefix length is not a number from 0 to "
			"32\n" },
		{ "from example.org any\n",
			"f:1: from: 'example.org': names are not looked up: write the address that "
			"'getent hosts example.org' shows, because an answer of the name service "
			"could change or be forged\n" },
		{ "to any\n", "f:1: to: 'any': not an address or network: without 'to' every local "
			      "address counts\n" },
		{ "to local\n", "f:1: to: 'local': a Unix socket has no address: write those of "
				"this machine\n" },
		{ "env A\n", "f:1: env: 'A' is not NAME=value, such as TZ=UTC\n" },
		{ "env =1\n", "f:1: env: '=1' is not NAME=value, such as TZ=UTC\n" },
		{ "env 1A=1\n", "f:1: env: '1A=1' is not NAME=value, such as TZ=UTC\n" },
		{ "env A-B=1\n", "f:1: env: 'A-B=1' is not NAME=value, such as TZ=UTC\n" },
		{ "env 'A B=1'\n", "f:1: env: 'A B=1' is not NAME=value, such as TZ=UTC\n" },
		{ "env NMNOTIFY_SOURCE=x\n", "f:1: env: 'NMNOTIFY_SOURCE=x': NMNOTIFY_ is ours to "
					     "set: write another name\n" },
		{ "env NMNOTIFY_=\n",
			"f:1: env: 'NMNOTIFY_=': NMNOTIFY_ is ours to set: write another name\n" },
	};

	for (unsigned i = 0; i < COUNT(table); i++)
		bad(state, table[i][0], table[i][1]);
}

static void conf_log_targets_have_names(void **state)
{
	static const char *const names[] = { "auto", "journal", "syslog", "stderr", "kmsg" };
	static const enum log_target targets[] = { LOG_TARGET_AUTO, LOG_TARGET_JOURNAL,
		LOG_TARGET_SYSLOG, LOG_TARGET_STDERR, LOG_TARGET_KMSG };
	char text[256];

	for (unsigned i = 0; i < COUNT(names); i++) {
		(void)snprintf(text, sizeof(text), "log %s\n" REST, names[i]);
		good(state, text);
		assert_int_equal(conf.log, targets[i]);
	}
}

/* An account's name is a directory's, too. */
static void conf_account_names_are_safe_as_file_names(void **state)
{
	static const char *const goods[] = { "a", "9", "Home.mail_2-x",
		"abcdefghijklmnopqrstuvwxyz012345" };
	static const char *const bads[] = { "''", ".", "..", ".denied", "-a", "_a", "a/b", "a b",
		"a\xc3\xa9", "a~", "a@b", "a:b", "abcdefghijklmnopqrstuvwxyz0123456" };
	char text[256];

	for (unsigned i = 0; i < COUNT(goods); i++) {
		(void)snprintf(text, sizeof(text), "account %s\n" REST, goods[i]);
		good(state, text);
		assert_string_equal(conf.accounts[0].name, goods[i]);
	}
	for (unsigned i = 0; i < COUNT(bads); i++) {
		char message[256];

		(void)snprintf(text, sizeof(text), "account '%s'\n" REST,
			strcmp(bads[i], "''") == 0 ? "" : bads[i]);
		(void)snprintf(message, sizeof(message),
			"f:1: account: '%s' is not a name: a letter or digit, then letters, "
			"digits, '.', '_' and '-', 32 at most\n",
			strcmp(bads[i], "''") == 0 ? "" : bads[i]);
		bad(state, text, message);
	}
}

static void conf_lines_out_of_order_are_told(void **state)
{
	static const char *const table[][2] = {
		{ "interval\n",
			"f:1: interval: a value is missing: write such as 'interval 10s'\n" },
		{ "interval 1s 2s\n",
			"f:1: interval: '2s' is one word too many: nothing can be behind '1s'\n" },
		{ "account\n", "f:1: account: a value is missing: write such as 'account home'\n" },
		{ "account a b\n",
			"f:1: account: 'b' is one word too many: nothing can be behind 'a'\n" },
		{ "from\n", "f:1: from: a value is missing: write such as 'from 192.0.2.25'\n" },
		{ "interval 1s\ninterval 2s\n",
			"f:2: interval is said twice, first on line 1: leave out one of them\n" },
		{ "from any\nfrom local\n",
			"f:2: from is said twice, first on line 1: write all of it on one line\n" },
		{ "account a\naction /a\naction /b\n",
			"f:3: action is said twice, first on line 2: leave out one of them\n" },
		{ "account a\nlog auto\n",
			"f:2: log belongs before the first account, a (line 1): write it there\n" },
		{ "account a\nstate /s\n", "f:2: state belongs before the first account, a (line "
					   "1): write it there\n" },
		{ "account a\nidle 1s\n", "f:2: idle belongs before the first account, a (line 1): "
					  "write it there\n" },
		{ ACCOUNT "account a\n",
			"f:5: account: 'a' is there already (line 1): write another name\n" },
		{ "Interval 1s\n",
			"f:1: there is no keyword 'Interval': write 'interval' and a space\n" },
		{ "interval=1s\n",
			"f:1: there is no keyword 'interval=1s': write 'interval' and a space\n" },
		{ "''\n", "f:1: there is no keyword '': nmnotify.conf(5) has them all\n" },
		{ "interval 1s\r\n", "f:1: lines end in CR LF, as on Windows: save the file with "
				     "LF alone, or convert it with dos2unix\n" },
		{ "log \x1b[1m\n", "f:1: a control character, '\x1b': remove it\n" },
		{ "\f\n", "f:1: a control character, '\f': remove it\n" },
		{ "interval 1s\nbad\n\n# bad\nbad 2\n",
			"f:2: there is no keyword 'bad': nmnotify.conf(5) has them all\nf:5: there "
			"is no keyword 'bad': nmnotify.conf(5) has them all\n" },
	};

	for (unsigned i = 0; i < COUNT(table); i++)
		bad(state, table[i][0], table[i][1]);
	assert_false(read_bytes(state, REST "\0interval 1s\n", sizeof(REST) + 12));
	assert_string_equal(reports.text, "f:4: a NUL byte: save the file as text, in UTF-8\n");
}

static void conf_account_that_is_not_whole_is_told(void **state)
{
	bad(state, "",
		geteuid() == 0
			? "f:0: account default has no 'from': write such as 'from 192.0.2.25'\n"
			  "f:0: account default has no 'action': write such as 'action "
			  "/usr/bin/mbsync -q -a'\n"
			  "f:0: account default has no 'user', which root must have: write such as "
			  "'user alice'\n"
			: "f:0: account default has no 'from': write such as 'from 192.0.2.25'\n"
			  "f:0: account default has no 'action': write such as 'action "
			  "/usr/bin/mbsync -q -a'\n");
	bad(state, "user nobody\naccount a\nfrom any\n",
		"f:2: account a has no 'action': write such as 'action /usr/bin/mbsync -q -a'\n");
	bad(state, ACCOUNT "account b\nuser nobody\naction /b\n",
		"f:5: account b has no 'from': write such as 'from 192.0.2.25'\n");
}

static int read_as_stranger(void *context)
{
	begin();
	if (setresuid(STRANGER, STRANGER, STRANGER) != 0)
		return UNIT_CANNOT;
	conf_file(&conf, context, false);
	return conf_end(&conf) ? 0 : 1;
}

static void conf_user_is_required_of_root_alone(void **state)
{
	static const char text[] = "from any\naction /bin/true\n";

	if (geteuid() != 0) {
		good(state, text);
		return;
	}
	bad(state, text,
		"f:0: account default has no 'user', which root must have: write such as 'user "
		"alice'\n");
	assert_int_equal(chmod(((struct unit_place *)*state)->path, 0755), 0);
	unit_expect(
		unit_reap(unit_fork(read_as_stranger, (void *)(uintptr_t)unit_path(state, "f"))));
}

/* ---- Words ---- */

/* The words of `action /x LINE`, each behind a '|'; or the report. */
static const char *words_of(void **state, const char *line)
{
	static char text[4096], words[4096];

	(void)snprintf(text, sizeof(text), "from any\nuser nobody\naction /x %s\n", line);
	if (!read_bytes(state, text, strlen(text)))
		return reports.text;
	words[0] = '\0';
	for (char **word = conf.accounts[0].action.words + 1; *word != NULL; word++)
		(void)strcat(strcat(words, "|"), *word);
	return words;
}

static void conf_quotes_are_those_of_a_shell(void **state)
{
	static const char *const table[][2] = {
		{ "", "" },
		{ "a", "|a" },
		{ "a b", "|a|b" },
		{ "\t a \t b\t ", "|a|b" },
		{ "'a b'", "|a b" },
		{ "\"a b\"", "|a b" },
		{ "a\\ b", "|a b" },
		{ "''", "|" },
		{ "\"\" ''", "||" },
		{ "a''b", "|ab" },
		{ "a'b'\"c\"d", "|abcd" },
		{ "'a\\b'", "|a\\b" },
		{ "'a\"b'", "|a\"b" },
		{ "\"a'b\"", "|a'b" },
		{ "\"a\\b\"", "|a\\b" },
		{ "\"a\\\"b\"", "|a\"b" },
		{ "\"a\\\\b\"", "|a\\b" },
		{ "\"a\\$b\\`c\"", "|a$b`c" },
		{ "a\\'b", "|a'b" },
		{ "\\a\\\\b", "|a\\b" },
		{ "$HOME `x` $(y) * ? ~", "|$HOME|`x`|$(y)|*|?|~" }, /* nothing is expanded */
		{ "a;b|c>d&", "|a;b|c>d&" },
		{ "a #b", "|a" },
		{ "#a", "" },
		{ "a#b", "|a#b" },
		{ "\\#a '#b' \"#c\"", "|#a|#b|#c" },
		{ "\xc3\xa9\xff", "|\xc3\xa9\xff" },
		{ "'a", "f:3: action: 'a': a quote before it is not closed: write a second ', or "
			"\\' if it is meant as it is\n" },
		{ "\"a", "f:3: action: 'a': a quote before it is not closed: write a second \", or "
			 "\\\" if it is meant as it is\n" },
		{ "a'b c", "f:3: action: 'b c': a quote before it is not closed: write a second ', "
			   "or \\' if it is meant as it is\n" },
		{ "\"a\\\"", "f:3: action: 'a\"': a quote before it is not closed: write a second "
			     "\", or \\\" if it is meant as it is\n" },
		{ "a\\", "f:3: action: 'a': a backslash ends the line, which cannot go on on the "
			 "next one: write all on one line\n" },
		{ "\"a\\", "f:3: action: 'a': a backslash ends the line, which cannot go on on the "
			   "next one: write all on one line\n" },
		{ "'a\\", "f:3: action: 'a\\': a quote before it is not closed: write a second ', "
			  "or \\' if it is meant as it is\n" },
	};

	for (unsigned i = 0; i < COUNT(table); i++)
		assert_string_equal(words_of(state, table[i][0]), table[i][1]);
}

#define SHELL_LINES 1000

/* Random lines of quotes and backslashes, told apart by sh(1) itself. */
static void conf_quotes_agree_with_the_shell(void **state)
{
	static const char alphabet[] = "ab  '\"\\'\"\\";
	static char ours[SHELL_LINES][128];
	char command[1200], line[128];
	FILE *script = fopen(unit_path(state, "script"), "we"), *shell;
	uint64_t seed = 7;

	assert_non_null(script);
	for (unsigned i = 0; i < SHELL_LINES;) {
		unsigned length = 1 + random_below(&seed, 12);

		for (unsigned k = 0; k < length; k++)
			line[k] = alphabet[random_below(&seed, sizeof(alphabet) - 1)];
		line[length] = '\0';
		(void)strcpy(ours[i], words_of(state, line));
		if (reports.count != 0)
			continue;
		(void)fprintf(
			script, "set -- %s\nfor w; do printf '|%%s' \"$w\"; done; echo\n", line);
		i++;
	}
	(void)fclose(script);
	(void)snprintf(command, sizeof(command), "sh '%s'", unit_path(state, "script"));
	shell = popen(command, "re");
	assert_non_null(shell);
	for (unsigned i = 0; i < SHELL_LINES; i++) {
		assert_non_null(fgets(line, sizeof(line), shell));
		line[strcspn(line, "\n")] = '\0';
		assert_string_equal(ours[i], line);
	}
	assert_int_equal(pclose(shell), 0);
}

static void conf_blank_and_comment_lines_say_nothing(void **state)
{
	good(state, "\n \t\n# comment\n  # another 'quote\n" REST "\t# last");
	good(state, "  from any # all\n\tuser\tnobody\naction /bin/true"); /* no newline */
	assert_int_equal(words_count(conf.accounts[0].action.words), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conf_times_have_a_unit_and_bounds),
		cmocka_unit_test(conf_timeouts_are_not_zero),
		cmocka_unit_test(conf_retry_is_off_unless_said),
		cmocka_unit_test(conf_success_is_exit_statuses),
		cmocka_unit_test(conf_failure_is_a_count_and_perhaps_a_command),
		cmocka_unit_test(conf_limit_is_count_period_and_burst),
		cmocka_unit_test(conf_limit_that_is_none_is_refused),
		cmocka_unit_test(G3_conf_limit_with_too_long_a_window_is_refused),
		cmocka_unit_test(conf_values_that_are_wrong_are_told),
		cmocka_unit_test(conf_log_targets_have_names),
		cmocka_unit_test(conf_account_names_are_safe_as_file_names),
		cmocka_unit_test(conf_lines_out_of_order_are_told),
		cmocka_unit_test(conf_account_that_is_not_whole_is_told),
		cmocka_unit_test(conf_user_is_required_of_root_alone),
		cmocka_unit_test(conf_quotes_are_those_of_a_shell),
		cmocka_unit_test(conf_quotes_agree_with_the_shell),
		cmocka_unit_test(conf_blank_and_comment_lines_say_nothing),
	};

	return cmocka_run_group_tests(tests, unit_place_make, unit_place_remove);
}
