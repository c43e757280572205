/* SPDX-License-Identifier: ISC */
/*
 * The action of the tests: writes down when it starts and ends, whether another run is going on,
 * and how it finds the world.
 *
 *     recorder DIR [WORD ...]
 *
 * DIR/runs gets a line at the start and one at the end:
 *
 *     start PID NANOSECONDS OVERLAP LAST_START SOURCE ACCOUNT
 *     end PID NANOSECONDS
 *
 * in nanoseconds of CLOCK_BOOTTIME. OVERLAP is the process of a run that has not ended, or 0.
 * LAST_START is the third word of the file that `limits=FILE` names, in ms modulo 2^32, or 0. All
 * processes that it makes are in DIR/pids. Words:
 *
 *     limits=FILE   where LAST_START is read from
 *     sleep=MS      how long the run lasts
 *     until=NAME    ... until there is a file DIR/NAME
 *     ignore-term   SIGTERM is ignored
 *     close         closes all descriptors up to 1023
 *     daemon=MS     leaves a process behind, in a session of its own, that lives so long
 *     member=MS     leaves a process behind in its own process group, that ignores SIGTERM
 *     helper=MS     leaves a process behind in its own process group
 *     say=TEXT      writes TEXT to descriptors 1 and 2
 *     facts=NAME    writes what it finds to DIR/NAME
 *     mark=NAME     makes an empty file DIR/NAME
 *     exit=N        exit status
 *     signal=N      dies of this signal instead
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char *directory;

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void nap(long ms)
{
	struct timespec rest = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
		;
}

static int at(const char *name, int flags)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return open(path, flags | O_CLOEXEC, 0644);
}

/* One write to a file opened for appending: lines never mix. */
__attribute__((format(printf, 2, 3))) static void note(const char *name, const char *format, ...)
{
	char text[512];
	va_list arguments;
	int fd = at(name, O_WRONLY | O_CREAT | O_APPEND), length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (fd < 0 || write(fd, text, (size_t)length) != length)
		_exit(99);
	close(fd);
}

static int is_alive(int pid)
{
	char path[64], text[512];
	const char *state;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	state = strrchr(text, ')');
	return state != NULL && state[1] != '\0' && strchr("ZXx", state[2]) == NULL;
}

/* A file that only one run can make: what is in it is the run that has not ended. */
static int overlap(void)
{
	char text[32] = "";
	int fd, other, looks = 0;

	while ((fd = at("running", O_WRONLY | O_CREAT | O_EXCL)) < 0) {
		if ((fd = at("running", O_RDONLY)) < 0)
			continue;
		if (read(fd, text, sizeof(text) - 1) <= 0)
			text[0] = '\0';
		close(fd);
		other = atoi(text);
		if (other == 0 && looks++ < 200) { /* made, and not yet written to */
			nap(1);
			continue;
		}
		if (other != 0 && is_alive(other))
			return other;
		if ((fd = at("running", O_WRONLY | O_TRUNC)) >= 0) /* it was killed */
			break;
	}
	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (write(fd, text, strlen(text)) < 0)
		_exit(99);
	close(fd);
	return 0;
}

static uint32_t last_start(const char *file)
{
	uint32_t word[2] = { 0, 0 };
	int fd = file == NULL ? -1 : open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, word, sizeof(word)) != (ssize_t)sizeof(word))
		word[1] = 0;
	if (fd >= 0)
		close(fd);
	return word[1];
}

static void leave(const char *kind, long ms)
{
	if (fork() != 0)
		return;
	if (strcmp(kind, "daemon") == 0)
		setsid();
	else if (strcmp(kind, "member") == 0)
		signal(SIGTERM, SIG_IGN);
	note("pids", "%d %s\n", (int)getpid(), kind);
	nap(ms);
	note("pids", "%d ended\n", (int)getpid());
	_exit(0);
}

static void facts_file(FILE *out, const char *key, const char *path)
{
	char line[1024];
	FILE *in = fopen(path, "re");

	while (in != NULL && fgets(line, sizeof(line), in) != NULL)
		fprintf(out, "%s %s", key, line);
	if (in != NULL)
		fclose(in);
}

static void facts_descriptors(FILE *out)
{
	/* No opendir(3): what it opens would be listed. */
	for (int fd = 0; fd < 1024; fd++) {
		char path[64], target[1024];
		ssize_t length;

		if (fd == fileno(out))
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof(target) - 1);
		if (length < 0)
			continue;
		target[length] = '\0';
		fprintf(out, "fd %d %s\n", fd, target);
	}
}

static void facts(const char *name, int argc, char **argv)
{
	char path[4096], cwd[4096] = "";
	gid_t groups[256];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s.new", directory, name);
	out = fopen(path, "we");
	if (out == NULL)
		_exit(99);
	for (char **variable = environ; *variable != NULL; variable++)
		fprintf(out, "env %s\n", *variable);
	for (int i = 0; i < argc; i++)
		fprintf(out, "arg %s\n", argv[i]);
	facts_descriptors(out);
	fprintf(out, "pid %d\nsid %d\npgid %d\nppid %d\n", (int)getpid(), (int)getsid(0),
		(int)getpgid(0), (int)getppid());
	fprintf(out, "cwd %s\n", getcwd(cwd, sizeof(cwd)) == NULL ? "" : cwd);
	fprintf(out, "uid %d\neuid %d\ngid %d\negid %d\n", (int)getuid(), (int)geteuid(),
		(int)getgid(), (int)getegid());
	for (int i = 0, count = getgroups(256, groups); i < count; i++)
		fprintf(out, "group %d\n", (int)groups[i]);
	facts_file(out, "status", "/proc/self/status");
	fclose(out);
	{
		char whole[4096];

		snprintf(whole, sizeof(whole), "%s/%s", directory, name);
		rename(path, whole);
	}
}

static int is_there(const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return access(path, F_OK) == 0;
}

static const char *value(const char *word, const char *key)
{
	size_t length = strlen(key);

	return strncmp(word, key, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

int main(int argc, char **argv)
{
	long long begun = now();
	const char *source = getenv("NMNOTIFY_SOURCE"), *account = getenv("NMNOTIFY_ACCOUNT");
	const char *limits = NULL, *until = NULL, *v;
	int status = 0, number = 0;
	long sleep_ms = 0;

	if (argc < 2)
		return 99;
	directory = argv[1];
	for (int i = 2; i < argc; i++)
		if ((v = value(argv[i], "limits")) != NULL)
			limits = v;
	note("pids", "%d action\n", (int)getpid());
	note("runs", "start %d %lld %d %u %s %s\n", (int)getpid(), begun, overlap(),
		last_start(limits), source == NULL ? "-" : source, account == NULL ? "-" : account);
	for (int i = 2; i < argc; i++) {
		if ((v = value(argv[i], "sleep")) != NULL)
			sleep_ms = atol(v);
		else if ((v = value(argv[i], "until")) != NULL)
			until = v;
		else if ((v = value(argv[i], "exit")) != NULL)
			status = atoi(v);
		else if ((v = value(argv[i], "signal")) != NULL)
			number = atoi(v);
		else if ((v = value(argv[i], "daemon")) != NULL)
			leave("daemon", atol(v));
		else if ((v = value(argv[i], "member")) != NULL)
			leave("member", atol(v));
		else if ((v = value(argv[i], "helper")) != NULL)
			leave("helper", atol(v));
		else if ((v = value(argv[i], "facts")) != NULL)
			facts(v, argc, argv);
		else if ((v = value(argv[i], "mark")) != NULL)
			close(at(v, O_WRONLY | O_CREAT));
		else if (strcmp(argv[i], "ignore-term") == 0)
			signal(SIGTERM, SIG_IGN);
		else if ((v = value(argv[i], "say")) != NULL)
			for (int fd = 1; fd <= 2; fd++)
				if (write(fd, v, strlen(v)) < 0)
					status = 98;
	}
	for (int i = 2; i < argc; i++)
		if (strcmp(argv[i], "close") == 0)
			for (int fd = 0; fd < 1024; fd++)
				close(fd);
	if (sleep_ms != 0)
		nap(sleep_ms);
	while (until != NULL && !is_there(until))
		nap(2);
	{
		char path[4096];

		/* Before the end is noted, so that a run that comes after it sees no other. */
		snprintf(path, sizeof(path), "%s/running", directory);
		note("runs", "end %d %lld\n", (int)getpid(), now());
		unlink(path);
	}
	if (number != 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(number, SIG_DFL);
		kill(getpid(), number);
	}
	return status;
}
