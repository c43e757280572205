#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyctl try: the action runs here, confined as always, and what is refused to it is named."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from ctl import CTL
from nmtest import BUILD, Sandbox, equal, is_root, ok, skip, until
from turn import RETRYING

EX_USAGE, EX_UNAVAILABLE = 64, 69
PYTHON = "/usr/bin/python3"


class Tried:
    """What came of `try` with an action."""

    def __init__(self, box, script, shell="/bin/sh", settings=""):
        conf = box.config(f"from any\ninterval 0s\nlimit 1000/s burst 100\n{settings}\naction {shlex.join([shell, '-c', script])}\n")
        self.status, self.out, self.err = box.check("-p", BUILD / "nmnotify", "-f", conf, "try", "default", program=CTL)
        self.said = [re.sub(r"\[\d+\]", "[N]", line[17:]) for line in self.err.splitlines() if line.startswith("nmnotifyctl try: ")]

    def has(self, pattern, name):
        ok(any(re.search(pattern, line) for line in self.said), name) or nmtest.diag(self.err)


# Each thread asks for what only root may have.
THREADS = """
import os, threading
def ask():
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    except OSError:
        pass
threads = [threading.Thread(target=ask) for _ in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def script(box, text):
    path = box.dir / "script"
    path.write_text(text)
    return path


def can_trace():
    with Sandbox() as box:
        return "cannot be seen" not in Tried(box, ":").err


def what_it_does():
    with Sandbox() as box:
        tried = Tried(box, "echo here; exit 3", settings="log syslog")
        equal(tried.status, 3, "try: ends as the action does")
        ok("here\n" in tried.err, "try: the action's output is seen")
        ok("run=ended account=default source=local status=3" in tried.err, "try: and the log, wherever it goes else")
        equal(box.state().starts, 1, "try: it is a start like any other")
        if "cannot be seen" not in tried.err:
            equal(tried.said, ["nothing was refused: what it has failed for, it says above"], "try: says that nothing was refused")
        equal(Tried(box, "kill -9 $$").status, 137, "try: a signal's number")
        tried = Tried(box, f"sleep 300 >/dev/null 2>&1 & echo $! > {box.out}/left")
        left = int((box.out / "left").read_text())
        ok(nmtest.is_alive(left), "try: what the action leaves behind goes on")
        nmtest.kill(left)


def calls():
    with Sandbox() as box:
        tried = Tried(box, "import socket; socket.socket(socket.AF_ALG, 5, 0)", PYTHON)
        tried.has(r"^python3\[N\]: socket\(38, .*\): refused by `confine mail`; `confine none` would allow it$", "try: a call that another policy allows")
        equal(tried.said[-1], "refused calls: 1, different ones: 1", "try: counts")
        tried = Tried(box, "import ctypes; l = ctypes.CDLL(None); [l.ptrace(0, 0, 0, 0) for i in range(5)]", PYTHON)
        tried.has(r"^python3\[N\]: ptrace\(.*\): refused by `confine mail`; no policy allows it: let a service of its own do that$", "try: a call that no policy allows")
        equal(tried.said[-1], "refused calls: 5, different ones: 1", "try: is said once")
        tried = Tried(box, f"exec(open('{script(box, THREADS)}').read())", PYTHON)
        tried.has(r"^python3\[N\]: setpriority\(0, 0, .*\): [A-Z].*; user \S+ has no privilege for it, and an action gets none$", "try: threads, a call that the kernel refuses")
        tried = Tried(box, "for i in $(seq 100); do (:) & (cat /etc/hostname >/dev/null); done; wait; cat /root/x/y /etc/shadow")
        equal(tried.status, 1, "try: many processes")


def files():
    with Sandbox() as box:
        secret = box.dir / "secret"
        secret.write_text("x")
        secret.chmod(0)
        if is_root() and not box.user:
            skip("try: files", "the action runs as root")
            return
        tried = Tried(box, f"cd {box.dir}; cat secret; cat ./secret; echo >> {secret}; {secret}")
        tried.has(rf"^cat\[N\]: openat\({secret}\): Permission denied; user \S+ may not read it", "try: a file by its relative name")
        tried.has(rf"^sh\[N\]: openat\({secret}\): Permission denied; user \S+ may not write it", "try: a file that is written to")
        tried.has(rf"^sh\[N\]: execve\({secret}\): Permission denied; user \S+ may not execute it", "try: a program")
        tried = Tried(box, "mkdir /etc/nmnotify-test")
        tried.has(r"^mkdir\[N\]: mkdir\(/etc/nmnotify-test\): Permission denied; user \S+ may not write it", "try: a directory")
        odd = box.dir / "\033[2J"
        odd.write_text("x")
        odd.chmod(0)
        tried = Tried(box, f"cat {box.dir}/*2J")
        tried.has(r"openat\(\S*\\x1b\[2J\)", "try: a terminal obeys no name")


def landlock():
    with Sandbox() as box:
        version = box.check("-V")[1]
        if "ports" not in version or not box.user:
            skip("try: Landlock", "the kernel has none, or the action runs as root")
            return
        place = box.dir / "place"
        place.mkdir()
        place.chmod(0o777)
        (place / "file").write_text("x")
        (place / "file").chmod(0o666)
        tried = Tried(box, f"cat {box.dir}/nmnotify.conf; echo >> {place}/file; echo > {place}/new", settings="landlock yes\nread /usr /bin /lib /lib64 /dev /etc\nwrite /dev/null")
        tried.has(rf"^cat\[N\]: openat\({box.dir}/nmnotify.conf\): Permission denied; no action may reach nmnotify's own files: keep the action's elsewhere$", "try: the configuration")
        tried.has(rf"^sh\[N\]: openat\({place}/file\): Permission denied; user \S+ may, but not the action: `write {place}/file` would allow it$", "try: Landlock, a file")
        tried.has(rf"^sh\[N\]: openat\({place}/new\): Permission denied; user \S+ may, but not the action: `write {place}` would allow it$", "try: Landlock, a file that is not there yet")
        tried = Tried(box, "import socket; socket.create_connection(('127.0.0.1', 4444))", PYTHON, "landlock yes")
        tried.has(r"^python3\[N\]: connect\(127\.0\.0\.1 port 4444\): Permission denied; `connect 4444` would allow it$", "try: Landlock, a port")


def interrupted():
    with Sandbox() as box:
        conf = box.config(f"from any\naction {box.recorder('sleep=300000')}\n")
        process = subprocess.Popen(
            [CTL, "-p", BUILD / "nmnotify", "-f", conf, "try", "default"], stderr=subprocess.PIPE, text=True, process_group=0
        )
        ok(box.wait_starts(1), "try: a run")
        os.killpg(process.pid, signal.SIGINT)
        err = process.communicate(timeout=nmtest.PATIENCE)[1]
        equal(process.returncode, 128 + signal.SIGTERM, "try: interrupted: ends the action first")
        ok("reason=signal" in err, "try: interrupted: and says so") or nmtest.diag(err)
        ok(not box.is_in_run(), "try: interrupted: no run goes on")


def sleepers(conf):
    """Handlers that know this configuration."""
    def words(entry):
        try:
            return (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return []

    is_one = lambda name, *rest: name.endswith(b"nmnotify") and str(conf).encode() in rest
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if is_one(*words(entry) or [b""])]


def retries():
    """Who types it waits for the run, not for the next one: what is waited for here is the end of its output, too."""
    for command in ("try", "start"):
        with Sandbox() as box:
            well = box.out / "well"
            action = f"/bin/sh -c '{box.recorder()}; test -e {well}'"
            tell = lambda: box.check("-p", BUILD / "nmnotify", "-f", conf, command, "default", program=CTL)[0]
            conf = box.config(f"from any\ninterval 0s\nlimit 1000/s burst 100\nlog stderr\nretry 1h\naction {action}\n")
            equal(tell(), 1, f"{command}: with retry: the status of the run that failed")
            ok(until(lambda: box.lock_is_held(RETRYING)), f"G1: {command}: another process waits for the retry")
            equal(len(sleepers(conf)), 1, f"{command}: it is one")
            equal(os.readlink(f"/proc/{sleepers(conf)[0]}/fd/2"), "/dev/null", f"{command}: which writes to no terminal")
            equal(tell(), 1, f"{command}: again")
            ok(until(lambda: len(sleepers(conf)) == 1), f"G4: {command}: it is one still")
            nmtest.kill(sleepers(conf)[0])
            ok(until(lambda: not box.lock_is_held(RETRYING)), f"{command}: it is killed")
            well.touch()
            count = len(box.starts())
            equal(box.connect_and_run(conf), 0, f"G1: {command}: a line runs the action")
            equal((len(box.starts()), box.state().due), (count + 1, 0), f"G1: {command}: and that pays for it")
            well.unlink()
            conf = box.config(f"from any\ninterval 0s\nlimit 1000/s burst 100\nretry 1s\naction {action}\n")
            count = len(box.starts())
            equal(tell(), 1, f"{command}: retry 1s: a run that fails")
            well.touch()
            ok(box.wait_ends(count + 2), f"G1: {command}: it is tried again")
            starts = box.starts()
            ok(starts[-1] - starts[-2] >= 10**9, f"{command}: not before `retry` is over")
            ok(until(lambda: not sleepers(conf) and not box.state().due), f"{command}: then nothing is owed")


def mistakes():
    with Sandbox() as box:
        conf = box.config("from any\naction /bin/true\n")
        equal(box.check("-f", conf, "try", "other", program=CTL)[0], EX_USAGE, "try: an account that is not there")
        status, _, err = box.check("-p", box.dir / "none", "-f", conf, "try", "default", program=CTL)
        equal(status, EX_UNAVAILABLE, "try: a listener that is not there")
        ok("none: No such file" in err, "try: its name is said")


if can_trace():
    nmtest.run(what_it_does, calls, files, landlock, interrupted, retries, mistakes)
else:
    skip("try: calls, files", "ptrace(2) is not allowed here")
    nmtest.run(what_it_does, interrupted, retries, mistakes)
