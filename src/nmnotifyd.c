/* SPDX-License-Identifier: ISC */
/*
 * nmnotifyd: takes over listening sockets from systemd or inetd, decides for every connection and
 * datagram without a process for each, and ends when it is idle. nmnotifyd(8).
 *
 * Two processes: this one, the runner, and its child, which alone touches the network.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "confine.h"
#include "connection.h"
#include "network.h"
#include "program.h"
#include "runner.h"
#include "service.h"
#include "share.h"

/* Where the network process's descriptors go, out of the way of RUNNER_FD. */
#define DESCRIPTORS_FROM 10

/* How many times as often as it must the network process says that it is alive. */
#define WATCHDOG_SHARE 3

/* Whom root's network process becomes: the service's own user, or one that owns nothing. */
static const char *const network_users[] = { "nmnotify", "nobody" };

extern const struct policy network_policies[];

struct daemon {
	struct program program;
	struct listener listener[LISTENERS_MAX];
	unsigned listeners_count;
	struct desks desks;
	struct board *board;
	int pair[2];          /* the network process's end, the runner's end */
	uint64_t alive_every; /* ms; 0: nobody watches */
	struct network_process network;
	struct runner runner;
};

static const char usage[] = "usage: nmnotifyd [-h | -t | -V] [-f file] [-o 'keyword value']...\n"
			    "Serves listening sockets; to be started by systemd or inetd (wait).\n"
			    "  -f file   configuration, instead of " CONF_FILE "\n"
			    "  -o words  a line of configuration, said before the file's\n"
			    "  -t        check the configuration, print what is wrong, and exit\n"
			    "  -V        print the version and what it can do here, and exit\n"
			    "  -h        print this and exit\n";

static void guard_descriptors(struct daemon *d, char **arguments)
{
	struct connection connection = { .is_socket = false };
	struct program *program = &d->program;

	program->name = program->log.program = "nmnotifyd";
	program->usage = usage;
	program->self = (uid_t)getauxval(AT_EUID);
	if (!connection_guard(&connection, program_only_tells(arguments), false))
		program_fail(program, "descriptors 0 to 2");
	program->stdout_usable = connection.stdout_usable;
	program->log.stderr_usable = connection.stderr_usable;
	if (!relocations_guard())
		program_fail(program, "mprotect");
}

static void take_sockets(struct daemon *d)
{
	const char *wrong;
	int count = service_listeners(d->listener, &wrong), last = STDERR_FILENO;

	if (count < 0)
		program_fail_configuration(&d->program, wrong);
	d->listeners_count = (unsigned)count;
	for (int i = 0; i < count; i++)
		if (d->listener[i].fd > last)
			last = d->listener[i].fd;
	connection_close_from(last + 1); /* what nobody handed over is no action's, either */
}

/* An account's state is opened as its user: what root made there he could not use. */
static bool desk_open(struct daemon *d, struct desk *desk, struct state_error *error)
{
	struct program *program = &d->program;
	bool is_open = false;

	desk->directory = state_account_open(program->base, desk->account->name, program->self,
		desk->user.uid, desk->user.gid, error);
	if (desk->directory < 0)
		return false;
	if (program->self == 0 && (setegid(desk->user.gid) != 0 || seteuid(desk->user.uid) != 0))
		program_fail(program, "becoming an account's user");
	desk->state = state_map(
		desk->directory, STATE_LIMITS, desk->user.uid, sizeof(struct state), error);
	if (desk->state != NULL) {
		desk->turn = decision_turn(desk->account, desk->state);
		is_open = turn_open(&desk->turn, desk->directory, error);
	}
	if (program->self == 0 && (seteuid(0) != 0 || setegid(getgid()) != 0))
		program_fail(program, "becoming root again");
	return is_open;
}

/*
 * Its user can spoil his state at will, which is no reason to leave the others without service. His
 * account takes nothing until we are started again; memory stands in, to count that in.
 */
static void desk_shut(struct daemon *d, struct desk *desk, const struct state_error *error)
{
	struct program *program = &d->program;

	program->log.account = desk->account->name;
	program_tell_state(program, error);
	program->log.account = NULL;
	desk->is_shut = true;
	if (desk->directory >= 0)
		(void)close(desk->directory); /* was only read */
	desk->directory = -1;
	desk->state = desk->spare;
	desk->turn = decision_turn(desk->account, desk->state);
	desk->turn.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (desk->turn.fd < 0)
		program_fail(program, "/dev/null");
}

/* True if it can be used. */
static bool open_desk(struct daemon *d, struct desk *desk, const struct account *account)
{
	struct state_error error;

	desk->account = account;
	desk->spare = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (desk->spare == MAP_FAILED)
		program_fail(&d->program, "mmap");
	program_choose_user(&d->program, account, false, &desk->user);
	if (!desk_open(d, desk, &error)) {
		/* Where all accounts are one user's, the super-server tries again. */
		if (d->program.self != 0)
			program_fail_state(&d->program, &error);
		desk_shut(d, desk, &error);
	}
	if (!limiter_key(desk->state))
		program_fail(&d->program, "getrandom");
	return !desk->is_shut;
}

static struct daemon *bus_daemon;

/* An account's user has cut its state. If the others have other users, that is no reason to leave
 * them without service: see desk_shut(). */
static void on_bus(int number, siginfo_t *info, void *context)
{
	struct desks *desks = &bus_daemon->desks;

	(void)context;
	for (unsigned i = 0; i < desks->count && bus_daemon->program.self == 0; i++) {
		struct desk *desk = &desks->desk[i];
		const size_t size = sizeof(struct state);

		if ((uintptr_t)info->si_addr - (uintptr_t)desk->state < size && !desk->is_shut &&
			mremap(desk->spare, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
				desk->state) == desk->state) {
			desk->is_shut = true;
			return;
		}
	}
	program_state_is_cut(number);
}

static void guard_state(struct daemon *d)
{
	struct sigaction action = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };

	program_guard_state(&d->program);
	bus_daemon = d;
	if (d->program.conf.accounts_count > 1 && sigaction(SIGBUS, &action, NULL) != 0)
		program_fail(&d->program, "sigaction");
}

static void open_state(struct daemon *d)
{
	struct state_error error;
	unsigned usable = 0;

	program_open_base(&d->program);
	guard_state(d);
	d->desks.denied = state_map(
		d->program.base, STATE_DENIED, d->program.self, STATE_HEADER_BYTES, &error);
	if (d->desks.denied == NULL)
		program_fail_state(&d->program, &error);
	for (; d->desks.count < d->program.conf.accounts_count; d->desks.count++)
		usable += open_desk(d, &d->desks.desk[d->desks.count],
			&d->program.conf.accounts[d->desks.count]);
	if (usable == 0)
		program_end(&d->program, EX_OSERR);
}

static void open_pair(struct daemon *d)
{
	d->board = mmap(
		NULL, sizeof(*d->board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (d->board == MAP_FAILED)
		program_fail(&d->program, "mmap");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, d->pair) != 0)
		program_fail(&d->program, "socketpair");
}

static void block_signals(struct daemon *d)
{
	sigset_t set;

	(void)sigemptyset(&set); /* sigsetops(3): these fail for no valid set and signal */
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)signal(SIGCHLD, SIG_DFL); /* signal(2): fails for no valid signal */
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		program_fail(&d->program, "sigprocmask");
	d->runner.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->runner.signals < 0)
		program_fail(&d->program, "signalfd");
}

/* ---- The network process ---- */

static int descriptor_move(struct daemon *d, int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTORS_FROM);

	if (moved < 0)
		program_fail(&d->program, "moving a descriptor");
	return moved;
}

/* It keeps the sockets, the turn files, and RUNNER_FD; 0 to 2 lead nowhere. */
static void arrange_descriptors(struct daemon *d)
{
	int pair = descriptor_move(d, d->pair[0]);

	for (unsigned i = 0; i < d->listeners_count; i++)
		d->listener[i].fd = descriptor_move(d, d->listener[i].fd);
	for (unsigned i = 0; i < d->desks.count; i++) {
		d->desks.desk[i].turn.fd = descriptor_move(d, d->desks.desk[i].turn.fd);
		(void)close(d->desks.desk[i].directory); /* of no use here */
	}
	(void)close(d->program.base);
	(void)close(d->runner.signals);
	(void)close(d->pair[1]);
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (!connection_void(fd))
			program_fail(&d->program, "/dev/null");
	if (dup2(pair, RUNNER_FD) < 0)
		program_fail(&d->program, "dup2");
	for (int fd = RUNNER_FD + 1; fd < DESCRIPTORS_FROM; fd++)
		(void)close(fd); /* the originals of those that were moved */
	(void)close(pair);
}

static bool is_an_accounts(const struct daemon *d, uid_t uid)
{
	for (unsigned i = 0; i < d->desks.count; i++)
		if (d->desks.desk[i].user.uid == uid)
			return true;
	return false;
}

/* An account's action could end the process, and so all accounts' service: then rather another. */
static void become_network_user(struct daemon *d)
{
	static struct user user, shared;

	if (d->program.self != 0)
		return;
	for (unsigned i = 0; i < sizeof(network_users) / sizeof(network_users[0]); i++) {
		if (user_by_name(network_users[i], &user) != NULL)
			continue;
		if (!is_an_accounts(d, user.uid)) {
			shared = user;
			break;
		}
		if (shared.uid == 0)
			shared = user;
	}
	if (shared.uid == 0)
		program_fail_configuration(
			&d->program, "there is neither a user nmnotify nor nobody");
	if (!privileges_become(&shared))
		program_fail(&d->program, "dropping privileges");
}

_Noreturn static void run_network(struct daemon *d)
{
	sigset_t none;

	arrange_descriptors(d);
	d->network = (struct network_process){
		.conf = &d->program.conf,
		.desks = &d->desks,
		.board = d->board,
		.listener = d->listener,
		.listeners_count = d->listeners_count,
		.alive_every = d->alive_every,
	};
	(void)sigemptyset(&none);
	/* The runner ends us by closing the pair; a signal from elsewhere may end us any time. */
	if (!network_prepare(&d->network) || sigprocmask(SIG_SETMASK, &none, NULL) != 0)
		program_fail(&d->program, "preparing the network process");
	become_network_user(d);
	if (!confine(&network_policies[0]))
		program_fail(&d->program, "confine");
	_exit(network_serve(&d->network));
}

/* ---- The runner ---- */

static int run_runner(struct daemon *d, pid_t network)
{
	program_serves(&d->program);
	for (unsigned i = 0; i < d->listeners_count; i++)
		(void)close(d->listener[i].fd); /* nothing of the network is open here */
	(void)close(d->pair[0]);
	/* Under inetd the socket was these, too. Actions find /dev/null on 0. */
	if (!connection_void(STDIN_FILENO) ||
		(!d->program.stdout_usable && !connection_void(STDOUT_FILENO)))
		program_fail(&d->program, "/dev/null");
	/* So that we see the end of an action whose supervisor was killed. Fails for no valid
	 * option. */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	d->runner.program = &d->program;
	d->runner.desks = &d->desks;
	d->runner.board = d->board;
	d->runner.requests = d->pair[1];
	d->runner.network = network;
	return runner_run(&d->runner);
}

int main(int argc, char **argv)
{
	static struct daemon d; /* zeros; large, but only what is used is ever touched */
	pid_t network;

	process_guard();
	argv += argc > 0; /* without our name */
	guard_descriptors(&d, argv);
	program_configure(&d.program, argv);
	take_sockets(&d);
	open_state(&d);
	open_pair(&d);
	block_signals(&d);
	/* Here, since the watchdog's variables are for this process (sd_watchdog_enabled(3)). */
	d.alive_every = service_watchdog() / WATCHDOG_SHARE;
	network = fork();
	if (network < 0)
		program_fail(&d.program, "fork");
	if (network == 0)
		run_network(&d);
	program_end(&d.program, run_runner(&d, network));
}
