#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyd under inetd, with the entry that is shipped."""

import os
import re
import signal
import socket
import struct
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "systemd"))
import nmtest
from documents import Documents
from nmtest import BUILD, LINE, ok
from superserver import (
    ADDRESSES, CONF, FAMILIES, INETD, PORT, SENDERS, answers, check_flood, check_lines, connect, has_started,
    in_box, inetd, is_logged, journal, run, running, sandbox,
)


# ---- The inetds, with the entries that are shipped ----


def inetd_nmnotifyd():
    """The lines that are shipped as comments, instead of the others."""

    def of_nmnotifyd(box):
        return in_box(Documents().take("units/inetd.conf", "nmnotifyd"), box)

    # A socket for IPv6 can take IPv4, too, so that one of them could be missing and nobody would see it.
    kinds = [["stream", "tcp4"], ["stream", "tcp6"], ["dgram", "udp4"], ["dgram", "udp6"]]
    with sandbox("user") as (box, _):
        nmtest.equal([line.split()[1:3] for line in of_nmnotifyd(box).splitlines()], kinds, "inetd.conf: nmnotifyd's lines")
    with sandbox("user") as (box, _):
        with inetd(box, of_nmnotifyd(box)):
            for family in FAMILIES:
                check_lines(box, "inetd and nmnotifyd", family)
                kind = socket.AF_INET6 if family == "IPv6" else socket.AF_INET
                before = nmtest.boottime_ms() * 1000000
                with socket.socket(kind, socket.SOCK_DGRAM) as s:
                    s.bind((SENDERS[family], 0))
                    s.sendto(LINE, (ADDRESSES[family], PORT))
                ok(has_started(box, before), f"inetd and nmnotifyd, {family}: a datagram, too")
            for family in FAMILIES:
                check_flood(box, "inetd and nmnotifyd", family)
    # Where no line waits for a start: behind a flood this one could be covered by it, and not be logged.
    with sandbox("user") as (box, _), inetd(box, of_nmnotifyd(box)):
        nmtest.until(lambda: answers("IPv4"), 10)
        journal.lines.clear()
        with connect("IPv4") as s:
            s.sendall(LINE)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        is_logged("G1: inetd and nmnotifyd: a line whose connection was reset", SENDERS["IPv4"], "accepted", "deferred")
        ok(has_started(box, 0), "G1: inetd and nmnotifyd: it runs the action")


def is_bound(kind, port):
    """Is there a socket at this port of 127.0.0.1?"""
    table = Path("/proc/net/tcp" if kind == "stream" else "/proc/net/udp").read_text()
    return re.search(rf"^ *\d+: 0100007F:{port:04X} ", table, re.MULTILINE) is not None


def inetd_rests():
    """What an error has left in the socket is handed over again at once. Whoever has nothing else to do with it
    rests, so that this is no endless loop of processes; but a stop signal ends that."""
    starts = "/run/starts."
    with sandbox() as (box, program):
        bad = box.dir / "bad.conf"
        bad.write_text("log journal\nnonsense\n")
        good = box.config(CONF.format(box.recorder()), "good.conf")
        entries = (
            # what, socket, handed over, program, configuration
            ("nmnotifyd, a wrong configuration", "stream", "wait", "nmnotifyd", bad),
            ("nmnotifyd, a wrong configuration, datagrams", "dgram", "wait", "nmnotifyd", bad),
            ("nmnotify by mistake", "stream", "wait", "nmnotify", good),
            ("nmnotify by mistake, datagrams", "dgram", "wait", "nmnotify", good),
            ("nmnotify by mistake, datagrams that are not waited for", "dgram", "nowait.100000", "nmnotify", good),
            ("nmnotifyd, whose network process is killed at once", "stream", "wait", "nmnotifyd", good),
        )
        text = ""
        for i, (_, kind, wait, name, conf) in enumerate(entries):
            script = box.dir / f"start.{i}"
            script.write_text(f"#!/bin/sh\necho $$ >>{starts}{i}\nexec {BUILD / name} -f {conf}\n")
            script.chmod(0o755)
            protocol = "tcp" if kind == "stream" else "udp"
            text += f"127.0.0.1:{7000 + i} {kind} {protocol} {wait} root {script} {name}\n"
        (box.dir / "inetd.conf").write_text(text)
        with running(INETD, "-i", box.dir / "inetd.conf"):
            nmtest.until(lambda: all(is_bound(entries[i][1], 7000 + i) for i in range(len(entries))))
            held = []
            for i, (_, kind, *_) in enumerate(entries):
                s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM)
                s.connect(("127.0.0.1", 7000 + i))
                s.send(LINE)
                held.append(s)

            def started(i):
                try:
                    return [int(pid) for pid in Path(f"{starts}{i}").read_text().split()]
                except FileNotFoundError:
                    return []

            def kill_network():
                """Of the last one of them. A connection that its network process had is gone with it."""
                for process in [p for parent in started(5)[-1:] for p in nmtest.children_of(parent)[:1]]:
                    os.kill(process, signal.SIGKILL)
                    nmtest.until(lambda: not nmtest.children_of(started(5)[-1]), 5)
                    held[-1].close()
                    held[-1] = socket.create_connection(("127.0.0.1", 7005), 5)

            deadline = time.monotonic() + 11
            while time.monotonic() < deadline:
                time.sleep(0.05)
                kill_network()
            counts = [len(started(i)) for i in range(len(entries))]

            def are_tried_again():
                kill_network()
                return all(len(started(i)) >= 2 for i in range(len(entries)))

            nmtest.until(are_tried_again, step=0.05)
            for i, (what, _, wait, *_) in enumerate(entries):
                count = counts[i]
                most = 200 if wait.startswith("nowait") else 3  # until it is taken away; else thousands
                ok(1 <= count <= most, f"inetd: {what}: rests between errors: {count} processes in 11 s")
                ok(len(started(i)) >= 2, f"inetd: {what}: and is tried again")
            nmtest.until(lambda: nmtest.children_of(started(5)[-1]), 5)
            kill_network()
            for i in (0, 5):
                last = started(i)[-1]
                os.kill(last, signal.SIGTERM)
                ok(nmtest.until(lambda: not nmtest.is_alive(last), 5), f"inetd: {entries[i][0]}: a stop signal ends the rest")
            for s in held:
                s.close()


run({inetd_nmnotifyd: str(INETD), inetd_rests: str(INETD)})
