/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include "run/decision.h"

/* ---- An account with its state, and connections to it ---- */

#define CONNECTIONS 64

/* Takes no part: it only looks. */
#define ALICE 0
#define BOB   1

struct connection {
	/* What comes. */
	unsigned source;
	enum line_state line;
	bool stays;         /* the waiter does not go on until it is killed */
	bool stays_started; /* likewise, between the start and the executed action */
	unsigned run_ms;
	/* What became of it. */
	_Atomic unsigned is_decided, has_started;
	bool is_waiter, is_charged, has_failed;
	enum verdict verdict;
	struct moment allowed;
	uint64_t started_ns;
};

struct served {
	struct account account;
	int directory;
	struct state *state;
	struct source source[2];
	struct connection connection[CONNECTIONS];
	/* Of a crowd. */
	_Atomic unsigned numbers, starts, rubbish_starts, lost, running, overlaps;
	_Atomic uint64_t last_start_ns;
	uint64_t end_ns;
};

static struct served *served_make(void **state, struct rate limit, uint32_t interval_ms)
{
	const struct unit_place *place = *state;
	struct served *served = unit_shared(sizeof(*served));
	struct state_error error;

	served->account = (struct account){ .limit = limit, .interval.ms = interval_ms };
	served->directory = place->fd;
	served->state = state_map(place->fd, STATE_LIMITS, geteuid(), sizeof(struct state), &error);
	assert_non_null(served->state);
	assert_true(source_parse("192.0.2.1", &served->source[ALICE]));
	assert_true(source_parse("2001:db8::1", &served->source[BOB]));
	return served;
}

static void served_clear(struct served *served)
{
	(void)unlinkat(served->directory, STATE_LIMITS, 0);
	(void)unlinkat(served->directory, STATE_TURN, 0);
	unit_unshare(served->state, sizeof(struct state));
	unit_unshare(served, sizeof(*served));
}

static struct turn turn_of(const struct served *served)
{
	struct turn turn = decision_turn(&served->account, served->state);
	struct state_error error;

	(void)turn_open(&turn, served->directory, &error);
	return turn;
}

static struct decision decision_of(struct served *served, struct turn *turn, unsigned source)
{
	return (struct decision){
		.account = &served->account,
		.turn = turn,
		.cells = limiter_locate(served->state, &served->source[source]),
	};
}

static void perform(struct served *served, struct connection *connection, struct decision *decision)
{
	turn_start(decision->turn);
	connection->started_ns = unit_ns();
	atomic_store(&served->last_start_ns, connection->started_ns);
	atomic_store(&connection->has_started, 1);
	if (connection->stays_started)
		unit_halt();
	atomic_fetch_add(&served->starts, 1);
	if (atomic_fetch_add(&served->running, 1) != 0)
		atomic_fetch_add(&served->overlaps, 1);
	decision_executed(decision);
	unit_sleep_ms(connection->run_ms);
	atomic_fetch_sub(&served->running, 1);
	turn_ended(decision->turn);
}

/* What the handler does with a connection once it was read. */
static void handle(struct served *served, struct connection *connection)
{
	struct turn turn = turn_of(served);
	struct decision decision = decision_of(served, &turn, connection->source);

	connection->has_failed = !decision_make(&decision, connection->line);
	connection->is_waiter = decision.is_waiter;
	connection->is_charged = decision.is_charged;
	connection->verdict = decision.verdict;
	connection->allowed = decision.allowed;
	atomic_store(&connection->is_decided, 1);
	if (decision.is_waiter && connection->stays)
		unit_halt();
	if (decision.is_waiter && decision_wait(&decision))
		perform(served, connection, &decision);
	(void)close(turn.fd);
}

struct caller {
	struct served *served;
	struct connection *connection;
};

static int call(void *context)
{
	struct caller *caller = context;

	handle(caller->served, caller->connection);
	return 0;
}

/* Starts a connection, and waits for its decision, but not for its end. */
static pid_t connect_to(struct served *served, unsigned number, struct connection connection)
{
	struct caller caller = { .served = served, .connection = &served->connection[number] };
	pid_t child;

	served->connection[number] = connection;
	child = unit_fork(call, &caller);
	assert_true(unit_await(&caller.connection->is_decided));
	return child;
}

static const struct connection *connect_whole(
	struct served *served, unsigned number, struct connection connection)
{
	assert_int_equal(unit_reap(connect_to(served, number, connection)), 0);
	return &served->connection[number];
}

/* How long until the source conforms. */
static uint32_t conforms_in(struct served *served, unsigned source)
{
	struct cells cells = limiter_locate(served->state, &served->source[source]);
	struct moment at = limiter_peek(&cells, served->account.limit);

	return moment_until(moment_now(), at).ms;
}

static void charge(struct served *served, unsigned source, unsigned times)
{
	struct cells cells = limiter_locate(served->state, &served->source[source]);
	struct moment at;

	while (times-- > 0)
		assert_true(limiter_take(&cells, served->account.limit, &at));
}

static uint64_t apart_ms(const struct connection *a, const struct connection *b)
{
	return (b->started_ns - a->started_ns) / 1000000;
}

static uint64_t since_ms(const struct connection *connection)
{
	return (unit_ns() - connection->started_ns) / 1000000;
}

#define HOUR 3600000
/* Longer than two processes take to start and end, however busy the machine is. */
#define APART_MS 1000

/* ---- Verdicts ---- */

static void G1_conforming_line_starts_at_once(void **state)
{
	struct served *served = served_make(state, (struct rate){ { HOUR }, 10 }, 0);
	struct cells cells = limiter_locate(served->state, &served->source[ALICE]);
	struct moment at;

	for (unsigned i = 0; i < 2; i++) {
		const struct connection *c =
			connect_whole(served, i, (struct connection){ .line = LINE_VALID });

		assert_int_equal(c->verdict, VERDICT_ACCEPTED);
		assert_true(c->is_waiter && c->is_charged && atomic_load(&c->has_started));
		unit_sleep_ms(3); /* starts are at least a millisecond apart */
	}
	assert_int_equal(conforms_in(served, BOB), 0);
	charge(served, ALICE, 8); /* of ten */
	assert_false(limiter_take(&cells, served->account.limit, &at));
	served_clear(served);
}

static void G3_line_of_a_source_over_its_limit_starts_when_it_conforms(void **state)
{
	struct served *served = served_make(state, (struct rate){ { APART_MS }, 1 }, 0);
	const struct connection *first, *second;

	first = connect_whole(served, 0, (struct connection){ .line = LINE_VALID });
	second = connect_whole(served, 1, (struct connection){ .line = LINE_VALID });
	assert_int_equal(first->verdict, VERDICT_ACCEPTED);
	assert_int_equal(second->verdict, VERDICT_DEFERRED);
	assert_true(second->is_waiter && second->is_charged);
	assert_in_range(apart_ms(first, second), APART_MS - 2, APART_MS + UNIT_SLACK_MS);
	/* It was charged for that start, as of its time. */
	assert_in_range(conforms_in(served, ALICE) + since_ms(second), APART_MS - 2,
		APART_MS + UNIT_SLACK_MS);
	served_clear(served);
}

static void G2_line_within_the_interval_is_deferred(void **state)
{
	struct served *served = served_make(state, (struct rate){ { 1 }, 100 }, APART_MS);
	const struct connection *first, *second;

	first = connect_whole(served, 0, (struct connection){ .line = LINE_VALID });
	second = connect_whole(served, 1, (struct connection){ .source = BOB, .line = LINE_VALID });
	assert_int_equal(first->verdict, VERDICT_ACCEPTED);
	assert_int_equal(second->verdict, VERDICT_DEFERRED);
	assert_in_range(apart_ms(first, second), APART_MS, APART_MS + UNIT_SLACK_MS);
	served_clear(served);
}

/* A line that a waiter covers needs no process, and is no reason for a second start. */
static void G4_line_behind_a_waiter_is_coalesced(void **state)
{
	struct served *served = served_make(state, (struct rate){ { HOUR }, 1 }, 0);
	const struct connection *c;
	pid_t waiter;

	charge(served, ALICE, 1);
	charge(served, BOB, 1);
	unit_sleep_ms(5);
	waiter = connect_to(served, 0, (struct connection){ .line = LINE_VALID, .stays = true });
	assert_int_equal(served->connection[0].verdict, VERDICT_DEFERRED);
	c = connect_whole(served, 1, (struct connection){ .source = ALICE, .line = LINE_VALID });
	assert_int_equal(c->verdict, VERDICT_COALESCED);
	assert_false(c->is_waiter || c->is_charged || c->has_failed);
	assert_int_equal(atomic_load(&served->starts), 0);
	unit_kill(waiter);
	served_clear(served);
}

/* Somebody who conforms does not wait for somebody who does not. */
static void G1_conforming_line_behind_a_later_waiter_starts_at_once(void **state)
{
	struct served *served = served_make(state, (struct rate){ { HOUR }, 1 }, 0);
	const struct connection *c;
	uint64_t begun;
	pid_t waiter;

	charge(served, ALICE, 1);
	waiter = connect_to(served, 0, (struct connection){ .line = LINE_VALID });
	unit_sleep_ms(30);
	begun = unit_ms();
	c = connect_whole(served, 1, (struct connection){ .source = BOB, .line = LINE_VALID });
	assert_int_equal(c->verdict, VERDICT_COALESCED);
	assert_true(c->is_charged && !c->is_waiter);
	assert_int_equal(unit_reap(waiter), 0);
	assert_in_range(unit_ms() - begun, 0, UNIT_SLACK_MS);
	assert_int_equal(atomic_load(&served->starts), 1);
	assert_in_range(conforms_in(served, BOB), HOUR - UNIT_SLACK_MS, HOUR);
	served_clear(served);
}

static void decision_without_line_starts_and_charges_nothing(void **state)
{
	static const struct {
		enum line_state line;
		enum verdict verdict;
	} table[] = {
		{ LINE_MALFORMED, VERDICT_MALFORMED },
		{ LINE_TIMEOUT, VERDICT_TIMEOUT },
		{ LINE_FAILED, VERDICT_ERROR },
		{ LINE_INCOMPLETE, VERDICT_MALFORMED },
	};
	struct served *served = served_make(state, (struct rate){ { HOUR }, 1 }, 0);
	static const struct state fresh;

	for (unsigned i = 0; i < COUNT(table); i++) {
		const struct connection *c =
			connect_whole(served, i, (struct connection){ .line = table[i].line });

		assert_int_equal(c->verdict, table[i].verdict);
		assert_false(c->is_waiter || c->is_charged || c->has_failed);
	}
	assert_memory_equal(served->state, &fresh, sizeof(fresh));
	served_clear(served);
}

/* ---- Debts ---- */

static void die_as_waiter(struct served *served)
{
	pid_t child = connect_to(
		served, CONNECTIONS - 1, (struct connection){ .line = LINE_VALID, .stays = true });

	assert_true(served->connection[CONNECTIONS - 1].is_waiter);
	unit_kill(child);
}

/* Whatever the next connection says, it pays; the verdict on it stands. */
static void G5_debt_is_paid_by_whatever_comes_next(void **state)
{
	static const struct {
		enum line_state line;
		enum verdict verdict;
	} table[] = {
		{ LINE_VALID, VERDICT_ACCEPTED },
		{ LINE_MALFORMED, VERDICT_MALFORMED },
		{ LINE_TIMEOUT, VERDICT_TIMEOUT },
		{ LINE_FAILED, VERDICT_ERROR },
	};

	for (unsigned i = 0; i < COUNT(table); i++) {
		struct served *served = served_make(state, (struct rate){ { HOUR }, 1 }, 0);
		const struct connection *c;

		die_as_waiter(served);
		c = connect_whole(
			served, 0, (struct connection){ .source = BOB, .line = table[i].line });
		assert_int_equal(c->verdict, table[i].verdict);
		assert_true(c->is_waiter && atomic_load(&c->has_started));
		assert_int_equal(conforms_in(served, BOB) == 0, table[i].line != LINE_VALID);
		c = connect_whole(
			served, 1, (struct connection){ .source = BOB, .line = LINE_MALFORMED });
		assert_false(c->is_waiter);
		assert_int_equal(atomic_load(&served->starts), 1);
		served_clear(served);
	}
}

/* For the start that a dead waiter owes, its source has been charged; not once more. */
static void G3_debt_is_charged_once(void **state)
{
	struct served *served = served_make(state, (struct rate){ { HOUR }, 3 }, 0);
	uint32_t before;
	pid_t child;

	charge(served, ALICE, 3);
	die_as_waiter(served);
	before = conforms_in(served, ALICE);
	assert_in_range(before, 2 * HOUR - UNIT_SLACK_MS, 2 * HOUR);
	for (unsigned i = 0; i < 3; i++) {
		child = connect_to(
			served, i, (struct connection){ .line = LINE_VALID, .stays = true });
		assert_true(served->connection[i].is_waiter);
		assert_false(served->connection[i].is_charged);
		assert_int_equal(served->connection[i].verdict, VERDICT_DEFERRED);
		unit_kill(child);
	}
	assert_in_range(conforms_in(served, ALICE), before - UNIT_SLACK_MS, before);
	served_clear(served);
}

/* ---- Late starts ---- */

/* Its run had to wait for another one's: its limit counts from the start, not from the line. */
static void G3_late_start_counts_as_of_its_time(void **state)
{
	struct served *served = served_make(state, (struct rate){ { 2 * APART_MS }, 1 }, 0);
	const struct connection *c;
	pid_t running;

	running = connect_to(
		served, 0, (struct connection){ .source = BOB, .line = LINE_VALID, .run_ms = APART_MS });
	assert_true(unit_await(&served->connection[0].has_started));
	c = connect_whole(served, 1, (struct connection){ .line = LINE_VALID });
	assert_int_equal(c->verdict, VERDICT_DEFERRED);
	assert_true(c->is_charged);
	assert_true(apart_ms(&served->connection[0], c) >= APART_MS);
	/* Without, it would be less than APART_MS. */
	assert_in_range(conforms_in(served, ALICE) + since_ms(c), 2 * APART_MS - 2,
		2 * APART_MS + UNIT_SLACK_MS);
	assert_int_equal(unit_reap(running), 0);
	assert_int_equal(atomic_load(&served->overlaps), 0);
	served_clear(served);
}

/* From the moment at which somebody else can become the waiter: there is none at which the source
 * looks as if it had not started, or a flood would find it. */
static void G3_late_start_counts_before_the_next_can_be_owed(void **state)
{
	struct served *served = served_make(state, (struct rate){ { HOUR }, 1 }, 0);
	pid_t running, late;

	running = connect_to(
		served, 0, (struct connection){ .source = BOB, .line = LINE_VALID, .run_ms = 2 * APART_MS });
	assert_true(unit_await(&served->connection[0].has_started));
	served->account.limit.emission.ms = APART_MS; /* its charge expires while it waits */
	late = connect_to(
		served, 1, (struct connection){ .line = LINE_VALID, .stays_started = true });
	assert_true(served->connection[1].is_charged);
	assert_true(unit_await(&served->connection[1].has_started));
	assert_int_not_equal(conforms_in(served, ALICE), 0);
	unit_kill(late);
	assert_int_equal(unit_reap(running), 0);
	served_clear(served);
}

/* A source so far over its limit that no charge fits: it is charged when it starts. */
static void G3_charge_that_does_not_fit_is_made_up_for(void **state)
{
	struct served *served = served_make(state, (struct rate){ { APART_MS }, 1 }, 0);
	struct cells cells = limiter_locate(served->state, &served->source[ALICE]);
	const struct connection *c;

	charge(served, ALICE, 1);
	while (limiter_charge_ahead(&cells, served->account.limit).ms < APART_MS)
		;
	c = connect_whole(served, 0, (struct connection){ .line = LINE_VALID });
	assert_int_equal(c->verdict, VERDICT_DEFERRED);
	assert_in_range(conforms_in(served, ALICE) + since_ms(c), APART_MS - 2,
		APART_MS + UNIT_SLACK_MS);
	served_clear(served);
}

/* Its line was read and charged, then it was held up, and somebody else's start came: that was
 * this line's start, too. Many such lines would be starts of charges of long ago. */
static void G3_line_held_up_behind_a_start_starts_nothing(void **state)
{
	struct served *served = served_make(state, (struct rate){ { HOUR }, 1 }, 0);
	struct turn turn = turn_of(served);
	struct decision decision = decision_of(served, &turn, ALICE);

	decision_line(&decision, LINE_VALID);
	assert_true(decision.is_charged);
	assert_int_equal(
		connect_whole(served, 0, (struct connection){ .source = BOB, .line = LINE_VALID })
			->verdict,
		VERDICT_ACCEPTED);
	assert_true(decision_join(&decision));
	assert_false(decision.is_waiter);
	assert_int_equal(decision.verdict, VERDICT_COALESCED);
	assert_int_equal(atomic_load(&served->state->due), 0);
	(void)close(turn.fd);
	served_clear(served);
}

/* ---- Not to look at all ---- */

static void G1_connection_is_dropped_unread_only_if_it_is_covered(void **state)
{
	struct served *served = served_make(state, (struct rate){ { HOUR }, 1 }, 0);
	struct turn turn = turn_of(served);
	struct decision alice, bob;
	pid_t waiter;

	charge(served, ALICE, 1);
	alice = decision_of(served, &turn, ALICE);
	bob = decision_of(served, &turn, BOB);
	assert_false(decision_is_covered(&alice));
	waiter = connect_to(served, 0, (struct connection){ .line = LINE_VALID, .stays = true });
	assert_true(decision_is_covered(&alice)); /* later than the waiter: it is charged */
	assert_false(decision_is_covered(&bob));  /* could start now */
	decision_line(&alice, LINE_VALID);
	assert_int_equal(alice.verdict, VERDICT_COALESCED);
	assert_true(alice.has_line && !alice.is_charged);
	assert_false(decision_needs_turn(&alice));
	decision_line(&bob, LINE_VALID);
	assert_true(bob.is_charged);
	assert_true(decision_needs_turn(&bob));
	decision_line(&bob, LINE_MALFORMED);
	assert_false(decision_needs_turn(&bob));
	unit_kill(waiter);
	assert_false(decision_is_covered(&alice));
	assert_true(decision_needs_turn(&alice));
	assert_true(decision_needs_turn(&bob)); /* a debt */
	(void)close(turn.fd);
	served_clear(served);
}

static void decision_without_turn_file_is_an_error(void **state)
{
	struct served *served = served_make(state, (struct rate){ { HOUR }, 1 }, 0);
	struct turn turn = decision_turn(&served->account, served->state);
	struct decision decision = decision_of(served, &turn, ALICE);

	assert_int_equal(turn.fd, -1);
	assert_false(decision_make(&decision, LINE_VALID));
	assert_int_equal(errno, EBADF);
	assert_int_equal(decision.verdict, VERDICT_ERROR);
	assert_false(decision.is_waiter);
	assert_false(decision_wait(&decision));
	served_clear(served);
}

/* The window is how far ahead a start can be owed, the interval how far apart they are. */
static void decision_turn_is_the_account_s(void **state)
{
	struct served *served = served_make(state, (struct rate){ { 1000 }, 6 }, 12345);
	struct turn turn = decision_turn(&served->account, served->state);

	assert_ptr_equal(turn.state, served->state);
	assert_int_equal(turn.interval.ms, 12345);
	assert_int_equal(turn.reach.ms, 7000);
	served_clear(served);
}

/* ---- Everything at once ---- */

/* Lines as fast as they come, each of which waits for its start; and rubbish. */
static int flood(void *context)
{
	struct served *served = context;
	unsigned number = atomic_fetch_add(&served->numbers, 1);
	struct connection *c = &served->connection[number];
	uint64_t seed = number + 1;

	while (unit_ns() < served->end_ns) {
		uint64_t arrived = unit_ns();

		*c = (struct connection){
			.source = number % 2 ? BOB : ALICE,
			.line = random_below(&seed, 3) ? LINE_VALID : LINE_MALFORMED,
		};
		handle(served, c);
		if (atomic_load(&c->has_started) && c->line != LINE_VALID)
			atomic_fetch_add(&served->rubbish_starts, 1);
		while (c->line == LINE_VALID && !c->is_waiter && !c->has_failed &&
			atomic_load(&served->last_start_ns) < arrived) {
			if (unit_ns() - arrived > 5000000000u) {
				atomic_fetch_add(&served->lost, 1);
				break;
			}
			unit_sleep_us(50);
		}
	}
	return 0;
}

/* Two sources, eight processes: never more starts than the two may cause, whatever they send. */
static void G3_flood_starts_no_more_than_its_sources_may(void **state)
{
	static const struct rate limits[] = { { { 20 }, 3 }, { { 5 }, 1 }, { { 2 }, 1 } };

	for (unsigned i = 0; i < COUNT(limits); i++) {
		struct served *served = served_make(state, limits[i], 0);
		uint64_t begun = unit_ms(), most;

		served->end_ns = unit_ns() + 500000000;
		unit_crowd(8, flood, served);
		most = 2 * (limits[i].burst + (unit_ms() - begun + 1) / limits[i].emission.ms);
		assert_in_range(atomic_load(&served->starts), 5, most);
		assert_int_equal(atomic_load(&served->rubbish_starts), 0);
		assert_int_equal(atomic_load(&served->lost), 0);
		assert_int_equal(atomic_load(&served->overlaps), 0);
		assert_int_equal(atomic_load(&served->state->due), 0);
		assert_int_equal(atomic_load(&served->state->owed), 0);
		served_clear(served);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST_PLACE(G1_conforming_line_starts_at_once),
		UNIT_TEST_PLACE(G3_line_of_a_source_over_its_limit_starts_when_it_conforms),
		UNIT_TEST_PLACE(G2_line_within_the_interval_is_deferred),
		UNIT_TEST_PLACE(G4_line_behind_a_waiter_is_coalesced),
		UNIT_TEST_PLACE(G1_conforming_line_behind_a_later_waiter_starts_at_once),
		UNIT_TEST_PLACE(decision_without_line_starts_and_charges_nothing),
		UNIT_TEST_PLACE(G5_debt_is_paid_by_whatever_comes_next),
		UNIT_TEST_PLACE(G3_debt_is_charged_once),
		UNIT_TEST_PLACE(G3_late_start_counts_as_of_its_time),
		UNIT_TEST_PLACE(G3_late_start_counts_before_the_next_can_be_owed),
		UNIT_TEST_PLACE(G3_charge_that_does_not_fit_is_made_up_for),
		UNIT_TEST_PLACE(G3_line_held_up_behind_a_start_starts_nothing),
		UNIT_TEST_PLACE(G1_connection_is_dropped_unread_only_if_it_is_covered),
		UNIT_TEST_PLACE(decision_without_turn_file_is_an_error),
		UNIT_TEST_PLACE(decision_turn_is_the_account_s),
		UNIT_TEST_PLACE(G3_flood_starts_no_more_than_its_sources_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
