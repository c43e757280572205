#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Errors of the state are counted and logged without a flood of lines, wherever there is room (G4)."""

import os
import re
import stat
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, Sandbox, State, equal, is_root, ok, skip
from state import QUICK, chown_to_user, limits, quick, refused, works


# ---- Refusals ----


def denied_counter():
    """Without usable .denied nothing is counted, said or run."""
    with Sandbox() as box:
        conf = box.config(f"from 192.0.2.1\naction {box.recorder()}\n")
        equal(box.connect_and_run(conf), 0, "state: .denied: status 0")
        equal(State(box.state_dir / ".denied").counts(), {"denied": 1}, "state: .denied counts")
        equal((box.state_dir / ".denied").stat().st_size, State.HEADER, "state: .denied is small")
        (box.state_dir / ".denied").unlink()
        (box.state_dir / ".denied").mkdir()
        equal(box.connect_and_run(conf), 0, "state: no usable .denied: status 0")
        equal(len(box.log()), 1, "log: no usable .denied: not a word")
        equal(box.starts(), [], "state: no usable .denied: nothing runs")


def crowd(box, conf, count=200, **how):
    """So many connections, and how many lines they caused."""
    before, handlers = len(box.log()), []
    for _ in range(count):
        handlers.append(box.start(conf, data=LINE, **how))
        if len(handlers) >= 20:
            handlers.pop(0).wait()
    for handler in handlers:
        handler.wait()
    return len(box.log()) - before


def few_errors(box, conf, name, reason, **how):
    """A crowd causes few lines, but whoever tries it once sees what is wrong: G4."""
    box.forget_log_limits()
    began = time.monotonic()
    count = crowd(box, conf, **how)
    most = 10 + 1 + int((time.monotonic() - began) / 10)
    ok(1 <= count <= most, f"G4: log: {name}: 200 connections, {count} lines")
    box.forget_log_limits()  # as if time passed
    before = len(box.log())
    box.start(conf, data=LINE, **how).wait()
    got = box.messages()[before:]
    if not ok(len(got) == 1 and re.search(reason, got[0]), f"log: {name}: one connection, and its line"):
        nmtest.diag(got)


def errors_without_state():
    """What can be counted nowhere else is counted in a place of its own."""
    with Sandbox() as box:
        few_errors(
            box, box.config("nonsense\nstate /no/such/state\n", "bad.conf"), "a broken configuration, and no state", "nonsense"
        )
        conf = box.config(QUICK + f"state {box.dir}/no/such\naction {box.recorder()}\n", "far.conf")
        few_errors(box, conf, "the base's parent is missing", "cannot make directory")
        again = r"no/such: cannot make directory .* suppressed=\d+$"
        crowd(box, conf, 20)
        for path in box.errors.iterdir():
            State(path).poke(State.LOG_TAT + nmtest.VERDICTS.index("error"), 0)
        box.start(conf, data=LINE).wait()
        ok(re.search(again, box.messages()[-1]), "log: errors without state: it is said how many were not written")
        mode = [stat.S_IMODE(p.stat().st_mode) for p in box.errors.iterdir()]
        equal(mode, [0o600], "state: errors are counted in one file, which nobody else can open")
        box.state_dir.chmod(0o777)
        few_errors(box, quick(box), "a base that others may write to", "others may write to")
        box.state_dir.chmod(0o755)
        if not is_root():
            skip("G4: log: a base that is somebody else's", "not root")
            return
        os.chown(box.state_dir, box.other.pw_uid, -1)
        few_errors(box, quick(box), "a base that is somebody else's", "somebody else owns")
        denied = box.config(f"from 192.0.2.1\naction {box.recorder()}\n", "denied.conf")
        few_errors(box, denied, "strangers, and a base that is somebody else's", "somebody else owns")


def errors_on_a_full_disk():
    if not nmtest.private_mounts():
        skip("G4: log: a full disk", "no mount namespace of our own: not root, or not allowed")
        return
    with Sandbox() as box:
        nmtest.mount_tmpfs(box.state_dir, "size=4k,mode=755")
        try:
            works_not = quick(box)
            (box.state_dir / "filler").write_bytes(b"x" * 4096)
            few_errors(box, works_not, "a full disk, once privileges are dropped", "no room for limits")
            denied = box.config(f"from 192.0.2.1\naction {box.recorder()}\n", "denied.conf")
            equal(crowd(box, denied), 0, "G4: log: a full disk, and strangers: not a word")
        finally:
            nmtest.unmount(box.state_dir)


def errors_with_nowhere_to_count():
    """Somebody was first to take the names that errors are counted under. He can neither silence them nor
    make a flood of them, nor have us write to some other file of ours."""
    if not nmtest.private_mounts():
        skip("G4: log: squatters", "no mount namespace of our own: not root, or not allowed")
        return
    nmtest.tempfile.tempdir = "/var/tmp"  # since /tmp gets another one over it
    with Sandbox() as box:
        places = [Path(p) for p in ("/run", "/tmp", "/dev/shm")]
        for place in places:
            nmtest.mount_tmpfs(place, "mode=755" if place.name == "run" else "mode=1777")
        try:
            conf = box.config(QUICK + f"state {box.dir}/no/such\naction {box.recorder()}\n")
            env = {"PATH": "/usr/bin:/bin"}
            name = ".nmnotify-errors.0"
            box.start(conf, data=LINE, env=env).wait()
            equal([p.name for p in places[0].iterdir()], [name], "state: root's errors are counted in /run")
            theirs = box.dir / "theirs"
            theirs.mkdir()
            for owner, mode in ((0, 0o777), (0, 0o770), (box.other.pw_uid, 0o755), (box.other.pw_uid, 0o1777)):
                theirs.chmod(mode)
                os.chown(theirs, owner, -1)
                box.start(conf, data=LINE, env={**env, "XDG_RUNTIME_DIR": str(theirs)}).wait()
                equal(list(theirs.iterdir()), [], f"state: errors are not counted where others could: {owner} {mode:o}")
            (places[0] / name).unlink()
            (places[0] / name).mkdir()

            mine = places[1] / "mine"
            mine.write_bytes(b"x" * 512)
            mine.chmod(0o600)
            os.link(mine, places[1] / name)
            box.start(conf, data=LINE, env=env).wait()
            equal(mine.read_bytes(), b"x" * 512, "state: a file of ours with a second name is not written to")
            ok((places[2] / name).is_file(), "state: errors are counted where nobody was first")
            (places[2] / name).unlink()

            (places[2] / name).touch(0o666)
            os.chown(places[2] / name, box.other.pw_uid, -1)
            count = crowd(box, conf, 400, env=env)
            ok(1 <= count <= 60, f"G4: log: squatters: 400 connections, {count} lines")
        finally:
            for place in places:
                nmtest.unmount(place)
            nmtest.tempfile.tempdir = None


def full_disk():
    if not nmtest.private_mounts():
        skip("state: a full disk", "no mount namespace of our own: not root, or not allowed")
        return
    with Sandbox() as box:
        conf = quick(box)
        nmtest.mount_tmpfs(box.state_dir, "size=16k,mode=755")
        try:
            refused(box, conf, "state .*: no room for limits: No space left on device", "a full disk")
            # Made before the disk was full, and never written to.
            os.truncate(limits(box), State.SIZE)
            chown_to_user(box, limits(box))
            refused(box, conf, "state .*: no room for limits: No space left", "holes on a full disk")
        finally:
            nmtest.unmount(box.state_dir)
        nmtest.mount_tmpfs(box.state_dir, "size=1m,mode=755", nmtest.MS_RDONLY)
        try:
            refused(box, conf, "state .*: cannot make directory default: Read-only", "a read-only disk")
        finally:
            nmtest.unmount(box.state_dir)
        works(box, conf, "an ordinary disk")


nmtest.run(
    denied_counter,
    errors_without_state,
    errors_on_a_full_disk,
    errors_with_nowhere_to_count,
    full_disk,
)
