/* SPDX-License-Identifier: ISC */
/*
 * What is owed (src/relay/owed.c, inbox.c, telling.c): events and logins that wait in the kernel's
 * queues, relays that take them in, users who are owed a line, destinations that answer, do not, or
 * are slow, a store in which hosts claim a destination, a killer, and a clock.
 *
 * A step is one write to a file, one system call, one command of the store, or what memory alone
 * sees of it; between any two a relay may be killed: then what is in files, queues and the store is
 * all there is, and its connections are closed. Checked: S1 (in init: all events are met when all
 * is over; in tick(): nobody waits without a reason), S2 (at the first packet), S5 (init is
 * reached, whoever was killed), Fair (in tick()), and that nothing is told again of which a file
 * says that it was told.
 *
 * Abstractions. A stamp is the time and a number, as in the code; STAMPS to a moment are enough,
 * which is checked. One letter is received at a time: a batch of them is as many. An addressee is routed
 * in one step at any time later: where a line goes is memory, and known. A try that failed is
 * repeated after RETRY, which does not grow. Time goes on
 * when no relay can, and LAZY times at any other moment, but never for SETTLE between an event and
 * a login that are there at once; "in time" is judged only while it has not. With several hosts LAZY is less than
 * TIMEOUT and INTERVAL: how old a claim is when a sending begins, the code looks at (is_claimed()), and no step here.
 * Names, and records of another boot, are not here.
 *
 * Bounds: HOSTS, USERS, DESTS, EVENTS, LOGINS, KILLS, FAILS (refusals), SLOW (moments for which
 * one that will answer has not), LAZY, AWAY (of the store), SPARE (ticks while nobody is owed
 * anything), EARLY (of events), DEAD (a mask of destinations that never answer), MOST. What a user
 * owes goes to all destinations, or, if there are several users, to one each.
 */
#ifndef HOSTS
#define HOSTS 1
#endif
#ifndef USERS
#define USERS 1
#endif
#ifndef DESTS
#define DESTS 1
#endif
#ifndef EVENTS
#define EVENTS 2
#endif
#ifndef LOGINS
#define LOGINS 0
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef FAILS
#define FAILS 0
#endif
#ifndef SLOW
#define SLOW 1
#endif
#ifndef LAZY
#define LAZY 0
#endif
#ifndef AWAY
#define AWAY 0
#endif
#ifndef SPARE
#define SPARE 1
#endif
#ifndef EARLY
#define EARLY 0
#endif
#ifndef DEAD
#define DEAD 0
#endif
#ifndef MOST
#define MOST 4
#endif
#ifndef SETTLE
#define SETTLE 1
#endif
#ifndef INTERVAL
#define INTERVAL 2
#endif
#ifndef TIMEOUT
#define TIMEOUT 3
#endif
#ifndef RETRY
#define RETRY 1
#endif
#ifndef KEEP
#define KEEP 30
#endif
#ifndef STAMPS
#define STAMPS 8
#endif
#define BEGIN 3

#define U(u)    (me * USERS + (u))
#define D(d)    (me * DESTS + (d))
#define P(u, d) ((me * USERS + (u)) * DESTS + (d))
#define ROUTED(u, d) (USERS == 1 || DESTS == 1 || (u) == (d))
#define LATER(a, b)   ((a) > (b) -> (a) : (b))
#define EARLIER(a, b) ((a) < (b) -> (a) : (b))
#define SETTLED(early) ((early) -> SETTLE * STAMPS : 0)

byte now = BEGIN;

/* ---- Files ---- */

bool used[HOSTS * USERS];
byte noted[HOSTS * USERS], due_first[HOSTS * USERS], due_last[HOSTS * USERS];
byte began[HOSTS * DESTS], covered[HOSTS * DESTS];
bool failures[HOSTS * DESTS], is_busy[HOSTS * DESTS];
#define NOTHING 0
#define MAIL    1
#define MAIL_EARLY 2
#define LOGIN   3
byte slot[HOSTS], slot_user[HOSTS], slot_read[HOSTS];

/* ---- The kernel, and the other end ---- */

byte mail[HOSTS * USERS], early[HOSTS * USERS], login[HOSTS * USERS];
#define CLOSED  0
#define CLAIMED 1 /* the store has said yes; the answer is under way */
#define OPEN    2
#define ACKED   3
#define REFUSED 4
byte connection[HOSTS * DESTS], until[HOSTS * DESTS], carries[HOSTS * DESTS];

/* ---- The store ---- */

byte claim[DESTS]; /* it is somebody's before that moment */
bool is_away;

/* ---- Memory ---- */

byte last[HOSTS];
bool is_routed[HOSTS * USERS], owed[HOSTS * USERS * DESTS];
byte due[HOSTS * USERS * DESTS];
bool busy[HOSTS * DESTS], proven[HOSTS * DESTS];
byte not_before[HOSTS * DESTS], began_at[HOSTS * DESTS], covers[HOSTS * DESTS];

/* ---- What must hold ---- */

byte given;            /* events */
byte unmet[DESTS];     /* a bit for each of them */
byte filed[HOSTS * DESTS]; /* the last beginning of which a file says that it was done */
byte visible[EVENTS], handed[EVENTS];
byte last_began[DESTS], last_ended[DESTS], retry_at[DESTS];

bool dying[HOSTS], resting[HOSTS], poked[HOSTS];
byte kills, fails, slows, lazies, aways, spares, logins;

inline poke_all()
{
	poked[0] = true;
#if HOSTS > 1
	poked[1] = true
#endif
}

/* ---- What the relay's functions look at ---- */

#define stamp_now LATER(now * STAMPS, last[me])
#define target_time(d) LATER(not_before[D(d)], (began[D(d)] != 0 -> began[D(d)] + INTERVAL * STAMPS : 0))
#define is_pair_due(u, d) (owed[P(u, d)] && due[P(u, d)] <= stamp_now)
#if USERS == 1
#define is_due(d) is_pair_due(0, d)
#elif USERS == 2
#define is_due(d) (is_pair_due(0, d) || is_pair_due(1, d))
#else
#define is_due(d) (is_pair_due(0, d) || is_pair_due(1, d) || is_pair_due(2, d))
#endif
#define is_news_of(u, d) (used[U(u)] && ROUTED(u, d) && due_last[U(u)] > filed[D(d)])
#if USERS == 1
#define is_news(d) is_news_of(0, d)
#elif USERS == 2
#define is_news(d) (is_news_of(0, d) || is_news_of(1, d))
#else
#define is_news(d) (is_news_of(0, d) || is_news_of(1, d) || is_news_of(2, d))
#endif
#if DESTS == 1
#define owes_any(u) owed[P(u, 0)]
#define is_any_slow is_slow(0)
#define busy_count busy[D(0)]
#define busy_unproven (busy[D(0)] && !proven[D(0)])
#elif DESTS == 2
#define owes_any(u) (owed[P(u, 0)] || owed[P(u, 1)])
#define is_any_slow (is_slow(0) || is_slow(1))
#define busy_count (busy[D(0)] + busy[D(1)])
#define busy_unproven ((busy[D(0)] && !proven[D(0)]) + (busy[D(1)] && !proven[D(1)]))
#else
#define owes_any(u) (owed[P(u, 0)] || owed[P(u, 1)] || owed[P(u, 2)])
#define is_any_slow (is_slow(0) || is_slow(1) || is_slow(2))
#define busy_count (busy[D(0)] + busy[D(1)] + busy[D(2)])
#define busy_unproven ((busy[D(0)] && !proven[D(0)]) + (busy[D(1)] && !proven[D(1)]) + (busy[D(2)] && !proven[D(2)]))
#endif
#define has_place(d) (busy_count < MOST && (proven[D(d)] || busy_unproven < (MOST + 1) / 2))
#define is_pickable(d) (!busy[D(d)] && is_due(d) && target_time(d) <= stamp_now && has_place(d))
#define is_over(d) (connection[D(d)] == OPEN && now >= until[D(d)])
#define may_expire(u) (used[U(u)] && noted[U(u)] + KEEP * STAMPS <= stamp_now)

inline stamp_next()
{
	last[me] = LATER(now * STAMPS, last[me] + 1);
	assert(last[me] / STAMPS == now && last[me] < 250) /* the bounds are too small */
}

/* All of the user's pairs are settled? Then the addressee goes. */
inline addressee_settle(u)
{
	if
	:: used[U(u)] && is_routed[U(u)] && !owes_any(u) ->
		used[U(u)] = false; is_routed[U(u)] = false; noted[U(u)] = 0; due_first[U(u)] = 0; due_last[U(u)] = 0
	:: else
	fi
}

/* owed_open() */
inline relay_open()
{
	last[me] = now * STAMPS;
	for (u : 0 .. USERS - 1) {
		last[me] = LATER(last[me], noted[U(u)]);
		is_routed[U(u)] = false;
		for (d : 0 .. DESTS - 1) { owed[P(u, d)] = false; due[P(u, d)] = 0 }
	};
	for (d : 0 .. DESTS - 1) {
		began[D(d)] = (is_busy[D(d)] -> LATER(began[D(d)], now * STAMPS) : began[D(d)]);
		is_busy[D(d)] = false;
		last[me] = LATER(last[me], began[D(d)]);
		busy[D(d)] = false; not_before[D(d)] = 0; began_at[D(d)] = 0; covers[D(d)] = 0;
		connection[D(d)] = CLOSED; until[D(d)] = 0; carries[D(d)] = 0;
		proven[D(d)] = covered[D(d)] != 0 && !failures[D(d)]
	};
	u = 0; d = 0; i = 0; stamp = 0; resting[me] = false
}

proctype relay(byte me)
{
	byte u, d, i, stamp;

life:	{
		atomic { relay_open() };
		/* inbox_read_left(): when a login was read may not be known. */
		atomic { if :: slot[me] != NOTHING -> goto letter :: else fi };

loop:		atomic {
			if
			/* inbox_receive(): the clock is read before. */
#define RECEIVE(n) \
			:: mail[U(n)] > 0 -> mail[U(n)]--; slot[me] = MAIL; slot_user[me] = n; goto letter \
			:: early[U(n)] > 0 -> early[U(n)]--; slot[me] = MAIL_EARLY; slot_user[me] = n; goto letter \
			:: login[U(n)] > 0 -> login[U(n)]--; slot[me] = LOGIN; slot_user[me] = n; slot_read[me] = now; goto letter
			RECEIVE(0)
#if USERS > 1
			RECEIVE(1)
#endif
#if USERS > 2
			RECEIVE(2)
#endif
#define ROUTE(n) :: used[U(n)] && !is_routed[U(n)] -> u = n; goto route
			ROUTE(0)
#if USERS > 1
			ROUTE(1)
#endif
#if USERS > 2
			ROUTE(2)
#endif
#define EXPIRE(n) :: may_expire(n) -> u = n; goto expire
			EXPIRE(0)
#if USERS > 1
			EXPIRE(1)
#endif
#if USERS > 2
			EXPIRE(2)
#endif
#if DESTS == 1
#define yields(n) false
#elif DESTS == 2
#define yields(n) (!proven[D(n)] && proven[D(1 - n)] && is_pickable(1 - n))
#else
#define yields(n) (!proven[D(n)] && ((proven[D(0)] && is_pickable(0)) || (proven[D(1)] && is_pickable(1)) || (proven[D(2)] && is_pickable(2))))
#endif
#define SEND(n) \
			:: is_pickable(n) && !yields(n) -> d = n; goto pick \
			:: connection[D(n)] == CLAIMED -> d = n; goto begin \
			:: connection[D(n)] == ACKED -> d = n; goto done \
			:: connection[D(n)] == REFUSED || is_over(n) -> d = n; goto failed
			SEND(0)
#if DESTS > 1
			SEND(1)
#endif
#if DESTS > 2
			SEND(2)
#endif
			:: else -> resting[me] = true
			fi
		};
end:		atomic { poked[me] -> poked[me] = false; resting[me] = false; goto loop };

/* ---- owed_note(), owed_login() ---- */

letter:		atomic {
			u = slot_user[me];
			if
			:: slot[me] == LOGIN -> goto check_mail
			:: else
			fi;
			stamp_next();
			stamp = last[me] + SETTLED(slot[me] == MAIL_EARLY);
			if
			:: used[U(u)] -> goto again
			:: else
			fi;
			/* addressee_make() */
			noted[U(u)] = last[me]; due_first[U(u)] = stamp; due_last[U(u)] = stamp;
			used[U(u)] = true;
			goto is_noted
		};
again:		due_last[U(u)] = LATER(due_last[U(u)], stamp);
		due_first[U(u)] = EARLIER(due_first[U(u)], stamp);
		atomic {
			noted[U(u)] = last[me];
			for (d : 0 .. DESTS - 1) {
				if
				:: is_routed[U(u)] && ROUTED(u, d) ->
					due[P(u, d)] = (owed[P(u, d)] -> EARLIER(due[P(u, d)], stamp) : stamp);
					owed[P(u, d)] = true
				:: else
				fi
			};
			d = 0
		};
		goto is_noted;
check_mail:	atomic {
			if
			:: used[U(u)] && is_routed[U(u)] && noted[U(u)] + SETTLE * STAMPS <= slot_read[me] * STAMPS ->
				for (d : 0 .. DESTS - 1) { owed[P(u, d)] = false; due[P(u, d)] = 0 };
				d = 0;
				addressee_settle(u)
			:: else
			fi
		};
/* slot_empty() */
is_noted:	atomic { slot[me] = NOTHING; slot_user[me] = 0; slot_read[me] = 0; u = 0; stamp = 0; goto loop };

/* ---- owed_route_add() ---- */

route:		atomic {
			is_routed[U(u)] = true;
			for (d : 0 .. DESTS - 1) {
				if
				:: ROUTED(u, d) && due_last[U(u)] > covered[D(d)] ->
					owed[P(u, d)] = true;
					due[P(u, d)] = LATER(due_first[U(u)], covered[D(d)] + 1)
				:: else
				fi
			};
			d = 0;
			addressee_settle(u);
			u = 0; goto loop
		};

/* ---- owed_expire() ---- */

expire:		atomic {
			for (d : 0 .. DESTS - 1) {
				for (i : 0 .. EVENTS - 1) {
					if
					:: i < given && i % USERS == u && handed[i] + KEEP <= now -> unmet[d] = unmet[d] & ~(1 << i)
					:: else
					fi
				};
				i = 0;
				owed[P(u, d)] = false; due[P(u, d)] = 0
			};
			d = 0;
			is_routed[U(u)] = true;
			addressee_settle(u);
			u = 0; goto loop
		};

/* ---- begin() of telling.c, and before that tell(), claim(), claimed() ---- */

pick:		atomic { busy[D(d)] = true };
#if HOSTS > 1
		atomic {
			if
			:: is_away -> connection[D(d)] = CLAIMED
			:: !is_away && claim[d] <= now -> claim[d] = now + TIMEOUT + INTERVAL; connection[D(d)] = CLAIMED
			:: else ->
				not_before[D(d)] = LATER(not_before[D(d)], EARLIER(claim[d], now + INTERVAL) * STAMPS);
				busy[D(d)] = false
			fi;
			d = 0; goto loop
		};
#endif
/* owed_begins() */
begin:		atomic { stamp_next(); began_at[D(d)] = now; covers[D(d)] = last[me] };
		is_busy[D(d)] = true;
		began[D(d)] = covers[D(d)];
		atomic {
			/* connect(2) */
			assert(connection[D(d)] < OPEN); /* S2 */
#if HOSTS > 1
			assert(aways > 0 || connection[d] < OPEN); /* S2, both hosts */
			assert(aways > 0 || connection[DESTS + d] < OPEN); /* S2, both hosts */
			assert(aways > 0 || last_began[d] == 0 || now >= last_began[d] + INTERVAL); /* S2, both hosts */
#else
			assert(last_began[d] == 0 || now >= last_began[d] + INTERVAL); /* S2 */
#endif
			assert(is_news(d)); /* told once */
			last_began[d] = now;
			carries[D(d)] = 0;
			for (i : 0 .. EVENTS - 1) {
				if
				:: i < given && visible[i] <= now -> carries[D(d)] = carries[D(d)] | (1 << i)
				:: else
				fi
			};
			i = 0;
			connection[D(d)] = OPEN; until[D(d)] = began_at[D(d)] + TIMEOUT
		};
		/* owed_has_begun() */
		atomic { stamp_next(); began_at[D(d)] = now; began[D(d)] = last[me]; d = 0; goto loop };

/* ---- release(), owed_done(), owed_failed() ---- */

/* A file says it: it must not be told again. */
#define FILED filed[D(d)] = covers[D(d)]
done:		atomic { connection[D(d)] = CLOSED; until[D(d)] = 0; carries[D(d)] = 0; last_ended[d] = now };
#if HOSTS > 1
		atomic { if :: !is_away -> claim[d] = EARLIER(claim[d], LATER(now, began_at[D(d)] + INTERVAL)) :: else fi };
#endif
		atomic { covered[D(d)] = covers[D(d)]; FILED };
		atomic { failures[D(d)] = false; not_before[D(d)] = 0; u = 0; goto cover };
/* cover() */
cover:		atomic {
			if
			:: u == USERS -> u = 0; goto covered_all
			:: u < USERS && owed[P(u, d)] && due_last[U(u)] > covers[D(d)] -> due[P(u, d)] = LATER(due[P(u, d)], covers[D(d)] + 1)
			:: u < USERS && owed[P(u, d)] && due_last[U(u)] <= covers[D(d)] ->
				owed[P(u, d)] = false; due[P(u, d)] = 0;
				addressee_settle(u);
				FILED
			:: else
			fi;
			u++; goto cover
		};
covered_all:	is_busy[D(d)] = false;
		atomic {
			proven[D(d)] = true; busy[D(d)] = false; began_at[D(d)] = 0; covers[D(d)] = 0;
			d = 0; goto loop
		};
failed:		atomic { connection[D(d)] = CLOSED; until[D(d)] = 0; carries[D(d)] = 0; last_ended[d] = now };
#if HOSTS > 1
		atomic { if :: !is_away -> claim[d] = EARLIER(claim[d], LATER(now, began_at[D(d)] + INTERVAL)) :: else fi };
#endif
		failures[D(d)] = true;
		is_busy[D(d)] = false;
		atomic {
			not_before[D(d)] = stamp_now + RETRY * STAMPS;
			retry_at[d] = now + RETRY;
			proven[D(d)] = false; busy[D(d)] = false; began_at[D(d)] = 0; covers[D(d)] = 0;
			d = 0; goto loop
		}
	} unless { dying[me] };
	atomic {
		/* The kernel closes its connections; the rest is relay_open()'s. */
		dying[me] = false;
		connection[D(0)] = CLOSED;
#if DESTS > 1
		connection[D(1)] = CLOSED;
#endif
#if DESTS > 2
		connection[D(2)] = CLOSED;
#endif
		goto life
	}
}

/* ---- The clock ---- */

#if HOSTS > 1
#define all_rest (resting[0] && resting[1] && !poked[0] && !poked[1])
#define is_used (used[0] || used[USERS] || (USERS > 1 && (used[USERS - 1] || used[2 * USERS - 1])))
#define is_dying (dying[0] || dying[1])
#define written(d) LATER(began[d], began[DESTS + d])
#define any_open(d) (connection[d] >= OPEN || connection[DESTS + d] >= OPEN)
#define half_is_dead(d) false
#else
#define all_rest (resting[0] && !poked[0])
#define is_used (used[0] || used[USERS - 1] || (USERS > 2 && used[1]))
#define is_dying dying[0]
#define written(d) began[d]
#define any_open(d) (connection[d] >= OPEN)
#define half_is_dead(d) (!proven[d] && busy_unproven >= (MOST + 1) / 2)
#endif
#define is_live(d) ((DEAD & (1 << (d))) == 0)
#define is_slow(d) (is_live(d) && any_open(d))

/* A stamp lies within its moment: what is due by one is, if it has begun. */
#define is_due_now(i) (handed[i] == visible[i] || visible[i] < now)

/* Why what is owed to a destination need not have begun by now. Who is killed behind the beginning that he wrote
 * down may not have begun. */
#define has_reason(d) (any_open(d) || now <= last_began[d] + INTERVAL || now <= retry_at[d] || \
	(kills > 0 && now <= written(d) / STAMPS + INTERVAL) || half_is_dead(d) || \
	(HOSTS > 1 && (now <= last_ended[d] + INTERVAL || now <= claim[d] + INTERVAL && claim[d] <= now + TIMEOUT + INTERVAL && kills + aways > 0)))

inline tick()
{
	for (i : 0 .. EVENTS - 1) {
		for (d : 0 .. DESTS - 1) {
			if
			:: i < given && (unmet[d] & (1 << i)) && is_due_now(i) && lazies == 0 ->
#if DEAD > 0
				assert(!is_live(d) || has_reason(d)); /* Fair */
#endif
				assert(has_reason(d)) /* S1, in time */
			:: else
			fi
		}
	};
	i = 0; d = 0;
	now++;
	poke_all()
}

proctype world()
{
	byte i, d, h;
	byte me; /* for the macros: half_is_dead() */

end:	do
	/* Somebody has mail. */
	:: atomic {
		given < EVENTS ->
		h = 0;
#if HOSTS > 1
		if :: h = 0 :: h = 1 fi;
#endif
		handed[given] = now;
		if
		:: mail[h * USERS + given % USERS]++; visible[given] = now
#if EARLY > 0
		:: early[h * USERS + given % USERS]++; visible[given] = now + SETTLE
#endif
		fi;
		for (d : 0 .. DESTS - 1) {
			if
			:: ROUTED(given % USERS, d) -> unmet[d] = unmet[d] | (1 << given)
			:: else
			fi
		};
		given++; poked[h] = true; d = 0; h = 0
	}
#if LOGINS > 0
	/* The first user checks mail: what he can see by now he has seen. */
	:: atomic {
		logins < LOGINS && given > 0 ->
		logins++;
		login[0]++;
		for (d : 0 .. DESTS - 1) {
			for (i : 0 .. EVENTS - 1) {
				if
				:: i < given && i % USERS == 0 && visible[i] <= now -> unmet[d] = unmet[d] & ~(1 << i)
				:: else
				fi
			}
		};
		i = 0; d = 0;
		poked[0] = true
	}
#endif
	/* A destination answers, or does not want to. */
#define ANSWER(n) \
	:: atomic { connection[n] == OPEN && is_live((n) % DESTS) -> connection[n] = ACKED; \
		unmet[(n) % DESTS] = unmet[(n) % DESTS] & ~carries[n]; poked[(n) / DESTS] = true } \
	:: atomic { connection[n] == OPEN && is_live((n) % DESTS) && fails < FAILS -> fails++; \
		connection[n] = REFUSED; poked[(n) / DESTS] = true }
	ANSWER(0)
#if HOSTS * DESTS > 1
	ANSWER(1)
#endif
#if HOSTS * DESTS > 2
	ANSWER(2)
#endif
#if KILLS > 0
	:: atomic { kills < KILLS && !dying[0] -> kills++; dying[0] = true; resting[0] = false }
#if HOSTS > 1
	:: atomic { kills < KILLS && !dying[1] -> kills++; dying[1] = true; resting[1] = false }
#endif
#endif
#if AWAY > 0
	:: atomic { !is_away && aways < AWAY -> is_away = true; aways++ }
	:: atomic { is_away -> is_away = false }
#endif
	/* Somebody is waiting for the time. */
	:: atomic {
		all_rest && (is_used || given < EVENTS || logins < LOGINS) &&
		(is_used || spares < SPARE) && !(is_any_slow && slows == SLOW) ->
		if :: !is_used -> spares++ :: else fi;
		if
		:: is_any_slow -> slows++
		:: else
		fi;
		tick()
	}
#if LAZY > 0
	:: atomic { !all_rest && lazies < LAZY -> lazies++; tick() }
#endif
	:: atomic { given == EVENTS && all_rest && !is_used && !is_dying -> break }
	od
}

init
{
	byte d;

	atomic {
#if DEAD > 0
		/* The others have answered once. */
		for (d : 0 .. DESTS - 1) {
			if
			:: DEAD & (1 << d)
			:: else -> began[d] = 1; covered[d] = 1
			fi
		};
		d = 0;
#endif
		run relay(0);
#if HOSTS > 1
		run relay(1);
#endif
		run world()
	};
	atomic {
		given == EVENTS && all_rest && !is_used && !is_dying ->
		for (d : 0 .. DESTS - 1) {
			assert(unmet[d] == 0) /* S1 */
		}
	}
}
