/* SPDX-License-Identifier: ISC */
/* S1, S2, S5 and Fair, in small steps and in a long random walk against a simple-minded oracle. */
#include "relay/owed.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/text.h"
#include "unit.h"

#define SETTLE   2000u
#define INTERVAL 5000u
#define KEEP     3600000u

/* From the millisecond of a beginning to the first whole one in which the next may come. */
#define NEXT (INTERVAL + 1)

static const uint64_t key[2] = { 1, 2 };
static struct owed *owed;
static char said[512];

static struct owed_bounds bounds = { .settle = { SETTLE },
	.interval = { INTERVAL },
	.keep = { KEEP },
	.users = 100,
	.connections = 8 };

static void logger(void *context, const char *message)
{
	(void)context;
	(void)snprintf(said, sizeof(said), "%s", message);
}

static struct instant at(uint64_t ms)
{
	return (struct instant){ .ms = ms };
}

/* All times are behind this one, which is not the future of any machine. */
#define T0 1000000u

static uint64_t opened_at;

static struct instant opening_clock(void)
{
	return at(opened_at);
}

static void open_at(void **state, uint64_t now)
{
	const struct unit_place *place = *state;

	said[0] = '\0';
	opened_at = now - 1;
	owed = owed_open(place->fd, &bounds, key, opening_clock, logger, NULL);
	assert_non_null(owed);
}

static void die(void)
{
	owed_close(owed);
}

static struct destination destination_of(const char *text)
{
	struct destination destination = { .port = 79 };

	assert_true(source_parse(text, &destination.address));
	return destination;
}

static void route_all(const char *address, enum via via)
{
	struct destination destination = destination_of(address);
	struct addressee *addressee;

	while ((addressee = owed_unrouted(owed)) != NULL) {
		owed_route_begin(owed, addressee);
		owed_route_add(owed, addressee, &destination, NULL, via);
		owed_route_end(owed, addressee);
	}
}

static void note(const char *user, uint64_t now)
{
	assert_non_null(owed_note(owed, user, false, at(now)));
	route_all("192.0.2.1", VIA_CONFIGURED);
}

static void begins(uint64_t now, const char *address, struct target **target)
{
	char text[SOURCE_TEXT_MAX];

	*target = owed_pick(owed, at(now));
	assert_non_null(*target);
	assert_string_equal(source_text(&target_destination(*target)->address, text), address);
	owed_begins(owed, *target, at(now));
}

static void nothing_begins(uint64_t now)
{
	assert_null(owed_pick(owed, at(now)));
}

/* ---- S1 ---- */

static void S1_an_event_begins_at_once_and_is_covered(void **state)
{
	struct target *target;

	open_at(state, T0);
	note("alice", T0);
	assert_int_equal(owed_when(owed).ms, T0);
	begins(T0, "192.0.2.1", &target);
	nothing_begins(T0);
	owed_done(owed, target);
	assert_int_equal(owed_users(owed), 0);
	assert_int_equal(owed_when(owed).ms, UINT64_MAX);
	die();
}

static void S1_an_event_behind_the_beginning_is_owed_still(void **state)
{
	struct target *target;

	open_at(state, T0);
	note("alice", T0);
	begins(T0, "192.0.2.1", &target);
	note("alice", T0 + 1);
	note("bob", T0 + 2);
	owed_done(owed, target);
	assert_int_equal(owed_users(owed), 2);
	nothing_begins(T0 + INTERVAL); /* S2 */
	assert_int_equal(owed_when(owed).ms, T0 + NEXT);
	begins(T0 + NEXT, "192.0.2.1", &target);
	owed_done(owed, target);
	assert_int_equal(owed_users(owed), 0); /* one sending covers both */
	die();
}

static void S1_an_early_event_waits_until_it_can_be_seen(void **state)
{
	struct target *target;

	open_at(state, T0);
	assert_non_null(owed_note(owed, "alice", true, at(T0)));
	route_all("192.0.2.1", VIA_CONFIGURED);
	nothing_begins(T0 + SETTLE - 1);
	begins(T0 + SETTLE, "192.0.2.1", &target);
	owed_done(owed, target);
	assert_int_equal(owed_users(owed), 0);
	/* Of both kinds: a sending for the one does not cover the other. */
	assert_non_null(owed_note(owed, "alice", true, at(T0 + 10000)));
	note("alice", T0 + 10001);
	begins(T0 + 10001, "192.0.2.1", &target);
	owed_done(owed, target);
	assert_int_equal(owed_users(owed), 1);
	begins(T0 + 10001 + NEXT, "192.0.2.1", &target);
	owed_done(owed, target);
	assert_int_equal(owed_users(owed), 0);
	die();
}

static void S1_what_fails_is_tried_again_later_and_later(void **state)
{
	uint64_t now = T0, rest = 1000;
	struct target *target;

	open_at(state, T0);
	note("alice", T0);
	for (unsigned i = 0; i < 14; i++) {
		uint64_t next;

		begins(now, "192.0.2.1", &target);
		owed_failed(owed, target, at(now + 10));
		next = owed_when(owed).ms;
		assert_in_range(next, now + (rest * 3 / 4 > INTERVAL ? rest * 3 / 4 : INTERVAL),
			now + 10 + (rest > INTERVAL ? rest : INTERVAL));
		nothing_begins(next - 1);
		now = next;
		rest = rest * 2 > 300000 ? 300000 : rest * 2;
	}
	begins(now, "192.0.2.1", &target);
	owed_done(owed, target);
	assert_int_equal(owed_users(owed), 0);
	die();
}

static void S1_what_is_too_old_is_given_up(void **state)
{
	struct target *target;

	open_at(state, T0);
	note("alice", T0);
	note("bob", T0 + 1000);
	begins(T0, "192.0.2.1", &target);
	owed_failed(owed, target, at(T0));
	assert_int_equal(owed_expire(owed, at(T0 + KEEP - 1)), 0);
	assert_int_equal(owed_expire(owed, at(T0 + KEEP)), 1);
	assert_int_equal(owed_users(owed), 1);
	assert_int_equal(owed_expire(owed, at(T0 + KEEP + 1000)), 1);
	assert_int_equal(owed_when(owed).ms, UINT64_MAX);
	assert_int_equal(owed_counts(owed)->expired, 2);
	nothing_begins(T0 + 2 * KEEP);
	die();
}

static void login(const char *user, const char *address, uint64_t now)
{
	struct source source;

	assert_true(source_parse(address, &source));
	owed_login(owed, user, &source, at(now));
}

static void S1_a_login_covers_what_is_old_enough(void **state)
{
	open_at(state, T0);
	note("alice", T0);
	login("bob", "192.0.2.1", T0 + SETTLE);
	login("alice", "192.0.2.2", T0 + SETTLE);     /* from elsewhere */
	login("alice", "192.0.2.1", T0 + SETTLE - 1); /* may have been before the event */
	assert_int_equal(owed_users(owed), 1);
	login("alice", "192.0.2.1", T0 + SETTLE);
	assert_int_equal(owed_users(owed), 0);
	nothing_begins(T0 + SETTLE);
	assert_int_equal(owed_counts(owed)->by_login, 1);
	die();
}

static void S1_a_login_from_anywhere_covers_what_goes_to_the_last_address(void **state)
{
	open_at(state, T0);
	assert_non_null(owed_note(owed, "alice", false, at(T0)));
	route_all("192.0.2.1", VIA_LAST);
	login("alice", "192.0.2.2", T0 + SETTLE);
	assert_int_equal(owed_users(owed), 0);
	assert_non_null(owed_note(owed, "alice", false, at(T0 + 10000)));
	route_all("192.0.2.1", VIA_ONE_OF);
	login("alice", "192.0.2.2", T0 + 20000);
	assert_int_equal(owed_users(owed), 1);
	login("alice", "192.0.2.1", T0 + 20000);
	assert_int_equal(owed_users(owed), 0);
	die();
}

static void S1_who_is_not_routed_yet_is_not_covered(void **state)
{
	open_at(state, T0);
	assert_non_null(owed_note(owed, "alice", false, at(T0)));
	login("alice", "192.0.2.1", T0 + SETTLE);
	assert_int_equal(owed_users(owed), 1);
	/* The store is asked, and has not answered. */
	assert_non_null(owed_unrouted(owed));
	login("alice", "192.0.2.1", T0 + SETTLE);
	assert_int_equal(owed_users(owed), 1);
	die();
}

static void S1_two_destinations_are_owed_each(void **state)
{
	struct destination first = destination_of("192.0.2.1"),
			   other = destination_of("2001:db8::1");
	struct target *one, *two;
	struct addressee *addressee;

	open_at(state, T0);
	addressee = owed_note(owed, "alice", false, at(T0));
	owed_route_begin(owed, addressee);
	owed_route_add(owed, addressee, &first, NULL, VIA_CONFIGURED);
	owed_route_add(owed, addressee, &other, NULL, VIA_CONFIGURED);
	owed_route_add(owed, addressee, &first, NULL, VIA_CONFIGURED); /* said twice */
	owed_route_end(owed, addressee);
	one = owed_pick(owed, at(T0));
	two = owed_pick(owed, at(T0));
	assert_true(one != NULL && two != NULL && one != two);
	nothing_begins(T0);
	owed_begins(owed, one, at(T0));
	owed_begins(owed, two, at(T0));
	owed_done(owed, one);
	assert_int_equal(owed_users(owed), 1);
	owed_failed(owed, two, at(T0));
	nothing_begins(T0 + INTERVAL);
	two = owed_pick(owed, at(T0 + NEXT));
	assert_non_null(two);
	owed_begins(owed, two, at(T0 + NEXT));
	owed_done(owed, two);
	assert_int_equal(owed_users(owed), 0);
	die();
}

static void S1_no_destination_is_nothing_owed(void **state)
{
	struct addressee *addressee;

	open_at(state, T0);
	addressee = owed_note(owed, "alice", false, at(T0));
	owed_route_begin(owed, addressee);
	owed_route_end(owed, addressee);
	assert_int_equal(owed_users(owed), 0);
	die();
}

/* ---- Names ---- */

static void S2_a_name_and_its_address_are_one_destination(void **state)
{
	struct destination named = { .port = 79 }, plain = destination_of("192.0.2.1");
	struct target *name, *address;
	struct addressee *addressee;

	open_at(state, T0);
	note("bob", T0);
	addressee = owed_note(owed, "alice", false, at(T0 + 1));
	owed_route_begin(owed, addressee);
	owed_route_add(owed, addressee, &named, "home.example.org", VIA_CONFIGURED);
	owed_route_end(owed, addressee);
	begins(T0, "192.0.2.1", &address);
	name = owed_pick(owed, at(T0 + 1));
	assert_non_null(name);
	assert_string_equal(target_name(name), "home.example.org");
	assert_null(owed_pick_address(owed, name, &plain.address, at(T0 + 1))); /* busy */
	nothing_begins(T0 + INTERVAL);
	owed_done(owed, address);
	nothing_begins(T0 + INTERVAL);
	name = owed_pick(owed, at(T0 + 1 + NEXT));
	assert_string_equal(target_name(name), "home.example.org");
	address = owed_pick_address(owed, name, &plain.address, at(T0 + 1 + NEXT));
	assert_non_null(address);
	owed_begins(owed, address, at(T0 + 1 + NEXT));
	owed_begins(owed, name, at(T0 + 1 + NEXT));
	note("bob", T0 + 1 + NEXT);
	nothing_begins(T0 + INTERVAL);
	owed_done(owed, address);
	owed_done(owed, name);
	assert_int_equal(owed_users(owed), 1);
	begins(T0 + 1 + 2 * NEXT, "192.0.2.1", &address);
	owed_done(owed, address);
	assert_int_equal(owed_users(owed), 0);
	die();
}

static void S1_a_login_from_what_a_name_means_covers(void **state)
{
	struct destination named = { .port = 79 };
	struct source addresses[2];
	struct target *name;
	struct addressee *addressee;

	open_at(state, T0);
	assert_true(source_parse("192.0.2.7", &addresses[0]));
	assert_true(source_parse("2001:db8::7", &addresses[1]));
	addressee = owed_note(owed, "alice", false, at(T0));
	owed_route_begin(owed, addressee);
	owed_route_add(owed, addressee, &named, "home.example.org", VIA_CONFIGURED);
	owed_route_end(owed, addressee);
	name = owed_pick(owed, at(T0));
	target_resolved(owed, name, addresses, 2);
	owed_failed(owed, name, at(T0));
	login("alice", "192.0.2.8", T0 + SETTLE);
	assert_int_equal(owed_users(owed), 1);
	login("alice", "2001:db8::7", T0 + SETTLE);
	assert_int_equal(owed_users(owed), 0);
	die();
}

/* ---- Fair ---- */

static void note_for(const char *user, const char *address, uint64_t now)
{
	assert_non_null(owed_note(owed, user, false, at(now)));
	route_all(address, VIA_CONFIGURED);
}

static void Fair_dead_destinations_hold_half_at_most(void **state)
{
	struct target *target, *live;
	char user[16], address[32];

	open_at(state, T0);
	note_for("live", "192.0.2.250", T0);
	begins(T0, "192.0.2.250", &live);
	owed_done(owed, live);
	for (unsigned i = 1; i <= 20; i++) {
		(void)snprintf(user, sizeof(user), "u%u", i);
		(void)snprintf(address, sizeof(address), "192.0.2.%u", i);
		note_for(user, address, T0 + NEXT);
	}
	for (unsigned i = 0; i < bounds.connections / 2; i++)
		assert_non_null(owed_pick(owed, at(T0 + NEXT)));
	nothing_begins(T0 + INTERVAL);
	assert_true(owed_when(owed).ms > T0 + NEXT);
	note_for("live", "192.0.2.250", T0 + NEXT);
	begins(T0 + NEXT, "192.0.2.250", &target);
	die();
}

static void Fair_who_answered_goes_first(void **state)
{
	struct target *target;

	open_at(state, T0);
	note_for("live", "192.0.2.250", T0);
	begins(T0, "192.0.2.250", &target);
	owed_done(owed, target);
	note_for("new", "192.0.2.1", T0 + 1);
	note_for("live", "192.0.2.250", T0 + 2);
	begins(T0 + NEXT, "192.0.2.250", &target); /* though it is due later */
	owed_failed(owed, target, at(T0 + NEXT));
	begins(T0 + NEXT, "192.0.2.1", &target);
	die();
}

/* ---- S4 ---- */

static void S4_as_many_users_as_may_be(void **state)
{
	char user[16];

	open_at(state, T0);
	for (unsigned i = 0; i < bounds.users; i++) {
		(void)snprintf(user, sizeof(user), "u%u", i);
		assert_non_null(owed_note(owed, user, false, at(T0)));
	}
	assert_null(owed_note(owed, "newest", false, at(T0)));
	assert_non_null(owed_note(owed, "u0", false, at(T0)));
	assert_int_equal(owed_counts(owed)->refused, 1);
	assert_int_equal(owed_users(owed), bounds.users);
	die();
}

static void S4_destinations_are_forgotten_when_there_is_no_room(void **state)
{
	char address[32];
	uint64_t now = T0;

	open_at(state, T0);
	for (unsigned i = 0; i < 3 * bounds.users; i++) {
		struct target *target;

		(void)snprintf(address, sizeof(address), "198.51.%u.%u", i / 250, i % 250 + 1);
		note_for("alice", address, now);
		begins(now, address, &target);
		owed_done(owed, target);
		assert_int_equal(owed_users(owed), 0);
		now += INTERVAL;
	}
	assert_int_equal(owed_counts(owed)->refused, 0);
	die();
}

/* ---- For who asks ---- */

static char looked[1024];

static void look(void *context, const struct target_look *seen)
{
	struct text *text = context;
	char address[SOURCE_TEXT_MAX];

	text_add(text, "%s %u %u %s%s; ",
		seen->name != NULL ? seen->name
				   : source_text(&seen->destination->address, address),
		seen->failures, (unsigned)(seen->since.ms == 0 ? 0 : seen->since.ms - T0 + 1),
		seen->reason != NULL ? seen->reason : "-", seen->is_busy ? " busy" : "");
	assert_true(seen->is_busy ? seen->next.ms == UINT64_MAX : seen->next.ms >= T0);
}

static void failing_is(unsigned most, uint32_t total, const char *wanted)
{
	struct text text = TEXT_IN(looked);

	looked[0] = '\0';
	assert_int_equal(owed_look_failing(owed, most, look, &text), total);
	assert_string_equal(looked, wanted);
}

static void fail_for(struct target *target, const char *reason, uint64_t now)
{
	target_set_reason(target, reason);
	owed_failed(owed, target, at(now));
}

static void who_fails_is_shown_the_longest_first(void **state)
{
	struct target *one, *two;

	open_at(state, T0);
	failing_is(9, 0, "");
	note_for("a", "192.0.2.1", T0);
	note_for("b", "192.0.2.2", T0 + 1);
	assert_int_equal(owed_targets(owed), 2);
	begins(T0 + 1, "192.0.2.1", &one);
	begins(T0 + 1, "192.0.2.2", &two);
	fail_for(two, "second", T0 + 1);
	fail_for(one, "first", T0 + 5);
	failing_is(9, 2, "192.0.2.2 1 2 second; 192.0.2.1 1 6 first; ");
	failing_is(1, 2, "192.0.2.2 1 2 second; ");
	/* Again: it is since the first time. */
	two = owed_pick(owed, at(T0 + 60000));
	one = owed_pick(owed, at(T0 + 60000));
	if (strcmp(source_text(&target_destination(two)->address, (char[SOURCE_TEXT_MAX]){ 0 }),
		    "192.0.2.2") != 0) {
		struct target *swapped = one;

		one = two;
		two = swapped;
	}
	owed_begins(owed, one, at(T0 + 60000));
	owed_begins(owed, two, at(T0 + 60000));
	failing_is(1, 2, "192.0.2.2 1 2 second busy; ");
	fail_for(two, "again", T0 + 60000);
	failing_is(9, 2, "192.0.2.2 2 2 again; 192.0.2.1 1 6 first busy; ");
	/* One is told, and the other one given up. */
	owed_done(owed, one);
	failing_is(9, 1, "192.0.2.2 2 2 again; ");
	assert_int_equal(owed_targets(owed), 1);
	(void)owed_expire(owed, at(T0 + 1 + bounds.keep.ms));
	assert_int_equal(owed_targets(owed), 0);
	/* What is in the file does not say since when, nor why. */
	die();
	open_at(state, T0 + bounds.keep.ms);
	assert_int_equal(owed_look_failing(owed, 0, look, NULL), 1);
	die();
}

static void what_a_user_is_owed_is_shown(void **state)
{
	struct text text = TEXT_IN(looked);
	struct addressee_look user;

	open_at(state, T0);
	looked[0] = '\0';
	assert_false(owed_look_user(owed, "a", &user, look, &text));
	assert_non_null(owed_note(owed, "a", false, at(T0)));
	assert_true(owed_look_user(owed, "a", &user, look, &text));
	assert_string_equal(looked, "");
	assert_false(user.is_routed);
	route_all("192.0.2.1", VIA_CONFIGURED);
	assert_true(owed_look_user(owed, "a", &user, look, &text));
	assert_string_equal(looked, "192.0.2.1 0 0 -; ");
	assert_true(user.is_routed);
	assert_int_equal(user.noted.ms, T0);
	assert_int_equal(user.ends.ms, T0 + bounds.keep.ms);
	assert_false(owed_look_user(owed, "b", &user, look, &text));
	die();
}

/* ---- S5 ---- */

static void S5_what_is_noted_outlives_the_process(void **state)
{
	static const char user[] =
		"a name that is longer than the sixty-four bytes that most names "
		"of users stay belowINTERVALexample.org";
	struct target *target;

	open_at(state, T0);
	note("alice", T0);
	assert_non_null(owed_note(owed, user, false, at(T0 + 1)));
	die();
	open_at(state, T0 + 2);
	assert_string_equal(said, "");
	assert_int_equal(owed_users(owed), 2);
	route_all("192.0.2.1", VIA_CONFIGURED);
	begins(T0 + 2, "192.0.2.1", &target);
	owed_done(owed, target);
	assert_int_equal(owed_users(owed), 0);
	die();
	open_at(state, T0 + 3);
	assert_int_equal(owed_users(owed), 0);
	/* S2, across the death. */
	note("alice", T0 + 3);
	nothing_begins(T0 + 2 + INTERVAL - 1);
	begins(T0 + 2 + NEXT, "192.0.2.1", &target);
	die();
}

static void S5_a_beginning_outlives_the_process(void **state)
{
	struct target *target;

	open_at(state, T0);
	note("alice", T0);
	begins(T0, "192.0.2.1", &target);
	die();
	/* When its packet left nobody knows: at the latest at the death. */
	open_at(state, T0 + 101);
	route_all("192.0.2.1", VIA_CONFIGURED);
	nothing_begins(T0 + 100 + INTERVAL); /* it was opened somewhere in that millisecond */
	begins(T0 + 100 + INTERVAL + 1, "192.0.2.1", &target);
	die();
	/* One that has ended is known. */
	open_at(state, T0 + 20000);
	route_all("192.0.2.1", VIA_CONFIGURED);
	begins(T0 + 20000 + INTERVAL, "192.0.2.1", &target);
	owed_failed(owed, target, at(T0 + 20000 + INTERVAL));
	die();
	open_at(state, T0 + 20000 + INTERVAL + 100);
	route_all("192.0.2.1", VIA_CONFIGURED);
	nothing_begins(T0 + 20000 + 2 * INTERVAL - 1);
	begins(T0 + 20000 + 2 * INTERVAL + 1, "192.0.2.1", &target);
	die();
}

static void S2_the_interval_is_from_when_it_had_begun(void **state)
{
	struct target *target;

	open_at(state, T0);
	note("alice", T0);
	begins(T0, "192.0.2.1", &target);
	note("alice", T0 + 10);
	owed_has_begun(owed, target, at(T0 + 20)); /* this process had to wait */
	owed_done(owed, target);
	assert_int_equal(owed_users(owed), 1); /* S1: the line may have left before the event */
	nothing_begins(T0 + 20 + INTERVAL); /* it had begun somewhere in that millisecond */
	begins(T0 + 20 + INTERVAL + 1, "192.0.2.1", &target);
	die();
}

static void S2_an_interval_that_is_raised_holds_for_what_waits(void **state)
{
	struct owed_bounds raised = bounds;
	struct target *target;

	open_at(state, T0);
	note("alice", T0);
	begins(T0, "192.0.2.1", &target);
	owed_done(owed, target);
	note("alice", T0 + 10); /* waits for the interval */
	raised.interval.ms = 3 * INTERVAL;
	owed_set_bounds(owed, &raised);
	nothing_begins(T0 + NEXT);
	nothing_begins(T0 + 3 * INTERVAL - 1);
	begins(T0 + 3 * INTERVAL + 1, "192.0.2.1", &target);
	owed_done(owed, target);
	die();
}

/* What is due later is no stamp that was given: the clock is not ahead of it. */
static void S2_a_death_does_not_put_the_clock_ahead(void **state)
{
	struct target *target;

	open_at(state, T0);
	note("bob", T0);
	begins(T0, "192.0.2.1", &target);
	owed_done(owed, target);
	note("bob", T0 + NEXT - 2);
	assert_non_null(owed_note(owed, "alice", true, at(T0 + NEXT - 2)));
	die();
	open_at(state, T0 + NEXT - 1); /* it was opened a millisecond before */
	route_all("192.0.2.1", VIA_CONFIGURED);
	for (unsigned i = 0; i < 5; i++) /* of one millisecond */
		assert_non_null(owed_note(owed, "carol", false, at(T0 + NEXT - 2)));
	nothing_begins(T0 + NEXT - 2);
	nothing_begins(T0 + NEXT - 1);
	begins(T0 + NEXT, "192.0.2.1", &target);
	die();
}

/* The first two times of a target's record, at 8 and 16: the beginning that was written down is
 * done. Its stamp is the third of its millisecond. */
static void covered_write(void **state)
{
	const struct unit_place *place = *state;
	const uint64_t covered = (uint64_t)T0 * 1024 + 2;
	int fd = openat(place->fd, "told", O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &covered, sizeof(covered), 65536 + 16), sizeof(covered));
	assert_int_equal(close(fd), 0);
}

/* A death when it was written down that it was done, and nothing else. */
static void S5_what_was_covered_is_so_after_a_death_in_the_same_millisecond(void **state)
{
	struct target *target;

	open_at(state, T0);
	note("alice", T0);
	note("bob", T0);
	begins(T0, "192.0.2.1", &target);
	owed_has_begun(owed, target, at(T0));
	die();
	covered_write(state);
	open_at(state, T0 + 1); /* it is opened a millisecond before */
	route_all("192.0.2.1", VIA_CONFIGURED);
	assert_int_equal(owed_users(owed), 0);
	die();
}

static void file_write(void **state, const char *name, const char *bytes, size_t length, off_t from)
{
	const struct unit_place *place = *state;
	int fd = openat(place->fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, length, from), length);
	assert_int_equal(close(fd), 0);
}

static void S5_a_damaged_file_is_begun_afresh_and_said(void **state)
{
	open_at(state, T0);
	note("alice", T0);
	die();
	file_write(state, "owed", "nonsense", 8, 0);
	open_at(state, T0);
	assert_string_equal(said, "owed: is damaged or of another version: what it said is lost, "
				  "and it begins afresh");
	assert_int_equal(owed_users(owed), 0);
	note("alice", T0);
	die();
	open_at(state, T0);
	assert_string_equal(said, "");
	assert_int_equal(owed_users(owed), 1);
	die();
}

/* Whatever the records say, it opens, and every user in it is told in the end. */
static void S5_any_records_are_valid(void **state)
{
	const struct unit_place *place = *state;
	unsigned seed = 1;

	for (unsigned round = 0; round < 300; round++) {
		struct target *target;
		uint64_t now = T0;

		open_at(state, T0);
		for (unsigned i = 0; i < 20; i++) {
			char user[16];

			(void)snprintf(user, sizeof(user), "u%u", i);
			note(user, T0);
		}
		target = owed_pick(owed, at(T0));
		if (target != NULL)
			owed_begins(owed, target, at(T0));
		die();
		for (unsigned i = 0; i < 40; i++) {
			static const char *const names[] = { "owed", "owed-long", "told" };
			char byte = (char)rand_r(&seed);

			file_write(state, names[(unsigned)rand_r(&seed) % 3], &byte, 1,
				65536 + rand_r(&seed) % 4000);
		}
		open_at(state, T0);
		route_all("192.0.2.1", VIA_CONFIGURED);
		for (unsigned i = 0; i < 100 && owed_users(owed) != 0; i++) {
			while ((target = owed_pick(owed, at(now))) != NULL) {
				owed_begins(owed, target, at(now));
				owed_done(owed, target);
			}
			now = owed_when(owed).ms;
		}
		assert_int_equal(owed_users(owed), 0);
		die();
		assert_int_equal(unlinkat(place->fd, "owed", 0), 0);
		assert_int_equal(unlinkat(place->fd, "told", 0), 0);
	}
}

static void S5_two_relays_do_not_share_a_file(void **state)
{
	const struct unit_place *place = *state;

	open_at(state, T0);
	assert_null(owed_open(place->fd, &bounds, key, opening_clock, logger, NULL));
	assert_int_equal(errno, EWOULDBLOCK);
	die();
}

static int looking_in;
static unsigned locked;

static struct instant clock_that_looks(void)
{
	static const char *const names[] = { "owed", "owed-long", "told" };

	for (unsigned i = 0; i < COUNT(names); i++) {
		int fd = openat(looking_in, names[i], O_RDWR | O_CLOEXEC);

		locked += fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
		(void)close(fd);
	}
	return at(T0);
}

/* Or what another relay began meanwhile would be of the future. */
static void S2_the_clock_is_asked_when_the_files_are_ours(void **state)
{
	const struct unit_place *place = *state;

	looking_in = place->fd;
	locked = 0;
	owed = owed_open(place->fd, &bounds, key, clock_that_looks, logger, NULL);
	assert_non_null(owed);
	assert_int_equal(locked, 3);
	die();
}

/* ---- A walk ---- */

static unsigned walk_seed;

static unsigned walk_draw(unsigned most)
{
	return (unsigned)rand_r(&walk_seed) % most;
}

#define walk_must(condition) assert_true(condition)

#include "../owed_walk.h"

static void S1_S2_S5_hold_in_a_random_walk(void **state)
{
	uint64_t now = T0;

	for (unsigned seed = 1; seed <= 20; seed++) {
		const struct unit_place *place = *state;

		memset(&walk, 0, sizeof(walk));
		walk_seed = seed;
		open_at(state, now);
		for (unsigned i = 0; i < 3000; i++) {
			walk_step(state, now);
			now += walk_draw(4) == 0 ? walk_draw(3000) : walk_draw(20);
		}
		assert_true(walk.begun > 50);
		die();
		assert_int_equal(unlinkat(place->fd, "owed", 0), 0);
		assert_int_equal(unlinkat(place->fd, "told", 0), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, unit_place_make, unit_place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(S1_an_event_begins_at_once_and_is_covered),
		TEST(S1_an_event_behind_the_beginning_is_owed_still),
		TEST(S1_an_early_event_waits_until_it_can_be_seen),
		TEST(S1_what_fails_is_tried_again_later_and_later),
		TEST(S1_what_is_too_old_is_given_up),
		TEST(S1_a_login_covers_what_is_old_enough),
		TEST(S1_a_login_from_anywhere_covers_what_goes_to_the_last_address),
		TEST(S1_who_is_not_routed_yet_is_not_covered),
		TEST(S1_two_destinations_are_owed_each),
		TEST(S1_no_destination_is_nothing_owed),
		TEST(S2_a_name_and_its_address_are_one_destination),
		TEST(S1_a_login_from_what_a_name_means_covers),
		TEST(Fair_dead_destinations_hold_half_at_most),
		TEST(Fair_who_answered_goes_first),
		TEST(S4_as_many_users_as_may_be),
		TEST(S4_destinations_are_forgotten_when_there_is_no_room),
		TEST(who_fails_is_shown_the_longest_first),
		TEST(what_a_user_is_owed_is_shown),
		TEST(S5_what_is_noted_outlives_the_process),
		TEST(S5_a_beginning_outlives_the_process),
		TEST(S5_what_was_covered_is_so_after_a_death_in_the_same_millisecond),
		TEST(S2_a_death_does_not_put_the_clock_ahead),
		TEST(S2_the_interval_is_from_when_it_had_begun),
		TEST(S2_an_interval_that_is_raised_holds_for_what_waits),
		TEST(S5_a_damaged_file_is_begun_afresh_and_said),
		TEST(S5_any_records_are_valid),
		TEST(S5_two_relays_do_not_share_a_file),
		TEST(S2_the_clock_is_asked_when_the_files_are_ours),
		TEST(S1_S2_S5_hold_in_a_random_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
