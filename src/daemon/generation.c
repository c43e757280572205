/* SPDX-License-Identifier: ISC */
/*
 * In the runner: as who started it, with no filter but the unit's. The child of it that
 * executes the network process ends here: that one begins in network_main.c.
 */
#include "daemon/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/request.h"
#include "lib/fd.h"
#include "policy/confine.h"

/* Whom root's network process becomes: the service's own user, or one that owns nothing. */
static const char *const network_users[] = { "nmnotify", "nobody" };

/* Turn requests' numbers that each generation has: far more than it has open at a time. */
#define NUMBERS_EACH (1u << 24)

/* ---- State that is cut ---- */

/* For the handler of SIGBUS alone: it looks through the generations that there are. */
static struct generation *bus_generation[GENERATIONS_MAX];

static void on_bus(int number, siginfo_t *info, void *context)
{
	(void)context;
	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (bus_generation[i] != NULL &&
			accounts_shut_at(&bus_generation[i]->accounts, info->si_addr))
			return;
	program_state_is_cut(number);
}

static bool bus_register(struct generation *g, bool is_there)
{
	for (unsigned i = 0; i < GENERATIONS_MAX; i++) {
		if (bus_generation[i] == (is_there ? NULL : g)) {
			bus_generation[i] = is_there ? g : NULL;
			return true;
		}
	}
	return false;
}

static void guard_state(struct generation *g)
{
	struct sigaction action = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };

	program_guard_state(&g->program);
	if (sigaction(SIGBUS, &action, NULL) != 0)
		program_fail(&g->program, "sigaction");
}

/* ---- Opening ---- */

static void open_denied(struct generation *g)
{
	struct state_error error;

	g->denied = state_open(
		g->program.base, STATE_DENIED, g->program.self, STATE_HEADER_BYTES, &error);
	if (g->denied < 0)
		program_fail_state(&g->program, &error);
	g->accounts.denied = state_of(g->denied, STATE_HEADER_BYTES);
	if (g->accounts.denied == NULL)
		program_fail(&g->program, "mmap");
}

static void open_shared(struct generation *g)
{
	static uint32_t numbers;
	struct progress *progress;

	g->memory = (int)syscall(SYS_memfd_create, "nmnotifyd", 1 /* MFD_CLOEXEC */);
	if (g->memory < 0 || ftruncate(g->memory, (off_t)sizeof(struct shared)) != 0)
		program_fail(&g->program, "memfd_create");
	g->shared = shared_map(g->memory);
	if (g->shared == NULL)
		program_fail(&g->program, "mmap");
	progress = &g->shared->progress;
	/* No two generations use the same numbers: see turn_answer(). */
	for (unsigned i = 0; i < CONF_ACCOUNTS_MAX; i++) {
		atomic_store(&progress->looking[i], numbers);
		atomic_store(&progress->settled[i], numbers);
	}
	numbers += NUMBERS_EACH;
}

/* ---- From the first step to the last ---- */

struct generation *generation_new(const struct launch *launch)
{
	struct generation *g = mmap(NULL, sizeof(*g), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* zeros; only what is used is ever touched */

	if (g == MAP_FAILED)
		return NULL;
	program_begin(&g->program, "nmnotifyd", launch->usage, &launch->streams);
	g->memory = g->denied = g->requests = -1;
	return g;
}

void generation_open(struct generation *g)
{
	unsigned usable = 0;

	if (!bus_register(g, true))
		program_fail_configuration(&g->program, "too many generations");
	program_open_base(&g->program);
	guard_state(g);
	open_shared(g);
	open_denied(g);
	g->accounts.is_root = g->program.self == 0;
	for (; g->accounts.count < g->program.conf.accounts_count; g->accounts.count++) {
		unsigned i = g->accounts.count;

		usable += served_account_open(&g->accounts.served[i], &g->program,
			&g->program.conf.accounts[i], &g->shared->spare[i]);
	}
	if (usable == 0)
		program_end(&g->program, EX_OSERR);
}

static bool signals_unblock(void)
{
	sigset_t none;

	(void)sigemptyset(&none); /* sigsetops(3): fails for no valid set */
	return sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

pid_t generation_try(const struct launch *launch)
{
	struct generation *g;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	g = signals_unblock() ? generation_new(launch) : NULL;
	if (g == NULL)
		_exit(EX_OSERR);
	program_configure(&g->program, launch->argc, launch->argv);
	generation_open(g);
	_exit(EX_OK);
}

/* What is the network process's alone. */
static void close_handed_over(struct generation *g)
{
	fd_close_if_open(g->memory);
	fd_close_if_open(g->denied);
	for (unsigned i = 0; i < g->accounts.count; i++)
		served_account_hand_over(&g->accounts.served[i]);
}

void generation_free(struct generation *g)
{
	for (unsigned i = 0; i < g->accounts.count; i++)
		served_account_close(&g->accounts.served[i]);
	fd_close_if_open(g->requests);
	if (g->program.base > 0)
		(void)close(g->program.base); /* was only read */
	log_close(&g->program.log);
	(void)bus_register(g, false);
	/* munmap(2) fails for no mapping of ours. */
	if (g->accounts.denied != NULL)
		(void)munmap(g->accounts.denied, STATE_HEADER_BYTES);
	if (g->shared != NULL)
		(void)munmap(g->shared, sizeof(*g->shared));
	(void)munmap(g, sizeof(*g));
}

struct log generation_log(const struct generation *g, unsigned account, const struct source *source,
	char text[static SOURCE_TEXT_MAX])
{
	struct log log = g->program.log;

	log.source = source_text(source, text);
	log.account = NULL;
	if (account != ACCOUNT_NONE)
		log.account = g->accounts.served[account].account->name;
	return log;
}

/* ---- Starting the network process ---- */

static bool is_an_accounts(const struct generation *g, uid_t uid)
{
	for (unsigned i = 0; i < g->accounts.count; i++)
		if (g->accounts.served[i].user.uid == uid)
			return true;
	return false;
}

/* If there is a choice, not a user of an account: its action could kill the network process, and
 * with it the service of all accounts. */
static void choose_network_user(struct generation *g, struct user *chosen)
{
	struct user user;

	chosen->uid = 0;
	for (unsigned i = 0; i < sizeof(network_users) / sizeof(network_users[0]); i++) {
		if (user_by_name(network_users[i], &user) != NULL)
			continue;
		if (!is_an_accounts(g, user.uid)) {
			*chosen = user;
			return;
		}
		if (chosen->uid == 0)
			*chosen = user;
	}
	if (chosen->uid == 0)
		program_fail_configuration(
			&g->program, "there is neither a user nmnotify nor nobody");
}

static void fill_conf(struct generation *g, const struct launch *launch)
{
	struct network_conf *network_conf = &g->shared->conf;

	network_conf_fill(network_conf, &g->program.conf);
	network_conf->runner = getpid();
	network_conf->is_root = g->program.self == 0;
	if (network_conf->is_root)
		choose_network_user(g, &network_conf->user);
	network_conf->alive_every = launch->alive_every;
	network_conf->listeners_count = launch->listeners_count;
	memcpy(network_conf->listener, launch->listener, sizeof(network_conf->listener));
	for (unsigned i = 0; i < network_conf->listeners_count; i++)
		network_conf->listener[i].fd = LISTENERS_FD + (int)i;
	for (unsigned i = 0; i < network_conf->accounts_count; i++)
		network_conf->account[i].is_shut = g->accounts.served[i].is_shut;
}

/* In the child: makes these its descriptors from RUNNER_FD on, and closes all others but the last,
 * its own file, which is closed by execve(2). */
static bool descriptors_arrange(int fd[], int count)
{
	int behind = RUNNER_FD + count;

	/* First all of them out of the way. */
	for (int i = 0; i < count; i++) {
		fd[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, behind);
		if (fd[i] < 0)
			return false;
	}
	for (int i = 0; i < count - 1; i++)
		if (dup2(fd[i], RUNNER_FD + i) < 0)
			return false;
	if (dup3(fd[count - 1], behind - 1, O_CLOEXEC) < 0)
		return false;
	fd_close_from(behind);
	for (int i = 0; i <= STDERR_FILENO; i++)
		if (!fd_void(i))
			return false;
	return true;
}

_Noreturn static void execute_network(struct generation *g, const struct launch *launch, int pair)
{
	static char name[] = NETWORK_NAME;
	char *const arguments[] = { name, NULL };
	char *const environment[] = { NULL };
	int fd[LISTENERS_FD + LISTENERS_MAX + 2 * CONF_ACCOUNTS_MAX + 1], count = 0;

	fd[count++] = pair;
	fd[count++] = g->memory;
	fd[count++] = g->denied;
	for (unsigned i = 0; i < launch->listeners_count; i++)
		fd[count++] = launch->listener[i].fd;
	for (unsigned i = 0; i < g->accounts.count; i++) {
		fd[count++] = g->accounts.served[i].limits;
		fd[count++] = g->accounts.served[i].asking;
	}
	fd[count++] = launch->image;
	if (descriptors_arrange(fd, count) && signals_unblock())
		(void)syscall(SYS_execveat, RUNNER_FD + count - 1, "", arguments, environment,
			AT_EMPTY_PATH);
	tally_error(&g->program.tally, "executing the network process: %s", strerror(errno));
	_exit(EX_OSERR);
}

void generation_serve(struct generation *g, const struct launch *launch)
{
	int pair[2];

	fill_conf(g, launch);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		program_fail(&g->program, "socketpair");
	g->network_pid = fork();
	if (g->network_pid < 0)
		program_fail(&g->program, "fork");
	if (g->network_pid == 0)
		execute_network(g, launch, pair[1]);
	(void)close(pair[1]); /* the other's now */
	g->requests = pair[0];
	close_handed_over(g);
}
