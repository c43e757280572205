#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotify-start@ and nmnotify-resume@: starts without a line, at boot, after a sleep, by a timer and by hand."""

import re
import sys

sys.dont_write_bytecode = True
from documents import Documents, commands
from services import (
    CONFIG, USER_OUT, begin, box, check_gaps, check_well, drop_in, due, has_user_manager, pair, run, runs, send, wait_ends,
    wait_runs,
)
from nmtest import diag, equal, ok, until

UNIT = "nmnotify-start@mail.service"
docs = Documents(("man/nmnotify-units.7", "units/nmnotify-start@.service"))
# For as long as a machine sleeps; then it says when it has woken up.
ASLEEP = "/bin/sh -c 'sleep 1; cat /proc/uptime >/run/woken'"
SLEEPS = ("suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate")


def invocation(unit=UNIT):
    return box.show(unit, "InvocationID")


def like_a_line():
    pair("nmnotify")
    box.run("systemctl", "start", UNIT)
    equal(wait_runs(1), 1, "nmnotify-start@: runs the account's action")
    send()
    equal(wait_runs(2), 2, "nmnotify-start@: a line's handler has the same state")
    box.run("systemctl", "start", UNIT)
    equal(wait_runs(3), 3, "nmnotify-start@: after a line")
    check_gaps("mail", "nmnotify-start@ and lines")
    source = lambda: "env NMNOTIFY_SOURCE=local\n" in box.read("/var/lib/nmnotify/mail/facts")
    ok(until(source), "nmnotify-start@: for local")
    until(lambda: not box.is_active(UNIT))
    box.run("systemctl", "start", "nmnotify-start@fails.service")
    equal(wait_runs(1, "fails"), 1, "nmnotify-start@: another account's action, which fails")
    until(lambda: not box.is_active("nmnotify-start@fails.service"))
    check_well("nmnotify", "nmnotify-start@")


def at_boot():
    """As far as it can be tried here: what reaching the targets starts."""
    begin()
    typed = commands(docs.take("man/nmnotify-units.7", "systemctl enable --now nmnotify-start@default.service"), "#")
    shown = docs.take("units/nmnotify-start@.service", "systemctl enable --now nmnotify-start@default.service")
    equal([re.split(" {2,}", line)[0] for line in commands(shown)], typed, "the page and the unit say the same")
    for command in typed:
        box.run("sh", "-c", command.replace("@default.", "@mail."))
    equal(wait_runs(1), 1, "enable --now: a run")
    ok(box.is_active("nmnotify-start@mail.timer"), "enable --now: the timer is active")
    box.run("systemctl", "disable", "--now", "nmnotify-start@mail.timer")
    wants = box.output("systemctl", "list-dependencies", "--plain", "multi-user.target")
    ok(UNIT in wants, "enabled: wanted at boot")
    for target in SLEEPS:
        wants = box.output("systemctl", "list-dependencies", "--plain", f"{target}.target")
        ok("nmnotify-resume@mail.service" in wants, f"enabled: wanted by {target}.target")
    after = box.show(UNIT, "After").split()
    ok("network-online.target" in after, "at boot: after the network is online")
    box.run("systemctl", "isolate", "rescue.target", check=False)
    until(lambda: not box.is_active("multi-user.target"))
    before = len(runs())
    box.run("systemctl", "isolate", "multi-user.target")
    equal(wait_runs(before + 1), before + 1, "multi-user.target: starts it")


def after_a_sleep():
    """What makes the machine sleep is a program that does nothing here."""
    begin()
    box.run("systemctl", "enable", UNIT)
    for target in SLEEPS:
        box.write(f"/etc/systemd/system/systemd-{target}.service.d/test.conf", f"[Service]\nExecStart=\nExecStart={ASLEEP}\n")
    box.run("systemctl", "daemon-reload")
    for target in SLEEPS[:2]:
        before = len(runs())
        box.run("systemctl", "start", f"{target}.target")
        equal(wait_runs(before + 1), before + 1, f"{target}.target: a run")
        woken = float(box.read("/run/woken").split()[0]) * 1000
        ok(runs()[before][1] >= woken - 10, f"{target}.target: not before the machine has woken up") or diag((runs(), woken))
        wait_ends(before + 1)
    # One that hangs, and one that sleeps for a retry, are not what the machine wakes up with.
    box.write("/etc/nmnotify.conf", CONFIG.replace("timeout 60s\n", "timeout 60s\nretry 1h\n"))
    box.run("systemctl", "enable", "nmnotify-start@fails.service")
    box.run("systemctl", "start", "nmnotify-start@fails.service")
    wait_ends(1, "fails")
    ok(until(lambda: due("fails")) and box.is_active("nmnotify-start@fails.service"), "a run that failed: it sleeps for the retry")
    was = invocation("nmnotify-start@fails.service")
    box.run("systemctl", "start", "suspend.target")
    equal(wait_runs(2, "fails"), 2, "after a sleep it does not wait for that")
    ok(until(lambda: invocation("nmnotify-start@fails.service") not in ("", was)), "and is another process")
    check_gaps("fails", "after a sleep")
    box.run("systemctl", "stop", "nmnotify-start@fails.service")
    box.run("systemctl", "disable", UNIT, "nmnotify-start@fails.service")
    wants = box.output("systemctl", "list-dependencies", "--plain", "suspend.target")
    ok("nmnotify-resume" not in wants, "disabled: the one with the other")
    box.write("/etc/nmnotify.conf", CONFIG)
    check_well("nmnotify", "after a sleep") if box.is_active("nmnotify.socket") else equal(box.failed_units(), [], "no failed unit is left")


def by_a_timer():
    begin()
    with drop_in("nmnotify-start@.timer", "[Timer]\nOnCalendar=\nOnCalendar=*:*:*\nRandomizedDelaySec=0\nAccuracySec=100ms\n"):
        box.run("systemctl", "start", "nmnotify-start@mail.timer")
        ok(until(lambda: len(runs()) >= 2), "nmnotify-start@.timer: starts it, again and again")
        box.run("systemctl", "stop", "nmnotify-start@mail.timer")
    check_gaps("mail", "by a timer")
    box.run("systemctl", "start", "nmnotify-start@mail.timer")
    equal(box.show("nmnotify-start@mail.timer", "Unit"), UNIT, "nmnotify-start@.timer: it is that unit")
    box.run("systemctl", "stop", "nmnotify-start@mail.timer")


def user_units():
    if not has_user_manager():
        return
    before = len(runs("user", out=USER_OUT))
    box.run("systemctl", "--user", "start", "nmnotify-start@user.service", user="alice")
    equal(wait_runs(before + 1, "user", out=USER_OUT), before + 1, "a user's nmnotify-start@: runs his action")
    box.run("systemctl", "--user", "enable", "nmnotify-start@user.service", "nmnotify-start@user.timer", user="alice")
    wants = box.output("systemctl", "--user", "list-dependencies", "--plain", "default.target", user="alice")
    ok("nmnotify-start@user.service" in wants, "a user's nmnotify-start@: with his service manager")


run((), nmnotify=(like_a_line, at_boot, after_a_sleep, by_a_timer, user_units))
