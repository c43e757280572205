#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyctl explain user: what the relay says of a user, in words."""

import re
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
import nmtest
from ctl import NO_RELAY, ctl
from nmtest import PROJECT, diag, equal, ok, skip, until
from relay import QUICK, Asked, Machine

sys.path.append(str(PROJECT / "tests/systemd"))
from documents import Documents, commands

EX_USAGE, EX_UNAVAILABLE = 64, 69


def explain(relay, user):
    status, out, err = ctl("/nonexistent", "explain", "user", user, relay=relay.status)
    return status, out.splitlines(), err


def has(relay, user, pattern, name):
    """Until it says so: the relay looks up names, and reads what it is told, beside that."""
    if not ok(until(lambda: any(re.fullmatch(pattern, line) for line in explain(relay, user)[1])), name):
        diag("\n".join(explain(relay, user)[1]))


def users():
    with Machine() as machine, Asked(f"""{QUICK}user alice {machine}
user bob last 2 192.0.2.7
user carol 127.0.0.8:1 nobody.invalid
user nobody none
""") as relay:
        lines = relay.conf.read_text().splitlines()
        line = next(i for i, text in enumerate(lines, 1) if text.startswith("user alice"))
        status, out, err = explain(relay, "alice")
        equal((status, err), (0, ""), "explain user: can be said")
        equal(out, [f"User alice: {relay.conf}:{line}: `user alice` says where his line goes",
                    f"  127.0.0.1 port {machine.port} tcp: told", "No line is owed"], "explain user: all of it")
        equal(explain(relay, "nobody")[1][1:], ["  nobody is told", "No line is owed"], "explain user: none")
        has(relay, "frank", "User frank: no line of the configuration, and no table, says where his line goes", "explain user: nobody says")
        for last in (3, 2, 1):
            relay.tell(f"login bob 192.0.2.{last + 100}")
            has(relay, "bob", rf"Checked mail from 192\.0\.2\.{last + 100} at \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d", "explain user: a login")
        has(relay, "bob", r"  192\.0\.2\.101 port 79 tcp, a last address: told", "explain user: a last address")
        has(relay, "bob", r"  192\.0\.2\.103 port 79 tcp, a last address: not told: `last` has as many as it is to have", "explain user: one too many")
        has(relay, "bob", r"  192\.0\.2\.7 port 79 tcp: not told: it is for a user who has no last address", "explain user: one that is not needed")
        relay.tell("mail carol")
        has(relay, "carol", r"A line is owed since .*, until .*", "explain user: what is owed")
        has(relay, "carol", r"  127\.0\.0\.8 port 1 tcp: failed \d+ times, Connection refused.*", "explain user: why it failed")
        has(relay, "carol", r"    no address: .*", "explain user: a name that is not there")
        relay.configure("never default 192.0.2.0/24\nuser bob last 2\n")
        relay.process.send_signal(signal.SIGHUP)
        has(relay, "bob", r"  192\.0\.2\.101 port 79 tcp, a last address: not told: `never` excludes 192\.0\.2\.0/24", "explain user: an excluded network")
        _, out, _ = explain(relay, "\033[2J")
        ok("\033" not in "".join(out), "explain user: a terminal obeys no name")
        equal(explain(relay, "a\nb")[0], EX_USAGE, "explain user: no user")
        equal(explain(relay, "x" * 5000)[1], [], "explain user: too long a name")


def table():
    """Made as nmnotify-relay.conf(5) says, and made anew beside the relay."""
    if not shutil.which("mdb_load"):
        skip("table", "lmdb-utils is not installed")
        return
    docs = Documents(("man/nmnotify-relay.conf.5",))
    few, many = docs.each("man/nmnotify-relay.conf.5", "mdb_load -n -T -f users.txt", "| mdb_load -n users.new")
    said, *few = commands(few, "#")
    relay = Asked("")
    relay.configure(f"{QUICK}table lmdb:{relay.dir}/users\n")

    def typed(lines):
        return subprocess.run(["bash", "-ec", "\n".join(lines)], cwd=relay.dir, capture_output=True, text=True)

    (relay.dir / "users.txt").write_text(said.split("\n", 1)[1] + "\n")
    equal(typed(few).stderr, "", "explain user: a table is made as the page says")
    with relay:
        has(relay, "alice", r"  192\.0\.2\.7 port 79 tcp: told", "explain user: the table says")
        has(relay, "alice", r"  2001:db8::7 port 7979 tcp: told", "explain user: all that it says")
        has(relay, "bob", rf"User bob: the table lmdb:{relay.dir}/users says where his line goes", "explain user: which table")
        pairs = "".join(f"user{n}\n192.0.2.{n % 250 + 1}\n" for n in range(60000))
        (relay.dir / "users.txt").write_text(pairs)
        ok("MDB_MAP_FULL" in typed(few).stderr, "explain user: so many are more than that way has room for")
        (relay.dir / "users.new").unlink(missing_ok=True)
        equal(typed(commands(many, "#")).stderr, "", "explain user: the page's other way has room")
        has(relay, "user59999", r"  192\.0\.2\.250 port 79 tcp: told", "explain user: without a reload")


def away():
    status, _, err = ctl("/nonexistent", "explain", "user", "alice", relay=NO_RELAY)
    equal(status, EX_UNAVAILABLE, "explain user: no relay")
    ok("systemctl enable --now nmnotify-relay.socket" in err, "explain user: and what to do")


nmtest.run(users, table, away)
