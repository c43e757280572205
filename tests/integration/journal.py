# SPDX-License-Identifier: ISC
"""A journal's files, as systemd-journal-remote makes them, whose records have any fields that a test likes."""

import subprocess
import time
from pathlib import Path

from nmtest import PATIENCE, PROJECT

# Of this machine, or of its package.
PLACES = (Path("/"), PROJECT / "build/packages/systemd-journal-remote")
REMOTES = [p for place in PLACES for p in place.glob("*/systemd/systemd-journal-remote")]


class Journal:
    """A file of one, in a directory, that grows."""

    def __init__(self, directory, name="x"):
        directory.mkdir(exist_ok=True)
        self.path = directory / f"{name}.journal"
        self.process = subprocess.Popen([REMOTES[0], "-o", self.path, "-"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def write(self, fields, message=None, age=-60, at=None):
        """As systemd.io/JOURNAL_EXPORT_FORMATS has it. Of a future in which a busy machine is not too late, or as
        many seconds old as is said, or of that time, in seconds since 1970."""
        now = time.time_ns() // 1000 - age * 1000000 if at is None else int(at * 1000000)
        start = {"__REALTIME_TIMESTAMP": now, "__MONOTONIC_TIMESTAMP": time.monotonic_ns() // 1000, "_BOOT_ID": "0" * 31 + "1"}
        more = {} if message is None else {"MESSAGE": message}
        record = b""
        for name, value in {**start, **fields, **more}.items():
            data = str(value).encode()
            has_newline = b"\n" in data
            record += name.encode() + (b"\n" + len(data).to_bytes(8, "little") if has_newline else b"=") + data + b"\n"
        self.process.stdin.write(record + b"\n")
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
