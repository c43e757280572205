/* SPDX-License-Identifier: ISC */
/*
 * The accounts as nmnotifyd serves them: each one's state, as the runner and the network process
 * keep it open. Either process has a struct of its own.
 *
 * In the runner: as who started it, and as the account's user while it opens what is his. In the
 * network process only accounts_shut_at().
 */
#ifndef NMNOTIFY_ACCOUNTS_H
#define NMNOTIFY_ACCOUNTS_H

#include <stdbool.h>

#include "conf/conf.h"
#include "lib/users.h"
#include "run/program.h"
#include "state/state.h"
#include "state/turn.h"

struct served_account {
	const struct account *account;
	struct state *state;
	struct turn turn;    /* its lock file is only probed: a lock is a process's own business */
	struct state *spare; /* memory to take its state's place if that cannot be used; root's */
	volatile bool is_shut; /* that has happened: it takes no connection */

	/* The runner's alone. */
	struct user user;
	int directory;
	int limits; /* the state file, until the network process has it */
	int asking; /* likewise: a turn file with the lock `asking` */
};

struct served_accounts {
	unsigned count;
	bool is_root; /* the accounts' users may be several */
	struct served_account served[CONF_ACCOUNTS_MAX];
	struct state *denied; /* counters of sources without account; NULL if it could not be had */
};

/*
 * Opens the state of an account; `spare` is its memory. False: it cannot be used, the log has been
 * told, and the account is shut. If the runner is not root, so that all accounts are one user's,
 * that ends the process instead.
 */
bool served_account_open(struct served_account *served, struct program *program,
	const struct account *account, struct state *spare);

/* Closes what only the network process needs, once that has it. */
void served_account_hand_over(struct served_account *served);

void served_account_close(struct served_account *served);

/*
 * For the handler of SIGBUS: an account's user has cut its state at `address`. Other users'
 * accounts are served on: memory takes the place of that state, and its account is shut until we
 * are started again. False: the address is in no account's state, or there are no other users.
 */
bool accounts_shut_at(struct served_accounts *accounts, const void *address);

#endif
