/* SPDX-License-Identifier: ISC */
/*
 * Metrics as text: the format that Prometheus, and node_exporter's textfile collector, read; or
 * OpenMetrics as its specification has it. They differ in one thing: there the name of a counter's
 * family is without the `_total` of its samples, which readers of the former would take for another
 * metric. (`# EOF` is a comment to the former.)
 */
#ifndef NMNOTIFY_METRICS_H
#define NMNOTIFY_METRICS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct metrics {
	FILE *stream;
	bool is_strict; /* OpenMetrics */
};

struct label {
	const char *name, *value;
};

/* A family's head: a counter's name ends with _total. Its samples must follow. */
void metrics_family(
	const struct metrics *metrics, const char *name, const char *type, const char *help);

/* A sample with up to two labels, each may be NULL. A value that is not known is left out. */
void metrics_sample(const struct metrics *metrics, const char *name, const struct label *first,
	const struct label *second, const json_t *value);

/* Nothing may follow. */
void metrics_end(const struct metrics *metrics);

#endif
