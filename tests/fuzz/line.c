/* SPDX-License-Identifier: ISC */
/*
 * The line, in any pieces, by any road: accepted if and only if the bytes that were there when the
 * decision fell are exactly the line.
 *
 * Input: how (the bits below), two bytes that say behind which bytes a piece ends, the bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "lib/line.h"

#define BYTES_MAX  40
#define PIPE_BYTES (256 * 1024)

enum how {
	HOW_BARE_LF = 1,
	HOW_PIPE = 2,   /* else a socket */
	HOW_STREAM = 4, /* one piece, and what is not read can be counted */
	HOW_RESET = 8,  /* the connection does not end, but is reset; if a stream */

	/* Neither: the other end is still there. As it costs a read-timeout, it is rare. */
	HOW_SILENCE_MASK = 0xf0,
	HOW_SILENCE = 0x50,
};

struct text {
	char bytes[BYTES_MAX];
	size_t length;
	unsigned how, pieces;
};

static bool is_the_line(const char *bytes, size_t length, bool bare_lf)
{
	return (length == 15 && memcmp(bytes, "nm_notifyuser\r\n", 15) == 0) ||
	       (bare_lf && length == 14 && memcmp(bytes, "nm_notifyuser\n", 14) == 0);
}

/* What must be said of the first `length` bytes, when they are all that has come so far. */
static enum line_state wanted_so_far(const struct text *text, size_t length)
{
	if (is_the_line(text->bytes, length, text->how & HOW_BARE_LF))
		return LINE_VALID;
	if (length == 16 || memchr(text->bytes, '\n', length) != NULL)
		return LINE_MALFORMED;
	return LINE_INCOMPLETE;
}

static bool is_silent(const struct text *text)
{
	return (text->how & HOW_SILENCE_MASK) == HOW_SILENCE;
}

/* Where the piece ends that begins at `start`. */
static size_t piece_end(const struct text *text, size_t start)
{
	size_t end = start + 1;

	if (text->how & HOW_STREAM)
		return text->length;
	while (end < text->length && (end > 16 || !(text->pieces >> (end - 1) & 1)))
		end++;
	return end;
}

/* What must come of these pieces. What is in a piece beyond the 16th byte is never seen. */
static enum line_state wanted(const struct text *text)
{
	enum line_state state = LINE_INCOMPLETE;
	size_t end = 0;

	while (end < text->length && state == LINE_INCOMPLETE) {
		end = piece_end(text, end);
		state = wanted_so_far(text, end < 16 ? end : 16);
	}
	if (state != LINE_INCOMPLETE)
		return state;
	return is_silent(text) ? LINE_TIMEOUT : LINE_MALFORMED;
}

/* Descriptors that keep pieces apart: what one write wrote is what one read reads. */
static void road_make(const struct text *text, int fds[2])
{
	int type = text->how & HOW_STREAM ? SOCK_STREAM : SOCK_SEQPACKET;

	if (text->how & HOW_PIPE) {
		must(pipe2(fds, text->how & HOW_STREAM ? 0 : O_DIRECT) == 0);
		/* Each piece takes a page; the usual 16 are one too few. */
		must(fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES) >= PIPE_BYTES);
	} else {
		must(socketpair(AF_UNIX, type, 0, fds) == 0);
	}
}

static void send_all(const struct text *text, int fd)
{
	for (size_t start = 0; start < text->length; start = piece_end(text, start)) {
		size_t length = piece_end(text, start) - start;

		must(write(fd, text->bytes + start, length) == (ssize_t)length);
	}
}

static void road_end(const struct text *text, int fds[2])
{
	if (is_silent(text))
		return;
	/* What the other end has not read when it closes makes the kernel reset a Unix socket. One
	 * of packets would then, unlike TCP, keep what had arrived to itself. */
	if ((text->how & HOW_RESET) && (text->how & HOW_STREAM) && !(text->how & HOW_PIPE))
		must(write(fds[0], "x", 1) == 1);
	(void)close(fds[1]);
	fds[1] = -1;
}

/* Never is a byte more read than 16. */
static void check_rest(const struct text *text, int fd)
{
	int rest = -1;

	if (!(text->how & HOW_STREAM))
		return;
	must(ioctl(fd, FIONREAD, &rest) == 0);
	must((size_t)rest == (text->length > 16 ? text->length - 16 : 0));
}

static void check_read(const struct text *text)
{
	struct span timeout = { .ms = is_silent(text) ? 1 : 60000 };
	struct line line = { .length = 0 };
	enum line_state state;
	int fds[2];

	road_make(text, fds);
	send_all(text, fds[1]);
	road_end(text, fds);
	state = line_read(&line, fds[0], !(text->how & HOW_PIPE), timeout, text->how & HOW_BARE_LF);
	/* On a busy machine so short a time may be over before the last piece is looked at. */
	if (!is_silent(text) || state != LINE_TIMEOUT) {
		must(state == wanted(text));
		check_rest(text, fds[0]);
	}
	(void)close(fds[0]);
	if (fds[1] >= 0)
		(void)close(fds[1]);
}

/* A fixed word for whatever is not the line, and bare-lf only where that would help. */
static void check_reason(const struct line *line, enum line_state state)
{
	enum line_reason reason = line_malformed_reason(line);

	must(reason < LINE_REASONS);
	must((reason == LINE_REASON_NONE) == (state == LINE_VALID));
	must((line_reason_name(reason) == NULL) == (state == LINE_VALID));
	must((reason == LINE_REASON_BARE_LF) ==
		(state != LINE_VALID && line_judge(line, true, true) == LINE_VALID));
}

/*
 * The reader forgets nothing and knows nothing but the bytes so far. So if it says the right thing
 * of every beginning, it does so of every segmentation.
 */
static void check_judge(const struct text *text)
{
	for (size_t length = 0; length <= text->length && length <= LINE_READ_MAX; length++) {
		struct line line = { .length = length };
		enum line_state state = wanted_so_far(text, length);

		memcpy(line.bytes, text->bytes, length);
		must(line_judge(&line, false, text->how & HOW_BARE_LF) == state);
		if (state == LINE_INCOMPLETE)
			state = LINE_MALFORMED;
		must(line_judge(&line, true, text->how & HOW_BARE_LF) == state);
		check_reason(&line, line_judge(&line, true, false));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct text text = { .how = take_byte(&input) };

	text.pieces = take_byte(&input);
	text.pieces |= (unsigned)take_byte(&input) << 8;
	text.length = take_bytes(&input, text.bytes, sizeof(text.bytes));
	check_judge(&text);
	check_read(&text);
	return 0;
}
