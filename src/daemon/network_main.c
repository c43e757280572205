/* SPDX-License-Identifier: ISC */
/*
 * The network process, executed anew by the runner: it begins as the user that started us, takes
 * what was handed over, and gives up everything before it touches a socket.
 */
#include "daemon/network.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "policy/confine.h"

extern const struct policy network_policies[];

/* What it is made of. One to a process. */
static struct {
	struct conf conf;
	struct desks desks;
	struct listener listener[LISTENERS_MAX];
	struct network_process process;
} own;

static void on_own_bus(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	if (!desks_shut_at(&own.desks, info->si_addr))
		_exit(EX_IOERR); /* the runner says what that means */
}

static bool own_desk(struct board *board, unsigned account, int fd)
{
	struct desk *desk = &own.desks.desk[account];

	desk->account = &own.conf.accounts[account];
	desk->spare = &board->spare[account];
	desk->is_shut = board->told.account[account].is_shut;
	desk->state = desk->is_shut ? desk->spare : state_of(fd, sizeof(struct state));
	if (desk->state == NULL)
		return false;
	(void)close(fd); /* it is mapped */
	desk->turn = decision_turn(desk->account, desk->state);
	desk->turn.fd = fd + 1;
	return true;
}

/* Maps what was handed over. NULL: it cannot be. */
static const struct told *own_take(void)
{
	struct sigaction action = { .sa_sigaction = on_own_bus, .sa_flags = SA_SIGINFO };
	struct board *board = board_map(BOARD_FD);
	const struct told *told;

	if (board == NULL)
		return NULL;
	told = &board->told;
	told_take(told, &own.conf);
	memcpy(own.listener, told->listener, sizeof(own.listener));
	own.desks.denied = state_of(DENIED_FD, STATE_HEADER_BYTES);
	own.desks.is_root = told->is_root;
	own.desks.count = told->accounts_count;
	(void)close(BOARD_FD); /* as in own_desk() */
	(void)close(DENIED_FD);
	if (own.desks.denied == NULL || sigaction(SIGBUS, &action, NULL) != 0)
		return NULL;
	for (unsigned i = 0; i < told->accounts_count; i++)
		if (!own_desk(board, i, LISTENERS_FD + (int)(told->listeners_count + 2 * i)))
			return NULL;
	own.process = (struct network_process){
		.conf = &own.conf,
		.desks = &own.desks,
		.board = board,
		.listener = own.listener,
		.listeners_count = told->listeners_count,
		.alive_every = told->alive_every,
	};
	return told;
}

/* Without the runner nobody would end us, were we taken over: the kernel does. Set after the last
 * change of ids, which would take it back (prctl(2)). */
static bool die_with_runner(const struct told *told)
{
	return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == told->runner;
}

int network_main(void)
{
	const struct told *told = relocations_guard() ? own_take() : NULL;

	(void)prctl(PR_SET_NAME, "nmnotifyd"); /* else the number of a descriptor; cannot fail */
	if (told == NULL || !network_prepare(&own.process) ||
		(told->is_root && !privileges_become(&told->user)) || !die_with_runner(told) ||
		!confine(&network_policies[0]))
		return EX_OSERR;
	return network_serve(&own.process);
}
