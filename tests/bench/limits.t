#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What each path through the handler costs, and handing something over to the relay, in units that are the same on
every machine: instructions in user space, system calls, page faults. They are held to limits.tsv, made with

    make && make bench-programs && tests/bench/limits.t --write

What the relay asks the kernel for is relay_calls.t."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
from paths import PATHS, REACHES, SENDERS, Paths
import limits
import nmtest
from nmtest import diag, ok, skip

# Log lines have a process number in them.
INSTRUCTIONS = 0.02
# The table has the least. A start that comes a millisecond late is charged for that, with another look at
# the clock, which most are once: of a hundred on a busy machine one is not, on a quiet one none.
LATE = dict.fromkeys(REACHES, 3)
# What accepts a line runs an action, whose default depends on the machine.
MEASURED = [*(path for path in PATHS if path != "accepted"), *REACHES, *SENDERS]
# Beyond those of an empty program. What the kernel maps at once depends on it.
FAULTS = 2


def fixed_passwd():
    """The action's environment has the user's name in it, and how far that is to be looked for should
    not depend on this machine."""
    if not nmtest.private_mounts():
        return False
    with tempfile.NamedTemporaryFile("w", suffix=".passwd") as file:
        file.write("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n")
        file.flush()
        os.chmod(file.name, 0o644)
        return subprocess.run(["mount", "--bind", file.name, "/etc/passwd"]).returncode == 0


def measure(wanted):
    """{path: (instructions, system calls, page faults beyond an empty program's)}. Of the last the
    least: where the stack begins is random."""
    measured = {}
    with Paths() as paths:
        for path in wanted:
            paths.calls(path)  # makes its state
            measured[path] = paths.steps(path), min(paths.calls(path) for _ in range(12 if path in REACHES else 1))
        jobs = [["hosted", "none", "exit", paths.dir / "hosted"], *paths.jobs(paths=wanted)]
        samples = paths.times(jobs, 40)
        faults = {name: min(f for _, f in values) for name, values in samples.items()}
    return {p: (*measured[p], faults[f"nmnotify/{p}"] - faults["hosted"]) for p in wanted}


def check(path, got, wanted):
    held = ok(abs(got[0] - wanted[0]) <= INSTRUCTIONS * wanted[0], f"{path}: instructions in user space")
    held &= ok(0 <= got[1] - wanted[1] <= LATE.get(path, 0), f"{path}: system calls")
    held &= ok(abs(got[2] - wanted[2]) <= FAULTS, f"{path}: page faults")
    if not held:
        diag(f"   got: {got}")
        diag(f"wanted: {wanted}. If it is meant to be so: tests/bench/limits.t --write")


def held():
    """Each path is as costly as the table says."""
    wanted_paths = MEASURED
    if not fixed_passwd():
        wanted_paths = [path for path in MEASURED if path not in REACHES]
        skip("accepted", "only root can have another /etc/passwd")
    table = limits.read()
    for path, got in measure(wanted_paths).items():
        check(path, got, table[path])


if sys.argv[1:] == ["--write"]:
    if not fixed_passwd():
        sys.exit("limits.t: takes root")
    limits.write(measure(MEASURED))
    sys.exit(0)
why = limits.why_not()
if why:
    print(f"1..0 # SKIP {why}")
    sys.exit(0)
nmtest.run(held)
