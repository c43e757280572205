#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""G5, and what of G1 to G4 must hold all the same: handlers, their children and actions are killed at any
instruction. With LONG=1, in ten thousand rounds."""

import os
import subprocess
import sys

sys.dont_write_bytecode = True
import nmtest
from history import History, KILLER, MS, ROUNDS, SEED, check_lines, check_rest, check_starts, keep, place, tell
from nmtest import NMNOTIFY, Sandbox, diag, ok


def check_limit(history, sources, burst, emission, name):
    """G3, of all sources together. Whoever is killed behind its execution may have another one made
    for the same charge."""
    if not history.starts:
        return
    took = history.starts[-1].known - history.starts[0].begun
    most = sources * (burst + took / emission) + len(history.kills)
    ok(len(history.starts) <= most, f"G3: {name}: {len(history.starts)} starts are no more than {most:.0f}")


def storm(name, rounds, sources, interval_ms, limit, burst, emission_ms):
    with Sandbox() as box:
        killer, history, conf = place(box, f"limit {limit} burst {burst}\ninterval {interval_ms}ms\n")
        words = [NMNOTIFY, conf, history, rounds, SEED, sources]
        with open(box.log_path, "ab") as log, open(os.devnull, "rb") as null:
            result = subprocess.run(
                [str(killer), *map(str, words)], stdin=null, stdout=log, stderr=log, timeout=60 + rounds
            )
        if not ok(result.returncode in (0, 1), f"{name}: it was stormy"):
            diag("\n".join(box.log()[-5:]))
        keep(box, history)
        past = History(history, True, ("handler", "child", "action"))
        tell(past, rounds, max(1, rounds // 200), name)
        check_rest(past, name)
        check_lines(past, interval_ms * MS, (burst + 1) * emission_ms * MS, name)
        check_starts(past, interval_ms * MS, name)
        check_limit(past, sources, burst, emission_ms * MS, name)


# ---- The storms ----


def can_trace():
    """The kernel may forbid ptrace(2)."""
    return subprocess.run([str(KILLER), "probe"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def handlers():
    """Sources that are never over their limit."""
    storm("handlers", ROUNDS * 3 // 5, 4, 25, "1000/s", 50, 1)


def handlers_over_limit():
    storm("handlers over their limit", ROUNDS - ROUNDS * 3 // 5, 3, 30, "25/s", 2, 40)


if not can_trace():
    print("1..0 # SKIP ptrace(2) is not allowed here")
    sys.exit(0)
nmtest.run(handlers, handlers_over_limit)
