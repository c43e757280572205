/* SPDX-License-Identifier: ISC */
/*
 * Sees when a file that the resolver has read changes, by inotify(7), since it can open none of
 * them again.
 *
 * In the resolver: as the relay's user; changes_are_there() under resolver.policy.
 */
#ifndef NMNOTIFY_RESOLVER_CHANGES_H
#define NMNOTIFY_RESOLVER_CHANGES_H

#include <stdbool.h>

#define CHANGES_FILES_MAX 4 /* each by its own name, and by that of what it is a link to */

struct changes {
	int fd; /* -1: nothing is seen */
	unsigned count;
	char name[CHANGES_FILES_MAX][256]; /* without folders */
};

/* To be called before they are read. Best effort: where the kernel has no room for it, only
 * names_reload() helps. `paths` ends with NULL. */
void changes_watch(struct changes *changes, const char *const *paths);

/* Has one of them changed? Never waits. */
bool changes_are_there(const struct changes *changes);

#endif
