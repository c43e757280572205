/* SPDX-License-Identifier: ISC */
/*
 * What a process costs from its start to its end.
 *
 *     spawn time ROUNDS < JOBS     job: NAME INPUT END PROGRAM ARGUMENT..., one a line
 *     spawn steps INPUT PROGRAM ARGUMENT...
 *     spawn calls INPUT PROGRAM ARGUMENT...
 *
 * INPUT is descriptor 0: `none` (/dev/null), a file (by its whole path), `idle` (a loopback
 * connection on which nothing comes, the same one each time), or the text that has come on a fresh
 * one (`line`, `junk`). END is
 * `exit`, or a file into which the program's action has written the time. `time` starts each job
 * once a round, in any order, and prints for each NAME NANOSECONDS:FAULTS... `steps` counts the
 * instructions in user space, one by one, and `calls` the system calls: of the program and of what
 * it forks, until that executes something else.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MOST   64
#define WORDS_MOST  16
#define ROUNDS_MOST 100000
#define STEPS_MOST  100000000

struct input {
	int client, server; /* -1: none; `server` is the program's descriptor 0 */
};

struct job {
	char text[1024];
	char *word[WORDS_MOST]; /* name, input, end, program ... */
	int stamp;              /* the file that END names; -1: `exit` */
	struct input idle;
	uint64_t *ns;
	long *faults;
};

static const struct input nothing = { .client = -1, .server = -1 };

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "spawn: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- Descriptor 0 ---- */

static struct input connection(void)
{
	static int listener = -1;
	static struct sockaddr_in to = { .sin_family = AF_INET };
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	socklen_t size = sizeof(to);
	struct input input;

	if (listener < 0) {
		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(listener, (struct sockaddr *)&to, sizeof(to)) != 0 ||
			listen(listener, 16) != 0 ||
			getsockname(listener, (struct sockaddr *)&to, &size) != 0)
			fail("listen");
	}
	input.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(input.client, (struct sockaddr *)&to, sizeof(to)) != 0)
		fail("connect");
	input.server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (input.server < 0)
		fail("accept");
	/* No TIME_WAIT: many rounds would use up the ports. */
	(void)setsockopt(input.client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return input;
}

static struct input input_open(const char *kind)
{
	const char *text = strcmp(kind, "line") == 0   ? "nm_notifyuser\r\n"
			   : strcmp(kind, "junk") == 0 ? "x\n"
						       : "";
	struct input input = nothing;

	if (strcmp(kind, "none") == 0)
		return input;
	if (kind[0] == '/') {
		input.server = open(kind, O_RDONLY | O_CLOEXEC);
		if (input.server < 0)
			fail(kind);
		return input;
	}
	input = connection();
	if (send(input.client, text, strlen(text), 0) != (ssize_t)strlen(text))
		fail("send");
	return input;
}

static void input_close(struct input input)
{
	if (input.client >= 0)
		(void)close(input.client);
	if (input.server >= 0)
		(void)close(input.server);
}

/* ---- Time ---- */

static void run(const char *path, char **words, struct input input, int null, struct rusage *usage)
{
	posix_spawn_file_actions_t actions;
	char *none[] = { NULL };
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input.server < 0 ? null : input.server, 0);
	posix_spawn_file_actions_adddup2(&actions, null, 1);
	posix_spawn_file_actions_adddup2(&actions, null, 2);
	if (posix_spawn(&pid, path, &actions, NULL, words, none) != 0)
		fail(path);
	if (wait4(pid, &status, 0, usage) != pid || status != 0) {
		fprintf(stderr, "spawn: %s: status %#x\n", path, (unsigned)status);
		exit(1);
	}
	posix_spawn_file_actions_destroy(&actions);
}

static void sample(struct job *job, unsigned round, int null)
{
	bool is_idle = strcmp(job->word[1], "idle") == 0;
	struct input input = is_idle ? job->idle : input_open(job->word[1]);
	uint64_t begun, ended, zero = 0;
	struct rusage usage;

	if (job->stamp >= 0 && pwrite(job->stamp, &zero, sizeof(zero), 0) != sizeof(zero))
		fail("stamp");
	begun = now_ns();
	run(job->word[3], job->word + 3, input, null, &usage);
	ended = now_ns();
	if (job->stamp >= 0 &&
		(pread(job->stamp, &ended, sizeof(ended), 0) != sizeof(ended) || ended == 0)) {
		fprintf(stderr, "spawn: %s: no stamp\n", job->word[0]);
		exit(1);
	}
	if (!is_idle)
		input_close(input);
	job->ns[round] = ended - begun;
	job->faults[round] = usage.ru_minflt;
}

static bool job_read(struct job *job, unsigned rounds)
{
	unsigned count = 0;

	if (fgets(job->text, sizeof(job->text), stdin) == NULL)
		return false;
	for (char *word = strtok(job->text, " \n"); word != NULL && count < WORDS_MOST - 1;
		word = strtok(NULL, " \n"))
		job->word[count++] = word;
	if (count < 4) {
		fputs("spawn: a job is NAME INPUT END PROGRAM...\n", stderr);
		exit(2);
	}
	job->stamp = -1;
	if (strcmp(job->word[2], "exit") != 0) {
		job->stamp = open(job->word[2], O_RDWR | O_CLOEXEC);
		if (job->stamp < 0)
			fail(job->word[2]);
	}
	job->idle = strcmp(job->word[1], "idle") == 0 ? input_open("idle") : nothing;
	job->ns = calloc(rounds, sizeof(*job->ns));
	job->faults = calloc(rounds, sizeof(*job->faults));
	if (job->ns == NULL || job->faults == NULL)
		fail("memory");
	return true;
}

/* What a process leaves in the caches is the next one's luck: each has each before it. */
static void shuffle(unsigned *order, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned j = (unsigned)rand() % (i + 1);

		order[i] = order[j];
		order[j] = i;
	}
}

static void time_all(unsigned rounds)
{
	static struct job job[JOBS_MOST];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	unsigned order[JOBS_MOST], jobs = 0;

	while (jobs < JOBS_MOST && job_read(&job[jobs], rounds))
		jobs++;
	for (unsigned i = 0; i < rounds; i++) {
		shuffle(order, jobs);
		for (unsigned j = 0; j < jobs; j++)
			sample(&job[order[j]], i, null);
	}
	for (unsigned j = 0; j < jobs; j++) {
		fputs(job[j].word[0], stdout);
		for (unsigned i = 0; i < rounds; i++)
			printf(" %llu:%ld", (unsigned long long)job[j].ns[i], job[j].faults[i]);
		putchar('\n');
	}
}

/* ---- Counts ---- */

static pid_t start_traced(char **words, struct input input)
{
	char *none[] = { NULL };
	pid_t pid = fork();
	int null;

	if (pid != 0)
		return pid;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (dup2(input.server < 0 ? null : input.server, 0) == 0 && dup2(null, 1) == 1 &&
		dup2(null, 2) == 2 && ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
		execve(words[0], words, none);
	_exit(99);
}

static bool is_call(pid_t pid)
{
	struct __ptrace_syscall_info info = { .op = 0 };

	return ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 &&
	       info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

static void count(bool steps, char **words, struct input input)
{
	pid_t first = start_traced(words, input), pid;
	unsigned long counted = 0;
	int status;

	if (waitpid(first, &status, 0) != first || !WIFSTOPPED(status) ||
		ptrace(PTRACE_SETOPTIONS, first, NULL,
			PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK |
				PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC) !=
			0)
		fail("ptrace");
	for (pid = first; counted < STEPS_MOST; pid = waitpid(-1, &status, __WALL)) {
		int number;

		if (pid < 0)
			break;
		if (!WIFSTOPPED(status)) {
			if (pid == first && status != 0)
				fail("the program");
			continue;
		}
		number = WSTOPSIG(status);
		if (status >> 16 == PTRACE_EVENT_EXEC) { /* the action: not ours */
			(void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
			continue;
		}
		if (steps ? status >> 16 == 0 && number == SIGTRAP && pid != 0
			  : number == (SIGTRAP | 0x80) && is_call(pid))
			counted++;
		if (number == SIGTRAP || number == SIGSTOP || number == (SIGTRAP | 0x80))
			number = 0;
		(void)ptrace(steps ? PTRACE_SINGLESTEP : PTRACE_SYSCALL, pid, NULL,
			(void *)(intptr_t)number);
	}
	printf("%lu\n", counted);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "time") == 0) {
		unsigned long rounds = strtoul(argv[2], NULL, 10);

		if (rounds >= 1 && rounds <= ROUNDS_MOST) {
			time_all((unsigned)rounds);
			return 0;
		}
	} else if (argc >= 4 && (strcmp(argv[1], "steps") == 0 || strcmp(argv[1], "calls") == 0)) {
		count(argv[1][0] == 's', argv + 3, input_open(argv[2]));
		return 0;
	}
	fputs("usage: spawn time ROUNDS | steps|calls INPUT PROGRAM...\n", stderr);
	return 2;
}
