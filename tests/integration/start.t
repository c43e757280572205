#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotify -s: a start without a connection, as if a line had come, through the same turn (G1, G2, G4)."""

import os
import subprocess
import sys

sys.dont_write_bytecode = True
import nmtest
from nmtest import EX_CONFIG, EX_OSERR, LINE, NMNOTIFY, Sandbox, equal, ok, until
from turn import FREE, check_runs


def as_if_a_line_had_come():
    with Sandbox() as box:
        conf = box.config(
            "interval 2s\n"
            f"account other\nfrom any\naction {box.recorder(account='other')}\n"
            f"account home\nfrom 192.0.2.1\nto 192.0.2.2\naction {box.recorder('facts=facts', account='home')}\n"
        )
        status, out, log = box.check("-f", conf, "-s", "home")
        equal((status, out), (0, ""), "-s: status 0, and no output")
        equal([(run.account, run.source) for run in box.runs()], [("home", "local")], "-s: that account's action, for local")
        facts = (box.out / "facts").read_text().splitlines()
        ok("env NMNOTIFY_SOURCE=local" in facts and "env NMNOTIFY_ACCOUNT=home" in facts, "-s: the action is told so")
        ok("verdict=accepted account=home source=local\n" in log, "-s: the log says it")
        ok("run=ended account=home source=local status=0 " in log, "-s: and the end of the run")
        equal(box.check("-f", conf, "-s", "home")[0], 0, "-s: again")
        check_runs(box, 2000, "-s")
        equal(box.state("home").counts(), {"accepted": 1, "deferred": 1}, "G2: the second was deferred")
        for name in ("nobody", "", "../home"):
            status, out, log = box.check("-f", conf, "-s", name)
            ok(status == EX_CONFIG and out == "", f"-s: no account {name!r}")
            ok(f"there is no account '{name}'" in log, f"-s: no account {name!r}: the log says so")
        equal(len(box.runs()), 2, "-s: an unknown account runs nothing")


def one_waiter():
    """With lines and by hand: one is the waiter, the others are covered."""
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 60s\naction {box.recorder()}\n")
        equal(box.check("-f", conf, "-s", "default")[0], 0, "-s: a first start")
        waiter = subprocess.Popen([NMNOTIFY, "-f", conf, "-s", "default"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ok(until(box.has_waiter), "-s: it waits its turn")
        equal(box.check("-f", conf, "-s", "default")[0], 0, "-s: covered, status 0 at once")
        equal(box.connect_and_run(conf), 0, "-s: it covers a line, too")
        equal(box.state().counts(), {"accepted": 1, "deferred": 1, "coalesced": 2}, "G4: there is one waiter")
        waiter.terminate()
        waiter.wait()


def status():
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\naction {box.recorder('exit=3')}\n")
        equal(box.check("-f", conf, "-s", "default")[0], 3, "-s: the action's exit status")


def state_of_the_user():
    """Root, where a super-server starts nmnotify as the account's user."""
    if not nmtest.is_root():
        nmtest.skip("-s: as root, in a user's state", "needs root")
        return
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\naction {box.recorder()}\n")
        box.state_dir.mkdir(mode=0o700, exist_ok=True)
        os.chown(box.state_dir, box.uid, box.gid)
        equal(box.check("-f", conf, "-s", "default")[0], 0, "-s: root starts it in the user's state")
        owners = {(box.state_dir / name).stat().st_uid for name in ("default", "default/limits", "default/turn")}
        equal(owners, {box.uid}, "-s: all of it is the user's")
        os.chown(box.state_dir, box.uid + 1, box.gid)
        equal(box.check("-f", conf, "-s", "default")[0], EX_OSERR, "-s: not in somebody else's")
        equal(len(box.runs()), 1, "-s: one start")
        os.chown(box.state_dir, 0, 0)


def connection_is_left_alone():
    """Even if there is a connection on descriptor 0: not a byte is read from it."""
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\naction {box.recorder()}\n")
        handler = box.start(conf, data=b"rubbish\r\n", args=["-s", "default"])
        equal(handler.wait(), 0, "-s: with a connection on descriptor 0")
        equal(handler.received(), b"", "G7: silence")
        equal(len(box.runs()), 1, "-s: it starts all the same")
        handler.close()


nmtest.run(as_if_a_line_had_come, one_waiter, status, state_of_the_user, connection_is_left_alone)
