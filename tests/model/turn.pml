/* SPDX-License-Identifier: ISC */
/*
 * The turn (src/state/turn.c, src/run/decision.c, src/run/waiter.c, src/run/action.c): handlers with one connection each, their
 * actions, the kernel's part, a killer, a clock, and one last connection, malformed, that must find
 * and pay whatever dead processes owe.
 *
 * A step is one operation on a word of the state file, one fcntl(2), or one thing that the kernel
 * does; between any two, any other process may run, or this one be killed. Checked: G1 (in init,
 * and in clock: nobody waits when he need not), G2 (at execve), G5 (init is reached, whoever was
 * killed), and that without a kill nothing starts that no line asked for.
 *
 * Abstractions. Time: the clock goes on when nothing else can, and LAZY times at any other moment;
 * G1's "in time" is judged only while it has not (a slow process is late by itself). A limit is one
 * moment at which a source conforms (limit.pml has the rest). A wake-up is the waiter's seeing the
 * word; poll's and futex's timeouts never matter here, but for LOOK_AGAIN: a process may give up
 * STOPS times at any moment, as if the waiter were stopped. A killed process is a step (its
 * descriptors are closed) and a later one (its child hears of it). Reading a word and then the
 * clock is one step: later readings of the same word are no later than the clock. `due` is never
 * damaged here, so `latest` and `reach` are not modelled.
 *
 * With RETRIES, so many runs fail, and so does one whose process is killed; each is owed again
 * RETRY later. Checked of that, too: it is never forgotten (in init), comes in time (in clock), and
 * not before, unless a line has asked for a start (in turn_start). Doubling is left out.
 *
 * Bounds: HANDLERS, KILLS, STOPS, LAZY, SPARE (ticks while nobody sleeps), RETRIES. OLD_*: the protocol as it
 * was before a fault that this model found; each must be caught.
 */
#ifndef HANDLERS
#define HANDLERS 3
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef LAZY
#define LAZY 0
#endif
#ifndef SPARE
#define SPARE 1
#endif
#ifndef RETRIES
#define RETRIES 0
#endif
#ifndef RETRY
#define RETRY 3
#endif
#ifndef DEFER
#define DEFER 3
#endif
#ifndef INTERVAL
#define INTERVAL 2
#endif

#define ALL   (HANDLERS + 1)
#define PAYER HANDLERS
#if HANDLERS == 2
#define EACH(p) (p(0) && p(1))
#define SOME(p) (p(0) || p(1))
#elif HANDLERS == 3
#define EACH(p) (p(0) && p(1) && p(2))
#define SOME(p) (p(0) || p(1) || p(2))
#elif HANDLERS == 4
#define EACH(p) (p(0) && p(1) && p(2) && p(3))
#define SOME(p) (p(0) || p(1) || p(2) || p(3))
#endif

#define NONE 15
#define WORD(t) ((t) + 1)
#define MOMENT(w) ((w) - 1)
#define LATEST(a, b) ((a) > (b) -> (a) : (b))
#define EARLIEST(a, b) ((a) < (b) -> (a) : (b))

byte now;

/* struct state */
byte due, last_start, owed, action, starts;

/* The turn file. */
byte waiting = NONE, running = NONE, retrying = NONE;
byte descriptors[ALL];

#define ALIVE  0
#define KILLED 1
#define GONE   2
byte life[ALL];

#define UNBORN   0
#define FORKED   1
#define EXECUTED 2
#define EXITED   3
#define SLAIN    4
byte child[ALL];
bool deathsig[ALL], said[ALL], executed[ALL];
#define child_is_there(i) (child[i] == FORKED || child[i] == EXECUTED)

#define NOWHERE        0
#define FOR_CONNECTION 1
#define FOR_LOCK       2
#define FOR_ORPHAN     3
#define FOR_TIME       4
#define FOR_CHILD      5
#define FOR_WAITER     6
byte wait[ALL], seen[ALL], until[ALL];

byte kills, stops, lazies, spares, runs, last_exec, connected;
bool pay, for_line;
byte fails, failed_at;
byte put_off_to; /* what could not be executed, with all its lines */
bool failed[ALL], is_wanted; /* a retry; from failed_at + RETRY on */
bool duty[ALL], arrived[ALL];
byte may[ALL];
#define no_harm (kills == 0 && stops == 0)
#define is_unserved(i) (duty[i] && arrived[i])

inline note_covered()
{
	duty[me] = true;
	may[me] = (arrived[me] -> allowed : 0)
}

inline descriptor_close(d)
{
	descriptors[d]--;
	if
	:: descriptors[d] == 0 ->
		if :: waiting == d -> waiting = NONE :: else fi;
		if :: running == d -> running = NONE :: else fi;
		if :: retrying == d -> retrying = NONE :: else fi
	:: else
	fi
}

#if RETRIES > 0
#define run_failed(c) failed[c] = true; is_wanted = true; failed_at = now
#else
#define run_failed(c) skip
#endif

inline slay(c)
{
	if
	:: child[c] == EXECUTED -> runs--; run_failed(c)
	:: else -> descriptor_close(c)
	fi;
	child[c] = SLAIN
}

#define served(i) arrived[i] = false; may[i] = 0

proctype action_child(byte me)
{
end:	child[me] == FORKED || (RETRIES > 0 && child[me] == SLAIN);
	{
		deathsig[me] = true; /* prctl() */
		if
		:: atomic { life[me] == GONE -> descriptor_close(me); child[me] = EXITED }
		:: life[me] != GONE ->
			action = me + 1; /* turn_action_is() */
#ifdef OLD_EXECUTED
			said[me] = true;
#endif
			atomic {
				/* execve() */
				assert(runs == 0); /* G2 */
				assert(last_exec == 0 || now >= MOMENT(last_exec) + INTERVAL); /* G2 */
				last_exec = WORD(now);
				runs++;
				descriptor_close(me);
				child[me] = EXECUTED;
				executed[me] = true; /* its exit signal: child_has_executed() */
				is_wanted = false; failed_at = 0;
				served(0); served(1);
#if HANDLERS > 2
				served(2);
#endif
#if HANDLERS > 3
				served(3);
#endif
			};
			atomic {
				runs--; child[me] = EXITED;
#if RETRIES > 0
				if
				:: fails < RETRIES -> fails++; run_failed(me)
				:: true
				fi
#endif
			}
		fi
	} unless { child[me] == SLAIN };
#if RETRIES > 0
	atomic { deathsig[me] = false; child[me] = UNBORN; goto end }
#endif
}

#define start_time LATEST((was == 0 || is_owed_now -> now : MOMENT(was)), \
	(last_start == 0 -> 0 : MOMENT(last_start) + INTERVAL))
#ifndef OLD_OWED_TIME
#define is_owed_now (owed != 0)
#else
#define is_owed_now false
#endif
#ifndef OLD_EXECUTED
#define has_executed(i) executed[i]
#else
#define has_executed(i) said[i]
#endif

inline forget()
{
	was = 0; at = 0; allowed = 0; generation = 0; conforms = 0; has_line = false; again = false
}

#define debt LATEST(MOMENT(was), now) /* due_read() */
#define owes (was == 0 -> (has_line -> allowed : now) : (has_line -> EARLIEST(allowed, debt) : debt))

proctype handler(byte me)
{
	byte was, at, allowed, generation, conforms;
	bool has_line, again;
	{
		wait[me] = FOR_CONNECTION;
		atomic {
			(me == PAYER -> pay : connected == me);
			wait[me] = NOWHERE;
			connected++;
			descriptors[me] = 1;
			arrived[me] = me != PAYER;
			if
			:: conforms = now
			:: me != PAYER -> conforms = now + DEFER
			:: me != PAYER -> conforms = now + 1
			fi;
			allowed = conforms /* decision_is_covered(): limiter_peek() */
		};
/* turn_is_covered() */
is_covered:	atomic {
			was = due;
			if
			:: was != 0 && was <= WORD(allowed) -> goto probe
			:: else -> goto read_line
			fi
		};
probe:		atomic {
			if
			:: waiting != NONE -> goto probe_again
			:: else -> goto read_line
			fi
		};
probe_again:	atomic {
			was = due;
			if
			:: was != 0 && was <= WORD(allowed) -> note_covered(); goto finished
			:: else -> goto read_line
			fi
		};
read_line:	atomic {
			was = 0;
			if
			:: me != PAYER -> has_line = true; arrived[me] = true; goto note
			:: arrived[me] = false; conforms = 0; allowed = 0; goto find_due
			fi
		};
/* decision_line(): turn_note(), limiter_take() */
note:
#ifndef OLD_GENERATION
		generation = starts;
#endif
		atomic { allowed = LATEST(now, conforms); conforms = 0; goto join };
/* turn_has_debt() */
find_due:	atomic {
			if
			:: due != 0 -> goto find_waiting
			:: else -> goto find_owed
			fi
		};
find_waiting:	atomic {
			if
			:: waiting == NONE -> goto find_retrying
			:: else -> goto find_owed
			fi
		};
find_retrying:	atomic {
			if
			:: retrying == NONE -> goto join
			:: else -> goto find_owed
			fi
		};
/* has_unfinished_start() */
find_owed:	atomic {
			if
			:: owed != 0 -> goto find_running
			:: else -> goto finished
			fi
		};
find_running:	atomic {
			if
			:: running == NONE -> goto find_again
			:: else -> goto finished
			fi
		};
find_again:	atomic {
			if
			:: owed != 0 -> goto join
			:: else -> goto finished
			fi
		};
/* turn_join() */
join:		atomic {
			if
			:: waiting == NONE -> waiting = me; goto got_waiting
			:: waiting != NONE && has_line -> goto taken
			:: else -> goto finished
			fi
		};
/* is_overtaken() */
got_waiting:
#ifndef OLD_GENERATION
		atomic {
			if
			:: has_line && starts != generation -> has_line = false; note_covered(); allowed = 0
			:: else
			fi;
			generation = 0
		};
#endif
/* become_waiter() */
		atomic {
			was = due;
			at = owes;
#ifndef OLD_ORPHAN
			if
			:: !has_line && was == 0 -> goto debt_owed
			:: else
			fi
#endif
		};
		goto become;
/* has_unfinished_start() */
debt_owed:	atomic { if :: owed != 0 -> goto debt_running :: else -> goto no_debt fi };
debt_running:	atomic { if :: running == NONE -> goto debt_again :: else -> goto no_debt fi };
debt_again:	atomic { if :: owed != 0 -> goto become :: else -> goto no_debt fi };
no_debt:
#if RETRIES > 0
		atomic { waiting = NONE; if :: retrying == me -> goto retry_time :: else -> goto finished fi };
#else
		atomic { waiting = NONE; goto finished };
#endif
become:		atomic {
			if
			:: due == was ->
				due = WORD(at); at = 0; was = 0;
				if :: has_line -> note_covered(); for_line = true :: else fi;
				has_line = false; allowed = 0;
				goto ready
			:: else -> was = due; at = owes; goto become
			fi
		};
taken:		atomic {
			was = due;
			if
			:: was == 0 -> goto look_again
			:: was != 0 && was <= WORD(allowed) -> note_covered(); goto finished
			:: else
			fi
		};
#ifndef OLD_GENERATION
		atomic {
			if
			:: starts != generation -> note_covered(); goto finished
			:: else
			fi
		};
#endif
		atomic {
			if
			:: due == was -> due = WORD(allowed); for_line = true; note_covered(); goto finished
			:: else -> was = 0; goto join
			fi
		};
look_again:	if
		:: atomic { due != 0 || waiting == NONE -> goto join }
		:: atomic { stops < STOPS -> stops++;
#ifdef OLD_GIVE_UP
				note_covered(); goto finished
#endif
		   }
		fi;
/* turn_owe() */
		was = due;
owe:		atomic {
			if
			:: was != 0 && was <= WORD(allowed) -> note_covered(); goto finished
			:: else
			fi;
			if
			:: due == was -> due = WORD(allowed); for_line = true; note_covered(); goto finished
			:: else -> was = due; goto owe
			fi
		};
/* turn_ready() or turn_wait() */
ready:
#if RETRIES > 0
		atomic { if :: retrying == me -> retrying = NONE :: else fi };
#endif
		wait[me] = FOR_LOCK;
		atomic { running == NONE -> running = me; wait[me] = NOWHERE };
/* await_orphaned_action() */
		atomic {
			was = action;
			if
			:: was == 0 -> goto time
			:: else
			fi
		};
#ifndef OLD_LAST_START
		if
		:: atomic { owed != 0 -> at = WORD(now) };
			atomic { last_start = at; at = 0 }
		:: owed == 0
		fi;
#endif
		wait[me] = FOR_ORPHAN;
		atomic { !child_is_there(was - 1) -> wait[me] = NOWHERE; was = 0 };
		action = 0;
/* start_time(), sleep_until_due() */
time:		atomic {
			was = due;
			at = start_time;
			if
			:: at <= now -> was = 0; at = 0; goto start
			:: else -> until[me] = at; seen[me] = was; wait[me] = FOR_TIME; was = 0; at = 0
			fi
		};
		atomic { due != seen[me] || now >= until[me] -> wait[me] = NOWHERE; until[me] = 0; seen[me] = 0; goto time };
/* turn_start() */
start:		at = WORD(now);
		atomic { last_start = at; at = 0 };
		owed = 1;
		atomic {
			assert(for_line || !no_harm || (is_wanted && now >= failed_at + RETRY)); /* asked for */
			for_line = false; due = 0
		};
#ifndef OLD_GENERATION
		starts++;
#endif
		waiting = NONE;
/* child_start() */
		atomic { child[me] == UNBORN -> descriptors[me]++; child[me] = FORKED };
		child[me] != FORKED;
/* child_has_executed() */
		if
		:: has_executed(me) -> goto is_executed
#if RETRIES > 0
		:: else -> atomic { put_off_to = now + RETRY; goto owe_again }
#else
		:: else -> goto ended
#endif
		fi;
/* decision_executed(), turn_executed() */
is_executed:	at = WORD(now);
		atomic { last_start = at; at = 0 };
#if RETRIES == 0 || defined(OLD_RETRY)
		owed = 0;
#endif
/* action_supervise() */
		wait[me] = FOR_CHILD;
		atomic { !child_is_there(me) -> wait[me] = NOWHERE };
#if RETRIES > 0
/* turn_note_end() */
		if
		:: atomic { failed[me] -> failed[me] = false; executed[me] = false; goto owe_again }
		:: atomic { !failed[me] -> executed[me] = false };
			owed = 0;
			goto ended
		fi;
/* owe_again(), turn_owe() */
owe_again:	was = due;
owe_retry:	atomic {
			if
			:: was != 0 && was <= WORD(now + RETRY) -> goto owed_again
			:: else
			fi;
			if
			:: due == was -> due = WORD(now + RETRY); goto owed_again
			:: else -> was = due; goto owe_retry
			fi
		};
owed_again:	atomic { again = true; was = 0 };
		owed = 0;
#endif
/* turn_ended() */
ended:		action = 0;
		running = NONE;
#if RETRIES > 0
/* turn_await_retry() */
		atomic { if :: !again -> goto finished :: else -> again = false fi };
retry:		atomic { if :: due == 0 -> goto finished :: else fi };
		atomic { if :: retrying == NONE -> retrying = me :: else -> goto finished fi };
/* sleep_for_retry() */
retry_time:	atomic {
			if
			:: due == 0 -> goto retry_over
			:: due != 0 && now >= MOMENT(due) -> goto retry_join
			:: else -> until[me] = MOMENT(due); seen[me] = due; wait[me] = FOR_TIME
			fi
		};
		atomic { due != seen[me] || now >= until[me] -> wait[me] = NOWHERE; until[me] = 0; seen[me] = 0; goto retry_time };
retry_join:	atomic {
			if
			:: waiting == NONE -> waiting = me; goto got_waiting
			:: else -> seen[me] = due; wait[me] = FOR_WAITER
			fi
		};
		atomic { due != seen[me] || waiting == NONE -> wait[me] = NOWHERE; seen[me] = 0; goto retry_time };
retry_over:	atomic { retrying = NONE; goto retry };
#endif
finished:
		atomic { if :: retrying == me -> retrying = NONE :: else fi; descriptors[me] = 0; life[me] = GONE; forget() }
	} unless { life[me] == KILLED };
	atomic {
		if
		:: life[me] == KILLED ->
			/* The kernel, exit_notify() */
			wait[me] = NOWHERE; until[me] = 0; seen[me] = 0;
			forget();
			life[me] = GONE;
			if
			:: deathsig[me] && child_is_there(me) -> slay(me)
			:: else
			fi
		:: else
		fi;
		deathsig[me] = false; executed[me] = false; said[me] = false; failed[me] = false
	}
}

#define is_quiet(i) (life[i] == GONE && !child_is_there(i))

proctype killer()
{
	byte v;
end:	do
	:: atomic {
		kills < KILLS;
		if
		:: v = 0 :: v = 1
#if HANDLERS > 2
		:: v = 2
#endif
#if HANDLERS > 3
		:: v = 3
#endif
		fi;
		if
		:: life[v] == ALIVE && connected > v ->
			kills++;
			life[v] = KILLED;
			descriptor_close(v)
		:: child_is_there(v) ->
			kills++;
			slay(v)
		:: else
		fi;
		v = 0
	   }
	od
}

#define blocked(i) (child[i] != FORKED && (life[i] == GONE || wait[i] == FOR_CONNECTION || \
	(wait[i] == FOR_LOCK && running != NONE) || \
	(wait[i] == FOR_ORPHAN && action != 0 && child_is_there(action - 1)) || \
	(wait[i] == FOR_TIME && due == seen[i] && now < until[i]) || \
	(wait[i] == FOR_WAITER && due == seen[i] && waiting != NONE) || \
	(wait[i] == FOR_CHILD && child_is_there(i))))
#define nobody_can (EACH(blocked) && blocked(PAYER))
#define sleeps(i) (wait[i] == FOR_TIME)
#define somebody_sleeps (SOME(sleeps) || sleeps(PAYER))
#define is_late(i) (is_unserved(i) && now >= may[i] && now >= put_off_to)
#define somebody_is_late (waiting != NONE && runs == 0 && \
	(last_start == 0 || now >= MOMENT(last_start) + INTERVAL) && SOME(is_late))

#define is_retry_late (is_wanted && runs == 0 && now >= failed_at + RETRY && \
	(last_start == 0 || now >= MOMENT(last_start) + INTERVAL))

proctype clock()
{
end:	do
	:: atomic {
		nobody_can && somebody_sleeps ->
		assert(lazies != 0 || !somebody_is_late); /* G1, in time */
		assert(lazies != 0 || !no_harm || !is_retry_late); /* G1, in time */
		now++
	   }
	:: atomic { nobody_can && !somebody_sleeps && spares < SPARE -> spares++; now++ }
#if LAZY > 0
	:: atomic { !nobody_can && lazies < LAZY -> lazies++; now++ }
#endif
	od
}

init
{
	atomic {
		run handler(0); run action_child(0); run handler(1); run action_child(1);
#if HANDLERS > 2
		run handler(2); run action_child(2);
#endif
#if HANDLERS > 3
		run handler(3); run action_child(3);
#endif
		run handler(PAYER); run action_child(PAYER);
		run killer(); run clock()
	};
	atomic {
		EACH(is_quiet) ->
		assert(!no_harm || !SOME(is_unserved)); /* G1 */
		assert(!no_harm || (due == 0 && owed == 0 && !is_wanted)); /* asked for */
		assert(waiting == NONE && running == NONE && retrying == NONE); /* G5 */
		pay = true
	};
	atomic {
		is_quiet(PAYER) ->
		assert(!SOME(is_unserved) && due == 0 && owed == 0 && !is_wanted) /* G5 */
	}
}
