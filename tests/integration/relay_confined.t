#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What somebody gains who has taken over the relay: relay_taken.c is the real one with hostile code in its
place, from the moment on at which it is confined. And the relay itself, confined."""

import os
import re
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import BUILD, equal, ok, until
from relay import Machine, QUICK, Relay


def taken_over():
    machine = Machine()
    one = Relay(f"user alice {machine}\n", program=BUILD / "tests" / "relay_taken")
    outside = one.dir / "outside"
    outside.mkdir()
    (outside / "file").write_text("secret\n")
    # Neither is in a directory of what it may read: that is the configuration's.
    configuration = one.dir / "etc"
    configuration.mkdir()
    one.conf = configuration / "conf"
    one.configure(f"user alice {machine}\n")
    with one:
        start(one, TAKEN_PORT=str(machine.port), TAKEN_OUTSIDE=str(outside))
        equal(one.process.wait(nmtest.PATIENCE), 0, "taken over: it has come to its end")
        equal([line for line in one.log() if line.startswith("through")], [], "taken over: nothing goes through")
        equal([line for line in one.log() if line.startswith("refused")], [], "what the relay needs does")
        tried = [int(line.split()[1]) for line in one.log() if line.startswith("tried")]
        ok(tried and tried[0] > 60, f"taken over: so much was tried: {tried}") or nmtest.diag("\n".join(one.log()))
        equal((outside / "file").read_text(), "secret\n", "taken over: what is outside is as it was")
    machine.close()


def start(one, **environment):
    with open(one.log_path, "ab") as log:
        words = [one.program, "-f", str(one.conf), "-l"]
        one.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=log, cwd="/", env=environment)


def confined():
    """The real one, before anything has come."""
    with Machine() as machine, Relay(f"{QUICK}user alice {machine}\n") as relay:
        status = Path(f"/proc/{relay.process.pid}/status").read_text()
        facts = dict(re.findall(r"^(NoNewPrivs|Seccomp|CapEff|CapPrm):\s*(\S+)$", status, re.MULTILINE))
        wanted = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapPrm": "0" * 16}
        equal(facts, wanted, "the relay: no privileges, and a filter")
        relay.tell("mail alice")
        ok(until(lambda: machine.lines), "the relay: it tells")


def named():
    """Nothing else wakes the relay: an answer of the names process must."""
    with Relay(f"{QUICK}user bob nobody.invalid\n") as relay:
        relay.tell("mail bob")
        ok(until(lambda: len(relay.said("told=failed user=bob")) >= 3), "S1: a name that is not there is tried again")


def reloaded():
    """What a reload may still read: what takes the place of a file that was there at the start."""
    with Machine() as machine, Relay(f"{QUICK}user alice none\n") as relay:
        fresh = relay.dir / "fresh"
        fresh.write_text(relay.conf.read_text().replace("alice none", f"alice {machine}"))
        os.rename(fresh, relay.conf)
        relay.process.send_signal(1)
        ok(until(lambda: relay.said("was read again")), "reload: another file in that place is read")
        relay.tell("mail alice")
        ok(until(lambda: machine.lines), "reload: and holds")


nmtest.run(taken_over, confined, named, reloaded)
