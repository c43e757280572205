/* SPDX-License-Identifier: ISC */
/*
 * storm MILLISECONDS SEED
 *
 * Processes that take turns by one state file, while it is written to, cut, grown and replaced
 * under their hands (G6). Real processes and real time, so spans are short, that much may happen;
 * to block for too long is to block for as long as a word says that is believed: hours.
 *
 *   - nobody dies but by his own exit, with EX_OSERR, after the SIGBUS of a file that was cut
 *   - nobody blocks for longer than BLOCKED_MS
 *   - no run while another goes on; none within an interval of the last one, unless `last_start`
 * was changed, or the file cut or replaced, in between (G2)
 *
 * Prints what it counted, as KEY=NUMBER. Ends with 1 if something did not hold, and says what.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "../random.h"
#include "run/decision.h"
#include "state/state.h"

#define WORKERS       6
#define INTERVAL_MS   20
#define BLOCKED_MS    5000
#define CHANGE_US     40
#define CUT_EVERY     30 /* changes */
#define REPLACE_EVERY 300
#define WORD_LAST     1u /* last_start */
#define HEADER_WORDS  ((uint32_t)(STATE_HEADER_BYTES / sizeof(uint32_t)))
#define WORDS         ((uint32_t)(sizeof(struct state) / sizeof(uint32_t)))

/* Apart from the file that is corrupted: the truth, in memory that all processes have. */
static struct truth {
	_Atomic uint64_t connections, changes, cuts, replacements, starts, bus_errors;
	_Atomic uint32_t failures;
	_Atomic bool is_over;
	/* Moved on before and after whatever changes `last_start`: odd meanwhile. */
	_Atomic uint32_t last_changes;
	/* Of the file that has the name. Moved on before and after it gets to another. */
	_Atomic uint32_t generation;
	/* The last start: only who holds `running` writes it. */
	_Atomic uint64_t start;
	_Atomic uint32_t start_changes, start_generation;
	_Atomic int runner;              /* the process whose action runs */
	_Atomic uint64_t begun[WORKERS]; /* when a worker's connection began; 0: there is none */
} * truth;

static char directory_path[64];
static int directory;

static const struct account account = {
	.name = "storm",
	.limit = { .emission = { .ms = 4 }, .burst = 4 },
	.interval = { .ms = INTERVAL_MS },
};

/* ---- Help ---- */

static uint64_t now_ms(void)
{
	return clock_milliseconds(CLOCK_BOOTTIME);
}

static void sleep_us(unsigned us)
{
	struct timespec time = { .tv_nsec = us * 1000L };

	(void)nanosleep(&time, NULL);
}

static void fails(const char *what)
{
	(void)fprintf(stderr, "does not hold: %s\n", what);
	atomic_fetch_add(&truth->failures, 1);
}

static void stop(const char *what)
{
	perror(what);
	exit(2);
}

static uint64_t seed;

static uint32_t below(uint32_t bound)
{
	return random_below(&seed, bound);
}

/* ---- A worker: connections, one after another ---- */

static unsigned self; /* its number */

/* program.c's answer to a state file that is cut. */
static void on_bus(int number)
{
	int pid = getpid();

	(void)number;
	(void)atomic_compare_exchange_strong(&truth->runner, &pid, 0);
	atomic_fetch_add(&truth->bus_errors, 1);
	_exit(EX_OSERR);
}

/* G2, seen by who holds `running`. */
static void check_start(uint32_t generation)
{
	uint64_t now = now_ms(), last = atomic_load(&truth->start);
	uint32_t changes = atomic_load(&truth->start_changes);
	bool is_known = last != 0 && changes % 2 == 0 &&
			changes == atomic_load(&truth->last_changes) && generation % 2 == 0 &&
			generation == atomic_load(&truth->start_generation);
	int nobody = 0;

	if (!atomic_compare_exchange_strong(&truth->runner, &nobody, getpid()))
		fails("G2: a run starts while another goes on");
	if (is_known && now - last < INTERVAL_MS)
		fails("G2: two starts are an interval apart");
	atomic_store(&truth->start_changes, atomic_load(&truth->last_changes));
	atomic_store(&truth->start_generation, generation);
	atomic_store(&truth->start, now);
	atomic_fetch_add(&truth->starts, 1);
}

static void act(struct decision *decision, uint32_t generation)
{
	struct turn *turn = decision->turn;

	check_start(generation);
	turn_start(turn);
	turn_action_is(turn, getpid());
	decision_executed(decision);
	sleep_us(below(3000));
	atomic_store(&truth->runner, 0);
	turn_ended(turn);
}

static bool connection(struct decision *decision)
{
	struct source source = { .kind = SOURCE_IPV4, .address = { 192, 0, 2, (uint8_t)below(8) } };
	struct state *state = decision->turn->state;

	if (!limiter_key(state))
		return false;
	decision->cells = limiter_locate(state, &source);
	if (decision_is_covered(decision))
		return true;
	if (!decision_make(decision, below(8) == 0 ? LINE_MALFORMED : LINE_VALID))
		return false;
	return !decision->is_waiter || decision_wait(decision);
}

/* As a fresh process: it opens what has the name now. */
static void handle(void)
{
	struct state_error error;
	uint32_t generation = atomic_load(&truth->generation);
	struct state *state =
		state_map(directory, STATE_LIMITS, getuid(), sizeof(struct state), &error);
	struct turn turn;
	struct decision decision = { .account = &account, .turn = &turn };

	if (generation != atomic_load(&truth->generation))
		generation = 1; /* nobody knows which file it is */
	if (state == NULL) {
		fails("the state can be mapped");
		return;
	}
	turn = decision_turn(&account, state);
	if (!turn_open(&turn, directory, &error) || !connection(&decision))
		fails("a connection can be handled");
	else if (decision.is_waiter)
		act(&decision, generation);
	(void)close(turn.fd);
	(void)munmap(state, sizeof(struct state));
}

static int worker(void)
{
	struct sigaction action = { .sa_handler = on_bus };

	(void)sigaction(SIGBUS, &action, NULL);
	while (!atomic_load(&truth->is_over)) {
		atomic_store(&truth->begun[self], now_ms());
		handle();
		atomic_store(&truth->begun[self], 0);
		atomic_fetch_add(&truth->connections, 1);
		sleep_us(below(1000));
	}
	return 0;
}

/* ---- The hand that corrupts ---- */

static uint32_t any_value(uint32_t was)
{
	uint32_t now = (uint32_t)now_ms();

	switch (below(8)) {
	case 0: return 0;
	case 1: return UINT32_MAX;
	case 2: return was ^ 1u << below(32);
	case 3: return now + below(40) - 20;
	case 4: return now + below(SPAN_MAX_MS);
	case 5: return now + 0x80000000u + below(3) - 1;
	case 6: return (uint32_t)getpid(); /* which lives on: as good as any for `action` */
	default: return below(UINT32_MAX);
	}
}

static void last_change(void)
{
	atomic_fetch_add(&truth->last_changes, 1);
}

/* Only this process cuts the file, so that it does so never while it writes to it. */
static void change_word(struct state *state)
{
	uint32_t index = below(4) == 0 ? below(WORDS) : below(below(2) ? 4 : HEADER_WORDS);
	atomic_word *word = (atomic_word *)state + index;

	/* Now and then only, so that most starts can be told to be an interval apart. */
	if (index == WORD_LAST && below(50) != 0)
		return;
	if (index == WORD_LAST)
		last_change();
	atomic_store(word, any_value(atomic_load(word)));
	if (index == WORD_LAST)
		last_change();
	atomic_fetch_add(&truth->changes, 1);
}

/* Shorter, and as long as before or longer again: what was cut off reads as zeros. */
static void cut(int fd)
{
	off_t length = below(2) ? below(sizeof(struct state)) : below(8) * 4096;

	last_change();
	if (ftruncate(fd, length) != 0)
		stop("ftruncate");
	if (below(2))
		sleep_us(200);
	if (ftruncate(fd, (off_t)(sizeof(struct state) << below(3))) != 0)
		stop("ftruncate");
	last_change();
	atomic_fetch_add(&truth->cuts, 1);
}

static int file_open(const char *name, int flags)
{
	int fd = openat(directory, name, O_RDWR | O_CLOEXEC | flags, 0600);

	if (fd < 0)
		stop(name);
	return fd;
}

static struct state *file_map(int fd)
{
	void *state = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (state == MAP_FAILED)
		stop("mmap");
	return state;
}

/* Another file gets the name, of any length and content; those who have the old one go on with it.
 */
static int replace(int old)
{
	static uint32_t words[sizeof(struct state) / sizeof(uint32_t)];
	size_t length = below(2) ? sizeof(words) : below(sizeof(words));
	int fd = file_open("new", O_CREAT | O_TRUNC);

	for (unsigned i = 0; i < WORDS; i++)
		words[i] = below(2) ? 0 : any_value(0);
	if (write(fd, words, length) != (ssize_t)length)
		stop("write");
	atomic_fetch_add(&truth->generation, 1);
	if (renameat(directory, "new", directory, STATE_LIMITS) != 0)
		stop("rename");
	atomic_fetch_add(&truth->generation, 1);
	if (ftruncate(fd, (off_t)sizeof(struct state)) != 0)
		stop("ftruncate");
	(void)close(old);
	atomic_fetch_add(&truth->replacements, 1);
	return fd;
}

static int corrupter(void)
{
	int fd = file_open(STATE_LIMITS, O_CREAT);
	struct state *state;

	if (ftruncate(fd, (off_t)sizeof(struct state)) != 0)
		stop("ftruncate");
	state = file_map(fd);
	while (!atomic_load(&truth->is_over)) {
		change_word(state);
		if (below(CUT_EVERY) == 0)
			cut(fd);
		if (below(REPLACE_EVERY) == 0) {
			(void)munmap(state, sizeof(struct state));
			fd = replace(fd);
			state = file_map(fd);
		}
		sleep_us(CHANGE_US);
	}
	return 0;
}

/* ---- The one who watches ---- */

static pid_t start(int (*run)(void), unsigned number, uint64_t chance)
{
	pid_t child = fork();

	if (child < 0)
		stop("fork");
	if (child != 0)
		return child;
	self = number;
	seed = chance | 1;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	_exit(run());
}

/* Whoever ends, ends well, and another takes over. */
static void reap(pid_t worker_pid[WORKERS])
{
	static uint64_t lives = 1000;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (!WIFEXITED(status) ||
			(WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != EX_OSERR))
			fails("G6: a process ends by its own exit");
		for (unsigned i = 0; i < WORKERS; i++) {
			if (worker_pid[i] != pid)
				continue;
			atomic_store(&truth->begun[i], 0);
			worker_pid[i] = 0;
			if (!atomic_load(&truth->is_over))
				worker_pid[i] = start(worker, i, seed + lives++ * 7919);
		}
	}
}

/* False: one of them hangs. */
static bool nobody_hangs(void)
{
	uint64_t now = now_ms();

	for (unsigned i = 0; i < WORKERS; i++) {
		uint64_t begun = atomic_load(&truth->begun[i]);

		if (begun != 0 && begun + BLOCKED_MS < now) {
			fails("G6: nobody is blocked for longer than an interval or a rate window");
			return false;
		}
	}
	return true;
}

static bool anybody(const pid_t worker_pid[WORKERS])
{
	for (unsigned i = 0; i < WORKERS; i++)
		if (worker_pid[i] != 0)
			return true;
	return false;
}

static void watch(uint64_t until)
{
	pid_t worker_pid[WORKERS], corrupter_pid = start(corrupter, 0, seed);

	for (unsigned i = 0; i < WORKERS; i++)
		worker_pid[i] = start(worker, i, seed + 1 + i);
	while (now_ms() < until && atomic_load(&truth->failures) == 0 && nobody_hangs()) {
		reap(worker_pid);
		sleep_us(500);
	}
	atomic_store(&truth->is_over, true);
	until = now_ms() + BLOCKED_MS;
	while (now_ms() < until && anybody(worker_pid) && nobody_hangs()) {
		reap(worker_pid);
		sleep_us(500);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		if (worker_pid[i] > 0)
			(void)kill(worker_pid[i], SIGKILL);
	(void)kill(corrupter_pid, SIGKILL);
}

static void place_make(void)
{
	const char *base = getenv("TMPDIR");

	(void)snprintf(directory_path, sizeof(directory_path), "%s/nmnotify-storm.XXXXXX",
		base != NULL && strlen(base) < 32 ? base : "/tmp");
	if (mkdtemp(directory_path) == NULL)
		stop("mkdtemp");
	directory = open(directory_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	truth = mmap(
		NULL, sizeof(*truth), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (directory < 0 || truth == MAP_FAILED)
		stop(directory_path);
}

static void place_remove(void)
{
	(void)unlinkat(directory, STATE_LIMITS, 0);
	(void)unlinkat(directory, STATE_TURN, 0);
	(void)unlinkat(directory, "new", 0);
	(void)rmdir(directory_path);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	seed = strtoull(argv[2], NULL, 10) | 1;
	place_make();
	watch(now_ms() + strtoull(argv[1], NULL, 10));
	place_remove();
	(void)printf("connections=%llu\nchanges=%llu\ncuts=%llu\nreplacements=%llu\nstarts=%llu\n"
		     "bus_errors=%llu\n",
		(unsigned long long)truth->connections, (unsigned long long)truth->changes,
		(unsigned long long)truth->cuts, (unsigned long long)truth->replacements,
		(unsigned long long)truth->starts, (unsigned long long)truth->bus_errors);
	return atomic_load(&truth->failures) != 0;
}
