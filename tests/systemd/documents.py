# SPDX-License-Identifier: ISC
"""What README.md, the pages and the comments of the units tell somebody to type, for recipes.t. Each
block is taken by a test, or named as one that is only shown, with the reason. What is left over, and
what is asked for and is not there, fails."""

import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
from nmtest import PROJECT, ok

PAGES = ("README.md", "man/nmnotify-units.7", "man/nmnotify.8", "man/nmnotify.conf.5", "man/nmnotifyd.8")
UNITS = (
    "units/nmnotify.socket",
    "units/nmnotify@.service",
    "units/nmnotifyd.socket",
    "units/nmnotifyd.service",
    "units/user/nmnotify.socket",
    "units/user/nmnotify@.service",
    "units/user/nmnotifyd.socket",
    "units/user/nmnotifyd.service",
)


def _undent(text):
    lines = [line for line in text.splitlines() if line.strip()]
    least = min(len(line) - len(line.lstrip()) for line in lines)
    return "\n".join(line[least:] for line in lines) + "\n"


def _markdown(text):
    """Code is what is indented by four, or by three more in a list, behind an empty line."""
    found = re.findall(r"(?m)(?<=\n\n)(?: {4,}\S.*\n)+(?:\n*(?: {4,}\S.*\n)+)*", text)
    return [_undent(block) for block in found]


def _page(text):
    blocks = re.findall(r"(?ms)^\.Bd -literal.*?\n(.*?)^\.Ed$", text)
    plain = lambda b: b.replace("\\e", "\\").replace("\\(dq", '"').replace("@SBINDIR@", "/usr/local/sbin")
    return [plain(block) for block in blocks]


def _unit(text):
    """In comments: what is indented by three, behind an empty line of the comment."""
    found = re.findall(r"(?m)^#\n((?:#   .*\n)+)", text)
    return [_undent(re.sub(r"(?m)^#", "", block)) for block in found]


def _blocks(name):
    text = (PROJECT / name).read_text()
    return (_markdown if name.endswith(".md") else _page if name in PAGES else _unit)(text)


class Documents:
    def __init__(self):
        self.left = {name: _blocks(name) for name in (*PAGES, *UNITS)}

    def take(self, name, part):
        """The first block of a file with this text in it that was not taken yet."""
        for block in self.left[name]:
            if part in block:
                self.left[name].remove(block)
                return block
        raise LookupError(f"{name} has no block (any more) with: {part}")

    def shown(self, name, part, why):
        """One that is not run, and why."""
        assert why
        self.take(name, part)

    def check(self):
        for name, blocks in self.left.items():
            for block in blocks:
                ok(False, f"{name}: no test runs, and no reason is given for: {block.splitlines()[0].strip()}")
            ok(not blocks, f"{name}: every block is run, or is known not to be")


def commands(block, prompt=None):
    """The commands of a block: what stands behind the prompt, to the next one; without one, lines."""
    text = block.replace("\\\n", " ")
    if prompt is None:
        return [line.strip() for line in text.splitlines()]
    return [c.strip() for c in re.split(rf"(?m)^{re.escape(prompt)} ", text) if c.strip()]
