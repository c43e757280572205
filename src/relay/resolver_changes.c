/* SPDX-License-Identifier: ISC */
/* In the resolver. What it reads here comes from the kernel. */
#include "relay/resolver_changes.h"

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* In a folder: files are replaced more often than written. */
#define FOLDER_EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE)

/* Of a file itself, which may have been mounted there from another folder (containers do). */
#define FILE_EVENTS IN_CLOSE_WRITE

/* A file's folder, and the file itself. */
static void watch(struct changes *changes, const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];

	if (slash == NULL || slash == path || strlen(slash + 1) >= sizeof(changes->name[0]) ||
		changes->count == CHANGES_FILES_MAX || (size_t)(slash - path) >= sizeof(folder))
		return;
	memcpy(folder, path, (size_t)(slash - path));
	folder[slash - path] = '\0';
	memcpy(changes->name[changes->count++], slash + 1, strlen(slash + 1) + 1);
	/* Best effort. What cannot be watched, since it is not there, comes by its folder. */
	(void)inotify_add_watch(changes->fd, folder, FOLDER_EVENTS | IN_ONLYDIR | IN_MASK_ADD);
	(void)inotify_add_watch(changes->fd, path, FILE_EVENTS | IN_MASK_ADD);
}

void changes_watch(struct changes *changes, const char *const *paths)
{
	char *real;

	*changes = (struct changes){ .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK) };
	for (; changes->fd >= 0 && *paths != NULL; paths++) {
		real = realpath(*paths, NULL);
		watch(changes, *paths);
		if (real != NULL && strcmp(real, *paths) != 0)
			watch(changes, real);
		free(real);
	}
}

static bool is_ours(const struct changes *changes, const struct inotify_event *event)
{
	bool found = false;

	if (event->len == 0) /* a watched file's own; or a folder's, or the queue's, end */
		return true;
	for (unsigned i = 0; i < changes->count; i++)
		found = found || strcmp(event->name, changes->name[i]) == 0;
	return found;
}

bool changes_are_there(const struct changes *changes)
{
	_Alignas(struct inotify_event) char buffer[4096] = { 0 };
	const struct inotify_event *event;
	ssize_t got;

	while ((got = read(changes->fd, buffer, sizeof(buffer))) > 0)
		for (ptrdiff_t at = 0; at < got; at += (ptrdiff_t)(sizeof(*event) + event->len)) {
			event = (const void *)(buffer + at);
			if (is_ours(changes, event))
				return true;
		}
	return false;
}
