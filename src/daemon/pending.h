/* SPDX-License-Identifier: ISC */
/*
 * Connections that have not said their line yet, by age. All the memory that they can ever take is
 * here.
 *
 * In the network process: as nmnotify or nobody if the runner is root, else as the runner; under
 * network.policy.
 */
#ifndef NMNOTIFY_PENDING_H
#define NMNOTIFY_PENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/clock.h"
#include "lib/line.h"
#include "lib/source.h"

/* One more, and the oldest is dropped. */
#define PENDING_MAX 1024

struct pending {
	int fd; /* -1: this place is free */
	struct line line;
	struct source source;
	unsigned account;
	struct deadline deadline;
	uint32_t older, newer; /* places, or PENDING_NONE */
};

#define PENDING_NONE UINT32_MAX

struct pending_list {
	struct pending pending[PENDING_MAX];
	uint32_t most; /* places for which there are descriptors */
	uint32_t oldest, newest;
	uint32_t free;                 /* a list, too, through `newer` */
	struct deadline next_deadline; /* nobody's time is up before */
};

/* Makes an empty list, for as many as this process may have descriptors. */
void pending_prepare(struct pending_list *list);

/* NULL: there is none. */
struct pending *pending_oldest(struct pending_list *list);
struct pending *pending_newer(struct pending_list *list, const struct pending *pending);

/* The connection at this place; NULL: there is none any more. */
struct pending *pending_at(struct pending_list *list, uint32_t place);

/* The place that the next one gets; PENDING_NONE: none is free. */
uint32_t pending_place(const struct pending_list *list);

/* There is a free place. */
void pending_add(struct pending_list *list, const struct pending *pending);

void pending_remove(struct pending_list *list, struct pending *pending);

#endif
