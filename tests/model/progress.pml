/* SPDX-License-Identifier: ISC */
/*
 * nmnotifyd's turn requests (src/daemon/{network,requester,progress,turn_process}.c): the network process decides, the
 * runner starts a child for each request, children and runner may be killed or fail. The turn is
 * one step to join and one to start (turn.pml has the rest). The network process dies with the runner.
 * Checked: every line that was noted is served by a start after it, or, if the runner was killed, is
 * owed in `due` or `asked`; no start is before the time of a line that it is for (G3); and the network
 * process comes to rest, with every request settled (init is reached).
 *
 * Bounds: LINES, KILLS of children (they may be crashes), RUNNER_KILLS, FAILS, ROOM for requests. OLD_*: the protocol as it
 * was before a fault that this model found; each must be caught.
 */
#ifndef LINES
#define LINES 3
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef RUNNER_KILLS
#define RUNNER_KILLS 0
#endif
#ifndef FAILS
#define FAILS 0
#endif
#ifndef ROOM
#define ROOM 2
#endif
#define CHILDREN 6 /* as many as the bounds need */
#define NONE 15
#define EARLIEST(a, b) ((a) < (b) -> (a) : (b))
#define LATEST(a, b) ((a) > (b) -> (a) : (b))

byte now = 1;
byte due, starts, waiting = NONE;
byte asked, asked_for; /* the state's; asked: the request's number, or 0 */
byte settled, looking; /* struct progress */
bool served[LINES], taken[LINES];
byte by[LINES];    /* when each line may be served */
byte noted[LINES]; /* how many starts there had been */
byte kills, crashes, fails, runner_kills;
bool runner_gone, network_done, paying;

/* number, has_line, allowed, generation */
chan requests = [ROOM] of { byte, bool, byte, byte };

#define IDLE 0
#define BORN 1
#define ENDED 2
#define SLAIN 3   /* SIGKILL */
#define CRASHED 4 /* another signal */
byte child[CHILDREN], number[CHILDREN], allowed_of[CHILDREN], generation_of[CHILDREN];
bool line_of[CHILDREN];
byte born;

inline start_serves()
{
	d_step {
	served[0] = served[0] || taken[0];
#if LINES > 1
	served[1] = served[1] || taken[1];
#endif
#if LINES > 2
	served[2] = served[2] || taken[2];
#endif
#if LINES > 3
	served[3] = served[3] || taken[3];
#endif
	}
}

/* A line that no start has overtaken, and that is not before its time. Who fails, crashes or is left
 * alone owes a start without a look at that: at worst one too many. */
#define may_start(i) (taken[i] && noted[i] == starts && by[i] <= now)
#if LINES == 2
#define some_may_start (may_start(0) || may_start(1))
#else
#define some_may_start (may_start(0) || may_start(1) || may_start(2))
#endif
#define is_forced (fails + crashes + runner_kills != 0)

inline turn_answer(n)
{
	if :: asked == n -> asked = 0 :: else fi
}

/* turn_process.c turn_main() */
proctype turn_child(byte me)
{
	bool line;
end:	child[me] == BORN;
	{
#if FAILS > 0
		if
		:: atomic { fails < FAILS -> fails++; child[me] = CRASHED } /* waiter_refused(): EX_OSERR */
		:: true
		fi;
#endif
		true;
#ifndef OLD_COVERS
		/* progress_look() */
		atomic { if :: looking < number[me] -> looking = number[me] :: else fi };
#endif
#if FAILS > 0
		if
		:: atomic { fails < FAILS -> fails++; child[me] = CRASHED } /* waiter_refused(): EX_OSERR */
		:: true
		fi;
#endif
join:		/* decision_join(), turn_join(): see turn.pml */
		atomic {
			line = line_of[me];
#ifndef OLD_GENERATION
			if
			:: line && starts != generation_of[me] -> line = false
			:: else
			fi;
#endif
			if
			:: waiting == NONE ->
				if
				:: !line && due == 0 -> goto covered
				:: line -> due = (due == 0 -> allowed_of[me] : EARLIEST(due, allowed_of[me]))
				:: else
				fi;
				waiting = me
			:: waiting != NONE ->
				if
				:: line && due > allowed_of[me] -> due = allowed_of[me]
				:: else
				fi;
				goto covered
			fi
		};
		if :: line_of[me] -> atomic { turn_answer(number[me]) } :: else fi;
		/* progress_settle() */
		atomic { if :: settled < number[me] -> settled = number[me] :: else fi };
		/* turn_wait(), turn_start() */
		atomic {
			now >= due ->
			assert(is_forced || some_may_start); /* G3 */
			due = 0; waiting = NONE; starts++; start_serves(); child[me] = ENDED; goto out
		};
covered:	if :: line_of[me] -> atomic { turn_answer(number[me]) } :: else fi;
		atomic { if :: settled < number[me] -> settled = number[me] :: else fi };
		child[me] = ENDED;
out:		skip
	} unless { child[me] >= SLAIN }
}

bool reaped[CHILDREN];

inline turn_process_start(n, l, a, g)
{
	assert(born < CHILDREN); /* bounds */
	number[born] = n; line_of[born] = l; allowed_of[born] = a; generation_of[born] = g;
	child[born] = BORN;
	born++
}

inline turn_failed(n, l, a)
{
	paying = true;
	if :: looking < n -> looking = n :: else fi;
#ifndef OLD_FAIL
	if
	:: l && settled < n -> due = (due == 0 -> a : EARLIEST(due, a))
	:: else
	fi;
#endif
	if :: l -> turn_answer(n) :: else fi;
	if :: settled < n -> settled = n :: else fi
}

inline debt_pay()
{
	if
	:: due != 0 && waiting == NONE -> turn_process_start(settled, false, 0, 0)
	:: else
	fi
}

inline turn_process_ended(c)
{
	reaped[c] = true;
	if
	:: child[c] == CRASHED || (child[c] == ENDED && settled < number[c]) ->
		turn_failed(number[c], line_of[c], allowed_of[c])
	:: child[c] == SLAIN && settled >= number[c] -> debt_pay()
#ifdef OLD_UNSETTLED
	:: child[c] == SLAIN && settled < number[c] && !line_of[c] -> debt_pay()
	:: child[c] == SLAIN && settled < number[c] && line_of[c] ->
#else
	:: child[c] == SLAIN && settled < number[c] ->
#endif
		turn_process_start(number[c], line_of[c], allowed_of[c], generation_of[c])
	:: else
	fi
}

#define reap(c) atomic { child[c] >= ENDED && !reaped[c] -> turn_process_ended(c) }

proctype runner()
{
	byte n, a, g; bool l;
	{
	skip;
end:	do
	:: atomic { requests ? n, l, a, g ->
		if
		:: turn_process_start(n, l, a, g)
#if FAILS > 0
		:: fails < FAILS -> fails++;
			turn_failed(n, l, a) /* no process could be started */
#endif
		fi;
		n = 0; l = false; a = 0; g = 0
	   }
	:: atomic { paying -> paying = false; debt_pay() } /* debts_pay() */
	:: reap(0) :: reap(1) :: reap(2) :: reap(3) :: reap(4) :: reap(5)
	od
	} unless { runner_gone }
}

/* struct turn_request */
byte r_number, r_allowed, r_generation;
bool r_line, r_unsent;

/* The line that was read and is neither noted nor covered yet: lost if the process is killed now. */
byte in_hand = NONE;

/* conclude() */
proctype network()
{
	byte i, was, allowed, generation;
	bool line, covered;
	{
	do
	:: atomic { i < LINES -> taken[i] = true; in_hand = i; allowed = now;
		if :: line = true :: line = true; allowed = now + 1 :: line = false; taken[i] = false; fi;
		by[i] = allowed };
	   atomic { generation = starts; noted[i] = starts }; /* decision_line(), turn_note() */
	   if
	   :: line ->
		/* turn_request_covers() */
		covered = r_line && r_allowed <= allowed;
#ifndef OLD_COVERS_GENERATION
		covered = covered && r_generation == starts;
#endif
#ifdef OLD_COVERS
		covered = covered && settled < r_number; /* progress_is_looking() */
#else
		covered = covered && looking < r_number; /* progress_is_looking() */
#endif
		/* turn_is_covered() */
		if
		:: !covered ->
			was = due;
			if
			:: was != 0 && was <= allowed ->
				if
				:: waiting != NONE -> was = due; covered = was != 0 && was <= allowed
				:: else
				fi
			:: else
			fi;
			was = 0
		:: else
		fi
	   :: else ->
		/* turn_request_is_open(), turn_has_debt() */
		covered = settled < r_number;
		if
		:: !covered ->
			was = due;
			covered = true;
			if :: was != 0 -> covered = waiting != NONE :: else fi;
			was = 0
		:: else
		fi
	   fi;
	   if
	   :: !covered ->
		/* turn_request_send() */
		atomic {
#ifndef OLD_OVERWRITE
			if
#ifdef OLD_MERGE
			:: line && settled < r_number && r_line ->
#else
			:: line && settled < r_number && r_line && r_generation == generation ->
#endif
				allowed = EARLIEST(allowed, r_allowed)
			:: else
			fi;
#endif
			r_number++; r_line = line; r_allowed = allowed; r_generation = generation
		};
		/* turn_ask() */
		if
		:: line -> asked_for = allowed; atomic { asked = r_number; in_hand = NONE }
		:: else
		fi;
		atomic {
			if
			:: nfull(requests) ->
				requests ! r_number, line, allowed, generation;
				r_unsent = false
			:: full(requests) -> r_unsent = true
			fi
		}
	   :: else -> covered = false
	   fi;
	   in_hand = NONE;
	   atomic { i++; line = false; covered = false; allowed = 0; generation = 0 }
	/* turn_requests_resend() */
	:: atomic { r_unsent && nfull(requests) -> requests ! r_number, r_line, r_allowed, r_generation; r_unsent = false }
	:: atomic { i == LINES && !r_unsent && settled >= r_number -> break }
	od;
	network_done = true
	} unless { atomic { runner_gone && !network_done ->
		if :: in_hand != NONE -> taken[in_hand] = false :: else fi;
		network_done = true } }
}

#define quiet(c) (child[c] == IDLE || child[c] >= ENDED)
#define unreaped(c) (child[c] >= ENDED && !reaped[c])
#define at_peace (network_done && quiet(0) && quiet(1) && quiet(2) && quiet(3) && quiet(4) && quiet(5) && \
	(runner_gone || (empty(requests) && !paying && !unreaped(0) && !unreaped(1) && !unreaped(2) && !unreaped(3) && !unreaped(4) && !unreaped(5))))
#define unserved(i) (taken[i] && !served[i])
#define owed_late(i) (unserved(i) && !(due != 0 && due <= by[i]) && !(asked != 0 && asked_for <= by[i]))
#if LINES == 2
#define some_unserved (unserved(0) || unserved(1))
#define some_is_owed_late (owed_late(0) || owed_late(1))
#else
#define some_unserved (unserved(0) || unserved(1) || unserved(2))
#define some_is_owed_late (owed_late(0) || owed_late(1) || owed_late(2))
#endif

proctype killer()
{
	byte v;
end:	do
	:: atomic { kills < KILLS;
		if :: v = 0 :: v = 1 :: v = 2 :: v = 3 fi;
		if
		:: child[v] == BORN ->
			kills++;
			if :: child[v] = SLAIN :: child[v] = CRASHED; crashes++ fi;
			if :: waiting == v -> waiting = NONE :: else fi
		:: else
		fi;
		v = 0 }
	:: atomic { runner_kills < RUNNER_KILLS && !runner_gone -> runner_kills++; runner_gone = true }
	:: atomic { now < 2 || (now < 3 && network_done) -> now++ }
	od
}
init
{
	atomic { run network(); run runner();
		run turn_child(0); run turn_child(1); run turn_child(2); run turn_child(3); run turn_child(4); run turn_child(5);
		run killer() };
	atomic { at_peace -> 
		assert(!some_unserved || runner_kills != 0); /* G1 */
		assert(!some_unserved || !some_is_owed_late) /* G5 */ }
}
