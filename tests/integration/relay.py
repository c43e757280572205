# SPDX-License-Identifier: ISC
"""A real nmnotify-relay, and machines that it tells: what its tests share."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import nmtest
from nmtest import BUILD, LINE, PATIENCE, until

RELAY = BUILD / "nmnotify-relay"

# Quick enough for a test, slow enough to be told apart.
QUICK = "interval 500ms\nsettle 400ms\ntimeout 1s\nnever 203.0.113.0/24\n"


SO_TIMESTAMPNS = 35  # two words of the machine's
TIMESPEC = struct.Struct("ll")


def take(connection, most):
    """What has come, and when the kernel got it, whenever this thread had its turn (socket(7))."""
    got, parts, _, _ = connection.recvmsg(most, 100)
    for level, kind, data in parts:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = TIMESPEC.unpack_from(data)
            return got, seconds + nanoseconds / 1e9
    return got, time.time()


class Beginnings:
    """Who began a connection to which port, and when, as the kernel's packets say (packet(7)): on lo, or any."""

    OUTGOING, SYN, ACK = 4, 0x02, 0x10

    def __init__(self, interface="lo"):
        self.seen = []  # (port, when, from)
        self.begun = set()  # a packet that is sent again is no other beginning
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if interface:
            self.socket.bind((interface, 0))
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        while True:
            packet, parts, _, (_, _, kind, _, _) = self.socket.recvmsg(128, 100)
            seconds, nanoseconds = TIMESPEC.unpack_from(parts[0][2])
            tcp = packet[40:] if packet[0] >> 4 == 6 else packet[(packet[0] & 15) * 4:]
            protocol = packet[6] if packet[0] >> 4 == 6 else packet[9]
            if kind == self.OUTGOING and protocol == socket.IPPROTO_TCP and tcp[13] & (self.SYN | self.ACK) == self.SYN:
                sender = socket.inet_ntop(socket.AF_INET6, packet[8:24]) if packet[0] >> 4 == 6 else socket.inet_ntoa(packet[12:16])
                begun = sender, tcp[:8]  # both ports, and the first number
                if begun not in self.begun:
                    self.begun.add(begun)
                    self.seen.append((struct.unpack_from(">H", tcp, 2)[0], seconds + nanoseconds / 1e9, sender))

    def of(self, port, sender=None, since=0):
        """Before `since` the port may have been another test's."""
        return [when for seen, when, by in self.seen if seen == port and sender in (None, by) and when >= since]


class Machine:
    """A user's machine: it listens, and notes when what came, by time.time(). `how`: what it does when something
    has come; then it reads on."""

    def __init__(self, address="127.0.0.1", port=0, how=None, resets=False, backlog=64):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.listener.bind((address, port))
        self.listener.listen(backlog)
        self.address, self.port, self.made = address, self.listener.getsockname()[1], time.time()
        self.lines = []  # (when, bytes)
        self.senders = []  # of each line: the address that it is from
        self.open, self.most_open = 0, 0
        self._how, self._resets = how, resets
        self._lock = threading.Lock()
        threading.Thread(target=self._serve, daemon=True).start()

    def __str__(self):
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def _serve(self):
        while True:
            try:
                connection, (sender, *_) = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._take, args=(connection, sender), daemon=True).start()

    def _take(self, connection, sender):
        with self._lock:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        got, came = b"", None
        try:
            while not self._resets or not got:
                part, when = take(connection, 100)
                came = came or when
                if not part:
                    break
                if self._how and not got:
                    self._how(connection)
                got += part
        except OSError as e:
            got, came = str(e).encode(), came or time.time()
        if self._resets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with self._lock:
            self.open -= 1
            self.lines.append((came, got))
            self.senders.append(sender)
        connection.close()

    def times(self):
        return [began for began, _ in self.lines]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        # shutdown() wakes the accept() that the thread sits in.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


class Relay:
    """The relay, by hand (-l), or with sockets that outlive it, as systemd starts it (`activated`)."""

    def __init__(self, text, activated=False, limit=None, program=RELAY):
        self.dir = Path(tempfile.mkdtemp(prefix="nmrelay.", dir=nmtest._temporary_base()))
        self.dir.chmod(0o755)
        self.path, self.status = self.dir / "socket", self.dir / "status"
        self.log_path = self.dir / "log"
        self.conf = self.dir / "conf"
        self.state = self.dir / "state"
        self.state.mkdir()
        self.activated, self.limit, self.program = activated, limit, program
        self.configure(text)
        self.process = None
        self.passed, self.passed_too = None, {}  # by their names
        self.sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sender.setblocking(False)
        if activated:
            self.passed = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.passed.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self.passed.bind(str(self.path))
            self.path.chmod(0o666)

    def configure(self, text):
        # Who is not root, and tests, speaks for others, too.
        if not nmtest.is_root():
            text += f"trust {os.geteuid()}\n"
        self.conf.write_text(f"state {self.state}\nsocket {self.path}\n{'log stderr' if self.activated else ''}\n{text}")

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        self.sender.close()
        for one in (self.passed, *self.passed_too.values()):
            if one:
                one.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, wait=True, under=(), prepare=None, **more):
        """`under`: words that stand before the program. `prepare`: called in the process that becomes it. `more`: of
        its environment."""
        words = [*map(str, under), str(self.program), "-f", str(self.conf)]
        environment = {"PATH": "/usr/bin:/bin", **more}
        passed = ()
        if self.activated:
            # The number of the process is known to itself alone.
            named = {**({"socket": self.passed} if self.passed else {}), **self.passed_too}
            passed = [one.fileno() for one in named.values()]
            moves = " ".join(f"{number}<&{fd}" for number, fd in enumerate(passed, 3))
            known = f"LISTEN_FDS={len(passed)} LISTEN_FDNAMES={':'.join(named)} LISTEN_PID=$$"
            words = ["bash", "-c", f'exec {moves}; {known} exec "$@"', "bash"] + words
        else:
            words.append("-l")
        before = len(self.log())

        def limit():
            if self.limit:
                resource.setrlimit(resource.RLIMIT_NOFILE, self.limit)
            if prepare:
                prepare()

        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                                            pass_fds=passed, preexec_fn=limit, cwd="/")
        # Its signals are its own when it has gone to sleep in its loop.
        if wait and not until(lambda: self.process.poll() is not None or self._sleeps()):
            raise RuntimeError("the relay does not begin: " + "\n".join(self.log()[before:]))
        return self

    def pass_status(self):
        """As nmnotify-relay-status.socket has it."""
        self.passed_too["status"] = socket.socket(socket.AF_UNIX)
        self.passed_too["status"].bind(str(self.status))
        self.passed_too["status"].listen()

    def _sleeps(self):
        try:
            # epoll_ctl(2) does not count: it calls that before it sleeps.
            waits = re.compile("ep_poll|epoll_p?wait")
            return waits.search(Path(f"/proc/{self.process.pid}/wchan").read_text()) or (
                self.path.exists() and waits.search(Path(f"/proc/{self.process.pid}/stack").read_text()))
        except OSError:
            # Where nobody may look: it has its sockets, and a moment.
            if self.path.exists():
                time.sleep(0.2)
                return True
            return False

    def kill(self, number=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE)
        return self.process and self.process.returncode

    def tell(self, text, patience=PATIENCE):
        """One datagram. A full queue is waited for: it is not what is tested."""
        data = text if isinstance(text, bytes) else text.encode()
        end = time.monotonic() + patience
        while True:
            try:
                self.sender.sendto(data, str(self.path))
                return
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.001)

    def log(self):
        return self.log_path.read_text().splitlines() if self.log_path.exists() else []

    def said(self, part):
        return [line for line in self.log() if part in line]


def as_user(uid, function):
    """Runs it in a process of that user; its exit status is whether it returned something true."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            os._exit(0 if function() else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def connect(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    connection.connect(str(path))
    return connection


def answer_of(connection):
    """All that comes, up to the end. Who has said more than is read is reset at the end (unix(7))."""
    got = b""
    try:
        while part := connection.recv(65536):
            got += part
    except ConnectionResetError:
        pass
    connection.close()
    return got


def ask(path, line):
    """What the relay answers at its socket for that."""
    connection = connect(path)
    try:
        connection.sendall(line if isinstance(line, bytes) else line.encode())
    except (BrokenPipeError, ConnectionResetError):
        pass
    return json.loads(answer_of(connection))


class Asked(Relay):
    """A relay that can be asked."""

    def __init__(self, text, **more):
        super().__init__(text, **more)
        if self.activated:
            self.pass_status()

    def configure(self, text):
        super().configure(f"status {self.status}\n{text}")

    def ask(self, line="status\n"):
        return ask(self.status, line)

    def tells(self, user, machine):
        before = len(machine.lines)
        self.tell(f"mail {user}")
        return until(lambda: len(machine.lines) > before)
