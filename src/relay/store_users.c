/* SPDX-License-Identifier: ISC */
/* In the relay's process. */
#include "relay/store_users.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "relay/store_guard.h"

#define FORMAT 1

/* No user has this name: they end before a NUL. */
#define FORMAT_KEY ((MDB_val){ .mv_size = 1, .mv_data = &(char){ '\0' } })

/* A login from where the last one was is not worth a page of the disk each minute: its time may be
 * so much too old, in parts of `last-for`, and never more than an hour. */
#define TIME_PART 256
#define TIME_MOST 3600

/* ---- Values ---- */

#define KIND_IPV4  4
#define KIND_IPV6  6
#define ENTRY_IPV4 (8 + 1 + 4)
#define ENTRY_IPV6 (8 + 1 + 16 + 4)
#define VALUE_MAX  (1 + STORE_ADDRESSES_MAX * ENTRY_IPV6)

static size_t entry_write(uint8_t *to, const struct dated_address *entry)
{
	uint64_t seconds = htole64(entry->seconds);
	uint32_t scope = htole32(entry->address.scope);
	bool is_ipv4 = entry->address.kind == SOURCE_IPV4;

	memcpy(to, &seconds, 8);
	to[8] = is_ipv4 ? KIND_IPV4 : KIND_IPV6;
	memcpy(to + 9, entry->address.address, is_ipv4 ? 4 : 16);
	if (is_ipv4)
		return ENTRY_IPV4;
	memcpy(to + 25, &scope, 4);
	return ENTRY_IPV6;
}

static size_t value_write(uint8_t to[VALUE_MAX], const struct dated_addresses *dated)
{
	size_t length = 1;

	to[0] = FORMAT;
	for (unsigned i = 0; i < dated->count; i++)
		length += entry_write(to + length, &dated->entry[i]);
	return length;
}

/* How many bytes it was; 0: that is no entry. */
static size_t entry_read(const uint8_t *from, size_t length, struct dated_address *entry)
{
	uint64_t seconds;
	uint32_t scope;

	*entry = (struct dated_address){ .seconds = 0 };
	if (length < ENTRY_IPV4)
		return 0;
	memcpy(&seconds, from, 8);
	entry->seconds = le64toh(seconds);
	if (from[8] == KIND_IPV4) {
		entry->address.kind = SOURCE_IPV4;
		memcpy(entry->address.address, from + 9, 4);
		return ENTRY_IPV4;
	}
	if (from[8] != KIND_IPV6 || length < ENTRY_IPV6)
		return 0;
	entry->address.kind = SOURCE_IPV6;
	memcpy(entry->address.address, from + 9, 16);
	memcpy(&scope, from + 25, 4);
	entry->address.scope = le32toh(scope);
	return ENTRY_IPV6;
}

static int value_read(const MDB_val *value, struct dated_addresses *dated)
{
	const uint8_t *bytes = value->mv_data;
	size_t at = 1;

	dated->count = 0;
	if (value->mv_size < 1 || value->mv_size > VALUE_MAX || bytes[0] != FORMAT)
		return MDB_CORRUPTED;
	while (at < value->mv_size) {
		size_t length;

		if (dated->count == STORE_ADDRESSES_MAX)
			return MDB_CORRUPTED;
		length = entry_read(bytes + at, value->mv_size - at, &dated->entry[dated->count++]);
		if (length == 0)
			return MDB_CORRUPTED;
		at += length;
	}
	return 0;
}

/* ---- Errors ---- */

bool users_is_damage(int error)
{
	switch (error) {
	case USERS_FAULT:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_PANIC:
	case MDB_VERSION_MISMATCH:
	case MDB_INVALID:
	case MDB_CURSOR_FULL:
	case MDB_PAGE_FULL:
	case MDB_INCOMPATIBLE:
	case MDB_BAD_TXN:
	case EINVAL: return true; /* a file that ends within its first pages */
	default: return false;
	}
}

const char *users_error(int error)
{
	return error == USERS_FAULT ? "it has pages that cannot be read" : mdb_strerror(error);
}

/* LMDB's own checks: what it has read makes no sense. It would abort(3) else. */
static void senseless(MDB_env *env, const char *message)
{
	(void)env;
	(void)message;
	guard_leave();
}

static int guarded(struct users *users, guarded_call *call, void *context)
{
	int result = guard_call(call, context, USERS_FAULT);

	if (result == USERS_FAULT)
		users->is_broken = true;
	return result;
}

/* ---- Transactions ---- */

static int write_begin(struct users *users)
{
	if (users->write != NULL)
		return 0;
	return mdb_txn_begin(users->env, NULL, 0, &users->write);
}

/* What was written is seen before it is committed. */
static int read_begin(struct users *users, MDB_txn **txn)
{
	*txn = users->write != NULL ? users->write : users->read;
	return users->write != NULL ? 0 : mdb_txn_renew(users->read);
}

static void read_end(struct users *users)
{
	if (users->write == NULL)
		mdb_txn_reset(users->read);
}

/* ---- Opening ---- */

struct opening {
	struct users *users;
	const char *path;
	size_t size;
	uint64_t transaction;
};

/* A file that is shorter than it says would be a SIGBUS later. */
static int check_length(struct users *users)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct stat st;
	int fd = -1, error = mdb_env_info(users->env, &info);

	if (error == 0)
		error = mdb_env_stat(users->env, &stat);
	if (error == 0)
		error = mdb_env_get_fd(users->env, &fd);
	if (error != 0)
		return error;
	if (fstat(fd, &st) != 0)
		return errno;
	/* One that was never written to has no more than its first pages. */
	if ((uint64_t)st.st_size < ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize)
		return MDB_CORRUPTED;
	return 0;
}

static int put_format(struct users *users, MDB_txn *txn)
{
	MDB_val key = FORMAT_KEY, value = { .mv_size = 1, .mv_data = &(uint8_t){ FORMAT } };

	return mdb_put(txn, users->dbi, &key, &value, 0);
}

static int check_format(struct users *users, MDB_txn *txn)
{
	MDB_val key = FORMAT_KEY, value;
	MDB_stat stat;
	int error = mdb_stat(txn, users->dbi, &stat);

	if (error != 0)
		return error;
	if (stat.ms_entries == 0)
		return put_format(users, txn);
	error = mdb_get(txn, users->dbi, &key, &value);
	if (error == MDB_NOTFOUND)
		return MDB_VERSION_MISMATCH;
	if (error != 0)
		return error;
	return value.mv_size == 1 && *(const uint8_t *)value.mv_data == FORMAT
		       ? 0
		       : MDB_VERSION_MISMATCH;
}

static int opening_run(void *context)
{
	struct opening *opening = context;
	struct users *users = opening->users;
	MDB_envinfo info;
	int error = mdb_env_create(&users->env);

	if (error == 0)
		error = mdb_env_set_assert(users->env, senseless);
	if (error == 0)
		error = mdb_env_set_mapsize(users->env, opening->size);
	/* NOSYNC: see relay/store_lmdb.c. NOLOCK: the journal is locked. */
	if (error == 0)
		error = mdb_env_open(
			users->env, opening->path, MDB_NOSYNC | MDB_NOLOCK | MDB_NOTLS, 0600);
	if (error == 0)
		error = mdb_env_info(users->env, &info);
	if (error == 0)
		opening->transaction = info.me_last_txnid;
	return error;
}

static int check_run(void *context)
{
	struct users *users = context;
	int error = check_length(users);

	if (error == 0)
		error = write_begin(users);
	if (error == 0)
		error = mdb_dbi_open(users->write, NULL, 0, &users->dbi);
	if (error == 0)
		error = check_format(users, users->write);
	if (error == 0)
		error = mdb_txn_begin(users->env, NULL, MDB_RDONLY, &users->read);
	if (error == 0)
		mdb_txn_reset(users->read);
	return error;
}

int users_open(struct users *users, const char *path, size_t size, uint64_t *transaction)
{
	struct opening opening = { .users = users, .path = path, .size = size };
	int error = guarded(users, opening_run, &opening);

	*transaction = opening.transaction;
	return error;
}

int users_check(struct users *users)
{
	return guarded(users, check_run, users);
}

static int closing_run(void *context)
{
	struct users *users = context;

	if (users->write != NULL)
		mdb_txn_abort(users->write);
	if (users->read != NULL)
		mdb_txn_abort(users->read);
	if (users->env != NULL)
		mdb_env_close(users->env);
	return 0;
}

void users_close(struct users *users)
{
	/* What was left in the middle of a call is lost: better that than to free what may be
	 * broken. */
	if (!users->is_broken)
		(void)guarded(users, closing_run, users);
	users->is_broken = false;
	users->env = NULL;
	users->write = users->read = NULL;
}

int users_fd(const struct users *users)
{
	int fd = -1;

	(void)mdb_env_get_fd(users->env, &fd);
	return fd;
}

size_t users_page_size(const struct users *users)
{
	MDB_stat stat = { .ms_psize = 0 };

	(void)mdb_env_stat(users->env, &stat);
	return stat.ms_psize;
}

/* ---- Users ---- */

struct asking {
	struct users *users;
	const char *user;
	const struct source *address;
	uint64_t seconds;
	struct dated_addresses dated;
	bool is_written;
};

static MDB_val key_of(const char *user)
{
	return (MDB_val){ .mv_size = strlen(user), .mv_data = (void *)(uintptr_t)user };
}

/* MDB_NOTFOUND is none. */
static int get(struct asking *asking, MDB_txn *txn)
{
	MDB_val key = key_of(asking->user), value;
	int error = mdb_get(txn, asking->users->dbi, &key, &value);

	return error == 0 ? value_read(&value, &asking->dated) : error;
}

static int look_up(struct asking *asking, bool *is_new)
{
	MDB_txn *txn;
	int error = read_begin(asking->users, &txn);

	if (error != 0)
		return error;
	error = get(asking, txn);
	read_end(asking->users);
	*is_new = error == MDB_NOTFOUND;
	return *is_new ? 0 : error;
}

static int look_up_run(void *context)
{
	bool is_new;

	return look_up(context, &is_new);
}

static uint64_t since(const struct users *users)
{
	uint64_t now = store_seconds();

	return now > users->last_for ? now - users->last_for : 0;
}

int users_look_up(struct users *users, const char *user, struct last_addresses *last)
{
	struct asking asking = { .users = users, .user = user };
	int error = guarded(users, look_up_run, &asking);

	*last = dated_since(&asking.dated, since(users));
	return error;
}

/* Is it known well enough? */
static bool is_known(const struct asking *asking)
{
	const struct dated_address *newest = &asking->dated.entry[0];
	uint64_t part = asking->users->last_for / TIME_PART;

	if (part > TIME_MOST)
		part = TIME_MOST;
	return asking->dated.count > 0 && newest->address.kind == asking->address->kind &&
	       newest->address.scope == asking->address->scope &&
	       memcmp(newest->address.address, asking->address->address,
		       sizeof(newest->address.address)) == 0 &&
	       newest->seconds <= asking->seconds && asking->seconds - newest->seconds < part;
}

static void forget_old(struct dated_addresses *dated, uint64_t since_then)
{
	while (dated->count > 0 && dated->entry[dated->count - 1].seconds < since_then)
		dated->count--;
}

static int put(struct asking *asking)
{
	uint8_t bytes[VALUE_MAX];
	MDB_val key = key_of(asking->user), value = { .mv_data = bytes };

	dated_add(&asking->dated, asking->seconds, asking->address);
	forget_old(&asking->dated, since(asking->users));
	value.mv_size = value_write(bytes, &asking->dated);
	return mdb_put(asking->users->write, asking->users->dbi, &key, &value, 0);
}

/* Is there room for a new user? The format's key is none. */
static int room(struct users *users)
{
	MDB_stat stat;
	int error = mdb_stat(users->write, users->dbi, &stat);

	if (error != 0)
		return error;
	return stat.ms_entries > users->most ? USERS_REFUSED : 0;
}

static int login_run(void *context)
{
	struct asking *asking = context;
	bool is_new;
	int error = look_up(asking, &is_new);

	if (error != 0 || is_known(asking))
		return error;
	error = write_begin(asking->users);
	if (error == 0 && is_new)
		error = room(asking->users);
	if (error == 0)
		error = put(asking);
	asking->is_written = error == 0;
	return error;
}

int users_login(struct users *users, const char *user, const struct source *address,
	uint64_t seconds, bool *is_written)
{
	struct asking asking = {
		.users = users, .user = user, .address = address, .seconds = seconds
	};
	int error = guarded(users, login_run, &asking);

	*is_written = asking.is_written;
	return error;
}

/* ---- How many ---- */

struct counting {
	struct users *users;
	uint64_t count;
};

/* What is not committed yet is in the open transaction alone. The format's key is no user. */
static int count_run(void *context)
{
	struct counting *counting = context;
	MDB_txn *txn;
	MDB_stat stat;
	int error = read_begin(counting->users, &txn);

	if (error != 0)
		return error;
	error = mdb_stat(txn, counting->users->dbi, &stat);
	read_end(counting->users);
	counting->count = error == 0 && stat.ms_entries > 0 ? stat.ms_entries - 1 : 0;
	return error;
}

int users_count(struct users *users, uint64_t *count)
{
	struct counting counting = { .users = users };
	int error = guarded(users, count_run, &counting);

	*count = counting.count;
	return error;
}

/* ---- The sweep ---- */

struct sweep {
	struct users *users;
	unsigned most;
};

/* One who has not logged in for `last-for` is forgotten, be it since the clock was set back. */
static int sweep_one(
	const struct users *users, MDB_cursor *cursor, MDB_val *key, const MDB_val *value)
{
	struct dated_addresses dated;
	uint8_t bytes[VALUE_MAX];
	MDB_val fresh = { .mv_data = bytes };

	/* Not the format's. What cannot be read is for who asks for it. */
	if (*(const char *)key->mv_data == '\0' || value_read(value, &dated) != 0)
		return 0;
	if (dated.count == 0 || dated.entry[0].seconds < since(users))
		return mdb_cursor_del(cursor, 0);
	if (!dated_set_back(&dated, store_seconds()))
		return 0;
	fresh.mv_size = value_write(bytes, &dated);
	return mdb_cursor_put(cursor, key, &fresh, MDB_CURRENT);
}

static int sweep_along(struct sweep *sweep, MDB_cursor *cursor)
{
	struct users *users = sweep->users;
	MDB_val key = { .mv_size = users->swept_length, .mv_data = users->swept }, value;
	int error = mdb_cursor_get(
		cursor, &key, &value, users->swept_length > 0 ? MDB_SET_RANGE : MDB_FIRST);

	for (unsigned i = 0; i < sweep->most && error == 0; i++) {
		error = sweep_one(users, cursor, &key, &value);
		if (error == 0)
			error = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	users->swept_length = 0;
	if (error == 0 && key.mv_size <= sizeof(users->swept)) {
		users->swept_length = key.mv_size;
		memcpy(users->swept, key.mv_data, key.mv_size);
	}
	return error == MDB_NOTFOUND ? 0 : error;
}

static int sweep_run(void *context)
{
	struct sweep *sweep = context;
	MDB_cursor *cursor = NULL;
	int error = write_begin(sweep->users);

	if (error == 0)
		error = mdb_cursor_open(sweep->users->write, sweep->users->dbi, &cursor);
	if (error != 0)
		return error;
	error = sweep_along(sweep, cursor);
	mdb_cursor_close(cursor);
	return error;
}

int users_sweep(struct users *users, unsigned most)
{
	struct sweep sweep = { .users = users, .most = most };

	return guarded(users, sweep_run, &sweep);
}

/* ---- Committing ---- */

static int commit_run(void *context)
{
	struct users *users = context;
	MDB_txn *write = users->write;

	users->write = NULL; /* it is gone, whatever comes of it */
	return mdb_txn_commit(write);
}

int users_commit(struct users *users, uint64_t *transaction)
{
	MDB_envinfo info = { .me_last_txnid = 0 };
	int error = 0;

	if (users->write != NULL)
		error = guarded(users, commit_run, users);
	if (error == 0)
		error = mdb_env_info(users->env, &info);
	*transaction = info.me_last_txnid;
	return error;
}

int users_take_back(int directory, uint64_t transaction, size_t page_size)
{
	off_t to = (off_t)((transaction & 1) * page_size),
	      from = (off_t)((~transaction & 1) * page_size);
	int fd = openat(directory, USERS_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW), error = 0;
	void *page = malloc(page_size);

	/* If not for another reason: what is short. */
	if (fd >= 0)
		errno = page == NULL ? ENOMEM : EINVAL;
	if (fd < 0 || page == NULL || pread(fd, page, page_size, from) != (ssize_t)page_size ||
		pwrite(fd, page, page_size, to) != (ssize_t)page_size || fdatasync(fd) != 0)
		error = errno;
	free(page);
	fd_close_if_open(fd);
	return error;
}
