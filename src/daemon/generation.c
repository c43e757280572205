/* SPDX-License-Identifier: ISC */
/*
 * The runner's: as the user that started us, root or an ordinary one, without a filter. Its child
 * executes the network process, whose side is network_main.c.
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

#include "policy/confine.h"
#include "lib/fd.h"

/* Whom root's network process becomes: the service's own user, or one that owns nothing. */
static const char *const network_users[] = { "nmnotify", "nobody" };

/* Far more requests than there are at a time. */
#define NUMBERS_EACH (1u << 24)

/* ---- The accounts' state ---- */

/* For the handler of SIGBUS alone: it looks through the generations that there are. */
static struct generation *bus_generation[GENERATIONS_MAX];

static void on_bus(int number, siginfo_t *info, void *context)
{
	(void)context;
	for (unsigned i = 0; i < GENERATIONS_MAX; i++)
		if (bus_generation[i] != NULL &&
			desks_shut_at(&bus_generation[i]->desks, info->si_addr))
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

/* A turn file of its own, whose lock says that the network process lives. */
static bool desk_ask(struct generation *g, unsigned account, struct state_error *error)
{
	struct desk *desk = &g->desks.desk[account];
	struct turn asking = desk->turn;

	if (!turn_open(&asking, desk->directory, error))
		return false;
	g->asking[account] = asking.fd;
	if (turn_asks(&asking))
		return true;
	*error = (struct state_error){ .what = "cannot lock", .name = STATE_TURN, .code = errno };
	return false;
}

static bool desk_map(struct generation *g, unsigned account, struct state_error *error)
{
	struct desk *desk = &g->desks.desk[account];
	const size_t size = sizeof(struct state);

	g->limits[account] = state_open(desk->directory, STATE_LIMITS, desk->user.uid, size, error);
	if (g->limits[account] < 0)
		return false;
	desk->state = state_of(g->limits[account], size);
	if (desk->state == NULL) {
		*error = (struct state_error){
			.what = "cannot map", .name = STATE_LIMITS, .code = errno
		};
		return false;
	}
	desk->turn = decision_turn(desk->account, desk->state);
	return turn_open(&desk->turn, desk->directory, error) && desk_ask(g, account, error);
}

/* An account's state is opened as its user: what root made there he could not use. */
static bool desk_open(struct generation *g, unsigned account, struct state_error *error)
{
	struct program *program = &g->program;
	struct desk *desk = &g->desks.desk[account];
	bool is_open;

	desk->directory = state_account_open(program->base, desk->account->name, program->self,
		desk->user.uid, desk->user.gid, error);
	if (desk->directory < 0)
		return false;
	if (program->self == 0 && (setegid(desk->user.gid) != 0 || seteuid(desk->user.uid) != 0))
		program_fail(program, "becoming an account's user");
	is_open = desk_map(g, account, error);
	if (program->self == 0 && (seteuid(0) != 0 || setegid(getgid()) != 0))
		program_fail(program, "becoming root again");
	return is_open;
}

static int open_null(struct generation *g)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		program_fail(&g->program, "/dev/null");
	return fd;
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		(void)close(fd); /* nothing is written by it that could be lost */
}

/*
 * Its user can spoil his state at will, which is no reason to leave the others without service. His
 * account takes nothing until we are started again; memory stands in, to count that in.
 */
static void desk_shut(struct generation *g, unsigned account, const struct state_error *error)
{
	struct program *program = &g->program;
	struct desk *desk = &g->desks.desk[account];

	program->log.account = desk->account->name;
	program_tell_state(program, error);
	program->log.account = NULL;
	desk->is_shut = true;
	close_if_open(desk->directory);
	close_if_open(g->limits[account]);
	close_if_open(g->asking[account]);
	desk->directory = -1;
	desk->state = desk->spare;
	desk->turn = decision_turn(desk->account, desk->state);
	desk->turn.fd = open_null(g);
	g->limits[account] = open_null(g);
	g->asking[account] = open_null(g);
}

/* True if it can be used. */
static bool open_desk(struct generation *g, unsigned account)
{
	struct desk *desk = &g->desks.desk[account];
	struct state_error error;

	desk->account = &g->program.conf.accounts[account];
	desk->spare = &g->board->spare[account];
	program_choose_user(&g->program, desk->account, false, &desk->user);
	g->limits[account] = g->asking[account] = -1;
	if (!desk_open(g, account, &error)) {
		/* Where all accounts are one user's, the super-server tries again. */
		if (g->program.self != 0)
			program_fail_state(&g->program, &error);
		desk_shut(g, account, &error);
	}
	if (!limiter_key(desk->state))
		program_fail(&g->program, "getrandom");
	return !desk->is_shut;
}

static void open_denied(struct generation *g)
{
	struct state_error error;

	g->denied = state_open(
		g->program.base, STATE_DENIED, g->program.self, STATE_HEADER_BYTES, &error);
	if (g->denied < 0)
		program_fail_state(&g->program, &error);
	g->desks.denied = state_of(g->denied, STATE_HEADER_BYTES);
	if (g->desks.denied == NULL)
		program_fail(&g->program, "mmap");
}

static void open_board(struct generation *g)
{
	static uint32_t numbers;

	g->memory = (int)syscall(SYS_memfd_create, "nmnotifyd", 1 /* MFD_CLOEXEC */);
	if (g->memory < 0 || ftruncate(g->memory, (off_t)sizeof(struct board)) != 0)
		program_fail(&g->program, "memfd_create");
	g->board = board_map(g->memory);
	if (g->board == NULL)
		program_fail(&g->program, "mmap");
	/* No two generations use the same numbers: see turn_answer(). */
	for (unsigned i = 0; i < CONF_ACCOUNTS_MAX; i++) {
		atomic_store(&g->board->looking[i], numbers);
		atomic_store(&g->board->settled[i], numbers);
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
	program_begin(&g->program, "nmnotifyd", launch->usage, launch->stdout_usable,
		launch->stderr_usable);
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
	open_board(g);
	open_denied(g);
	g->desks.is_root = g->program.self == 0;
	for (; g->desks.count < g->program.conf.accounts_count; g->desks.count++)
		usable += open_desk(g, g->desks.count);
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
	program_configure(&g->program, launch->arguments);
	generation_open(g);
	_exit(EX_OK);
}

/* What is the network process's alone. */
static void close_handed_over(struct generation *g)
{
	close_if_open(g->memory);
	close_if_open(g->denied);
	for (unsigned i = 0; i < g->desks.count; i++) {
		close_if_open(g->limits[i]);
		close_if_open(g->asking[i]);
	}
}

void generation_free(struct generation *g)
{
	for (unsigned i = 0; i < g->desks.count; i++) {
		struct desk *desk = &g->desks.desk[i];

		close_if_open(desk->directory);
		close_if_open(desk->turn.fd);
		if (desk->state != desk->spare)
			(void)munmap(desk->state, sizeof(struct state));
	}
	close_if_open(g->requests);
	if (g->program.base > 0)
		(void)close(g->program.base); /* was only read */
	(void)bus_register(g, false);
	/* munmap(2) fails for no mapping of ours. */
	if (g->desks.denied != NULL)
		(void)munmap(g->desks.denied, STATE_HEADER_BYTES);
	if (g->board != NULL)
		(void)munmap(g->board, sizeof(*g->board));
	(void)munmap(g, sizeof(*g));
}

/* ---- Starting the network process ---- */

static bool is_an_accounts(const struct generation *g, uid_t uid)
{
	for (unsigned i = 0; i < g->desks.count; i++)
		if (g->desks.desk[i].user.uid == uid)
			return true;
	return false;
}

/* An account's action could end the process, and so all accounts' service: then rather another. */
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

static void tell(struct generation *g, const struct launch *launch)
{
	struct told *told = &g->board->told;

	told_fill(told, &g->program.conf);
	told->runner = getpid();
	told->is_root = g->program.self == 0;
	if (told->is_root)
		choose_network_user(g, &told->user);
	told->alive_every = launch->alive_every;
	told->listeners_count = launch->listeners_count;
	memcpy(told->listener, launch->listener, sizeof(told->listener));
	for (unsigned i = 0; i < told->listeners_count; i++)
		told->listener[i].fd = LISTENERS_FD + (int)i;
	for (unsigned i = 0; i < told->accounts_count; i++)
		told->account[i].is_shut = g->desks.desk[i].is_shut;
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
	for (unsigned i = 0; i < g->desks.count; i++) {
		fd[count++] = g->limits[i];
		fd[count++] = g->asking[i];
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

	tell(g, launch);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		program_fail(&g->program, "socketpair");
	g->network = fork();
	if (g->network < 0)
		program_fail(&g->program, "fork");
	if (g->network == 0)
		execute_network(g, launch, pair[1]);
	(void)close(pair[1]); /* the other's now */
	g->requests = pair[0];
	close_handed_over(g);
}
