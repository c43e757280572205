/* SPDX-License-Identifier: ISC */
/*
 * The subcommand `status`: one document is gathered, and written in one of several forms.
 *
 * Its times are seconds since 1970, and its lengths of time seconds; words that others have chosen
 * are escaped in it already, since they need not be UTF-8.
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

/* Each writes the document. */
void status_write_table(FILE *stream, const json_t *status, bool has_colour);
void status_write_json(FILE *stream, const json_t *status);
void status_write_metrics(FILE *stream, const json_t *status, bool is_strict);

/* Parts of it. */
json_t *status_seconds(uint64_t milliseconds);
json_t *status_escaped(const char *string);
double status_number(const json_t *object, const char *name);
const char *status_text(const json_t *object, const char *name); /* "": there is none */

#endif
