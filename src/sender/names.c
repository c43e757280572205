/* SPDX-License-Identifier: ISC */
/*
 * In the process of nmnotify-send, as who started it, before it is confined; and in its child, as
 * nobody if that is root, which executes getent under mail.policy.
 */
#include "sender/names.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/signals.h"
#include "lib/users.h"
#include "policy/confine.h"

/* Three lines for each address, and the name behind the first. */
#define PRINTED_MAX    4096

#define STATUS_CANNOT  126
#define STATUS_MISSING 127

void names_take(struct host *host, const char *printed, size_t length)
{
	const char *end = printed + length;

	while (printed < end) {
		const char *newline = memchr(printed, '\n', (size_t)(end - printed));
		char word[SOURCE_TEXT_MAX];
		size_t size = 0;
		struct source address;

		if (newline == NULL)
			return; /* it was cut */
		while ((unsigned char)printed[size] > ' ')
			size++;
		if (size < sizeof(word)) {
			memcpy(word, printed, size);
			word[size] = '\0';
			if (source_parse(word, &address))
				host_add(host, &address);
		}
		printed = newline + 1;
	}
}

/* ---- The child ---- */

/* Who owns nothing, by the kernel's number for whoever has none (/proc/sys/kernel/overflowuid). */
#define NOBODY 65534

static bool become_nobody(void)
{
	const struct user nobody = {
		.uid = NOBODY, .gid = NOBODY, .groups_count = 1, .groups = { NOBODY }
	};

	return geteuid() != 0 || privileges_become(&nobody);
}

_Noreturn static void execute(const char *name, int output, pid_t parent)
{
	static const char *const paths[] = { "/usr/bin/getent", "/bin/getent",
		"/run/current-system/sw/bin/getent" };
	char program[] = "getent", database[] = "ahosts", path[] = "PATH=/usr/bin:/bin";
	char copy[SOURCE_HOST_MAX];
	char *arguments[] = { program, database, copy, NULL }, *environment[] = { path, NULL };

	memcpy(copy, name, strlen(name) + 1);
	if (dup2(output, STDOUT_FILENO) < 0 || !fd_void(STDERR_FILENO) || !signals_reset() ||
		!become_nobody() || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent ||
		!confine(policy_find("mail")))
		_exit(STATUS_CANNOT);
	fd_close_from(STDERR_FILENO + 1);
	for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		(void)execve(paths[i], arguments, environment);
	_exit(STATUS_MISSING);
}

/* ---- Its parent ---- */

/* How much of what it prints has come when it ends, fills the room, or the time is up. */
static size_t read_printed(int fd, char *bytes, struct deadline deadline)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	size_t length = 0;
	ssize_t got = 1;
	int ready;

	while (got > 0 && length < PRINTED_MAX) {
		ready = poll(&pollfd, 1, (int)deadline_rest(deadline).ms); /* at most a -w */
		if (ready == 0 || (ready < 0 && errno != EINTR))
			break;
		if (ready < 0)
			continue;
		got = read(fd, bytes + length, PRINTED_MAX - length);
		if (got > 0)
			length += (size_t)got;
	}
	return length;
}

/* Whatever it does, it is gone afterwards. Its exit status; -1: it had to be killed. */
static int end_child(pid_t child)
{
	int status;
	pid_t ended;

	/* What it printed, it has printed to the end; else it was late. */
	(void)kill(child, SIGKILL);
	do
		ended = waitpid(child, &status, 0);
	while (ended < 0 && errno == EINTR);
	return ended == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *reason(const struct host *host, int status, struct deadline deadline)
{
	if (host->count > 0)
		return NULL;
	if (status == STATUS_MISSING)
		return "names cannot be looked up: there is no getent";
	if (status == STATUS_CANNOT)
		return "names cannot be looked up: getent cannot be started confined";
	if (deadline_has_passed(deadline))
		return "looking up the name took too long";
	return host->only == SOURCE_UNKNOWN ? "no address of that name is known"
					    : "the name has no address of that kind";
}

const char *names_find(struct host *host, struct deadline deadline)
{
	char printed[PRINTED_MAX];
	size_t length;
	int ends[2];
	pid_t child, self = getpid();

	if (pipe2(ends, O_CLOEXEC) != 0)
		return strerror(errno);
	child = fork();
	if (child == 0)
		execute(host->name, ends[1], self);
	(void)close(ends[1]); /* the child has it */
	if (child > 0) {
		length = read_printed(ends[0], printed, deadline);
		names_take(host, printed, length);
	}
	(void)close(ends[0]); /* nothing was written */
	return child > 0 ? reason(host, end_child(child), deadline) : "no process for getent";
}
