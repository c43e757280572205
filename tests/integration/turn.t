#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The turn and the limit, seen from outside: G1 nothing lost, G2 never too often and never twice at
once, G3 the limit of a source, G4 at most one waiter, G5 any process may be killed at any time."""

import ctypes
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import time
from contextlib import ExitStack

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, PATIENCE, Sandbox, equal, is_alive, ok, skip, until

FREE = "from any\nlimit 1000/s burst 10000\n"

libc = ctypes.CDLL(None, use_errno=True)
SET_CHILD_SUBREAPER = 36

# How much later than it must a start may be seen here: the machine has other things to do.
SLACK_MS = 8000
# Between the moment that is written down as the start and the action's first instruction.
EXEC_MS = 250
# A limit counts from the moment just before the fork, and the interval from the one just after it.
FORK_MS = 100


def word_after(a, b):
    """How far word b of the state is behind word a, in ms."""
    return (b - a) & 0xFFFFFFFF


def check_runs(box, interval_ms, name):
    """G2 of all runs so far."""
    runs = box.runs()
    ok(all(r.overlap == 0 for r in runs), f"G2: {name}: no run while another goes on")
    ok(
        all(b.start >= a.end for a, b in zip(runs, runs[1:]) if a.end),
        f"G2: {name}: a run starts after the end of the one before",
    )
    gaps = [word_after(a.last_start, b.last_start) for a, b in zip(runs, runs[1:])]
    if not ok(all(gap >= interval_ms for gap in gaps), f"G2: {name}: starts are an interval apart"):
        nmtest.diag(f"gaps: {gaps} ms")
    seen = [(b.start - a.start) / 1e6 for a, b in zip(runs, runs[1:])]
    ok(all(gap >= interval_ms - EXEC_MS for gap in seen), f"G2: {name}: the actions see the same")


def in_time(run, due_ms, name):
    """G1: a start no later than it must be. due_ms is on CLOCK_BOOTTIME."""
    late = run.start / 1e6 - due_ms
    if not ok(late <= SLACK_MS, f"G1: {name}: in time"):
        nmtest.diag(f"{late:.0f} ms late")


def finish(handlers, status=0, name="handlers"):
    ok(all(h.wait() == status for h in handlers), f"status: {name}: {status}")
    ok(all(h.received() == b"" for h in handlers), f"G7: {name}: silence")
    for handler in handlers:
        handler.close()


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
            conf = box.config(FREE + f"interval 200ms\ntimeout 300ms\naction {box.recorder(*words)}\n")
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
            ok(lasted >= 300 + grace - EXEC_MS, f"G2: {name}: it was given {300 + grace} ms")
            ok(lasted <= 300 + (grace + SLACK_MS if grace else 4500), f"G2: {name}: it was not given much more")
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
        heir = box.start(conf, data=b"\n")
        ok(until(box.has_waiter), "G5: waiter behind a run killed: a malformed line's handler waits")
        (box.out / "go").touch()
        equal(runs.wait(), 0, "G5: waiter behind a run killed: the run goes on")
        equal(heir.wait(), 0, "G5: waiter behind a run killed: the debt is paid")
        equal(len(box.starts()), 2, "G5: waiter behind a run killed: two starts")
        check_runs(box, 0, "waiter behind a run killed")


# ---- Processes stopped at chosen places, with ptrace(2) ----

SEIZE, CONT, SINGLESTEP, DETACH, GETEVENTMSG, INTERRUPT = 0x4206, 7, 9, 17, 0x4201, 0x4207
TRACE_FORK, TRACE_VFORK, TRACE_CLONE, TRACE_EXIT = 2, 4, 8, 64
EVENT_EXIT = 6
WALL = 0x40000000
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, data) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


def wait_stop(pid):
    """Waits for a tracee's stop: its ptrace event, or None if it ended instead."""

    def look():
        got, status = os.waitpid(pid, WALL | os.WNOHANG)
        return (status,) if got else None

    found = until(look)
    if not found:
        raise TimeoutError(f"process {pid} does not stop")
    return found[0] >> 16 if os.WIFSTOPPED(found[0]) else None


def can_trace():
    """The kernel may forbid it (Yama, containers)."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    try:
        ptrace(SEIZE, pid)
        return True
    except OSError:
        return False
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, WALL)


def can_trace_handlers():
    """Ours are open to root alone."""
    return nmtest.is_root() and can_trace()


def stopped_before_exec(box, conf, name):
    """A supervisor that has made its start and not yet executed anything, and its child."""
    handler = box.start(conf)
    until(lambda: nmtest.process_state(handler.pid) == "S")
    ptrace(SEIZE, handler.pid, TRACE_FORK | TRACE_VFORK | TRACE_CLONE)
    handler.send(LINE)
    ok(wait_stop(handler.pid), f"G5: {name}: it makes a child")
    child = ctypes.c_ulong()
    ptrace(GETEVENTMSG, handler.pid, ctypes.addressof(child))
    wait_stop(child.value)
    return handler, child.value


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
        heir = box.start(conf, data=b"x\n")
        equal(heir.received(), b"", f"G7: {name}: silence")
        equal(box.starts(), [], f"G5: {name}: nothing has run")
        ptrace(DETACH, child)
        if not heir.is_running() or not box.wait_starts(1, 1):
            # It saw a run that was about to begin. The next connection sees that it never did.
            until(lambda: not box.is_in_run())
            heir = box.start(conf, data=b"x\n")
        equal(heir.wait(), 0, f"G5: {name}: status 0 of a malformed line")
        equal(len(box.starts()), 1, f"G5: {name}: the next connection starts the action")
        ok(
            word_after(owed, box.runs()[0].last_start) < 1 << 31,
            f"G2, G5: {name}: an interval after the start that failed",
        )
        equal(box.state().owed, 0, f"G5: {name}: the debt is paid")


def owed_at_every_instruction():
    """From the valid line until the action is executed, one of two words says that a start is owed."""
    name = "at every instruction from the line to the fork"
    if not can_trace_handlers():
        skip(f"G5: {name}", "ptrace(2) is not allowed here")
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
            while True:
                ptrace(SINGLESTEP, handler.pid)
                _, status = os.waitpid(handler.pid, WALL)
                steps += 1
                if not os.WIFSTOPPED(status) or status >> 16:
                    break
                due, _, owed = struct.unpack_from("=III", state)
                owing = owing or due != 0
                gaps += owing and due == 0 and owed == 0
        nmtest.diag(f"{steps} instructions")
        ok(os.WIFSTOPPED(status) and steps > 1000 and owing, f"G5: {name}: it comes to the fork")
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
    heir = box.start(conf, data=b"x", end=True)
    yield "waits"
    equal(heir.wait(), 0, f"G5: an action that was {name}: runs when it can")
    equal(len(box.starts()), 1, f"G5: an action that was {name}: once")
    ok(
        word_after(owed, box.runs()[0].last_start) < 1 << 31,
        f"G2: an action that was {name}: what failed to start counts as a start",
    )
    equal(box.connect_and_run(conf, b"x"), 0, f"G5: an action that was {name}: the debt is paid")
    equal(len(box.starts()), 1, f"G5: an action that was {name}: no second start")


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
    flood,
    one_waiter,
    covered_is_dropped_unread,
    not_covered_is_read,
    long_runs,
    overdue_runs,
    supervisor_is_killed,
    supervisor_is_killed_beside_a_daemon,
    supervisor_is_asked,
    waiter_is_asked,
    killed_waiters,
    killed_waiter_behind_a_run,
    killed_before_exec,
    owed_at_every_instruction,
    slow_death,
    exec_failure,
    debt_before_the_limit,
    debt_before_the_limit_behind_a_run,
    over_limit,
    limits_apart,
    burst_and_rate,
    late_start,
    another_source_wakes,
    another_source_wakes_behind_a_run,
    accounts_apart,
    storm,
)
