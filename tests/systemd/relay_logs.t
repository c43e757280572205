#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Logins from the journal, in containers of Debian 12 and 13: Dovecot 2.3 and 2.4 log them, the relay believes
them, and what anybody else writes there counts for nothing."""

import os
import re
import socket
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import container
import documents
import nmtest
from nmtest import diag, equal, ok, until

RELEASES = ("bookworm", "trixie")
# This process's; without, it is the one that starts the others.
RELEASE = "".join(sys.argv[1:2]) or None
RELAY, LOGS = "nmnotify-relay.service", "nmnotify-relay-logs.service"
CONFIG = "idle 0s\ninterval 100ms\nsettle 0s\nnever 192.0.2.0/24\nuser * last\n"
DOVECOT = {"2.3": "disable_plaintext_auth = no\n", "2.4": "auth_allow_cleartext = yes\n"}
LOGIN = {"2.3": "Login", "2.4": "Logged in"}
# systemd-analyze security, in tenths.
EXPOSURE_MOST = 2

box = container.Container(RELEASE)
docs = documents.Documents()


def sh(command, user=None, check=True):
    return box.run("bash", "-c", command, user=user, check=check)


def typed(block):
    result = sh("set -e\n" + "\n".join(documents.commands(block, "#")), check=False)
    ok(result.returncode == 0, f"typed: {'; '.join(documents.commands(block, '#'))}") or diag(result.stderr)


def imap(address, user="alice", password="secret"):
    with socket.create_connection(("127.0.0.1", 143), 20, (address, 0)) as s, s.makefile("rb") as answers:
        answers.readline()
        s.sendall(f'a LOGIN "{user}" {password}\r\n'.encode())
        said = next(line for line in answers if line.startswith((b"a ", b"* BYE")))
        s.sendall(b"b LOGOUT\r\n")
    return b"a OK" in said


def pop3(address):
    with socket.create_connection(("127.0.0.1", 110), 20, (address, 0)) as s, s.makefile("rb") as answers:
        s.sendall(b"USER alice\r\nPASS secret\r\nQUIT\r\n")
        return b"+OK Logged in" in b"".join(answers)


def counts():
    """Logins handed over, those that were not, unclear lines."""
    return tuple(int(number) for number in re.findall(r"\d+", box.show(LOGS, "StatusText")))


bobs = 0


def marks():
    """bob logs in: what was written in the journal before has been read by the time that he has. On a machine that
    is so busy that it is read too late, again."""
    global bobs
    before = counts()
    for _ in range(10):
        bobs += 1
        imap("127.0.0.8", "bob")
        if until(lambda: counts()[0] > before[0], 10):
            return True
    return False


def is_told(address, name, login=None):
    """alice logs in, and is told there; on a busy machine likewise."""
    ok(until(lambda: (login or imap)(address) and told_at() == address, 60), name)


def told_at(user="alice"):
    """Where the relay tells him: his last address."""
    after = time.time()
    box.run("/usr/local/bin/nmnotify-send", "-e", "-u", user)

    def found():
        box.run("journalctl", "--sync", check=False)
        lines = [str(r.get("MESSAGE")) for r in box.journal("SYSLOG_IDENTIFIER=nmnotify-relay", after=after)]
        return re.findall(rf"told=done user={user}.* to=(\S+):79", "\n".join(lines))

    return (until(found, 20) or [None])[0]


def line(user, address):
    word = LOGIN[version()]
    return f"imap-login: {word}: user=<{user}>, method=PLAIN, rip={address}, lip=127.0.0.1, mpid=1, session=<x>"


def version():
    return ".".join(box.output("dovecot", "--version").split(".")[:2])


# ---- What is tested ----


def set_up():
    with open(box.root / "etc/nmnotify-relay.conf", "w") as conf:
        conf.write(CONFIG + docs.take("man/nmnotify-relay-logs.8", "trust   nmnotify-relay-logs"))
    typed(docs.take("man/nmnotify-relay-logs.8", "systemctl enable --now"))
    ok(box.is_active(LOGS), "it runs")
    equal(box.show(LOGS, "User"), "nmnotify-relay-logs", "it has a user of its own")
    typed(docs.take("man/nmnotify-relay-logs.8", "nmnotify-relay-logs -t"))
    ok(until(lambda: counts() == (0, 0, 0), 20), "it says what it has seen: nothing") or diag(box.show(LOGS, "StatusText"))


def logins():
    is_told("127.0.0.5", "alice logs in by IMAP, and is told where she was")
    form = docs.take("man/nmnotify-relay-logs.8", "1 logins handed over").strip()
    equal(*(re.sub(r"\d+", "N", text) for text in (box.show(LOGS, "StatusText"), form)), "the status has the form that the page says")
    is_told("127.0.0.6", "alice logs in by POP3, and is told where she was last", pop3)
    ok(not imap("127.0.0.7", password="wrong"), "who has the wrong password is not in")
    ok(marks(), "somebody else is")
    equal(told_at(), "127.0.0.6", "a failure is no login")


def names():
    """Strangers choose them."""
    before = counts()[0] - bobs
    for name in ("alice>, method=PLAIN, rip=127.0.0.66, lip=127.0.0.1", "x " + line("alice", "127.0.0.66"), "x" * 700 + line("alice", "127.0.0.66")):
        imap("127.0.0.9", name, "wrong")
    ok(marks(), "names that look like lines: and then a login")
    equal(told_at(), "127.0.0.6", "names that look like lines are nobody's login")
    ok(counts()[0] - bobs <= before, "none of them was handed over")


def forged():
    before = counts()[0] - bobs
    text = line("alice", "127.0.0.66")
    fields = f"MESSAGE={text}\\nSYSLOG_IDENTIFIER=dovecot\\n_UID=0\\n_SYSTEMD_UNIT=dovecot.service\\n"
    for user in ("alice", "nobody", None):
        sh(f"logger -t dovecot '{text}'", user=user)
        sh(f"printf '{fields}' | logger --journald", user=user)
        sh(f"echo '{text}' | systemd-cat -t dovecot", user=user)
    sh(f"systemd-run --quiet --wait --uid=alice -p SyslogIdentifier=dovecot echo '{text}'")
    sh(f"systemd-run --quiet --wait --unit=dovecot-x -p SyslogIdentifier=dovecot echo '{text}'")
    written = [r for r in box.journal("SYSLOG_IDENTIFIER=dovecot") if r.get("MESSAGE") == text]
    equal(len(written), 11, "forged: lines of other units and users are in the journal")
    inside = [r.get("_SYSTEMD_UNIT") for r in written if r.get("_SYSTEMD_UNIT") == "dovecot.service"]
    equal(inside, [], "forged: none has got the unit's name by saying so")
    ok(marks(), "forged: and then a login")
    ok(counts()[0] - bobs <= before, "forged: only that is handed over")
    equal(told_at(), "127.0.0.6", "forged: alice is told where she was")


def rotated():
    sh("journalctl --rotate")
    is_told("127.0.0.10", "alice logs in when the journal has a new file, and is seen")


def missed():
    """It begins at the end."""
    box.run("systemctl", "stop", LOGS)
    ok(imap("127.0.0.11"), "alice logs in while nobody reads")
    box.run("systemctl", "start", LOGS)
    until(lambda: counts() == (0, 0, 0), 20)
    ok(marks(), "afterwards somebody else")
    equal(told_at(), "127.0.0.10", "what was before the start is not read")
    is_told("127.0.0.12", "alice logs in again: that is")


def untrusted():
    """Whom the relay was not told to trust."""
    with open(box.root / "etc/nmnotify-relay.conf", "w") as conf:
        conf.write(CONFIG)
    box.run("systemctl", "restart", RELAY)
    after = time.time()
    said = lambda: box.journal("SYSLOG_IDENTIFIER=nmnotify-relay", "NMNOTIFY_RELAY=refused", after=after)
    ok(until(lambda: imap("127.0.0.13") and said(), 60, 1), "not trusted: alice logs in, and the relay refuses that, and says so")
    equal(told_at(), "127.0.0.12", "not trusted: she is told where she was")


def confined():
    pid = box.pids(LOGS)[0]
    status = Path(f"/proc/{pid}/status").read_text()
    facts = dict(re.findall(r"^(NoNewPrivs|Seccomp|CapEff|CapBnd):\s*(\S+)$", status, re.MULTILINE))
    wanted = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapBnd": "0" * 16}
    equal(facts, wanted, "no privileges, and a filter")
    said = box.output("systemd-analyze", "security", "--no-pager", LOGS)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    ok(found and float(found[1]) * 10 <= EXPOSURE_MOST, f"systemd-analyze security: at most {EXPOSURE_MOST / 10}") or diag(said)
    diag(f"{RELEASE}: {found and found[1]}")
    equal(box.show(LOGS, "WatchdogUSec"), "30s", "it has a watchdog")


def wrong():
    good = box.read("/etc/nmnotify-relay-logs.conf")
    box.write("/etc/nmnotify-relay-logs.conf", "server x\n\tmessage 'Login: %u from %a.'\n")
    box.run("systemctl", "restart", LOGS, check=False)
    equal(box.show(LOGS, "ExecMainStatus"), "78", "a configuration that anybody could forge lines for is refused")
    ok(until(lambda: box.show(LOGS, "ActiveState") == "failed", 20), "and not tried again")
    box.write("/etc/nmnotify-relay-logs.conf", good)
    box.run("systemctl", "restart", LOGS)
    equal(box.failed_units(), [], "no failed unit is left")


container.require(*RELEASES)
if not RELEASE:
    container.run_parts(sys.argv[0], RELEASES)
del sys.argv[1]
with box:
    box.write("/etc/dovecot/conf.d/99-test.conf", DOVECOT[version()])
    sh("useradd --create-home alice; useradd --create-home bob; printf '%s:secret\\n' alice bob | chpasswd")
    box.write("/etc/nmnotify.conf", "from any\nuser nobody\ninterval 0s\nlimit 1000/s burst 1000\naction /bin/true\n")
    sh("systemctl start nmnotifyd.socket; systemctl unmask dovecot.service; systemctl restart dovecot.service")
    until(lambda: imap("127.0.0.4", "bob"), 20)
    nmtest.run(set_up, logins, names, forged, rotated, missed, untrusted, confined, wrong)
