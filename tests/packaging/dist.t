#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The tarball: the same bytes wherever, whenever and by whomever it is made, with git or of itself; and so
is what is built of it."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
from nmtest import BUILD, PROJECT, equal, ok, run, skip

ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
MOMENT = "1700000000"


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def call(folder, *words, umask=0o022, **environment):
    done = subprocess.run(words, cwd=folder, env=ENVIRONMENT | environment, text=True, umask=umask,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stdout}")
    return done.stdout


def dist(folder, out, **how):
    """make dist, of the tree in that folder; the tarball."""
    call(folder, "make", "-s", f"BUILD={out}", "dist", **how)
    return next(Path(out, "dist").glob("nmnotify-*.tar.gz"))


def clone(folder, umask):
    """Of what git tracks here, as it is now."""
    call(PROJECT, "git", "-c", "safe.directory=*", "clone", "-q", "--no-hardlinks", str(PROJECT), str(folder), umask=umask)
    for name in call(PROJECT, "git", "-c", "safe.directory=*", "ls-files", "-z").split("\0")[:-1]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, folder / name)
        (folder / name).chmod((0o777 if os.access(PROJECT / name, os.X_OK) else 0o666) & ~umask)
    call(folder, "git", "add", "--all")
    return folder


def same_bytes():
    if not (PROJECT / ".git").exists() or not shutil.which("git"):
        skip("the tarball: the same bytes from a clone", "no git here")
        return
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        one = clone(scratch / "one", 0o022)
        two = clone(scratch / "another/with/a/longer-name", 0o077)
        (two / "build").mkdir()
        (two / "never-added").write_text("not tracked\n")
        first = dist(one, scratch / "out")
        os.utime(two / "Makefile", (1, 1))
        second = dist(two, two / "build", umask=0o077, TZ="Pacific/Auckland", LC_ALL="C")
        equal(digest(second), digest(first), "the tarball: the same bytes from another directory, umask, time and time zone")
        with tarfile.open(first) as tar:
            members = tar.getmembers()
            tar.extractall(scratch)
        names = [member.name for member in members]
        equal(names, sorted(names), "the tarball: names in order")
        equal({(m.uid, m.gid, m.mode | 0o111, m.mtime) for m in members},
              {(0, 0, 0o755, int(call(one, "git", "log", "-1", "--format=%ct")))}, "the tarball: one owner, one time")
        ok(not any("never-added" in name for name in names), "the tarball: nothing that git does not track")
        unpacked = scratch / Path(first.name).name.removesuffix(".tar.gz")
        equal(digest(dist(unpacked, unpacked / "build", umask=0o002)), digest(first), "the tarball: makes itself, without git")
        other = dist(one, scratch / "dated", SOURCE_DATE_EPOCH=MOMENT)
        with tarfile.open(other) as tar:
            equal({member.mtime for member in tar}, {int(MOMENT)}, "the tarball: SOURCE_DATE_EPOCH")
        programs(unpacked)


def programs(unpacked):
    """What is installed of the unpacked tarball, against what is of this tree, built and installed by another umask."""
    trees = []
    for folder, build, umask in ((PROJECT, BUILD, 0o022), (unpacked, "build", 0o077)):
        root = unpacked.parent / f"installed-{len(trees)}"
        call(folder, "make", "-s", "-j2", f"BUILD={build}", "install", f"DESTDIR={root}", umask=umask)
        trees.append({str(path.relative_to(root)): digest(path) for path in sorted(root.rglob("*")) if path.is_file()})
    ok(len(trees[0]) > 30, "make install: is something")
    equal(trees[1], trees[0], "make install: the same bytes from the tarball, anywhere, as from here")


run(same_bytes)
