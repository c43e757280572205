/* SPDX-License-Identifier: ISC */
/*
 * /etc/passwd and /etc/group: of any two texts, a user is what a slow and simple reading of them says,
 * and is never root and never half known. The running one may also be what the environment says.
 *
 * Input: the user's name, a newline, the text of passwd, a NUL, the text of group.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "lib/users.h"

/* The real files are out of reach. */
#define openat(directory, path, flags) table_of(path)
static int table_of(const char *path);
#include "../../src/lib/users.c"
#undef openat

#define NAME_MAX_BYTES 400

static struct text_file {
	const uint8_t *bytes;
	size_t length;
	int fd;
} passwd = { .fd = -1 }, group = { .fd = -1 };

static int table_of(const char *path)
{
	char name[64];
	int fd;

	fd = strcmp(path, "/etc/passwd") == 0 ? passwd.fd : group.fd;
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return open(name, O_RDONLY | O_CLOEXEC);
}

static void file_fill(struct text_file *file, const uint8_t *bytes, size_t length)
{
	if (file->fd < 0)
		file->fd = memfd_create("table", MFD_CLOEXEC);
	file->bytes = bytes;
	file->length = length;
	must(file->fd >= 0 && ftruncate(file->fd, 0) == 0);
	must(length == 0 || pwrite(file->fd, bytes, length, 0) == (ssize_t)length);
}

/* ---- A slow and simple reading ---- */

/* The next line at *at, cut at a NUL; NULL at the end. The caller frees it. */
static char *next_line(const struct text_file *file, size_t *at)
{
	const uint8_t *start, *newline;
	size_t length;
	char *line;

	if (*at >= file->length) /* and `bytes` may be NULL */
		return NULL;
	start = file->bytes + *at;
	newline = memchr(start, '\n', file->length - *at);
	length = newline != NULL ? (size_t)(newline - start) : file->length - *at;
	*at += length + 1;
	line = calloc(1, length + 1);
	must(line != NULL);
	memcpy(line, start, length);
	return line;
}

/* Takes a line apart; how many fields there are. */
static unsigned split(char *line, char *field[FIELDS_MAX + 1])
{
	unsigned count = 0;
	char *rest = line;

	while (rest != NULL && count <= FIELDS_MAX)
		field[count++] = strsep(&rest, ":");
	return count;
}

/* Digits alone, and not 2^32 - 1 or more. */
static bool wanted_number(const char *text, uint32_t *number)
{
	unsigned long long value;

	if (*text == '\0' || strspn(text, "0123456789") != strlen(text))
		return false;
	while (*text == '0' && text[1] != '\0')
		text++;
	if (strlen(text) > 10)
		return false;
	value = strtoull(text, NULL, 10);
	*number = (uint32_t)value;
	return value < UINT32_MAX;
}

static bool fits(const char *text)
{
	return strlen(text) < USER_TEXT_MAX;
}

static bool wanted_entry(char *line, const char *name, struct user *user)
{
	char *field[FIELDS_MAX + 1];

	if (split(line, field) != 7 || strcmp(field[0], name) != 0 ||
		!wanted_number(field[2], &user->uid) || !wanted_number(field[3], &user->gid) ||
		!fits(field[0]) || !fits(field[5]) || !fits(field[6]))
		return false;
	(void)strcpy(user->home, field[5]);
	(void)strcpy(user->shell, *field[6] != '\0' ? field[6] : "/bin/sh");
	return true;
}

static bool wanted_user(const char *name, struct user *user)
{
	bool found = false;
	size_t at = 0;
	char *line;

	while (!found && (line = next_line(&passwd, &at)) != NULL) {
		found = wanted_entry(line, name, user);
		free(line);
	}
	return found;
}

static bool wanted_member(char *members, const char *name)
{
	char *member, *rest = members;

	while ((member = strsep(&rest, ",")) != NULL)
		if (*member != '\0' && strcmp(member, name) == 0)
			return true;
	return false;
}

/* Is this line a group that the user is in, besides his own? */
static bool wanted_group(char *line, const char *name, gid_t own, gid_t *gid)
{
	char *field[FIELDS_MAX + 1];

	return split(line, field) == 4 && wanted_number(field[2], gid) && *gid != own &&
	       wanted_member(field[3], name);
}

/* ---- Both readings ---- */

static void check_groups(const struct user *user, const char *name)
{
	size_t at = 0, count = 1;
	gid_t gid;
	char *line;

	must(user->groups_count >= 1 && user->groups_count <= USER_GROUPS_MAX);
	must(user->groups[0] == user->gid);
	while ((line = next_line(&group, &at)) != NULL) {
		if (wanted_group(line, name, user->gid, &gid)) {
			must(count < user->groups_count && user->groups[count] == gid);
			count++;
		}
		free(line);
	}
	must(count == user->groups_count);
}

static void check_user(const char *name)
{
	static struct user user, wanted;
	const char *wrong = user_by_name(name, &user);

	if (!wanted_user(name, &wanted)) {
		must(wrong != NULL);
		return;
	}
	if (wanted.uid == 0) {
		must(wrong != NULL && strstr(wrong, "root") != NULL);
		return;
	}
	must(user.uid == wanted.uid && user.gid == wanted.gid);
	must(user.uid != 0 && user.uid != UINT32_MAX && user.gid != UINT32_MAX);
	must(strcmp(user.name, name) == 0);
	must(strcmp(user.home, wanted.home) == 0 && strcmp(user.shell, wanted.shell) == 0);
	if (wrong == NULL)
		check_groups(&user, name);
	else
		must(user.groups_count == USER_GROUPS_MAX || group.length >= FILE_LINE_MAX);
}

/* Whoever runs us and is not in passwd is what the environment says, if that is any good. */
static void check_running(const char *name)
{
	static struct user user;
	bool is_long = !fits(name);

	must(setenv("USER", name, 1) == 0 && setenv("HOME", name, 1) == 0);
	must(setenv("SHELL", name, 1) == 0);
	file_fill(&passwd, NULL, 0);
	user_running(&user);
	must(user.uid == getuid() && user.gid == getgid() && user.groups_count == 0);
	must(strcmp(user.name, is_long ? "nobody" : name) == 0);
	must(strcmp(user.home, is_long || *name != '/' ? "/" : name) == 0);
	must(strcmp(user.shell, is_long || *name != '/' ? "/bin/sh" : name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	char name[NAME_MAX_BYTES];
	const uint8_t *end;
	size_t length;

	take_text(&input, '\n', name, sizeof(name));
	end = input.length == 0 ? NULL : memchr(input.bytes, '\0', input.length);
	length = end == NULL ? input.length : (size_t)(end - input.bytes);
	file_fill(&passwd, input.bytes, length);
	if (end != NULL)
		length++;
	file_fill(&group, input.bytes + length, input.length - length);
	check_user(name);
	check_running(name);
	return 0;
}
