/* SPDX-License-Identifier: ISC */
/*
 * A program as a service would start it: as the unit's user, with the unit's view of the files. Its
 * settings about those are copied to a transient unit, which systemd starts. As with the service
 * itself, its RuntimeDirectory= and StateDirectory= are made if they are not there.
 */
#ifndef NMNOTIFY_CTL_VIEW_H
#define NMNOTIFY_CTL_VIEW_H

#include <stdbool.h>

#include "ctl/unit.h"

struct view {
	char *said; /* on standard error; for free() */
	int status; /* its exit status; from 200 on systemd could not start it (systemd.exec(5)) */
	char wrong[256]; /* "": it was started; else why not */
};

/* Starts the program of a service with one more argument, and waits for its end. For root. */
void view_run(
	const struct units *units, const char *service, const char *option, struct view *view);

#endif
