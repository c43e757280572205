#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyd's processes under systemd: what its status says, the watchdog, kills, and rest."""

import os
import random
import signal
import sys
import time

sys.dont_write_bytecode = True
from services import (
    CONFIG, INTERVAL_MS, NOBODY, SLACK_MS, become_waiter, begin, box, check_gaps, check_well, due, pair, processes,
    restarts, run, runs, send, state, wait_runs,
)
from nmtest import boottime_ms, diag, equal, ok, until


# ---- nmnotifyd alone ----


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
    # The kernel counts processes by the user's number, those of other containers, too.
    begin()
    box.run("usermod", "--uid", str(random.randrange(100000, 200000)), "nmnotify")
    dropin = "etc/systemd/system/nmnotifyd.service.d/test.conf"
    box.write(dropin, "[Service]\nLimitNPROC=2\n")
    box.run("systemctl", "daemon-reload")
    pair("nmnotifyd")
    send()
    ok(until(due), "G5: no process can be started for a line: what is owed stays in the state")
    equal(runs(), [], "G5: nothing has run")
    ok(box.is_active("nmnotifyd.service"), "G5: the service goes on")
    (box.root / dropin).unlink()
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "restart", "nmnotifyd.socket")
    equal(wait_runs(1), 1, "G5: it is paid when there is room again")
    check_well("nmnotifyd", "no room")


def idle():
    box.write("/etc/nmnotify.conf", "idle 1s\n" + CONFIG)
    pair("nmnotifyd")
    send()
    wait_runs(1)
    down = until(lambda: box.show("nmnotifyd.service", "ActiveState") == "inactive")
    ok(down, "idle: the service ends")
    equal(box.show("nmnotifyd.service", "Result"), "success", "idle: well")
    equal(box.show("nmnotifyd.socket", "SubState"), "listening", "idle: systemd listens")
    equal(state().counts().get("accepted"), 1, "idle: the state stays")
    send()
    equal(wait_runs(2), 2, "idle: the next line starts it again")
    check_gaps("mail", "idle")
    check_well("nmnotifyd", "idle")
    box.write("/etc/nmnotify.conf", CONFIG)


run((), nmnotifyd=(status_text, watchdog, killed, no_room_for_a_process, idle))
