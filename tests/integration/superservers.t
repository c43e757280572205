#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The handler under real super-servers, and the shipped entries for the inetds under a flood.

All of it happens in a network of its own, where the inetds can have the finger port on all
addresses as their entries say, and in a file system view of its own, whose journal is this test. Only
root can make those.
"""

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

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "systemd"))
import nmtest
from documents import Documents, commands
from nmtest import BUILD, LINE, PROJECT, diag, ok, skip

PACKAGES = PROJECT / "build" / "packages"  # what tests/packages has unpacked
INETD = PACKAGES / "openbsd-inetd/usr/sbin/inetd"
XINETD = PACKAGES / "xinetd/usr/sbin/xinetd"
PORT = 79
ADDRESSES = {"IPv4": "127.0.0.1", "IPv6": "::1"}
SENDERS = {"IPv4": "127.0.0.25", "IPv6": "2001:db8:25::25"}

# Enough to be over every default: 256 starts in a minute, 50 in a second.
FLOOD = 400

CONF = "from any\nlog journal\ninterval 0s\nlimit 1000/s burst 1000\naction {}\n"


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
        path = Path("/run/systemd/journal/socket")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o666)
        self.lines = []
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


def tcpserver():
    def command(address, program, _):
        return ["tcpserver", "-q", "-R", "-H", "-l0", address, PORT, program]

    check_server("tcpserver", command, ["IPv4"])
    check_reset("tcpserver", command)


def tcpsvd():
    def command(address, program, _):
        # -l: there is no name service here to ask.
        return ["tcpsvd", "-l", "localhost", address, PORT, program]

    check_server("tcpsvd", command, ["IPv4"])
    check_reset("tcpsvd", command)


def socat():
    def command(address, program, _):
        listen = f"TCP{'6' if ':' in address else '4'}-LISTEN:{PORT},bind={bracket(address)},reuseaddr,fork"
        return ["socat", listen, f"EXEC:{program},nofork"]

    check_server("socat", command)
    check_reset("socat", command, 0.2)  # it asks late itself


def socket_activate():
    check_server(
        "systemd-socket-activate",
        lambda a, p, _: [
            *["systemd-socket-activate", "--accept", "--inetd", "-l", f"{bracket(a)}:{PORT}", p]
        ],
    )


def bracket(address):
    return f"[{address}]" if ":" in address else address


# ---- TLS: the handler gets no socket of the internet ----


def certificate(box):
    pem = box.dir / "pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        + ["-subj", "/CN=localhost", "-days", "2", "-keyout", f"{pem}.key", "-out", f"{pem}.crt"],
        check=True,
        capture_output=True,
    )
    pem.write_text(Path(f"{pem}.key").read_text() + Path(f"{pem}.crt").read_text())
    return pem


def stunnel():
    """It connects to itself over loopback and hands over that, so that it is the source."""

    def command(address, program, box):
        conf = box.dir / "stunnel.conf"
        conf.write_text(
            f"foreground = yes\npid =\nsyslog = no\n[finger]\naccept = {address}:{PORT}\n"
            f"cert = {certificate(box)}\nexec = {program}\nexecArgs = nmnotify\n"
        )
        return ["stunnel4", conf]

    check_server("stunnel", command, tls=True, source="127.0.0.1")


def tlswrapper():
    def command(address, program, box):
        return ["tcpserver", "-q", "-R", "-H", "-l0", address, PORT, "tlswrapper", "-q", "-f"] + [
            certificate(box),
            program,
        ]

    check_server("tlswrapper, pipes and TCPREMOTEIP", command, ["IPv4"], tls=True)


def socat_tls():
    def command(address, program, box):
        pem, family = certificate(box), 6 if ":" in address else 4
        program.write_text(program.read_text().replace("exec ", "TCPREMOTEIP=$SOCAT_PEERADDR exec "))
        return [
            "socat",
            f"OPENSSL-LISTEN:{PORT},pf=ip{family},bind={bracket(address)},reuseaddr,fork,verify=0,cert={pem}",
            f"EXEC:{program},pipes",
        ]

    check_server("socat with TLS, pipes and TCPREMOTEIP", command, tls=True)


# ---- UDP: a process for each datagram ----


def socat_udp():
    typed = commands(Documents().take("man/nmnotify.8", "UDP4-RECVFROM"), "#")
    for family in FAMILIES:
        (command,) = (c for c in typed if f"UDP{family[-1]}-RECVFROM" in c)
        with sandbox() as (box, program), running("sh", "-c", command.replace("exec nmnotify", f"exec {program}")):

            def says(data, *verdicts):
                """Until the server is there, datagrams are lost."""
                kind = socket.AF_INET6 if family == "IPv6" else socket.AF_INET
                journal.lines.clear()
                with socket.socket(kind, socket.SOCK_DGRAM) as s:
                    s.bind((SENDERS[family], 0))
                    for _ in range(20):
                        s.sendto(data, (ADDRESSES[family], PORT))
                        if journal.has(SENDERS[family], *verdicts, timeout=0.5):
                            return True
                diag("\n".join(journal.lines))
                return False

            name = f"socat's UDP{family[-1]}-RECVFROM"
            ok(says(LINE, "accepted", "deferred"), f"{name}: the page's command takes the line, and knows the source")
            ok(has_started(box, 0), f"{name}: which runs the action")
            ok(says(LINE + b"x", "malformed"), f"{name}: anything else is malformed")


# ---- The inetds, with the entries that are shipped ----


def entry(name, box):
    """A shipped file, with its program and its user replaced."""
    text = in_box((PROJECT / "units" / name).read_text().replace("@SBINDIR@", "/usr/local/sbin"), box)
    assert re.search(r"^finger\b|^service finger$", text, re.MULTILINE)
    return re.sub(r"(user\s*= )nmnotify", rf"\1{box.user}", text)


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


@contextmanager
def xinetd(box, text):
    conf = box.dir / "xinetd.conf"
    conf.write_text(text)
    with running(XINETD, "-dontfork", "-f", conf, "-pidfile", "/run/xinetd.pid") as server:
        ok(nmtest.until(lambda: all(map(answers, FAMILIES)), 10), "xinetd: the entry is taken")
        yield server


def check_flood(box, name, family):
    began = time.monotonic()
    refused = flood(family)
    took = time.monotonic() - began
    nmtest.equal(refused, 0, f"{name}, {family}: takes {FLOOD} connections ({took:.1f} s)")
    before = nmtest.boottime_ms() * 1000000
    send(family, LINE)
    ok(has_started(box, before), f"G1: {name}, {family}: and a line that comes then")


def check_inetd(server, name, entry_name, stock):
    """`stock` makes the entry what it would be without our care."""
    with sandbox("user") as (box, _):
        with server(box, entry(entry_name, box)):
            for family in FAMILIES:
                check_lines(box, name, family)
            for family in FAMILIES:
                check_flood(box, name, family)
    with sandbox("user") as (box, _):
        text = stock(entry(entry_name, box))
        assert text != entry(entry_name, box)
        for family in FAMILIES:
            with server(box, text):
                ok(flood(family) > 0, f"{name}, {family}: its default would have refused some")
                ok(not answers(family), f"{name}, {family}: and refuse everybody afterwards")


def inetd_command(_, program, box):
    (box.dir / "inetd.conf").write_text(f"finger stream tcp nowait root {program} nmnotify\n")
    return [INETD, "-i", box.dir / "inetd.conf"]


def xinetd_command(_, program, box):
    (box.dir / "xinetd.conf").write_text(
        "service finger\n{\n\tsocket_type = stream\n\tprotocol = tcp\n\twait = no\n"
        f"\tuser = root\n\tserver = {program}\n}}\n"
    )
    return [XINETD, "-dontfork", "-f", box.dir / "xinetd.conf", "-pidfile", "/run/xinetd.pid"]


def openbsd_inetd():
    check_reset("inetd", inetd_command, 0.2, False)  # what is reset earlier it drops
    without = lambda text: re.sub(r"nowait\.\d+", "nowait", text)  # noqa: E731
    check_inetd(inetd, "inetd", "inetd.conf", without)
    with sandbox("user") as (box, _):
        more = re.sub(r"nowait\.(\d+)", lambda m: f"nowait.{int(m[1]) + 1}", entry("inetd.conf", box))
        with inetd(box, more):
            ok(flood("IPv4") > 0, "inetd: one more than the shipped limit means the default")


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


def xinetd_org():
    check_reset("xinetd", xinetd_command)
    without = lambda text: re.sub(r"\n\tcps\b.*", "", text)  # noqa: E731
    check_inetd(xinetd, "xinetd", "xinetd", without)


# ---- The example ----


def example():
    """What it shows would be taken, with a program and a user that are there."""
    with nmtest.Sandbox() as box:
        text = (PROJECT / "units/nmnotify.conf").read_text()
        text = re.sub(r"^#([a-z]+\s{2,}| {7})", r"\1", text, flags=re.MULTILINE)
        text = re.sub(r"/usr/bin/\w+", "/bin/true", text).replace("alice", box.name)
        conf = box.config(text)
        status, _, wrong = box.check("-f", conf, "-t")
        nmtest.equal((status, wrong), (0, ""), "the example configuration is one")
        shown = set(re.findall(r"^\s*([a-z-]+)\s", text, re.MULTILINE))
        wanted = {"from", "action", "user", "env", "pass", "interval", "timeout", "limit", "account"}
        nmtest.equal(shown - {"state", "log"}, wanted, "and shows what it should")


# ---- What can be run here ----

NEEDS = {
    example: "true",
    tcpserver: "tcpserver",
    tcpsvd: "tcpsvd",
    socat: "socat",
    socket_activate: "systemd-socket-activate",
    stunnel: "stunnel4",
    tlswrapper: "tlswrapper",
    socat_tls: "socat",
    socat_udp: "socat",
    openbsd_inetd: str(INETD),
    inetd_nmnotifyd: str(INETD),
    inetd_rests: str(INETD),
    xinetd_org: str(XINETD),
}


def if_there(part):
    def tried():
        if subprocess.run(["sh", "-c", f"command -v {NEEDS[part]}"], stdout=subprocess.DEVNULL).returncode:
            skip(part.__name__, "not installed: tests/packages test")
        else:
            part()

    tried.__name__ = part.__name__
    return tried


why = unshare() if nmtest.is_root() else "only root may make it"
if why:
    print(f"1..0 # SKIP no network and file system view of its own: {why}")
    sys.exit(0)
journal = Journal()
FAMILIES = families()
nmtest.run(*map(if_there, NEEDS))
