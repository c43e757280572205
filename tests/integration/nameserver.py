# SPDX-License-Identifier: ISC
"""A name server for tests: it says what it is told to say, right or wrong, by UDP and TCP, in a network and
mount namespace of its own, where nothing else is and /etc has what the test puts there."""

import ctypes
import fcntl
import os
import select
import socket
import struct
import threading
from pathlib import Path

import nmtest

CLONE_NEWNET = 0x40000000
A, CNAME, SOA, AAAA, OPT = 1, 5, 6, 28, 41
NOERROR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 2, 3, 4, 5
TC = 0x0200


def private_network():
    """A network namespace and an empty /etc for this process and its children; False without the right."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not nmtest.private_mounts() or libc.unshare(CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running
    nmtest.mount_tmpfs("/etc", "mode=755")
    return True


def put(path, text):
    """Replaces a file at one blow."""
    Path(path + ".new").write_text(text)
    os.rename(path + ".new", path)


def encode(name):
    out = b""
    for label in name.rstrip(".").split("."):
        out += bytes([len(label)]) + label.encode()
    return out + b"\0"


def decode(packet, at=12):
    labels = []
    while length := packet[at]:
        labels.append(packet[at + 1 : at + 1 + length].decode("latin-1"))
        at += 1 + length
    return ".".join(labels), *struct.unpack(">HH", packet[at + 1 : at + 5]), at + 5


def record(name, kind, ttl, data):
    return encode(name) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def addresses(name, ttl, *addresses):
    return [
        record(name, AAAA if ":" in a else A, ttl, socket.inet_pton(socket.AF_INET6 if ":" in a else socket.AF_INET, a))
        for a in addresses
    ]


class Query:
    """One question, and how to answer it."""

    def __init__(self, packet, peer, reply, tcp):
        self.packet, self.peer, self.reply, self.tcp = packet, peer, reply, tcp
        self.name, self.kind, _, self.end = decode(packet)
        self.id = packet[:2]

    def answer(self, records=(), code=NOERROR, flags=0, id=None, question=None, raw=None):
        records = [r for r in records if struct.unpack(">H", r[len(encode_of(r)) :][:2])[0] in (self.kind, CNAME)]
        header = (id or self.id) + struct.pack(">HHHHH", 0x8180 | flags | code, 1, len(records), 0, 0)
        body = question or self.packet[12 : self.end]
        packet = raw if raw is not None else header + body + b"".join(records)
        if not self.tcp and len(packet) > 512 and raw is None:
            packet = (id or self.id) + struct.pack(">HHHHH", 0x8180 | TC | code, 1, 0, 0, 0) + body
        self.reply(packet)


def encode_of(rec):
    """The name at a record's beginning, never compressed here."""
    at = 0
    while rec[at]:
        at += 1 + rec[at]
    return rec[: at + 1]


class Server:
    """handler(query) is called for each question, in a thread; whatever it does not answer is silence."""

    def __init__(self, handler, address="127.0.0.53"):
        self.handler, self.address = handler, address
        self.asked = []  # (name, kind, tcp, source port)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.udp.bind((address, 53))
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((address, 53))
        self.tcp.listen(64)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def count(self, name):
        return sum(1 for n, kind, *_ in self.asked if n == name and kind == A)

    def _handle(self, packet, peer, reply, tcp):
        query = Query(packet, peer, reply, tcp)
        self.asked.append((query.name, query.kind, tcp, peer[1]))
        self.handler(query)

    def _serve(self):
        while not self.stop.is_set():
            ready, _, _ = select.select([self.udp, self.tcp], [], [], 0.05)
            for s in ready:
                try:
                    if s is self.udp:
                        packet, peer = s.recvfrom(4096)
                        self._handle(packet, peer, lambda p, peer=peer: self.udp.sendto(p, peer), False)
                    else:
                        c, peer = s.accept()
                        threading.Thread(target=self._stream, args=(c, peer), daemon=True).start()
                except OSError:
                    pass  # who asked is gone

    def _stream(self, c, peer):
        try:
            with c:
                c.settimeout(5)
                while True:
                    head = c.recv(2, socket.MSG_WAITALL)
                    if len(head) < 2:
                        return
                    packet = c.recv(struct.unpack(">H", head)[0], socket.MSG_WAITALL)
                    self._handle(packet, peer, lambda p: c.sendall(struct.pack(">H", len(p)) + p), True)
        except OSError:
            pass  # who asked is gone, or says nothing more

    def close(self):
        self.stop.set()
        self.thread.join()
        self.udp.close()
        self.tcp.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def later(seconds, what):
    def attempt():
        try:
            what()
        except OSError:
            pass  # the server is closed

    threading.Timer(seconds, attempt).start()
