/* SPDX-License-Identifier: ISC */
/*
 * Landlock (landlock(7)): a process, and all that it starts, gives up files, ports and other
 * processes for good. A ruleset is begun with all that it forbids, then gets what it allows, and
 * then holds. What the kernel's version does not know is not forbidden.
 */
#ifndef NMNOTIFY_LANDLOCK_H
#define NMNOTIFY_LANDLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The version of Landlock that the kernel has (its ABI), or 0; and the first with its scopes. */
#define LANDLOCK_ABI_SCOPES 6
int landlock_abi(void);

/* What a ruleset can forbid. */
enum {
	LANDLOCK_FILES = 1,   /* all that a version can, from 1 on */
	LANDLOCK_BIND = 2,    /* TCP: from 4 on */
	LANDLOCK_CONNECT = 4, /* likewise */
	LANDLOCK_SCOPES = 8,  /* signals and abstract Unix sockets of others: from 6 on */
};

/* Rights to files. */
#define LANDLOCK_ALL              UINT64_MAX
#define LANDLOCK_EXECUTE          (UINT64_C(1) << 0)
#define LANDLOCK_WRITE            (UINT64_C(1) << 1)
#define LANDLOCK_READ             (UINT64_C(1) << 2)
#define LANDLOCK_READ_DIRECTORY   (UINT64_C(1) << 3)
#define LANDLOCK_REMOVE_DIRECTORY (UINT64_C(1) << 4)
#define LANDLOCK_REMOVE           (UINT64_C(1) << 5)
#define LANDLOCK_MAKE_DEVICE      (UINT64_C(1) << 6 | UINT64_C(1) << 11)
#define LANDLOCK_MAKE_DIRECTORY   (UINT64_C(1) << 7)
#define LANDLOCK_MAKE             (UINT64_C(1) << 8)
#define LANDLOCK_MAKE_SOCKET      (UINT64_C(1) << 9)
#define LANDLOCK_MAKE_FIFO        (UINT64_C(1) << 10)
#define LANDLOCK_MAKE_SYMLINK     (UINT64_C(1) << 12)
#define LANDLOCK_REFER            (UINT64_C(1) << 13) /* move or link to another directory; from 2 on */
#define LANDLOCK_TRUNCATE         (UINT64_C(1) << 14) /* from 3 on */
#define LANDLOCK_DEVICE           (UINT64_C(1) << 15) /* ioctl(2) of one; from 5 on */

struct landlock {
	int fd; /* -1: the kernel can forbid none of it, and all calls do nothing */
	int abi;
	uint64_t files; /* rights that can be forbidden */
};

/* `forbidden`: LANDLOCK_FILES and so on. False with errno set. */
bool landlock_begin(struct landlock *landlock, unsigned forbidden);

/* The same with LANDLOCK_FILES for some rights to files alone, for a version that was asked for. */
bool landlock_begin_files(struct landlock *landlock, int abi, uint64_t files, unsigned forbidden);

/* Gives rights to all that is below a directory; or to a file, which gets those of them that files
 * can have. What is not there now is left out, and cannot be used later. False with errno set. */
bool landlock_allow(const struct landlock *landlock, const char *path, uint64_t rights);

/* The same for a file or directory that is open, perhaps with O_PATH only, and is of this mode
 * (stat(2)). */
bool landlock_allow_open(const struct landlock *landlock, int fd, mode_t mode, uint64_t rights);

/* `right`: LANDLOCK_BIND or LANDLOCK_CONNECT. False with errno set. */
bool landlock_allow_port(const struct landlock *landlock, unsigned right, uint16_t port);

/* Makes a finished ruleset hold from now on. False with errno set. */
bool landlock_hold(const struct landlock *landlock);

/* The same, and drops it. False with errno set. If not `is_whole`, an earlier call has
 * failed: then it only drops the ruleset, and returns false with that call's errno. */
bool landlock_end(const struct landlock *landlock, bool is_whole);

#endif
