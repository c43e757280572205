#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyctl history: lines and runs by hour or day, from a journal's files."""

import json
import os
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import nmtest
from ctl import CTL
from journal import REMOTES, Journal
from nmtest import PATIENCE, PROJECT, Sandbox, diag, equal, ok, skip

EX_USAGE, EX_NOINPUT = 64, 66
# Monday, 2 March 2026, 00:00 UTC.
MIDNIGHT = 1772409600
HOUR, DAY = 3600, 86400
PICTURE = PROJECT / "src/ctl/history.svg"


def history(directory, *args, zone="UTC"):
    got = subprocess.run(
        [CTL, "history", "--directory", directory, *args],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={"PATH": "/usr/bin:/bin", "TZ": zone},
    )
    return got.returncode, got.stdout, got.stderr


def document(directory, *args, **how):
    status, out, err = history(directory, "--json", *args, **how)
    equal((status, err), (0, ""), f"history {' '.join(args)}: can be told")
    return json.loads(out)


class Log:
    """What the listener would have logged."""

    def __init__(self, journal):
        self.journal = journal

    def line(self, at, verdict="accepted", account="default", **more):
        self._write(at, {"NMNOTIFY_VERDICT": verdict, "NMNOTIFY_ACCOUNT": account, **more})

    def run(self, begin, seconds, status=0, account="default", program="nmnotify"):
        fields = {"NMNOTIFY_RUN": "ended", "NMNOTIFY_ACCOUNT": account, "NMNOTIFY_STATUS": status}
        self._write(begin + seconds, {**fields, "NMNOTIFY_SECONDS": f"{seconds:.2f}"}, program)

    def _write(self, at, fields, program="nmnotify"):
        self.journal.write({"SYSLOG_IDENTIFIER": program, "PRIORITY": 5, **fields}, "x", at=at)


def day(journal):
    """A day with more mail at noon."""
    log = Log(journal)
    for hour in range(24):
        for i in range(1 + (12 - abs(12 - hour)) // 2):
            at = MIDNIGHT + hour * HOUR + i * 300
            log.line(at)
            log.run(at + 0.25, 2, status=1 if hour == 15 and i < 2 else 0)


def window(begin=MIDNIGHT, length=DAY):
    stamp = lambda t: time.strftime("%Y-%m-%d %H:%M", time.gmtime(t))
    return "--since", stamp(begin), "--until", stamp(begin + length)


def told(box):
    directory = box.dir / "journal"
    with Journal(directory) as journal:
        log = Log(journal)
        log.line(MIDNIGHT - HOUR, account="other")
        log.line(MIDNIGHT + 100)
        log.run(MIDNIGHT + 100.5, 10)
        # Two lines come while it runs: one waits, and its start is the other's, too.
        log.line(MIDNIGHT + 200)
        log.run(MIDNIGHT + 200, 90, status=143)
        log.line(MIDNIGHT + 220, "deferred")
        log.line(MIDNIGHT + 230, "coalesced", NMNOTIFY_SUPPRESSED=7)
        log.run(MIDNIGHT + 290, 1, program="nmnotifyd")
        log.line(MIDNIGHT + HOUR, account="other")
        log.line(MIDNIGHT + HOUR, "denied", "", NMNOTIFY_SOURCE="192.0.2.1")
        log.run(MIDNIGHT + HOUR + 3, 0.5, account="other")
        journal.write({"SYSLOG_IDENTIFIER": "else", "NMNOTIFY_VERDICT": "accepted"}, "x", at=MIDNIGHT + 1)
        for odd in ("nan", "inf", "-1", "1e300", "x", "9" * 500):
            journal.write({"SYSLOG_IDENTIFIER": "nmnotify", "NMNOTIFY_RUN": "ended", "NMNOTIFY_SECONDS": odd}, "x", at=MIDNIGHT + 2 * HOUR)
    first, second, third = (got := document(directory, *window(length=3 * HOUR)))["periods"]
    equal(got["by"], "hour", "history: a day is by hours")
    equal([p["begin"] for p in got["periods"]], [MIDNIGHT, MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR], "history: by the clock's hours")
    wanted = {"accepted": 2, "deferred": 1, "coalesced": 8, "denied": 0, "malformed": 0, "timeout": 0, "error": 0}
    equal(first["verdicts"], wanted, "history: verdicts, and those that had no line of their own")
    equal((first["lines"], first["runs"], first["failed"]), (11, 3, 1), "history: lines, runs, failures")
    ok(abs(first["run_seconds"] - 101) < 0.02, "history: how long the runs took")
    equal(first["longest_run_seconds"], 90, "history: the longest")
    equal(first["delays"], 3, "history: each run is for a line")
    ok(abs(first["delay_seconds"] - 70.5) < 0.05 and abs(first["longest_delay_seconds"] - 70) < 0.05, "history: from the line to its start") or diag(str(first))
    equal((second["lines"], second["verdicts"]["denied"], second["runs"]), (1, 1, 1), "history: the next hour")
    equal((third["lines"], third["runs"], third["run_seconds"]), (0, 6, 0), "history: lengths that are none")
    equal(got["all"]["runs"], 10, "history: all of it")
    other = document(directory, "other", *window(length=3 * HOUR))
    equal((other["all"]["lines"], other["all"]["runs"], other["all"]["longest_delay_seconds"]), (1, 1, 3), "history: of one account")
    status, out, _ = history(directory, *window(length=3 * HOUR))
    rows = out.splitlines()
    equal((status, len(rows)), (0, 6), "history: bars: a row an hour, its head, all, the verdicts")
    equal([row.count("#") for row in rows[1:4]], [17, 2, 0], "history: bars: as long as there are lines, and never nothing")
    ok(re.match(r"2026-03-02 00:00 #+ +11 +3 +1 +33\.7s +23\.50s$", rows[1]), "history: bars: the numbers") or diag(rows[1])
    ok("\033" not in out, "history: bars: no colour if it is no terminal")


def days(box):
    directory = box.dir / "days"
    with Journal(directory) as journal:
        log = Log(journal)
        # Europe's clocks went forward on 29 March 2026.
        for i in range(40):
            log.line(MIDNIGHT + i * DAY + 12 * HOUR)
    got = document(directory, *window(length=40 * DAY), zone="Europe/Berlin")
    equal(got["by"], "day", "history: weeks are by days")
    lengths = {b["begin"] - a["begin"] for a, b in zip(got["periods"], got["periods"][1:])}
    equal(lengths, {DAY, 23 * HOUR}, "history: a day can have 23 hours")
    equal({p["lines"] for p in got["periods"][1:-1]}, {1}, "history: each day has its own")
    equal(len(document(directory, *window(length=3 * DAY), "--by", "day")["periods"]), 3, "history: by day, as was asked for")
    status, _, err = history(directory, "--since", "2000-01-01", "--by", "hour")
    ok(status == EX_USAGE and "say --by day" in err, "history: too many hours")


def picture(box):
    directory = box.dir / "picture"
    with Journal(directory) as journal:
        day(journal)
    status, out, err = history(directory, "--svg", *window())
    equal((status, err), (0, ""), "history: a picture")
    equal(out.count('fill="#c62828"'), 1, "history: a picture: failures in their hour")
    if os.environ.get("DRAW"):
        PICTURE.write_text(out)
    equal(out, PICTURE.read_text(), f"history: {PICTURE.name} is that picture") or diag("DRAW=1 tests/integration/ctl_history.t draws it anew")


def mistakes(box):
    directory = box.dir / "empty"
    directory.mkdir()
    equal(document(directory, *window())["all"]["runs"], 0, "history: an empty journal")
    (directory / "x.journal").write_bytes(b"LPKSHHRH" + bytes(100))
    equal(history(directory, *window())[0], 0, "history: a journal that is damaged")
    equal(history(box.dir / "none", *window())[0], EX_NOINPUT, "history: no such directory")
    for words in (("--since", "tomorrow"), ("--since", "2100-01-01"), ("--by", "week"), ("a", "b"), ("--what",), ("--since",), ("--until", "2d", "--since", "1d"), ("--since", "99999999999w")):
        status, out, err = history(directory, *words)
        ok((status, out) == (EX_USAGE, "") and "usage: nmnotifyctl history" in err, f"history {' '.join(words)}: is refused")


def main():
    if not REMOTES:
        skip("history", "there is no systemd-journal-remote here to make a journal")
        return
    with Sandbox() as box:
        for part in (told, days, picture, mistakes):
            part(box)


nmtest.run(main)
