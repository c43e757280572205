/* SPDX-License-Identifier: ISC */
/*
 * The limiter's cells (src/state/limiter.c): processes of two sources, which share two cells of three,
 * charge them at the same time. A step is one load, one compare-and-swap, or one look at the clock,
 * which may go on between any two. A kill needs no step: nobody waits for anybody here, so a killed
 * process is one that never goes on, and that is checked at every step. Checked: G3 at every charge
 * (each source against the TAT of its own charges alone, so sharing may only delay), that at the
 * moment of a charge every cell of its source counts it, and that no cell is beyond the window.
 *
 * Bounds: TAKERS of the first source, OTHERS of the second, TAKES of each, AHEADS (processes of the
 * first source that charge in advance), TICKS, T, BURST.
 * NO_LEMMA: without the second of these. Interleavings only; what the memory model adds is relacy.cc's matter.
 */
#ifndef TAKERS
#define TAKERS 2
#endif
#ifndef OTHERS
#define OTHERS 1
#endif
#ifndef AHEADS
#define AHEADS 0
#endif
#ifndef TAKES
#define TAKES 1
#endif
#ifndef TICKS
#define TICKS 3
#endif
#ifndef T
#define T 1
#endif
#ifndef BURST
#define BURST 1
#endif
#define TOLERANCE ((BURST - 1) * T)
#define WINDOW ((BURST + 1) * T)
#define BEGIN 10
#define CELLS 3
#define LATEST(a, b) ((a) > (b) -> (a) : (b))
#define EARLIEST(a, b) ((a) < (b) -> (a) : (b))

byte now = BEGIN;
byte cell[4];
byte granted[2]; /* the TAT of the charges that each source really has */

/* limiter_locate(): 0, 1, 2 and 2, 1, 3 */
#define CELL(i) (source == 0 -> (i) : ((i) == 0 -> 2 : ((i) == 1 -> 1 : 3)))
/* cell_read() */
#define READ(w, n) ((w) > (n) && (w) <= (n) + WINDOW -> (w) : (n))
#define counts(i) (cell[CELL(i)] >= to || to <= now)

/* The charge, for `when`. */
inline charged()
{
	assert(when >= LATEST(granted[source], when) - TOLERANCE); /* G3 */
#ifndef NO_LEMMA
	assert(counts(0) && counts(1) && counts(2)); /* G3, no charge is lost */
#endif
	granted[source] = LATEST(granted[source], when) + T
}

proctype charger(byte source; bool ahead)
{
	byte word[CELLS], least, at, to, when, clock, i, takes;

/* tat_read() */
tat_read:
	atomic {
		word[i] = cell[CELL(i)];
		i++;
		if :: i < CELLS -> goto tat_read :: else fi
	};
	atomic {
		when = now;
		least = 0; at = READ(word[0], when);
		if :: READ(word[1], when) < at -> at = READ(word[1], when); least = 1 :: else fi;
		if :: READ(word[2], when) < at -> at = READ(word[2], when); least = 2 :: else fi;
		to = at + T;
		clock = when;
		i = (least == 0 -> 1 : 0);
		if
		/* limiter_take(): it does not conform */
		:: !ahead && when < at - TOLERANCE -> goto next
		/* tat_advance() */
		:: ahead -> to = EARLIEST(to, when + WINDOW); if :: to <= at -> goto next :: else fi
		:: else
		fi
	};
/* tat_move() */
cell_raise:
	atomic {
		if
		:: to <= READ(word[i], clock) -> goto raised
		:: else
		fi;
		if
		:: cell[CELL(i)] == word[i] -> cell[CELL(i)] = to; goto raised
		:: else -> word[i] = cell[CELL(i)]; goto look_again
		fi;
raised:		clock = when;
		i = (i + 1 == least -> i + 2 : i + 1);
		if :: i < CELLS -> goto cell_raise :: else -> i = 0; goto move_least fi
	};
look_again:
	atomic { clock = now; goto cell_raise };
move_least:
	atomic {
		if
		:: cell[CELL(least)] == word[least] ->
			cell[CELL(least)] = to;
			if
			:: !ahead -> charged()
			:: ahead && to == at + T -> when = LATEST(when, at - TOLERANCE); charged()
			:: else
			fi
		:: else -> clock = 0; goto tat_read
		fi
	};
next:	atomic {
		word[0] = 0; word[1] = 0; word[2] = 0;
		least = 0; at = 0; to = 0; when = 0; clock = 0; i = 0;
		takes++;
		if
		:: takes < TAKES -> goto tat_read
		:: else
		fi
	}
}

#define in_window(i) (cell[i] <= now + WINDOW)

proctype clock_goes()
{
end:	do
	:: now < BEGIN + TICKS -> now++
	od
}

proctype watch()
{
end:	do
	:: atomic {
		!(in_window(0) && in_window(1) && in_window(2) && in_window(3)) ->
		assert(false) /* G3, no cell is beyond the window */
	   }
	od
}

init
{
	atomic {
		run charger(0, false);
#if TAKERS > 1
		run charger(0, false);
#endif
#if TAKERS > 2
		run charger(0, false);
#endif
#if OTHERS > 0
		run charger(1, false);
#endif
#if OTHERS > 1
		run charger(1, false);
#endif
#if AHEADS > 0
		run charger(0, true);
#endif
		run watch();
		run clock_goes()
	}
}
