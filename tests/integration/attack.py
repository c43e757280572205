# SPDX-License-Identifier: ISC
"""The attacker's afternoon, in attack_*.t. Three of them, each with what he has: the port and nothing else;
an account on the machine that may not write the state; and the action, gone bad, with all that its user
has. What holds against each is checked there, for the handler under a super-server and for nmnotifyd;
what cannot be held (an action denies the service to its own account) is checked to go no further. What
they share is here.

Not there, since it is elsewhere: lines and their pieces (line.t), damaged and misplaced state
(state_*.t), what each policy refuses (confine.t), a network process that was taken over (taken_over.t).
Nor is LD_PRELOAD: neither program is ever set-user-ID, so whoever can set its environment starts it, as
himself, and could start anything else."""

import ctypes
import os
import random
import re
import sys
from contextlib import contextmanager
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import Sandbox

FREE = "limit 1000/s burst 10000\n"
# For a machine that has other things to do.
SOON = 5


# ---- The port, and nothing else ----


def has_started_since(box, begun, account):
    return any(s / 1e6 >= begun for s in box.starts(out=box.out / account))


# ---- The action, gone bad ----


@contextmanager
def private_users():
    """Users that nobody else on this machine is: what ends all processes of one ends ours alone."""
    if not nmtest.private_mounts():
        yield False
        return
    # At random: tests that run beside this one may have its process number, too.
    first = 300000 + random.randrange(100000) * 3
    text = re.sub(r"(?m)^nobody:x:\d+:", f"nobody:x:{first}:", Path("/etc/passwd").read_text())
    text = re.sub(r"(?m)^games:x:\d+:", f"games:x:{first + 1}:", text)
    # The network process's own, for it must be no account's.
    text = re.sub(r"(?m)^nmnotify:.*\n", "", text) + f"nmnotify:x:{first + 2}:{first + 2}::/:/bin/false\n"
    with Sandbox() as box:
        copy = box.dir / "passwd"
        copy.write_text(text)
        copy.chmod(0o644)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(os.fsencode(copy), b"/etc/passwd", None, 4096, None) != 0:  # MS_BIND
            raise OSError(ctypes.get_errno(), "mount on /etc/passwd")
        try:
            yield True
        finally:
            nmtest.unmount("/etc/passwd")
