#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""G5, and what of G1 to G4 must hold all the same: handlers, their children and actions are killed at
any instruction, and so are nmnotifyd's processes at any time. With LONG=1, in ten thousand rounds. What
they leave behind is a history, which is judged by what the guarantees say, not by what the code does."""

import ctypes
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from bisect import bisect_left, bisect_right
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import BUILD, LINE, NMNOTIFY, Sandbox, diag, is_alive, ok, process_state, skip, until

LONG = bool(os.environ.get("LONG"))
SEED = int(os.environ.get("SEED") or time.time())
ROUNDS = int(os.environ.get("ROUNDS") or (10_000 if LONG else 600))
KILLER = BUILD / "tests" / "killer"
NMNOTIFYD = BUILD / "nmnotifyd"

MS = 1_000_000  # nanoseconds
# How late what is in time may be on a machine that is busy.
SLACK = 1500 * MS


# Longer than a network process takes from closing a connection to telling the runner.
JUST = 40 * MS


# ---- A history ----


class Line:
    def __init__(self, number, sent, is_line, source):
        self.number, self.sent, self.is_line, self.source = number, sent, is_line, source
        self.closed = self.status = None
        self.is_forgiven = False

    def is_promised(self):
        """Its verdict was known before anybody killed its handler."""
        return self.is_line and not self.is_forgiven and (self.closed is not None or (self.status is not None and self.status >= 0))

    def was_killed(self):
        return self.status is not None and self.status < 0


class Start:
    """An action that was executed, at some time from `begun` to `known`."""

    def __init__(self, pid, begun, known):
        self.pid, self.begun, self.known = pid, begun, known
        self.end = self.died = self.killed = None
        self.said = None  # when it came to say that it runs

    def last_seen(self):
        """When it was running certainly."""
        return max(t for t in (self.said, self.end, self.killed, self.begun) if t is not None)


class History:
    """`is_traced`: an execution is known. Else only what the action says of itself, but there may have
    been one that was killed before it could."""

    def __init__(self, path, is_traced, victims):
        self.is_traced = is_traced
        self.lines, self.starts, self.maybe, self.rests, self.lasts = {}, [], [], [], []
        self.overlaps, self.spoken, self.alive, self.stuck = [], [], [], []
        self.kills, self.kills_of = [], {victim: [] for victim in victims}
        self.killed_actions = []
        rows = [row.split() for row in Path(path).read_text().splitlines()]
        # What an action says of itself may come before the word of its execution.
        rows.sort(key=lambda row: row[0] in ("start", "end", "overlap", "died"))
        self.by_pid, self.rows = {}, rows
        for kind, *row in rows:
            getattr(self, "on_" + kind)(*row)
        for of_pid in self.by_pid.values():
            of_pid.sort(key=lambda start: start.known)
        for pid, at in self.killed_actions:
            start = self.start_of(pid, at)
            if start is not None:
                start.killed = at
        self.starts.sort(key=lambda start: start.known)
        self.kills.sort()

    def around(self, moment):
        """What happened just before and after."""
        column = {"exec": 3, "rest": 1, "stuck": 1}
        rows = [(int(row[column.get(row[0], 2)]) - moment, " ".join(row)) for row in self.rows if row[0] != "alive"]
        return sorted(row for row in rows if -20 * MS < row[0] < 120 * MS)[:80]

    def on_sent(self, number, at, is_line, source):
        self.lines[int(number)] = Line(int(number), int(at), is_line == "1", source)

    def on_closed(self, number, at):
        self.lines[int(number)].closed = int(at)

    def on_spoke(self, number, at):
        self.spoken.append(int(number))

    def on_killing(self, pid, at, what):
        self.kills.append(int(at))
        self.kills_of[what].append(int(at))
        if what == "action":
            self.killed_actions.append((int(pid), int(at)))

    def on_ended(self, number, at, status):
        self.lines[int(number)].status = int(status)

    def on_child(self, pid, at, number):
        pass

    def on_exec(self, pid, begun, known):
        if self.is_traced:
            self.add_start(int(pid), int(begun), int(known))
        else:
            self.maybe.append(int(known))

    def add_start(self, pid, begun, known):
        start = Start(pid, begun, known)
        self.starts.append(start)
        self.by_pid.setdefault(pid, []).append(start)

    def start_of(self, pid, at):
        """Numbers of processes come again."""
        of_pid = self.by_pid.get(int(pid), [])
        fits = [start for start in of_pid if start.begun <= at]
        return fits[-1] if fits else None

    def on_start(self, pid, at, source):
        if not self.is_traced:
            self.add_start(int(pid), int(at), int(at))
        start = self.start_of(pid, int(at))
        if start is not None:
            start.said = int(at)

    def on_end(self, pid, at):
        start = self.start_of(pid, int(at))
        if start is not None:
            start.end = int(at)

    def on_died(self, pid, at):
        start = self.start_of(pid, int(at))
        if start is not None and start.died is None:
            start.died = int(at)

    def on_overlap(self, pid, at):
        self.overlaps.append(int(pid))

    def on_alive(self, count, at):
        self.alive.append(int(count))

    def on_last(self, number, at):
        self.lasts.append(int(number))

    def on_rest(self, at):
        self.rests.append(int(at))

    def on_stuck(self, at):
        self.stuck.append(int(at))


# ---- What must hold ----


def check_lines(history, interval, window, name):
    """G1, G5."""
    every = sorted([*history.starts, *(Start(0, at, at) for at in history.maybe)], key=lambda start: start.known)
    known = [start.known for start in every]
    sent = sorted((line.sent, line.number) for line in history.lines.values())
    lost, late, worst = [], [], 0
    for line in history.lines.values():
        if not line.is_promised():
            continue
        which = bisect_left(known, line.sent)
        rest = bisect_left(history.rests, line.sent)
        if which == len(known) or (rest < len(history.rests) and known[which] > history.rests[rest]):
            lost.append(line.number)
            continue
        start = every[which]
        since = heir_came(history, line, start, sent)
        if since is None:
            continue
        before = every[which - 1] if which > 0 else None
        allowed = since + window
        if before is not None:
            allowed = max(allowed, before.known + interval, before.died or before.last_seen())
        worst = max(worst, start.begun - allowed)
        if start.begun > allowed + SLACK:
            late.append((line.number, (start.begun - allowed) // MS))
    promised = sum(line.is_promised() for line in history.lines.values())
    diag(f"{name}: {len(history.lines)} connections, {promised} lines answered, the latest start {worst // MS} ms late")
    if not ok(not lost, f"G1, G5: {name}: every line is followed by a start"):
        diag(f"lost: {lost[:20]}")
        for at, row in history.around(history.lines[lost[0]].sent):
            diag(f"{at / MS:9.3f} {row}")
    if not ok(not late, f"G1, G5: {name}: in time"):
        diag(f"late, in ms: {late[:20]}")


def heir_came(history, line, start, sent):
    """Since when somebody was there to make this start: the line, or, if anybody was killed meanwhile,
    the first connection after that whose handler was not. None: there was no such connection."""
    killed = bisect_left(history.kills, start.known) - 1
    if killed < 0 or history.kills[killed] < line.sent:
        return line.sent
    if not history.is_traced:
        return history.kills[killed]  # the service itself takes over, or its heir
    for at, number in sent[bisect_right(sent, (history.kills[killed], 0)) :]:
        if at > start.known:
            return None
        if not history.lines[number].was_killed():
            return at
    return None


def check_starts(history, interval, name):
    """G2."""
    # Between its execution and its first word an action may be held up, for nearly an interval.
    later = history.starts[1 if history.is_traced else 2 :]
    close = [round((b.known - a.begun) / MS, 2) for a, b in zip(history.starts, later) if b.known - a.begun < interval]
    if not ok(not close, f"G2: {name}: starts are an interval apart"):
        diag(f"ms: {close[:20]}")
    over = [b.pid for a, b in zip(history.starts, history.starts[1:]) if a.last_seen() > b.known]
    if not ok(not over and not history.overlaps, f"G2: {name}: no run while another goes on"):
        diag(f"processes: {over[:20]} {history.overlaps[:20]}")


def check_limit(history, sources, burst, emission, name):
    """G3, of all sources together. Whoever is killed behind its execution may have another one made
    for the same charge."""
    if not history.starts:
        return
    took = history.starts[-1].known - history.starts[0].begun
    most = sources * (burst + took / emission) + len(history.kills)
    ok(len(history.starts) <= most, f"G3: {name}: {len(history.starts)} starts are no more than {most:.0f}")


def check_rest(history, name):
    """G4, G5, G7."""
    ok(not history.stuck and history.rests, f"G5: {name}: nobody is stuck")
    most = max(history.alive, default=0)
    ok(most <= 2 and history.alive, f"G4: {name}: a waiter and a supervisor at most, {most}")
    wrong = {}
    for line in history.lines.values():
        # An action that was killed, before or after it was executed.
        if line.status not in (None, 0, -9, 126, 137):
            wrong[line.status] = wrong.get(line.status, 0) + 1
    ok(not wrong, f"status: {name}: {wrong}")
    ok(not history.spoken, f"G7: {name}: silence")


def tell(history, rounds, least, name):
    killed = {victim: len(kills) for victim, kills in history.kills_of.items()}
    text = ", ".join(f"{count} x {victim}" for victim, count in killed.items())
    diag(f"{name}: SEED={SEED}, {rounds} rounds, killed: {text}; {len(history.starts)} starts, {len(history.rests)} rests")
    # Actions are short: in a short storm it may be that none is met.
    actions = killed.pop("action")
    ok(min(killed.values()) >= least and actions >= rounds // 1000, f"{name}: processes of all kinds were killed")


def place(box, words):
    """(the killer, the history, a configuration whose action is the killer's)"""
    killer, history, lock = box.dir / "killer", box.dir / "history", box.dir / "lock"
    for path in (history, lock):
        path.touch()
        path.chmod(0o666)
    killer.write_bytes(KILLER.read_bytes())
    killer.chmod(0o755)
    return killer, history, box.config(f"from any\n{words}action {killer} action {history} {lock}\n")


def keep(box, history):
    """KEEP=FILE: to look at it afterwards."""
    if os.environ.get("KEEP"):
        Path(os.environ["KEEP"]).write_bytes(history.read_bytes())
        Path(os.environ["KEEP"] + ".log").write_bytes(box.log_path.read_bytes())


def storm(name, rounds, sources, interval_ms, limit, burst, emission_ms):
    with Sandbox() as box:
        killer, history, conf = place(box, f"limit {limit} burst {burst}\ninterval {interval_ms}ms\n")
        words = [NMNOTIFY, conf, history, rounds, SEED, sources]
        with open(box.log_path, "ab") as log, open(os.devnull, "rb") as null:
            result = subprocess.run(
                [str(killer), *map(str, words)], stdin=null, stdout=log, stderr=log, timeout=60 + rounds
            )
        if not ok(result.returncode in (0, 1), f"{name}: it was stormy"):
            diag("\n".join(box.log()[-5:]))
        keep(box, history)
        past = History(history, True, ("handler", "child", "action"))
        tell(past, rounds, max(1, rounds // 200), name)
        check_rest(past, name)
        check_lines(past, interval_ms * MS, (burst + 1) * emission_ms * MS, name)
        check_starts(past, interval_ms * MS, name)
        check_limit(past, sources, burst, emission_ms * MS, name)


# ---- nmnotifyd ----


class Service:
    """nmnotifyd with a listening socket, as systemd starts it, and starts it again."""

    def __init__(self, conf, log_path):
        self.conf, self.log_path, self.pid = conf, log_path, None
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind(("127.0.0.1", 0))
        # Whoever is accepted has sent his line: none is lost between a process and its heir.
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
    just been closed, but it has not told the runner of them."""
    for line in history.lines.values():
        for at in history.kills_of["network"]:
            if line.closed is not None and line.sent <= at <= line.closed + JUST:
                line.is_forgiven = True


def can_trace():
    """The kernel may forbid ptrace(2)."""
    return subprocess.run([str(KILLER), "probe"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def handlers():
    """Sources that are never over their limit."""
    storm("handlers", ROUNDS * 3 // 5, 4, 25, "1000/s", 50, 1)


def handlers_over_limit():
    storm("handlers over their limit", ROUNDS - ROUNDS * 3 // 5, 3, 30, "25/s", 2, 40)


if __name__ == "__main__":
    if not can_trace():
        skip("G5: a storm of handlers", "ptrace(2) is not allowed here")
        nmtest.run(daemon)
    nmtest.run(handlers, handlers_over_limit, daemon)
