/* SPDX-License-Identifier: ISC */
#include "relay/status_json.h"

#include "unit.h"

static void check(const char *text, const char *wanted)
{
	json_t *object = json_object(), *value = status_text(text), *read;
	size_t length = 0;
	char *bytes;

	assert_non_null(value);
	assert_int_equal(json_object_set_new(object, "a", value), 0);
	bytes = status_write(object, &length);
	assert_non_null(bytes);
	for (size_t i = 0; i < length - 1; i++)
		assert_in_range((unsigned char)bytes[i], ' ', '~');
	assert_int_equal(bytes[length - 1], '\n');
	read = json_loadb(bytes, length, 0, NULL);
	assert_non_null(read);
	if (wanted == NULL)
		assert_true(json_is_null(json_object_get(read, "a")));
	else
		assert_string_equal(json_string_value(json_object_get(read, "a")), wanted);
	free(bytes);
	json_decref(read);
	json_decref(object);
}

static void texts_of_any_bytes_are_json(void **state)
{
	char longest[4096], escaped[4096];

	(void)state;
	check(NULL, NULL);
	check("", "");
	check("alice", "alice");
	check("a\"\\/\b\n\x1b[2J", "a\"\\/\b\n\x1b[2J");
	check("z\xc3\xbcrich", "z\xc3\xbcrich");
	check("z\xfcrich", "z\\xfcrich");
	check("\xed\xa0\x80\xc0\xaf", "\\xed\\xa0\\x80\\xc0\\xaf");
	check("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
	/* What is too long, which nothing is, is cut. */
	memset(longest, 0xff, sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 0; i < sizeof(escaped) - 1; i++)
		escaped[i] = "\\xff"[i % 4];
	escaped[sizeof(escaped) - 1] = '\0';
	check(longest, escaped);
}

static void what_is_wrong_is_said(void **state)
{
	json_t *answer = status_wrong("no \"way\"");
	size_t length;
	char *bytes = status_write(answer, &length);

	(void)state;
	assert_non_null(bytes);
	assert_int_equal(length, strlen("{\"error\":\"no \\\"way\\\"\"}\n"));
	assert_memory_equal(bytes, "{\"error\":\"no \\\"way\\\"\"}\n", length);
	free(bytes);
	json_decref(answer);
	assert_null(status_write(NULL, &length));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_of_any_bytes_are_json),
		cmocka_unit_test(what_is_wrong_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
