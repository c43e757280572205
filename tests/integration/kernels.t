#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Older kernels: each call of ARCHITECTURE.md's table is refused with ENOSYS, and what then stops, and what goes on, is
what stands there."""

import errno
import os
import re
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
import nmtest
import sender
from front import listener
from nmtest import BUILD, EX_OSERR, LINE, PROJECT, Sandbox, equal, ok, until

REFUSE = str(BUILD / "tests" / "refuse")
PROGRAMS = ("nmnotify", "nmnotifyd", "nmnotify-send HOST")


def rows():
    """(call, what each program does) of the table."""
    text = (PROJECT / "src/ARCHITECTURE.md").read_text().split("## The least kernel", 1)[1]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")]
    return [(cell[0].strip("`"), dict(zip(PROGRAMS, cell[-3:]))) for cell in cells]


def without(call):
    return [REFUSE, call, str(errno.ENOSYS)]


def configuration(box):
    # Landlock, but not for the recorder, which has to write to the sandbox.
    return box.config(f"from any\ninterval 0s\nlandlock no\naction {box.recorder()}\n")


def handlers():
    for call, what in ROWS:
        stops = what["nmnotify"] == "stops"
        with Sandbox() as box:
            handler = box.start(configuration(box), data=LINE, end=True, prefix=without(call))
            equal(handler.wait(), EX_OSERR if stops else 0, f"{call}: nmnotify: {what['nmnotify']}")
            equal(len(box.starts()), int(not stops), f"{call}: nmnotify: {'no' if stops else 'the'} action runs")
            ok(not stops or any("reason=" in line for line in box.log()), f"{call}: nmnotify: and if it stops, it says why")
            handler.close()
        with Sandbox() as box:
            conf = box.config("from any\ninterval 0s\nlandlock yes\naction /bin/true\n")
            handler = box.start(conf, data=LINE, end=True, prefix=without(call))
            equal(handler.wait(), EX_OSERR if stops else 0, f"{call}: nmnotify, with `landlock yes`")
            handler.close()
    result = sender.run(*without("landlock_create_ruleset"), BUILD / "nmnotify", "-V")
    ok(re.search(rb"Landlock: not in this kernel", result.output), "landlock_create_ruleset: -V says that it is not there")


def services():
    for call, what in ROWS:
        stops = what["nmnotifyd"] == "stops"
        with Sandbox() as box, listener("tcp") as listening:
            words = [*without(call), str(BUILD / "nmnotifyd"), "-f", str(configuration(box))]
            environment = dict(os.environ, RUNTIME_DIRECTORY=str(box.state_dir))
            with open(box.log_path, "a", encoding="utf-8") as log:
                process = subprocess.Popen(words, stdin=listening, stdout=log, stderr=log, env=environment)
            try:
                with socket.create_connection(listening.getsockname()[:2]) as client:
                    client.sendall(LINE)
                    until(lambda: box.starts() or process.poll() is not None or any("reason=" in line for line in box.log()))
                equal(len(box.starts()), int(not stops), f"{call}: nmnotifyd: {what['nmnotifyd']}")
                ok(not stops or any("reason=" in line for line in box.log()), f"{call}: nmnotifyd: and if it stops, it says why")
            finally:
                process.terminate()
                process.wait(nmtest.PATIENCE)


def senders():
    for call, what in ROWS:
        goes_on = what["nmnotify-send HOST"] == "goes on"
        with socket.create_server(("127.0.0.1", 0)) as server:
            result = sender.run(*without(call), sender.SEND, "-e", "-w", "5", f"127.0.0.1:{server.getsockname()[1]}")
            equal(result.status == 0, goes_on, f"{call}: nmnotify-send HOST: {what['nmnotify-send HOST']}") or nmtest.diag(result)


ROWS = rows()
ok(len(ROWS) >= 8, "ARCHITECTURE.md: the table is there")
nmtest.run(handlers, services, senders)
