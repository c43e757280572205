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
#include "policy/landlock.h"
#include "policy/policy.h"

extern const struct policy relay_policies[];
extern const unsigned relay_policies_count;

#define READ (LANDLOCK_READ | LANDLOCK_READ_DIRECTORY)
#define CHANGE                                                                                     \
	(READ | LANDLOCK_WRITE | LANDLOCK_REMOVE | LANDLOCK_MAKE_DIRECTORY | LANDLOCK_MAKE |       \
		LANDLOCK_TRUNCATE)

/* ---- Files and ports ---- */

/* The directory of a file: another one may have taken its place by the time it is read again. */
static bool allow_beside(const struct landlock *landlock, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
	bool is_done = directory != NULL && landlock_allow(landlock, directory, READ);

	free(directory);
	return is_done;
}

static const char *behind(const char *prefix, const struct said_text *said)
{
	size_t length = strlen(prefix);

	return said->text != NULL && strncmp(said->text, prefix, length) == 0 ? said->text + length
									      : NULL;
}

static bool allow_own(const struct landlock *landlock, const struct relay_conf *conf,
	const char *file, const char *state)
{
	const char *store = behind("lmdb:", &conf->store), *table = behind("lmdb:", &conf->table);

	return landlock_allow(landlock, state, CHANGE) &&
	       (store == NULL || landlock_allow(landlock, store, CHANGE)) &&
	       allow_beside(landlock, file) &&
	       (table == NULL ||
		       (landlock_allow(landlock, table, READ) && allow_beside(landlock, table))) &&
	       (conf->password_file.text == NULL ||
		       allow_beside(landlock, conf->password_file.text));
}

/* Users' names, name servers, and what it takes to start this program again. The loader is a
 * program to the kernel, so libraries can be executed. */
static bool allow_system(const struct landlock *landlock)
{
	static const struct {
		const char *path;
		uint64_t rights;
	} system[] = {
		{ "/proc/self/exe", LANDLOCK_READ | LANDLOCK_EXECUTE },
		{ "/lib", READ | LANDLOCK_EXECUTE },
		{ "/lib64", READ | LANDLOCK_EXECUTE },
		{ "/usr/lib", READ | LANDLOCK_EXECUTE },
		{ "/usr/lib64", READ | LANDLOCK_EXECUTE },
		{ "/usr/local/lib", READ },
		{ "/etc", READ },
		{ "/run/systemd", READ },
		{ "/run/resolvconf", READ },
		{ "/run/NetworkManager", READ },
		{ "/run/nscd", READ },
		{ "/var/lib/sss", READ },
		{ "/proc/sys/kernel/random", READ },
		{ "/dev/null", LANDLOCK_READ | LANDLOCK_WRITE },
		{ "/dev/urandom", LANDLOCK_READ },
	};

	for (size_t i = 0; i < sizeof(system) / sizeof(system[0]); i++)
		if (!landlock_allow(landlock, system[i].path, system[i].rights))
			return false;
	return true;
}

/* Any port can be connected to, and none listened at: but 0, as `source` has it. */
static bool forbid_the_rest(const struct relay_conf *conf, const char *file, const char *state)
{
	struct landlock landlock;

	return landlock_begin(&landlock, LANDLOCK_FILES | LANDLOCK_BIND | LANDLOCK_SCOPES) &&
	       landlock_end(&landlock, allow_own(&landlock, conf, file, state) &&
					       allow_system(&landlock) &&
					       landlock_allow_port(&landlock, LANDLOCK_BIND, 0));
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
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && forbid_the_rest(conf, file, state) &&
	       confine(relay_policy());
}
