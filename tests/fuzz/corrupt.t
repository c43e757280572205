#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""G6: no content of the state file can crash, hang or block anything for longer than an interval or a
rate window. A million corruptions; with LONG=1, twenty million."""

import os
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
import nmtest  # noqa: E402
from nmtest import BUILD, EX_OK, EX_OSERR, LINE, Sandbox, diag, equal, ok, skip  # noqa: E402

LONG = bool(os.environ.get("LONG"))
SEED = int(os.environ.get("SEED") or (time.time() if LONG else 4146))

COUNT = 20_000_000 if LONG else 1_000_000
STORM_MS = 60_000 if LONG else 6_000
HANDLERS = 20_000 if LONG else 1_500

INTERVAL_MS = 100
BLOCKED_S = 20.0  # far longer than it takes, far shorter than what a word of rubbish says
AT_ONCE = 8


def run_program(name, *arguments):
    """Its counts, or None."""
    program = BUILD / "tests" / name
    if not program.exists():
        skip(f"G6: {name}", f"{program} has not been built")
        return None
    done = subprocess.run([str(program), *map(str, arguments), str(SEED)], capture_output=True, text=True)
    if not ok(done.returncode == 0, f"G6: {name}: all holds"):
        diag(f"{name} {' '.join(map(str, arguments))} {SEED}: status {done.returncode}")
        diag(done.stderr)
        return None
    diag(f"{name}: {', '.join(done.stdout.split())}")
    return {key: int(value) for key, value in (line.split("=") for line in done.stdout.splitlines())}


def in_memory():
    counts = run_program("corrupt", COUNT)
    if counts:
        ok(counts["corruptions"] >= COUNT, f"G6: {COUNT} corruptions of the state")
        ok(counts["starts"] > COUNT // 10, "G6: actions were started all the while")


def with_processes():
    counts = run_program("storm", STORM_MS)
    if counts:
        ok(counts["changes"] > 0 and counts["cuts"] > 0 and counts["replacements"] > 0, "G6: it was stormy")
        ok(counts["starts"] >= STORM_MS // 400, "G6: actions were started all the while")
        ok(counts["bus_errors"] > 0, "G6: some processes met a file that had been cut")


# ---- The real handler ----


class Hand:
    """What corrupts the file."""

    def __init__(self, path):
        self.path = path
        self.random = random.Random(SEED)
        self.count = self.last_starts = 0

    def value(self):
        chance, now = self.random, nmtest.boottime_ms()
        return (
            chance.choice(
                [
                    0,
                    0xFFFFFFFF,
                    chance.getrandbits(32),
                    now + chance.randrange(-200, 200),
                    now + chance.randrange(7 * 24 * 3600 * 1000),
                    now + 0x80000000,
                    os.getpid(),
                ]
            )
            & 0xFFFFFFFF
        )

    def write(self, fd):
        index = self.random.choice([0, 2, 3, self.random.randrange(64), self.random.randrange(16384)])
        if self.random.randrange(50) == 0:
            index = 1
        self.last_starts += index == 1
        os.pwrite(fd, struct.pack("=I", self.value()), 4 * index)

    def cut(self, fd):
        self.last_starts += 1
        os.ftruncate(fd, self.random.choice([0, 1, 64, 4096, 65535]))

    def grow(self, fd):
        os.ftruncate(fd, self.random.choice([65536, 65537, 1 << 20]))

    def replace(self, fd):
        """By a copy of it: what is wrong is that others go on with the old one."""
        self.last_starts += 1
        new, owner = self.path.with_name("new"), os.fstat(fd)
        new.write_bytes(os.pread(fd, 65536, 0))
        os.chown(new, owner.st_uid, owner.st_gid)
        new.chmod(0o600)
        os.replace(new, self.path)

    def act(self):
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            what = self.random.randrange(100)
            if what < 15:
                self.cut(fd)
            elif what < 20:
                self.grow(fd)
            elif what < 22:
                self.replace(fd)
            else:
                for _ in range(self.random.randrange(1, 4)):
                    self.write(fd)
            self.count += 1
        finally:
            os.close(fd)


def reap(running, statuses, most):
    """Waits until no more than `most` handlers are left. False: one of them hangs."""
    while len(running) > most:
        now = time.monotonic()
        for handler, begun in list(running):
            if not handler.is_running():
                statuses[handler.status] = statuses.get(handler.status, 0) + 1
                handler.close()
                running.remove((handler, begun))
            elif now - begun > BLOCKED_S:
                diag(f"blocked: {Path(f'/proc/{handler.pid}/syscall').read_text()}")
                return False
        time.sleep(0.0005)
    return True


def storm_of_handlers(box, conf, hand, statuses):
    running, hangs = [], False
    for _ in range(HANDLERS):
        hand.act()
        data = LINE if hand.random.randrange(5) else b"x\n"
        running.append((box.start(conf, data=data, fds="unix", end=True), time.monotonic()))
        if not reap(running, statuses, AT_ONCE - 1):
            hangs = True
            break
    hangs = not reap(running, statuses, 0) or hangs
    ok(not hangs, "G6: no handler is blocked for longer than an interval or a rate window")


def with_handlers():
    with Sandbox() as box:
        conf = box.config(
            f"from any\nlimit 1000/s burst 50\ninterval {INTERVAL_MS}ms\naction {box.recorder()}\n"
        )
        equal(box.connect_and_run(conf), EX_OK, "G6: before the first corruption")
        hand, statuses = Hand(box.state().path), {}
        begun = nmtest.boottime_ms()
        storm_of_handlers(box, conf, hand, statuses)
        elapsed = nmtest.boottime_ms() - begun
        runs = box.runs()
        diag(f"{hand.count} corruptions, {sum(statuses.values())} handlers, {len(runs)} starts; ends: {statuses}")
        # The recorder tells by 99 that it could not write.
        ok(set(statuses) <= {EX_OK, EX_OSERR}, "G6: every handler ends by its own exit")
        ok(all(run.overlap == 0 for run in runs), "G2: no run while another goes on")
        most = elapsed // INTERVAL_MS + 2 + hand.last_starts
        ok(len(runs) <= most, f"G2: {len(runs)} starts are no more than {most}")
        ok(len(runs) > 10, "G6: actions were started all the while")
        before = len(runs)
        time.sleep(2 * INTERVAL_MS / 1000)
        box.connect_and_run(conf)
        ok(box.wait_starts(before + 1), "G6: after the last corruption a line starts the action")


if __name__ == "__main__":
    nmtest.run(in_memory, with_processes, with_handlers)
