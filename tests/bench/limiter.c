/* SPDX-License-Identifier: ISC */
/*
 * limiter BATCHES: what a decision of the rate limit costs, in turn with its parts and with what
 * else it could be. Prints for each NAME NANOSECONDS... (a batch's mean), and the cache lines that
 * a decision touches.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "state/limiter.h"
#include "lib/siphash.h"

#define DECISIONS 300000u /* of a batch */
#define SOURCES   4096u

/* Takes as many as a batch asks for. */
static const struct rate wide = { .emission = { .ms = 1 }, .burst = SPAN_MAX_MS - 1 };
/* Takes one, and refuses all others. */
static const struct rate narrow = { .emission = { .ms = 3600 * 1000 }, .burst = 1 };

/* ---- The other way: a table of addresses, a mutex, the oldest is evicted ---- */

#define ENTRIES 2048u /* 32 bytes each: 64 KiB, as struct state has */
#define NONE    UINT16_MAX

struct entry {
	uint8_t identity[SOURCE_IDENTITY_MAX];
	uint8_t length;
	uint16_t next; /* in the bucket */
	uint32_t tat;
	uint16_t older, newer;
};

struct table {
	pthread_mutex_t lock;
	uint64_t key[2];
	uint16_t bucket[ENTRIES];
	uint16_t oldest, newest;
	struct entry entry[ENTRIES];
};

static struct shared {
	struct state state;
	struct table table;
	_Alignas(64) atomic_word word;
	_Alignas(64) atomic_word ready;
	double ns; /* of the second process */
} * shared;

static struct source source[SOURCES];

static void table_clear(struct table *t)
{
	pthread_mutexattr_t attributes;

	memset(t, 0, sizeof(*t));
	(void)pthread_mutexattr_init(&attributes);
	(void)pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutex_init(&t->lock, &attributes);
	t->key[0] = 1;
	t->key[1] = 2;
	memset(t->bucket, 0xff, sizeof(t->bucket));
	for (unsigned i = 0; i < ENTRIES; i++) {
		t->entry[i].next = NONE;
		t->entry[i].older = (uint16_t)(i == 0 ? NONE : i - 1);
		t->entry[i].newer = (uint16_t)(i + 1 == ENTRIES ? NONE : i + 1);
	}
	t->newest = ENTRIES - 1;
}

static uint16_t *bucket_of(struct table *t, const uint8_t *identity, size_t length)
{
	return &t->bucket[siphash(t->key, identity, length) % ENTRIES];
}

static void make_newest(struct table *t, uint16_t i)
{
	struct entry *e = &t->entry[i];

	if (t->newest == i)
		return;
	t->entry[e->newer].older = e->older;
	if (e->older == NONE)
		t->oldest = e->newer;
	else
		t->entry[e->older].newer = e->newer;
	e->older = t->newest;
	e->newer = NONE;
	t->entry[t->newest].newer = i;
	t->newest = i;
}

static uint16_t evict_for(struct table *t, uint16_t *bucket, const uint8_t *identity, size_t length)
{
	uint16_t i = t->oldest;
	struct entry *e = &t->entry[i];

	if (e->length != 0) {
		uint16_t *link = bucket_of(t, e->identity, e->length);

		while (*link != i)
			link = &t->entry[*link].next;
		*link = e->next;
	}
	memcpy(e->identity, identity, length);
	e->length = (uint8_t)length;
	e->tat = 0;
	e->next = *bucket;
	*bucket = i;
	return i;
}

static bool table_take(struct table *t, const struct source *from, struct rate rate)
{
	uint8_t identity[SOURCE_IDENTITY_MAX] = { 0 };
	size_t length = source_identity(from, identity);
	struct moment now, at;
	uint16_t *bucket, i;
	bool conforms;

	(void)pthread_mutex_lock(&t->lock);
	now = moment_now();
	bucket = bucket_of(t, identity, length);
	for (i = *bucket; i != NONE; i = t->entry[i].next)
		if (t->entry[i].length == length &&
			memcmp(t->entry[i].identity, identity, length) == 0)
			break;
	if (i == NONE)
		i = evict_for(t, bucket, identity, length);
	make_newest(t, i);
	at = moment_of_word(t->entry[i].tat);
	if (t->entry[i].tat == 0 || !moment_within(at, now, rate_window(rate)))
		at = now;
	conforms = at.ms - now.ms <= (rate.burst - 1) * rate.emission.ms;
	if (conforms)
		t->entry[i].tat = moment_to_word(moment_add(at, rate.emission));
	(void)pthread_mutex_unlock(&t->lock);
	return conforms;
}

/* ---- What is measured ---- */

static volatile uint32_t sink; /* so that nothing is optimised away */

static void do_clock(unsigned i)
{
	(void)i;
	sink = moment_now().ms;
}

static void do_locate(unsigned i)
{
	struct cells cells = limiter_locate(&shared->state, &source[i % SOURCES]);

	sink = cells.count;
}

static void take(unsigned i, struct rate rate)
{
	struct cells cells = limiter_locate(&shared->state, &source[i]);
	struct moment at;

	sink = limiter_take(&cells, rate, &at);
}

static void do_take_one(unsigned i)
{
	(void)i;
	take(0, wide);
}

static void do_take_many(unsigned i)
{
	take(i % SOURCES, wide);
}

static void do_refuse(unsigned i)
{
	(void)i;
	take(0, narrow);
}

static void do_peek(unsigned i)
{
	struct cells cells = limiter_locate(&shared->state, &source[0]);

	(void)i;
	sink = limiter_peek(&cells, wide).ms;
}

static void do_swap(unsigned i)
{
	uint32_t word = atomic_load_explicit(&shared->word, memory_order_relaxed);

	(void)i;
	while (!atomic_compare_exchange_strong(&shared->word, &word, word + 1))
		;
}

static void do_table_one(unsigned i)
{
	(void)i;
	sink = table_take(&shared->table, &source[0], wide);
}

static void do_table_many(unsigned i)
{
	sink = table_take(&shared->table, &source[i % SOURCES], wide);
}

static const struct {
	const char *name;
	void (*once)(unsigned i);
	unsigned processes;
} kinds[] = {
	{ "clock", do_clock, 1 },
	{ "hash", do_locate, 1 },
	{ "peek", do_peek, 1 },
	{ "take", do_take_one, 1 },
	{ "refuse", do_refuse, 1 },
	{ "take-many", do_take_many, 1 },
	{ "swap", do_swap, 1 },
	{ "table", do_table_one, 1 },
	{ "table-many", do_table_many, 1 },
	{ "take-2", do_take_one, 2 },
	{ "take-many-2", do_take_many, 2 },
	{ "swap-2", do_swap, 2 },
	{ "table-2", do_table_one, 2 },
	{ "table-many-2", do_table_many, 2 },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static double batch(void (*once)(unsigned i), unsigned offset)
{
	struct timespec begun, ended;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	for (unsigned i = 0; i < DECISIONS; i++)
		once(i + offset);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	return ((double)(ended.tv_sec - begun.tv_sec) * 1e9 +
		       (double)(ended.tv_nsec - begun.tv_nsec)) /
	       DECISIONS;
}

static void start_together(void)
{
	(void)atomic_fetch_add(&shared->ready, 1);
	while (atomic_load(&shared->ready) < 2)
		;
}

/* Of two processes the mean. */
static double measure(void (*once)(unsigned i), unsigned processes)
{
	double ns;
	pid_t pid;

	memset(shared->state.line, 0, sizeof(shared->state.line));
	table_clear(&shared->table);
	if (processes == 1)
		return batch(once, 0);
	atomic_store(&shared->ready, 0);
	pid = fork();
	if (pid < 0)
		exit(1);
	start_together();
	ns = batch(once, pid == 0 ? SOURCES / 2 : 0);
	if (pid == 0) {
		shared->ns = ns;
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
	return (ns + shared->ns) / 2;
}

/* Every cell of a source is in one line; the key is in another, which no decision writes. */
static unsigned lines_touched(void)
{
	unsigned most = 0;

	for (unsigned i = 0; i < SOURCES; i++) {
		struct cells cells = limiter_locate(&shared->state, &source[i]);
		unsigned lines = 1;

		for (unsigned c = 1; c < cells.count; c++)
			if ((uintptr_t)cells.cell[c] / STATE_LINE_BYTES !=
				(uintptr_t)cells.cell[0] / STATE_LINE_BYTES)
				lines++;
		if (lines > most)
			most = lines;
	}
	return most;
}

int main(int argc, char **argv)
{
	unsigned long batches = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	double *ns;

	if (batches < 1 || batches > 1000) {
		fputs("usage: limiter BATCHES\n", stderr);
		return 2;
	}
	ns = calloc(batches * KINDS, sizeof(*ns));
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ns == NULL || shared == MAP_FAILED || !limiter_key(&shared->state)) {
		perror("limiter");
		return 1;
	}
	for (unsigned i = 0; i < SOURCES; i++)
		source[i] = (struct source){ .kind = SOURCE_IPV4,
			.address = { 10, 0, (uint8_t)(i >> 8), (uint8_t)i } };
	for (unsigned b = 0; b < batches; b++)
		for (unsigned k = 0; k < KINDS; k++)
			ns[b * KINDS + k] = measure(kinds[k].once, kinds[k].processes);
	for (unsigned k = 0; k < KINDS; k++) {
		fputs(kinds[k].name, stdout);
		for (unsigned b = 0; b < batches; b++)
			printf(" %.2f", ns[b * KINDS + k]);
		putchar('\n');
	}
	printf("lines %u\n", lines_touched());
	return 0;
}
