/* SPDX-License-Identifier: ISC */
#include "ctl/refusal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/filter.h"
#include "ctl/process.h"
#include "lib/siphash.h"
#include "lib/text.h"
#include "policy/confine.h"

/* Buffers of this size are static: there is one thread. */
#define PATH_MOST 4096
#define LINE_MOST (2 * PATH_MOST)

/* What a call wants of a path: the word of a configuration that would allow it. */
enum want { READS, WRITES, EXECUTES };

static const char *const words[] = { "read", "write", "execute" };

/* Calls that take a path. -1: none; a relative path is below the working directory. */
static const struct path_call {
	const char *name;
	int directory, path, flags; /* which argument */
	enum want want;             /* without flags */
} path_calls[] = {
	{ "access", -1, 0, -1, READS },
	{ "chdir", -1, 0, -1, READS },
	{ "chmod", -1, 0, -1, WRITES },
	{ "creat", -1, 0, -1, WRITES },
	{ "execve", -1, 0, -1, EXECUTES },
	{ "execveat", 0, 1, -1, EXECUTES },
	{ "faccessat", 0, 1, -1, READS },
	{ "faccessat2", 0, 1, -1, READS },
	{ "fchmodat", 0, 1, -1, WRITES },
	{ "link", -1, 1, -1, WRITES },
	{ "linkat", 2, 3, -1, WRITES },
	{ "mkdir", -1, 0, -1, WRITES },
	{ "mkdirat", 0, 1, -1, WRITES },
	{ "mknod", -1, 0, -1, WRITES },
	{ "mknodat", 0, 1, -1, WRITES },
	{ "open", -1, 0, 1, READS },
	{ "openat", 0, 1, 2, READS },
	{ "openat2", 0, 1, -1, READS },
	{ "rename", -1, 1, -1, WRITES },
	{ "renameat", 2, 3, -1, WRITES },
	{ "renameat2", 2, 3, -1, WRITES },
	{ "rmdir", -1, 0, -1, WRITES },
	{ "symlink", -1, 1, -1, WRITES },
	{ "symlinkat", 1, 2, -1, WRITES },
	{ "truncate", -1, 0, -1, WRITES },
	{ "unlink", -1, 0, -1, WRITES },
	{ "unlinkat", 0, 1, -1, WRITES },
};

/* ---- What the process meant ---- */

/* The memory of a process that stands still. Returns how much of it could be read. */
static size_t memory_read(pid_t process, uint64_t address, void *bytes, size_t size)
{
	struct iovec to = { .iov_base = bytes, .iov_len = size };
	struct iovec from = { .iov_base = (void *)(uintptr_t)address, .iov_len = size };
	ssize_t got = process_vm_readv(process, &to, 1, &from, 1, 0);

	return got > 0 ? (size_t)got : 0;
}

/* Up to its NUL. The end of a page may be the end of what is there. */
static bool string_read(pid_t process, uint64_t address, char string[static PATH_MOST])
{
	size_t length = 0, got;

	while (length < PATH_MOST - 1) {
		size_t rest = 256 - (address + length) % 256;

		if (rest > PATH_MOST - 1 - length)
			rest = PATH_MOST - 1 - length;
		got = memory_read(process, address + length, string + length, rest);
		if (got == 0)
			return false;
		if (memchr(string + length, '\0', got) != NULL)
			return true;
		length += got;
	}
	string[length] = '\0';
	return true;
}

/* An absolute path for argument `path` of the call. */
static bool path_read(
	const struct traced_call *traced, const struct path_call *call, char path[static PATH_MOST])
{
	static char relative[PATH_MOST];
	char link[64];
	struct text text = TEXT_IN(link);
	int directory = call->directory < 0 ? AT_FDCWD : (int)traced->call.args[call->directory];
	ssize_t length;

	if (!string_read(traced->process, traced->call.args[call->path], relative))
		return false;
	if (relative[0] == '/') {
		memcpy(path, relative, PATH_MOST);
		return true;
	}
	if (directory == AT_FDCWD)
		text_add(&text, "/proc/%d/cwd", traced->process);
	else
		text_add(&text, "/proc/%d/fd/%d", traced->process, directory);
	length = readlink(link, path, PATH_MOST - 1);
	if (length < 0)
		return false;
	text = (struct text){ .bytes = path, .size = PATH_MOST, .length = (size_t)length };
	text_add(&text, "/%s", relative);
	return !text.cut;
}

static enum want want_of(const struct traced_call *traced, const struct path_call *call)
{
	uint64_t flags;

	if (call->flags < 0)
		return call->want;
	flags = traced->call.args[call->flags];
	return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0 ? WRITES
										     : READS;
}

/* ---- Who refused it ---- */

static int access_as_user(const struct user *user, const char *path, enum want want)
{
	static const int modes[] = { R_OK, W_OK, X_OK };
	static char parent[PATH_MOST];
	char *slash;

	if (geteuid() == 0 && !privileges_become(user))
		return 2;
	if (faccessat(AT_FDCWD, path, modes[want], AT_EACCESS) == 0)
		return 0;
	if (errno != ENOENT || want != WRITES)
		return 1;
	/* It would be made. */
	memcpy(parent, path, strnlen(path, PATH_MOST - 1) + 1);
	slash = strrchr(parent, '/');
	slash[slash == parent ? 1 : 0] = '\0';
	return faccessat(AT_FDCWD, parent, W_OK | X_OK, AT_EACCESS) == 0 ? 0 : 1;
}

/* Might the user have done it, if his process had not been confined? */
static bool user_may(const struct user *user, const char *path, enum want want)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(access_as_user(user, path, want));
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The first policy that allows the call; NULL: none does. */
static const char *policy_that_allows(const struct seccomp_data *call)
{
	static const char *const names[] = { "mail", "local", "none" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct policy *policy = policy_find(names[i]);

		if (policy != NULL && filter_answer(policy, call) == SECCOMP_RET_ALLOW)
			return names[i];
	}
	return NULL;
}

/* ---- What is said ---- */

static void say(struct refusals *refusals, const struct traced_call *traced, const char *line)
{
	static const uint64_t key[2] = {
		0
	}; /* nobody gains by a collision: it hides his own line */
	char name[PROCESS_COMMAND_MAX] = "";
	struct text text = TEXT_IN(name);
	uint64_t hash = siphash(key, (const uint8_t *)line, strlen(line));

	refusals->count++;
	for (unsigned i = 0; i < refusals->said_count; i++)
		if (refusals->said[i] == hash)
			return;
	if (refusals->said_count == REFUSALS_MOST)
		return;
	refusals->said[refusals->said_count++] = hash;
	process_name(traced->process, &text);
	(void)fprintf(stderr, "nmnotifyctl try: %s[%d]: ", name, (int)traced->process);
	print_escaped(stderr, line);
	(void)fputc('\n', stderr);
}

static void call_add(struct text *text, const struct traced_call *traced)
{
	char *name = seccomp_syscall_resolve_num_arch(traced->call.arch, traced->call.nr);
	unsigned count = 6;
	char bytes[32];

	while (count > 0 && traced->call.args[count - 1] == 0)
		count--;
	if (name != NULL)
		text_add(text, "%s(", name);
	else
		text_add(text, "system call %d(", traced->call.nr);
	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(bytes, sizeof(bytes), traced->call.args[i] < 4096 ? "%llu" : "%#llx",
			(unsigned long long)traced->call.args[i]);
		text_add(text, "%s%s", i == 0 ? "" : ", ", bytes);
	}
	text_add(text, ")");
	free(name);
}

static void by_policy(struct refusals *refusals, const struct traced_call *traced)
{
	const char *other = policy_that_allows(&traced->call);
	static char line[LINE_MOST];
	struct text text = TEXT_IN(line);

	call_add(&text, traced);
	text_add(&text, ": refused by `confine %s`; ", refusals->account->confine);
	if (other != NULL)
		text_add(&text, "`confine %s` would allow it", other);
	else
		text_add(&text, "no policy allows it: let a service of its own do that");
	say(refusals, traced, line);
}

/* Is it, or is it below, one of nmnotify's? */
static bool is_own(const struct refusals *refusals, const char *path)
{
	for (unsigned i = 0; i < sizeof(refusals->own) / sizeof(refusals->own[0]); i++) {
		size_t length = strlen(refusals->own[i]);

		if (strncmp(path, refusals->own[i], length) == 0 &&
			(path[length] == '\0' || path[length] == '/'))
			return true;
	}
	return false;
}

/* What `write` has to name: the directory of what is not there yet. */
static const char *written(char *path)
{
	char *slash = strrchr(path, '/');

	if (access(path, F_OK) != 0 && errno == ENOENT && slash != path)
		*slash = '\0';
	return path;
}

static void of_path(
	struct refusals *refusals, const struct traced_call *traced, const struct path_call *call)
{
	static char path[PATH_MOST], line[LINE_MOST];
	struct text text = TEXT_IN(line);
	enum want want = want_of(traced, call);
	const char *word = words[want];

	if (!path_read(traced, call, path))
		return;
	text_add(&text, "%s(%s): %s; ", call->name, path, strerror((int)-traced->result));
	if (traced->result == -EROFS)
		text_add(&text, "the file system is read-only here: have it write elsewhere, or "
				"see mount(8)");
	else if (is_own(refusals, path))
		text_add(&text,
			"no action may reach nmnotify's own files: keep the action's elsewhere");
	else if (user_may(refusals->user, path, want))
		text_add(&text, "user %s may, but not the action: `%s %s` would allow it",
			refusals->user->name, word, want == WRITES ? written(path) : path);
	else
		text_add(&text,
			"user %s may not %s it: see its owner and mode, and its directory's",
			refusals->user->name, word);
	say(refusals, traced, line);
}

static void of_connection(
	struct refusals *refusals, const struct traced_call *traced, const char *name)
{
	struct sockaddr_storage address = { 0 };
	const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;
	const struct sockaddr_un *local = (const struct sockaddr_un *)&address;
	static char line[LINE_MOST];
	char shown[INET6_ADDRSTRLEN] = "";
	struct text text = TEXT_IN(line);
	uint64_t length = traced->call.args[2];
	unsigned port;

	if (length > sizeof(address))
		length = sizeof(address);
	if (memory_read(traced->process, traced->call.args[1], &address, (size_t)length) == 0)
		return;
	if (address.ss_family == AF_UNIX) {
		/* An abstract one's name begins with a NUL. */
		bool is_abstract = local->sun_path[0] == '\0';

		text_add(&text, "%s(%s%s): %s; %s", name, is_abstract ? "@" : "",
			local->sun_path + is_abstract, strerror((int)-traced->result),
			is_abstract ? "if another process has it, `isolate no` would allow it"
				    : "see the owner and mode of it, and of its directory");
		say(refusals, traced, line);
		return;
	}
	if (address.ss_family != AF_INET && address.ss_family != AF_INET6)
		return;
	port = ntohs(address.ss_family == AF_INET ? four->sin_port : six->sin6_port);
	(void)inet_ntop(address.ss_family,
		address.ss_family == AF_INET ? (const void *)&four->sin_addr : &six->sin6_addr,
		shown, sizeof(shown));
	text_add(&text, "%s(%s port %u): %s", name, shown, port, strerror((int)-traced->result));
	if (traced->result == -EACCES && strcmp(name, "connect") == 0)
		text_add(&text, "; `connect %u` would allow it", port);
	else if (traced->result == -EACCES && port < 1024)
		text_add(&text, "; a port below 1024 is for root: let it take another");
	else if (traced->result == -EPERM)
		text_add(&text, "; a firewall refuses it, or IPAddressDeny= of a unit: see `nft "
				"list ruleset`");
	else
		text_add(&text, "; a security module of the kernel refuses it: see dmesg(1)");
	say(refusals, traced, line);
}

static void of_call(struct refusals *refusals, const struct traced_call *traced)
{
	char *name = seccomp_syscall_resolve_num_arch(traced->call.arch, traced->call.nr);
	static char line[LINE_MOST];
	struct text text = TEXT_IN(line);

	if (name == NULL)
		return;
	for (unsigned i = 0; i < sizeof(path_calls) / sizeof(path_calls[0]); i++)
		if (strcmp(path_calls[i].name, name) == 0) {
			of_path(refusals, traced, &path_calls[i]);
			free(name);
			return;
		}
	if (strcmp(name, "connect") == 0 || strcmp(name, "bind") == 0) {
		of_connection(refusals, traced, name);
	} else {
		call_add(&text, traced);
		text_add(&text, ": %s; user %s has no privilege for it, and an action gets none",
			strerror((int)-traced->result), refusals->user->name);
		say(refusals, traced, line);
	}
	free(name);
}

void refusal_watch(void *context, const struct traced_call *traced)
{
	struct refusals *refusals = context;
	uint32_t answer = filter_answer(refusals->policy, &traced->call);

	/* ENOSYS makes libc take another call instead. */
	if (answer == (SECCOMP_RET_ERRNO | ENOSYS))
		return;
	if (answer != SECCOMP_RET_ALLOW)
		by_policy(refusals, traced);
	else if (traced->has_result && (traced->result == -EACCES || traced->result == -EPERM ||
					       traced->result == -EROFS))
		of_call(refusals, traced);
}
