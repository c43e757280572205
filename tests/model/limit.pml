/* SPDX-License-Identifier: ISC */
/*
 * G3 for starts: the turn and the limiter together (src/state/turn.c, src/run/decision.c), without kills. A
 * source's TAT is one word here and a charge one step (cells.pml has the cells). `granted` is the
 * TAT of the starts that really were, against which each is checked: with SOURCES=1 all are that
 * source's; with 2, where one may bring forward a start that the other is charged for, both limits
 * together allow it. With RETRY, a run had failed before, and is owed again at that time: a start
 * then is no source's, but one that a line makes sooner is. It is less than T here: else a line that looks at `due` for
 * as long as a start takes can find the same time in it again, to the tick, and make that start sooner. Abstraction: no time passes between limiter_delay() and turn_start();
 * turn_executed() and another limiter_delay() make up for that.
 *
 * Bounds: HANDLERS, LAZY, SPARE as in turn.pml. OLD_*: the protocol as it was before a fault that
 * this model found; each must be caught.
 */
#ifndef HANDLERS
#define HANDLERS 3
#endif
#ifndef LAZY
#define LAZY 2
#endif
#ifndef SPARE
#define SPARE 1
#endif
#ifndef T
#define T 4
#endif
#ifndef BURST
#define BURST 1
#endif
#ifndef INTERVAL
#define INTERVAL 1
#endif
#define TOLERANCE ((BURST - 1) * T)
#define WINDOW ((BURST + 1) * T)
#define BEGIN 10
#ifndef SOURCES
#define SOURCES 2
#endif
#ifndef RETRY
#define RETRY 0
#endif
#define NONE 15
#define LATEST(a, b) ((a) > (b) -> (a) : (b))
#define EARLIEST(a, b) ((a) < (b) -> (a) : (b))
#if HANDLERS == 2
#define EACH(p) (p(0) && p(1))
#define SOME(p) (p(0) || p(1))
#elif HANDLERS == 3
#define EACH(p) (p(0) && p(1) && p(2))
#define SOME(p) (p(0) || p(1) || p(2))
#elif HANDLERS == 4
#define EACH(p) (p(0) && p(1) && p(2) && p(3))
#define SOME(p) (p(0) || p(1) || p(2) || p(3))
#elif HANDLERS == 5
#define EACH(p) (p(0) && p(1) && p(2) && p(3) && p(4))
#define SOME(p) (p(0) || p(1) || p(2) || p(3) || p(4))
#endif

byte now = BEGIN;
byte due, last_start, starts;
byte tat[2];     /* the limiter's, of each source */
byte granted; /* the TAT of the starts that really were */
byte waiting = NONE, running = NONE;
bool busy[HANDLERS];
byte until[HANDLERS], seen[HANDLERS];
bool sleeping[HANDLERS], locked[HANDLERS], ended[HANDLERS];
byte retry; /* what is owed of the run that failed; 0: nothing any more */
byte hold, lazies, spares, connected;

/* conforms_at() */
inline conform()
{
	at = LATEST(tat[source], now);
	conforms = LATEST(now, at - TOLERANCE)
}

/* limiter_charge_ahead(), tat_advance() */
inline charge_ahead()
{
	conform();
	was = EARLIEST(at + T, now + WINDOW);
	rest = at + T - was;
	if :: was > tat[source] -> tat[source] = was :: else fi;
	was = 0; at = 0
}

proctype handler(byte me)
{
	byte was, at, allowed, generation, conforms, source, rest;
	bool charged;

	atomic {
		connected == me;
		connected++;
		busy[me] = true;
#if SOURCES > 1
		if :: source = 0 :: source = 1 fi;
#endif
#ifndef OLD_GENERATION
		generation = starts /* turn_note() */
#endif
	};
	/* limiter_take() */
	atomic {
		conform();
		allowed = conforms;
		if
		:: conforms == now -> tat[source] = at + T; charged = true
		:: else
		fi;
		at = 0; conforms = 0
	};
	/* turn_join() */
join:	atomic { was = 0; if :: waiting == NONE -> waiting = me; goto got :: else -> goto taken fi };
got:	/* is_overtaken() */
#ifndef OLD_GENERATION
	atomic { if :: starts != generation -> goto leave :: else -> generation = 0 fi };
#endif
	/* become_waiter() */
	atomic {
		was = due; /* the last of its compare-and-swaps */
		assert((was == 0 || retry != 0)); /* no kill, no debt */
		due = (was == 0 -> allowed : EARLIEST(allowed, LATEST(was, now)))
	};
	/* settle(), limiter_charge_ahead() */
	atomic {
		if
#ifdef OLD_RETRY
		:: !charged && was == 0 -> charge_ahead(); charged = true; conforms = 0
#else
		:: !charged -> charge_ahead(); charged = true; conforms = 0
#endif
		:: else
		fi;
#ifdef OLD_REST
		rest = 0
#endif
	};
	goto wait;
leave:	waiting = NONE; goto finished;
taken:	atomic { was = due; if :: was == 0 -> goto look :: was != 0 && was <= allowed -> goto finished :: else fi };
#ifndef OLD_GENERATION
	atomic { if :: starts != generation -> goto finished :: else fi };
#endif
	atomic { if :: due == was -> due = allowed; goto finished :: else -> was = 0; goto join fi };
look:	atomic { due != 0 || waiting == NONE -> goto join };
	/* turn_wait() */
wait:	atomic { locked[me] = true; busy[me] = false };
	atomic { running == NONE -> running = me; locked[me] = false; busy[me] = true };
	/* start_time(), sleep_until_due() */
time:	atomic {
		was = due;
		at = LATEST(was, (last_start == 0 -> 0 : last_start + INTERVAL));
		if
		:: at <= now -> was = 0; at = 0; hold++; goto delay
		:: else -> until[me] = at; seen[me] = was; sleeping[me] = true; busy[me] = false; was = 0; at = 0
		fi
	};
	atomic { due != seen[me] || now >= until[me] -> sleeping[me] = false; busy[me] = true; until[me] = 0; seen[me] = 0; goto time };
	/* charge_late(), limiter_delay() */
delay:	atomic {
		at = LATEST(tat[source], now);
		rest = rest + (now > allowed -> now - allowed : 0);
		was = EARLIEST(at + rest, now + BURST * T);
		if :: rest != 0 && was > at -> tat[source] = was :: else fi;
		at = 0; was = 0; rest = 0; allowed = 0; charged = false
	};
	/* turn_start() */
	atomic {
		if
		:: retry != 0 && due == retry
		:: else ->
			at = LATEST(granted, now);
			assert(now >= at - (SOURCES * BURST - 1) * T / SOURCES); /* G3 */
			granted = at + T / SOURCES;
			at = 0
		fi;
		retry = 0;
		last_start = now;
		hold--
	};
	due = 0;
#ifndef OLD_GENERATION
	starts++;
#endif
	waiting = NONE;
	busy[me] = false;
	/* turn_ended() */
	running = NONE;
finished:
	atomic { busy[me] = false; ended[me] = true; was = 0; allowed = 0; generation = 0; conforms = 0; source = 0; charged = false; rest = 0 }
}

#define stuck(i) (!busy[i] && !(locked[i] && running == NONE) && !(sleeping[i] && (due != seen[i] || now >= until[i])))
#define sleeps(i) sleeping[i]
#define is_over(i) ended[i]

proctype clock()
{
end:	do
	:: atomic { !EACH(is_over) && hold == 0 && EACH(stuck) && SOME(sleeps) -> now++ }
	:: atomic { !EACH(is_over) && hold == 0 && EACH(stuck) && !SOME(sleeps) && spares < SPARE -> spares++; now++ }
#if LAZY > 0
	:: atomic { !EACH(is_over) && hold == 0 && !EACH(stuck) && lazies < LAZY -> lazies++; now++ }
#endif
	od
}
init
{
	atomic {
		if :: tat[0] = 0 :: tat[0] = BEGIN + BURST * T :: tat[0] = BEGIN + BURST * T - 2 fi;
#if SOURCES > 1
		if :: tat[1] = 0 :: tat[1] = BEGIN + BURST * T :: tat[1] = BEGIN + BURST * T - 2 fi;
#endif
		granted = BEGIN + ((tat[0] > 0 -> tat[0] - BEGIN : 0) + (tat[1] > 0 -> tat[1] - BEGIN : 0)) / SOURCES;
#if RETRY > 0
		retry = BEGIN + RETRY; due = retry;
#endif
		run handler(0); run handler(1);
#if HANDLERS > 2
		run handler(2);
#endif
#if HANDLERS > 3
		run handler(3);
#endif
#if HANDLERS > 4
		run handler(4);
#endif
		run clock()
	}
}
