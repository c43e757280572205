#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotify-send HOST: a sending is done when the other host's kernel has acknowledged the line, and is not said to be
before; S7, 15 bytes and nothing else leave, and nothing is read; what waits is bounded, and confined."""

import ctypes
import errno
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

sys.dont_write_bytecode = True
import front
import nmtest
import sender
from nmtest import LINE, NMNOTIFY, Sandbox, diag, equal, ok, skip, until
from receiver import Receiver, fields, private_run_and_dev
from sender import EX_TEMPFAIL, EX_USAGE, SEND, error

CLONE_NEWNET = 0x40000000


def send(*words, **how):
    return sender.run(SEND, "-e", *words, **how)


def done(result, name):
    ok((result.status, result.output) == (0, b""), f"{name}: done, and not a word") or diag(result)


def failed(result, reason, name):
    right = result.status == EX_TEMPFAIL and reason in result.output.decode()
    ok(right, f"{name}: not done: {reason}") or diag(result)


class Server:
    """Takes one connection at a time and does with it as it is told; what it read is in `got`."""

    def __init__(self, serve=None, address="127.0.0.1", backlog=16, prepare=None):
        self.listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if prepare:
            prepare(self.listener)
        self.listener.bind((address, 0))
        self.listener.listen(backlog)
        self.port = self.listener.getsockname()[1]
        self.host = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        self.got, self.sources = [], []
        self.thread = threading.Thread(target=self._run, args=(serve or to_the_end,), daemon=True)
        if serve is not False:
            self.thread.start()

    def _run(self, serve):
        while True:
            try:
                connection, source = self.listener.accept()
            except OSError:
                return
            self.sources.append(source[0])
            with connection:
                connection.settimeout(10)
                try:
                    self.got.append(serve(connection))
                except OSError as e:
                    self.got.append(e)

    def all(self, count=1):
        until(lambda: len(self.got) >= count, 5)
        return self.got

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def to_the_end(connection):
    """All that comes, and how it ends: b"" behind it is an orderly end."""
    got = [connection.recv(100)]
    while got[-1]:
        got.append(connection.recv(100))
    return b"".join(got), "end"


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


THE_LINE = (LINE, "end")


# ---- Where it goes ----


def destinations():
    with Server() as one, Server(address="::1") as six:
        cases = {
            "an IPv4 address": [one.host],
            "a port of -p": ["-p", one.port, "127.0.0.1"],
            "a mapped address": ["-p", one.port, "::ffff:127.0.0.1"],
            "brackets": ["-p", six.port, "[::1]"],
            "no brackets": ["-p", six.port, "::1"],
            "an IPv6 address and its port": [six.host],
            "-4": ["-4", one.host],
            "-6": ["-6", six.host],
            "several": [one.host, six.host, one.host],
            "a name": ["-4", f"localhost:{one.port}"],
        }
        count = 0
        for name, words in cases.items():
            done(send(*words), name)
            count += len([w for w in words if str(w).count(":") or w == "127.0.0.1"])
        until(lambda: len(one.got) + len(six.got) >= count, 5)
        equal(one.got + six.got, [THE_LINE] * count, "S7: each is the line and an orderly end")
        del one.sources[:]
        done(send("-b", "127.0.0.9", one.host), "-b")
        until(lambda: one.sources, 5)
        equal(one.sources, ["127.0.0.9"], "-b: from there")
        failed(send("-b", "192.0.2.77", one.host), error(errno.EADDRNOTAVAIL), "-b, an address of another machine")
        failed(send("-b", "::1", one.host), f"host {one.host}: ", "-b, of the other kind")
        failed(send("-6", one.host), "of the other kind", "-6, an IPv4 address")
    for wrong in ("127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x", "127.0.0.1:", "[::1", "[::1]x", "[127.0.0.1]x", "", "a b", "-x",
                  "/etc/passwd", "999.1.1.1", "127.1", "x" * 300, "::1::", "a:b:c", "x\x1b[2J"):
        result = send("--", wrong)
        right = result.status == EX_TEMPFAIL and result.output.startswith(b"nmnotify-send: host ") and b"\x1b" not in result.output
        ok(right, f"no host: {wrong[:20]!r}") or diag(result)
    for words in (["-p", "0"], ["-p", "x"], ["-w", "0"], ["-w", "1.5"], ["-w", "3601"], ["-b", "localhost"], ["-u", "alice"]):
        equal(send(*words, "127.0.0.1").status, EX_USAGE, f"a wrong call: {' '.join(words)}")


def datagrams():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(5)
        port = s.getsockname()[1]
        done(send("-U", "-b", "127.0.0.9", f"127.0.0.1:{port}"), "-U")
        data, source = s.recvfrom(100)
        equal((data, source[0]), (LINE, "127.0.0.9"), "S7: a datagram is the line, from where it should be")
    failed(send("-U", f"127.0.0.1:{port}"), "Connection refused", "-U, what this machine knows at once")


def several():
    """One that fails does not keep the others from theirs."""
    with Server() as one:
        closed = socket.socket()
        closed.bind(("127.0.0.1", 0))
        refusing = f"127.0.0.1:{closed.getsockname()[1]}"
        words = [refusing, one.host, "a b", one.host]
        result = send(*words)
        wanted = f"nmnotify-send: host a b: it is neither an address nor a name\nnmnotify-send: host {refusing}: Connection refused\n"
        equal((result.status, result.output.decode()), (EX_TEMPFAIL, wanted), "several, two fail: each is named")
        equal(one.all(2), [THE_LINE] * 2, "several: the others have it")
        quiet = sender.run(SEND, *words)
        equal((quiet.status, quiet.output), (0, b""), "S3: without -e: status 0, and not a word")
        result = send(*[one.host] * 17)
        failed(result, "one too many", "17 hosts")
        equal(len(one.all(20)), 20, "and 16 are sent to")
        closed.close()


# ---- How the other end behaves ----


def drops_data(listener):
    """Its kernel takes connections, and drops what is longer than their beginning (SO_ATTACH_FILTER; bpf(4))."""
    code = struct.pack("HBBI", 0x80, 0, 0, 0) + struct.pack("HBBI", 0x25, 1, 0, 40) + \
        struct.pack("HBBI", 0x06, 0, 0, 0xFFFF) + struct.pack("HBBI", 0x06, 0, 0, 0)
    buffer = ctypes.create_string_buffer(code)
    listener.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer)))


def slow(connection):
    time.sleep(0.5)
    connection.setsockopt(socket.SOL_SOCKET, 27, 0)  # SO_DETACH_FILTER
    return to_the_end(connection)


def behaviours():
    def talks(connection):
        connection.sendall(b"x" * 100000)
        return to_the_end(connection)

    def resets_behind(connection):
        connection.recv(0)
        until(lambda: connection.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT), 5)
        reset(connection)
        return THE_LINE

    def closes_unread(connection):
        until(lambda: connection.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT), 5)
        return THE_LINE

    def closes_first(connection):
        connection.shutdown(socket.SHUT_WR)
        return to_the_end(connection)

    for serve in (to_the_end, resets_behind, closes_unread, closes_first):
        with Server(serve) as server:
            done(send(server.host), serve.__name__)
            equal(server.all(), [THE_LINE], f"S7: {serve.__name__}: the line")
    with Server(talks) as server:
        done(send(server.host), "one that talks")
        until(lambda: server.got, 5)
        # That nobody has read it is a reset behind the line.
        ok(server.got in ([THE_LINE], ) or isinstance(server.got[0], ConnectionResetError), "S7: one that talks: is not listened to") or diag(server.got)

    with Server(False) as server:
        done(send(server.host), "one that does not take the connection: its kernel has the line")
        taken, _ = server.listener.accept()
        equal(to_the_end(taken), THE_LINE, "S7: and there it is")

    with Server(False, backlog=0) as server:
        first = socket.create_connection(("127.0.0.1", server.port))
        failed(send("-w", "1", server.host), error(errno.ETIMEDOUT), "one that is silent")
        first.close()

    with Server(lambda connection: to_the_end(connection), prepare=drops_data) as server:
        begun = time.monotonic()
        failed(send("-w", "1", server.host), error(errno.ETIMEDOUT), "one that does not acknowledge the line")
        ok(time.monotonic() - begun >= 1, "and it is waited for")
        ok(isinstance(server.all()[0], ConnectionResetError), "what is given up is not gone on with by the kernel") or diag(server.got)

    with Server(reset, prepare=drops_data) as server:
        failed(send(server.host), "Connection reset by peer", "one that resets before the line")

    with Server(slow, prepare=drops_data) as server:
        done(send(server.host), "one that is slow")
        equal(server.all(), [THE_LINE], "S7: one that is slow: the line, once")


def unreachable():
    """In a network that has no way out."""
    if not nmtest.is_root() or ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        skip("unreachable networks", "no network of our own")
        return
    for words in ("link set lo up", "route add unreachable 198.51.100.0/24", "route add prohibit 203.0.113.0/24",
                  "route add blackhole 192.0.2.0/24", "address add 2001:db8::1/128 dev lo",
                  "route add unreachable 2001:db8:1::/48", "link add v0 type veth peer name v1",
                  "address add 10.9.0.1/24 dev v0", "link set v1 up", "link set v0 up",
                  "neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev v0"):
        subprocess.run(["ip", *words.split()], check=True)
    cases = {"198.51.100.1": error(errno.EHOSTUNREACH), "203.0.113.1": "Permission denied", "192.0.2.1": "Invalid argument",
             "2001:db8:1::1": error(errno.EHOSTUNREACH), "10.0.0.1": error(errno.ENETUNREACH), "10.9.0.2": error(errno.ETIMEDOUT),
             "fe80::1": "Invalid argument", "255.255.255.255": "", "224.0.0.1": ""}
    for address, reason in cases.items():
        failed(send("-w", "1", address), f"host {address}: {reason}", f"unreachable: {address}")
    interface = socket.if_nametoindex("v0")
    failed(send("-w", "1", f"[fe80::1%{interface}]:79"), f"host [fe80::1%{interface}]:79: ", "a zone's index")
    # A silent one takes no more than its share.
    with Server(slow, prepare=drops_data) as server, etc_hosts(f"10.9.0.2 two.example.org\n127.0.0.1 two.example.org\n") as has_hosts:
        if not has_hosts:
            skip("every address of a name", "no mount namespace")
            return
        # In this order, which getent itself would turn round.
        with bound("/usr/bin/getent", "#!/bin/sh\necho 10.9.0.2 STREAM; echo 127.0.0.1 STREAM\n", 0o755):
            done(send("-w", "6", f"two.example.org:{server.port}"), "a name whose first address is silent")
        equal(server.all(), [THE_LINE], "every address of a name in turn: the second has it")
        result = send("-w", "2", "-6", f"two.example.org:{server.port}")
        failed(result, "no address of that kind", "-6, a name that has none")
        result = send("-w", "2", "two.example.org")
        text = result.output.decode()
        ok(f"10.9.0.2: {error(errno.ETIMEDOUT)}" in text and "127.0.0.1: Connection refused" in text,
           "a name whose addresses all fail: each is named, with its reason") or diag(result)


# ---- Names ----


@contextmanager
def bound(target, text, mode=0o644):
    """A file in the place of another, for us alone."""
    if not nmtest.private_mounts():
        yield False
        return
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(text)
    os.chmod(file.name, mode)
    subprocess.run(["mount", "--bind", file.name, target], check=True)
    try:
        yield True
    finally:
        nmtest.unmount(target)
        os.unlink(file.name)


def etc_hosts(text):
    return bound("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{text}")


def names():
    if not nmtest.private_mounts():
        skip("names", "no mount namespace of our own")
        return
    with Sandbox() as box, Server() as server:
        host = f"name.example.org:{server.port}"

        def by(script, words=(host,), **how):
            with bound("/usr/bin/getent", f"#!/bin/sh\n{script}\n", 0o755):
                return send("-w", "2", *words, **how)

        box.out.chmod(0o777)
        seen = box.out / "seen"
        report = f'{{ echo "$0 $@"; env; cat /proc/self/status; ls -l /proc/self/fd; trap; }} >{seen} 2>&1; echo "127.0.0.1  STREAM x"'
        pipe, theirs = os.pipe()
        done(by(report, pass_fds=[theirs], prepare=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)), "a name")
        os.close(theirs)
        os.close(pipe)
        said = seen.read_text()
        ok("getent ahosts name.example.org\n" in said, "names: how it is asked") or diag(said)
        nobody = 65534
        for line in (f"Uid:\t{nobody}\t{nobody}\t{nobody}\t{nobody}", "Groups:\t65534", "CapEff:\t0000000000000000",
                     "NoNewPrivs:\t1", "Seccomp:\t2", "SigIgn:\t0000000000000000"):
            ok(line in said, f"names: getent is confined: {line.split(':')[0]}") or diag(said)
        equal(seen.stat().st_uid, nobody, "names: getent runs as nobody")
        variables = {l.split("=")[0] for l in said.splitlines() if "=" in l and l.split("=")[0].isidentifier()}
        ok(variables <= {"PATH", "PWD", "OLDPWD", "_", "SHLVL"}, "names: its environment is clean") or diag(variables)
        fds = [l for l in said.splitlines() if "->" in l]
        ok(not any("pipe" in l and not l.split("->")[0].strip().endswith(" 1") for l in fds), "names: it has no descriptor of ours") or diag(fds)

        count = len(server.all())
        hostile = {
            "a megabyte": "yes 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' | head -c 1000000",
            "no newline": "printf 127.0.0.1",
            "rubbish": "head -c 100000 /dev/urandom",
            "a long word": "head -c 5000 /dev/zero | tr '\\0' 1; echo; exit 0",
            "nothing": "exit 2",
        }
        for name, script in hostile.items():
            result = by(script)
            ok(result.status == EX_TEMPFAIL and result.output.count(b"\n") == 1, f"names: getent says {name}") or diag(result)
        equal(len(server.got), count, "names: and nothing was sent")
        failed(by("sleep 60"), "took too long", "names: getent hangs")
        failed(by("trap '' TERM; sleep 60 & sleep 60"), "took too long", "names: getent does not end")
        many = "for i in $(seq 1 40); do echo 127.0.1.$i x; done; echo 127.0.0.1"
        ok(by(many).output.count(b"Connection refused") == 16, "S4: a name has 16 addresses at most")
        script = f"echo ::1 STREAM; echo ::1 DGRAM; echo 127.0.0.1 STREAM; echo 127.0.0.1 DGRAM"
        done(by(script), "names: the address after one that refuses")
        left = [p for p in os.listdir("/proc") if p.isdigit() and "name.example.org" in command(p)]
        equal(left, [], "names: no getent is left behind")
        with bound("/usr/bin/getent", "", 0o644):
            failed(send("-w", "2", host), "there is no getent", "names: no getent")
            done(send(server.host), "an address does without")


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


# ---- Confinement, and the log ----


def confined():
    """While it waits."""
    with Server(False, backlog=0) as server:
        first = socket.create_connection(("127.0.0.1", server.port))
        pipe, theirs = os.pipe()
        process = subprocess.Popen([SEND, "-w", "20", server.host], stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, pass_fds=[theirs])
        try:
            status = lambda: dict(l.split(":\t", 1) for l in Path(f"/proc/{process.pid}/status").read_text().splitlines() if ":\t" in l)
            until(lambda: status()["Seccomp"] == "2" and status()["State"].startswith("S"), 5)
            got = status()
            wanted = {"Seccomp": "2", "NoNewPrivs": "1", "CapEff": "0" * 16, "CapPrm": "0" * 16}
            equal({k: got[k] for k in wanted}, wanted, "S7: confined while it waits")
            if nmtest.is_root():
                fds = {int(n): os.readlink(f"/proc/{process.pid}/fd/{n}") for n in os.listdir(f"/proc/{process.pid}/fd")}
                equal(sorted(fds), [0, 1, 2, 3, 4], "S3: no descriptor of others' is kept")
                equal([fds[0], fds[1]], ["/dev/null"] * 2, "S3: not even standard input and output")
            os.close(theirs)
            equal(os.read(pipe, 1), b"", "S3: whoever waits for their end has it")
        finally:
            process.kill()
            process.wait()
            first.close()
            os.close(pipe)


def logged():
    if not sender.has_daemons():
        skip("S4: what failed is in the log", "no mount namespace")
        return
    with Sandbox() as box:
        private_run_and_dev()
        try:
            for path, read in (("/run/systemd/journal/socket", lambda d: fields(d)["MESSAGE"]), ("/dev/log", lambda d: d.decode().split(": ", 1)[1])):
                log = Receiver(path)
                for words in ([], ["-e"]):
                    sender.run(SEND, *words, "-w", "1", "a b", "127.0.0.1:1", "::1")
                    wanted = ['sending=failed host="a b" reason="it is neither an address nor a name"',
                              'sending=failed host=127.0.0.1:1 reason="Connection refused"', 'sending=failed host=::1 reason="Connection refused"']
                    equal([read(d) for d in log.messages()], wanted, f"S4: what failed is in the log: {path} {' '.join(words)}")
                log.remove()
            equal(sender.run(SEND, "127.0.0.1:1", prepare=lambda: [os.close(fd) for fd in (0, 1, 2)]).status, 0, "S3: no log, no descriptors: status 0")
        finally:
            nmtest.unmount("/dev")
            nmtest.unmount("/run")
        del box


# ---- The real other end ----


def listeners():
    with Sandbox() as box:
        conf = box.config(f"from any\ninterval 0s\nlimit 1000/s burst 1000\naction {box.recorder()}\n")
        with front.Service(box, conf) as service:
            done(send(f"127.0.0.1:{service.sockets[0].getsockname()[1]}"), "nmnotifyd")
            ok(box.wait_starts(1), "nmnotifyd: its action starts")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        words = ["tcpserver", "-RHl0", "127.0.0.1", str(port), str(NMNOTIFY), "-f", str(conf)]
        try:
            server = subprocess.Popen(words, env={"PATH": "/usr/bin:/bin"}, stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            skip("nmnotify behind tcpserver", "there is no tcpserver")
            return
        try:
            until(lambda: send(f"127.0.0.1:{port}").status == 0, 5, 0.05)
            done(send(f"127.0.0.1:{port}"), "nmnotify behind tcpserver")
            ok(box.wait_starts(3), "nmnotify behind tcpserver: its action starts")
        finally:
            server.kill()
            server.wait()


nmtest.run(destinations, datagrams, several, behaviours, names, confined, logged, listeners, unreachable)
