# SPDX-License-Identifier: ISC
"""Load, and what it shows, for flood.t and bench."""

import re
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import container
from nmtest import BUILD, until

LOAD = BUILD / "tests" / "load"
LOAD_INSIDE = "/usr/local/bin/load"
# Connections are accepted and read, but nothing runs: what is measured is what all of them cost.
CONFIG = "from 127.0.0.0/8\ninterval 1d\nlimit 1000/s burst 10000\naction /bin/true\n"
MS = 2000


def load(kind="rate", sources=1, parallel=32, count=1000000, ms=MS, port=79):
    """Connections a second that were taken."""
    words = [kind, "127.0.0.1", port, sources, parallel, count, ms]
    text = subprocess.run([LOAD, *map(str, words)], capture_output=True, text=True, check=True).stdout
    numbers = {key: int(value) for key, value in (word.split("=") for word in text.split())}
    return numbers["valid"] * 1000 / numbers["ms"], numbers


def memory(pid, keys=("Rss:", "Private_")):
    """What /proc/PID/smaps_rollup says in the lines that begin so, in KiB: (resident, private part of it)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return tuple(sum(int(l.split()[1]) for l in rollup.splitlines() if l.startswith(key)) for key in keys)


def processes(box):
    """Of nmnotifyd: the runner, and its children in the order in which they were made: the network
    process is the first."""
    main = box.show("nmnotifyd.service", "MainPID")
    for pid in box.pids("nmnotifyd.service"):
        inner = re.search(r"^NSpid:.*\t(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        if inner[1] == main:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            return [pid, *map(int, children.split())]
    raise RuntimeError("nmnotifyd.service does not run")


def processor_ms(box):
    """What all processes of the container have used so far. Unlike the time that passes, it hardly
    depends on what else the machine does; but the kernel's own cleaning up is not in it."""
    lines = Path(f"/proc/{box.leader}/cgroup").read_text().splitlines()
    group = next(line[3:] for line in lines if line.startswith("0::"))
    base = Path("/sys/fs/cgroup/unified" if Path("/sys/fs/cgroup/unified").is_dir() else "/sys/fs/cgroup")
    text = (base / group.lstrip("/")).parent.joinpath("cpu.stat").read_text()
    return int(text.split()[1]) / 1000


def settle(box):
    """Until the instances of the last measurement are gone; one of them waits for tomorrow."""
    box.run("systemctl", "stop", "nmnotify.socket", "nmnotify@*")
    until(lambda: not box.instances("nmnotify@*"), step=0.1)


def bare(box):
    sink = box.start(LOAD_INSIDE, "sink", "127.0.0.1", 7000, MS + 3000, stdout=-1)
    sink.stdout.readline()
    rate, _ = load(port=7000)
    sink.terminate()
    sink.wait()
    return rate


def per_connection(box, ms=MS):
    """(connections a second that got a handler, processor's ms for each). When handlers are slow to go,
    systemd drops connections instead, which looks quick."""
    box.run("systemctl", "start", "nmnotify.socket")
    load(ms=200)
    accepted = lambda: int(box.show("nmnotify.socket", "NAccepted"))
    before, used, begun = accepted(), processor_ms(box), time.monotonic()
    load(ms=ms)
    handlers = max(1, accepted() - before)
    used, took = processor_ms(box) - used, time.monotonic() - begun
    settle(box)
    return handlers / took, used / handlers


def daemon(box):
    """(rate, [(name, resident, private)])"""
    box.run("systemctl", "start", "nmnotifyd.socket")
    load(ms=200)
    rate, _ = load()
    names = ("runner", "network process", "a waiter")
    sizes = [(name, *memory(pid)) for name, pid in zip(names, processes(box))]
    box.run("systemctl", "stop", "nmnotifyd.socket")
    return rate, sizes


def prepare(box):
    box.write("/etc/nmnotify.conf", CONFIG)
    (box.root / LOAD_INSIDE.lstrip("/")).write_bytes(LOAD.read_bytes())
    (box.root / LOAD_INSIDE.lstrip("/")).chmod(0o755)


def three_ways(box, say=print):
    """The table of the three ways, in one run."""
    loop, (service, sizes), (units, _) = bare(box), daemon(box), per_connection(box)
    say("| connections a second, 2 cores, load included | |")
    say("| --- | --- |")
    say(f"| a bare loop of accept, recv, close | {loop:,.0f} |")
    say(f"| nmnotifyd.socket, nmnotifyd.service | {service:,.0f} |")
    say(f"| nmnotify.socket, nmnotify@.service | {units:,.0f} |")
    for name, resident, private in sizes:
        say(f"| nmnotifyd, {name}: resident KiB (private) | {resident:,} ({private:,}) |")
    return loop, service, units, sizes


