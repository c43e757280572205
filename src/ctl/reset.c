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

static int fail_state(const struct ctl *ctl, const struct state_error *error)
{
	return ctl_fail(ctl, EX_NOPERM,
		"state %s: %s %s%s%s; run as root, or as the account's user", ctl->base_path,
		error->what, error->name, error->code != 0 ? ": " : "",
		error->code != 0 ? strerror(error->code) : "");
}

/* As the account's user, as all that use his state: root would follow what he has put there. */
static int forget(const struct ctl *ctl, const struct account *account, int directory, uid_t owner)
{
	struct state_error error;
	struct state *state = state_map(directory, STATE_LIMITS, owner, sizeof(*state), &error);
	struct turn turn;

	if (state == NULL)
		return fail_state(ctl, &error);
	turn = decision_turn(account, state);
	if (!turn_open(&turn, directory, &error))
		return fail_state(ctl, &error);
	if (!turn_forget(&turn))
		return ctl_fail(ctl, EX_OSERR, "%s", strerror(errno));
	(void)printf("%s has a fresh state%s\n", account->name,
		turn_has_debt(&turn) ? "; it still owes a start, which the next line makes" : "");
	return EX_OK;
}

int ctl_reset(struct ctl *ctl, int argc, char **argv)
{
	const struct account *account;
	struct state_error error;
	struct user user;
	const char *wrong;
	int base, directory;

	if (argc != 1)
		return ctl_fail_usage(ctl, "needs an account");
	if (!ctl_read_conf(ctl))
		return EX_CONFIG;
	account = ctl_account(ctl, argv[0]);
	if (account == NULL)
		return EX_USAGE;
	wrong = ctl_find_user(account, &user);
	if (wrong != NULL)
		return ctl_fail(ctl, EX_NOPERM, "user %s %s; run as root, or as that user",
			account->user.text, wrong);
	base = state_base_open(ctl->base_path, geteuid(), &error);
	if (base < 0)
		return fail_state(ctl, &error);
	directory = state_account_open(base, account->name, geteuid(), user.uid, user.gid, &error);
	if (directory < 0)
		return fail_state(ctl, &error);
	if (geteuid() == 0 && !privileges_become(&user))
		return ctl_fail(ctl, EX_OSERR, "becoming user %s: %s", user.name, strerror(errno));
	return forget(ctl, account, directory, user.uid);
}
