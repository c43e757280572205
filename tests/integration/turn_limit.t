#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The turn and the limit of each source: what a line over the limit is, and who pays a debt first (G3)."""

import shutil
import sys
import time
from contextlib import ExitStack

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, Sandbox, equal, ok, skip, until
from turn import (
    DETACH, FORK_MS, SLACK_MS, can_trace_handlers, check_runs, finish, in_time, ptrace, stopped_before_exec,
    word_after,
)


# ---- What cannot be executed ----


def debt_before_the_limit():
    """A start that is owed does not wait until the source of a later line conforms."""
    with ExitStack() as stack:
        parts = []
        for kind in ("exec failed", "owed by a dead supervisor"):
            box = stack.enter_context(Sandbox())
            program = box.dir / "program"
            words = box.recorder().split(" ", 1)[1]
            conf = box.config(
                f"from any\nlimit 1/5m burst 1\ninterval 300ms\naction {program} {words}\n"
            )
            if kind == "exec failed":
                equal(box.connect_and_run(conf), 127, f"G1: {kind}: the start is owed")
            shutil.copy(box.dir / "recorder", program)
            program.chmod(0o755)
            if kind != "exec failed":
                equal(box.connect_and_run(conf), 0, f"G1: {kind}: the source is at its limit")
                box.state().poke("owed", 1)
            before = len(box.starts())
            box.start(conf, data=LINE)
            parts.append((kind, box, before))
        for kind, box, before in parts:
            ok(
                box.wait_starts(before + 1, SLACK_MS / 1000),
                f"G1: {kind}: a line over its limit does not hold up what is owed already",
            )


def debt_before_the_limit_behind_a_run():
    name = "a supervisor dies before exec, a line over its limit waits"
    if not can_trace_handlers():
        skip(f"G1: {name}", "ptrace(2) is not allowed here")
        return
    with Sandbox() as box:
        conf = box.config(
            "from any\nlimit 1/5m burst 1\ninterval 300ms\nread-timeout 20s\n"
            f"action {box.recorder()}\n"
        )
        handler, child = stopped_before_exec(box, conf, name)
        box.start(conf, data=LINE)
        ok(until(box.has_waiter), f"G1: {name}: it waits")
        until(lambda: box.state().due)
        handler.kill()
        handler.wait()
        ptrace(DETACH, child)
        ok(box.wait_starts(1, SLACK_MS / 1000), f"G1: {name}: it pays what is owed already")


# ---- Limits ----


def over_limit():
    with Sandbox() as box:
        conf = box.config(
            f"from any\nlimit 1/1500ms burst 1\ninterval 0s\naction {box.recorder()}\n"
        )
        equal(box.connect_and_run(conf), 0, "G3: within the limit")
        sent = nmtest.boottime_ms()
        waiter = box.start(conf, data=LINE)
        ok(until(box.has_waiter), "G3: over the limit: deferred, not lost")
        covered = box.start(conf, data=LINE)
        equal(covered.wait(), 0, "G3: over the limit, with a waiter there: covered")
        finish([waiter, covered], name="over the limit")
        equal(box.state().counts(), {"accepted": 1, "deferred": 1, "coalesced": 1}, "G3: verdicts")
        equal(len(box.runs()), 2, "G1: over the limit: starts nevertheless")
        check_runs(box, 1500 - FORK_MS, "over the limit")
        in_time(box.runs()[1], sent + 1500, "over the limit")


def limits_apart():
    """Sources have limits of their own: an IPv4 address whole, an IPv6 address by its /64."""
    groups = [
        ("127.0.0.1", "tcp"),
        ("127.0.0.2", "tcp"),
        ("192.0.2.1", "unix"),
        ("192.0.2.2", "unix"),
        ("2001:db8:0:1::1", "unix"),
        ("2001:db8:0:2::1", "unix"),
        ("local", "unix"),
    ]
    same = [
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"),
    ]
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 1/1h burst 1\ninterval 0s\naction {box.recorder()}\n")

        def speak(source, fds="unix"):
            if fds == "tcp":
                return box.start(conf, data=LINE, source=source)
            env = {} if source == "local" else {"TCPREMOTEIP": source}
            return box.start(conf, data=LINE, fds="unix", env=env)

        for n, (source, fds) in enumerate(groups):
            equal(speak(source, fds).wait(), 0, f"G3: {source} has a limit of its own")
            equal(len(box.starts()), n + 1, f"G3: {source} starts the action")
        for source, twin in same:
            waiter = speak(twin)
            ok(until(box.has_waiter), f"G3: {twin} is over the limit of {source}")
            waiter.kill()
            waiter.wait()
        equal(len(box.starts()), len(groups), "G3: nobody gets more than his limit")


def keeps_limit(box, burst, period_ms, name):
    """G3 of all runs so far, which one source has caused."""
    times = [r.last_start for r in box.runs()]
    within = all(
        j - i + 1 <= burst + (word_after(times[i], times[j]) + FORK_MS) / period_ms
        for i in range(len(times))
        for j in range(i, len(times))
    )
    if not ok(within, f"G3: {name}: at most burst + t/T starts in any time t"):
        nmtest.diag([word_after(times[0], t) for t in times])


def burst_and_rate():
    """Starts of one source in any time t are at most burst + t/T, whatever it sends."""
    burst, period_ms = 4, 400
    with Sandbox() as box:
        conf = box.config(
            f"from any\nlimit 1/{period_ms}ms burst {burst}\ninterval 0s\naction {box.recorder()}\n"
        )
        running, end = [], time.monotonic() + 3.5
        sent = 0
        while time.monotonic() < end:
            while len(running) < 6:
                running.append(box.start(conf, data=LINE))
                sent += 1
            for handler in [h for h in running if not h.is_running()]:
                handler.close()
                running.remove(handler)
            time.sleep(0.002)
        last = nmtest.boottime_ms()
        for handler in running:
            handler.wait()
        keeps_limit(box, burst, period_ms, f"{sent} lines of one source")
        ok(len(box.runs()) >= burst + 3, "G1: they start as often as they may")
        ok(box.starts()[-1] / 1e6 >= last - period_ms - SLACK_MS, "G1: to the end")
        check_runs(box, 0, "a source that never stops")


def late_start():
    """A start that a run held up counts from when it came, not from when it was allowed."""
    burst, period_ms = 2, 500
    text = f"from any\nlimit 1/{period_ms}ms burst {burst}\ninterval 0s\n"
    with Sandbox() as box:
        slow = box.config(text + f"action {box.recorder('sleep=750')}\n", "slow.conf")
        quick = box.config(text + f"action {box.recorder()}\n", "quick.conf")
        first = box.start(slow, data=LINE)
        ok(box.wait_starts(1), "G3: a run holds up a start")
        held = box.start(quick, data=LINE)
        finish([first, held], name="a run holds up a start")
        for _ in range(3):
            box.connect_and_run(quick)
        equal(len(box.runs()), 5, "G1: five lines, each after the start before")
        keeps_limit(box, burst, period_ms, "a start that a run held up")


def another_source_wakes():
    """A conforming source's line brings forward the start that another one waits for."""
    with Sandbox() as box:
        conf = box.config(
            f"from any\nlimit 1/5m burst 1\ninterval 1s\nread-timeout 20s\naction {box.recorder()}\n"
        )
        box.connect_and_run(conf)
        waiter = box.start(conf, data=LINE)
        ok(until(lambda: box.has_waiter() and box.state().due), "G1: a source over its limit waits")
        due = box.state().due
        sent = nmtest.boottime_ms()
        other = box.start(conf, data=LINE, source="127.0.0.2")
        equal(other.wait(10), 0, "G1: another source, within its limit, is covered")
        ok(word_after(box.state().due, due) > 200000 or len(box.starts()) == 2, "G1: the start is brought forward")
        equal(waiter.wait(), 0, "G1: the waiter is woken")
        equal([r.source for r in box.runs()], ["127.0.0.1"] * 2, "G4: it is the waiter that starts")
        check_runs(box, 1000, "another source wakes the waiter")
        in_time(box.runs()[1], sent + 1000, "another source wakes the waiter")
        equal(
            box.state().counts(),
            {"accepted": 1, "deferred": 1, "coalesced": 1},
            "G4: the one who wakes is coalesced",
        )


def another_source_wakes_behind_a_run():
    with Sandbox() as box:
        conf = box.config(
            f"from any\nlimit 1/5m burst 1\ninterval 0s\naction {box.recorder('until=go')}\n"
        )
        runs = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "G1: a run")
        waiter = box.start(conf, data=LINE)
        ok(until(box.has_waiter), "G1: a source over its limit waits behind it")
        until(lambda: box.state().due)
        equal(box.connect_and_run(conf, source="127.0.0.2"), 0, "G1: another source during the run")
        (box.out / "go").touch()
        finish([runs, waiter], name="another source during a run")
        equal(len(box.runs()), 2, "G1: one start for both, right after the run")
        check_runs(box, 0, "another source during a run")
        in_time(box.runs()[1], box.runs()[0].end / 1e6, "another source during a run")


nmtest.run(
    debt_before_the_limit,
    debt_before_the_limit_behind_a_run,
    over_limit,
    limits_apart,
    burst_and_rate,
    late_start,
    another_source_wakes,
    another_source_wakes_behind_a_run,
)
