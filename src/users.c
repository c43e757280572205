/* SPDX-License-Identifier: ISC */
#include "users.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool text_set(char text[static USER_TEXT_MAX], const char *value)
{
	size_t length = strlen(value);

	if (length >= USER_TEXT_MAX)
		return false;
	memcpy(text, value, length + 1);
	return true;
}

/* The first entry of that name, or with that uid if name is NULL. */
static bool passwd_find(const char *name, uid_t uid, struct user *user)
{
	FILE *file = fopen("/etc/passwd", "re");
	struct passwd *entry;
	bool found = false;

	if (file == NULL)
		return false;
	while (!found && (entry = fgetpwent(file)) != NULL) {
		if (name == NULL ? entry->pw_uid != uid : strcmp(entry->pw_name, name) != 0)
			continue;
		user->uid = entry->pw_uid;
		user->gid = entry->pw_gid;
		found = text_set(user->name, entry->pw_name) &&
			text_set(user->home, entry->pw_dir) &&
			text_set(user->shell, *entry->pw_shell ? entry->pw_shell : "/bin/sh");
	}
	(void)fclose(file); /* was only read */
	return found;
}

static bool is_member(const struct group *group, const char *name)
{
	for (char **member = group->gr_mem; *member != NULL; member++)
		if (strcmp(*member, name) == 0)
			return true;
	return false;
}

static bool groups_find(struct user *user)
{
	FILE *file = fopen("/etc/group", "re");
	const struct group *group;

	user->groups[0] = user->gid;
	user->groups_count = 1;
	if (file == NULL)
		return true; /* no file, no further groups */
	while ((group = fgetgrent(file)) != NULL) {
		if (group->gr_gid == user->gid || !is_member(group, user->name))
			continue;
		if (user->groups_count == USER_GROUPS_MAX)
			break;
		user->groups[user->groups_count++] = group->gr_gid;
	}
	(void)fclose(file);
	return group == NULL;
}

const char *user_by_name(const char *name, struct user *user)
{
	if (!passwd_find(name, 0, user))
		return "is not in /etc/passwd";
	if (user->uid == 0)
		return "is root, whom no action may run as";
	if (!groups_find(user))
		return "is in too many groups";
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
