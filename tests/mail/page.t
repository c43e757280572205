#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Each block of nmnotify-mail(7), and of nmnotify-tunnel(7), is one that a test beside this file takes from there, and
tries; and what a test asks for is in one block alone."""

import ast
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "systemd"))
from documents import Documents, takes
from nmtest import done, ok

MAIL, TUNNEL = "man/nmnotify-mail.7", "man/nmnotify-tunnel.7"
HERE = Path(__file__).resolve().parent
# One kernel of its own is needed for some, and is there.
GUEST = HERE.parent / "systemd/guest.t"


def asked(test):
    """Every text in an argument of box.type() or box.recipe(), or behind the name in box.tells()."""
    for call in ast.walk(ast.parse(test.read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ("type", "recipe", "tells"):
            for argument in call.args[call.func.attr == "tells" :]:
                yield from (n.value for n in ast.walk(argument) if isinstance(n, ast.Constant) and len(str(n.value)) > 3)


def check(name, known):
    page = Documents((name,))
    for text in sorted(known):
        ok(len(page.find(name, text)) == 1, f"{name}: one block has: {text}", tell=False)
    for block in page.blocks[name]:
        ok(any(text in block for text in known), f"{name}: it is tried: {block.splitlines()[0].strip()}", tell=False)


tunnels = HERE / "tunnels.t"
check(MAIL, {text for test in HERE.glob("*.t") if test != tunnels for text in asked(test)})
check(TUNNEL, {*asked(tunnels), *(text for name, text in takes(GUEST) if name == TUNNEL)})
done()
