/* SPDX-License-Identifier: ISC */
/*
 * names TIMEOUT-MS: the relay's look-ups, without a relay. Reads commands, one a line, and writes
 * what becomes of them, one a line:
 *
 *   NAME           looks it up:  NAME LIVES-MS TOOK-MS ADDRESS...  or  NAME LIVES-MS TOOK-MS ! WRONG,
 *                  with tabs between
 *   many COUNT     looks up n0.test to nCOUNT-1.test; says only: many ANSWERS WRONG TOOK-MS
 *   reload         names_reload()
 *   end
 *
 * What the logger is told: `said MESSAGE`. Nothing of it waits: what takes the loop longer than
 * LATE_MS between two ticks is said as `late MS`.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/clock.h"
#include "relay/names.h"
#include "relay/resolver.h"

#define TICK_MS 10
#define LATE_MS 1000

static struct {
	struct names *names;
	sd_event *loop;
	struct deadline tick, many_begun;
	unsigned many, many_answers, many_wrong;
} own;

struct asked {
	struct deadline begun;
	char name[1024];
};

static void on_answer(void *context, const struct name_answer *answer)
{
	struct asked *asked = context;
	char text[SOURCE_TEXT_MAX];

	printf("%s\t%u\t%u", asked->name, answer->lives.ms, deadline_age(asked->begun).ms);
	for (unsigned i = 0; i < answer->count; i++)
		printf("\t%s", source_text(&answer->address[i], text));
	if (answer->count == 0)
		printf("\t!\t%s", answer->wrong);
	printf("\n");
	fflush(stdout);
	free(asked);
}

static void on_one_of_many(void *context, const struct name_answer *answer)
{
	(void)context;
	own.many_answers++;
	own.many_wrong += answer->count == 0;
	if (own.many_answers < own.many)
		return;
	printf("many %u %u %u\n", own.many_answers, own.many_wrong, deadline_age(own.many_begun).ms);
	fflush(stdout);
}

static void on_said(void *context, const char *message)
{
	(void)context;
	printf("said %s\n", message);
	fflush(stdout);
}

static void ask_many(unsigned count)
{
	char name[64];

	own.many = count;
	own.many_answers = own.many_wrong = 0;
	own.many_begun = deadline_now();
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		names_look_up(own.names, name, on_one_of_many, NULL);
	}
}

static void ask(const char *name)
{
	struct asked *asked = calloc(1, sizeof(*asked));

	if (asked == NULL)
		exit(1);
	asked->begun = deadline_now();
	snprintf(asked->name, sizeof(asked->name), "%.1000s", name);
	names_look_up(own.names, name, on_answer, asked);
}

static void obey(char *line)
{
	if (strncmp(line, "many ", 5) == 0)
		ask_many((unsigned)strtoul(line + 5, NULL, 10));
	else if (strcmp(line, "reload") == 0)
		names_reload(own.names);
	else if (strcmp(line, "end") == 0)
		sd_event_exit(own.loop, 0);
	else
		ask(line);
}

static int on_command(sd_event_source *source, int fd, uint32_t events, void *context)
{
	static char buffer[65536];
	static size_t length;
	ssize_t got = read(fd, buffer + length, sizeof(buffer) - length);
	char *end;

	(void)source;
	(void)events;
	(void)context;
	if (got <= 0)
		return sd_event_exit(own.loop, 0);
	length += (size_t)got;
	while ((end = memchr(buffer, '\n', length)) != NULL) {
		*end = '\0';
		obey(buffer);
		length -= (size_t)(end + 1 - buffer);
		memmove(buffer, end + 1, length);
	}
	return 0;
}

static int on_tick(sd_event_source *source, uint64_t time, void *context)
{
	struct span since = deadline_age(own.tick);

	(void)time;
	(void)context;
	if (since.ms > LATE_MS)
		printf("late %u\n", since.ms);
	own.tick = deadline_now();
	sd_event_source_set_time(source, (own.tick.ms + TICK_MS) * 1000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int main(int argc, char **argv)
{
	struct span timeout;

	if (argc > 0 && strcmp(argv[0], RESOLVER_NAME) == 0)
		return resolver_main();
	if (argc != 2 || sd_event_new(&own.loop) < 0)
		return 2;
	timeout.ms = (uint32_t)strtoul(argv[1], NULL, 10);
	own.names = names_open(timeout, own.loop, on_said, NULL);
	own.tick = deadline_now();
	if (own.names == NULL ||
		sd_event_add_io(own.loop, NULL, STDIN_FILENO, EPOLLIN, on_command, NULL) < 0 ||
		sd_event_add_time(own.loop, NULL, CLOCK_MONOTONIC, 0, 1, on_tick, NULL) < 0)
		return 1;
	sd_event_loop(own.loop);
	names_close(own.names);
	sd_event_unref(own.loop);
	return 0;
}
