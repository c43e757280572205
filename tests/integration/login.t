#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotify-login: S3, whatever happens to what it hands over, the command is executed, at once and with nothing
changed; S6, whose login it is."""

import os
import re
import signal
import socket
import sys

sys.dont_write_bytecode = True
import nmtest
import sender
from nmtest import BUILD, Sandbox, diag, equal, ok, skip
from receiver import Receiver, fields, private_run_and_dev
from sender import EX_USAGE, IGNORED

LOGIN = BUILD / "nmnotify-login"

DOVECOT = {"USER": "alice", "IP": "192.0.2.7", "LOCAL_IP": "192.0.2.1", "HOME": "/home/alice"}
COURIER = {"AUTHENTICATED": "alice", "TCPREMOTEIP": "::ffff:192.0.2.7", "PROTOCOL": "IMAP"}
PAM = {"PAM_SERVICE": "dovecot", "PAM_USER": "alice", "PAM_RHOST": "192.0.2.7", "PAM_TYPE": "open_session"}
TOLD = [b"login alice 192.0.2.7"]


def logins():
    with Sandbox() as box:
        relay = Receiver(box.dir / "socket")
        cases = {
            "Dovecot": ([], DOVECOT, TOLD),
            "Courier": ([], COURIER, TOLD),
            "PAM": ([], PAM, TOLD),
            "options": (["-u", "alice", "-a", "192.0.2.7"], {}, TOLD),
            "options first": (["-u", "alice", "-a", "192.0.2.7"], {"USER": "bob", "IP": "::1"}, TOLD),
            "IPv6": ([], {"USER": "a b@example.org", "IP": "2001:DB8:0::7"}, [b"login a b@example.org 2001:db8::7"]),
            "the end of PAM's session": ([], {**PAM, "PAM_TYPE": "close_session"}, []),
            "PAM before it has let in": ([], {**PAM, "PAM_TYPE": "auth"}, []),
            "a name for an address": ([], {**PAM, "PAM_RHOST": "client.example.org"}, []),
            "no address": ([], {**DOVECOT, "IP": ""}, []),
            "no user": ([], {**DOVECOT, "USER": ""}, []),
            "a user of two lines": ([], {**DOVECOT, "USER": "a\nlogin bob ::1"}, []),
            "nothing": ([], {}, []),
        }
        for name, (words, env, wanted) in cases.items():
            for command, said in (([], b""), (["/bin/echo", "-n", "in"], b"in")):
                result = sender.run(LOGIN, "-s", relay.path, *words, *command, env=env)
                what = f"{name}{', with a command' if command else ''}"
                ok((result.status, result.output) == (0, said), f"S3: {what}: status, and not a word of its own") or diag(result)
                equal(relay.messages(), wanted, f"S6: {what}: what is handed over")


# ---- The command ----

SHOW = r"""
import os, signal, sys
fds = []
for fd in range(64):
    try:
        fds.append((fd, os.readlink(f"/proc/self/fd/{fd}"), os.get_inheritable(fd)))
    except OSError:
        pass
ways = [l for l in open("/proc/self/status").read().splitlines() if l.startswith(("SigB", "SigI", "SigC", "SigP", "Shd", "Uid", "Gid", "Groups", "Cap", "NoNew", "Seccomp", "Umask"))]
print(sys.argv[1:], sorted(os.environ.items()), [f for f in fds if "/proc/" not in f[1]], ways, os.getcwd(), os.getpgid(0) == os.getppid(), sep="\n")
"""


def changes():
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGALRM])
    os.umask(0o27)


def unchanged():
    """All that a program can see of how it was started is the same as without us."""
    with Sandbox() as box:
        relay = Receiver(box.dir / "socket")
        ours, theirs = socket.socketpair()
        show = box.dir / "show.py"
        show.write_text(SHOW)
        command = ["/usr/bin/python3", "-S", "-E", show, "a b", "", "-x", "--"]
        if not os.path.exists(command[0]):
            command[0] = sys.executable
        closings = {"": (), ", closed: 0": (0,), ", closed: 0 and 2": (0, 2)}
        for path, how in ((relay.path, "handed over"), (box.dir / "none", "not handed over")):
            for name, closed in closings.items():
                def prepare(closed=closed):
                    changes()
                    for fd in closed:
                        os.close(fd)

                plain = sender.run(*command, env=DOVECOT, prepare=prepare, pass_fds=[theirs.fileno()])
                chained = sender.run(LOGIN, "-s", path, *command, env=DOVECOT, prepare=prepare, pass_fds=[theirs.fileno()])
                strip = lambda text: re.sub(r"pipe:\[\d+\]", "pipe", text.decode())
                equal((chained.status, strip(chained.output)), (plain.status, strip(plain.output)), f"S3: nothing is changed, {how}{name}")
                ok(plain.status == 0 and b"SigIgn" in plain.output, f"and it can see{name}") or diag(plain)
        ours.close()
        theirs.close()


def commands():
    with Sandbox() as box:
        relay = Receiver(box.dir / "socket")
        run = lambda *words, **how: sender.run(LOGIN, "-s", relay.path, *words, **{"env": DOVECOT, **how})
        equal(run("/bin/sh", "-c", "exit 7").status, 7, "S3: the command's exit status is its own")
        equal(run("false", env={**COURIER, "PATH": "/usr/bin:/bin"}).status, 1, "by PATH, as Courier's script needs it")
        for words, status in ((["/no/such"], 127), ([box.dir], 126), (["no-such"], 127)):
            result = run(*words)
            equal((result.status, result.output), (status, b""), f"no command: {words[0]}: status {status}, and not a word")
        equal(len(relay.messages()), 5, "the login is handed over all the same")
        for words in (["-x"], ["-u", "alice"], ["-a", "::1"], ["-u"]):
            result = run(*words)
            equal((result.status, result.output), (0, b""), f"S3: a wrong call, {' '.join(words)}: status 0, and not a word")
        equal(relay.messages(), [], "nothing is handed over")
        equal(run("-x", "/bin/echo", "in").output, b"in\n", "S3: a wrong call: the command is executed")
        status, shown = sender.typed(LOGIN, "-x")
        ok(status == EX_USAGE and "usage: nmnotify-login" in shown, "a wrong call is said at a terminal") or diag(shown)
        status, shown = sender.typed(LOGIN, "-s", box.dir / "none", "-u", "alice", "-a", "::1")
        ok(status == 0 and "user alice: " in shown, "what fails is said at a terminal") or diag(shown)
        ok(run("-V").output.startswith(b"nmnotify-login ") and run("-h").output.startswith(b"usage: "), "-V and -h")


def logged():
    if not sender.has_daemons():
        skip("S4: what was not handed over is in the log", "no mount namespace")
        return
    private_run_and_dev()
    try:
        journal = Receiver("/run/systemd/journal/socket")
        for env, wanted in (
            (DOVECOT, "login=failed user=alice reason=\"/run/nmnotify-relay/socket: No such file or directory\""),
            ({**PAM, "PAM_RHOST": "x"}, 'login=failed user=alice reason="the address is none"'),
            ({}, 'login=failed reason="it is told of no login: neither by -u and -a, nor by PAM, Courier or Dovecot"'),
        ):
            result = sender.run(LOGIN, "/bin/echo", "in", env=env)
            equal((result.status, result.output), (0, b"in\n"), "S3: without a relay: the command is executed")
            equal([fields(d)["MESSAGE"] for d in journal.messages()], [wanted], "S4: what was not handed over is in the log")
        sender.run(LOGIN, "/no/such", env={})
        (_, last) = [fields(d)["MESSAGE"] for d in journal.messages()]
        equal(last, 'command=failed name=/no/such reason="No such file or directory"', "S4: so is a command that is not there")
    finally:
        nmtest.unmount("/dev")
        nmtest.unmount("/run")


nmtest.run(logins, unchanged, commands, logged)
