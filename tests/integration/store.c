/* SPDX-License-Identifier: ISC */
/*
 * store STORE LAST-FOR [PASSWORD-FILE]: a relay's end of a store. A line of standard input asks, a
 * line of standard output answers, with how many milliseconds that took:
 *
 *     login USER ADDRESS
 *     look USER               look USER MS [remembered] ADDRESS...
 *     claim ADDRESS LASTS     claim ADDRESS MS WAIT
 *     release ADDRESS LEFT
 *     flood COUNT             flood COUNT MS REMEMBERED, of so many looks at once
 *
 * and `said MESSAGE`, what the store has for the log.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "relay/store.h"

struct question {
	char words[300];
	struct deadline asked;
};

struct flood {
	unsigned count, answered, remembered;
	struct deadline asked;
};

static struct question *question(const char *a, const char *b)
{
	struct question *made = calloc(1, sizeof(*made));

	if (made == NULL)
		abort();
	(void)snprintf(made->words, sizeof(made->words), "%s %s", a, b);
	made->asked = deadline_now();
	return made;
}

static void hear(void *context, const char *message)
{
	(void)context;
	(void)printf("said %s\n", message);
}

static void looked(void *context, const struct last_addresses *last)
{
	struct question *asked = context;
	char text[SOURCE_TEXT_MAX];

	(void)printf("%s %u%s", asked->words, deadline_age(asked->asked).ms,
		last->is_remembered ? " remembered" : "");
	for (unsigned i = 0; i < last->count; i++)
		(void)printf(" %s", source_text(&last->address[i], text));
	(void)printf("\n");
	free(asked);
}

static void claimed(void *context, struct span wait)
{
	struct question *asked = context;

	(void)printf("%s %u %u\n", asked->words, deadline_age(asked->asked).ms, wait.ms);
	free(asked);
}

static void flooded(void *context, const struct last_addresses *last)
{
	struct flood *flood = context;

	flood->remembered += last->is_remembered;
	if (++flood->answered == flood->count)
		(void)printf("flood %u %u %u\n", flood->count, deadline_age(flood->asked).ms,
			flood->remembered);
}

static void flood(struct store *store, unsigned count)
{
	static struct flood flood;
	char user[32];

	flood = (struct flood){ .count = count, .asked = deadline_now() };
	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(user, sizeof(user), "user%u", i);
		store_look_up(store, user, flooded, &flood);
	}
}

static struct destination destination_of(const char *address)
{
	struct destination destination = { .port = 79 };

	if (!source_parse(address, &destination.address))
		abort();
	return destination;
}

static void obey(struct store *store, char *line)
{
	const char *verb = strtok(line, " \n"), *a = strtok(NULL, " \n"), *b = strtok(NULL, " \n");
	struct span span = { .ms = b != NULL ? (uint32_t)strtoul(b, NULL, 10) : 0 };
	struct destination destination;

	if (verb == NULL || a == NULL)
		return;
	if (strcmp(verb, "login") == 0) {
		destination = destination_of(b);
		store_login(store, a, &destination.address);
	} else if (strcmp(verb, "look") == 0) {
		store_look_up(store, a, looked, question("look", a));
	} else if (strcmp(verb, "claim") == 0) {
		destination = destination_of(a);
		store_claim(store, &destination, span, claimed, question("claim", a));
	} else if (strcmp(verb, "release") == 0) {
		destination = destination_of(a);
		store_release(store, &destination, span);
	} else if (strcmp(verb, "flood") == 0) {
		flood(store, (unsigned)strtoul(a, NULL, 10));
	}
}

static int asked(sd_event_source *source, int fd, uint32_t revents, void *context)
{
	char lines[65536], *line = lines, *end;
	ssize_t length = read(fd, lines, sizeof(lines) - 1);

	(void)revents;
	if (length <= 0)
		return sd_event_exit(sd_event_source_get_event(source), 0);
	lines[length] = '\0';
	while ((end = strchr(line, '\n')) != NULL) {
		*end = '\0';
		obey(context, line);
		line = end + 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *wrong = NULL;
	struct store *store;
	sd_event *loop;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc < 3 || sd_event_new(&loop) < 0)
		return 2;
	store = store_open(argv[1], argc > 3 ? argv[3] : NULL, strtoul(argv[2], NULL, 10), 1000,
		loop, hear, NULL, &wrong);
	if (store == NULL) {
		(void)printf("wrong %s\n", wrong);
		return 1;
	}
	if (sd_event_add_io(loop, NULL, STDIN_FILENO, EPOLLIN, asked, store) < 0)
		return 2;
	(void)sd_event_loop(loop);
	store_close(store);
	sd_event_unref(loop);
	return 0;
}
