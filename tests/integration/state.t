#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The state: any bit pattern of the file is a valid one (G6), and without usable state nothing runs:
fail closed, with one clear log line."""

import os
import random
import re
import shutil
import socket
import stat
import struct
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import EX_OSERR, LINE, Sandbox, State, equal, is_root, ok, skip, until

# No start has to wait for more than the interval and the window, (5 + 1) * 50 ms.
QUICK = "from any\nlimit 20/s burst 5\ninterval 300ms\nread-timeout 300ms\n"
BOUND_MS = 300 + 300
# For a machine that has other things to do.
SLACK_MS = 8000


def quick(box):
    return box.config(QUICK + f"action {box.recorder()}\n")


def refused(box, conf, reason, name, **how):
    """Exit status 71, silence, nothing runs, one line in the log."""
    box.forget_log_limits()
    before = len(box.starts()), len(box.log())
    handler = box.start(conf, data=LINE, **how)
    equal(handler.wait(), EX_OSERR, f"status: state: {name}: 71")
    equal(handler.received(), b"", f"G7: state: {name}: silence")
    equal(len(box.starts()), before[0], f"state: {name}: nothing runs")
    lines = [m for m in box.messages()[before[1] :]]
    wanted = rf'verdict=error (account=\S+ )?source=\S+ reason=".*{reason}.*"'
    if not ok(
        len(lines) == 1 and re.fullmatch(wanted, lines[0]), f"log: state: {name}: one clear line"
    ):
        nmtest.diag("\n".join(lines))
    handler.close()


def works(box, conf, name, **how):
    box.forget_log_limits()
    before = len(box.starts())
    equal(box.connect_and_run(conf, **how), 0, f"state: {name}: status 0")
    equal(len(box.starts()), before + 1, f"state: {name}: the action runs")


def limits(box, account="default"):
    return box.state_dir / account / "limits"


def chown_to_user(box, path):
    if box.user:
        os.chown(path, box.uid, box.gid, follow_symlinks=False)


# ---- G6 ----


def still_starts(box, conf, name, check=True):
    """A line starts the action, and soon. Returns whether it did."""
    before, begun = len(box.starts()), time.monotonic()
    handler = box.start(conf, data=LINE, end=True)
    try:
        status = handler.wait(30)
    except TimeoutError:
        status = "hangs"
    took = (time.monotonic() - begun) * 1000
    good = status == 0 and len(box.starts()) == before + 1 and took <= BOUND_MS + SLACK_MS
    if check or not good:
        if not ok(good, f"G6: {name}: a line starts the action soon"):
            nmtest.diag(f"status {status}, {len(box.starts()) - before} starts, {took:.0f} ms")
    handler.end()
    return good


def random_bytes():
    seed = int(os.environ.get("SEED") or time.time())
    nmtest.diag(f"SEED={seed}")
    rng = random.Random(seed)
    count = 150
    with Sandbox() as box:
        conf = quick(box)
        works(box, conf, "made afresh")
        # In place: as a broken disk or a bug would leave it.
        good = 0
        for n in range(count):
            with open(limits(box), "r+b", buffering=0) as f:
                f.write(rng.randbytes(State.SIZE))
            good += still_starts(box, conf, f"random bytes, number {n}", check=False)
        equal(good, count, f"G6: {count} states of random bytes: a line starts the action soon")
        equal(limits(box).stat().st_size, State.SIZE, "G6: the file is left in its place")


def every_word_the_same():
    """The most adverse contents: every word a moment, and every moment the same."""
    window, interval = 300, 300
    moments = {
        "now": 0,
        "1 ms ago": -1,
        "in 1 ms": 1,
        "an interval ahead": interval,
        "an interval ago": -interval,
        "a window ahead": window,
        "just beyond the window": window + 1,
        "a day ahead": 86400000,
        "a day ago": -86400000,
        "half the circle ahead": 1 << 31,
        "nearly half the circle ahead": (1 << 31) - 1,
        "just over half the circle ahead": (1 << 31) + 1,
    }
    with Sandbox() as box:
        conf = quick(box)
        works(box, conf, "made afresh")

        def fill(word, start=0):
            with open(limits(box), "r+b", buffering=0) as f:
                f.write(bytes(start) + struct.pack("=I", word & 0xFFFFFFFF) * ((State.SIZE - start) // 4))

        for name, ahead in moments.items():
            fill(nmtest.boottime_ms() + ahead)
            still_starts(box, conf, f"every word is {name}")
            fill(nmtest.boottime_ms() + ahead, State.HEADER)
            still_starts(box, conf, f"every cell is {name}")
        for word in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
            fill(word)
            still_starts(box, conf, f"every word is {word:#x}")


def single_words():
    """The words of the turn, one at a time."""
    with ExitStack() as stack:
        boxes = []
        for name, word, value in (
            ("due, far ahead", "due", lambda: nmtest.boottime_ms() + 600000000),
            ("due, half the circle ahead", "due", lambda: nmtest.boottime_ms() + (1 << 31) - 1000),
            ("due, long ago", "due", lambda: nmtest.boottime_ms() - 600000000),
            ("last_start, in the future", "last_start", lambda: nmtest.boottime_ms() + 600000000),
            ("last_start, this moment", "last_start", nmtest.boottime_ms),
            ("owed", "owed", lambda: 0xFFFFFFFF),
            ("action, a process that lives on", "action", os.getpid),
            ("action, process 1", "action", lambda: 1),
            ("action, no process", "action", lambda: 0xFFFFFFFF),
        ):
            box = stack.enter_context(Sandbox())
            conf = quick(box)
            works(box, conf, "made afresh")
            box.state().poke(word, value())
            boxes.append((name, box, box.start(conf, data=LINE), time.monotonic()))
        for name, box, handler, begun in boxes:
            equal(handler.wait(), 0, f"G6: {name}: status 0")
            ok((time.monotonic() - begun) * 1000 <= 2 * BOUND_MS + SLACK_MS, f"G6: {name}: soon")
            equal(len(box.starts()), 2, f"G6: {name}: the line starts the action")
        for name, box, _, _ in boxes:
            conf = quick(box)
            box.state().poke("due", nmtest.boottime_ms() + 600000000)
            box.connect_and_run(conf, b"x")
            equal(len(box.starts()), 3, f"G6: {name}: a debt of days is paid at the next connection")


def while_it_waits():
    """Words that change under a waiter: it neither sleeps for ever nor crashes."""
    with ExitStack() as stack:
        parts = []
        for name, word, value in (
            ("due, cleared", "due", lambda: 0),
            ("due, far ahead", "due", lambda: nmtest.boottime_ms() + 600000000),
            ("last_start, far ahead", "last_start", lambda: nmtest.boottime_ms() + 600000000),
            ("last_start, cleared", "last_start", lambda: 0),
            ("action", "action", os.getpid),
        ):
            box = stack.enter_context(Sandbox())
            conf = box.config(f"from any\nlimit 10/s burst 5\ninterval 800ms\naction {box.recorder()}\n")
            works(box, conf, "made afresh")
            waiter = box.start(conf, data=LINE)
            ok(until(box.has_waiter), f"G6: {name}: a waiter waits")
            until(lambda: box.state().due)
            box.state().poke(word, value())
            parts.append((name, box, conf, waiter))
        for name, box, conf, waiter in parts:
            try:
                status = waiter.wait(15)
            except TimeoutError:
                status = "hangs"
            equal(status, 0, f"G6: {name}, changed under a waiter: it starts the action")
            equal(len(box.starts()), 2, f"G6: {name}, changed under a waiter: two starts")


def changes_all_the_time():
    rng = random.Random(4146)
    with Sandbox() as box:
        conf = quick(box)
        works(box, conf, "made afresh")
        handlers, end = [], time.monotonic() + 2
        with open(limits(box), "r+b", buffering=0) as f:
            while time.monotonic() < end:
                for _ in range(50):
                    # Mostly the header, where the turn is.
                    f.seek(4 * rng.randrange(16 if rng.random() < 0.7 else State.SIZE // 4))
                    f.write(
                        struct.pack(
                            "=I",
                            rng.choice(
                                (
                                    rng.getrandbits(32),
                                    0,
                                    (nmtest.boottime_ms() + rng.randint(-1000, 1000)) & 0xFFFFFFFF,
                                )
                            ),
                        )
                    )
                if len(box.handlers_alive()) < 20:
                    handlers.append(box.start(conf, data=LINE, end=True))
        statuses = set()
        for handler in handlers:
            try:
                statuses.add(handler.wait(20))
            except TimeoutError:
                statuses.add("hangs")
        equal(statuses, {0}, f"G6: words that change all the time: {len(handlers)} handlers end well")
        ok(all(r.overlap == 0 for r in box.runs()), "G2: words that change all the time: no overlap")
        still_starts(box, conf, "words that changed all the time")


def sizes():
    with Sandbox() as box:
        conf = quick(box)
        works(box, conf, "made afresh")
        for name, content in (
            ("empty", b""),
            ("all zeros", bytes(State.SIZE)),
            ("one byte", b"\xff"),
            ("shorter than the header", os.urandom(100)),
            ("only the header", os.urandom(State.HEADER)),
            ("one byte short", os.urandom(State.SIZE - 1)),
        ):
            limits(box).write_bytes(content)
            still_starts(box, conf, f"a file that is {name}")
            equal(limits(box).stat().st_size, State.SIZE, f"G6: a file that was {name}: grown")
        limits(box).write_bytes(b"")
        limits(box).with_name("turn").write_bytes(b"")  # the last start is there, too
        box.connect_and_run(conf)
        equal(box.state().counts(), {"accepted": 1}, "G6: an empty file is a fresh state")
        tail = os.urandom(1000)
        limits(box).write_bytes(os.urandom(State.SIZE) + tail)
        still_starts(box, conf, "a file that is longer")
        equal(limits(box).read_bytes()[State.SIZE :], tail, "G6: what is behind is left alone")
        with open(limits(box), "wb") as f:
            f.truncate(State.SIZE)
        still_starts(box, conf, "a file of holes")
        ok(limits(box).stat().st_blocks * 512 >= State.SIZE, "G6: a file of holes gets its space")


# ---- Refusals ----


def each_kind(box, path, make_target):
    """What may stand at path instead of the right thing: (name, how to put it there)."""

    def symlink():
        target = box.dir / f"target.{random.getrandbits(32):x}"
        make_target(target)
        path.symlink_to(target)

    def unix_socket():
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(path))

    yield "a symlink", symlink
    yield "a dangling symlink", lambda: path.symlink_to(box.out / "nowhere")
    yield "a fifo", lambda: os.mkfifo(path)
    yield "a socket", unix_socket


def good_file(box, path):
    """What would do if it were in its place."""
    path.write_bytes(bytes(State.SIZE))
    path.chmod(0o600)
    chown_to_user(box, path)


def files():
    with Sandbox() as box:
        conf = quick(box)
        works(box, conf, "made afresh")
        for name in ("limits", "turn"):
            path = limits(box).parent / name

            def put(make, mode=0o600):
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                else:
                    path.unlink(missing_ok=True)
                make()
                if not path.is_symlink():
                    path.chmod(mode)
                    chown_to_user(box, path)

            for kind, make in each_kind(box, path, lambda p: good_file(box, p)):
                put(make)
                if kind == "a fifo" and name == "turn":
                    continue  # a lock is a lock
                what = "not a regular file:" if kind == "a fifo" else "cannot open"
                refused(box, conf, f"state .*: {what} {name}", f"{name} is {kind}")
            ok(not (box.out / "nowhere").exists(), f"state: {name} is a symlink: nothing is made")
            put(path.mkdir)
            refused(box, conf, f"state .*: cannot open {name}: Is a directory", f"{name} is a directory")
            put(path.touch, 0o400)
            refused(
                box, conf, f"state .*: cannot open {name}: Permission denied", f"{name} is read-only"
            )
            put(path.touch)
            works(box, conf, f"{name} is as it should be")
        path = limits(box)
        for mode in (0o620, 0o602, 0o666):
            path.chmod(mode)
            refused(box, conf, "state .*: others may write to limits", f"limits has mode {mode:o}")
        path.chmod(0o644)
        works(box, conf, "limits may be read by others")
        if not is_root():
            skip("state: limits is somebody else's", "not root")
            return
        for owner in (0, box.other.pw_uid):
            path.chmod(0o600)
            os.chown(path, owner, -1)
            refused(box, conf, "state .*: cannot open limits", f"limits is of user {owner}")
            path.chmod(0o666)
            refused(box, conf, "state .*: somebody else owns limits", f"limits, open, is of {owner}")


def account_directory():
    with Sandbox() as box:
        conf = quick(box)
        works(box, conf, "made afresh")
        path = limits(box).parent
        info = path.stat()
        equal((stat.S_IMODE(info.st_mode), info.st_uid), (0o700, box.uid), "state: mode and owner")
        for file in path.iterdir():
            mode = stat.S_IMODE(file.stat().st_mode)
            equal((mode, file.stat().st_uid), (0o600, box.uid), f"state: {file.name}: mode and owner")

        def put(make):
            if path.is_symlink() or not path.is_dir():
                path.unlink(missing_ok=True)
            else:
                shutil.rmtree(path)
            make()

        def good_directory(p):
            p.mkdir(mode=0o700)
            chown_to_user(box, p)

        for kind, make in each_kind(box, path, good_directory):
            put(make)
            refused(
                box, conf, "state .*: not a directory or a symlink default", f"the account's is {kind}"
            )
        put(path.touch)
        refused(box, conf, "not a directory or a symlink default", "the account's is a file")
        put(lambda: good_directory(path))
        for mode in (0o720, 0o702, 0o777, 0o1777):
            path.chmod(mode)
            refused(box, conf, "state .*: others may write to default", f"the account's: mode {mode:o}")
        equal(list(path.iterdir()), [], "state: nothing is made in a directory that is refused")
        path.chmod(0o755)
        works(box, conf, "the account's may be read by others")
        put(lambda: good_directory(path))
        path.chmod(0o500)
        refused(box, conf, "state .*: cannot open limits: Permission denied", "the account's: mode 500")
        if not is_root():
            skip("state: the account's is somebody else's", "not root")
            return
        put(lambda: good_directory(path))
        os.chown(path, box.other.pw_uid, box.other.pw_gid)
        refused(box, conf, "state .*: somebody else owns default", "the account's is somebody else's")
        put(lambda: path.mkdir(0o700))
        works(box, conf, "the account's was made by root")
        equal(path.stat().st_uid, box.uid, "state: it is given to the user")
        # What systemd does when User= of a service becomes root.
        for name in (path, *path.iterdir()):
            os.chown(name, 0, 0)
        inode = limits(box).stat().st_ino
        works(box, conf, "the account's became root's, and all in it")
        equal(limits(box).stat().st_ino, inode, "G2: state: it is the same file as before")
        put(lambda: (path.mkdir(0o755), (path / "authorized_keys").write_text("")))
        why = "state .*: root owns what was not made for a state: default"
        refused(box, conf, why, "the account's is a directory of root's that has been there before")
        path.chmod(0o700)
        refused(box, conf, why, "the account's is one with mode 700")
        found = (path.stat().st_uid, [(file.name, file.stat().st_uid) for file in path.iterdir()])
        equal(found, (0, [("authorized_keys", 0)]), "state: and it stays root's")


def base_directory():
    with Sandbox() as box:
        base = box.state_dir
        conf = quick(box)

        def put(make):
            if base.is_symlink() or not base.is_dir():
                base.unlink(missing_ok=True)
            else:
                shutil.rmtree(base)
            make()

        for kind, make in each_kind(box, base, lambda p: p.mkdir(mode=0o755)):
            put(make)
            refused(box, conf, f"state {base}: not a directory or a symlink", f"the base is {kind}")
        put(base.touch)
        refused(box, conf, "not a directory or a symlink", "the base is a file")
        for mode in (0o770, 0o707, 0o777, 0o1777):
            put(base.mkdir)
            base.chmod(mode)
            refused(box, conf, f"state {base}: others may write to", f"the base has mode {mode:o}")
            equal(list(base.iterdir()), [], f"state: the base has mode {mode:o}: nothing is made")
        if is_root():
            put(base.mkdir)
            for owner in (box.uid, box.other.pw_uid):
                os.chown(base, owner, -1)
                refused(box, conf, f"state {base}: somebody else owns", f"the base is of user {owner}")
        else:
            skip("state: the base is somebody else's", "not root")
        put(lambda: None)
        works(box, conf, "the base is missing")
        equal(stat.S_IMODE(base.stat().st_mode), 0o700, "state: the base is made with mode 700")
        put(lambda: None)
        before = os.umask(0)
        try:
            works(box, conf, "the base is missing, umask 0")
        finally:
            os.umask(before)
        equal(stat.S_IMODE(base.stat().st_mode), 0o700, "state: umask 0: the base has mode 700")
        equal(
            [oct(stat.S_IMODE(p.stat().st_mode)) for p in sorted(base.glob("default/*"))],
            ["0o600", "0o600"],
            "state: umask 0: files have mode 600",
        )
        far = box.config(QUICK + f"state {box.dir}/no/such\naction {box.recorder()}\n")
        refused(box, far, "cannot make directory .*: No such file or directory", "the base's parent is missing")
        if not is_root():
            locked = box.dir / "locked"
            locked.mkdir(mode=0o500)
            conf = box.config(QUICK + f"state {locked}/base\naction {box.recorder()}\n")
            refused(box, conf, "cannot make directory .*: Permission denied", "the base cannot be made")


def where_it_is():
    """Without `state`: RUNTIME_DIRECTORY, /run/nmnotify, or for an ordinary user XDG_RUNTIME_DIR/nmnotify."""
    with Sandbox() as box:
        first, xdg = box.dir / "first", box.dir / "xdg"
        xdg.mkdir(mode=0o700)
        text = QUICK + "log stderr\n" + (f"user {box.user}\n" if box.user else "")
        conf = box.dir / "bare.conf"
        conf.write_text(text + f"action {box.recorder()}\n")
        conf.chmod(0o644)
        env = {"RUNTIME_DIRECTORY": f"{first}:{box.dir}/second", "XDG_RUNTIME_DIR": str(xdg)}
        works(box, conf, "RUNTIME_DIRECTORY, the first of them", env=env)
        ok((first / "default" / "limits").exists(), "state: RUNTIME_DIRECTORY: it is there")
        ok(not (box.dir / "second").exists() and not list(xdg.iterdir()), "state: and nowhere else")
        if is_root():
            skip("state: XDG_RUNTIME_DIR", "root does not look at it")
        else:
            works(box, conf, "XDG_RUNTIME_DIR", env={"XDG_RUNTIME_DIR": str(xdg)})
            ok((xdg / "nmnotify" / "default" / "limits").exists(), "state: XDG_RUNTIME_DIR: it is there")
            colon = box.dir / "a:b"
            colon.mkdir(mode=0o700)
            works(box, conf, "XDG_RUNTIME_DIR with a colon", env={"XDG_RUNTIME_DIR": str(colon)})
            ok((colon / "nmnotify" / "default").exists(), "state: XDG_RUNTIME_DIR is one path, not a list")
        env = {"RUNTIME_DIRECTORY": str(box.dir / "x"), "XDG_RUNTIME_DIR": str(xdg)}
        both = box.config(QUICK + f"action {box.recorder()}\n")
        works(box, both, "`state` comes before the environment", env=env)
        ok(not (box.dir / "x").exists(), "state: the environment is not looked at")
        long = "/" + "x" * 5000
        handler = box.start(conf, data=LINE, env={"RUNTIME_DIRECTORY": long})
        ok(handler.wait() != 0, "state: a path that is too long is refused")


def one_state_for_one_user():
    """His shell and the system's units: without `state` or RUNTIME_DIRECTORY it is /run/nmnotify, if that is his."""
    if not nmtest.private_mounts() or not shutil.which("setpriv"):
        skip("state: /run/nmnotify of an ordinary user", "no mount namespace of our own, or no setpriv(1)")
        return
    with Sandbox() as box:
        become = [shutil.which("setpriv"), f"--reuid={box.uid}", f"--regid={box.gid}", "--clear-groups"]
        shared, xdg = Path("/run/nmnotify"), box.dir / "xdg"
        xdg.mkdir(mode=0o700)
        os.chown(xdg, box.uid, box.gid)
        conf = box.dir / "bare.conf"
        conf.write_text(QUICK + f"log stderr\naction {box.recorder()}\n")
        conf.chmod(0o644)
        env = {"XDG_RUNTIME_DIR": str(xdg)}
        nmtest.mount_tmpfs("/run", "mode=755")
        try:
            works(box, conf, "there is no /run/nmnotify", env=env, prefix=become)
            ok((xdg / "nmnotify/default/limits").exists(), "state: there is no /run/nmnotify: XDG_RUNTIME_DIR")
            shutil.rmtree(xdg / "nmnotify")
            for owner, mode in ((0, 0o755), (box.other.pw_uid, 0o755)):
                shared.mkdir(mode=mode)
                os.chown(shared, owner, -1)
                works(box, conf, f"/run/nmnotify is of user {owner}", env=env, prefix=become)
                ok((xdg / "nmnotify/default").exists(), f"state: /run/nmnotify is of user {owner}: XDG_RUNTIME_DIR")
                shutil.rmtree(xdg / "nmnotify")
                shared.rmdir()
            shared.symlink_to(xdg)
            works(box, conf, "/run/nmnotify is a symlink", env=env, prefix=become)
            ok((xdg / "nmnotify/default").exists(), "state: /run/nmnotify is a symlink: XDG_RUNTIME_DIR")
            shutil.rmtree(xdg / "nmnotify")
            shared.unlink()
            shared.mkdir(mode=0o700)
            os.chown(shared, box.uid, -1)
            works(box, conf, "/run/nmnotify is his", env=env, prefix=become)
            ok((shared / "default/limits").exists(), "state: /run/nmnotify is his: it is there")
            ok(not list(xdg.iterdir()), "state: and nowhere else")
            own = {**env, "RUNTIME_DIRECTORY": str(xdg / "own")}
            works(box, conf, "RUNTIME_DIRECTORY, of his own unit", env=own, prefix=become)
            ok((xdg / "own/default/limits").exists(), "state: RUNTIME_DIRECTORY comes first")
        finally:
            nmtest.unmount("/run")


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


# ---- Under our feet ----


def truncated():
    for size in (0, 4096):
        with Sandbox() as box:
            conf = box.config(f"from any\nlimit 10/s burst 5\ninterval 700ms\naction {box.recorder()}\n")
            works(box, conf, "made afresh")
            waiter = box.start(conf, data=LINE)
            ok(until(box.has_waiter), f"G6: truncated to {size} under a waiter: it waits")
            until(lambda: nmtest.process_state(waiter.pid) == "S" and box.state().due)
            os.truncate(limits(box), size)
            status = waiter.wait()
            # What is left may be all that the waiter needs.
            wanted = (EX_OSERR,) if size == 0 else (EX_OSERR, 0)
            ok(status in wanted, f"status: truncated to {size} under a waiter: a clean end")
            line = r'verdict=error account=default source=\S+ reason="the state file was truncated"'
            said = any(re.fullmatch(line, m) for m in box.messages())
            equal(said, status == EX_OSERR, f"log: truncated to {size} under a waiter")
            ok(not box.has_waiter() and not box.is_in_run(), f"G5: truncated to {size}: the turn is free")
            still_starts(box, conf, f"truncated to {size} under a waiter")
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 10/s burst 5\ninterval 0s\naction {box.recorder('until=go')}\n")
        runs = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "G6: truncated under a run: it runs")
        ok(until(lambda: not box.state().owed), "G6: truncated under a run: the start is written down")
        os.truncate(limits(box), 0)
        (box.out / "go").touch()
        equal(runs.wait(), EX_OSERR, "status: truncated under a run: a clean end")
        ok(box.runs()[0].end is not None, "G6: truncated under a run: the action gets to its end")
        still_starts(box, conf, "truncated under a run")


def removed():
    """Somebody removes it all while it is in use."""
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 10/s burst 5\ninterval 500ms\naction {box.recorder('until=go')}\n")
        runs = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "state: removed under a run: it runs")
        waiter = box.start(conf, data=LINE)
        ok(until(box.has_waiter), "state: removed under a waiter: it waits")
        shutil.rmtree(limits(box).parent)
        (box.out / "go").touch()
        equal(runs.wait(), 0, "state: removed under a run: the run ends well")
        equal(waiter.wait(), 0, "state: removed under a waiter: its run ends well")
        equal(len(box.starts()), 2, "state: removed under a waiter: it starts the action")
        shutil.rmtree(box.state_dir)
        works(box, conf, "removed, made again")


nmtest.run(
    random_bytes,
    every_word_the_same,
    single_words,
    while_it_waits,
    changes_all_the_time,
    sizes,
    files,
    account_directory,
    base_directory,
    where_it_is,
    one_state_for_one_user,
    denied_counter,
    errors_without_state,
    errors_on_a_full_disk,
    errors_with_nowhere_to_count,
    full_disk,
    truncated,
    removed,
)
