/* SPDX-License-Identifier: ISC */
/*
 * Users and their groups as /etc/passwd and /etc/group say. A static program cannot ask the name
 * service switch, and one that serves a port should not load its modules. A user who is only in a
 * directory service has to be set by the super-server.
 */
#ifndef NMNOTIFY_USERS_H
#define NMNOTIFY_USERS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define USER_TEXT_MAX   256
#define USER_GROUPS_MAX 256

struct user {
	uid_t uid;
	gid_t gid;
	size_t groups_count;
	char name[USER_TEXT_MAX], home[USER_TEXT_MAX], shell[USER_TEXT_MAX];
	gid_t groups[USER_GROUPS_MAX]; /* the primary one first */
};

/* By name, with groups; not root. NULL, or what is wrong: constant. */
const char *user_by_name(const char *name, struct user *user);

/*
 * The running user, without groups: from /etc/passwd, else from what the super-server said in
 * USER, HOME and SHELL, else without a home.
 */
void user_running(struct user *user);

/* Does it stand for every owner who has no number in this user namespace (user_namespaces(7))? */
bool user_is_unknown(uid_t uid);

#endif
