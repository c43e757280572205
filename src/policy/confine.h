/* SPDX-License-Identifier: ISC */
/*
 * What a process gives up before it reads a byte of the network. Nothing here can be undone.
 */
#ifndef NMNOTIFY_CONFINE_H
#define NMNOTIFY_CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "policy/policy.h"
#include "lib/users.h"

/*
 * To be a program's first step: from now on nobody but root can look into the process or write to
 * its memory, by ptrace(2) or /proc/PID/mem, and it leaves no core file. Else an action of the same
 * user could run code outside of every confinement. It holds across fork(2), but not across
 * execve(2).
 */
void process_guard(void);

/*
 * Makes read-only what only the start-up code has to write: addresses of functions (PT_GNU_RELRO).
 * A dynamic program's loader does that; musl's start-up code of a static one does not. False with
 * errno set.
 */
bool relocations_guard(void);

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

/* Has the kernel seccomp filters? */
bool has_seccomp(void);

#endif
