/* SPDX-License-Identifier: ISC */
/* S5: what a file of records says after each kind of death, damage and want. */
#include "relay/records.h"

#include <sys/mount.h>

#include "unit.h"

#define NAME   "records"
#define SIZE   32u
#define LAYOUT 7u
#define HEADER 65536
#define CHUNK  4096u /* records */
#define BYTES  (CHUNK * SIZE)

struct record {
	uint32_t used, number;
	char text[24];
};

_Static_assert(sizeof(struct record) == SIZE, "a record is as large as the file thinks");

static struct records records;
static char said[1024];

static void logger(void *context, const char *message)
{
	size_t length = strlen(said);

	(void)context;
	(void)snprintf(said + length, sizeof(said) - length, "%s\n", message);
}

static bool opens_as(void **state, size_t size, uint32_t version, uint32_t most)
{
	const struct unit_place *place = *state;

	said[0] = '\0';
	records = (struct records){ .fd = -1, .logger = logger };
	return records_open(&records, place->fd, NAME, size, version, most);
}

static bool keep_all(void *context, uint32_t index, void *bytes)
{
	unsigned *count = context;
	const struct record *record = bytes;

	(void)index;
	*count += record->used == 1;
	return true;
}

/* How many it had. */
static unsigned open_most(void **state, uint32_t most)
{
	unsigned count = 0;

	assert_true(opens_as(state, SIZE, LAYOUT, most));
	records_each(&records, keep_all, &count);
	assert_int_equal(records.used, count);
	return count;
}

static uint32_t add(uint32_t number)
{
	uint32_t index = records_take(&records);
	struct record *record;

	if (index == RECORD_NONE)
		return index;
	record = record_at(&records, index);
	assert_int_equal(record->used, 0);
	for (unsigned i = 0; i < sizeof(record->text); i++)
		assert_int_equal(record->text[i], 0);
	record->number = number;
	memset(record->text, 'x', sizeof(record->text));
	record->used = 1;
	return index;
}

static void file_write(void **state, const void *bytes, size_t length, off_t from)
{
	const struct unit_place *place = *state;
	int fd = openat(place->fd, NAME, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, length, from), length);
	assert_int_equal(close(fd), 0);
}

static off_t file_size(void **state)
{
	const struct unit_place *place = *state;
	struct stat st;

	assert_int_equal(fstatat(place->fd, NAME, &st, 0), 0);
	return st.st_size;
}

static void file_cut(void **state, off_t size)
{
	const struct unit_place *place = *state;
	int fd = openat(place->fd, NAME, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(close(fd), 0);
}

/* ---- As it should be ---- */

static void S5_records_are_there_after_the_process(void **state)
{
	assert_int_equal(open_most(state, 100), 0);
	assert_false(records.is_same_boot);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(add(i), i);
	records_give(&records, 3);
	(void)records_take(&records); /* and died before it was used */
	records_close(&records);
	assert_int_equal(open_most(state, 100), 9);
	assert_true(records.is_same_boot);
	assert_int_equal(add(77), 3); /* the first that is free */
	records_close(&records);
	assert_int_equal(open_most(state, 100), 10);
	assert_string_equal(said, "");
	records_close(&records);
}

static void S4_there_are_as_many_as_may_be(void **state)
{
	assert_int_equal(open_most(state, 5), 0);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_not_equal(add(i), RECORD_NONE);
	assert_int_equal(add(5), RECORD_NONE);
	records_give(&records, 2);
	assert_int_equal(add(5), 2);
	assert_int_equal(add(6), RECORD_NONE);
	records_close(&records);
}

static void S5_a_hundred_thousand_records_grow_over_many_chunks(void **state)
{
	enum { MANY = 100000 };

	assert_int_equal(open_most(state, MANY), 0);
	for (uint32_t i = 0; i < MANY; i++)
		assert_int_equal(add(i), i);
	assert_int_equal(add(0), RECORD_NONE);
	assert_int_equal(records.chunks_count, (MANY + CHUNK - 1) / CHUNK);
	records_close(&records);
	assert_int_equal(open_most(state, MANY), MANY);
	for (uint32_t i = 0; i < MANY; i++)
		assert_int_equal(((struct record *)record_at(&records, i))->number, i);
	assert_string_equal(said, "");
	records_close(&records);
}

static bool keep_even(void *context, uint32_t index, void *bytes)
{
	(void)context;
	(void)bytes;
	return index % 2 == 0;
}

static void S5_what_is_not_kept_is_given_back(void **state)
{
	assert_int_equal(open_most(state, 10), 0);
	for (uint32_t i = 0; i < 10; i++)
		(void)add(i);
	records_close(&records);
	assert_true(opens_as(state, SIZE, LAYOUT, 10));
	records_each(&records, keep_even, NULL);
	assert_int_equal(records.used, 5);
	assert_int_equal(add(1), 1);
	records_close(&records);
}

/* ---- Damage ---- */

static void expect_afresh(void **state)
{
	unsigned count = 0;

	records_each(&records, keep_all, &count);
	assert_int_equal(count, 0);
	assert_string_equal(said, NAME ": is damaged or of another version: what it said is lost, "
				       "and it begins afresh\n");
	assert_int_equal(add(1), 0);
	records_close(&records);
	assert_int_equal(open_most(state, 100), 1);
	assert_string_equal(said, "");
	records_close(&records);
}

static void make_ten(void **state)
{
	assert_int_equal(open_most(state, 100), 0);
	for (uint32_t i = 0; i < 10; i++)
		(void)add(i);
	records_close(&records);
}

static void S5_a_file_of_another_version_is_begun_afresh(void **state)
{
	make_ten(state);
	assert_true(opens_as(state, SIZE, LAYOUT + 1, 100));
	records_close(&records);
	assert_true(opens_as(state, SIZE, LAYOUT, 100));
	expect_afresh(state);
}

static void S5_a_file_of_larger_records_is_begun_afresh(void **state)
{
	make_ten(state);
	assert_true(opens_as(state, 2 * SIZE, LAYOUT, 100));
	assert_int_equal(file_size(state), HEADER);
	records_close(&records);
	assert_true(opens_as(state, SIZE, LAYOUT, 100));
	expect_afresh(state);
}

static void S5_a_file_of_nonsense_is_begun_afresh(void **state)
{
	file_write(state, "nonsense", 8, 0);
	assert_true(opens_as(state, SIZE, LAYOUT, 100));
	expect_afresh(state);
}

static void S5_a_file_that_was_cut_keeps_whole_chunks(void **state)
{
	static const struct {
		off_t size;
		unsigned kept;
	} cuts[] = { { HEADER + 2 * BYTES, 2 * CHUNK }, { HEADER + 2 * BYTES - 1, CHUNK },
		{ HEADER + BYTES - 4096, 0 }, { HEADER, 0 }, { 100, 0 } };

	for (unsigned i = 0; i < COUNT(cuts); i++) {
		const struct unit_place *place = *state;

		assert_int_equal(open_most(state, 2 * CHUNK), 0);
		for (uint32_t n = 0; n < 2 * CHUNK; n++)
			(void)add(n);
		records_close(&records);
		file_cut(state, cuts[i].size);
		assert_int_equal(open_most(state, 2 * CHUNK), cuts[i].kept);
		for (uint32_t n = cuts[i].kept; n < 2 * CHUNK; n++)
			assert_int_not_equal(add(n), RECORD_NONE);
		records_close(&records);
		assert_int_equal(open_most(state, 2 * CHUNK), 2 * CHUNK);
		assert_string_equal(said, "");
		records_close(&records);
		assert_int_equal(unlinkat(place->fd, NAME, 0), 0);
	}
}

/* Cut within the header: not even that it is ours can be told. */
static void S5_half_a_header_is_begun_afresh(void **state)
{
	make_ten(state);
	file_cut(state, 20);
	assert_true(opens_as(state, SIZE, LAYOUT, 100));
	expect_afresh(state);
}

/* ---- Another boot ---- */

#define BOOT_ID_AT 16

static void S5_a_file_of_another_boot_is_so_until_all_is_kept(void **state)
{
	unsigned count = 0;

	make_ten(state);
	file_write(state, "00000000-0000-0000-0000-000000000000", 36, BOOT_ID_AT);
	for (unsigned i = 0; i < 2; i++) { /* the first dies before it has looked at all */
		assert_true(opens_as(state, SIZE, LAYOUT, 100));
		assert_false(records.is_same_boot);
		if (i == 1)
			records_each(&records, keep_all, &count);
		records_close(&records);
	}
	assert_int_equal(count, 10);
	assert_int_equal(open_most(state, 100), 10);
	assert_true(records.is_same_boot);
	assert_string_equal(said, "");
	records_close(&records);
}

/* ---- Fewer than before ---- */

/* They would be older than what is said meanwhile. */
static void S5_what_is_beyond_the_most_does_not_come_back(void **state)
{
	static const struct {
		uint32_t most;
		const char *said;
	} less[] = { { CHUNK + 5,
			     NAME ": has room for more than there may be now: what is beyond is "
				  "lost\n" NAME
				  ": has more than there may be now: what is beyond is lost\n" },
		{ 2, NAME ": has room for more than there may be now: what is beyond is lost\n" NAME
			  ": has more than there may be now: what is beyond is lost\n" },
		{ 1, NAME ": has more than there may be now: what is beyond is lost\n" } };

	assert_int_equal(open_most(state, 3 * CHUNK), 0);
	for (uint32_t i = 0; i < 3 * CHUNK; i++)
		(void)add(i);
	records_close(&records);
	for (unsigned i = 0; i < COUNT(less); i++) {
		assert_int_equal(open_most(state, less[i].most), less[i].most);
		assert_string_equal(said, less[i].said);
		records_close(&records);
		assert_int_equal(open_most(state, 3 * CHUNK), less[i].most);
		assert_string_equal(said, "");
		records_close(&records);
	}
}

/* ---- Who else has it, and what is no file ---- */

static void S5_a_second_relay_is_refused(void **state)
{
	const struct unit_place *place = *state;
	struct records second = { .fd = -1, .logger = logger };

	make_ten(state);
	assert_int_equal(open_most(state, 100), 10);
	assert_false(records_open(&second, place->fd, NAME, SIZE, LAYOUT, 100));
	assert_int_equal(errno, EWOULDBLOCK);
	records_close(&second);
	records_close(&records);
	assert_int_equal(open_most(state, 100), 10);
	records_close(&records);
}

static void expect_no_file(void **state, const char *why)
{
	char expected[256];

	(void)snprintf(expected, sizeof(expected),
		NAME ": cannot be used (%s): what is owed is lost when the relay ends\n", why);
	assert_int_equal(open_most(state, CHUNK + 1), 0);
	assert_string_equal(said, expected);
	for (uint32_t i = 0; i < CHUNK + 1; i++)
		assert_int_equal(add(i), i);
	assert_string_equal(said, expected);
	records_close(&records);
}

static void S5_where_there_can_be_no_file_memory_serves(void **state)
{
	const struct unit_place *place = *state;

	assert_int_equal(mkdirat(place->fd, NAME, 0700), 0);
	expect_no_file(state, "Is a directory");
	assert_int_equal(unlinkat(place->fd, NAME, AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("elsewhere", place->fd, NAME), 0);
	expect_no_file(state, "Too many levels of symbolic links");
}

/* ---- A full disk ---- */

/* A file system of so many KiB in place of the folder. */
static bool small_disk(void **state, const char *options)
{
	struct unit_place *place = *state;

	if (mount("tmpfs", place->path, "tmpfs", 0, options) != 0)
		return false;
	(void)close(place->fd);
	place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(place->fd >= 0);
	return true;
}

static int disk_remove(void **state)
{
	const struct unit_place *place = *state;

	(void)umount2(place->path, MNT_DETACH); /* where there is none */
	return unit_place_remove(state);
}

static void S5_a_disk_that_is_full_for_the_next_chunk(void **state)
{
	if (!small_disk(state, "size=256k"))
		skip(); /* root only */
	assert_int_equal(open_most(state, 3 * CHUNK), 0);
	for (uint32_t i = 0; i < 3 * CHUNK; i++)
		assert_int_equal(add(i), i);
	assert_string_equal(said, NAME ": cannot grow (No space left on device): what does not fit "
				       "is kept in memory, and lost when the relay ends\n");
	records_close(&records);
	assert_int_equal(open_most(state, 3 * CHUNK), CHUNK);
	records_close(&records);
}

static void S5_a_disk_that_is_full_from_the_beginning(void **state)
{
	if (!small_disk(state, "size=32k"))
		skip();
	expect_no_file(state, "No space left on device");
}

/* A copy of the file has holes where zeros were. */
static void S5_holes_that_a_full_disk_cannot_fill(void **state)
{
	const struct unit_place *place = *state;
	static char bytes[1 << 20];
	int fd;

	if (!small_disk(state, "size=512k"))
		skip();
	assert_int_equal(open_most(state, CHUNK), 0);
	assert_int_equal(add(42), 0);
	records_close(&records);
	fd = openat(place->fd, NAME, O_RDWR | O_CLOEXEC);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, HEADER + 4096,
				 BYTES - 4096),
		0);
	assert_int_equal(close(fd), 0);
	fd = openat(place->fd, "full", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(write(fd, bytes, sizeof(bytes)) > 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(open_most(state, CHUNK), 1);
	assert_string_equal(said,
		NAME ": cannot be written (No space left on device): what is in it is "
		     "kept in memory, and may come again when the relay begins anew\n");
	assert_int_equal(((struct record *)record_at(&records, 0))->number, 42);
	for (uint32_t i = 1; i < CHUNK; i++)
		assert_int_equal(add(i), i);
	records_close(&records);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, unit_place_make, disk_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(S5_records_are_there_after_the_process),
		TEST(S4_there_are_as_many_as_may_be),
		TEST(S5_a_hundred_thousand_records_grow_over_many_chunks),
		TEST(S5_what_is_not_kept_is_given_back),
		TEST(S5_a_file_of_another_version_is_begun_afresh),
		TEST(S5_a_file_of_larger_records_is_begun_afresh),
		TEST(S5_a_file_of_nonsense_is_begun_afresh),
		TEST(S5_a_file_that_was_cut_keeps_whole_chunks),
		TEST(S5_half_a_header_is_begun_afresh),
		TEST(S5_a_file_of_another_boot_is_so_until_all_is_kept),
		TEST(S5_what_is_beyond_the_most_does_not_come_back),
		TEST(S5_a_second_relay_is_refused),
		TEST(S5_where_there_can_be_no_file_memory_serves),
		TEST(S5_a_disk_that_is_full_for_the_next_chunk),
		TEST(S5_a_disk_that_is_full_from_the_beginning),
		TEST(S5_holes_that_a_full_disk_cannot_fill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
