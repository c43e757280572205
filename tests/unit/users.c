/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include <grp.h>
#include <pwd.h>
#include <sys/mount.h>

#include "lib/users.h"

static const char unknown[] = "is not in /etc/passwd";
static const char is_root[] = "is root, whom no action may run as";
static const char groups_wrong[] = "has groups that cannot be read, or too many";

/* ---- This machine's own tables, as its libc reads them ---- */

static size_t groups_of_libc(const char *name, gid_t primary, gid_t groups[], size_t most)
{
	FILE *file = fopen("/etc/group", "re");
	const struct group *group;
	size_t count = 0;

	groups[count++] = primary;
	while (file != NULL && (group = fgetgrent(file)) != NULL)
		for (char **member = group->gr_mem; *member != NULL; member++)
			if (strcmp(*member, name) == 0 && group->gr_gid != primary && count < most)
				groups[count++] = group->gr_gid;
	if (file != NULL)
		(void)fclose(file);
	return count;
}

static void compare(const struct user *user, const struct passwd *entry)
{
	gid_t groups[USER_GROUPS_MAX];
	size_t count = groups_of_libc(entry->pw_name, entry->pw_gid, groups, COUNT(groups));

	assert_string_equal(user->name, entry->pw_name);
	assert_string_equal(user->home, entry->pw_dir);
	assert_string_equal(user->shell, *entry->pw_shell ? entry->pw_shell : "/bin/sh");
	assert_int_equal(user->uid, entry->pw_uid);
	assert_int_equal(user->gid, entry->pw_gid);
	assert_int_equal(user->groups_count, count);
	assert_memory_equal(user->groups, groups, count * sizeof(groups[0]));
}

static void users_of_this_machine_are_read_as_libc_reads_them(void **state)
{
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *entry;
	unsigned seen = 0;

	(void)state;
	assert_non_null(file);
	while ((entry = fgetpwent(file)) != NULL) {
		static struct user user;
		const char *wrong = user_by_name(entry->pw_name, &user);

		if (entry->pw_uid == 0) {
			assert_string_equal(wrong, is_root);
			continue;
		}
		assert_null(wrong);
		compare(&user, entry);
		seen++;
	}
	(void)fclose(file);
	assert_true(seen > 0);
}

static void users_root_and_the_unknown_are_refused(void **state)
{
	static struct user user;

	(void)state;
	assert_string_equal(user_by_name("root", &user), is_root);
	assert_string_equal(user_by_name("no such user", &user), unknown);
	assert_string_equal(user_by_name("", &user), unknown);
	assert_string_equal(user_by_name("0", &user), unknown);
	assert_string_equal(user_by_name("roo", &user), unknown);
	assert_string_equal(user_by_name("root:x:0", &user), unknown);
}

/* ---- Tables of our own, mounted over those of the machine in a child ---- */

struct tables {
	const struct unit_place *place;
	const char *passwd, *group; /* NULL: none */
	const char *name;           /* NULL: the running user, who becomes `uid` */
	uid_t uid;
	const char *wrong;
	struct user user;
};

/* Puts text, or a file that is not there, in the place of a table. */
static bool table_mount(const struct tables *tables, const char *text, const char *path)
{
	char file[512];
	int fd;

	(void)snprintf(file, sizeof(file), "%s/%s", tables->place->path, strrchr(path, '/') + 1);
	fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
	       close(fd) == 0 && mount(file, path, "", MS_BIND, NULL) == 0;
}

static int look_up(void *context)
{
	struct tables *tables = context;

	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) != 0 ||
		!table_mount(tables, tables->passwd, "/etc/passwd") ||
		!table_mount(tables, tables->group, "/etc/group"))
		return UNIT_CANNOT;
	if (tables->name != NULL) {
		tables->wrong = user_by_name(tables->name, &tables->user);
		return 0;
	}
	if (setresuid(tables->uid, tables->uid, tables->uid) != 0)
		return UNIT_CANNOT;
	user_running(&tables->user);
	return 0;
}

/* The result is the caller's until the next call. */
static const struct tables *look(void **state, struct tables tables)
{
	static struct tables *shared;

	if (shared == NULL)
		shared = unit_shared(sizeof(*shared));
	*shared = tables;
	shared->place = *state;
	unit_expect(unit_reap(unit_fork(look_up, shared)));
	return shared;
}

static void users_lines_that_are_none_are_passed_over(void **state)
{
	static const char passwd[] = "\n"
				     "# alice:x:1:1::/:/bin/sh\n"
				     "alice\n"
				     "alice:x:100:100::/home/few\n"
				     "alice:x:100:100::/home/many:/bin/sh:more\n"
				     "alice:x::100::/home/none:/bin/sh\n"
				     "alice:x:-1:100::/home/negative:/bin/sh\n"
				     "alice:x:1o:100::/home/letter:/bin/sh\n"
				     "alice:x:4294967295:100::/home/nobodys:/bin/sh\n"
				     "alice:x:4294967296:100::/home/large:/bin/sh\n"
				     "alice:x:100:4294967295::/home/group:/bin/sh\n"
				     "alicea:x:100:100::/home/longer:/bin/sh\n"
				     "alic:x:100:100::/home/shorter:/bin/sh\n"
				     "alice:x:101:102:A, B:/home/alice:\n"
				     "alice:x:0:0::/home/second:/bin/sh\n";
	const struct tables *t =
		look(state, (struct tables){ .passwd = passwd, .group = "", .name = "alice" });

	assert_null(t->wrong);
	assert_string_equal(t->user.home, "/home/alice");
	assert_string_equal(t->user.shell, "/bin/sh");
	assert_int_equal(t->user.uid, 101);
	assert_int_equal(t->user.gid, 102);
	assert_int_equal(t->user.groups_count, 1);
	assert_int_equal(t->user.groups[0], 102);
}

static void users_in_last_lines_without_newline_are_read(void **state)
{
	const struct tables *t = look(state,
		(struct tables){ .passwd = "bob:x:1:1::/:\nalice:x:100:100::/home/alice:/bin/zsh",
			.group = "one:x:1:bob\ntwo:x:2:bob,alice",
			.name = "alice" });

	assert_null(t->wrong);
	assert_string_equal(t->user.shell, "/bin/zsh");
	assert_int_equal(t->user.groups_count, 2);
	assert_int_equal(t->user.groups[1], 2);
}

static void users_that_are_root_by_another_name_are_refused(void **state)
{
	static const char passwd[] = "toor:x:0:100::/root:/bin/sh\n"
				     "zero:x:00000:100::/root:/bin/sh\n";

	assert_string_equal(
		look(state, (struct tables){ .passwd = passwd, .group = "", .name = "toor" })
			->wrong,
		is_root);
	assert_string_equal(
		look(state, (struct tables){ .passwd = passwd, .group = "", .name = "zero" })
			->wrong,
		is_root);
}

static void users_groups_are_those_that_name_them(void **state)
{
	static const char group[] = "own:x:100:alice\n"
				    "one:x:1:alice\n"
				    "first:x:2:alice,bob\n"
				    "middle:x:3:bob,alice,carol\n"
				    "last:x:4:bob,alice\n"
				    "longer:x:5:alicea,aalice,bob\n"
				    "shorter:x:6:alic,,ice\n"
				    "none:x:7:\n"
				    "few:x\n"
				    "many:x:8:alice:alice\n"
				    "letter:x:9x:alice\n"
				    "nobodys:x:4294967295:alice\n"
				    "commas:x:10:,,alice,,\n";
	static const gid_t expected[] = { 100, 1, 2, 3, 4, 10 };
	const struct tables *t =
		look(state, (struct tables){ .passwd = "alice:x:100:100::/:/bin/sh\n",
				    .group = group,
				    .name = "alice" });

	assert_null(t->wrong);
	assert_int_equal(t->user.groups_count, COUNT(expected));
	assert_memory_equal(t->user.groups, expected, sizeof(expected));
}

/* A group that is left out quietly would be a right, or a prohibition, that is lost. */
static void users_with_too_many_groups_are_refused(void **state)
{
	static char group[65536];
	char *end = group;

	for (unsigned i = 0; i < USER_GROUPS_MAX; i++) {
		const struct tables *t;

		end += sprintf(end, "g%u:x:%u:alice\n", i, 1000 + i);
		if (i < USER_GROUPS_MAX - 2)
			continue;
		t = look(state, (struct tables){ .passwd = "alice:x:100:100::/:/bin/sh\n",
					.group = group,
					.name = "alice" });
		if (i == USER_GROUPS_MAX - 2) {
			assert_null(t->wrong);
			assert_int_equal(t->user.groups_count, USER_GROUPS_MAX);
			assert_int_equal(t->user.groups[USER_GROUPS_MAX - 1], 1000 + i);
		} else {
			assert_string_equal(t->wrong, groups_wrong);
		}
	}
}

static void users_with_a_group_line_too_long_to_read_are_refused(void **state)
{
	static char group[70000];
	size_t length = (size_t)sprintf(group, "large:x:1:");
	const struct tables *t;

	memset(group + length, 'x', 65534 - length);
	(void)sprintf(group + 65535 - 7, ",alice\nsmall:x:2:alice\n");
	t = look(state, (struct tables){ .passwd = "alice:x:100:100::/:/bin/sh\n",
				.group = group,
				.name = "alice" });
	assert_null(t->wrong); /* 65,536 bytes with the newline: just read */
	assert_int_equal(t->user.groups_count, 3);
	memset(group + length, 'x', 65535 - length);
	(void)sprintf(group + 65536 - 6, ",alice\nsmall:x:2:alice\n");
	t = look(state, (struct tables){ .passwd = "alice:x:100:100::/:/bin/sh\n",
				.group = group,
				.name = "alice" });
	assert_string_equal(t->wrong, groups_wrong);
}

static void users_with_a_home_that_does_not_fit_are_refused(void **state)
{
	static char passwd[1024], home[USER_TEXT_MAX + 1];

	memset(home, 'h', USER_TEXT_MAX);
	home[0] = '/';
	(void)sprintf(passwd, "alice:x:100:100::%s:/bin/sh\n", home);
	assert_string_equal(
		look(state, (struct tables){ .passwd = passwd, .group = "", .name = "alice" })
			->wrong,
		unknown);
	home[USER_TEXT_MAX - 1] = '\0';
	(void)sprintf(passwd, "alice:x:100:100::%s:/bin/sh\n", home);
	assert_null(look(state, (struct tables){ .passwd = passwd, .group = "", .name = "alice" })
			    ->wrong);
}

/* ---- The running user ---- */

static void users_running_is_found_by_number(void **state)
{
	static const char passwd[] = "first:x:4321:1::/home/first:/bin/first\n"
				     "second:x:4321:1::/home/second:/bin/second\n";
	const struct tables *t =
		look(state, (struct tables){ .passwd = passwd, .group = "", .uid = 4321 });

	assert_string_equal(t->user.name, "first");
	assert_string_equal(t->user.home, "/home/first");
	assert_string_equal(t->user.shell, "/bin/first");
	assert_int_equal(t->user.uid, 4321);
	assert_int_equal(t->user.groups_count, 0);
}

static void environment(const char *user, const char *home, const char *shell)
{
	assert_int_equal(user ? setenv("USER", user, 1) : unsetenv("USER"), 0);
	assert_int_equal(home ? setenv("HOME", home, 1) : unsetenv("HOME"), 0);
	assert_int_equal(shell ? setenv("SHELL", shell, 1) : unsetenv("SHELL"), 0);
}

static void users_running_without_entry_is_who_the_super_server_says(void **state)
{
	static char large[USER_TEXT_MAX + 2];
	const struct tables none = { .passwd = "x:x:1:1::/:\n", .group = "", .uid = 4321 };
	const struct tables *t;

	environment("alice", "/home/alice", "/bin/zsh");
	t = look(state, none);
	assert_string_equal(t->user.name, "alice");
	assert_string_equal(t->user.home, "/home/alice");
	assert_string_equal(t->user.shell, "/bin/zsh");
	assert_int_equal(t->user.uid, 4321);
	environment("alice", "home", "zsh");
	t = look(state, none);
	assert_string_equal(t->user.home, "/");
	assert_string_equal(t->user.shell, "/bin/sh");
	environment(NULL, NULL, NULL);
	t = look(state, none);
	assert_string_equal(t->user.name, "nobody");
	assert_string_equal(t->user.home, "/");
	assert_string_equal(t->user.shell, "/bin/sh");
	memset(large, '/', sizeof(large) - 1);
	environment(large, large, large);
	t = look(state, none);
	assert_string_equal(t->user.name, "nobody");
	assert_string_equal(t->user.home, "/");
	assert_string_equal(t->user.shell, "/bin/sh");
}

static void users_running_here_has_this_number(void **state)
{
	static struct user user;

	(void)state;
	user_running(&user);
	assert_int_equal(user.uid, getuid());
	assert_int_equal(user.groups_count, 0);
	assert_int_equal(user.home[0], '/');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_of_this_machine_are_read_as_libc_reads_them),
		cmocka_unit_test(users_root_and_the_unknown_are_refused),
		UNIT_TEST_PLACE(users_lines_that_are_none_are_passed_over),
		UNIT_TEST_PLACE(users_in_last_lines_without_newline_are_read),
		UNIT_TEST_PLACE(users_that_are_root_by_another_name_are_refused),
		UNIT_TEST_PLACE(users_groups_are_those_that_name_them),
		UNIT_TEST_PLACE(users_with_too_many_groups_are_refused),
		UNIT_TEST_PLACE(users_with_a_group_line_too_long_to_read_are_refused),
		UNIT_TEST_PLACE(users_with_a_home_that_does_not_fit_are_refused),
		UNIT_TEST_PLACE(users_running_is_found_by_number),
		UNIT_TEST_PLACE(users_running_without_entry_is_who_the_super_server_says),
		cmocka_unit_test(users_running_here_has_this_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
