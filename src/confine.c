/* SPDX-License-Identifier: ISC */
#include "confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct policy *policy_find(const char *name)
{
	for (unsigned i = 0; i < policies_count; i++)
		if (strcmp(policies[i].name, name) == 0)
			return &policies[i];
	return NULL;
}

static bool capabilities_drop(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { .effective = 0 } };

	/* An empty permitted set empties the ambient one too (capabilities(7)). */
	return syscall(SYS_capset, &header, none) == 0;
}

bool privileges_drop(const struct user *user)
{
	if (geteuid() == 0) {
		if (setgroups(user->groups_count, user->groups) != 0 ||
			setresgid(user->gid, user->gid, user->gid) != 0 ||
			setresuid(user->uid, user->uid, user->uid) != 0)
			return false;
		/* Believe it only when the way back is seen to be closed. */
		if (setresuid((uid_t)-1, 0, (uid_t)-1) == 0) {
			errno = EPERM;
			return false;
		}
	}
	return capabilities_drop();
}

bool confine(const struct policy *policy)
{
	struct sock_fprog program = {
		.len = policy->length,
		.filter = (struct sock_filter *)(uintptr_t)policy->code,
	};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
