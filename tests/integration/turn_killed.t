#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The turn: whoever is killed, at whatever instruction or moment, leaves a debt that the next connection pays (G1, G5)."""

import mmap
import os
import random
import signal
import struct
import sys
import time
from contextlib import ExitStack

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, PATIENCE, Sandbox, equal, ok, skip, until
from turn import (
    CONT, DETACH, FORK_MS, FREE, INTERRUPT, SEIZE, SINGLESTEP, SLACK_MS, TRACE_CLONE, TRACE_EXIT, TRACE_FORK,
    TRACE_VFORK, WALL, can_trace, can_trace_handlers, check_runs, ptrace, stopped_before_exec, wait_stop,
    word_after,
)


# ---- Ends of processes ----


def killed_waiter(box, conf, name, owed_ms, pay, interval_ms):
    """A waiter is there; it is killed. pay() starts the next connection."""
    waiter = box.handlers_alive()[0]
    ok(box.state().due != 0 and box.has_waiter(), f"G5: {name}: the waiter owes a start")
    waiter.kill()
    waiter.wait()
    ok(not box.has_waiter(), f"G5: {name}: the dead hold no lock")
    ok(box.state().due != 0, f"G5: {name}: the debt outlives the waiter")
    handler = pay()
    return name, box, handler, owed_ms, interval_ms


def killed_waiters():
    """What a killed waiter owed is paid by the next connection, whatever it says, and no earlier
    than it was owed."""
    says = {
        "malformed": lambda box, conf: box.start(conf, data=b"GET /\n"),
        "nothing": lambda box, conf: box.start(conf, end=True),
        "too long": lambda box, conf: box.start(conf, data=LINE * 2),
        "silence": lambda box, conf: box.start(conf),
        "reset": lambda box, conf: start_and_reset(box, conf),
        "the line": lambda box, conf: box.start(conf, data=LINE),
    }
    with ExitStack() as stack:
        parts = []
        for what, pay in says.items():
            # The start is due at once, but for the interval.
            box = stack.enter_context(Sandbox())
            conf = box.config(FREE + f"interval 3s\nread-timeout 300ms\naction {box.recorder()}\n")
            box.connect_and_run(conf)
            box.start(conf, data=LINE)
            until(box.has_waiter)
            until(lambda: box.state().due)
            owed = box.runs()[0].last_start + 3000
            name = f"waiter killed, then {what}"
            parts.append(killed_waiter(box, conf, name, owed, lambda: pay(box, conf), 3000))
        for what, pay in says.items():
            # The start is due when its source conforms.
            box = stack.enter_context(Sandbox())
            conf = box.config(
                "from any\nlimit 1/4s burst 1\ninterval 200ms\nread-timeout 300ms\n"
                f"action {box.recorder()}\n"
            )
            box.connect_and_run(conf)
            box.start(conf, data=LINE)
            until(box.has_waiter)
            until(lambda: box.state().due)
            owed = box.state().due
            name = f"waiter over its limit killed, then {what}"
            parts.append(killed_waiter(box, conf, name, owed, lambda: pay(box, conf), 4000 - FORK_MS))
        for name, box, handler, owed, gap in parts:
            equal(handler.wait(), 0, f"G5: {name}: status 0")
            equal(len(box.starts()), 2, f"G5: {name}: it takes the debt over")
            run = box.runs()[-1]
            ok(word_after(owed, run.last_start) < 1 << 31, f"G3, G5: {name}: not before it was owed")
            ok(word_after(owed, run.last_start) <= SLACK_MS, f"G1: {name}: not much later")
            check_runs(box, gap, name)
            equal(box.state().due, 0, f"G5: {name}: nothing is owed any more")


def start_and_reset(box, conf):
    handler = box.start(conf, data=LINE[:5])
    until(lambda: nmtest.process_state(handler.pid) == "S")
    handler.reset()
    return handler


def killed_waiter_behind_a_run():
    """It was waiting for the end of a run, not of a time."""
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\naction {box.recorder('until=go')}\n")
        runs = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "G5: waiter behind a run killed: it runs")
        waiter = box.start(conf, data=LINE)
        ok(until(box.has_waiter), "G5: waiter behind a run killed: it waits")
        waiter.kill()
        waiter.wait()
        payer = box.start(conf, data=b"\n")
        ok(until(box.has_waiter), "G5: waiter behind a run killed: a malformed line's handler waits")
        (box.out / "go").touch()
        equal(runs.wait(), 0, "G5: waiter behind a run killed: the run goes on")
        equal(payer.wait(), 0, "G5: waiter behind a run killed: the debt is paid")
        equal(len(box.starts()), 2, "G5: waiter behind a run killed: two starts")
        check_runs(box, 0, "waiter behind a run killed")


# ---- Processes stopped at chosen places, with ptrace(2) ----

EVENT_EXIT = 6
STEPS_MOST = 100_000  # many times as many as it has


def killed_before_exec():
    """The supervisor dies when the start is made and written down, but nothing is executed."""
    name = "killed between start and exec"
    if not can_trace_handlers():
        skip(f"G5: {name}", "ptrace(2) is not allowed here")
        return
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 1500ms\nread-timeout 20s\naction {box.recorder()}\n")
        handler, child = stopped_before_exec(box, conf, name)
        state = box.state()
        equal((state.due, state.owed), (0, 1), f"G5: {name}: the start is owed")
        owed = state.last_start + 1500
        handler.kill()
        handler.wait()
        # Its child still holds the turn until it is gone: no overlap, and nobody is sent away.
        payer = box.start(conf, data=b"x\n")
        equal(payer.received(), b"", f"G7: {name}: silence")
        equal(box.starts(), [], f"G5: {name}: nothing has run")
        ptrace(DETACH, child)
        if not payer.is_running() or not box.wait_starts(1, 1):
            # It saw a run that was about to begin. The next connection sees that it never did.
            until(lambda: not box.is_in_run())
            payer = box.start(conf, data=b"x\n")
        equal(payer.wait(), 0, f"G5: {name}: status 0 of a malformed line")
        equal(len(box.starts()), 1, f"G5: {name}: the next connection starts the action")
        ok(
            word_after(owed, box.runs()[0].last_start) < 1 << 31,
            f"G2, G5: {name}: an interval after the start that failed",
        )
        equal(box.state().owed, 0, f"G5: {name}: the debt is paid")


def owed_at_every_instruction():
    """From the valid line until the action is executed, one of two words says that a start is owed."""
    name = "at every instruction from the line to the fork"
    if not can_trace_handlers(step=True):
        skip(f"G5: {name}", "ptrace(2) is not allowed here, or has no single steps")
        return
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\nread-timeout 20s\naction {box.recorder()}\n")
        handler = box.start(conf)
        until(lambda: nmtest.process_state(handler.pid) == "S")
        ptrace(SEIZE, handler.pid, TRACE_FORK | TRACE_VFORK | TRACE_CLONE)
        ptrace(INTERRUPT, handler.pid)
        wait_stop(handler.pid)
        handler.send(LINE)
        steps, owing, gaps = 0, False, 0
        with open(box.state().path, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as state:
            while steps < STEPS_MOST:
                ptrace(SINGLESTEP, handler.pid)
                _, status = os.waitpid(handler.pid, WALL)
                steps += 1
                if not os.WIFSTOPPED(status) or status >> 16:
                    break
                due, _, owed = struct.unpack_from("=III", state)
                owing = owing or due != 0
                gaps += owing and due == 0 and owed == 0
        nmtest.diag(f"{steps} instructions")
        ok(os.WIFSTOPPED(status) and 1000 < steps < STEPS_MOST and owing, f"G5: {name}: it comes to the fork")
        equal(gaps, 0, f"G5: {name}: the start is owed")


def slow_death():
    """The action of a killed supervisor takes its time to die: nothing starts before it has."""
    name = "an orphaned action that is slow to die"
    if not can_trace():
        skip(f"G2: {name}", "ptrace(2) is not allowed here")
        return
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 5s\naction {box.recorder('sleep=60000')}\n")
        handler = box.start(conf, data=LINE)
        ok(box.wait_starts(1), f"G2: {name}: it runs")
        action = box.pids("action")[0]
        ptrace(SEIZE, action, TRACE_EXIT)
        conf = box.config(f"from any\nlimit 1/s burst 10\ninterval 0s\naction {box.recorder()}\n")
        handler.kill()
        handler.wait()
        equal(wait_stop(action), EVENT_EXIT, f"G2: {name}: it is about to end")
        ok(until(lambda: not box.is_in_run()), f"G2: {name}: the turn is free already")
        later = box.start(conf, data=LINE)
        time.sleep(0.5)
        equal(len(box.starts()), 1, f"G2: {name}: nothing starts while it is there")
        ptrace(CONT, action)
        ok(wait_stop(action) is None, f"G2: {name}: it ends")
        equal(later.wait(), 0, f"G1: {name}: then the next one starts")
        equal(len(box.starts()), 2, f"G1: {name}: two starts")
        check_runs(box, 0, name)


# ---- Anything, at any time ----


def storm():
    """Handlers are killed at random moments. What was said to be done is done in the end."""
    seed = int(os.environ.get("SEED") or time.time())
    rng = random.Random(seed)
    nmtest.diag(f"SEED={seed}")
    interval_ms = 150
    with Sandbox() as box:
        conf = box.config(
            f"from any\nlimit 20/s burst 5\ninterval {interval_ms}ms\nread-timeout 100ms\n"
            f"action {box.recorder('sleep=40')}\n"
        )
        alive, kept, killed = [], [], 0
        begun = time.monotonic()

        def is_enough():
            took = time.monotonic() - begun
            return took > 4 and (took > PATIENCE or (killed > 20 and len(box.runs()) > 5))

        while not is_enough():
            data = rng.choice([LINE, LINE, LINE, LINE[:6], b"", LINE + b"x"])
            when = nmtest.boottime_ms()
            handler = box.start(conf, data=data, source=f"127.0.0.{rng.randint(1, 3)}")
            alive.append((handler, when, data))
            time.sleep(rng.random() * 0.006)
            victim = rng.choice(alive)[0]
            if rng.random() < 0.15 and victim.is_running():
                victim.kill()
                killed += 1
            for entry in [e for e in alive if not e[0].is_running()]:
                alive.remove(entry)
                entry[0].close()
                kept.append(entry)
        for entry in alive:
            entry[0].wait()
            kept.append(entry)
        # Debts are paid by whoever comes next.
        for _ in range(3):
            box.connect_and_run(conf, b"")
        runs, state = box.runs(), box.state()
        last = max(when for handler, when, data in kept if data == LINE and handler.status == 0)
        nmtest.diag(f"{len(kept)} connections, {killed} killed, {len(runs)} runs")
        ok(killed > 20 and len(runs) > 5, "G5: handlers killed at random: enough happens")
        # Not by the recorder: an action may be killed before its first instruction, and has run.
        ok(word_after(last, state.last_start) < 1 << 31, "G1, G5: handlers killed at random: nothing is lost")
        check_runs(box, interval_ms, "handlers killed at random")
        equal((state.due, state.owed), (0, 0), "G5: handlers killed at random: nothing is owed")
        ok(not box.has_waiter() and not box.is_in_run(), "G5: handlers killed at random: the turn is free")
        statuses = {h.status for h, _, _ in kept}
        ok(statuses <= {0, -signal.SIGKILL}, f"status: handlers killed at random: {sorted(statuses)}")


nmtest.run(
    killed_waiters,
    killed_waiter_behind_a_run,
    killed_before_exec,
    owed_at_every_instruction,
    slow_death,
    storm,
)
