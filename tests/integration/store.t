#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The stores redis://HOST and redis+unix:PATH: two relays on one real server, what they do while it is away, and
what they make of one that is none. Each has its end in a process of its own, tests/integration/store.c."""

import functools
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import BUILD, PATIENCE, equal, ok, skip
from redis_server import REDIS, Redis

STORE = BUILD / "tests" / "store"
MONTH = 30 * 24 * 3600
# An answer comes at most so late: a second, and what a busy machine takes.
LATE = 1000 + 700


def in_a_place(part):
    """A part of the test, with a directory of its own."""

    @functools.wraps(part)
    def run():
        if not STORE.exists():
            skip(part.__name__, "RELAY=no")
        elif part is not hostile.__wrapped__ and not REDIS.exists():
            skip(part.__name__, "tests/packages has not unpacked redis-tools")
        else:
            with tempfile.TemporaryDirectory(prefix="nmnotify-store.") as place:
                part(place)

    return run


class Relay:
    """A relay's end of a store."""

    def __init__(self, store, *, last_for=MONTH, password=None):
        words = [STORE, store, str(last_for), *([password] if password else [])]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.lines, self.said = queue.Queue(), []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            if line.startswith("said "):
                self.said.append(line[5:].rstrip())
            else:
                self.lines.put(line.split())

    def tell(self, *words):
        print(*words, file=self.process.stdin, flush=True)

    def answer(self):
        return self.lines.get(timeout=PATIENCE)

    def ask(self, *words):
        self.tell(*words)
        return self.answer()

    def look(self, user):
        """Addresses; with a star before them: from memory."""
        _, _, ms, *rest = self.ask("look", user)
        self.ms = int(ms)
        return " ".join("*" if word == "remembered" else word for word in rest)

    def login(self, user, address):
        """Once it is back, the store has it: one connection, one order."""
        self.tell("login", user, address)
        self.look(user)

    def claim(self, address, lasts):
        _, _, ms, wait = self.ask("claim", address, lasts)
        self.ms = int(ms)
        return int(wait)

    def heard(self, text):
        return sum(text in line for line in self.said)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(PATIENCE)


@in_a_place
def shared(place):
    with Redis(place) as redis, Relay(f"redis+unix:{redis.path}") as one, Relay(f"redis://localhost:{redis.port}/0") as two:
        equal(one.look("alice"), "", "a user whom nobody knows")
        one.tell("login alice 192.0.2.1")
        equal(one.look("alice"), "192.0.2.1", "a login is seen by who recorded it")
        equal(two.look("alice"), "192.0.2.1", "a login is seen by another relay")
        for number in range(2, 11):
            (one, two)[number % 2].login("alice", f"2001:db8::{number}")
            time.sleep(0.01)
        two.login("alice", "2001:db8::5")
        wanted = " ".join(f"2001:db8::{number}" for number in (5, 10, 9, 8, 7, 6, 4, 3))
        equal(one.look("alice"), wanted, "the last eight are known, the newest first, none twice")
        ttl = int(redis.command("TTL", "nmnotify:user:alice")[1:])
        ok(MONTH - 60 <= ttl <= MONTH, "a user's key expires by itself")
        one.login(r"\x%s*?", "192.0.2.3")
        equal(two.look(r"\x%s*?"), "192.0.2.3", "a name may have any bytes")
        equal(one.said + two.said, [], "nothing is said")


@in_a_place
def claims(place):
    with Redis(place) as redis, Relay(f"redis+unix:{redis.path}") as one, Relay(f"redis://127.0.0.1:{redis.port}") as two:
        equal(one.claim("192.0.2.1", 60000), 0, "S2: who is first may send")
        ok(50000 < two.claim("192.0.2.1", 60000) <= 60000, "S2: nobody else, and is told how long")
        ok(50000 < one.claim("192.0.2.1", 60000) <= 60000, "S2: nor he himself again")
        equal(two.claim("192.0.2.2", 60000), 0, "S2: another destination is another matter")
        two.tell("release 192.0.2.1 0")
        ok(two.claim("192.0.2.1", 60000) > 0, "S2: nobody else can release it")
        one.tell("release 192.0.2.1 1000")
        one.look("x")
        wait = two.claim("192.0.2.1", 400)
        ok(0 < wait <= 1000, "S2: released, it lasts only what is left")
        time.sleep(wait / 1000 + 0.02)
        equal(two.claim("192.0.2.1", 400), 0, "S2: then another may")
        time.sleep(0.45)
        equal(one.claim("192.0.2.1", 60000), 0, "S2: a claim expires by itself")
        one.tell("release 192.0.2.1 0")
        one.look("x")
        equal(two.claim("192.0.2.1", 60000), 0, "S2: with nothing left it is free at once")
        for number in range(10):
            # In the last part of a millisecond that it lasts nothing is left, and still it is another's.
            address = f"192.0.2.{100 + number}"
            one.claim(address, 50)
            nmtest.until(lambda: two.claim(address, 60000) == 0, step=0)
            left = int(redis.command("PTTL", f"nmnotify:to:tcp:{address}:79")[1:])
            if not ok(left > 30000, "S2: who may send has the claim"):
                nmtest.diag(f"{left} ms are left")
        redis.command("SET", "nmnotify:to:tcp:192.0.2.9:79", "somebody")
        equal(two.claim("192.0.2.9", 1000), 60000, "S2: one that never expires is asked for again")


@in_a_place
def expiry(place):
    with Redis(place) as redis, Relay(f"redis+unix:{redis.path}", last_for=3) as one:
        one.tell("login alice 192.0.2.1")
        one.tell("login bob 192.0.2.1")
        time.sleep(1.8)
        one.tell("login alice 192.0.2.2")
        equal(one.look("alice"), "192.0.2.2 192.0.2.1", "what is not old counts")
        time.sleep(1.8)
        equal(one.look("alice"), "192.0.2.2", "an old login does not count")
        equal(redis.command("EXISTS", "nmnotify:user:bob"), b":0\r\n", "the key of one who does not come back is gone")


@in_a_place
def killed(place):
    with Redis(place) as redis, Relay(f"redis+unix:{redis.path}") as one:
        one.tell("login alice 192.0.2.1")
        equal(one.look("alice"), "192.0.2.1", "known")
        equal(one.claim("192.0.2.1", 60000), 0, "claimed")
        redis.signal(signal.SIGKILL)
        nmtest.until(lambda: one.heard("away"))
        equal(one.look("alice"), "* 192.0.2.1", "killed: what this relay knew is still known")
        ok(one.ms < 500, "and answered at once")
        ok(one.claim("192.0.2.1", 60000) > 50000, "S2: its own claims hold")
        equal(one.claim("192.0.2.2", 60000), 0, "S2: and it makes more for itself")
        ok(one.claim("192.0.2.2", 60000) > 50000, "S2: which hold")
        one.tell("login bob 192.0.2.3")
        equal(one.look("bob"), "* 192.0.2.3", "a login meanwhile is known")
        equal(one.look("carol"), "*", "of whom it does not know, it says so")
        time.sleep(1.5)
        equal((one.heard("away"), len(one.said)), (1, 1), "said once")
        os.unlink(redis.path)
        redis.start()
        nmtest.until(lambda: one.heard("back"))
        one.tell("login alice 192.0.2.4")
        equal(one.look("alice"), "192.0.2.4", "back: asked again")
        equal((one.heard("back"), len(one.said)), (1, 2), "said once")


@in_a_place
def stopped(place):
    with Redis(place) as redis, Relay(f"redis+unix:{redis.path}") as one:
        one.tell("login alice 192.0.2.1")
        equal(one.look("alice"), "192.0.2.1", "known")
        redis.signal(signal.SIGSTOP)
        equal(one.look("alice"), "* 192.0.2.1", "stopped: answered from memory")
        ok(900 <= one.ms <= LATE, f"within a second ({one.ms} ms)")
        equal(one.look("alice"), "* 192.0.2.1", "and the next")
        ok(one.ms < 500, "at once")
        time.sleep(2.5)
        equal((one.heard("in time"), len(one.said)), (1, 1), "said once, however often it is tried")
        redis.signal(signal.SIGCONT)
        nmtest.until(lambda: one.heard("back"))
        equal(one.look("alice"), "192.0.2.1", "back")
        equal(len(one.said), 2, "said once")


@in_a_place
def flooded(place):
    with Redis(place) as redis, Relay(f"redis+unix:{redis.path}") as one:
        one.look("x")
        _, _, ms, remembered = one.ask("flood", 1000)
        equal(remembered, "0", "a thousand at once are asked")
        _, _, ms, remembered = one.ask("flood", 20000)
        ok(18000 < int(remembered) < 20000, "S4: of twenty thousand at once most are answered from memory")
        equal((one.heard("too many"), len(one.said)), (1, 1), "said once")
        _, _, ms, remembered = one.ask("flood", 1000)
        equal(remembered, "0", "then it asks again")


@in_a_place
def passwords(place):
    right, wrong, open_one = Path(place, "right"), Path(place, "wrong"), Path(place, "open")
    for path, text in (right, "secret word\n"), (wrong, "another\n"), (open_one, "secret word\n"):
        path.write_text(text)
        path.chmod(0o600)
    open_one.chmod(0o604)
    with Redis(place) as redis:
        redis.command("CONFIG", "SET", "requirepass", "secret word")
        with Relay(f"redis+unix:{redis.path}", password=right) as one:
            one.tell("login alice 192.0.2.1")
            equal(one.look("alice"), "192.0.2.1", "with the password")
            equal(one.said, [], "nothing is said")
        for name, password in ("wrong", wrong), ("no", None):
            with Relay(f"redis+unix:{redis.path}", password=password) as one:
                one.tell("login alice 192.0.2.1")
                equal(one.look("alice"), "* 192.0.2.1", f"with {name} password from memory")
                time.sleep(1.5)
                equal((one.heard("the server says"), len(one.said)), (1, 1), "said once")
        with Relay(f"redis+unix:{redis.path}", password=open_one) as one:
            ok("read by everybody" in " ".join(one.answer()), "a password that everybody can read is not taken")


@in_a_place
def refusing(place):
    with Redis(place) as redis, Relay(f"redis+unix:{redis.path}") as one:
        redis.command("SET", "nmnotify:user:alice", "text")
        redis.command("ZADD", "nmnotify:user:bob", 9e15, b"\xff\0", 8e15, "192.0.2.1", 7e15, "x" * 1000, 6e15, "2001:db8::1")
        one.tell("login alice 192.0.2.1")
        equal(one.look("alice"), "* 192.0.2.1", "a key that is something else: from memory")
        equal(one.look("bob"), "192.0.2.1 2001:db8::1", "what is no address is left out")
        equal((one.heard("refuses a command"), len(one.said)), (1, 1), "said once")
        redis.command("CONFIG", "SET", "maxmemory", "1")
        redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        one.tell("login carol 192.0.2.1")
        nmtest.until(lambda: one.heard("away"))
        equal(one.look("carol"), "* 192.0.2.1", "a server without memory counts as away")
        time.sleep(2)
        ok(one.heard("back") == 0 and one.heard("away") == 1, "until it takes something")
        redis.command("CONFIG", "SET", "maxmemory", "0")
        nmtest.until(lambda: one.heard("back"))
        equal(one.look("bob"), "192.0.2.1 2001:db8::1", "then it is back")


class Fake:
    """Answers the greeting, then each thing with `reply`; None: not at all."""

    def __init__(self, place, reply, greeting=b"+OK\r\n", then_close=False):
        self.path = f"{place}/fake.socket"
        self.reply, self.greeting, self.then_close = reply, greeting, then_close
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                end, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(end,), daemon=True).start()
            except OSError:
                return

    def serve(self, end):
        try:
            asked = end.recv(65536)
            end.sendall(self.greeting)
            # The first question may have come with the greeting.
            while b"user:alice" in asked or end.recv(65536):
                asked = b""
                for part in self.reply:
                    end.sendall(part)
                if self.then_close:
                    end.close()
                    return
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        os.unlink(self.path)


@in_a_place
def hostile(place):
    """No Redis."""

    def endless():
        while True:
            yield b"*8\r\n$1000000000\r\n" + b"x" * 65536

    def garbage():
        for _ in range(1000):
            yield os.urandom(4096)

    cases = {
        "garbage": garbage(),
        "a reply without an end": endless(),
        "a list of a billion": [b"*1000000000\r\n"],
        "a list of nine": [b"*9\r\n" + 9 * b"$9\r\n192.0.2.7\r\n"],
        "a number too large": [b"*99999999999999999999999\r\n"],
        "a negative length": [b"$-7\r\n"],
        "half a reply": [b"*2\r\n$9\r\n192.0.2"],
        "nothing": [],
        "another type": [b":7\r\n"],
        "what nobody asked": [b"*0\r\n" * 5000],
        "an error with any bytes": [b"-LOADING \x1b[2J\xff\0\r\n"],
        "lists in lists": [b"*1\r\n*1\r\n*1\r\n"],
    }
    # What happens to be an answer: that no address is known.
    valid = {"what nobody asked": ""}
    for name, reply in cases.items():
        with Fake(place, reply) as fake, Relay(f"redis+unix:{fake.path}") as one:
            one.tell("login alice 192.0.2.1")
            got = one.look("alice")
            ok(got in ("* 192.0.2.1", valid.get(name)) and one.ms <= LATE, f"{name}: answered from memory in time ({got}, {one.ms} ms)")
            ok(all(line.isprintable() and line.isascii() for line in one.said), f"{name}: what is said can be read")
            status = Path(f"/proc/{one.process.pid}/status").read_text()
            ok(int(re.search(r"VmHWM:\s*(\d+)", status)[1]) < 65536, f"{name}: takes no memory")
            ok(one.process.poll() is None, f"{name}: lives on")
    with Fake(place, [b"*1\r\n$9\r\n192.0.2.7\r\n"], then_close=True) as fake, Relay(f"redis+unix:{fake.path}") as one:
        equal(one.look("alice"), "192.0.2.7", "one that closes after each answer is read nevertheless")
        nmtest.until(lambda: one.heard("closed"))
    with Fake(place, [], greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as fake, Relay(f"redis+unix:{fake.path}") as one:
        equal(one.look("alice"), "*", "another kind of server counts as away")
        ok(one.ms <= LATE, "in time")


nmtest.run(hostile, shared, claims, expiry, killed, stopped, flooded, passwords, refusing)
