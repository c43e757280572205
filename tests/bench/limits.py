# SPDX-License-Identifier: ISC
"""limits.tsv: what is counted exactly, in units that are the same on every machine. Instructions, in user space, hold
for one compiler, its options and one libc, which are noted in it. For limits.t and relay_calls.t, which fill it:

    make && make bench-programs && tests/bench/limits.t --write && tests/bench/relay_calls.t --write"""

import re
import subprocess
from pathlib import Path

from nmtest import BUILD

TABLE = Path(__file__).resolve().parent / "limits.tsv"
COLUMNS = ("path", "instructions", "calls", "faults")


def made_with():
    """Compiler, architecture and options, as the compiler has noted them, and the libc."""
    program = (BUILD / "nmnotify").read_bytes()
    noted = re.search(rb"GNU C11 [^\0]+", program)
    if not noted or b"/ld-linux" in program or b"/ld-musl" in program:
        return None
    query = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "musl-dev"], capture_output=True, text=True)
    return f"{noted[0].decode()}; musl {query.stdout or 'unknown'}"


def why_not():
    """A reason not to compare instructions, or None."""
    made, of_table = made_with(), TABLE.read_text().splitlines()[0].removeprefix("# ")
    if made != of_table:
        return f"built with {made or 'another compiler, or dynamic'}; the table: {of_table}"
    return None


def read():
    """{path: (instructions, system calls, page faults)}; None: not counted."""
    rows = (line.split("\t") for line in TABLE.read_text().splitlines()[2:])
    return {path: tuple(None if value == "-" else int(value) for value in values) for path, *values in rows}


def write(measured):
    """The others stay as they are. Fails, if they are another compiler's."""
    if not made_with() or (TABLE.exists() and why_not() and set(read()) - set(measured)):
        diag = "the other rows are another compiler's: remove them, and write those, too"
        raise SystemExit(f"limits.tsv: {diag if made_with() else 'takes the default build'}")
    rows = {**(read() if TABLE.exists() else {}), **measured}
    lines = [f"# {made_with()}", "\t".join(COLUMNS)]
    lines += ["\t".join([path, *("-" if value is None else str(value) for value in values)]) for path, values in rows.items()]
    TABLE.write_text("\n".join(lines) + "\n")
