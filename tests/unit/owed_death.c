/* SPDX-License-Identifier: ISC */
/* S2, S5: what the files say after a death at any instruction, of the relay as it is compiled. */
#include "relay/owed_parts.h"

#include <sys/mman.h>

#include "unit.h"

#define T0           1000000u /* not the future of any machine */
#define LATER        700u     /* within the interval */
#define USER         "alice"
#define HEADER       65536 /* of a file of records */
#define RECORD_BYTES 4096  /* of it, more than a record has */

static const uint64_t key[2] = { 1, 2 };
static const struct owed_bounds bounds = {
	.settle = { 2000 }, .interval = { 5000 }, .keep = { 3600000 }, .users = 10, .connections = 8
};
static uint64_t now;
static struct owed *owed;
static struct target *target;

static struct instant clock_of_test(void)
{
	return (struct instant){ .ms = now };
}

static void logger(void *context, const char *message)
{
	(void)context;
	(void)message;
}

static bool open_at(const struct unit_place *place, uint64_t then)
{
	now = then;
	owed = owed_open(place->fd, &bounds, key, clock_of_test, logger, NULL);
	return owed != NULL;
}

/* A sending to a user's destination has begun. */
static void begin(const struct unit_place *place)
{
	struct destination destination = { .port = 79 };
	struct addressee *addressee;

	assert_true(source_parse("192.0.2.1", &destination.address));
	assert_true(open_at(place, T0));
	addressee = owed_note(owed, USER, false, clock_of_test());
	assert_non_null(addressee);
	owed_route_begin(owed, addressee);
	owed_route_add(owed, addressee, &destination, NULL, VIA_CONFIGURED);
	owed_route_end(owed, addressee);
	target = owed_pick(owed, clock_of_test());
	assert_non_null(target);
	owed_begins(owed, target, clock_of_test());
}

/* A file's first record, which is the one that is used, as whoever comes next finds it. */
static const void *record_map(const struct unit_place *place, const char *name)
{
	int fd = openat(place->fd, name, O_RDONLY | O_CLOEXEC);
	void *record;

	assert_true(fd >= 0);
	record = mmap(NULL, RECORD_BYTES, PROT_READ, MAP_SHARED, fd, HEADER);
	assert_int_equal(close(fd), 0);
	assert_ptr_not_equal(record, MAP_FAILED);
	return record;
}

static void record_unmap(const void *record)
{
	assert_int_equal(munmap((void *)(uintptr_t)record, RECORD_BYTES), 0);
}

static pid_t step_begin(int (*run)(void *), void *context)
{
	pid_t child = unit_step_begin(run, context);

	if (child < 0)
		skip();
	return child;
}

static int open_again(void *context)
{
	return open_at(context, T0 + LATER) ? 0 : 1;
}

static void S2_a_death_while_it_opens_forgets_no_beginning(void **state)
{
	const struct unit_place *place = *state;
	const uint64_t opened = (uint64_t)(T0 + LATER) << STAMP_BITS;
	unsigned wrong = 0, busy = 0, used = 0;
	const volatile struct target_record *record;
	pid_t child;

	if (!unit_can_step())
		skip();
	begin(place);
	owed_close(owed);
	record = record_map(place, "told");
	assert_int_equal(record->used, RECORD_BUSY);
	child = step_begin(open_again, *state);
	while (unit_step(child)) {
		busy += record->used == RECORD_BUSY;
		used += record->used == RECORD_USED;
		wrong += record->used != RECORD_BUSY && record->began < opened;
	}
	assert_int_equal(wrong, 0);
	assert_int_equal(record->used, RECORD_USED);
	assert_true(busy > 0 && used > 0);
	record_unmap((const void *)(uintptr_t)record);
}

static int be_done(void *context)
{
	(void)context;
	owed_done(owed, target);
	return 0;
}

static void S5_a_death_while_a_user_is_settled_makes_no_other_user(void **state)
{
	const struct unit_place *place = *state;
	const struct addressee_record *record;
	unsigned wrong = 0, used = 0, unused = 0;
	pid_t child;

	if (!unit_can_step())
		skip();
	begin(place);
	record = record_map(place, "owed");
	child = step_begin(be_done, *state);
	while (unit_step(child)) {
		bool is_used = *(const volatile uint32_t *)&record->used == RECORD_USED;

		used += is_used;
		unused += !is_used;
		wrong += is_used && (*(const volatile uint32_t *)&record->length != strlen(USER) ||
					    memcmp(record->user, USER, strlen(USER)) != 0);
	}
	assert_int_equal(wrong, 0);
	assert_true(used > 0 && unused > 0);
	record_unmap(record);
	owed_close(owed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST_PLACE(S2_a_death_while_it_opens_forgets_no_beginning),
		UNIT_TEST_PLACE(S5_a_death_while_a_user_is_settled_makes_no_other_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
