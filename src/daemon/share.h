/* SPDX-License-Identifier: ISC */
/*
 * What the two processes of nmnotifyd say to each other. The network process touches what comes
 * from outside and may do nothing but decide; the runner has the privileges and never sees a
 * byte of the network. Between them are requests of one size, and memory for counters. The network
 * process is the same program, executed anew: it shares no other memory with the runner, no stack
 * canary and no layout, and it knows what it is told.
 */
#ifndef NMNOTIFY_SHARE_H
#define NMNOTIFY_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "run/decision.h"
#include "lib/service.h"
#include "state/state.h"
#include "lib/users.h"
#include "lib/verdict.h"

/*
 * The network process's descriptors, by number: 0 to 2 lead nowhere, then the socket pair, the only
 * one that its filter lets it send to and does not let it close (network.policy), the board, the
 * counters of sources without account, the listening sockets, and for each account its state and
 * its turn file.
 */
enum network_fd { RUNNER_FD = 3, BOARD_FD, DENIED_FD, LISTENERS_FD };

enum request_kind {
	REQUEST_READY, /* the network process serves */
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
	uint32_t verdict, reason, suppressed;   /* REQUEST_LOG; an enum line_reason */
	struct source source;
};

/* Checks a request as it came; false if it is none. Every field is in its range afterwards, and a
 * line's source is one that its account takes. */
bool request_check(struct request *request, const struct conf *conf);

/* What the network process has to know of an account. */
struct told_account {
	struct slice from, to; /* of told.prefixes */
	struct rate limit;
	struct span interval, read_timeout;
	bool bare_lf;
	bool is_shut;
};

/* All that it is told: no word of an action, its environment, a name or a path. */
struct told {
	pid_t runner;
	bool is_root;     /* the runner is */
	struct user user; /* then: whom it becomes */
	struct span alive_every;
	struct span idle;
	unsigned listeners_count, accounts_count, prefixes_count;
	struct listener listener[LISTENERS_MAX];
	struct told_account account[CONF_ACCOUNTS_MAX];
	struct prefix prefixes[CONF_PREFIXES_MAX];
};

/* Puts into `told` what the configuration says, and back into an empty one. */
void told_fill(struct told *told, const struct conf *conf);
void told_take(const struct told *told, struct conf *conf);

/* Memory that both processes and the runner's children have. Most of it is never touched. */
struct board {
	/* Per account: the number of the last REQUEST_TURN whose process looks for its turn. What
	 * comes now may be later than that look. */
	atomic_word looking[CONF_ACCOUNTS_MAX];
	/* Of the last one that is settled: its process has become the waiter, or found one. */
	atomic_word settled[CONF_ACCOUNTS_MAX];
	atomic_word children; /* of the runner: waiters and supervisors */
	struct told told;     /* written before there is a network process */
	/* Takes the place of an account's state that cannot be used: whole pages, whatever their
	 * size (mremap(2)). */
	_Alignas(sizeof(struct state)) struct state spare[CONF_ACCOUNTS_MAX];
};

/* The board that is in this file; NULL with errno set. */
struct board *board_map(int memory);

/* Has that request, or a later one, come as far as that? */
bool board_is_looking(const struct board *board, unsigned account, uint32_t number);
bool board_is_settled(const struct board *board, unsigned account, uint32_t number);

/* That request, and all before it, have come as far as that. */
void board_look(struct board *board, unsigned account, uint32_t number);
void board_settle(struct board *board, unsigned account, uint32_t number);

/* An account's state as both processes keep it open. */
struct desk {
	const struct account *account;
	struct user user; /* the runner's alone, as is the directory */
	struct state *state;
	struct turn turn; /* its lock file is only probed: a lock is a process's own business */
	int directory;
	struct state *spare;   /* memory to take its state's place if that cannot be used; root's */
	volatile bool is_shut; /* that has happened: it takes nothing */
};

struct desks {
	unsigned count;
	bool is_root; /* the accounts' users may be several */
	struct desk desk[CONF_ACCOUNTS_MAX];
	struct state *denied; /* counters of sources without account; NULL if it could not be had */
};

/*
 * For the handler of SIGBUS: an account's user has cut its state at `address`. If the others have
 * other users, that is no reason to leave them without service: memory takes its place, and the
 * account takes nothing until we are started again. False: there is no such account, or no other.
 */
bool desks_shut_at(struct desks *desks, const void *address);

#endif
