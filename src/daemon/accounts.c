/* SPDX-License-Identifier: ISC */
/*
 * In the runner: as who started it, and as the account's user while it opens what is his. In the
 * network process only accounts_shut_at().
 */
#include "daemon/accounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/fd.h"
#include "run/decision.h"
#include "state/limiter.h"

/* A turn file of its own, whose lock says that the network process lives. */
static bool state_ask(struct served_account *served, struct state_error *error)
{
	struct turn asking = served->turn;

	if (!turn_open(&asking, served->directory, error))
		return false;
	served->asking = asking.fd;
	if (turn_lock_asking(&asking))
		return true;
	*error = (struct state_error){ .what = "cannot lock", .name = STATE_TURN, .code = errno };
	return false;
}

static bool state_take(struct served_account *served, struct state_error *error)
{
	const size_t size = sizeof(struct state);

	served->limits = state_open(served->directory, STATE_LIMITS, served->user.uid, size, error);
	if (served->limits < 0)
		return false;
	served->state = state_of(served->limits, size);
	if (served->state == NULL) {
		*error = (struct state_error){
			.what = "cannot map", .name = STATE_LIMITS, .code = errno
		};
		return false;
	}
	served->turn = decision_turn(served->account, served->state);
	return turn_open(&served->turn, served->directory, error) && state_ask(served, error);
}

/* As the account's user: what root made there he could not use. */
static bool state_take_as_user(
	struct served_account *served, struct program *program, struct state_error *error)
{
	const struct user *user = &served->user;
	bool is_open;

	served->directory = state_account_open(
		program->base, served->account->name, program->self, user->uid, user->gid, error);
	if (served->directory < 0)
		return false;
	if (program->self == 0 && (setegid(user->gid) != 0 || seteuid(user->uid) != 0))
		program_fail(program, "becoming an account's user");
	is_open = state_take(served, error);
	if (program->self == 0 && (seteuid(0) != 0 || setegid(getgid()) != 0))
		program_fail(program, "becoming root again");
	return is_open;
}

static int open_null(struct program *program)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		program_fail(program, "/dev/null");
	return fd;
}

/*
 * A user can spoil his state at will; others must be served all the same. His account is shut until
 * we are started again. Verdicts are counted in memory then.
 */
static void shut(
	struct served_account *served, struct program *program, const struct state_error *error)
{
	program->log.account = served->account->name;
	program_tell_state(program, error);
	program->log.account = NULL;
	served->is_shut = true;
	fd_close_if_open(served->directory);
	fd_close_if_open(served->limits);
	fd_close_if_open(served->asking);
	served->directory = -1;
	served->state = served->spare;
	served->turn = decision_turn(served->account, served->state);
	served->turn.fd = open_null(program);
	served->limits = open_null(program);
	served->asking = open_null(program);
}

bool served_account_open(struct served_account *served, struct program *program,
	const struct account *account, struct state *spare)
{
	struct state_error error;

	served->account = account;
	served->spare = spare;
	program_choose_user(program, account, false, &served->user);
	served->limits = served->asking = -1;
	if (!state_take_as_user(served, program, &error)) {
		/* Where all accounts are one user's, the super-server tries again. */
		if (program->self != 0)
			program_fail_state(program, &error);
		shut(served, program, &error);
	}
	if (!limiter_key(served->state))
		program_fail(program, "getrandom");
	return !served->is_shut;
}

void served_account_hand_over(struct served_account *served)
{
	fd_close_if_open(served->limits);
	fd_close_if_open(served->asking);
}

void served_account_close(struct served_account *served)
{
	fd_close_if_open(served->directory);
	fd_close_if_open(served->turn.fd);
	if (served->state != served->spare)
		(void)munmap(
			served->state, sizeof(struct state)); /* fails for no mapping of ours */
}

bool accounts_shut_at(struct served_accounts *accounts, const void *address)
{
	const size_t size = sizeof(struct state);

	for (unsigned i = 0; i < accounts->count && accounts->count > 1 && accounts->is_root; i++) {
		struct served_account *served = &accounts->served[i];

		if ((uintptr_t)address - (uintptr_t)served->state < size && !served->is_shut &&
			mremap(served->spare, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
				served->state) == served->state) {
			served->is_shut = true;
			return true;
		}
	}
	return false;
}
