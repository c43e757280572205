/* SPDX-License-Identifier: ISC */
/*
 * store USERS DIRECTORY: the store lmdb:DIRECTORY, which must be new, with so many users. What it takes
 * to record a login from another address than the last, and from the same; to look a user up; and how
 * long the longest of each took, while the loop runs as a relay's does.
 *
 * Lines of: what; how many a second, of one core that has nothing else to do, and in truth, where others
 * and the disk have their share; microseconds of that core for one, and for the longest.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "../random.h"
#include "relay/store.h"

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void hear(void *context, const char *message)
{
	(void)context;
	(void)fprintf(stderr, "%s\n", message);
}

static void looked(void *context, const struct last_addresses *last)
{
	*(unsigned *)context += last->count;
}

struct bench {
	struct store *store;
	sd_event *loop;
	uint32_t users;
	uint64_t seed;
	unsigned found;
};

typedef void step(struct bench *bench, uint32_t number, const char *user);

static void login_from(struct bench *bench, const char *user, uint32_t from)
{
	struct source source = { .kind = SOURCE_IPV4 };

	memcpy(source.address, &from, 4);
	store_login(bench->store, user, &source);
}

static void login_first(struct bench *bench, uint32_t number, const char *user)
{
	login_from(bench, user, number);
}

static void login_other(struct bench *bench, uint32_t number, const char *user)
{
	(void)number;
	login_from(bench, user, (uint32_t)random_next(&bench->seed));
}

static void look(struct bench *bench, uint32_t number, const char *user)
{
	(void)number;
	store_look_up(bench->store, user, looked, &bench->found);
}

/* The loop has its turn after each 64, as a relay takes what has come. `in_order`: each user once. */
static void measure(struct bench *bench, const char *what, step *act, uint32_t count, int in_order)
{
	uint64_t begun = now_ns(CLOCK_PROCESS_CPUTIME_ID), wall = now_ns(CLOCK_MONOTONIC), longest = 0,
		 took;
	char user[32];

	for (uint32_t i = 0; i < count; i++) {
		uint32_t number = in_order ? i : random_below(&bench->seed, bench->users);
		uint64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);

		(void)snprintf(user, sizeof(user), "user%u@example.org", number * 2654435761u);
		act(bench, number, user);
		if (i % 64 == 63)
			while (sd_event_run(bench->loop, 0) > 0)
				;
		took = now_ns(CLOCK_PROCESS_CPUTIME_ID) - start;
		longest = took > longest ? took : longest;
	}
	took = now_ns(CLOCK_PROCESS_CPUTIME_ID) - begun;
	wall = now_ns(CLOCK_MONOTONIC) - wall;
	(void)printf("%-28s %9.0f /s %9.0f /s %8.2f us %9.0f us\n", what, count * 1e9 / (double)took,
		count * 1e9 / (double)wall, (double)took / count / 1e3, (double)longest / 1e3);
}

int main(int argc, char **argv)
{
	struct bench bench = { .seed = 1 };
	const char *wrong;
	char text[4096];

	if (argc < 3 || sd_event_new(&bench.loop) < 0)
		return 2;
	bench.users = (uint32_t)strtoul(argv[1], NULL, 10);
	(void)snprintf(text, sizeof(text), "lmdb:%s", argv[2]);
	bench.store = store_open(
		text, NULL, 30 * 24 * 3600, 2000000, bench.loop, hear, NULL, &wrong);
	if (bench.store == NULL)
		return 1;
	measure(&bench, "login of a new user", login_first, bench.users, 1);
	measure(&bench, "login from another address", login_other, 500000, 0);
	measure(&bench, "look-up", look, 1000000, 0);
	bench.seed = 7;
	measure(&bench, "login from the same address", login_first, 1000000, 1);
	measure(&bench, "… again", login_first, 1000000, 1);
	store_close(bench.store);
	sd_event_unref(bench.loop);
	return bench.found == 0;
}
