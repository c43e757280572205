/* SPDX-License-Identifier: ISC */
#include "lib/words.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

static struct words words;

static struct words_fault split(char *line)
{
	memset(&words, 0, sizeof(words));
	return words_split(line, &words);
}

static void words_are_taken_apart_as_sh_does(void **state)
{
	char line[] = " a\t'b c' \"d \\\"e\" f\\ g ''x # no";
	static const char *const right[] = { "a", "b c", "d \"e", "f g", "x" };

	(void)state;
	assert_int_equal(split(line).error, WORDS_FINE);
	assert_int_equal(words.count, COUNT(right));
	for (unsigned i = 0; i < COUNT(right); i++) {
		assert_string_equal(words.word[i], right[i]);
		assert_int_equal(words.quoted[i], i != 0);
	}
}

static void words_of_nothing_are_none(void **state)
{
	char empty[] = "", blank[] = " \t ", comment[] = "\t# 'x";

	(void)state;
	assert_int_equal(split(empty).error, WORDS_FINE);
	assert_int_equal(words.count, 0);
	assert_int_equal(split(blank).error, WORDS_FINE);
	assert_int_equal(words.count, 0);
	assert_int_equal(split(comment).error, WORDS_FINE);
	assert_int_equal(words.count, 0);
}

static void words_end_at_a_fault_that_says_where(void **state)
{
	char quote[] = "a b'c d", backslash[] = "a bc\\";
	struct words_fault fault = split(quote);

	(void)state;
	assert_int_equal(fault.error, WORDS_OPEN_QUOTE);
	assert_string_equal(fault.at, "c d");
	assert_int_equal(fault.quote, '\'');
	assert_int_equal(words.count, 1);
	fault = split(backslash);
	assert_int_equal(fault.error, WORDS_BACKSLASH);
	assert_string_equal(fault.at, "bc");
	assert_int_equal(words.count, 1);
}

static void words_of_a_line_are_bounded(void **state)
{
	char line[2 * WORDS_MAX + 4] = "";
	struct words_fault fault;

	(void)state;
	for (unsigned i = 0; i < WORDS_MAX; i++)
		(void)strcat(line, "a ");
	assert_int_equal(split(line).error, WORDS_FINE);
	assert_int_equal(words.count, WORDS_MAX);
	for (unsigned i = 0; i < WORDS_MAX; i++)
		memcpy(line + (size_t)2 * i, "a ", 2);
	(void)memcpy(line + (size_t)2 * WORDS_MAX, "b", 2);
	fault = split(line);
	assert_int_equal(fault.error, WORDS_TOO_MANY);
	assert_string_equal(fault.at, "b");
}

static void word_oddity_names_the_first_character_that_looks_like_another(void **state)
{
	static const char space[] = "a no-break space, where a space is meant";
	static const char quote[] = "a typographic quote: write ' or \"";
	static const char *const table[][2] = {
		{ "\xef\xbb\xbf", "a byte order mark: save the file without" },
		{ "\xc2\xa0", space }, { "\xe2\x80\xaf", space },
		{ "\xe3\x80\x80", "an ideographic space, where a space is meant" },
		{ "\xe2\x80\x89", "a thin space, where a space is meant" },
		{ "\xe2\x80\x8b", "a zero-width space: remove it" },
		{ "\xe2\x80\x8e", "a left-to-right mark: remove it" },
		{ "\xe2\x80\x8f", "a right-to-left mark: remove it" },
		{ "\xc2\xad", "a soft hyphen: remove it" }, { "\xe2\x80\x98", quote },
		{ "\xe2\x80\x99", quote }, { "\xe2\x80\x9a", quote }, { "\xe2\x80\x9c", quote },
		{ "\xe2\x80\x9d", quote }, { "\xe2\x80\x9e", quote }, { "\xc2\xab", quote },
		{ "\xc2\xbb", quote }, { "\xe2\x80\x90", "a typographic dash: write -" },
		{ "\xe2\x80\x91", "a typographic dash: write -" },
		{ "\xe2\x80\x92", "a typographic dash: write -" },
		{ "\xe2\x80\x93", "a typographic dash: write - or --" },
		{ "\xe2\x80\x94", "a typographic dash: write - or --" },
		{ "\xe2\x88\x92", "a minus sign that is not ASCII: write -" },
		{ "\xe2\x80\xa6", "an ellipsis: write ..." }, { "\xa0", space }, /* Latin-1 */
	};
	static const char *const fine[] = { "", "a", "-", "'", "\"", "\xc3\xa4", "\xe2\x82\xac",
		"\xc3\xa0", "\xe0\xa0\xa0", "\xf0\x9f\x93\xa7" };
	char word[32];

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++) {
		assert_string_equal(word_oddity(table[i][0]), table[i][1]);
		(void)snprintf(word, sizeof(word), "a%sb", table[i][0]);
		assert_string_equal(word_oddity(word), table[i][1]);
		/* The earlier one counts, wherever it is in the table. */
		(void)snprintf(word, sizeof(word), "\xe2\x80\xa6%s", table[i][0]);
		assert_string_equal(word_oddity(word), "an ellipsis: write ...");
	}
	for (unsigned i = 0; i < COUNT(fine); i++)
		assert_null(word_oddity(fine[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_taken_apart_as_sh_does),
		cmocka_unit_test(words_of_nothing_are_none),
		cmocka_unit_test(words_end_at_a_fault_that_says_where),
		cmocka_unit_test(words_of_a_line_are_bounded),
		cmocka_unit_test(word_oddity_names_the_first_character_that_looks_like_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
