#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The clock: moments are milliseconds modulo 2^32, and 0 is none. What holds of starts holds while
the clock goes over 2^31 and 2^32 ms, and after a boot has set it back, or a sleep has set it ahead,
of what the state says. CLOCK_BOOTTIME is what this test makes it, in time namespaces
(time_namespaces(7)) of its own."""

import ctypes
import os
import sys
import time
from contextlib import ExitStack

sys.dont_write_bytecode = True
import nmtest
from front import Handlers, Service
from nmtest import Sandbox, boottime_ms, diag, equal, ok, until

CIRCLE, HALF = 1 << 32, 1 << 31
DAY = 86400 * 1000
# For a machine that has other things to do. What is broken is later by days.
SLACK_MS = 2500

# ---- The clock ----

_CLONE_NEWTIME = 0x80
_libc = ctypes.CDLL(None, use_errno=True)
_ahead = 0  # of the machine's, in nanoseconds


def set_clock(ms):
    """For this process, and those that it starts from now on."""
    global _ahead
    if _libc.unshare(_CLONE_NEWTIME) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    ahead = ms * 1000000 - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - _ahead)
    with open("/proc/self/timens_offsets", "w") as f:
        f.write("boottime {} {}\n".format(*divmod(ahead, 10**9)))
    fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY)
    try:
        if _libc.setns(fd, _CLONE_NEWTIME) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(fd)
    _ahead = ahead


def sleep_until(ms):
    time.sleep(max(0, ms - boottime_ms()) / 1000)


def ms(moments_ns):
    return [ns / 1e6 for ns in moments_ns]


def word_until(a, b):
    """From word a to word b, in the shorter direction."""
    return (b - a + HALF) % CIRCLE - HALF


# ---- What is looked at ----


def each_program(stack, text, accounts):
    """A sandbox, and in it the program, for each of the two; `accounts`: name -> its lines."""
    fronts = []
    for program in (Handlers, Service):
        box = stack.enter_context(Sandbox())
        lines = "from any\n" + text
        for name, more in accounts.items():
            (box.out / name).mkdir()
            os.chown(box.out / name, box.uid, box.gid)
            lines += f"account {name}\n{more}action {box.recorder(account=name, out=box.out / name)}\n"
        fronts.append(stack.enter_context(program(box, box.config(lines))))
    return fronts


def runs(front, account):
    return front.box.runs(out=front.box.out / account)


def starts(front, account):
    return ms(r.start for r in runs(front, account))


def wait_starts(front, account, count, timeout=10):
    return front.box.wait_starts(count, timeout, out=front.box.out / account)


def check_interval(front, account, interval, name):
    """G2, as the state counts and as the action sees it."""
    all_runs = runs(front, account)
    gaps = [word_until(a.last_start, b.last_start) for a, b in zip(all_runs, all_runs[1:])]
    if not ok(min(gaps, default=interval) >= interval, f"G2: {name}: starts are an interval apart"):
        diag(f"{gaps} ms")
    ok(all(r.overlap == 0 for r in all_runs), f"G2: {name}: no run while another goes on")


def check_answered(front, account, sent, most, name):
    """G1: for each line a start, soon after it."""
    begun = starts(front, account)
    late = [(a, next((s for s in begun if s >= a), None)) for a in sent]
    wrong = [(a, s) for a, s in late if s is None or s - a > most]
    if not ok(not wrong, f"G1: {name}: {len(sent)} lines, each with a start in time"):
        diag(f"line, start: {wrong[:10]}; all starts: {begun}")


# ---- Over the edge ----


def cross(edge, name):
    """Lines all the time, from 3 s before the edge to 3 s behind it."""
    interval, period, burst = 400, 500, 3
    accounts = {
        "often": f"from 127.0.0.2\nlimit 1000/s burst 1000\ninterval {interval}ms\n",
        "limited": f"from 127.0.0.3\nlimit 2/s burst {burst}\ninterval 0s\n",
        "sleeper": "from 127.0.0.4\nlimit 1000/s burst 100\ninterval 3s\n",
        "due": "from 127.0.0.5\nlimit 1/3s burst 1\ninterval 0s\n",
    }
    set_clock(edge - 4500)
    with ExitStack() as stack:
        fronts = each_program(stack, "", accounts)
        sleep_until(edge - 3000)
        for front in fronts:
            for account in ("4", "5"):
                front.send(f"127.0.0.{account}")
            wait_starts(front, "sleeper", 1)
            wait_starts(front, "due", 1)
            for account in ("4", "5"):
                front.send(f"127.0.0.{account}")
        # Each of the two now has a waiter that sleeps over the edge.
        for front in fronts:
            box, what = front.box, f"{front.name}: {name}"
            ok(until(lambda: box.has_waiter("due") and box.state("due").due, 2), f"{what}: a waiter sleeps")
            allowed, due = runs(front, "due")[0].last_start + 3000, box.state("due").due
            # The charge was for a moment before the start, by as much as it takes to start.
            ahead = word_until(allowed, due)
            if not ok(-200 < ahead <= 200 and due != 0, f"{what}: due is behind the edge"):
                diag(f"{due}, {ahead} ms from {allowed % CIRCLE}")
        sent = {"127.0.0.2": [], "127.0.0.3": []}
        while boottime_ms() < edge + 3000:
            for source, moments in sent.items():
                moments.append(time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6)
                for front in fronts:
                    front.send(source)
            time.sleep(0.04)
        sleep_until(edge + 3000 + (burst + 1) * period)
        for front in fronts:
            what = f"{front.name}: {name}"
            ok(front.settle(10), f"{what}: nobody is left waiting")
            ok(min(starts(front, "often")) < edge < max(starts(front, "often")), f"{what}: was gone over")
            check_interval(front, "often", interval, what)
            check_answered(front, "often", sent["127.0.0.2"], interval + SLACK_MS, what)
            check_limit(front, period, burst, what)
            check_answered(front, "limited", sent["127.0.0.3"], period + SLACK_MS, f"{what}: limited")
            for account in ("sleeper", "due"):
                begun = starts(front, account)
                if equal(len(begun), 2, f"{what}: {account}: two starts"):
                    late = begun[1] - begun[0] - 3000
                    ok(-200 < late < SLACK_MS, f"{what}: {account}: the second after 3 s and {late:.0f} ms")
            check_interval(front, "sleeper", 3000, f"{what}: sleeper")


def check_limit(front, period, burst, name):
    """G3: at most burst + t / T in any time t, and not much less either."""
    begun = [r.last_start for r in runs(front, "limited")]
    worst = 0
    for first in range(len(begun)):
        for last in range(first, len(begun)):
            time_passed = word_until(begun[first], begun[last])
            worst = max(worst, last - first + 1 - burst - time_passed / period)
    # A moment is cut to a millisecond at both ends.
    if not ok(worst <= 2 / period, f"G3: {name}: {len(begun)} starts, within the source's limit"):
        diag(f"{worst} too many in {begun}")
    ok(len(begun) >= burst + 6000 / period * 0.6, f"G3: {name}: and all that it grants")


def over_2_to_the_31():
    cross(HALF, "over 2^31 ms")


def over_2_to_the_32():
    cross(CIRCLE, "over 2^32 ms")


# ---- 0 is none ----


def moment_0():
    """The moment that is 0 itself is not taken for none."""
    period, burst = 1500, 2
    accounts = {"default": f"limit 1/{period}ms burst {burst}\ninterval 0s\n"}
    set_clock(CIRCLE - 3500)
    with ExitStack() as stack:
        fronts = each_program(stack, "read-timeout 1s\n", accounts)
        for front in fronts:
            front.send()
            ok(wait_starts(front, "default", 1), f"{front.name}: moment 0: a line before it")
            ok(front.settle(2), f"{front.name}: moment 0: its run ends")
        for front in fronts:
            # Each cell says that its source conforms at 0, and not before.
            state = front.box.state()
            for cell in range(state.HEADER // 4, state.SIZE // 4, 16):
                with open(state.path, "r+b", buffering=0) as f:
                    f.seek(4 * cell)
                    f.write(((burst - 1) * period).to_bytes(4, sys.byteorder) * 16)
            sleep_until(CIRCLE - 2000)
            front.send()
        for front in fronts:
            box = front.box
            ok(until(box.has_waiter, 1), f"{front.name}: due at moment 0: a waiter")
            equal(until(lambda: box.state().due, 1), 1, f"{front.name}: due at moment 0 is written as 1")
            front.send("127.0.0.1")
        sleep_until(CIRCLE + 100)
        for front in fronts:
            ok(wait_starts(front, "default", 2), f"{front.name}: due at moment 0: it starts")
            begun = starts(front, "default")
            late = begun[-1] - CIRCLE
            ok(len(begun) == 2 and 0 <= late < SLACK_MS, f"{front.name}: due at moment 0: {late:.0f} ms later")
            ok(front.settle(10), f"{front.name}: due at moment 0: nobody is left")
            equal(front.box.state().due, 0, f"{front.name}: due at moment 0: nothing is owed")


def fresh_before_0():
    """Zeros are a fresh state, and not one whose cells are all full until moment 0."""
    set_clock(CIRCLE - 5000)
    with ExitStack() as stack:
        for front in each_program(stack, "", {"default": "limit 1/10s burst 1\ninterval 0s\n"}):
            front.send()
            ok(wait_starts(front, "default", 1, 3), f"G1: {front.name}: a fresh state before moment 0: starts")
            late = starts(front, "default")[:1] or [0]
            ok(late[0] < CIRCLE - 1500, f"G1: {front.name}: a fresh state before moment 0: at once")
            equal(front.box.state().deferred, 0, f"G1: {front.name}: a fresh state before moment 0: not deferred")


# ---- A boot, or a long sleep, while the state stays ----


def debts(front):
    """Leaves a state that owes: one source at its limit, a run and a waiter that are killed."""
    front.send()
    wait_starts(front, "default", 1)
    for _ in range(2):
        front.send()
    until(lambda: front.box.has_waiter() and front.box.state().due, 5)
    front.kill()


def nothing(_):
    pass


def half_started(front):
    """As if the machine had stopped between a start and its action."""
    front.box.state().poke("owed", 1)
    front.box.state().poke("action", 1)


def in_reach(front):
    """Every moment of the state just ahead of the new clock."""
    now = boottime_ms() % CIRCLE
    for word in ("due", "last_start"):
        front.box.state().poke(word, now + 500)


def set_to(before, after, name, change=nothing):
    interval, window = 1000, 2 * 1000
    accounts = {"default": f"limit 1/s burst 1\ninterval {interval}ms\n"}
    set_clock(before)
    with ExitStack() as stack:
        fronts = each_program(stack, "", accounts)
        for front in fronts:
            debts(front)
        set_clock(after)
        counts = [len(starts(front, "default")) for front in fronts]
        begun, sent = boottime_ms(), []
        for front in fronts:
            change(front)
            front.start()
        while boottime_ms() < begun + interval + window + 500:
            sent.append(boottime_ms())
            for front in fronts:
                front.send()
            time.sleep(0.1)
        for front, count in zip(fronts, counts):
            check_after(front, count, begun, sent, interval, window, f"{front.name}: {name}")


def check_after(front, count, begun, sent, interval, window, name):
    bound = max(interval, window) + SLACK_MS
    ok(front.settle(20), f"{name}: nobody is left waiting")
    new = starts(front, "default")[count:]
    late = new[0] - begun if new else -1
    ok(0 <= late <= bound, f"G6: {name}: the first start after {late:.0f} ms")
    words = [r.last_start for r in runs(front, "default")[count:]]
    gaps = [word_until(a, b) for a, b in zip(words, words[1:])]
    if not ok(gaps and min(gaps) >= interval, f"G2: {name}: starts are an interval apart, from the first on"):
        diag(f"{gaps} ms")
    wrong = [a for a in sent if not any(0 <= s - a <= bound for s in new)]
    ok(not wrong, f"G1: {name}: each of {len(sent)} lines has its start")


def booted_in_debt():
    """What a dead waiter owes is paid, though it is due in days by the new clock."""
    for before in (10 * DAY, 30 * DAY):
        set_clock(before)
        with ExitStack() as stack:
            fronts = each_program(stack, "", {"default": "limit 1/s burst 1\ninterval 1s\n"})
            for front in fronts:
                debts(front)
            set_clock(15_000)
            for front in fronts:
                what = f"{front.name}: booted after {before // DAY} days, in debt"
                count = len(starts(front, "default"))
                ok(front.box.state().due != 0, f"{what}: a start is owed")
                front.start()
                front.send(data=b"x")
                ok(wait_starts(front, "default", count + 1, 2 + SLACK_MS / 1000), f"G5: {what}: it is paid")
                ok(front.settle(10) and front.box.state().due == 0, f"G5: {what}: and nothing is left")


def booted():
    """The clock is far behind the state's moments."""
    set_to(10 * DAY, 20_000, "booted after 10 days")


def booted_later():
    """Behind by more than half of the circle, so that they look like the past."""
    set_to(30 * DAY, 15_000, "booted after 30 days")
    set_to(40 * DAY, 15_000, "booted in the middle of a start", half_started)


def booted_as_old():
    """The new clock comes to where the old one was."""
    set_to(60_000, 58_500, "booted, and as old as before")
    set_to(2 * DAY, 90_000, "booted, all moments just ahead", in_reach)


def slept():
    set_to(DAY, DAY + 9 * 3600 * 1000, "slept for 9 hours")
    set_to(20 * DAY, 20 * DAY + HALF + 1000, "slept for half of the circle")


try:
    set_clock(boottime_ms())
except OSError as e:
    print(f"1..0 # SKIP no time namespace of its own: {e}")
    sys.exit(0)
nmtest.run(
    over_2_to_the_31,
    over_2_to_the_32,
    moment_0,
    fresh_before_0,
    booted_in_debt,
    booted,
    booted_later,
    booted_as_old,
    slept,
)
