# SPDX-License-Identifier: ISC
"""nmnotifyd as its tests start it, for the files nmnotifyd_*.t."""

import os
import signal
import socket
import sys

sys.dont_write_bytecode = True
import front
import nmtest
from nmtest import LINE, PATIENCE, until

FREE = "limit 1000/s burst 10000\n"


# ---- A service ----


class Service(front.Service):
    """... that is asked how it ended, and what came back."""

    def start(self):
        self.status = None
        super().start()

    def others(self):
        return self.children()[1:]

    def is_running(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    def wait(self, timeout=PATIENCE):
        until(lambda: not self.is_running(), timeout)
        return self.status

    def end(self):
        """As systemd does it: asks, and then kills what is left, which dies with the runner."""
        if self.is_running():
            left = self.children()
            os.kill(self.pid, signal.SIGTERM)
            if self.wait(15) is None:
                os.kill(self.pid, signal.SIGKILL)
                self.wait()
                for pid in left:
                    nmtest.kill(pid)

    # -- The other end --

    def address(self, index=0):
        return self.sockets[index].getsockname()[:2]

    def connect(self, source="127.0.0.1", index=0, to=None):
        listening = self.sockets[index]
        client = socket.socket(socket.AF_INET6 if ":" in (to or self.address(index)[0]) else socket.AF_INET)
        client.settimeout(PATIENCE)
        if client.family == socket.AF_INET:
            client.bind((source, 0))
        client.connect((to or self.address(index)[0], self.address(index)[1]))
        return client

    def send(self, data=LINE, source="127.0.0.1", index=0, to=None):
        """Sends, and waits for the end of the connection. What came back."""
        with self.connect(source, index, to) as client:
            try:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                return client.recv(100)
            except OSError:
                return b""  # closed unread

    def send_datagram(self, data=LINE, source="127.0.0.1", index=0, to=None):
        to = to or self.address(index)[0]
        with socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM) as client:
            if client.family == socket.AF_INET:
                client.bind((source, 0))
            client.sendto(data, (to, self.address(index)[1]))


def is_gone(client, timeout=0.0):
    """Has the other end closed?"""
    client.settimeout(timeout or 0.001)
    try:
        return client.recv(1) == b""
    except (TimeoutError, BlockingIOError):
        return False
    except OSError:
        return True


def counted(box, wanted, account="default"):
    """Waits until these verdicts were counted; what was counted."""
    state = box.state(account)
    until(lambda: state.path.exists() and state.counts() == wanted, 5)
    return state.counts()
