#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What somebody gains who has taken over nmnotifyd's network process: taken_over.c is the real service
with hostile code in that place. The bounds are the table of src/SECURITY.md."""

import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import front
import nmtest
from nmtest import BUILD, PROJECT, Sandbox, equal, is_alive, ok, skip, until

SECRET = "swordfish-7c1e5a"
# Words of the header's reserved line in .denied: calls that went through, bytes sent, attempts made.
THROUGH, SENT, DONE = range(48, 51)


def bound(what):
    """The number in the row that begins so."""
    text = (PROJECT / "src" / "SECURITY.md").read_text()
    return int(re.search(rf"^\| {re.escape(what)}[^|]*\| (\d+) \|$", text, re.MULTILINE).group(1))


class Taken(front.Service):
    """Taken over at its first connection, to do what this letter stands for."""

    def __init__(self, box, conf, **how):
        # Outside of build/, which others may not be able to reach.
        program = box.dir / "nmnotifyd"
        if not program.exists():
            shutil.copy(BUILD / "tests" / "taken_over", program)
            program.chmod(0o755)
        super().__init__(box, conf, program=program, **how)

    def attempt(self, letter):
        self.client = self.connect()
        self.client.sendall(letter)

    def word(self, index):
        return nmtest.State(self.box.state_dir / ".denied").word(index)

    def is_done(self):
        return until(lambda: self.word(DONE) != 0, 10)


def configuration(box, more=""):
    action = box.recorder()
    lines = f"from 127.0.0.1\ninterval 1h\nlimit 1/h burst 1\nenv SECRET={SECRET}\n{more}action {action} {SECRET}\n"
    return box.config(lines)


def memory_of(pid):
    """All that a process has mapped, but for what the kernel alone can read."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            start, end = (int(n, 16) for n in line.split()[0].split("-"))
            if "r" not in line.split()[1] or "[v" in line:
                continue
            try:
                memory.seek(start)
                found.append(memory.read(min(end - start, 1 << 24)))
            except OSError:
                pass  # a page that is not there
    return b"".join(found)


def nothing_gets_out():
    with Sandbox() as box:
        with Taken(box, configuration(box)) as service:
            service.network()
            # Its filter has no write: whatever it says comes by the descriptors that it has.
            service.attempt(b"o")
            target = service.connect()
            target.settimeout(1)
            ok(service.is_done(), "the attempt was made")
            equal(service.word(THROUGH), bound("calls that its filter"), "no other descriptor takes the pair's place")
            equal(service.word(SENT), bound("bytes sent"), "G7: not a byte is sent")
            for client in (service.client, target):
                client.settimeout(0.2)
                try:
                    got = client.recv(100)
                except OSError:
                    got = b""
                equal(got, b"", "G7: not a byte arrives")
            ok(service.is_running(), "the service goes on")


def nothing_more_is_allowed():
    with Sandbox() as box:
        with Taken(box, configuration(box)) as service:
            service.network()
            service.attempt(b"m")
            ok(service.is_done(), "the attempt was made")
            equal(service.word(THROUGH), bound("calls that its filter"), "each other call is refused")


def secrets():
    if not nmtest.is_root():
        skip("secrets in memory", "it takes root to read another process's")
        return
    with Sandbox() as box:
        conf = configuration(box)
        with Taken(box, conf) as service:
            network = service.network()
            # The search finds what is there: the runner has it.
            ok(SECRET.encode() in memory_of(service.pid), "the runner knows the configuration")
            memory = memory_of(network)
            ok(len(memory) > 100000, "the network process's memory can be read")
            count = memory.count(SECRET.encode()) + memory.count(str(conf).encode()) + memory.count(b"/recorder")
            equal(count, bound("bytes of actions"), "the network process knows no word of an action")
            equal(Path(f"/proc/{network}/environ").read_bytes(), b"", "and has no environment")


def starts():
    with Sandbox() as box:
        with Taken(box, configuration(box)) as service:
            service.network()
            service.attempt(b"s")
            ok(box.wait_starts(1), "a forged line starts the action")
            time.sleep(6)
            more = len(box.runs()) - 1
            equal(more, bound("starts of an account's action"), "G2: no other start in 6 seconds")
            ok(len(service.children()) <= 40, "G4: processes are bounded")
            ok(service.is_running(), "the service goes on")
        # Its death and the next start of the service are no way around it.
        for _ in range(3):
            with Taken(box, configuration(box)) as service:
                network = service.network()
                service.attempt(b"s")
                time.sleep(0.5)
                os.kill(network, signal.SIGKILL)
                until(lambda: not service.is_running(), 10)
        equal(len(box.runs()) - 1, bound("starts of an account's action"), "G2: nor after it has died")


def log():
    with Sandbox() as box:
        with Taken(box, configuration(box)) as service:
            service.network()
            before = len(box.messages())
            service.attempt(b"l")
            time.sleep(6)
            lines = len(box.messages()) - before
            ok(lines <= bound("lines in the log"), f"G4: {lines} lines in 6 seconds")
            check_stop(service, "a flood of lines")


def check_stop(service, what):
    pids = service.pids()
    begun = time.monotonic()
    os.kill(service.pid, signal.SIGTERM)
    until(lambda: not service.is_running(), 20)
    took = time.monotonic() - begun
    ok(took <= bound("seconds that a stop takes"), f"{what}: SIGTERM takes {took:.1f} s")
    ok(until(lambda: not any(is_alive(pid) for pid in pids)), f"{what}: nothing is left")


def signs_of_life():
    with Sandbox() as box:
        with front.Manager(box) as manager:
            environment = {**manager.environment, "WATCHDOG_USEC": "9000000"}
            with Taken(box, configuration(box), environment=environment) as service:
                service.network()
                service.attempt(b"a")
                heard, end = [], time.monotonic() + 3
                until(lambda: heard.extend(manager.hear()) or time.monotonic() > end)
                said = sum(b"WATCHDOG=1" in message for message in heard)
                ok(said <= bound("signs of life"), f"{said} signs of life in 3 s")
                ok(len(heard) <= 10, f"the service manager hears little: {len(heard)} messages")
                check_stop(service, "a flood of signs of life")


def outlives_nobody():
    with Sandbox() as box:
        with Taken(box, configuration(box)) as service:
            network = service.network()
            service.attempt(b"x")
            ok(service.is_done(), "it goes round in circles")
            os.kill(service.pid, signal.SIGKILL)
            until(lambda: not service.is_running(), 10)
            ok(until(lambda: not is_alive(network), bound("seconds that it outlives")), "it dies with the runner")
        with Taken(box, configuration(box)) as service:
            service.network()
            service.attempt(b"x")
            ok(service.is_done(), "it goes round in circles")
            check_stop(service, "a network process that does not end")


nmtest.run(
    nothing_gets_out,
    nothing_more_is_allowed,
    secrets,
    starts,
    log,
    signs_of_life,
    outlives_nobody,
)
