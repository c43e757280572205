/* SPDX-License-Identifier: ISC */
#include "policy/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

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
#define VERSION_QUESTION (1U << 0)
#define RULE_PATH        1
#define RULE_PORT        2
#define BOTH_SCOPES      3u

/* What a file, and not a directory, can have. */
#define OF_FILES                                                                                   \
	(LANDLOCK_EXECUTE | LANDLOCK_WRITE | LANDLOCK_READ | LANDLOCK_TRUNCATE | LANDLOCK_DEVICE)

struct ruleset {
	uint64_t files, network, scopes;
};

/* The kernel's has no padding: it reads 12 bytes. */
struct path_rule {
	uint64_t allowed;
	int32_t fd;
};

struct port_rule {
	uint64_t allowed, port;
};

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_QUESTION);

	return abi < 0 ? 0 : (int)abi;
}

/* 13 rights, 14, 15, and from 5 on 16. */
static uint64_t file_rights(int abi)
{
	const unsigned rights = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;

	return (UINT64_C(1) << rights) - 1;
}

static size_t ruleset_size(int abi)
{
	if (abi >= LANDLOCK_ABI_SCOPES)
		return sizeof(struct ruleset);
	return abi >= 4 ? offsetof(struct ruleset, scopes) : offsetof(struct ruleset, network);
}

/* In the kernel's words. */
static uint64_t port_right(unsigned forbidden)
{
	return ((forbidden & LANDLOCK_BIND) != 0 ? 1u : 0u) |
	       ((forbidden & LANDLOCK_CONNECT) != 0 ? 2u : 0u);
}

bool landlock_begin_files(struct landlock *landlock, int abi, uint64_t files, unsigned forbidden)
{
	const struct ruleset all = {
		.files = (forbidden & LANDLOCK_FILES) != 0 ? files & file_rights(abi) : 0,
		.network = port_right(forbidden),
		.scopes = (forbidden & LANDLOCK_SCOPES) != 0 ? BOTH_SCOPES : 0,
	};

	*landlock = (struct landlock){ .fd = -1, .abi = abi, .files = all.files };
	if (abi == 0)
		return true;
	landlock->fd = (int)syscall(SYS_landlock_create_ruleset, &all, ruleset_size(abi), 0);
	return landlock->fd >= 0;
}

bool landlock_begin(struct landlock *landlock, unsigned forbidden)
{
	return landlock_begin_files(landlock, landlock_abi(), LANDLOCK_ALL, forbidden);
}

static void close_keeping_errno(int fd)
{
	int error = errno;

	(void)close(fd); /* holds nothing that could be lost */
	errno = error;
}

bool landlock_allow_open(const struct landlock *landlock, int fd, mode_t mode, uint64_t rights)
{
	const struct path_rule rule = {
		.allowed = rights & landlock->files & (S_ISDIR(mode) ? LANDLOCK_ALL : OF_FILES),
		.fd = fd,
	};

	return rule.allowed == 0 ||
	       syscall(SYS_landlock_add_rule, landlock->fd, RULE_PATH, &rule, 0) == 0;
}

bool landlock_allow(const struct landlock *landlock, const char *path, uint64_t rights)
{
	struct stat st;
	int fd = -1;
	bool is_done;

	if (landlock->fd >= 0)
		fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return true;
	is_done = fstat(fd, &st) == 0 && landlock_allow_open(landlock, fd, st.st_mode, rights);
	close_keeping_errno(fd);
	return is_done;
}

bool landlock_allow_port(const struct landlock *landlock, unsigned right, uint16_t port)
{
	const struct port_rule rule = { .allowed = port_right(right), .port = port };

	return landlock->fd < 0 || landlock->abi < 4 ||
	       syscall(SYS_landlock_add_rule, landlock->fd, RULE_PORT, &rule, 0) == 0;
}

bool landlock_hold(const struct landlock *landlock)
{
	return landlock->fd < 0 || syscall(SYS_landlock_restrict_self, landlock->fd, 0) == 0;
}

bool landlock_end(const struct landlock *landlock, bool is_whole)
{
	bool is_done = is_whole && landlock_hold(landlock);

	if (landlock->fd >= 0)
		close_keeping_errno(landlock->fd);
	return is_done;
}
