/* SPDX-License-Identifier: ISC */
/*
 * nmnotifyd's dealings with whoever started it: sockets, readiness, status and watchdog
 * (sd_listen_fds(3), sd_notify(3)). Built without systemd, there is only descriptor 0, as inetd's
 * `wait` hands it over, and nobody to tell.
 */
#ifndef NMNOTIFY_SERVICE_H
#define NMNOTIFY_SERVICE_H

#include <stdbool.h>

#include "lib/clock.h"

#define LISTENERS_MAX 32

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

void service_ready(void);
void service_reloading(void);            /* until service_ready() is said again */
void service_status(const char *status); /* a line for systemctl status */
void service_stopping(void);
void service_alive(void);

/* How often service_alive() is expected; 0: never. */
struct span service_watchdog(void);

#endif
