/* SPDX-License-Identifier: ISC */
/*
 * Handlers that are killed at any instruction, and what becomes of their lines: storm.t starts it and
 * judges what it has written down.
 *
 *     killer NMNOTIFY CONFIGURATION HISTORY ROUNDS SEED SOURCES
 *     killer action HISTORY LOCK        the action of that configuration
 *     killer probe                      may anybody be traced here?
 *
 * Each round starts a few handlers, some of which are killed: when they have made so many system
 * calls, as it enters or leaves the last one, and so many instructions later; or after a time. So
 * are their children before they execute the action, supervisors beside such a child, and actions.
 * Now and then nobody is killed any more: another connection comes, and all must come to rest.
 *
 * HISTORY gets a line for whatever happens; times are in nanoseconds of CLOCK_BOOTTIME:
 *
 *     sent ID TIME LINE SOURCE   a handler is about to be started; LINE is 1, or 0: rubbish was sent
 *     closed ID TIME             it has closed its connection, and was not killed before
 *     spoke ID TIME              something came from it
 *     killing PID TIME WHAT      WHAT is handler, child (before it executes the action) or action
 *     ended ID TIME STATUS       a handler's exit status; minus the signal
 *     child PID TIME ID          a handler has made a process that shall execute the action
 *     exec PID BEGUN TIME        an action was executed between these
 *     start PID TIME SOURCE      the same, said by the action
 *     overlap PID TIME           likewise, if it finds another one running
 *     end PID TIME               likewise
 *     died PID TIME              an action, or who was to become one, is gone
 *     alive COUNT TIME           how many handlers sleep that have closed their connection
 *     last ID TIME               this connection ends a storm: nobody is killed from here to `rest`
 *     rest TIME                  nothing is left
 *     stuck TIME                 or after MOST_MS something is
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../random.h"

#define MOST_MS       15000
#define HANDLERS_MOST 6  /* in a round */
#define PEOPLE_MAX    512
#define CALLS_MOST    170 /* stops at system calls, two for each: a handler has about as many */
#define STEPS_MOST    250
#define AFTER_US      60000
#define IDLE_MS       8

static const char the_line[] = "nm_notifyuser\r\n";

static int history;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void stop(const char *what)
{
	perror(what);
	exit(2);
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	char text[160];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (write(history, text, (size_t)length) != length)
		stop("history");
}

static uint64_t seed;

static uint32_t below(uint32_t bound)
{
	return random_below(&seed, bound);
}

/* ---- The action ---- */

static void nap_ms(unsigned ms)
{
	struct timespec rest = { .tv_nsec = (long)ms * 1000000 };

	nanosleep(&rest, NULL);
}

/* The kernel frees the lock of one that is gone, however it went. */
static int action(const char *lock)
{
	struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	uint64_t begun = now_ns();
	const char *source = getenv("NMNOTIFY_SOURCE");
	int fd = open(lock, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return 99;
	if (fcntl(fd, F_OFD_SETLK, &range) != 0)
		note("overlap %d %llu\n", getpid(), (unsigned long long)begun);
	note("start %d %llu %s\n", getpid(), (unsigned long long)begun, source ? source : "-");
	seed = begun | 1;
	switch (below(16)) {
	case 0:
	case 1: nap_ms(120); break;
	case 2:
	case 3: nap_ms(below(20)); break;
	default: break;
	}
	note("end %d %llu\n", getpid(), (unsigned long long)now_ns());
	return 0;
}

/* ---- Processes ---- */

enum kind { NOBODY, HANDLER, CHILD, ACTION };
enum plan { LIVES, DIES_AT_CALL, DIES_IN_TIME };

struct person {
	enum kind kind;
	enum plan plan;
	pid_t pid;
	int fd;           /* a handler's connection, an action's pidfd; -1: none */
	unsigned id;      /* of a handler */
	pid_t parent;     /* of a child or an action: its supervisor */
	bool with_parent; /* a child or an action whose plan is its supervisor's */
	bool is_killed, is_closed, is_begun;
	bool is_released; /* a child that executes the action, as its supervisor knows already */
	unsigned calls, steps;
	uint64_t dies_at, begun;
};

static struct person people[PEOPLE_MAX];
static struct pollfd pollfds[PEOPLE_MAX + 1];
static unsigned ids;
static bool is_calm; /* nobody is killed */

static struct person *person_of(pid_t pid)
{
	for (unsigned i = 0; i < PEOPLE_MAX; i++)
		if (people[i].kind != NOBODY && people[i].pid == pid)
			return &people[i];
	return NULL;
}

static struct person *person_new(enum kind kind, pid_t pid)
{
	for (unsigned i = 0; i < PEOPLE_MAX; i++) {
		if (people[i].kind != NOBODY)
			continue;
		people[i] = (struct person){ .kind = kind, .pid = pid, .fd = -1 };
		return &people[i];
	}
	fputs("too many processes\n", stderr);
	exit(2);
}

static bool is_any(enum kind kind)
{
	for (unsigned i = 0; i < PEOPLE_MAX; i++)
		if (people[i].kind == kind)
			return true;
	return false;
}

/* Whoever was killed is not dead at once, least of all on a busy machine. */
static bool is_anybody_dying(void)
{
	for (unsigned i = 0; i < PEOPLE_MAX; i++)
		if (people[i].kind != NOBODY && people[i].is_killed)
			return true;
	return false;
}

static void person_gone(struct person *person)
{
	if (person->fd >= 0)
		close(person->fd);
	person->kind = NOBODY;
}

static bool is_anybody(void)
{
	for (unsigned i = 0; i < PEOPLE_MAX; i++)
		if (people[i].kind != NOBODY)
			return true;
	return false;
}

/* Is the other end's connection closed? What comes from it is never right. */
static void look_closed(struct person *person)
{
	char byte;
	ssize_t got;

	if (person->kind != HANDLER || person->is_closed || person->is_killed)
		return;
	got = recv(person->fd, &byte, 1, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got > 0)
		note("spoke %u %llu\n", person->id, (unsigned long long)now_ns());
	person->is_closed = true;
	note("closed %u %llu\n", person->id, (unsigned long long)now_ns());
}

static void person_kill(struct person *person)
{
	static const char *const names[] = { "nobody", "handler", "child", "action" };

	look_closed(person);
	note("killing %d %llu %s\n", person->pid, (unsigned long long)now_ns(), names[person->kind]);
	person->is_killed = true;
	person->plan = LIVES;
	if (person->kind == ACTION)
		(void)syscall(SYS_pidfd_send_signal, person->fd, SIGKILL, NULL, 0);
	else
		(void)kill(person->pid, SIGKILL); /* ours, and not waited for yet */
}

/* Fails if it has just been killed: as well. */
static void go_on(struct person *person, int number)
{
	enum __ptrace_request how = PTRACE_CONT;

	if (person->plan == DIES_AT_CALL)
		how = person->calls > 0 ? PTRACE_SYSCALL : PTRACE_SINGLESTEP;
	(void)ptrace(how, person->pid, NULL, (void *)(intptr_t)number);
}

/* Its time has come: that of its plan. */
static void plan_end(struct person *person)
{
	struct person *parent = person->with_parent ? person_of(person->parent) : NULL;

	person->plan = LIVES;
	if (person->with_parent && parent != NULL && !parent->is_killed)
		person_kill(parent);
	else if (!person->with_parent)
		person_kill(person);
}

static void plan_by_calls(struct person *person, unsigned calls)
{
	person->plan = DIES_AT_CALL;
	person->calls = below(calls);
	person->steps = below(4) == 0 ? 0 : below(STEPS_MOST);
}

/* Who has closed its connection may be the waiter: what is most worth to be killed is to come. It is
 * traced anew when it has stopped. */
static void waiter_plan(struct person *person)
{
	plan_by_calls(person, 40);
	(void)kill(person->pid, SIGSTOP);
}

static void plan_by_time(struct person *person, unsigned most_us)
{
	person->plan = DIES_IN_TIME;
	person->dies_at = now_ns() + below(most_us) * 1000u;
}

/* ---- What the kernel tells of them ---- */

static void child_plan(struct person *child)
{
	child->begun = now_ns();
	child->is_begun = true;
	if (is_calm || below(2) != 0)
		return;
	plan_by_calls(child, 16);
	child->with_parent = below(2);
}

/* The child has executed the action, and is its own from here on. */
static void action_begins(struct person *child)
{
	note("exec %d %llu %llu\n", child->pid, (unsigned long long)child->begun,
		(unsigned long long)now_ns());
	child->kind = ACTION;
	child->fd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	child->plan = LIVES;
	if (child->fd < 0)
		stop("pidfd_open");
	if (!is_calm && below(8) == 0)
		person_kill(child); /* before its first instruction */
	else if (!is_calm && below(4) == 0)
		plan_by_time(child, 20000);
	child->with_parent = below(2);
	(void)ptrace(PTRACE_DETACH, child->pid, NULL, NULL);
}

static void stopped(struct person *person, int number, int event)
{
	unsigned long child = 0;

	if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK) {
		(void)ptrace(PTRACE_GETEVENTMSG, person->pid, NULL, &child);
		if (person_of((pid_t)child) == NULL)
			(void)person_new(CHILD, (pid_t)child);
		person_of((pid_t)child)->parent = person->pid;
		note("child %lu %llu %u\n", child, (unsigned long long)now_ns(), person->id);
	} else if (event == PTRACE_EVENT_VFORK_DONE) {
		(void)ptrace(PTRACE_GETEVENTMSG, person->pid, NULL, &child);
		if (person_of((pid_t)child) != NULL)
			person_of((pid_t)child)->is_released = true;
	} else if (event == PTRACE_EVENT_EXEC && person->kind == CHILD) {
		action_begins(person);
		return;
	} else if (number == (SIGTRAP | 0x80)) {
		person->calls -= person->calls > 0;
	} else if (number == SIGTRAP) {
		person->steps -= person->steps > 0 && person->calls == 0;
	}
	if (person->kind == CHILD && !person->is_begun)
		child_plan(person);
	if (person->plan == DIES_AT_CALL && person->calls == 0 && person->steps == 0)
		plan_end(person);
	/* A signal is passed on; SIGSTOP is how a child begins that is traced from its birth. */
	go_on(person, (number & 0x7f) == SIGTRAP || number == SIGSTOP ? 0 : number);
}

static void ended(pid_t pid, int status)
{
	struct person *person = person_of(pid);

	if (person == NULL)
		return; /* an action that is ours because its supervisor was killed */
	look_closed(person);
	if (person->kind == HANDLER)
		note("ended %u %llu %d\n", person->id, (unsigned long long)now_ns(),
			WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	if (person->kind != HANDLER)
		note("died %d %llu\n", pid, (unsigned long long)now_ns());
	person_gone(person);
}

/*
 * A child that dies with its supervisor may have executed the action by then, and yet not come so far
 * as to stop for us: its name tells, which it keeps until it is waited for; or that its supervisor
 * went on before.
 */
static void look_executed(struct person *person, bool is_by_signal)
{
	char path[32], name[32] = "";
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)person->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? 0 : read(fd, name, sizeof(name) - 1);
	if (fd >= 0)
		close(fd);
	if ((length > 0 && strncmp(name, "killer", 6) == 0) || (is_by_signal && person->is_released && !person->is_killed))
		note("exec %d %llu %llu\n", person->pid, (unsigned long long)person->begun,
			(unsigned long long)now_ns());
}

static void take_events(void)
{
	siginfo_t info = { .si_pid = 0 };
	struct person *person;
	int status;

	while (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOWAIT | WNOHANG | __WALL) == 0 &&
		info.si_pid != 0) {
		person = person_of(info.si_pid);
		if (person != NULL && person->kind == CHILD && info.si_code != CLD_STOPPED &&
			info.si_code != CLD_TRAPPED)
			look_executed(person, info.si_code == CLD_KILLED);
		if (waitpid(info.si_pid, &status, __WALL | WNOHANG) != info.si_pid)
			continue; /* it was stopped, and is killed: comes again */
		if (!WIFSTOPPED(status))
			ended(info.si_pid, status);
		else
			stopped(person != NULL ? person : person_new(CHILD, info.si_pid),
				WSTOPSIG(status), status >> 16);
		info.si_pid = 0;
	}
}

static void take_times(void)
{
	uint64_t now = now_ns();

	for (unsigned i = 0; i < PEOPLE_MAX; i++)
		if (people[i].kind != NOBODY && people[i].plan == DIES_IN_TIME && people[i].dies_at <= now)
			plan_end(&people[i]);
}

static uint64_t next_time(uint64_t until)
{
	for (unsigned i = 0; i < PEOPLE_MAX; i++)
		if (people[i].kind != NOBODY && people[i].plan == DIES_IN_TIME && people[i].dies_at < until)
			until = people[i].dies_at;
	return until;
}

/* One look at everything, or a sleep until something happens. False: nothing did until `until`. */
static bool turn(int signals, uint64_t until)
{
	struct person *who[PEOPLE_MAX + 1] = { NULL };
	uint64_t now = now_ns(), next = next_time(until);
	uint64_t rest = next > now ? next - now : 0;
	struct timespec most = { .tv_sec = (time_t)(rest / 1000000000u), .tv_nsec = (long)(rest % 1000000000u) };
	struct signalfd_siginfo info;
	nfds_t count = 0;

	pollfds[count++] = (struct pollfd){ .fd = signals, .events = POLLIN };
	for (unsigned i = 0; i < PEOPLE_MAX; i++) {
		if (people[i].kind == NOBODY || people[i].fd < 0 || people[i].is_closed)
			continue;
		who[count] = &people[i];
		pollfds[count++] = (struct pollfd){ .fd = people[i].fd, .events = POLLIN };
	}
	if (ppoll(pollfds, count, &most, NULL) <= 0 && now_ns() >= until)
		return false;
	for (nfds_t i = 1; i < count; i++) {
		if (pollfds[i].revents == 0)
			continue;
		look_closed(who[i]);
		if (who[i]->is_closed && who[i]->plan == LIVES && !is_calm && below(2) == 0)
			waiter_plan(who[i]);
		if (who[i]->kind == ACTION) {
			note("died %d %llu\n", who[i]->pid, (unsigned long long)now_ns());
			person_gone(who[i]);
		}
	}
	while (read(signals, &info, sizeof(info)) > 0)
		;
	take_events();
	take_times();
	return true;
}

static void pass(int signals, uint64_t until)
{
	while (turn(signals, until))
		;
}

/* ---- Handlers ---- */

static const char *program, *configuration;

_Noreturn static void become_handler(int fd, unsigned source)
{
	char address[48];
	char *arguments[] = { (char *)(uintptr_t)program, (char *)(uintptr_t)"-f",
		(char *)(uintptr_t)configuration, NULL };
	char *environment[] = { address, NULL };
	sigset_t none;

	snprintf(address, sizeof(address), "TCPREMOTEIP=192.0.2.%u", 1 + source);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(fd, 0) == 0 && ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 && raise(SIGSTOP) == 0)
		execve(program, arguments, environment);
	_exit(99);
}

static unsigned handler_start(bool has_line, unsigned source)
{
	const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK |
			     PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD |
			     PTRACE_O_TRACEVFORKDONE;
	const char *text = has_line ? the_line : "nm_notifyuser\n";
	struct person *person;
	int pair[2], status;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		stop("socketpair");
	if (send(pair[0], text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		stop("send");
	note("sent %u %llu %d %u\n", ids, (unsigned long long)now_ns(), has_line, source);
	pid = fork();
	if (pid < 0)
		stop("fork");
	if (pid == 0)
		become_handler(pair[1], source);
	close(pair[1]);
	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status) ||
		ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)options) != 0)
		stop("ptrace");
	person = person_new(HANDLER, pid);
	person->fd = pair[0];
	person->id = ids++;
	if (!is_calm && below(2) == 0)
		plan_by_calls(person, CALLS_MOST);
	else if (!is_calm && below(3) == 0)
		plan_by_time(person, below(2) ? 2000 : AFTER_US);
	go_on(person, 0);
	return person->id;
}

/* ---- Rounds ---- */

/* Nobody else is killed for now. */
static void pardon(void)
{
	is_calm = true;
	for (unsigned i = 0; i < PEOPLE_MAX; i++)
		people[i].plan = LIVES;
}

static char state_of(pid_t pid)
{
	char path[32], text[256];
	const char *state;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[length > 0 ? length : 0] = '\0';
	state = strrchr(text, ')');
	return state != NULL && state[1] != '\0' ? state[2] : '-';
}

/* Only a waiter and a supervisor have closed their connection and sleep. */
static void count_sleepers(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < PEOPLE_MAX; i++)
		count += people[i].kind == HANDLER && people[i].is_closed && state_of(people[i].pid) == 'S';
	note("alive %u %llu\n", count, (unsigned long long)now_ns());
}

/* A child that was killed with its supervisor can be waited for before we hear that it was made. */
static void forget_the_gone(void)
{
	for (unsigned i = 0; i < PEOPLE_MAX; i++) {
		if (people[i].kind != CHILD || state_of(people[i].pid) != '-')
			continue;
		note("died %d %llu\n", people[i].pid, (unsigned long long)now_ns());
		person_gone(&people[i]);
	}
}

/* False: something is left. */
static bool come_to_rest(int signals)
{
	uint64_t deadline = now_ns() + MOST_MS * 1000000ull;

	while (is_anybody() && now_ns() < deadline)
		if (!turn(signals, now_ns() + IDLE_MS * 1000000u)) {
			forget_the_gone();
			count_sleepers();
		}
	for (unsigned i = 0; i < PEOPLE_MAX; i++)
		if (people[i].kind != NOBODY)
			fprintf(stderr, "killer: left: process %d, kind %d, state %c\n", (int)people[i].pid,
				(int)people[i].kind, state_of(people[i].pid));
	note("%s %llu\n", is_anybody() ? "stuck" : "rest", (unsigned long long)now_ns());
	return !is_anybody();
}

static bool rounds(int signals, unsigned count, unsigned sources)
{
	for (unsigned i = 0; i < count; i++) {
		/* Few, so that nobody makes up for one who is killed; or many. */
		unsigned handlers = 1 + below(below(2) ? 2 : HANDLERS_MOST);

		for (unsigned n = 0; n < handlers; n++) {
			(void)handler_start(below(5) != 0, below(sources));
			pass(signals, now_ns() + below(4) * below(1000) * 1000u);
		}
		if (below(2) != 0 && i + 1 < count)
			continue;
		pass(signals, now_ns() + below(50) * 1000000u);
		pardon();
		/* Who dies holds the turn until he is gone, and so does a killed supervisor's child:
		 * who comes before, and has no line, is right to leave it alone. */
		while (is_any(CHILD) || is_anybody_dying())
			if (!turn(signals, now_ns() + IDLE_MS * 1000000u))
				forget_the_gone();

		note("last %u %llu\n", handler_start(below(3) == 0, below(sources)),
			(unsigned long long)now_ns());
		if (!come_to_rest(signals))
			return false;
		is_calm = false;
	}
	return true;
}

/* May we trace? */
static int probe(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 && raise(SIGSTOP) == 0 ? 0 : 1);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return 1;
	(void)kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) != pid;
}

int main(int argc, char **argv)
{
	sigset_t set;
	int signals;

	if (argc == 2 && strcmp(argv[1], "probe") == 0)
		return probe();
	if (argc < 4)
		return 2;
	history = open(argv[strcmp(argv[1], "action") == 0 ? 2 : 3], O_WRONLY | O_APPEND | O_CLOEXEC);
	if (history < 0)
		return 99;
	if (strcmp(argv[1], "action") == 0)
		return action(argv[3]);
	if (argc != 7)
		return 2;
	program = argv[1];
	configuration = argv[2];
	seed = strtoull(argv[5], NULL, 10) | 1;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	/* What becomes of an action without its supervisor is told to us. */
	if (signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
		stop("signalfd");
	return rounds(signals, (unsigned)atoi(argv[4]), (unsigned)atoi(argv[6])) ? 0 : 1;
}
