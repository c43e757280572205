#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The turn beside runs that take long, cannot be started, or are asked to end (G1, G2, G5)."""

import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, Sandbox, equal, is_alive, ok, until
from turn import EXEC_MS, FREE, SLACK_MS, check_runs, finish, in_time, libc, word_after

SET_CHILD_SUBREAPER = 36


# ---- Long runs ----


def long_runs():
    """A line during a run that outlives the interval causes exactly one more start, after it."""
    kinds = {
        "an action longer than the interval": [],
        "an action that closes all descriptors": ["close"],
        "an action that leaves a daemon behind": ["daemon=60000"],
        "an action that closes all and leaves a daemon": ["daemon=60000", "close"],
    }
    with ExitStack() as stack:
        parts = []
        for name, words in kinds.items():
            box = stack.enter_context(Sandbox())
            action = box.recorder("until=go", *words)
            # The run is longer than the interval and the window: nothing but its lock says so.
            conf = box.config(f"from any\nlimit 1000/s burst 20\ninterval 200ms\naction {action}\n")
            parts.append((name, box, conf, box.start(conf, data=LINE)))
        for name, box, _, _ in parts:
            ok(box.wait_starts(1), f"G2: {name}: it runs")
        time.sleep(0.3)
        parts = [(*part, [part[1].start(part[2], data=LINE) for _ in range(5)]) for part in parts]
        for name, box, _, _, later in parts:
            ok(until(box.has_waiter), f"G2: {name}: a line during the run waits")
            # A slow handler would come after the next run, and rightly start one more.
            covered = until(lambda: sum(not handler.is_running() for handler in later) == len(later) - 1)
            ok(covered, f"G4: {name}: one waits, the others are covered")
            (box.out / "go").touch()
        for name, box, _, first, later in parts:
            finish([first, *later], name=name)
            runs = box.runs()
            equal(len(runs), 2, f"G1: {name}: lines during a run are one more start")
            ok(runs[0].end is not None, f"G2: {name}: the first run got to its end")
            check_runs(box, 200, name)
            in_time(runs[1], (runs[0].end or 0) / 1e6, name)
            if box.pids("daemon"):
                ok(all(is_alive(p) for p in box.pids("daemon")), f"G2: {name}: no start waits for it")


# Longer than the start of an action takes.
TIMEOUT_MS = int(300 * nmtest.SLOW)


def overdue_runs():
    """A run that outlives its timeout is ended, it and its process group."""
    kinds = {
        "an action that outlives its timeout": (["sleep=60000"], 143),
        "an action that ignores SIGTERM": (["sleep=60000", "ignore-term"], 137),
        "an action whose child ignores SIGTERM": (["member=60000", "sleep=60000"], 143),
        "an action and its child that outlive its timeout": (["helper=60000", "sleep=60000"], 143),
        "an action that ignores SIGTERM, as does its child": (
            ["member=60000", "sleep=60000", "ignore-term"],
            137,
        ),
    }
    with ExitStack() as stack:
        libc.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        stack.callback(libc.prctl, SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        parts = []
        for name, (words, status) in kinds.items():
            box = stack.enter_context(Sandbox())
            conf = box.config(FREE + f"interval 200ms\ntimeout {TIMEOUT_MS}ms\naction {box.recorder(*words)}\n")
            handler = box.start(conf, data=LINE)
            ok(box.wait_starts(1), f"G2: {name}: it runs")
            waiter = box.start(conf, data=LINE)
            ok(until(box.has_waiter), f"G2: {name}: another line waits")
            parts.append((name, status, box, handler, waiter))
        ended = {}
        ok(
            until(lambda: all([is_over(p[0], p[2], p[3], ended) for p in parts])),
            "G2: runs that outlive their timeout end",
        )
        for name, status, box, handler, waiter in parts:
            equal(handler.wait(), status, f"status: {name}: {status}")
            ok(
                any("run=ended" in l and f"status={status}" in l and "reason=timeout" in l for l in box.log()),
                f"log: {name}: reason=timeout",
            )
            ok(not is_alive(box.pids("action")[0]), f"G2: {name}: it is gone")
            for pid in (box.pids("member") + box.pids("helper"))[:1]:
                ok(until(lambda: not is_alive(pid)), f"G2: {name}: its group is gone")
            lasted = ended[name] - box.starts()[0] // 1000000
            grace = 0 if status == 143 and not box.pids("member") else 5000
            ok(lasted >= TIMEOUT_MS + grace - EXEC_MS, f"G2: {name}: it was given {TIMEOUT_MS + grace} ms")
            ok(lasted <= TIMEOUT_MS + (grace + SLACK_MS if grace else 4500), f"G2: {name}: it was not given much more")
            ok(box.wait_starts(2), f"G1: {name}: the next start comes")
            check_runs(box, 200, name)
            waiter.kill()
            waiter.wait()


def is_over(name, box, handler, ended):
    """Notes when a handler has ended."""
    for pid in box.pids("helper"):
        # A group lives as long as its dead are not buried, and some process 1 is slow at that.
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
    if name not in ended and not handler.is_running():
        ended[name] = nmtest.boottime_ms()
    return name in ended


# ---- Ends of processes ----


def supervisor_is_killed():
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 600ms\naction {box.recorder('sleep=60000')}\n")
        handler = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "G5: supervisor killed: its action ran")
        ok(until(lambda: not box.state().owed), "G5: supervisor killed: its start was written down as made")
        handler.kill()
        handler.wait()
        action = box.pids("action")[0]
        ok(until(lambda: not is_alive(action)), "G5: supervisor killed: its action dies with it")
        nothing = box.start(conf, data=b"nothing\n")
        equal(nothing.wait(), 0, "G5: supervisor killed: the debt was paid by the start")
        equal(len(box.starts()), 1, "G5: supervisor killed: nobody owes a start")
        again = box.start(conf, data=LINE)
        ok(box.wait_starts(2), "G5: supervisor killed: the next line starts anew")
        check_runs(box, 600, "supervisor killed")
        waiter = box.start(conf, data=LINE)
        ok(until(box.has_waiter), "G5: supervisor killed while another waits")
        again.kill()
        again.wait()
        ok(box.wait_starts(3), "G5: supervisor killed: the waiter has its turn")
        check_runs(box, 600, "supervisor killed while another waits")
        waiter.kill(signal.SIGTERM)
        equal(waiter.wait(), 143, "status: SIGTERM to a supervisor")


def supervisor_is_killed_beside_a_daemon():
    """What an action has left behind holds no lock."""
    with Sandbox() as box:
        action = box.recorder("daemon=60000", "sleep=60000")
        conf = box.config(FREE + f"interval 100ms\naction {action}\n")
        handler = box.start(conf, data=LINE)
        ok(until(lambda: box.pids("daemon")), "G5: supervisor killed beside a daemon: it runs")
        handler.kill()
        handler.wait()
        action, daemon = box.pids("action")[0], box.pids("daemon")[0]
        ok(until(lambda: not is_alive(action)), "G5: supervisor killed beside a daemon: its action dies")
        ok(not box.is_in_run(), "G5: supervisor killed beside a daemon: the turn is free")
        box.start(conf, data=LINE)
        ok(box.wait_starts(2), "G5: supervisor killed beside a daemon: the next line starts anew")
        ok(is_alive(daemon), "G5: supervisor killed beside a daemon: it lives on")


def supervisor_is_asked():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with Sandbox() as box:
            conf = box.config(FREE + f"interval 0s\naction {box.recorder('sleep=60000')}\n")
            handler = box.start(conf, data=LINE)
            ok(box.wait_starts(1), f"G2: {number.name} to the supervisor: its action ran")
            handler.kill(number)
            equal(handler.wait(), 143, f"status: {number.name} to the supervisor: the action's")
            ok(
                not is_alive(box.pids("action")[0]), f"G2: {number.name} to the supervisor ends the action"
            )
            ok(
                any("run=ended" in l and "status=143" in l and "reason=signal" in l for l in box.log()),
                f"log: {number.name} to the supervisor: reason=signal",
            )
            ok(not box.is_in_run(), f"G5: {number.name} to the supervisor: the turn is free")


def waiter_is_asked():
    """SIGTERM to a waiter ends it; what it owed stays owed."""
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 3s\naction {box.recorder()}\n")
        box.connect_and_run(conf)
        waiter = box.start(conf, data=LINE)
        ok(until(lambda: box.has_waiter() and box.state().due), "G5: SIGTERM to a waiter: it waits")
        waiter.kill(signal.SIGTERM)
        equal(waiter.wait(), -signal.SIGTERM, "G5: SIGTERM to a waiter ends it")
        ok(box.state().due != 0, "G5: SIGTERM to a waiter: the debt stays")
        equal(box.connect_and_run(conf, b""), 0, "G5: SIGTERM to a waiter: the next connection")
        equal(len(box.starts()), 2, "G5: SIGTERM to a waiter: the next connection pays")
        check_runs(box, 3000, "SIGTERM to a waiter")


# ---- What cannot be executed ----


def exec_failure():
    kinds = ((127, "missing"), (126, "not executable"), (126, "not a program"))
    with ExitStack() as stack:
        steps = [exec_fails(stack.enter_context(Sandbox()), status, name) for status, name in kinds]
        while steps:
            steps = [step for step in steps if next(step, "over") != "over"]


def exec_fails(box, status, name):
    """Yields where it has to wait, so that others can go on."""
    program = box.dir / "program"
    if name != "missing":
        program.write_text("#!" if name == "not executable" else "\0\1\2 nothing that runs")
        program.chmod(0o644 if name == "not executable" else 0o755)
    words = box.recorder().split(" ", 1)[1]
    conf = box.config(FREE + f"interval 800ms\naction {program} {words}\n")
    equal(box.connect_and_run(conf), status, f"status: an action that is {name}: {status}")
    line = f'run=failed account=default source=127.0.0.1 status={status} reason="{program}: '
    ok(any(m.startswith(line) for m in box.messages()), f"log: an action that is {name}: run=failed")
    ok(box.state().owed != 0, f"G5: an action that is {name}: the start is still owed")
    ok(not box.is_in_run(), f"G5: an action that is {name}: the turn is free")
    again = box.start(conf, data=b"x", end=True)
    yield "waits"
    equal(again.wait(), status, f"G5: an action that is {name}: tried again for any connection")
    owed = box.state().last_start + 800
    fresh = box.dir / "program.new"
    shutil.copy(box.dir / "recorder", fresh)
    fresh.chmod(0o755)
    os.replace(fresh, program)
    payer = box.start(conf, data=b"x", end=True)
    yield "waits"
    equal(payer.wait(), 0, f"G5: an action that was {name}: runs when it can")
    equal(len(box.starts()), 1, f"G5: an action that was {name}: once")
    ok(
        word_after(owed, box.runs()[0].last_start) < 1 << 31,
        f"G2: an action that was {name}: what failed to start counts as a start",
    )
    equal(box.connect_and_run(conf, b"x"), 0, f"G5: an action that was {name}: the debt is paid")
    equal(len(box.starts()), 1, f"G5: an action that was {name}: no second start")


nmtest.run(
    long_runs,
    overdue_runs,
    supervisor_is_killed,
    supervisor_is_killed_beside_a_daemon,
    supervisor_is_asked,
    waiter_is_asked,
    exec_failure,
)
