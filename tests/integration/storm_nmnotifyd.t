#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""G5, and what of G1 to G4 must hold all the same: nmnotifyd's processes are killed at any time. With LONG=1,
in ten thousand rounds."""

import ctypes
import os
import random
import select
import signal
import socket
import sys
import time
from bisect import bisect_left
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from history import History, MS, ROUNDS, SEED, check_lines, check_rest, check_starts, keep, place, tell
from nmtest import BUILD, LINE, Sandbox, is_alive, process_state, until

NMNOTIFYD = BUILD / "nmnotifyd"
# Longer than a network process takes from closing a connection to telling the runner.
JUST = 40 * MS


# ---- nmnotifyd ----


class Service:
    """nmnotifyd with a listening socket, as systemd starts it, and starts it again."""

    def __init__(self, conf, log_path):
        self.conf, self.log_path, self.pid = conf, log_path, None
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind(("127.0.0.1", 0))
        # Whoever is accepted has sent his line: none is lost between a process and the next one.
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 10)
        self.listener.listen(1024)

    def start(self):
        log = os.open(self.log_path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        fd = os.dup(self.listener.fileno())
        self.pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", f"LISTEN_PID=$$ LISTEN_FDS=1 exec {NMNOTIFYD} -f {self.conf}"],
            {"PATH": "/usr/bin:/bin"},
            file_actions=[(os.POSIX_SPAWN_DUP2, log, 2), (os.POSIX_SPAWN_DUP2, fd, 3)],
        )
        os.close(log)
        os.close(fd)

    def children(self, pid=None):
        pid = pid or self.pid
        try:
            return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
        except OSError:
            return []

    def is_ready(self):
        return bool(self.children()) and nmtest.process_waits_in(self.children()[0]) is not None


def reap():
    """Processes whose parent was killed are ours."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def tell_process(pid, number):
    """It may have ended by itself meanwhile, and its number may be somebody else's."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if Path(f"/proc/{pid}/comm").read_text().strip() in ("nmnotifyd", "killer", "sh"):
            signal.pidfd_send_signal(fd, number)
    except (ProcessLookupError, FileNotFoundError):
        pass
    finally:
        os.close(fd)


def clock():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Sender:
    """Connections, and who is killed: the test's own part of the history."""

    def __init__(self, service, history, rng):
        self.service, self.rng, self.number = service, rng, 0
        self.history = open(history, "a", buffering=1)
        self.open = {}
        self.poll = select.poll()

    def note(self, *words):
        self.history.write(" ".join(map(str, words)) + "\n")

    def send(self, is_line):
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.bind((f"127.0.0.{1 + self.rng.randrange(4)}", 0))
        client.connect(self.service.listener.getsockname())
        self.note("sent", self.number, clock(), int(is_line), 0)
        client.send(LINE if is_line else b"nm_notifyuser\n")
        self.open[client.fileno()] = (client, self.number)
        self.poll.register(client, select.POLLIN)
        self.number += 1
        return self.number - 1

    def take(self, timeout=0):
        """Notes what has been closed."""
        for fd, _ in self.poll.poll(timeout * 1000):
            client, number = self.open.pop(fd)
            self.poll.unregister(fd)
            try:
                if client.recv(1):
                    self.note("spoke", number, clock())
            except OSError:
                pass  # closed unread
            self.note("closed", number, clock())
            client.close()

    def wait_closed(self):
        deadline = time.monotonic() + 15
        while self.open and time.monotonic() < deadline:
            self.take(0.1)

    def kill(self, pid, what):
        self.take()
        self.note("killing", pid, clock(), what)
        tell_process(pid, signal.SIGKILL)


def stop_process(sender, pid):
    """Stops it, so that nothing is between a look and a kill. One that waits for its child to execute
    the action cannot be stopped: it has that child. Returns its children, of which one may have been
    executed, and die before it can say so."""
    tell_process(pid, signal.SIGSTOP)
    until(lambda: process_state(pid) in ("T", "D", "Z", None), 5, 0.0002)
    actions = sender.service.children(pid)
    for action in actions:
        sender.note("exec", action, clock(), clock())
    return actions


def end_the_rest(sender):
    """As systemd does it for KillMode=mixed when the main process is gone; but the network process has
    the time to end by itself. What is left is ours (see daemon())."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        reap()
        left = [pid for pid in sender.service.children(os.getpid()) if is_alive(pid)]
        if not left:
            return True
        for pid in left:
            if is_network(pid):
                continue
            stop_process(sender, pid)
            sender.kill(pid, "child")
        time.sleep(0.0005)
    return False


def is_network(pid):
    """The one that has the listening socket."""
    try:
        return any("socket:" in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def kill_child(sender):
    """A waiter, a supervisor, or one who is about to find out what it is; sometimes the action."""
    service = sender.service
    children = service.children()[1:]
    if not children:
        return
    # Supervisors are few.
    running = [child for child in children if service.children(child)]
    pid = sender.rng.choice(running if running and sender.rng.random() < 0.7 else children)
    actions = stop_process(sender, pid)
    if actions and sender.rng.random() < 0.5:
        sender.kill(actions[0], "action")
        tell_process(pid, signal.SIGCONT)
    elif is_alive(pid):
        sender.kill(pid, "child")


def kill_and_restart(sender, is_runner):
    """The one that everybody can reach, or the one that may everything. systemd ends the others."""
    service = sender.service
    children = service.children()
    if not children:
        return
    sender.kill(service.pid if is_runner else children[0], "runner" if is_runner else "network")
    is_ended = until(lambda: not is_alive(service.pid), 15) and end_the_rest(sender)
    service.start()
    if not is_ended:
        sender.note("stuck", clock())


def children_kept(service):
    """How many waiters and supervisors there are: those that sleep, whenever one looks. Others are about to
    find out that they are neither, which may take as long as a busy machine likes."""
    asleep = set(service.children()[1:])
    for _ in range(6):
        time.sleep(0.004)
        asleep &= {pid for pid in service.children()[1:] if process_state(pid) == "S"}
    return len(asleep)


def is_calm_for(service, ms):
    """Only the network process is there. A request may still be under way to the runner."""
    until = time.monotonic() + ms / 1000
    while len(service.children()) == 1:
        if time.monotonic() > until:
            return True
        time.sleep(0.002)
    return False


def daemon_round(sender, is_last):
    rng, service = sender.rng, sender.service
    for _ in range(rng.randrange(1, 12)):
        sender.send(rng.random() < 0.8)
        sender.take(rng.random() * 0.004)
    what = rng.random()
    if what < 0.6:
        kill_child(sender)
    elif what < 0.9:
        kill_and_restart(sender, what < 0.8)
    for _ in range(rng.randrange(3)):
        sender.send(rng.random() < 0.8)
    if rng.random() < 0.5 and not is_last:
        return True
    sender.wait_closed()
    sender.note("alive", children_kept(service), clock())
    # nmnotifyd finds what is owed without being told.
    if rng.random() < 0.5:
        sender.note("last", sender.send(rng.random() < 0.5), clock())
        sender.wait_closed()
    is_calm = until(lambda: is_calm_for(service, 40) and not sender.open, 15)
    reap()
    sender.note("rest" if is_calm else "stuck", clock())
    return is_calm


def daemon():
    rng, rounds, interval_ms = random.Random(SEED), ROUNDS // 3, 60
    # Actions whose supervisors are killed become this process's children.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    with Sandbox() as box:
        _, history, conf = place(box, f"limit 1000/s burst 50\ninterval {interval_ms}ms\nidle 0s\n")
        service = Service(conf, box.log_path)
        service.start()
        try:
            until(service.is_ready)
            sender = Sender(service, history, rng)
            all(daemon_round(sender, is_last=number + 1 == rounds) for number in range(rounds))
        finally:
            tell_process(service.pid, signal.SIGKILL)
            end_the_rest(sender)
        keep(box, history)
        past, name = History(history, False, ("network", "runner", "child", "action")), "nmnotifyd"
        forgive(past)
        tell(past, rounds, 1, name)
        check_rest(past, name)
        check_lines(past, interval_ms * MS, 51 * MS, name)
        check_starts(past, interval_ms * MS, name)


def forgive(history):
    """A network process that is killed takes with it what it has accepted: its connections end, or have
    just been closed, but it has not told the runner of them. Killed with the runner, by the kernel, it has
    no more than one in its hands."""
    for line in history.lines.values():
        for at in history.kills_of["network"]:
            if line.closed is not None and line.sent <= at <= line.closed + JUST:
                line.is_forgiven = True
    closed = sorted((line.closed, line.number) for line in history.lines.values() if line.closed is not None)
    for at in history.kills_of["runner"]:
        index = bisect_left(closed, (at, 0))
        for _, number in closed[max(0, index - 1) : index + 1]:
            history.lines[number].is_forgiven |= history.lines[number].sent <= at


nmtest.run(daemon)
