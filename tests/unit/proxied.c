/* SPDX-License-Identifier: ISC */
/* S6: what the proxy writes before a notice, and what the relay takes for that. */
#include "sender/proxied.h"

#include <string.h>

#include "unit.h"

static struct proxied taken;
static const char *rest;
static size_t rest_length;

static bool take(const char *bytes, size_t length)
{
	rest = bytes;
	rest_length = length;
	return proxied_take(&taken, &rest, &rest_length);
}

static void comes_back(struct proxied proxied, const char *notice)
{
	char bytes[PROXIED_MAX + 600];
	size_t before = proxied_write(&proxied, bytes), length = strlen(notice);

	assert_in_range(before, 1, PROXIED_MAX - 1);
	memcpy(bytes + before, notice, length);
	assert_true(take(bytes, before + length));
	assert_memory_equal(&taken, &proxied, sizeof(taken));
	assert_ptr_equal(rest, bytes + before);
	assert_int_equal(rest_length, length);
}

static void S6_proxied_comes_back(void **state)
{
	(void)state;
	comes_back((struct proxied){ 1000, 100, 1764265241, 999999999 }, "mail alice");
	comes_back((struct proxied){ 0, 0, 0, 0 }, "");
	comes_back((struct proxied){ UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX },
		"from 0 0 0 0 mail root");
}

static void S6_proxied_is_nothing_else(void **state)
{
	static const char *const wrong[] = {
		"", "from", "from ", "mail alice", "from 1 1 1 mail alice", "from 1 1 1 1",
		"from 1 1 1 1mail alice", "from  1 1 1 1 mail alice", "from -1 1 1 1 mail alice",
		"from +1 1 1 1 mail alice", "from 4294967296 1 1 1 mail alice",
		"from 1 1 1 18446744073709551616 mail alice", "From 1 1 1 1 mail alice",
		"from 1\t1 1 1 mail alice", "from 1 1 1 x mail alice",
		"from 000000000000000000000000000000000000000000000000000000000001 1 1 1 mail alice"
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(wrong); i++)
		assert_false(take(wrong[i], strlen(wrong[i])));
	assert_false(take("from 1 1\0 1 1 mail alice", 24));
	/* Each is cut off everywhere. */
	for (size_t length = 0; length < sizeof("from 1 1 1 1 ") - 1; length++)
		assert_false(take("from 1 1 1 1 ", length));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(S6_proxied_comes_back),
		cmocka_unit_test(S6_proxied_is_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
