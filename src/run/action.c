/* SPDX-License-Identifier: ISC */
#include "run/action.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "run/reach.h"

/* From SIGTERM to SIGKILL. */
static const struct span grace = { .ms = 5000 };

/* Between two looks at the rest of a process group whose leader has ended. */
static const struct span group_look = { .ms = 50 };

/* Processes that the action leaves behind may take so long to end before the log mentions them. */
static const struct span others_look = { .ms = 200 };

/* Dead children that are waited for in one go. */
#define REAP_MOST 1000

/* The child runs on it until execve(2): a few small frames. */
#define CHILD_STACK_BYTES 16384

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
	struct action *action = argument;
	const struct job *job = action->job;
	const struct user *user = job->user;
	char *const *words = action->command->words;
	sigset_t none;

	(void)sigemptyset(&none);
	/* If we died before prctl(2), no signal will come: see it by the parent's number. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == action->self && setsid() >= 0 &&
		child_descriptors(job->tally->log) && sigprocmask(SIG_SETMASK, &none, NULL) == 0 &&
		(chdir(user->home) == 0 || chdir("/") == 0) && landlock_hold(&action->ruleset)) {
		if (action->command == &job->account->action)
			turn_action_is(&action->job->turn, getpid());
		(void)execve(words[0], words, action->environment.variable);
	}
	action->error = errno;
	_exit(STATUS_NOT_FOUND); /* the parent says which it is */
}

/*
 * Returns the child's process number once it has executed the action, failed to, or been killed;
 * -1: errno. It has no termination signal (clone(2)) until execve(2) gives it SIGCHLD.
 */
static pid_t child_start(struct action *action)
{
	/* tests/model/turn.pml: child_start(). */
	static _Alignas(16) char stack[CHILD_STACK_BYTES];

	return clone(child_main, stack + sizeof(stack), CLONE_VM | CLONE_VFORK, action);
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

static void supervisor_signals(sigset_t *set)
{
	static const int watched[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP };

	(void)sigemptyset(set);
	for (unsigned i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
		(void)sigaddset(set, watched[i]);
}

/* Collects dead children: the action, and what it has left behind (others_adopt()). Not without a
 * bound, since new ones may die as fast. */
static void reap(struct action *action)
{
	pid_t pid = 0;
	int status;

	for (unsigned i = 0; i < REAP_MOST && (pid = waitpid(-1, &status, WNOHANG)) > 0; i++) {
		if (pid == action->child) {
			action->has_ended = true;
			action->status = status;
		}
	}
	action->has_others = pid >= 0; /* else there are none */
}

/* Waits up to `deadline` for one of the signals that we watch, then reaps. The signal, or -1. */
static int signal_await(struct action *action, struct deadline deadline)
{
	struct timespec timeout = span_timespec(deadline_rest(deadline));
	sigset_t set;
	int got;

	supervisor_signals(&set);
	got = sigtimedwait(&set, NULL, &timeout);
	reap(action);
	return got;
}

/* Waits for the child's end until `deadline`. True: it has ended. A signal that asks us to end cuts
 * the wait short. */
static bool child_await(struct action *action, struct deadline deadline)
{
	do {
		int got = signal_await(action, deadline);

		if (action->has_ended)
			return true;
		if (got > 0 && got != SIGCHLD && action->reason == NULL) {
			action->reason = "signal";
			action->is_asked_to_end = true;
			return false;
		}
		/* The ends of other children wake us, too: they do not put off the deadline. */
	} while (!deadline_has_passed(deadline));
	return false;
}

/* What is left of the action's process group has until `deadline`, then it is killed. */
static void group_end(struct action *action, struct deadline deadline)
{
	struct timespec look = span_timespec(group_look);

	while (kill(-action->child, 0) == 0) {
		if (deadline_has_passed(deadline)) {
			/* Fails if the group has gone meanwhile: that is fine. */
			(void)kill(-action->child, SIGKILL);
			return;
		}
		(void)nanosleep(&look, NULL); /* cut short: looks sooner */
		reap(action);                 /* until then the dead count as the group's */
	}
}

void action_supervise(struct action *action)
{
	/* tests/model/turn.pml: action_supervise(). */
	struct deadline deadline;

	if (child_await(action, deadline_add(action->begun, action->job->account->timeout)))
		return;
	if (action->reason == NULL)
		action->reason = "timeout";
	(void)kill(-action->child, SIGTERM); /* our child, not waited for yet: it is there */
	deadline = deadline_in(grace);
	if (child_await(action, deadline)) {
		group_end(action, deadline);
		return;
	}
	(void)kill(-action->child, SIGKILL);
	while (waitpid(action->child, &action->status, 0) < 0 && errno == EINTR)
		;
	reap(action);
}

/* Makes us the parent of whatever the action leaves behind (PR_SET_CHILD_SUBREAPER(2const)): so we
 * know of it without looking at all processes. When we end, it gets another parent. */
static void others_adopt(struct action *action)
{
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* fails for no valid option */
	reap(action);
	action->had_others = action->has_others;
}

bool action_has_left(struct action *action)
{
	struct deadline deadline = deadline_in(others_look);

	while (action->has_others && action->reason == NULL && !deadline_has_passed(deadline)) {
		int got = signal_await(action, deadline);

		if (got > 0 && got != SIGCHLD)
			break;
	}
	return action->has_others && !action->had_others;
}

int action_exit_status(int status)
{
	return WIFSIGNALED(status) ? STATUS_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- The run ---- */

bool action_prepare(struct action *action, struct job *job, const struct command *command)
{
	sigset_t set;

	/* Not all of it: the environment's texts are large. */
	action->job = job;
	action->command = command;
	action->self = getpid();
	action->reason = NULL;
	action->is_asked_to_end = action->has_ended = false;
	action->error = action->status = 0;
	action->environment.count = 0;
	environment_make(&action->environment, job);
	if (!reach_make(&action->ruleset, job, command, &action->environment))
		return false;
	supervisor_signals(&set);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return false;
	others_adopt(action);
	return true;
}

bool action_execute(struct action *action)
{
	action->begun = deadline_now();
	action->child = child_start(action);
	if (action->child < 0)
		action->error = errno;
	fd_close_if_open(action->ruleset.fd);
	if (action->child < 0)
		return false;
	if (child_has_executed(action->child))
		return true;
	(void)waitpid(action->child, NULL, __WALL); /* our child, and not waited for yet */
	if (action->error == 0)
		action->error = ECANCELED; /* killed just before */
	return false;
}
