/* SPDX-License-Identifier: ISC */
#include "lib/line.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fd.h"

static const char word[] = LINE_WORD;

/* Text with so many letters of the word's beginning in it is taken for the word. */
#define WORD_TELLS 3

static const char *const reasons[LINE_REASONS] = {
	[LINE_REASON_EMPTY] = "empty",
	[LINE_REASON_CUT] = "cut",
	[LINE_REASON_BARE_LF] = "bare-lf",
	[LINE_REASON_TEXT_AFTER] = "text-after",
	[LINE_REASON_TEXT_BEFORE] = "text-before",
	[LINE_REASON_OTHER_TEXT] = "other-text",
};

static bool equals(const struct line *line, const char *ending)
{
	size_t length = strlen(ending);

	return line->length == sizeof(word) - 1 + length &&
	       memcmp(line->bytes, word, sizeof(word) - 1) == 0 &&
	       memcmp(line->bytes + sizeof(word) - 1, ending, length) == 0;
}

/* Is the line from `at` on a beginning of the word, or the word and more? */
static bool has_word(const struct line *line, size_t at)
{
	size_t length = line->length - at;

	if (length > sizeof(word) - 1)
		length = sizeof(word) - 1;
	return memcmp(line->bytes + at, word, length) == 0;
}

enum line_reason line_malformed_reason(const struct line *line)
{
	const size_t length = sizeof(word) - 1;

	if (equals(line, "\r\n"))
		return LINE_REASON_NONE;
	if (line->length == 0)
		return LINE_REASON_EMPTY;
	if (has_word(line, 0) && (line->length <= length || equals(line, "\r")))
		return LINE_REASON_CUT;
	if (equals(line, "\n"))
		return LINE_REASON_BARE_LF;
	if (has_word(line, 0))
		return LINE_REASON_TEXT_AFTER;
	for (size_t at = 1; at + WORD_TELLS <= line->length; at++)
		if (has_word(line, at))
			return LINE_REASON_TEXT_BEFORE;
	return LINE_REASON_OTHER_TEXT;
}

const char *line_reason_name(enum line_reason reason)
{
	return reasons[reason];
}

enum line_state line_judge(const struct line *line, bool ended, bool bare_lf)
{
	if (equals(line, "\r\n") || (bare_lf && equals(line, "\n")))
		return LINE_VALID;
	if (ended || line->length == LINE_READ_MAX ||
		memchr(line->bytes, '\n', line->length) != NULL)
		return LINE_MALFORMED;
	return LINE_INCOMPLETE;
}

/* The other end has gone: of a connection, or (EIO) of a terminal. */
static bool is_end(int error)
{
	return error == ECONNRESET || error == ETIMEDOUT || error == EPIPE || error == EIO;
}

static ssize_t receive(int fd, bool is_socket, void *bytes, size_t length)
{
	ssize_t got;

	do
		got = is_socket ? recv(fd, bytes, length, MSG_DONTWAIT) : read(fd, bytes, length);
	while (got < 0 && errno == EINTR);
	return got;
}

/* Waits for more. 1: there may be; 0: the deadline passed; -1: failed. While this machine sleeps,
 * neither the deadline comes nearer nor does poll(2) count: the sender is not to blame for that
 * time. */
static int wait_readable(int fd, struct deadline deadline)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	struct span rest;
	int ready;

	do {
		rest = deadline_rest(deadline);
		if (rest.ms == 0)
			return 0;
		ready = poll(&pollfd, 1, (int)rest.ms); /* at most SPAN_MAX_MS */
	} while (ready == 0 || (ready < 0 && errno == EINTR));
	return ready;
}

enum line_state line_read(
	struct line *line, int fd, bool is_socket, struct span timeout, bool bare_lf)
{
	enum line_state state;
	struct deadline deadline = deadline_in(timeout);
	/* A socket can be read without waiting; usually the line is there already. */
	bool look_first = is_socket;
	ssize_t got;

	do {
		if (!look_first) {
			int ready = wait_readable(fd, deadline);

			if (ready <= 0)
				return ready == 0 ? LINE_TIMEOUT : LINE_FAILED;
		}
		look_first = false;
		got = receive(
			fd, is_socket, line->bytes + line->length, LINE_READ_MAX - line->length);
		if (got < 0 && fd_would_wait(errno)) {
			state = LINE_INCOMPLETE;
			continue;
		}
		if (got < 0 && !is_end(errno))
			return LINE_FAILED;
		if (got > 0)
			line->length += (size_t)got;
		state = line_judge(line, got <= 0, bare_lf);
	} while (state == LINE_INCOMPLETE);
	return state;
}
