/* SPDX-License-Identifier: ISC */
#include "ctl/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of a shell, if a program is not there. */
#define EXIT_NO_PROGRAM 127

#define USUAL_PATH      "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_Noreturn static void execute(const char *const *words, enum command_stream stream, int said)
{
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 ||
		dup2(stream == COMMAND_OUTPUT ? said : nothing, STDOUT_FILENO) < 0 ||
		dup2(stream == COMMAND_ERRORS ? said : nothing, STDERR_FILENO) < 0 ||
		setenv("PATH", USUAL_PATH, 1) != 0 || setenv("LC_ALL", "C", 1) != 0)
		_exit(EXIT_NO_PROGRAM);
	(void)execvp(words[0], (char *const *)(uintptr_t)words);
	_exit(EXIT_NO_PROGRAM);
}

/* All of it, without NULs in between: what is behind one is not looked at. */
static char *read_all(int said)
{
	FILE *stream = fdopen(said, "r");
	char *bytes = NULL;
	size_t size = 0;

	if (stream == NULL) {
		(void)close(said); /* opened for reading: nothing can be lost */
		return NULL;
	}
	if (getdelim(&bytes, &size, '\0', stream) < 0) {
		free(bytes);
		bytes = ferror(stream) ? NULL : calloc(1, 1);
	}
	(void)fclose(stream); /* likewise */
	return bytes;
}

char *command_read(const char *const *words, enum command_stream stream, int *status)
{
	int ends[2], ended = 0;
	char *said;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return NULL;
	child = fork();
	if (child == 0)
		execute(words, stream, ends[1]);
	(void)close(ends[1]); /* nothing was written there */
	said = read_all(ends[0]);
	if (child < 0 || waitpid(child, &ended, 0) != child)
		ended = EXIT_NO_PROGRAM << 8;
	*status = WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
	if (*status != EXIT_NO_PROGRAM)
		return said;
	free(said);
	errno = ENOENT;
	return NULL;
}
