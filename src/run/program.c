/* SPDX-License-Identifier: ISC */
#include "run/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "run/check.h"
#include "run/reach.h"
#include "policy/confine.h"
#include "policy/landlock.h"
#include "lib/fd.h"
#include "lib/text.h"
#include "lib/users.h"

/* A message, each of whose bytes is escaped. */
#define MESSAGE_MAX 4096

void program_begin(
	struct program *program, const char *name, const char *usage, const struct streams *streams)
{
	program->name = name;
	program->usage = usage;
	program->self = (uid_t)getauxval(AT_EUID);
	program->stdout_usable = streams->stdout_usable;
	program->log.program = name;
	program->log.stderr_usable = streams->stderr_usable;
	program->tally.log = &program->log;
}

/* ---- Ends ---- */

/* A process that was handed a socket which makes a super-server start another one lives at least so
 * long, and sleeps if it has nothing to do. */
static const struct span rest_span = { .ms = 10000 };

/* NOTIFY_SOCKET alone does not tell: Debian's inetd is a service itself, and hands its own on.
 * systemd says which process it has started (SYSTEMD_EXEC_PID in systemd.exec(5), from 248 on). */
bool program_is_unit(void)
{
	const char *started = getenv("SYSTEMD_EXEC_PID");

	if (getenv("LISTEN_FDS") != NULL)
		return true;
	return getenv("NOTIFY_SOCKET") != NULL &&
	       (started == NULL || strtol(started, NULL, 10) == getpid());
}

/* Is descriptor 0 something that waits, a listening socket or a datagram, with which a super-server
 * starts another process as soon as we end? */
static bool is_restarted(void)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (program_is_unit())
		return false; /* systemd rests itself: RestartSec= */
	if (fd_socket_option(STDIN_FILENO, SO_ACCEPTCONN) == 1)
		return true;
	return fd_socket_option(STDIN_FILENO, SO_TYPE) == SOCK_DGRAM &&
	       getpeername(STDIN_FILENO, (struct sockaddr *)&address, &length) != 0;
}

/*
 * Does another process sleep with the same socket? Then the super-server does not `wait`, and if
 * each slept there would be many of them. The lock is a POSIX one, which belongs to the process
 * (fcntl_locking(2)); sockets can have it, too.
 */
static bool is_other_at_rest(void)
{
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(STDIN_FILENO, F_SETLK, &all) != 0 && fd_is_locked(errno);
}

static void rest(struct span span)
{
	static const int stops[] = { SIGTERM, SIGINT, SIGHUP };
	const struct timespec time = span_timespec(span);
	sigset_t none;

	/* A signal that asks us to end ends the sleep, and us. signal(2) fails for none of these.
	 */
	for (unsigned i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
		(void)signal(stops[i], SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)nanosleep(&time, NULL); /* cut short: that is fine */
}

void program_serves(struct program *program)
{
	program->is_starting = false;
	if (is_restarted())
		program->serving_since = deadline_now();
}

_Noreturn void program_end(struct program *program, int status)
{
	char byte;

	if (status == EX_OK)
		exit(status);
	if (program->serving_since.ms != 0)
		rest(deadline_rest(deadline_add(program->serving_since, rest_span)));
	else if (is_restarted() && is_other_at_rest())
		/* Else the next process comes for it at once. */
		(void)recv(STDIN_FILENO, &byte, sizeof(byte), MSG_DONTWAIT);
	else if (is_restarted() || program->is_starting)
		rest(rest_span);
	exit(status);
}

static bool find_base(struct program *program)
{
	program->base_path = state_base_path(
		program->conf.state.text, program->base_buffer, sizeof(program->base_buffer));
	return program->base_path != NULL;
}

/* Where there is no file to count in, one error in so many has a line in the log. */
#define UNCOUNTED_LINES 32

/* The kernel has put random bytes into every new process (getauxval(3)). */
static bool by_chance(unsigned one_in)
{
	const unsigned long address = getauxval(AT_RANDOM);
	const uint8_t *random = (const uint8_t *)address;

	return random == NULL || random[15] % one_in == 0;
}

static void limit_elsewhere(struct tally *tally, const char *first)
{
	tally->state = state_errors_map(geteuid(), first);
	tally->is_mute = tally->state == NULL && !by_chance(UNCOUNTED_LINES);
}

/*
 * Lines about what is wrong come with every connection until somebody mends it: they are limited,
 * too. Most often it is the state that is wrong, or it is missing; then they are counted elsewhere.
 */
static void limit_errors(struct program *program)
{
	struct state_error ignored;

	if (program->tally.state != NULL || program->check_only)
		return;
	/* The base directory only if it is there: with a wrong configuration none is made. */
	if (program->base == 0 && (program->base_path != NULL || find_base(program)) &&
		access(program->base_path, F_OK) == 0)
		program->base = state_base_open(program->base_path, program->self, &ignored);
	if (program->base > 0)
		program->tally.state = state_map(
			program->base, STATE_DENIED, program->self, STATE_HEADER_BYTES, &ignored);
	if (program->tally.state == NULL)
		limit_elsewhere(&program->tally, getenv("XDG_RUNTIME_DIR"));
}

/* Is standard error a terminal at which somebody sits? It is not if a super-server has made it for
 * the other end, as socat can. */
static bool is_at_terminal(const struct program *program)
{
	static const char *const remote[] = { "SOCAT_PEERADDR", "REMOTE_ADDR", "REMOTE_HOST" };

	for (unsigned i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
		if (getenv(remote[i]) != NULL)
			return false;
	return program->log.stderr_usable && isatty(STDERR_FILENO) == 1;
}

/* A line on standard error. If that fails, nowhere is left to say it. */
static void say_line(const char *line)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	text_add_escaped(&text, line);
	if (text.cut)
		text.length--;
	text_add(&text, "\n");
	(void)text_write(&text, STDERR_FILENO);
}

/* An error, for the log, and for a terminal once. `is_said`: it is on the terminal already. */
static void tell_error(struct program *program, const char *message, bool is_said)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	limit_errors(program);
	program->log.stderr_told = is_at_terminal(program);
	if (program->log.stderr_told && !is_said) {
		text_add(&text, "%s: %s", program->name, message);
		say_line(bytes);
	}
	tally_error(&program->tally, "%s", message);
	program->log.stderr_told = false;
}

_Noreturn void program_fail(struct program *program, const char *what)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	text_add(&text, "%s: %s", what, strerror(errno));
	tell_error(program, bytes, false);
	program_end(program, EX_OSERR);
}

void program_tell_state(struct program *program, const struct state_error *error)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	text_add(&text, "state %s: %s %s%s%s", program->base_path, error->what, error->name,
		error->code != 0 ? ": " : "", error->code != 0 ? strerror(error->code) : "");
	tell_error(program, bytes, false);
}

_Noreturn void program_fail_state(struct program *program, const struct state_error *error)
{
	program_tell_state(program, error);
	program_end(program, EX_OSERR);
}

_Noreturn void program_fail_configuration(struct program *program, const char *wrong)
{
	tell_error(program, wrong, false);
	program_end(program, EX_CONFIG);
}

/* ---- Options and configuration ---- */

/*
 * -t and a terminal are told everything. One line is enough for the log: the first, when all has
 * been read, since a later line can say where the log is.
 */
static void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	struct program *program = context;
	char bytes[MISTAKE_TEXT_MAX];
	struct text text = TEXT_IN(bytes);

	text_add(&text, "%s:", file);
	if (line != 0)
		text_add(&text, "%u:", line);
	text_add(&text, " %s%s", severity == SEVERITY_WARNING ? "warning: " : "", message);
	if (program->check_only || is_at_terminal(program))
		say_line(bytes);
	if (program->conf.reading.report.wrong == 1)
		memcpy(program->mistake, bytes, sizeof(bytes));
}

_Noreturn static void fail_mistake(struct program *program)
{
	program->log.target = program->conf.log;
	tell_error(program, program->mistake, true);
	program_end(program, EX_CONFIG);
}

/* Which state it is depends on who starts us, and is the first that people look for. */
static void say_state(const struct program *program)
{
	const char *runtime = getenv("RUNTIME_DIRECTORY"), *user = getenv("XDG_RUNTIME_DIR");
	const char *base = program->base_path, *from = "the default";
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	if (program->conf.state.text != NULL)
		from = "from the configuration";
	else if (runtime != NULL && *runtime == '/')
		from = "from RUNTIME_DIRECTORY";
	else if (user != NULL && strncmp(base, user, strlen(user)) == 0)
		from = "from XDG_RUNTIME_DIR";
	text_add(&text, "state ");
	text_add_escaped(&text, base);
	text_add(&text, " (%s)\n", from);
	if (program->stdout_usable)
		(void)text_write(&text, STDOUT_FILENO); /* nobody may want to know it */
}

/* What accounts ask for, and the running kernel cannot do: it is left out. */
static void say_lacks(const struct program *program)
{
	const struct conf *conf = &program->conf;
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);
	unsigned wants = 0;
	int abi = landlock_abi();

	for (unsigned i = 0; i < conf->accounts_count; i++)
		wants |= reach_wants(&conf->accounts[i]);
	text_add(&text, "landlock ABI %d: this kernel lacks ", abi);
	if (!reach_add_lacks(&text, wants, abi) || !program->stdout_usable)
		return;
	text_add(&text, "\n");
	(void)text_write(&text, STDOUT_FILENO); /* nobody may want to know it */
}

_Noreturn static void check(struct program *program)
{
	bool is_whole = conf_end(&program->conf);

	(void)find_base(program);
	if (is_whole)
		check_machine(&program->conf, program->self, program->base_path);
	if (program->conf.reading.report.wrong == 0) {
		say_state(program);
		say_lacks(program);
	}
	exit(program->conf.reading.report.wrong == 0 ? EX_OK : EX_CONFIG);
}

_Noreturn static void say(const struct program *program, const char *first, const char *second)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	text_add(&text, "%s%s", first, second);
	exit(!program->stdout_usable || text_write(&text, STDOUT_FILENO) ? EX_OK : EX_OSERR);
}

#ifdef WITH_SYSTEMD
#define SYSTEMD_WORD "yes"
#else
#define SYSTEMD_WORD "no"
#endif

static void libc_add(struct text *text)
{
#ifdef __UCLIBC__
	text_add(text, "uClibc");
#elif defined __GLIBC__
	text_add(text, "glibc %d.%d", __GLIBC__, __GLIBC_MINOR__);
#else
	text_add(text, "musl"); /* which has no macro that says so */
#endif
	text_add(text, getauxval(AT_BASE) == 0 ? ", static\n" : ", dynamic\n");
}

/* What this program was built with, and what of its confinement the running kernel has. */
_Noreturn static void say_version(const struct program *program)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);
	int abi = landlock_abi();
	size_t length;

	text_add(&text, "%s " VERSION "\npolicies:", program->name);
	for (unsigned i = 0; i < policies_count; i++)
		text_add(&text, " %s", policies[i].name);
	text_add(&text, "\nlibc: ");
	libc_add(&text);
	text_add(&text, "libsystemd: " SYSTEMD_WORD "\nseccomp: %s\n",
		has_seccomp() ? "yes" : "not in this kernel: nothing can run");
	text_add(&text, abi != 0 ? "Landlock: ABI %d, " : "Landlock: not in this kernel, ", abi);
	length = text.length;
	text_add(&text, "no effect here: ");
	if (!reach_add_lacks(&text, REACH_ALL, abi)) {
		text.length = length;
		text_add(&text, "for files, ports, signals, abstract sockets");
	}
	say(program, bytes, "\n");
}

_Noreturn static void fail_usage(struct program *program, const char *wrong, const char *argument)
{
	char bytes[MISTAKE_TEXT_MAX], lines[MESSAGE_MAX + 1024];
	struct text text = TEXT_IN(bytes), say_usage;

	text_add(&text, "%s '%s'", wrong, argument);
	if (program->log.stderr_usable) {
		say_usage = TEXT_IN(lines);
		text_add(&say_usage, "%s: ", program->name);
		text_add_escaped(&say_usage, bytes);
		text_add(&say_usage, "\n%s", program->usage);
		(void)text_write(&say_usage, STDERR_FILENO); /* the log is told */
	}
	tell_error(program, bytes, true);
	program_end(program, EX_CONFIG);
}

/* What getopt(3) is told. It begins anew when optind is 0, says nothing itself (:), and ends at
 * what is no option (+), instead of putting it behind the others. */
#define OPTIONS "+:f:o:s:bhtV"

/* Is one of `letters` among the options? */
static bool has_option(int argc, char **argv, const char *letters)
{
	int letter;

	optind = 0;
	while ((letter = getopt(argc, argv, OPTIONS)) != -1)
		if (strchr(letters, letter) != NULL)
			return true;
	return false;
}

static void read_options(
	struct program *program, int argc, char **argv, const char **file, unsigned *lines)
{
	int letter, at = 1; /* the argument that the next one is in */

	optind = 0;
	for (; (letter = getopt(argc, argv, OPTIONS)) != -1; at = optind) {
		if (letter == 'f')
			*file = optarg;
		else if (letter == 'o')
			conf_option(&program->conf, optarg, ++*lines);
		else if (letter == 's' && program->can_start)
			program->start = optarg;
		else if (letter == 'b' && program->can_start)
			program->lets_retries = true;
		else if (letter == 'h')
			say(program, program->usage, "");
		else if (letter == 'V')
			say_version(program);
		else if (letter == ':')
			fail_usage(program, "a value is missing behind", argv[at]);
		else if (letter != 't') /* program_configure() knows */
			fail_usage(program, "cannot use", argv[at]);
	}
	if (optind < argc)
		fail_usage(program, "cannot use", argv[optind]);
}

bool program_only_tells(int argc, char **argv)
{
	return has_option(argc, argv, "htV");
}

/*
 * Started with some ids of one user and some of another: by a super-server that gave up only the
 * effective ones, or as a set-user-ID program, whose environment is a stranger's. Either could
 * become the other again, and so could the action. execve(2) has made the saved ids equal to the
 * effective ones. Not AT_SECURE, which a change of the security module's domain sets, too.
 */
static void refuse_borrowed_privileges(struct program *program)
{
	if (getauxval(AT_UID) == getauxval(AT_EUID) && getauxval(AT_GID) == getauxval(AT_EGID))
		return;
	limit_elsewhere(&program->tally, NULL); /* no word of the environment is believed */
	tally_error(&program->tally,
		"started as user %u for user %u, group %u for group %u: both must be the same",
		(unsigned)getauxval(AT_UID), (unsigned)getauxval(AT_EUID),
		(unsigned)getauxval(AT_GID), (unsigned)getauxval(AT_EGID));
	program_end(program, EX_OSERR);
}

void program_configure(struct program *program, int argc, char **argv)
{
	const char *file = NULL;
	unsigned lines = 0;

	refuse_borrowed_privileges(program);
	conf_begin(&program->conf, report, program);
	/* Before the first line is read, which -o can bring before -t. */
	program->check_only = has_option(argc, argv, "t");
	program->conf.reading.report.advises = program->check_only;
	read_options(program, argc, argv, &file, &lines);
	conf_file(&program->conf, file != NULL ? file : CONF_FILE, file == NULL && lines != 0);
	if (program->check_only)
		check(program);
	if (!conf_end(&program->conf))
		fail_mistake(program);
	program->log.target = program->conf.log;
	log_open(&program->log);
}

/* ---- State and user ---- */

/* For the handler of SIGBUS alone. */
static struct tally *bus_tally;

/* Somebody cut the state file while it was mapped (mmap(2)). A clean end: what is owed cannot be
 * known any more, and the next connection finds a fresh state. */
_Noreturn void program_state_is_cut(int signal)
{
	(void)signal;
	/* All that have it mapped come here at once. */
	limit_elsewhere(bus_tally, getenv("XDG_RUNTIME_DIR"));
	tally_error(bus_tally, "the state file was truncated");
	_exit(EX_OSERR);
}

void program_guard_state(struct program *program)
{
	struct sigaction action = { .sa_handler = program_state_is_cut };

	bus_tally = &program->tally;
	if (sigaction(SIGBUS, &action, NULL) != 0)
		program_fail(program, "sigaction");
}

bool program_base_is_of(struct program *program, uid_t user)
{
	return find_base(program) && state_base_is_of(program->base_path, user);
}

void program_open_base(struct program *program)
{
	struct state_error error;

	if (!find_base(program))
		program_fail_configuration(program, "state: the path is too long");
	program->base = state_base_open(program->base_path, program->self, &error);
	if (program->base < 0)
		program_fail_state(program, &error);
}

void program_choose_user(
	struct program *program, const struct account *account, bool by_number, struct user *user)
{
	const char *name = account->user.text, *wrong = NULL;
	char bytes[MISTAKE_TEXT_MAX];
	struct text text = TEXT_IN(bytes);

	if (program->self == 0) {
		wrong = user_by_name(name, user);
	} else if (name != NULL || !by_number) {
		user_running(user);
		if (name != NULL && strcmp(name, user->name) != 0)
			wrong = "is not the running user, who is not root";
	} else {
		user->uid = program->self;
	}
	if (wrong == NULL)
		return;
	text_add(&text, "user %s %s", name, wrong);
	program_fail_configuration(program, bytes);
}
