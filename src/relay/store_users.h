/* SPDX-License-Identifier: ISC */
/*
 * In the relay's process: the database file of the last addresses, by LMDB. Keys are users' names;
 * a value is a byte that says how it is written, then the addresses with their times.
 *
 * Every error is one of errno(3) or LMDB's; 0 is none. After one, only users_close() is of use.
 */
#ifndef NMNOTIFY_STORE_USERS_H
#define NMNOTIFY_STORE_USERS_H

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/store_backend.h"

#define USERS_NAME    "data.mdb"
#define USERS_DAMAGED "data.mdb.damaged"

/* The user is new, and there are as many as may be. Everything else goes on. */
#define USERS_REFUSED (-1)

/* The file cannot be read, or not be understood. */
#define USERS_FAULT (-2)

struct users {
	MDB_env *env; /* NULL: not open */
	MDB_txn *write, *read;
	MDB_dbi dbi;
	bool is_broken; /* a call was left in the middle */
	uint64_t last_for, most;
	size_t swept_length; /* of `swept`: where the sweep goes on; 0: at the beginning */
	char swept[USER_NAME_MAX + 1];
};

/* In a directory, which is `path`. Nobody else has it open. The map, which bounds the file, is of
 * `size` bytes. `*transaction`: the last that is there. */
int users_open(struct users *users, const char *path, size_t size, uint64_t *transaction);

/* Before anything else: is it whole, and one of ours? */
int users_check(struct users *users);

/* Whatever state it is in. What was not committed is gone. */
void users_close(struct users *users);

/* Is it the file that is wrong, and not the disk? */
bool users_is_damage(int error);
const char *users_error(int error);

int users_look_up(struct users *users, const char *user, struct last_addresses *last);

/* `*is_written`: it is in the open transaction now, and was not known well enough before. */
int users_login(struct users *users, const char *user, const struct source *address,
	uint64_t seconds, bool *is_written);

/* Removes users who have not logged in for so long; looks at `most` of those that are next. */
int users_sweep(struct users *users, unsigned most);

/* Hands all to the kernel, and does not wait for the disk. `*transaction`: the last; as before if
 * there was nothing. */
int users_commit(struct users *users, uint64_t *transaction);
int users_fd(const struct users *users);

/*
 * Takes back the last transaction, of a file that is not open: LMDB writes pages that the one
 * before does not use, and then one of two first pages, by turns. So the one before is whole as
 * long as it is on the disk, whatever is missing of the last. Errors are of errno(3).
 */
int users_take_back(int directory, uint64_t transaction, size_t page_size);
size_t users_page_size(const struct users *users);

#endif
