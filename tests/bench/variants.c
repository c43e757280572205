/* SPDX-License-Identifier: ISC */
/*
 * A design that was not chosen: linked in front of confine(), it has libseccomp build the filter in
 * each process, instead of once when nmnotify is compiled. NAMES is the policy's list of calls
 * that are allowed; their conditions are left out, which favours this design.
 */
#include <errno.h>
#include <seccomp.h>

#include "policy/confine.h"

/* The linker's names (ld(1), --wrap). */
bool __wrap_confine(const struct policy *policy);

static const char *const allowed[] = { NAMES };

bool __wrap_confine(const struct policy *policy)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	bool done = filter != NULL && policy != NULL &&
		    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0;

	for (unsigned i = 0; done && i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		int number = seccomp_syscall_resolve_name(allowed[i]);

		done = number < 0 || seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0) == 0;
	}
	done = done && seccomp_load(filter) == 0;
	seccomp_release(filter);
	return done;
}
