/* SPDX-License-Identifier: ISC */
/*
 * The relay's table and inbox in a storm of kills: a process that takes datagrams in, notes them
 * and tells destinations is killed at any instruction, thousands of times, while others go on
 * sending. What every telling was is written down where no kill reaches it, and judged after each
 * round: S1 and S5, whatever a send(2) has handed over is told after that; S2, no destination twice
 * within an interval.
 *
 *     relay_storm DIR SECONDS SEED
 *
 * Exit status 0, and a line: rounds, kills, events, tellings. Else what is wrong, and 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../random.h"
#include "relay/inbox.h"
#include "relay/owed.h"

#define INTERVAL_MS    20u
#define SETTLE_MS      30u
#define DESTINATIONS   200u
#define USERS          800u /* of four, one destination */
#define SENDERS        2u
#define EVENTS_MAX     20000u /* of a round */
#define TELLINGS_MAX   50000u
#define ROUND_MS       120u
#define KILL_MOST_US   2500u
#define BEHIND_KILLS   20u /* when nobody sends any more */
#define AT_ONCE        64u
#define PATIENCE_MS    20000u

struct handed {
	_Atomic bool is_accepted;
	bool is_early;
	uint32_t user;
	uint64_t order; /* before it was handed over */
	uint64_t at;
};

/* `at` and `order`: of its beginning. */
struct telling {
	_Atomic uint32_t destination; /* + 1; written last */
	_Atomic bool is_done;
	uint64_t order, at;
};

struct shared {
	_Atomic uint32_t order;
	_Atomic uint32_t events_count, tellings_count;
	_Atomic bool stops;   /* senders do not send */
	_Atomic bool is_calm; /* and all that is told succeeds */
	_Atomic uint32_t owed, passes; /* of the loop */
	_Atomic uint32_t are_sending;
	struct handed event[EVENTS_MAX];
	struct telling telling[TELLINGS_MAX];
};

static struct shared *shared;
static int ends[2]; /* the senders', the relay's */
static int directory;
static uint64_t seed;

_Noreturn static void fail(const char *what)
{
	(void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now_ms(void)
{
	return instant_now().ms;
}

/* ---- Who sends ---- */

static void send_one(void)
{
	uint32_t index = atomic_fetch_add(&shared->events_count, 1);
	struct handed *event;
	char text[32];
	int length;

	if (index >= EVENTS_MAX)
		return;
	event = &shared->event[index];
	event->user = random_below(&seed, USERS);
	event->is_early = random_below(&seed, 4) == 0;
	length = snprintf(text, sizeof(text), "%s %u", event->is_early ? "early" : "mail", event->user);
	event->at = now_ms();
	event->order = atomic_fetch_add(&shared->order, 1);
	if (send(ends[0], text, (size_t)length, MSG_DONTWAIT) == length)
		atomic_store(&event->is_accepted, true);
}

_Noreturn static void sender(void)
{
	for (;;) {
		atomic_fetch_add(&shared->are_sending, 1);
		if (!atomic_load(&shared->stops))
			send_one();
		atomic_fetch_sub(&shared->are_sending, 1);
		(void)usleep(random_below(&seed, 400));
	}
}

/* ---- Who is killed ---- */

struct sending {
	struct target *target;
	struct telling *telling;
	uint64_t until;
};

struct life {
	struct owed *owed;
	struct inbox *inbox;
	struct sending sending[AT_ONCE];
	unsigned count;
};

static void listener(void *context, const char *message)
{
	(void)context;
	(void)fprintf(stderr, "%s\n", message);
}

static void read_letter(void *context, const struct letter *letter)
{
	struct life *life = context;
	const char *user = memchr(letter->bytes, ' ', letter->length);
	char text[32] = "";

	if (user == NULL || letter->length > 20) {
		(void)fprintf(stderr, "no letter: %.*s\n", (int)letter->length, letter->bytes);
		return;
	}
	memcpy(text, user + 1, letter->length - (size_t)(user + 1 - letter->bytes));
	if (owed_note(life->owed, text, letter->bytes[0] == 'e', instant_now()) == NULL)
		(void)fprintf(stderr, "no room for a user\n");
}

static void route(struct life *life)
{
	struct addressee *addressee;

	while ((addressee = owed_unrouted(life->owed)) != NULL) {
		uint32_t number = (uint32_t)strtoul(addressee_name(addressee), NULL, 10) % DESTINATIONS;
		struct destination destination = { .port = 79,
			.address = { .kind = SOURCE_IPV4, .address = { 192, 0, 2, (uint8_t)number } } };

		owed_route_begin(life->owed, addressee);
		owed_route_add(life->owed, addressee, &destination, NULL, VIA_CONFIGURED);
		owed_route_end(life->owed, addressee);
	}
}

/* As telling.c does: the beginning is written down, then the other end hears of it. */
static void begin(struct life *life, struct target *target)
{
	struct sending *sending = &life->sending[life->count];
	struct instant now = instant_now();
	uint32_t index = atomic_fetch_add(&shared->tellings_count, 1);

	if (index >= TELLINGS_MAX) {
		owed_put_back(life->owed, target, instant_add(now, (struct span){ .ms = 1000 }));
		return;
	}
	owed_begins(life->owed, target, now);
	sending->target = target;
	sending->telling = &shared->telling[index];
	sending->until = now.ms + random_below(&seed, 3);
	sending->telling->at = now_ms();
	sending->telling->order = atomic_fetch_add(&shared->order, 1);
	atomic_store(&sending->telling->destination,
		target_destination(target)->address.address[3] + 1u);
	owed_has_begun(life->owed, target, instant_now());
	life->count++;
}

/* A few fail, but when it is calm. */
static void end(struct life *life, unsigned i)
{
	struct sending sending = life->sending[i];

	life->sending[i] = life->sending[--life->count];
	if (!atomic_load(&shared->is_calm) && random_below(&seed, 20) == 0) {
		owed_failed(life->owed, sending.target, instant_now());
		return;
	}
	atomic_store(&sending.telling->is_done, true);
	owed_done(life->owed, sending.target);
}

static void work(struct life *life)
{
	struct pollfd pollfd = { .fd = ends[1], .events = POLLIN };
	struct instant now = instant_now();
	struct target *target;
	uint32_t lost = 0;

	(void)poll(&pollfd, 1, life->count != 0 || owed_when(life->owed).ms <= now.ms ? 0 : 1);
	now = instant_now();
	(void)inbox_receive(life->inbox, ends[1], INBOX_NOTICE, now, &lost);
	route(life);
	for (unsigned i = life->count; i-- > 0;)
		if (life->sending[i].until <= now.ms)
			end(life, i);
	while (life->count < AT_ONCE && (target = owed_pick(life->owed, now)) != NULL)
		begin(life, target);
	atomic_store(&shared->owed, owed_users(life->owed));
	atomic_fetch_add(&shared->passes, 1);
}

_Noreturn static void relay(void)
{
	static const struct owed_bounds bounds = { .settle = { SETTLE_MS },
		.interval = { INTERVAL_MS },
		.keep = { 3600000 },
		.users = 2 * USERS,
		.connections = 2 * AT_ONCE };
	const uint64_t key[2] = { seed, 1 };
	static struct life life;

	life.owed = owed_open(directory, &bounds, key, instant_now, listener, NULL);
	life.inbox = inbox_open(directory, read_letter, listener, &life);
	if (life.owed == NULL || life.inbox == NULL)
		fail("relay");
	inbox_read_left(life.inbox, instant_now());
	for (;;)
		work(&life);
}

/* ---- Who kills ---- */

static pid_t start(void (*run)(void))
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		run();
	}
	(void)random_next(&seed); /* the next one's is another */
	return pid;
}

static void relay_run(void)
{
	relay();
}

static void sender_run(void)
{
	sender();
}

/* False: it died of something else. */
static bool slay(pid_t pid)
{
	int status;

	(void)kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static bool live_and_die(void)
{
	pid_t pid = start(relay_run);

	(void)usleep(random_below(&seed, KILL_MOST_US));
	if (slay(pid))
		return true;
	(void)fprintf(stderr, "the relay died of itself\n");
	return false;
}

/* Nothing has come in two passes. */
static bool is_drained(uint64_t until)
{
	struct pollfd pollfd = { .fd = ends[1], .events = POLLIN };
	uint32_t passes = atomic_load(&shared->passes);

	if (poll(&pollfd, 1, 0) != 0)
		return false;
	while (atomic_load(&shared->passes) - passes < 2 && now_ms() < until)
		(void)usleep(500);
	return atomic_load(&shared->owed) == 0;
}

/* One that lives until nothing is owed. */
static bool drain(void)
{
	uint64_t until = now_ms() + PATIENCE_MS;
	bool is_over = false;
	pid_t pid;

	atomic_store(&shared->owed, UINT32_MAX);
	atomic_store(&shared->is_calm, true);
	pid = start(relay_run);
	while (!is_over && now_ms() < until) {
		(void)usleep(2000);
		is_over = is_drained(until);
	}
	if (!slay(pid))
		is_over = false;
	if (!is_over)
		(void)fprintf(stderr, "%u users are owed still\n", atomic_load(&shared->owed));
	return is_over;
}

/* ---- Who judges ---- */

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static bool is_told(const struct handed *event, uint32_t tellings)
{
	for (uint32_t i = tellings; i-- > 0;) {
		const struct telling *telling = &shared->telling[i];

		if (telling->destination == event->user % DESTINATIONS + 1 && telling->is_done &&
			telling->order > event->order &&
			telling->at >= event->at + (event->is_early ? SETTLE_MS : 0))
			return true;
	}
	return false;
}

static int by_order(const void *a, const void *b)
{
	const struct telling *one = a, *other = b;

	return one->order < other->order ? -1 : one->order > other->order;
}

/* Across rounds, too. */
static unsigned count_close(uint32_t tellings)
{
	static uint64_t last[DESTINATIONS + 1];
	unsigned count = 0;

	qsort(shared->telling, tellings, sizeof(struct telling), by_order);
	for (uint32_t i = 0; i < tellings; i++) {
		uint32_t destination = shared->telling[i].destination;
		uint64_t at = shared->telling[i].at;

		if (destination == 0)
			continue; /* killed before it was told */
		if (last[destination] != 0 && at < last[destination] + INTERVAL_MS) {
			(void)fprintf(stderr, "S2: destination %u: %llu ms apart\n", destination - 1,
				(unsigned long long)(at - last[destination]));
			count++;
		}
		last[destination] = at;
	}
	return count;
}

struct score {
	unsigned rounds, kills;
	uint64_t events, tellings;
};

static bool judge(struct score *score)
{
	uint32_t events = smaller(shared->events_count, EVENTS_MAX);
	uint32_t tellings = smaller(shared->tellings_count, TELLINGS_MAX);
	unsigned lost = 0;

	if (events == EVENTS_MAX || tellings == TELLINGS_MAX)
		(void)fprintf(stderr, "there was no room for all of the round\n");
	for (uint32_t i = 0; i < events; i++) {
		const struct handed *event = &shared->event[i];

		if (!event->is_accepted)
			continue;
		score->events++;
		if (is_told(event, tellings))
			continue;
		(void)fprintf(stderr, "S1: event %llu of user %u%s is lost\n",
			(unsigned long long)event->order, event->user, event->is_early ? ", early," : "");
		lost++;
	}
	score->rounds++;
	score->tellings += tellings;
	return count_close(tellings) == 0 && lost == 0;
}

static void forget(void)
{
	memset(shared->event, 0, sizeof(struct handed) * smaller(shared->events_count, EVENTS_MAX));
	memset(shared->telling, 0,
		sizeof(struct telling) * smaller(shared->tellings_count, TELLINGS_MAX));
	atomic_store(&shared->events_count, 0);
	atomic_store(&shared->tellings_count, 0);
}

/* ---- The whole ---- */

static bool round_go(struct score *score)
{
	uint64_t until = now_ms() + ROUND_MS;

	forget();
	atomic_store(&shared->is_calm, false);
	atomic_store(&shared->stops, false);
	for (unsigned behind = 0; behind < BEHIND_KILLS; score->kills++) {
		if (now_ms() >= until) {
			atomic_store(&shared->stops, true);
			behind++;
		}
		if (!live_and_die())
			return false;
	}
	while (atomic_load(&shared->are_sending) != 0)
		(void)usleep(500);
	return drain() && judge(score);
}

int main(int argc, char **argv)
{
	pid_t senders[SENDERS];
	struct score score = { 0 };
	bool holds = true;
	uint64_t until;

	if (argc != 4)
		return 2;
	seed = strtoull(argv[3], NULL, 10) * 2 + 1;
	until = now_ms() + strtoull(argv[2], NULL, 10) * 1000;
	directory = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (directory < 0 || shared == MAP_FAILED ||
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) != 0)
		fail(argv[1]);
	inbox_prepare(ends[1], INBOX_NOTICE);
	atomic_store(&shared->stops, true);
	for (unsigned i = 0; i < SENDERS; i++)
		senders[i] = start(sender_run);
	while (holds && now_ms() < until)
		holds = round_go(&score);
	for (unsigned i = 0; i < SENDERS; i++)
		holds = slay(senders[i]) && holds;
	(void)printf("%u rounds, %u kills, %llu events, %llu tellings\n", score.rounds, score.kills,
		(unsigned long long)score.events, (unsigned long long)score.tellings);
	return !holds;
}
