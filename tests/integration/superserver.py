# SPDX-License-Identifier: ISC
"""The handler under real super-servers, for superservers*.t.

All of it happens in a network of its own, where the inetds can have the finger port on all
addresses as their entries say, and in a file system view of its own, whose journal is this test. Only
root can make those."""

import ctypes
import fcntl
import os
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import BUILD, LINE, PROJECT, diag, ok, skip

PACKAGES = PROJECT / "build" / "packages"  # what tests/packages has unpacked
INETD = PACKAGES / "openbsd-inetd/usr/sbin/inetd"
PORT = 79
ADDRESSES = {"IPv4": "127.0.0.1", "IPv6": "::1"}
SENDERS = {"IPv4": "127.0.0.25", "IPv6": "2001:db8:25::25"}
# Enough to be over every default: 256 starts in a minute, 50 in a second.
FLOOD = 400
CONF = "from any\nlandlock no\nlog journal\ninterval 0s\nlimit 1000/s burst 1000\naction {}\n"


# ---- A world of its own ----


def unshare():
    """A network with nothing but loopback, and a private /run."""
    libc = ctypes.CDLL(None, use_errno=True)
    newns, newnet, private, recursive = 0x00020000, 0x40000000, 1 << 18, 1 << 14
    if libc.unshare(newns | newnet) != 0:
        return os.strerror(ctypes.get_errno())
    if libc.mount(b"none", b"/", None, private | recursive, None) != 0:
        return os.strerror(ctypes.get_errno())
    if libc.mount(b"tmpfs", b"/run", b"tmpfs", 0, b"mode=755") != 0:
        return os.strerror(ctypes.get_errno())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        up, running, siocsifflags = 0x1, 0x40, 0x8914
        fcntl.ioctl(s, siocsifflags, struct.pack("16sh14x", b"lo", up | running))
    return None


def families():
    """With IPv6, loopback gets the sender's address, too; for IPv4 it has all of 127."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            address, siocsifaddr = socket.inet_pton(socket.AF_INET6, SENDERS["IPv6"]), 0x8916
            fcntl.ioctl(s, siocsifaddr, address + struct.pack("Ii", 128, socket.if_nametoindex("lo")))
        return ["IPv4", "IPv6"]
    except OSError:
        return ["IPv4"]


class Journal:
    """Receives what handlers say to the journal: the text of their lines."""

    def __init__(self):
        self.lines = []

    def listen(self):
        path = Path("/run/systemd/journal/socket")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o666)
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self):
        while True:
            text = self.socket.recv(65536).decode(errors="replace")
            self.lines += re.findall(r"^MESSAGE=(.*)$", text, re.MULTILINE)

    def has(self, source, *verdicts, timeout=10):
        """A line about this source with one of these verdicts."""
        wanted = [{f"source={source}", f"verdict={verdict}"} for verdict in verdicts]
        return nmtest.until(
            lambda: any(words <= set(line.split()) for line in list(self.lines) for words in wanted),
            timeout,
        )


journal = Journal()
FAMILIES = []  # that this machine has


def children(parent):
    """Descriptors of its processes, which stand for them even if the numbers are somebody else's."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(os.pidfd_open(int(stat.parent.name)))
        except OSError:
            pass  # it has just ended
    return found


@contextmanager
def running(*command, env=None):
    """A server, until the end of the block, and what it has started: a service that takes over the
    port outlives it."""
    with open("/run/server.log", "ab") as log:
        server = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(env or {})},
            start_new_session=True,
        )
    try:
        yield server
    finally:
        if server.poll() is None:
            started = children(server.pid)
            server.terminate()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            for process in started:
                try:
                    signal.pidfd_send_signal(process, signal.SIGTERM)
                    select.select([process], [], [], 10)
                except ProcessLookupError:
                    pass
                os.close(process)


# ---- The sender ----


def connect(family, tls=False):
    s = socket.create_connection((ADDRESSES[family], PORT), 10, (SENDERS[family], 0))
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        s = context.wrap_socket(s)
    return s


def answers(family):
    try:
        connect(family).close()
        return True
    except OSError:
        return False


def send(family, data, tls=False):
    """All bytes that came back until the other end closed."""
    received = b""
    with connect(family, tls) as s:
        try:
            s.sendall(data)
            if not tls:
                s.shutdown(socket.SHUT_WR)
            while True:
                got = s.recv(4096)
                if not got:
                    return received
                received += got
        except OSError:  # reset, or closed before we had ended
            return received


def flood(family, count=FLOOD):
    """Sends the line again and again without waiting. How many connections were not taken."""
    refused = 0
    for _ in range(count):
        try:
            with connect(family) as s:
                s.sendall(LINE)
        except OSError:
            refused += 1
    return refused


# ---- What holds under every server ----


def has_started(box, before):
    """A start at or after that moment."""
    return nmtest.until(lambda: any(s >= before for s in box.starts()), 10)


def is_logged(name, source, *verdicts):
    if not ok(journal.has(source, *verdicts), name):
        diag("\n".join(journal.lines))


def check_lines(box, name, family, tls=False, source=None):
    """`source`: whom the handler takes for the sender."""
    source = source or SENDERS[family]
    before = nmtest.boottime_ms() * 1000000
    journal.lines.clear()
    received = send(family, LINE, tls)
    ok(has_started(box, before), f"{name}, {family}: the line runs the action")
    # Deferred, if the run of a line before is not over.
    is_logged(f"{name}, {family}: and is logged with source={source}", source, "accepted", "deferred")
    nmtest.equal(received, b"", f"G7: {name}, {family}: silence")
    count = len(box.starts())
    journal.lines.clear()
    received = send(family, b"finger\r\n", tls)
    is_logged(f"{name}, {family}: anything else is malformed", source, "malformed")
    nmtest.equal(received, b"", f"G7: {name}, {family}: silence, too")
    nmtest.equal(len(box.starts()), count, f"{name}, {family}: and runs nothing")


def check_reset(name, command, after=0.0, known=True):
    """A sender that resets the connection behind its line, before the handler asks who he is, but only
    so many seconds later. `known`: the server says it then."""
    with sandbox() as (box, program):
        program.write_text(program.read_text().replace("exec ", "sleep 0.4\nexec "))
        with running(*command(ADDRESSES["IPv4"], program, box)):
            nmtest.until(lambda: answers("IPv4"), 10)
            time.sleep(1)  # for what that has started
            journal.lines.clear()
            with connect("IPv4") as s:
                s.sendall(LINE)
                time.sleep(after)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if known:
                what = f"G1: {name}: a line whose connection was reset before the handler came, and its source"
                is_logged(what, SENDERS["IPv4"], "accepted", "deferred")
                ok(has_started(box, 0), f"G1: {name}: it runs the action")
            else:
                is_logged(f"{name}: of a connection that was reset nobody says who it was", "unknown", "denied")


@contextmanager
def sandbox(owner="root"):
    """A sandbox and in it bin/nmnotify, to be found where an entry says @SBINDIR@: the handler with
    the sandbox's configuration. `owner` starts it, and so must own the state."""
    with nmtest.Sandbox() as box:
        conf = box.config(CONF.format(box.recorder()))
        (box.dir / "bin").mkdir()
        program = box.dir / "bin/nmnotify"
        for each in (program, box.dir / "bin/nmnotifyd"):
            each.write_text(f'#!/bin/sh\nexec {box.bring(BUILD / each.name)} -f {conf} "$@"\n')
            each.chmod(0o755)
        if owner != "root":
            os.chown(box.state_dir, box.uid, box.gid)
        yield box, program


def check_server(name, command, handled=("IPv4", "IPv6"), **how):
    """`command` makes the server's command line from an address and the program to start."""
    for family in FAMILIES:
        if family not in handled:
            continue
        with sandbox() as (box, program), running(*command(ADDRESSES[family], program, box)):
            if not nmtest.until(lambda: answers(family), 10):
                ok(False, f"{name}, {family}: answers")
                diag(Path("/run/server.log").read_text(errors="replace")[-2000:])
                continue
            check_lines(box, name, family, **how)


# ---- Servers without limits of their own ----


def bracket(address):
    return f"[{address}]" if ":" in address else address


# ---- The inetds, with the entries that are shipped ----


def in_box(text, box):
    """Lines for inetd with the sandbox's program and user."""
    text = text.replace("/usr/local/sbin", str(box.dir / "bin"))
    return re.sub(r"\tnmnotify(\t/)", rf"\t{box.user}\1", text)


@contextmanager
def inetd(box, text):
    conf = box.dir / "inetd.conf"
    conf.write_text(text)
    with running(INETD, "-i", conf) as server:
        ok(nmtest.until(lambda: all(map(answers, FAMILIES)), 10), "inetd: the entry is taken")
        yield server


def check_flood(box, name, family):
    began = time.monotonic()
    refused = flood(family)
    took = time.monotonic() - began
    nmtest.equal(refused, 0, f"{name}, {family}: takes {FLOOD} connections ({took:.1f} s)")
    before = nmtest.boottime_ms() * 1000000
    send(family, LINE)
    ok(has_started(box, before), f"G1: {name}, {family}: and a line that comes then")


# ---- What can be run here ----


# ---- What can be run here ----


def is_there(program):
    return subprocess.run(["sh", "-c", f"command -v {program}"], stdout=subprocess.DEVNULL).returncode == 0


def if_there(part, program):
    def tried():
        if is_there(program):
            part()
        else:
            skip(part.__name__, "not installed: tests/packages test")

    tried.__name__ = part.__name__
    return tried


def run(needs):
    """Runs parts in a world of their own: {part: the program that it needs}."""
    why = unshare() if nmtest.is_root() else "only root may make it"
    if why:
        print(f"1..0 # SKIP no network and file system view of its own: {why}")
        sys.exit(0)
    journal.listen()
    FAMILIES.extend(families())
    nmtest.run(*(if_there(part, program) for part, program in needs.items()))
