#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotify-send -u: S3, whoever hands over an event never waits and never suffers, and what could not be handed
over is said."""

import errno
import os
import resource
import signal
import socket
import struct
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
import sender
from nmtest import Sandbox, equal, ok, skip
from receiver import Receiver, fields, private_run_and_dev
from sender import EX_TEMPFAIL, EX_USAGE, IGNORED, SEND, error

SCM_CREDENTIALS = 2
# src/lib/user_name.h, which the relay has, too.
LONGEST = 254


def silent(result, name):
    ok((result.status, result.output) == (0, b""), f"S3: {name}: status 0, and not a word") or nmtest.diag(result)


# ---- What is handed over ----


def notices():
    with Sandbox() as box:
        relay = Receiver(box.dir / "socket")
        send = lambda *words: sender.run(SEND, "-s", relay.path, *words)
        cases = {
            "a delivery": (["-u", "alice"], [b"mail alice"]),
            "an early one": (["-n", "-u", "alice"], [b"early alice"]),
            "in one word": (["-nualice"], [b"early alice"]),
            "several users": (["-u", "alice", "-ubob", "-u", "carol"], [b"mail alice", b"mail bob", b"mail carol"]),
            "with a domain": (["-u", "alice@mx.example.org"], [b"mail alice@mx.example.org"]),
            "spaces and quotes": (["-u", " a \"b' $(c) "], [b"mail  a \"b' $(c) "]),
            "no ASCII": (["-u", "Jörg\udcff"], [b"mail J\xc3\xb6rg\xff"]),
            "that begins with a hyphen": (["-u", "-u"], [b"mail -u"]),
            "as long as it may be": (["-u", "x" * LONGEST], [b"mail " + b"x" * LONGEST]),
            "with the truth": (["-e", "-u", "alice"], [b"mail alice"]),
        }
        for name, (words, wanted) in cases.items():
            silent(send(*words), name)
            equal(relay.messages(), wanted, f"S3: {name}: is handed over")
        for name, user in (("empty", ""), ("a newline", "a\nb"), ("DEL", "a\x7f"), ("tab", "a\tb"), ("too long", "x" * (LONGEST + 1))):
            silent(send("-u", user), f"a user's name: {name}")
            result = send("-e", "-u", user)
            equal((result.status, result.output.count(b"\n")), (EX_TEMPFAIL, 1), f"S3: {name}: -e says so")
            equal(relay.messages(), [], f"S3: {name}: is not handed over")
        said = send("-e", "-u", "x" * (LONGEST + 1)).output
        ok(said.endswith(b": the user's name is longer than 254 bytes\n"), "a name that is too long: -e says how long it may be") or nmtest.diag(said)
        silent(send("-u", "", "-u", "bob"), "one wrong name of two")
        equal(relay.messages(), [b"mail bob"], "S3: the other is handed over")


def credentials():
    """S6: whoever speaks, the kernel says who it is."""
    if not nmtest.is_root():
        skip("S6: whose it is", "not root")
        return
    with Sandbox() as box:
        relay, program = Receiver(box.dir / "socket"), box.bring(SEND)
        relay.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        for uid in (0, box.uid):
            silent(sender.run(program, "-s", relay.path, "-u", "alice", user=uid or None), f"by user {uid}")
            data, ancillary, _, _ = relay.socket.recvmsg(600, 100)
            told = [struct.unpack("3i", d)[1] for _, kind, d in ancillary if kind == SCM_CREDENTIALS]
            equal((data, told), (b"mail alice", [uid]), f"S6: user {uid} is told with it")


# ---- Who it is that runs it ----


def ignore_signals():
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def few_resources():
    for what in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_MEMLOCK):
        resource.setrlimit(what, (0, 0))


def close(*fds):
    return lambda: [os.close(fd) for fd in fds]


def surroundings():
    """Whatever a mail system leaves behind."""
    with Sandbox() as box:
        relay, program = Receiver(box.dir / "socket"), box.bring(SEND)
        home = {"PATH": "/usr/bin:/bin", "HOME": "/root", "USER": "root", "LD_LIBRARY_PATH": "/none", "LISTEN_FDS": "3"}
        cases = {
            "nothing but its environment": {"env": home},
            "signals ignored and blocked": {"prepare": ignore_signals},
            "no limits left": {"prepare": few_resources},
            "a directory that is gone": {"prepare": lambda: (os.mkdir(box.out / "x"), os.chdir(box.out / "x"), os.rmdir(box.out / "x"))},
            **{f"closed: {fds}": {"prepare": close(*fds)} for fds in ((0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2))},
        }
        for name, how in cases.items():
            for user in (None, box.uid) if nmtest.is_root() else (None,):
                who = "as a user" if user else "as who runs the test"
                silent(sender.run(program, "-s", relay.path, "-u", "alice", user=user, **how), f"{name}, {who}")
                equal(relay.messages(), [b"mail alice"], f"S3: {name}, {who}: is handed over")


def descriptors():
    """A dozen that are open: nothing is written there, and none stays open."""
    with Sandbox() as box:
        relay = Receiver(box.dir / "socket")
        pipes = [os.pipe() for _ in range(6)]
        pairs = [socket.socketpair() for _ in range(6)]
        theirs = [w for _, w in pipes] + [b.fileno() for _, b in pairs]
        for path, taken in ((relay.path, 1), (box.dir / "none", 0)):
            silent(sender.run(SEND, "-s", path, "-u", "alice", pass_fds=theirs), f"a dozen descriptors, {path.name}")
            equal(len(relay.messages()), taken, f"S3: a dozen descriptors, {path.name}: notices")
        for _, w in pipes:
            os.close(w)
        for _, b in pairs:
            b.close()
        left = [os.read(r, 10) for r, _ in pipes] + [a.recv(10) for a, _ in pairs]
        equal(left, [b""] * 12, "S3: each is closed, and nothing was written there")
        # With 0 to 2 closed, what is opened has their numbers.
        words = [SEND, "-e", "-s", box.dir / "none", "-u", "alice"]
        result = sender.run(*words, prepare=close(0, 1, 2))
        equal((result.status, result.output), (EX_TEMPFAIL, b""), "S3: closed descriptors: what fails is said nowhere else")


# ---- A relay that does not take it ----


def relays(box):
    """{what is wrong: (the socket, what is said of it)}"""
    stale = Receiver(box.dir / "stale")
    stale.close()
    stream = socket.socket(socket.AF_UNIX)
    stream.bind(str(box.dir / "stream"))
    full = Receiver(box.dir / "full")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        try:
            while True:
                s.sendto(b"x", str(full.path))
        except BlockingIOError:
            pass
    (box.dir / "file").touch()
    (box.dir / "loop").symlink_to("loop")
    long = box.dir / ("x" * (107 - len(str(box.dir))) + "y" * 100)
    return {
        "missing": (box.dir / "missing", "No such file or directory"),
        "dead": (stale.path, "Connection refused"),
        "of another type": (box.dir / "stream", error(errno.EPROTOTYPE)),
        "full": (full.path, "its queue is full"),
        "no socket": (box.dir / "file", "Connection refused"),
        "a loop": (box.dir / "loop", error(errno.ELOOP)),
        "too long a name": (long, error(errno.ENAMETOOLONG)),
    }, (full, stream)


def refusals():
    """Each is said: with -e there and then, else to the journal, or to syslog."""
    daemons = sender.has_daemons()
    with Sandbox() as box:
        cases, kept = relays(box)
        if daemons:
            private_run_and_dev()
        try:
            for name, (path, reason) in cases.items():
                silent(sender.run(SEND, "-s", path, "-u", "alice"), f"a relay's socket that is {name}")
                result = sender.run(SEND, "-e", "-s", path, "-u", "alice")
                wanted = f"nmnotify-send: user alice: {path}: {reason}\n"
                equal((result.status, result.output.decode()), (EX_TEMPFAIL, wanted), f"S3: {name}: -e says so")
            default = sender.run(SEND, "-e", "-u", "alice").output if daemons else b"/run/nmnotify-relay/socket"
            ok(b"/run/nmnotify-relay/socket" in default, "the socket's usual name")
            logged(cases) if daemons else skip("S4: what was not handed over is in the log", "no mount namespace")
            if daemons:
                relay = Receiver("/run/nmnotify-relay/socket")
                silent(sender.run(SEND, "-e", "-u", "alice"), "the usual socket")
                equal(relay.messages(), [b"mail alice"], "the usual socket is the relay's")
        finally:
            if daemons:
                nmtest.unmount("/dev")
                nmtest.unmount("/run")
        del kept


def logged(cases):
    journal, syslog = Receiver("/run/systemd/journal/socket"), Receiver("/dev/log")
    for name, (path, reason) in cases.items():
        for words in ([], ["-e"]):
            sender.run(SEND, *words, "-s", path, "-u", "alice")
            (got,) = map(fields, journal.messages())
            wanted = {"PRIORITY": "3", "NMNOTIFY_NOTICE": "failed", "NMNOTIFY_USER": "alice",
                      "NMNOTIFY_REASON": f"{path}: {reason}", "SYSLOG_IDENTIFIER": "nmnotify-send"}
            equal({k: got.get(k) for k in wanted}, wanted, f"S4: {name}{' -e' * len(words)}: is in the journal")
    wrong, right = cases["missing"][0], ["-s", cases["missing"][0]]
    journal.remove()
    sender.run(SEND, *right, "-u", "a\nb")
    (got,) = syslog.messages()
    ok(b"notice=failed user=a\\x0ab reason=" in got, "S4: without a journal, in syslog") or nmtest.diag(got)
    sender.run(SEND, "-x", prepare=close(0, 1, 2))
    (got,) = syslog.messages()
    ok(b"command=failed reason=\"cannot use '-x'\"" in got, "S4: so is a wrong call") or nmtest.diag(got)
    syslog.remove()
    silent(sender.run(SEND, "-s", wrong, "-u", "alice"), "no log at all")
    # One that nobody reads.
    Receiver("/run/systemd/journal/socket").socket.close()
    full = Receiver("/dev/log")
    for _ in range(12):
        silent_once = sender.run(SEND, "-s", wrong, "-u", "alice")
    silent(silent_once, "a log that nobody reads")
    del full


def stopped():
    """A relay that is stopped: its queue takes what it has room for, and the rest costs nothing."""
    with Sandbox() as box:
        relay = Receiver(box.dir / "socket")
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(0)
        os.waitpid(child, os.WUNTRACED)
        limit = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
        statuses = {sender.run(SEND, "-s", relay.path, "-u", "alice").status for _ in range(limit + 3)} if limit < 100 else {0}
        equal(statuses, {0}, "S3: a relay that is stopped")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        ok(limit >= 100 or 0 < len(relay.messages()) <= limit + 1, "S3: what had room in its queue is there")


# ---- Wrong calls ----

WRONG = {
    "an option that is none": ["-x"],
    "no user's name": ["-u"],
    "nothing": [],
    "no user": ["-n"],
    "a user and something else": ["-u", "alice", "bob"],
}


def wrong_calls():
    with Sandbox() as box:
        relay = Receiver(box.dir / "socket")
        for name, words in WRONG.items():
            silent(sender.run(SEND, *words), f"called with {name}")
            result = sender.run(SEND, "-e", *words)
            ok(result.status == EX_USAGE and b"usage: nmnotify-send" in result.output, f"S3: {name}: -e says so") or nmtest.diag(result)
            status, shown = sender.typed(SEND, *words)
            ok(status == EX_USAGE and "usage: nmnotify-send" in shown, f"S3: {name}: said at a terminal") or nmtest.diag(shown)
        result = sender.run(SEND, "-x", "-s", relay.path, "-u", "alice", "-e")
        equal((result.status, relay.messages()), (EX_USAGE, []), "-e counts wherever it stands; nothing is handed over")
        status, shown = sender.typed(SEND, "-s", box.dir / "none", "-u", "a\x1b[2J")
        ok(status == 0 and "user a\\x1b[2J: " in shown, "S3: what fails is said at a terminal, which obeys none of it") or nmtest.diag(shown)
        result = sender.run(SEND, "-V")
        ok(result.status == 0 and result.output.startswith(b"nmnotify-send "), "-V: the version")
        result = sender.run(SEND, "-h")
        ok(result.status == 0 and result.output.startswith(b"usage: "), "-h: how it is called")


nmtest.run(notices, credentials, surroundings, descriptors, refusals, stopped, wrong_calls)
