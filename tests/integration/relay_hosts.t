#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Two nmnotify-relays, as on two delivery hosts, with a real Redis between them: S2 over both, S1 for each, and what
becomes of it when a relay or the store dies. They are known from each other by the address that they send from."""

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import ExitStack

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, diag, equal, ok, skip, until
from redis_server import REDIS, Redis
from relay import RELAY, Beginnings, Machine, Relay

ONE, TWO = "127.0.0.21", "127.0.0.22"
INTERVAL = 0.5
TEXT = "interval 500ms\nsettle 100ms\ntimeout 1s\nnever 203.0.113.0/24\n"
BEGINNINGS = Beginnings() if nmtest.is_root() else None


class Hosts:
    """A store, and a relay of each host."""

    def __init__(self, users, store="redis+unix:{redis.path}"):
        self.users, self.store = users, store

    def __enter__(self):
        self._stack = ExitStack()
        place = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="nmnotify-hosts."))
        self.redis = self._stack.enter_context(Redis(place))
        text = TEXT + f"store {self.store.format(redis=self.redis)}\n" + self.users
        self.one = self._stack.enter_context(Relay(f"{text}source {ONE}\n"))
        self.two = self._stack.enter_context(Relay(f"{text}source {TWO}\n"))
        return self

    def __exit__(self, *_):
        self._stack.close()

    def both(self):
        return self.one, self.two


def apart(machine, name, sender=None):
    """S2: of all its lines, or of one relay's. Both ends of a gap are cut to a millisecond."""
    if not BEGINNINGS:
        skip(f"S2: {name}", "not root")
        return
    began = BEGINNINGS.of(machine.port, sender, machine.made)
    gaps = [b - a for a, b in zip(began, began[1:])]
    if not ok(len(began) > 2 and min(gaps) >= INTERVAL - 0.002, f"S2: {name}"):
        diag(gaps)


def lines_from(machine, sender):
    return [when for (when, line), who in zip(machine.lines, machine.senders) if who == sender and line == LINE]


def told_to_the_end(hosts, machine, name, seconds=4):
    """S1: events at both for so long; of each relay a line comes behind its last one."""
    begin = time.time()
    while time.time() < begin + seconds:
        for relay in hosts.both():
            for number in range(20):
                relay.tell(f"mail u{number}")
        time.sleep(0.02)
    last = time.time()
    for relay, sender in ((hosts.one, ONE), (hosts.two, TWO)):
        # What began before may have come behind it: one more that did not.
        relay.tell("mail u1")
        if not ok(until(lambda: any(when > last for when in lines_from(machine, sender))), f"S1: {name}: the last one of {sender}"):
            diag("\n".join(relay.log()[-5:]))
    return begin


def one_destination():
    with Machine() as machine, Hosts(f"user * {machine}\n") as hosts:
        begin = told_to_the_end(hosts, machine, "one destination")
        apart(machine, "one destination: over both relays, an interval apart")
        most = (machine.times()[-1] - begin) / INTERVAL + 2
        ok(len(machine.lines) <= most, f"S2: one destination: {len(machine.lines)} lines, at most {most:.0f}")
        equal(machine.most_open, 1, "S2: one destination: one connection at a time")
        equal({line for _, line in machine.lines}, {LINE}, "S7: one destination: nothing else")


def logins():
    """Where somebody has logged in at one host, the other knows."""
    with Machine("127.0.0.23") as first, Machine("127.0.0.24", first.port) as second, \
            Hosts(f"user carol last:{first.port}\n", "redis://127.0.0.1:{redis.port}/1") as hosts:
        hosts.one.tell("login carol 127.0.0.23")
        ok(until(lambda: hosts.two.tell("mail carol") or until(lambda: first.lines, 0.3)), "a login at one is used by the other")
        equal(set(first.senders), {TWO}, "which has sent the line")
        hosts.two.tell("login carol 127.0.0.24")
        ok(until(lambda: hosts.one.tell("mail carol") or until(lambda: second.lines, 0.3)), "and the other way round")
        equal(set(second.senders), {ONE}, "likewise")


def killed_with_the_claim():
    """The one that sends dies while it does. Its claim is over by itself, and not before."""
    with socket.socket() as full, ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        holders = [stack.enter_context(socket.socket()) for _ in range(3)]
        for holder in holders:
            holder.setblocking(False)
            holder.connect_ex(address)
        hosts = stack.enter_context(Hosts(f"user * 127.0.0.1:{address[1]}\n"))
        key = f"nmnotify:to:tcp:127.0.0.1:{address[1]}"
        hosts.one.tell("mail alice")
        if not ok(until(lambda: hosts.redis.command("EXISTS", key) == b":1\r\n"), "the first has the claim"):
            diag(hosts.redis.command("KEYS", "*"))
        hosts.one.kill()
        left = int(hosts.redis.command("PTTL", key)[1:]) / 1000
        died = time.time()
        hosts.two.tell("mail alice")
        came = []

        def serve():
            while True:
                try:
                    connection, (sender, _) = full.accept()
                except OSError:
                    return
                with connection:
                    if sender == TWO and connection.recv(100) == LINE:
                        came.append(time.time())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        ok(until(lambda: came), "S1: killed with the claim: the other tells")
        ok(left > 0 and came and came[0] >= died + left - 0.1, f"S2: and not while the claim holds, {left:.2f} s")
        full.shutdown(socket.SHUT_RDWR)


def store_away():
    """Without the store each keeps to the interval alone, and nothing is lost; with it they find together again."""
    with Machine() as machine, Hosts(f"user * {machine}\n") as hosts:
        told_to_the_end(hosts, machine, "with the store", 1)
        hosts.redis.signal(signal.SIGKILL)
        ok(until(lambda: all(relay.said("store: away") for relay in hosts.both())), "both say that it is away")
        told_to_the_end(hosts, machine, "without the store", 3)
        for sender in (ONE, TWO):
            apart(machine, f"without the store: {sender} alone, an interval apart", sender)
        os.unlink(hosts.redis.path)
        hosts.redis.start()
        ok(until(lambda: all(relay.said("store: back") for relay in hosts.both())), "both say that it is back")
        until(lambda: not machine.open)
        # What each has begun alone is known to that one: only what comes an interval later is agreed on.
        time.sleep(INTERVAL * 2)
        before = len(BEGINNINGS.of(machine.port)) if BEGINNINGS else 0
        told_to_the_end(hosts, machine, "with the store again", 2)
        if BEGINNINGS:
            began = BEGINNINGS.of(machine.port)[before:]
            gaps = [b - a for a, b in zip(began, began[1:])]
            ok(min(gaps) >= INTERVAL - 0.002, "S2: with the store again: over both, an interval apart") or diag(gaps)
        for relay in hosts.both():
            equal((len(relay.said("away")), len(relay.said("store: back"))), (1, 1), "said once")


def store_hangs():
    """It answers no more, and then again: nobody waits for it for longer than a second, and nothing is lost."""
    with Machine() as machine, Hosts(f"user * {machine}\n") as hosts:
        told_to_the_end(hosts, machine, "with the store", 1)
        hosts.redis.signal(signal.SIGSTOP)
        told_to_the_end(hosts, machine, "the store hangs", 3)
        hosts.redis.signal(signal.SIGCONT)
        ok(until(lambda: all(relay.said("store: back") for relay in hosts.both())), "both say that it is back")
        told_to_the_end(hosts, machine, "the store goes on", 1)


class Late:
    """In front of a store: each of its answers is held back for so long. `claims`: how many were asked for."""

    def __init__(self, place, redis, seconds):
        self.path, self.redis, self.seconds, self.claims = f"{place}/late.socket", redis, seconds, 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            client, server = self.listener.accept()[0], socket.socket(socket.AF_UNIX)
            server.connect(self.redis.path)
            threading.Thread(target=self._pass_on, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, False), daemon=True).start()

    def _pass_on(self, source, to, is_asking):
        try:
            while some := source.recv(65536):
                if is_asking:
                    self.claims += b"'NX'" in some
                else:
                    time.sleep(self.seconds)
                to.sendall(some)
        except OSError:
            pass  # one of them has ended


def slow_answers():
    """A store that answers more slowly than `timeout` and `interval`, each time."""
    for _ in range(10):
        with Machine() as machine, tempfile.TemporaryDirectory(prefix="nmnotify-hosts.") as place, Redis(place) as redis:
            late = Late(place, redis, 0.25)
            with Relay(f"interval 100ms\ntimeout 100ms\nstore redis+unix:{late.path}\nuser * {machine}\n") as relay:
                relay.tell("mail alice")
                came = until(lambda: machine.lines, 5)
                # Slower still, it counts as away, and the relay sends alone.
                if not relay.said("store: away"):
                    equal((bool(came), late.claims), (True, 1), "S1: a slow answer is a claim")
                    return
    skip("S1: a slow answer is a claim", "this machine is too slow")


def old_answer():
    """What is older than a second and `timeout`: were the sender killed at its beginning, the claim would be over less
    than an interval behind that."""
    with Machine() as machine, tempfile.TemporaryDirectory(prefix="nmnotify-hosts.") as place, Redis(place) as redis:
        late = Late(place, redis, 0.3)
        with Relay(f"interval 500ms\ntimeout 100ms\nstore redis+unix:{late.path}\nuser * {machine}\n") as relay:
            relay.tell("mail alice")
            until(lambda: late.claims)
            relay.process.send_signal(signal.SIGSTOP)
            time.sleep(1.5)
            relay.process.send_signal(signal.SIGCONT)
            ok(until(lambda: machine.lines), "S1: an answer that is too old: the line is sent all the same")
            # Or it counts as away now.
            ok(late.claims > 1 or relay.said("store: away"), f"S2: it is no claim: asked {late.claims} times")


def is_connecting(address, port):
    """Has a connection from there to this port been asked for, and not been answered?"""
    to, sender = f":{port:04X}", socket.inet_aton(address)[::-1].hex().upper()
    with open("/proc/net/tcp") as table:
        fields = [line.split() for line in table]
    return any(f[1].startswith(sender) and f[2].endswith(to) and f[3] == "02" for f in fields)


def take(connection):
    """What comes on it until it is ended or given up."""
    connection.settimeout(5)
    try:
        return connection.recv(100)
    except ConnectionResetError:
        return b""


def stopped_while_it_connects():
    """The other machine takes no connection, and the relay is stopped until `timeout` is over. Meanwhile the kernels have
    made the connection; but the claim may be over, and a line on it would be one more than S2 allows."""
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="nmnotify-hosts."))
        redis = stack.enter_context(Redis(place))
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        # One more than its queue is long takes all of it.
        stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        relay = stack.enter_context(
            Relay(f"{TEXT}store redis+unix:{redis.path}\nsource {ONE}\nuser * 127.0.0.1:{port}\n")
        )
        relay.tell("mail alice")
        if not ok(until(lambda: is_connecting(ONE, port)), "S2: its connection waits for the other machine"):
            return
        relay.process.send_signal(signal.SIGSTOP)
        listener.accept()[0].close()
        # The kernel asks again after a second.
        listener.settimeout(5)
        late, (sender, _) = listener.accept()
        equal(sender, ONE, "S2: it is made while the relay is stopped")
        time.sleep(0.5)
        relay.process.send_signal(signal.SIGCONT)
        equal(take(late), b"", "S2: and is given up, without a line")
        equal(take(listener.accept()[0]), LINE, "S1: the next one has it")


if not RELAY.exists() or not REDIS.exists():
    print("1..0 # SKIP the relay is not built, or tests/packages has not unpacked redis-tools")
    sys.exit(0)
nmtest.run(one_destination, logins, killed_with_the_claim, store_away, store_hangs, slow_answers, old_answer, stopped_while_it_connects)
