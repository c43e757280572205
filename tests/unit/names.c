/* SPDX-License-Identifier: ISC */
/*
 * The look-ups, with a process of the test's in place of the real one: this program, executed anew.
 * What it answers hangs on the name:
 *
 *   aA.test       192.0.2.A, for a day
 *   brief.test    192.0.2.1, for a second
 *   busy.test     that there is too much to do
 *   never.test    nothing
 *   reverse.test  nothing until stop.test: that is answered, and then this
 *   leave.test    ends, in order
 *   die.test      ends with status 7
 *   count.test    192.0.2.N, N how many questions there have been
 */
#include "unit.h"

#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "relay/names.h"
#include "relay/resolver.h"
#include "relay/resolver_hosts.h"

#define TIMEOUT_MS 3000

/* ---- In the process ---- */

static void fake_send(uint64_t id, enum resolver_wrong wrong, unsigned last, uint32_t lives_s)
{
	struct resolver_answer answer = { .id = id, .wrong = wrong, .lives_s = lives_s };

	if (wrong == RESOLVER_FINE) {
		answer.count = 1;
		answer.address[0] = (struct resolver_address){ .bits = 32,
			.bytes = { 192, 0, 2, (uint8_t)last } };
	}
	(void)send(RELAY_FD, &answer, sizeof(answer), MSG_NOSIGNAL);
}

static void fake_answer(const struct resolver_question *question)
{
	static unsigned count;
	static uint64_t reverse;
	const char *name = question->name;

	count++;
	if (strcmp(name, "leave.test") == 0)
		_exit(0);
	if (strcmp(name, "die.test") == 0)
		_exit(7);
	if (strcmp(name, "never.test") == 0)
		return;
	if (strcmp(name, "reverse.test") == 0) {
		reverse = question->id;
		return;
	}
	if (strcmp(name, "busy.test") == 0)
		fake_send(question->id, RESOLVER_BUSY, 0, 0);
	else if (strcmp(name, "brief.test") == 0)
		fake_send(question->id, RESOLVER_FINE, 1, 1);
	else if (strcmp(name, "count.test") == 0)
		fake_send(question->id, RESOLVER_FINE, count, 0);
	else
		fake_send(
			question->id, RESOLVER_FINE, (unsigned)strtoul(name + 1, NULL, 10), 86400);
	if (strcmp(name, "stop.test") == 0)
		fake_send(reverse, RESOLVER_FINE, 9, 86400);
}

static int fake_main(void)
{
	struct resolver_start start;
	struct resolver_question question;

	if (recv(RELAY_FD, &start, sizeof(start), 0) != (ssize_t)sizeof(start) ||
		start.timeout_ms != TIMEOUT_MS || start.relay != getppid())
		return 1;
	while (recv(RELAY_FD, &question, sizeof(question), 0) == (ssize_t)sizeof(question))
		fake_answer(&question);
	return 0;
}

/* ---- In the test ---- */

struct stage {
	sd_event *loop;
	struct names *names;
	unsigned said;
	char message[200];
};

struct told {
	struct stage *stage;
	unsigned count; /* how often */
	struct name_answer answer;
	const char *then; /* asked for from within the answer */
	struct told *then_told;
};

static void on_said(void *context, const char *message)
{
	struct stage *stage = context;

	stage->said++;
	(void)snprintf(stage->message, sizeof(stage->message), "%s", message);
}

static void on_answer(void *context, const struct name_answer *answer)
{
	struct told *told = context;

	told->count++;
	told->answer = *answer;
	if (told->then != NULL)
		names_look_up(told->stage->names, told->then, on_answer, told->then_told);
}

static int stage_open(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	*state = stage;
	if (stage == NULL || sd_event_new(&stage->loop) < 0)
		return -1;
	stage->names = names_open((struct span){ .ms = TIMEOUT_MS }, stage->loop, on_said, stage);
	return stage->names == NULL ? -1 : 0;
}

static int stage_close(void **state)
{
	struct stage *stage = *state;

	names_close(stage->names);
	(void)sd_event_unref(stage->loop);
	free(stage);
	return 0;
}

static void run_until_told(struct stage *stage, const struct told *told, unsigned count)
{
	uint64_t end = unit_ms() + UNIT_PATIENCE_MS;

	while (told->count < count && unit_ms() < end)
		assert_true(sd_event_run(stage->loop, 100000) >= 0);
	assert_int_equal(told->count, count);
}

static struct name_answer ask(struct stage *stage, const char *name)
{
	struct told told = { .stage = stage };

	names_look_up(stage->names, name, on_answer, &told);
	assert_int_equal(told.count, 0); /* by the loop, always */
	run_until_told(stage, &told, 1);
	return told.answer;
}

/* The last byte of the one address; 0: there is none. */
static unsigned last_of(struct stage *stage, const char *name)
{
	struct name_answer answer = ask(stage, name);

	return answer.count == 1 ? answer.address[0].address[3] : 0;
}

static void name_is_written_as_it_is_compared(void **state)
{
	static const struct {
		const char *name, *taken;
	} good[] = {
		{ "a", "a" },
		{ "A.B.", "a.b" },
		{ "x-1_y.Test", "x-1_y.test" },
		{ "_x.test", "_x.test" },
		{ "1.2.3.4.com", "1.2.3.4.com" },
		{ "3com", "3com" },
	};
	static const char *const bad[] = { "", ".", "..", "a..", ".a", "a..b", "-a", "a-", "a-.b",
		"a b", "a\n", "\x01", "a\x7f", "a\xc3\xa9", "192.0.2.1", "a.1", "1", "127.1", "::1",
		"a/b", "a:1", "*.a", "a,b" };
	char taken[DNS_NAME_MAX + 1], text[400];

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_null(name_take(good[i].name, taken));
		assert_string_equal(taken, good[i].taken);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_non_null(name_take(bad[i], taken));
	/* Labels of 63 and names of 253, a dot at the end not counted; and one more. */
	memset(text, 'a', sizeof(text));
	text[63] = text[127] = text[191] = '.';
	text[254] = '\0';
	assert_non_null(name_take(text, taken));
	text[253] = '.';
	assert_null(name_take(text, taken));
	assert_int_equal(strlen(taken), 253);
	text[253] = '\0';
	assert_null(name_take(text, taken));
	text[63] = 'a';
	assert_non_null(name_take(text, taken));
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_non_null(name_take(text, taken));
}

static void S7_answer_that_is_none_is_refused(void **state)
{
	const struct resolver_answer good = { .count = 2,
		.lives_s = 60,
		.address = { { 32, 0, { 192, 0, 2, 1 } }, { 128, 0, { 0x20, 1, 0xd, 0xb8 } } } };
	struct resolver_answer told = good;
	struct name_answer answer;

	(void)state;
	assert_true(resolver_answer_take(&good, sizeof(good), &answer));
	assert_int_equal(answer.count, 2);
	assert_int_equal(answer.address[0].kind, SOURCE_IPV4);
	assert_int_equal(answer.address[1].kind, SOURCE_IPV6);
	assert_null(answer.wrong);
	assert_false(resolver_answer_take(&good, sizeof(good) - 1, &answer));
	assert_false(resolver_answer_take(&good, sizeof(good) + 1, &answer));
	assert_false(resolver_answer_take(&good, 0, &answer));
#define REFUSED(member, value)                                                                     \
	told = good;                                                                               \
	told.member = (value);                                                                     \
	assert_false(resolver_answer_take(&told, sizeof(told), &answer))
	REFUSED(nothing, 1);
	REFUSED(wrong, RESOLVER_SILENT);
	REFUSED(wrong, UINT32_MAX);
	REFUSED(count, 0);
	REFUSED(count, 1);
	REFUSED(count, 3);
	REFUSED(count, NAME_ADDRESSES_MAX + 1);
	REFUSED(count, UINT32_MAX);
	REFUSED(address[0].bits, 31);
	REFUSED(address[0].bits, 0);
	REFUSED(address[0].bytes[4], 1);
	REFUSED(address[0].scope, 1);
	REFUSED(address[1].scope, 1);
	REFUSED(address[15].bytes[15], 1);
	told = good;
	told.address[1] =
		(struct resolver_address){ 128, 0, { [10] = 0xff, [11] = 0xff, [12] = 10 } };
	assert_false(resolver_answer_take(&told, sizeof(told), &answer));
	told.address[1] = (struct resolver_address){ 128, 7, { 0xfe, 0x80 } };
	assert_true(resolver_answer_take(&told, sizeof(told), &answer));
	assert_int_equal(answer.address[1].scope, 7);
	told = (struct resolver_answer){ .wrong = RESOLVER_WRONGS };
	assert_false(resolver_answer_take(&told, sizeof(told), &answer));
	told.wrong = UINT32_MAX;
	assert_false(resolver_answer_take(&told, sizeof(told), &answer));
	for (uint32_t wrong = 1; wrong < RESOLVER_WRONGS; wrong++) {
		told = (struct resolver_answer){ .wrong = wrong };
		assert_true(resolver_answer_take(&told, sizeof(told), &answer));
		assert_int_equal(answer.count, 0);
		assert_non_null(answer.wrong);
		assert_int_equal(answer.lives.ms, 10000);
	}
}

static void time_to_live_is_bounded(void **state)
{
	static const uint32_t lives[][2] = { { 0, 1 }, { 1, 1 }, { 2, 2 }, { 86400, 86400 },
		{ 86401, 86400 }, { UINT32_MAX, 86400 } };
	struct resolver_answer told = { .count = 1, .address = { { 32, 0, { 10 } } } };
	struct name_answer answer;

	(void)state;
	for (size_t i = 0; i < COUNT(lives); i++) {
		told.lives_s = lives[i][0];
		assert_true(resolver_answer_take(&told, sizeof(told), &answer));
		assert_int_equal(answer.lives.ms, lives[i][1] * 1000);
	}
}

static void name_is_known_for_its_time(void **state)
{
	struct stage *stage = *state;

	assert_int_equal(last_of(stage, "count.test"), 1);
	assert_int_equal(last_of(stage, "count.test"), 1);
	unit_sleep_ms(1050);
	assert_int_equal(last_of(stage, "count.test"), 2);
	assert_int_equal(last_of(stage, "a5.test"), 5);
	assert_int_equal(last_of(stage, "A5.test."), 5);
	unit_sleep_ms(1050);
	assert_int_equal(last_of(stage, "count.test"), 4);
	assert_int_equal(stage->said, 0);
}

static void answer_may_ask_again(void **state)
{
	struct stage *stage = *state;
	struct told last = { .stage = stage };
	struct told same = { .stage = stage, .then = "a3.test", .then_told = &last };
	struct told first = { .stage = stage, .then = "a2.test", .then_told = &same };

	names_look_up(stage->names, "a2.test", on_answer, &first);
	run_until_told(stage, &last, 1);
	assert_int_equal(first.count, 1);
	assert_int_equal(same.count, 1);
	assert_int_equal(last.answer.address[0].address[3], 3);
	/* Known by now: told by the loop all the same, and again. */
	same.then = NULL;
	names_look_up(stage->names, "a2.test", on_answer, &first);
	assert_int_equal(first.count, 1);
	run_until_told(stage, &same, 2);
	assert_int_equal(first.count, 2);
}

static void asked_together_answered_together(void **state)
{
	struct stage *stage = *state;
	struct told told = { .stage = stage };

	for (unsigned i = 0; i < 1000; i++)
		names_look_up(stage->names, "count.test", on_answer, &told);
	run_until_told(stage, &told, 1000);
	assert_int_equal(told.answer.address[0].address[3], 1);
}

static void answers_come_in_any_order(void **state)
{
	struct stage *stage = *state;
	struct told reverse = { .stage = stage }, stop = { .stage = stage };

	names_look_up(stage->names, "reverse.test", on_answer, &reverse);
	names_look_up(stage->names, "stop.test", on_answer, &stop);
	run_until_told(stage, &reverse, 1);
	assert_int_equal(stop.count, 1);
	assert_int_equal(reverse.answer.address[0].address[3], 9);
	assert_int_equal(stage->said, 0);
}

static void S4_names_at_once_are_bounded(void **state)
{
	struct stage *stage = *state;
	struct told told = { .stage = stage }, more = { .stage = stage };
	char name[64];

	for (unsigned i = 0; i < NAMES_ASKED_MAX; i++) {
		(void)snprintf(name, sizeof(name), "a1-%u.test", i);
		names_look_up(stage->names, name, on_answer, &told);
	}
	names_look_up(stage->names, "a2.test", on_answer, &more);
	names_look_up(stage->names, "a1-0.test", on_answer, &told); /* shares a question */
	run_until_told(stage, &told, NAMES_ASKED_MAX + 1);
	run_until_told(stage, &more, 1);
	assert_int_equal(told.answer.count, 1);
	assert_string_equal(more.answer.wrong, "too many names at once");
	assert_int_equal(last_of(stage, "a2.test"), 2);
}

static void S4_who_waits_is_bounded(void **state)
{
	struct stage *stage = *state;
	struct told told = { .stage = stage }, more = { .stage = stage };

	for (unsigned i = 0; i < NAME_ASKERS_MAX; i++)
		names_look_up(stage->names, i % 2 ? "a1.test" : "-", on_answer, &told);
	assert_int_equal(told.count, 0);
	names_look_up(stage->names, "a1.test", on_answer, &more);
	assert_int_equal(more.count, 1);
	assert_string_equal(more.answer.wrong, "too many names at once");
	run_until_told(stage, &told, NAME_ASKERS_MAX);
	assert_int_equal(last_of(stage, "a1.test"), 1);
}

/* Who was wanted longest ago is forgotten. */
static void S4_names_known_are_bounded(void **state)
{
	struct stage *stage = *state;
	char name[64];

	assert_int_equal(last_of(stage, "a7.test"), 7);
	for (unsigned i = 0; i < NAMES_MAX - 2; i++) {
		(void)snprintf(name, sizeof(name), "a1-%u.test", i);
		assert_int_equal(last_of(stage, name), 1);
	}
	assert_int_equal(last_of(stage, "a7.test"), 7);
	assert_int_equal(last_of(stage, "a8.test"), 8); /* full */
	assert_int_equal(last_of(stage, "a9.test"), 9); /* forgets a1-0 */
	assert_int_equal(last_of(stage, "count.test"), (NAMES_MAX - 2 + 4) % 256); /* and a1-1 */
	assert_int_equal(last_of(stage, "a7.test"), 7);
	assert_int_equal(last_of(stage, "a1-0.test"), 1);
	unit_sleep_ms(1050);
	assert_int_equal(last_of(stage, "count.test"), (NAMES_MAX - 2 + 6) % 256);
}

static void silence_ends_in_time(void **state)
{
	struct stage *stage = *state;
	uint64_t begun = unit_ms();
	struct told never = { .stage = stage };

	names_look_up(stage->names, "never.test", on_answer, &never);
	unit_sleep_ms(10); /* what is answered later than it was asked */
	assert_int_equal(last_of(stage, "a1.test"), 1);
	run_until_told(stage, &never, 1);
	assert_in_range(unit_ms() - begun, TIMEOUT_MS - 1, TIMEOUT_MS + UNIT_SLACK_MS);
	assert_non_null(never.answer.wrong);
	assert_int_equal(stage->said, 0); /* it has answered others: it does not hang */
	begun = unit_ms();
	names_look_up(stage->names, "never.test", on_answer, &never);
	run_until_told(stage, &never, 2);
	assert_in_range(unit_ms() - begun, TIMEOUT_MS - 1, TIMEOUT_MS + UNIT_SLACK_MS);
	assert_int_equal(stage->said, 1); /* and now it has not */
	assert_int_equal(last_of(stage, "a2.test"), 2);
}

static void S5_end_of_the_process_is_no_end(void **state)
{
	struct stage *stage = *state;
	struct told told = { .stage = stage };

	names_look_up(stage->names, "leave.test", on_answer, &told);
	run_until_told(stage, &told, 1);
	assert_non_null(told.answer.wrong);
	assert_int_equal(stage->said, 0); /* as it should */
	names_reload(stage->names);       /* the next one is started at once */
	names_look_up(stage->names, "die.test", on_answer, &told);
	run_until_told(stage, &told, 2);
	assert_string_equal(stage->message,
		"the process that looks up names ended, status 7: it is started anew");
	assert_int_equal(stage->said, 1);
	names_reload(stage->names);
	assert_int_equal(last_of(stage, "a3.test"), 3);
}

static void reload_forgets(void **state)
{
	struct stage *stage = *state;
	struct told told = { .stage = stage };

	assert_int_equal(last_of(stage, "a1.test"), 1);
	assert_int_equal(last_of(stage, "count.test"), 2);
	names_reload(stage->names);
	assert_int_equal(last_of(stage, "count.test"), 1); /* another process */
	names_look_up(stage->names, "a4.test", on_answer, &told);
	names_reload(stage->names); /* who waits goes on waiting */
	names_reload(stage->names);
	run_until_told(stage, &told, 1);
	assert_int_equal(told.answer.address[0].address[3], 4);
	assert_int_equal(stage->said, 0);
}

static void busy_is_not_remembered(void **state)
{
	struct stage *stage = *state;

	assert_string_equal(ask(stage, "busy.test").wrong, "too many names at once");
	assert_int_equal(last_of(stage, "count.test"), 2);
	assert_non_null(ask(stage, "busy.test").wrong);
	unit_sleep_ms(1050);
	assert_int_equal(last_of(stage, "count.test"), 4);
}

static void close_while_they_wait(void **state)
{
	struct stage *stage = *state;
	struct told told = { .stage = stage };

	names_look_up(stage->names, "never.test", on_answer, &told);
	names_look_up(stage->names, "-", on_answer, &told);
	(void)sd_event_run(stage->loop, 0);
	assert_in_range(told.count, 0, 1); /* the rest is stage_close()'s */
}

static void hosts_of(struct unit_place *place, const char *text, struct hosts *hosts)
{
	char path[300];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/hosts", place->path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
	hosts_read(hosts, path);
}

static void hosts_file_is_read_as_it_is_written(void **state)
{
	struct hosts hosts;
	struct source address[4];

	hosts_of(*state,
		"# 192.0.2.1 no\n192.0.2.1 a A.test.\t b # c\n\n  2001:db8::1 a\nx a\n192.0.2.1 a\n"
		"::ffff:192.0.2.3 d\r\n192.0.2.4\n192.0.2.5 a#b\n192.0.2.6 e",
		&hosts);
	assert_int_equal(hosts_find(&hosts, "a", address, 4), 3);
	assert_int_equal(address[0].kind, SOURCE_IPV4);
	assert_int_equal(address[1].kind, SOURCE_IPV6);
	assert_int_equal(address[2].address[3], 5);
	assert_int_equal(hosts_find(&hosts, "a", address, 1), 1);
	assert_int_equal(hosts_find(&hosts, "a.test", address, 4), 1);
	assert_int_equal(hosts_find(&hosts, "b", address, 4), 1);
	assert_int_equal(hosts_find(&hosts, "d", address, 4), 1);
	assert_int_equal(address[0].kind, SOURCE_IPV4);
	assert_int_equal(hosts_find(&hosts, "e", address, 4), 1);
	assert_int_equal(hosts_find(&hosts, "c", address, 4), 0);
	assert_int_equal(hosts_find(&hosts, "no", address, 4), 0);
	assert_int_equal(hosts_find(&hosts, "x", address, 4), 0);
	assert_int_equal(hosts_find(&hosts, "192.0.2.4", address, 4), 0);
	free(hosts.text);
	free(hosts.host);
	hosts_read(&hosts, "/nowhere/hosts");
	assert_int_equal(hosts_find(&hosts, "a", address, 4), 0);
	hosts_of(*state, "", &hosts);
	assert_int_equal(hosts_find(&hosts, "a", address, 4), 0);
	free(hosts.text);
	free(hosts.host);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, stage_open, stage_close)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_is_written_as_it_is_compared),
		cmocka_unit_test(S7_answer_that_is_none_is_refused),
		cmocka_unit_test(time_to_live_is_bounded),
		UNIT_TEST_PLACE(hosts_file_is_read_as_it_is_written),
		STAGED(name_is_known_for_its_time),
		STAGED(answer_may_ask_again),
		STAGED(asked_together_answered_together),
		STAGED(answers_come_in_any_order),
		STAGED(S4_names_at_once_are_bounded),
		STAGED(S4_who_waits_is_bounded),
		STAGED(S4_names_known_are_bounded),
		STAGED(silence_ends_in_time),
		STAGED(S5_end_of_the_process_is_no_end),
		STAGED(reload_forgets),
		STAGED(busy_is_not_remembered),
		STAGED(close_while_they_wait),
	};

	if (argc > 0 && strcmp(argv[0], RESOLVER_NAME) == 0)
		return fake_main();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
