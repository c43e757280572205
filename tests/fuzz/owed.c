/* SPDX-License-Identifier: ISC */
/*
 * The relay's owed table and inbox. The first byte says which:
 *
 *     a walk     the bytes choose its steps; owed_walk.h is the oracle of S1, S2 and S5
 *     damage     steps without an oracle, between which bytes of the files change: it opens, and
 *                whoever is owed something is told in the end (S5)
 *     an inbox   of any bytes: letters fit, and are read once (S5)
 */
#include "fuzz.h"

#include <fcntl.h>
#include <unistd.h>

#include "relay/inbox.h"
#include "relay/owed.h"

#define SETTLE     2000u
#define INTERVAL   5000u
#define KEEP       3600000u
#define T0         1000000u

#define STEPS_MAX  300u
#define HEADER     65536u /* of a file of records */
#define INBOX_FILE 529920u

static struct input input;
static struct owed *owed;
static int directory = -1;

static struct instant at(uint64_t ms)
{
	return (struct instant){ .ms = ms };
}

static struct destination destination_of(const char *text)
{
	struct destination destination = { .port = 79 };

	must(source_parse(text, &destination.address));
	return destination;
}

static void logger(void *context, const char *message)
{
	(void)context;
	must(message[0] != '\0');
}

static uint64_t opened_at;

static struct instant opening_clock(void)
{
	return at(opened_at);
}

static void open_at(void **state, uint64_t now)
{
	static const struct owed_bounds bounds = { .settle = { SETTLE },
		.interval = { INTERVAL },
		.keep = { KEEP },
		.users = 100,
		.connections = 8 };
	static const uint64_t key[2] = { 1, 2 };

	(void)state;
	opened_at = now - 1;
	owed = owed_open(directory, &bounds, key, opening_clock, logger, NULL);
	must(owed != NULL);
}

static void die(void)
{
	owed_close(owed);
}

static unsigned walk_draw(unsigned most)
{
	return (most > 256 ? take_byte(&input) * 256u + take_byte(&input) : take_byte(&input)) %
	       most;
}

#define walk_must(condition) must(condition)
#include "../owed_walk.h"

/* ---- A walk ---- */

static void walk_all(void)
{
	uint64_t now = T0;

	memset(&walk, 0, sizeof(walk));
	open_at(NULL, now);
	for (unsigned i = 0; i < STEPS_MAX && input.length > 0; i++) {
		walk_step(NULL, now);
		now += walk_draw(4) == 0 ? walk_draw(3000) : walk_draw(20);
	}
	die();
}

/* ---- Damage ---- */

static void route_all(void)
{
	struct addressee *addressee;

	while ((addressee = owed_unrouted(owed)) != NULL) {
		struct destination destination =
			destination_number((unsigned)addressee_name(addressee)[0] % 8);

		owed_route_begin(owed, addressee);
		owed_route_add(owed, addressee, &destination, NULL, VIA_LAST);
		owed_route_end(owed, addressee);
	}
}

static void change_byte(void)
{
	static const char *const names[] = { "owed", "owed-long", "told" };
	const char *name = names[walk_draw(3)];
	uint8_t byte = take_byte(&input);
	off_t where = take_byte(&input) < 16 ? walk_draw(64) : HEADER + walk_draw(1024);
	int fd = openat(directory, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	must(pwrite(fd, &byte, 1, where) == 1);
	if (byte == 77)
		must(ftruncate(fd, where) == 0);
	must(close(fd) == 0);
}

static void begin_and_end(uint64_t now)
{
	struct target *target;

	while ((target = owed_pick(owed, at(now))) != NULL) {
		uint8_t how = take_byte(&input);

		must(owed_busy(owed) <= 8);
		owed_begins(owed, target, at(now));
		if (how & 1)
			owed_has_begun(owed, target, at(now + (how >> 4)));
		if (how & 2)
			owed_failed(owed, target, at(now));
		else if (how & 4)
			return; /* the next death ends it */
		else
			owed_done(owed, target);
	}
}

static void damage_step(uint64_t now)
{
	char user[80];
	struct destination destination = destination_number(walk_draw(8));

	switch (walk_draw(8)) {
	case 0:
	case 1:
	case 2:
		memset(user, 'a' + (int)walk_draw(8), sizeof(user));
		user[1 + walk_draw(sizeof(user) - 1)] = '\0';
		user[sizeof(user) - 1] = '\0';
		(void)owed_note(owed, user, walk_draw(2) == 0, at(now));
		break;
	case 3:
		die();
		for (unsigned i = walk_draw(20); i > 0; i--)
			change_byte();
		open_at(NULL, now);
		break;
	case 4:
		(void)memset(user, 'a' + (int)walk_draw(8), 2);
		user[2] = '\0';
		owed_login(owed, user, &destination.address, at(now));
		break;
	case 5: (void)owed_expire(owed, at(now)); break;
	default: begin_and_end(now); break;
	}
	route_all();
}

/* All that is owed is told: nothing of what a file said has made it wait for ever. */
static void tell_all(uint64_t now)
{
	struct target *target;

	for (unsigned i = 0; i < 1000 && owed_users(owed) != 0; i++) {
		while ((target = owed_pick(owed, at(now))) != NULL) {
			owed_begins(owed, target, at(now));
			owed_done(owed, target);
		}
		must(owed_users(owed) == 0 || owed_when(owed).ms > now);
		now = owed_when(owed).ms;
		must(owed_users(owed) == 0 || now < T0 + KEEP);
	}
	must(owed_users(owed) == 0 && owed_busy(owed) == 0);
}

static void damage_all(void)
{
	uint64_t now = T0;

	open_at(NULL, now);
	for (unsigned i = 0; i < STEPS_MAX && input.length > 0; i++) {
		damage_step(now);
		now += walk_draw(4) == 0 ? walk_draw(3000) : walk_draw(20);
	}
	die();
	open_at(NULL, now);
	route_all();
	tell_all(now);
	die();
}

/* ---- An inbox ---- */

static unsigned letters;

static void reader(void *context, const struct letter *letter)
{
	(void)context;
	letters++;
	must(letter->length <= INBOX_BYTES && letter->length > 0);
	must(letter->kind < INBOX_KINDS && letter->came.ms <= T0);
	must(letter->bytes[0] != '\0');
}

static void inbox_all(void)
{
	int fd = openat(directory, "inbox", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct inbox *inbox;
	uint8_t bytes[256];
	unsigned read;

	must(fd >= 0 && ftruncate(fd, walk_draw(16) == 0 ? walk_draw(60000) : INBOX_FILE) == 0);
	while (input.length > 0) {
		off_t where = (off_t)(take_word(&input) % INBOX_FILE);
		size_t most = 1u + take_byte(&input), length = take_bytes(&input, bytes, most);

		must(pwrite(fd, bytes, length, where) == (ssize_t)length);
	}
	must(close(fd) == 0);
	inbox = inbox_open(directory, reader, logger, NULL);
	must(inbox != NULL);
	letters = 0;
	inbox_read_left(inbox, at(T0));
	read = letters;
	inbox_read_left(inbox, at(T0));
	must(letters == read);
	inbox_close(inbox);
}

/* ---- All of it ---- */

static char path[256];

static void directory_remove(void)
{
	(void)rmdir(path); /* what a failure leaves is there to be looked at */
}

/* In memory, where there is such a place: files are made for each input. */
static void directory_make(void)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");

	(void)snprintf(
		path, sizeof(path), "%s/nmnotify-fuzz-owed.XXXXXX", base != NULL ? base : "/tmp");
	must(mkdtemp(path) != NULL);
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(directory >= 0 && atexit(directory_remove) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "owed", "owed-long", "told", "inbox" };

	if (directory < 0)
		directory_make();
	input = (struct input){ data, size };
	switch (take_byte(&input) % 4) {
	case 0:
	case 1: walk_all(); break;
	case 2: damage_all(); break;
	default: inbox_all(); break;
	}
	for (unsigned i = 0; i < COUNT(names); i++)
		(void)unlinkat(directory, names[i], 0); /* where it is */
	return 0;
}
