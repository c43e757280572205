/* SPDX-License-Identifier: ISC */
/* The runner's check runs as who started it, with no filter but the unit's. */
#include "daemon/request.h"

#include "lib/line.h"
#include "lib/verdict.h"

/* What the network process may say of a connection: accepted and deferred are not its to say. */
static bool is_its_verdict(const struct request *request)
{
	switch (request->verdict) {
	case VERDICT_DENIED: return request->account == ACCOUNT_NONE;
	case VERDICT_COALESCED:
	case VERDICT_MALFORMED:
	case VERDICT_TIMEOUT:
	case VERDICT_ERROR: return request->account != ACCOUNT_NONE;
	default: return false;
	}
}

bool request_check(struct request *request, const struct conf *conf)
{
	bool account = request->account < conf->accounts_count;

	if (request->source.kind > SOURCE_IPV6)
		return false;
	switch (request->kind) {
	case REQUEST_READY:
	case REQUEST_ALIVE: return true;
	case REQUEST_TURN:
		/* Whoever is not permitted cannot be who it was for. */
		return account &&
		       (!request->has_line || networks_hold(&conf->accounts[request->account].from,
						      &request->source));
	case REQUEST_LOG:
		return (account || request->account == ACCOUNT_NONE) && is_its_verdict(request) &&
		       request->reason < LINE_REASONS;
	default: return false;
	}
}
