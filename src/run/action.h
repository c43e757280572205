/* SPDX-License-Identifier: ISC */
/*
 * One run of an account's action, or of its program for failures: a child that executes it, and its
 * supervision to the end. The child gets no descriptor but 0, 1, 2, an environment made from
 * nothing, default signals, a session of its own, and the confinement that this process is already
 * under. It dies with this process.
 *
 * Everything here is the process of the run, which is the handler, or a child of nmnotifyd's
 * runner: as the account's user, under the policy that the account names.
 */
#ifndef NMNOTIFY_ACTION_H
#define NMNOTIFY_ACTION_H

#include "policy/landlock.h"
#include "run/environment.h"
#include "run/job.h"

/* Exit statuses of sh(1) for what could not be executed, and for a signal. */
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND      127
#define STATUS_SIGNAL         128

/* An exit status as wait(2) would say it. */
#define STATUS_EXITED(status) ((status) << 8)

struct action {
	struct job *job;
	const struct command *command; /* the account's action, or another of its programs */
	struct environment environment;
	struct landlock ruleset; /* which holds in the child alone */
	pid_t self;              /* this process */
	pid_t child;             /* the action; our child, and not waited for while it lives */
	struct deadline begun;   /* a machine that sleeps runs no action */
	const char *reason;      /* why we end it, or NULL */
	bool is_asked_to_end;    /* that is since a signal has asked this process to end */
	bool has_ended;          /* the child */
	int status;              /* of it, then: wait(2)'s */
	bool had_others;         /* before: a wrapper that executed us may have left us children */
	bool has_others;         /* there are other children: what the action has left behind */
	/* errno of what failed. The child writes it: it runs in our memory until execve(2). */
	volatile int error;
};

/* Before the start: makes it ready, whatever is in it. False with errno set. */
bool action_prepare(struct action *action, struct job *job, const struct command *command);

/*
 * Starts the child. True once it has executed the action. False: it has not, `error` says why, and
 * `child` is negative if there has not even been one.
 */
bool action_execute(struct action *action);

/* Waits for the action's end; ends it at its timeout, or at a signal to this process. */
void action_supervise(struct action *action);

/* What wait(2) says, as sh(1) would say it. */
int action_exit_status(int status);

/* Has it left a process behind that lives on? What is only slow to end does not count. */
bool action_has_left(struct action *action);

#endif
