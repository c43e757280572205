/* SPDX-License-Identifier: ISC */
#include "run/reach.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conf/ports.h"
#include "lib/fd.h"

/* The first versions with what is asked for. The very first, 5.13's, can restrict files, but then
 * lets none be moved to another directory, as every delivery to a Maildir does. */
#define ABI_FILES   2
#define ABI_WRITE   3
#define ABI_CONNECT 4

#define READ        (LANDLOCK_READ | LANDLOCK_READ_DIRECTORY)
#define CHANGE                                                                                     \
	(LANDLOCK_WRITE | LANDLOCK_REMOVE_DIRECTORY | LANDLOCK_REMOVE | LANDLOCK_MAKE_DIRECTORY |  \
		LANDLOCK_MAKE | LANDLOCK_MAKE_SOCKET | LANDLOCK_MAKE_FIFO |                        \
		LANDLOCK_MAKE_SYMLINK | LANDLOCK_REFER | LANDLOCK_TRUNCATE)

/* linux/openat2.h, which older systems lack. */
#ifndef SYS_openat2
#ifdef __mips__
#define SYS_openat2 (__NR_Linux + 437)
#else
#define SYS_openat2 437
#endif
#endif
#ifndef RESOLVE_NO_SYMLINKS
#define RESOLVE_NO_SYMLINKS 0x04
#define RESOLVE_BENEATH     0x08
#endif

/* ---- What is asked for ---- */

static bool is_mail(const struct account *account)
{
	return strcmp(account->confine, "mail") == 0;
}

static bool is_restricted(const struct account *account, const struct path_list *list)
{
	return !list->is_any && (list->is_said || is_mail(account));
}

static bool has_default(const struct account *account, const struct path_list *list)
{
	return list->has_default || (!list->is_said && is_mail(account));
}

unsigned reach_wants(const struct account *account)
{
	unsigned wants = account->isolate ? REACH_ISOLATE : 0;

	if (account->landlock == LANDLOCK_NO)
		return wants;
	if (is_restricted(account, &account->write))
		wants |= REACH_FILES | REACH_WRITE;
	if (is_restricted(account, &account->read) || is_restricted(account, &account->execute))
		wants |= REACH_FILES;
	if (!account->connect.is_any && (account->connect.is_said || is_mail(account)))
		wants |= REACH_CONNECT;
	return wants;
}

bool reach_add_lacks(struct text *text, unsigned wants, int abi)
{
	static const struct {
		unsigned wanted;
		int abi;
		const char *name;
	} needs[] = {
		{ REACH_FILES, ABI_FILES, "read, write and execute" },
		{ REACH_WRITE, ABI_WRITE, "write, for truncate(2)" },
		{ REACH_CONNECT, ABI_CONNECT, "connect" },
		{ REACH_ISOLATE, LANDLOCK_ABI_SCOPES, "isolate" },
	};
	const char *separator = "";

	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		if ((wants & needs[i].wanted) == 0 || abi >= needs[i].abi)
			continue;
		text_add(text, "%s%s (ABI %d)", separator, needs[i].name, needs[i].abi);
		separator = ", ";
	}
	return *separator != '\0';
}

/* ---- What is ours ---- */

/* Parts of a path, of one that is not made to be long. */
#define PARTS_MOST 64

/* Descriptors that wait to be closed: few, for a process may have few. */
#define DONE_MOST 16

struct identity {
	dev_t device;
	ino_t inode;
};

/* A directory on the way to something, and what of the way is in it. */
struct part {
	struct identity directory;
	const char *next;
};

/* The state or the configuration. */
struct own {
	unsigned count; /* of the parts; 0: it is not in reach anyway */
	struct identity itself;
	const struct part *part;
};

enum { OWN_STATE, OWN_CONFIGURATION, OWN };

/* Of both, one behind the other: most often all of it is in the first page. */
struct ways {
	struct part part[OWN * PARTS_MOST];
	char path[OWN * PATH_MAX]; /* without links, each part with a NUL behind it */
	unsigned parts, bytes;     /* in use */
};

struct reach {
	struct landlock *landlock;
	const struct account *account;
	const struct command *command;
	int home; /* the action's; -1: it has none */
	struct identity root;
	struct own own[OWN];
	struct ways *ways;
	int done, count; /* the first of so many descriptors, one behind another, that are to be
			    closed */
};

static struct identity identity_of(const struct stat *st)
{
	return (struct identity){ .device = st->st_dev, .inode = st->st_ino };
}

static bool is_same(struct identity a, struct identity b)
{
	return a.device == b.device && a.inode == b.inode;
}

static void close_done(struct reach *reach)
{
	if (reach->count > 0)
		fd_close_range(reach->done, reach->done + reach->count - 1);
	reach->count = 0;
}

/* Closes it, soon: one call does for many. */
static void done_with(struct reach *reach, int fd)
{
	if (reach->count == DONE_MOST || fd != reach->done + reach->count)
		close_done(reach);
	if (reach->count++ == 0)
		reach->done = fd;
}

/* openat2(2), which libc does not have everywhere: no part of the path may be a link. */
static int open_without_links(int directory, const char *path, int flags, uint64_t resolve)
{
	struct {
		uint64_t flags, mode, resolve;
	} how = { .flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_NO_SYMLINKS | resolve };

	return (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
}

/* Is it absolute, and each part of it a name? */
static bool is_plain(const char *path)
{
	while (*path == '/') {
		size_t length = strcspn(++path, "/");

		if (length == 0 ||
			(path[0] == '.' && (length == 1 || (length == 2 && path[1] == '.'))))
			return false;
		path += length;
	}
	return *path == '\0';
}

/* Opens it, and says what its path is without links. -1: errno says why not. */
static int open_real(const char *path, int flags, char real[static PATH_MAX])
{
	int fd = -1;

	if (is_plain(path) && strlen(path) < PATH_MAX)
		fd = open_without_links(-1, path, flags, 0);
	if (fd >= 0) {
		memcpy(real, path, strlen(path) + 1);
		return fd;
	}
	return realpath(path, real) != NULL ? openat(AT_FDCWD, real, flags | O_CLOEXEC) : -1;
}

/* Upwards: what is behind a slash has been looked at, so it can become a NUL. */
static bool own_find_way(struct reach *reach, struct own *own, char *path)
{
	struct ways *ways = reach->ways;
	struct part *part = &ways->part[ways->parts];
	struct stat st;

	own->part = part;
	while (own->count < PARTS_MOST) {
		char *slash = strrchr(path, '/');
		bool is_root = slash == path;

		*slash = '\0';
		if (!is_root && stat(path, &st) != 0)
			return false;
		part->directory = is_root ? reach->root : identity_of(&st);
		part->next = slash + 1;
		part++;
		own->count++;
		ways->parts++;
		if (is_root)
			return true;
	}
	errno = ENAMETOOLONG;
	return false;
}

/* What this user cannot find is not in reach of his action; nor is what only its mode keeps from
 * him. */
static bool own_find(struct reach *reach, struct own *own, const char *path, int flags)
{
	char *real = &reach->ways->path[reach->ways->bytes];
	struct stat st;
	bool is_found;
	int fd = path != NULL ? open_real(path, flags, real) : -1;

	if (fd < 0)
		return path == NULL || errno == EACCES || errno == ENOENT || errno == ENOTDIR ||
		       errno == ELOOP;
	is_found = fstat(fd, &st) == 0;
	done_with(reach, fd);
	if (!is_found)
		return false;
	own->itself = identity_of(&st);
	reach->ways->bytes += (unsigned)strlen(real) + 1;
	return own_find_way(reach, own, real);
}

static bool own_find_all(struct reach *reach, const struct job *job)
{
	struct stat st;

	if (stat("/", &st) != 0)
		return false;
	reach->root = identity_of(&st);
	reach->ways->parts = reach->ways->bytes = 0;
	return own_find(reach, &reach->own[OWN_STATE], job->state_path, O_PATH) &&
	       own_find(reach, &reach->own[OWN_CONFIGURATION], job->conf->file,
		       O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

static bool is_own(const struct reach *reach, const struct stat *st)
{
	for (unsigned i = 0; i < OWN; i++)
		if (reach->own[i].count != 0 && is_same(reach->own[i].itself, identity_of(st)))
			return true;
	return false;
}

/* Is something of ours below that directory; and in the entry of that name, if it is not NULL? */
static bool holds_own(const struct reach *reach, const struct stat *st, const char *name)
{
	for (unsigned i = 0; i < OWN; i++) {
		const struct own *own = &reach->own[i];

		for (unsigned part = 0; part < own->count; part++)
			if (is_same(own->part[part].directory, identity_of(st)) &&
				(name == NULL || strcmp(name, own->part[part].next) == 0))
				return true;
	}
	return false;
}

/* ---- Files ---- */

static bool allow(struct reach *reach, int fd, uint64_t rights);

/* A rule. What the kernel takes none for, such as a directory whose name has just become a file's,
 * is left out. */
static bool rule_add(const struct reach *reach, int fd, mode_t mode, uint64_t rights)
{
	return landlock_allow_open(reach->landlock, fd, mode, rights) || errno != ENOMEM;
}

/* An entry of a directory, if it is no link: what a link leads to is not in the directory. */
static bool allow_entry(struct reach *reach, int directory, const struct stat *st,
	const struct directory_entry *entry, uint64_t rights)
{
	const char *name = entry->name;
	bool is_done;
	int fd;

	if (entry->type == DT_LNK || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return true;
	fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return true;
	if (entry->type == DT_UNKNOWN || holds_own(reach, st, name))
		return allow(reach, fd, rights);
	/* Most often: without a look at it. */
	is_done = rule_add(reach, fd, entry->type == DT_DIR ? S_IFDIR : S_IFREG, rights);
	done_with(reach, fd);
	return is_done;
}

/* A right to a directory is one to all below it. So one that has something of ours below it gets
 * none, and what else is in it gets them, one by one. Not inlined, for most have no use for the
 * buffer. */
__attribute__((noinline)) static bool allow_inside(
	struct reach *reach, int path, const struct stat *st, uint64_t rights)
{
	/* No sanitizer knows what the call writes. */
	_Alignas(struct directory_entry) char buffer[2048] = { 0 };
	const struct directory_entry *entry;
	int directory = openat(path, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool is_done = true;
	long size = 0;

	if (directory < 0)
		return true; /* not for this user */
	while (is_done && (size = fd_entries(directory, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; is_done && at < size; at += entry->length) {
			entry = (const void *)(buffer + at);
			is_done = allow_entry(reach, directory, st, entry, rights);
		}
	}
	done_with(reach, directory);
	return is_done && size == 0;
}

/* It is done with the descriptor then. */
static bool allow(struct reach *reach, int fd, uint64_t rights)
{
	struct stat st;
	bool is_done = fstat(fd, &st) == 0;

	if (is_done && !S_ISLNK(st.st_mode) && !is_own(reach, &st))
		is_done = S_ISDIR(st.st_mode) && holds_own(reach, &st, NULL)
				  ? allow_inside(reach, fd, &st, rights)
				  : rule_add(reach, fd, st.st_mode, rights);
	done_with(reach, fd);
	return is_done;
}

/* openat(2), since musl's open() makes a second call for O_CLOEXEC. */
static int path_open(const char *path, int flags)
{
	return openat(AT_FDCWD, path, O_PATH | O_CLOEXEC | flags);
}

/* What cannot be opened is left out. */
static bool allow_path(struct reach *reach, const char *path, int flags, uint64_t rights)
{
	int fd = -1;

	if ((rights & reach->landlock->files) != 0)
		fd = path_open(path, flags);
	return fd < 0 || allow(reach, fd, rights);
}

/* A file that is none of ours. */
static bool allow_file(struct reach *reach, const char *path, uint64_t rights)
{
	int fd = (rights & reach->landlock->files) != 0 ? path_open(path, 0) : -1;
	bool is_done = fd < 0 || rule_add(reach, fd, S_IFREG, rights);

	if (fd >= 0)
		done_with(reach, fd);
	return is_done;
}

/* Paths, each of which ends with a NUL, and the last with two. */
static bool allow_paths(struct reach *reach, const char *path, int flags, uint64_t rights)
{
	for (; *path != '\0'; path += strlen(path) + 1)
		if (!allow_path(reach, path, flags, rights))
			return false;
	return true;
}

/* The home is one even if the state or the configuration is in it: else nothing new could be made
 * directly in it, such as fetchmail's lock. Not the root, which system users have for a home. */
static bool allow_home(struct reach *reach, uint64_t rights)
{
	struct stat st;

	if (reach->home < 0 || rights == 0 || fstat(reach->home, &st) != 0 || is_own(reach, &st) ||
		is_same(identity_of(&st), reach->root))
		return true;
	return rule_add(reach, reach->home, st.st_mode, rights);
}

int reach_open(int home, const char *path)
{
	uint64_t resolve = 0;

	if (*path == '~') {
		resolve = RESOLVE_BENEATH;
		for (path++; *path == '/';)
			path++;
		if (*path == '\0')
			path = ".";
	}
	return open_without_links(home, path, O_PATH, resolve);
}

static bool is_home(const char *path)
{
	return *path == '~' && path[1 + strspn(path + 1, "/")] == '\0';
}

static bool allow_said(struct reach *reach, const struct path_list *list, uint64_t rights)
{
	for (unsigned i = 0; i < list->count; i++) {
		const char *path = list->word[i];
		int fd;

		if (is_home(path)) {
			if (!allow_home(reach, rights))
				return false;
			continue;
		}
		fd = reach_open(reach->home, path);
		if (fd >= 0 && !allow(reach, fd, rights))
			return false;
	}
	return true;
}

/* ---- The defaults ---- */

/* Where programs are. */
static const char programs[] = "/usr\0/opt\0/nix/store\0/gnu/store\0";

/* Likewise, but mostly links to those in /usr. */
static const char old_programs[] = "/bin\0/sbin\0/lib\0/lib32\0/lib64\0/libx32\0";

/* What programs read. The configuration is in /etc, and the state can be in /run. */
static const char system_files[] = "/etc\0/var\0/srv\0/proc\0/sys\0/run/systemd\0/run/resolvconf\0"
				   "/run/NetworkManager\0/run/nscd\0";

/* Mailboxes and what is temporary. */
static const char changed_files[] = "/var/mail\0/tmp\0/var/tmp\0/dev/shm\0";

/* A link to /var/mail, or the other way round. */
static const char old_mail[] = "/var/spool/mail\0";

/* Without these no program runs. */
static const char devices[] = "/dev/null\0/dev/zero\0/dev/random\0/dev/urandom\0";

static bool allow_devices(struct reach *reach)
{
	for (const char *path = devices; *path != '\0'; path += strlen(path) + 1)
		if (!allow_file(reach, path, LANDLOCK_READ | LANDLOCK_WRITE | LANDLOCK_DEVICE))
			return false;
	return true;
}

static bool allow_variable(struct reach *reach, const struct environment *environment,
	const char *name, uint64_t rights)
{
	const char *path = environment_value(environment, name);
	int fd = path != NULL && *path == '/' ? reach_open(-1, path) : -1;

	return fd < 0 || allow(reach, fd, rights);
}

static bool allow_runtime(
	struct reach *reach, const struct job *job, const struct environment *environment)
{
	char bytes[32];
	struct text text = TEXT_IN(bytes);

	text_add(&text, "/run/user/%u", (unsigned)job->user->uid);
	return allow_path(reach, bytes, O_NOFOLLOW, READ | CHANGE) &&
	       allow_variable(reach, environment, "XDG_RUNTIME_DIR", READ | CHANGE);
}

/* Is /bin a link? Then all of the old ones are (file-hierarchy(7)). */
static bool has_one_usr(void)
{
	char byte;

	return readlink("/bin", &byte, 1) > 0;
}

static bool allow_files(
	struct reach *reach, const struct job *job, const struct environment *environment)
{
	const struct account *account = reach->account;
	const uint64_t read = has_default(account, &account->read) ? READ : 0;
	const uint64_t execute = has_default(account, &account->execute) ? LANDLOCK_EXECUTE : 0;
	const uint64_t change = has_default(account, &account->write) ? READ | CHANGE : 0;

	return allow_devices(reach) &&
	       allow_file(reach, reach->command->words[0], LANDLOCK_READ | LANDLOCK_EXECUTE) &&
	       allow_paths(reach, programs, 0, read | execute) &&
	       (has_one_usr() || allow_paths(reach, old_programs, O_DIRECTORY | O_NOFOLLOW,
					 read | execute)) &&
	       allow_paths(reach, system_files, 0, read) &&
	       (read == 0 || allow_variable(reach, environment, "CREDENTIALS_DIRECTORY", read)) &&
	       allow_home(reach, change | execute) &&
	       allow_paths(reach, changed_files, 0, change) &&
	       allow_paths(reach, old_mail, O_DIRECTORY | O_NOFOLLOW, change) &&
	       (change == 0 || allow_runtime(reach, job, environment)) &&
	       allow_said(reach, &account->read, READ) &&
	       allow_said(reach, &account->write, READ | CHANGE) &&
	       allow_said(reach, &account->execute, LANDLOCK_EXECUTE);
}

/* ---- Ports ---- */

static bool allow_ports(struct reach *reach)
{
	const struct port_list *list = &reach->account->connect;
	bool is_done = true;

	for (unsigned i = 0; i < list->count && is_done; i++)
		is_done = landlock_allow_port(reach->landlock, LANDLOCK_CONNECT, list->port[i]);
	for (unsigned i = 0; i < ports_count && is_done && (list->has_default || !list->is_said);
		i++)
		is_done = landlock_allow_port(reach->landlock, LANDLOCK_CONNECT, ports[i].number);
	return is_done;
}

/* ---- All of it ---- */

static uint64_t files_restricted(const struct account *account)
{
	uint64_t files = 0;

	if (is_restricted(account, &account->read))
		files |= READ;
	if (is_restricted(account, &account->write))
		files |= CHANGE | LANDLOCK_MAKE_DEVICE | LANDLOCK_DEVICE;
	if (is_restricted(account, &account->execute))
		files |= LANDLOCK_EXECUTE;
	return files | LANDLOCK_REFER; /* which no ruleset about files gives by itself */
}

static bool allow_all(struct reach *reach, const struct job *job,
	const struct environment *environment, unsigned wants)
{
	const char *home = environment_value(environment, "HOME");
	bool is_done = true;

	if ((wants & REACH_FILES) != 0) {
		if (home != NULL && *home == '/')
			reach->home = path_open(home, O_DIRECTORY);
		is_done = own_find_all(reach, job) &&
			  ((wants & REACH_WRITE) != 0 ||
				  landlock_allow(reach->landlock, "/", LANDLOCK_REFER)) &&
			  allow_files(reach, job, environment);
		close_done(reach);
		fd_close_if_open(reach->home);
	}
	return is_done && ((wants & REACH_CONNECT) == 0 || allow_ports(reach));
}

/* What of that the kernel can do. */
static unsigned wants_here(unsigned wants, int abi)
{
	if (abi < ABI_FILES)
		wants &= ~(unsigned)(REACH_FILES | REACH_WRITE);
	if (abi < ABI_CONNECT)
		wants &= ~(unsigned)REACH_CONNECT;
	if (abi < LANDLOCK_ABI_SCOPES)
		wants &= ~(unsigned)REACH_ISOLATE;
	return wants;
}

bool reach_is_lacking(const struct account *account, struct text *why)
{
	if (account->landlock != LANDLOCK_REQUIRED)
		return false;
	text_add(why, "landlock required: this kernel lacks ");
	return reach_add_lacks(why, reach_wants(account), landlock_abi());
}

bool reach_make(struct landlock *ruleset, const struct job *job, const struct command *command,
	const struct environment *environment)
{
	unsigned wants = reach_wants(job->account);
	int abi = wants == 0 ? 0 : landlock_abi();
	static struct ways ways; /* zeros */
	struct reach reach = { .landlock = ruleset,
		.account = job->account,
		.command = command,
		.home = -1,
		.ways = &ways };
	char bytes[128];
	struct text text = TEXT_IN(bytes);

	ruleset->fd = -1;
	if (reach_is_lacking(job->account, &text)) {
		errno = EOPNOTSUPP;
		return false;
	}
	wants = wants_here(wants, abi);
	if (wants == 0)
		return true;
	if (landlock_begin_files(ruleset, abi, files_restricted(job->account),
		    ((wants & REACH_FILES) != 0 ? LANDLOCK_FILES : 0) |
			    ((wants & REACH_CONNECT) != 0 ? LANDLOCK_CONNECT : 0) |
			    ((wants & REACH_ISOLATE) != 0 ? LANDLOCK_SCOPES : 0)) &&
		allow_all(&reach, job, environment, wants))
		return true;
	return landlock_end(ruleset, false);
}
