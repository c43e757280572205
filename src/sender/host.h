/* SPDX-License-Identifier: ISC */
/*
 * Where the line is to go, as nmnotify-send is told: an address or a name, and a port.
 *
 * In the process of nmnotify-send: as who started it, before it is confined.
 */
#ifndef NMNOTIFY_HOST_H
#define NMNOTIFY_HOST_H

#include <stdbool.h>

#include "lib/source.h"

/* More addresses of a name than anybody's notifications go to; what is behind them is left out. */
#define HOST_ADDRESSES_MAX 16

struct host {
	const char *text; /* as it was given */
	char name[SOURCE_HOST_MAX];
	bool is_name; /* which is to be looked up; else it is an address, and known */
	uint16_t port;
	enum source_kind only; /* the kind of address that is wanted; SOURCE_UNKNOWN: any */
	unsigned count;
	struct source address[HOST_ADDRESSES_MAX];
};

/* HOST, HOST:PORT, [HOST], [HOST]:PORT. NULL, or what is wrong with it. */
const char *host_parse(
	struct host *host, const char *text, uint16_t default_port, enum source_kind only);

/* A port's number. False if it is none. */
bool port_parse(const char *text, uint16_t *port);

/* Adds an address that it has not yet, if it is of the kind that is wanted, and if there is room.
 */
void host_add(struct host *host, const struct source *address);

#endif
