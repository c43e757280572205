/* SPDX-License-Identifier: ISC */
/* In the process of nmnotify-relay-logs. */
#include "logs/logs_confine.h"

#include <stddef.h>
#include <sys/prctl.h>

#include "policy/confine.h"
#include "policy/landlock.h"

#define READ (LANDLOCK_READ | LANDLOCK_READ_DIRECTORY)

/* journald makes new files all the time. Which of them are this machine's and this boot's,
 * libsystemd asks of two more. */
static bool allow_journal(const struct landlock *landlock, const char *directory)
{
	static const char *const paths[] = { "/run/log/journal", "/var/log/journal",
		"/etc/machine-id", "/proc/sys/kernel/random" };

	if (directory != NULL && !landlock_allow(landlock, directory, READ))
		return false;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (!landlock_allow(landlock, paths[i], READ))
			return false;
	return true;
}

static bool forbid_the_rest(const char *directory)
{
	struct landlock landlock;

	return landlock_begin(&landlock,
		       LANDLOCK_FILES | LANDLOCK_BIND | LANDLOCK_CONNECT | LANDLOCK_SCOPES) &&
	       landlock_end(&landlock, allow_journal(&landlock, directory));
}

bool logs_confine(const char *directory)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && forbid_the_rest(directory) &&
	       confine(policy_find("logs"));
}
