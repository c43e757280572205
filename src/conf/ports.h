/* SPDX-License-Identifier: ISC */
/*
 * The TCP ports that mail is fetched from and sent to, and what that takes beside: by their names
 * in services(5), which a static program would need stdio(3) to read.
 */
#ifndef NMNOTIFY_PORTS_H
#define NMNOTIFY_PORTS_H

#include <stdbool.h>
#include <stdint.h>

struct port {
	char name[12];
	uint16_t number;
};

/* All of them are what `connect default` means. */
extern const struct port ports[];
extern const unsigned ports_count;

/* A port's number, from 1 on, or one of the names. */
bool port_parse(const char *word, uint16_t *number);

#endif
