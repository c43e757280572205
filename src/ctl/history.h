/* SPDX-License-Identifier: ISC */
/*
 * The subcommand `history`: what the journal says of lines and runs, by hour or day, and three ways
 * to show it.
 */
#ifndef NMNOTIFY_HISTORY_H
#define NMNOTIFY_HISTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "lib/verdict.h"

/* A month by hours, ten years by days. */
#define HISTORY_MOST 4000

/* Of an hour or a day. Lengths of time are in seconds. */
struct period {
	time_t begin; /* as the clock of the wall has it: a day can have 23 hours */
	uint64_t verdicts[VERDICTS], runs, failed, delays;
	double run_sum, run_most;
	double delay_sum, delay_most; /* from the line to the start of the run that it caused */
};

struct history {
	const char *account;   /* only this one; NULL: all, and what no account takes */
	const char *directory; /* of journal files; NULL: this machine's */
	bool by_day;
	time_t since, until;
	unsigned count;
	struct period period[HISTORY_MOST], all;
};

/* Divides `since` to `until` into periods. False: they are too many. */
bool history_divide(struct history *history);

/* Reads the journal. 0, or a negative errno. -EACCES: there is none that this user may read. */
int history_read(struct history *history);

/* How many lines came that a mail server has sent, or might have. */
uint64_t period_lines(const struct period *period);

/* Each writes all of it. `width` is of the terminal, in columns. */
void history_write_bars(
	FILE *stream, const struct history *history, unsigned width, bool has_colour);
void history_write_json(FILE *stream, const struct history *history);
void history_write_svg(FILE *stream, const struct history *history);

#endif
