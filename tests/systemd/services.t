#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What an administrator does with both pairs of units: starts, stops, restarts, reboots, and mistakes."""

import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import container
from services import (
    CONFIG, INTERVAL_MS, NOBODY, OUT, PAIRS, SLACK_MS, SOURCES, USER_CONFIG, USER_OUT, become_waiter, begin,
    box, check_gaps, check_well, due, example, is_in_unit, pair, processes, restarts, run, runs, send, user_begin,
    wait_runs,
)
from nmtest import LINE, boottime_ms, diag, equal, ok, skip, until


# ---- Sending and looking ----


def wait_ends(count, account="mail"):
    until(lambda: sum(r[2] is not None for r in runs(account)) >= count)


def last_run(account="mail", after=None):
    return box.journal("NMNOTIFY_RUN=ended", f"NMNOTIFY_ACCOUNT={account}", after=after)[-1:]


# ---- The tests; those with a pair's name are run for both ----


def installed():
    equal(box.failed_units(), [], "booted: nothing has failed")
    said = box.run("/usr/local/sbin/nmnotifyd", "-t", user="nmnotify", check=False)
    ok("there-is-no-such-program" in said.stderr, "nmnotifyd -t finds what is wrong with the test's accounts")
    entry = box.output("getent", "passwd", "nmnotify")
    ok(entry.startswith("nmnotify:"), "sysusers.d: there is a user nmnotify")
    equal(box.output("sh", "-c", "systemd-analyze verify --man=no /lib/systemd/system/nmnotify*[!d] 2>&1"), "", "verify: clean")


def line_runs(name):
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
    get = lambda *m: until(lambda: box.journal(*m, after=after))
    accepted = get("NMNOTIFY_VERDICT=accepted")
    first = accepted[0] if accepted else {}
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
    ok(is_in_unit(unit, "NMNOTIFY_VERDICT=accepted", after=after), f"{name}: journal: the unit")
    check_gaps("mail", name)
    check_well(name, "after lines")


def failing_actions(name):
    after = pair(name)
    for account in ("fails", "missing"):
        send(account)
    equal(wait_runs(1, "fails"), 1, f"{name}: an action that fails is run")
    records = until(lambda: len(box.journal("NMNOTIFY_ACCOUNT=missing", after=after)) >= 2)
    ok(records, f"{name}: one that is not there is an error in the log")
    ended = until(lambda: last_run("fails", after)) or [{}]
    equal(ended[0].get("NMNOTIFY_STATUS"), "3", f"{name}: its status is in the log")
    ok(int(ended[0].get("PRIORITY", 7)) <= 4, f"{name}: as a warning")
    if name == "nmnotifyd":
        shown = lambda: box.output("systemctl", "status", "--no-pager", "nmnotifyd.service")
        said = until(lambda: "account=fails source=127.0.4.1 status=3" in shown())
        ok(said, f"{name}: and in systemctl status") or diag(shown())
        ok(box.is_active("nmnotifyd.service"), f"{name}: the service goes on")
    until(lambda: not box.instances("nmnotify@*"))
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
    ended = until(lambda: last_run("slow", after)) or [{}]
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
    if container.IS_MACHINE:
        skip(f"{name}: reboot", "the test runs in the machine itself")
        return
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
        wrong = until(errors)
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


# ---- nmnotifyd alone ----


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
        equal(until(seen), ["there is .mbsyncrc mail"], "drop-in: less of the home: and sees no more")
    text = example(unit, "accounts of many users")
    ok("StateDirectory=" in text, f"drop-in: {name}: accounts of many users: found")
    conf = USER_CONFIG.replace("from any\n", "from any\n    user alice\n")
    equal(with_dropin(text, conf), 1, f"drop-in: {name}: accounts of many users: as one of them")
    path = box.root / USER_OUT.lstrip("/") / "user/facts"
    until(path.exists)
    uid = box.output("id", "-u", "alice").strip()
    ok(f"\nuid {uid}\neuid {uid}\n" in path.read_text(), f"drop-in: {name}: accounts of many users: whom it names")
    capabilities = re.findall(r"status Cap(?:Prm|Eff|Inh|Amb):\s*(\w+)", path.read_text())
    equal(set(capabilities), {"0" * 16}, f"drop-in: {name}: accounts of many users: with no capability")
    if name == "nmnotifyd":
        status = Path(f"/proc/{processes()[1]}/status").read_text()
        ok("\nUid:\t0\t" not in status, "drop-in: accounts of many users: the network process is not root")
        send()
        until(lambda: due("user"))
        begun = time.monotonic()
        box.run("systemctl", "stop", "nmnotifyd.service")
        ok(time.monotonic() - begun < 4, "drop-in: accounts of many users: a waiter of one of them can be stopped")
    (box.root / dropin).unlink()
    box.write("/etc/nmnotify.conf", CONFIG)
    box.run("systemctl", "daemon-reload")
    check_well(name, "with drop-ins")


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
        until(lambda: restarts() == count and box.is_active("nmnotifyd.service"))
        pauses.append(milliseconds(box.show("nmnotifyd.service", "RestartUSecNext")))
    ok(pauses[0] < pauses[1] < pauses[2], "restart: each pause is longer than the one before") or diag(pauses)
    send()
    ok(wait_runs(2) >= 2, "restart: and a line works")
    check_well("nmnotifyd", "restarted")


run(
    (line_runs, failing_actions, daemon_reload, restart_with_a_waiter, restart_with_a_run, stop_with_a_waiter, stop_with_a_run)
    + (migrate, broken_configuration, drop_ins, reboot),
    nmnotifyd=(installed, restart_steps),
)
