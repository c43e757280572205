/* SPDX-License-Identifier: ISC */
/*
 * The network process's beginning, executed anew by the runner: as who started that, without a
 * filter. It takes what was handed over, and gives up everything before it touches a socket.
 */
#include "daemon/network.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/handover.h"
#include "policy/confine.h"
#include "run/decision.h"

extern const struct policy network_policies[];

/* What it is made of. One to a process. */
static struct {
	struct conf conf;
	struct served_accounts accounts;
	struct listener listener[LISTENERS_MAX];
	struct network network;
} own;

static void on_own_bus(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	if (!accounts_shut_at(&own.accounts, info->si_addr))
		_exit(EX_IOERR); /* the runner says what that means */
}

static bool own_account(struct shared *shared, unsigned account, int fd)
{
	struct served_account *served = &own.accounts.served[account];

	served->account = &own.conf.accounts[account];
	served->spare = &shared->spare[account];
	served->is_shut = shared->conf.account[account].is_shut;
	served->state = served->is_shut ? served->spare : state_of(fd, sizeof(struct state));
	if (served->state == NULL)
		return false;
	(void)close(fd); /* it is mapped */
	served->turn = decision_turn(served->account, served->state);
	served->turn.fd = fd + 1;
	return true;
}

/* Maps what was handed over. NULL: it cannot be. */
static const struct network_conf *own_take(void)
{
	struct sigaction action = { .sa_sigaction = on_own_bus, .sa_flags = SA_SIGINFO };
	struct shared *shared = shared_map(SHARED_FD);
	const struct network_conf *network_conf;

	if (shared == NULL)
		return NULL;
	network_conf = &shared->conf;
	network_conf_take(network_conf, &own.conf);
	memcpy(own.listener, network_conf->listener, sizeof(own.listener));
	own.accounts.denied = state_of(DENIED_FD, STATE_HEADER_BYTES);
	own.accounts.is_root = network_conf->is_root;
	own.accounts.count = network_conf->accounts_count;
	(void)close(SHARED_FD); /* as in own_account() */
	(void)close(DENIED_FD);
	if (own.accounts.denied == NULL || sigaction(SIGBUS, &action, NULL) != 0)
		return NULL;
	for (unsigned i = 0; i < network_conf->accounts_count; i++)
		if (!own_account(
			    shared, i, LISTENERS_FD + (int)(network_conf->listeners_count + 2 * i)))
			return NULL;
	own.network.conf = &own.conf;
	own.network.accounts = &own.accounts;
	own.network.progress = &shared->progress;
	own.network.listener = own.listener;
	own.network.listeners_count = network_conf->listeners_count;
	own.network.alive_every = network_conf->alive_every;
	return network_conf;
}

/* Without the runner nobody would end us, were we taken over: the kernel does. Set after the last
 * change of ids, which would take it back (prctl(2)). */
static bool die_with_runner(const struct network_conf *network_conf)
{
	return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == network_conf->runner;
}

int network_main(void)
{
	const struct network_conf *network_conf = relocations_guard() ? own_take() : NULL;

	(void)prctl(PR_SET_NAME, "nmnotifyd"); /* else the number of a descriptor; cannot fail */
	if (network_conf == NULL || !network_prepare(&own.network) ||
		(network_conf->is_root && !privileges_become(&network_conf->user)) ||
		!die_with_runner(network_conf) || !confine(&network_policies[0]))
		return EX_OSERR;
	return network_serve(&own.network);
}
