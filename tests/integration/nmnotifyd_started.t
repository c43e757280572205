#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyd: who starts it, and with what."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from front import NMNOTIFYD, listener
from nmnotifyd import FREE, Service
from nmtest import LINE, PATIENCE, PROJECT, Sandbox, equal, is_alive, is_root, ok, skip, until

INETD = PROJECT / "build" / "packages" / "openbsd-inetd/usr/sbin/inetd"


# ---- Who starts it ----


def socket_activate():
    program = shutil.which("systemd-socket-activate")
    if not program:
        skip("systemd-socket-activate", "there is none here")
        return
    for kind, flag in (("tcp", []), ("udp", ["-d"])):
        with Sandbox() as box:
            conf = box.config("idle 1s\n" + FREE + f"from any\ninterval 0s\naction {box.recorder()}\n")
            taken = [listener(kind), listener(kind, "::1")]
            ports = [s.getsockname()[1] for s in taken]
            for s in taken:
                s.close()
            addresses = [f"127.0.0.1:{ports[0]}", f"[::1]:{ports[1]}"]
            words = [program, *flag, *(w for a in addresses for w in ("-l", a)), str(NMNOTIFYD), "-f", str(conf)]
            with open(box.log_path, "ab") as log:
                process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                until(lambda: b"Listening" in box.log_path.read_bytes().split(b"\n", 1)[0] and
                      box.log_path.read_bytes().count(b"Listening") == 2, 10)
                for number, (host, port) in enumerate((("127.0.0.1", ports[0]), ("::1", ports[1])), 1):
                    family = socket.AF_INET6 if ":" in host else socket.AF_INET
                    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as client:
                        client.connect((host, port))
                        client.sendall(LINE)
                        ok(box.wait_starts(number), f"systemd-socket-activate: {kind}, {host}")
                process.wait(PATIENCE)
                equal(process.returncode, 0, f"systemd-socket-activate: {kind}: it ends when it is idle")
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()


def inetd_hands_over():
    """As inetd's `wait` does: the socket on 0, 1 and 2."""
    for kind in ("tcp", "udp"):
        with Sandbox() as box:
            # Standard error is the network: nothing may be written there.
            conf = box.config("log syslog\n" + FREE + f"from any\ninterval 0s\naction {box.recorder('say=hello')}\n")
            with Service(box, conf, [listener(kind)], inetd=True) as service:
                if kind == "tcp":
                    equal(service.send(), b"", f"inetd: {kind}: G7: silence")
                else:
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                        client.settimeout(1)
                        client.sendto(LINE, service.address())
                        try:
                            got = client.recv(100)
                        except TimeoutError:
                            got = b""
                        equal(got, b"", f"inetd: {kind}: G7: silence")
                ok(box.wait_starts(1), f"inetd: {kind}: the line runs the action")


def openbsd_inetd():
    if not is_root() or not INETD.exists():
        skip("openbsd-inetd", "it takes root" if INETD.exists() else "tests/packages has not unpacked it")
        return
    with Sandbox() as box:
        conf = box.config("log syslog\nidle 1s\n" + FREE + f"from any\ninterval 0s\naction {box.recorder()}\n")
        ports = {}
        for kind in ("tcp", "udp"):
            with listener(kind) as s:
                ports[kind] = s.getsockname()[1]
        entries = "".join(
            f"127.0.0.1:{ports[kind]} {'stream' if kind == 'tcp' else 'dgram'} {kind}4 wait root {NMNOTIFYD} nmnotifyd -f {conf}\n"
            for kind in ports
        )
        (box.dir / "inetd.conf").write_text(entries)
        with open(box.log_path, "ab") as log:
            inetd = subprocess.Popen([INETD, "-i", str(box.dir / "inetd.conf")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            def send(kind):
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as c:
                    c.settimeout(PATIENCE)
                    if kind == "tcp":
                        until(lambda: c.connect_ex(("127.0.0.1", ports[kind])) == 0, 10)
                    else:
                        c.connect(("127.0.0.1", ports[kind]))
                    try:
                        c.sendall(LINE)
                        return c.recv(10) if kind == "tcp" else b""
                    except OSError:
                        return b""

            def services():
                path = f"/proc/{inetd.pid}/task/{inetd.pid}/children"
                return [pid for pid in map(int, Path(path).read_text().split()) if is_alive(pid)]

            equal(send("tcp"), b"", "openbsd-inetd: G7: silence")
            ok(box.wait_starts(1), "openbsd-inetd: wait, tcp: the line runs the action")
            send("udp")
            ok(box.wait_starts(2), "openbsd-inetd: wait, udp: a datagram runs the action")
            ok(until(lambda: not services(), 10), "openbsd-inetd: idle: both end")
            send("tcp")
            send("udp")
            ok(box.wait_starts(3), "openbsd-inetd: and are started again")
            until(lambda: not services(), 10)
        finally:
            inetd.terminate()
            inetd.wait()


def without_systemd():
    """make SYSTEMD=no"""
    if not shutil.which("make"):
        skip("make SYSTEMD=no", "there is no make here")
        return
    with Sandbox() as box:
        build = box.dir / "build"
        environment = nmtest.environment_for_make()
        words = ["make", "-s", "-j2", "-C", str(PROJECT), f"BUILD={build}", "SYSTEMD=no", f"{build}/nmnotifyd"]
        built = subprocess.run(words, capture_output=True, text=True, env=environment)
        if not equal((built.returncode, built.stderr), (0, ""), "make SYSTEMD=no: it builds"):
            return
        program = build / "nmnotifyd"
        program.chmod(0o755)
        ok(b"libsystemd.so" not in program.read_bytes(), "make SYSTEMD=no: without libsystemd")
        ok(b"/ld-" not in program.read_bytes(), "make SYSTEMD=no: static")
        conf = box.config(FREE + f"from any\ninterval 0s\naction {box.recorder()}\n")
        with Service(box, conf, [listener()], inetd=True, program=program) as service:
            service.send()
            ok(box.wait_starts(1), "make SYSTEMD=no: it serves descriptor 0")


nmtest.run(socket_activate, inetd_hands_over, openbsd_inetd, without_systemd)
