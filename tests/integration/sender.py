# SPDX-License-Identifier: ISC
"""What the tests of nmnotify-send and nmnotify-login share: to start one as a mail system would."""

import errno
import os
import pty
import signal
import subprocess

import nmtest
from nmtest import BUILD, PATIENCE

SEND = BUILD / "nmnotify-send"
EX_USAGE, EX_TEMPFAIL = 64, 75

# What mail systems leave ignored (Postfix, Exim, Courier).
IGNORED = (signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)


class Result:
    def __init__(self, status, output):
        self.status, self.output = status, output

    def __repr__(self):
        return f"status {self.status}, {self.output!r}"


def run(*words, user=None, prepare=None, env=None, timeout=PATIENCE, **how):
    """Runs a program to its end, with a pipe for standard output and error: (status, what it printed)."""

    def begin():
        # As a mail system's library call would: Python ignores it.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        if prepare:
            prepare()
        if user is not None:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)

    process = subprocess.Popen(list(map(str, words)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env={} if env is None else env, preexec_fn=begin, cwd="/", **how)
    try:
        output, _ = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Result(process.returncode, output)


def typed(*words):
    """(status, what the terminal shows)"""
    master, slave = pty.openpty()
    result = run(*words, prepare=lambda: os.dup2(slave, 2))
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:
        pass  # EIO: nobody has the other end any more
    os.close(master)
    return result.status, shown.decode()


# What musl says where glibc says something else.
MUSL = {
    errno.EADDRNOTAVAIL: "Address not available", errno.EHOSTUNREACH: "Host is unreachable", errno.ELOOP: "Symbolic link loop",
    errno.ENAMETOOLONG: "Filename too long", errno.ENETUNREACH: "Network unreachable", errno.ETIMEDOUT: "Operation timed out",
}


def error(number):
    """What the program's libc says of an errno."""
    is_musl = b"Symbolic link loop" in SEND.read_bytes()
    return is_musl and MUSL.get(number) or os.strerror(number)


def has_daemons():
    """May this test have a journal of its own?"""
    return nmtest.private_mounts()
