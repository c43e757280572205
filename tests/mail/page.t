#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Each block of nmnotify-mail(7) is one that a test beside this file takes from there, and tries; and what a test
asks for is in one block alone."""

import ast
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "systemd"))
from documents import Documents
from nmtest import done, ok

PAGE = "man/nmnotify-mail.7"


def asked(test):
    """Every text in an argument of box.type() or box.recipe(), or behind the name in box.tells()."""
    for call in ast.walk(ast.parse(test.read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ("type", "recipe", "tells"):
            for argument in call.args[call.func.attr == "tells" :]:
                yield from (n.value for n in ast.walk(argument) if isinstance(n, ast.Constant) and len(str(n.value)) > 3)


known = {text for test in Path(__file__).resolve().parent.glob("*.t") for text in asked(test)}
page = Documents((PAGE,))
for text in sorted(known):
    ok(len(page.find(PAGE, text)) == 1, f"{PAGE}: one block has: {text}", tell=False)
for block in page.blocks[PAGE]:
    ok(any(text in block for text in known), f"{PAGE}: it is tried: {block.splitlines()[0].strip()}", tell=False)
done()
