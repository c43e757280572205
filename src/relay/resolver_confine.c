/* SPDX-License-Identifier: ISC */
#include "relay/resolver_confine.h"

#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/confine.h"
#include "policy/landlock.h"
#include "policy/policy.h"

extern const struct policy relay_policies[];

/* A thousand look-ups take a few megabytes; a hosts file at most 4. */
#define MEMORY_MOST ((rlim_t)64 << 20)

/* No rule for any file: none can be opened, by whatever road. */
static bool forbid_the_rest(const uint16_t *ports, unsigned count)
{
	struct landlock landlock;
	bool is_whole = true;

	if (!landlock_begin(
		    &landlock, LANDLOCK_FILES | LANDLOCK_BIND | LANDLOCK_CONNECT | LANDLOCK_SCOPES))
		return false;
	for (unsigned i = 0; i < count && is_whole; i++)
		is_whole = landlock_allow_port(&landlock, LANDLOCK_CONNECT, ports[i]);
	return landlock_end(&landlock, is_whole);
}

/* A sanitizer's own memory is beyond any bound. */
static bool memory_bound(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return true;
#else
	const struct rlimit most = { MEMORY_MOST, MEMORY_MOST };
	const struct rlimit none = { 0, 0 };

	return setrlimit(RLIMIT_DATA, &most) == 0 && setrlimit(RLIMIT_CORE, &none) == 0 &&
	       setrlimit(RLIMIT_FSIZE, &none) == 0;
#endif
}

bool resolver_confine(const uint16_t *tcp_ports, unsigned count)
{
	return memory_bound() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       forbid_the_rest(tcp_ports, count) && confine(&relay_policies[0]);
}
