/* SPDX-License-Identifier: ISC */
#include "capture.h"

struct said {
	enum verdict verdict;
};

static const char *said_of(struct state *state, bool is_mute, speaker *say, void *context)
{
	return lines_captured((struct capture){ .speak = say,
		.context = context,
		.log = home,
		.state = state,
		.is_mute = is_mute });
}

static void say_once(struct tally *tally, void *context)
{
	const struct said *said = context;

	tally_verdict(tally, said->verdict, NULL);
}

static void say_errors(struct tally *tally, void *context)
{
	(void)context;
	tally_error(tally, "%s: %s", "opening", "no");
	tally_error(tally, "%s", "word");
	tally_error(tally, "%d%%", 7);
}

static void tally_says_errors_in_printf_s_words(void **state)
{
	(void)state;
	assert_string_equal(lines_captured((struct capture){ .speak = say_errors, .log = nobody }),
		"verdict=error reason=\"opening: no\"\n"
		"verdict=error reason=word\n"
		"verdict=error reason=7%\n");
}

static void say_many(struct tally *tally, void *context)
{
	const struct said *said = context;

	for (unsigned i = 0; i < 50; i++)
		tally_verdict(tally, said->verdict, NULL);
}

static unsigned lines_in(const char *text)
{
	unsigned lines = 0;

	while ((text = strchr(text, '\n')) != NULL) {
		text++;
		lines++;
	}
	return lines;
}

static void G4_tally_lines_that_a_flood_causes_are_limited(void **state)
{
	struct state *shared = unit_shared(sizeof(*shared));

	(void)state;
	for (unsigned i = 0; i < VERDICTS; i++) {
		struct said said = { .verdict = (enum verdict)i };
		/* The others come once in an interval. */
		bool floods = i != VERDICT_ACCEPTED && i != VERDICT_DEFERRED;

		assert_int_equal(
			lines_in(said_of(shared, false, say_many, &said)), floods ? 10 : 50);
		assert_int_equal(atomic_load(&shared->verdicts[i]), 50);
		assert_int_equal(atomic_load(&shared->suppressed[i]), floods ? 40 : 0);
	}
	unit_unshare(shared, sizeof(*shared));
}

/* There is nothing to count in: then a flood must cause no line, and our own failure one. */
static void G4_tally_without_state_says_nothing_but_errors(void **state)
{
	(void)state;
	for (int mute = 0; mute < 2; mute++) {
		for (unsigned i = 0; i < VERDICTS; i++) {
			struct said said = { .verdict = (enum verdict)i };
			bool is_said = i == VERDICT_ERROR && mute == 0;

			assert_int_equal(lines_in(said_of(NULL, mute == 1, say_many, &said)),
				is_said ? 50 : 0);
		}
	}
}

static void tally_says_how_many_lines_it_suppressed(void **state)
{
	struct state *shared = unit_shared(sizeof(*shared));

	(void)state;
	(void)said_of(shared, false, say_many, &(struct said){ .verdict = VERDICT_TIMEOUT });
	atomic_store(&shared->log_tat[VERDICT_TIMEOUT], 0); /* as after a long time */
	assert_string_equal(
		said_of(shared, false, say_once, &(struct said){ .verdict = VERDICT_TIMEOUT }),
		"verdict=timeout account=home source=192.0.2.25 suppressed=40\n");
	assert_string_equal(
		said_of(shared, false, say_once, &(struct said){ .verdict = VERDICT_TIMEOUT }),
		"verdict=timeout account=home source=192.0.2.25\n");
	unit_unshare(shared, sizeof(*shared));
}

static void tally_admits_what_it_then_counts_as_told(void **state)
{
	struct state *shared = unit_shared(sizeof(*shared));
	uint32_t suppressed = 99, admitted = 0;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		admitted += tally_admit(shared, VERDICT_DENIED, &suppressed);
		assert_int_equal(suppressed, 0);
	}
	assert_int_equal(admitted, 10);
	atomic_store(&shared->log_tat[VERDICT_DENIED], 0);
	assert_true(tally_admit(shared, VERDICT_DENIED, &suppressed));
	assert_int_equal(suppressed, 40);
	assert_int_equal(atomic_load(&shared->verdicts[VERDICT_DENIED]), 51);
	assert_true(tally_admit(shared, VERDICT_ACCEPTED, &suppressed));
	assert_int_equal(suppressed, 0);
	unit_unshare(shared, sizeof(*shared));
}

#define SPEAKERS 8
#define WORDS    3000

struct choir {
	_Atomic unsigned here;
	struct state state;
};

static void sing(struct tally *tally, void *context)
{
	(void)context;
	for (unsigned i = 0; i < WORDS; i++)
		tally_verdict(tally, VERDICT_MALFORMED, NULL);
}

static int sing_together(void *context)
{
	struct capture *capture = context;
	struct choir *choir = capture->context;

	unit_meet(&choir->here, SPEAKERS);
	return speak(context);
}

/* Every call made either a line, or one more in the `suppressed` of a line that came, or will. */
static void tally_counts_are_exact_under_any_number_of_processes(void **state)
{
	static char text[TEXT_MAX];
	struct choir *choir = unit_shared(sizeof(*choir));
	struct capture capture = { .speak = sing, .context = choir, .log = nobody };
	unsigned lines = 0;
	uint64_t suppressed = 0;
	int fd[2];
	ssize_t length;

	(void)state;
	capture.log.program = "nmnotify";
	capture.log.target = LOG_TARGET_STDERR;
	capture.state = &choir->state;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	capture.pipe = fd[1];
	unit_crowd(SPEAKERS, sing_together, &capture);
	length = read(fd[0], text, sizeof(text) - 1);
	text[length > 0 ? length : 0] = '\0';
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		const char *count = strstr(line, " suppressed=");

		assert_memory_equal(line, "nmnotify[", 9);
		assert_non_null(strstr(line, "]: verdict=malformed"));
		suppressed += count != NULL ? strtoull(count + 12, NULL, 10) : 0;
		lines++;
	}
	suppressed += atomic_load(&choir->state.suppressed[VERDICT_MALFORMED]);
	assert_in_range(lines, 10, 12); /* one in ten seconds more */
	assert_int_equal(lines + suppressed, SPEAKERS * WORDS);
	assert_int_equal(atomic_load(&choir->state.verdicts[VERDICT_MALFORMED]), SPEAKERS * WORDS);
	(void)close(fd[0]);
	(void)close(fd[1]);
	unit_unshare(choir, sizeof(*choir));
}

/* Of 32 bits: with 64, some machines' locks are each process's own. */
struct count {
	_Atomic uint32_t here, calls, admitted, suppressed;
	struct state state;
};

#define CALLS_EACH 20000

/* Every now and then the limit forgets, so that lines are admitted all the time. */
static int admit_and_forget(void *context)
{
	struct count *count = context;
	uint64_t seed = 1 + atomic_fetch_add(&count->here, 1);

	for (unsigned i = 0; i < CALLS_EACH; i++) {
		uint32_t suppressed;

		if (random_below(&seed, 40) == 0)
			atomic_store(&count->state.log_tat[VERDICT_DENIED], 0);
		atomic_fetch_add(&count->calls, 1);
		atomic_fetch_add(
			&count->admitted, tally_admit(&count->state, VERDICT_DENIED, &suppressed));
		atomic_fetch_add(&count->suppressed, suppressed);
	}
	return 0;
}

/* However many lines are admitted at once, each suppressed one is told by one of them. */
static void tally_tells_each_suppressed_line_once(void **state)
{
	struct count *count = unit_shared(sizeof(*count));

	(void)state;
	unit_crowd(6, admit_and_forget, count);
	assert_true(atomic_load(&count->admitted) > 10);
	assert_true(atomic_load(&count->suppressed) > 10);
	assert_int_equal(atomic_load(&count->admitted) + atomic_load(&count->suppressed) +
				 atomic_load(&count->state.suppressed[VERDICT_DENIED]),
		atomic_load(&count->calls));
	unit_unshare(count, sizeof(*count));
}

/* No content of the limit's word silences the log for longer than its window. */
static void G6_tally_limit_with_any_word_is_a_limit(void **state)
{
	struct state *shared = unit_shared(sizeof(*shared));
	uint32_t now = moment_now().ms, suppressed;
	const uint32_t beyond[] = { 0, now - 1, now - 100000, now + 0x80000000u, now + 200000,
		UINT32_MAX };

	(void)state;
	for (unsigned i = 0; i < COUNT(beyond); i++) {
		if (beyond[i] - now - 1 < 150000)
			continue; /* by chance within the window */
		atomic_store(&shared->log_tat[VERDICT_DENIED], beyond[i]);
		assert_true(tally_admit(shared, VERDICT_DENIED, &suppressed));
		assert_in_range(atomic_load(&shared->log_tat[VERDICT_DENIED]) - now, 10000, 20000);
	}
	unit_unshare(shared, sizeof(*shared));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tally_says_errors_in_printf_s_words),
		cmocka_unit_test(G4_tally_lines_that_a_flood_causes_are_limited),
		cmocka_unit_test(G4_tally_without_state_says_nothing_but_errors),
		cmocka_unit_test(tally_says_how_many_lines_it_suppressed),
		cmocka_unit_test(tally_admits_what_it_then_counts_as_told),
		cmocka_unit_test(tally_counts_are_exact_under_any_number_of_processes),
		cmocka_unit_test(tally_tells_each_suppressed_line_once),
		cmocka_unit_test(G6_tally_limit_with_any_word_is_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
