/* SPDX-License-Identifier: ISC */
/*
 * A job: one line, or the debt of a dead process, and all that is needed to see to it. The handler
 * and nmnotifyd each make it in their own way; from there on they do the same with it.
 *
 * In the handler, and in a turn process of nmnotifyd.
 */
#ifndef NMNOTIFY_JOB_H
#define NMNOTIFY_JOB_H

#include "conf/conf.h"
#include "lib/source.h"
#include "lib/users.h"
#include "run/decision.h"
#include "state/tally.h"

struct job {
	const struct conf *conf; /* this and what follows are the caller's, and outlive the job */
	const struct account *account;
	const struct user *user;  /* whom the action runs as */
	const char *source_text;  /* NMNOTIFY_SOURCE */
	const char *state_path;   /* the base directory of all accounts' state */
	struct tally *tally;      /* where it is counted and said */
	struct turn turn;         /* its file is not yet open */
	struct decision decision; /* nothing has been decided yet */
	bool is_owed_again;       /* the run has failed, and it is for this process to retry it */
	/* For the program that is run then: how many runs in a row have failed, and how the last
	 * one ended. 0: none, or it is not about that. */
	uint32_t failures;
	int status;
};

/* Sets turn and decision of a job whose account is known. */
void job_prepare(struct job *job, struct state *state, const struct source *source);

#endif
