/* SPDX-License-Identifier: ISC */
/*
 * attack HOSTILE...: how many well-behaved sources are delayed, and for how long, while so many
 * hostile ones take all that their limit gives them: the real limiter, on one state, at a time of
 * our own (ld(1), --wrap). The limit is 12/m burst 6. A well-behaved source is one that has not
 * come for half a minute. Prints HOSTILE, the share that is delayed, and of all the mean delay and
 * its 99th percentile in ms.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "state/limiter.h"

#define HOSTILE_MOST 1000000u
#define PROBES       5000u
#define SECONDS      45u /* the window is 35 s: then it is as bad as it gets */
#define LOOKS        10u /* in the last of them */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

static const struct rate rate = { .emission = { .ms = 5000 }, .burst = 6 };
static uint64_t time_ms;
static uint32_t delay[PROBES * LOOKS];

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	(void)clock;
	ts->tv_sec = (time_t)(time_ms / 1000);
	ts->tv_nsec = (long)(time_ms % 1000 * 1000000);
	return 0;
}

static struct source numbered(uint8_t first, uint32_t number)
{
	return (struct source){ .kind = SOURCE_IPV4,
		.address = {
			first, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number } };
}

static void look(struct state *state, unsigned which)
{
	for (uint32_t i = 0; i < PROBES; i++) {
		struct source source = numbered(192, which * PROBES + i);
		struct cells cells = limiter_locate(state, &source);

		delay[which * PROBES + i] =
			moment_until(moment_now(), limiter_peek(&cells, rate)).ms;
	}
}

/* Each hostile source comes once a second, which is more often than it is allowed. */
static void storm(struct state *state, uint32_t hostile)
{
	for (unsigned second = 0; second < SECONDS; second++) {
		for (uint32_t i = 0; i < hostile; i++) {
			struct source source = numbered(10, i);
			struct cells cells = limiter_locate(state, &source);
			struct moment at;

			time_ms = 1000000 + second * 1000 + (uint64_t)i * 1000 / hostile;
			while (limiter_take(&cells, rate, &at))
				;
		}
		if (second >= SECONDS - LOOKS)
			look(state, second - (SECONDS - LOOKS));
	}
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static struct state state;

	for (int i = 1; i < argc; i++) {
		unsigned long hostile = strtoul(argv[i], NULL, 10), delayed = 0;
		const unsigned count = PROBES * LOOKS;
		double sum = 0;

		if (hostile < 1 || hostile > HOSTILE_MOST)
			return 2;
		memset(&state, 0, sizeof(state));
		time_ms = 1000000;
		if (!limiter_key(&state) || moment_now().ms != 1000000) {
			fputs("attack: the limiter has another clock\n", stderr);
			return 1;
		}
		storm(&state, (uint32_t)hostile);
		qsort(delay, count, sizeof(delay[0]), by_size);
		for (unsigned p = 0; p < count; p++) {
			delayed += delay[p] != 0;
			sum += delay[p];
		}
		printf("%lu %.6f %.1f %u\n", hostile, (double)delayed / count, sum / count,
			delay[count / 100 * 99]);
		(void)fflush(stdout);
	}
	return 0;
}
