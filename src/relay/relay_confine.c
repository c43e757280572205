/* SPDX-License-Identifier: ISC */
#include "relay/relay_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/confine.h"
#include "policy/policy.h"

extern const struct policy relay_policies[];
extern const unsigned relay_policies_count;

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
#define RULE_PATH      1
#define RULE_PORT      2
#define NET_BIND_TCP   1u
#define SCOPES         3u

#define FILE_EXECUTE   (UINT64_C(1) << 0)
#define FILE_WRITE     (UINT64_C(1) << 1)
#define FILE_READ      (UINT64_C(1) << 2)
#define DIRECTORY_READ (UINT64_C(1) << 3)
#define FILE_REMOVE    (UINT64_C(1) << 5)
#define DIRECTORY_MAKE (UINT64_C(1) << 7)
#define FILE_MAKE      (UINT64_C(1) << 8)
#define FILE_TRUNCATE  (UINT64_C(1) << 14) /* from version 3 on */

#define READ           (FILE_READ | DIRECTORY_READ)
#define CHANGE         (READ | FILE_WRITE | FILE_REMOVE | DIRECTORY_MAKE | FILE_MAKE | FILE_TRUNCATE)

/* What a rule for a file, and not for a directory, may have. */
#define OF_FILES (FILE_EXECUTE | FILE_WRITE | FILE_READ | FILE_TRUNCATE)

struct landlock_ruleset {
	uint64_t files, network, scopes;
};

/* It has no padding in the kernel, either: 12 bytes are read. */
struct landlock_path {
	uint64_t allowed;
	int32_t fd;
};

struct landlock_port {
	uint64_t allowed, port;
};

struct rules {
	int fd;
	uint64_t files; /* all that this version of Landlock can forbid */
};

/* ---- Landlock ---- */

/* 13 rights, 14, 15, and from 5 on 16. */
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

/* What is not there now cannot be used later, either. */
static bool allow(const struct rules *rules, const char *path, uint64_t rights)
{
	struct landlock_path rule = { .fd = open(path, O_PATH | O_CLOEXEC) };
	struct stat st;
	int error;
	bool is_done;

	if (rule.fd < 0)
		return true;
	is_done = fstat(rule.fd, &st) == 0;
	rule.allowed = rights & rules->files & (S_ISDIR(st.st_mode) ? UINT64_MAX : OF_FILES);
	is_done = is_done && syscall(SYS_landlock_add_rule, rules->fd, RULE_PATH, &rule, 0) == 0;
	error = errno;
	(void)close(rule.fd);
	errno = error;
	return is_done;
}

/* The directory of a file: another one may have taken its place by the time it is read again. */
static bool allow_beside(const struct rules *rules, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
	bool is_done = directory != NULL && allow(rules, directory, READ);

	free(directory);
	return is_done;
}

static const char *behind(const char *prefix, const struct said_text *said)
{
	size_t length = strlen(prefix);

	return said->text != NULL && strncmp(said->text, prefix, length) == 0 ? said->text + length
									      : NULL;
}

static bool allow_own(const struct rules *rules, const struct relay_conf *conf, const char *file,
	const char *state)
{
	const char *store = behind("lmdb:", &conf->store), *table = behind("lmdb:", &conf->table);

	return allow(rules, state, CHANGE) && (store == NULL || allow(rules, store, CHANGE)) &&
	       allow_beside(rules, file) &&
	       (table == NULL || (allow(rules, table, READ) && allow_beside(rules, table))) &&
	       (conf->password_file.text == NULL || allow_beside(rules, conf->password_file.text));
}

/* Users' names, name servers, and what it takes to start this program again. The loader is a
 * program to the kernel, so libraries can be executed. */
static bool allow_system(const struct rules *rules)
{
	static const struct {
		const char *path;
		uint64_t rights;
	} system[] = {
		{ "/proc/self/exe", FILE_READ | FILE_EXECUTE },
		{ "/lib", READ | FILE_EXECUTE },
		{ "/lib64", READ | FILE_EXECUTE },
		{ "/usr/lib", READ | FILE_EXECUTE },
		{ "/usr/lib64", READ | FILE_EXECUTE },
		{ "/usr/local/lib", READ },
		{ "/etc", READ },
		{ "/run/systemd", READ },
		{ "/run/resolvconf", READ },
		{ "/run/NetworkManager", READ },
		{ "/run/nscd", READ },
		{ "/var/lib/sss", READ },
		{ "/proc/sys/kernel/random", READ },
		{ "/dev/null", FILE_READ | FILE_WRITE },
		{ "/dev/urandom", FILE_READ },
	};

	for (size_t i = 0; i < sizeof(system) / sizeof(system[0]); i++)
		if (!allow(rules, system[i].path, system[i].rights))
			return false;
	return true;
}

/* Any port, and none to listen at: 0, as `source` has it. */
static bool allow_ports(const struct rules *rules)
{
	const struct landlock_port any = { .allowed = NET_BIND_TCP };

	return syscall(SYS_landlock_add_rule, rules->fd, RULE_PORT, &any, 0) == 0;
}

static bool landlock(const struct relay_conf *conf, const char *file, const char *state)
{
	const int abi = landlock_abi();
	const struct landlock_ruleset all = {
		.files = file_rights(abi), .network = NET_BIND_TCP, .scopes = SCOPES
	};
	struct rules rules = { .files = all.files };
	int error;
	bool is_done;

	if (abi == 0)
		return true;
	rules.fd = (int)syscall(SYS_landlock_create_ruleset, &all, ruleset_size(abi), 0);
	if (rules.fd < 0)
		return false;
	is_done = allow_own(&rules, conf, file, state) && allow_system(&rules) &&
		  (abi < 4 || allow_ports(&rules)) &&
		  syscall(SYS_landlock_restrict_self, rules.fd, 0) == 0;
	error = errno;
	(void)close(rules.fd); /* holds nothing that could be lost */
	errno = error;
	return is_done;
}

/* ---- All of it ---- */

static const struct policy *relay_policy(void)
{
	unsigned i = 0;

	while (i < relay_policies_count - 1 && strcmp(relay_policies[i].name, "relay") != 0)
		i++;
	return &relay_policies[i];
}

bool relay_confine(const struct relay_conf *conf, const char *file, const char *state)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && landlock(conf, file, state) &&
	       confine(relay_policy());
}
