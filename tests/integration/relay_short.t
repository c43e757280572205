#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotify-relay, short of descriptors, and of room for its files: S4 says so, once for each, and S1 holds from memory as
far as it can. When there is enough again, it goes on as if nothing had been."""

import signal
import subprocess
import sys
from contextlib import ExitStack

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, diag, equal, ok, skip, until
from redis_server import free_port
from relay import QUICK, Machine, Relay

MANY = 5000  # users: more than a chunk of the file has room for


class Disk:
    """A small one, where the relay's state is."""

    def __init__(self, relay, size, flags=0):
        self.path = relay.state
        nmtest.mount_tmpfs(str(self.path), f"size={size},mode=700", flags)

    def fill(self):
        """To the last byte."""
        with open(self.path / "full", "wb", buffering=0) as file:
            try:
                while file.write(bytes(65536)):
                    pass
            except OSError:
                pass

    def empty(self):
        (self.path / "full").unlink()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        nmtest.unmount(str(self.path))


def on_a_disk(part):
    def run():
        if nmtest.private_mounts():
            part()
        else:
            skip(part.__name__, "no mounts of its own")

    run.__name__ = part.__name__
    return run


def said_once(relay, *parts):
    for part in parts:
        ok(until(lambda: len(relay.said(part)) == 1), f"it says once: {part}") or diag("\n".join(relay.log()[-8:]))


def told(relay, machine, name, user="alice"):
    before = len(machine.lines)
    relay.tell(f"mail {user}")
    ok(until(lambda: len(machine.lines) > before), f"S1: {name}: told")


# ---- The disk ----


@on_a_disk
def full_from_the_beginning():
    with Machine() as machine, Relay(f"{QUICK}user alice {machine}\nuser carol last:{machine.port}\n") as relay:
        relay.kill()
        with Disk(relay, "16k") as disk:
            relay.start()
            said_once(relay, "relay=says reason=\"owed: cannot", "inbox: cannot be used", "store: away")
            told(relay, machine, "no room for any file")
            relay.tell("login carol 127.0.0.1")
            told(relay, machine, "a login is known all the same", "carol")
            relay.kill(signal.SIGTERM)
            subprocess.run(["mount", "-o", "remount,size=64m", disk.path], check=True)
            lines = len(relay.log())
            relay.start()
            told(relay, machine, "with room, the next one")
            equal([line for line in relay.log()[lines:] if "says" in line], [], "and has nothing to say")
            relay.kill()


@on_a_disk
def full_while_it_serves():
    port = free_port()
    users = f"user carol last:{port}\nuser * 127.0.0.1:{port}\n"
    with Relay(f"{QUICK}keep 7d\n{users}") as relay:
        relay.kill()
        with Disk(relay, "64m") as disk:
            relay.start()
            relay.tell("login carol 127.0.0.1")
            for number in range(10):
                relay.tell(f"mail before{number}")
            ok(until(lambda: relay.said("failed user=before")), "some are owed, as nobody is there")
            disk.fill()
            for number in range(MANY):
                relay.tell(f"mail u{number}")
            said_once(relay, "owed: cannot grow (No space left on device)")
            # Each is written when it is committed.
            ok(until(lambda: relay.tell("login carol 127.0.0.5") or relay.tell("login carol 127.0.0.1") or relay.said("store: away"), step=0.2),
               "the store is away, and it says so")
            equal(relay.process.poll(), None, "a full disk does not end it")
            with Machine(port=port) as machine:
                ok(until(lambda: relay.said("done user=")), "S1: who is owed is told, be it from memory")
                told(relay, machine, "a login while it was full is known", "carol")
                disk.empty()
                ok(until(lambda: relay.said("store: back")), "with room, the store is back")
                relay.kill()
                lines = len(relay.log())
                relay.start()
                told(relay, machine, "killed and started: the login is known still", "carol")
                equal([line for line in relay.log()[lines:] if "says" in line], [], "and it has nothing to say")
                equal({line for _, line in machine.lines}, {LINE}, "S7: lines, and nothing else")
            relay.kill()


@on_a_disk
def read_only():
    with Machine() as machine, Relay(f"{QUICK}user alice {machine}\nuser carol last:{machine.port}\n") as relay:
        relay.kill()
        with Disk(relay, "64m") as disk:
            relay.start()
            relay.tell("login carol 127.0.0.1")
            told(relay, machine, "carol has logged in", "carol")
            relay.kill(signal.SIGTERM)
            subprocess.run(["mount", "-o", "remount,ro", disk.path], check=True)
            relay.start()
            said_once(relay, "owed: cannot be used (Read-only file system)", "inbox: cannot be used", "store: away")
            told(relay, machine, "a disk that nobody may write")
            relay.tell("login carol 127.0.0.1")
            told(relay, machine, "a login is known all the same", "carol")
            subprocess.run(["mount", "-o", "remount,rw", disk.path], check=True)
            ok(until(lambda: relay.said("store: back")), "when it may be written again, the store is back")
            told(relay, machine, "and goes on", "carol")
            relay.kill()


# ---- Descriptors ----


def few_descriptors():
    """From too few to begin with, up to enough: it says that it cannot, or tells everybody."""
    machines = [Machine(f"127.0.2.{number}") for number in range(1, 13)]
    users = "".join(f"user u{number} {machine}\n" for number, machine in enumerate(machines))
    wrong, served, ended = [], 0, 0
    for most in range(4, 64, 3):
        before = [len(machine.lines) for machine in machines]
        with Relay(f"{QUICK}{users}user dora localhost:{machines[0].port}\n", limit=(most, most)) as relay:
            # Sockets that it cannot make itself end it.
            if not until(lambda: relay.process.poll() is not None or relay.path.exists(), 10):
                wrong.append(f"{most}: does not begin")
            if relay.process.poll() is not None:
                ended += 1
                if relay.process.returncode <= 0 or not relay.log():
                    wrong.append(f"{most}: ends with {relay.process.returncode}, and {relay.log()}")
                continue
            try:
                for number in range(len(machines)):
                    relay.tell(f"mail u{number}")
            except OSError as e:
                wrong.append(f"{most}: {e}")
                continue
            told = lambda: all(len(m.lines) > count for m, count in zip(machines, before))
            # Its own socket, with what it has not read, goes with it: all have to be tried.
            tried = lambda: all(relay.said(f" user=u{number} ") for number in range(len(machines)))
            if not until(lambda: tried() or relay.process.poll() is not None):
                wrong.append(f"{most}: does not try all, and says nothing")
            if not told():
                relay.kill()
                relay.limit = None
                relay.start()
            if not until(told):
                wrong.append(f"{most}: does not tell all when there are more: {relay.log()}")
            served += 1
    if not ok(not wrong and served and ended, f"S1, S4: few descriptors: {ended} times it says that it cannot, {served} times it tells all"):
        diag("\n".join(wrong))
    for machine in machines:
        machine.close()


nmtest.run(full_from_the_beginning, full_while_it_serves, read_only, few_descriptors)
