/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include "conf/conf.h"

/* What makes an account whole. */
#define REST    "from any\nuser nobody\naction /bin/true\n"
#define ACCOUNT "account a\n" REST

/* A user that is neither root nor us. */
#define STRANGER 54321

static struct conf conf;

/* What was reported: "LINE: message" for each, and a newline. */
static struct {
	char text[65536];
	size_t length;
	unsigned count;
} reports;

static void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	const char *name = strrchr(file, '/');
	size_t room = sizeof(reports.text) - reports.length;

	assert_ptr_equal(context, &reports);
	assert_int_equal(severity, SEVERITY_ERROR); /* advice is only for who asks for it */
	reports.count++;
	reports.length += (size_t)snprintf(reports.text + reports.length, room, "%s:%u: %s\n",
		name != NULL ? name + 1 : file, line, message);
	assert_true(reports.length < sizeof(reports.text));
}

static const char *path_in(void **state, const char *name)
{
	static char path[512];
	const struct unit_place *place = *state;

	(void)snprintf(path, sizeof(path), "%s/%s", place->path, name);
	return path;
}

static const char *file_of(void **state, const char *text, size_t length)
{
	const char *path = path_in(state, "f");
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, length), length);
	/* Not O_TRUNC: some file systems write a file out to the disk that was emptied first. */
	assert_int_equal(ftruncate(fd, (off_t)length), 0);
	assert_int_equal(close(fd), 0);
	return path;
}

static unsigned words_count(char **word)
{
	unsigned count = 0;

	while (word[count] != NULL)
		count++;
	return count;
}

static void begin(void)
{
	memset(&conf, 0, sizeof(conf));
	reports.length = reports.count = 0;
	reports.text[0] = '\0';
	conf_begin(&conf, report, &reports);
}

static bool read_bytes(void **state, const char *text, size_t length)
{
	begin();
	conf_file(&conf, file_of(state, text, length), false);
	return conf_end(&conf);
}

/* Reads `text`, after options that end with a NULL. */
static bool read_with(void **state, const char *const *option, const char *text)
{
	begin();
	for (unsigned i = 0; option[i] != NULL; i++)
		conf_option(&conf, option[i], i + 1);
	conf_file(&conf, file_of(state, text, strlen(text)), false);
	return conf_end(&conf);
}

static void good(void **state, const char *text)
{
	if (!read_bytes(state, text, strlen(text)))
		fail_msg("%s%s", text, reports.text);
	assert_int_equal(reports.count, 0);
}

static void bad(void **state, const char *text, const char *expected)
{
	assert_false(read_bytes(state, text, strlen(text)));
	assert_string_equal(reports.text, expected);
}

/* ---- Defaults and inheritance ---- */

static void conf_without_account_is_one_named_default(void **state)
{
	const struct account *account = &conf.accounts[0];

	good(state, REST);
	assert_int_equal(conf.accounts_count, 1);
	assert_string_equal(account->name, "default");
	assert_null(conf.state.text);
	assert_int_equal(conf.log, LOG_TARGET_AUTO);
	assert_int_equal(conf.idle.ms, 60000);
	assert_int_equal(account->limit.emission.ms, 5000); /* 12/m burst 6 */
	assert_int_equal(account->limit.burst, 6);
	assert_int_equal(account->interval.ms, 10000);
	assert_int_equal(account->timeout.ms, 300000);
	assert_int_equal(account->read_timeout.ms, 5000);
	assert_false(account->bare_lf);
	assert_string_equal(account->confine, "mail");
	assert_true(account->isolate);
	assert_string_equal(account->user.text, "nobody");
	assert_int_equal(account->to.count, 0);
	assert_int_equal(words_count(account->action.words), 1);
	assert_string_equal(account->action.words[0], "/bin/true");
	assert_null(account->action.words[1]);
}

static const char all_keywords[] = "state /var/state\n"
				   "log syslog\n"
				   "idle 0s\n"
				   "limit 1/s burst 3\n"
				   "interval 1s\n"
				   "timeout 2s\n"
				   "read-timeout 3s\n"
				   "bare-lf yes\n"
				   "user alice\n"
				   "confine local\n"
				   "isolate yes\n"
				   "from 192.0.2.1\n"
				   "to 192.0.2.2\n"
				   "action /bin/first a b\n"
				   "account one\n"
				   "account two\n"
				   "limit 1/m\n"
				   "interval 4s\n"
				   "timeout 5s\n"
				   "read-timeout 6s\n"
				   "bare-lf no\n"
				   "user bob\n"
				   "confine none\n"
				   "isolate no\n"
				   "from 198.51.100.1 local\n"
				   "to 198.51.100.2\n"
				   "action /bin/second\n";

static void conf_account_inherits_what_it_does_not_say(void **state)
{
	const struct account *one = &conf.accounts[0];

	good(state, all_keywords);
	assert_int_equal(conf.accounts_count, 2);
	assert_string_equal(conf.state.text, "/var/state");
	assert_int_equal(conf.log, LOG_TARGET_SYSLOG);
	assert_int_equal(conf.idle.ms, 0);
	assert_string_equal(one->name, "one");
	assert_int_equal(one->place.line, 15);
	assert_int_equal(one->limit.emission.ms, 1000);
	assert_int_equal(one->limit.burst, 3);
	assert_int_equal(one->interval.ms, 1000);
	assert_int_equal(one->timeout.ms, 2000);
	assert_int_equal(one->read_timeout.ms, 3000);
	assert_true(one->bare_lf);
	assert_string_equal(one->user.text, "alice");
	assert_string_equal(one->confine, "local");
	assert_true(one->isolate);
	assert_int_equal(one->from.count, 1);
	assert_int_equal(one->to.count, 1);
	assert_int_equal(words_count(one->action.words), 3);
	assert_string_equal(one->action.words[0], "/bin/first");
	assert_string_equal(one->action.words[2], "b");
	assert_null(one->action.words[3]);
}

static void conf_account_says_for_itself(void **state)
{
	const struct account *two = &conf.accounts[1];

	good(state, all_keywords);
	assert_string_equal(two->name, "two");
	assert_int_equal(two->place.line, 16);
	assert_int_equal(two->limit.emission.ms, 60000);
	assert_int_equal(two->limit.burst, 1);
	assert_int_equal(two->interval.ms, 4000);
	assert_int_equal(two->timeout.ms, 5000);
	assert_int_equal(two->read_timeout.ms, 6000);
	assert_false(two->bare_lf);
	assert_string_equal(two->user.text, "bob");
	assert_string_equal(two->confine, "none");
	assert_false(two->isolate);
	assert_int_equal(two->from.count, 2);
	assert_int_equal(two->to.count, 1);
	assert_int_equal(words_count(two->action.words), 1);
	assert_string_equal(two->action.words[0], "/bin/second");
	assert_null(two->action.words[1]);
}

/* What `local` is for is to tell other processes, so there it has to be said. */
static void conf_isolates_but_for_local(void **state)
{
	static const struct {
		const char *text;
		bool isolate[2];
	} table[] = {
		{ "account a\naccount b\nconfine none\n", { true, true } },
		{ "account a\nconfine local\naccount b\n", { false, true } },
		{ "confine local\naccount a\naccount b\nconfine mail\n", { false, true } },
		{ "confine local\nisolate yes\naccount a\naccount b\nisolate no\n",
			{ true, false } },
		{ "isolate no\naccount a\naccount b\nisolate yes\nconfine local\n",
			{ false, true } },
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char text[256];

		(void)snprintf(text, sizeof(text), "%s%s", REST, table[i].text);
		good(state, text);
		for (unsigned a = 0; a < 2; a++)
			assert_int_equal(conf.accounts[a].isolate, table[i].isolate[a]);
	}
}

static void conf_env_adds_up_and_is_of_its_block(void **state)
{
	static const char *const texts[] = { "A=1", "B=two words", "A=2", "C=", "_d9=x=y" };
	static const bool of[2][5] = {
		{ true, true, true, true, false },
		{ true, true, false, false, true },
	};

	good(state, "env A=1 'B=two words'\naccount a\n" REST "env A=2\nenv C=\naccount b\n" REST
		    "env _d9=x=y\n");
	assert_int_equal(conf.variables_count, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_string_equal(conf.variables[i].text, texts[i]);
		for (unsigned k = 0; k < 2; k++)
			assert_int_equal(
				conf_variable_is_of(&conf, &conf.variables[i], &conf.accounts[k]),
				of[k][i]);
	}
}

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
			(void)strcpy(message,
				"f:1: interval: 's' is one word too many: nothing can be behind '1'\n");
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
	bad(state, "limit 12/m burst 6 7\n", "f:1: limit: '7' is one word too many: nothing can be behind '6'\n");
}

/* (burst + 1) * T must fit the span that moments can be compared within. */
static void G3_conf_limit_with_too_long_a_window_is_refused(void **state)
{
	bad(state, "limit 1/7d\n",
		"f:1: limit: '1/7d': burst 1 at this rate takes more than 7d to recover: write a shorter PERIOD\n");
	bad(state, "limit 1/ms burst 604800000\n",
		"f:1: limit: '1/ms burst 604800000': burst 604800000 at this rate takes more than 7d to recover: write a shorter PERIOD, or a smaller burst\n");
	bad(state, "limit 1/604800000d\n",
		"f:1: limit: '1/604800000d': burst 1 at this rate takes more than 7d to recover: write a shorter PERIOD\n");
	bad(state, "limit 1/604800000d burst 4294967295\n",
		"f:1: limit: '1/604800000d burst 4294967295': burst 4294967295 at this rate takes more than 7d to recover: write a shorter PERIOD, or a smaller burst\n");
	/* T * (burst + 1) is a multiple of 2^64 here. */
	bad(state, "limit 1/536870912d burst 33554431\n",
		"f:1: limit: '1/536870912d burst 33554431': burst 33554431 at this rate takes more than 7d to recover: write a shorter PERIOD, or a smaller burst\n");
}

static void conf_values_that_are_wrong_are_told(void **state)
{
	static const char *const table[][2] = {
		{ "state run\n", "f:1: state: 'run' is not an absolute path: write it whole, from '/' on\n" },
		{ "state ''\n", "f:1: state: '' is not an absolute path: write it whole, from '/' on\n" },
		{ "log file\n", "f:1: log: 'file' is not auto, journal, syslog or stderr\n" },
		{ "isolate maybe\n", "f:1: isolate: 'maybe' is not yes or no\n" },
		{ "bare-lf maybe\n", "f:1: bare-lf: 'maybe' is not yes or no\n" },
		{ "bare-lf YES\n", "f:1: bare-lf: 'YES' is not yes or no\n" },
		{ "confine much\n", "f:1: confine: 'much' is no policy: write mail, local or none\n" },
		{ "action mbsync -a\n", "f:1: action: 'mbsync' is not an absolute path: write the one that 'command -v mbsync' shows\n" },
		{ "action ''\n", "f:1: action: '' is not an absolute path: write it whole, from '/' on\n" },
		{ "from 192.0.2.1/33\n",
			"f:1: from: '192.0.2.1/33': the prefix length is not a number from 0 to "
			"32\n" },
		{ "from example.org any\n",
			"f:1: from: 'example.org': names are not looked up: write the address that 'getent hosts example.org' shows, because an answer of the name service could change or be forged\n" },
		{ "to any\n", "f:1: to: 'any': not an address or network: without 'to' every local address counts\n" },
		{ "to local\n", "f:1: to: 'local': a Unix socket has no address: write those of this machine\n" },
		{ "env A\n", "f:1: env: 'A' is not NAME=value, such as TZ=UTC\n" },
		{ "env =1\n", "f:1: env: '=1' is not NAME=value, such as TZ=UTC\n" },
		{ "env 1A=1\n", "f:1: env: '1A=1' is not NAME=value, such as TZ=UTC\n" },
		{ "env A-B=1\n", "f:1: env: 'A-B=1' is not NAME=value, such as TZ=UTC\n" },
		{ "env 'A B=1'\n", "f:1: env: 'A B=1' is not NAME=value, such as TZ=UTC\n" },
		{ "env NMNOTIFY_SOURCE=x\n",
			"f:1: env: 'NMNOTIFY_SOURCE=x': NMNOTIFY_ is ours to set: write another name\n" },
		{ "env NMNOTIFY_=\n", "f:1: env: 'NMNOTIFY_=': NMNOTIFY_ is ours to set: write another name\n" },
	};

	for (unsigned i = 0; i < COUNT(table); i++)
		bad(state, table[i][0], table[i][1]);
}

static void conf_log_targets_have_names(void **state)
{
	static const char *const names[] = { "auto", "journal", "syslog", "stderr" };
	static const enum log_target targets[] = { LOG_TARGET_AUTO, LOG_TARGET_JOURNAL,
		LOG_TARGET_SYSLOG, LOG_TARGET_STDERR };
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
		{ "interval\n", "f:1: interval: a value is missing: write such as 'interval 10s'\n" },
		{ "interval 1s 2s\n",
			"f:1: interval: '2s' is one word too many: nothing can be behind '1s'\n" },
		{ "account\n", "f:1: account: a value is missing: write such as 'account home'\n" },
		{ "account a b\n",
			"f:1: account: 'b' is one word too many: nothing can be behind 'a'\n" },
		{ "from\n", "f:1: from: a value is missing: write such as 'from 192.0.2.25'\n" },
		{ "interval 1s\ninterval 2s\n", "f:2: interval is said twice, first on line 1: leave out one of them\n" },
		{ "from any\nfrom local\n", "f:2: from is said twice, first on line 1: write all of it on one line\n" },
		{ "account a\naction /a\naction /b\n", "f:3: action is said twice, first on line 2: leave out one of them\n" },
		{ "account a\nlog auto\n", "f:2: log belongs before the first account, a (line 1): write it there\n" },
		{ "account a\nstate /s\n", "f:2: state belongs before the first account, a (line 1): write it there\n" },
		{ "account a\nidle 1s\n", "f:2: idle belongs before the first account, a (line 1): write it there\n" },
		{ ACCOUNT "account a\n", "f:5: account: 'a' is there already (line 1): write another name\n" },
		{ "Interval 1s\n", "f:1: there is no keyword 'Interval': write 'interval' and a space\n" },
		{ "interval=1s\n", "f:1: there is no keyword 'interval=1s': write 'interval' and a space\n" },
		{ "''\n", "f:1: there is no keyword '': nmnotify.conf(5) has them all\n" },
		{ "interval 1s\r\n",
			"f:1: lines end in CR LF, as on Windows: save the file with LF alone, or convert it with dos2unix\n" },
		{ "log \x1b[1m\n", "f:1: a control character, '\x1b': remove it\n" },
		{ "\f\n", "f:1: a control character, '\f': remove it\n" },
		{ "interval 1s\nbad\n\n# bad\nbad 2\n",
			"f:2: there is no keyword 'bad': nmnotify.conf(5) has them all\nf:5: there is no keyword 'bad': nmnotify.conf(5) has them all\n" },
	};

	for (unsigned i = 0; i < COUNT(table); i++)
		bad(state, table[i][0], table[i][1]);
	assert_false(read_bytes(state, REST "\0interval 1s\n", sizeof(REST) + 12));
	assert_string_equal(reports.text, "f:4: a NUL byte: save the file as text, in UTF-8\n");
}

static void conf_account_that_is_not_whole_is_told(void **state)
{
	bad(state, "",
		geteuid() == 0 ? "f:0: account default has no 'from': write such as 'from 192.0.2.25'\n"
				 "f:0: account default has no 'action': write such as 'action /usr/bin/mbsync -q -a'\n"
				 "f:0: account default has no 'user', which root must have: write such as 'user alice'\n"
			       : "f:0: account default has no 'from': write such as 'from 192.0.2.25'\n"
				 "f:0: account default has no 'action': write such as 'action /usr/bin/mbsync -q -a'\n");
	bad(state, "user nobody\naccount a\nfrom any\n", "f:2: account a has no 'action': write such as 'action /usr/bin/mbsync -q -a'\n");
	bad(state, ACCOUNT "account b\nuser nobody\naction /b\n", "f:5: account b has no 'from': write such as 'from 192.0.2.25'\n");
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
	bad(state, text, "f:0: account default has no 'user', which root must have: write such as 'user alice'\n");
	assert_int_equal(chmod(((struct unit_place *)*state)->path, 0755), 0);
	unit_expect(unit_reap(unit_fork(read_as_stranger, (void *)(uintptr_t)path_in(state, "f"))));
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
		{ "'a", "f:3: action: 'a': a quote before it is not closed: write a second ', or \\' if it is meant as it is\n" },
		{ "\"a", "f:3: action: 'a': a quote before it is not closed: write a second \", or \\\" if it is meant as it is\n" },
		{ "a'b c", "f:3: action: 'b c': a quote before it is not closed: write a second ', or \\' if it is meant as it is\n" },
		{ "\"a\\\"", "f:3: action: 'a\"': a quote before it is not closed: write a second \", or \\\" if it is meant as it is\n" },
		{ "a\\", "f:3: action: 'a': a backslash ends the line, which cannot go on on the next one: write all on one line\n" },
		{ "\"a\\", "f:3: action: 'a': a backslash ends the line, which cannot go on on the next one: write all on one line\n" },
		{ "'a\\", "f:3: action: 'a\\': a quote before it is not closed: write a second ', or \\' if it is meant as it is\n" },
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
	FILE *script = fopen(path_in(state, "script"), "we"), *shell;
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
	(void)snprintf(command, sizeof(command), "sh '%s'", path_in(state, "script"));
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

/* ---- The command line ---- */

#define OPTIONS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void conf_option_goes_before_the_file_s_word(void **state)
{
	assert_true(read_with(state,
		OPTIONS("interval 1s", "state /o", "log stderr", "idle 5s", "from local",
			"action /o x", "limit 1/s"),
		"interval 2s\nstate /f\nlog syslog\nidle 6s\nfrom any\nuser nobody\n"
		"action /f\nlimit 2/s\ntimeout 9s\n"));
	assert_int_equal(conf.accounts[0].interval.ms, 1000);
	assert_int_equal(conf.accounts[0].timeout.ms, 9000);
	assert_int_equal(conf.accounts[0].limit.emission.ms, 1000);
	assert_string_equal(conf.state.text, "/o");
	assert_int_equal(conf.log, LOG_TARGET_STDERR);
	assert_int_equal(conf.idle.ms, 5000);
	assert_int_equal(conf.accounts[0].from.prefix[0].kind, PREFIX_LOCAL);
	assert_int_equal(conf.accounts[0].from.count, 1);
	assert_string_equal(conf.accounts[0].action.words[0], "/o");
	assert_string_equal(conf.accounts[0].action.words[1], "x");
}

/* What an option overrides is checked all the same, and an account's own word is nearer. */
static void conf_option_hides_no_mistake_and_no_account_s_own_word(void **state)
{
	assert_false(read_with(state, OPTIONS("interval 1s"), "interval x\n" REST));
	assert_string_equal(reports.text,
		"f:1: interval: 'x' is not a time such as 500ms, 10s, 5m, 2h or 1d\n");
	assert_true(read_with(state, OPTIONS("interval 1s"), ACCOUNT "interval 2s\n"));
	assert_int_equal(conf.accounts[0].interval.ms, 2000);
	assert_true(read_with(state, OPTIONS("env A=1"), "env B=2\n" REST));
	assert_int_equal(conf.variables_count, 2);
}

static void conf_options_are_numbered_and_checked(void **state)
{
	assert_false(read_with(
		state, OPTIONS("interval 1s", "interval 2s", "bad", "log a\nlog b"), REST));
	assert_string_equal(reports.text, "-o:2: interval is said twice, first on line 1: leave out one of them\n"
					  "-o:3: there is no keyword 'bad': nmnotify.conf(5) has them all\n"
					  "-o:4: a control character, '\n': remove it\n");
}

static void conf_options_alone_can_be_an_account(void **state)
{
	begin();
	conf_option(&conf, "account o", 1);
	conf_option(&conf, "from any", 2);
	conf_option(&conf, "user nobody", 3);
	conf_option(&conf, "action /bin/true 'a b'", 4);
	conf_file(&conf, path_in(state, "missing"), true);
	assert_true(conf_end(&conf));
	assert_int_equal(conf.accounts_count, 1);
	assert_string_equal(conf.accounts[0].name, "o");
	assert_string_equal(conf.accounts[0].action.words[1], "a b");
	assert_true(read_with(state, OPTIONS("account o", "from any", "user nobody", "action /o"),
		"interval 3s\n" ACCOUNT));
	assert_int_equal(conf.accounts_count, 2);
	assert_string_equal(conf.accounts[0].name, "o");
	assert_int_equal(conf.accounts[0].interval.ms, 3000); /* the file's defaults are all's */
	assert_string_equal(conf.accounts[1].name, "a");
}

/* ---- The file ---- */

static void conf_file_that_cannot_be_trusted_is_not_read(void **state)
{
	static const mode_t modes[] = { 0664, 0646, 0666, 0620 };
	const char *path;

	for (unsigned i = 0; i < COUNT(modes); i++) {
		begin();
		path = file_of(state, REST, sizeof(REST) - 1);
		assert_int_equal(chmod(path, modes[i]), 0);
		conf_file(&conf, path, false);
		assert_false(conf_end(&conf));
		assert_string_equal(reports.text, "f:0: others than its owner may write it: chmod go-w\n");
		assert_int_equal(conf.accounts_count, 0);
		assert_int_equal(unlink(path), 0);
	}
	if (geteuid() != 0)
		skip();
	begin();
	path = file_of(state, REST, sizeof(REST) - 1);
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
	conf_file(&conf, path_in(state, "missing"), false);
	assert_false(conf_end(&conf));
	assert_string_equal(reports.text, "missing:0: cannot open: No such file or directory\n");
	begin();
	conf_file(&conf, path_in(state, "missing"), true);
	assert_int_equal(reports.count, 0);
	begin();
	assert_int_equal(mkfifo(path_in(state, "fifo"), 0600), 0);
	conf_file(&conf, path_in(state, "fifo"), true);
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
	bad(state, large, "f:20: action: '/x' has too many words: 2048 in all actions is the most\n");
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

/* ---- The choice of an account ---- */

static const char *chosen(const char *from, const char *to)
{
	struct source source = { .kind = SOURCE_UNKNOWN }, local = { .kind = SOURCE_UNKNOWN };
	const struct account *account;

	if (strcmp(from, "local") == 0)
		source.kind = SOURCE_LOCAL;
	else if (strcmp(from, "unknown") != 0)
		assert_true(source_parse(from, &source));
	if (to != NULL)
		assert_true(source_parse(to, &local));
	account = conf_account(&conf, &source, &local);
	return account == NULL ? "nobody" : account->name;
}

static void conf_first_account_that_takes_a_connection_gets_it(void **state)
{
	good(state, "user nobody\naction /x\n"
		    "account one\nfrom 192.0.2.1 2001:db8:1::/48\nto 2001:db8::1 203.0.113.1\n"
		    "account two\nfrom 192.0.2.0/24\nto 203.0.113.2\n"
		    "account three\nfrom 192.0.2.1 192.0.2.3\n"
		    "account pipe\nfrom local\n");
	assert_string_equal(chosen("192.0.2.1", "203.0.113.1"), "one");
	assert_string_equal(chosen("::ffff:192.0.2.1", "2001:db8::1"), "one");
	assert_string_equal(chosen("2001:db8:1:2::3", "2001:db8::1"), "one");
	assert_string_equal(chosen("192.0.2.1", "203.0.113.2"), "two");
	assert_string_equal(chosen("192.0.2.2", "203.0.113.2"), "two");
	assert_string_equal(chosen("192.0.2.1", "203.0.113.3"), "three");
	assert_string_equal(chosen("192.0.2.3", NULL), "three");
	assert_string_equal(chosen("192.0.2.2", "203.0.113.1"), "nobody");
	assert_string_equal(chosen("2001:db8:2::1", "2001:db8::1"), "nobody");
	assert_string_equal(chosen("local", NULL), "pipe");
	assert_string_equal(chosen("unknown", NULL), "nobody");
	assert_true(conf_needs_to(&conf));
	good(state, ACCOUNT "account b\n" REST);
	assert_false(conf_needs_to(&conf));
	assert_string_equal(chosen("local", NULL), "a");
	assert_string_equal(chosen("unknown", NULL), "nobody");
	good(state, "to ::1\n" REST); /* inherited */
	assert_true(conf_needs_to(&conf));
}

/* ---- Anything ---- */

static const char *const tokens[] = { "state", "log", "idle", "account", "from", "to", "limit",
	"interval", "timeout", "read-timeout", "bare-lf", "user", "env", "confine", "isolate",
	"action", " ", " ", " ", " ", "\n", "\n", "\n", "\t", "#", "'", "\"", "\\", "any", "local",
	"192.0.2.0/24", "::1", "fe80::1%1", "12/m", "burst", "6", "0", "10s", "7d", "yes", "no",
	"A=1", "mail", "none", "/bin/true", "a", "b", "\r", "\x01", "\xff", "%s%n", "/", ":", "%",
	"=", "4294967296", "18446744073709551616" };

static bool is_of_memory(const void *first, size_t count, size_t size)
{
	const char *bytes = first;

	return count == 0 || (bytes >= conf.memory && count * size <= conf.reading.memory_used &&
		(size_t)(bytes - conf.memory) <= conf.reading.memory_used - count * size);
}

static void is_sound(const struct account *account)
{
	assert_true(account->from.count > 0 && words_count(account->action.words) > 0);
	assert_true(account->from.count + account->to.count <= conf.prefixes_count);
	assert_true(is_of_memory(account->from.prefix, account->from.count, sizeof(struct prefix)));
	assert_true(is_of_memory(account->to.prefix, account->to.count, sizeof(struct prefix)));
	assert_true(is_of_memory(account->action.words, words_count(account->action.words) + 1, sizeof(char *)));
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
			conf_file(&conf, path_in(state, "missing"), true);
		} else {
			size_t length = i % 3 == 1 ? compose(&seed, text) : scribble(&seed, text);

			conf_file(&conf, file_of(state, text, length), false);
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
		cmocka_unit_test(conf_without_account_is_one_named_default),
		cmocka_unit_test(conf_account_inherits_what_it_does_not_say),
		cmocka_unit_test(conf_account_says_for_itself),
		cmocka_unit_test(conf_isolates_but_for_local),
		cmocka_unit_test(conf_env_adds_up_and_is_of_its_block),
		cmocka_unit_test(conf_times_have_a_unit_and_bounds),
		cmocka_unit_test(conf_timeouts_are_not_zero),
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
		cmocka_unit_test(conf_option_goes_before_the_file_s_word),
		cmocka_unit_test(conf_option_hides_no_mistake_and_no_account_s_own_word),
		cmocka_unit_test(conf_options_are_numbered_and_checked),
		cmocka_unit_test(conf_options_alone_can_be_an_account),
		cmocka_unit_test(conf_file_that_cannot_be_trusted_is_not_read),
		cmocka_unit_test(conf_file_that_is_none_is_told),
		cmocka_unit_test(conf_bytes_fit_or_are_told),
		cmocka_unit_test(conf_words_of_a_line_fit_or_are_told),
		cmocka_unit_test(conf_accounts_fit_or_are_told),
		cmocka_unit_test(conf_prefixes_fit_or_are_told),
		cmocka_unit_test(conf_action_words_fit_or_are_told),
		cmocka_unit_test(conf_variables_fit_or_are_told),
		cmocka_unit_test(conf_first_account_that_takes_a_connection_gets_it),
		cmocka_unit_test(conf_of_any_bytes_is_sound_or_refused),
	};

	return cmocka_run_group_tests(tests, unit_place_make, unit_place_remove);
}
