/* SPDX-License-Identifier: ISC */
/*
 * Whether a file that the process that looks up names has read is no longer what it was: by
 * inotify(7), since it can open none of them again.
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

/* Before they are read. Best effort: whoever has no room for it is told by names_reload() alone. */
void changes_watch(struct changes *changes, const char *const *paths);

/* Has one of them changed? Never waits. */
bool changes_are_there(const struct changes *changes);

#endif
