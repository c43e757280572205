# SPDX-License-Identifier: ISC
"""What the tests of nmnotifyctl share."""

import json
import socket
import subprocess
import threading

from nmtest import BUILD, PATIENCE

CTL = BUILD / "nmnotifyctl"
NO_RELAY = "/nonexistent/status"


def ctl(conf, *args, user=None, env=None, relay=NO_RELAY, program=CTL):
    """Runs it; its status, and what it said on standard output and standard error."""
    got = subprocess.run(
        [program, "-f", conf, "-s", relay, *args],
        capture_output=True,
        timeout=PATIENCE,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        env={"PATH": "/usr/bin:/bin", **(env or {})},
    )
    return got.returncode, got.stdout.decode("ascii"), got.stderr.decode("ascii")


def status(conf, *args, **how):
    """The document."""
    code, out, err = ctl(conf, "status", "--json", *args, **how)
    assert code == 0, (code, err)
    return json.loads(out)


def account(conf, name="default", **how):
    """Of one account."""
    (found,) = status(conf, name, **how)["listener"]["accounts"]
    return found


class Answers:
    """What pretends to be the relay: each question gets these bytes; None: nothing, and no end."""

    def __init__(self, directory, answer):
        self.path, self.answer, self.asked = directory / "status", answer, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.kept = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.kept.append(connection)
            self.asked.append(connection.recv(4096))
            if self.answer is None:
                continue
            try:
                connection.sendall(self.answer)
            except OSError:
                pass
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.path.unlink()
        for connection in self.kept:
            connection.close()
