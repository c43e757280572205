#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The command line, and what is no connection."""

import ctypes
import os
import re
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
import nmtest
from conf import SEE, TIME, nothing_runs
from nmtest import BUILD, EX_CONFIG, EX_OSERR, LINE, NMNOTIFY, Sandbox, equal, ok, skip

PROGRAMS = (NMNOTIFY, BUILD / "nmnotifyd")


# ---- The command line ----


def version(box):
    """-V: the version alone on the first line, and then what can be had here."""
    abi = max(0, ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1))  # landlock_create_ruleset(2)
    for name in ("nmnotify", "nmnotifyd"):
        done = subprocess.run([BUILD / name, "-V"], capture_output=True, text=True)
        ok(done.returncode == 0 and done.stderr == "", f"conf: {name} -V")
        first, *lines = done.stdout.splitlines()
        ok(re.fullmatch(rf"{name} \d+\.\d+\.\d+", first), f"conf: {name} -V: {first}")
        said = dict(line.split(": ", 1) for line in lines)
        equal(said.get("policies"), "mail local none", f"conf: {name} -V: the policies")
        is_static = b"/ld-" not in (BUILD / name).read_bytes()[:4096]
        ok(said.get("libc", "").endswith("static" if is_static else "dynamic"), f"conf: {name} -V: libc: {said.get('libc')}")
        has_systemd = b"libsystemd.so" in (BUILD / name).read_bytes()
        equal(said.get("libsystemd"), "yes" if has_systemd else "no", f"conf: {name} -V: libsystemd")
        equal(said.get("seccomp"), "yes", f"conf: {name} -V: seccomp")
        landlock = said.get("Landlock", "")
        ok(landlock.startswith(f"ABI {abi}," if abi else "not in this kernel"), f"conf: {name} -V: Landlock: {landlock}")
        equal("no effect" in landlock, abi < 6, f"conf: {name} -V: whether isolate has an effect")


def command_line():
    with Sandbox() as box:

        def which(text, *args, conf=True):
            """The mark that the action has left."""
            for mark in box.out.glob("mark-*"):
                mark.unlink()
            path = box.config(text) if conf else None
            box.connect_and_run(path, args=args)
            return [m.name for m in box.out.glob("mark-*")]

        def action(mark):
            return f"action {box.recorder(f'mark=mark-{mark}')}"

        free = "from any\ninterval 0s\nlimit 1000/s burst 100\n"
        equal(which(free + action("file")), ["mark-file"], "conf: the file")
        equal(
            which(free + action("file"), "-o", action("option")),
            ["mark-option"],
            "conf: -o stands over a file's default",
        )
        equal(which(free, "-o" + action("option")), ["mark-option"], "conf: -o without a blank")
        equal(
            which(free + "account a\n" + action("account"), "-o", action("option")),
            ["mark-account"],
            "conf: an account's word stands over -o",
        )
        equal(
            which(free + action("file") + "\naccount a\n", "-o", action("option")),
            ["mark-option"],
            "conf: an account inherits what -o says",
        )
        equal(
            which(
                free + "account b\n" + action("file"),
                *("-o", "account a", "-o", "from any", "-o", action("option")),
            ),
            ["mark-option"],
            "conf: an account of -o comes first",
        )
        equal(
            which(
                free + "account b\n" + action("file"),
                *("-o", "account a", "-o", "from 192.0.2.1", "-o", action("option")),
            ),
            ["mark-file"],
            "conf: an account of -o that does not match",
        )
        path = box.config(free + action("file"))
        for args, message in (
            (["-o", "nonsense"], f"-o:1: there is no keyword 'nonsense': {SEE}"),
            (["-o", "bare-lf no", "-o", "interval x"], f"-o:2: interval: 'x' {TIME}"),
            (["-o", "timeout 1s", "-o", "timeout 2s"], "-o:2: timeout is said twice, first on line 1: leave out one of them"),
            (["-o", "log stderr\nfrom any"], "-o:1: a control character, '\\x0a': remove it"),
        ):
            status, _, err = box.check("-t", "-f", path, *args)
            equal((status, err), (EX_CONFIG, message + "\n"), f"conf: {args[-1]!r} of -o")
            nothing_runs(box, path, f"{args[-1]!r} of -o", args=args)
        bad = box.config("from any\ninterval x\n" + action("file"), "bad.conf")
        status, _, err = box.check("-t", "-f", bad, "-o", "interval 1s")
        ok(status == EX_CONFIG and f"interval: 'x' {TIME}" in err, "conf: what -o stands over is checked nevertheless")

        other = box.dir / "other"
        equal(box.connect_and_run(path, args=["-o", f"state {other}"]), 0, "conf: -o state")
        ok((other / "default" / "limits").exists(), "conf: -o state stands over the file's")
        log = len(box.log())
        box.connect_and_run(box.config(free + "log syslog\n" + action("file")), args=["-o", "log stderr"])
        ok(len(box.log()) > log, "conf: -o log stands over the file's")

        env = free + f"env A=file B=file\naction {box.recorder('facts=facts')}\n"
        box.connect_and_run(box.config(env), args=["-o", "env A=option C=option"])
        facts = (box.out / "facts").read_text().splitlines()
        ok({"env A=file", "env B=file", "env C=option"} <= set(facts), "conf: env adds up, the later one wins")

        for args, wanted in (
            (["-x"], "-x"),
            (["-f"], "-f"),
            (["-o"], "-o"),
            (["--help"], "--help"),
            (["something"], "something"),
            (["-"], "-"),
            (["--", "something"], "something"),
            (["something", "-h"], "something"),
            (["-tx"], "-tx"),
            (["-t", "-f"], "-f"),
            (["-tf"], "-tf"),
            (["-t\udcff"], "-t\\xff"),
        ):
            for program in PROGRAMS:
                status, out, err = box.check(*args, program=program)
                told = f"'{wanted}'\n" in err and f"\nusage: {program.name} " in err
                ok(status == EX_CONFIG and out == "" and told, f"conf: {program.name} {args} is refused")
        status, _, err = box.check("-s", "default", "-f", path, program=BUILD / "nmnotifyd")
        ok(status == EX_CONFIG and "'-s'\n" in err, "conf: nmnotifyd has no -s")
        for program in PROGRAMS:
            status, out, err = box.check("-h", program=program)
            ok(status == 0 and out.startswith(f"usage: {program.name} ") and err == "", f"conf: {program.name} -h")
            for args in (["-tf", path], [f"-tf{path}"], ["-f", path, "-t", "--"]):
                status, out, err = box.check(*args, program=program)
                ok(status == 0 and out.startswith("state ") and err == "", f"conf: {program.name} {args[0]}")
        equal(box.check("-f", path, "-o", "-t"), (EX_CONFIG, "", ""), "conf: -t behind -o is its word, and checks nothing")
        version(box)

        if os.path.exists("/etc/nmnotify.conf"):
            skip("conf: -o without a file", "there is an /etc/nmnotify.conf")
            return
        options = [f"state {box.state_dir}", "log stderr", "from any", "interval 0s", action("option")]
        options += [f"user {box.user}"] if box.user else []
        args = [word for option in options for word in ("-o", option)]
        equal(which("", *args, conf=False), ["mark-option"], "conf: -o needs no file at the usual place")
        handler = box.start(None, data=LINE)
        equal(handler.wait(), EX_CONFIG, "conf: without -o a missing file is an error")


# ---- Accounts and networks ----


def no_connection():
    """Descriptor 0 is something else."""
    with Sandbox() as box:
        conf = box.config(f"from any\naction {box.recorder()}\n")
        systemd = {"NOTIFY_SOCKET": "/nowhere"}  # under inetd it would rest for 10 s
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            handler = box.start(conf, fds="unix", descriptors={0: listener.fileno()}, env=systemd)
            equal(handler.wait(), EX_CONFIG, "status: conf: a listening socket")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            datagram.bind(("127.0.0.1", 0))
            handler = box.start(conf, fds="unix", descriptors={0: datagram.fileno()}, env=systemd)
            equal(handler.wait(), EX_CONFIG, "status: conf: a datagram socket")
        handler = box.start(conf, fds="unix", descriptors={0: None})
        equal(handler.wait(), EX_OSERR, "status: conf: no descriptor 0")
        handler = box.start(conf, fds="unix", descriptors={0: None, 1: None, 2: None})
        equal(handler.wait(), EX_OSERR, "status: conf: no descriptors at all")
        equal(
            box.messages(),
            [
                'verdict=error reason="descriptor 0 is a listening socket, not a connection"',
                'verdict=error reason="descriptor 0 is a datagram socket, not a connection"',
            ],
            "log: conf: no connection",
        )
        equal(box.starts(), [], "conf: no connection: nothing runs")


nmtest.run(command_line, no_connection)
