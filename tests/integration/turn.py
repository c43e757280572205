# SPDX-License-Identifier: ISC
"""What the tests of the turn share: what must hold for all runs, and processes stopped at a chosen place."""

import ctypes
import os
import signal
import sys

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, ok, until

FREE = "from any\nlimit 1000/s burst 10000\n"
libc = ctypes.CDLL(None, use_errno=True)
# How much later than it must a start may be seen here: the machine has other things to do.
SLACK_MS = 8000
# Between the moment that is written down as the start and the action's first instruction.
EXEC_MS = 250 * nmtest.SLOW
RETRYING = 3  # the lock of who sleeps for a retry
# A limit counts from the moment just before the fork, and the interval from the one just after it.
FORK_MS = 100


def word_after(a, b):
    """How far word b of the state is behind word a, in ms."""
    return (b - a) & 0xFFFFFFFF


def check_apart(box, interval_ms, name):
    """G2 of all runs so far, by the state."""
    runs = box.runs()
    ok(all(r.overlap == 0 for r in runs), f"G2: {name}: no run while another goes on")
    gaps = [word_after(a.last_start, b.last_start) for a, b in zip(runs, runs[1:])]
    if not ok(all(gap >= interval_ms for gap in gaps), f"G2: {name}: starts are an interval apart"):
        nmtest.diag(f"gaps: {gaps} ms")


def check_runs(box, interval_ms, name):
    """G2 of all runs so far, as the actions see it, too."""
    runs = box.runs()
    check_apart(box, interval_ms, name)
    ok(
        all(b.start >= a.end for a, b in zip(runs, runs[1:]) if a.end),
        f"G2: {name}: a run starts after the end of the one before",
    )
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


# ---- Processes stopped at chosen places, with ptrace(2) ----

SEIZE, CONT, SINGLESTEP, DETACH, GETEVENTMSG, INTERRUPT = 0x4206, 7, 9, 17, 0x4201, 0x4207
TRACE_FORK, TRACE_VFORK, TRACE_CLONE, TRACE_EXIT = 2, 4, 8, 64
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


def can_trace(step=False):
    """The kernel may forbid it (Yama, containers). `step`: and step by step, which not every architecture has."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    try:
        ptrace(SEIZE, pid)
        if step:
            ptrace(INTERRUPT, pid)
            wait_stop(pid)
            ptrace(SINGLESTEP, pid)
        return True
    except TimeoutError:
        raise
    except OSError:
        return False
    finally:
        os.kill(pid, signal.SIGKILL)
        while os.WIFSTOPPED(os.waitpid(pid, WALL)[1]):
            pass


def can_trace_handlers(step=False):
    """Ours are open to root alone."""
    return nmtest.is_root() and can_trace(step)


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
