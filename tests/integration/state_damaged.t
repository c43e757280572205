#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""G6: each word of the state file may be anything, change while it is used, or be gone: an account goes on."""

import os
import random
import re
import shutil
import struct
import sys
import time
from contextlib import ExitStack

sys.dont_write_bytecode = True
import nmtest
from nmtest import EX_OSERR, LINE, Sandbox, State, equal, ok, until
from state import BOUND_MS, SLACK_MS, limits, quick, still_starts, works


# ---- G6 ----


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
    every_word_the_same,
    single_words,
    while_it_waits,
    changes_all_the_time,
    sizes,
    truncated,
    removed,
)
