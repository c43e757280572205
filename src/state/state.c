/* SPDX-License-Identifier: ISC */
#include "state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/text.h"
#include "lib/users.h"
#include "state/limiter.h"

#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static int fail(struct state_error *error, const char *what, const char *name, int code)
{
	*error = (struct state_error){ .what = what, .name = name, .code = code };
	return -1;
}

/* Opens `name`, making it first if it is missing. Two processes may race to make it. */
static int directory_open(int parent, const char *name, struct state_error *error)
{
	int fd = openat(parent, name, DIRECTORY_FLAGS);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST)
			return fail(error, "cannot make directory", name, errno);
		fd = openat(parent, name, DIRECTORY_FLAGS);
	}
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return fail(error, "not a directory or a symlink", name, 0);
	if (fd < 0)
		return fail(error, "cannot open directory", name, errno);
	return fd;
}

static const char *owner_wrong(uid_t owner)
{
	return user_is_unknown(owner) ? "somebody who is not known in this user namespace owns"
				      : "somebody else owns";
}

static int directory_refuse(int fd, struct state_error *error, const char *what, const char *name)
{
	(void)close(fd); /* opened for reading: nothing can be lost */
	return fail(error, what, name, 0);
}

#define BASE_DEFAULT "/run/nmnotify"

/* Is it there, and the running user's? */
static bool is_own_directory(const char *path)
{
	struct stat st;

	return fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_uid == geteuid();
}

const char *state_base_path(const char *configured, char *buffer, size_t size)
{
	const char *runtime = getenv("RUNTIME_DIRECTORY"), *user = getenv("XDG_RUNTIME_DIR");
	struct text text = { .bytes = buffer, .size = size };

	if (configured != NULL)
		return configured;
	if (runtime != NULL && *runtime == '/' && strchr(runtime, ':') == NULL)
		return runtime;
	if (runtime != NULL && *runtime == '/') {
		text_add(&text, "%s", runtime);
		buffer[strcspn(buffer, ":")] = '\0'; /* a list; the others are one path each */
	} else if (geteuid() != 0 && user != NULL && *user == '/' &&
		   !is_own_directory(BASE_DEFAULT)) {
		text_add(&text, "%s/nmnotify", user);
	} else {
		return BASE_DEFAULT;
	}
	return text.cut ? NULL : buffer;
}

bool state_base_is_of(const char *base, uid_t user)
{
	struct stat st;

	return lstat(base, &st) == 0 && st.st_uid == user;
}

int state_base_open(const char *base, uid_t self, struct state_error *error)
{
	struct stat st;
	int fd = directory_open(AT_FDCWD, base, error);

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0)
		return directory_refuse(fd, error, "cannot examine", base);
	if (st.st_uid != 0 && st.st_uid != self)
		return directory_refuse(fd, error, owner_wrong(st.st_uid), base);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return directory_refuse(fd, error, "others may write to", base);
	return fd;
}

/* Is there nothing in a directory but what an account's state consists of? */
static bool directory_holds_state_only(int fd)
{
	const char *const ours[] = { STATE_LIMITS, STATE_TURN, NULL };

	return fd_holds_only(fd, ours);
}

static bool is_roots(int directory)
{
	struct stat st;

	return fstat(directory, &st) == 0 && st.st_uid == 0;
}

/*
 * Gives away a file of the state, if it is there. Not a copy, since live processes may have it
 * mapped or hold its locks. It is opened first, and then the directory must still be root's: so
 * root has put it there, and not the user, as a link to something that is not his.
 */
static bool file_give(int directory, const char *name, uid_t owner, gid_t group)
{
	struct stat st;
	int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	bool is_given;

	if (fd < 0)
		return errno == ENOENT;
	is_given = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
		   is_roots(directory) &&
		   (st.st_uid == owner ||
			   (st.st_uid == 0 && fchownat(fd, "", owner, group, AT_EMPTY_PATH) == 0));
	(void)close(fd); /* it was not written to */
	return is_given;
}

/*
 * A directory below the base that root owns is given to the account's user if it is one of ours:
 * just made, or with nothing in it but a state. If the User= of a service is changed to root,
 * systemd makes root the owner of it and of all that is in it (RuntimeDirectory=). Nothing else is
 * given away: else `state /var` with an account `spool` would give away /var/spool. The directory
 * comes last: until then nobody but root can change what is in it.
 */
static bool directory_give(int fd, const struct stat *st, uid_t owner, gid_t group)
{
	/* The set-group-ID bit comes from a base that has it. */
	return (st->st_mode & (07777 & ~S_ISGID)) == 0700 && directory_holds_state_only(fd) &&
	       file_give(fd, STATE_LIMITS, owner, group) &&
	       file_give(fd, STATE_TURN, owner, group) && fchown(fd, owner, group) == 0;
}

int state_account_open(int base, const char *account, uid_t self, uid_t owner, gid_t group,
	struct state_error *error)
{
	struct stat st;
	int fd = directory_open(base, account, error);

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0)
		return directory_refuse(fd, error, "cannot examine", account);
	if (st.st_uid == 0 && owner != 0 && self == 0) {
		errno = 0;
		/* Another process may have been quicker. */
		if (!directory_give(fd, &st, owner, group) && is_roots(fd))
			return directory_refuse(fd, error,
				errno == EPERM ? "no capability to give away"
					       : "root owns what was not made for a state:",
				account);
		if (fstat(fd, &st) != 0)
			return directory_refuse(fd, error, "cannot examine", account);
	}
	if (st.st_uid != owner)
		return directory_refuse(fd, error, owner_wrong(st.st_uid), account);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return directory_refuse(fd, error, "others may write to", account);
	return fd;
}

/*
 * A file that is too short or has holes gets all its space now: later, with a full file system, to
 * write into a hole would be a SIGBUS. Neither call changes a byte that is there.
 */
int state_grow(int fd, const struct stat *st, size_t size)
{
	if (st->st_size >= (off_t)size && st->st_blocks >= (blkcnt_t)(size / 512))
		return 0;
	if (fallocate(fd, 0, 0, (off_t)size) == 0)
		return 0;
	if (errno != EOPNOTSUPP)
		return -1;
	return st->st_size >= (off_t)size ? 0 : ftruncate(fd, (off_t)size);
}

static int file_check(int fd, const char *name, uid_t owner, size_t size, struct state_error *error)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return fail(error, "cannot examine", name, errno);
	if (!S_ISREG(st.st_mode))
		return fail(error, "not a regular file:", name, 0);
	if (st.st_uid != owner)
		return fail(error, owner_wrong(st.st_uid), name, 0);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return fail(error, "others may write to", name, 0);
	if (state_grow(fd, &st, size) != 0)
		return fail(error, "no room for", name, errno);
	return 0;
}

int state_open(int directory, const char *name, uid_t owner, size_t size, struct state_error *error)
{
	/* O_NONBLOCK: somebody's fifo or device in its place must not hold us. */
	int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = openat(directory, name, flags, 0600);

	if (fd < 0)
		return fail(error, "cannot open", name, errno);
	if (file_check(fd, name, owner, size, error) == 0)
		return fd;
	(void)close(fd); /* nothing was written */
	return -1;
}

struct state *state_of(int fd, size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return map == MAP_FAILED ? NULL : map;
}

struct state *state_map(
	int directory, const char *name, uid_t owner, size_t size, struct state_error *error)
{
	int fd = state_open(directory, name, owner, size, error);
	struct state *state;

	if (fd < 0)
		return NULL;
	state = state_of(fd, size);
	if (state == NULL)
		(void)fail(error, "cannot map", name, errno);
	(void)close(fd); /* the mapping stays; a failure to close changes nothing for it */
	return state;
}

/* ---- Made anew ---- */

static bool is_kept(const struct state *state, const atomic_word *word)
{
	const atomic_word *const kept[] = { &state->due, &state->owed, &state->action,
		&state->asked, &state->asked_for };

	for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (word == kept[i])
			return true;
	return false;
}

/* Each word in its turn, in any order: every bit pattern is a valid state (G6). */
bool state_forget(struct state *state)
{
	atomic_word *const words = &state->due; /* the first */

	for (size_t i = 0; i < sizeof(*state) / sizeof(*words); i++)
		if (!is_kept(state, &words[i]))
			atomic_store(&words[i], 0);
	return limiter_key(state);
}

/* ---- Where there is none ---- */

/* Can nobody but root and `self` remove or replace a file of `self`'s there? In a sticky directory
 * (inode(7)) others can only take its name first. */
static bool is_safe_place(int fd, uid_t self)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_uid == 0 || st.st_uid == self) &&
	       ((st.st_mode & (S_IWGRP | S_IWOTH)) == 0 || (st.st_mode & S_ISVTX) != 0);
}

/* Is there nothing yet, or a file without another name? A link to some other file of ours, which
 * others may have made (proc_sys_fs(5), protected_hardlinks), is not for us to write to. */
static bool has_one_name(int directory, const char *name)
{
	struct stat st;

	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT;
	return st.st_nlink == 1;
}

static struct state *errors_map_in(const char *path, uid_t self)
{
	char bytes[64];
	struct text name = TEXT_IN(bytes);
	struct state_error ignored;
	struct state *state = NULL;
	int fd = open(path, DIRECTORY_FLAGS);

	if (fd < 0)
		return NULL;
	text_add(&name, ".nmnotify-errors.%u", self);
	if (is_safe_place(fd, self) && has_one_name(fd, bytes))
		state = state_map(fd, bytes, self, STATE_HEADER_BYTES, &ignored);
	(void)close(fd); /* opened for reading: nothing can be lost */
	return state;
}

struct state *state_errors_map(uid_t self, const char *first)
{
	char bytes[64];
	struct text own = TEXT_IN(bytes);
	/* From /dev/shm systemd and logind remove what is a user's when his last process ends
	 * (RemoveIPC= in systemd.exec(5)), which a handler may be. */
	const char *const places[] = { first, BASE_DEFAULT, "/run", bytes, "/tmp", "/dev/shm" };
	struct state *state = NULL;

	text_add(&own, "/run/user/%u", self);
	for (unsigned i = 0; state == NULL && i < sizeof(places) / sizeof(places[0]); i++)
		if (places[i] != NULL)
			state = errors_map_in(places[i], self);
	return state;
}
