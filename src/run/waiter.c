/* SPDX-License-Identifier: ISC */
#include "run/waiter.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/signals.h"
#include "lib/text.h"
#include "run/action.h"
#include "run/executable.h"
#include "run/reach.h"

#define REASON_MAX 1024

/* Can the error be the program's fault? Not if there was no room for a process, or it was killed
 * before execve(2): the reason is not what may be wrong with the program, too. */
static bool is_about_program(int error)
{
	static const unsigned char others[] = { EAGAIN, ENOMEM, EMFILE, ENFILE, ECANCELED };

	return memchr(others, error, sizeof(others)) == NULL;
}

static int status_of_error(int error)
{
	return error == ENOENT || error == ENOTDIR ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

/* Why a program could not be executed: one errno has many reasons. */
static void explain(const struct job *job, const char *path, int error, struct text *text)
{
	if (reach_is_lacking(job->account, text))
		return;
	text->length = 0;
	if (is_about_program(error) && executable_explain(path, text) == EXECUTABLE_WRONG)
		return;
	text->length = 0;
	text_add(text, "%s: %s", path, strerror(error));
}

/* ---- The program for failures ---- */

/* In the same way as an action, but it is no run: what becomes of it is only said. */
static void failure_run(struct job *job, struct action *action)
{
	const struct command *command = &job->account->failure.command;
	struct log *log = job->tally->log;
	char reason[REASON_MAX];
	struct text text = TEXT_IN(reason);

	if (!action_prepare(action, job, command) || !action_execute(action)) {
		explain(job, command->words[0], action->error != 0 ? action->error : errno, &text);
	} else {
		action_supervise(action);
		if (action->reason == NULL && action->status == 0)
			return;
		text_add(&text, "%s: status %d%s%s", command->words[0],
			action_exit_status(action->status),
			action->reason != NULL ? ", ended by " : "",
			action->reason != NULL ? action->reason : "");
	}
	log_failed(log, "failure", "account", log->account, reason);
}

/* ---- The end of a run ---- */

/* The first and the last of a row of failures, not each. `before`: how many there had been. */
static void failures_tell(
	struct job *job, struct action *action, int status, uint32_t failures, uint32_t before)
{
	const struct failure *failure = &job->account->failure;
	if (failures == 0 && before >= failure->count)
		log_run_recovered(job->tally->log, before);
	if (failures != failure->count)
		return;
	log_run_failing(job->tally->log, status, failures);
	if (failure->command.words == NULL || action->is_asked_to_end)
		return;
	job->failures = failures;
	job->status = status;
	failure_run(job, action);
	job->failures = 0;
}

static int not_executed(struct job *job, struct action *action, int error)
{
	uint32_t failures;
	char reason[REASON_MAX];
	struct text text = TEXT_IN(reason);
	int status = status_of_error(error);

	failures = turn_note_end(&job->turn, STATUS_EXITED(status), true);
	turn_ended(&job->turn);
	job->is_owed_again = job->account->retry.ms != 0;
	explain(job, job->account->action.words[0], error, &text);
	log_run_failed(job->tally->log, status, reason);
	failures_tell(job, action, status, failures, 0);
	return status;
}

/* One that we had to end has failed, whatever it says. */
static bool has_failed(const struct action *action)
{
	return action->reason != NULL || !WIFEXITED(action->status) ||
	       !statuses_hold(&action->job->account->success, WEXITSTATUS(action->status));
}

static int ended(struct job *job, struct action *action)
{
	uint32_t before = atomic_load(&job->turn.state->failures), failures;
	struct run_end end = {
		.status = action_exit_status(action->status),
		.has_failed = has_failed(action),
		.took = deadline_age(action->begun),
		.reason = action->reason,
	};

	failures = turn_note_end(&job->turn, action->status, end.has_failed);
	turn_ended(&job->turn);
	/* If a signal has ended the run, it is meant for this process, too: the debt stays. */
	job->is_owed_again =
		end.has_failed && job->account->retry.ms != 0 && !action->is_asked_to_end;
	if (job->is_owed_again)
		end.retry = turn_retry_span(&job->turn, failures);
	end.has_left = action_has_left(action);
	log_run_ended(job->tally->log, &end);
	failures_tell(job, action, end.status, failures, before);
	return end.has_failed ? end.status : 0;
}

static int start(struct job *job)
{
	/* tests/model/turn.pml: start to ended. */
	static struct action action; /* too large for a stack of one page */
	bool is_ready = action_prepare(&action, job, &job->account->action);
	int error = errno;

	/* Else it is a start that could not be executed, too: `due` is over. */
	turn_start(&job->turn);
	if (!is_ready)
		return not_executed(job, &action, error);
	if (!action_execute(&action))
		return not_executed(job, &action, action.error);
	decision_executed(&job->decision);
	action_supervise(&action);
	return ended(job, &action);
}

int waiter_run(struct job *job)
{
	if (signals_reset() && decision_wait(&job->decision))
		return start(job);
	tally_error(job->tally, "waiting for the turn: %s", strerror(errno));
	return STATUS_REFUSED;
}

bool waiter_retries(struct job *job)
{
	if (!job->is_owed_again)
		return false;
	job->is_owed_again = false;
	if (signals_reset() && decision_retry(&job->decision))
		return job->decision.is_waiter;
	tally_error(job->tally, "waiting for a retry: %s", strerror(errno));
	return false;
}
