# SPDX-License-Identifier: ISC
"""A real server for the stores redis://HOST and redis+unix:PATH, as tests/packages has unpacked it."""

import signal
import socket
import subprocess

import nmtest
from nmtest import PATIENCE, PROJECT

# The server is the same file as two of the tools, and knows by its name what it is to be.
REDIS = PROJECT / "build" / "packages" / "redis-tools" / "usr/bin/redis-check-rdb"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Redis:
    """A real server, in a directory of its own."""

    def __init__(self, place, *options):
        self.path, self.port = f"{place}/redis.socket", free_port()
        self.options = [*options, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.path]
        self.options += ["--save", "", "--appendonly", "no", "--dir", str(place)]
        self.start()

    def start(self):
        self.process = subprocess.Popen(["redis-server", *self.options], executable=REDIS, stdout=subprocess.DEVNULL)
        nmtest.until(self.answers)

    def answers(self):
        try:
            return self.command("PING") != b""
        except OSError:
            return False

    def command(self, *words):
        """A raw reply."""
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(PATIENCE)
            end.connect(self.path)
            end.sendall(b"*%d\r\n" % len(words))
            for word in words:
                word = word if isinstance(word, bytes) else str(word).encode()
                end.sendall(b"$%d\r\n%s\r\n" % (len(word), word))
            return end.recv(65536)

    def signal(self, number):
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
