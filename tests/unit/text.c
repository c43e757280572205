/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include <limits.h>

#include "lib/text.h"

static void text_knows_its_conversions(void **state)
{
	char bytes[128];
	struct text text = TEXT_IN(bytes);

	(void)state;
	text_add(&text, "%s|%u|%u|%d|%d|%d|%c|%%|%s", "word", 0u, UINT_MAX, 0, INT_MAX, INT_MIN,
		'x', "");
	assert_string_equal(bytes, "word|0|4294967295|0|2147483647|-2147483648|x|%|");
	assert_int_equal(text.length, strlen(bytes));
	assert_false(text.cut);
	text_add(&text, "%s", "more");
	assert_string_equal(bytes, "word|0|4294967295|0|2147483647|-2147483648|x|%|more");
}

/* Every length around the end: never a byte beyond it, and always a NUL. */
static void text_that_does_not_fit_is_cut_and_says_so(void **state)
{
	(void)state;
	for (size_t size = 1; size <= 12; size++) {
		char bytes[16];
		struct text text = { .bytes = bytes, .size = size };
		size_t fits = size - 1 < 9 ? size - 1 : 9;

		memset(bytes, '#', sizeof(bytes));
		text_add(&text, "ab%s%u", "cde", 1234u);
		assert_memory_equal(bytes, "abcde1234", fits);
		assert_int_equal(bytes[fits], '\0');
		assert_int_equal(bytes[size], '#');
		assert_int_equal(text.length, fits);
		assert_int_equal(text.cut, size - 1 < 9);
	}
}

static void text_numbers_are_taken_up_to_their_bound(void **state)
{
	static const struct {
		const char *text;
		uint64_t most;
		bool good;
		uint64_t number;
		const char *rest;
	} table[] = {
		{ "0", 0, true, 0, "" },
		{ "1", 0, false, 0, NULL },
		{ "9", 8, false, 0, NULL },
		{ "007m", 7, true, 7, "m" },
		{ "32", 32, true, 32, "" },
		{ "33", 32, false, 0, NULL },
		{ "40", 32, false, 0, NULL },
		{ "100", 32, false, 0, NULL },
		{ "4294967295/s", UINT32_MAX, true, UINT32_MAX, "/s" },
		{ "4294967296", UINT32_MAX, false, 0, NULL },
		{ "18446744073709551615", UINT64_MAX, true, UINT64_MAX, "" },
		{ "18446744073709551616", UINT64_MAX, false, 0, NULL },
		{ "99999999999999999999999", UINT64_MAX, false, 0, NULL },
		{ "", 10, false, 0, NULL },
		{ "-1", 10, false, 0, NULL },
		{ "+1", 10, false, 0, NULL },
		{ " 1", 10, false, 0, NULL },
		{ "x", 10, false, 0, NULL },
		{ "/", 10, false, 0, NULL },
		{ ":", 10, false, 0, NULL },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++) {
		const char *at = table[i].text;
		uint64_t number;

		assert_int_equal(number_take(&at, table[i].most, &number), table[i].good);
		assert_string_equal(at, table[i].good ? table[i].rest : table[i].text);
		if (table[i].good)
			assert_int_equal(number, table[i].number);
		assert_int_equal(number_parse(table[i].text, table[i].most, &number),
			table[i].good && *table[i].rest == '\0');
	}
}

static void text_is_written_whole_or_says_so(void **state)
{
	char bytes[8], got[9] = "";
	struct text text = TEXT_IN(bytes);
	int fd[2];

	(void)state;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	text_add(&text, "%s", "a line\n");
	assert_true(text_write(&text, fd[1]));
	assert_int_equal(read(fd[0], got, sizeof(got) - 1), 7);
	assert_string_equal(got, "a line\n");
	assert_false(text_write(&text, -1));
	(void)close(fd[0]);
	(void)close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_knows_its_conversions),
		cmocka_unit_test(text_that_does_not_fit_is_cut_and_says_so),
		cmocka_unit_test(text_numbers_are_taken_up_to_their_bound),
		cmocka_unit_test(text_is_written_whole_or_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
