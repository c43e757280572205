/* SPDX-License-Identifier: ISC */
/*
 * In the relay's process: the store lmdb:DIRECTORY. A login is noted in the journal, and put into
 * LMDB's open transaction, where look-ups see it. The transaction is committed every few seconds:
 *
 * - A commit does not wait for the disk (MDB_NOSYNC), so its pages may be written in any order, and
 *   LMDB alone could find a transaction of which a part is missing when the machine went down. But
 *   no other is committed before the kernel says that it is on the disk (store_sync.h), and each
 *   leaves the one before whole.
 * - So whoever comes next, after a kill, a machine that went down or a disk that failed, takes the
 *   last one back unless it is known to be on the disk, and puts in again what the journal has
 *   since the one before. The kernel may not have written all of the journal when the machine went
 *   down: then seconds of logins are lost, never the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay/store_backend.h"
#include "relay/store_guard.h"
#include "relay/store_journal.h"
#include "relay/store_sync.h"
#include "relay/store_users.h"

#define COMMIT_AFTER_US UINT64_C(2000000)

/* A commit of so many different users takes some five milliseconds of the loop's time. */
#define COMMIT_LOGINS 1024

/* When it is away. */
#define RETRY_FIRST_US UINT64_C(1000000)
#define RETRY_MOST_US  UINT64_C(30000000)

/* Users looked at for each login, and for a commit: so old ones are found sooner than new ones
 * come. */
#define SWEEP_PER_LOGIN  2
#define SWEEP_PER_COMMIT 128
#define SWEEP_MOST       1024

/* Address space, of which the file takes what it needs. A user is some 50 to 250 bytes, a page may
 * be half empty. */
#define MAP_PER_USER 1024
#define MAP_LEAST    ((size_t)64 << 20)

/* Damaged, or the map too small: it is begun again so often. */
#define START_TRIES 8

struct lmdb {
	struct store *store;
	char *path;
	uint64_t users_most, last_for;
	int directory; /* -1: not open */
	size_t map_size;
	struct guard guard;
	struct journal journal; /* without a file: not open */
	struct users users;
	bool is_writable;
	struct sync sync;
	uint64_t committed;        /* what `sync` is about */
	uint64_t committed_logins; /* those of the journal before this are in it */
	sd_event_source *timer;
	bool is_timed;
	uint64_t retry_us;
	uint64_t refused; /* logins of new users beyond users_most */
};

/* ---- The timer: the next commit, or the next try ---- */

static void timer_set(struct lmdb *lmdb, uint64_t us)
{
	lmdb->is_timed = sd_event_source_set_time_relative(lmdb->timer, us) >= 0 &&
			 sd_event_source_set_enabled(lmdb->timer, SD_EVENT_ONESHOT) >= 0;
}

static void away(struct lmdb *lmdb, const char *why)
{
	lmdb->is_writable = false;
	store_say_away(lmdb->store, why);
	timer_set(lmdb, lmdb->retry_us);
	lmdb->retry_us = lmdb->retry_us * 2 < RETRY_MOST_US ? lmdb->retry_us * 2 : RETRY_MOST_US;
}

/* ---- Beginning, and beginning again ---- */

static const char *directory_open(struct lmdb *lmdb)
{
	if (lmdb->directory >= 0)
		return NULL;
	/* systemd has made it (StateDirectory=), or it is made now, or cannot be. */
	(void)mkdir(lmdb->path, 0700);
	lmdb->directory = open(lmdb->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return lmdb->directory < 0 ? strerror(errno) : NULL;
}

static int users_begin(struct lmdb *lmdb, uint64_t *transaction)
{
	lmdb->users = (struct users){ .last_for = lmdb->last_for, .most = lmdb->users_most };
	/* Somewhere: a relay that ends when it is idle may never come to the end of a sweep. */
	lmdb->users.swept[0] = (char)(store_seconds() % 94 + '!');
	lmdb->users.swept_length = 1;
	return users_open(&lmdb->users, lmdb->path, lmdb->map_size, transaction);
}

/* The last commit may not be on the disk, or only in part. The journal has what it has. */
static int take_back(struct lmdb *lmdb, uint64_t *transaction)
{
	size_t page_size = users_page_size(&lmdb->users);
	uint64_t last = *transaction;
	int error;

	users_close(&lmdb->users);
	error = users_take_back(lmdb->directory, last, page_size);
	if (error == 0)
		error = users_begin(lmdb, transaction);
	/* LMDB has another way with its pages than we know. */
	if (error == 0 && *transaction >= last)
		return MDB_CORRUPTED;
	return error;
}

/* The open file is on the disk up to its last transaction, as the journal says then. */
static int settle(struct lmdb *lmdb, uint64_t transaction)
{
	uint64_t on_disk = __atomic_load_n(&lmdb->journal.file->synced, __ATOMIC_ACQUIRE);
	int error = 0;

	if (transaction > on_disk && !lmdb->journal.is_new)
		error = take_back(lmdb, &transaction);
	lmdb->journal.is_new = false;
	if (error != 0 || transaction == on_disk)
		return error;
	if (fdatasync(users_fd(&lmdb->users)) != 0)
		return errno;
	journal_synced(
		&lmdb->journal, transaction, journal_begin(&lmdb->journal), transaction < on_disk);
	return 0;
}

static int put(struct lmdb *lmdb, const char *user, const struct source *address, uint64_t seconds,
	bool *is_written)
{
	int error = users_login(&lmdb->users, user, address, seconds, is_written);

	if (error != USERS_REFUSED)
		return error;
	if (lmdb->refused++ == 0)
		store_say(lmdb->store, "there are as many users as `users' says: logins of others "
				       "are not recorded");
	return 0;
}

/* What is in the journal, into the open transaction. */
static int replay(struct lmdb *lmdb)
{
	uint64_t end = journal_end(&lmdb->journal);
	int error = 0;

	for (uint64_t i = journal_begin(&lmdb->journal); i != end && error == 0; i++) {
		const struct login *login = journal_at(&lmdb->journal, i);
		bool is_written;

		if (login != NULL)
			error = put(
				lmdb, login->user, &login->address, login->seconds, &is_written);
	}
	return error;
}

static void synced(void *context, int error)
{
	struct lmdb *lmdb = context;

	if (error == 0)
		journal_synced(&lmdb->journal, lmdb->committed, lmdb->committed_logins, false);
	else
		away(lmdb, strerror(error));
}

/* Nothing is being synced. */
static int commit(struct lmdb *lmdb)
{
	uint64_t transaction = 0;
	int error;

	error = users_commit(&lmdb->users, &transaction);
	if (error != 0)
		return error;
	lmdb->committed = transaction;
	lmdb->committed_logins = journal_end(&lmdb->journal);
	if (transaction == __atomic_load_n(&lmdb->journal.file->synced, __ATOMIC_ACQUIRE))
		synced(lmdb, 0); /* there was nothing */
	else
		sync_begin(&lmdb->sync, users_fd(&lmdb->users));
	return 0;
}

static int start_once(struct lmdb *lmdb)
{
	uint64_t transaction;
	int error = users_begin(lmdb, &transaction);

	if (error == 0)
		error = settle(lmdb, transaction);
	if (error == 0)
		error = users_check(&lmdb->users);
	if (error == 0)
		error = replay(lmdb);
	return error == 0 ? commit(lmdb) : error;
}

static void put_aside(struct lmdb *lmdb, int error)
{
	int directory = lmdb->directory;

	if (renameat(directory, USERS_NAME, directory, USERS_DAMAGED) != 0)
		(void)unlinkat(directory, USERS_NAME, 0);
	journal_synced(&lmdb->journal, 0, journal_begin(&lmdb->journal), true);
	store_say(lmdb->store, "begins afresh, what was there is %s/%s now: %s", lmdb->path,
		USERS_DAMAGED, users_error(error));
}

/* What was committed can still be read, unless not even that. */
static void read_only(struct lmdb *lmdb, int error)
{
	uint64_t transaction;

	away(lmdb, users_error(error));
	users_close(&lmdb->users);
	if (users_begin(lmdb, &transaction) != 0 || users_check(&lmdb->users) != 0)
		users_close(&lmdb->users);
	for (uint64_t i = journal_begin(&lmdb->journal); i != journal_end(&lmdb->journal); i++) {
		const struct login *login = journal_at(&lmdb->journal, i);

		if (login != NULL)
			store_remember(lmdb->store, login->user, &login->address, login->seconds);
	}
}

/* Does all that it takes to be there again, or to be there for the first time. `error`: why it was
 * left, or 0. */
static void start(struct lmdb *lmdb, int error)
{
	const char *why = directory_open(lmdb);

	if (why == NULL && lmdb->journal.file == NULL)
		why = journal_open(&lmdb->journal, lmdb->directory);
	if (why != NULL) {
		away(lmdb, why);
		return;
	}
	sync_finish(&lmdb->sync);
	for (unsigned i = 0; i < START_TRIES; i++) {
		users_close(&lmdb->users);
		if (users_is_damage(error))
			put_aside(lmdb, error);
		else if (error == MDB_MAP_FULL)
			lmdb->map_size *= 2;
		error = start_once(lmdb);
		if (error == 0) {
			lmdb->is_writable = true;
			lmdb->retry_us = RETRY_FIRST_US;
			store_say_back(lmdb->store);
			return;
		}
		if (!users_is_damage(error) && error != MDB_MAP_FULL)
			break;
	}
	read_only(lmdb, error);
}

/* A call on the file went wrong. */
static void failed(struct lmdb *lmdb, int error)
{
	if (users_is_damage(error) || error == MDB_MAP_FULL)
		start(lmdb, error);
	else
		read_only(lmdb, error);
}

/* ---- While it is there ---- */

static uint64_t logins_since_commit(const struct lmdb *lmdb)
{
	return journal_end(&lmdb->journal) - lmdb->committed_logins;
}

static void commit_now(struct lmdb *lmdb)
{
	uint64_t most = SWEEP_PER_COMMIT + SWEEP_PER_LOGIN * logins_since_commit(lmdb);
	int error;

	error = users_sweep(&lmdb->users, most < SWEEP_MOST ? (unsigned)most : SWEEP_MOST);
	if (error == 0)
		error = commit(lmdb);
	if (error != 0)
		failed(lmdb, error);
}

static int timer_over(sd_event_source *source, uint64_t us, void *context)
{
	struct lmdb *lmdb = context;

	(void)source;
	(void)us;
	lmdb->is_timed = false;
	if (!lmdb->is_writable)
		start(lmdb, 0);
	else if (lmdb->sync.is_running)
		timer_set(lmdb, COMMIT_AFTER_US);
	else
		commit_now(lmdb);
	return 0;
}

/* The disk is slower than the logins: only then is it waited for. */
static void wait_if_full(struct lmdb *lmdb)
{
	if (lmdb->is_writable && journal_is_full(&lmdb->journal))
		sync_finish(&lmdb->sync);
}

static void make_room(struct lmdb *lmdb)
{
	wait_if_full(lmdb);
	if (lmdb->is_writable && !lmdb->sync.is_running &&
		logins_since_commit(lmdb) >= COMMIT_LOGINS)
		commit_now(lmdb);
	wait_if_full(lmdb);
}

static bool lmdb_login(void *backend, const struct ask *ask, const char *user,
	const struct source *address, uint64_t seconds)
{
	struct lmdb *lmdb = backend;
	bool is_written = false;
	int error = 0;

	(void)ask;
	if (lmdb->journal.file == NULL)
		return false;
	if (lmdb->is_writable)
		make_room(lmdb);
	if (lmdb->is_writable)
		error = put(lmdb, user, address, seconds, &is_written);
	/* If it went wrong, too, or is away: the next start puts it in. */
	if (is_written || error != 0 || !lmdb->is_writable)
		(void)journal_add(&lmdb->journal, user, address, seconds);
	if (error != 0)
		failed(lmdb, error);
	else if (is_written && !lmdb->is_timed)
		timer_set(lmdb, COMMIT_AFTER_US);
	return lmdb->is_writable;
}

static bool lmdb_look_up(void *backend, const struct ask *ask, const char *user)
{
	struct lmdb *lmdb = backend;
	struct last_addresses last = { .count = 0 };
	int error;

	if (lmdb->users.env == NULL)
		return false;
	error = users_look_up(&lmdb->users, user, &last);
	if (error != 0) {
		failed(lmdb, error);
		return false;
	}
	store_settle_look_up(lmdb->store, ask, &last);
	return true;
}

static bool lmdb_count(void *backend, uint64_t *count)
{
	struct lmdb *lmdb = backend;
	int error;

	if (lmdb->users.env == NULL)
		return false;
	error = users_count(&lmdb->users, count);
	if (error != 0)
		failed(lmdb, error);
	return error == 0;
}

/* ---- Opening and closing ---- */

static void lmdb_close(void *backend)
{
	struct lmdb *lmdb = backend;

	sync_finish(&lmdb->sync);
	if (lmdb->is_writable) {
		commit_now(lmdb);
		sync_finish(&lmdb->sync);
	}
	users_close(&lmdb->users);
	sync_close(&lmdb->sync);
	if (lmdb->journal.file != NULL) {
		/* So that a start of the machine takes nothing back. */
		(void)fdatasync(lmdb->journal.fd);
		journal_close(&lmdb->journal);
	}
	if (lmdb->directory >= 0)
		(void)close(lmdb->directory);
	sd_event_source_disable_unref(lmdb->timer);
	guard_close(&lmdb->guard);
	free(lmdb->path);
	free(lmdb);
}

static size_t map_size_for(uint64_t users_most)
{
	if (users_most > SIZE_MAX / 4 / MAP_PER_USER)
		return SIZE_MAX / 4 / MAP_PER_USER * MAP_PER_USER;
	return users_most * MAP_PER_USER > MAP_LEAST ? (size_t)users_most * MAP_PER_USER
						     : MAP_LEAST;
}

static void *lmdb_open(const struct backend_setup *setup, const char **wrong)
{
	struct lmdb *lmdb = calloc(1, sizeof(*lmdb));
	char *path = strdup(setup->place);

	*wrong = "lmdb: needs a directory";
	if (lmdb == NULL || path == NULL || path[0] == '\0' ||
		sd_event_add_time_relative(
			setup->loop, &lmdb->timer, CLOCK_MONOTONIC, 0, 0, timer_over, lmdb) < 0) {
		free(path);
		free(lmdb);
		return NULL;
	}
	(void)sd_event_source_set_enabled(lmdb->timer, SD_EVENT_OFF);
	lmdb->store = setup->store;
	lmdb->path = path;
	lmdb->users_most = setup->users_most;
	lmdb->last_for = setup->last_for;
	lmdb->directory = -1;
	lmdb->map_size = map_size_for(setup->users_most);
	lmdb->retry_us = RETRY_FIRST_US;
	guard_open(&lmdb->guard);
	sync_open(&lmdb->sync, setup->loop, synced, lmdb);
	start(lmdb, 0);
	return lmdb;
}

static const char *lmdb_check(const char *place)
{
	return place[0] == '/' ? NULL : "needs the absolute path of a directory";
}

const struct backend_kind store_lmdb = {
	.prefix = "lmdb:",
	.check = lmdb_check,
	.open = lmdb_open,
	.close = lmdb_close,
	.login = lmdb_login,
	.look_up = lmdb_look_up,
	.count = lmdb_count,
};
