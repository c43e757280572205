# SPDX-License-Identifier: ISC
"""Test scripts that run in a machine of their own, and say what they have seen on its serial line, a line each:
GUEST, the part's number, and what it says; GUEST end, when all of them have ended."""

import re
import shutil
import sys

sys.dont_write_bytecode = True
from nmtest import PROJECT, diag, ok, pass_on

# Where the project is, in there.
PLACE = "srv/nmnotify"


def chosen(parts, names):
    """Lines, each a script and its arguments; with names of scripts, those alone, and whole if no line has them."""
    lines = parts.splitlines()
    if not names:
        return lines
    found = [[line for line in lines if line.split()[0] == name] or [name] for name in names]
    return sum(found, [])


def put(root, built, parts):
    """The project as it stands, with the programs and helpers that are built in that folder, and the numbered parts."""
    place = root / PLACE
    for folder in ("man", "packaging", "src", "tests", "units"):
        shutil.copytree(PROJECT / folder, place / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "README.md"):
        shutil.copy(PROJECT / name, place / name)
    (place / "build/tests").mkdir(parents=True)
    for source, target in ((built, place / "build"), (built / "tests", place / "build/tests")):
        for path in source.iterdir():
            if path.is_file() and path.suffix not in (".d", ".map", ".c"):
                shutil.copy(path, target / path.name)
    (place / "parts").write_text("".join(f"{number} {part}\n" for number, part in enumerate(parts)))


def report(text, parts, machine):
    """What the parts have said, as this test's own."""
    said = re.findall(r"GUEST (.*?)\r*\n", text)
    for number, part in enumerate(parts):
        lines = [line.removeprefix(f"{number} ") for line in said if line.startswith(f"{number} ")]
        pass_on(lines, f"{machine}: {part.split()[0]}")
        if not ok(lines[-1:] == ["ended 0"], f"{machine}: {part}: it came to its end", tell=False):
            diag("\n".join(lines[-30:]))
    if not ok(said[-1:] == ["end"], f"{machine}: it came to its end", tell=False):
        diag(text[-1500:])
