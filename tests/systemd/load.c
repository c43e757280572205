/* SPDX-License-Identifier: ISC */
/*
 * Load for the tests of the units, to loopback addresses alone and bounded in number and time:
 *
 *     load rate  ADDRESS PORT SOURCES PARALLEL COUNT MS     valid lines as fast as they are taken
 *     load mix   ADDRESS PORT SOURCES PARALLEL COUNT MS     lines and junk, likewise
 *     load flood ADDRESS PORT SOURCES PARALLEL COUNT MS     lines, junk, pieces, silence and resets
 *     load hold  ADDRESS PORT SOURCES PARALLEL COUNT MS     PARALLEL silent connections, held for MS
 *     load sink  ADDRESS PORT MS                            a bare loop of accept, recv and close
 *
 * ADDRESS is in 127.0.0.0/8. Connections come from 127.0.1.1 and the SOURCES - 1 addresses behind
 * it. It ends after COUNT connections or MS milliseconds, whichever is first, and prints
 *
 *     KIND=NUMBER ... refused=NUMBER failed=NUMBER ms=NUMBER
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PARALLEL_MOST 4096
#define COUNT_MOST    1000000
#define MS_MOST	      120000
#define EVENTS_MOST   256

/* How long a connection that says too little is kept, and how long any other at most. */
#define SILENT_MS 300
#define STUCK_MS  10000

enum kind { VALID, JUNK, PIECES, SILENT, RESET, KINDS };

static const char *const kind_name[KINDS] = { "valid", "junk", "pieces", "silent", "reset" };

struct slot {
	int fd; /* -1: free */
	enum kind kind;
	bool connected;
	long long deadline;
};

static struct {
	struct sockaddr_in to;
	unsigned sources, parallel, count;
	long long end;
	bool mixed, mix, hold;
	int epoll;
	struct slot slot[PARALLEL_MOST];
	unsigned busy, begun, done[KINDS], refused, failed;
	uint64_t random;
} load;

static const char line[] = "nm_notifyuser\r\n";
static const char junk[] = "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* xorshift64*: the same flood each time. */
static unsigned random_below(unsigned bound)
{
	load.random ^= load.random >> 12;
	load.random ^= load.random << 25;
	load.random ^= load.random >> 27;
	return (unsigned)((load.random * 2685821657736338717ULL >> 33) % bound);
}

static enum kind kind_next(void)
{
	unsigned dice = random_below(20);

	if (load.hold)
		return SILENT;
	if (load.mix)
		return dice < 10 ? VALID : JUNK;
	if (!load.mixed || dice < 8)
		return VALID;
	return dice < 12 ? JUNK : dice < 14 ? PIECES : dice < 16 ? SILENT : RESET;
}

static void slot_end(struct slot *slot, bool well)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (slot->kind == RESET)
		(void)setsockopt(slot->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	(void)close(slot->fd);
	slot->fd = -1;
	load.busy--;
	if (well)
		load.done[slot->kind]++;
}

static void slot_begin(struct slot *slot)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct epoll_event event = { .events = EPOLLOUT | EPOLLIN, .data = { .ptr = slot } };
	int on = 1;

	load.begun++;
	slot->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (slot->fd < 0) {
		load.failed++;
		return;
	}
	load.busy++;
	slot->kind = kind_next();
	slot->connected = false;
	slot->deadline = now_ms() + STUCK_MS;
	from.sin_addr.s_addr = htonl(0x7f000101u + random_below(load.sources));
	(void)setsockopt(slot->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	(void)setsockopt(slot->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(slot->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(slot->fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
		epoll_ctl(load.epoll, EPOLL_CTL_ADD, slot->fd, &event) != 0 ||
		(connect(slot->fd, (struct sockaddr *)&load.to, sizeof(load.to)) != 0 &&
			errno != EINPROGRESS)) {
		load.failed++;
		slot_end(slot, false);
	}
}

static void slot_say(struct slot *slot)
{
	struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = slot } };
	const char *text = slot->kind == JUNK ? junk : line;
	size_t length = slot->kind == JUNK ? sizeof(junk) - 1 : sizeof(line) - 1;
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(slot->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
		load.refused++;
		slot_end(slot, false);
		return;
	}
	slot->connected = true;
	if (slot->kind == PIECES || slot->kind == RESET)
		length = 1 + random_below(13);
	if (slot->kind == PIECES || slot->kind == SILENT)
		slot->deadline = load.hold ? load.end : now_ms() + SILENT_MS;
	if (slot->kind != SILENT)
		(void)send(slot->fd, text, length, MSG_NOSIGNAL);
	if (slot->kind == RESET)
		slot_end(slot, true);
	else if (epoll_ctl(load.epoll, EPOLL_CTL_MOD, slot->fd, &event) != 0)
		slot_end(slot, false);
}

/* It is done when the other end closes, whatever way. */
static void slot_handle(struct slot *slot, uint32_t events)
{
	char byte;
	ssize_t got;

	if (slot->fd < 0)
		return;
	if (!slot->connected) {
		if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			slot_say(slot);
		return;
	}
	got = recv(slot->fd, &byte, 1, 0);
	if (got == 0 || (got < 0 && errno != EAGAIN))
		slot_end(slot, true);
}

static void slots_expire(long long now)
{
	for (unsigned i = 0; i < load.parallel; i++) {
		struct slot *slot = &load.slot[i];

		if (slot->fd < 0 || slot->deadline > now)
			continue;
		if (!slot->connected)
			load.refused++;
		slot_end(slot, slot->connected && (slot->kind == SILENT || slot->kind == PIECES));
	}
}

static void generate(void)
{
	struct epoll_event event[EVENTS_MOST];
	long long begun = now_ms(), looked = begun, now = begun;

	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned i = 0; i < load.parallel; i++)
		load.slot[i].fd = -1;
	while (now < load.end && (load.begun < load.count || load.busy != 0)) {
		int got;

		for (unsigned i = 0; i < load.parallel && load.begun < load.count &&
				     load.busy < load.parallel;
			i++)
			if (load.slot[i].fd < 0)
				slot_begin(&load.slot[i]);
		got = epoll_wait(load.epoll, event, EVENTS_MOST, 20);
		for (int i = 0; i < got; i++)
			slot_handle(event[i].data.ptr, event[i].events);
		now = now_ms();
		if (now - looked >= 20) {
			slots_expire(now);
			looked = now;
		}
	}
	slots_expire(load.end + STUCK_MS + MS_MOST);
	for (unsigned i = 0; i < KINDS; i++)
		printf("%s=%u ", kind_name[i], load.done[i]);
	printf("refused=%u failed=%u ms=%lld\n", load.refused, load.failed, now_ms() - begun);
}

static void sink(void)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct timeval second = { .tv_sec = 1 };

	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	if (bind(listener, (struct sockaddr *)&load.to, sizeof(load.to)) != 0 ||
		listen(listener, 4096) != 0) {
		perror("load: sink");
		exit(1);
	}
	puts("ready");
	(void)fflush(stdout);
	while (now_ms() < load.end) {
		char bytes[16];
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		(void)recv(fd, bytes, sizeof(bytes), 0);
		(void)close(fd);
	}
}

static unsigned number(const char *text, unsigned most)
{
	unsigned long value = strtoul(text, NULL, 10);

	if (value == 0 || value > most) {
		fprintf(stderr, "load: '%s' is not from 1 to %u\n", text, most);
		exit(2);
	}
	return (unsigned)value;
}

int main(int argc, char **argv)
{
	struct rlimit files = { .rlim_cur = PARALLEL_MOST + 64, .rlim_max = PARALLEL_MOST + 64 };
	bool is_sink = argc == 5 && strcmp(argv[1], "sink") == 0;

	if (!is_sink && argc != 8) {
		fputs("usage: load rate|mix|flood|hold ADDRESS PORT SOURCES PARALLEL COUNT MS\n"
		      "       load sink ADDRESS PORT MS\n", stderr);
		return 2;
	}
	load.to.sin_family = AF_INET;
	load.to.sin_port = htons((uint16_t)number(argv[3], 65535));
	if (inet_pton(AF_INET, argv[2], &load.to.sin_addr) != 1 ||
		ntohl(load.to.sin_addr.s_addr) >> 24 != 127) {
		fputs("load: to loopback addresses only\n", stderr);
		return 2;
	}
	load.end = now_ms() + number(argv[argc - 1], MS_MOST);
	if (is_sink) {
		sink();
		return 0;
	}
	(void)setrlimit(RLIMIT_NOFILE, &files); /* what it is short of fails, and is counted */
	load.random = 0x9e3779b97f4a7c15u;
	load.mixed = strcmp(argv[1], "flood") == 0;
	load.mix = strcmp(argv[1], "mix") == 0;
	load.hold = strcmp(argv[1], "hold") == 0;
	load.sources = number(argv[4], 254);
	load.parallel = number(argv[5], PARALLEL_MOST);
	load.count = number(argv[6], COUNT_MOST);
	generate();
	return 0;
}
