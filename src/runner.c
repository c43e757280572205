/* SPDX-License-Identifier: ISC */
#include "runner.h"

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

#include "action.h"
#include "confine.h"
#include "service.h"
#include "text.h"

/* An account has at most one waiter and one supervisor; the others are about to find that out. A
 * bound for each, since an action gone bad can stop its account's as they come. */
#define CHILDREN_EACH 32
#define CHILDREN_MAX  (CONF_ACCOUNTS_MAX * CHILDREN_EACH)

/* How often systemctl status is brought up to date while things happen. */
#define STATUS_EVERY_MS 1000

/* How soon a turn that failed is tried again. */
#define RETRY_MS 1000

/* Longer than a supervisor takes to end its action when it is asked to. */
#define STOP_MOST_MS 8000

struct child {
	pid_t pid;
	struct request request;
};

static struct {
	struct runner *runner;
	struct child child[CHILDREN_MAX];
	unsigned children;
	uint64_t last_status;
	uint64_t adoption; /* when debts are looked for next, CLOCK_MONOTONIC, ms */
	bool is_stopping, is_network_gone, is_rubbish_told, is_full_told;
	int network_status; /* wait(2)'s */
} room;

/* ---- A child: what the handler does once it has read the line ---- */

static void log_begin(struct log *log, const struct runner *runner, const struct request *request)
{
	*log = runner->program->log;
	log->source = source_text(&request->source, log->source_text);
	log->account = NULL;
	if (request->account != ACCOUNT_NONE)
		log->account = runner->desks->desk[request->account].account->name;
}

static int child_refused(struct log *log, const char *what)
{
	log_error(log, "%s: %s", what, strerror(errno));
	return EX_OSERR;
}

static int child_main(const struct runner *runner, const struct request *request)
{
	/* tests/model/board.pml: turn_child. */
	const struct desk *desk = &runner->desks->desk[request->account];
	struct log log;
	struct turn turn = decision_turn(desk->account, desk->state);
	struct decision decision = {
		.account = desk->account,
		.turn = &turn,
		.cells = limiter_locate(desk->state, &request->source),
		.verdict = VERDICT_COALESCED,
		.has_line = request->has_line != 0,
		.allowed = moment_of_word(request->allowed),
		.is_charged = request->is_charged != 0,
	};
	const struct action action = {
		.conf = &runner->program->conf,
		.account = desk->account,
		.user = &desk->user,
		.source = log.source_text,
		.log = &log,
	};
	struct state_error error;

	turn.has_noted = decision.has_line;
	turn.noted = request->noted;
	log_begin(&log, runner, request);
	log.state = desk->state;
	log.socket = 0;                       /* the runner's own stays the runner's */
	program_guard_state(runner->program); /* our own state is another's no longer */
	if (runner->program->self == 0 && !privileges_become(&desk->user))
		return child_refused(&log, "dropping privileges");
	if (!turn_open(&turn, desk->directory, &error))
		return child_refused(&log, "opening the turn file");
	if (!confine(policy_find(desk->account->confine)))
		return child_refused(&log, "confine");
	board_look(runner->board, request->account, request->number);
	if (!decision_join(&decision))
		return child_refused(&log, "the turn file");
	board_settle(runner->board, request->account, request->number);
	if (decision.has_line)
		log_verdict(&log, decision.verdict, NULL);
	return decision.is_waiter ? action_run(&action, &decision) : EX_OK;
}

/* ---- The runner ---- */

static void children_count(void)
{
	atomic_store(&room.runner->board->children, room.children);
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
static void turn_failed(const struct request *request)
{
	/* tests/model/board.pml: turn_failed(). */
	const struct runner *runner = room.runner;

	room.adoption = clock_milliseconds(CLOCK_MONOTONIC) + RETRY_MS;
	/* From here on the debt covers, not this request: if the account's user takes that away,
	 * the next line must ask anew. */
	board_look(runner->board, request->account, request->number);
	if (request->has_line &&
		!board_is_settled(runner->board, request->account, request->number))
		turn_owe(&runner->desks->desk[request->account].turn,
			moment_of_word(request->allowed));
	board_settle(runner->board, request->account, request->number);
}

static bool has_room(unsigned account)
{
	unsigned count = 0;

	for (unsigned i = 0; i < room.children; i++)
		count += room.child[i].request.account == account;
	return count < CHILDREN_EACH;
}

static void child_fork(const struct request *request)
{
	/* tests/model/board.pml: child_fork(), and what runner does when it fails. */
	const struct runner *runner = room.runner;
	pid_t pid = -1;

	if (runner->desks->desk[request->account].is_shut) {
		board_look(runner->board, request->account, request->number);
		board_settle(runner->board, request->account, request->number);
		return;
	}
	if (has_room(request->account))
		pid = fork();
	if (pid == 0) {
		signals_default();
		(void)close(runner->requests);
		(void)close(runner->signals);
		_exit(child_main(runner, request));
	}
	if (pid < 0) {
		if (!room.is_full_told) /* once, until there is room again */
			log_error(&runner->program->log, "cannot start a process for a turn");
		room.is_full_told = true;
		turn_failed(request);
		return;
	}
	room.is_full_told = false;
	room.child[room.children++] = (struct child){ .pid = pid, .request = *request };
	children_count();
}

/* A debt of a dead process is paid at once. */
static void orphan_adopt(unsigned account)
{
	/* tests/model/board.pml: orphan_adopt(). */
	const struct request debt = { .kind = REQUEST_TURN,
		.account = account,
		.number = atomic_load(&room.runner->board->settled[account]),
		.source = { .kind = SOURCE_LOCAL } };

	if (turn_has_orphan(&room.runner->desks->desk[account].turn))
		child_fork(&debt);
}

static void orphans_adopt(void)
{
	/* tests/model/board.pml: runner, adoption. */
	room.adoption = UINT64_MAX;
	for (unsigned i = 0; i < room.runner->desks->count; i++)
		orphan_adopt(i);
}

static void child_ended(pid_t pid, int status)
{
	/* tests/model/board.pml: child_ended(). */
	struct board *board = room.runner->board;
	struct child child;
	unsigned i = 0;
	bool is_settled;

	while (i < room.children && room.child[i].pid != pid)
		i++;
	if (i == room.children) {
		/* A killed child's action, the last to let go of its `running`; or what an action
		 * left behind. */
		if (!room.is_stopping)
			orphans_adopt();
		return;
	}
	child = room.child[i];
	room.child[i] = room.child[--room.children];
	children_count();
	if (room.is_stopping)
		return; /* what is owed stays owed, for the next start of the service */
	is_settled = board_is_settled(board, child.request.account, child.request.number);
	/* One that fails or crashes would do so again at once. (An action may end with this status,
	 * too; then nothing is owed.) */
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		if (WIFSIGNALED(status) || !is_settled || WEXITSTATUS(status) == EX_OSERR)
			turn_failed(&child.request);
	} else if (is_settled) {
		orphan_adopt(child.request.account);
	} else {
		child_fork(&child.request);
	}
}

static void children_reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == room.runner->network) {
			room.is_network_gone = true;
			room.network_status = status;
		} else {
			child_ended(pid, status);
		}
	}
}

static void stop(void)
{
	if (room.is_stopping)
		return;
	room.is_stopping = true;
	service_stopping();
	/* The network process sees the end of the pair, and leaves its errands as debts. */
	(void)shutdown(room.runner->requests, SHUT_RDWR);
	for (unsigned i = 0; i < room.children; i++)
		(void)kill(room.child[i].pid, SIGTERM); /* not waited for: it is there */
}

static void signals_take(void)
{
	struct signalfd_siginfo info;

	while (read(room.runner->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			stop();
	children_reap();
}

static void log_request(const struct request *request)
{
	struct log log;

	log_begin(&log, room.runner, request);
	log_admitted(&log, (enum verdict)request->verdict, NULL, request->suppressed);
	room.runner->program->log.socket = log.socket;
}

static void request_handle(struct request *request)
{
	if (!request_check(request, room.runner->desks->count)) {
		/* Once: a process that somebody has taken over would not stop at that. */
		if (!room.is_rubbish_told)
			log_error(&room.runner->program->log, "the network process sent rubbish");
		room.is_rubbish_told = true;
		return;
	}
	switch ((enum request_kind)request->kind) {
	case REQUEST_TURN: child_fork(request); break;
	case REQUEST_LOG: log_request(request); break;
	default: service_alive(); break;
	}
}

/* Takes what there is. Each datagram of the pair is one request. */
static void requests_take(void)
{
	struct request request;
	ssize_t got;

	while ((got = recv(room.runner->requests, &request, sizeof(request), MSG_DONTWAIT)) > 0)
		if (got == (ssize_t)sizeof(request))
			request_handle(&request);
}

/* ---- Status ---- */

static uint32_t counter(const struct desks *desks, enum verdict verdict)
{
	uint32_t sum = desks->denied == NULL ? 0 : atomic_load(&desks->denied->verdicts[verdict]);

	for (unsigned i = 0; i < desks->count; i++)
		sum += atomic_load(&desks->desk[i].state->verdicts[verdict]);
	return sum;
}

static void status_tell(void)
{
	uint64_t now = clock_milliseconds(CLOCK_MONOTONIC);
	char bytes[512];
	struct text text = TEXT_IN(bytes);

	if (now - room.last_status < STATUS_EVERY_MS)
		return;
	room.last_status = now;
	for (unsigned verdict = 0; verdict < VERDICTS; verdict++)
		text_add(&text, "%s %u, ", verdict_name((enum verdict)verdict),
			counter(room.runner->desks, (enum verdict)verdict));
	text_add(&text, "waiting or running %u", room.children);
	service_status(bytes);
}

/* ---- The loop ---- */

static bool is_done(uint64_t stop_deadline)
{
	if (room.is_network_gone && !room.is_stopping)
		return true;
	return room.is_stopping && ((room.is_network_gone && room.children == 0) ||
					   clock_milliseconds(CLOCK_MONOTONIC) >= stop_deadline);
}

/* Milliseconds. Once in a while also without an event: counters are shared with others. */
static int poll_most(void)
{
	if (room.is_stopping)
		return 100;
	return room.adoption != UINT64_MAX ? RETRY_MS : 60000;
}

static int end(void)
{
	int status = room.network_status;

	if (room.is_stopping || (WIFEXITED(status) && WEXITSTATUS(status) == EX_OK))
		return EX_OK;
	log_error(&room.runner->program->log, "the network process died, status %d",
		WIFSIGNALED(status) ? STATUS_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status));
	return EX_OSERR;
}

int runner_run(struct runner *runner)
{
	struct pollfd pollfd[2] = {
		{ .fd = runner->requests, .events = POLLIN },
		{ .fd = runner->signals, .events = POLLIN },
	};
	uint64_t stop_deadline = UINT64_MAX;

	room.runner = runner;
	orphans_adopt();
	service_ready();
	while (!is_done(stop_deadline)) {
		(void)poll(pollfd, 2, poll_most());
		requests_take();
		signals_take();
		if (room.is_network_gone || room.is_stopping)
			pollfd[0].fd = -1;
		if (room.is_stopping && stop_deadline == UINT64_MAX)
			stop_deadline = clock_milliseconds(CLOCK_MONOTONIC) + STOP_MOST_MS;
		if (!room.is_stopping && room.adoption <= clock_milliseconds(CLOCK_MONOTONIC))
			orphans_adopt();
		status_tell();
	}
	requests_take();
	service_stopping();
	return end();
}
