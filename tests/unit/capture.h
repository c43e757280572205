/* SPDX-License-Identifier: ISC */
/* What a process says in the log, when that is its standard error. */
#ifndef NMNOTIFY_CAPTURE_H
#define NMNOTIFY_CAPTURE_H

#include "unit.h"

#include <poll.h>

#include "state/tally.h"

#define TEXT_MAX 65536

/* ---- What a child writes to its standard error ---- */

typedef void speaker(struct tally *tally, void *context);

struct capture {
	speaker *speak;
	void *context;
	struct log log;
	struct state *state;
	bool is_mute;
	int pipe;
};

static inline int speak(void *context)
{
	struct capture *capture = context;
	struct tally tally = {
		.log = &capture->log,
		.state = capture->state,
		.is_mute = capture->is_mute,
	};

	if (dup2(capture->pipe, STDERR_FILENO) < 0)
		return 1;
	capture->speak(&tally, capture->context);
	return 0;
}

/* Takes the "nmnotify[PID]: " from the beginning of each line, when it is as it should be. */
static inline void strip(char *text, pid_t pid)
{
	char prefix[64];
	size_t length = (size_t)sprintf(prefix, "nmnotify[%d]: ", (int)pid);

	for (char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
		assert_memory_equal(line, prefix, length);
		memmove(line, line + length, strlen(line + length) + 1);
		assert_non_null(strchr(line, '\n'));
	}
}

/* The lines that a capture's speaker makes; the caller's until the next call. */
static inline const char *lines_captured(struct capture capture)
{
	static char text[TEXT_MAX];
	size_t length = 0;
	int fd[2];
	struct pollfd pollfd = { .events = POLLIN };
	ssize_t got;
	pid_t child;

	capture.log.program = "nmnotify";
	capture.log.target = LOG_TARGET_STDERR;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	capture.pipe = fd[1];
	child = unit_fork(speak, &capture);
	pollfd.fd = fd[0];
	(void)close(fd[1]);
	while (poll(&pollfd, 1, UNIT_PATIENCE_MS / 2) == 1 &&
		(got = read(fd[0], text + length, sizeof(text) - 1 - length)) > 0)
		length += (size_t)got;
	text[length] = '\0';
	(void)close(fd[0]);
	assert_int_equal(unit_reap(child), 0);
	strip(text, child);
	return text;
}

static const struct log home = { .stderr_usable = true, .account = "home", .source = "192.0.2.25" };
static const struct log nobody = { .stderr_usable = true };

#endif
