/* SPDX-License-Identifier: ISC */
#include "relay/resolver_confine.h"

#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/confine.h"
#include "policy/policy.h"

extern const struct policy relay_policies[];

/* linux/landlock.h, whose older versions have less of it. */
#ifndef SYS_landlock_create_ruleset
#ifdef __mips__
#define LANDLOCK_CALL(number) (__NR_Linux + (number))
#else
#define LANDLOCK_CALL(number) (number)
#endif
#define SYS_landlock_create_ruleset LANDLOCK_CALL(444)
#define SYS_landlock_add_rule       LANDLOCK_CALL(445)
#define SYS_landlock_restrict_self  LANDLOCK_CALL(446)
#endif
#define LANDLOCK_BIND_AND_CONNECT_TCP 3u
#define LANDLOCK_CONNECT_TCP          2u
#define LANDLOCK_PORT_RULE            2
#define LANDLOCK_SCOPES               3u

struct landlock_ruleset {
	uint64_t files, network, scopes;
};

struct landlock_port {
	uint64_t allowed, port;
};

/* A thousand look-ups take a few megabytes; a hosts file at most 4. */
#define MEMORY_MOST ((rlim_t)64 << 20)

/* All that a version of Landlock can forbid of files: 13 rights, 14, 15, and from 5 on 16. */
static uint64_t file_rights(int abi)
{
	const unsigned rights = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;

	return (UINT64_C(1) << rights) - 1;
}

static size_t ruleset_size(int abi)
{
	if (abi >= LANDLOCK_ABI_SCOPES)
		return sizeof(struct landlock_ruleset);
	return abi >= 4 ? offsetof(struct landlock_ruleset, scopes)
			: offsetof(struct landlock_ruleset, network);
}

static bool ports_allow(int ruleset, const uint16_t *ports, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct landlock_port port = { .allowed = LANDLOCK_CONNECT_TCP,
			.port = ports[i] };

		if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_PORT_RULE, &port, 0) != 0)
			return false;
	}
	return true;
}

/* No rule for any file: none can be opened, by whatever road. */
static bool landlock(const uint16_t *ports, unsigned count)
{
	const int abi = landlock_abi();
	const struct landlock_ruleset all = { .files = file_rights(abi),
		.network = LANDLOCK_BIND_AND_CONNECT_TCP,
		.scopes = LANDLOCK_SCOPES };
	int ruleset, error;
	bool is_done;

	if (abi == 0)
		return true;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, ruleset_size(abi), 0);
	if (ruleset < 0)
		return false;
	is_done = (abi < 4 || ports_allow(ruleset, ports, count)) &&
		  syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
	error = errno;
	(void)close(ruleset); /* holds nothing that could be lost */
	errno = error;
	return is_done;
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
	       landlock(tcp_ports, count) && confine(&relay_policies[0]);
}
