#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The handler and the senders of another architecture: BUILD has them, UNDER is how they are started, by qemu-user.
The action is a program of this machine. There is no filter, and no other way than fork(2) to start it (emulated.c); and
no nmnotifyd, which executes itself anew: that takes a kernel that knows how to start such a program. Where this machine
runs them itself, as it does i386's, there is all of it."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "integration"))
import nmtest
import sender
from nmtest import BUILD, LINE, Sandbox, equal, ok, until
from receiver import Receiver
from turn import word_after

UNDER = [shutil.which(word) or word for word in shlex.split(os.environ.get("UNDER", ""))]
BIG_ENDIAN = Path(BUILD / "nmnotify").read_bytes()[5] == 2  # e_ident[EI_DATA]
nmtest.State.ORDER = ">" if BIG_ENDIAN else "<"


def tell(box, conf, data=LINE, **more):
    """One connection; status and what was sent."""
    handler = box.start(conf, data=data, end=True, prefix=UNDER, **more)
    answer = handler.wait(), handler.received()
    handler.close()
    return answer


def lines():
    with Sandbox() as box:
        conf = box.config(f"from 127.0.0.1\ninterval 0s\naction {box.recorder()}\n")
        equal(tell(box, conf), (0, b""), "a line: status 0, and silence")
        ok(box.wait_ends(1), "the action runs")
        equal(tell(box, conf, b"nm_notifyuser\n\n"), (0, b""), "another line: status 0, and silence")
        equal(tell(box, conf, source="127.0.0.2"), (0, b""), "another source: status 0, and silence")
        equal(box.state().counts(), {"accepted": 1, "malformed": 1}, "state: what was decided is counted")
        equal(len(box.starts()), 1, "only the line starts the action")
        said = [" ".join(w for w in m.split() if w.split("=")[0] in ("verdict", "source", "status")) for m in box.messages()]
        wanted = ["verdict=accepted source=127.0.0.1", "source=127.0.0.1 status=0", "verdict=malformed source=127.0.0.1"]
        equal(said, [*wanted, "verdict=denied source=127.0.0.2"], "log: all of it is said")


def waiter():
    """G1, G2: a line in a run is a second one, after the interval."""
    with Sandbox() as box:
        conf = box.config(f"from any\ninterval 2s\naction {box.recorder('until=go')}\n")
        first = box.start(conf, data=LINE, end=True, prefix=UNDER)
        ok(box.wait_starts(1), "G1: the action runs")
        begun = box.state().last_start
        second = box.start(conf, data=LINE, end=True, prefix=UNDER)
        ok(until(box.has_waiter), "G1: the second line waits: the locks hold")
        equal(tell(box, conf), (0, b""), "G1: a third one is covered")
        (box.out / "go").touch()
        ok(box.wait_ends(2), "G1: and the action runs again")
        equal((first.wait(), second.wait()), (0, 0), "G1: status 0")
        # By the state: when an action says that it began depends on the machine, too.
        gap = word_after(begun, box.state().last_start)
        ok(gap >= 2000, "G2: not before the interval is over") or nmtest.diag(gap)
        equal(box.state().counts(), {"accepted": 1, "deferred": 1, "coalesced": 1}, "state: and all are counted")
        ok(first.received() + second.received() == b"", "G7: silence")


def times_out():
    """32-bit times, in calls that have two forms there."""
    with Sandbox() as box:
        conf = box.config(f"from any\nread-timeout 1s\ntimeout 1s\naction {box.recorder('sleep=3600000')}\n")
        handler = box.start(conf, data=b"nm_", prefix=UNDER)
        equal(handler.wait(), 0, "a line that never ends: status 0")
        equal(box.state().counts(), {"timeout": 1}, "state: timeout")
        equal(tell(box, conf), (143, b""), "a line, and an action that never ends: SIGTERM's status")
        ok(any("run=ended" in m and "timeout" in m for m in box.messages()), "it is ended by its timeout")


def senders():
    """qemu-user does not tell of an acknowledgement: so nothing is said of whether the line is there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(nmtest.PATIENCE)
        result = sender.run(*UNDER, BUILD / "nmnotify-send", "-w", "1", f"127.0.0.1:{server.getsockname()[1]}")
        equal((result.status, result.output), (0, b""), "nmnotify-send HOST: status 0")
        with server.accept()[0] as connection:
            equal(connection.recv(100), LINE, "nmnotify-send HOST: the line is there")
    with Sandbox() as box:
        relay = Receiver(box.dir / "socket")
        result = sender.run(*UNDER, BUILD / "nmnotify-send", "-s", relay.path, "-e", "-u", "alice")
        equal((result.status, relay.messages()), (0, [b"mail alice"]), "nmnotify-send -u: a notice")
        words = [*UNDER, BUILD / "nmnotify-login", "-s", relay.path, "/bin/true"]
        result = sender.run(*words, env={"USER": "alice", "IP": "2001:db8::1"})
        equal((result.status, relay.messages()), (0, [b"login alice 2001:db8::1"]), "nmnotify-login: a notice, and its command")


def service():
    """As inetd would start it."""
    if UNDER:
        nmtest.skip("nmnotifyd: a line", "emulated")
        return
    with Sandbox() as box, socket.create_server(("127.0.0.1", 0)) as server:
        conf = box.config(f"from any\ninterval 0s\naction {box.recorder()}\n")
        with open(box.log_path, "a") as log:
            process = subprocess.Popen([BUILD / "nmnotifyd", "-f", conf], stdin=server, stdout=log, stderr=log)
        try:
            for number in (1, 2):
                with socket.create_connection(server.getsockname()) as connection:
                    connection.sendall(LINE)
                    connection.settimeout(nmtest.PATIENCE)
                    equal(connection.recv(1), b"", "nmnotifyd: G7: silence")
                ok(box.wait_ends(number), "nmnotifyd: a line, and the action runs")
        finally:
            process.terminate()
            equal(process.wait(nmtest.PATIENCE), 0, "nmnotifyd: SIGTERM ends it well")


nmtest.run(lines, waiter, times_out, senders, service)
