/* SPDX-License-Identifier: ISC */
/*
 * In the network process: as nmnotify or nobody if the runner is root, else as the runner; under
 * network.policy.
 */
#include "daemon/requester.h"

#include <errno.h>
#include <sys/socket.h>

#include "daemon/handover.h"
#include "lib/fd.h"
#include "state/tally.h"

void requester_prepare(struct requester *requester, const struct served_accounts *accounts,
	const struct progress *progress)
{
	requester->accounts = accounts;
	requester->progress = progress;
	for (unsigned i = 0; i < accounts->count; i++)
		requester->turn_request[i].request.number = atomic_load(&progress->settled[i]);
}

/* True if it was sent, or never can be. */
static bool request_send(struct requester *requester, const struct request *request)
{
	if (send(RUNNER_FD, request, sizeof(*request), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	if (fd_would_wait(errno))
		return false;
	requester->is_runner_gone = true;
	return true;
}

/* ---- Turns ---- */

bool turn_request_is_open(const struct requester *requester, unsigned account)
{
	const struct request *request = &requester->turn_request[account].request;

	return !progress_is_settled(requester->progress, account, request->number);
}

bool turn_request_covers(const struct requester *requester, unsigned account, struct moment allowed)
{
	const struct request *request = &requester->turn_request[account].request;
	const struct state *state = requester->accounts->served[account].state;

	return request->has_line && !moment_later(moment_of_word(request->allowed), allowed) &&
	       request->noted == atomic_load(&state->starts) &&
	       !progress_is_looking(requester->progress, account, request->number);
}

void turn_request_send(struct requester *requester, unsigned account,
	const struct decision *decision, const struct source *source)
{
	/* tests/model/progress.pml: turn_request_send(). */
	struct turn_request *last = &requester->turn_request[account];
	struct moment allowed = decision->allowed;

	/* The process of the last one may still die, so keep the earlier time; unless a start has
	 * happened since: that time was served, and would start this line too early. */
	if (decision->has_line && last->request.has_line &&
		turn_request_is_open(requester, account) &&
		last->request.noted == decision->turn->noted)
		allowed = moment_earliest(allowed, moment_of_word(last->request.allowed));
	last->request = (struct request){
		.kind = REQUEST_TURN,
		.account = account,
		.number = last->request.number + 1,
		.has_line = decision->has_line,
		.allowed = moment_to_word(allowed),
		.is_charged = decision->is_charged,
		.noted = decision->turn->noted,
		.source = *source,
	};
	/* Before anybody can know of it: from here on it outlives us both. */
	if (decision->has_line)
		turn_ask(decision->turn, last->request.number, allowed);
	last->is_unsent = !request_send(requester, &last->request);
}

void turn_requests_resend(struct requester *requester)
{
	/* tests/model/progress.pml: turn_requests_resend(). */
	for (unsigned i = 0; i < requester->accounts->count; i++) {
		struct turn_request *last = &requester->turn_request[i];

		if (last->is_unsent)
			last->is_unsent = !request_send(requester, &last->request);
	}
}

bool turn_requests_are_sent(const struct requester *requester)
{
	for (unsigned i = 0; i < requester->accounts->count; i++)
		if (requester->turn_request[i].is_unsent)
			return false;
	return true;
}

bool turn_requests_are_settled(const struct requester *requester)
{
	for (unsigned i = 0; i < requester->accounts->count; i++)
		if (turn_request_is_open(requester, i))
			return false;
	return true;
}

/* ---- What else is said ---- */

void tell_verdict(struct requester *requester, struct state *state, unsigned account,
	enum verdict verdict, enum line_reason reason, const struct source *source)
{
	struct request request = { .kind = REQUEST_LOG,
		.account = account,
		.verdict = verdict,
		.reason = reason,
		.source = *source };

	if (state == NULL || !tally_admit(state, verdict, &request.suppressed))
		return;
	/* No room: the line is lost, but not its count. */
	if (!request_send(requester, &request))
		atomic_fetch_add_explicit(
			&state->suppressed[verdict], request.suppressed + 1, memory_order_relaxed);
}

/* The pair is empty at the beginning: there is room. */
void tell_ready(struct requester *requester)
{
	const struct request request = { .kind = REQUEST_READY };

	(void)request_send(requester, &request);
}

void tell_alive(struct requester *requester)
{
	const struct request request = { .kind = REQUEST_ALIVE };

	(void)request_send(requester, &request); /* no room: it is told next time */
}

bool runner_says_that_another_serves(struct requester *requester)
{
	char byte;
	ssize_t got = recv(RUNNER_FD, &byte, sizeof(byte), MSG_DONTWAIT);

	requester->is_runner_gone |= got == 0 || (got < 0 && !fd_would_wait(errno));
	return got > 0;
}
