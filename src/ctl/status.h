/* SPDX-License-Identifier: ISC */
/*
 * The subcommand `status`: one document is gathered, and written in one of several forms.
 *
 * Its times are seconds since 1970, and its lengths of time seconds. What others have chosen need
 * not be UTF-8: such bytes are escaped in it already, others where they are printed.
 */
#ifndef NMNOTIFY_STATUS_H
#define NMNOTIFY_STATUS_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/ctl.h"

/* What the listener is doing: its member of the document. `only` is the one account that is asked
 * for, or NULL. The caller owns what is returned. */
json_t *status_listener(const struct ctl *ctl, const struct account *only);

/* What the relay says: its own document, or an object with its `error`; or `at_rest`, true: it is
 * not started to be asked. Null: there is none. */
json_t *status_relay(const struct ctl *ctl);

/* Each writes the document. */
void status_write_table(FILE *stream, const json_t *status, bool has_colour);
void status_write_json(FILE *stream, const json_t *status);
void status_write_metrics(FILE *stream, const json_t *status, bool is_strict);

/* The relay's part of the table, and of the metrics. */
void status_write_relay(FILE *stream, const json_t *relay, double now, bool has_colour);
struct metrics;
void status_write_relay_metrics(const struct metrics *metrics, const json_t *relay);

/* Parts of it. */
json_t *status_seconds(uint64_t milliseconds);
json_t *status_escaped(const char *string);
double status_number(const json_t *object, const char *name);
const char *status_text(const json_t *object, const char *name); /* "": there is none */
bool status_is_true(const json_t *object, const char *name);

#endif
