# SPDX-License-Identifier: ISC
"""What README.md, the pages and the comments of all that is shipped tell somebody to type or to set.
Tests take it from here, by a part of it that nothing else in its document has. documents.t sees to it that
all of it is taken by some test, or named as something that is only shown, with the reason."""

import ast
import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
from nmtest import PROJECT, equal

PAGES = ("README.md", "man/nmnotify-units.7", "man/nmnotify.8", "man/nmnotify.conf.5", "man/nmnotifyd.8", "man/nmnotify-send.1",
         "man/nmnotify-login.8", "man/nmnotify-relay.8", "man/nmnotify-relay.conf.5", "man/nmnotify-relay-logs.8", "man/nmnotifyctl.8")
# A shell's completion is a program, whose first comment can be for the shell.
SHIPPED = tuple(sorted(str(p.relative_to(PROJECT)) for p in (PROJECT / "units").rglob("*") if p.is_file() and p.parent.name != "completion"))

# In running text: a command has more than one word, and a setting has a value.
PROGRAMS = "nmnotifyd?|systemctl|systemd-analyze|journalctl|loginctl|nft|make|man|getent|ping|timeout|sudo"
COMMAND = re.compile(rf"(?:{PROGRAMS}) \S.*")
SETTING = re.compile(r"[A-Z][A-Za-z]+=\S+|PassCmd .+")


# ---- Where they are ----


def _undent(text):
    lines = [line for line in text.splitlines() if line.strip()]
    least = min(len(line) - len(line.lstrip()) for line in lines)
    return "\n".join(line[least:] for line in lines) + "\n"


def _inline(words):
    """Those of them that are a command or a setting, each once."""
    found = [word for word in words if COMMAND.fullmatch(word) or SETTING.fullmatch(word)]
    return [f"{word}\n" for word in dict.fromkeys(found)]


def _markdown(text):
    """Code is what is indented by four, or by three more in a list, behind an empty line."""
    found = re.findall(r"(?m)(?<=\n\n)(?: {4,}\S.*\n)+(?:\n*(?: {4,}\S.*\n)+)*", text)
    return [_undent(block) for block in found] + _inline(re.findall(r"`([^`\n]+)`", text))


def _page(text):
    text = text.replace("\\e", "\\").replace("\\(dq", '"').replace("\\&", "")
    blocks = re.findall(r"(?ms)^\.Bd -literal.*?\n(.*?)^\.Ed$", text)
    quoted = re.findall(r"(?m)^\.[DQ]l (.*?)(?: [.,:;)])*$", text)
    return blocks + _inline(quoted)


def _shipped(text):
    """Of comments: what is indented by three, behind an empty line; what only has to lose its #; and
    what the prose has."""
    indented = r"(?m)^#\n((?:#   .*\n)+)"
    without = r"(?m)^#[^\s#].*\n(?:#(?:[^\s#]| {4,}|\t).*\n)*"
    blocks = [re.sub(r"(?m)^#", "", block) for block in re.findall(indented, text)]
    blocks = [_undent(block) for block in blocks]
    blocks += [re.sub(r"(?m)^#", "", block) for block in re.findall(without, text)]
    prose = re.sub(without, "", re.sub(indented, "", text))
    lines = re.findall(r"(?m)^\s*#\s*(.*)$", prose)
    words = rf"(?<![\w(])(?:{PROGRAMS}) -\w+|(?<!\S)[A-Z][A-Za-z]+=[\w/~]\S*\b"
    return blocks + _inline(re.findall(words, "\n".join(lines)))


def _blocks(name):
    text = (PROJECT / name).read_text().replace("@SBINDIR@", "/usr/local/sbin").replace("@BINDIR@", "/usr/local/bin")
    if name in SHIPPED:
        return _shipped(text)
    return (_markdown if name.endswith(".md") else _page)(text)


# ---- Who takes them ----


class Documents:
    def __init__(self, names=(*PAGES, *SHIPPED)):
        self.blocks = {name: _blocks(name) for name in names}
        self.taken = set()

    def take(self, name, part):
        """The block of a file that is this text, or has it in it."""
        found = self.find(name, part)
        if len(found) != 1:
            raise LookupError(f"{name} has {len(found) or 'no'} blocks with: {part}")
        self.taken.add((name, part))
        return found[0]

    def find(self, name, part):
        blocks = self.blocks[name]
        return [block for block in blocks if block == part] or [block for block in blocks if part in block]

    def each(self, name, *parts):
        return [self.take(name, part) for part in parts]

    def shown(self, name, *parts, why):
        """Those that are not run, and why."""
        assert why
        self.each(name, *parts)

    def check(self):
        """All that the running test says it takes, it has taken."""
        left = takes(Path(sys.argv[0])) - self.taken
        equal(sorted(left), [], "every command and setting that this test names is tried")


def takes(test):
    """(file, part) of all that a test takes: it says both in so many words."""
    calls = [node for node in ast.walk(ast.parse(test.read_text())) if isinstance(node, ast.Call)]
    calls = [node for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr in ("take", "each", "shown")]
    words = [[word.value for word in node.args if isinstance(word, ast.Constant)] for node in calls]
    return {(name, part) for name, *parts in filter(None, words) for part in parts}


def commands(block, prompt=None):
    """The commands of a block: what stands behind the prompt, to the next one; without one, lines."""
    text = block.replace("\\\n", " ")
    if prompt is None:
        return [line.strip() for line in text.splitlines()]
    return [c.strip() for c in re.split(rf"(?m)^{re.escape(prompt)} ", text) if c.strip()]
