#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Both pairs of units under a real systemd, in containers of Debian 12 and 13: installed as a user installs
them, and what an administrator does with them then."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import container
import measure
import nmtest
from nmtest import BUILD, LINE, State, boottime_ms, diag, equal, is_alive, ok, skip, until

PAIRS = ("nmnotifyd", "nmnotify")
RELEASES = ("bookworm", "trixie")
INTERVAL_MS = 2000
# How much later than it must a start may be seen.
SLACK_MS = 4000
# A source for each account, and an action that does what the name says.
SOURCES = {"mail": "127.0.0.1", "slow": "127.0.2.1", "stubborn": "127.0.3.1", "fails": "127.0.4.1"}
SOURCES["missing"] = "127.0.5.1"
NOBODY = "127.0.9.9"
OUT = "/var/lib/nmnotify"
CONFIG = f"""
interval {INTERVAL_MS}ms
limit 1000/s burst 10000
timeout 60s
account mail
    from 127.0.0.0/24 ::1
    action /bin/sh -c 'echo new mail; exec /usr/local/bin/recorder {OUT}/mail facts=facts'
account slow
    from 127.0.2.0/24
    action /usr/local/bin/recorder {OUT}/slow sleep=3000
account stubborn
    from 127.0.3.0/24
    action /usr/local/bin/recorder {OUT}/stubborn ignore-term sleep=60000
account fails
    from 127.0.4.0/24
    action /usr/local/bin/recorder {OUT}/fails exit=3
account missing
    from 127.0.5.0/24
    action /usr/local/bin/there-is-no-such-program
"""

box = None


# ---- Sending and looking ----


def send(account="mail", data=LINE, port=79, source=None, host="127.0.0.1"):
    """Sends, and waits for the end of the connection. Returns what came back."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(15)
        if family == socket.AF_INET:
            client.bind((source or SOURCES[account], 0))
        client.connect((host, port))
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return client.recv(100)
        except OSError:
            return b""  # closed unread


def send_datagram(data=LINE, port=79, source="127.0.0.1"):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((source, 0))
        client.sendto(data, ("127.0.0.1", port))


def runs(account="mail", out=OUT):
    """[[process, start, end or None]], in ms of CLOCK_BOOTTIME."""
    found = []
    try:
        lines = (box.root / out.lstrip("/") / account / "runs").read_text().splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        kind, pid, at, *_ = line.split()
        if kind == "start":
            found.append([int(pid), int(at) // 1000000, None])
        for run in found:
            if kind == "end" and run[0] == int(pid):
                run[2] = int(at) // 1000000
    return found


def wait_runs(count, account="mail", **how):
    """That many starts at least; and a moment later there are not more."""
    until(lambda: len(runs(account, **how)) >= count, 20)
    return len(runs(account, **how))


def wait_ends(count, account="mail"):
    until(lambda: sum(r[2] is not None for r in runs(account)) >= count, 20)


def state(account="mail", base="/run/nmnotify"):
    return State(f"/proc/{box.leader}/root{base}/{account}/limits")


def due(account="mail", **how):
    try:
        return state(account, **how).due
    except FileNotFoundError:
        return 0


def has_waiter(account="mail"):
    return until(lambda: due(account) != 0, 5)


def become_waiter(account="mail"):
    """A start, and a line that waits for the next one. Returns how many runs there are then."""
    before = len(runs(account))
    send(account)
    wait_runs(before + 1, account)
    # One start may have been due already, by a line before.
    until(lambda: not due(account), 5)
    send(account)
    has_waiter(account)
    return len(runs(account))


def check_gaps(account, name):
    gaps = [b[1] - a[1] for a, b in zip(runs(account), runs(account)[1:])]
    if not ok(all(gap >= INTERVAL_MS - 250 for gap in gaps), f"G2: {name}: starts are an interval apart"):
        diag(f"gaps: {gaps} ms")


def last_run(account="mail", after=None):
    return box.journal("NMNOTIFY_RUN=ended", f"NMNOTIFY_ACCOUNT={account}", after=after)[-1:]


# ---- Before and after ----


def prepare():
    box.write("/etc/nmnotify.conf", CONFIG)
    recorder = box.root / "usr/local/bin/recorder"
    recorder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(BUILD / "tests" / "recorder", recorder)
    recorder.chmod(0o755)
    begin()


def begin():
    """Nothing runs, nothing is owed, nothing has been."""
    box.run("systemctl", "stop", "nmnotifyd.socket", "nmnotify.socket", "nmnotifyd.service", "nmnotify@*")
    box.run("systemctl", "reset-failed")
    box.run("sh", "-c", f"rm -rf /run/nmnotify {OUT}/*")
    names = [f"{OUT}/{name}" for name in SOURCES]
    box.run("install", "-d", "-m", "700", "-o", "nmnotify", "-g", "nmnotify", OUT, *names)


@contextlib.contextmanager
def drop_in(unit, text, directory="/etc/systemd/system"):
    path = f"{directory}/{unit}.d/test.conf"
    box.write(path, text)
    box.run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        (box.root / path.lstrip("/")).unlink()
        box.run("systemctl", "daemon-reload")


def pair(name):
    begin()
    box.run("systemctl", "start", f"{name}.socket")
    return time.time()


def check_well(name, what):
    """What must hold after everything."""
    ok(box.is_active(f"{name}.socket"), f"{name}: {what}: the socket is active")
    equal(box.failed_units(), [], f"{name}: {what}: no failed unit is left")


# ---- The tests; those with a pair's name are run for both ----


def installed():
    equal(box.failed_units(), [], "booted: nothing has failed")
    said = box.run("/usr/local/sbin/nmnotifyd", "-t", user="nmnotify", check=False)
    ok("there-is-no-such-program" in said.stderr, "nmnotifyd -t finds what is wrong with the test's accounts")
    entry = box.output("getent", "passwd", "nmnotify")
    ok(entry.startswith("nmnotify:"), "sysusers.d: there is a user nmnotify")
    equal(box.output("sh", "-c", "systemd-analyze verify --man=no /lib/systemd/system/nmnotify*[!d] 2>&1"), "", "verify: clean")


def line(name):
    after = pair(name)
    equal(send(), b"", f"{name}: G7: silence")
    equal(wait_runs(1), 1, f"{name}: the line runs the action")
    wait_ends(1)
    facts = (box.root / OUT.lstrip("/") / "mail/facts").read_text()
    uid = box.output("id", "-u", "nmnotify").strip()
    ok(f"\nuid {uid}\neuid {uid}\n" in facts, f"{name}: as the configured user")
    ok("env NMNOTIFY_SOURCE=127.0.0.1\n" in facts, f"{name}: it is told the source")
    capabilities = re.findall(r"status Cap\w+:\s*(\w+)", facts)
    equal(set(capabilities), {"0" * 16}, f"{name}: with no capability")
    ok(re.search(r"status Seccomp:\s*2", facts), f"{name}: with a filter")
    wait_ends(1)
    send(data=b"GET / HTTP/1.0\r\n\r\n")
    send(source=NOBODY)
    time.sleep(INTERVAL_MS / 1000)
    send(host="::1")
    equal(wait_runs(2), 2, f"{name}: IPv6, too")
    wait_ends(2)
    unit = "nmnotifyd.service" if name == "nmnotifyd" else "nmnotify@"
    get = lambda *m: until(lambda: box.journal(*m, after=after), 5)
    accepted = get("NMNOTIFY_VERDICT=accepted")
    first = accepted[0] if accepted else {}
    ok(first.get("_SYSTEMD_UNIT", "").startswith(unit), f"{name}: journal: the unit")
    equal(first.get("MESSAGE"), "verdict=accepted account=mail source=127.0.0.1", f"{name}: journal: a line")
    fields = (first.get("NMNOTIFY_ACCOUNT"), first.get("NMNOTIFY_SOURCE"), first.get("SYSLOG_IDENTIFIER"))
    equal(fields, ("mail", "127.0.0.1", name), f"{name}: journal: its fields")
    equal([r["NMNOTIFY_SOURCE"] for r in accepted], ["127.0.0.1", "::1"], f"{name}: journal: both sources")
    ended = get("NMNOTIFY_RUN=ended") or [{}]
    equal(ended[0].get("NMNOTIFY_STATUS"), "0", f"{name}: journal: how the run ended")
    bad = get("NMNOTIFY_VERDICT=malformed") or [{}]
    equal(bad[0].get("NMNOTIFY_SOURCE"), "127.0.0.1", f"{name}: journal: malformed")
    denied = get("NMNOTIFY_VERDICT=denied") or [{}]
    equal(denied[0].get("NMNOTIFY_SOURCE"), NOBODY, f"{name}: journal: denied")
    said = [r for r in box.journal(after=after) if "new mail" in str(r.get("MESSAGE"))]
    ok(said and said[0]["_SYSTEMD_UNIT"].startswith(unit), f"{name}: journal: what the action says")
    check_gaps("mail", name)
    check_well(name, "after lines")


def failing_actions(name):
    after = pair(name)
    for account in ("fails", "missing"):
        send(account)
    equal(wait_runs(1, "fails"), 1, f"{name}: an action that fails is run")
    records = until(lambda: len(box.journal("NMNOTIFY_ACCOUNT=missing", after=after)) >= 2, 10)
    ok(records, f"{name}: one that is not there is an error in the log")
    ended = until(lambda: last_run("fails", after), 10) or [{}]
    equal(ended[0].get("NMNOTIFY_STATUS"), "3", f"{name}: its status is in the log")
    ok(int(ended[0].get("PRIORITY", 7)) <= 4, f"{name}: as a warning")
    if name == "nmnotifyd":
        shown = box.output("systemctl", "status", "--no-pager", "nmnotifyd.service")
        ok("account=fails source=127.0.4.1 status=3" in shown, f"{name}: and in systemctl status")
        ok(box.is_active("nmnotifyd.service"), f"{name}: the service goes on")
    until(lambda: not box.instances("nmnotify@*"), 10)
    equal(box.instances("nmnotify@*"), [], f"{name}: no instance stays")
    send()
    equal(wait_runs(1), 1, f"{name}: another account works")
    check_well(name, "after failing actions")


def daemon_reload(name):
    pair(name)
    count = become_waiter()
    box.run("systemctl", "daemon-reload")
    equal(wait_runs(count + 1), count + 1, f"{name}: daemon-reload: the waiter's start comes")
    send()
    equal(wait_runs(count + 2), count + 2, f"{name}: daemon-reload: and so does the next one")
    check_gaps("mail", f"{name}: daemon-reload")
    check_well(name, "daemon-reload")


def restart_with_a_waiter(name):
    pair(name)
    count = become_waiter()
    result = box.run("systemctl", "restart", f"{name}.socket", check=False)
    equal((result.returncode, result.stderr), (0, ""), f"{name}: restart of the socket works")
    at = boottime_ms()
    equal(wait_runs(count + 1), count + 1, f"{name}: restart: the waiter's start is not lost")
    late = runs()[-1][1] - at
    if not ok(late <= INTERVAL_MS + SLACK_MS, f"{name}: restart: it comes in time"):
        diag(f"{late} ms")
    check_gaps("mail", f"{name}: restart")
    send()
    equal(wait_runs(count + 2), count + 2, f"{name}: restart: a line works")
    check_well(name, "restart")


def restart_with_a_run(name):
    """Per connection: the action goes on. nmnotifyd: it is ended, and said so."""
    after = pair(name)
    send("slow")
    wait_runs(1, "slow")
    box.run("systemctl", "restart", f"{name}.socket")
    ended = until(lambda: last_run("slow", after), 10) or [{}]
    if name == "nmnotify":
        equal(ended[0].get("NMNOTIFY_STATUS"), "0", f"{name}: restart: a running action goes on")
        equal(runs("slow")[0][2] is not None, True, f"{name}: restart: to its end")
    else:
        reason = (ended[0].get("NMNOTIFY_STATUS"), ended[0].get("NMNOTIFY_REASON"))
        equal(reason, ("143", "signal"), f"{name}: restart: a running action is ended, and the log says so")
    time.sleep(INTERVAL_MS / 1000)
    before = len(runs("slow"))
    send("slow")
    equal(wait_runs(before + 1, "slow"), before + 1, f"{name}: restart: the next one runs")
    check_well(name, "restart with a run")


def stop_service(name):
    return ("nmnotifyd.service",) if name == "nmnotifyd" else ("nmnotify@*",)


def stop_with_a_waiter(name):
    pair(name)
    count = become_waiter()
    begun = time.monotonic()
    box.run("systemctl", "stop", *stop_service(name))
    ok(time.monotonic() - begun < 5, f"{name}: stop: a waiter goes at once")
    ok(due() != 0, f"{name}: stop: what it owes stays in the state")
    time.sleep(INTERVAL_MS / 1000 + 0.5)
    equal(len(runs()), count, f"{name}: stop: and is not paid by nobody")
    send(data=b"hello\r\n")
    equal(wait_runs(count + 1), count + 1, f"{name}: stop: whoever comes next pays it")
    check_gaps("mail", f"{name}: stop")
    check_well(name, "stop")


def stop_with_a_run(name):
    after = pair(name)
    send("stubborn")
    wait_runs(1, "stubborn")
    begun = time.monotonic()
    box.run("systemctl", "stop", *stop_service(name))
    took = time.monotonic() - begun
    if not ok(4 < took < 9, f"{name}: stop: an action that does not listen is killed after 5 s"):
        diag(f"{took:.1f} s")
    equal((last_run("stubborn", after) or [{}])[0].get("NMNOTIFY_STATUS"), "137", f"{name}: stop: the log says so")
    pids = [p for unit in stop_service(name) for p in box.pids(unit)]
    equal(pids, [], f"{name}: stop: no process is left")
    check_well(name, "stop with a run")


def migrate(name):
    """From one pair to the other: both say stop to the other and keep the state."""
    other = PAIRS[1 - PAIRS.index(name)]
    pair(name)
    send()
    wait_runs(1)
    wait_ends(1)
    result = box.run("systemctl", "start", f"{other}.socket", check=False)
    equal((result.returncode, result.stderr), (0, ""), f"{name}: start of {other}.socket takes the port over")
    ok(not box.is_active(f"{name}.socket"), f"{name}: it is stopped")
    send()
    equal(wait_runs(2), 2, f"{name}: after that {other} works")
    check_gaps("mail", f"{name}: taken over by {other}")
    check_well(other, f"taken over from {name}")


def reboot(name):
    begin()
    box.run("systemctl", "disable", "--quiet", "nmnotify.socket", "nmnotifyd.socket")
    box.run("systemctl", "enable", "--quiet", "--now", f"{name}.socket")
    send("slow")
    wait_runs(1, "slow")
    count = become_waiter()
    begun = time.monotonic()
    box.reboot()
    took = time.monotonic() - begun
    ok(took < 30, f"{name}: reboot: nothing holds it up ({took:.1f} s)")
    ok(box.is_active(f"{name}.socket"), f"{name}: reboot: the socket is there again")
    equal(due(), 0, f"{name}: reboot: state is of one boot")
    send()
    equal(wait_runs(count + 1), count + 1, f"{name}: reboot: a line works")
    check_well(name, "reboot")
    box.run("systemctl", "disable", "--quiet", f"{name}.socket")


def broken_configuration(name):
    after = pair(name)
    box.write("/etc/nmnotify.conf", "frmo any\n")
    # nmnotifyd reads its configuration when it starts, and takes the connection then.
    with socket.socket() as client:
        client.bind((SOURCES["mail"], 0))
        client.connect(("127.0.0.1", 79))
        client.sendall(LINE)
        errors = lambda: box.journal("NMNOTIFY_VERDICT=error", f"SYSLOG_IDENTIFIER={name}", after=after)
        wrong = until(errors, 10)
        ok(wrong and "nmnotify.conf:1" in wrong[0]["MESSAGE"], f"{name}: a broken configuration: the log says where")
        time.sleep(10)
        ok(box.is_active(f"{name}.socket"), f"{name}: a broken configuration: the socket stays")
        units = [f"UNIT={u}" for u in ("nmnotifyd.service", "nmnotifyd.socket")] if name == "nmnotifyd" else ()
        found = box.journal(f"SYSLOG_IDENTIFIER={name}", *(w for u in units for w in ("+", u)), after=after)
        if not ok(len(found) <= 12, f"{name}: a broken configuration: a few lines in ten seconds ({len(found)})"):
            diag("\n".join(str(r.get("MESSAGE")) for r in found))
        box.write("/etc/nmnotify.conf", CONFIG)
        if name == "nmnotifyd":
            box.run("systemctl", "restart", "nmnotifyd.service")
            equal(wait_runs(1), 1, f"{name}: mended: the line that waited is served")
    if name == "nmnotify":
        send()
        equal(wait_runs(1), 1, f"{name}: mended: the next line is served")
    check_well(name, "mended")


# ---- One filter, the program's ----


def probe_outside(policy):
    """What is refused in a service that says nothing: by the program's policy, and by the container."""
    box.write("/etc/line", "nm_notifyuser\r\n")
    box.write("/etc/outside.conf", f"state {OUT}/state\n{probe_config(policy, 'outside')}")
    words = ["--quiet", "--wait", "--uid=nmnotify", "-p", "StandardInput=file:/etc/line"]
    box.run("systemd-run", *words, "/usr/local/sbin/nmnotify", "-f", "/etc/outside.conf")
    return probed("outside")


def probe_config(policy, where):
    return f"from any\ninterval 0s\nconfine {policy}\naction /usr/local/bin/probe {OUT}/{where}\n"


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
        found = until(lambda: len(home_runs(account)) > before, 10)
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


# ---- What keeps a socket from being there ----


def port_taken(name):
    begin()
    box.run("systemd-run", "--quiet", "--unit=other", "socat", "TCP6-LISTEN:79,fork,reuseaddr", "/dev/null")
    until(lambda: socket.socket().connect_ex(("127.0.0.1", 79)) == 0, 10)
    after = time.time()
    result = box.run("systemctl", "start", f"{name}.socket", check=False)
    ok(result.returncode != 0, f"{name}: the port is another program's: the socket fails")
    lines = lambda: box.output("journalctl", "-q", "-o", "cat", f"--since=@{after:.3f}", "-u", f"{name}.socket")
    ok(until(lambda: "Address already in use" in lines(), 5), f"{name}: and its journal says why")
    box.run("systemctl", "stop", "other.service")
    box.run("systemctl", "reset-failed")
    box.run("systemctl", "start", f"{name}.socket")
    check_well(name, "the port is free again")


def late_address(name):
    """One address alone, which comes when everything else is there."""
    begin()
    address = "192.0.2.9"
    with drop_in(f"{name}.socket", f"[Socket]\nListenStream=\nListenStream={address}:79\n"):
        box.run("systemctl", "start", f"{name}.socket")
        ok(box.is_active(f"{name}.socket"), f"{name}: an address that is not there yet: the socket is active")
        box.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        send(host=address)
        equal(wait_runs(1), 1, f"{name}: and works when the address has come")
        box.run("ip", "address", "delete", f"{address}/32", "dev", "lo")
        begin()


# ---- nmnotifyd alone ----


def datagrams():
    pair("nmnotifyd")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", 79))
            for _ in range(2):
                client.send(LINE)
                time.sleep(0.1)
        refused = False
    except ConnectionRefusedError:
        refused = True
    ok(refused, "nmnotifyd: without a drop-in nobody listens for datagrams")
    with drop_in("nmnotifyd.socket", "[Socket]\nListenDatagram=79\n"):
        datagrams_are_lines()


def datagrams_are_lines():
    pair("nmnotifyd")
    send_datagram(b"nm_notifyuser\r\n\r\n")
    send_datagram(b"rubbish")
    send_datagram(source=NOBODY)
    send_datagram()
    equal(wait_runs(1), 1, "nmnotifyd: a datagram is a line")
    counts = until(lambda: (lambda c: c if c.get("malformed") == 2 else None)(state().counts()), 5)
    equal((counts or state().counts()).get("malformed"), 2, "nmnotifyd: a datagram that is not is none")
    check_well("nmnotifyd", "after datagrams")


def status_text():
    pair("nmnotifyd")
    send()
    wait_runs(1)
    send(data=b"x\n")
    send(source=NOBODY)
    wanted = "accepted 1, deferred 0, coalesced 0, denied 1, malformed 1, timeout 0, error 0"
    # At most once a second, and with the next event.
    time.sleep(1.1)
    send(source=NOBODY)
    until(lambda: "denied 2" in box.show("nmnotifyd.service", "StatusText"), 3)
    text = box.show("nmnotifyd.service", "StatusText")
    ok(text.startswith(wanted.replace("denied 1", "denied 2")), "nmnotifyd: STATUS= has the counters")
    diag(text)


def processes():
    """(runner, network process) by their numbers here."""
    return measure.processes(box)[:2]


def restarts():
    return int(box.show("nmnotifyd.service", "NRestarts"))


def watchdog():
    box.write("/etc/systemd/system/nmnotifyd.service.d/test.conf", "[Service]\nWatchdogSec=2s\n")
    box.run("systemctl", "daemon-reload")
    pair("nmnotifyd")
    send()
    wait_runs(1)
    time.sleep(3)
    equal(restarts(), 0, "watchdog: a service that works is left alone")
    os.kill(processes()[1], signal.SIGSTOP)
    ok(until(lambda: restarts() >= 1, 10), "watchdog: a network process that hangs is seen")
    before = len(runs())
    send()
    equal(wait_runs(before + 1), before + 1, "watchdog: the restarted service works")
    check_gaps("mail", "watchdog")
    check_well("nmnotifyd", "watchdog")
    (box.root / "etc/systemd/system/nmnotifyd.service.d/test.conf").unlink()
    box.run("systemctl", "daemon-reload")


def killed():
    for which, who in enumerate(("the runner", "the network process")):
        pair("nmnotifyd")
        count = become_waiter()
        os.kill(processes()[which], signal.SIGKILL)
        at = boottime_ms()
        equal(wait_runs(count + 1), count + 1, f"G5: {who} is killed: what a waiter owed is paid")
        late = runs()[-1][1] - at
        ok(late <= INTERVAL_MS + SLACK_MS, f"G5: {who} is killed: in time")
        send()
        equal(wait_runs(count + 2), count + 2, f"G5: {who} is killed: the next line is served")
        check_gaps("mail", f"{who} is killed")
        check_well("nmnotifyd", f"{who} is killed")


def no_room_for_a_process():
    """LimitNPROC=: the service's two processes fit, a third does not. Not even then a line is lost."""
    dropin = "etc/systemd/system/nmnotifyd.service.d/test.conf"
    box.write(dropin, "[Service]\nLimitNPROC=2\n")
    box.run("systemctl", "daemon-reload")
    pair("nmnotifyd")
    send()
    ok(until(due, 10), "G5: no process can be started for a line: what is owed stays in the state")
    equal(runs(), [], "G5: nothing has run")
    ok(box.is_active("nmnotifyd.service"), "G5: the service goes on")
    (box.root / dropin).unlink()
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "restart", "nmnotifyd.socket")
    equal(wait_runs(1), 1, "G5: it is paid when there is room again")
    check_well("nmnotifyd", "no room")


def example(unit, key):
    """A drop-in from the comment of a unit: the settings beside `key`, one a line."""
    lines = box.read(f"/lib/systemd/system/{unit}").splitlines()
    found, taking = [], False
    for line in lines:
        words = re.match(r"#   (\S.*?)?(?:  +|$)(\S.*)?$", line)
        if not words:
            taking = False
        elif words[1]:
            taking = words[1] == key
        if words and taking and words[2]:
            found += [w for w in re.split(r",(?: and)?(?: |$)", words[2]) if w]
    return "[Service]\n" + "\n".join(found) + "\n"


def drop_ins(name):
    """What the comments of the units say about actions that need more than the units allow."""
    unit = "nmnotifyd.service" if name == "nmnotifyd" else "nmnotify@.service"
    dropin = f"etc/systemd/system/{unit}.d/test.conf"
    user_begin()
    box.run("rm", "-f", "/home/alice/mail/user/runs")

    def with_dropin(text, conf):
        begin()
        box.write(dropin, text)
        box.write("/etc/nmnotify.conf", conf)
        box.run("systemctl", "daemon-reload")
        box.run("systemctl", "start", f"{name}.socket")
        box.run("install", "-d", "-o", "alice", f"{USER_OUT}/user")
        box.run("rm", "-f", f"{USER_OUT}/user/runs", f"{USER_OUT}/user/facts")
        send()
        return wait_runs(1, "user", out=USER_OUT)

    text = "[Service]\nUser=alice\n"
    equal(with_dropin(text, USER_CONFIG), 1, f"drop-in: {name}: User= alone delivers to a home")
    if name == "nmnotifyd":
        text += example(unit, "less of the home")
        ok("BindPaths=/home/alice/Mail" in text, "drop-in: less of the home: found")
        box.write("/home/alice/.mbsyncrc", "")
        text = text.replace("/home/alice/Mail", "/home/alice/mail")
        conf = USER_CONFIG.replace("mail for alice", "there is $(ls -A /home/alice)")
        after = time.time()
        equal(with_dropin(text, conf), 1, "drop-in: less of the home: it delivers")
        seen = lambda: [r["MESSAGE"] for r in box.journal(after=after) if "there is" in str(r.get("MESSAGE"))]
        equal(until(seen, 5), ["there is .mbsyncrc mail"], "drop-in: less of the home: and sees no more")
    text = example(unit, "accounts of many users")
    ok("StateDirectory=" in text, f"drop-in: {name}: accounts of many users: found")
    conf = USER_CONFIG.replace("from any\n", "from any\n    user alice\n")
    equal(with_dropin(text, conf), 1, f"drop-in: {name}: accounts of many users: as one of them")
    path = box.root / USER_OUT.lstrip("/") / "user/facts"
    until(path.exists, 5)
    uid = box.output("id", "-u", "alice").strip()
    ok(f"\nuid {uid}\neuid {uid}\n" in path.read_text(), f"drop-in: {name}: accounts of many users: whom it names")
    capabilities = re.findall(r"status Cap(?:Prm|Eff|Inh|Amb):\s*(\w+)", path.read_text())
    equal(set(capabilities), {"0" * 16}, f"drop-in: {name}: accounts of many users: with no capability")
    if name == "nmnotifyd":
        status = Path(f"/proc/{processes()[1]}/status").read_text()
        ok("\nUid:\t0\t" not in status, "drop-in: accounts of many users: the network process is not root")
        send()
        until(lambda: due("user"), 5)
        begun = time.monotonic()
        box.run("systemctl", "stop", "nmnotifyd.service")
        ok(time.monotonic() - begun < 4, "drop-in: accounts of many users: a waiter of one of them can be stopped")
    (box.root / dropin).unlink()
    box.write("/etc/nmnotify.conf", CONFIG)
    box.run("systemctl", "daemon-reload")
    check_well(name, "with drop-ins")


def idle():
    box.write("/etc/nmnotify.conf", "idle 1s\n" + CONFIG)
    pair("nmnotifyd")
    send()
    wait_runs(1)
    down = until(lambda: box.show("nmnotifyd.service", "ActiveState") == "inactive", 10)
    ok(down, "idle: the service ends")
    equal(box.show("nmnotifyd.service", "Result"), "success", "idle: well")
    equal(box.show("nmnotifyd.socket", "SubState"), "listening", "idle: systemd listens")
    equal(state().counts().get("accepted"), 1, "idle: the state stays")
    send()
    equal(wait_runs(2), 2, "idle: the next line starts it again")
    check_gaps("mail", "idle")
    check_well("nmnotifyd", "idle")
    box.write("/etc/nmnotify.conf", CONFIG)


def milliseconds(text):
    """A time span as systemctl shows it."""
    units = {"min": 60000, "s": 1000, "ms": 1, "us": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(min|ms|us|s)\b", text))


def restart_steps():
    """From 254 on: a service that fails again waits for longer."""
    pair("nmnotifyd")
    send()
    wait_runs(1)
    if not box.show("nmnotifyd.service", "RestartUSecNext"):
        skip("restart: each pause is longer than the one before", "this systemd has no RestartSteps=")
        return
    pauses = []
    for count in (1, 2, 3):
        os.kill(processes()[0], signal.SIGKILL)
        until(lambda: restarts() == count and box.is_active("nmnotifyd.service"), 30)
        pauses.append(milliseconds(box.show("nmnotifyd.service", "RestartUSecNext")))
    ok(pauses[0] < pauses[1] < pauses[2], "restart: each pause is longer than the one before") or diag(pauses)
    send()
    ok(wait_runs(2) >= 2, "restart: and a line works")
    check_well("nmnotifyd", "restarted")


# ---- Per connection alone ----


def poll_limit():
    """From 255 on: systemd takes its time with a socket. Those that are more wait, and none is lost."""
    pair("nmnotify")
    if not box.show("nmnotify.socket", "PollLimitBurst"):
        skip("PollLimitBurst=: what is more waits", "this systemd has no PollLimitBurst=")
        return
    limit = (box.show("nmnotify.socket", "PollLimitBurst"), box.show("nmnotify.socket", "PollLimitIntervalUSec"))
    equal(limit, ("100", "1s"), "PollLimitBurst=: as in the drop-in that is installed")
    for i in range(250):
        with socket.socket() as client:
            client.bind((f"127.0.9.{i + 1}", 0))
            client.connect(("127.0.0.1", 79))
            client.sendall(LINE)
    took = lambda: int(box.show("nmnotify.socket", "NAccepted"))
    ok(until(lambda: took() >= 250, 30, 0.2), "PollLimitBurst=: what is more waits, and is taken") or diag(took())
    send()
    equal(wait_runs(1), 1, "PollLimitBurst=: and a line works")
    until(lambda: not box.instances("nmnotify@*"), 10)
    check_well("nmnotify", "more than PollLimitBurst=")


def many_from_one():
    pair("nmnotify")
    clients = []
    for _ in range(80):
        client = socket.socket()
        client.bind(("127.0.0.7", 0))
        client.connect(("127.0.0.1", 79))
        client.sendall(b"n")
        clients.append(client)
    until(lambda: len(box.instances("nmnotify@*")) >= 50, 10)
    time.sleep(0.5)
    most = len(box.instances("nmnotify@*"))
    ok(most <= 50, f"MaxConnectionsPerSource=: one host has at most 50 ({most})")
    send()
    equal(wait_runs(1), 1, "MaxConnectionsPerSource=: another has its turn")
    for client in clients:
        client.close()
    until(lambda: not box.instances("nmnotify@*"), 10)
    check_well("nmnotify", "many from one")


# ---- The user instance ----

USER_OUT = "/home/alice/mail"
USER_CONFIG = """
interval 1s
limit 1000/s burst 10000
account user
    from any
    action /bin/sh -c 'echo mail for alice; exec /usr/local/bin/recorder /home/alice/mail/user facts=facts'
"""


def user_begin():
    begin()
    if box.run("id", "alice", check=False).returncode != 0:
        box.run("useradd", "--create-home", "--shell", "/bin/sh", "alice")
        box.write("/home/alice/.config/nmnotify.conf", USER_CONFIG)
        box.run("install", "-d", "-o", "alice", f"{USER_OUT}/user")
        box.run("chown", "-R", "alice:", "/home/alice")


def has_user_manager():
    """From systemd 256 on logind wants of a container what this one has not; guest.t has a kernel of its own."""
    user_begin()
    lingers = box.run("loginctl", "enable-linger", "alice", check=False).returncode == 0
    uid = box.output("id", "-u", "alice").strip()
    is_up = lambda: box.run("test", "-S", f"/run/user/{uid}/systemd/private", check=False).returncode == 0
    if box.release != RELEASES[0] and not (lingers and until(is_up, 20)):
        skip("user instances", "loginctl enable-linger does not work in this container; guest.t does it")
        return False
    until(is_up, 20)
    box.run("systemctl", "--user", "stop", "nmnotify.socket", "nmnotifyd.socket", user="alice")
    box.run("systemctl", "--user", "daemon-reload", user="alice")
    return True


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
    until(path.exists, 5)
    facts = path.read_text()
    ok(f"\nuid {uid}\n" in facts, f"user instance: {name}: as the user")
    found = until(lambda: box.journal("NMNOTIFY_ACCOUNT=user", "NMNOTIFY_RUN=ended", after=after), 5) or [{}]
    unit = found[0].get("_SYSTEMD_USER_UNIT", "")
    ok(unit.startswith("nmnotifyd.service" if name == "nmnotifyd" else "nmnotify@"), f"user instance: {name}: journal")
    says = lambda: [r for r in box.journal(after=after) if "mail for alice" in str(r.get("MESSAGE"))]
    ok(until(says, 5), f"user instance: {name}: what the action says")
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
        until(lambda: os.readlink(f"/proc/{other.pid}/ns/net") != os.readlink("/proc/thread-self/ns/net"), 5)
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


# ---- All of it ----

COMMON = (
    line,
    failing_actions,
    daemon_reload,
    restart_with_a_waiter,
    restart_with_a_run,
    stop_with_a_waiter,
    stop_with_a_run,
    migrate,
    broken_configuration,
    user_instance,
    drop_ins,
    change_of_users,
    one_filter,
    port_taken,
    late_address,
    reboot,
)
ALONE = {
    "nmnotifyd": (installed, datagrams, status_text, watchdog, killed, no_room_for_a_process, idle, restart_steps, redirection),
    "nmnotify": (many_from_one, poll_limit),
}


def parts(name):
    def part(test):
        run = lambda: test(name)
        run.__name__ = test.__name__
        return run

    return [*ALONE[name], *map(part, COMMON)]


def one_part(release, name):
    global box
    with container.Container(release) as box:
        prepare()
        nmtest.run(*parts(name))


PARTS = {f"{release}-{name}": (release, name) for release in RELEASES for name in PAIRS}


def all_parts():
    """At the same time, each in a container of its own: most of it is waiting."""
    container.run_parts(__file__, PARTS)


if __name__ == "__main__":
    container.require(*RELEASES)
    if sys.argv[1:2] and sys.argv[1] in PARTS:
        one_part(*PARTS[sys.argv.pop(1)])
    all_parts()
