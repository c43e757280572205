#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotify-relay-proxy, which says to the relay who has sent what: S3 and S4, its queue is the kernel's; S5, it is killed
at any instruction; S6, nobody is taken for another. STORM_SECONDS=5, SEED."""

import array
import errno
import os
import pwd
import random
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
from nmtest import BUILD, PATIENCE, diag, equal, ok, skip, until
from relay import Asked, Machine, as_user

PROXY, REFUSE = BUILD / "nmnotify-relay-proxy", BUILD / "tests" / "refuse"
CAUGHT_UP = b"caught-up"
SECONDS = float(os.environ.get("STORM_SECONDS") or (600 if os.environ.get("LONG") else 5))
SEED = int(os.environ.get("SEED") or time.time())


def bound(path, mode=0o666):
    """As systemd makes it."""
    one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    one.bind(str(path))
    Path(path).chmod(mode)
    one.settimeout(PATIENCE)
    return one


class Proxy:
    """Between two sockets that outlive it."""

    def __init__(self, outer, inner):
        self.outer, self.inner, self.process = outer, inner, None

    def start(self, *under):
        words = [*map(str, under), str(PROXY), str(self.inner)]
        self.process = subprocess.Popen(words, stdin=self.outer, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
        return self

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.stderr.close()
        return self.process.wait(PATIENCE)


class Pair:
    """The proxy without a relay: what is told, and what comes out."""

    def __enter__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="nmproxy.")
        self.path, self.inner_path = Path(self.dir.name) / "outer", Path(self.dir.name) / "inner"
        Path(self.dir.name).chmod(0o755)
        self.outer, self.inner = bound(self.path), bound(self.inner_path, 0o600)
        self.sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sender.setblocking(False)
        self.proxy = Proxy(self.outer, self.inner_path)
        return self

    def __exit__(self, *_):
        if self.proxy.process and self.proxy.process.poll() is None:
            self.proxy.kill()
        for one in (self.outer, self.inner, self.sender):
            one.close()
        self.dir.cleanup()

    def tell(self, data):
        self.sender.sendto(data, str(self.path))

    def tell_all_that_fits(self, prefix=b"mail "):
        """How many; and that the next one is refused at once."""
        count = 0
        while True:
            try:
                self.tell(prefix + b"%d" % count)
            except BlockingIOError:
                return count
            count += 1

    def comes(self):
        """What comes next, but for the proxy's own word."""
        while (data := self.inner.recv(16384)) == CAUGHT_UP:
            pass
        return data


class Relayed(Asked):
    """The relay, as its units have it: the proxy reads where others may write."""

    def __init__(self, text):
        super().__init__(text, activated=True)
        self.outer, self.passed = self.passed, None
        self.inner_path = self.dir / "proxied"
        self.passed_too = {"proxied": bound(self.inner_path, 0o600), **self.passed_too}
        self.proxy = Proxy(self.outer, self.inner_path)

    def __exit__(self, *more):
        if self.proxy.process and self.proxy.process.poll() is None:
            self.proxy.kill()
        self.outer.close()
        super().__exit__(*more)


# ---- What it says ----


def says_who_and_when():
    with Pair() as pair:
        before = time.time()
        pair.tell(b"mail alice")
        after = time.time()
        pair.proxy.start()
        word, uid, gid, seconds, nanoseconds, notice = pair.comes().split(b" ", 5)
        equal((word, int(uid), int(gid), notice), (b"from", os.getuid(), os.getgid(), b"mail alice"), "it says who has sent what")
        came = int(seconds) + int(nanoseconds) / 1e9
        # What came before it asked for the time has that of its first look.
        ok(before - 0.01 <= came, f"and when: {came - after:.3f} s after it was sent")
        time.sleep(0.2)
        sent = time.time()
        pair.tell(b"")
        pair.tell(b"\0\n" + b"x" * 9000)
        head, rest = pair.comes(), pair.comes()
        equal(head.split(b" ", 5)[5], b"", "one that is empty is handed on")
        equal(rest.split(b" ", 5)[5], b"\0\n" + b"x" * 8190, "one that is too long is handed on as much as the relay reads")
        came = int(head.split()[3]) + int(head.split()[4]) / 1e9
        ok(sent - 0.01 <= came <= time.time(), "the time is the kernel's")


def S6_nobody_is_taken_for_another():
    if not nmtest.is_root():
        skip("S6: other users", "not root")
        return
    one, other = pwd.getpwnam("nobody"), pwd.getpwnam("daemon")
    with Machine() as machine, Relayed(f"interval 100ms\nsettle 100ms\ntrust {other.pw_name}\nuser * {machine}\n") as relay:
        relay.proxy.start()

        def says(user, text, path=relay.path):
            return as_user(user.pw_uid, lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(text.encode(), str(path)))

        def counts():
            said = relay.ask()["counts"]
            return said["events"] + said["logins"], said["refused"]

        def judged(user, text, path=relay.path):
            """(taken, refused)"""
            before = counts()
            equal(says(user, text, path), 0, f"S6: {user.pw_name} says '{text}'")
            until(lambda: counts() != before)
            return tuple(a - b for a, b in zip(counts(), before))

        equal(judged(one, "mail nobody"), (1, 0), "S6: of himself")
        ok(until(lambda: machine.lines), "S1: which is told")
        equal(judged(one, "mail alice"), (0, 1), "S6: not of others")
        equal(judged(other, "mail alice"), (1, 0), "S6: who is trusted: of others, too")
        equal(judged(other, "login alice 192.0.2.9"), (1, 0), "S6: and of logins")
        equal(judged(one, f"from {other.pw_uid} {other.pw_gid} 1 1 mail alice"), (0, 1), "S6: no user says himself who he is")
        equal(judged(other, "from 0 0 1 1 mail alice"), (0, 1), "S6: nor who is trusted")
        ok(says(other, "from 0 0 1 1 mail alice", relay.inner_path) != 0, "S6: the proxy's socket is for it alone")
        relay.inner_path.chmod(0o666)
        equal(judged(other, "from 0 0 1 1 mail alice", relay.inner_path), (0, 1), "S6: nor does the relay believe anybody else there")
        equal(judged(one, "mail nobody"), (1, 0), "S6: the proxy goes on")


def S1_a_login_is_as_old_as_it_was():
    """It may have waited for the proxy longer than an event that came later by another way."""
    with socket.socket() as nobody, Relayed("interval 100ms\nsettle 100ms\n") as relay:
        nobody.bind(("127.0.0.1", 0))
        relay.configure(f"interval 100ms\nsettle 100ms\nuser alice 127.0.0.1:{nobody.getsockname()[1]}\n")
        relay.kill(signal.SIGTERM)
        relay.start()

        def hand_on(text, age=0.0):
            seconds, nanoseconds = divmod(time.time_ns() - int(age * 1e9), 10**9)
            relay.sender.sendto(f"from {os.getuid()} {os.getgid()} {seconds} {nanoseconds} {text}".encode(), str(relay.inner_path))

        owed = lambda: relay.ask()["owed"]["users"]
        logins = lambda: relay.ask()["counts"]["logins"]
        hand_on("mail alice")
        ok(until(lambda: owed() == 1), "S1: an event is owed")
        time.sleep(0.3)
        hand_on("login alice 127.0.0.1", age=10)
        ok(until(lambda: logins() == 1) and owed() == 1, "S1: a login that came before it does not cover it")
        hand_on("login alice 127.0.0.1", age=-1000)
        ok(until(lambda: logins() == 2 and owed() == 0), "S1: one that came later does, also by a clock that was set back")


def S6_a_login_is_before_the_mail_behind_it():
    """Both wait when the relay begins, in sockets of their own, and the mail's comes first."""
    with Machine("127.0.0.3") as before, Machine("127.0.0.4", before.port) as now, Relayed(
            f"interval 100ms\nsettle 100ms\nnever 203.0.113.0/24\nport {before.port}\nuser alice last\n") as relay:
        relay.kill(signal.SIGTERM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as biff, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as comsat:
            biff.bind(("127.0.0.1", 0))
            relay.passed_too = {"biff": biff, **relay.passed_too}
            relay.start()
            relay.proxy.start()
            relay.tell("login alice 127.0.0.3")
            ok(until(lambda: relay.ask()["counts"]["logins"] == 1), "S6: a login")
            relay.proxy.kill(signal.SIGTERM)
            relay.kill(signal.SIGTERM)
            relay.tell("login alice 127.0.0.4")
            relay.proxy.start()
            relay.passed_too["proxied"].recv(1, socket.MSG_PEEK)
            equal(relay.proxy.kill(signal.SIGTERM), 0, "S6: the next one is handed on")
            comsat.sendto(b"alice@367\0", biff.getsockname())
            relay.start()
            ok(until(lambda: now.lines or before.lines) and not before.lines, "S6: the mail is told to where the user is")


def opens_no_descriptor():
    with Pair() as pair:
        pair.proxy.start()
        pair.tell(b"mail a")
        pair.comes()
        place = Path(f"/proc/{pair.proxy.process.pid}/fd")
        before = len(list(place.iterdir()))
        with open("/dev/null") as null:
            files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null.fileno()] * 20))]
            for _ in range(5):
                pair.sender.sendmsg([b"mail a"], files, 0, str(pair.path))
        equal([pair.comes().split(b" ", 5)[5] for _ in range(5)], [b"mail a"] * 5, "S4: what comes with descriptors is handed on without")
        equal(len(list(place.iterdir())), before, "S4: and none of them is opened")


# ---- Queues ----


def S3_S4_a_full_queue():
    with Pair() as pair:
        pair.proxy.start()
        pair.tell(b"mail first")
        pair.comes()
        taken, still = pair.tell_all_that_fits(), 0
        # It fills the relay's queue, and then waits itself.
        while still < 5:
            more = pair.tell_all_that_fits(b"mail more")
            taken, still = taken + more, still + 1 if more == 0 else 0
            time.sleep(0.05)
        ok(taken > 10, f"S3: who sends is refused at once when both queues are full: {taken} were taken")
        ok(pair.proxy.process.poll() is None, "S4: the proxy waits")
        for _ in range(taken):
            pair.comes()
        pair.tell(b"mail last")
        equal(pair.comes().split(b" ", 5)[5], b"mail last", "S5: all that was taken came out, and it goes on")


def is_told_to_end():
    with Pair() as pair:
        for i in range(5):
            pair.tell(b"mail %d" % i)
        pair.proxy.start()
        # Whether it has begun or not, it has asked for SIGTERM when the first one comes out.
        pair.comes()
        pair.proxy.process.send_signal(signal.SIGSTOP)
        until(lambda: "State:\tT" in Path(f"/proc/{pair.proxy.process.pid}/status").read_text())
        pair.tell(b"mail 5")
        pair.proxy.process.send_signal(signal.SIGTERM)
        pair.proxy.process.send_signal(signal.SIGCONT)
        equal(pair.proxy.process.wait(PATIENCE), 0, "SIGTERM: it ends well")
        pair.inner.setblocking(False)
        equal([pair.comes().split(b" ", 5)[5] for _ in range(5)], [b"mail %d" % i for i in range(1, 6)], "S5: and has handed on what waited")


def says_when_it_has_caught_up():
    with Pair() as pair:
        pair.tell(b"mail a")
        pair.tell(b"mail b")
        pair.proxy.start()
        came = [pair.inner.recv(16384) for _ in range(3)]
        equal([came[0][-6:], came[1][-6:], came[2]], [b"mail a", b"mail b", CAUGHT_UP], "caught up: it says so behind all that waited")
        pair.tell(b"mail c")
        equal(pair.inner.recv(16384)[-6:], b"mail c", "caught up: once")


# ---- Failures ----


def S5_what_fails():
    """Nothing is taken away that was not handed on."""
    for call, number in (("sendto", errno.ENOBUFS), ("recvmsg", errno.ENOMEM), ("connect", errno.ECONNREFUSED), ("setsockopt", errno.EPERM)):
        with Pair() as pair:
            pair.tell(b"mail a")
            pair.proxy.start(REFUSE, call, number)
            status = pair.proxy.process.wait(PATIENCE)
            ok(status > 0, f"S5: {call} fails: it ends with {status}") or diag(pair.proxy.process.stderr.read())
            pair.proxy.start()
            equal(pair.comes().split(b" ", 5)[5], b"mail a", f"S5: {call} fails: nothing is lost")
    with Pair() as pair:
        pair.proxy.start()
        pair.tell(b"mail a")
        pair.comes()
        pair.inner.close()
        pair.tell(b"mail b")
        ok(pair.proxy.process.wait(PATIENCE) > 0, "S5: the relay's socket goes: it ends")
        pair.inner_path.unlink()
        pair.inner = bound(pair.inner_path, 0o600)
        pair.proxy.start()
        equal(pair.comes().split(b" ", 5)[5], b"mail b", "S5: the next one hands on what waited")


def options():
    run = lambda *words: subprocess.run([PROXY, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    ok(run("-V").stdout.startswith("nmnotify-relay-proxy ") and run("-h").stdout.startswith("usage: "), "-V and -h")
    equal([run().returncode, run("a", "b").returncode, run("-x").returncode], [64] * 3, "a wrong call")
    equal(run("/nonexistent").returncode, 78, "without a socket it has nothing to do")


# ---- Kills ----


def send_numbers(path, ends, accepted):
    """As a mail system does: what is not taken is not waited for."""
    chance = random.Random(SEED)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        number = 0
        while not ends.is_set():
            for _ in range(chance.randrange(4)):
                try:
                    sender.sendto(b"mail %d" % number, path)
                    accepted.append(number)
                    number += 1
                except BlockingIOError:
                    break
            time.sleep(chance.random() * 0.0005)


def S5_in_a_storm_of_kills():
    chance, ends, accepted, seen = random.Random(SEED + 1), threading.Event(), [], []

    def read():
        while not ends.is_set() or not is_drained():
            try:
                seen.append(int(pair.comes().split()[-1]))
            except TimeoutError:
                pass

    def is_drained():
        return seen and accepted and seen[-1] == accepted[-1]

    with Pair() as pair:
        pair.inner.settimeout(0.05)
        threads = [threading.Thread(target=send_numbers, args=(str(pair.path), ends, accepted)), threading.Thread(target=read)]
        for thread in threads:
            thread.start()
        end, kills = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            pair.proxy.start()
            time.sleep(chance.random() * 0.004)
            pair.proxy.kill()
            kills += 1
        ends.set()
        threads[0].join()
        pair.proxy.start()
        for thread in threads:
            thread.join(PATIENCE)
        doubled = len(seen) - len(set(seen))
        diag(f"SEED={SEED}: {kills} kills, {len(accepted)} notices, {doubled} of them twice")
        ok(kills > 20 * SECONDS and len(accepted) > 50 * SECONDS, "it was stormy")
        equal(sorted(set(seen)), accepted, "S5: killed at any instruction: nothing is lost, and nothing made up")
        ok(seen == sorted(seen), "S5: nor overtaken")
        ok(doubled <= kills, "S5: and at most one is doubled for each kill")


def S5_killed_between_the_two_steps():
    """Handed on, and not yet taken away: the next one hands it on again."""
    with Pair() as pair:
        pair.tell(b"mail a")
        pair.proxy.start(REFUSE, "recvfrom", errno.EPERM)
        equal([pair.comes().split(b" ", 5)[5] for _ in range(3)], [b"mail a"] * 3, "S5: what is not taken away is handed on again")
        pair.proxy.kill()


nmtest.run(
    says_who_and_when, S6_nobody_is_taken_for_another, S1_a_login_is_as_old_as_it_was, S6_a_login_is_before_the_mail_behind_it,
    opens_no_descriptor, S3_S4_a_full_queue, is_told_to_end, says_when_it_has_caught_up,
    S5_what_fails, options, S5_in_a_storm_of_kills, S5_killed_between_the_two_steps,
)
