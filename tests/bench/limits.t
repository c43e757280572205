#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What each path through the handler costs, in units that are the same on every machine: instructions
in user space, system calls, page faults. They are held to the table beside this file, limits.tsv, made
with

    make && make bench-programs && tests/bench/limits.t --write

It holds for one compiler, its options and one libc, which are noted in it; with others there is nothing
to compare."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
from paths import HANDED_OVER, PATHS, Paths
import nmtest
from nmtest import BUILD, diag, ok, skip

TABLE = Path(__file__).resolve().parent / "limits.tsv"
COLUMNS = ("path", "instructions", "calls", "faults")
# Log lines have a process number in them.
INSTRUCTIONS = 0.02
# The table has the least. A start that comes a millisecond late is charged for that, with another look at
# the clock, which most are once.
LATE = {"accepted": 3}
# Beyond those of an empty program. What the kernel maps at once depends on it.
FAULTS = 2


def made_with():
    """Compiler, architecture and options, as the compiler has noted them, and the libc."""
    program = (BUILD / "nmnotify").read_bytes()
    noted = re.search(rb"GNU C11 [^\0]+", program)
    if not noted or b"/ld-linux" in program or b"/ld-musl" in program:
        return None
    query = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "musl-dev"], capture_output=True, text=True)
    return f"{noted[0].decode()}; musl {query.stdout or 'unknown'}"


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
            measured[path] = paths.steps(path), min(paths.calls(path) for _ in range(12 if path == "accepted" else 1))
        jobs = [["hosted", "none", "exit", paths.dir / "hosted"], *paths.jobs(paths=wanted)]
        samples = paths.times(jobs, 40)
        faults = {name: min(f for _, f in values) for name, values in samples.items()}
    return {p: (*measured[p], faults[f"nmnotify/{p}"] - faults["hosted"]) for p in wanted}


def write(measured, made):
    lines = [f"# {made}", "\t".join(COLUMNS)]
    lines += ["\t".join(map(str, [path, *values])) for path, values in measured.items()]
    TABLE.write_text("\n".join(lines) + "\n")


def read():
    made, _, *lines = TABLE.read_text().splitlines()
    return made.removeprefix("# "), {path: tuple(map(int, values)) for path, *values in map(str.split, lines)}


def check(path, got, wanted):
    held = ok(abs(got[0] - wanted[0]) <= INSTRUCTIONS * wanted[0], f"{path}: instructions in user space")
    held &= ok(0 <= got[1] - wanted[1] <= LATE.get(path, 0), f"{path}: system calls")
    held &= ok(abs(got[2] - wanted[2]) <= FAULTS, f"{path}: page faults")
    if not held:
        diag(f"   got: {got}")
        diag(f"wanted: {wanted}. If it is meant to be so: tests/bench/limits.t --write")


def why_not(made, of_table):
    """A reason not to compare, or None."""
    if made != of_table:
        return f"built with {made or 'another compiler, or dynamic'}; the table: {of_table}"
    return None


def limits():
    """Each path is as costly as the table says."""
    wanted_paths = [*PATHS, HANDED_OVER]
    if not fixed_passwd():
        wanted_paths.remove("accepted")
        skip("accepted", "only root can have another /etc/passwd")
    table = read()[1]
    for path, got in measure(wanted_paths).items():
        check(path, got, table[path])


if sys.argv[1:] == ["--write"]:
    if not fixed_passwd() or not made_with():
        sys.exit("limits.t: takes root, and the default build")
    write(measure([*PATHS, HANDED_OVER]), made_with())
    sys.exit(0)
why = why_not(made_with(), read()[0])
if why:
    print(f"1..0 # SKIP {why}")
    sys.exit(0)
nmtest.run(limits)
