/* SPDX-License-Identifier: ISC */
/*
 * The database file of the last addresses, by LMDB. Keys are users' names; a value is a byte that
 * says how it is written, then the addresses with their times.
 *
 * Every error is one of errno(3) or LMDB's; 0 is none. After one, only users_close() is of use.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
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

/* Opens the file in the directory `path`. Nobody else must have it open. The map, and so the file,
 * has at most `size` bytes. *transaction: the last one in the file. */
int users_open(struct users *users, const char *path, size_t size, uint64_t *transaction);

/* To be called before what follows: is the file whole, and one of ours? */
int users_check(struct users *users);

/* In any state. What was not committed is gone. */
void users_close(struct users *users);

/* Is it the file that is wrong, and not the disk? */
bool users_is_damage(int error);
const char *users_error(int error);

int users_look_up(struct users *users, const char *user, struct last_addresses *last);

/* *is_written: the login is in the open transaction now. It is not if it was known well enough
 * before. */
int users_login(struct users *users, const char *user, const struct source *address,
	uint64_t seconds, bool *is_written);

/* How many users there are, with what is not committed. */
int users_count(struct users *users, uint64_t *count);

/* Looks at the next `most` users, and removes those who have not logged in for `last_for`. */
int users_sweep(struct users *users, unsigned most);

/* Commits: hands all to the kernel, and does not wait for the disk. *transaction: the last one; as
 * before if there was nothing to commit. */
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
