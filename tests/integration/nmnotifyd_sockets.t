#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyd: which sockets it takes, and what it does with lines and datagrams."""

import os
import signal
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
import nmtest
from front import listener
from nmnotifyd import FREE, Service, counted, is_gone
from nmtest import LINE, Sandbox, equal, ok, until


# ---- What it takes ----


def every_socket():
    with Sandbox() as box:
        # IPv6 has one loopback address only.
        networks = {"tcp4": "127.0.0.1", "udp4": "127.0.0.2", "tcp6": "::1"}
        text = FREE + "interval 0s\n"
        for account, network in networks.items():
            action = box.recorder(account=account, out=box.out / account)
            text += f"account {account}\nfrom {network}\naction {action}\n"
            (box.out / account).mkdir()
            if box.user:
                os.chown(box.out / account, box.uid, box.gid)
        sockets = [listener("tcp"), listener("tcp", "::1"), listener("udp"), listener("udp", "::1")]
        with Service(box, box.config(text), sockets) as service:
            equal(service.send(index=0), b"", "G7: silence")
            ok(box.wait_starts(1, out=box.out / "tcp4"), "four sockets: TCP, IPv4")
            service.send(index=1)
            ok(box.wait_starts(1, out=box.out / "tcp6"), "four sockets: TCP, IPv6")
            service.send_datagram(source="127.0.0.2", index=2)
            ok(box.wait_starts(1, out=box.out / "udp4"), "four sockets: UDP, IPv4")
            service.send_datagram(index=3)
            ok(box.wait_starts(2, out=box.out / "tcp6"), "four sockets: UDP, IPv6")
            service.send(source="127.0.0.9")
            denied = nmtest.State(box.state_dir / ".denied")
            ok(until(lambda: denied.denied == 1), "a source without an account is denied")
            os.kill(service.pid, signal.SIGTERM)
            equal(service.wait(), 0, "SIGTERM ends it well")


def local_addresses():
    """`to`, which a datagram's ancillary data tells; IPv4 on a socket of both families."""
    with Sandbox() as box:
        text = FREE + "interval 0s\nfrom any\n"
        for account, to in (("one", "127.0.0.1"), ("two", "127.0.0.2")):
            (box.out / account).mkdir()
            if box.user:
                os.chown(box.out / account, box.uid, box.gid)
            text += f"account {account}\nto {to}\naction {box.recorder(account=account, out=box.out / account)}\n"
        sockets = [listener("tcp", "::"), listener("udp", "::"), listener("udp", "0.0.0.0")]
        with Service(box, box.config(text), sockets) as service:
            for count, (kind, index) in enumerate((("tcp", 0), ("udp", 1), ("udp", 2)), 1):
                for account, to in (("one", "127.0.0.1"), ("two", "127.0.0.2")):
                    (service.send if kind == "tcp" else service.send_datagram)(index=index, to=to)
                    ok(box.wait_starts(count, out=box.out / account), f"to: {kind}, socket {index}: {to}")


def lines():
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 1h\nread-timeout 1s\naction {box.recorder()}\n")
        with Service(box, conf, [listener()]) as service:
            client = service.connect()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in LINE:
                client.sendall(bytes([byte]))
                time.sleep(0.01)
            ok(is_gone(client, 5), "a line in 15 pieces: the connection is closed")
            ok(box.wait_starts(1), "a line in 15 pieces: the action runs")
            bad = (b"nm_notifyuser\n", b"nm_notifyuse\r\n", b"\r\n", b"nm_notifyuser\r\nx", b"x" * 5000, b"", b"nm_notify")
            for data in bad:
                service.send(data)
            wanted = {"accepted": 1, "malformed": len(bad)}
            equal(counted(box, wanted), wanted, "what is not the line is malformed")
            client = service.connect()
            client.sendall(LINE[:-1])
            begun = time.monotonic()
            ok(is_gone(client, 10), "read-timeout: half a line is given up")
            ok(0.9 < time.monotonic() - begun < 3, "read-timeout: after that time")
            wanted["timeout"] = 1
            equal(counted(box, wanted), wanted, "read-timeout: the verdict")
            client = service.connect()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(LINE[:4])
            client.close()
            wanted["malformed"] += 1
            equal(counted(box, wanted), wanted, "a reset is the end of what was sent")


def datagrams():
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 1h\naction {box.recorder()}\n")
        with Service(box, conf, [listener("udp")]) as service:
            bad = (b"", b"nm_notifyuser\n", LINE + b"\n", LINE + LINE, b"x" * 16, b"x" * 60000, LINE[:-1])
            for data in bad:
                service.send_datagram(data)
            equal(counted(box, {"malformed": len(bad)}), {"malformed": len(bad)}, "datagrams that are not the line")
            service.send_datagram()
            ok(box.wait_starts(1), "a datagram that is")
            service.send_datagram()
            ok(until(box.has_waiter), "a second one waits")
            # A batch while the process stands still: it finds all of them at once.
            network = service.network()
            os.kill(network, signal.SIGSTOP)
            for _ in range(100):
                service.send_datagram()
            os.kill(network, signal.SIGCONT)
            wanted = {"accepted": 1, "deferred": 1, "coalesced": 100, "malformed": len(bad)}
            equal(counted(box, wanted), wanted, "a batch: every datagram is counted once")
            ok(len(service.others()) == 1, "G4: one waiter")


def descriptors_by_datagram():
    """A Unix socket's datagrams can bring descriptors (unix(7)). None stays, whoever sends them."""
    with Sandbox() as box:
        conf = box.config(FREE + f"from local 127.0.0.1\ninterval 0s\naction {box.recorder()}\n")
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        unix.bind(str(box.dir / "datagrams"))
        with Service(box, conf, [listener(), unix]) as service:
            count = lambda: len(os.listdir(f"/proc/{service.network()}/fd"))
            before = count()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.connect(str(box.dir / "datagrams"))
                for _ in range(100):
                    socket.send_fds(client, [b"x"], [client.fileno()] * 8)
            counted(box, {"malformed": 100})
            equal(count(), before, "800 descriptors by Unix datagrams: none stays")
            service.send()
            ok(box.wait_starts(1), "and a line starts the action")


def wrong_sockets():
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\naction {box.recorder()}\n")
        a, b = socket.socketpair()
        with Service(box, conf, [a], inetd=True) as service:
            equal(service.wait(), nmtest.EX_CONFIG, "a connection instead of a listening socket: 78")
        b.close()
        with Service(box, conf, [socket.socket(socket.AF_INET, socket.SOCK_STREAM)]) as service:
            equal(service.wait(), nmtest.EX_CONFIG, "a socket that does not listen: 78")
        pipe, end = os.pipe()
        with Service(box, conf, [os.fdopen(pipe), os.fdopen(end, "w")]) as service:
            equal(service.wait(), nmtest.EX_CONFIG, "no socket at all: 78")
        ok("descriptor 3 (nmnotify) is no socket" in box.messages()[-1], "by its name")
        ok(not box.runs(), "nothing has run")


nmtest.run(
    every_socket,
    local_addresses,
    lines,
    datagrams,
    descriptors_by_datagram,
    wrong_sockets,
)
