#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The handler behind TLS: what it gets is no socket of the internet."""

import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from superserver import PORT, bracket, check_server, run


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


run({stunnel: "stunnel4", tlswrapper: "tlswrapper", socat_tls: "socat"})
