/* SPDX-License-Identifier: ISC */
#include "ctl/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"

/* While the state changes under us it is read again, so often at most. */
#define READ_AGAIN_MOST 20

static enum snapshot_found fail(
	struct state_error *error, const char *what, const char *name, int code)
{
	*error = (struct state_error){ .what = what, .name = name, .code = code };
	return SNAPSHOT_FAILED;
}

/* O_NONBLOCK: somebody's fifo or device in its place must not hold us. */
static enum snapshot_found file_open(
	int directory, const char *name, int *fd, struct stat *st, struct state_error *error)
{
	*fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (*fd < 0 && errno == ENOENT)
		return SNAPSHOT_NONE;
	if (*fd < 0 && errno == ELOOP)
		return fail(error, "not a regular file:", name, 0);
	if (*fd < 0)
		return fail(error, "cannot open", name, errno);
	if (fstat(*fd, st) != 0)
		return fail(error, "cannot examine", name, errno);
	if (!S_ISREG(st->st_mode))
		return fail(error, "not a regular file:", name, 0);
	return SNAPSHOT_READ;
}

static enum snapshot_found words_read(
	int fd, const char *name, void *words, size_t size, struct state_error *error)
{
	ssize_t got = pread(fd, words, size, 0);

	if (got < 0)
		return fail(error, "cannot read", name, errno);
	if ((size_t)got != size)
		return fail(error, "too short; the next line will mend it:", name, 0);
	return SNAPSHOT_READ;
}

/* The words of the turn are before the counts. They and the locks go together: read in turns until
 * nothing has changed between, else a start in between would look like a debt. */
static enum snapshot_found turn_read(
	struct snapshot *snapshot, int limits, const struct turn *turn, struct state_error *error)
{
	static struct state again; /* large */
	enum snapshot_found found;
	size_t size = sizeof(again);

	found = words_read(limits, STATE_LIMITS, &again, size, error);
	for (unsigned times = 0; found == SNAPSHOT_READ && times < READ_AGAIN_MOST; times++) {
		memcpy(&snapshot->state, &again, size);
		snapshot->now = moment_now();
		snapshot->locks = turn_look(turn);
		found = words_read(limits, STATE_LIMITS, &again, size, error);
		if (memcmp(&snapshot->state, &again, offsetof(struct state, verdicts)) == 0)
			break;
	}
	return found;
}

static void written_read(struct snapshot *snapshot, const struct turn *turn, const struct stat *st)
{
	uint64_t written = (uint64_t)st->st_mtim.tv_sec * 1000 +
			   (uint64_t)st->st_mtim.tv_nsec / 1000000,
		 now = clock_milliseconds(CLOCK_REALTIME);

	snapshot->last_written = turn_last_written(turn);
	snapshot->written_ago = now > written ? now - written : 0;
	snapshot->uptime = clock_milliseconds(CLOCK_BOOTTIME);
	snapshot->owner = st->st_uid;
}

static enum snapshot_found files_read(
	struct snapshot *snapshot, int directory, struct state_error *error)
{
	struct turn turn = { .fd = -1 };
	struct stat st;
	int limits = -1;
	enum snapshot_found found = file_open(directory, STATE_LIMITS, &limits, &st, error);

	if (found == SNAPSHOT_READ)
		found = file_open(directory, STATE_TURN, &turn.fd, &st, error);
	if (found == SNAPSHOT_READ)
		found = turn_read(snapshot, limits, &turn, error);
	if (found == SNAPSHOT_READ)
		written_read(snapshot, &turn, &st);
	fd_close_if_open(limits);
	fd_close_if_open(turn.fd);
	return found;
}

enum snapshot_found snapshot_read(
	struct snapshot *snapshot, int base, const char *account, struct state_error *error)
{
	int directory = openat(base, account, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	enum snapshot_found found;

	if (directory < 0 && errno == ENOENT)
		return SNAPSHOT_NONE;
	if (directory < 0)
		return fail(error, "cannot open directory", account, errno);
	found = files_read(snapshot, directory, error);
	(void)close(directory); /* opened for reading: nothing can be lost */
	return found;
}

enum snapshot_found snapshot_denied(int base, uint32_t *count, struct state_error *error)
{
	static struct state state; /* its beginning; large */
	struct stat st;
	int fd;
	enum snapshot_found found = file_open(base, STATE_DENIED, &fd, &st, error);

	if (found == SNAPSHOT_READ)
		found = words_read(fd, STATE_DENIED, &state, STATE_HEADER_BYTES, error);
	fd_close_if_open(fd);
	*count = found == SNAPSHOT_READ ? atomic_load(&state.verdicts[VERDICT_DENIED]) : 0;
	return found;
}
