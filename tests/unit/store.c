/* SPDX-License-Identifier: ISC */
/*
 * The store lmdb:DIRECTORY: what it knows, and that nothing that happens to its files or its
 * process stops it or loses what was recorded.
 */
#include "unit.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/resource.h>

/* For the size of its map. */
#include "relay/store_lmdb.c"

#define MONTH (UINT64_C(30) * 24 * 3600)
#define MANY  1000000

/* What was said. */
struct said {
	unsigned lines, away, back, afresh, full;
	char last[STORE_MESSAGE_MAX];
};

struct world {
	sd_event *loop;
	struct store *store;
	struct said said;
};

static void hear(void *context, const char *message)
{
	struct said *said = context;

	said->lines++;
	said->away += strstr(message, "away") != NULL;
	said->back += strstr(message, "back") != NULL;
	said->afresh += strstr(message, "afresh") != NULL;
	said->full += strstr(message, "as many users") != NULL;
	(void)snprintf(said->last, sizeof(said->last), "%s", message);
}

/* -1: could not be opened; not an assertion, since children open, too. */
static int begin_in(struct world *world, const char *path, uint64_t last_for, uint64_t most)
{
	const char *wrong;
	char text[300];

	(void)snprintf(text, sizeof(text), "lmdb:%s", path);
	*world = (struct world){ .loop = NULL };
	if (sd_event_new(&world->loop) < 0)
		return -1;
	world->store =
		store_open(text, NULL, last_for, most, world->loop, hear, &world->said, &wrong);
	return world->store == NULL ? -1 : 0;
}

static void begin_for(void **state, struct world *world, uint64_t last_for, uint64_t most)
{
	const struct unit_place *place = *state;

	assert_int_equal(begin_in(world, place->path, last_for, most), 0);
}

static void begin(void **state, struct world *world)
{
	begin_for(state, world, MONTH, MANY);
}

static void end(struct world *world)
{
	store_close(world->store);
	sd_event_unref(world->loop);
}

static void run_for(struct world *world, uint64_t ms)
{
	uint64_t until = unit_ms() + ms;

	while (unit_ms() < until)
		(void)sd_event_run(world->loop, 1000);
}

/* Until something was said so often. */
static void run_until(struct world *world, const unsigned *count, unsigned wanted)
{
	uint64_t until = unit_ms() + UNIT_PATIENCE_MS;

	while (*count < wanted && unit_ms() < until)
		(void)sd_event_run(world->loop, 10000);
}

static struct source address_of(const char *text)
{
	struct source source = { .kind = SOURCE_UNKNOWN };

	(void)source_parse(text, &source);
	return source;
}

static void login(struct world *world, const char *user, const char *address)
{
	struct source source = address_of(address);

	store_login(world->store, user, &source);
}

static void answered(void *context, const struct last_addresses *last)
{
	*(struct last_addresses *)context = *last;
}

static struct last_addresses look_up(struct world *world, const char *user)
{
	struct last_addresses last = { .count = 99 };

	store_look_up(world->store, user, answered, &last);
	return last;
}

/* Addresses as text, with spaces in between. */
static void expect(struct world *world, const char *user, const char *wanted)
{
	struct last_addresses last = look_up(world, user);
	char text[SOURCE_TEXT_MAX], all[1024] = "";

	for (unsigned i = 0; i < last.count && last.count != 99; i++) {
		(void)strcat(all, i > 0 ? " " : "");
		(void)strcat(all, source_text(&last.address[i], text));
	}
	assert_int_not_equal(last.count, 99);
	assert_string_equal(all, wanted);
}

/* ---- What it knows ---- */

static void last_is_first(void **state)
{
	struct world world;

	begin(state, &world);
	expect(&world, "alice", "");
	login(&world, "alice", "192.0.2.1");
	login(&world, "alice", "2001:db8::1");
	login(&world, "bob", "192.0.2.9");
	expect(&world, "alice", "2001:db8::1 192.0.2.1");
	login(&world, "alice", "192.0.2.1");
	expect(&world, "alice", "192.0.2.1 2001:db8::1");
	login(&world, "alice", "192.0.2.1");
	expect(&world, "alice", "192.0.2.1 2001:db8::1");
	expect(&world, "bob", "192.0.2.9");
	assert_false(look_up(&world, "bob").is_remembered);
	assert_false(store_is_shared(world.store));
	assert_int_equal(world.said.lines, 0);
	end(&world);
}

static void eight_are_kept(void **state)
{
	struct world world;
	char address[32];

	begin(state, &world);
	for (unsigned i = 1; i <= 9; i++) {
		(void)snprintf(address, sizeof(address), "2001:db8::%u", i);
		login(&world, "alice", address);
	}
	expect(&world, "alice",
		"2001:db8::9 2001:db8::8 2001:db8::7 2001:db8::6 2001:db8::5 2001:db8::4 "
		"2001:db8::3 2001:db8::2");
	login(&world, "alice", "2001:db8::4");
	expect(&world, "alice",
		"2001:db8::4 2001:db8::9 2001:db8::8 2001:db8::7 2001:db8::6 2001:db8::5 "
		"2001:db8::3 2001:db8::2");
	end(&world);
}

static void is_there_next_time(void **state)
{
	struct world world;
	char longest[USER_NAME_MAX + 1], longer[USER_NAME_MAX + 2];

	memset(longest, 'x', sizeof(longest));
	longest[USER_NAME_MAX] = '\0';
	memset(longer, 'x', sizeof(longer));
	longer[USER_NAME_MAX + 1] = '\0';
	begin(state, &world);
	login(&world, "alice", "192.0.2.1");
	login(&world, "alice", "192.0.2.2");
	login(&world, "\xff\x01 %s", "fe80::1%lo");
	login(&world, longest, "192.0.2.3");
	login(&world, "", "192.0.2.4");
	end(&world);
	begin(state, &world);
	expect(&world, "alice", "192.0.2.2 192.0.2.1");
	expect(&world, "\xff\x01 %s", "fe80::1%lo");
	expect(&world, longest, "192.0.2.3");
	expect(&world, longer, "");
	expect(&world, "", "");
	login(&world, longer, "192.0.2.4");
	assert_int_equal(world.said.lines, 0);
	end(&world);
}

static void old_ones_do_not_count(void **state)
{
	struct world world;

	begin_for(state, &world, 2, MANY);
	login(&world, "alice", "192.0.2.1");
	unit_sleep_ms(1500);
	login(&world, "alice", "192.0.2.2");
	expect(&world, "alice", "192.0.2.2 192.0.2.1");
	unit_sleep_ms(1700);
	expect(&world, "alice", "192.0.2.2");
	unit_sleep_ms(2000);
	expect(&world, "alice", "");
	end(&world);
}

static struct lmdb *inside(struct world *world)
{
	/* As relay/store.c has it: behind its kind. */
	return ((void **)world->store)[1];
}

/* From the same address again: not worth a write each time, but not forgotten either. */
static void every_login_counts(void **state)
{
	struct world world;

	begin_for(state, &world, 4, MANY);
	login(&world, "alice", "192.0.2.1");
	unit_sleep_ms(3000);
	login(&world, "alice", "192.0.2.1");
	unit_sleep_ms(2500);
	expect(&world, "alice", "192.0.2.1");
	end(&world);
}

/* Nor is one worth it that is known already: nothing is noted. */
static void the_same_again_costs_nothing(void **state)
{
	struct world world;

	begin(state, &world);
	login(&world, "alice", "192.0.2.1");
	login(&world, "alice", "192.0.2.1");
	assert_int_equal(journal_end(&inside(&world)->journal), 1);
	login(&world, "alice", "192.0.2.2");
	assert_int_equal(journal_end(&inside(&world)->journal), 2);
	end(&world);
}

static size_t entries(struct lmdb *lmdb)
{
	MDB_stat stat = { .ms_entries = 0 };

	assert_int_equal(mdb_env_stat(lmdb->users.env, &stat), 0);
	return stat.ms_entries;
}

static void old_users_are_removed(void **state)
{
	struct world world;
	char user[16];

	begin_for(state, &world, 4, MANY);
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(user, sizeof(user), "%c%u", 'a' + (int)(i % 26), i);
		login(&world, user, "192.0.2.1");
	}
	run_for(&world, 2500);
	assert_true(entries(inside(&world)) > 900);
	unit_sleep_ms(3000);
	/* Each looks at a hundred or more: after ten of them all are gone. */
	for (unsigned i = 0; i < 10; i++) {
		login(&world, "alice", i % 2 != 0 ? "192.0.2.1" : "192.0.2.2");
		commit_now(inside(&world));
		sync_finish(&inside(&world)->sync);
	}
	assert_int_equal(entries(inside(&world)), 2);
	end(&world);
}

static void users_are_bounded(void **state)
{
	struct world world;

	begin_for(state, &world, MONTH, 2);
	login(&world, "alice", "192.0.2.1");
	login(&world, "bob", "192.0.2.2");
	assert_int_equal(world.said.full, 0);
	login(&world, "carol", "192.0.2.3");
	login(&world, "dora", "192.0.2.4");
	login(&world, "bob", "192.0.2.5");
	assert_int_equal(world.said.full, 1);
	expect(&world, "carol", "");
	expect(&world, "alice", "192.0.2.1");
	expect(&world, "bob", "192.0.2.5 192.0.2.2");
	end(&world);
}

/* More than the map has room for, and more than the journal, while the loop does not run. */
static void it_grows(void **state)
{
	struct world world;
	struct lmdb *lmdb;
	char user[16];

	begin(state, &world);
	lmdb = inside(&world);
	lmdb->map_size = 1 << 20;
	start(lmdb, 0);
	for (unsigned i = 0; i < 40000; i++) {
		(void)snprintf(user, sizeof(user), "%u", i);
		login(&world, user, i % 2 != 0 ? "192.0.2.1" : "2001:db8::1");
	}
	assert_true(lmdb->map_size >= 4 << 20);
	for (unsigned i = 0; i < 40000; i++) {
		(void)snprintf(user, sizeof(user), "%u", i);
		assert_int_equal(look_up(&world, user).count, 1);
	}
	assert_int_equal(world.said.lines, 0);
	end(&world);
}

/* ---- Claims ---- */

static void claim_answered(void *context, struct span wait)
{
	*(struct span *)context = wait;
}

static uint32_t claim(struct world *world, const struct destination *destination, uint32_t ms)
{
	struct span wait = { .ms = UINT32_MAX };

	store_claim(world->store, destination, (struct span){ .ms = ms }, claim_answered, &wait);
	return wait.ms;
}

static void claims_are_this_hosts(void **state)
{
	struct destination one = { .address = address_of("192.0.2.1"), .port = 79 }, other = one,
			   udp = one;
	struct world world;

	other.port = 80;
	udp.is_udp = true;
	begin(state, &world);
	assert_int_equal(claim(&world, &one, 60000), 0);
	assert_in_range(claim(&world, &one, 60000), 50000, 60000);
	assert_int_equal(claim(&world, &other, 60000), 0);
	assert_int_equal(claim(&world, &udp, 60000), 0);
	store_release(world.store, &one, (struct span){ .ms = 300 });
	assert_in_range(claim(&world, &one, 60000), 1, 300);
	store_release(world.store, &one, (struct span){ .ms = 60000 });
	unit_sleep_ms(310);
	assert_int_equal(claim(&world, &one, 60000), 0);
	end(&world);
}

/* ---- Files that are not as they were ---- */

static void name(char path[300], void **state, const char *file)
{
	const struct unit_place *place = *state;

	(void)snprintf(path, 300, "%s/%s", place->path, file);
}

/* Sets what the journal says. */
static void journal_say(void **state, uint64_t synced)
{
	char path[300];
	int fd;

	name(path, state, "logins");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &synced, 8, offsetof(struct journal_file, synced)), 8);
	(void)close(fd);
}

/* A file with 100 users. */
static void make(void **state)
{
	struct world world;
	char user[16];

	begin(state, &world);
	for (unsigned i = 0; i < 100; i++) {
		(void)snprintf(user, sizeof(user), "user%u", i);
		login(&world, user, "192.0.2.1");
	}
	end(&world);
}

static void is_begun_afresh(void **state)
{
	struct world world;
	char path[300];

	name(path, state, USERS_DAMAGED);
	begin(state, &world);
	expect(&world, "user1", "");
	login(&world, "user1", "192.0.2.7");
	expect(&world, "user1", "192.0.2.7");
	assert_int_equal(world.said.afresh, 1);
	assert_int_equal(world.said.lines, 1);
	assert_int_equal(access(path, F_OK), 0);
	end(&world);
	begin(state, &world);
	expect(&world, "user1", "192.0.2.7");
	assert_int_equal(world.said.lines, 0);
	end(&world);
}

static void damage(void **state, off_t at, const void *bytes, size_t length)
{
	char path[300];
	int fd;

	name(path, state, USERS_NAME);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, length, at), length);
	assert_int_equal(close(fd), 0);
}

static void cut(void **state, off_t length)
{
	char path[300];

	name(path, state, USERS_NAME);
	assert_int_equal(truncate(path, length), 0);
}

static void garbage(void **state)
{
	uint8_t bytes[40000];

	make(state);
	assert_int_equal(getrandom(bytes, sizeof(bytes), 0), sizeof(bytes));
	damage(state, 0, bytes, sizeof(bytes));
	is_begun_afresh(state);
}

static void garbage_pages(void **state)
{
	uint8_t bytes[32768];

	make(state);
	memset(bytes, 0x5a, sizeof(bytes));
	damage(state, 8192, bytes, sizeof(bytes));
	is_begun_afresh(state);
}

static void cut_off(void **state)
{
	make(state);
	cut(state, 8192);
	is_begun_afresh(state);
}

static void cut_off_early(void **state)
{
	make(state);
	cut(state, 100);
	is_begun_afresh(state);
}

static void other_version(void **state)
{
	const struct unit_place *place = *state;
	struct users users = { .last_for = MONTH, .most = MANY };
	MDB_val key = { .mv_size = 1, .mv_data = "" }, value = { .mv_size = 1, .mv_data = "\x02" };
	uint64_t transaction;

	make(state);
	assert_int_equal(users_open(&users, place->path, 1 << 24, &transaction), 0);
	assert_int_equal(users_check(&users), 0);
	assert_int_equal(mdb_put(users.write, users.dbi, &key, &value, 0), 0);
	assert_int_equal(users_commit(&users, &transaction), 0);
	users_close(&users);
	journal_say(state, transaction);
	is_begun_afresh(state);
}

static void journal_is_garbage(void **state)
{
	struct world world;
	uint8_t bytes[100000];
	char path[300];
	int fd;

	make(state);
	name(path, state, "logins");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(getrandom(bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	(void)close(fd);
	begin(state, &world);
	login(&world, "alice", "192.0.2.7");
	expect(&world, "alice", "192.0.2.7");
	assert_int_equal(world.said.afresh, 0);
	end(&world);
}

/* A process that has it open reads a page that is no longer there: SIGBUS. */
static void cut_off_while_open(void **state)
{
	struct world world;

	make(state);
	begin(state, &world);
	cut(state, 8192);
	expect(&world, "user1", "");
	assert_int_equal(world.said.afresh, 1);
	login(&world, "user1", "192.0.2.7");
	expect(&world, "user1", "192.0.2.7");
	assert_int_equal(world.said.lines, 1);
	end(&world);
}

/* A signal outside of the store is what it was. */
static int die_of_segv(void *context)
{
	const struct unit_place *place = context;
	struct world world;
	struct rlimit none = { .rlim_cur = 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(SIGSEGV, SIG_DFL);
	if (begin_in(&world, place->path, MONTH, MANY) != 0)
		return 1;
	(void)kill(getpid(), SIGSEGV);
	*(volatile int *)8 = 1;
	return 2;
}

static void other_faults_still_kill(void **state)
{
	if (!unit_can_step())
		skip();
	assert_int_equal(unit_reap(unit_fork(die_of_segv, *state)), UNIT_SIGNAL + SIGSEGV);
}

static int call_abort(void *context)
{
	(void)context;
	abort();
}

static int abort_parent(void *context)
{
	(void)context;
	return kill(getppid(), SIGABRT);
}

static int be_told_to_abort(void *context)
{
	(void)unit_fork(abort_parent, context);
	unit_sleep_ms(UNIT_PATIENCE_MS);
	return 0;
}

/* Of its own accord within calls; then outside of one, or within one as somebody else asks. */
static int abort_in_turn(void *context)
{
	struct rlimit none = { .rlim_cur = 0 };
	struct guard guard;

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(SIGABRT, SIG_DFL);
	guard_open(&guard);
	for (unsigned i = 0; i < 3; i++)
		if (guard_call(call_abort, NULL, 77) != 77)
			return 1;
	if (context == NULL)
		abort();
	return 2 + guard_call(be_told_to_abort, NULL, 77);
}

static void an_abort_within_a_call_is_left(void **state)
{
	assert_int_equal(unit_reap(unit_fork(abort_in_turn, NULL)), UNIT_SIGNAL + SIGABRT);
	assert_int_equal(unit_reap(unit_fork(abort_in_turn, *state)), UNIT_SIGNAL + SIGABRT);
}

/* ---- The machine goes down ---- */

static size_t file_read(void **state, const char *file, uint8_t *bytes, size_t size)
{
	char path[300];
	ssize_t length;
	int fd;

	name(path, state, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	length = read(fd, bytes, size);
	(void)close(fd);
	assert_true(length > 0 && (size_t)length < size);
	return (size_t)length;
}

static uint64_t journal_says(void **state)
{
	uint64_t synced = 0;
	char path[300];
	int fd;

	name(path, state, "logins");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &synced, 8, offsetof(struct journal_file, synced)), 8);
	(void)close(fd);
	return synced;
}

#define FILE_MOST (1 << 20)

/* Of the last commit only the first pages got to the disk, which say that it is there. */
static void the_last_commit_is_half(void **state)
{
	uint8_t *before = test_calloc(1, FILE_MOST), *after = test_calloc(1, FILE_MOST);
	size_t length;
	struct world world;
	uint64_t synced;

	make(state);
	(void)file_read(state, USERS_NAME, before, FILE_MOST);
	synced = journal_says(state);
	assert_true(synced > 0);
	begin(state, &world);
	login(&world, "user1", "192.0.2.8");
	end(&world);
	length = file_read(state, USERS_NAME, after, FILE_MOST);
	memcpy(before, after, 8192);
	damage(state, 0, before, length);
	journal_say(state, synced);
	begin(state, &world);
	expect(&world, "user1", "192.0.2.1");
	expect(&world, "user99", "192.0.2.1");
	assert_int_equal(world.said.lines, 0);
	login(&world, "user1", "192.0.2.9");
	expect(&world, "user1", "192.0.2.9 192.0.2.1");
	end(&world);
	begin(state, &world);
	expect(&world, "user1", "192.0.2.9 192.0.2.1");
	expect(&world, "user50", "192.0.2.1");
	assert_int_equal(world.said.lines, 0);
	end(&world);
	test_free(before);
	test_free(after);
}

#define DAMAGED_FILES 150

/* Whatever an ordinary day brings. Nothing is asserted: it is a child. */
static int use(void *context)
{
	const struct unit_place *place = context;
	struct rlimit none = { .rlim_cur = 0 };
	struct world world;
	char user[16];

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(SIGABRT, SIG_DFL);
	if (begin_in(&world, place->path, MONTH, MANY) != 0)
		return 0;
	for (unsigned i = 0; i < 200; i++) {
		(void)snprintf(user, sizeof(user), "user%u", i * 7 % 150);
		login(&world, user, i % 3 ? "192.0.2.7" : "2001:db8::7");
		(void)look_up(&world, user);
	}
	store_close(world.store);
	return 0;
}

static void S5_no_wrong_bytes_end_the_process(void **state)
{
	uint8_t *good, *bad;
	uint8_t journal[offsetof(struct journal_file, login)];
	uint64_t seed = 1;
	char path[300];
	size_t length;
	int fd;

	/* Others see LMDB read or write where it should not, and end it for that. */
	if (!unit_can_step())
		skip();
	good = test_calloc(1, FILE_MOST);
	bad = test_calloc(1, FILE_MOST);
	make(state);
	length = file_read(state, USERS_NAME, good, FILE_MOST);
	name(path, state, "logins");
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, journal, sizeof(journal), 0), sizeof(journal));
	for (unsigned i = 0; i < DAMAGED_FILES; i++) {
		memcpy(bad, good, length);
		for (uint64_t k = 1 + random_below(&seed, 8); k > 0; k--)
			bad[random_below(&seed, (uint32_t)length)] =
				(uint8_t)random_below(&seed, 256);
		name(path, state, USERS_NAME);
		(void)unlink(path);
		(void)close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		damage(state, 0, bad, length);
		assert_int_equal(pwrite(fd, journal, sizeof(journal), 0), sizeof(journal));
		if (unit_reap(unit_fork(use, *state)) != 0)
			fail_msg("file %u ends the process", i);
	}
	(void)close(fd);
	test_free(good);
	test_free(bad);
}

/* As from a copy of it. */
static void it_comes_without_a_journal(void **state)
{
	struct world world;
	char path[300];

	make(state);
	name(path, state, "logins");
	assert_int_equal(unlink(path), 0);
	begin(state, &world);
	expect(&world, "user1", "192.0.2.1");
	expect(&world, "user99", "192.0.2.1");
	assert_int_equal(world.said.lines, 0);
	end(&world);
}

static void sync_fails(void *context, int error)
{
	(void)error;
	synced(context, EIO);
}

/* What the kernel could not write it may forget (fsync(2)), so nothing of that commit counts: its
 * logins are still in the journal, and are committed anew. */
static void the_disk_fails(void **state)
{
	struct world world;
	struct lmdb *lmdb;
	uint64_t before;

	make(state);
	begin(state, &world);
	lmdb = inside(&world);
	sync_finish(&lmdb->sync);
	before = lmdb->committed;
	lmdb->sync.done = sync_fails;
	login(&world, "user1", "192.0.2.8");
	commit_now(lmdb);
	sync_finish(&lmdb->sync);
	assert_int_equal(lmdb->committed, before + 1);
	assert_int_equal(world.said.away, 1);
	assert_int_equal(journal_end(&lmdb->journal) - journal_begin(&lmdb->journal), 1);
	lmdb->sync.done = synced;
	run_until(&world, &world.said.back, 1);
	expect(&world, "user1", "192.0.2.8 192.0.2.1");
	/* Not one more: it has taken the place of the other. */
	assert_int_equal(lmdb->committed, before + 1);
	sync_finish(&lmdb->sync);
	assert_int_equal(journal_end(&lmdb->journal), journal_begin(&lmdb->journal));
	assert_int_equal(world.said.lines, 2);
	end(&world);
}

static void what_was_synced_stays(void **state)
{
	struct world world;

	make(state);
	journal_say(state, journal_says(state));
	begin(state, &world);
	expect(&world, "user1", "192.0.2.1");
	assert_int_equal(world.said.lines, 0);
	end(&world);
}

/* ---- The process is killed ---- */

#define STORM_USERS 300

struct storm {
	const char *path;
	_Atomic unsigned done;              /* logins that store_login() returned for */
	_Atomic unsigned last[STORM_USERS]; /* the last of each user */
};

static void storm_user(char user[16], unsigned number)
{
	(void)snprintf(user, 16, "user%u", number % STORM_USERS);
}

static struct source storm_address(unsigned number)
{
	struct source source = { .kind = SOURCE_IPV4,
		.address = {
			10, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number } };

	return source;
}

static int storm_child(void *context)
{
	struct storm *storm = context;
	struct world world;
	char user[16];

	if (begin_in(&world, storm->path, MONTH, MANY) != 0)
		return 1;
	for (unsigned i = atomic_load(&storm->done) + 1;; i++) {
		struct source address = storm_address(i);

		storm_user(user, i);
		store_login(world.store, user, &address);
		atomic_store(&storm->last[i % STORM_USERS], i);
		atomic_store(&storm->done, i);
		if (i % 64 == 0)
			(void)sd_event_run(world.loop, 0);
	}
}

/* The address is that of the last login that was done, or of the one that was under way. */
static void storm_judge(struct storm *storm)
{
	struct world world;
	char user[16];

	assert_int_equal(begin_in(&world, storm->path, MONTH, MANY), 0);
	for (unsigned i = 0; i < STORM_USERS; i++) {
		unsigned number = atomic_load(&storm->last[i]);
		struct source wanted = storm_address(number),
			      later = storm_address(atomic_load(&storm->done) + 1);
		struct last_addresses last;

		storm_user(user, i);
		last = look_up(&world, user);
		if (number == 0)
			continue;
		assert_true(last.count > 0);
		if (memcmp(&last.address[0], &later, sizeof(later)) != 0)
			assert_memory_equal(&last.address[0], &wanted, sizeof(wanted));
	}
	assert_int_equal(world.said.lines, 0);
	end(&world);
}

/* For so many logins, or ten seconds. */
static void storm_wait(const struct storm *storm, unsigned logins)
{
	for (unsigned i = 0; i < 10000 && atomic_load(&storm->done) < logins; i++)
		unit_sleep_ms(1);
}

static void killed_at_any_moment(void **state)
{
	const struct unit_place *place = *state;
	struct storm *storm = unit_shared(sizeof(*storm));
	uint64_t seed = unit_ns() | 1;
	unsigned rounds = getenv("LONG") != NULL ? 2000 : 40;

	storm->path = place->path;
	for (unsigned i = 0; i < rounds; i++) {
		pid_t child = unit_fork(storm_child, storm);

		unit_sleep_us(1000 + random_below(&seed, 60000));
		/* Half of them have come far, however slow this machine is. */
		if (i % 2 == 0)
			storm_wait(storm, (i / 2 + 1) * 20);
		unit_kill(child);
		/* Sometimes the next one comes at once, and finds what two have left. */
		if (i % 3 != 0)
			storm_judge(storm);
	}
	assert_true(atomic_load(&storm->done) >= rounds * 10);
	unit_unshare(storm, sizeof(*storm));
}

/* ---- Directories that are not as they should be ---- */

static void only_one_relay_has_it(void **state)
{
	struct world one, two;

	begin(state, &one);
	login(&one, "alice", "192.0.2.1");
	begin(state, &two);
	assert_int_equal(two.said.away, 1);
	login(&two, "bob", "192.0.2.2");
	expect(&two, "bob", "192.0.2.2");
	assert_true(look_up(&two, "alice").is_remembered);
	end(&one);
	run_until(&two, &two.said.back, 1);
	assert_int_equal(two.said.back, 1);
	assert_int_equal(two.said.lines, 2);
	expect(&two, "alice", "192.0.2.1");
	end(&two);
}

static int read_only_child(void *context)
{
	const struct unit_place *place = context;
	struct last_addresses last;
	struct world world;

	if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
		return UNIT_CANNOT;
	if (begin_in(&world, place->path, MONTH, MANY) != 0)
		return 1;
	login(&world, "alice", "192.0.2.1");
	last = look_up(&world, "alice");
	if (last.count != 1 || !last.is_remembered)
		return 2;
	run_for(&world, 1500);
	end(&world);
	return world.said.away == 1 && world.said.lines == 1 ? 0 : 3;
}

static void nobody_may_write_there(void **state)
{
	struct unit_place *place = *state;

	make(state);
	assert_int_equal(chmod(place->path, 0755), 0);
	unit_expect(unit_reap(unit_fork(read_only_child, place)));
}

static int fill_disk(const char *path)
{
	static char bytes[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	while (write(fd, bytes, sizeof(bytes)) > 0)
		;
	return close(fd);
}

static unsigned count_of(struct world *world, const char *user)
{
	return look_up(world, user).count;
}

static int full_child(void *context)
{
	const struct unit_place *place = context;
	struct world world;
	char fill[300], user[16];

	(void)snprintf(fill, sizeof(fill), "%s/fill", place->path);
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		mount("tmpfs", place->path, "tmpfs", 0, "size=8m") != 0)
		return UNIT_CANNOT;
	if (begin_in(&world, place->path, MONTH, MANY) != 0)
		return 1;
	login(&world, "alice", "192.0.2.1");
	run_for(&world, 2500);
	if (world.said.lines != 0)
		return 2;
	(void)fill_disk(fill);
	for (unsigned i = 0; i < 3000; i++) {
		(void)snprintf(user, sizeof(user), "user%u", i);
		login(&world, user, "192.0.2.2");
	}
	run_until(&world, &world.said.away, 1);
	login(&world, "bob", "192.0.2.3");
	/* What it knew, what came just before, what comes now. */
	if (count_of(&world, "alice") != 1 || count_of(&world, "user2999") != 1 ||
		count_of(&world, "bob") != 1)
		return 3;
	(void)unlink(fill);
	run_until(&world, &world.said.back, 1);
	if (world.said.away != 1 || world.said.back != 1 || world.said.lines != 2)
		return 4;
	end(&world);
	if (begin_in(&world, place->path, MONTH, MANY) != 0 || count_of(&world, "alice") != 1 ||
		count_of(&world, "user2999") != 1 || count_of(&world, "bob") != 1)
		return 5;
	end(&world);
	return 0;
}

static void the_disk_is_full(void **state)
{
	unit_expect(unit_reap(unit_fork(full_child, *state)));
}

static void texts_that_are_none(void **state)
{
	static const char *const texts[] = { "", "lmdb", "lmdb:", "file:/x", "redis://",
		"redis://example.org", "redis://127.0.0.1:0", "redis://127.0.0.1:65536",
		"redis://127.0.0.1/x", "redis://127.0.0.1/1/2", "redis://[::1", "redis://::1",
		"redis://127.0.0.1:79x", "redis+unix:relative", "redis+unix:" };
	struct said said = { .lines = 0 };
	const char *wrong;
	sd_event *loop;

	(void)state;
	assert_true(sd_event_new(&loop) >= 0);
	for (size_t i = 0; i < COUNT(texts); i++) {
		wrong = NULL;
		assert_null(store_open(texts[i], NULL, MONTH, MANY, loop, hear, &said, &wrong));
		assert_non_null(wrong);
	}
	wrong = NULL;
	assert_null(store_open(
		"redis://127.0.0.1", "/nonexistent", MONTH, MANY, loop, hear, &said, &wrong));
	assert_non_null(strstr(wrong, "password"));
	assert_int_equal(said.lines, 0);
	sd_event_unref(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST_PLACE(last_is_first),
		UNIT_TEST_PLACE(eight_are_kept),
		UNIT_TEST_PLACE(is_there_next_time),
		UNIT_TEST_PLACE(old_ones_do_not_count),
		UNIT_TEST_PLACE(every_login_counts),
		UNIT_TEST_PLACE(the_same_again_costs_nothing),
		UNIT_TEST_PLACE(old_users_are_removed),
		UNIT_TEST_PLACE(users_are_bounded),
		UNIT_TEST_PLACE(it_grows),
		UNIT_TEST_PLACE(claims_are_this_hosts),
		UNIT_TEST_PLACE(garbage),
		UNIT_TEST_PLACE(garbage_pages),
		UNIT_TEST_PLACE(cut_off),
		UNIT_TEST_PLACE(cut_off_early),
		UNIT_TEST_PLACE(other_version),
		UNIT_TEST_PLACE(journal_is_garbage),
		UNIT_TEST_PLACE(cut_off_while_open),
		UNIT_TEST_PLACE(other_faults_still_kill),
		UNIT_TEST_PLACE(an_abort_within_a_call_is_left),
		UNIT_TEST_PLACE(S5_no_wrong_bytes_end_the_process),
		UNIT_TEST_PLACE(the_last_commit_is_half),
		UNIT_TEST_PLACE(what_was_synced_stays),
		UNIT_TEST_PLACE(it_comes_without_a_journal),
		UNIT_TEST_PLACE(the_disk_fails),
		UNIT_TEST_PLACE(killed_at_any_moment),
		UNIT_TEST_PLACE(only_one_relay_has_it),
		UNIT_TEST_PLACE(nobody_may_write_there),
		UNIT_TEST_PLACE(the_disk_is_full),
		cmocka_unit_test(texts_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
