/* SPDX-License-Identifier: ISC */
/*
 * The network process's end of the pair: what it asks of the runner, and tells it (request.h). Of
 * each account the last turn request is kept until it is settled. Nothing here waits for the
 * runner.
 *
 * In the network process: as nmnotify or nobody if the runner is root, else as the runner; under
 * network.policy.
 */
#ifndef NMNOTIFY_REQUESTER_H
#define NMNOTIFY_REQUESTER_H

#include <stdbool.h>

#include "daemon/accounts.h"
#include "daemon/progress.h"
#include "daemon/request.h"
#include "lib/line.h"
#include "lib/verdict.h"
#include "run/decision.h"

/* What the runner was last asked for an account. */
struct turn_request {
	struct request request;
	bool is_unsent; /* the pair had no room */
};

struct requester {
	const struct served_accounts *accounts;
	const struct progress *progress;
	struct turn_request turn_request[CONF_ACCOUNTS_MAX];
	bool is_runner_gone;
};

/* Numbers go on behind what is settled. */
void requester_prepare(struct requester *requester, const struct served_accounts *accounts,
	const struct progress *progress);

/* Is it not yet settled? */
bool turn_request_is_open(const struct requester *requester, unsigned account);

/*
 * Is a line that is allowed at `allowed` covered by the last turn request? It is if the process
 * that the runner starts for that has not yet looked for its turn, and no start has happened since
 * that request's line was noted (tests/model/progress.pml: network).
 */
bool turn_request_covers(
	const struct requester *requester, unsigned account, struct moment allowed);

/* Asks for a process that takes its turn: for the line of a decision, or for a debt. */
void turn_request_send(struct requester *requester, unsigned account,
	const struct decision *decision, const struct source *source);

/* Sends again what the pair had no room for. */
void turn_requests_resend(struct requester *requester);
bool turn_requests_are_sent(const struct requester *requester);

/* Is none open, of any account? */
bool turn_requests_are_settled(const struct requester *requester);

/* Counts a verdict in `state`, and has its line written if the log's limit admits it. */
void tell_verdict(struct requester *requester, struct state *state, unsigned account,
	enum verdict verdict, enum line_reason reason, const struct source *source);

void tell_ready(struct requester *requester);
void tell_alive(struct requester *requester);

/* The pair is ready to be read. True: another process serves the sockets now. */
bool runner_says_that_another_serves(struct requester *requester);

#endif
