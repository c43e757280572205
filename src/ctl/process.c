/* SPDX-License-Identifier: ISC */
#include "ctl/process.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/text.h"

/* Of `stat` and `status` in proc(5): as much as is looked at. */
#define PROC_BYTES_MAX 4096

static bool proc_read(pid_t pid, const char *name, char bytes[static PROC_BYTES_MAX])
{
	char path[64];
	struct text text = TEXT_IN(path);
	ssize_t got;
	int fd;

	text_add(&text, "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	got = read(fd, bytes, PROC_BYTES_MAX - 1);
	(void)close(fd); /* opened for reading: nothing can be lost */
	if (got <= 0)
		return false;
	bytes[got] = '\0';
	return true;
}

/* The real user: the owner of its files there is root if it cannot be dumped. A name with a line
 * of its own in it is escaped there. */
static bool is_of(uid_t owner, const char *status)
{
	const char *line = strstr(status, "\nUid:\t");
	uint64_t uid;

	if (line == NULL)
		return false;
	line += strlen("\nUid:\t");
	return number_take(&line, UINT32_MAX, &uid) && uid == owner;
}

/* The 22nd field, in clock ticks since the machine was started; a name may have blanks and
 * parentheses in it. */
static bool find_age(const char *after_name, uint64_t *age)
{
	uint64_t ticks, now = clock_milliseconds(CLOCK_BOOTTIME), begun;
	long second = sysconf(_SC_CLK_TCK);

	for (unsigned field = 2; field < 22; field++) {
		after_name = strchr(after_name, ' ');
		if (after_name == NULL)
			return false;
		after_name++;
	}
	if (second <= 0 || !number_take(&after_name, UINT64_MAX / 1000, &ticks))
		return false;
	begun = ticks * 1000 / (uint64_t)second;
	*age = now > begun ? now - begun : 0;
	return true;
}

/* The name that `stat` has between parentheses. NULL: there is none. `*rest` is behind it. */
static const char *take_name(char *stat, char **rest)
{
	char *name = strchr(stat, '(');

	*rest = strrchr(stat, ')');
	if (name == NULL || *rest == NULL)
		return NULL;
	**rest = '\0';
	return name + 1;
}

void process_name(pid_t pid, struct text *name)
{
	char bytes[PROC_BYTES_MAX], *rest;
	const char *found = proc_read(pid, "stat", bytes) ? take_name(bytes, &rest) : NULL;

	if (found != NULL)
		text_add_escaped(name, found);
}

bool process_look(pid_t pid, uid_t owner, struct process *process)
{
	char bytes[PROC_BYTES_MAX], *end;
	const char *name;
	struct text command = TEXT_IN(process->command);

	if (pid <= 0 || !proc_read(pid, "status", bytes) || !is_of(owner, bytes) ||
		!proc_read(pid, "stat", bytes))
		return false;
	name = take_name(bytes, &end);
	if (name == NULL || !find_age(end + 1, &process->age))
		return false;
	process->command[0] = '\0';
	text_add_escaped(&command, name);
	return true;
}
