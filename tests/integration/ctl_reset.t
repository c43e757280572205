#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyctl reset: a fresh state while processes use it; what is owed is not lost (G1)."""

import os
import sys

sys.dont_write_bytecode = True
import nmtest
from ctl import CTL
from nmtest import LINE, Sandbox, equal, is_root, ok, skip, until

EX_USAGE, EX_NOPERM, EX_CONFIG = 64, 77, 78


def reset(box, conf, account="default"):
    return box.check("-f", conf, "reset", account, program=CTL)


def limit_and_counts():
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 1/1h burst 1\ninterval 0s\naction {box.recorder()}\n")
        equal(box.connect_and_run(conf), 0, "reset: a source is at its limit")
        equal(box.state().starts, 1, "reset: a start is counted")
        key = [box.state().word(i) for i in range(4, 8)]
        equal(reset(box, conf), (0, "default has a fresh state\n", ""), "reset: says what it did")
        equal((box.state().starts, box.state().counts(), box.state().last_start), (0, {}, 0), "reset: nothing is counted")
        ok(all(a != b for a, b in zip(key, (box.state().word(i) for i in range(4, 8)))), "reset: the limiter has a new key")
        equal(box.connect_and_run(conf), 0, "reset: the source can start again")
        ok(box.wait_starts(2), "G3: reset: and has started, though its limit is one an hour")
        turn = box.state_dir / "default" / "turn"
        ok(turn.read_bytes()[:4] != bytes(4), "reset: the turn file has the last start")
        equal(reset(box, conf)[0], 0, "reset: once more")
        equal(turn.read_bytes()[:4], bytes(4), "reset: which is forgotten")


def what_is_owed():
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 1000/s burst 100\ninterval 3s\naction {box.recorder()}\n")
        equal(box.connect_and_run(conf), 0, "reset: a start")
        waiter = box.start(conf, data=LINE)
        ok(until(box.has_waiter), "reset: a line within the interval waits")
        ok(until(lambda: box.state().due != 0), "reset: and is owed")
        status, out, _ = reset(box, conf)
        equal(status, 0, "reset: with a waiter")
        ok(box.state().due != 0, "G1: reset: what is owed stays")
        ok(box.wait_starts(2), "G1: reset: the waiter starts it")
        equal(waiter.wait(), 0, "reset: and ends as always")
        waiter.close()
        ok((box.runs()[1].start - box.runs()[0].start) / 1e6 >= 3000 - 250, "G2: reset: an interval after the one before")
        box.state().poke("owed", 1)
        _, out, _ = reset(box, conf)
        equal(out, "default has a fresh state; it still owes a start, which the next line makes\n", "G1: reset: a debt is said")
        equal(box.state().owed, 1, "G1: reset: and stays")


def of_a_service_that_is_his():
    """Root resets what a service that runs as the account's user has made."""
    with Sandbox() as box:
        if not is_root() or not box.user:
            skip("reset: the user's own state, by root", "not root")
            return
        conf = box.config("from any\naction /bin/true\n")
        box.state_dir.mkdir(mode=0o700, exist_ok=True)
        os.chown(box.state_dir, box.uid, box.gid)
        equal(reset(box, conf), (0, "default has a fresh state\n", ""), "reset: the user's own state, by root")
        equal({path.stat().st_uid for path in box.state_dir.rglob("*")}, {box.uid}, "reset: it is his still")


def mistakes():
    with Sandbox() as box:
        conf = box.config(f"from any\naction {box.recorder()}\n")
        status, out, err = reset(box, conf, "no-such")
        equal((status, out), (EX_USAGE, ""), "reset: an account that is not there")
        ok(err.endswith("has no account no-such; it has default\n"), "reset: its message says which there are")
        equal(box.check("-f", conf, "reset", program=CTL)[0], EX_USAGE, "reset: no account")
        status, _, err = reset(box, box.dir / "missing")
        ok(status == EX_CONFIG and "missing" in err, "reset: no configuration")
        equal(box.connect_and_run(conf), 0, "reset: a state that is there")
        (box.state_dir / "default" / "limits").chmod(0o666)
        status, _, err = reset(box, conf)
        ok(status == EX_NOPERM and "others may write to limits" in err, "reset: a state that others may write")


def other_user():
    name = "reset: of another user's account"
    if not is_root():
        skip(name, "not root")
        return
    with Sandbox() as box:
        conf = box.config(f"from any\naction {box.recorder()}\n")
        equal(box.connect_and_run(conf), 0, "reset: a state of its own")
        program = box.bring(CTL)
        words = ["--reuid=54321", "--clear-groups", program, "-f", conf, "reset", "default"]
        status, _, err = box.check(*words, program="setpriv")
        ok(status == EX_NOPERM and "; run as root, or as " in err, name)


def no_user():
    """The unit has it, and root cannot know which."""
    name = "reset: root, and an account without a user"
    if not is_root():
        skip(name, "not root")
        return
    with Sandbox() as box:
        conf = box.dir / "nouser.conf"
        conf.write_text(f"state {box.state_dir}\nfrom any\naction /bin/true\n")
        for command in ("reset", "try"):
            status, _, err = box.check("-f", conf, command, "default", program=CTL)
            equal(status, EX_NOPERM, f"{name}: {command}: is refused")
            ok("account default has no `user`: run this as the one that its unit has (User=)" in err, f"{name}: {command}: and what to do")


nmtest.run(limit_and_counts, what_is_owed, of_a_service_that_is_his, mistakes, other_user, no_user)
