# SPDX-License-Identifier: ISC
"""Datagram sockets that stand in for the journal, syslog or the relay."""

import os
import socket
import stat
from pathlib import Path

import nmtest


class Receiver:
    """A datagram socket that everybody may write to."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.path.chmod(0o666)
        self.socket.setblocking(False)

    def messages(self):
        got = []
        try:
            while True:
                got.append(self.socket.recv(65536))
        except BlockingIOError:
            return got

    def close(self):
        self.socket.close()

    def remove(self):
        self.close()
        self.path.unlink()


def private_run_and_dev():
    """/run and /dev of our own: whatever logs on this machine is out of reach."""
    nmtest.mount_tmpfs("/run", "mode=755")
    nmtest.mount_tmpfs("/dev", "mode=755")
    before = os.umask(0)
    os.mknod("/dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.umask(before)


def fields(datagram):
    """Of the journal's native protocol."""
    text = datagram.decode()
    assert text.endswith("\n")
    return dict(line.split("=", 1) for line in text[:-1].split("\n"))
