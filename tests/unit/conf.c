/* SPDX-License-Identifier: ISC */
#include "reading.h"

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
				   "landlock required\n"
				   "read default ~/x /y\n"
				   "write ~\n"
				   "execute any\n"
				   "connect imaps 1 default 65535\n"
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
				   "landlock no\n"
				   "read any\n"
				   "write default\n"
				   "execute /z\n"
				   "connect any\n"
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
	assert_int_equal(one->place.line, 20);
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
	assert_int_equal(two->place.line, 21);
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

/* va_start(3) takes no bool. */
static void are_paths(const struct path_list *list, int is_any, int has_default, ...)
{
	const char *word;
	va_list words;
	unsigned i = 0;

	assert_true(list->is_said);
	assert_int_equal(list->is_any, is_any);
	assert_int_equal(list->has_default, has_default);
	va_start(words, has_default);
	while ((word = va_arg(words, const char *)) != NULL)
		assert_string_equal(list->word[i++], word);
	va_end(words);
	assert_int_equal(list->count, i);
}

static void conf_what_the_action_can_reach_is_inherited_too(void **state)
{
	const struct account *one = &conf.accounts[0], *two = &conf.accounts[1];

	good(state, all_keywords);
	assert_int_equal(one->landlock, LANDLOCK_REQUIRED);
	are_paths(&one->read, false, true, "~/x", "/y", NULL);
	are_paths(&one->write, false, false, "~", NULL);
	are_paths(&one->execute, true, false, NULL);
	assert_int_equal(one->connect.count, 3);
	assert_int_equal(one->connect.port[0], 993);
	assert_int_equal(one->connect.port[1], 1);
	assert_int_equal(one->connect.port[2], 65535);
	assert_true(one->connect.is_said && one->connect.has_default && !one->connect.is_any);
	assert_int_equal(two->landlock, LANDLOCK_NO);
	are_paths(&two->read, true, false, NULL);
	are_paths(&two->write, false, true, NULL);
	are_paths(&two->execute, false, false, "/z", NULL);
	assert_true(two->connect.is_any && two->connect.count == 0);
	good(state, REST);
	assert_int_equal(one->landlock, LANDLOCK_YES);
	assert_false(one->read.is_said || one->write.is_said || one->execute.is_said);
	assert_false(one->connect.is_said);
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
	assert_string_equal(reports.text,
		"-o:2: interval is said twice, first on line 1: leave out one of them\n"
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
	conf_file(&conf, unit_path(state, "missing"), true);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conf_without_account_is_one_named_default),
		cmocka_unit_test(conf_account_inherits_what_it_does_not_say),
		cmocka_unit_test(conf_account_says_for_itself),
		cmocka_unit_test(conf_what_the_action_can_reach_is_inherited_too),
		cmocka_unit_test(conf_isolates_but_for_local),
		cmocka_unit_test(conf_env_adds_up_and_is_of_its_block),
		cmocka_unit_test(conf_option_goes_before_the_file_s_word),
		cmocka_unit_test(conf_option_hides_no_mistake_and_no_account_s_own_word),
		cmocka_unit_test(conf_options_are_numbered_and_checked),
		cmocka_unit_test(conf_options_alone_can_be_an_account),
		cmocka_unit_test(conf_first_account_that_takes_a_connection_gets_it),
	};

	return cmocka_run_group_tests(tests, unit_place_make, unit_place_remove);
}
