#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What the relay asks the kernel for: a line sent is so many system calls, and an event or a login none of its own. It
is a service, whose loop and clock have calls of their own, which are left out: how many those are depends on what
comes together."""

import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
import nmtest
from nmtest import diag, equal, ok, until
from refuse_at import REFUSE_AT, Counts
from relay import RELAY, Machine, Relay

COUNT = 40
# Of a line; to another machine it is one getsockopt() more, or two, when its acknowledgement comes later.
LINE_CALLS = {"socket": 1, "setsockopt": 1, "connect": 1, "sendto": 1, "shutdown": 1, "epoll_ctl": 2, "close": 1}
ACKNOWLEDGED = "getsockopt"
ACKNOWLEDGED_MOST = 3
LOOP = {"epoll_wait", "gettid", "recvmmsg", "timerfd_settime", "read"}
LOG = {"write", "writev", "poll", "getpid"}


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


def a_line():
    with Counted() as counted:
        made = counted.of(counted.lines)
        loop = sum(made.pop(name, 0) for name in LOOP)
        for name in LOG:
            made.pop(name, 0)
        looks = made.pop(ACKNOWLEDGED, 0)
        equal(made, {name: times * COUNT for name, times in LINE_CALLS.items()}, "a line: system calls of its own")
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
        for text in ("mail nobody", "login nobody 127.0.0.9"):
            counted.relay.tell(text)
            counted.settle()
            made = counted.of(lambda: tell(text))
            more = {name: times - alone.get(name, 0) for name, times in made.items() if name not in LOOP | LOG | {ACKNOWLEDGED}}
            ok(all(times < COUNT / 2 for times in more.values()), f"'{text}': no system call of its own") or diag(more)
            ok(made["recvmmsg"] <= 2 * COUNT + 4, f"'{text}': at most one that reads") or diag(made)


if not RELAY.exists():
    print("1..0 # SKIP the relay is not built")
    sys.exit(0)
nmtest.run(a_line, events_and_logins)
