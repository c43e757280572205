/* SPDX-License-Identifier: ISC */
#include "lib/keyword.h"

#include <stdio.h>
#include <string.h>

#include "conf/keywords.h"
#include "lib/reading.h"
#include "unit.h"

static char said[512];

static void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	(void)context;
	(void)severity;
	(void)snprintf(said, sizeof(said), "%s:%u: %s", file, line, message);
}

/* What is shown as an example is right, also to who wants advice. */
static void keyword_example_is_taken(void **state)
{
	static struct conf conf;

	(void)state;
	for (unsigned i = 0; i < KEYWORDS; i++) {
		char line[64];

		assert_string_not_equal(keywords[i].example, "");
		(void)snprintf(line, sizeof(line), "%.13s %.24s", keywords[i].name,
			keywords[i].example);
		memset(&conf, 0, sizeof(conf));
		said[0] = '\0';
		conf_begin(&conf, report, NULL);
		conf.reading.report.advises = true;
		conf_option(&conf, line, 1);
		assert_string_equal(said, "");
	}
}

static void keyword_values_have_their_own_place(void **state)
{
	(void)state;
	assert_true(KEYWORDS <= KEYWORDS_MAX);
	for (unsigned i = 0; i < KEYWORDS; i++) {
		assert_true(keywords[i].size <= KEYWORD_SIZE_MAX);
		assert_true(keywords[i].most >= 1);
		for (unsigned j = 0; j < i; j++)
			assert_true(keywords[i].global != keywords[j].global ||
				    keywords[i].offset + keywords[i].size <= keywords[j].offset ||
				    keywords[j].offset + keywords[j].size <= keywords[i].offset);
	}
}

/* ---- A table of one's own ---- */

enum colour { RED, GREEN, BLUE };

struct paint {
	struct said_text name;
	enum colour colour;
	struct span dries;
	bool mixed;
	struct long_span lasts;
	uint32_t coats;
	struct said said;
};

static const struct keyword table[] = {
	{ "name", "wall", .type = keyword_text, .most = 1, KEYWORD_MEMBER(struct paint, name) },
	{ "colour", "red", .type = keyword_choice, .most = 1, KEYWORD_MEMBER(struct paint, colour),
		.choices = "red\0green\0blue\0" },
	{ "dries", "2h", .type = keyword_span, .most = 1, KEYWORD_MEMBER(struct paint, dries),
		.least = 1000, .initial.span.ms = 7200000 },
	{ "mixed", "yes", .type = keyword_yes_no, .most = 1, KEYWORD_MEMBER(struct paint, mixed) },
	{ "lasts", "30d", .type = keyword_long_span, .most = 1, KEYWORD_MEMBER(struct paint, lasts),
		.least = 60, .greatest = 100 * 86400, .initial.long_span.s = 864000 },
	{ "coats", "2", .type = keyword_number, .most = 1, KEYWORD_MEMBER(struct paint, coats),
		.least = 1, .greatest = 4294967295, .initial.number = 3 },
};

static struct paint paint;
static char text[256];

static struct reading reading_of(struct paint *to)
{
	struct reading reading = { .report = { .writer = report },
		.keywords = table,
		.keywords_count = COUNT(table),
		.page = "paint(5)",
		.block = to,
		.said = &to->said,
		.text_most = sizeof(text),
		.memory = text,
		.memory_size = sizeof(text) };

	memset(to, 0, sizeof(*to));
	memset(text, 0, sizeof(text));
	keyword_defaults(&reading, false, to);
	said[0] = '\0';
	return reading;
}

static const char *read_line(const char *line)
{
	struct reading reading = reading_of(&paint);

	reading_option(&reading, line, 1);
	assert_int_equal(reading.report.wrong, said[0] != '\0');
	return said;
}

static void keyword_table_reads_any_configuration(void **state)
{
	(void)state;
	assert_string_equal(read_line("name 'a b'"), "");
	assert_string_equal(paint.name.text, "a b");
	assert_string_equal(paint.name.place.file, "-o");
	assert_int_equal(paint.dries.ms, 7200000);
	assert_string_equal(read_line("colour blue"), "");
	assert_int_equal(paint.colour, BLUE);
	assert_string_equal(
		read_line("colour pink"), "-o:1: colour: 'pink' is not red, green or blue");
	assert_int_equal(paint.colour, RED);
	assert_string_equal(
		read_line("dries 999ms"), "-o:1: dries: '999ms' is not between 1000ms and 7d");
	assert_int_equal(paint.dries.ms, 7200000);
	assert_string_equal(read_line("dries 1s"), "");
	assert_int_equal(paint.dries.ms, 1000);
	assert_string_equal(read_line("mixed yes"), "");
	assert_true(paint.mixed);
	assert_string_equal(read_line("smell good"),
		"-o:1: there is no keyword 'smell': paint(5) has them all");
	assert_string_equal(read_line("colou red"),
		"-o:1: there is no keyword 'colou': write 'colour' and a space");
	assert_string_equal(
		read_line("name"), "-o:1: name: a value is missing: write such as 'name wall'");
}

static void keyword_long_spans_and_numbers_have_bounds(void **state)
{
	static const char no_time[] = " is not a time such as 10s, 5m, 2h or 30d";
	static const char *const none[] = { "30", "d", "500ms", "60000ms", "1w", "-1d", "4294967296s" };
	char line[64], message[256];

	(void)state;
	assert_string_equal(read_line("mixed no"), "");
	assert_int_equal(paint.lasts.s, 864000);
	assert_int_equal(paint.coats, 3);
	assert_string_equal(read_line("lasts 100d"), "");
	assert_int_equal(paint.lasts.s, 8640000);
	assert_string_equal(read_line("lasts 60s"), "");
	assert_int_equal(paint.lasts.s, 60);
	assert_string_equal(read_line("lasts 8640001s"),
		"-o:1: lasts: '8640001s' is not between 60s and 100d");
	assert_string_equal(
		read_line("lasts 59s"), "-o:1: lasts: '59s' is not between 60s and 100d");
	for (unsigned i = 0; i < COUNT(none); i++) {
		(void)snprintf(line, sizeof(line), "lasts %s", none[i]);
		(void)snprintf(message, sizeof(message), "-o:1: lasts: '%s'%s", none[i], no_time);
		assert_string_equal(read_line(line), message);
	}
	assert_string_equal(read_line("coats 4294967295"), "");
	assert_int_equal(paint.coats, 4294967295);
	assert_string_equal(
		read_line("coats 0"), "-o:1: coats: '0' is not a number from 1 to 4294967295");
	assert_string_equal(read_line("coats 4294967296"),
		"-o:1: coats: '4294967296' is not a number from 1 to 4294967295");
	assert_string_equal(
		read_line("coats two"), "-o:1: coats: 'two' is not a number from 1 to 4294967295");
}

static void keyword_inherits_what_a_block_does_not_say(void **state)
{
	struct reading reading = reading_of(&paint);
	static struct paint own;

	(void)state;
	reading_option(&reading, "colour green", 1);
	reading_option(&reading, "dries 3s", 2);
	reading_block(&reading, &own, &own.said, "own");
	reading_option(&reading, "dries 4s", 3);
	keyword_inherit(&reading, &own.said, &own, &paint);
	assert_string_equal(said, "");
	assert_int_equal(own.colour, GREEN);
	assert_int_equal(own.dries.ms, 4000);
	assert_int_equal(paint.dries.ms, 3000);
}

static void keyword_of_the_command_line_holds(void **state)
{
	struct reading reading = reading_of(&paint);
	static const char file[] = "colour blue\ndries never\n";
	const struct unit_place *place = *state;
	char path[512];
	FILE *stream;

	(void)snprintf(path, sizeof(path), "%s/f", place->path);
	stream = fopen(path, "w");
	assert_non_null(stream);
	assert_true(fputs(file, stream) >= 0 && fclose(stream) == 0);
	reading_option(&reading, "colour green", 1);
	reading_option(&reading, "dries 3s", 2);
	reading_file(&reading, path, false);
	assert_int_equal(paint.colour, GREEN);
	assert_int_equal(paint.dries.ms, 3000);
	assert_int_equal(reading.report.wrong, 1); /* the file's word is checked all the same */
	assert_non_null(strstr(said, "f:2: dries: 'never' is not a time"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keyword_example_is_taken),
		cmocka_unit_test(keyword_values_have_their_own_place),
		cmocka_unit_test(keyword_table_reads_any_configuration),
		cmocka_unit_test(keyword_long_spans_and_numbers_have_bounds),
		cmocka_unit_test(keyword_inherits_what_a_block_does_not_say),
		cmocka_unit_test_setup_teardown(
			keyword_of_the_command_line_holds, unit_place_make, unit_place_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
