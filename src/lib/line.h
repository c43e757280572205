/* SPDX-License-Identifier: ISC */
/*
 * The line: `nm_notifyuser` CR LF (RFC 4146, section 3), and nothing but it.
 */
#ifndef NMNOTIFY_LINE_H
#define NMNOTIFY_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/clock.h"

#define LINE_WORD "nm_notifyuser"
#define LINE_TEXT LINE_WORD "\r\n"

/* The line has 15 bytes. If there is a 16th, more was sent than the line; nothing behind that is
 * read. */
#define LINE_READ_MAX 16

struct line {
	char bytes[LINE_READ_MAX];
	size_t length;
};

enum line_state {
	LINE_INCOMPLETE, /* no LF yet and room left: nothing can be said before more arrives */
	LINE_VALID,
	LINE_MALFORMED,
	LINE_TIMEOUT, /* line_read only: read-timeout passed first */
	LINE_FAILED,  /* line_read only: errno says why the descriptor cannot be read */
};

/* What there is instead of the line. The words of the log: none of the sender's bytes gets there.
 */
enum line_reason {
	LINE_REASON_NONE, /* it is the line */
	LINE_REASON_EMPTY,
	LINE_REASON_CUT,         /* the line's beginning, and no more */
	LINE_REASON_BARE_LF,     /* the line, but for CR: `bare-lf` would take it */
	LINE_REASON_TEXT_AFTER,  /* the word, and then not only its end */
	LINE_REASON_TEXT_BEFORE, /* the word, or as much of it as was read, behind something else */
	LINE_REASON_OTHER_TEXT,
	LINE_REASONS
};

/* Why a line is malformed, or what of it had come when the time was up. */
enum line_reason line_malformed_reason(const struct line *line);

/* Its word for the log; NULL for LINE_REASON_NONE. */
const char *line_reason_name(enum line_reason reason);

/* What the bytes so far say; `ended` when no more can come (end of file, a whole datagram). */
enum line_state line_judge(const struct line *line, bool ended, bool bare_lf);

/*
 * Reads from fd into an empty line until it can be judged, for at most `timeout`. A connection that
 * is reset counts as ended: what has arrived is judged.
 */
enum line_state line_read(
	struct line *line, int fd, bool is_socket, struct span timeout, bool bare_lf);

#endif
