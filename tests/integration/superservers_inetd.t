#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The handler under the inetds, with the entries that are shipped, and under a flood (G4)."""

import re
import sys
from contextlib import contextmanager

sys.dont_write_bytecode = True
import nmtest
from nmtest import PROJECT, ok
from superserver import (
    FAMILIES, INETD, PACKAGES, answers, check_flood, check_lines, check_reset, flood, in_box, inetd, run,
    running, sandbox,
)

XINETD = PACKAGES / "xinetd/usr/sbin/xinetd"


# ---- The inetds, with the entries that are shipped ----


def entry(name, box):
    """A shipped file, with its program and its user replaced."""
    text = in_box((PROJECT / "units" / name).read_text().replace("@SBINDIR@", "/usr/local/sbin"), box)
    assert re.search(r"^finger\b|^service finger$", text, re.MULTILINE)
    return re.sub(r"(user\s*= )nmnotify", rf"\1{box.user}", text)


@contextmanager
def xinetd(box, text):
    conf = box.dir / "xinetd.conf"
    conf.write_text(text)
    with running(XINETD, "-dontfork", "-f", conf, "-pidfile", "/run/xinetd.pid") as server:
        ok(nmtest.until(lambda: all(map(answers, FAMILIES)), 10), "xinetd: the entry is taken")
        yield server


def check_inetd(server, name, entry_name, stock):
    """`stock` makes the entry what it would be without our care."""
    with sandbox("user") as (box, _):
        with server(box, entry(entry_name, box)):
            for family in FAMILIES:
                check_lines(box, name, family)
            for family in FAMILIES:
                check_flood(box, name, family)
    with sandbox("user") as (box, _):
        text = stock(entry(entry_name, box))
        assert text != entry(entry_name, box)
        for family in FAMILIES:
            with server(box, text):
                # Its default is so many a second, which one flood on a busy machine may not reach.
                ok(any(flood(family) > 0 for _ in range(5)), f"{name}, {family}: its default would have refused some")
                ok(not answers(family), f"{name}, {family}: and refuse everybody afterwards")


def inetd_command(_, program, box):
    (box.dir / "inetd.conf").write_text(f"finger stream tcp nowait root {program} nmnotify\n")
    return [INETD, "-i", box.dir / "inetd.conf"]


def xinetd_command(_, program, box):
    (box.dir / "xinetd.conf").write_text(
        "service finger\n{\n\tsocket_type = stream\n\tprotocol = tcp\n\twait = no\n"
        f"\tuser = root\n\tserver = {program}\n}}\n"
    )
    return [XINETD, "-dontfork", "-f", box.dir / "xinetd.conf", "-pidfile", "/run/xinetd.pid"]


def openbsd_inetd():
    check_reset("inetd", inetd_command, 0.2, False)  # what is reset earlier it drops
    without = lambda text: re.sub(r"nowait\.\d+", "nowait", text)  # noqa: E731
    check_inetd(inetd, "inetd", "inetd.conf", without)
    with sandbox("user") as (box, _):
        more = re.sub(r"nowait\.(\d+)", lambda m: f"nowait.{int(m[1]) + 1}", entry("inetd.conf", box))
        with inetd(box, more):
            ok(flood("IPv4") > 0, "inetd: one more than the shipped limit means the default")


def xinetd_org():
    check_reset("xinetd", xinetd_command)
    without = lambda text: re.sub(r"\n\tcps\b.*", "", text)  # noqa: E731
    check_inetd(xinetd, "xinetd", "xinetd", without)


run({openbsd_inetd: str(INETD), xinetd_org: str(XINETD)})
