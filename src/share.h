/* SPDX-License-Identifier: ISC */
/*
 * What the two processes of nmnotifyd say to each other. The network process touches what comes
 * from outside and may do nothing but decide; the runner has the privileges and never sees a
 * byte of the network. Between them are requests of one size, and a page of counters.
 */
#ifndef NMNOTIFY_SHARE_H
#define NMNOTIFY_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "decision.h"
#include "state.h"
#include "users.h"
#include "verdict.h"

/* The network process's end of the socket pair: the only descriptor that its filter lets it send
 * to (network.policy). */
#define RUNNER_FD 3

enum request_kind {
	REQUEST_TURN,  /* a process must take its turn: for a line, or for a dead process's debt */
	REQUEST_LOG,   /* write a line; it was counted and admitted already */
	REQUEST_ALIVE, /* the network process goes round its loop */
	REQUEST_KINDS
};

#define ACCOUNT_NONE UINT32_MAX

/* Any bytes of this size are safe for the runner, which trusts none of them. */
struct request {
	uint32_t kind;
	uint32_t account;                       /* index, or ACCOUNT_NONE */
	uint32_t number;                        /* REQUEST_TURN: see struct board */
	uint32_t has_line, allowed, is_charged; /* REQUEST_TURN: as in struct decision */
	uint32_t noted;                         /* REQUEST_TURN: as in struct turn */
	uint32_t verdict, suppressed;           /* REQUEST_LOG */
	struct source source;
};

/* Checks a request as it came; false if it is none. Every field is in its range afterwards. */
bool request_check(struct request *request, unsigned accounts);

/* Memory that both processes and the runner's children have. */
struct board {
	/* Per account: the number of the last REQUEST_TURN whose process looks for its turn. What
	 * comes now may be later than that look. */
	atomic_word looking[CONF_ACCOUNTS_MAX];
	/* Of the last one that is settled: its process has become the waiter, or found one. */
	atomic_word settled[CONF_ACCOUNTS_MAX];
	atomic_word children; /* of the runner: waiters and supervisors */
};

/* Has that request, or a later one, come as far as that? */
bool board_is_looking(const struct board *board, unsigned account, uint32_t number);
bool board_is_settled(const struct board *board, unsigned account, uint32_t number);

/* That request, and all before it, have come as far as that. */
void board_look(struct board *board, unsigned account, uint32_t number);
void board_settle(struct board *board, unsigned account, uint32_t number);

/* An account's state as both processes keep it open. */
struct desk {
	const struct account *account;
	struct user user;
	struct state *state;
	struct turn turn; /* its lock file is only probed: a lock is a process's own business */
	int directory;
	struct state *spare;   /* memory to take its state's place if that cannot be used; root's */
	volatile bool is_shut; /* that has happened: it takes nothing */
};

struct desks {
	unsigned count;
	struct desk desk[CONF_ACCOUNTS_MAX];
	struct state *denied; /* counters of sources without account; NULL if it could not be had */
};

#endif
