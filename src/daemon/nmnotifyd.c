/* SPDX-License-Identifier: ISC */
/*
 * nmnotifyd: takes over listening sockets from systemd or inetd, decides for every connection and
 * datagram without a process for each, and ends when it is idle. nmnotifyd(8).
 *
 * Two processes: this one, the runner, and its child, which alone touches the network, and is this
 * program executed anew (network_main.c). What is here is the runner's: as who started it, with no
 * filter but the unit's.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "policy/confine.h"
#include "lib/fd.h"
#include "daemon/generation.h"
#include "daemon/network.h"
#include "run/program.h"
#include "daemon/runner.h"
#include "lib/service.h"

/* How many times as often as it must the network process says that it is alive. */
#define WATCHDOG_SHARE 3

struct daemon {
	struct launch launch;
	struct generation *generation;
	const char *wrong; /* with what was handed over, or NULL */
	struct runner runner;
};

static const char usage[] = "usage: nmnotifyd [-h | -t | -V] [-f file] [-o 'keyword value']...\n"
			    "Serves listening sockets; to be started by systemd or inetd (wait).\n"
			    "  -f file   configuration, instead of " CONF_FILE "\n"
			    "  -o words  a line of configuration, said before the file's\n"
			    "  -t        check the configuration, print what is wrong, and exit\n"
			    "  -V        print the version and exit\n"
			    "  -h        print this and exit\n";

static void guard_descriptors(struct daemon *d, int argc, char **argv)
{
	struct launch *launch = &d->launch;
	bool is_guarded = streams_guard(&launch->streams, program_only_tells(argc, argv), false);

	launch->usage = usage;
	launch->argc = argc;
	launch->argv = argv;
	d->generation = generation_new(launch);
	if (d->generation == NULL)
		_exit(EX_OSERR); /* there is not even a place to say so from */
	if (!is_guarded)
		program_fail(&d->generation->program, "descriptors 0 to 2");
	if (!relocations_guard())
		program_fail(&d->generation->program, "mprotect");
}

/* Whatever else is open is nobody's business: not the action's, and not the network process's. */
static void take_sockets(struct daemon *d)
{
	struct launch *launch = &d->launch;
	int first = STDERR_FILENO + 1, count;

	/* Else it is for who has started us. This does not fail. */
	if (!program_is_unit())
		(void)unsetenv("NOTIFY_SOCKET");
	d->generation->program.is_starting = getenv("NOTIFY_SOCKET") != NULL;
	count = service_listeners(launch->listener, &d->wrong);
	if (count > 0) {
		d->wrong = NULL;
		launch->listeners_count = (unsigned)count;
		if (launch->listener[0].fd == first)
			first += count;
	}
	fd_close_from(first);
}

static void check_sockets(const struct daemon *d)
{
	if (d->launch.listeners_count == 0)
		program_fail_configuration(&d->generation->program, d->wrong);
}

/* This very file, whatever has taken its place by then. Without /proc, what its name stands for. */
static void open_image(struct daemon *d)
{
	const unsigned long name = getauxval(AT_EXECFN);

	d->launch.image = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (d->launch.image < 0)
		d->launch.image = open((const char *)name, O_PATH | O_CLOEXEC);
	if (d->launch.image < 0)
		program_fail(&d->generation->program, "opening the program's own file");
}

static void block_signals(struct daemon *d)
{
	sigset_t set;

	(void)sigemptyset(&set); /* sigsetops(3): these fail for no valid set and signal */
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)signal(SIGCHLD, SIG_DFL); /* signal(2): fails for no valid signal */
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		program_fail(&d->generation->program, "sigprocmask");
	d->runner.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->runner.signals < 0)
		program_fail(&d->generation->program, "signalfd");
}

/* Under inetd the socket is descriptors 0 to 2, where others look for what is theirs. Actions find
 * /dev/null on 0. */
static void arrange_descriptors(struct daemon *d)
{
	struct program *program = &d->generation->program;
	struct listener *first = &d->launch.listener[0];

	if (first->fd == STDIN_FILENO)
		first->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (first->fd < 0 || !fd_void(STDIN_FILENO) ||
		(!d->launch.streams.stdout_usable && !fd_void(STDOUT_FILENO)))
		program_fail(program, "/dev/null");
}

_Noreturn static void serve(struct daemon *d)
{
	int status;

	program_serves(&d->generation->program);
	arrange_descriptors(d);
	generation_serve(d->generation, &d->launch);
	/* So that we see the end of an action whose supervisor was killed. Fails for no valid
	 * option. */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	d->runner.launch = &d->launch;
	d->runner.current = d->generation;
	status = runner_run(&d->runner);
	program_end(&d->runner.current->program, status);
}

int main(int argc, char **argv)
{
	static struct daemon d; /* zeros */

	process_guard();
	if (argc > 0 && strcmp(argv[0], NETWORK_NAME) == 0)
		return network_main();
	guard_descriptors(&d, argc, argv);
	take_sockets(&d);
	program_configure(&d.generation->program, argc, argv);
	check_sockets(&d);
	open_image(&d);
	block_signals(&d);
	/* Here, since the watchdog's variables are for this process (sd_watchdog_enabled(3)). */
	d.launch.alive_every.ms = service_watchdog().ms / WATCHDOG_SHARE;
	generation_open(d.generation);
	serve(&d);
}
