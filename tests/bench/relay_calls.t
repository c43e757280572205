#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What the relay asks the kernel for: a line sent is so many system calls, and an event or a login none of its own;
and how many instructions in user space those two are. They are held to limits.tsv, made with

    make && make bench-programs && tests/bench/relay_calls.t --write

It is a service, whose loop and clock have calls of their own, which are left out: how many those are depends on what
comes together."""

import socket
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
import limits
import nmtest
from nmtest import BUILD, diag, equal, ok, skip, until
from refuse_at import REFUSE_AT, Counts
from relay import RELAY, Machine, Relay

COUNT = 40
# To another machine it is one of these more, or two, when its acknowledgement comes later.
ACKNOWLEDGED = "getsockopt"
ACKNOWLEDGED_MOST = 3
LOOP = {"epoll_wait", "gettid", "recvmmsg", "timerfd_settime", "read"}
LOG = {"write", "writev", "poll", "getpid"}
# In the table a line's calls have a row each.
A_LINE, AN_EVENT, A_LOGIN = "relay/line/", "relay/event", "relay/login"
TOLD = {AN_EVENT: "mail nobody", A_LOGIN: "login nobody 127.0.0.9"}
STEPPED = {**TOLD, AN_EVENT: "mail alice"}  # whom a line is owed already
# The C library has ways of its own for each kind of processor.
INSTRUCTIONS = 0.2
# Of comsat's; a nap follows each reading.
FLOOD, FLOOD_GAP_SECONDS, NAP_SECONDS = 400, 0.0005, 0.004
# So few that in some of the tries no tick of the kernel's clock comes while it is read, which makes it be read again.
FEW, MANY, TRIES = 1, 3, 12


class Counted:
    """A relay whose calls are counted."""

    def __init__(self):
        self.machine = Machine("0.0.0.0")
        users = "".join(f"user u{number} 127.1.0.{number + 1}:{self.machine.port}\n" for number in range(COUNT))
        self.relay = Relay(f"interval 100ms\nsettle 100ms\n{users}user * last\n", activated=True)
        self.counts = Counts(self.relay.dir / "counts")
        self.relay.start(wait=False, under=(REFUSE_AT, self.relay.dir / "counts", "-", 0, 1, 1))
        # What it does once is done.
        self.lines()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.relay.__exit__()
        self.machine.close()

    def lines(self):
        """One to each, and the relay knows of all of them."""
        before = len(self.machine.lines)
        for number in range(COUNT):
            self.relay.tell(f"mail u{number}")
        until(lambda: len(self.machine.lines) == before + COUNT)
        self.settle()

    def settle(self):
        """Until a second has gone by in which it did nothing but what its clock has it do."""
        def others():
            return {name: made for name, (made, _) in self.counts().items() if name not in LOOP}

        def is_quiet():
            before = others()
            time.sleep(1)
            return others() == before

        until(is_quiet)

    def of(self, what):
        """{call: how often}"""
        before = self.counts()
        what()
        made = {name: times - before.get(name, (0, 0))[0] for name, (times, _) in self.counts().items()}
        return {name: times for name, times in made.items() if times}


def line_calls():
    """{call: how often}, of a line; and of the loop, and how often it was looked whether a line is acknowledged."""
    with Counted() as counted:
        made = counted.of(counted.lines)
        loop = sum(made.pop(name, 0) for name in LOOP)
        for name in LOG:
            made.pop(name, 0)
        looks = made.pop(ACKNOWLEDGED, 0)
        return {name: times / COUNT for name, times in made.items()}, loop, looks


def a_line():
    made, loop, looks = line_calls()
    wanted = {name.removeprefix(A_LINE): calls for name, (_, calls, _) in limits.read().items() if name.startswith(A_LINE)}
    equal(made, wanted, "a line: system calls of its own")
    ok(COUNT <= looks <= ACKNOWLEDGED_MOST * COUNT, "a line: looks whether it is acknowledged")
    ok(loop <= 12 * COUNT, "a line: the loop's, however few come together") or diag(loop)


def events_and_logins():
    """An event for nobody, and a login that is known already. The store's commit comes from time to time."""
    with Counted() as counted:
        def tell(text):
            for number in range(COUNT):
                counted.relay.tell(text)
            # They are read in their order.
            counted.lines()

        alone = counted.of(counted.lines)
        for name, text in TOLD.items():
            wanted = limits.read()[name][1]
            counted.relay.tell(text)
            counted.settle()
            made = counted.of(lambda: tell(text))
            more = {call: times - alone.get(call, 0) for call, times in made.items() if call not in LOOP | LOG | {ACKNOWLEDGED}}
            own = sum(round(times / COUNT) for times in more.values())
            equal(own, wanted, f"'{text}': system calls of its own") or diag(more)
            ok(made["recvmmsg"] <= 2 * COUNT + 4, f"'{text}': at most one that reads") or diag(made)


def unused_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def a_flood():
    """Of comsat's datagrams it reads some together, however fast each comes behind the last: it is not woken for each.
    And the last of them is not forgotten."""
    port = unused_port()
    with Machine() as machine, Relay(f"interval 1h\nbiff 127.0.0.1:{port}\nuser bob {machine}\n") as relay:
        relay.kill()
        counts = Counts(relay.dir / "counts")
        relay.start(wait=False, under=(REFUSE_AT, relay.dir / "counts", "-", 0, 1, 1))
        until(lambda: "epoll_wait" in counts())
        reads = lambda: counts().get("recvmmsg", (0, 0))[0]
        begun, before = time.monotonic(), reads()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as biff:
            for user in [*["nobody"] * FLOOD, "bob"]:
                biff.sendto(f"{user}@1\0".encode(), ("127.0.0.1", port))
                time.sleep(FLOOD_GAP_SECONDS)
            told = until(lambda: machine.lines)
        made, took = reads() - before, time.monotonic() - begun
        ok(told, "a flood: the last is told")
        ok(0 < made <= took / NAP_SECONDS + 3, "a flood: one reading a nap") or diag(f"{made} in {took:.3f} s")


def stepped(relay, text, count):
    """Instructions of the relay's, when it has read so many together, until it asks for something else."""
    words = [BUILD / "bench" / "relay_load", "steps", str(relay.process.pid)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stepping:
        stepping.stdout.readline()  # it is stopped
        for _ in range(count):
            relay.tell(text)
        received, steps = map(int, stepping.communicate("\n")[0].split())
    if received != count:
        raise RuntimeError(f"{received} came together")
    return steps


def instructions():
    """{name: of one}: what more of them together are more. The least of some tries."""
    machine, least = Machine(), {}
    with machine, Relay(f"interval 1h\nuser alice {machine}\nuser * last\n") as relay:
        relay.tell("mail alice")
        until(lambda: machine.lines)
        for name, text in STEPPED.items():
            stepped(relay, text, 1)
            few, many = (min(stepped(relay, text, count) for _ in range(TRIES)) for count in (FEW, MANY))
            least[name] = round((many - few) / (MANY - FEW))
    return least


def steps():
    why = limits.why_not() or (None if nmtest.is_root() else "only root may look at how it works")
    if why:
        skip("an event's instructions, and a login's", why)
        return
    table = limits.read()
    for name, got in instructions().items():
        wanted = table[name][0]
        ok(abs(got - wanted) <= INSTRUCTIONS * wanted, f"{name}: instructions in user space") or diag(f"{got}, not {wanted}")


def write():
    line, _, _ = line_calls()
    rows = {A_LINE + call: (None, round(times), None) for call, times in sorted(line.items())}
    limits.write({**rows, **{name: (count, 0, None) for name, count in instructions().items()}})


if not RELAY.exists():
    print("1..0 # SKIP the relay is not built")
    sys.exit(0)
if sys.argv[1:] == ["--write"]:
    write()
    sys.exit(0)
nmtest.run(a_line, events_and_logins, a_flood, steps)
