/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include <grp.h>
#include <sys/resource.h>
#include <sys/statfs.h>

#include "state/state.h"

/* A user that is neither root nor us. */
#define STRANGER 54321

static bool root(void)
{
	return geteuid() == 0;
}

/* ---- The path of the base ---- */

static int path_as_stranger(void *context)
{
	char buffer[64];
	const char *path;

	if (setgroups(0, NULL) != 0 || setresuid(STRANGER, STRANGER, STRANGER) != 0)
		return UNIT_CANNOT;
	path = state_base_path(NULL, buffer, sizeof(buffer));
	return path != NULL ? strcmp(path, context) != 0 : 2;
}

static void state_base_is_the_configured_one_before_all_others(void **state)
{
	char buffer[64];

	(void)state;
	assert_int_equal(setenv("RUNTIME_DIRECTORY", "/run/a:/run/b", 1), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", "/run/user/1", 1), 0);
	assert_string_equal(state_base_path("/var/with:colon", buffer, sizeof(buffer)),
		"/var/with:colon");
	assert_string_equal(state_base_path(NULL, buffer, sizeof(buffer)),
		"/run/a");
	assert_int_equal(setenv("RUNTIME_DIRECTORY", "relative", 1), 0);
	assert_string_equal(state_base_path(NULL, buffer, sizeof(buffer)),
		root() ? "/run/nmnotify" : "/run/user/1/nmnotify");
	assert_int_equal(unsetenv("RUNTIME_DIRECTORY"), 0);
	if (root())
		assert_int_equal(unit_reap(unit_fork(path_as_stranger, "/run/user/1/nmnotify")), 0);
	/* Unlike RUNTIME_DIRECTORY, it is one path, not a list of them. */
	assert_int_equal(setenv("XDG_RUNTIME_DIR", "/run/user:1", 1), 0);
	assert_int_equal(setenv("RUNTIME_DIRECTORY", "run:list", 1), 0);
	if (root())
		assert_int_equal(unit_reap(unit_fork(path_as_stranger, "/run/user:1/nmnotify")), 0);
	assert_int_equal(unsetenv("RUNTIME_DIRECTORY"), 0);
	assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
	assert_string_equal(state_base_path(NULL, buffer, sizeof(buffer)),
		"/run/nmnotify");
}

static void state_base_that_does_not_fit_is_refused(void **state)
{
	char buffer[16];

	(void)state;
	assert_int_equal(setenv("RUNTIME_DIRECTORY", "/123456789:/abcd", 1), 0);
	assert_null(state_base_path(NULL, buffer, sizeof(buffer)));
	assert_int_equal(setenv("RUNTIME_DIRECTORY", "/123456789:/abc", 1), 0);
	assert_string_equal(state_base_path(NULL, buffer, sizeof(buffer)), "/123456789");
	/* One that need not be put together needs no room. */
	assert_int_equal(setenv("RUNTIME_DIRECTORY", "/123456789abcdefghijk", 1), 0);
	assert_string_equal(state_base_path(NULL, buffer, sizeof(buffer)), "/123456789abcdefghijk");
	assert_string_equal(state_base_path("/abcdefghijk123456789", buffer, sizeof(buffer)),
		"/abcdefghijk123456789");
	assert_int_equal(unsetenv("RUNTIME_DIRECTORY"), 0);
}

/* ---- Directories ---- */

static const char *in(const struct unit_place *place, const char *name)
{
	static char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", place->path, name);
	return path;
}

static struct stat status(const struct unit_place *place, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(place->fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

static void make_directory(const struct unit_place *place, const char *name, mode_t mode)
{
	assert_int_equal(mkdirat(place->fd, name, 0700), 0);
	assert_int_equal(fchmodat(place->fd, name, mode, 0), 0);
}

/* One way to open a directory: the base by its path, or an account's below the base. */
typedef int opener(const struct unit_place *place, const char *name, struct state_error *error);

static int open_base(const struct unit_place *place, const char *name, struct state_error *error)
{
	return state_base_open(in(place, name), geteuid(), error);
}

static int open_account(const struct unit_place *place, const char *name, struct state_error *error)
{
	return state_account_open(place->fd, name, geteuid(), geteuid(), getegid(), error);
}

static opener *const openers[] = { open_base, open_account };

static void refused(opener *open_it, const struct unit_place *place, const char *name,
	const char *what, int code)
{
	struct state_error error = { .code = -1 };

	assert_int_equal(open_it(place, name, &error), -1);
	assert_string_equal(error.what, what);
	assert_int_equal(error.code, code);
	assert_non_null(strstr(error.name, name));
}

static void accepted(opener *open_it, const struct unit_place *place, const char *name)
{
	struct state_error error;
	struct stat st, expected;
	int fd = open_it(place, name, &error);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	expected = status(place, name);
	assert_int_equal(st.st_ino, expected.st_ino);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	(void)close(fd);
}

static void state_directory_is_made_for_its_owner_alone(void **state)
{
	const struct unit_place *place = *state;
	mode_t before = umask(0);

	for (unsigned i = 0; i < COUNT(openers); i++) {
		const char *name = i == 0 ? "base" : "account";

		accepted(openers[i], place, name);
		assert_int_equal(status(place, name).st_mode, S_IFDIR | 0700);
		accepted(openers[i], place, name);
	}
	(void)umask(before);
}

static void state_directory_that_is_none_is_refused(void **state)
{
	const struct unit_place *place = *state;

	make_directory(place, "real", 0700);
	assert_int_equal(symlinkat("real", place->fd, "link"), 0);
	assert_int_equal(symlinkat("nothing", place->fd, "dangling"), 0);
	assert_int_equal(mknodat(place->fd, "file", S_IFREG | 0600, 0), 0);
	assert_int_equal(mknodat(place->fd, "fifo", S_IFIFO | 0600, 0), 0);
	for (unsigned i = 0; i < COUNT(openers); i++) {
		accepted(openers[i], place, "real");
		refused(openers[i], place, "link", "not a directory or a symlink", 0);
		refused(openers[i], place, "dangling", "not a directory or a symlink", 0);
		refused(openers[i], place, "file", "not a directory or a symlink", 0);
		refused(openers[i], place, "fifo", "not a directory or a symlink", 0);
		refused(openers[i], place, "none/below", "cannot make directory", ENOENT);
	}
	assert_int_equal(faccessat(place->fd, "nothing", F_OK, 0), -1);
}

static void state_directory_that_others_may_write_is_refused(void **state)
{
	static const mode_t modes[] = { 0720, 0702, 0722, 01777, 0770 };
	const struct unit_place *place = *state;

	for (unsigned i = 0; i < COUNT(modes); i++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "%o", (unsigned)modes[i]);
		make_directory(place, name, modes[i]);
		for (unsigned k = 0; k < COUNT(openers); k++)
			refused(openers[k], place, name, "others may write to", 0);
	}
	make_directory(place, "readable", 0755);
	for (unsigned k = 0; k < COUNT(openers); k++)
		accepted(openers[k], place, "readable");
}

static void state_directory_of_somebody_else_is_refused(void **state)
{
	const struct unit_place *place = *state;
	struct state_error error;
	int fd;

	make_directory(place, "foreign", 0700);
	/* For another self, ours is foreign; unless it is root's. */
	fd = state_base_open(in(place, "foreign"), STRANGER, &error);
	assert_int_equal(fd >= 0, root());
	(void)close(fd);
	fd = state_account_open(place->fd, "foreign", STRANGER, STRANGER, STRANGER, &error);
	assert_int_equal(fd, -1);
	assert_string_equal(error.what, "somebody else owns");
	if (!root())
		skip();
	assert_int_equal(fchownat(place->fd, "foreign", STRANGER, STRANGER, 0), 0);
	for (unsigned i = 0; i < COUNT(openers); i++)
		refused(openers[i], place, "foreign", "somebody else owns", 0);
	fd = state_base_open(in(place, "foreign"), STRANGER, &error);
	assert_true(fd >= 0);
	(void)close(fd);
}

static void state_directory_made_by_root_is_given_to_the_user(void **state)
{
	const struct unit_place *place = *state;
	struct state_error error;
	int fd;

	if (!root())
		skip();
	fd = state_account_open(place->fd, "account", 0, STRANGER, STRANGER + 1, &error);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(status(place, "account").st_uid, STRANGER);
	assert_int_equal(status(place, "account").st_gid, STRANGER + 1);
	assert_int_equal(status(place, "account").st_mode, S_IFDIR | 0700);
	/* Never taken from one user to be given to another. */
	fd = state_account_open(place->fd, "account", 0, STRANGER + 2, STRANGER, &error);
	assert_int_equal(fd, -1);
	assert_string_equal(error.what, "somebody else owns");
	assert_int_equal(status(place, "account").st_uid, STRANGER);
}

/* Opens the directory `account` as root does for STRANGER; returns what was wrong, or NULL. */
static const char *give(const struct unit_place *place)
{
	struct state_error error;
	int fd = state_account_open(place->fd, "account", 0, STRANGER, STRANGER + 1, &error);

	if (fd < 0)
		return error.what;
	(void)close(fd);
	return NULL;
}

static void make_file(const struct unit_place *place, const char *name)
{
	assert_int_equal(mknodat(place->fd, name, S_IFREG | 0600, 0), 0);
}

/* As systemd does it to a RuntimeDirectory= whose service has become another user's. */
static void state_that_was_made_roots_is_given_back_and_goes_on(void **state)
{
	const struct unit_place *place = *state;
	struct stat before, after;

	if (!root())
		skip();
	make_directory(place, "account", 0700);
	make_file(place, "account/limits");
	before = status(place, "account/limits");
	assert_null(give(place));
	assert_int_equal(status(place, "account").st_uid, STRANGER);
	after = status(place, "account/limits");
	assert_int_equal(after.st_uid, STRANGER);
	assert_int_equal(after.st_gid, STRANGER + 1);
	assert_int_equal(after.st_ino, before.st_ino);
	/* Half of it was done, and then came the end. */
	make_file(place, "account/turn");
	assert_int_equal(fchownat(place->fd, "account", 0, 0, 0), 0);
	assert_null(give(place));
	assert_int_equal(status(place, "account/turn").st_uid, STRANGER);
	assert_null(give(place));
}

static void state_directory_of_roots_that_is_something_else_stays_roots(void **state)
{
	static const char what[] = "root owns what was not made for a state:";
	static const mode_t modes[] = { 0755, 0750, 0711, 01700, 04700, 0500 };
	const struct unit_place *place = *state;

	if (!root())
		skip();
	make_directory(place, "account", 0700);
	for (unsigned i = 0; i < COUNT(modes); i++) {
		assert_int_equal(fchmodat(place->fd, "account", modes[i], 0), 0);
		assert_string_equal(give(place), what);
	}
	assert_int_equal(fchmodat(place->fd, "account", 0700, 0), 0);
	/* Behind more names than one look at the directory brings. */
	make_file(place, "account/limits");
	for (unsigned i = 0; i < 100; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "account/.%u", i);
		make_file(place, name);
		assert_string_equal(give(place), what);
		if (i < 99)
			assert_int_equal(renameat(place->fd, name, place->fd, "elsewhere"), 0);
		else
			assert_int_equal(unlinkat(place->fd, name, 0), 0);
	}
	assert_int_equal(linkat(place->fd, "account/limits", place->fd, "linked", 0), 0);
	assert_string_equal(give(place), what);
	assert_int_equal(status(place, "linked").st_uid, 0);
	assert_int_equal(unlinkat(place->fd, "account/limits", 0), 0);
	assert_int_equal(symlinkat("../elsewhere", place->fd, "account/limits"), 0);
	assert_string_equal(give(place), what);
	assert_int_equal(status(place, "elsewhere").st_uid, 0);
	assert_int_equal(unlinkat(place->fd, "account/limits", 0), 0);
	make_directory(place, "account/turn", 0700);
	assert_string_equal(give(place), what);
	assert_int_equal(unlinkat(place->fd, "account/turn", AT_REMOVEDIR), 0);
	make_file(place, "account/turn");
	assert_int_equal(fchownat(place->fd, "account/turn", STRANGER + 2, STRANGER, 0), 0);
	assert_string_equal(give(place), what);
	assert_int_equal(status(place, "account").st_uid, 0);
	assert_int_equal(unlinkat(place->fd, "account/turn", 0), 0);
	assert_null(give(place));
}

/* ---- The file ---- */

static struct state *map(const struct unit_place *place, size_t size, struct state_error *error)
{
	return state_map(place->fd, "limits", geteuid(), size, error);
}

static void map_refused(const struct unit_place *place, const char *what, int code)
{
	struct state_error error = { .code = -1 };

	assert_null(map(place, sizeof(struct state), &error));
	assert_string_equal(error.what, what);
	assert_string_equal(error.name, "limits");
	assert_int_equal(error.code, code);
	assert_int_equal(unlinkat(place->fd, "limits", 0), 0);
}

static bool is_zero(const struct state *state, size_t size)
{
	static const char zeros[sizeof(struct state)];

	return memcmp(state, zeros, size) == 0;
}

static void state_file_is_made_for_its_owner_alone(void **state)
{
	const struct unit_place *place = *state;
	mode_t before = umask(0);
	struct state_error error;
	struct state *map_of = map(place, sizeof(struct state), &error);
	struct stat st;

	(void)umask(before);
	assert_non_null(map_of);
	assert_true(is_zero(map_of, sizeof(struct state)));
	st = status(place, "limits");
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_size, sizeof(struct state));
	assert_true(st.st_blocks * 512 >= (blkcnt_t)sizeof(struct state));
	unit_unshare(map_of, sizeof(struct state));
}

/* What is there stays, and what is missing is zeros on real disk space. */
static void G6_state_file_of_any_length_is_grown_and_kept(void **state)
{
	static const off_t lengths[] = { 0, 1, 63, 4096, 65535, 65536, 65537, 100000 };
	const struct unit_place *place = *state;

	for (unsigned i = 0; i < COUNT(lengths); i++) {
		int fd = openat(place->fd, "limits", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		struct state_error error;
		const unsigned char *bytes;
		off_t last = lengths[i] < 65536 ? lengths[i] - 1 : 65535;

		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, lengths[i]), 0); /* all holes but a byte */
		if (lengths[i] > 0)
			assert_int_equal(pwrite(fd, "\xa5", 1, last), 1);
		bytes = (const unsigned char *)map(place, sizeof(struct state), &error);
		assert_non_null(bytes);
		for (off_t at = 0; at < 65536; at++)
			assert_int_equal(bytes[at], at == last ? 0xa5 : 0);
		assert_int_equal(
			status(place, "limits").st_size, lengths[i] < 65536 ? 65536 : lengths[i]);
		assert_true(status(place, "limits").st_blocks * 512 >= 65536);
		unit_unshare((void *)(uintptr_t)bytes, sizeof(struct state));
		(void)close(fd);
		assert_int_equal(unlinkat(place->fd, "limits", 0), 0);
	}
}

static void state_of_counters_alone_is_as_large_as_they_are(void **state)
{
	const struct unit_place *place = *state;
	struct state_error error;
	struct state *small = map(place, STATE_HEADER_BYTES, &error), *whole;

	assert_non_null(small);
	assert_int_equal(status(place, "limits").st_size, STATE_HEADER_BYTES);
	atomic_store(&small->verdicts[VERDICT_DENIED], 7);
	whole = map(place, sizeof(struct state), &error);
	assert_non_null(whole);
	assert_int_equal(atomic_load(&whole->verdicts[VERDICT_DENIED]), 7);
	atomic_store(&whole->verdicts[VERDICT_DENIED], 8);
	assert_int_equal(atomic_load(&small->verdicts[VERDICT_DENIED]), 8);
	unit_unshare(small, STATE_HEADER_BYTES);
	unit_unshare(whole, sizeof(struct state));
}

static void state_file_that_is_none_is_refused(void **state)
{
	const struct unit_place *place = *state;

	assert_int_equal(mknodat(place->fd, "file", S_IFREG | 0600, 0), 0);
	assert_int_equal(symlinkat("file", place->fd, "limits"), 0);
	map_refused(place, "cannot open", ELOOP);
	assert_int_equal(symlinkat("nothing", place->fd, "limits"), 0);
	map_refused(place, "cannot open", ELOOP);
	assert_int_equal(faccessat(place->fd, "nothing", F_OK, 0), -1);
	assert_int_equal(mknodat(place->fd, "limits", S_IFIFO | 0600, 0), 0);
	map_refused(place, "not a regular file:", 0);
	make_directory(place, "limits", 0700);
	assert_null(map(place, sizeof(struct state), &(struct state_error){ .code = 0 }));
}

static void state_file_that_others_may_write_is_refused(void **state)
{
	const struct unit_place *place = *state;
	struct state_error error;

	for (mode_t mode = 0620; mode != 0; mode = mode == 0620 ? 0602 : 0) {
		assert_int_equal(mknodat(place->fd, "limits", S_IFREG, 0), 0);
		assert_int_equal(fchmodat(place->fd, "limits", mode, 0), 0);
		map_refused(place, "others may write to", 0);
	}
	assert_int_equal(mknodat(place->fd, "limits", S_IFREG | 0600, 0), 0);
	assert_null(state_map(place->fd, "limits", geteuid() + 1, sizeof(struct state), &error));
	assert_string_equal(error.what, "somebody else owns");
	if (!root())
		skip();
	assert_int_equal(fchownat(place->fd, "limits", STRANGER, STRANGER, 0), 0);
	map_refused(place, "somebody else owns", 0);
}

static int map_without_room(void *context)
{
	const struct rlimit most = { .rlim_cur = 8192, .rlim_max = 8192 };
	struct state_error error = { .code = -1 };

	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_FSIZE, &most) != 0)
		return UNIT_CANNOT;
	if (map(context, sizeof(struct state), &error) != NULL)
		return 1;
	return strcmp(error.what, "no room for") == 0 && error.code == EFBIG ? 0 : 2;
}

/* Otherwise the first store into the missing page would be the end of the process. */
static void state_file_without_room_on_the_disk_is_refused(void **state)
{
	unit_expect(unit_reap(unit_fork(map_without_room, *state)));
}

#define MAKERS 8

struct makers {
	const struct unit_place *place;
	_Atomic unsigned here;
};

static int make_and_count(void *context)
{
	struct makers *makers = context;
	struct state_error error;
	struct state *map_of;
	int fd;

	unit_meet(&makers->here, MAKERS);
	fd = state_account_open(
		makers->place->fd, "account", geteuid(), geteuid(), getegid(), &error);
	if (fd < 0)
		return 1;
	map_of = state_map(fd, "limits", geteuid(), sizeof(struct state), &error);
	if (map_of == NULL)
		return 2;
	/* Whoever comes first: all count in the same file, and nobody sees it shorter. */
	atomic_fetch_add(&map_of->starts, 1);
	atomic_fetch_add(&map_of->line[STATE_LINES - 1].cell[STATE_LINE_CELLS - 1], 1);
	return 0;
}

static void state_made_by_many_at_once_is_one(void **state)
{
	struct makers *makers = unit_shared(sizeof(*makers));

	makers->place = *state;
	for (unsigned round = 0; round < 20; round++) {
		struct state_error error;
		struct state *map_of;
		int fd;

		atomic_store(&makers->here, 0);
		unit_crowd(MAKERS, make_and_count, makers);
		fd = open_account(*state, "account", &error);
		map_of = state_map(fd, "limits", geteuid(), sizeof(struct state), &error);
		assert_non_null(map_of);
		assert_int_equal(atomic_load(&map_of->starts), MAKERS);
		assert_int_equal(
			atomic_load(&map_of->line[STATE_LINES - 1].cell[STATE_LINE_CELLS - 1]),
			MAKERS);
		unit_unshare(map_of, sizeof(struct state));
		assert_int_equal(unlinkat(fd, "limits", 0), 0);
		(void)close(fd);
		assert_int_equal(
			unlinkat(((struct unit_place *)*state)->fd, "account", AT_REMOVEDIR), 0);
	}
	unit_unshare(makers, sizeof(*makers));
}

/* ---- Made anew ---- */

static void G1_state_made_anew_keeps_what_is_owed(void **state)
{
	static struct state old; /* large */
	atomic_word *words = &old.due;

	(void)state;
	for (size_t i = 0; i < sizeof(old) / sizeof(*words); i++)
		atomic_store(&words[i], 0xa5a5a5a5);
	assert_true(state_forget(&old));
	assert_int_equal(atomic_load(&old.due), 0xa5a5a5a5);
	assert_int_equal(atomic_load(&old.owed), 0xa5a5a5a5);
	assert_int_equal(atomic_load(&old.action), 0xa5a5a5a5);
	assert_int_equal(atomic_load(&old.asked), 0xa5a5a5a5);
	assert_int_equal(atomic_load(&old.asked_for), 0xa5a5a5a5);
	assert_int_equal(atomic_load(&old.last_start), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_not_equal(atomic_load(&old.key[i]), 0);
		assert_int_not_equal(atomic_load(&old.key[i]), 0xa5a5a5a5);
	}
	for (atomic_word *word = old.verdicts; word < words + sizeof(old) / sizeof(*words); word++)
		assert_int_equal(atomic_load(word), 0);
}

/* A source's cells are in one cache line, and the header's words are not in it. */
static void state_is_laid_out_in_cache_lines(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct state), 65536);
	assert_int_equal(sizeof(struct state_line), STATE_LINE_BYTES);
	assert_int_equal(STATE_HEADER_BYTES % STATE_LINE_BYTES, 0);
	assert_int_equal(offsetof(struct state, due) / STATE_LINE_BYTES,
		offsetof(struct state, action) / STATE_LINE_BYTES);
	assert_int_not_equal(offsetof(struct state, due) / STATE_LINE_BYTES,
		offsetof(struct state, verdicts) / STATE_LINE_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_base_is_the_configured_one_before_all_others),
		cmocka_unit_test(state_base_that_does_not_fit_is_refused),
		UNIT_TEST_PLACE(state_directory_is_made_for_its_owner_alone),
		UNIT_TEST_PLACE(state_directory_that_is_none_is_refused),
		UNIT_TEST_PLACE(state_directory_that_others_may_write_is_refused),
		UNIT_TEST_PLACE(state_directory_of_somebody_else_is_refused),
		UNIT_TEST_PLACE(state_directory_made_by_root_is_given_to_the_user),
		UNIT_TEST_PLACE(state_that_was_made_roots_is_given_back_and_goes_on),
		UNIT_TEST_PLACE(state_directory_of_roots_that_is_something_else_stays_roots),
		UNIT_TEST_PLACE(state_file_is_made_for_its_owner_alone),
		UNIT_TEST_PLACE(G6_state_file_of_any_length_is_grown_and_kept),
		UNIT_TEST_PLACE(state_of_counters_alone_is_as_large_as_they_are),
		UNIT_TEST_PLACE(state_file_that_is_none_is_refused),
		UNIT_TEST_PLACE(state_file_that_others_may_write_is_refused),
		UNIT_TEST_PLACE(state_file_without_room_on_the_disk_is_refused),
		UNIT_TEST_PLACE(state_made_by_many_at_once_is_one),
		cmocka_unit_test(G1_state_made_anew_keeps_what_is_owed),
		cmocka_unit_test(state_is_laid_out_in_cache_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
