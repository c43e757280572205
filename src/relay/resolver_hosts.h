/* SPDX-License-Identifier: ISC */
/*
 * /etc/hosts, read before the resolver is confined: nothing can be opened afterwards.
 *
 * In the resolver: as the relay's user.
 */
#ifndef NMNOTIFY_RESOLVER_HOSTS_H
#define NMNOTIFY_RESOLVER_HOSTS_H

#include <stddef.h>

#include "lib/source.h"

#define HOSTS_FILE "/etc/hosts"

struct hosts_line {
	struct source address;
	const char *names; /* until the line's end, or a comment */
};

struct hosts {
	size_t count;
	struct hosts_line *host;
	char *text; /* where the names are; both for as long as the process lives */
};

/* A file that is not there, or cannot be read, has no names. What is behind its first 4 MiB is not
 * read. Names of interfaces, which an address may have, are looked up now. */
void hosts_read(struct hosts *hosts, const char *path);

/* The addresses of a name, at most `most`, each once; how many. */
unsigned hosts_find(
	const struct hosts *hosts, const char *name, struct source *address, unsigned most);

#endif
