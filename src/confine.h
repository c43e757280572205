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
 * Becomes `user` for good, if root (setgroups(2), setresgid(2), setresuid(2)), and drops all
 * capabilities, also those that a super-server may have left to somebody else (capset(2)).
 * False with errno set: then nothing may run.
 */
bool privileges_drop(const struct user *user);

/* no_new_privs and the policy's seccomp filter, for this process and all that it starts. False
 * with errno set. */
bool confine(const struct policy *policy);

#endif
