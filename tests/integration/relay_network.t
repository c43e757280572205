#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotify-relay and networks that are no good, each in a network namespace of its own (network_namespaces(7)): what
drops packets, refuses, resets, crawls, or falls silent behind the handshake. S1, S2, Fair: it is tried again and
again, less and less often, by one connection at a time, delays nobody else, and is told when the fault is gone."""

import ctypes
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, diag, equal, ok, until
from relay import Beginnings, Machine, Relay

CLONE_NEWNET = 0x40000000
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
# Shorter than the kernel waits before it sends a SYN again: each of them is a try then.
TIMEOUT, INTERVAL = 0.9, 0.5
TEXT = "interval 500ms\nsettle 100ms\ntimeout 900ms\nnever 203.0.113.0/24\n"
_libc = ctypes.CDLL(None, use_errno=True)


def enter(fd, kind=CLONE_NEWNET):
    if _libc.setns(fd, kind) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def ip(*words, within=None):
    subprocess.run(["ip", *map(str, words)], check=True, preexec_fn=within and within.enter)


def tc(*words, within=None):
    subprocess.run(["tc", *map(str, words)], check=True, preexec_fn=within and within.enter)


class Network:
    """Another host's, behind a cable from ours."""

    count = 0

    def __init__(self):
        Network.count += 1
        self.here, self.address = f"10.99.{Network.count}.1", f"10.99.{Network.count}.2"
        self.port, self.cable = 7900 + Network.count, f"cable{Network.count}"
        self.process = subprocess.Popen(["sleep", "1000"], preexec_fn=lambda: _libc.unshare(CLONE_NEWNET))
        self.fd = os.open(f"/proc/{self.process.pid}/ns/net", os.O_RDONLY)
        ip("link", "add", self.cable, "type", "veth", "peer", "name", "there", "netns", self.process.pid)
        ip("addr", "add", f"{self.here}/24", "dev", self.cable)
        ip("link", "set", self.cable, "up")
        ip("link", "set", "lo", "up", within=self)
        ip("addr", "add", f"{self.address}/24", "dev", "there", within=self)
        ip("link", "set", "there", "up", within=self)
        self.machine = None

    def __str__(self):
        return f"{self.address}:{self.port}"

    def enter(self):
        enter(self.fd)

    def run(self, function):
        """In a thread that is over there: what it opens stays there."""
        result = []

        def there():
            self.enter()
            result.append(function())

        thread = threading.Thread(target=there)
        thread.start()
        thread.join()
        return result[0]

    def listen(self, **how):
        self.machine = self.run(lambda: Machine(self.address, self.port, **how))

    def close(self):
        if self.machine:
            self.machine.close()
        os.close(self.fd)
        self.process.kill()
        self.process.wait()


# ---- What can be wrong ----


def filter_of(instructions):
    """For SO_ATTACH_FILTER: what the kernel sees of a segment begins with TCP's header. Those that it does not take are
    as if they had never come; a connection has the filter that its listener had."""
    buffer = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in instructions))
    return struct.pack("HL", len(instructions), ctypes.addressof(buffer)), buffer


# What it drops: everything; or whatever has data: ld #len, st M[0], ldb [12], rsh #2, and #60, ldx M[0], jeq x.
ALL = [(0x06, 0, 0, 0)]
DATA = [(0x80, 0, 0, 0), (0x02, 0, 0, 0), (0x30, 0, 0, 12), (0x74, 0, 0, 2), (0x54, 0, 0, 60), (0x61, 0, 0, 0),
        (0x1D, 0, 1, 0), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)]


class Dropped:
    """A firewall that drops what comes."""

    is_seen = True  # its packets are, when it is tried
    reasons, drops = {"Connection timed out"}, ALL

    def begin(self, network):
        network.listen()
        program, self._kept = filter_of(self.drops)
        network.machine.listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def end(self, network):
        network.machine.listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


class SilentBehindTheHandshake(Dropped):
    """It takes the connection, and acknowledges nothing."""

    drops = DATA


class AnswersLost:
    """What comes back goes nowhere."""

    is_seen = True
    reasons = {"Connection timed out"}

    def begin(self, network):
        network.listen()
        ip("route", "add", "blackhole", f"{network.here}/32", within=network)

    def end(self, network):
        ip("route", "del", "blackhole", f"{network.here}/32", within=network)


class Unreachable:
    """There is no way there, which the kernel says at once."""

    is_seen = False
    reasons = {"No route to host"}

    def begin(self, network):
        network.listen()
        ip("route", "add", "unreachable", f"{network.address}/32")

    def end(self, network):
        ip("route", "del", "unreachable", f"{network.address}/32")


class Unplugged:
    """Nobody answers for the address. What the kernel says of that comes later than our time, or may."""

    is_seen = False
    reasons = {"Connection timed out", "No route to host"}

    def begin(self, network):
        network.listen()
        ip("link", "set", "there", "down", within=network)

    def end(self, network):
        ip("link", "set", "there", "up", within=network)


class Refused:
    """Nobody listens."""

    is_seen = True
    reasons = {"Connection refused"}

    def begin(self, network):
        pass

    def end(self, network):
        network.listen()


class Crawling:
    """Each packet takes longer than our time."""

    is_seen = False  # when it was sent, but only when it left
    reasons = {"Connection timed out"}

    def begin(self, network):
        network.listen()
        tc("qdisc", "add", "dev", network.cable, "root", "tbf", "rate", "80bit", "burst", "100", "limit", "10000")

    def end(self, network):
        tc("qdisc", "del", "dev", network.cable, "root")


KINDS = (Dropped, SilentBehindTheHandshake, AnswersLost, Unreachable, Unplugged, Refused, Crawling)


# ---- The test ----


def tries(network):
    """When it was tried."""
    return BEGINNINGS.of(network.port)


def check_tries(name, kind, network):
    """S2, and less and less often: after a second, two, four, or up to a quarter less."""
    ok(until(lambda: len(tries(network)) >= 3), f"{name}: three tries are seen")
    times = tries(network)
    gaps = [b - a for a, b in zip(times, times[1:])]
    waits = TIMEOUT if kind.reasons == {"Connection timed out"} else 0
    least = [max(INTERVAL, 0.75 * 2**number + waits) - 0.05 for number in range(len(gaps))]
    if not ok(all(gap >= rest for gap, rest in zip(gaps, least)), f"S1, S2: {name}: each try later than the one before"):
        diag(f"{gaps}, not {least}")


def faults():
    with ExitStack() as stack:
        kinds = {kind.__name__: kind() for kind in KINDS}
        networks = {name: stack.enter_context(closing(Network())) for name in (*kinds, "live")}
        live = networks["live"]
        live.listen()
        for name, kind in kinds.items():
            kind.begin(networks[name])
        users = "".join(f"user {name} {network}\n" for name, network in networks.items())
        relay, begin = stack.enter_context(Relay(TEXT + users)), time.monotonic()
        for name in (*kinds, "live"):
            relay.tell(f"mail {name}")
        ok(until(lambda: live.machine.lines), "Fair: beside all of them one that is well is told")
        for name, kind in kinds.items():
            ok(until(lambda: len(relay.said(f"failed user={name}")) >= 3), f"S1: {name}: is tried again and again")
            reasons = {line.split("reason=")[1].split('"')[1] for line in relay.said(f"failed user={name}")}
            ok(reasons <= kind.reasons, f"{name}: says why") or diag(reasons)
        before = relay.log()
        first = next((number for number, line in enumerate(before) if "done user=live" in line), len(before))
        late = [line for line in before[:first] if "timed out" in line]
        equal(late, [], "Fair: and before any other's time was up")
        count = len(live.machine.lines)
        relay.tell("mail live")
        ok(until(lambda: len(live.machine.lines) > count), "Fair: and again, when all of them have failed")
        equal([name for name in kinds if networks[name].machine and LINE in dict(networks[name].machine.lines).values()], [],
              "nobody else has got the line")
        for name, kind in kinds.items():
            if kind.is_seen:
                check_tries(name, kind, networks[name])
        for name, kind in kinds.items():
            kind.end(networks[name])
        # No try is later than twice as long as all that was before.
        patience = nmtest.PATIENCE + 3 * (time.monotonic() - begin)
        for name in kinds:
            told = lambda: [line for _, line in networks[name].machine.lines if line == LINE]
            ok(until(told, patience), f"S1: {name}: is told when the fault is gone")
        ok(until(lambda: all(relay.said(f"done user={name}") for name in kinds)), "and it knows")
        equal([name for name in kinds if networks[name].machine.most_open > 1], [], "S2: one connection at a time")


def resets():
    """A connection that is reset as soon as it is there: done if the line was acknowledged, else tried again."""
    with ExitStack() as stack:
        network = stack.enter_context(closing(Network()))
        listener = network.run(lambda: socket.create_server((network.address, network.port)))

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        relay = stack.enter_context(Relay(f"{TEXT}user alice {network}\n"))
        for _ in range(5):
            relay.tell("mail alice")
            time.sleep(INTERVAL)
        ok(until(lambda: relay.said("user=alice")), "reset: it is tried")
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        network.listen()
        # What the other kernel has acknowledged is done: only what is owed now must come.
        relay.tell("mail alice")
        ok(until(lambda: network.machine.lines), "S1: reset: then told")
        gaps = [b - a for a, b in zip(tries(network), tries(network)[1:])]
        ok(all(gap >= INTERVAL - 0.002 for gap in gaps), "S2: reset: an interval apart") or diag(gaps)


class closing:
    def __init__(self, thing):
        self.thing = thing

    def __enter__(self):
        return self.thing

    def __exit__(self, *_):
        self.thing.close()


if not nmtest.is_root() or _libc.unshare(CLONE_NEWNET) != 0:
    print("1..0 # SKIP no network namespaces of its own")
    sys.exit(0)
ip("link", "set", "lo", "up")
BEGINNINGS = Beginnings(None)
nmtest.run(faults, resets)
