#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""An attacker who can reach the port, and nothing else."""

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from attack import FREE, SOON, has_started_since
from front import Service, is_gone, listener
from nmtest import LINE, PATIENCE, Sandbox, boottime_ms, diag, equal, is_alive, is_root, ok, skip, until


# ---- A super-server for the handler ----


class Server:
    """The handler below a real super-server, on loopback."""

    def __init__(self, box, conf, most):
        with listener() as s:
            self.port = s.getsockname()[1]
        self.log = open(box.log_path, "ab")
        handler = [str(nmtest.NMNOTIFY), "-f", str(conf)]
        commands = {
            "tcpserver": ["-q", "-R", "-H", "-l0", "-b", "1000", "-c", str(most), "127.0.0.1", str(self.port), *handler],
            "tcpsvd": ["-l", "localhost", "-c", str(most), "-b", "1000", "127.0.0.1", str(self.port), *handler],
        }
        self.name = next((n for n in commands if shutil.which(n)), None)
        if not self.name:
            raise FileNotFoundError("neither tcpserver nor tcpsvd")
        self.process = subprocess.Popen(
            [self.name, *commands[self.name]], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        until(self._answers, 10)

    def _answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        handlers = self.children()
        self.process.terminate()
        self.process.wait(10)
        for pid in handlers:
            nmtest.kill(pid)
        self.log.close()

    def children(self):
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [p for p in map(int, Path(path).read_text().split()) if is_alive(p)]

    def connect(self, source="127.0.0.1"):
        client = socket.socket()
        client.settimeout(PATIENCE)
        client.bind((source, 0))
        client.connect(("127.0.0.1", self.port))
        return client

    def is_calm(self):
        return not self.children()

    def resources(self):
        """What must not grow: of the super-server, as the handlers are gone."""
        return {"processes": len(self.children())}


class Daemon(Service):
    """nmnotifyd, and what it has."""

    def is_calm(self):
        return len(self.children()) <= 1

    def resources(self):
        found = {"processes": len(self.pids())}
        for name, pid in (("runner", self.pid), ("network", self.network())):
            if is_root():
                found[f"{name}: descriptors"] = len(os.listdir(f"/proc/{pid}/fd"))
            status = Path(f"/proc/{pid}/status").read_text()
            found[f"{name}: KiB"] = int(re.search(r"VmData:\s+(\d+)", status)[1])
        return found


# ---- The port, and nothing else ----


def close_with_reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def push(client, data, flags=0):
    """What the other end still takes."""
    try:
        client.setblocking(False)
        return client.send(data, flags)
    except OSError:
        return 0


def silent(_):
    pass


def half(client):
    push(client, LINE[:7])


def almost(client):
    push(client, LINE[:-1])


def urgent(client):
    push(client, b"nm_no")
    push(client, b"!", socket.MSG_OOB)
    push(client, b"tify")


def all_urgent(client):
    push(client, LINE, socket.MSG_OOB)


def fin_first(client):
    client.shutdown(socket.SHUT_WR)


def huge(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    push(client, b"nm_notifyuser" + b"\0" * (1 << 20))


def reset(client):
    close_with_reset(client)


def reset_behind_half(client):
    push(client, LINE[:9])
    close_with_reset(client)


HOSTILE = (silent, half, almost, urgent, all_urgent, fin_first, huge, reset, reset_behind_half)


def trickle(clients):
    """Another byte from each of those that are slow, too slow for the line ever to be whole."""
    for kind, client in clients:
        if kind is silent and client.fileno() >= 0:
            push(client, b"n")


def wave(front, box, count, name):
    """Attackers, and a mail server in their midst."""
    clients = []
    late = []
    for number in range(count):
        kind = HOSTILE[number % len(HOSTILE)]
        client = front.connect(f"127.0.{1 + number // 200}.{1 + number % 200}")
        kind(client)
        clients.append((kind, client))
        if number % (count // 5) == count // 10:
            trickle(clients)
            begun = boottime_ms()
            with front.connect("127.0.0.2") as good:
                push(good, LINE)
                until(lambda: has_started_since(box, begun, "good"), SOON)
                late.append(boottime_ms() - begun)
    if not ok(len(late) >= 5 and max(late) < SOON * 1000, f"G1: {name}: lines among {count} attackers start in time"):
        diag(f"after {late} ms")
    with front.connect("127.0.0.2") as slow:
        # The last byte comes late, but not too late.
        slow.sendall(LINE[:-1])
        time.sleep(0.3)
        begun = boottime_ms()
        slow.sendall(LINE[-1:])
        ok(until(lambda: has_started_since(box, begun, "good"), SOON), f"G1: {name}: a line whose last byte is late, too")
    open_ones = [c for _, c in clients if c.fileno() >= 0]
    # Within the time for a line all of them are closed. Anything that came back raises.
    ok(until(lambda: all(is_gone(c) for c in open_ones), 15, 0.1), f"{name}: all attackers' connections end")
    for client in open_ones:
        client.close()
    ok(until(front.is_calm, 15), f"G4: {name}: no process is left of them")


def from_the_port(make, count, name):
    """Twice: what the second wave adds is growth."""
    with Sandbox() as box:
        for account in ("good", "evil"):
            (box.out / account).mkdir()
            if box.user:
                os.chown(box.out / account, box.uid, box.gid)
        conf = box.config(
            f"{FREE}interval 0s\nread-timeout 2s\n"
            f"account good\nfrom 127.0.0.2\naction {box.recorder(account='good', out=box.out / 'good')}\n"
            f"account evil\nfrom 127.0.0.0/8\naction {box.recorder(account='evil', out=box.out / 'evil')}\n"
        )
        try:
            front = make(box, conf)
        except FileNotFoundError as e:
            skip(name, e)
            return
        with front:
            wave(front, box, count, f"{name}, first wave")
            before, size = front.resources(), box.log_path.stat().st_size
            wave(front, box, count, f"{name}, second wave")
            after = front.resources()
            equal(after, before, f"G4: {name}: no more processes, descriptors, memory after another {count}")
            grown = box.log_path.stat().st_size - size
            # The six lines that were valid say something, too, and are not limited.
            ok(grown < 12000, f"G4: {name}: the log has grown by {grown} bytes")
            equal(box.runs(out=box.out / "evil"), [], f"{name}: attackers have started nothing")
            counts = box.state("evil").counts()
            ok(not set(counts) - {"malformed", "timeout", "coalesced"}, f"{name}: their verdicts: {counts}")


def port_of_the_handler():
    from_the_port(lambda box, conf: Server(box, conf, 900), 600, "handler")


def port_of_nmnotifyd():
    from_the_port(lambda box, conf: Daemon(box, conf), 2000, "nmnotifyd")


def forged_datagrams():
    """Every datagram from an address of its own choosing; one of them is the mail server's."""
    interval, period, burst, mail_server = 300, 500, 2, "127.0.0.2"
    with Sandbox() as box:
        conf = box.config(
            f"limit 1/{period}ms burst {burst}\ninterval {interval}ms\nfrom 127.0.0.0/16\naction {box.recorder()}\n"
        )
        with ExitStack() as stack:
            udp = listener("udp")
            service = stack.enter_context(Service(box, conf, [listener(), udp]))
            forgers = []
            for number in range(400):
                s = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                s.bind((mail_server if number % 4 == 0 else f"127.0.{number // 200}.{3 + number % 200}", 0))
                s.setblocking(False)
                forgers.append(s)
            begun, sent, late = boottime_ms(), 0, []
            while boottime_ms() - begun < 4000:
                for s in forgers[sent % 8 :: 8]:
                    try:
                        s.sendto(LINE if sent % 3 else b"nm_notifyuser\r\n\r\n", udp.getsockname())
                    except OSError:
                        pass
                    sent += 1
                time.sleep(0.02)
                if sent % 10 == 0:
                    late.append(boottime_ms())
                    service.send(mail_server)
            last = boottime_ms()
            service.send(mail_server)
            bound = interval + (burst + 1) * period + SOON * 1000
            late.append(last)
            until(lambda: box.starts() and box.starts()[-1] / 1e6 >= last, bound / 1000)
            begun_at = [s / 1e6 for s in box.starts()]
            wrong = [a for a in late if not any(0 <= s - a <= bound for s in begun_at)]
            ok(not wrong, f"G1: {sent} forged datagrams: each of {len(late)} lines of the mail server has its start")
            words = [r.last_start for r in box.runs()]
            gaps = [(b - a) & 0xFFFFFFFF for a, b in zip(words, words[1:])]
            ok(len(gaps) >= 5 and min(gaps) >= interval, f"G2: forged datagrams: {len(words)} starts, an interval apart")
            answers = 0
            for s in forgers:
                try:
                    s.recv(16)
                    answers += 1
                except BlockingIOError:
                    pass
            equal(answers, 0, "G7: forged datagrams: nothing comes back to any of the addresses")
            ok(len(service.pids()) <= 4, "G4: forged datagrams: a waiter and a supervisor at most")


nmtest.run(port_of_the_handler, port_of_nmnotifyd, forged_datagrams)
