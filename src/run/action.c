/* SPDX-License-Identifier: ISC */
#include "run/action.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/confine.h"
#include "run/executable.h"
#include "lib/layout.h"
#include "lib/text.h"

#define REASON_MAX   1024
#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

/* From SIGTERM to SIGKILL. */
#define GRACE_MS 5000

/* Looks at the rest of a process group whose leader has ended. */
#define GROUP_LOOK_MS 50

/* How long what the action leaves behind may take to end without a word in the log. */
#define OTHERS_LOOK_MS 200

/* Dead children that are waited for in one go. */
#define REAP_MOST 1000

/* The child runs on it until execve(2): a few small frames. */
#define CHILD_STACK_BYTES 16384

enum base_variable {
	VARIABLE_PATH,
	VARIABLE_HOME,
	VARIABLE_USER,
	VARIABLE_LOGNAME,
	VARIABLE_SHELL,
	VARIABLE_ACCOUNT,
	VARIABLE_SOURCE,
	VARIABLE_RUNTIME,
	VARIABLES
};

struct environment {
	char text[VARIABLES][sizeof("NMNOTIFY_ACCOUNT=") + USER_TEXT_MAX];
	char *variable[VARIABLES + CONF_PASS_MAX + CONF_ENV_MAX + 1];
	unsigned count;
};

struct child {
	const struct action *action;
	struct turn *turn;
	struct environment environment;
	pid_t parent;
	volatile int error; /* written by the child, in memory that both have: what failed */
};

/* ---- Signals ---- */

/* What a program expects that was started afresh: default dispositions, empty mask. */
static bool signals_reset(void)
{
	static const char standard[64]; /* the kernel's struct sigaction, with SIG_DFL */
	sigset_t none;

	/* Not sigaction(3), which will not touch the signals that libc keeps for threads, though
	 * posix_spawn(3) may have left them ignored. Fails for SIGKILL and SIGSTOP alone. */
	for (int number = 1; number < _NSIG; number++)
		if (number != SIGBUS) /* caught while the state is mapped; execve(2) resets it */
			(void)syscall(SYS_rt_sigaction, number, standard, NULL, _NSIG / 8);
	(void)sigemptyset(&none); /* sigsetops(3): fails for no valid set */
	return sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

static void supervisor_signals(sigset_t *set)
{
	static const int watched[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP };

	(void)sigemptyset(set);
	for (unsigned i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
		(void)sigaddset(set, watched[i]);
}

/* ---- Environment ---- */

static bool is_same_name(const char *a, const char *b)
{
	size_t length = strcspn(a, "=");

	return strncmp(a, b, length + 1) == 0;
}

/* Adds a variable; a later one of the same name takes an earlier one's place. */
static void environment_put(struct environment *environment, char *text)
{
	for (unsigned i = 0; i < environment->count; i++) {
		if (is_same_name(environment->variable[i], text)) {
			environment->variable[i] = text;
			return;
		}
	}
	environment->variable[environment->count++] = text;
}

/*
 * The directory by which programs find their user's own services: with it systemctl --user, D-Bus
 * and the like work. Only if he himself, or his own service manager, has started us and it is his:
 * what root's environment says of it is not about him. NULL: none.
 */
static const char *runtime_directory(void)
{
	const char *path = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (getauxval(AT_EUID) == 0 || path == NULL || *path != '/' || stat(path, &st) != 0)
		return NULL;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
			       (st.st_mode & (S_IWGRP | S_IWOTH)) == 0
		       ? path
		       : NULL;
}

/* What the account wants of our own environment, where it is set. */
static void environment_pass(struct environment *environment, const struct action *action)
{
	const struct conf *conf = action->conf;

	for (unsigned i = 0; i < conf->passes_count; i++) {
		const char *name = conf->passes[i].text;
		size_t length = strlen(name);

		if (!conf_variable_is_of(conf, &conf->passes[i], action->account))
			continue;
		for (char **variable = environ; *variable != NULL; variable++) {
			if (strncmp(*variable, name, length) == 0 && (*variable)[length] == '=') {
				environment_put(environment, *variable);
				break;
			}
		}
	}
}

static void environment_make(struct environment *environment, const struct action *action)
{
	const struct user *user = action->user;
	const struct conf *conf = action->conf;
	const struct {
		const char *name, *value;
	} base[VARIABLES] = {
		[VARIABLE_PATH] = { "PATH", PATH_DEFAULT },
		[VARIABLE_HOME] = { "HOME", user->home },
		[VARIABLE_USER] = { "USER", user->name },
		[VARIABLE_LOGNAME] = { "LOGNAME", user->name },
		[VARIABLE_SHELL] = { "SHELL", user->shell },
		[VARIABLE_ACCOUNT] = { "NMNOTIFY_ACCOUNT", action->account->name },
		[VARIABLE_SOURCE] = { "NMNOTIFY_SOURCE", action->source },
		[VARIABLE_RUNTIME] = { "XDG_RUNTIME_DIR", runtime_directory() },
	};

	for (unsigned i = 0; i < VARIABLES; i++) {
		struct text text = TEXT_IN(environment->text[i]);

		if (base[i].value == NULL)
			continue;
		text_add(&text, "%s=%s", base[i].name, base[i].value);
		if (!text.cut)
			environment_put(environment, environment->text[i]);
	}
	environment_pass(environment, action);
	for (unsigned i = 0; i < conf->variables_count; i++)
		if (conf_variable_is_of(conf, &conf->variables[i], action->account))
			environment_put(environment, conf->variables[i].text);
	environment->variable[environment->count] = NULL;
}

/* ---- The child ---- */

/* Its output goes where our log may go; never to the other end. */
static bool child_descriptors(const struct log *log)
{
	int output = log->stderr_usable ? STDERR_FILENO : STDIN_FILENO;

	return dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0;
}

/*
 * Runs in our memory while we are suspended (CLONE_VM and CLONE_VFORK), with descriptors of its
 * own. Until execve(2) closes its copy of the turn file, that copy keeps the lock `running`, even
 * if we are killed now: so `action` is written before anybody else can take that lock.
 */
static int child_main(void *argument)
{
	/* tests/model/turn.pml: action_child. */
	struct child *child = argument;
	const struct action *action = child->action;
	const struct user *user = action->user;
	char *const *words = (char *const *)action->conf->words + action->account->action.start;
	sigset_t none;

	(void)sigemptyset(&none);
	/* If we died before prctl(2), no signal will come: see it by the parent's number. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == child->parent && setsid() >= 0 &&
		child_descriptors(action->tally->log) &&
		sigprocmask(SIG_SETMASK, &none, NULL) == 0 &&
		(chdir(user->home) == 0 || chdir("/") == 0) &&
		(!action->account->isolate || isolate())) {
		turn_action_is(child->turn, getpid());
		(void)execve(words[0], words, child->environment.variable);
	}
	child->error = errno;
	_exit(STATUS_NOT_FOUND); /* the parent says which it is */
}

/*
 * Returns the child's process number once it has executed the action, failed to, or been killed;
 * -1: errno. It has no termination signal (clone(2)) until execve(2) gives it SIGCHLD.
 */
static pid_t child_start(struct child *child)
{
	/* tests/model/turn.pml: child_start(). */
	static LAYOUT_LAST _Alignas(16) char stack[CHILD_STACK_BYTES];

	return clone(child_main, stack + sizeof(stack), CLONE_VM | CLONE_VFORK, child);
}

/*
 * Did it execute the action, or was it killed just before? Without __WCLONE, waitid(2) knows only
 * children with SIGCHLD: those that did.
 */
static bool child_has_executed(pid_t child)
{
	/* tests/model/turn.pml: child_has_executed(). */
	siginfo_t info;

	return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* ---- The supervisor ---- */

struct supervision {
	pid_t child;
	uint64_t begun;     /* CLOCK_MONOTONIC, ms: a machine that sleeps runs no action */
	const char *reason; /* why we end it, or NULL */
	bool has_ended;     /* the child */
	int status;         /* of it, then: wait(2)'s */
	bool had_others;    /* a wrapper that executed us may have left us children before */
	bool has_others;    /* children that are alive: what it has left behind */
};

/* Waits for those who are dead: the child, and what it has left behind, which is ours then: see
 * others_adopt(). A bound, since those may die as fast as we wait for them. */
static void reap(struct supervision *run)
{
	pid_t pid = 0;
	int status;

	for (unsigned i = 0; i < REAP_MOST && (pid = waitpid(-1, &status, WNOHANG)) > 0; i++) {
		if (pid == run->child) {
			run->has_ended = true;
			run->status = status;
		}
	}
	run->has_others = pid >= 0; /* else there are none */
}

/* Waits up to `deadline` for one of the signals that we watch, then reaps. The signal, or -1. */
static int signal_await(struct supervision *run, uint64_t deadline)
{
	uint64_t now = clock_milliseconds(CLOCK_MONOTONIC);
	uint64_t rest = deadline > now ? deadline - now : 0;
	struct timespec timeout = { .tv_sec = (time_t)(rest / 1000),
		.tv_nsec = (long)(rest % 1000 * 1000000) };
	sigset_t set;
	int got;

	supervisor_signals(&set);
	got = sigtimedwait(&set, NULL, &timeout);
	reap(run);
	return got;
}

/* Waits for the child's end until `deadline`. True: it has ended. A signal that asks us to end cuts
 * the wait short. */
static bool child_await(struct supervision *run, uint64_t deadline)
{
	do {
		int got = signal_await(run, deadline);

		if (run->has_ended)
			return true;
		if (got > 0 && got != SIGCHLD && run->reason == NULL) {
			run->reason = "signal";
			return false;
		}
		/* What others' ends wake us for does not put off the deadline. */
	} while (clock_milliseconds(CLOCK_MONOTONIC) < deadline);
	return false;
}

/* The action's group outlives it for as long as GRACE_MS, then it is killed. */
static void group_end(struct supervision *run, uint64_t deadline)
{
	struct timespec look = { .tv_nsec = GROUP_LOOK_MS * 1000000L };

	while (kill(-run->child, 0) == 0) {
		if (clock_milliseconds(CLOCK_MONOTONIC) >= deadline) {
			(void)kill(-run->child, SIGKILL); /* it may have gone by itself: as well */
			return;
		}
		(void)nanosleep(&look, NULL); /* cut short: looks sooner */
		reap(run);                    /* the dead are in the group until then */
	}
}

static void supervise(struct supervision *run, struct span timeout)
{
	/* tests/model/turn.pml: supervise(). */
	uint64_t deadline;

	if (child_await(run, run->begun + timeout.ms))
		return;
	if (run->reason == NULL)
		run->reason = "timeout";
	(void)kill(-run->child, SIGTERM); /* our child, not waited for yet: it is there */
	deadline = clock_milliseconds(CLOCK_MONOTONIC) + GRACE_MS;
	if (child_await(run, deadline)) {
		group_end(run, deadline);
		return;
	}
	(void)kill(-run->child, SIGKILL);
	while (waitpid(run->child, &run->status, 0) < 0 && errno == EINTR)
		;
	reap(run);
}

/* Makes us the parent of whatever the action leaves behind (PR_SET_CHILD_SUBREAPER(2const)): so we
 * know of it without looking at all processes. When we end it gets the next such parent. */
static void others_adopt(struct supervision *run)
{
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* fails for no valid option */
	reap(run);
	run->had_others = run->has_others;
}

/* Has it left a process behind that lives on? What is only slow to end does not count. */
static bool others_remain(struct supervision *run)
{
	uint64_t deadline = clock_milliseconds(CLOCK_MONOTONIC) + OTHERS_LOOK_MS;

	while (run->has_others && run->reason == NULL &&
		clock_milliseconds(CLOCK_MONOTONIC) < deadline) {
		int got = signal_await(run, deadline);

		if (got > 0 && got != SIGCHLD)
			break;
	}
	return run->has_others && !run->had_others;
}

static int exit_status(int status)
{
	return WIFSIGNALED(status) ? STATUS_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static int not_executed(const struct action *action, int error)
{
	const char *path = action->conf->words[action->account->action.start];
	char reason[REASON_MAX];
	struct text text = TEXT_IN(reason);
	int status = error == ENOENT || error == ENOTDIR ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;

	/* One errno has many reasons. */
	if (executable_explain(path, &text) != EXECUTABLE_WRONG) {
		text.length = 0;
		text_add(&text, "%s: %s", path, strerror(error));
	}
	log_run_failed(action->tally->log, status, reason);
	return status;
}

static int start(const struct action *action, struct decision *decision)
{
	/* tests/model/turn.pml: start to ended. */
	static LAYOUT_LAST struct child child; /* zeros; too large for a stack of one page */
	struct supervision run = { .reason = NULL };
	struct turn *turn = decision->turn;
	sigset_t set;
	uint64_t took;
	int status;

	child.action = action;
	child.turn = turn;
	child.parent = getpid();
	environment_make(&child.environment, action);
	supervisor_signals(&set);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return not_executed(action, errno);
	others_adopt(&run);
	turn_start(turn);
	run.begun = clock_milliseconds(CLOCK_MONOTONIC);
	run.child = child_start(&child);
	if (run.child < 0)
		return not_executed(action, errno);
	if (!child_has_executed(run.child)) {
		(void)waitpid(run.child, NULL, __WALL); /* our child, and not waited for yet */
		turn_ended(turn);
		return not_executed(action, child.error != 0 ? child.error : ECANCELED);
	}
	decision_executed(decision);
	supervise(&run, action->account->timeout);
	turn_ended(turn);
	took = clock_milliseconds(CLOCK_MONOTONIC) - run.begun;
	status = exit_status(run.status);
	log_run_ended(action->tally->log, status, took, run.reason, others_remain(&run));
	return status;
}

int action_run(const struct action *action, struct decision *decision)
{
	if (signals_reset() && decision_wait(decision))
		return start(action, decision);
	tally_error(action->tally, "waiting for the turn: %s", strerror(errno));
	return STATUS_REFUSED;
}
