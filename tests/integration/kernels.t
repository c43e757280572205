#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Older kernels: each call of ARCHITECTURE.md's table is refused with ENOSYS, and what then stops, and what goes on, is
what stands there."""

import errno
import os
import re
import socket
import subprocess
import sys
from contextlib import closing

sys.dont_write_bytecode = True
import nmtest
import sender
from front import listener
from journal import REMOTES, Journal
from nmtest import BUILD, EX_OSERR, LINE, PROJECT, Sandbox, equal, ok, until
from receiver import Receiver
from refuse_at import REFUSE_AT, Counts
from relay import QUICK, Machine, Relay

REFUSE = str(BUILD / "tests" / "refuse")
PROGRAMS = ("nmnotify", "nmnotifyd", "nmnotify-send HOST", "nmnotify-relay", "nmnotify-relay-proxy", "nmnotify-relay-logs")
LOGIN = "imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, mpid=1, session=<x>"
FIELDS = {"_SYSTEMD_UNIT": "dovecot.service", "_UID": "0", "SYSLOG_IDENTIFIER": "dovecot"}


def rows():
    """(call, what each program does) of the table."""
    text = (PROJECT / "src/ARCHITECTURE.md").read_text().split("## The least kernel", 1)[1]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")]
    return [(cell[0].strip("`"), dict(zip(PROGRAMS, cell[-len(PROGRAMS):]))) for cell in cells]


def rows_of(program):
    """Without the calls that it has no use for: of fcntl(2) there are others, which no kernel lacks."""
    return [(call, what[program]) for call, what in ROWS if what[program] != "-"]


def without(box, call):
    # The one executes the program by the very call.
    if call != "execveat":
        return [REFUSE, call, str(errno.ENOSYS)]
    Counts(box.dir / "counts")
    return list(map(str, (REFUSE_AT, box.dir / "counts", call, errno.ENOSYS, 1, 0xFFFFFFFF)))


def configuration(box):
    # Landlock, but not for the recorder, which has to write to the sandbox.
    return box.config(f"from any\ninterval 0s\nlandlock no\naction {box.recorder()}\n")


def handlers():
    for call, what in rows_of("nmnotify"):
        stops = what == "stops"
        with Sandbox() as box:
            handler = box.start(configuration(box), data=LINE, end=True, prefix=without(box, call))
            equal(handler.wait(), EX_OSERR if stops else 0, f"{call}: nmnotify: {what}")
            equal(len(box.starts()), int(not stops), f"{call}: nmnotify: {'no' if stops else 'the'} action runs")
            ok(not stops or any("reason=" in line for line in box.log()), f"{call}: nmnotify: and if it stops, it says why")
            handler.close()
        with Sandbox() as box:
            conf = box.config("from any\ninterval 0s\nlandlock yes\naction /bin/true\n")
            handler = box.start(conf, data=LINE, end=True, prefix=without(box, call))
            equal(handler.wait(), EX_OSERR if stops else 0, f"{call}: nmnotify, with `landlock yes`")
            handler.close()
    with Sandbox() as box:
        result = sender.run(*without(box, "landlock_create_ruleset"), BUILD / "nmnotify", "-V")
    ok(re.search(rb"Landlock: not in this kernel", result.output), "landlock_create_ruleset: -V says that it is not there")


def services():
    for call, what in rows_of("nmnotifyd"):
        stops = what == "stops"
        with Sandbox() as box, listener("tcp") as listening:
            words = [*without(box, call), str(BUILD / "nmnotifyd"), "-f", str(configuration(box))]
            environment = dict(os.environ, RUNTIME_DIRECTORY=str(box.state_dir))
            with open(box.log_path, "a", encoding="utf-8") as log:
                process = subprocess.Popen(words, stdin=listening, stdout=log, stderr=log, env=environment)
            try:
                with socket.create_connection(listening.getsockname()[:2]) as client:
                    client.sendall(LINE)
                    until(lambda: box.starts() or process.poll() is not None or any("reason=" in line for line in box.log()))
                equal(len(box.starts()), int(not stops), f"{call}: nmnotifyd: {what}")
                ok(not stops or any("reason=" in line for line in box.log()), f"{call}: nmnotifyd: and if it stops, it says why")
            finally:
                process.terminate()
                process.wait(nmtest.PATIENCE)


def senders():
    for call, what in rows_of("nmnotify-send HOST"):
        goes_on = what == "goes on"
        with Sandbox() as box, socket.create_server(("127.0.0.1", 0)) as server:
            result = sender.run(*without(box, call), sender.SEND, "-e", "-w", "5", f"127.0.0.1:{server.getsockname()[1]}")
            equal(result.status == 0, goes_on, f"{call}: nmnotify-send HOST: {what}") or nmtest.diag(result)


def relays():
    for call, what in rows_of("nmnotify-relay"):
        text = f"{QUICK}user alice {{0}}\nuser bob localhost:{{0.port}}\n"
        with Machine() as machine, Relay(text.format(machine), activated=True) as relay:
            relay.kill()
            relay.start(wait=False, under=without(relay, call))
            for user in ("alice", "bob"):
                before = len(machine.lines)
                relay.tell(f"mail {user}")
                until(lambda: len(machine.lines) > before or relay.process.poll() is not None or relay.said("looks up names"))
            found = {0: "stops", 1: "no names", 2: "goes on"}[len(machine.lines)]
            equal((found, relay.process.poll()), (what, EX_OSERR if what == "stops" else None), f"{call}: nmnotify-relay: {what}")
            ok(what == "goes on" or "reason=" in str(relay.log()), f"{call}: nmnotify-relay: and if not all goes on, it says why")


def proxies():
    for call, what in rows_of("nmnotify-relay-proxy"):
        with (Sandbox() as box, closing(Receiver(box.dir / "inner")) as relay,
              closing(Receiver(box.dir / "outer")) as asked):
            words = [*without(box, call), BUILD / "nmnotify-relay-proxy", relay.path]
            process = subprocess.Popen(words, stdin=asked.socket, stderr=subprocess.PIPE, cwd="/")
            sender.run(sender.SEND, "-s", asked.path, "-u", "alice")
            goes_on(process, lambda: any(m.endswith(b"mail alice") for m in relay.messages()), what, f"{call}: nmnotify-relay-proxy")


def logs():
    if not REMOTES:
        nmtest.skip("nmnotify-relay-logs", "there is no systemd-journal-remote here")
        return
    for call, what in rows_of("nmnotify-relay-logs"):
        with Sandbox() as box, Journal(box.dir / "journal") as journal, closing(Receiver(box.dir / "socket")) as relay:
            until(lambda: list((box.dir / "journal").iterdir()))
            words = [BUILD / "nmnotify-relay-logs", "-l", "-D", box.dir / "journal", "-f", PROJECT / "units/nmnotify-relay-logs.conf"]
            process = subprocess.Popen([*without(box, call), *words, "-s", relay.path], stderr=subprocess.PIPE)

            def hears():
                """Again and again, for what came before it looked is not its business."""
                journal.write(FIELDS, LOGIN)
                return b"login alice 192.0.2.7" in relay.messages()

            goes_on(process, hears, what, f"{call}: nmnotify-relay-logs")


def goes_on(process, has_done, what, name):
    """Whether it does what it is for; if not, it has ended, and said why."""
    done = until(lambda: has_done() or process.poll() is not None, step=0.1) and process.poll() is None
    equal((done, process.poll()), (True, None) if what == "goes on" else (False, EX_OSERR), f"{name}: {what}")
    process.kill()
    said = process.communicate()[1]
    ok(what == "goes on" or said, f"{name}: and if it stops, it says why") or nmtest.diag(said)


ROWS = rows()
ok(len(ROWS) >= 8, "ARCHITECTURE.md: the table is there")
nmtest.run(handlers, services, senders, relays, proxies, logs)
