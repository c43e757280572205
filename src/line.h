/* SPDX-License-Identifier: ISC */
/*
 * The line: `nm_notifyuser` CR LF (RFC 4146, section 3), and nothing but it.
 */
#ifndef NMNOTIFY_LINE_H
#define NMNOTIFY_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "clock.h"

/* The line is 15 bytes; the 16th tells that there is more. Never is a byte more read. */
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

/* What the bytes so far say; `ended` when no more can come (end of file, a whole datagram). */
enum line_state line_judge(const struct line *line, bool ended, bool bare_lf);

/*
 * Reads from fd until the line can be judged, at most `timeout` long. A connection reset is an
 * end of file: what had arrived is judged.
 */
enum line_state line_read(int fd, bool is_socket, struct span timeout, bool bare_lf);

#endif
