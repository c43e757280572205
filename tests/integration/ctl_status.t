#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyctl status says what is so, whatever the state is like, and changes nothing of it."""

import os
import pty
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import nmtest
from ctl import CTL, account, ctl, status
from nmtest import LINE, Sandbox, State, equal, is_root, ok, skip, until
from state import limits

EX_USAGE, EX_NOPERM, EX_CONFIG = 64, 77, 78
# Longer than the test.
LONG = "1h"


def never():
    """Before the first line."""
    with Sandbox() as box:
        conf = box.config(f"account one\nfrom any\naction {box.recorder()}\n")
        equal(account(conf, "one"), {"account": "one", "state": "none"}, "status: no state: none yet")
        ok("one: no state yet" in ctl(conf, "status")[1], "status: no state: said plainly")
        equal(list(box.state_dir.iterdir()), [], "status: no state: none is made")
        box.state_dir.rmdir()
        equal(account(conf, "one")["state"], "none", "status: no base: none yet")
        ok(not box.state_dir.exists(), "status: no base: none is made")


def life():
    """From a run to the next one."""
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 10/s burst 5\ninterval {LONG}\naction {box.recorder('until=go')}\n")
        before = time.time()
        handler = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "status: it runs")
        until(lambda: box.state().action and not box.state().owed)
        was = account(conf)
        ok(before - 1 <= was["last_start"] <= time.time() + 1, "status: runs: when it was started")
        equal(was["starts"], 1, "status: runs: starts")
        equal(was["verdicts"]["accepted"], 1, "status: runs: verdicts")
        ok(was["is_running"] and was["run"]["process"] == box.runs()[0].pid, "status: runs: its process")
        equal(was["run"]["command"], "recorder", "status: runs: its name")
        ok(0 <= was["run"]["seconds"] <= time.time() - before + 1, "status: runs: for how long")
        equal((was["waiter"], was["next_start"], was["debts"]), (False, None, []), "status: runs: nothing is owed")

        waiter = box.start(conf, data=LINE)
        ok(until(box.has_waiter), "status: it waits")
        until(lambda: box.state().deferred)
        was = account(conf)
        equal((was["waiter"], was["debts"]), (True, []), "status: waits: who")
        equal(was["next_start"]["why"], "run", "status: waits: for the run")
        ok(3000 < was["next_start"]["seconds"] <= 3601, "status: waits: not before the interval is over")

        (box.out / "go").touch()
        handler.wait()
        until(lambda: account(conf)["next_start"]["why"] == "interval")
        was = account(conf)
        equal((was["is_running"], was["run"]), (False, None), "status: has run: who waits is no run")
        equal(was["next_start"]["why"], "interval", "status: has run: it waits for the interval")
        when = was["last_start"] + 3600
        ok(abs(was["next_start"]["time"] - when) < 1, "status: has run: until when")

        waiter.kill()
        waiter.wait()
        was = account(conf)
        equal((was["waiter"], was["debts"]), (False, ["due"]), "status: the waiter has died: a debt")
        equal(was["next_start"]["why"], "debt", "status: the waiter has died: the next line pays")
        box.state().poke("owed", 1)
        box.state().poke("asked", 1)
        equal(account(conf)["debts"], ["due", "owed", "asked"], "status: all debts")


def ends():
    """How the last run ended."""
    with Sandbox() as box:
        conf = box.config("from any\nlimit 10/s burst 5\ninterval 0s\naction /bin/sh -c 'exit 3'\n")
        for count in (1, 2):
            before = time.time()
            box.connect_and_run(conf)
            was = account(conf)
            last = was["last_run"]
            equal((last["status"], last["failures_in_a_row"], was["failed"]), (3, count, count), f"status: failed {count} times")
            ok(before - 2 <= last["ended"] <= time.time() + 2, "status: failed: when")
        ok("status 3, 2 failed in a row" in ctl(conf, "status")[1], "status: failed: for people")
        conf = box.config("from any\nlimit 10/s burst 5\ninterval 0s\naction /bin/sh -c 'kill -9 $$'\n")
        box.connect_and_run(conf)
        equal(account(conf)["last_run"]["status"], 128 + 9, "status: killed: by which signal")
        conf = box.config("from any\nlimit 10/s burst 5\ninterval 0s\naction /bin/true\n")
        box.connect_and_run(conf)
        was = account(conf)
        equal((was["last_run"]["failures_in_a_row"], was["failed"]), (0, 3), "status: it works again")


def source_limit():
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 1/{LONG} burst 2\ninterval 0s\naction {box.recorder()}\n")
        for count in (1, 2):
            box.connect_and_run(conf)
            was = account(conf)["limit"]
            equal((was["used"], was["fullest"], was["burst"]), (3, count, 2), f"status: limit: {count} of 2")
            equal(was["full"], 3 if count == 2 else 0, f"status: limit: {count} of 2: is it full?")
        waiter = box.start(conf, data=LINE)
        ok(until(box.has_waiter), "status: limit: it waits")
        until(lambda: box.state().due)
        equal(account(conf)["next_start"]["why"], "limit", "status: limit: that is why")
        waiter.kill()
        waiter.wait()


def changes_nothing():
    """Who looks neither takes a lock nor writes a byte."""
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 10/s burst 5\ninterval 0s\naction {box.recorder('until=go')}\n")
        handler = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "status: changes nothing: it runs")
        until(lambda: not box.state().owed)
        files = [p for p in box.state_dir.rglob("*") if p.is_file()]
        before = [(p.read_bytes(), p.stat().st_mtime_ns) for p in files]
        for args in ([], ["--json"], ["--metrics"]):
            equal(ctl(conf, "status", *args)[0], 0, f"status: changes nothing: {args}")
        equal([(p.read_bytes(), p.stat().st_mtime_ns) for p in files], before, "status: changes no byte of the state")
        (box.out / "go").touch()
        equal(handler.wait(), 0, "status: changes nothing: the run ends well")
        equal(box.connect_and_run(conf), 0, "status: changes nothing: the next one, too")


def damaged():
    """G6: every bit pattern means something, and it is printed."""
    rng = random.Random(4146)
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 3/60s burst 5\naction {box.recorder()}\n")
        box.connect_and_run(conf)
        turn = limits(box).with_name("turn")
        patterns = [bytes(State.SIZE), b"\xff" * State.SIZE, b"\x80" * State.SIZE]
        patterns += [rng.randbytes(State.SIZE) for _ in range(20)]
        bad = []
        for pattern in patterns:
            limits(box).write_bytes(pattern)
            turn.write_bytes(pattern[4:8])
            for args in ([], ["--json"], ["--metrics"], ["--openmetrics"]):
                code, out, err = ctl(conf, "status", *args)
                if (code, err) != (0, "") or not out:
                    bad.append((pattern[:16], args, code, err))
            was = account(conf)
            if was["is_running"] or was["waiter"] or not 0 <= was["limit"]["used"] <= was["limit"]["cells"]:
                bad.append((pattern[:16], was))
        equal(bad, [], f"G6: status: {len(patterns)} damaged states are shown")

        limits(box).write_bytes(bytes(State.SIZE))
        turn.write_bytes(bytes(4))
        for word in (0, nmtest.boottime_ms() + 60000):
            box.state().poke("last_start", word)
            equal(account(conf)["last_start"], None, f"G6: status: a last start at {word} is none")
        for name, content in (("empty", b""), ("one byte short", bytes(State.SIZE - 1))):
            limits(box).write_bytes(content)
            code, out, _ = ctl(conf, "status")
            ok(code == EX_NOPERM and "too short" in out, f"G6: status: a state that is {name}: said")
        limits(box).unlink()
        os.mkfifo(limits(box))
        code, out, _ = ctl(conf, "status")
        ok(code == EX_NOPERM and "not a regular file" in out, "G6: status: a fifo in its place: said")
        limits(box).unlink()
        limits(box).symlink_to("/dev/zero")
        code, out, _ = ctl(conf, "status")
        ok(code == EX_NOPERM and "not a regular file" in out, "G6: status: a link in its place: said")


nmtest.run(never, life, ends, source_limit, changes_nothing, damaged)
