#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The models beside this file: each is searched exhaustively, and finds nothing wrong; and each mutant
of it, with one thing broken, violates the guarantee that rests on that thing. LONG=1: larger bounds.

    tests/model/model.t [PART ...]"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
import nmtest
from nmtest import diag, ok, skip

HERE = Path(__file__).resolve().parent
LONG = bool(os.environ.get("LONG"))
MEGABYTES = 6000 if LONG else 2000
DEPTH = 100000
# Violated when init waits for ever: whoever should have come to rest did not.
STUCK = "stuck"

MODELS = {
    "turn": (
        "HANDLERS=2 KILLS=2",
        "HANDLERS=2 KILLS=1 LAZY=1",
        "HANDLERS=2 KILLS=1 STOPS=1",
        "HANDLERS=3 KILLS=0",
        "HANDLERS=2 KILLS=0 RETRIES=2",
        "HANDLERS=2 KILLS=1 RETRIES=1 SPARE=0 DEFER=1 RETRY=2 INTERVAL=1",
    ),
    "limit": (
        "HANDLERS=2",
        "HANDLERS=3 SOURCES=1",
        "HANDLERS=3 SOURCES=1 BURST=2",
        "HANDLERS=3 SOURCES=1 RETRY=3",
    ),
    "progress": (
        "LINES=3",
        "LINES=2 KILLS=1 RUNNER_KILLS=1",
        "LINES=2 KILLS=1 ROOM=1",
        "LINES=2 FAILS=2",
    ),
    "cells": (
        "TICKS=2",
        "TICKS=2 TAKERS=1 AHEADS=1",
    ),
    "owed": (
        "EVENTS=3 KILLS=1",
        "EVENTS=2 EARLY=1 KILLS=1 FAILS=1",
        "EVENTS=3 USERS=2 KILLS=1",
        "EVENTS=2 DESTS=2 KILLS=1",
        "EVENTS=2 LOGINS=1 EARLY=1 KILLS=1",
        "EVENTS=3 USERS=3 DESTS=3 MOST=2 DEAD=3 KEEP=6",
        "HOSTS=2 EVENTS=2 KILLS=1",
        "HOSTS=2 EVENTS=2 LAZY=1",
        "HOSTS=2 EVENTS=2 AWAY=1",
    ),
}
MODELS_LONG = {
    "turn": ("HANDLERS=3 KILLS=1", "HANDLERS=3 KILLS=0 LAZY=1", "HANDLERS=2 KILLS=3", "HANDLERS=2 KILLS=1 RETRIES=1", "HANDLERS=3 KILLS=0 RETRIES=1"),
    "limit": ("HANDLERS=3", "HANDLERS=4 SOURCES=1"),
    "progress": ("LINES=2 KILLS=1 FAILS=1", "LINES=3 RUNNER_KILLS=1", "LINES=3 KILLS=1", "LINES=3 FAILS=1"),
    "cells": ("TICKS=3", "TICKS=3 T=2"),
    "owed": (
        "EVENTS=3 KILLS=2 LAZY=1",
        "EVENTS=3 EARLY=1 KILLS=1 FAILS=1",
        "EVENTS=3 LOGINS=1 EARLY=1 KILLS=1",
        "EVENTS=2 DESTS=2 KILLS=1 FAILS=1",
        "EVENTS=4 USERS=3 DESTS=3 MOST=2 DEAD=3 KEEP=4 STAMPS=12",
        "HOSTS=2 EVENTS=3",
        "HOSTS=2 EVENTS=2 KILLS=1 AWAY=1",
    ),
}


class Mutant:
    """What is broken in which model; how: names to define, or (text, its replacement) pairs; with which
    bounds, and what is violated then: the comment behind the assertion."""

    def __init__(self, model, name, how, bounds, violates):
        self.model, self.name, self.bounds, self.violates = model, name, bounds, violates
        self.define = how if isinstance(how, str) else ""
        self.edits = [] if isinstance(how, str) else how


MUTANTS = [
    # ---- The turn ----
    Mutant(
        "turn",
        "due is cleared and waiting released after the execution",
        [
            ("			for_line = false; due = 0\n", "			for_line = false\n"),
            ("		waiting = NONE;\n/* child_start() */", "/* child_start() */"),
            ("		child[me] != FORKED;\n", "		child[me] != FORKED; due = 0; waiting = NONE;\n"),
        ],
        "HANDLERS=2 KILLS=0",
        "G1",
    ),
    Mutant(
        "turn",
        "due is lowered by a plain store",
        [(":: due == was -> due = WORD(allowed); for_line = true; note_covered(); goto finished\n"
          "			:: else -> was = 0; goto join",
          ":: due = WORD(allowed); for_line = true; note_covered(); goto finished")],
        "HANDLERS=2 KILLS=0 LAZY=1",
        "asked for",
    ),
    Mutant(
        "turn",
        "due is lowered from 0, too",
        [(":: was == 0 -> goto look_again", ":: was == 0")],
        "HANDLERS=2 KILLS=0",
        "asked for",
    ),
    Mutant(
        "turn",
        "become_waiter() writes due by a plain store",
        [("			:: due == was ->\n				due = WORD(at)", "			:: true ->\n				due = WORD(at)"),
         ("			:: else -> was = due; at = owes; goto become\n", "")],
        "HANDLERS=3 KILLS=1",
        "G1, in time",
    ),
    Mutant(
        "turn",
        "due is cleared before owed is written",
        [("		owed = 1;\n", ""), ("			for_line = false; due = 0\n		};\n",
                                 "			for_line = false; due = 0\n		};\n		owed = 1;\n")],
        "HANDLERS=2 KILLS=1",
        "G5",
    ),
    Mutant(
        "turn",
        "without a line, nobody looks whether anything is owed",
        "OLD_ORPHAN",
        "HANDLERS=3 KILLS=0",
        "asked for",
    ),
    Mutant(
        "turn",
        "has_unfinished_start() does not look at owed again",
        [("debt_running:	atomic { if :: running == NONE -> goto debt_again",
          "debt_running:	atomic { if :: running == NONE -> goto become")],
        "HANDLERS=3 KILLS=0",
        "asked for",
    ),
    Mutant(
        "turn",
        "an orphaned action is not waited for",
        [("		atomic { !child_is_there(was - 1) -> wait[me] = NOWHERE; was = 0 };\n",
          "		atomic { wait[me] = NOWHERE; was = 0 };\n")],
        "HANDLERS=2 KILLS=1",
        "G2",
    ),
    Mutant(
        "turn",
        "the child does not say which process it is",
        [("			action = me + 1; /* turn_action_is() */\n", "")],
        "HANDLERS=2 KILLS=1",
        "G2",
    ),
    Mutant("turn", "an orphaned start is as old as it says", "OLD_LAST_START", "HANDLERS=2 KILLS=1 LAZY=1", "G2"),
    Mutant(
        "turn",
        "the interval counts from before the fork",
        [("is_executed:	at = WORD(now);\n		atomic { last_start = at; at = 0 };\n", "is_executed:\n")],
        "HANDLERS=2 KILLS=0 LAZY=3",
        "G2",
    ),
    Mutant(
        "turn",
        "a start counts as executed if the child says that it will be",
        "OLD_EXECUTED",
        "HANDLERS=2 KILLS=1",
        "G5",
    ),
    Mutant(
        "turn",
        "a dead process's start waits for the limit of who finds it",
        "OLD_OWED_TIME",
        "HANDLERS=2 KILLS=1",
        "G1, in time",
    ),
    Mutant(
        "turn",
        "who gives up looking leaves no debt",
        "OLD_GIVE_UP",
        "HANDLERS=2 KILLS=1 STOPS=1",
        "G5",
    ),
    Mutant(
        "turn",
        "a run that is to be tried again is paid for by its execution",
        "OLD_RETRY",
        "HANDLERS=2 KILLS=1 RETRIES=1",
        "G5",
    ),
    Mutant(
        "turn",
        "who sleeps for a retry ends when a line has made it sooner",
        [("wait[me] = NOWHERE; until[me] = 0; seen[me] = 0; goto retry_time };\nretry_join",
          "wait[me] = NOWHERE; until[me] = 0; if :: due != seen[me] -> seen[me] = 0; goto retry_over "
          ":: else -> seen[me] = 0; goto retry_time fi };\nretry_join"),
         ("retry_over:	atomic { retrying = NONE; goto retry };", "retry_over:	atomic { retrying = NONE; goto finished };")],
        "HANDLERS=2 KILLS=0 RETRIES=1",
        "asked for",
    ),
    Mutant(
        "turn",
        "a retry has no place in due while there is a waiter",
        [("			:: was != 0 && was <= WORD(now + RETRY) -> goto owed_again",
          "			:: waiting != NONE || (was != 0 && was <= WORD(now + RETRY)) -> goto owed_again")],
        "HANDLERS=2 KILLS=1 RETRIES=1",
        "G5",
    ),
    # ---- The limit on starts ----
    Mutant("limit", "a line does not know the starts before it", "OLD_GENERATION", "HANDLERS=3 SOURCES=1", "G3"),
    Mutant(
        "limit",
        "a line notes the starts after its charge",
        [
            ("		generation = starts /* turn_note() */\n", "		skip\n"),
            ("	/* turn_join() */\njoin:", "	generation = starts;\njoin:"),
        ],
        "HANDLERS=3 SOURCES=1",
        "G3",
    ),
    Mutant("limit", "what does not fit ahead is forgotten", "OLD_REST", "HANDLERS=4 SOURCES=1", "G3"),
    Mutant(
        "limit",
        "lateness is not charged",
        [("		rest = rest + (now > allowed -> now - allowed : 0);\n", "")],
        "HANDLERS=3 SOURCES=1",
        "G3",
    ),
    Mutant(
        "limit",
        "a deferred start is not charged",
        [(":: !charged -> charge_ahead();", ":: !charged -> at = 0;")],
        "HANDLERS=3 SOURCES=1",
        "G3",
    ),
    Mutant("limit", "a line that waits for a retry is not charged", "OLD_RETRY", "HANDLERS=3 SOURCES=1 RETRY=3", "G3"),
    # ---- nmnotifyd's turn requests ----
    Mutant("progress", "a request covers until it is settled", "OLD_COVERS OLD_COVERS_GENERATION", "LINES=3", "G1"),
    Mutant("progress", "a request covers though a start has overtaken it", "OLD_COVERS_GENERATION", "LINES=3", "G1"),
    Mutant(
        "progress",
        "a later request forgets the earlier one's time",
        "OLD_OVERWRITE",
        "LINES=2 KILLS=1 RUNNER_KILLS=1",
        "G5",
    ),
    Mutant("progress", "a later request takes over an overtaken one's time", "OLD_MERGE", "LINES=3", "G3"),
    Mutant("progress", "who cannot take a turn leaves no debt", "OLD_FAIL", "LINES=2 FAILS=1", "G1"),
    Mutant("progress", "a request for a debt is not settled by a kill", "OLD_UNSETTLED", "LINES=2 KILLS=2", STUCK),
    Mutant(
        "progress",
        "a waiter's crash is nobody's business",
        [(":: child[c] == CRASHED ||", ":: (child[c] == CRASHED && settled < number[c]) ||")],
        "LINES=2 KILLS=1",
        "G1",
    ),
    Mutant(
        "progress",
        "a failed turn is not tried again",
        [("	paying = true;\n", "")],
        "LINES=2 FAILS=1",
        "G1",
    ),
    Mutant(
        "progress",
        "a line is not noted before it is asked for",
        [("asked = r_number; in_hand = NONE", "in_hand = NONE")],
        "LINES=2 RUNNER_KILLS=1",
        "G5",
    ),
    Mutant(
        "progress",
        "an answer is taken for a later line's, too",
        [("if :: asked == n -> asked = 0", "if :: asked != 0 -> asked = 0")],
        "LINES=3 RUNNER_KILLS=1",
        "G5",
    ),
    # ---- The cells ----
    Mutant(
        "cells",
        "the least cell is charged first",
        [
            ("/* tat_move() */\n", "	goto move_least;\n"),
            ("i = 0; goto move_least fi", "i = 0; goto next fi"),
            ("			:: else\n			fi\n		:: else -> clock = 0; goto tat_read",
             "			:: else\n			fi;\n			goto cell_raise\n		:: else -> clock = 0; i = 0; goto tat_read"),
        ],
        "TICKS=2 NO_LEMMA",
        "G3",
    ),
    Mutant(
        "cells",
        "the least cell is moved by a plain store",
        [(":: cell[CELL(least)] == word[least] ->", ":: true ->"),
         ("		:: else -> clock = 0; goto tat_read\n", "")],
        "TICKS=2",
        "G3",
    ),
    Mutant(
        "cells",
        "the other cells are not raised",
        [("		i = (least == 0 -> 1 : 0);\n", "		i = 0;\n"),
         ("/* tat_move() */\n", "	goto move_least;\n")],
        "TICKS=2 NO_LEMMA",
        "G3",
    ),
    Mutant(
        "cells",
        "a cell is raised by a plain store",
        [(":: cell[CELL(i)] == word[i] -> cell[CELL(i)] = to; goto raised\n"
          "		:: else -> word[i] = cell[CELL(i)]; goto look_again",
          ":: cell[CELL(i)] = to; goto raised\n		:: false -> goto look_again")],
        "TICKS=2",
        "G3, no charge is lost",
    ),
    Mutant(
        "cells",
        "the clock is read before the cells",
        [("		word[i] = cell[CELL(i)];\n		i++;\n",
          "		if :: i == 0 -> when = now :: else fi;\n		word[i] = cell[CELL(i)];\n		i++;\n"),
         ("		when = now;\n		least = 0;", "		least = 0;")],
        "TICKS=4 NO_LEMMA",
        "G3",
    ),
    Mutant(
        "cells",
        "a raise that failed does not look at the clock again",
        [("	atomic { clock = now; goto cell_raise };\n", "	goto cell_raise;\n")],
        "TICKS=4 OTHERS=0",
        "G3, no charge is lost",
    ),
    # ---- What is owed ----
    Mutant(
        "owed",
        "a beginning is written down after the first packet",
        [("		is_busy[D(d)] = true;\n		began[D(d)] = covers[D(d)];\n", "")],
        "EVENTS=1 KILLS=1",
        "S2",
    ),
    Mutant(
        "owed",
        "the interval is from before the first packet",
        [("began_at[D(d)] = now; began[D(d)] = last[me]; d = 0", "began_at[D(d)] = now; d = 0")],
        "EVENTS=2 LAZY=2",
        "S2",
    ),
    Mutant(
        "owed",
        "after a death, the interval is from before the first packet",
        [("began[D(d)] = (is_busy[D(d)] -> LATER(began[D(d)], now * STAMPS) : began[D(d)]);", "skip;")],
        "EVENTS=2 LAZY=1 KILLS=1",
        "S2",
    ),
    Mutant(
        "owed",
        "addressees go before it is written down that they are covered",
        [("		atomic { covered[D(d)] = covers[D(d)]; FILED };\n", ""),
         ("covered_all:	is_busy", "covered_all:	atomic { covered[D(d)] = covers[D(d)]; FILED };\n		is_busy")],
        "EVENTS=2 USERS=2 KILLS=1",
        "told once",
    ),
    Mutant(
        "owed",
        "of one moment, all is covered",
        [("owed[P(u, d)] && due_last[U(u)] > covers[D(d)] ->", "owed[P(u, d)] && due_last[U(u)] / STAMPS > covers[D(d)] / STAMPS ->"),
         ("owed[P(u, d)] && due_last[U(u)] <= covers[D(d)] ->", "owed[P(u, d)] && due_last[U(u)] / STAMPS <= covers[D(d)] / STAMPS ->")],
        "EVENTS=2",
        "S1",
    ),
    Mutant(
        "owed",
        "stamps of one moment are the same",
        [("LATER(now * STAMPS, last[me] + 1);\n	assert", "now * STAMPS;\n	assert")],
        "EVENTS=2",
        "S1",
    ),
    Mutant(
        "owed",
        "a login covers what is younger than `settle`",
        [(" && noted[U(u)] + SETTLE * STAMPS <= slot_read[me] * STAMPS ->", " ->")],
        "EVENTS=2 LOGINS=1",
        "S1",
    ),
    Mutant(
        "owed",
        "a login after a death is as old as it is read now",
        [("goto letter :: else fi };\n\nloop", "slot_read[me] = now; goto letter :: else fi };\n\nloop"),
         ("noted[U(u)] + SETTLE * STAMPS <= slot_read", "noted[U(u)] + SETTLE * STAMPS <= LATER(SETTLE, 1) * STAMPS + slot_read")],
        "EVENTS=2 LOGINS=1 KILLS=1",
        "S1",
    ),
    Mutant(
        "owed",
        "an event that comes again does not move when the last is due",
        [("again:		due_last[U(u)] = LATER(due_last[U(u)], stamp);\n", "again:		skip;\n")],
        "EVENTS=2",
        "S1",
    ),
    Mutant(
        "owed",
        "a letter's slot is emptied before it is noted",
        [("letter:		atomic {\n			u = slot_user[me];\n",
          "letter:		atomic { u = slot_user[me]; i = slot[me]; slot[me] = NOTHING };\n		atomic {\n			slot[me] = i; i = 0;\n"),
         ("			used[U(u)] = true;\n			goto is_noted\n", "			used[U(u)] = true;\n			goto is_noted\n")],
        "EVENTS=1 KILLS=1",
        "S1",
    ),
    Mutant(
        "owed",
        "an early event is due at once",
        [("stamp = last[me] + SETTLED(slot[me] == MAIL_EARLY);", "stamp = last[me];")],
        "EVENTS=1 EARLY=1",
        "S1",
    ),
    Mutant(
        "owed",
        "what was told before a death is covered, though it is due later",
        [("ROUTED(u, d) && due_last[U(u)] > covered[D(d)] ->", "ROUTED(u, d) && due_first[U(u)] > covered[D(d)] ->")],
        "EVENTS=2 KILLS=1",
        "S1",
    ),
    Mutant(
        "owed",
        "who was told last is forgotten at a death",
        [("		busy[D(d)] = false; not_before[D(d)] = 0; began_at",
          "		began[D(d)] = 1; busy[D(d)] = false; not_before[D(d)] = 0; began_at")],
        "EVENTS=1 KILLS=1",
        "S2",
    ),
    Mutant(
        "owed",
        "what is not covered by a sending is dropped with it",
        [("due[P(u, d)] = LATER(due[P(u, d)], covers[D(d)] + 1)\n			:: u < USERS", "owed[P(u, d)] = false; addressee_settle(u)\n			:: u < USERS")],
        "EVENTS=2",
        "S1",
    ),
    Mutant(
        "owed",
        "who fails is never tried again",
        [("not_before[D(d)] = stamp_now + RETRY * STAMPS;", "not_before[D(d)] = 255;")],
        "EVENTS=1 FAILS=1",
        "S1, in time",
    ),
    Mutant(
        "owed",
        "those that do not answer may hold all connections",
        [(" && (proven[D(d)] || busy_unproven < (MOST + 1) / 2))", ")")],
        "EVENTS=3 USERS=3 DESTS=3 MOST=2 DEAD=3 KEEP=6 STAMPS=16",
        "Fair",
    ),
    Mutant(
        "owed",
        "who does not answer counts as one that does",
        [("proven[D(d)] = false; busy[D(d)] = false; began_at", "proven[D(d)] = true; busy[D(d)] = false; began_at")],
        "EVENTS=3 USERS=3 DESTS=3 MOST=2 DEAD=3 KEEP=6 INTERVAL=1",
        "Fair",
    ),
    Mutant(
        "owed",
        "a host does not claim",
        [("!is_away && claim[d] <= now ->", "!is_away ->"),
         ("			:: else ->\n				not_before[D(d)] = LATER(not_before[D(d)], EARLIER(claim",
          "			:: false ->\n				not_before[D(d)] = LATER(not_before[D(d)], EARLIER(claim")],
        "HOSTS=2 EVENTS=2",
        "S2, both hosts",
    ),
    Mutant(
        "owed",
        "a claim lasts an interval",
        [("claim[d] = now + TIMEOUT + INTERVAL", "claim[d] = now + INTERVAL")],
        "HOSTS=2 EVENTS=2 SLOW=2",
        "S2, both hosts",
    ),
    Mutant(
        "owed",
        "a claim does not expire",
        [("claim[d] = now + TIMEOUT + INTERVAL", "claim[d] = 255")],
        "HOSTS=2 EVENTS=1 KILLS=1",
        "S1, in time",
    ),
    Mutant(
        "owed",
        "a claim is released as a whole",
        [("-> claim[d] = EARLIER(claim[d], LATER(now, began_at[D(d)] + INTERVAL)) :: else fi };\n#endif\n		atomic { covered",
          "-> claim[d] = now :: else fi };\n#endif\n		atomic { covered")],
        "HOSTS=2 EVENTS=2",
        "S2, both hosts",
    ),
    Mutant(
        "owed",
        "a claim is not released",
        [("-> claim[d] = EARLIER(claim[d], LATER(now, began_at[D(d)] + INTERVAL)) :: else fi };\n#endif\n		atomic { covered",
          ":: else fi };\n#endif\n		atomic { covered")],
        "HOSTS=2 EVENTS=2",
        "S1, in time",
    ),
    Mutant(
        "owed",
        "who finds a claim waits as long as that may last",
        [("EARLIER(claim[d], now + INTERVAL) * STAMPS", "claim[d] * STAMPS")],
        "HOSTS=2 EVENTS=2",
        "S1, in time",
    ),
    Mutant(
        "owed",
        "an answer of the store is waited for longer than an interval",
        "INTERVAL=1 LAZY=3",
        "HOSTS=2 EVENTS=2 TIMEOUT=2",
        "S2, both hosts",
    ),
]


def build(directory, model, text, define, optimise):
    """pan for this model, or None; what is wrong has been said."""
    (directory / f"{model}.pml").write_text(text)
    for command in (
        ["spin", "-a", *(f"-D{word}" for word in define.split()), f"{model}.pml"],
        ["cc", optimise, "-w", "-DSAFETY", "-DNOFAIR", "-DCOLLAPSE", "-DVECTORSZ=2048", f"-DMEMLIM={MEGABYTES}",
         "-o", "pan", "pan.c"],
    ):
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
        if done.returncode != 0:
            diag(" ".join(command))
            diag(done.stdout + done.stderr)
            return None
    return directory / "pan"


class Search:
    """An exhaustive search of a model. Of what spin says, only these say that it was one."""

    def __init__(self, model, text, define, optimise="-O2" if LONG else "-O1"):
        self.states, self.violated, self.is_whole, self.seconds = 0, None, False, 0.0
        with tempfile.TemporaryDirectory(prefix="nmnotify-model-") as name:
            directory = Path(name)
            pan = build(directory, model, text, define, optimise)
            if pan is None:
                return
            begun = time.monotonic()
            done = subprocess.run([pan, f"-m{DEPTH}", f"-w{26 if LONG else 23}"], cwd=directory, capture_output=True, text=True)
            self.seconds = time.monotonic() - begun
            said = done.stdout + done.stderr
            count = re.search(r"^ *(\d+) states, stored", said, re.M)
            self.states = int(count[1]) if count else 0
            errors = re.search(r"errors: (\d+)", said)
            self.is_whole = (
                done.returncode == 0
                and errors is not None
                and not re.search(r"max search depth too small|Search not completed|truncated|out of memory", said)
            )
            if errors is None:
                diag(said)
            elif errors[1] != "0":
                self.violated = self.reason(directory, model, define, said)
                self.is_whole = False

    @staticmethod
    def reason(directory, model, define, said):
        if "invalid end state" in said.split("Full statespace")[0]:
            return STUCK
        trail = subprocess.run(
            ["spin", "-t", *(f"-D{word}" for word in define.split()), f"{model}.pml"],
            cwd=directory,
            capture_output=True,
            text=True,
        ).stdout
        at = re.search(rf"{model}\.pml:(\d+), Error: assertion violated", trail)
        if not at:
            return f"unknown: {said[:200]}"
        line = (directory / f"{model}.pml").read_text().splitlines()[int(at[1]) - 1]
        comment = re.search(r"assert\(.*/\* (.*?) \*/", line)
        return comment[1] if comment else line.strip()


def source(model):
    return (HERE / f"{model}.pml").read_text()


def each(task, things):
    """Each thing with its result, in order. They do nothing but compute: as many at a time as there are processors, if
    their memory is small."""
    with ThreadPoolExecutor(1 if LONG else min(4, os.cpu_count())) as pool:
        yield from zip(things, pool.map(task, things))


def searched(models):
    cases = [(model, bounds) for model, all_bounds in models.items() for bounds in all_bounds]
    for (model, bounds), search in each(lambda case: Search(case[0], source(case[0]), case[1]), cases):
        diag(f"{model} {bounds}: {search.states} states, {search.seconds:.1f} s")
        if not ok(search.is_whole, f"{model}: nothing wrong with {bounds}") and search.violated:
            diag(f"violated: {search.violated}")


def models_hold():
    searched(MODELS)


def large_models_hold():
    if LONG:
        searched(MODELS_LONG)
    else:
        skip("larger bounds", "only with LONG=1")


def search_mutant(mutant):
    text = mutate(source(mutant.model), mutant.edits)
    return text and Search(mutant.model, text, f"{mutant.define} {mutant.bounds}", "-O0")


def mutants_are_caught():
    for mutant, search in each(search_mutant, MUTANTS):
        name = f"{mutant.model}: caught: {mutant.name}"
        if search is None:
            ok(False, f"{name}: the edit applies once")
            continue
        if os.environ.get("TIMES"):
            diag(f"{search.states} states, {search.seconds:.1f} s, violated: {search.violated}")
        if not ok(search.violated == mutant.violates, f"{name}: {mutant.violates}"):
            diag(f"violated: {search.violated}; {search.states} states, {'whole' if search.is_whole else 'not whole'}")


# ---- The limiter's own source, by C11's memory model ----

RELACY = Path("/usr/include/relacy/relacy.hpp")
RAISE = """	for (unsigned i = 0; i < cells->count; i++)
		if (i != tat->least)
			cell_raise(cells->cell[i], tat->word[i], tat->now, to, window);
"""
# The statement that moves the least cell: all of it, and its call.
MOVE = re.compile(r"\treturn (atomic_compare_exchange_strong_explicit\(cells->cell\[tat->least\],.*?\));\n", re.S)
STORE = "	atomic_store_explicit(cells->cell[tat->least], to.ms, memory_order_release);\n	return true;\n"
# What is broken, and how: (text, its replacement) pairs.
SOURCE_MUTANTS = {
    "the least cell is charged first": [
        (RAISE, ""),
        (MOVE, rf"	if (!\1)\n		return false;\n{RAISE}	return true;\n"),
    ],
    "the least cell is moved by a plain store": [(MOVE, STORE)],
    "the other cells are not raised": [(RAISE, "")],
    "the clock is read before the cells": [
        ("	tat->now = moment_now();\n", ""),
        ("	/* tests/model/cells.pml: tat_read. */\n", "	tat->now = moment_now();\n"),
    ],
}


def mutate(text, edits):
    """The text with (text or pattern, replacement) pairs applied, each of them once; or None."""
    for old, new in edits:
        pattern, new = (re.escape(old), lambda _, new=new: new) if isinstance(old, str) else (old, new)
        text, count = re.subn(pattern, new, text)
        if count != 1:
            return None
    return text


def relacy(directory, text, define):
    """What the search of that source says: (whole and nothing wrong, its words), or None."""
    (directory / "mutant.c").write_text(text)
    command = ["g++", "-std=gnu++20", "-O1", "-w", "-fpermissive", "-D_GNU_SOURCE", f"-I{nmtest.PROJECT}/src"]
    command += [*(f"-D{word}" for word in define.split()), f'-DLIMITER="{directory}/mutant.c"']
    done = subprocess.run([*command, "-o", directory / "relacy", HERE / "relacy.cc"], capture_output=True, text=True)
    if done.returncode != 0:
        diag(done.stderr)
        return None
    done = subprocess.run([directory / "relacy"], capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


def limiter_holds_by_the_memory_model():
    text = (nmtest.PROJECT / "src/state/limiter.c").read_text()
    if not RELACY.exists() or not shutil.which("g++"):
        skip("relacy: the limiter's source", "relacy or g++ is missing")
        return
    with tempfile.TemporaryDirectory(prefix="nmnotify-relacy-") as name:
        directory = Path(name)
        for bounds in "THREADS=2 TICKS=3", f"THREADS=3 TICKS=3 ITERATIONS={20000000 if LONG else 300000}":
            begun = time.monotonic()
            holds, said = relacy(directory, text, bounds) or (False, "")
            count = re.search(r"iterations: (\d+)", said)
            diag(f"relacy {bounds}: {count and count[1]} executions, {time.monotonic() - begun:.1f} s")
            if not ok(holds and count, f"relacy: nothing wrong with {bounds}"):
                diag(said[-2000:])
        for mutant, edits in SOURCE_MUTANTS.items():
            mutated = mutate(text, edits)
            if mutated is None:
                ok(False, f"relacy: the edit applies once: {mutant}")
                continue
            holds, said = relacy(directory, mutated, "THREADS=2 TICKS=3") or (True, "")
            if not ok(not holds and "USER ASSERT FAILED" in said, f"relacy: caught: {mutant}: G3"):
                diag(said[-2000:])


def main():
    for program in ("spin", "cc"):
        if not shutil.which(program):
            print(f"1..0 # SKIP {program} is missing")
            sys.exit(0)
    nmtest.run(models_hold, large_models_hold, mutants_are_caught, limiter_holds_by_the_memory_model)


main()
