/* SPDX-License-Identifier: ISC */
#include "ctl/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

/* At once; more are followed, but what they call is not shown. */
#define TRACED_MOST 1024

/* What is left when this process ends goes on by itself. */
#define OPTIONS                                                                                    \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |  \
		PTRACE_O_TRACEEXEC)

#define SYSTEM_CALL_STOP (SIGTRAP | 0x80) /* PTRACE_O_TRACESYSGOOD */

struct process {
	pid_t pid;       /* 0: free */
	bool is_known;   /* its parent has told of it */
	bool is_waiting; /* it has stopped before that */
	bool is_shown;   /* it has executed something, or its parent had */
	bool is_in_call;
	struct seccomp_data call;
};

struct following {
	const struct trace *trace;
	pid_t first;
	struct process processes[TRACED_MOST];
};

/* libc's has an enumeration for the request, and neither has all of it. */
static long request(long what, pid_t pid, unsigned long address, void *data)
{
	return syscall(SYS_ptrace, what, pid, address, data);
}

static struct process *process_of(struct following *following, pid_t pid)
{
	struct process *unused = NULL;

	for (unsigned i = 0; i < TRACED_MOST; i++) {
		if (following->processes[i].pid == pid)
			return &following->processes[i];
		if (following->processes[i].pid == 0 && unused == NULL)
			unused = &following->processes[i];
	}
	if (unused != NULL)
		*unused = (struct process){ .pid = pid };
	return unused;
}

/* It fails only for a process that was killed meanwhile; wait(2) tells of that. */
static void go_on(pid_t pid, int signal)
{
	(void)request(PTRACE_SYSCALL, pid, 0, (void *)(uintptr_t)signal);
}

static void show(
	struct following *following, struct process *process, bool has_result, int64_t result)
{
	const struct traced_call traced = { .process = process->pid,
		.call = process->call,
		.result = result,
		.has_result = has_result };

	process->is_in_call = false;
	if (process->is_shown)
		following->trace->watcher(following->trace->context, &traced);
}

static void at_call(struct following *following, struct process *process)
{
	struct ptrace_syscall_info info;

	if (request(PTRACE_GET_SYSCALL_INFO, process->pid, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		process->is_in_call = true;
		process->call = (struct seccomp_data){ .nr = (int)info.entry.nr,
			.arch = info.arch,
			.instruction_pointer = info.instruction_pointer };
		for (unsigned i = 0; i < 6; i++)
			process->call.args[i] = info.entry.args[i];
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && process->is_in_call) {
		show(following, process, true, info.exit.is_error ? info.exit.rval : 0);
	}
}

/* The child stops, too; either stop can be seen first. */
static void at_birth(struct following *following, const struct process *parent)
{
	unsigned long pid = 0;
	struct process *child;

	if (request(PTRACE_GETEVENTMSG, parent->pid, 0, &pid) != 0)
		return;
	child = process_of(following, (pid_t)pid);
	if (child == NULL)
		return;
	child->is_known = true;
	child->is_shown = parent->is_shown;
	if (child->is_waiting)
		go_on(child->pid, 0);
}

static void at_event(struct following *following, struct process *process, int event, int signal)
{
	switch (event) {
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE: at_birth(following, process); break;
	case PTRACE_EVENT_EXEC:
		/* The program itself is what we have started; what it executes is shown. */
		process->is_shown = process->pid != following->first;
		process->is_in_call = process->is_in_call && process->is_shown;
		break;
	case PTRACE_EVENT_STOP:
		if (signal != SIGTRAP) { /* a stop that is meant: it lasts until SIGCONT */
			(void)request(PTRACE_LISTEN, process->pid, 0, NULL);
			return;
		}
		process->is_waiting = !process->is_known;
		if (process->is_waiting)
			return;
		break;
	default: break;
	}
	go_on(process->pid, 0);
}

static void at_stop(struct following *following, pid_t pid, int status)
{
	struct process *process = process_of(following, pid);
	int event = status >> 16, signal = WSTOPSIG(status);

	if (process == NULL) {
		go_on(pid, event != 0 || signal == SYSTEM_CALL_STOP ? 0 : signal);
		return;
	}
	if (event != 0) {
		at_event(following, process, event, signal);
	} else if (signal == SYSTEM_CALL_STOP) {
		at_call(following, process);
		go_on(pid, 0);
	} else {
		go_on(pid, signal);
	}
}

static void at_end(struct following *following, pid_t pid)
{
	struct process *process = process_of(following, pid);

	if (process == NULL)
		return;
	if (process->is_in_call)
		show(following, process, false, 0);
	process->pid = 0;
}

/* Until the first has ended: what that leaves behind, it has said itself. */
static int follow(struct following *following)
{
	int status = 0;

	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return status;
		if (WIFSTOPPED(status)) {
			at_stop(following, pid, status);
			continue;
		}
		at_end(following, pid);
		if (pid == following->first)
			return status;
	}
}

/* Executes the program as soon as it is seen to. */
_Noreturn static void first_main(char *const *words, int seen)
{
	char byte;

	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGQUIT, SIG_DFL);
	if (read(seen, &byte, sizeof(byte)) == (ssize_t)sizeof(byte))
		(void)execv(words[0], words);
	_exit(EX_UNAVAILABLE);
}

bool trace_run(const struct trace *trace, char *const *words, int *status, bool *is_watched)
{
	static struct following following; /* large */
	int seen[2];

	if (access(words[0], X_OK) != 0 || pipe2(seen, O_CLOEXEC) != 0)
		return false;
	/* A terminal's are for the program, which ends the action first. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGQUIT, SIG_IGN);
	following = (struct following){ .trace = trace, .first = fork() };
	if (following.first == 0) {
		(void)close(seen[1]);
		first_main(words, seen[0]);
	}
	(void)close(seen[0]);
	if (following.first < 0) {
		(void)close(seen[1]);
		return false;
	}
	*is_watched = request(PTRACE_SEIZE, following.first, 0, (void *)(uintptr_t)OPTIONS) == 0;
	if (*is_watched) {
		/* From its first stop on each of its calls is one. */
		following.processes[0] =
			(struct process){ .pid = following.first, .is_known = true };
		(void)request(PTRACE_INTERRUPT, following.first, 0, NULL);
	}
	/* If it were not written, the end of the pipe would tell the same: it is not executed. */
	(void)!write(seen[1], "", 1);
	(void)close(seen[1]);
	*status = follow(&following);
	return true;
}
