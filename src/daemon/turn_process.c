/* SPDX-License-Identifier: ISC */
/*
 * In the runner, as who started it, with no filter but the unit's; and from the fork to the verdict
 * in its child, which becomes the account's user, under the account's policy.
 */
#include "daemon/turn_process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "policy/confine.h"
#include "run/waiter.h"

/* How soon a turn that failed is tried again. */
static const struct span retry_span = { .ms = 1000 };

/* How often debts that are not yet due are looked at. */
static const struct span look_span = { .ms = 60000 };

/* ---- A child ---- */

static int waiter_refused(struct job *job, const char *what)
{
	tally_error(job->tally, "%s: %s", what, strerror(errno));
	return EX_OSERR;
}

/* As the handler does, once it has read a line. */
static int turn_main(struct generation *generation, const struct request *request)
{
	/* tests/model/progress.pml: turn_child. */
	const struct served_account *served = &generation->accounts.served[request->account];
	struct progress *progress = &generation->shared->progress;
	char text[SOURCE_TEXT_MAX];
	struct log log = generation_log(generation, request->account, &request->source, text);
	struct tally tally = { .log = &log, .state = served->state };
	struct job job = {
		.conf = &generation->program.conf,
		.account = served->account,
		.user = &served->user,
		.source_text = text,
		.state_path = generation->program.base_path,
		.tally = &tally,
	};
	struct state_error error;

	job_prepare(&job, served->state, &request->source);
	decision_resume(&job.decision, request->has_line != 0, moment_of_word(request->allowed),
		request->is_charged != 0, request->noted);
	tally.log->socket = 0;                     /* one of our own, not the runner's */
	program_guard_state(&generation->program); /* if our state is cut, only we end */
	if (generation->program.self == 0 && !privileges_become(&served->user))
		return waiter_refused(&job, "dropping privileges");
	if (!turn_open(&job.turn, served->directory, &error))
		return waiter_refused(&job, "opening the turn file");
	if (!confine(policy_find(served->account->confine)))
		return waiter_refused(&job, "confine");
	progress_look(progress, request->account, request->number);
	if (!decision_join(&job.decision))
		return waiter_refused(&job, "the turn file");
	if (request->has_line)
		turn_answer(&job.turn, request->number);
	progress_settle(progress, request->account, request->number);
	if (request->has_line)
		tally_verdict(&tally, job.decision.verdict, NULL);
	return job.decision.is_waiter ? waiter_run(&job) : EX_OK;
}

/* ---- The runner ---- */

void turn_processes_tell(const struct runner *runner)
{
	/* Debts that are not yet due keep us here, too. */
	unsigned count = runner->processes_count + !deadline_is_never(runner->debts_at);

	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (runner->generation[i] != NULL)
			atomic_store(&runner->generation[i]->shared->progress.children, count);
}

static void signals_default(void)
{
	sigset_t none;

	(void)sigemptyset(&none); /* sigsetops(3): fails for no valid set */
	if (sigprocmask(SIG_SETMASK, &none, NULL) != 0)
		_exit(EX_OSERR);
}

/* Nobody could take that turn. What it was for stays owed, and is tried again: see
 * debts_pay(). */
static void turn_failed(
	struct runner *runner, struct generation *generation, const struct request *request)
{
	/* tests/model/progress.pml: turn_failed(). */
	struct progress *progress = &generation->shared->progress;
	const struct turn *turn = &generation->accounts.served[request->account].turn;

	runner->debts_at = deadline_in(retry_span);
	/* From here on the debt covers, not this request: if the account's user takes that away,
	 * the next line must ask anew. */
	progress_look(progress, request->account, request->number);
	if (request->has_line && !progress_is_settled(progress, request->account, request->number))
		turn_owe(turn, moment_of_word(request->allowed));
	if (request->has_line)
		turn_answer(turn, request->number);
	progress_settle(progress, request->account, request->number);
	turn_processes_tell(runner);
}

unsigned turn_processes_of(
	const struct runner *runner, const struct generation *generation, unsigned account)
{
	unsigned count = 0;

	for (unsigned i = 0; i < runner->processes_count; i++)
		count += runner->process[i].generation == generation &&
			 (account == ACCOUNT_NONE || runner->process[i].request.account == account);
	return count;
}

static bool has_place(
	const struct runner *runner, const struct generation *generation, unsigned account)
{
	return runner->processes_count < TURN_PROCESSES_MAX &&
	       turn_processes_of(runner, generation, account) < TURN_PROCESSES_EACH;
}

/* What a child must not keep open. */
static void descriptors_leave(const struct runner *runner)
{
	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (runner->generation[i] != NULL)
			(void)close(runner->generation[i]->requests);
	(void)close(runner->signals);
	(void)close(runner->launch->image);
	for (unsigned i = 0; i < runner->launch->listeners_count; i++)
		(void)close(runner->launch->listener[i].fd);
}

void turn_process_start(
	struct runner *runner, struct generation *generation, const struct request *request)
{
	/* tests/model/progress.pml: turn_process_start(), and what runner does when it fails.
	 */
	pid_t pid = -1;

	if (generation->accounts.served[request->account].is_shut) {
		progress_look(&generation->shared->progress, request->account, request->number);
		progress_settle(&generation->shared->progress, request->account, request->number);
		return;
	}
	if (has_place(runner, generation, request->account))
		pid = fork();
	if (pid == 0) {
		signals_default();
		descriptors_leave(runner);
		_exit(turn_main(generation, request));
	}
	if (pid < 0) {
		if (!runner->is_full_told) /* once, until there is room again */
			tally_error(runner_tally(runner), "cannot start a process for a turn");
		runner->is_full_told = true;
		turn_failed(runner, generation, request);
		return;
	}
	runner->is_full_told = false;
	runner->process[runner->processes_count++] =
		(struct turn_process){ .pid = pid, .generation = generation, .request = *request };
	turn_processes_tell(runner);
}

/* Not later than in a minute: deadlines stand still while the machine sleeps. */
static void debts_look_in(struct runner *runner, struct span span)
{
	struct span in = { .ms = span.ms < look_span.ms ? span.ms + 1 : look_span.ms };

	runner->debts_at = deadline_earlier(runner->debts_at, deadline_in(in));
}

/* A debt of a dead process is paid at once. */
static void debt_pay(struct runner *runner, unsigned account)
{
	/* tests/model/progress.pml: debt_pay(). */
	struct generation *generation = runner->current;
	const struct turn *turn = &generation->accounts.served[account].turn;
	const struct request debt = { .kind = REQUEST_TURN,
		.account = account,
		.number = atomic_load(&generation->shared->progress.settled[account]),
		.source = { .kind = SOURCE_LOCAL } };

	if (!turn_has_debt(turn))
		return;
	/* A run that has failed: no process sleeps for it, which would have this configuration. */
	if (turn->retry.ms != 0 && turn_debt_rest(turn).ms != 0)
		debts_look_in(runner, turn_debt_rest(turn));
	else
		turn_process_start(runner, generation, &debt);
}

void debts_pay(struct runner *runner)
{
	/* tests/model/progress.pml: runner, paying. */
	runner->debts_at = DEADLINE_NEVER;
	for (unsigned i = 0; i < runner->current->accounts.count; i++)
		debt_pay(runner, i);
	turn_processes_tell(runner);
}

void turn_process_ended(struct runner *runner, pid_t pid, int status)
{
	/* tests/model/progress.pml: turn_process_ended(). */
	const struct request *request;
	struct generation *generation;
	struct turn_process process;
	const struct turn *turn;
	unsigned i = 0;
	bool is_settled;

	while (i < runner->processes_count && runner->process[i].pid != pid)
		i++;
	if (i == runner->processes_count) {
		/* A killed child's action, the last to let go of its `running`; or what an action
		 * left behind. */
		if (!runner_is_stopping(runner))
			debts_pay(runner);
		return;
	}
	process = runner->process[i];
	runner->process[i] = runner->process[--runner->processes_count];
	generation = process.generation;
	turn = &generation->accounts.served[process.request.account].turn;
	turn_processes_tell(runner);
	if (runner_is_stopping(runner))
		return; /* what is owed stays owed, for the next start of the service */
	request = &process.request;
	is_settled = progress_is_settled(
		&generation->shared->progress, request->account, request->number);
	/* One that fails or crashes would do so again at once. (An action may end with this status,
	 * too; then nothing is owed.) */
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		if (WIFSIGNALED(status) || !is_settled || WEXITSTATUS(status) == EX_OSERR)
			turn_failed(runner, generation, request);
		else if (turn->retry.ms != 0)
			debts_pay(runner); /* its run may have failed */
	} else if (is_settled) {
		debts_pay(runner);
	} else {
		turn_process_start(runner, generation, request);
	}
}
