/* SPDX-License-Identifier: ISC */
#include "lib/verdict.h"

static const char *const names[VERDICTS] = {
	[VERDICT_ACCEPTED] = "accepted",
	[VERDICT_DEFERRED] = "deferred",
	[VERDICT_COALESCED] = "coalesced",
	[VERDICT_DENIED] = "denied",
	[VERDICT_MALFORMED] = "malformed",
	[VERDICT_TIMEOUT] = "timeout",
	[VERDICT_ERROR] = "error",
};

const char *verdict_name(enum verdict verdict)
{
	return names[verdict];
}
