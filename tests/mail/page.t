#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Each block of nmnotify-mail(7) is one that a test beside this file takes from there, and tries."""

import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "systemd"))
from documents import Documents
from nmtest import done, ok

PAGE = "man/nmnotify-mail.7"
tests = sorted(Path(__file__).resolve().parent.glob("*.t"))
asked = {name for test in tests for name in re.findall(r"\bbox\.(?:type|recipe)\(\s*\"([^\"]+)\"", test.read_text())}
for block in Documents((PAGE,)).blocks[PAGE]:
    ok(any(name in block for name in asked), f"{PAGE}: it is tried: {block.splitlines()[0].strip()}")
done()
