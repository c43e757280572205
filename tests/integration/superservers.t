#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The handler under super-servers without limits of their own, of streams and of datagrams."""

import socket
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "systemd"))
from documents import Documents, commands
from nmtest import LINE, diag, ok
from superserver import (
    ADDRESSES, FAMILIES, PORT, SENDERS, bracket, check_reset, check_server, has_started, journal, run, running,
    sandbox,
)


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


run({tcpserver: "tcpserver", tcpsvd: "tcpsvd", socat: "socat", socket_activate: "systemd-socket-activate", socat_udp: "socat"})
