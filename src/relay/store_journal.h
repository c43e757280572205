/* SPDX-License-Identifier: ISC */
/*
 * The store's journal: the logins since the database was last committed, in a mapped file. What was
 * added outlives the process, killed at whatever instruction: the kernel has it. Only one process
 * at a time has the journal open, and with it the database.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_STORE_JOURNAL_H
#define NMNOTIFY_STORE_JOURNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/destination.h"
#include "relay/store.h"

/* 2.3 MiB. As many fit between two commits of which each waits for the disk. */
#define JOURNAL_LOGINS 8192

#define BOOT_ID_SIZE   40

struct login {
	uint64_t check; /* of the rest; a machine that went down may have written a part */
	uint64_t seconds;
	struct source address;
	char user[USER_NAME_MAX + 2]; /* zeros to its end */
};

struct journal_file {
	char magic[16];
	char boot[BOOT_ID_SIZE]; /* while the machine ran since then, nothing is missing */
	_Atomic uint64_t synced; /* transactions of the database up to this are on the disk */
	_Atomic uint64_t count;  /* of the logins that are whole */
	struct login login[JOURNAL_LOGINS];
};

struct journal {
	struct journal_file *file;
	int fd;
	bool machine_ran; /* since the journal was last open */
};

/* Opens or creates it. NULL, or what is wrong: constant or of strerror(3). */
const char *journal_open(struct journal *journal, int directory);
void journal_close(struct journal *journal);

/* False: it is full, or this is no user. */
bool journal_add(
	struct journal *journal, const char *user, const struct source *address, uint64_t seconds);

uint32_t journal_count(const struct journal *journal);

/* NULL: it was not written whole. */
const struct login *journal_at(const struct journal *journal, uint32_t number);

/* The database has them all. */
void journal_empty(struct journal *journal);

/* Transactions up to this are on the disk. If it is less than before, it has to be there itself
 * before the next commit: `waits`. */
void journal_synced(struct journal *journal, uint64_t transaction, bool waits);

#endif
