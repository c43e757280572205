/* SPDX-License-Identifier: ISC */
#include "relay/table.h"

#include <lmdb.h>

#include "relay/route.h"
#include "unit.h"

static char said[1024];
static unsigned times;

static void hear(void *context, const char *message)
{
	(void)context;
	(void)snprintf(said, sizeof(said), "%s", message);
	times++;
}

static const char *text_in(void **state, const char *name)
{
	static char text[600];

	(void)snprintf(text, sizeof(text), "lmdb:%s", unit_path(state, name));
	return text;
}

/* A table of pairs, as mdb_load makes it; without locks, for which qemu-user does not have all. */
static void make(const char *path, unsigned flags, const char *const *pairs)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_open(env, path, flags | MDB_NOLOCK, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	for (; *pairs != NULL; pairs += 2) {
		MDB_val key = { .mv_data = (void *)(uintptr_t)pairs[0], .mv_size = strlen(pairs[0]) };
		MDB_val value = { .mv_data = (void *)(uintptr_t)pairs[1],
			.mv_size = strlen(pairs[1]) };

		assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
	}
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

#define MAKE(path, flags, ...) make(path, flags, (const char *const[]){ __VA_ARGS__, NULL })

static const char *find(struct table *table, const char *user)
{
	static char value[256];
	size_t length = 0;
	const char *found = table_find(table, user, &length);

	if (found == NULL)
		return "";
	assert_true(length < sizeof(value));
	memcpy(value, found, length);
	value[length] = '\0';
	return value;
}

static struct table *open_it(void **state, const char *name)
{
	static char text[600]; /* it is not copied */
	struct table *table;

	times = 0;
	(void)snprintf(text, sizeof(text), "%s", text_in(state, name));
	table = table_open(text, hear, NULL);
	assert_non_null(table);
	return table;
}

static void table_is_a_file_or_a_directory(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		const char *name = i == 0 ? "file" : "directory";
		const char *path = unit_path(state, name);
		struct table *table;

		if (i == 1)
			assert_int_equal(mkdir(path, 0700), 0);
		MAKE(path, i == 0 ? MDB_NOSUBDIR : 0, "alice", "192.0.2.7", "b@x", "last 2", "c",
			"");
		table = open_it(state, name);
		assert_string_equal(find(table, "alice"), "192.0.2.7");
		assert_string_equal(find(table, "b@x"), "last 2");
		assert_string_equal(find(table, "c"), "");
		assert_string_equal(find(table, "alic"), "");
		assert_string_equal(find(table, ""), "");
		assert_int_equal(times, 0);
		assert_null(table_check(text_in(state, name)));
		table_close(table);
	}
}

/* mv(1) puts another one in its place, while we have it open. */
static void table_is_opened_anew_when_replaced(void **state)
{
	struct table *table;

	MAKE(unit_path(state, "t"), MDB_NOSUBDIR, "alice", "192.0.2.7");
	table = open_it(state, "t");
	assert_string_equal(find(table, "alice"), "192.0.2.7");
	for (unsigned i = 0; i < 3; i++) {
		char value[32];

		(void)snprintf(value, sizeof(value), "192.0.2.%u", i + 10);
		MAKE(unit_path(state, "new"), MDB_NOSUBDIR, "alice", value);
		assert_int_equal(rename(unit_path(state, "new"), unit_path(state, "t")), 0);
		assert_string_equal(find(table, "alice"), value);
	}
	assert_int_equal(times, 0);
	table_close(table);
}

/* Said once; what it had is not used any more. */
static void table_that_is_away_is_said_once_and_found_again(void **state)
{
	struct table *table = open_it(state, "t");

	assert_int_equal(times, 1);
	assert_non_null(strstr(said, "/t: No such file or directory"));
	assert_string_equal(find(table, "alice"), "");
	assert_int_equal(times, 1);
	MAKE(unit_path(state, "t"), MDB_NOSUBDIR, "alice", "last");
	assert_string_equal(find(table, "alice"), "last");
	assert_int_equal(times, 2);
	assert_non_null(strstr(said, "/t: is back"));
	assert_int_equal(unlink(unit_path(state, "t")), 0);
	assert_string_equal(find(table, "alice"), "");
	assert_string_equal(find(table, "alice"), "");
	assert_int_equal(times, 3);
	table_close(table);
}

static void table_of_others_is_not_believed(void **state)
{
	static const char others[] = "others than root and the running user own it, or may write it";
	struct table *table;

	MAKE(unit_path(state, "t"), MDB_NOSUBDIR, "alice", "last");
	assert_int_equal(chmod(unit_path(state, "t"), 0620), 0);
	assert_string_equal(table_check(text_in(state, "t")), others);
	table = open_it(state, "t");
	assert_string_equal(find(table, "alice"), "");
	assert_int_equal(chmod(unit_path(state, "t"), 0600), 0);
	assert_string_equal(find(table, "alice"), "last");
	assert_int_equal(chmod(unit_path(state, "t"), 0602), 0);
	assert_string_equal(find(table, "alice"), "");
	table_close(table);
	assert_int_equal(chmod(unit_path(state, "t"), 0600), 0);
	if (geteuid() != 0 || chown(unit_path(state, "t"), 54321, 0) != 0)
		skip();
	assert_string_equal(table_check(text_in(state, "t")), others);
}

static void table_that_is_none_is_refused(void **state)
{
	FILE *file = fopen(unit_path(state, "t"), "w");

	assert_non_null(file);
	for (unsigned i = 0; i < 3000; i++)
		assert_true(fputs("alice last\n", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(unit_path(state, "t"), 0600), 0);
	assert_string_equal(table_check(text_in(state, "t")), "MDB_INVALID: File is not an LMDB file");
	assert_int_equal(truncate(unit_path(state, "t"), 0), 0);
	assert_non_null(table_check(text_in(state, "t")));
	assert_string_equal(table_check(text_in(state, "nowhere")), "No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST_PLACE(table_is_a_file_or_a_directory),
		UNIT_TEST_PLACE(table_is_opened_anew_when_replaced),
		UNIT_TEST_PLACE(table_that_is_away_is_said_once_and_found_again),
		UNIT_TEST_PLACE(table_of_others_is_not_believed),
		UNIT_TEST_PLACE(table_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
