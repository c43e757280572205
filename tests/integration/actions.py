# SPDX-License-Identifier: ISC
"""Actions under a policy, each as an account of its own: for tests of what it forbids, and of what programs can do under it."""

import ctypes
import os
import pwd
import re
import shlex
import shutil
import sys

sys.dont_write_bytecode = True
from nmtest import SLOW, diag, ok, skip

LINE = b"nm_notifyuser\r\n"


class Actions:
    """Runs actions in a sandbox, each as an account of its own, in a folder of its own; with what files and
    ports the policy has by default, and these ports."""

    def __init__(self, box, *ports):
        self.box, self.ports = box, ports
        self.account = pwd.getpwnam(box.user) if box.user else pwd.getpwuid(os.geteuid())

    def folder(self, name):
        """One that the action's user owns."""
        path = self.box.dir / name
        path.mkdir(mode=0o700)
        self.give_away(path)
        return path

    def give_away(self, path):
        if self.box.user:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def write(self, path, text, mode=0o600):
        path.write_text(text)
        path.chmod(mode)
        self.give_away(path)
        return path

    def as_user(self):
        """Arguments for subprocess: the same user, unconfined."""
        if not self.box.user:
            return {}
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}

    def run(self, name, policy, action, home=None, env=(), more=""):
        """Exit status of the handler, which is the action's."""
        if "landlock" not in more:
            more += "    landlock yes\n"
        if self.ports and policy == "mail":
            more += f"    connect default {' '.join(map(str, self.ports))}\n"
        conf = self.box.config(
            f"account {name}\n"
            "    from    any\n"
            f"    timeout {int(20 * SLOW)}s\n"
            f"    confine {policy}\n{more}"
            + "".join(f"    env     {variable}\n" for variable in [f"HOME={home or '/'}", *env])
            + f"    action  {shlex.join(map(str, action))}\n"
        )
        status = self.box.connect_and_run(conf, LINE)
        self.said = self.box.log()
        return status

    def ok(self, cond, name):
        """Like ok(), but with the log of what went wrong."""
        if not ok(cond, name):
            diag("\n".join(self.said[-20:]))


def program(name, *others):
    """Where a program is; system folders only, for the action's user has to get there."""
    for candidate in (name, *others):
        path = shutil.which(candidate, path="/usr/local/bin:/usr/bin:/bin")
        if path:
            return path
    return None


def missing(part, *needed):
    """Skips a part if a program that it needs is not there."""
    absent = [name for name in needed if not program(name)]
    if absent:
        skip(part, f"not installed: {' '.join(absent)}")
    return bool(absent)


# ---- Other processes ----


def landlock_abi():
    libc = ctypes.CDLL(None, use_errno=True)
    # landlock_create_ruleset; on mips, numbers of 32-bit programs begin with 4000.
    return max(0, libc.syscall(4444 if os.uname().machine == "mips" else 444, None, 0, 1))


def makes_sockets():
    """Whether a program of glibc's does under a policy: on some architectures it uses socketcall(2) (mail.policy)."""
    return not re.fullmatch("i.86|s390x?", os.uname().machine)
