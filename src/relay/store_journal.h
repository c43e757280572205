/* SPDX-License-Identifier: ISC */
/*
 * The store's journal: the logins that the database may not have on the disk, in a mapped file.
 * Only one process at a time has the journal open, and with it the database.
 *
 * It is there because a commit writes several pages, and the next one has to wait until they are on
 * the disk: so there cannot be one for each login. What is added here is copied once, and outlives
 * the process, killed at whatever instruction: the kernel has it.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_STORE_JOURNAL_H
#define NMNOTIFY_STORE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/destination.h"
#include "relay/store.h"

/* 4.6 MiB. Half of them are there for what is committed and on its way to the disk. */
#define JOURNAL_LOGINS 16384

struct login {
	uint64_t check; /* of the rest; a machine that went down may have written a part */
	uint64_t seconds;
	struct source address;
	char user[USER_NAME_MAX + 2]; /* zeros to its end */
};

/* A ring: login number n is at n % JOURNAL_LOGINS. */
struct journal_file {
	char magic[16];
	uint64_t synced; /* transactions of the database up to this are on the disk */
	uint64_t begin;  /* the first that those do not have */
	uint64_t end;    /* behind the last that is whole */
	struct login login[JOURNAL_LOGINS];
};

struct journal {
	struct journal_file *file;
	int fd;
	bool is_new; /* it knows nothing of the database that is there */
};

/* Opens or creates it. NULL, or what is wrong: constant or of strerror(3). */
const char *journal_open(struct journal *journal, int directory);
void journal_close(struct journal *journal);

/* False: it is full, or this is no user. */
bool journal_add(
	struct journal *journal, const char *user, const struct source *address, uint64_t seconds);

uint64_t journal_begin(const struct journal *journal);
uint64_t journal_end(const struct journal *journal);
bool journal_is_full(const struct journal *journal);

/* NULL: it was not written whole. */
const struct login *journal_at(const struct journal *journal, uint64_t number);

/* Transactions up to this are on the disk, and have the logins before `begin`. If it is less than
 * before, it has to be there itself before the next commit: `waits`. */
void journal_synced(struct journal *journal, uint64_t transaction, uint64_t begin, bool waits);

#endif
