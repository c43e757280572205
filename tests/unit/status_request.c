/* SPDX-License-Identifier: ISC */
#include "relay/status_request.h"

#include "unit.h"

/* A copy of its own size, so that a sanitizer sees a byte that is read behind it. */
static const char *take(struct status_request *request, const char *bytes, size_t length, bool at_end,
	bool *is_whole)
{
	char *copy = malloc(length + (length == 0));
	const char *wrong;

	assert_non_null(copy);
	memcpy(copy, bytes, length);
	memset(request, 0x55, sizeof(*request));
	wrong = status_request_take(request, copy, length, at_end, is_whole);
	free(copy);
	return wrong;
}

static void refuse(const char *bytes, size_t length, bool at_end, const char *wanted)
{
	struct status_request request;
	bool is_whole = false;

	assert_string_equal(take(&request, bytes, length, at_end, &is_whole), wanted);
	assert_true(is_whole);
}

#define REFUSE(text, wanted) refuse(text, sizeof(text) - 1, false, wanted)

static void what_can_be_asked(void **state)
{
	static const char user[] = "user alice@example.org and more\n", status[] = "status\nrubbish";
	struct status_request request;
	bool is_whole;

	(void)state;
	assert_null(take(&request, status, strlen(status), false, &is_whole));
	assert_true(is_whole);
	assert_int_equal(request.kind, STATUS_ALL);
	assert_null(take(&request, user, strlen(user), true, &is_whole));
	assert_true(is_whole);
	assert_int_equal(request.kind, STATUS_USER);
	assert_string_equal(request.user, "alice@example.org and more");
}

static void a_part_of_a_line_waits_for_the_rest(void **state)
{
	static const char line[] = "user alice\n";
	struct status_request request;
	bool is_whole;

	(void)state;
	for (size_t i = 0; i < strlen(line); i++) {
		assert_null(take(&request, line, i, false, &is_whole));
		assert_false(is_whole);
		refuse(line, i, true, "the line does not end");
	}
}

static void anything_else_is_refused(void **state)
{
	static const char neither[] = "the line is neither 'status' nor 'user NAME'";
	static const char control[] = "the user's name has control characters";

	(void)state;
	REFUSE("\n", neither);
	REFUSE("Status\n", neither);
	REFUSE("status \n", neither);
	REFUSE("status\r\n", neither);
	REFUSE("statu\n", neither);
	REFUSE("user\n", neither);
	REFUSE("status\0\n", neither);
	REFUSE("user \n", "the user has no name");
	REFUSE("user alice\r\n", control);
	REFUSE("user a\0b\n", control);
	REFUSE("user a\x7f\n", control);
}

static void a_name_is_as_long_as_names_are(void **state)
{
	char bytes[STATUS_REQUEST_MAX + 2] = "user ";
	struct status_request request;
	bool is_whole;

	(void)state;
	memset(bytes + 5, 'a', sizeof(bytes) - 5);
	bytes[STATUS_REQUEST_MAX - 1] = '\n';
	assert_null(take(&request, bytes, STATUS_REQUEST_MAX, false, &is_whole));
	assert_int_equal(strlen(request.user), USER_NAME_MAX);
	bytes[STATUS_REQUEST_MAX - 1] = 'a';
	assert_null(take(&request, bytes, STATUS_REQUEST_MAX - 1, false, &is_whole));
	assert_false(is_whole);
	refuse(bytes, STATUS_REQUEST_MAX, false, "the line is too long");
	bytes[STATUS_REQUEST_MAX] = '\n';
	refuse(bytes, STATUS_REQUEST_MAX + 1, false,
		"the user's name is longer than " USER_NAME_MAX_TEXT " bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_can_be_asked),
		cmocka_unit_test(a_part_of_a_line_waits_for_the_rest),
		cmocka_unit_test(anything_else_is_refused),
		cmocka_unit_test(a_name_is_as_long_as_names_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
