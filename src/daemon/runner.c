/* SPDX-License-Identifier: ISC */
/* In the runner: as who started it, with no filter but the unit's. */
#include "daemon/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/turn_process.h"
#include "lib/service.h"
#include "lib/text.h"
#include "run/action.h"

/* How often systemctl status is brought up to date while things happen. */
static const struct span status_every = { .ms = 1000 };

/* The longest sleep: counters are shared with others, who do not say so. */
static const struct span sleep_span = { .ms = 60000 };

/* The longest sleep while we are stopping: there are deadlines then. */
static const struct span stop_look = { .ms = 100 };

/* Longer than a supervisor takes to end its action when it is asked to. */
static const struct span stop_most = { .ms = 8000 };

/* How long a network process has to end by itself. It does so at once, unless it was taken over. */
static const struct span network_stop_most = { .ms = 1000 };

/* Requests of one network process before the others, and signals, are looked at again. */
#define REQUESTS_MOST 256

/* The service manager hears of REQUEST_ALIVE at most so many times as often as an honest network
 * process sends it. */
#define ALIVE_SHARE 2

/* ---- Requests ---- */

static void log_request(struct generation *generation, const struct request *request)
{
	unsigned account = request->account == ACCOUNT_NONE ? CONF_ACCOUNTS_MAX : request->account;
	char text[SOURCE_TEXT_MAX];
	struct log log = generation_log(generation, request->account, &request->source, text);

	/* Admitted already, and by the same limit: whoever has more to say was taken over. */
	if (!tally_take(&generation->log_tat[account][request->verdict]))
		return;
	log_verdict(&log, (enum verdict)request->verdict,
		line_reason_name((enum line_reason)request->reason), request->suppressed);
	generation->program.log.socket = log.socket;
}

static void alive(struct runner *runner, struct generation *generation)
{
	struct span every = runner->launch->alive_every;

	if (generation != runner->current || every.ms == 0 ||
		!deadline_has_passed(generation->alive_at))
		return;
	generation->alive_at = deadline_in((struct span){ .ms = every.ms / ALIVE_SHARE });
	service_alive();
}

/* The sockets are the next one's now. The one before ends when it has done what it has. */
static void take_over(struct runner *runner)
{
	struct generation *before = runner->current;

	runner->current = runner->next;
	runner->next = NULL;
	runner->current->program.serving_since = before->program.serving_since;
	runner->is_reload_refused = false;
	if (!before->is_ended && send(before->requests, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
		(void)shutdown(before->requests, SHUT_RDWR);
	service_ready();
	debts_pay(runner);
}

static void ready(struct runner *runner, struct generation *generation)
{
	if (generation->is_ready)
		return;
	generation->is_ready = true;
	if (generation == runner->next)
		take_over(runner);
	else if (generation == runner->current)
		service_ready();
}

static void request_handle(
	struct runner *runner, struct generation *generation, struct request *request)
{
	if (!request_check(request, &generation->program.conf)) {
		/* Once: a process that somebody has taken over would not stop at that. */
		if (!generation->is_rubbish_told)
			tally_error(runner_tally(runner), "the network process sent rubbish");
		generation->is_rubbish_told = true;
		return;
	}
	switch ((enum request_kind)request->kind) {
	case REQUEST_READY: ready(runner, generation); break;
	case REQUEST_TURN: turn_process_start(runner, generation, request); break;
	case REQUEST_LOG: log_request(generation, request); break;
	default: alive(runner, generation); break;
	}
}

/* Takes what there is, within bounds. Each datagram of the pair is one request. Whoever closes his
 * end without ending has been taken over. */
static void requests_take(struct runner *runner, struct generation *generation, unsigned most)
{
	struct request request;
	ssize_t got = 1;

	while (most-- > 0 && (got = recv(generation->requests, &request, sizeof(request),
				      MSG_DONTWAIT | MSG_TRUNC)) > 0)
		if (got == (ssize_t)sizeof(request))
			request_handle(runner, generation, &request);
	if (got == 0 && !generation->is_ended && !runner_is_stopping(runner))
		(void)kill(generation->network_pid, SIGKILL); /* not waited for: it is there */
}

/* ---- The configuration anew ---- */

static unsigned generation_place(const struct runner *runner, const struct generation *generation)
{
	unsigned i = 0;

	while (i < GENERATIONS_MAX && runner->generation[i] != generation)
		i++;
	return i;
}

/* Reloads have come too fast: one generation that is still ending is ended now. */
static void make_place(const struct runner *runner)
{
	for (unsigned i = 0; i < GENERATIONS_MAX; i++) {
		struct generation *generation = runner->generation[i];

		if (generation != runner->current && generation != runner->next &&
			!generation->is_ended) {
			(void)shutdown(generation->requests, SHUT_RDWR);
			return;
		}
	}
}

/* One thing at a time. */
static void reload_begin(struct runner *runner)
{
	if (!runner->is_reload_wanted || runner_is_stopping(runner) || runner->trial != 0 ||
		runner->next != NULL || !runner->current->is_ready)
		return;
	if (generation_place(runner, NULL) == GENERATIONS_MAX) {
		make_place(runner);
		return;
	}
	runner->is_reload_wanted = false;
	runner->trial = generation_try(runner->launch);
	if (runner->trial > 0)
		return;
	runner->trial = 0;
	tally_error(runner_tally(runner), "reading the configuration again: %s", strerror(errno));
	runner->is_reload_refused = true;
	service_ready();
}

static void reload_refused(struct runner *runner)
{
	runner->is_reload_refused = true;
	runner->status_at = deadline_now(); /* at once */
	tally_error(
		runner_tally(runner), "the configuration was not read again: the one before stays");
	service_ready();
}

/* If the configuration was found good, it is read again, by the runner. */
static void trial_ended(struct runner *runner, int status)
{
	struct generation *generation;

	runner->trial = 0;
	if (runner_is_stopping(runner))
		return;
	generation = status == 0 ? generation_new(runner->launch) : NULL;
	if (generation == NULL) {
		reload_refused(runner);
		return;
	}
	program_configure(&generation->program, runner->launch->argc, runner->launch->argv);
	generation_open(generation);
	generation_serve(generation, runner->launch);
	runner->generation[generation_place(runner, NULL)] = generation;
	runner->next = generation;
	turn_processes_tell(runner);
}

/* ---- Ends ---- */

static void log_network_death(struct runner *runner, const struct generation *generation)
{
	if (WIFEXITED(generation->status) && WEXITSTATUS(generation->status) == EX_IOERR)
		tally_error(runner_tally(runner), "the state file was truncated");
	tally_error(runner_tally(runner), "the network process died, status %d",
		action_exit_status(generation->status));
}

static bool has_ended_well(const struct generation *generation)
{
	return WIFEXITED(generation->status) && WEXITSTATUS(generation->status) == EX_OK;
}

static void network_ended(struct runner *runner, struct generation *generation, int status)
{
	generation->is_ended = true;
	generation->status = status;
	requests_take(runner, generation, UINT32_MAX); /* what it has said before */
	if (generation == runner->current || runner_is_stopping(runner))
		return;
	if (!has_ended_well(generation))
		log_network_death(runner, generation);
	if (generation == runner->next) {
		runner->next = NULL;
		reload_refused(runner);
	}
	/* A line that it has taken, and of which it could not tell any more. */
	for (unsigned i = 0; i < generation->accounts.count; i++)
		turn_owe_asked(&generation->accounts.served[i].turn);
	debts_pay(runner);
}

/* Those that nothing is left of. */
static void generations_free(struct runner *runner)
{
	for (unsigned i = 0; i < GENERATIONS_MAX; i++) {
		struct generation *generation = runner->generation[i];

		if (generation == NULL || generation == runner->current ||
			generation == runner->next || !generation->is_ended ||
			turn_processes_of(runner, generation, ACCOUNT_NONE) != 0)
			continue;
		runner->generation[i] = NULL;
		generation_free(generation);
	}
}

static void ended(struct runner *runner, pid_t pid, int status)
{
	if (pid == runner->trial) {
		trial_ended(runner, status);
		return;
	}
	for (unsigned i = 0; i < GENERATIONS_MAX; i++) {
		if (runner->generation[i] != NULL && runner->generation[i]->network_pid == pid) {
			network_ended(runner, runner->generation[i], status);
			return;
		}
	}
	turn_process_ended(runner, pid, status);
}

static void stop(struct runner *runner)
{
	if (runner_is_stopping(runner))
		return;
	runner->stopped = deadline_now();
	service_stopping();
	/* The network processes see the end of the pair. What they have asked for is in the state.
	 */
	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (runner->generation[i] != NULL)
			(void)shutdown(runner->generation[i]->requests, SHUT_RDWR);
	for (unsigned i = 0; i < runner->processes_count; i++)
		(void)kill(runner->process[i].pid, SIGTERM); /* not waited for: it is there */
	if (runner->trial != 0)
		(void)kill(runner->trial, SIGKILL); /* likewise */
}

static void signals_take(struct runner *runner)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(runner->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			stop(runner);
		if (info.ssi_signo == SIGHUP && !runner_is_stopping(runner)) {
			service_reloading();
			runner->is_reload_wanted = true;
		}
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		ended(runner, pid, status);
}

/* ---- Status ---- */

static uint32_t counter(const struct served_accounts *accounts, enum verdict verdict)
{
	uint32_t sum =
		accounts->denied == NULL ? 0 : atomic_load(&accounts->denied->verdicts[verdict]);

	for (unsigned i = 0; i < accounts->count; i++)
		sum += atomic_load(&accounts->served[i].state->verdicts[verdict]);
	return sum;
}

static void status_tell(struct runner *runner)
{
	char bytes[512];
	struct text text = TEXT_IN(bytes);

	if (!deadline_has_passed(runner->status_at))
		return;
	runner->status_at = deadline_in(status_every);
	if (runner->is_reload_refused)
		text_add(&text, "the configuration was not read again, see the log; ");
	for (unsigned verdict = 0; verdict < VERDICTS; verdict++)
		text_add(&text, "%s %u, ", verdict_name((enum verdict)verdict),
			counter(&runner->current->accounts, (enum verdict)verdict));
	text_add(&text, "waiting or running %u", runner->processes_count);
	service_status(bytes);
}

/* ---- The loop ---- */

static bool are_all_ended(const struct runner *runner)
{
	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (runner->generation[i] != NULL && !runner->generation[i]->is_ended)
			return false;
	return true;
}

static bool is_stopping_for(const struct runner *runner, struct span span)
{
	return runner_is_stopping(runner) &&
	       deadline_has_passed(deadline_add(runner->stopped, span));
}

static bool is_done(const struct runner *runner)
{
	if (runner_is_stopping(runner))
		return (are_all_ended(runner) && runner->processes_count == 0) ||
		       is_stopping_for(runner, stop_most);
	if (!runner->current->is_ended)
		return false;
	/* Idle; then the next one serves, or nobody has anything left to do. Dead: the end. */
	return !has_ended_well(runner->current) || (runner->next == NULL && are_all_ended(runner));
}

/* Milliseconds. */
static int poll_most(const struct runner *runner)
{
	if (runner_is_stopping(runner))
		return (int)stop_look.ms;
	return (int)deadline_rest(deadline_earlier(deadline_in(sleep_span), runner->debts_at)).ms;
}

static void networks_kill(const struct runner *runner)
{
	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (runner->generation[i] != NULL && !runner->generation[i]->is_ended)
			(void)kill(runner->generation[i]->network_pid, SIGKILL); /* is there */
}

/* Waits for something to happen, and takes what the network processes have to say. */
static void round_of_events(struct runner *runner)
{
	struct pollfd pollfd[GENERATIONS_MAX + 1];

	for (unsigned i = 0; i < GENERATIONS_MAX; i++) {
		const struct generation *generation = runner->generation[i];
		bool speaks =
			generation != NULL && !generation->is_ended && !runner_is_stopping(runner);

		pollfd[i] = (struct pollfd){ .fd = speaks ? generation->requests : -1,
			.events = POLLIN };
	}
	pollfd[GENERATIONS_MAX] = (struct pollfd){ .fd = runner->signals, .events = POLLIN };
	if (poll(pollfd, GENERATIONS_MAX + 1, poll_most(runner)) <= 0)
		return;
	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (pollfd[i].fd >= 0 && pollfd[i].revents != 0)
			requests_take(runner, runner->generation[i], REQUESTS_MOST);
	if (pollfd[GENERATIONS_MAX].revents != 0)
		signals_take(runner);
}

static int end(struct runner *runner)
{
	if (runner_is_stopping(runner) || has_ended_well(runner->current))
		return EX_OK;
	log_network_death(runner, runner->current);
	return EX_OSERR;
}

int runner_run(struct runner *runner)
{
	runner->generation[0] = runner->current;
	debts_pay(runner);
	while (!is_done(runner)) {
		round_of_events(runner);
		if (is_stopping_for(runner, network_stop_most))
			networks_kill(runner);
		if (!runner_is_stopping(runner) && deadline_has_passed(runner->debts_at))
			debts_pay(runner);
		generations_free(runner);
		reload_begin(runner);
		status_tell(runner);
	}
	networks_kill(runner); /* nobody is left to look after the others' */
	service_stopping();
	return end(runner);
}
