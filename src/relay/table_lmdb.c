/* SPDX-License-Identifier: ISC */
/*
 * In the process of nmnotify-relay, under relay.policy. The table is root's, or the running user's,
 * like the configuration: liblmdb believes what is in it. No lock is taken, which would need the
 * right to write; so a table is replaced, never changed in its place.
 */
#include "relay/table.h"

#include <errno.h>
#include <lmdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/text.h"

#define MESSAGE_MAX 512

/* Which file it is: another one in its place, or one that was changed, is opened anew. */
struct identity {
	dev_t device;
	ino_t inode;
	struct timespec changed;
	off_t size;
};

struct table {
	const char *path; /* behind lmdb: */
	table_logger *logger;
	void *context;
	struct identity identity;
	MDB_env *env; /* NULL: it is away */
	MDB_txn *reader;
	MDB_dbi dbi;
	int error; /* why it is away: of errno or liblmdb; that was said */
};

/* Others' files would be others' word on where mail is announced. */
#define ERROR_OWNER (-1)

static const char *error_text(int error)
{
	if (error == ERROR_OWNER)
		return "others than root and the running user own it, or may write it";
	return mdb_strerror(error); /* knows those of errno, too */
}

/* ---- Which file ---- */

static bool is_ours(const struct stat *st)
{
	return (st->st_uid == 0 || st->st_uid == geteuid()) &&
	       (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* A directory of LMDB, or a file of it alone (mdb_load -n). 0 or what is wrong. */
static int file_stat(const char *path, struct stat *st, bool *is_directory)
{
	char bytes[4096];
	struct text data = TEXT_IN(bytes);

	*is_directory = false;
	if (stat(path, st) != 0)
		return errno;
	*is_directory = S_ISDIR(st->st_mode);
	if (!is_ours(st))
		return ERROR_OWNER;
	if (!*is_directory)
		return 0;
	text_add(&data, "%s/data.mdb", path);
	if (data.cut)
		return ENAMETOOLONG;
	if (stat(bytes, st) != 0)
		return errno;
	return is_ours(st) ? 0 : ERROR_OWNER;
}

static struct identity identity_of(const struct stat *st)
{
	return (struct identity){ .device = st->st_dev,
		.inode = st->st_ino,
		.changed = st->st_mtim,
		.size = st->st_size };
}

static bool is_same(const struct identity *a, const struct identity *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* ---- Opening ---- */

static void env_close(struct table *table)
{
	if (table->reader != NULL)
		mdb_txn_abort(table->reader);
	if (table->env != NULL)
		mdb_env_close(table->env);
	table->reader = NULL;
	table->env = NULL;
}

static int env_open(struct table *table, bool is_directory)
{
	unsigned flags =
		MDB_RDONLY | MDB_NOLOCK | MDB_NORDAHEAD | (is_directory ? 0 : MDB_NOSUBDIR);
	int error = mdb_env_create(&table->env);

	if (error != 0) {
		table->env = NULL;
		return error;
	}
	error = mdb_env_open(table->env, table->path, flags, 0);
	if (error == 0)
		error = mdb_txn_begin(table->env, NULL, MDB_RDONLY, &table->reader);
	if (error == 0)
		error = mdb_dbi_open(table->reader, NULL, 0, &table->dbi);
	if (error == 0)
		mdb_txn_reset(table->reader);
	else
		env_close(table);
	return error;
}

/* What is there now, open. 0 or why not. */
static int refresh(struct table *table)
{
	struct identity identity;
	bool is_directory;
	struct stat st;
	int error = file_stat(table->path, &st, &is_directory);

	if (error != 0) {
		env_close(table);
		return error;
	}
	identity = identity_of(&st);
	if (table->env != NULL && is_same(&identity, &table->identity))
		return 0;
	env_close(table);
	table->identity = identity;
	return env_open(table, is_directory);
}

static void say(struct table *table, const char *what)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	text_add(&text, "table %s: %s", table->path, what);
	table->logger(table->context, bytes);
}

/* Says it once when the table goes away, for another reason, or comes back. */
static void note(struct table *table, int error)
{
	int before = table->error;

	table->error = error;
	if (error == before)
		return;
	say(table, error == 0 ? "is back" : error_text(error));
}

struct table *table_open(const char *text, table_logger *logger, void *context)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return NULL;
	table->path = strchr(text, ':') + 1;
	table->logger = logger;
	table->context = context;
	note(table, refresh(table));
	return table;
}

void table_close(struct table *table)
{
	if (table == NULL)
		return;
	env_close(table);
	free(table);
}

/* ---- Looking up ---- */

const char *table_find(struct table *table, const char *user, size_t *length)
{
	MDB_val key = { .mv_data = (void *)(uintptr_t)user, .mv_size = strlen(user) };
	MDB_val value = { .mv_size = 0 };
	int error = refresh(table);

	if (error == 0) {
		/* Ends the reading of the last call, whose value was good until now. */
		mdb_txn_reset(table->reader);
		error = mdb_txn_renew(table->reader);
	}
	note(table, error);
	if (error != 0 || mdb_get(table->reader, table->dbi, &key, &value) != 0)
		return NULL;
	*length = value.mv_size;
	return value.mv_data;
}

static void nobody(void *context, const char *message)
{
	(void)context;
	(void)message;
}

const char *table_check(const char *text)
{
	struct table *table = table_open(text, nobody, NULL);
	const char *wrong;

	if (table == NULL)
		return "there is no memory for it";
	wrong = table->error == 0 ? NULL : error_text(table->error);
	table_close(table);
	return wrong;
}
