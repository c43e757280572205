/* SPDX-License-Identifier: ISC */
#include "run/job.h"

void job_prepare(struct job *job, struct state *state, const struct source *source)
{
	job->turn = decision_turn(job->account, state);
	job->decision = (struct decision){
		.account = job->account,
		.turn = &job->turn,
		.cells = limiter_locate(state, source),
		.verdict = VERDICT_COALESCED,
	};
}
