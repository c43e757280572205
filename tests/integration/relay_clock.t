#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotify-relay and clocks that jump: S1 and S2 hold whatever the wall clock says, and what CLOCK_BOOTTIME says after
a start; a login counts from when it was, and who has logged in last is last, though a clock was a year ahead. The
wall clock is what wall_clock.so.c makes it, the others what time namespaces do (time_namespaces(7))."""

import ctypes
import mmap
import os
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import BUILD, equal, ok, skip, until
from redis_server import REDIS, Redis
from relay import QUICK, RELAY, Beginnings, Machine, Relay

WALL_CLOCK = BUILD / "tests" / "wall_clock.so"
YEAR, DAY = 365 * 86400, 86400
INTERVAL = 0.5
BEGINNINGS = Beginnings() if nmtest.is_root() else None


class WallClock:
    """How many seconds a relay's is ahead."""

    def __init__(self, directory):
        self.path = Path(directory) / "wall_clock"
        self.path.write_bytes(bytes(8))
        with open(self.path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    def set(self, ahead):
        self._map[:] = struct.pack("q", ahead)

    def environment(self):
        return {"LD_PRELOAD": str(WALL_CLOCK), "WALL_CLOCK": str(self.path)}


def set_machine_clocks(ahead):
    """For a process and its children: of CLOCK_BOOTTIME and CLOCK_MONOTONIC."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x80) != 0:  # CLONE_NEWTIME
        raise OSError(ctypes.get_errno(), "unshare")
    with open("/proc/self/timens_offsets", "w") as file:
        file.write(f"boottime {ahead} 0\nmonotonic {ahead} 0\n")
    fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY)
    if libc.setns(fd, 0x80) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


def apart(machine, name):
    if not BEGINNINGS:
        skip(f"S2: {name}", "not root")
        return
    began = BEGINNINGS.of(machine.port, since=machine.made)
    gaps = [b - a for a, b in zip(began, began[1:])]
    ok(all(gap >= INTERVAL - 0.002 for gap in gaps), f"S2: {name}: an interval apart, {len(began)} of them") or nmtest.diag(gaps)


def told_again(relay, machine, name):
    before = len(machine.lines)
    relay.tell("mail alice")
    ok(until(lambda: len(machine.lines) > before), f"S1: {name}: told")


# ---- The wall clock ----


def wall_clock():
    """Of what is owed it is not asked."""
    with Machine() as machine, Relay(f"{QUICK}user alice {machine}\nuser bob 127.0.0.1:1\n") as relay:
        clock = WallClock(relay.dir)
        relay.kill()
        relay.start(**clock.environment())
        relay.tell("mail bob")
        for ahead in (YEAR, 0, -YEAR, 40 * YEAR, -40 * YEAR, 0):
            clock.set(ahead)
            told_again(relay, machine, f"the wall clock {ahead // YEAR} years ahead")
        for ahead in (-YEAR, YEAR, 0):
            relay.kill()
            clock.set(ahead)
            relay.start(**clock.environment())
            told_again(relay, machine, f"started {ahead // YEAR} years ahead")
        ok(len(relay.said("failed user=bob")) >= 2 and not relay.said("expired"), "S1: what is owed is tried again all the time")
        apart(machine, "wall clocks")


class Addresses:
    """Machines at a few addresses, and one port."""

    def __init__(self, *addresses):
        first = Machine(addresses[0])
        self.machines = [first, *(Machine(address, first.port) for address in addresses[1:])]
        self.port = first.port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for machine in self.machines:
            machine.close()

    def told(self, relay, user="carol"):
        """Whom an event is sent to."""
        before = [len(machine.lines) for machine in self.machines]
        changed = lambda: [m.address for m, count in zip(self.machines, before) if len(m.lines) > count]
        relay.tell(f"mail {user}")
        until(changed)
        return changed()


def last_logins(store, name, restarts):
    """Who logs in while the clock is ahead is where he was for no longer than until he logs in elsewhere."""
    with Addresses("127.0.0.31", "127.0.0.32", "127.0.0.33") as at, \
            Relay(f"{QUICK}{store}user carol last:{at.port} 127.0.0.33:{at.port}\nuser dan last:{at.port}\n") as relay:
        clock = WallClock(relay.dir)

        def jump(ahead):
            clock.set(ahead)
            if restarts:
                relay.kill()
                relay.start(**clock.environment())

        relay.kill()
        relay.start(**clock.environment())
        equal(at.told(relay), ["127.0.0.33"], f"{name}: nobody knows where she is")
        jump(YEAR)
        relay.tell("login carol 127.0.0.31")
        equal(at.told(relay), ["127.0.0.31"], f"{name}: a year ahead: where she logs in")
        jump(0)
        equal(at.told(relay), ["127.0.0.31"], f"{name}: set back: it still counts")
        relay.tell("login carol 127.0.0.32")
        equal(at.told(relay), ["127.0.0.32"], f"{name}: set back: where she logged in last")
        jump(0)
        equal(at.told(relay), ["127.0.0.32"], f"{name}: set back: and that stays so")
        jump(29 * DAY)
        equal(at.told(relay), ["127.0.0.32"], f"{name}: 29 days later: still")
        jump(31 * DAY)
        equal(at.told(relay), ["127.0.0.33"], f"{name}: 31 days later: neither login counts")


def last_in_lmdb():
    last_logins("", "LMDB", False)


def last_in_lmdb_restarted():
    last_logins("", "LMDB, restarted", True)


def last_in_memory():
    """Nobody answers at the store."""
    last_logins("store redis://127.0.0.1:1\n", "no store", False)


def last_in_redis():
    if not REDIS.exists():
        skip("last_in_redis", "tests/packages has not unpacked redis-tools")
        return
    with tempfile.TemporaryDirectory(prefix="nmnotify-clock.") as place, Redis(place) as redis:
        last_logins(f"store redis+unix:{redis.path}\n", "Redis", True)


def old_logins_go():
    """A login of the future is as old as any when others have logged in, and its user has not."""
    user = "~carol"  # the last: to whom it comes wherever it begins
    with Addresses("127.0.0.31", "127.0.0.32") as at, \
            Relay(f"{QUICK}user {user} last:{at.port} 127.0.0.32:{at.port}\n") as relay:
        clock = WallClock(relay.dir)
        clock.set(YEAR)
        relay.kill()
        relay.start(**clock.environment())
        relay.tell(f"login {user} 127.0.0.31")
        equal(at.told(relay, user), ["127.0.0.31"], "a year ahead: where she logs in")
        for ahead in (0, 31 * DAY):
            # Each start and end commits, and goes over old logins when it does.
            for number in range(4):
                relay.kill(15)
                clock.set(ahead)
                relay.start(**clock.environment())
                relay.tell(f"login u{ahead}.{number} 127.0.0.9")
        equal(at.told(relay, user), ["127.0.0.32"], "31 days after the clock was set back: it does not count")


# ---- The machine's clocks ----


def machine_clocks():
    """As after a boot that has kept the files, or a sleep: they are those of this boot."""
    with Machine() as machine, Relay(f"{QUICK}keep 7d\nuser alice {machine}\nuser bob 127.0.0.1:1\n") as relay:
        was = 0
        for ahead in (2 * DAY, 0, 3 * DAY, 60):
            told = len(machine.lines)
            relay.tell("mail bob")
            relay.tell("mail alice")
            until(lambda: len(machine.lines) > told)
            relay.kill()
            before, failures = len(machine.lines), len(relay.said("failed user=bob"))
            try:
                relay.start(prepare=lambda: set_machine_clocks(ahead))
            except Exception as e:  # of a process between fork(2) and exec(2)
                skip("S1: the machine's clocks", f"no time namespace of its own: {e}")
                return
            what = f"the machine's clocks {ahead} s ahead"
            relay.tell("mail alice")
            ok(until(lambda: len(machine.lines) > before), f"S1: {what}: told")
            ok(until(lambda: len(relay.said("failed user=bob")) > failures), f"S1: {what}: what was owed is tried again")
            if BEGINNINGS and ahead < was:
                until(lambda: len(BEGINNINGS.of(machine.port, since=machine.made)) == len(machine.lines))
                first, second = BEGINNINGS.of(machine.port, since=machine.made)[-2:]
                ok(second - first >= INTERVAL - 0.002, f"S2: {what}: an interval apart") or nmtest.diag(second - first)
            was = ahead
        equal(relay.said("expired"), [], "S1: nothing is over")


def slept_for_too_long():
    """`keep` is over: it is given up, which is said, and what comes then is told."""
    with Machine() as machine, Relay(f"{QUICK}user alice {machine}\nuser bob 127.0.0.1:1\n") as relay:
        relay.tell("mail bob")
        until(lambda: relay.said("failed user=bob"))
        relay.kill()
        try:
            relay.start(prepare=lambda: set_machine_clocks(YEAR))
        except Exception as e:
            skip("S1: a long sleep", f"no time namespace of its own: {e}")
            return
        ok(until(lambda: relay.said("1 users were not told within `keep`")), "S1: slept for a year: it is said that it is over")
        told_again(relay, machine, "slept for a year")


if not RELAY.exists():
    print("1..0 # SKIP the relay is not built")
    sys.exit(0)
nmtest.run(wall_clock, last_in_lmdb, last_in_lmdb_restarted, last_in_memory, last_in_redis, old_logins_go, machine_clocks,
           slept_for_too_long)
