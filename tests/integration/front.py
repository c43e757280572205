# SPDX-License-Identifier: ISC
"""The two programs behind one face, for what holds for both:

    with Handlers(box, conf) as front: ...

`Handlers` starts a handler for each connection, as a super-server would; `Service` is nmnotifyd with
listening sockets, as systemd hands them over. Both: send(), connect(), end()."""

import os
import select
import signal
import socket
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import BUILD, LINE, PATIENCE, is_alive, until

NMNOTIFYD = BUILD / "nmnotifyd"


def listener(kind="tcp", address="127.0.0.1", port=0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
    s.bind((address, port))
    if kind == "tcp":
        s.listen(4096)
    return s


class Handlers:
    """A handler for each connection, and no more of a super-server than that."""

    name = "nmnotify"

    def __init__(self, box, conf):
        self.box, self.conf = box, conf
        self.handlers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def start(self):
        pass

    def send(self, source="127.0.0.1", data=LINE):
        """A connection that says this, and nothing more. Does not wait for what comes of it."""
        for handler in [h for h in self.handlers if not h.is_running()]:
            handler.end()
            self.handlers.remove(handler)
        self.handlers.append(self.box.start(self.conf, source=source, data=data, end=True))
        return self.handlers[-1]

    def pids(self):
        return [h.pid for h in self.handlers if h.is_running()]

    def kill(self):
        """All of its processes, at one blow."""
        for handler in self.handlers:
            handler.kill()
        for handler in self.handlers:
            handler.wait()

    def settle(self, timeout=PATIENCE):
        """Waits until nobody waits or runs. Did that come to pass?"""
        return until(lambda: not self.pids(), timeout)

    def end(self):
        for handler in self.handlers:
            handler.end()


class Service:
    """nmnotifyd with these sockets, or with one for TCP: as systemd hands them over, or one of them as
    inetd does."""

    name = "nmnotifyd"

    def __init__(self, box, conf, sockets=None, environment=None, inetd=False, program=NMNOTIFYD, stray=None):
        self.box, self.conf, self.inetd, self.program = box, conf, inetd, program
        self.stray = stray  # a file that was left open by whoever starts it
        self.sockets = sockets or [listener()]
        self.environment = environment or {}
        self.pid = None
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        for s in self.sockets:
            s.close()

    def start(self):
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._become()
            finally:
                os._exit(99)
        # Until then it has this test's ways with signals.
        until(lambda: nmtest.process_state(self.pid) in (None, "Z") or self._is_executed(), 10)

    def _is_executed(self):
        try:
            return Path(f"/proc/{self.pid}/comm").read_text().strip() == Path(self.program).name[:15]
        except OSError:
            return False

    def _become(self):
        environment = {"PATH": "/usr/bin:/bin"}
        log = os.open(self.box.log_path, os.O_WRONLY | os.O_APPEND)
        null = os.open("/dev/null", os.O_RDWR)
        high = [os.dup(fd) for fd in [log, null, *(s.fileno() for s in self.sockets)]]
        while min(high) < 64:
            high = [os.dup(fd) for fd in high]
        log, null, *fds = high
        if self.inetd:
            for fd in range(3):
                os.dup2(fds[0], fd)
            os.closerange(3, 4096)
        else:
            for number, fd in enumerate([null, null, log, *fds]):
                os.dup2(fd, number)
            os.closerange(3 + len(fds), 4096)
            environment.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
            environment["LISTEN_FDNAMES"] = ":".join(["nmnotify"] * len(fds))
        if self.stray:
            os.dup2(os.open(self.stray, os.O_RDONLY), 40)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execve(self.program, ["nmnotifyd", "-f", str(self.conf)], {**environment, **self.environment})

    def children(self):
        """The network process first, then waiters and supervisors."""
        return nmtest.children_of(self.pid)

    def network(self):
        until(lambda: self.children() and nmtest.process_waits_in(self.children()[0]) is not None, 10)
        return self.children()[0]

    def pids(self):
        return [pid for pid in [self.pid, *self.children()] if is_alive(pid)] if self.pid else []

    def is_running(self):
        if self.pid is not None and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.pid = None
        return self.pid is not None

    def connect(self, source="127.0.0.1", index=0):
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.settimeout(PATIENCE)
        client.bind((source, 0))
        client.connect(self.sockets[index].getsockname())
        return client

    def send(self, source="127.0.0.1", data=LINE):
        with self.connect(source) as client:
            try:
                client.sendall(data)
            except OSError:
                pass  # closed unread

    def settle(self, timeout=PATIENCE):
        return until(lambda: len(self.children()) <= 1, timeout)

    def _gone(self, pids):
        until(lambda: not any(is_alive(pid) for pid in pids), 10)

    def kill(self):
        """All of its processes, at one blow."""
        pids = self.pids()
        for pid in pids:
            nmtest.kill(pid)  # it may have died with the one before
        os.waitpid(self.pid, 0)
        self.pid = None
        self._gone(pids)

    def end(self):
        """As systemd does it: asks, and then kills what is left."""
        if not self.is_running():
            return
        os.kill(self.pid, signal.SIGTERM)
        until(lambda: not self.is_running(), 15)
        if self.is_running():
            self.kill()


class Manager:
    """The service manager's end of sd_notify(3)."""

    def __init__(self, box):
        path = box.dir / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o777)
        self.environment = {"NOTIFY_SOCKET": str(path)}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def hear(self):
        """What it has been told since."""
        heard = []
        while True:
            try:
                heard.append(self.socket.recv(4096, socket.MSG_DONTWAIT))
            except BlockingIOError:
                return heard

    def is_told(self, message):
        return until(lambda: message in self.hear())


def is_gone(client, timeout=0.0):
    """Has the other end closed? Anything that it sent is an error."""
    poll = select.poll()
    poll.register(client, select.POLLIN)
    if not poll.poll(timeout * 1000):
        return False
    try:
        got = client.recv(16)
    except OSError:
        return True
    if got:
        raise AssertionError(f"it sent {got!r}")
    return True
