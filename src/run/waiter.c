/* SPDX-License-Identifier: ISC */
#include "run/waiter.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/signals.h"
#include "lib/text.h"
#include "run/action.h"
#include "run/executable.h"

#define REASON_MAX 1024

/* Can the error be the program's fault? Not if there was no room for a process, or it was killed
 * before execve(2): the reason is not what may be wrong with the program, too. */
static bool is_about_program(int error)
{
	static const unsigned char others[] = { EAGAIN, ENOMEM, EMFILE, ENFILE, ECANCELED };

	return memchr(others, error, sizeof(others)) == NULL;
}

static int not_executed(struct job *job, int error)
{
	const char *path = job->account->action.words[0];
	char reason[REASON_MAX];
	struct text text = TEXT_IN(reason);
	int status = error == ENOENT || error == ENOTDIR ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;

	(void)turn_note_end(&job->turn, STATUS_EXITED(status), true);
	turn_ended(&job->turn);
	/* One errno has many reasons. */
	if (!is_about_program(error) || executable_explain(path, &text) != EXECUTABLE_WRONG) {
		text.length = 0;
		text_add(&text, "%s: %s", path, strerror(error));
	}
	log_run_failed(job->tally->log, status, reason);
	return status;
}

/* One that we had to end has failed, whatever it says. */
static bool has_failed(const struct action *action)
{
	return action->status != 0 || action->reason != NULL;
}

static int start(struct job *job)
{
	/* tests/model/turn.pml: start to ended. */
	static struct action action; /* zeros; too large for a stack of one page */
	struct span took;
	int status;

	if (!action_prepare(&action, job))
		return not_executed(job, errno);
	turn_start(&job->turn);
	if (!action_execute(&action))
		return not_executed(job, action.error);
	decision_executed(&job->decision);
	action_supervise(&action);
	(void)turn_note_end(&job->turn, action.status, has_failed(&action));
	turn_ended(&job->turn);
	took = deadline_age(action.begun);
	status = action_exit_status(action.status);
	log_run_ended(job->tally->log, status, took, action.reason, action_has_left(&action));
	return status;
}

int waiter_run(struct job *job)
{
	if (signals_reset() && decision_wait(&job->decision))
		return start(job);
	tally_error(job->tally, "waiting for the turn: %s", strerror(errno));
	return STATUS_REFUSED;
}
