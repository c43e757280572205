# SPDX-License-Identifier: ISC
"""What a storm leaves behind, a history, and what must hold of it: by what the guarantees say, not by what
the code does."""

import os
import sys
import time
from bisect import bisect_left, bisect_right
from pathlib import Path

sys.dont_write_bytecode = True
from nmtest import BUILD, diag, ok

LONG = bool(os.environ.get("LONG"))
SEED = int(os.environ.get("SEED") or time.time())
ROUNDS = int(os.environ.get("ROUNDS") or (10_000 if LONG else 600))
KILLER = BUILD / "tests" / "killer"
MS = 1_000_000  # nanoseconds
# How late what is in time may be on a machine that is busy.
SLACK = 1500 * MS


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
        return history.kills[killed]  # the service itself takes over, or the next one
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
