#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A flood against both pairs of units, in containers of Debian 12 and 13: what must hold then, what was
measured, and what becomes of a unit that says nothing about limits."""

import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import container
import measure
import nmtest
from measure import LOAD
from nmtest import LINE, boottime_ms, diag, equal, ok, skip, until

INTERVAL_MS = 2000
# How much later than it must a start may be seen: two cores have a flood to make and to take.
SLACK_MS = 1500
FRIEND = "127.0.0.250"
SOURCES = 200
# Half of the flood's sources may speak, too; the others are nobody's.
CONFIG = f"""
interval {INTERVAL_MS}ms
limit 120/m burst 10
read-timeout 5s
write default /var/lib/nmnotify
account mail
    from {FRIEND} 127.0.1.0/25
    action /usr/local/bin/recorder /var/lib/nmnotify/mail sleep=100
"""

box = None


def send():
    with socket.socket() as client:
        client.settimeout(20)
        client.bind((FRIEND, 0))
        client.connect(("127.0.0.1", 79))
        try:
            client.sendall(LINE)
            return client.recv(10)
        except ConnectionError:
            return b""


def runs():
    """[(start, end or None)], in ms of CLOCK_BOOTTIME."""
    starts, ends = {}, {}
    path = box.root / "var/lib/nmnotify/mail/runs"
    for line in path.read_text().splitlines() if path.exists() else []:
        kind, pid, at, *_ = line.split()
        (starts if kind == "start" else ends)[pid] = int(at) // 1000000
    return sorted((at, ends.get(pid)) for pid, at in starts.items())


def late(arrived, all_runs):
    """How much later than G1 allows the start came that covers a line; None: there is none."""
    after = [start for start, _ in all_runs if start >= arrived]
    if not after:
        return None
    allowed = arrived
    for start, end in all_runs:
        if start < arrived:
            allowed = max(allowed, start + INTERVAL_MS, end or 0)
    return after[0] - allowed


def begin(name):
    units = ("nmnotifyd.socket", "nmnotify.socket", "nmnotifyd.service", "nmnotify@*")
    box.run("systemctl", "stop", *units)
    box.run("sh", "-c", "rm -rf /run/nmnotify /var/lib/nmnotify/*")
    directories = ("/var/lib/nmnotify", "/var/lib/nmnotify/mail")
    box.run("install", "-d", "-m", "700", "-o", "nmnotify", "-g", "nmnotify", *directories)
    box.write("/etc/nmnotify.conf", CONFIG)
    box.run("systemctl", "start", f"{name}.socket")
    send()
    until(lambda: len(runs()) == 1)


def flood(count, parallel, ms):
    """Runs the load; meanwhile a permitted source sends a line each second. Returns what the load
    printed, and when the lines came."""
    words = [LOAD, "flood", "127.0.0.1", 79, SOURCES, parallel, count, ms]
    load = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True)
    lines = []
    while load.poll() is None:
        lines.append((boottime_ms(), send(), boottime_ms()))
        time.sleep(max(0, 1 - (boottime_ms() - lines[-1][0]) / 1000))
    numbers = dict(word.split("=") for word in load.stdout.read().split())
    return {key: int(value) for key, value in numbers.items()}, lines


def check_lines(name, lines):
    until(lambda: runs() and runs()[-1][0] >= lines[-1][0] and runs()[-1][1])
    delays = [late(arrived, runs()) for arrived, _, _ in lines]
    held = all(delay is not None and delay <= SLACK_MS for delay in delays)
    if not ok(held, f"G1: {name}: each of {len(lines)} lines is followed by a start in time"):
        diag(f"late by: {delays} ms")
    else:
        diag(f"{name}: latest start: {max(delays)} ms after it could have been")
    gaps = [b[0] - a[0] for a, b in zip(runs(), runs()[1:])]
    if not ok(all(gap >= INTERVAL_MS - 250 for gap in gaps), f"G2: {name}: starts are an interval apart"):
        diag(f"gaps: {gaps} ms")
    overlaps = [1 for a, b in zip(runs(), runs()[1:]) if a[1] is None or a[1] > b[0]]
    equal(overlaps, [], f"G2: {name}: no run while another goes on")
    equal({got for _, got, _ in lines}, {b""}, f"G7: {name}: silence")
    slowest = max(end - begin for begin, _, end in lines)
    diag(f"{name}: the permitted source's connection took {slowest} ms at most")


def check_log(name, after, most):
    records = len(box.journal(after=after))
    ok(records <= most, f"G4: {name}: the log stays bounded ({records} records of everything)")


def report(name, numbers):
    total = sum(numbers[kind] for kind in ("valid", "junk", "pieces", "silent", "reset"))
    seconds = numbers["ms"] / 1000
    diag(f"{name}: {total} connections in {seconds:.1f} s: {' '.join(f'{k}={v}' for k, v in numbers.items())}")
    return total


def service_processes():
    return measure.processes(box)[:2]


def flood_of_nmnotifyd():
    count = 20000
    begin("nmnotifyd")
    flood(1000, 100, 20000)
    main = box.show("nmnotifyd.service", "MainPID")
    before = [measure.memory(pid) for pid in service_processes()]
    after, processes = time.time(), []
    numbers, lines = flood(count, 100, 60000)
    processes = len(box.pids("nmnotifyd.service"))
    total = report("nmnotifyd", numbers)
    equal((total, numbers["refused"], numbers["failed"]), (count, 0, 0), "nmnotifyd: every connection was taken")
    ok(len(lines) >= 5, "nmnotifyd: the flood lasted for some lines")
    check_lines("nmnotifyd", lines)
    memory = [measure.memory(pid) for pid in service_processes()]
    for name, (was, own), (now, own_now) in zip(("runner", "network process"), before, memory):
        diag(f"nmnotifyd: {name}: resident {was} KiB before, {now} KiB after; private {own}, {own_now}")
        # What is private depends on whether a child is there at the moment, which shares it.
        ok(now <= was + 64, f"G4: nmnotifyd: {name}: memory is flat")
    ok(processes <= 5, f"G4: nmnotifyd: so are processes ({processes})")
    check_log("nmnotifyd", after, 200)
    ok(box.is_active("nmnotifyd.socket"), "nmnotifyd: the socket is active")
    equal(box.show("nmnotifyd.service", "MainPID"), main, "nmnotifyd: it is the same process")
    equal(box.failed_units(), [], "nmnotifyd: nothing has failed")


def line_in_time(name):
    arrived = boottime_ms()
    send()
    until(lambda: late(arrived, runs()) is not None)
    ok(late(arrived, runs()) <= SLACK_MS, name)
    time.sleep(INTERVAL_MS / 1000)


def silence():
    """Connections that never speak. The kernel holds them back (DeferAcceptSec=) and then hands them over,
    all at a time, so this looks for twice as long as it holds them."""
    for name, count in (("nmnotifyd", 1000), ("nmnotify", 200)):
        begin(name)
        words = [LOAD, "hold", "127.0.0.1", 79, SOURCES, count, count, 15000]
        begun = time.monotonic()
        load = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True)
        time.sleep(INTERVAL_MS / 1000)
        line_in_time(f"{name}: {count} silent connections do not delay a line")
        ok(time.monotonic() - begun > 6 or len(box.instances("nmnotify@*")) <= 5, f"{name}: nor do they start anything")
        most = 0
        while time.monotonic() - begun < 15:
            most = max(most, len(box.instances("nmnotify@*")))
            if name == "nmnotifyd":
                line_in_time(f"{name}: nor when they are handed over")
            time.sleep(0.2)
        diag(f"{name}: of {count} silent connections at most {most} had a unit at a time")
        ok(most <= 500, f"{name}: there are never more units than MaxConnections=")
        load.terminate()
        load.wait()
        ok(until(lambda: not box.instances("nmnotify@*"), 60, 0.2), f"{name}: silence comes to its end")
        diag(f"{name}: that was {time.monotonic() - begun:.0f} s after the connections")
        line_in_time(f"{name}: after silence a line works")


def flood_of_units():
    begin("nmnotify")
    after = time.time()
    numbers, lines = flood(1500, 40, 15000)
    report("nmnotify", numbers)
    until(lambda: not box.instances("nmnotify@*"), step=0.2)
    equal(box.show("nmnotify.socket", "SubState"), "listening", "nmnotify: the socket listens")
    equal(box.instances("nmnotify@*"), [], "nmnotify: no instance is left")
    equal(box.failed_units(), [], "nmnotify: nothing has failed")
    # What came while all handlers were busy, or systemd had a queue, was served when it was read.
    gaps = [b[0] - a[0] for a, b in zip(runs(), runs()[1:])]
    ok(all(gap >= INTERVAL_MS - 250 for gap in gaps), "G2: nmnotify: starts are an interval apart")
    check_log("nmnotify", after, 200)
    time.sleep(INTERVAL_MS / 1000)
    arrived = boottime_ms()
    send()
    until(lambda: late(arrived, runs()) is not None)
    ok((late(arrived, runs()) or 0) <= SLACK_MS, "nmnotify: a line after the flood works")
    served = sum(end - begin for begin, _, end in lines) / len(lines)
    diag(f"nmnotify: the permitted source's connections took {served:.0f} ms on average")


def systemd_defaults():
    """The same handler, in a socket unit that says nothing about limits."""
    box.run("systemctl", "stop", "nmnotify.socket")
    box.write("/etc/systemd/system/plain.socket", "[Socket]\nListenStream=79\nAccept=yes\n")
    service = "[Service]\nExecStart=/usr/local/sbin/nmnotify\nStandardInput=socket\nStandardOutput=journal\n"
    box.write("/etc/systemd/system/plain@.service", service + "User=nmnotify\nRuntimeDirectory=nmnotify\n")
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "start", "plain.socket")
    measure.load(kind="flood", sources=SOURCES, parallel=40, count=1000, ms=6000)
    time.sleep(1)
    state, result = box.show("plain.socket", "ActiveState"), box.show("plain.socket", "Result")
    diag(f"systemd's defaults: after a flood of 1000 the socket unit is {state}, result {result}")
    if state == "failed":
        equal(result, "trigger-limit-hit", "systemd's defaults: the socket has failed")
        with socket.socket() as client:
            ok(client.connect_ex(("127.0.0.1", 79)) != 0, "systemd's defaults: nobody listens any more")
    else:
        # From systemd 255 on it takes its time instead; and it takes 200 starts within two seconds.
        skip("systemd's defaults: the socket has failed", "this systemd, or this machine, is not so quick")
    box.run("systemctl", "stop", "plain.socket", "plain@*")
    box.run("systemctl", "reset-failed")


def systemd_start_limit():
    """The same for a draining service: five failures in ten seconds, by one connection."""
    service = "[Service]\nExecStart=/bin/false\n"
    box.write("/etc/systemd/system/drain.socket", "[Socket]\nListenStream=79\n")
    box.write("/etc/systemd/system/drain.service", service)
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "start", "drain.socket")
    with socket.socket() as client:
        client.connect(("127.0.0.1", 79))
        until(lambda: box.show("drain.socket", "ActiveState") == "failed")
    state, result = box.show("drain.socket", "ActiveState"), box.show("drain.socket", "Result")
    diag(f"systemd's defaults: one connection to a service that fails: the socket unit is {state}, result {result}")
    equal(state, "failed", "systemd's defaults: a service that fails takes its socket with it")
    box.run("systemctl", "stop", "drain.socket")
    box.run("systemctl", "reset-failed")


def figures():
    """For the documentation; nothing is asserted but the order."""
    measure.prepare(box)
    loop, service, units, sizes = measure.three_ways(box, diag)
    ok(service > 10 * units, "nmnotifyd takes more than ten times as many connections as the units")


def one_release(release):
    global box
    with container.Container(release) as box:
        recorder = box.root / "usr/local/bin/recorder"
        recorder.write_bytes((nmtest.BUILD / "tests" / "recorder").read_bytes())
        recorder.chmod(0o755)
        nmtest.run(*TESTS[release])


# On the other release what its systemd does otherwise. Silence is held back by the kernel, which is the same,
# and figures are one machine's.
TESTS = {
    "bookworm": (flood_of_nmnotifyd, silence, flood_of_units, systemd_defaults, systemd_start_limit, figures),
    "trixie": (flood_of_nmnotifyd, flood_of_units, systemd_defaults, systemd_start_limit),
}

if __name__ == "__main__":
    container.require(*TESTS)
    if sys.argv[1:2] and sys.argv[1] in TESTS:
        one_release(sys.argv.pop(1))
    # One after the other: each wants the whole machine.
    container.run_parts(__file__, TESTS, at_once=False)
