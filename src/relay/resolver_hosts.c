/* SPDX-License-Identifier: ISC */
/* In the resolver; the file is the administrator's, hosts(5). */
#include "relay/resolver_hosts.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HOSTS_MOST ((size_t)4 << 20)

#define BLANKS     " \t\r\v\f"

/* All of it, with a NUL behind it. NULL: there is none. */
static char *text_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = fd < 0 ? NULL : malloc(HOSTS_MOST + 1), *smaller; /* touched as it is read */
	size_t length = 0;
	ssize_t got = 1;

	while (text != NULL && got > 0 && length < HOSTS_MOST) {
		got = read(fd, text + length, HOSTS_MOST - length);
		length += got > 0 ? (size_t)got : 0;
	}
	if (fd >= 0)
		(void)close(fd); /* it was only read */
	if (text == NULL)
		return NULL;
	text[length] = '\0';
	smaller = realloc(text, length + 1);
	return smaller != NULL ? smaller : text;
}

/* Moves to the next word of a line; its length is 0 if there is none. */
static size_t word_next(const char **at)
{
	*at += strspn(*at, BLANKS);
	return strcspn(*at, BLANKS "#\n");
}

/* Is the name among the words behind the address? */
static bool is_named(const char *at, const char *name)
{
	size_t wanted = strlen(name), length;

	for (; (length = word_next(&at)) > 0; at += length) {
		size_t bare = at[length - 1] == '.' ? length - 1 : length;

		if (bare == wanted && strncasecmp(at, name, wanted) == 0)
			return true;
	}
	return false;
}

static bool host_read(struct hosts_line *host, const char *line)
{
	char text[SOURCE_TEXT_MAX];
	size_t length = word_next(&line);

	if (length == 0 || length >= sizeof(text))
		return false;
	memcpy(text, line, length);
	text[length] = '\0';
	host->names = line + length;
	return source_parse(text, &host->address);
}

void hosts_read(struct hosts *hosts, const char *path)
{
	char *text = text_read(path);
	const char *line = text;
	size_t lines = 1;

	*hosts = (struct hosts){ .text = text };
	if (text == NULL)
		return;
	for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	hosts->host = calloc(lines, sizeof(*hosts->host));
	while (line != NULL && hosts->host != NULL) {
		hosts->count += host_read(&hosts->host[hosts->count], line);
		line = strchr(line, '\n');
		line = line == NULL ? NULL : line + 1;
	}
}

static bool is_among(const struct source *address, const struct source *others, unsigned count)
{
	while (count-- > 0)
		if (others[count].kind == address->kind && others[count].scope == address->scope &&
			memcmp(others[count].address, address->address, 16) == 0)
			return true;
	return false;
}

unsigned hosts_find(
	const struct hosts *hosts, const char *name, struct source *address, unsigned most)
{
	unsigned count = 0;

	for (size_t i = 0; i < hosts->count && count < most; i++) {
		const struct hosts_line *host = &hosts->host[i];

		if (is_named(host->names, name) && !is_among(&host->address, address, count))
			address[count++] = host->address;
	}
	return count;
}
