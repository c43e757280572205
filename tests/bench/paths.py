# SPDX-License-Identifier: ISC
"""The paths that a connection can take through the handler, set up to be taken again and again: for
bench and limits.t.

    with Paths() as paths:
        paths.steps("denied")                    # a whole run's instructions, one by one
        samples = paths.times(paths.jobs(), 500) # {name: [(ns, page faults)]}
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
import nmtest
from nmtest import BUILD, LINE, until

BENCH = BUILD / "bench"
FREE = "limit 1000/s burst 10000\n"
# What comes on the connection, and the configuration with which it takes this path. The action
# writes down when it was started.
PATHS = {
    "denied": ("idle", "from 192.0.2.1\ninterval 0s\n"),
    "coalesced": ("idle", "from 127.0.0.0/8\ninterval 1d\nlandlock no\n"),  # unread: there is a waiter
    "malformed": ("junk", "from 127.0.0.0/8\ninterval 0s\n"),
    "accepted": ("line", "from 127.0.0.0/8\ninterval 0s\nwrite default {stamp}\n"),
}
# The last one with more of files and ports in the action's reach, or less; the default's cost is that of
# this machine's directories.
REACHES = {
    "unrestricted": ("line", "from 127.0.0.0/8\ninterval 0s\nlandlock no\n"),
    "narrowed": (
        "line", "from 127.0.0.0/8\ninterval 0s\nread /usr /etc\nwrite {stamp}\nexecute /usr\nconnect imaps\n"),
    "beside": (
        "line", "from 127.0.0.0/8\ninterval 0s\nread /usr {beside}\nwrite {stamp}\nexecute /usr\nconnect imaps\n"),
}
# Of files beside this one's configuration, which its user can read, each gets a rule: as many as in an /etc.
BESIDE = 150
# To a relay that takes it: a mail, and a login, behind which no command comes here.
HANDED_OVER, LOGGED_IN = "handed-over", "logged-in"
SENDERS = {
    HANDED_OVER: ("nmnotify-send", "-u", "alice"),
    LOGGED_IN: ("nmnotify-login", "-u", "alice", "-a", "192.0.2.79"),
}
PROGRAMS = ("spawn", "empty", "hosted", "stamp")


class Paths:
    """Everything is in one directory whose name is always as long, and runs unprivileged."""

    def __init__(self):
        self.user = None
        if nmtest.is_root():
            self.user = pwd.getpwnam("nobody")
        self.waiter = None

    def __enter__(self):
        # Where no default leads, which would then have to go around the configuration; as root.
        self.dir = Path(tempfile.mkdtemp(prefix="nmbench.", dir="/home" if self.user else "/tmp"))
        self.dir.chmod(0o755)
        # In /run, where it belongs, and a tmpfs, which /run need not be here.
        self.state = Path(tempfile.mkdtemp(prefix="nmbench.", dir="/run" if self.user else "/dev/shm"))
        self.is_mounted = self.user and subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.state]).returncode == 0
        self.state.chmod(0o755)
        for program in PROGRAMS:
            self.bring(BENCH / program)
        self.bring(BUILD / "nmnotify")
        for program, *_ in SENDERS.values():
            self.bring(BUILD / program)
        self._make_relay()
        self.stamp = self.dir / "stamped"
        self.stamp.write_bytes(bytes(8))
        self._give(self.stamp)
        (self.dir / "beside").mkdir()
        for number in range(BESIDE):
            (self.dir / "beside" / f"{number:03}").touch()
        for path, (_, text) in {**PATHS, **REACHES}.items():
            text = text.format(stamp=self.stamp, beside=self.dir / "beside")
            state = self.state / path
            state.mkdir(mode=0o700)
            self._give(state)
            conf = self.conf(path)
            conf.write_text(f"state {state}\nlog stderr\n{text}{FREE}action {self.dir}/stamp {self.stamp}\n")
            conf.chmod(0o644)
            self._give(conf)  # whose it is makes a difference of one system call
        self._make_waiter()
        return self

    def __exit__(self, *_):
        self.relay_ends.set()
        if self.waiter and self.waiter.poll() is None:
            self.waiter.kill()
            self.waiter.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
        if self.is_mounted:
            subprocess.run(["umount", self.state], check=True)
        shutil.rmtree(self.state, ignore_errors=True)

    def _give(self, path):
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def bring(self, program, name=None):
        """A copy that everybody may execute."""
        target = self.dir / (name or Path(program).name)
        shutil.copy(program, target)
        target.chmod(0o755)
        # Until it is on the disk its pages are dirty, and count as whose process maps them.
        with open(target, "rb") as file:
            os.fsync(file.fileno())
        return target

    def popen(self, *words, **how):
        if self.user:
            how.update(user=self.user.pw_uid, group=self.user.pw_gid, extra_groups=[])
        return subprocess.Popen([str(word) for word in words], cwd=self.dir, env={}, **how)

    def run(self, *words, **how):
        process = self.popen(*words, stdout=subprocess.PIPE, text=True, stdin=subprocess.PIPE)
        try:
            output, _ = process.communicate(how.get("input"), timeout=600)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, words))}: status {process.returncode}")
        return output

    # -- A waiter, until the end --

    def _handle(self, path):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        client.sendall(LINE)
        null = subprocess.DEVNULL
        process = self.popen(self.dir / "nmnotify", "-f", self.conf(path), stdin=server, stdout=null, stderr=null)
        server.close()
        return process, client

    def _make_waiter(self):
        first, client = self._handle("coalesced")
        if first.wait(10) != 0:
            raise RuntimeError("the handler fails")
        client.close()
        self.waiter, client = self._handle("coalesced")
        client.recv(1)  # closed: it is the waiter
        client.close()
        if self.waiter.poll() is not None:
            raise RuntimeError("there is no waiter")

    # -- A relay --

    def _make_relay(self):
        """It empties its queue from time to time, so that no sending finds a process that sleeps in recv(2)."""
        path = self.dir / "relay"
        relay = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        relay.bind(str(path))
        path.chmod(0o666)
        relay.setblocking(False)
        self.relay_ends = threading.Event()

        def drain():
            while not self.relay_ends.wait(0.001):
                try:
                    while relay.recv(1024):
                        pass
                except BlockingIOError:
                    pass
            relay.close()

        threading.Thread(target=drain, daemon=True).start()

    # -- What is measured --

    def _input(self, path):
        return "none" if path in SENDERS else {**PATHS, **REACHES}[path][0]

    def conf(self, path):
        return self.dir / ("beside/nmnotify.conf" if path == "beside" else f"{path}.conf")

    def command(self, path, program="nmnotify"):
        if path in SENDERS:
            program, *words = SENDERS[path]
            return [self.dir / program, "-s", self.dir / "relay", *words]
        return [self.dir / program, "-f", self.conf(path)]

    def jobs(self, program="nmnotify", paths=tuple(PATHS)):
        """For times(): this program on its paths."""
        return [
            [f"{program}/{path}", self._input(path), self.stamp if self._input(path) == "line" else "exit"]
            + self.command(path, program)
            for path in paths
        ]

    def times(self, jobs, rounds):
        text = "".join(" ".join(map(str, job)) + "\n" for job in jobs)
        output = self.run(self.dir / "spawn", "time", rounds, input=text)
        samples = {}
        for line in output.splitlines():
            name, *values = line.split()
            samples[name] = [tuple(map(int, value.split(":"))) for value in values]
        return samples

    def _count(self, what, path, program):
        return int(self.run(self.dir / "spawn", what, self._input(path), *self.command(path, program)))

    def steps(self, path, program="nmnotify"):
        return self._count("steps", path, program)

    def calls(self, path, program="nmnotify"):
        return self._count("calls", path, program)
