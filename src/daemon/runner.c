/* SPDX-License-Identifier: ISC */
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

#include "daemon/request.h"
#include "policy/confine.h"
#include "lib/service.h"
#include "lib/text.h"
#include "run/action.h"
#include "run/waiter.h"

/* An account has at most one waiter and one supervisor; the others are about to find that out. A
 * bound for each, since an action gone bad can stop its account's as they come. */
#define CHILDREN_EACH 32
#define CHILDREN_MAX  (CONF_ACCOUNTS_MAX * CHILDREN_EACH)

/* How often systemctl status is brought up to date while things happen. */
static const struct span status_every = { .ms = 1000 };

/* How soon a turn that failed is tried again. */
static const struct span retry_span = { .ms = 1000 };

/* Longer than a supervisor takes to end its action when it is asked to. */
static const struct span stop_most = { .ms = 8000 };

/* How long a network process has to end by itself. It does so at once, unless it was taken over. */
static const struct span network_stop_most = { .ms = 1000 };

/* Requests of one network process before the others, and signals, are looked at again. */
#define REQUESTS_MOST 256

/* Of how often a network process is to say that it is alive, as often is it believed. */
#define ALIVE_SHARE 2

struct child {
	pid_t pid;
	struct generation *generation;
	struct request request;
};

static struct {
	struct runner *runner;
	struct generation *generation[GENERATIONS_MAX]; /* all that there are */
	struct generation *current;                     /* the one that serves */
	struct generation *next;                        /* one that is about to, or NULL */
	struct child child[CHILDREN_MAX];
	unsigned children;
	struct deadline status_at; /* when the status is told next */
	struct deadline adopt_at;  /* when debts are looked for next */
	struct deadline stopped;   /* when we were asked to stop; 0: not yet */
	pid_t trial;               /* reads the configuration; 0: nobody does */
	bool is_full_told;
	bool is_reload_wanted;  /* asked for, and not yet begun */
	bool is_reload_refused; /* the last one was */
} room;

static bool is_stopping(void)
{
	return room.stopped.ms != 0;
}

static struct tally *runner_tally(void)
{
	return &room.current->program.tally;
}

/* ---- A child, as the account's user, under the policy that the account names ---- */

/* The log for one account and one source, whose text goes into `text`. */
static struct log log_of(const struct generation *generation, const struct request *request,
	char text[static SOURCE_TEXT_MAX])
{
	struct log log = generation->program.log;

	log.source = source_text(&request->source, text);
	log.account = NULL;
	if (request->account != ACCOUNT_NONE)
		log.account = generation->accounts.served[request->account].account->name;
	return log;
}

static int waiter_refused(struct job *job, const char *what)
{
	tally_error(job->tally, "%s: %s", what, strerror(errno));
	return EX_OSERR;
}

/* As the handler does, once it has read a line. */
static int waiter_main(struct generation *generation, const struct request *request)
{
	/* tests/model/progress.pml: turn_child. */
	const struct served_account *served = &generation->accounts.served[request->account];
	struct progress *progress = &generation->shared->progress;
	char text[SOURCE_TEXT_MAX];
	struct log log = log_of(generation, request, text);
	struct tally tally = { .log = &log, .state = served->state };
	struct job job = {
		.conf = &generation->program.conf,
		.account = served->account,
		.user = &served->user,
		.source_text = text,
		.tally = &tally,
	};
	struct state_error error;

	job_prepare(&job, served->state, &request->source);
	decision_resume(&job.decision, request->has_line != 0, moment_of_word(request->allowed),
		request->is_charged != 0, request->noted);
	tally.log->socket = 0;                     /* the runner's own stays the runner's */
	program_guard_state(&generation->program); /* our own state is another's no longer */
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

/* A network process does not end for idleness as long as anybody's child is there. */
static void children_count(void)
{
	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (room.generation[i] != NULL)
			atomic_store(&room.generation[i]->shared->progress.children, room.children);
}

static void signals_default(void)
{
	sigset_t none;

	(void)sigemptyset(&none); /* sigsetops(3): fails for no valid set */
	if (sigprocmask(SIG_SETMASK, &none, NULL) != 0)
		_exit(EX_OSERR);
}

/* Nobody could take that turn. What it was for stays owed, and is tried again: see
 * orphans_adopt(). */
static void turn_failed(struct generation *generation, const struct request *request)
{
	/* tests/model/progress.pml: turn_failed(). */
	struct progress *progress = &generation->shared->progress;
	const struct turn *turn = &generation->accounts.served[request->account].turn;

	room.adopt_at = deadline_in(retry_span);
	/* From here on the debt covers, not this request: if the account's user takes that away,
	 * the next line must ask anew. */
	progress_look(progress, request->account, request->number);
	if (request->has_line && !progress_is_settled(progress, request->account, request->number))
		turn_owe(turn, moment_of_word(request->allowed));
	if (request->has_line)
		turn_answer(turn, request->number);
	progress_settle(progress, request->account, request->number);
}

static bool has_room(const struct generation *generation, unsigned account)
{
	unsigned count = 0;

	for (unsigned i = 0; i < room.children; i++)
		count += room.child[i].generation == generation &&
			 room.child[i].request.account == account;
	return count < CHILDREN_EACH && room.children < CHILDREN_MAX;
}

/* What a child must not keep open. */
static void descriptors_leave(void)
{
	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (room.generation[i] != NULL)
			(void)close(room.generation[i]->requests);
	(void)close(room.runner->signals);
	(void)close(room.runner->launch->image);
	for (unsigned i = 0; i < room.runner->launch->listeners_count; i++)
		(void)close(room.runner->launch->listener[i].fd);
}

static void child_fork(struct generation *generation, const struct request *request)
{
	/* tests/model/progress.pml: child_fork(), and what runner does when it fails. */
	pid_t pid = -1;

	if (generation->accounts.served[request->account].is_shut) {
		progress_look(&generation->shared->progress, request->account, request->number);
		progress_settle(&generation->shared->progress, request->account, request->number);
		return;
	}
	if (has_room(generation, request->account))
		pid = fork();
	if (pid == 0) {
		signals_default();
		descriptors_leave();
		_exit(waiter_main(generation, request));
	}
	if (pid < 0) {
		if (!room.is_full_told) /* once, until there is room again */
			tally_error(runner_tally(), "cannot start a process for a turn");
		room.is_full_told = true;
		turn_failed(generation, request);
		return;
	}
	room.is_full_told = false;
	room.child[room.children++] =
		(struct child){ .pid = pid, .generation = generation, .request = *request };
	generation->children++;
	children_count();
}

/* A debt of a dead process is paid at once. */
static void orphan_adopt(unsigned account)
{
	/* tests/model/progress.pml: orphan_adopt(). */
	struct generation *generation = room.current;
	const struct request debt = { .kind = REQUEST_TURN,
		.account = account,
		.number = atomic_load(&generation->shared->progress.settled[account]),
		.source = { .kind = SOURCE_LOCAL } };

	if (turn_has_orphan(&generation->accounts.served[account].turn))
		child_fork(generation, &debt);
}

static void orphans_adopt(void)
{
	/* tests/model/progress.pml: runner, adoption. */
	room.adopt_at = DEADLINE_NEVER;
	for (unsigned i = 0; i < room.current->accounts.count; i++)
		orphan_adopt(i);
}

static void child_ended(pid_t pid, int status)
{
	/* tests/model/progress.pml: child_ended(). */
	const struct request *request;
	struct generation *generation;
	struct child child;
	unsigned i = 0;
	bool is_settled;

	while (i < room.children && room.child[i].pid != pid)
		i++;
	if (i == room.children) {
		/* A killed child's action, the last to let go of its `running`; or what an action
		 * left behind. */
		if (!is_stopping())
			orphans_adopt();
		return;
	}
	child = room.child[i];
	room.child[i] = room.child[--room.children];
	generation = child.generation;
	generation->children--;
	children_count();
	if (is_stopping())
		return; /* what is owed stays owed, for the next start of the service */
	request = &child.request;
	is_settled = progress_is_settled(
		&generation->shared->progress, request->account, request->number);
	/* One that fails or crashes would do so again at once. (An action may end with this status,
	 * too; then nothing is owed.) */
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		if (WIFSIGNALED(status) || !is_settled || WEXITSTATUS(status) == EX_OSERR)
			turn_failed(generation, request);
	} else if (is_settled) {
		orphans_adopt();
	} else {
		child_fork(generation, request);
	}
}

static void stop(void)
{
	if (is_stopping())
		return;
	room.stopped = deadline_now();
	service_stopping();
	/* The network processes see the end of the pair. What they have asked for is in the state.
	 */
	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (room.generation[i] != NULL)
			(void)shutdown(room.generation[i]->requests, SHUT_RDWR);
	for (unsigned i = 0; i < room.children; i++)
		(void)kill(room.child[i].pid, SIGTERM); /* not waited for: it is there */
	if (room.trial != 0)
		(void)kill(room.trial, SIGKILL); /* likewise */
}

/* ---- Requests ---- */

static void log_request(struct generation *generation, const struct request *request)
{
	unsigned account = request->account == ACCOUNT_NONE ? CONF_ACCOUNTS_MAX : request->account;
	char text[SOURCE_TEXT_MAX];
	struct log log = log_of(generation, request, text);

	/* Admitted already, and by the same limit: whoever has more to say was taken over. */
	if (!tally_take(&generation->log_tat[account][request->verdict]))
		return;
	log_verdict(&log, (enum verdict)request->verdict,
		line_reason_name((enum line_reason)request->reason), request->suppressed);
	generation->program.log.socket = log.socket;
}

static void alive(struct generation *generation)
{
	struct span every = room.runner->launch->alive_every;

	if (generation != room.current || every.ms == 0 ||
		!deadline_has_passed(generation->alive_at))
		return;
	generation->alive_at = deadline_in((struct span){ .ms = every.ms / ALIVE_SHARE });
	service_alive();
}

/* The sockets are the next one's now. The one before ends when it has done what it has. */
static void take_over(void)
{
	struct generation *before = room.current;

	room.current = room.next;
	room.next = NULL;
	room.current->program.serving_since = before->program.serving_since;
	room.is_reload_refused = false;
	if (!before->is_ended && send(before->requests, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
		(void)shutdown(before->requests, SHUT_RDWR);
	service_ready();
	orphans_adopt();
}

static void ready(struct generation *generation)
{
	if (generation->is_ready)
		return;
	generation->is_ready = true;
	if (generation == room.next)
		take_over();
	else if (generation == room.current)
		service_ready();
}

static void request_handle(struct generation *generation, struct request *request)
{
	if (!request_check(request, &generation->program.conf)) {
		/* Once: a process that somebody has taken over would not stop at that. */
		if (!generation->is_rubbish_told)
			tally_error(runner_tally(), "the network process sent rubbish");
		generation->is_rubbish_told = true;
		return;
	}
	switch ((enum request_kind)request->kind) {
	case REQUEST_READY: ready(generation); break;
	case REQUEST_TURN: child_fork(generation, request); break;
	case REQUEST_LOG: log_request(generation, request); break;
	default: alive(generation); break;
	}
}

/* Takes what there is, within bounds. Each datagram of the pair is one request. Whoever closes his
 * end without ending has been taken over. */
static void requests_take(struct generation *generation, unsigned most)
{
	struct request request;
	ssize_t got = 1;

	while (most-- > 0 && (got = recv(generation->requests, &request, sizeof(request),
				      MSG_DONTWAIT | MSG_TRUNC)) > 0)
		if (got == (ssize_t)sizeof(request))
			request_handle(generation, &request);
	if (got == 0 && !generation->is_ended && !is_stopping())
		(void)kill(generation->network_pid, SIGKILL); /* not waited for: it is there */
}

/* ---- The configuration anew ---- */

static unsigned generation_place(const struct generation *generation)
{
	unsigned i = 0;

	while (i < GENERATIONS_MAX && room.generation[i] != generation)
		i++;
	return i;
}

/* Too many times in a row: the oldest that still has something to do gives way. */
static void make_place(void)
{
	for (unsigned i = 0; i < GENERATIONS_MAX; i++) {
		struct generation *generation = room.generation[i];

		if (generation != room.current && generation != room.next &&
			!generation->is_ended) {
			(void)shutdown(generation->requests, SHUT_RDWR);
			return;
		}
	}
}

/* One thing at a time. */
static void reload_begin(void)
{
	if (!room.is_reload_wanted || is_stopping() || room.trial != 0 || room.next != NULL ||
		!room.current->is_ready)
		return;
	if (generation_place(NULL) == GENERATIONS_MAX) {
		make_place();
		return;
	}
	room.is_reload_wanted = false;
	room.trial = generation_try(room.runner->launch);
	if (room.trial > 0)
		return;
	room.trial = 0;
	tally_error(runner_tally(), "reading the configuration again: %s", strerror(errno));
	room.is_reload_refused = true;
	service_ready();
}

static void reload_refused(void)
{
	room.is_reload_refused = true;
	room.status_at = deadline_now(); /* at once */
	tally_error(runner_tally(), "the configuration was not read again: the one before stays");
	service_ready();
}

/* It was found good: now it is read for good. */
static void trial_ended(int status)
{
	struct generation *generation;

	room.trial = 0;
	if (is_stopping())
		return;
	generation = status == 0 ? generation_new(room.runner->launch) : NULL;
	if (generation == NULL) {
		reload_refused();
		return;
	}
	program_configure(&generation->program, room.runner->launch->arguments);
	generation_open(generation);
	generation_serve(generation, room.runner->launch);
	room.generation[generation_place(NULL)] = generation;
	room.next = generation;
	children_count();
}

/* ---- Ends ---- */

static int exit_status(int status)
{
	return WIFSIGNALED(status) ? STATUS_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static void log_network_death(const struct generation *generation)
{
	if (WIFEXITED(generation->status) && WEXITSTATUS(generation->status) == EX_IOERR)
		tally_error(runner_tally(), "the state file was truncated");
	tally_error(runner_tally(), "the network process died, status %d",
		exit_status(generation->status));
}

static bool has_ended_well(const struct generation *generation)
{
	return WIFEXITED(generation->status) && WEXITSTATUS(generation->status) == EX_OK;
}

static void network_ended(struct generation *generation, int status)
{
	generation->is_ended = true;
	generation->status = status;
	requests_take(generation, UINT32_MAX); /* what it has said before */
	if (generation == room.current || is_stopping())
		return;
	if (!has_ended_well(generation))
		log_network_death(generation);
	if (generation == room.next) {
		room.next = NULL;
		reload_refused();
	}
	/* A line that it has taken, and of which it could not tell any more. */
	for (unsigned i = 0; i < generation->accounts.count; i++)
		turn_adopt(&generation->accounts.served[i].turn);
	orphans_adopt();
}

/* Those that nothing is left of. */
static void generations_free(void)
{
	for (unsigned i = 0; i < GENERATIONS_MAX; i++) {
		struct generation *generation = room.generation[i];

		if (generation == NULL || generation == room.current || generation == room.next ||
			!generation->is_ended || generation->children != 0)
			continue;
		room.generation[i] = NULL;
		generation_free(generation);
	}
}

static void ended(pid_t pid, int status)
{
	if (pid == room.trial) {
		trial_ended(status);
		return;
	}
	for (unsigned i = 0; i < GENERATIONS_MAX; i++) {
		if (room.generation[i] != NULL && room.generation[i]->network_pid == pid) {
			network_ended(room.generation[i], status);
			return;
		}
	}
	child_ended(pid, status);
}

static void signals_take(void)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(room.runner->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			stop();
		if (info.ssi_signo == SIGHUP && !is_stopping()) {
			service_reloading();
			room.is_reload_wanted = true;
		}
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		ended(pid, status);
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

static void status_tell(void)
{
	char bytes[512];
	struct text text = TEXT_IN(bytes);

	if (!deadline_has_passed(room.status_at))
		return;
	room.status_at = deadline_in(status_every);
	if (room.is_reload_refused)
		text_add(&text, "the configuration was not read again, see the log; ");
	for (unsigned verdict = 0; verdict < VERDICTS; verdict++)
		text_add(&text, "%s %u, ", verdict_name((enum verdict)verdict),
			counter(&room.current->accounts, (enum verdict)verdict));
	text_add(&text, "waiting or running %u", room.children);
	service_status(bytes);
}

/* ---- The loop ---- */

static bool are_all_ended(void)
{
	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (room.generation[i] != NULL && !room.generation[i]->is_ended)
			return false;
	return true;
}

static bool is_stopping_for(struct span span)
{
	return is_stopping() && deadline_has_passed(deadline_add(room.stopped, span));
}

static bool is_done(void)
{
	if (is_stopping())
		return (are_all_ended() && room.children == 0) || is_stopping_for(stop_most);
	if (!room.current->is_ended)
		return false;
	/* Idle; then the next one serves, or nobody has anything left to do. Dead: the end. */
	return !has_ended_well(room.current) || (room.next == NULL && are_all_ended());
}

/* Milliseconds. Once in a while also without an event: counters are shared with others. */
static int poll_most(void)
{
	if (is_stopping())
		return 100;
	return deadline_is_never(room.adopt_at) ? 60000 : (int)retry_span.ms;
}

static void networks_kill(void)
{
	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (room.generation[i] != NULL && !room.generation[i]->is_ended)
			(void)kill(room.generation[i]->network_pid, SIGKILL); /* is there */
}

/* Waits for something to happen, and takes what the network processes have to say. */
static void round_of_events(void)
{
	struct pollfd pollfd[GENERATIONS_MAX + 1];

	for (unsigned i = 0; i < GENERATIONS_MAX; i++) {
		const struct generation *generation = room.generation[i];
		bool speaks = generation != NULL && !generation->is_ended && !is_stopping();

		pollfd[i] = (struct pollfd){ .fd = speaks ? generation->requests : -1,
			.events = POLLIN };
	}
	pollfd[GENERATIONS_MAX] = (struct pollfd){ .fd = room.runner->signals, .events = POLLIN };
	if (poll(pollfd, GENERATIONS_MAX + 1, poll_most()) <= 0)
		return;
	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (pollfd[i].fd >= 0 && pollfd[i].revents != 0)
			requests_take(room.generation[i], REQUESTS_MOST);
	if (pollfd[GENERATIONS_MAX].revents != 0)
		signals_take();
}

static int end(void)
{
	if (is_stopping() || has_ended_well(room.current))
		return EX_OK;
	log_network_death(room.current);
	return EX_OSERR;
}

int runner_run(struct runner *runner)
{
	room.runner = runner;
	room.current = room.generation[0] = runner->generation;
	orphans_adopt();
	while (!is_done()) {
		round_of_events();
		if (is_stopping_for(network_stop_most))
			networks_kill();
		if (!is_stopping() && deadline_has_passed(room.adopt_at))
			orphans_adopt();
		generations_free();
		reload_begin();
		status_tell();
	}
	networks_kill(); /* nobody is left to look after the others' */
	service_stopping();
	runner->generation = room.current;
	return end();
}
