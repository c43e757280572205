# SPDX-License-Identifier: ISC
"""Both pairs of units under a real systemd, in containers of Debian 12 and 13, installed as a user installs
them: what services*.t share."""

import contextlib
import re
import shutil
import socket
import sys
import time

sys.dont_write_bytecode = True
import container
import measure
import nmtest
from nmtest import BUILD, LINE, State, diag, equal, ok, skip, until

PAIRS = ("nmnotifyd", "nmnotify")
RELEASES = ("bookworm", "trixie")
INTERVAL_MS = 2000
# How much later than it must a start may be seen.
SLACK_MS = 4000
# A source for each account, and an action that does what the name says.
SOURCES = {"mail": "127.0.0.1", "slow": "127.0.2.1", "stubborn": "127.0.3.1", "fails": "127.0.4.1"}
SOURCES["missing"] = "127.0.5.1"
NOBODY = "127.0.9.9"
OUT = "/var/lib/nmnotify"
CONFIG = f"""
interval {INTERVAL_MS}ms
limit 1000/s burst 10000
timeout 60s
write default {OUT}
account mail
    from 127.0.0.0/24 ::1
    action /bin/sh -c 'echo new mail; exec /usr/local/bin/recorder {OUT}/mail facts=facts'
account slow
    from 127.0.2.0/24
    action /usr/local/bin/recorder {OUT}/slow sleep=3000
account stubborn
    from 127.0.3.0/24
    action /usr/local/bin/recorder {OUT}/stubborn ignore-term sleep=60000
account fails
    from 127.0.4.0/24
    action /usr/local/bin/recorder {OUT}/fails exit=3
account missing
    from 127.0.5.0/24
    action /usr/local/bin/there-is-no-such-program
"""
PARTS = {f"{release}-{name}": (release, name) for release in RELEASES for name in PAIRS}
# This process's; without, it is the one that starts the others.
RELEASE, PAIR = PARTS.get("".join(sys.argv[1:2]), (None, None))

box = (container.Machine if container.IS_MACHINE else container.Container)(RELEASE)


# ---- Sending and looking ----


def send(account="mail", data=LINE, port=79, source=None, host="127.0.0.1"):
    """Sends, and waits for the end of the connection. Returns what came back."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(15)
        if family == socket.AF_INET:
            client.bind((source or SOURCES[account], 0))
        client.connect((host, port))
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return client.recv(100)
        except OSError:
            return b""  # closed unread


def runs(account="mail", out=OUT):
    """[[process, start, end or None]], in ms of CLOCK_BOOTTIME."""
    found = []
    try:
        lines = (box.root / out.lstrip("/") / account / "runs").read_text().splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        kind, pid, at, *_ = line.split()
        if kind == "start":
            found.append([int(pid), int(at) // 1000000, None])
        for run in found:
            if kind == "end" and run[0] == int(pid):
                run[2] = int(at) // 1000000
    return found


def is_in_unit(unit, *match, after, field="_SYSTEMD_UNIT", **to):
    """Whether the journal has such a line of that unit. journald looks for the unit when it reads a line, and does not find
    it of who has ended by then: another line is sent."""
    has_unit = lambda: any(r.get(field, "").startswith(unit) for r in box.journal(*match, after=after))
    return until(lambda: has_unit() or send(**to), step=1)


def wait_runs(count, account="mail", **how):
    """That many starts at least; and a moment later there are not more."""
    until(lambda: len(runs(account, **how)) >= count)
    return len(runs(account, **how))


def wait_ends(count, account="mail"):
    until(lambda: sum(r[2] is not None for r in runs(account)) >= count)


def state(account="mail", base="/run/nmnotify"):
    return State(f"/proc/{box.leader}/root{base}/{account}/limits")


def due(account="mail", **how):
    try:
        return state(account, **how).due
    except FileNotFoundError:
        return 0


def has_waiter(account="mail"):
    return until(lambda: due(account) != 0)


def become_waiter(account="mail"):
    """A start, and a line that waits for the next one. Returns how many runs there are then."""
    before = len(runs(account))
    send(account)
    wait_runs(before + 1, account)
    # One start may have been due already, by a line before.
    until(lambda: not due(account))
    send(account)
    has_waiter(account)
    return len(runs(account))


def check_gaps(account, name):
    gaps = [b[1] - a[1] for a, b in zip(runs(account), runs(account)[1:])]
    if not ok(all(gap >= INTERVAL_MS - 250 for gap in gaps), f"G2: {name}: starts are an interval apart"):
        diag(f"gaps: {gaps} ms")


# ---- Before and after ----


def prepare():
    box.write("/etc/nmnotify.conf", CONFIG)
    recorder = box.root / "usr/local/bin/recorder"
    recorder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(BUILD / "tests" / "recorder", recorder)
    recorder.chmod(0o755)
    begin()


def begin():
    """Nothing runs, nothing is owed, nothing has been."""
    box.run("systemctl", "stop", "nmnotifyd.socket", "nmnotify.socket", "nmnotifyd.service", "nmnotify@*")
    box.run("systemctl", "reset-failed")
    box.run("sh", "-c", f"rm -rf /run/nmnotify {OUT}/*")
    names = [f"{OUT}/{name}" for name in SOURCES]
    box.run("install", "-d", "-m", "700", "-o", "nmnotify", "-g", "nmnotify", OUT, *names)


@contextlib.contextmanager
def drop_in(unit, text, directory="/etc/systemd/system"):
    path = f"{directory}/{unit}.d/test.conf"
    box.write(path, text)
    box.run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        (box.root / path.lstrip("/")).unlink()
        box.run("systemctl", "daemon-reload")


def pair(name):
    begin()
    box.run("systemctl", "start", f"{name}.socket")
    return time.time()


def check_well(name, what):
    """What must hold after everything."""
    ok(box.is_active(f"{name}.socket"), f"{name}: {what}: the socket is active")
    equal(box.failed_units(), [], f"{name}: {what}: no failed unit is left")


# ---- nmnotifyd alone ----


def processes():
    """(runner, network process) by their numbers here."""
    return measure.processes(box)[:2]


def restarts():
    return int(box.show("nmnotifyd.service", "NRestarts"))


def example(unit, key):
    """A drop-in from the comment of a unit: the settings beside `key`, one a line."""
    lines = box.read(f"/lib/systemd/system/{unit}").splitlines()
    found, taking = [], False
    for line in lines:
        words = re.match(r"#   (\S.*?)?(?:  +|$)(\S.*)?$", line)
        if not words:
            taking = False
        elif words[1]:
            taking = words[1] == key
        if words and taking and words[2]:
            found += [w for w in re.split(r",(?: and)?(?: |$)", words[2]) if w]
    return "[Service]\n" + "\n".join(found) + "\n"


# ---- The user instance ----

USER_OUT = "/home/alice/mail"
USER_CONFIG = """
interval 1s
limit 1000/s burst 10000
account user
    from any
    action /bin/sh -c 'echo mail for alice; exec /usr/local/bin/recorder /home/alice/mail/user facts=facts'
"""


def user_begin():
    begin()
    if box.run("id", "alice", check=False).returncode != 0:
        box.run("useradd", "--create-home", "--shell", "/bin/sh", "alice")
        box.write("/home/alice/.config/nmnotify.conf", USER_CONFIG)
        box.run("install", "-d", "-o", "alice", f"{USER_OUT}/user")
        box.run("chown", "-R", "alice:", "/home/alice")


def has_user_manager():
    user_begin()
    if not box.lingers("alice") and box.release != RELEASES[0]:
        skip("user instances", "loginctl enable-linger does not work in this container; guest.t does it")
        return False
    box.run("systemctl", "--user", "stop", "nmnotify.socket", "nmnotifyd.socket", user="alice")
    box.run("systemctl", "--user", "daemon-reload", user="alice")
    return True


# ---- All of a file's tests ----


def of_pair(test):
    def run_it():
        test(PAIR)

    run_it.__name__ = test.__name__
    return run_it


def run(common, **alone):
    """Runs tests, `common` ones with each pair's name and others for one pair alone: at the same time, each
    release and pair in a container of its own, for most of it is waiting."""
    container.require(*RELEASES)
    pairs = PAIRS if common else alone
    if not PAIR:
        container.run_parts(sys.argv[0], [part for part, (_, name) in PARTS.items() if name in pairs])
    del sys.argv[1]
    with box:
        prepare()
        nmtest.run(*alone.get(PAIR, ()), *map(of_pair, common))
