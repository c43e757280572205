/* SPDX-License-Identifier: ISC */
/*
 * The runner: whatever bytes the network process sends, and however its children end. The runner's
 * own loop runs, and what it waits for is made from the input. A child is not forked: what it does
 * until it would run the action is done here, with an open turn file of its own.
 *
 * What must hold: no request does more than a request may. An account has one waiter (G4). What a
 * killed child owed, another one takes over (G5). What was asked for is settled in the end.
 *
 * Input: operations, each a byte and what belongs to it; see step().
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

static int wait_for_input(struct pollfd *pollfd, nfds_t count, int timeout);
static int clock_of_input(clockid_t clock, struct timespec *now);
#define clock_gettime(clock, now) clock_of_input(clock, now)

#include "run/waiter.h"
#include "policy/confine.h"
#include "lib/log.h"
#include "daemon/request.h"
#include "daemon/runner.h"
#include "lib/service.h"

static pid_t child_begin(const struct request *request);
static pid_t child_reaped(int *status);
static int waiter_acts(const struct job *job);
static bool turn_file(struct turn *turn, struct state_error *error);
static bool is_confined(void);
static void said(const struct log *log, unsigned verdict);
__attribute__((format(printf, 2, 3))) static void said_wrong(
	const struct log *log, const char *format, ...);

/* The runner's own source; but processes, confinement, logs and waiting are ours. */
#define fork()                                    child_begin(request)
#define waitpid(pid, status, flags)               child_reaped(status)
#define kill(pid, number)                         0
#define poll(pollfd, count, timeout)              wait_for_input(pollfd, count, timeout)
#define turn_open(turn, directory, error)         turn_file(turn, error)
#define confine(policy)                           is_confined()
#define privileges_become(user)                   true
#define waiter_run(job)                           waiter_acts(job)
#define tally_error(tally, ...)                   said_wrong((tally)->log, __VA_ARGS__)
#define tally_verdict(tally, verdict, reason)     said((tally)->log, verdict)
#define log_verdict(log, verdict, reason, count)  said(log, verdict)
#include "../../src/daemon/runner.c"
#include "../../src/daemon/turn_process.c"
#undef fork
#undef waitpid
#undef kill
#undef poll
#undef turn_open
#undef clock_gettime

#define NETWORK_PID   1000
#define OPERATIONS    700 /* so that there can be more children than the runner has room for */
#define PROCESSES_MAX 900 /* in one input */

/* A child of the runner as it would be. */
struct process {
	pid_t pid;
	int turn_fd; /* -1: it has not opened its turn file */
	unsigned account;
	bool is_waiter, has_ended, is_reaped;
	int status; /* as wait(2) tells it */
};

static struct {
	struct launch launch;
	struct generation generation;
	struct shared shared;
	struct runner runner;
	char turn_path[CONF_ACCOUNTS_MAX][32];
	int network_end, signal_end, signals;
} made;

static struct {
	struct input input;
	uint64_t now;
	unsigned operations, processes;
	struct process process[PROCESSES_MAX];
	struct process *beginning; /* its turn file is opened next */
	unsigned waiters[CONF_ACCOUNTS_MAX];
	uint32_t asked[CONF_ACCOUNTS_MAX];   /* the last request's number */
	bool is_heir_due[CONF_ACCOUNTS_MAX]; /* a child was killed */
	bool has_line[CONF_ACCOUNTS_MAX];    /* a line came, and neither waiter nor start since */
	bool is_moved[CONF_ACCOUNTS_MAX];    /* rubbish may have moved the requests' numbers */
	bool fork_fails, confine_fails, is_over;
} run;

/* ---- The world of the runner ---- */

static int clock_of_input(clockid_t clock, struct timespec *now)
{
	(void)clock;
	*now = (struct timespec){ .tv_sec = (time_t)(run.now / 1000),
		.tv_nsec = (long)(run.now % 1000) * 1000000 };
	return 0;
}

static void said(const struct log *log, unsigned verdict)
{
	must(verdict < VERDICTS);
	must(log->source == NULL || strlen(log->source) < SOURCE_TEXT_MAX);
	must(log->account == NULL || *log->account != '\0');
}

static void said_wrong(const struct log *log, const char *format, ...)
{
	must(log != NULL && *format != '\0');
}

static bool is_confined(void)
{
	return !run.confine_fails;
}

static bool turn_file(struct turn *turn, struct state_error *error)
{
	*error = (struct state_error){ .what = "cannot open" };
	for (unsigned i = 0; i < made.generation.accounts.count; i++)
		if (made.generation.accounts.served[i].state == turn->state)
			turn->fd = open(made.turn_path[i], O_RDWR | O_CLOEXEC);
	run.beginning->turn_fd = turn->fd;
	return turn->fd >= 0;
}

/* The child would wait for its turn now. It holds `waiting` until it ends. */
static int waiter_acts(const struct job *job)
{
	struct process *process = run.beginning;

	must(job->account == job->decision.account && job->decision.is_waiter);
	must(job->decision.turn == &job->turn);
	must(job->source_text == job->tally->log->source);
	must(run.waiters[process->account]++ == 0);
	process->is_waiter = true;
	return 0;
}

static pid_t child_begin(const struct request *request)
{
	struct process *process = &run.process[run.processes];

	if (run.fork_fails || run.processes == PROCESSES_MAX)
		return -1;
	must(request->account < made.generation.accounts.count && request->source.kind <= SOURCE_IPV6);
	*process = (struct process){ .pid = NETWORK_PID + 1 + (pid_t)run.processes,
		.turn_fd = -1, .account = request->account };
	run.processes++;
	run.beginning = process;
	process->status = turn_main(&made.generation, request) << 8;
	/* It has its turn, or found a waiter: the network process need not know when it ends. */
	if (process->status == EX_OK)
		must(progress_is_settled(&made.shared.progress, request->account, request->number));
	return process->pid;
}

/* A waiter that starts the action and then goes, or is killed: what others see of it. */
static void child_end(struct process *process, bool is_killed)
{
	struct state *state = made.generation.accounts.served[process->account].state;

	if (process->has_ended)
		return;
	process->has_ended = true;
	run.waiters[process->account] -= process->is_waiter;
	if (is_killed) {
		process->status = SIGKILL;
		run.is_heir_due[process->account] = true;
	} else if (process->is_waiter) {
		atomic_store(&state->owed, 0);
		atomic_store(&state->due, 0);
		atomic_fetch_add(&state->starts, 1);
		run.has_line[process->account] = false;
	}
	if (process->turn_fd >= 0)
		(void)close(process->turn_fd);
	process->turn_fd = -1;
}

/* What waitpid(2) would say: once of each child that has ended. */
static pid_t child_reaped(int *status)
{
	for (unsigned i = 0; i < run.processes; i++) {
		struct process *process = &run.process[i];

		if (!process->has_ended || process->is_reaped)
			continue;
		process->is_reaped = true;
		*status = process->status;
		return process->pid;
	}
	if (run.is_over) {
		*status = EX_OK << 8;
		run.is_over = false;
		return NETWORK_PID;
	}
	return 0;
}

/* ---- Operations ---- */

/* False: the runner has no room. */
static bool request_send(const void *bytes, size_t length)
{
	return send(made.network_end, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* Any bytes of about the right length. */
static void send_rubbish(void)
{
	uint8_t bytes[sizeof(struct request) + 8];
	struct request request;
	size_t length = take_byte(&run.input) % (sizeof(bytes) + 1);

	memset(bytes, 0, sizeof(bytes));
	(void)take_bytes(&run.input, bytes, length);
	if (!request_send(bytes, length) || length != sizeof(request))
		return;
	memcpy(&request, bytes, sizeof(request));
	if (request.kind == REQUEST_TURN && request.account < made.generation.accounts.count)
		run.is_moved[request.account] = true;
}

/* One that a sane process would send: without a line, only when all is settled. */
static void send_request(enum request_kind kind)
{
	uint8_t flags = take_byte(&run.input);
	unsigned account = flags % made.generation.accounts.count;
	struct request request = {
		.kind = kind,
		.account = kind == REQUEST_LOG && flags & 128 ? ACCOUNT_NONE : account,
		.number = run.asked[account] + (kind == REQUEST_TURN),
		.has_line = (flags >> 4 & 1) ||
			    !progress_is_settled(&made.shared.progress, account, run.asked[account]),
		.allowed = moment_now().ms + take_byte(&run.input),
		.is_charged = flags >> 5 & 1,
		.noted = atomic_load(&made.generation.accounts.served[account].state->starts),
		.verdict = flags >> 4 & 7,
		.source = { .kind = 1 + (flags >> 6) % 3, .scope = flags & 8 },
	};

	if (kind == REQUEST_LOG && request.verdict >= VERDICTS)
		request.verdict = 0;
	if (!request_send(&request, sizeof(request)) || kind != REQUEST_TURN)
		return;
	run.asked[account]++;
	run.has_line[account] |= request.has_line;
}

static void send_signal(uint32_t number)
{
	struct signalfd_siginfo info = { .ssi_signo = number };

	must(write(made.signal_end, &info, sizeof(info)) == (ssize_t)sizeof(info));
}

static void end_a_child(bool is_killed)
{
	if (run.processes == 0)
		return;
	child_end(&run.process[take_word(&run.input) % run.processes], is_killed);
	send_signal(SIGCHLD);
}

/* Does the next operation of the input. False: there is none. */
static bool step(void)
{
	uint8_t operation = take_byte(&run.input);
	uint8_t account = operation % (uint8_t)made.generation.accounts.count;

	if (run.input.length == 0 || run.operations++ == OPERATIONS)
		return false;
	switch (operation % 16) {
	case 0:
	case 1: send_rubbish(); break;
	case 2: send_request(REQUEST_LOG); break;
	case 3: send_request(REQUEST_ALIVE); break;
	case 4: end_a_child(true); break;
	case 5: end_a_child(false); break;
	case 6: run.now += take_byte(&run.input) * 100u; break;
	case 7: run.fork_fails = !run.fork_fails; break;
	case 8: run.confine_fails = !run.confine_fails; break;
	case 9: atomic_store(&made.generation.accounts.served[account].state->due, take_word(&run.input) | 1); break;
	case 10: atomic_store(&made.generation.accounts.served[account].state->owed, take_word(&run.input)); break;
	default: send_request(REQUEST_TURN); break;
	}
	return true;
}

static bool is_at_work(unsigned account)
{
	for (unsigned i = 0; i < run.processes; i++)
		if (run.process[i].account == account && !run.process[i].has_ended)
			return true;
	return false;
}

static void check_account(unsigned account)
{
	const struct state *state = made.generation.accounts.served[account].state;
	bool is_owed = atomic_load(&state->due) != 0 || atomic_load(&state->owed) != 0;

	must(run.waiters[account] <= 1);
	/* G5 */
	if (run.is_heir_due[account] && !run.fork_fails && !run.confine_fails)
		must(run.waiters[account] == 1 || !is_owed || run.processes == PROCESSES_MAX);
	run.is_heir_due[account] = false;
	/* G1: a line is in the hands of a process, or owed; unless the network process that asked for
	 * it has said that it was settled, by a higher number. */
	run.has_line[account] &= run.waiters[account] == 0;
	if (run.has_line[account] && !run.is_moved[account])
		must(is_owed || is_at_work(account));
}

static void check(void)
{
	must(made.runner.processes_count <= TURN_PROCESSES_MAX);
	must(atomic_load(&made.shared.progress.children) ==
		made.runner.processes_count + !deadline_is_never(made.runner.debts_at));
	for (unsigned i = 0; i < made.generation.accounts.count; i++)
		check_account(i);
}

/* Instead of waiting: does an operation. At the end of the input the network process ends. */
static int wait_for_input(struct pollfd *pollfd, nfds_t count, int timeout)
{
	must(count == GENERATIONS_MAX + 1 && timeout >= 0);
	must(pollfd[GENERATIONS_MAX].fd == made.runner.signals);
	check();
	if (!step()) {
		for (unsigned i = 0; i < run.processes; i++)
			child_end(&run.process[i], false);
		run.is_over = true;
		send_signal(SIGCHLD);
	}
	for (nfds_t i = 0; i < count; i++)
		pollfd[i].revents = POLLIN;
	return 1;
}

/* ---- What is made once ---- */

static void refuse_report(void *context, enum severity severity, const char *file, unsigned line,
	const char *message)
{
	(void)context;
	(void)severity;
	(void)fprintf(stderr, "%s:%u: %s\n", file, line, message);
	abort();
}

static void make_configuration(void)
{
	static const char *const lines[] = { "user nobody", "action /bin/true", "interval 1s",
		"limit 10/s burst 3", "from any", "account first", "account second", "account third" };
	struct conf *conf = &made.generation.program.conf;

	conf_begin(conf, refuse_report, NULL);
	for (unsigned i = 0; i < COUNT(lines); i++)
		conf_option(conf, lines[i], i + 1);
	must(conf_end(conf));
}

static struct state *make_state(void)
{
	void *state = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(state != MAP_FAILED);
	return state;
}

static void make_account(unsigned index)
{
	struct served_account *served = &made.generation.accounts.served[index];
	int fd = memfd_create("turn", MFD_CLOEXEC);

	must(fd >= 0);
	(void)snprintf(made.turn_path[index], sizeof(made.turn_path[index]), "/proc/self/fd/%d", fd);
	served->account = &made.generation.program.conf.accounts[index];
	served->state = make_state();
	served->turn = decision_turn(served->account, served->state);
	served->turn.fd = fd;
}

static void make_all(void)
{
	int pair[2], signals[2];

	make_configuration();
	program_begin(&made.generation.program, "nmnotifyd", "", &made.launch.streams);
	made.generation.accounts.count = made.generation.program.conf.accounts_count;
	made.generation.accounts.denied = make_state();
	for (unsigned i = 0; i < made.generation.accounts.count; i++)
		make_account(i);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	must(pipe2(signals, O_NONBLOCK) == 0);
	made.network_end = pair[0];
	made.signal_end = signals[1];
	made.generation.shared = &made.shared;
	made.generation.requests = pair[1];
	made.generation.network_pid = NETWORK_PID;
	made.signals = signals[0];
}

/* ---- One input ---- */

static void begin(const uint8_t *data, size_t size)
{
	memset(&run, 0, sizeof(run));
	memset(&made.runner, 0, sizeof(made.runner));
	made.runner.launch = &made.launch;
	made.runner.current = &made.generation;
	made.runner.signals = made.signals;
	memset(&made.shared.progress, 0, sizeof(made.shared.progress));
	made.generation.is_ended = made.generation.is_ready = false;
	memset(made.generation.accounts.denied, 0, STATE_HEADER_BYTES);
	for (unsigned i = 0; i < made.generation.accounts.count; i++)
		memset(made.generation.accounts.served[i].state, 0, STATE_HEADER_BYTES);
	run.input = (struct input){ data, size };
	run.now = 1000000;
}

/* What was asked for is settled, unless rubbish has moved the numbers. */
static void finish(void)
{
	for (unsigned i = 0; i < made.generation.accounts.count; i++)
		must(run.is_moved[i] || progress_is_settled(&made.shared.progress, i, run.asked[i]));
	for (unsigned i = 0; i < run.processes; i++)
		child_end(&run.process[i], false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (made.generation.accounts.count == 0)
		make_all();
	begin(data, size);
	must(runner_run(&made.runner) == EX_OK);
	finish();
	return 0;
}
