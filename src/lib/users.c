/* SPDX-License-Identifier: ISC */
#include "lib/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/text.h"

/*
 * passwd(5) and group(5) are lines of fields between colons. fgetpwent(3) would read them too,
 * with the half of stdio that reads, and an allocator, which nothing else here needs. A line longer
 * than this, thousands of members, cannot be read and is an error, not a group that is quietly left
 * out.
 */
#define FILE_LINE_MAX 65536
#define FIELDS_MAX    7

enum passwd_field { PASSWD_NAME, PASSWD_UID = 2, PASSWD_GID, PASSWD_HOME = 5, PASSWD_SHELL };
enum group_field { GROUP_GID = 2, GROUP_MEMBERS };

struct user_file {
	int fd;
	size_t start, end; /* of what was read and not yet taken */
	char *bytes;
	bool failed;
};

static bool text_set(char text[static USER_TEXT_MAX], const char *value)
{
	size_t length = strlen(value);

	if (length >= USER_TEXT_MAX)
		return false;
	memcpy(text, value, length + 1);
	return true;
}

static struct user_file user_file_open(const char *path)
{
	static char bytes[FILE_LINE_MAX + 1]; /* and a NUL */
	struct user_file file = { .fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC),
		.bytes = bytes };

	return file;
}

static void user_file_close(struct user_file *file)
{
	if (file->fd >= 0)
		(void)close(file->fd); /* was only read */
}

/* Moves the rest to the front and reads more behind it. False at the end, or if that failed. */
static bool user_file_fill(struct user_file *file)
{
	size_t rest = file->end - file->start;
	ssize_t got;

	memmove(file->bytes, file->bytes + file->start, rest);
	file->start = 0;
	file->end = rest;
	do
		got = read(file->fd, file->bytes + rest, FILE_LINE_MAX - rest);
	while (got < 0 && errno == EINTR);
	file->failed = got < 0 || (got == 0 && rest == FILE_LINE_MAX);
	if (got > 0)
		file->end += (size_t)got;
	return got > 0;
}

/* The next line, ended by a NUL; NULL at the end. The last one may lack its newline. */
static char *user_file_line(struct user_file *file)
{
	char *line, *newline;

	if (file->fd < 0)
		return NULL;
	do {
		line = file->bytes + file->start;
		newline = memchr(line, '\n', file->end - file->start);
	} while (newline == NULL && user_file_fill(file));
	if (newline == NULL) {
		line = file->bytes + file->start;
		newline = file->bytes + file->end;
		if (newline == line || file->failed)
			return NULL;
	}
	*newline = '\0';
	file->start = (size_t)(newline - file->bytes) + 1;
	if (file->start > file->end)
		file->start = file->end;
	return line;
}

static bool line_fields(char *line, char *field[FIELDS_MAX], unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char *colon = strchr(line, ':');

		field[i] = line;
		if ((colon == NULL) != (i == count - 1))
			return false;
		if (colon != NULL) {
			*colon = '\0';
			line = colon + 1;
		}
	}
	return true;
}

/* A user's or group's number; 2^32 - 1, which is nobody's, is not one. */
static bool id_parse(const char *text, uint32_t *id)
{
	uint64_t number;

	if (!number_parse(text, UINT32_MAX - 1, &number))
		return false;
	*id = (uint32_t)number;
	return true;
}

/* The first entry of that name, or with that uid if name is NULL. */
static bool passwd_find(const char *name, uid_t uid, struct user *user)
{
	struct user_file file = user_file_open("/etc/passwd");
	char *line, *field[FIELDS_MAX];
	bool found = false;

	while (!found && (line = user_file_line(&file)) != NULL) {
		if (!line_fields(line, field, FIELDS_MAX) ||
			!id_parse(field[PASSWD_UID], &user->uid) ||
			!id_parse(field[PASSWD_GID], &user->gid) ||
			(name != NULL ? strcmp(field[PASSWD_NAME], name) != 0 : user->uid != uid))
			continue;
		found = text_set(user->name, field[PASSWD_NAME]) &&
			text_set(user->home, field[PASSWD_HOME]) &&
			text_set(user->shell,
				*field[PASSWD_SHELL] ? field[PASSWD_SHELL] : "/bin/sh");
	}
	user_file_close(&file);
	return found;
}

/* Is `name` in a list with commas between its members? */
static bool is_member(const char *members, const char *name)
{
	size_t length = strlen(name);

	for (; *members != '\0'; members += *members == ',') {
		size_t one = strcspn(members, ",");

		if (one == length && memcmp(members, name, length) == 0)
			return true;
		members += one;
	}
	return false;
}

static bool groups_find(struct user *user)
{
	struct user_file file = user_file_open("/etc/group");
	char *line, *field[FIELDS_MAX];
	gid_t gid;
	bool fits = true;

	user->groups[0] = user->gid;
	user->groups_count = 1;
	while (fits && (line = user_file_line(&file)) != NULL) {
		if (!line_fields(line, field, GROUP_MEMBERS + 1) ||
			!id_parse(field[GROUP_GID], &gid) || gid == user->gid ||
			!is_member(field[GROUP_MEMBERS], user->name))
			continue;
		fits = user->groups_count < USER_GROUPS_MAX;
		if (fits)
			user->groups[user->groups_count++] = gid;
	}
	user_file_close(&file);
	return fits && !file.failed;
}

const char *user_by_name(const char *name, struct user *user)
{
	if (!passwd_find(name, 0, user))
		return "is not in /etc/passwd";
	if (user->uid == 0)
		return "is root, whom no action may run as";
	if (!groups_find(user))
		return "has groups that cannot be read, or too many";
	return NULL;
}

void user_running(struct user *user)
{
	const char *name = getenv("USER"), *home = getenv("HOME"), *shell = getenv("SHELL");

	user->groups_count = 0;
	if (passwd_find(NULL, getuid(), user))
		return;
	user->uid = getuid();
	user->gid = getgid();
	if (name == NULL || !text_set(user->name, name))
		(void)text_set(user->name, "nobody");
	if (home == NULL || *home != '/' || !text_set(user->home, home))
		(void)text_set(user->home, "/");
	if (shell == NULL || *shell != '/' || !text_set(user->shell, shell))
		(void)text_set(user->shell, "/bin/sh");
}

/* The numbers at the beginning of a small file; returns how many. */
static unsigned numbers_read(const char *path, uint64_t *number, unsigned most)
{
	char bytes[128];
	int fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes) - 1);
	const char *at = bytes;
	unsigned count = 0;

	if (fd >= 0)
		(void)close(fd); /* was only read */
	if (got < 0)
		return 0;
	bytes[got] = '\0';
	while (count < most) {
		at += strspn(at, " ");
		if (!number_take(&at, UINT32_MAX, &number[count]))
			break;
		count++;
	}
	return count;
}

bool user_is_unknown(uid_t uid)
{
	enum map { MAP_INSIDE, MAP_OUTSIDE, MAP_LENGTH, MAP_FIELDS };
	uint64_t overflow, map[MAP_FIELDS];

	if (numbers_read("/proc/sys/kernel/overflowuid", &overflow, 1) != 1 || overflow != uid)
		return false;
	/* Where all numbers are mapped, it is an ordinary user, nobody. */
	return numbers_read("/proc/self/uid_map", map, MAP_FIELDS) != MAP_FIELDS ||
	       map[MAP_LENGTH] != UINT32_MAX;
}
