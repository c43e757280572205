#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The programs as they are built: the same bytes from any directory, and hardened."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import front
from nmtest import BUILD, PROJECT, Sandbox, diag, equal, ok, run, skip

ENVIRONMENT = {"PATH": os.environ["PATH"]}
PROGRAMS = ("nmnotify", "nmnotifyd", "nmnotify-send", "nmnotify-login")


def make(folder, *words):
    return subprocess.run(["make", "-s", "-j2", *words], cwd=folder, env=ENVIRONMENT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)


def noted(program):
    """What gcc has noted of its options."""
    return re.findall(rb"GNU C11 [^\0]+", program.read_bytes())


def built_in(folder, build, *words):
    """Of a copy of the source in that folder."""
    folder.mkdir(parents=True)
    shutil.copy(PROJECT / "Makefile", folder)
    for part in ("src", "units"):
        shutil.copytree(PROJECT / part, folder / part)
    done = make(folder, f"BUILD={build}", *words)
    if done.returncode != 0 or done.stdout:
        diag(done.stdout)
        raise RuntimeError("make has something to say")
    return folder / build


def reproducible():
    """This build's programs against those of another directory; and nmnotifyd without libsystemd, of two."""
    with tempfile.TemporaryDirectory() as scratch:
        other = built_in(Path(scratch) / "with/a/longer/name", f"{scratch}/elsewhere", "all")
        for name in PROGRAMS:
            if noted(BUILD / name) != noted(other / name):
                skip(f"{name}: the same bytes from any directory", "this build has other options")
                continue
            same(BUILD / name, other / name)
        words = ["SYSTEMD=no"]
        one = built_in(Path(scratch) / "one", "build", *words, "build/nmnotifyd")
        two = built_in(Path(scratch) / "another", f"{scratch}/far", *words, f"{scratch}/far/nmnotifyd")
        same(one / "nmnotifyd", two / "nmnotifyd", "static nmnotifyd")
        hardened(other / "nmnotifyd", "nmnotifyd")
        hardened(one / "nmnotifyd", "static nmnotifyd")


def same(one, other, name=None):
    name = name or one.name
    first, second = one.read_bytes(), other.read_bytes()
    equal(hashlib.sha256(second).hexdigest(), hashlib.sha256(first).hexdigest(), f"{name}: the same bytes from any directory")
    ok(not any(str(path.parent).encode() in data for path in (one, other) for data in (first, second)),
       f"{name}: it does not know where it was built")


def hardened(program, name):
    equal(has_relro(program), True, f"{name}: has a part that becomes read-only")
    writable = maps(program)
    ok(writable is not None and not writable, f"{name}: that part is read-only while it runs ({writable})")


# ---- ELF (elf(5)) ----

PT_GNU_RELRO, PT_LOAD = 0x6474E552, 1


def headers(program):
    """[(type, address, size in memory)] of a program of 64 bits in this machine's byte order."""
    data = Path(program).read_bytes()
    number = lambda at, size: int.from_bytes(data[at : at + size], sys.byteorder)
    table, size, count = number(32, 8), number(54, 2), number(56, 2)
    found = []
    for at in range(table, table + size * count, size):
        found.append((number(at, 4), number(at + 16, 8), number(at + 40, 8)))
    return found


def has_relro(program):
    return any(kind == PT_GNU_RELRO for kind, _, _ in headers(program))


def maps(program):
    """The writable mappings of a running nmnotifyd within its PT_GNU_RELRO, but for a last page that is
    not whole; None if it has none."""
    page = os.sysconf("SC_PAGESIZE")
    first = min(address for kind, address, _ in headers(program) if kind == PT_LOAD) & -page
    _, address, size = next(h for h in headers(program) if h[0] == PT_GNU_RELRO)
    with Sandbox() as box:
        conf = box.config("from any\naction /bin/true\n")
        with front.Service(box, conf, program=program, inetd=True) as service:
            service.network()
            lines = Path(f"/proc/{service.pid}/maps").read_text().splitlines()
    own = [line.split() for line in lines if line.endswith(f"/{Path(program).name}")]
    if not own:
        return None
    base = int(own[0][0].split("-")[0], 16) - first
    begin, end = (base + address) & -page, (base + address + size) & -page
    found = []
    for words in own:
        start, stop = (int(word, 16) for word in words[0].split("-"))
        if start < end and stop > begin and "w" in words[1]:
            found.append(" ".join(words[:2]))
    return found if begin < end else None


def options():
    """What the compiler has noted of its own accord."""
    for name in PROGRAMS:
        lines = noted(BUILD / name)
        if not lines:
            skip(f"{name}: options", "not gcc, or without debugging information")
            continue
        for option in (b"-fstack-protector-strong", b"-fstack-clash-protection", b"-ftrivial-auto-var-init=zero", b"-fPIE"):
            ok(any(option in line for line in lines), f"{name}: {option.decode()}")


run(options, reproducible)
