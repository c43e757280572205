#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The turn: of a flood one waits, and one start covers all; each account has a turn of its own (G1, G2, G4)."""

import os
import signal
import sys
import time

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, Sandbox, equal, ok, until
from turn import FREE, check_runs, finish, in_time


# ---- A flood ----


def flood():
    count, interval_ms = 500, 2000
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 2s\nread-timeout 60s\naction {box.recorder()}\n")
        pairs = [box.connection() for _ in range(count)]
        handlers = [box.start(conf, pair=pair) for pair in pairs]
        # All of them read before the first line comes: none is dropped unread.
        waiting = until(lambda: all(nmtest.process_state(h.pid) == "S" for h in handlers))
        ok(waiting, f"G1: {count} handlers wait for the line")
        first = nmtest.boottime_ms()
        for handler in handlers:
            handler.send(LINE)
        last = nmtest.boottime_ms()
        finish(handlers, name=f"{count} lines at once")
        if last - first < interval_ms:
            equal(len(box.runs()), 2, f"G1, G2: {count} lines at once are two starts")
        ok(box.starts()[-1] >= last * 1000000, "G1: the last start is after the last line")
        in_time(box.runs()[-1], max(last, first + interval_ms), f"{count} lines at once")
        check_runs(box, interval_ms, f"{count} lines at once")
        counts = box.state().counts()
        equal(sum(counts.values()), count, "G4: every line is counted once")
        equal(counts["accepted"] + counts["deferred"], len(box.runs()), "G4: a waiter for each start")
        ok(len(box.log()) <= 40, "G4: the log does not grow with the lines")


def one_waiter():
    count = 200
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 60s\nread-timeout 60s\naction {box.recorder()}\n")
        equal(box.connect_and_run(conf), 0, "G4: a first start")
        handlers = [box.start(conf) for _ in range(count)]
        for handler in handlers:
            handler.send(LINE)
        until(lambda: len(box.handlers_alive()) <= 1)
        equal(len(box.handlers_alive()), 1, f"G4: one process is left of {count} lines")
        ok(box.has_waiter(), "G4: it is the waiter")
        equal(
            box.state().counts(),
            {"accepted": 1, "deferred": 1, "coalesced": count - 1},
            "G4: one is deferred, the others are covered by it",
        )
        ok(all(h.received() == b"" for h in handlers), "G7: silence to a flood")


def covered_is_dropped_unread():
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 60s\nread-timeout 7d\naction {box.recorder()}\n")
        box.connect_and_run(conf)
        box.start(conf, data=LINE)
        ok(until(box.has_waiter), "line: there is a waiter")
        silent = box.start(conf, source="127.0.0.9")
        equal(silent.wait(10), 0, "line: a covered connection is dropped unread")
        equal(silent.received(), b"", "G7: silence to a covered connection")
        equal(box.state().coalesced, 1, "line: dropped unread: verdict coalesced")
        ok("verdict=coalesced account=default source=127.0.0.9" in box.messages(), "log: coalesced")
        for data in (b"", b"x" * 100, LINE):
            equal(box.connect_and_run(conf, data), 0, f"line: covered, whatever it says: {data[:20]!r}")
        equal(box.state().coalesced, 4, "line: covered, whatever they say: coalesced")


def not_covered_is_read():
    """A waiter that will start later than this source is allowed does not cover it."""
    with Sandbox() as box:
        conf = box.config(
            f"from any\nlimit 1/5m burst 1\ninterval 0s\nread-timeout 20s\naction {box.recorder()}\n"
        )
        box.connect_and_run(conf)
        box.start(conf, data=LINE)
        ok(until(box.has_waiter), "G1: a waiter whose start is minutes away")
        other = box.start(conf, source="127.0.0.2")
        time.sleep(0.2)
        ok(other.is_running(), "G1: a source that may start sooner is listened to")
        equal(len(box.starts()), 1, "G1: and starts nothing before it has said the line")
        other.send(LINE)
        equal(other.wait(), 0, "G1: it says the line")
        ok(box.wait_starts(2), "G1: then the waiter is woken")


# ---- Limits ----


def accounts_apart():
    with Sandbox() as box:
        conf = box.config(
            "limit 1/s burst 10\ninterval 60s\n"
            f"account a\nfrom 127.0.0.1\naction {box.recorder('sleep=60000', account='a')}\n"
            f"account b\nfrom 127.0.0.2\naction {box.recorder(account='b', out=box.dir / 'out.b')}\n"
        )
        other = box.dir / "out.b"
        other.mkdir()
        if box.user:
            os.chown(other, box.uid, box.gid)
        first = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "G2: a run of one account")
        equal(box.connect_and_run(conf, source="127.0.0.2"), 0, "G2: another account does not wait for it")
        equal(len(box.starts(other)), 1, "G2: its action runs")
        first.kill(signal.SIGTERM)
        first.wait()


nmtest.run(flood, one_waiter, covered_is_dropped_unread, not_covered_is_read, accounts_apart)
