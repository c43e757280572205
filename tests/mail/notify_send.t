#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""notify-send under a policy, to a session bus and a notification daemon as small as can be."""

import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
from actions import Actions, missing, program
from nmtest import Sandbox, run


class Notifications(threading.Thread):
    """A notification daemon as small as can be, on the given session bus. See the D-Bus
    specification, "Message Protocol"."""

    CALL, RETURN, ERROR = 1, 2, 3
    PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE = range(1, 9)
    NAME = "org.freedesktop.Notifications"

    def __init__(self, bus, uid):
        super().__init__(daemon=True)
        self.shown = []  # bodies of Notify
        self.serial = 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.connect(bus, uid)
        self.stream = self.socket.makefile("rb")
        self.socket.sendall(b"\0AUTH EXTERNAL %s\r\n" % str(uid).encode().hex().encode())
        if not self.stream.readline().startswith(b"OK"):
            raise RuntimeError("the bus does not want us")
        self.socket.sendall(b"BEGIN\r\n")
        self.ask("Hello")
        self.ask("RequestName", "su", self.string(self.NAME) + struct.pack("<I", 0))
        self.start()

    def connect(self, bus, uid):
        """A session's bus is for the session's user, whom it asks the kernel for."""
        before = os.geteuid()
        os.seteuid(uid)
        try:
            self.socket.connect(str(bus))
        finally:
            os.seteuid(before)

    @staticmethod
    def string(text):
        """Marshalled, and filled up to the 4 bytes that strings and numbers begin on."""
        data = struct.pack("<I", len(text)) + text.encode() + b"\0"
        return data + bytes(-len(data) % 4)

    def send(self, kind, fields, body=b""):
        header = b""
        for code, value in fields.items():
            header += bytes(-len(header) % 8)
            if code == self.REPLY_SERIAL:
                header += struct.pack("<BBcxI", code, 1, b"u", value)
            elif code == self.SIGNATURE:
                header += struct.pack("<BBcxB", code, 1, b"g", len(value)) + value.encode() + b"\0"
            else:
                type = b"o" if code == self.PATH else b"s"
                header += struct.pack("<BBcxI", code, 1, type, len(value)) + value.encode() + b"\0"
        self.serial += 1
        fixed = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), self.serial, len(header))
        self.socket.sendall(fixed + header + bytes(-len(header) % 8) + body)

    def receive(self):
        """(kind, serial, fields, body)"""
        fixed = self.stream.read(16)
        if len(fixed) < 16:
            raise EOFError
        order = "<" if fixed[:1] == b"l" else ">"
        kind, length, serial, rest = struct.unpack(order + "xBxxIII", fixed)
        header = self.stream.read(rest + -rest % 8)[:rest]
        fields, at = {}, 0
        while at < len(header):
            code, type = header[at], header[at + 2 : at + 3]
            at += 4
            if type == b"g":
                fields[code] = header[at + 1 : at + 1 + header[at]].decode()
                at += header[at] + 2
            else:
                number = struct.unpack_from(order + "I", header, at)[0]
                at += 4
                if type == b"u":
                    fields[code] = number
                else:
                    fields[code] = header[at : at + number].decode()
                    at += number + 1
            at += -at % 8
        return kind, serial, fields, self.stream.read(length)

    def ask(self, member, signature="", body=b""):
        fields = {self.PATH: "/org/freedesktop/DBus", self.INTERFACE: "org.freedesktop.DBus",
                  self.MEMBER: member, self.DESTINATION: "org.freedesktop.DBus"}
        if signature:
            fields[self.SIGNATURE] = signature
        self.send(self.CALL, fields, body)
        while self.receive()[0] != self.RETURN:
            pass

    def run(self):
        try:
            while True:
                kind, serial, fields, body = self.receive()
                if kind == self.CALL:
                    self.answer(serial, fields, body)
        except (OSError, EOFError, ValueError):
            pass  # the bus is gone, and so are we

    def answer(self, serial, fields, body):
        to = {self.REPLY_SERIAL: serial, self.DESTINATION: fields[self.SENDER]}
        if fields[self.MEMBER] == "Notify":
            self.shown.append(body)
            self.send(self.RETURN, {**to, self.SIGNATURE: "u"}, struct.pack("<I", 1))
        elif fields[self.MEMBER] == "GetServerInformation":
            texts = b"".join(map(self.string, ("test", "nmnotify", "1", "1.2")))
            self.send(self.RETURN, {**to, self.SIGNATURE: "ssss"}, texts)
        else:
            error = "org.freedesktop.DBus.Error.UnknownMethod"
            self.send(self.ERROR, {**to, self.ERROR_NAME: error})


def notification():
    if missing("notify-send notifies", "notify-send", "dbus-daemon"):
        return
    with Sandbox() as box:
        actions = Actions(box)
        bus = actions.folder("bus") / "socket"
        daemon = subprocess.Popen(
            [program("dbus-daemon"), "--session", "--nofork", "--nopidfile", "--print-address",
             f"--address=unix:path={bus}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin"}, cwd="/", **actions.as_user())
        try:
            daemon.stdout.readline()  # it listens when it says where
            receiver = Notifications(bus, actions.account.pw_uid)
            for policy in ("mail", "local"):
                text = f"mail under {policy}"
                address = f"DBUS_SESSION_BUS_ADDRESS=unix:path={bus}"
                action, home = [program("notify-send"), text], actions.folder(policy)
                status = actions.run(policy, policy, action, home, [address])
                actions.ok(status == 0 and any(text.encode() in body for body in receiver.shown),
                           f"confine {policy}: notify-send notifies")
        finally:
            daemon.terminate()
            daemon.wait()
            daemon.stdout.close()


run(notification)
