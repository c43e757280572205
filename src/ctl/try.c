/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/refusal.h"
#include "ctl/trace.h"
#include "policy/confine.h"
#include "run/action.h"

static int tell(const struct ctl *ctl, const struct refusals *refusals, int status, bool is_watched)
{
	if (!is_watched)
		return ctl_fail(ctl, action_exit_status(status),
			"what was refused cannot be seen: no process may be traced here; see "
			"kernel.yama.ptrace_scope, or run as root");
	if (refusals->count == 0)
		(void)ctl_fail(ctl, 0, "nothing was refused%s",
			status != 0 ? ": what it has failed for, it says above" : "");
	else
		(void)ctl_fail(ctl, 0, "refused calls: %u, different ones: %u", refusals->count,
			refusals->said_count);
	return action_exit_status(status);
}

/* The handler runs it, as for a line: in its turn, as its user, under its policy. */
int ctl_try(struct ctl *ctl, int argc, char **argv)
{
	static struct refusals refusals;
	static struct user user;
	const struct trace trace = { .watcher = refusal_watch, .context = &refusals };
	char *words[] = { (char *)(uintptr_t)ctl->handler, (char *)(uintptr_t) "-f",
		(char *)(uintptr_t)ctl->conf_file, (char *)(uintptr_t) "-o",
		(char *)(uintptr_t) "log stderr", (char *)(uintptr_t) "-bs", NULL, NULL };
	bool is_watched = false;
	int status = ctl_take_account(ctl, argc, argv, &refusals.account);

	if (status == EX_OK)
		status = ctl_take_user(ctl, refusals.account, &user);
	if (status != EX_OK)
		return status;
	refusals.policy = policy_find(refusals.account->confine);
	refusals.user = &user;
	refusals.own[0] = ctl->conf_file;
	refusals.own[1] = ctl->base_path;
	words[6] = argv[0];
	if (!trace_run(&trace, words, &status, &is_watched))
		return ctl_fail(ctl, EX_UNAVAILABLE,
			"%s: %s; install the listener, or say where it is by -p", ctl->handler,
			strerror(errno));
	return tell(ctl, &refusals, status, is_watched);
}
