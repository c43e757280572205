/* SPDX-License-Identifier: ISC */
/*
 * What a process gives up before it reads a byte of the network. Nothing here can be undone.
 */
#ifndef NMNOTIFY_CONFINE_H
#define NMNOTIFY_CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "policy/policy.h"
#include "users.h"

/* The policy of that name, or NULL. */
const struct policy *policy_find(const char *name);

/*
 * For root: becomes `user` for good, with his groups (setgroups(2), setresgid(2), setresuid(2)).
 * False with errno set: then nothing may run.
 */
bool privileges_become(const struct user *user);

/*
 * Drops all capabilities, also those that a super-server left to an ordinary user (capset(2)),
 * sets no_new_privs, and installs the policy's seccomp filter: for this process and all that it
 * starts. False with errno set: then nothing may run.
 */
bool confine(const struct policy *policy);

#endif
