#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotify-relay-logs: a journal's files, as systemd-journal-remote makes them, whose records have any fields
that the test likes; and what it hands over of that. systemd/relay_logs.t has a whole system."""

import re
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "systemd"))
import documents
import nmtest
from journal import REMOTES, Journal
from nmtest import BUILD, PATIENCE, PROJECT, Sandbox, diag, equal, ok, skip, until
from receiver import Receiver

LOGS, TAKEN = BUILD / "nmnotify-relay-logs", BUILD / "tests" / "logs_taken"
CONF = PROJECT / "units" / "nmnotify-relay-logs.conf"
EX_USAGE, EX_NOINPUT, EX_CONFIG = 64, 66, 78

DOVECOT = {"_SYSTEMD_UNIT": "dovecot.service", "_UID": "0", "SYSLOG_IDENTIFIER": "dovecot"}
COURIER = {"_SYSTEMD_UNIT": "courier-imap.service", "_UID": "0", "SYSLOG_IDENTIFIER": "imapd"}
CYRUS = {"_SYSTEMD_UNIT": "cyrus-imapd.service", "_UID": "102", "SYSLOG_IDENTIFIER": "cyrus/imap"}


def dovecot(user, address="192.0.2.7"):
    return f"imap-login: Login: user=<{user}>, method=PLAIN, rip={address}, lip=192.0.2.1, mpid=1, TLS, session=<x>"


class Logs:
    """It follows the journal in a directory of the sandbox, and a receiver takes what it hands over."""

    def __init__(self, box, conf=CONF, program=LOGS, env=None):
        self.box, self.conf = box, conf
        self.directory = box.dir / "journal"
        self.directory.mkdir(exist_ok=True)
        self.receiver = Receiver(box.dir / "socket")
        self.log_path = box.dir / "log"
        self.program, self.env = program, env

    def __enter__(self):
        with open(self.log_path, "wb") as log:
            words = [self.program, "-l", "-D", self.directory, "-f", self.conf, "-s", self.box.dir / "socket"]
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=log, env=self.env)
        return self

    def is_ready(self):
        """It is when it is confined, and waits."""
        status = lambda: Path(f"/proc/{self.process.pid}/status").read_text()
        return until(lambda: "Seccomp:\t2" in status() and re.search(r"State:\s+S", status()))

    def takes(self, wanted, name):
        got = []
        until(lambda: got.extend(self.receiver.messages()) or len(got) >= len(wanted))
        return equal(got, wanted, name)

    def log(self):
        return self.log_path.read_text()

    def __exit__(self, *_):
        self.process.terminate()
        equal(self.process.wait(PATIENCE), 0, "SIGTERM ends it")


# ---- What it reads ----


def followed():
    with Sandbox() as box, Journal(box.dir / "journal") as journal:
        conf = box.dir / "conf"
        conf.write_text(CONF.read_text() + documents.Documents().take("units/nmnotify-relay-logs.conf", "server courier"))
        with Logs(box, conf) as logs:
            follow(journal, logs)


def follow(journal, logs):
    if ok(logs.is_ready(), "it is confined, and waits"):
        servers = {"Dovecot": (DOVECOT, dovecot("alice")),
                   "Courier": (COURIER, "LOGIN, user=alice, ip=[::ffff:192.0.2.7], port=[42107], protocol=IMAP"),
                   "Cyrus": (CYRUS, "login: home.example.org [192.0.2.7] alice plaintext User logged in SESSIONID=<x>")}
        for name, (fields, message) in servers.items():
            journal.write(fields, message)
            logs.takes([b"login alice 192.0.2.7"], f"{name}: a login is handed over")
        journal.write(DOVECOT, dovecot("a b@example.org", "2001:DB8:0::7"))
        logs.takes([b"login a b@example.org 2001:db8::7"], "a name with a space, and an IPv6 address")
        # As many at a time as any socket's queue takes (net.unix.max_dgram_qlen).
        for i in range(0, 100, 5):
            for user in range(i, i + 5):
                journal.write(DOVECOT, dovecot(f"user{user}"))
            logs.takes([b"login user%d 192.0.2.7" % user for user in range(i, i + 5)], f"users {i} to {i + 4}, in their order")
        equal(logs.log(), "", "nothing is said of that")


def strangers():
    """Whoever is not the server, and what is no login."""
    with Sandbox() as box, Journal(box.dir / "journal") as journal, Logs(box) as logs:
        logs.is_ready()
        for name in DOVECOT:
            journal.write({**DOVECOT, name: "1000"}, dovecot("eve"))
            journal.write({k: v for k, v in DOVECOT.items() if k != name}, dovecot("eve"))
            journal.write({**DOVECOT, name: DOVECOT[name] + "0"}, dovecot("eve"))
        journal.write(COURIER, dovecot("eve"))
        journal.write(DOVECOT)
        journal.write(DOVECOT, "")
        journal.write(DOVECOT, "imap-login: Disconnected: " + dovecot("eve"))
        journal.write(DOVECOT, "x\n" + dovecot("eve"))
        journal.write(DOVECOT, dovecot("eve") + "\nx")
        journal.write(DOVECOT, dovecot("eve") + "x" * 2000)
        journal.write(DOVECOT, "x" * 100000)
        journal.write(DOVECOT, dovecot("alice"))
        logs.takes([b"login alice 192.0.2.7"], "of all that, only what the server says of a login")
        equal(logs.log(), "", "nothing is said of the rest")


def unclear():
    with Sandbox() as box, Journal(box.dir / "journal") as journal, Logs(box) as logs:
        logs.is_ready()
        journal.write(DOVECOT, dovecot("x>, method=PLAIN, rip=192.0.2.66, lip=1"))
        journal.write(DOVECOT, dovecot("alice", ""))
        journal.write(DOVECOT, dovecot("alice", "unknown"))
        journal.write(DOVECOT, dovecot("a" * 80 + "..."))
        journal.write(DOVECOT, dovecot("a" * 255))
        journal.write(DOVECOT, dovecot("bob"))
        logs.takes([b"login bob 192.0.2.7"], "what can be read in two ways is handed over in none")
        ok(until(lambda: logs.log().count("login=failed") == 5), "each of them is said") or diag(logs.log())


def from_the_end():
    with Sandbox() as box, Journal(box.dir / "journal") as journal:
        for i in range(10):
            journal.write(DOVECOT, dovecot(f"old{i}"))
        until(lambda: journal.path.exists() and b"old9" in journal.path.read_bytes())
        with Logs(box) as logs:
            logs.is_ready()
            journal.write(DOVECOT, dovecot("alice"))
            logs.takes([b"login alice 192.0.2.7"], "what was there before is not read")
            with Journal(box.dir / "journal", "y") as other:
                other.write(DOVECOT, dovecot("bob"))
                logs.takes([b"login bob 192.0.2.7"], "a new file is")
                other.write(DOVECOT, dovecot("carol"))
                logs.takes([b"login carol 192.0.2.7"], "and goes on to be")
            journal.write(DOVECOT, dovecot("dora"))
            logs.takes([b"login dora 192.0.2.7"], "as does the first one")


def late():
    with Sandbox() as box, Journal(box.dir / "journal") as journal, Logs(box) as logs:
        logs.is_ready()
        journal.write(DOVECOT, dovecot("bob"), age=3)
        journal.write({**DOVECOT, "_SOURCE_REALTIME_TIMESTAMP": time.time_ns() // 1000 - 3000000}, dovecot("carol"))
        journal.write(DOVECOT, dovecot("alice"))
        logs.takes([b"login alice 192.0.2.7"], "what was logged three seconds ago is not handed over")
        for user in ("bob", "carol"):
            ok(until(lambda: f'login=failed user={user} reason="the line was read too late"' in logs.log()), "and that is said")


def nobody_takes_it():
    with Sandbox() as box, Journal(box.dir / "journal") as journal, Logs(box) as logs:
        logs.is_ready()
        (box.dir / "socket").unlink()
        journal.write(DOVECOT, dovecot("bob"))
        ok(until(lambda: "login=failed user=bob " in logs.log()), "no relay: it is said") or diag(logs.log())
        logs.receiver = Receiver(box.dir / "socket")
        journal.write(DOVECOT, dovecot("alice"))
        logs.takes([b"login alice 192.0.2.7"], "no relay: it goes on when there is one")
        ok("No such file" in logs.log(), "no relay: why") or diag(logs.log())


# ---- What it is told ----


def run(*words):
    return subprocess.run([LOGS, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)


def asked():
    """The page's own words."""
    page = documents.Documents()
    command, answer = page.take("man/nmnotify-relay-logs.8", "$ nmnotify-relay-logs -m").splitlines()
    message = re.search(r"'(.*)'", command)[1]
    result = run("-f", CONF, "-m", message)
    equal((result.returncode, result.stdout, result.stderr), (0, answer + "\n", ""), "-m: a login")
    with Sandbox() as box:
        conf = box.dir / "conf"
        conf.write_text(page.take("man/nmnotify-relay-logs.8", "server example"))
        result = run("-f", conf, "-m", "login from 192.0.2.7: alice (TLS)")
        equal((result.returncode, result.stdout), (0, "login alice 192.0.2.7\n"), "-m: the page's example")
        conf.write_text(page.take("units/nmnotify-relay-logs.conf", "server uw-imap"))
        result = run("-f", conf, "-m", "Login user=alice host=home.example.org [192.0.2.7]")
        equal((result.returncode, result.stdout), (0, "login alice 192.0.2.7\n"), "-m: UW's, which only stands there")
        conf.write_text("server x\n")
        result = run("-f", conf, "-t")
        equal(result.returncode, EX_CONFIG, "-t: what is wrong")
        ok(f"{conf}:1: server x: any local user" in result.stderr, "-t: and where") or diag(result.stderr)
        result = run("-D", box.dir / "nowhere", "-f", CONF, "-l")
        equal(result.returncode, EX_NOINPUT, "a directory that is not there")
        ok("the journal cannot be opened: No such file" in result.stderr, "is said") or diag(result.stderr)
        result = run("-f", box.dir / "nothing", "-l")
        equal(result.returncode, EX_CONFIG, "a configuration that is not there")
    equal(run("-f", CONF, "-t").returncode, 0, "-t: what is installed is good")
    for message in ("hello", dovecot("x>, method=PLAIN, rip=192.0.2.66, lip=1")):
        result = run("-f", CONF, "-m", message)
        equal((result.returncode, result.stdout), (1, ""), f"-m: none: {message}")
    for words in (["-x"], ["-f"], ["a"]):
        result = run(*words)
        ok(result.returncode == EX_USAGE and "usage:" in result.stderr, f"{' '.join(words)}: is wrong")
    ok(run("-V").stdout.startswith("nmnotify-relay-logs "), "-V")
    ok(run("-h").stdout.startswith("usage: nmnotify-relay-logs "), "-h")


# ---- Taken over ----


def taken_over():
    with Sandbox() as box, Journal(box.dir / "journal") as journal:
        journal.write(DOVECOT, dovecot("old"))
        until(lambda: journal.path.exists())
        outside = box.dir / "outside"
        outside.mkdir()
        (outside / "file").write_text("secret\n")
        logs = Logs(box, program=TAKEN, env={"TAKEN_OUTSIDE": str(outside)})
        logs.__enter__()
        equal(logs.process.wait(PATIENCE), 0, "taken over: it has come to its end")
        lines = logs.log().splitlines()
        equal([line for line in lines if line.startswith("through")], [], "taken over: nothing goes through")
        equal([line for line in lines if line.startswith("refused")], [], "what it needs does")
        tried = [int(line.split()[1]) for line in lines if line.startswith("tried")]
        ok(tried and tried[0] > 50, f"taken over: so much was tried: {tried}") or diag(logs.log())


if not REMOTES:
    skip("a journal", "there is no systemd-journal-remote here to make one")
    nmtest.run(asked)
nmtest.run(asked, followed, strangers, unclear, from_the_end, late, nobody_takes_it, taken_over)
