/* SPDX-License-Identifier: ISC */
#include <jansson.h>
#include <string.h>

#include "ctl/history.h"
#include "ctl/table.h"

/* ---- For a terminal ---- */

/* Columns before the bar, and after it. */
#define LABEL_WIDTH 17
#define REST_WIDTH  46
#define BAR_LEAST   10

static void when(const struct history *history, time_t begin, char text[static 32])
{
	struct tm tm;

	(void)localtime_r(&begin, &tm);
	/* strftime(3) says 0 if it does not fit; it does. */
	(void)strftime(text, 32, history->by_day ? "%Y-%m-%d" : "%Y-%m-%d %H:00", &tm);
}

static uint64_t most_lines(const struct history *history)
{
	uint64_t most = 1;

	for (unsigned i = 0; i < history->count; i++)
		if (period_lines(&history->period[i]) > most)
			most = period_lines(&history->period[i]);
	return most;
}

static void bar(FILE *stream, uint64_t lines, uint64_t most, unsigned width)
{
	/* What is not nothing is seen. */
	unsigned length = (unsigned)((lines * width + most - 1) / most);

	for (unsigned i = 0; i < width; i++)
		(void)fputc(i < length ? '#' : ' ', stream);
}

static double mean(double sum, uint64_t count)
{
	return count == 0 ? 0 : sum / (double)count;
}

static void write_numbers(FILE *stream, const struct period *period, bool has_colour)
{
	enum colour colour = period->failed != 0 ? COLOUR_BAD : COLOUR_NONE;

	(void)fprintf(stream, " %6llu %6llu %s%6llu%s", (unsigned long long)period_lines(period),
		(unsigned long long)period->runs, colour_begin(colour, has_colour),
		(unsigned long long)period->failed, colour_end(colour, has_colour));
	if (period->runs == 0)
		(void)fprintf(stream, " %9s", "-");
	else
		(void)fprintf(stream, " %8.1fs", mean(period->run_sum, period->runs));
	if (period->delays == 0)
		(void)fprintf(stream, " %9s\n", "-");
	else
		(void)fprintf(stream, " %8.2fs\n", mean(period->delay_sum, period->delays));
}

void history_write_bars(
	FILE *stream, const struct history *history, unsigned width, bool has_colour)
{
	unsigned bar_width = width > LABEL_WIDTH + REST_WIDTH + BAR_LEAST
				     ? width - LABEL_WIDTH - REST_WIDTH
				     : BAR_LEAST;
	uint64_t most = most_lines(history);
	char text[32];

	(void)fprintf(stream, "%s%-*s%*s %6s %6s %6s %9s %9s%s\n",
		colour_begin(COLOUR_HEAD, has_colour), LABEL_WIDTH, "SINCE", (int)bar_width, "",
		"LINES", "RUNS", "FAILED", "LENGTH", "DELAY", colour_end(COLOUR_HEAD, has_colour));
	for (unsigned i = 0; i < history->count; i++) {
		when(history, history->period[i].begin, text);
		(void)fprintf(stream, "%-*s", LABEL_WIDTH, text);
		bar(stream, period_lines(&history->period[i]), most, bar_width);
		write_numbers(stream, &history->period[i], has_colour);
	}
	(void)fprintf(stream, "%-*s%*s", LABEL_WIDTH, "all", (int)bar_width, "");
	write_numbers(stream, &history->all, has_colour);
	for (unsigned i = 0; i < VERDICTS; i++)
		(void)fprintf(stream, "%s%s %llu", i == 0 ? "" : ", ", verdict_name(i),
			(unsigned long long)history->all.verdicts[i]);
	(void)fprintf(stream, "; longest run %.1f s, longest delay %.2f s\n", history->all.run_most,
		history->all.delay_most);
}

/* ---- For programs ---- */

static json_t *object_of(const struct period *period)
{
	json_t *object = json_object(), *verdicts = json_object();

	for (unsigned i = 0; i < VERDICTS; i++)
		(void)json_object_set_new(
			verdicts, verdict_name(i), json_integer((json_int_t)period->verdicts[i]));
	(void)json_object_set_new(object, "begin", json_integer((json_int_t)period->begin));
	(void)json_object_set_new(object, "lines", json_integer((json_int_t)period_lines(period)));
	(void)json_object_set_new(object, "verdicts", verdicts);
	(void)json_object_set_new(object, "runs", json_integer((json_int_t)period->runs));
	(void)json_object_set_new(object, "failed", json_integer((json_int_t)period->failed));
	(void)json_object_set_new(object, "run_seconds", json_real(period->run_sum));
	(void)json_object_set_new(object, "longest_run_seconds", json_real(period->run_most));
	(void)json_object_set_new(object, "delays", json_integer((json_int_t)period->delays));
	(void)json_object_set_new(object, "delay_seconds", json_real(period->delay_sum));
	(void)json_object_set_new(object, "longest_delay_seconds", json_real(period->delay_most));
	return object;
}

void history_write_json(FILE *stream, const struct history *history)
{
	json_t *document = json_object(), *periods = json_array(), *all;

	for (unsigned i = 0; i < history->count; i++)
		(void)json_array_append_new(periods, object_of(&history->period[i]));
	all = object_of(&history->all);
	(void)json_object_set_new(all, "begin", json_integer((json_int_t)history->since));
	(void)json_object_set_new(document, "account",
		history->account != NULL ? json_string(history->account) : json_null());
	(void)json_object_set_new(document, "by", json_string(history->by_day ? "day" : "hour"));
	(void)json_object_set_new(document, "end", json_integer((json_int_t)history->until));
	(void)json_object_set_new(document, "all", all);
	(void)json_object_set_new(document, "periods", periods);
	(void)json_dumpf(document, stream, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	(void)fputc('\n', stream);
	json_decref(document);
}

/* ---- A picture ---- */

#define BAR_STEP     24 /* all in pixels */
#define BAR_SIZE     18
#define CHART_HEIGHT 120
#define CHART_LEFT   48
#define CHART_TOP    28
#define TEXT_BELOW   18
#define LABEL_EVERY  6 /* periods */

static void svg_bar(
	FILE *stream, unsigned i, uint64_t from, uint64_t count, uint64_t most, const char *fill)
{
	double height = (double)(count * CHART_HEIGHT) / (double)most,
	       top = CHART_TOP + CHART_HEIGHT - (double)(from * CHART_HEIGHT) / (double)most -
		     height;

	if (count != 0)
		(void)fprintf(stream,
			"<rect x=\"%u\" y=\"%.1f\" width=\"%d\" height=\"%.1f\" fill=\"%s\"/>\n",
			CHART_LEFT + i * BAR_STEP, top, BAR_SIZE, height, fill);
}

static void svg_text(FILE *stream, unsigned x, unsigned y, const char *anchor, const char *text)
{
	(void)fprintf(stream, "<text x=\"%u\" y=\"%u\" text-anchor=\"%s\">%s</text>\n", x, y,
		anchor, text);
}

/* Lines as bars; over them, in another colour, runs that failed. */
void history_write_svg(FILE *stream, const struct history *history)
{
	unsigned width = CHART_LEFT + history->count * BAR_STEP + BAR_STEP,
		 height = CHART_TOP + CHART_HEIGHT + 2 * TEXT_BELOW;
	uint64_t most = most_lines(history);
	char text[64];

	(void)fprintf(stream,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
		"font-family=\"sans-serif\" font-size=\"11\">\n"
		"<title>Lines and failed runs by %s</title>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
		width, height, history->by_day ? "day" : "hour");
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)most);
	svg_text(stream, CHART_LEFT - 6, CHART_TOP + 4, "end", text);
	svg_text(stream, CHART_LEFT - 6, CHART_TOP + CHART_HEIGHT, "end", "0");
	(void)snprintf(text, sizeof(text), "%llu lines, %llu runs, %llu failed",
		(unsigned long long)period_lines(&history->all),
		(unsigned long long)history->all.runs, (unsigned long long)history->all.failed);
	svg_text(stream, CHART_LEFT, CHART_TOP - 12, "start", text);
	for (unsigned i = 0; i < history->count; i++) {
		const struct period *period = &history->period[i];
		uint64_t lines = period_lines(period),
			 failed = period->failed < lines ? period->failed : lines;

		svg_bar(stream, i, 0, failed, most, "#c62828");
		svg_bar(stream, i, failed, lines - failed, most, "#1565c0");
		when(history, period->begin, text);
		if (i % LABEL_EVERY == 0)
			svg_text(stream, CHART_LEFT + i * BAR_STEP,
				CHART_TOP + CHART_HEIGHT + TEXT_BELOW, "start", text);
	}
	(void)fprintf(stream, "<path d=\"M%d %d H%u\" stroke=\"black\"/>\n</svg>\n", CHART_LEFT,
		CHART_TOP + CHART_HEIGHT, width - BAR_STEP);
}
