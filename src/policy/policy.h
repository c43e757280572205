/* SPDX-License-Identifier: ISC */
/*
 * The seccomp policies, as policy-compile made them from the *.policy files. They are constants of
 * the target's own byte order: loading one is prctl(PR_SET_NO_NEW_PRIVS) and one seccomp() call
 * with a struct sock_fprog of its code and length.
 */
#ifndef NMNOTIFY_POLICY_H
#define NMNOTIFY_POLICY_H

#include <linux/filter.h>

struct policy {
	const char *name; /* the word behind `confine`: the file's name without .policy */
	const struct sock_filter *code;
	unsigned short length; /* in instructions, as sock_fprog wants it; at most BPF_MAXINSNS */
};

extern const struct policy policies[];
extern const unsigned policies_count;

#endif
