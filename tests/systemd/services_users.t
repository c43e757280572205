#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Whose the accounts are, and under which filter they run: changes of users, user instances."""

import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from services import (
    CONFIG, OUT, PAIRS, USER_OUT, begin, box, check_well, drop_in, example, pair, run, runs, send,
    has_user_manager, is_in_unit, wait_runs,
)
from nmtest import BUILD, equal, ok, skip, until


# ---- One filter, the program's ----


def probe_outside(policy):
    """What is refused in a service that says nothing: by the program's policy, and by the container."""
    box.write("/etc/line", "nm_notifyuser\r\n")
    box.write("/etc/outside.conf", f"state {OUT}/state\n{probe_config(policy, 'outside')}")
    words = ["--quiet", "--wait", "--uid=nmnotify", "-p", "StandardInput=file:/etc/line"]
    box.run("systemd-run", *words, "/usr/local/sbin/nmnotify", "-f", "/etc/outside.conf")
    return probed("outside")


def probe_config(policy, where):
    return f"from any\ninterval 0s\nconfine {policy}\nlandlock no\naction /usr/local/bin/probe {OUT}/{where}\n"


def probed(where):
    path = box.root / OUT.lstrip("/") / where
    until(lambda: path.exists() and path.read_text().endswith("end\n"), 60)
    return set(path.read_text().splitlines())


def one_filter(name):
    """Nothing that a policy lets through is taken away by a unit."""
    shutil.copy(BUILD / "tests" / "probe", box.root / "usr/local/bin/probe")
    for policy in ("mail", "none"):
        box.write("/etc/nmnotify.conf", probe_config(policy, "inside"))
        pair(name)
        send()
        inside, outside = probed("inside"), probe_outside(policy)
        ok({"call 101 0 EPERM", "end"} <= outside, f"{name}: {policy}: the policy itself refuses: ptrace(2)")
        equal(sorted(inside - outside), [], f"{name}: {policy}: the unit refuses no more than the policy")
    box.write("/etc/nmnotify.conf", CONFIG)
    check_well(name, "probed")


# ---- Whose state it is ----

MANY = "".join(f"""
account {name}
    from {source}
    user {name}
    action /usr/local/bin/recorder /home/{name}/mail/{name}
""" for name, source in (("alice", "127.0.0.1"), ("bob", "127.0.2.1")))


def home_runs(account):
    return runs(account, out=f"/home/{account}/mail")


def each_works(name, accounts, what):
    """A line for each runs its action, and an interval lies between two runs whatever was changed."""
    for account in accounts:
        before = len(home_runs(account))
        send("mail" if account == "alice" else "slow")
        found = until(lambda: len(home_runs(account)) > before)
        ok(found, f"{name}: {what}: {account}'s line works")
        gaps = [b[1] - a[1] for a, b in zip(home_runs(account), home_runs(account)[1:])]
        ok(all(gap >= 900 for gap in gaps), f"G2: {name}: {what}: {account}'s starts are an interval apart")


def change_of_users(name):
    """One user, many users, and back; systemd-tmpfiles(8); the state is whose it must be each time, and
    goes on."""
    unit = "nmnotifyd.service" if name == "nmnotifyd" else "nmnotify@.service"
    begin()
    for user in ("alice", "bob"):
        if box.run("id", user, check=False).returncode != 0:
            box.run("useradd", "--create-home", "--shell", "/bin/sh", user)
        box.run("rm", "-rf", f"/home/{user}/mail")
        box.run("install", "-d", "-o", user, f"/home/{user}/mail", f"/home/{user}/mail/{user}")
    one = "[Service]\nUser=alice\n"
    many = example(unit, "accounts of many users")

    def become(text, conf):
        """As an administrator does it: while a waiter or a run may be alive, and the socket listens."""
        box.write(f"etc/systemd/system/{unit}.d/test.conf", text)
        box.write("/etc/nmnotify.conf", "interval 1s\nlimit 1000/s burst 1000\n" + conf)
        box.run("systemctl", "daemon-reload")
        if name == "nmnotifyd":
            box.run("systemctl", "restart", "nmnotifyd.socket")

    box.run("systemctl", "start", f"{name}.socket")
    for what, text, conf, accounts in (
        ("one user", one, MANY.split("account bob")[0], ["alice"]),
        ("then many", many, MANY, ["alice", "bob"]),
        ("then one again", one, MANY.split("account bob")[0], ["alice"]),
        ("then many again", many, MANY, ["bob", "alice"]),
    ):
        send("mail")  # who comes next finds a waiter, of the user before
        become(text, conf)
        each_works(name, accounts, what)
        box.run("systemd-tmpfiles", "--create", check=False)
        each_works(name, accounts, f"{what}, systemd-tmpfiles")
        if name == "nmnotifyd":
            box.run("systemctl", "restart", "nmnotifyd.service")
            each_works(name, accounts, f"{what}, a restart")
    other = PAIRS[1 - PAIRS.index(name)]
    other_unit = "nmnotifyd.service" if other == "nmnotifyd" else "nmnotify@.service"
    with drop_in(other_unit, example(other_unit, "accounts of many users")):
        box.run("systemctl", "start", f"{other}.socket")
        each_works(name, ["alice", "bob"], f"many, from {name} to {other}")
        box.run("systemctl", "start", f"{name}.socket")
        each_works(name, ["alice", "bob"], f"many, and back")
    (box.root / f"etc/systemd/system/{unit}.d/test.conf").unlink()
    box.run("systemctl", "daemon-reload")
    begin()
    box.write("/etc/nmnotify.conf", CONFIG)


# ---- The user instance ----


def user_instance(name):
    if not has_user_manager():
        return
    uid = box.output("id", "-u", "alice").strip()
    count = len(runs("user", USER_OUT))
    after = time.time()
    box.run("systemctl", "--user", "start", f"{name}.socket", user="alice")
    send(port=7979)
    equal(wait_runs(count + 1, "user", out=USER_OUT), count + 1, f"user instance: {name}: the line runs the action")
    path = box.root / USER_OUT.lstrip("/") / "user/facts"
    until(path.exists)
    facts = path.read_text()
    ok(f"\nuid {uid}\n" in facts, f"user instance: {name}: as the user")
    until(lambda: box.journal("NMNOTIFY_ACCOUNT=user", "NMNOTIFY_RUN=ended", after=after))
    unit = "nmnotifyd.service" if name == "nmnotifyd" else "nmnotify@"
    in_unit = is_in_unit(unit, "NMNOTIFY_ACCOUNT=user", after=after, field="_SYSTEMD_USER_UNIT", port=7979)
    ok(in_unit, f"user instance: {name}: journal")
    says = lambda: [r for r in box.journal(after=after) if "mail for alice" in str(r.get("MESSAGE"))]
    ok(until(says), f"user instance: {name}: what the action says")
    send(port=7979)
    send(port=7979)
    before = len(runs("user", USER_OUT))
    box.run("systemctl", "--user", "restart", f"{name}.socket", user="alice")
    ok(wait_runs(before + 1, "user", out=USER_OUT) > before, f"user instance: {name}: restart loses nothing")
    ok(box.is_active(f"{name}.socket", "alice"), f"user instance: {name}: the socket is active")
    failed = box.output("systemctl", "--user", "--failed", "--plain", "--no-legend", user="alice")
    equal(failed.strip(), "", f"user instance: {name}: no failed unit")


def redirection():
    """The rules of nft(8) in the unit: from another host, played by another network namespace."""
    unit = box.read("/usr/lib/systemd/user/nmnotifyd.socket")
    rule = re.sub(r"(?m)^# ?", "", re.search(r"nft '(.*?)'", unit, re.DOTALL)[1])
    if not box.has_nat():
        skip("redirection: port 79 leads to the user", "this kernel has no nftables with NAT")
        return
    if not shutil.which("ip"):
        skip("redirection: port 79 leads to the user", "there is no ip(8) here")
        return
    if not has_user_manager():
        return
    box.run("systemctl", "--user", "start", "nmnotifyd.socket", user="alice")
    box.run("nft", rule)
    other = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    try:
        until(lambda: os.readlink(f"/proc/{other.pid}/ns/net") != os.readlink("/proc/thread-self/ns/net"))
        there = ["nsenter", f"--target={other.pid}", "--net"]
        for words in (
            ["ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", str(other.pid)],
            ["ip", "address", "add", "192.0.2.1/24", "dev", "here"],
            ["ip", "link", "set", "here", "up"],
            [*there, "ip", "address", "add", "192.0.2.2/24", "dev", "there"],
            [*there, "ip", "link", "set", "there", "up"],
        ):
            subprocess.run(words, check=True)
        count = len(runs("user", USER_OUT))
        say = "import socket; c = socket.create_connection(('192.0.2.1', 79), 10); c.sendall(b'nm_notifyuser\\r\\n')"
        subprocess.run([*there, sys.executable, "-c", say], check=True)
        equal(wait_runs(count + 1, "user", out=USER_OUT), count + 1, "redirection: port 79 leads to the user")
        time.sleep(1)
        send()
        equal(wait_runs(count + 2, "user", out=USER_OUT), count + 2, "redirection: from the machine itself, too")
    finally:
        other.kill()
        other.wait()
        box.run("nft", "delete table inet nmnotify", check=False)


run((user_instance, change_of_users, one_filter), nmnotifyd=(redirection,))
