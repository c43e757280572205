/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "lib/users.h"
#include "policy/confine.h"
#include "run/decision.h"

/* As the account's user, as all that use his state: root would follow what he has put there. */
static int forget(const struct ctl *ctl, const struct account *account, int directory, uid_t owner)
{
	struct state_error error;
	struct state *state = state_map(directory, STATE_LIMITS, owner, sizeof(*state), &error);
	struct turn turn;

	if (state == NULL)
		return ctl_fail_state(ctl, &error);
	turn = decision_turn(account, state);
	if (!turn_open(&turn, directory, &error))
		return ctl_fail_state(ctl, &error);
	if (!turn_forget(&turn))
		return ctl_fail(ctl, EX_OSERR,
			"state %s: it cannot be written: %s; see what "
			"`nmnotifyctl check` says",
			ctl->base_path, strerror(errno));
	(void)printf("%s has a fresh state%s\n", account->name,
		turn_has_debt(&turn) ? "; it still owes a start, which the next line makes" : "");
	return EX_OK;
}

static int fail_to_become(const struct ctl *ctl, const struct user *user)
{
	return ctl_fail(ctl, EX_OSERR, "becoming user %s: %s; run it as that user", user->name,
		strerror(errno));
}

int ctl_reset(struct ctl *ctl, int argc, char **argv)
{
	const struct account *account;
	struct state_error error;
	struct user user;
	int base, directory, status = ctl_take_account(ctl, argc, argv, &account);

	if (status == EX_OK)
		status = ctl_take_user(ctl, account, &user);
	if (status != EX_OK)
		return status;
	/* A service that runs as the account's user has made it. */
	if (geteuid() == 0 && state_base_is_of(ctl->base_path, user.uid) &&
		!privileges_become(&user))
		return fail_to_become(ctl, &user);
	base = state_base_open(ctl->base_path, geteuid(), &error);
	if (base < 0)
		return ctl_fail_state(ctl, &error);
	directory = state_account_open(base, account->name, geteuid(), user.uid, user.gid, &error);
	if (directory < 0)
		return ctl_fail_state(ctl, &error);
	if (geteuid() == 0 && !privileges_become(&user))
		return fail_to_become(ctl, &user);
	return forget(ctl, account, directory, user.uid);
}
