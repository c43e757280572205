#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The state's file and folders: which are taken, and which are refused, with the reason."""

import os
import random
import shutil
import socket
import stat
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, Sandbox, State, equal, is_root, ok, skip
from state import QUICK, chown_to_user, limits, quick, refused, works


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


nmtest.run(files, account_directory, base_directory, where_it_is, one_state_for_one_user)
