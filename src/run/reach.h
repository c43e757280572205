/* SPDX-License-Identifier: ISC */
/*
 * What of files, TCP ports and other processes the action can reach, by Landlock: what `read`,
 * `write`, `execute`, `connect` and `isolate` say, or the policy's default. nmnotify.conf(5) has
 * that one whole.
 *
 * The ruleset is made in the waiter, as the account's user, and holds in the action alone: its
 * supervisor goes on changing the state, which the action cannot.
 */
#ifndef NMNOTIFY_REACH_H
#define NMNOTIFY_REACH_H

#include "lib/text.h"
#include "policy/landlock.h"
#include "run/environment.h"

/* What an account asks of the kernel, as bits. */
enum { REACH_FILES = 1, REACH_WRITE = 2, REACH_CONNECT = 4, REACH_ISOLATE = 8, REACH_ALL = 15 };
unsigned reach_wants(const struct account *account);

/* Adds a list of what is wanted and a kernel with that version of Landlock (landlock_abi()) lacks.
 * False if it lacks nothing. */
bool reach_add_lacks(struct text *text, unsigned wants, int abi);

/* Opens (O_PATH) a path of `read`, `write` or `execute`; -1 with errno set. On no way over a
 * symbolic link: an action that may write to a directory above could make it lead anywhere.
 * `home`: the action's, open; or -1. */
int reach_open(int home, const char *path);

/* Does the kernel lack what `landlock required` is about? Then adds that it does. */
bool reach_is_lacking(const struct account *account, struct text *why);

/* Makes the ruleset for a command, the account's action or another of its programs. The caller
 * closes its descriptor, if it is not -1: nothing is restricted then. False with errno set. */
bool reach_make(struct landlock *ruleset, const struct job *job, const struct command *command,
	const struct environment *environment);

#endif
