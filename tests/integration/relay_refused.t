#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What cannot fail, fails: each system call that the relay makes from its start to its end is refused to it, and to
its names process: from the first time on, from when it serves on, and (with LONG=1) each time that it is made, alone.
Whatever it was for, the relay does not crash and does not try endlessly, and what was handed over is told (S1, S5):
by itself or by the next relay, unless it has said that what is owed is in memory alone. What nmnotify-send and
nmnotify-login do of it is in refused.t."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, diag, ok, until
from refuse_at import REFUSE_AT, Counts
from relay import RELAY, Machine, Relay, connect

LONG = os.environ.get("LONG")
ALWAYS = 0xFFFFFFFF
# At once: most of the time each waits for something.
WORKERS = 10
# How long a relay that is refused something may take for a step, before the next one. It need not take it.
STEP = 1.0
# Beyond what any relay does that rests before it tries again: refusals, and seconds of a processor.
REFUSALS_MOST, CPU_MOST = 400, 3.0
# Nobody's to handle: nothing ends without the first, the C library ends a process that cannot have the second, and the
# third does not fail by an errno.
NOT_OURS = {"exit_group", "futex", "brk"}
# Without these there is no dynamic program: they are refused once it is loaded.
LOADERS = {"mmap", "mmap2"}
# Of a descriptor that may not be looked at nobody knows whether words can go there.
QUIET = {"newfstatat", "fstat", "fstat64", "fstatat64", "statx"}
# What it says when what is owed, or last addresses, are in memory alone.
IN_MEMORY = ("is lost when the relay", "and lost when the relay", "and may come again when the relay")
USERS = ("alice", "bob", "carol", "dora")


def cpu_seconds(pid):
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")


class Run:
    """A relay that is refused something, from its start over events, a login, a machine that is not there, who asks
    what it does, a name and a reload to its end; and the next one, to which nothing is refused."""

    def __init__(self, call="-", number=0, first=1, last=ALWAYS):
        self.refusing = (call, number, first, last)
        self.wrong, self.handed, self.cpu, self.answers = [], {}, 0, []

    def __str__(self):
        call, number, first, last = self.refusing
        return f"{call} {errno.errorcode.get(number, '')} {first}" + (f" to {last}" if last != ALWAYS else "")

    def __enter__(self):
        self.live, self.there = Machine(), Machine("127.0.0.7")
        # Nobody else gets the port until somebody listens there.
        self.unused = socket.socket()
        self.unused.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.unused.bind(("127.0.0.8", 0))
        self.later = self.unused.getsockname()
        self.text = (
            "interval 100ms\nsettle 100ms\ntimeout 1s\nnever 203.0.113.0/24\n"
            f"user alice {self.live}\nuser bob 127.0.0.8:{self.later[1]}\n"
            f"user carol last:{self.there.port}\nuser dora localhost:{self.live.port}\n"
        )
        self.relay = Relay(self.text, activated=True)
        self.relay.pass_status()
        self.counts = Counts(self.relay.dir / "counts")
        return self

    def __exit__(self, *_):
        self.relay.__exit__()
        self.live.close()
        self.there.close()
        self.unused.close()

    def runs(self):
        return self.relay.process.poll() is None

    def step(self, condition):
        until(lambda: not self.runs() or condition(), STEP, step=0.01)

    def hand_over(self, user):
        self.handed[user] = time.time()
        self.relay.tell(f"mail {user}")

    def is_told(self, user, machine):
        return any(when >= self.handed[user] for when in machine.times())

    def refused_run(self):
        call, number, first, last = self.refusing
        self.relay.start(wait=False, under=(REFUSE_AT, self.relay.dir / "counts", call, number, first, last))
        self.hand_over("alice")
        self.step(lambda: self.live.lines)
        self.before_serving = self.counts()
        self.relay.tell("login carol 127.0.0.7")
        self.hand_over("carol")
        self.hand_over("bob")
        self.step(lambda: self.there.lines and self.relay.said("failed user=bob"))
        self.ask(b"status\n")
        self.ask(b"user carol\n")
        self.hand_over("dora")
        self.step(lambda: self.is_told("dora", self.live))
        self.reload()
        self.hand_over("alice")
        self.step(lambda: self.is_told("alice", self.live))
        # Longer than a rest: what it does now it would do for ever.
        if self.runs() and self.counts().get(call, (0, 0))[1] > 1:
            time.sleep(STEP)
        self.end()

    def ask(self, line):
        """It need not be answered, but what is said is whole, or is cut off where no more can be sent."""
        client = connect(self.relay.status)
        try:
            client.sendall(line)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was closed before
        client.setblocking(False)
        got = b""

        def is_over():
            nonlocal got
            try:
                part = client.recv(65536)
            except BlockingIOError:
                return False
            except ConnectionResetError:
                return True
            got += part
            return not part

        self.step(is_over)
        client.close()
        self.answers.append(got)
        if got.endswith(b"\n"):
            json.loads(got)

    def reload(self):
        self.relay.configure(self.text + "user erin none\n")
        if self.runs() and self.catches(signal.SIGHUP):
            self.relay.process.send_signal(signal.SIGHUP)
            self.step(lambda: self.relay.said("read again"))

    def catches(self, number):
        """Until it blocks a signal, which it does to read it, that ends it."""
        status = Path(f"/proc/{self.relay.process.pid}/status").read_text()
        blocked = next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:"))
        return bool(int(blocked, 16) >> (number - 1) & 1)

    def end(self):
        catches = True
        if self.runs():
            self.cpu = cpu_seconds(self.relay.process.pid)
            catches = self.catches(signal.SIGTERM)
            self.relay.process.send_signal(signal.SIGTERM)
            until(lambda: not self.runs(), 3 * STEP)
        self.was_killed = self.runs()
        self.status = self.relay.kill()
        if self.status < 0 and not self.was_killed and (catches or self.status != -signal.SIGTERM):
            self.wrong.append(f"dies of {signal.Signals(-self.status).name}")
        if self.status > 0 and not self.relay.log() and self.refusing[0] not in QUIET:
            self.wrong.append(f"ends with {self.status}, and without a word")

    def next_run(self):
        """What was handed over is told. A login is in memory alone, too, where there is no store."""
        log = self.relay.log()
        is_away = any("going on from memory" in line for line in log)
        self.relay.start(wait=False)
        with Machine(*self.later) as late:
            machines = {"alice": self.live, "bob": late, "carol": self.there, "dora": self.live}
            for user in USERS:
                if any(words in line for line in log for words in IN_MEMORY):
                    break
                if (user != "carol" or not is_away) and not until(lambda: self.is_told(user, machines[user]), 20):
                    self.wrong.append(f"{user} is not told")
            # One that was given up, for want of what was refused, is empty, or reset.
            lines = [line for _, line in self.live.lines + self.there.lines + late.lines]
            if any(line not in (LINE, b"") and b"reset" not in line for line in lines):
                self.wrong.append(f"sends something else: {lines}")
        self.relay.kill()

    def run(self):
        self.refused_run()
        refused = sum(times for _, times in self.counts().values())
        if refused > REFUSALS_MOST or self.cpu > CPU_MOST:
            self.wrong.append(f"tries endlessly: {refused} times, {self.cpu} s")
        self.next_run()
        self.log = self.relay.log()
        return self


def run(refusing):
    with Run(*refusing) as one:
        return one.run()


def each(name, refusings):
    with ThreadPoolExecutor(WORKERS) as pool:
        runs = list(pool.map(run, refusings))
    wrong = [one for one in runs if one.wrong]
    what = f"S1, S5: {name}: {len(runs)} times: no crash, no endless try, nothing lost without a word"
    if not ok(runs and not wrong, what, tell=False):
        for one in wrong:
            diag(f"{one}: {'; '.join(one.wrong)}\n  " + "\n  ".join(one.log[:12]))


class Call:
    """How often it has been made when the program is loaded, when it serves, and at its end."""

    def __init__(self, name, loaded, serving, made):
        self.name, self.made = name, made
        self.first, self.first_serving = loaded + 1 if name in LOADERS else 1, serving + 1


def loaded():
    with tempfile.NamedTemporaryFile() as file:
        counts = Counts(Path(file.name))
        words = [REFUSE_AT, file.name, "-", "0", "1", "1", RELAY, "-h"]
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
        until(lambda: "exit_group" in counts())
        return counts()


def calls():
    one, at_load, none = run(("-",)), loaded(), (0, 0)
    answered = [answer.endswith(b"}\n") for answer in one.answers] == [True, True]
    if not ok(not one.wrong and one.status == 0 and answered, "nothing is refused: all are told, and who asks is answered"):
        diag("\n".join(one.wrong + one.log))
    return [
        Call(name, at_load.get(name, none)[0], one.before_serving.get(name, none)[0], made)
        for name, (made, _) in one.counts().items() if name not in NOT_OURS
    ]


def refused_from_the_first_time():
    each("each call refused", [
        (call.name, number, call.first) for call in CALLS for number in (errno.EPERM, errno.ENOMEM)
    ])


def refused_while_it_serves():
    each("each call refused while it serves", [
        (call.name, number, call.first_serving)
        for call in CALLS for number in (errno.EPERM, errno.EMFILE) if call.made >= call.first_serving
    ])


def refused_once():
    """Each time that a call is made, alone; without LONG=1 the last ones, which come when it ends."""
    each("each call refused once", [
        (call.name, number, time, time)
        for call in CALLS for number in ((errno.EPERM, errno.ENOMEM, errno.EMFILE) if LONG else (errno.ENOMEM,))
        for time in range(call.first if LONG else call.made, call.made + 1)
    ])


def why_not():
    """2: the kernel asks nobody (SECCOMP_FILTER_FLAG_NEW_LISTENER)."""
    if not RELAY.exists():
        return "the relay is not built"
    with tempfile.NamedTemporaryFile() as file:
        words = [REFUSE_AT, file.name, "-", "0", "1", "1", "/bin/true"]
        return "no notifications of system calls" if subprocess.run(words, stderr=subprocess.DEVNULL).returncode == 2 else None


why = why_not()
if why:
    print(f"1..0 # SKIP {why}")
    sys.exit(0)
CALLS = calls()
nmtest.run(refused_from_the_first_time, refused_while_it_serves, refused_once)
