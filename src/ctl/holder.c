/* SPDX-License-Identifier: ISC */
#include "ctl/holder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/text.h"

/* The kernel's numbers for states, in net/tcp_states.h: TCP_LISTEN; TCP_CLOSE, of a UDP socket that
 * is not connected. */
static const struct table {
	const char *files[2], *state;
} tables[] = {
	[HOLDER_TCP] = { { "/proc/net/tcp", "/proc/net/tcp6" }, "0A" },
	[HOLDER_UDP] = { { "/proc/net/udp", "/proc/net/udp6" }, "07" },
};

/* What stands in a line: "sl local remote state queues timer retransmits uid timeout inode". */
enum { FIELD_LOCAL = 1, FIELD_STATE = 3, FIELD_INODE = 9 };

#define LINK_MAX 64

/* The link in /proc/PID/fd that leads to the socket of a line. False: it is another's line. */
static bool link_of(char *line, const char *port, const char *state, char link[static LINK_MAX])
{
	struct text text = { .bytes = link, .size = LINK_MAX };
	char *rest = NULL, *field = strtok_r(line, " ", &rest);

	for (unsigned i = 0; field != NULL; i++, field = strtok_r(NULL, " ", &rest)) {
		const char *colon = strchr(field, ':');

		if (i == FIELD_LOCAL && (colon == NULL || strcmp(colon + 1, port) != 0))
			return false;
		if (i == FIELD_STATE && strcmp(field, state) != 0)
			return false;
		if (i == FIELD_INODE) {
			text_add(&text, "socket:[%s]", field);
			return !text.cut;
		}
	}
	return false;
}

static bool has_link(pid_t pid, const char *link)
{
	char path[64], target[LINK_MAX];
	struct text text = TEXT_IN(path);
	const struct dirent *entry;
	bool has = false;
	DIR *fds;

	text_add(&text, "/proc/%d/fd", (int)pid);
	fds = opendir(path);
	while (!has && fds != NULL && (entry = readdir(fds)) != NULL) {
		ssize_t length = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);

		target[length > 0 ? length : 0] = '\0';
		has = strcmp(target, link) == 0;
	}
	if (fds != NULL)
		(void)closedir(fds); /* opened for reading: nothing can be lost */
	return has;
}

static void find_process(struct holder *holder, const char *link)
{
	struct text command = TEXT_IN(holder->command);
	const struct dirent *entry;
	DIR *proc = opendir("/proc");

	while (holder->pid == 0 && proc != NULL && (entry = readdir(proc)) != NULL) {
		const char *digits = entry->d_name;
		uint64_t pid;

		if (!number_take(&digits, INT32_MAX, &pid) || !has_link((pid_t)pid, link))
			continue;
		holder->pid = (pid_t)pid;
		process_name(holder->pid, &command);
	}
	if (proc != NULL)
		(void)closedir(proc); /* likewise */
}

static void look(struct holder *holder, const char *file, const char *port, const char *state)
{
	FILE *stream = fopen(file, "re");
	char link[LINK_MAX], *line = NULL;
	size_t size = 0;

	if (stream == NULL)
		return; /* no IPv6 here */
	while (holder->pid == 0 && getline(&line, &size, stream) > 0) {
		if (!link_of(line, port, state, link))
			continue;
		holder->is_held = true;
		find_process(holder, link);
	}
	free(line);
	(void)fclose(stream); /* likewise */
}

struct holder holder_find(enum holder_of of, unsigned port)
{
	const struct table *table = &tables[of];
	struct holder holder = { .is_held = false };
	char hexadecimal[8];

	(void)snprintf(hexadecimal, sizeof(hexadecimal), "%04X", port);
	for (unsigned i = 0; i < 2 && holder.pid == 0; i++)
		look(&holder, table->files[i], hexadecimal, table->state);
	return holder;
}
