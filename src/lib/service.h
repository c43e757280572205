/* SPDX-License-Identifier: ISC */
/*
 * Between nmnotifyd and the service manager: sockets, readiness, status and watchdog
 * (sd_listen_fds(3), sd_notify(3)). Built without libsystemd, there is only descriptor 0, as
 * inetd's `wait` hands it over, and nobody to tell.
 *
 * In the runner: as who started it, with no filter but the unit's.
 */
#ifndef NMNOTIFY_SERVICE_H
#define NMNOTIFY_SERVICE_H

#include <stdbool.h>

#include "lib/clock.h"

#define LISTENERS_MAX 32

/* A socket to serve. */
struct listener {
	int fd;
	bool is_datagram; /* else it listens for streams */
	bool is_internet; /* else it is a Unix socket */
	bool is_ipv6;
};

/*
 * Finds the sockets to serve and makes them non-blocking. Returns how many, or -1 with *wrong
 * (constant or static) saying what is wrong.
 */
int service_listeners(struct listener listener[static LISTENERS_MAX], const char **wrong);

/* Each tells the service manager, if there is one. */
void service_ready(void);
void service_reloading(void);            /* until service_ready() is said again */
void service_status(const char *status); /* a line for systemctl status */
void service_stopping(void);
void service_alive(void);

/* The service manager expects service_alive() at least so often; 0: never. */
struct span service_watchdog(void);

#endif
