# SPDX-License-Identifier: ISC
"""Postfix, as the package has it, in a root directory of its own: what deliveries to one user's mailbox cost
while nobody is told; with its biff and a relay; and with pipes in the user's .forward. For relay.

Its tree lies over this machine's, in memory, where no disk is waited for: what telling costs shows most. Small
batches of all ways are in turn, in one queue directory and through processes that stay: each way has an address of
its own, and biff a delivery agent of its own, so that nothing is configured anew between two. Most are in the queue
already: that is the delivery alone. `smtp` and `smtp-biff` are all that the mail system does, from the client on.

    mta.py TREE PORT MESSAGES TIMES     in namespaces of its own: TURN WAY SECONDS PROCESSOR RELAY, a line a batch

    mta.py ...                          ... and TURN together ALL AGENT AGENT-WITH-BIFF RELAY

All are seconds of one delivery: the time that has passed; what all of Postfix and the relay have used of a processor,
as a control group says (v2; 0 without one); and the relay's part. PORT of this machine is where the line goes.

`together`: as many with biff as without, at the same time, to a mailbox each. They differ in the two delivery agents,
and the relay: so what else goes on then is in both, and that is all that biff costs."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
from nmtest import BUILD, until
from relay import Relay

BASE = Path("/mnt")
ROOT = BASE / "root"
USER = 2001
PEOPLE = ("alice", "carol", "sender", "piper")
PASSWD = "postfix:x:2000:2000::/var/spool/postfix:/bin/false\n"
GROUP = "postfix:x:2000:\npostdrop:x:2002:\n"
# What ends a delivery agent after so many, or so long, would end one in the middle of a batch.
MAIN = """compatibility_level = 3.6
myhostname = mx.test
mydestination = mx.test
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
maillog_file = /var/log/postfix.log
in_flow_delay = 0
smtpd_recipient_restrictions =
smtpd_data_restrictions = check_recipient_access inline:{{alice+smtp@mx.test=OK},{alice+smtpbiff@mx.test=OK}},
  check_recipient_access static:HOLD
smtpd_client_connection_count_limit = 0
shlib_directory = /usr/lib/postfix
daemon_directory = /usr/lib/postfix/sbin
recipient_delimiter = +
transport_maps = inline:{{alice+none@mx.test=local:},{alice+biff@mx.test=told:},
  {carol+none@mx.test=local:},{carol+biff@mx.test=told:},
  {alice+smtp@mx.test=local:},{alice+smtpbiff@mx.test=told:}}
local_destination_concurrency_limit = 1
told_destination_concurrency_limit = 1
max_use = 1000000
max_idle = 1h
biff = no
"""
WARM = 10  # messages for a new delivery agent
SEND = "/usr/bin/nmnotify-send"
# To whom it goes, and what his .forward says.
WAYS = {
    "none": ("alice+none", ""),
    "biff": ("alice+biff", ""),
    "send": ("sender", f'\\sender, "|{SEND} -u sender"\n'),
    "true": ("piper", '\\piper, "|/bin/true"\n'),
    "smtp": ("alice+smtp", ""),
    "smtp-biff": ("alice+smtpbiff", ""),
}


def run(*words, check=True, before=None):
    subprocess.run(
        ["chroot", ROOT, *words], check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=before
    )


def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)


def append(path, text):
    with open(path, "a") as file:
        file.write(text)


def prepare(tree, people=PEOPLE, user=USER):
    """A root directory with Postfix in it; all people are one user."""
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "tmpfs", BASE)
    for name in ("tree", "upper", "work", "root"):
        (BASE / name).mkdir()
    # Its /lib is a link on this machine; what the package has there is only systemd's.
    subprocess.run(["cp", "-a", f"{tree}/etc", f"{tree}/usr", f"{tree}/var", BASE / "tree"], check=True)
    layers = f"lowerdir={BASE}/tree:/,upperdir={BASE}/upper,workdir={BASE}/work"
    mount("-t", "overlay", "overlay", "-o", layers, ROOT)
    mount("-t", "proc", "proc", ROOT / "proc")
    mount("--rbind", "/dev", ROOT / "dev")
    for name in ("tmp", "run"):
        mount("-t", "tmpfs", "tmpfs", ROOT / name)
    append(ROOT / "etc/passwd", PASSWD + "".join(f"{name}:x:{user}:{user}::/home/{name}:/bin/sh\n" for name in people))
    append(ROOT / "etc/group", GROUP)
    (ROOT / "etc/hosts").write_text("127.0.0.1 localhost mx.test\n")
    homes = [(f"home/{name}", user) for name in people]
    for name, owner in (*homes, ("var/lib/postfix", 2000), ("var/spool/postfix", 0), ("var/mail", 0)):
        (ROOT / name).mkdir(parents=True, exist_ok=True)
        os.chown(ROOT / name, owner, owner)
    (ROOT / "var/mail").chmod(0o1777)
    shutil.copy(BUILD / "nmnotify-send", ROOT / SEND[1:])
    # No service of it in a root directory of its own, in which it would lack things.
    lines = [line.split() for line in (ROOT / "usr/share/postfix/master.cf.dist").read_text().splitlines()]
    services = [line[:4] + ["n"] + line[5:] for line in lines if len(line) >= 8 and line[0].isalnum()]
    services.append("postlog unix-dgram n - n - 1 postlogd".split())
    services.append("told unix - n n - - local -o biff=yes".split())
    (ROOT / "etc/postfix/master.cf").write_text("".join(" ".join(line) + "\n" for line in services))
    (ROOT / "etc/postfix/main.cf").write_text(MAIN)


def start(group):
    run("/usr/sbin/postfix", "set-permissions", check=False)  # of manual pages, too, which are not here
    run("/usr/sbin/postfix", "start", before=group.join)
    if not until(lambda: socket.socket().connect_ex(("127.0.0.1", 25)) == 0, 10):
        raise RuntimeError("postfix does not answer")


def stop():
    run("/usr/sbin/postfix", "stop", check=False)


class Group:
    """A control group, which says what all of its processes have used of a processor, those that have ended too."""

    def __init__(self):
        base = Path("/sys/fs/cgroup/unified")
        base = base if base.is_dir() else base.parent
        self.path = base / f"nmnotify-bench-{os.urandom(4).hex()}"
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        self.outside = base / next((line[4:] for line in lines if line.startswith("0::")), "")
        try:
            self.path.mkdir()
        except OSError:
            self.path = None

    def join(self):
        if self.path:
            (self.path / "cgroup.procs").write_text("0")

    @contextmanager
    def inside(self):
        """What is started meanwhile belongs to it."""
        self.join()
        try:
            yield
        finally:
            (self.outside / "cgroup.procs").write_text("0")

    def used(self):
        """Seconds."""
        if not self.path:
            return 0
        words = (self.path / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1]) / 1e6

    def processes(self):
        return (self.path / "cgroup.procs").read_text().split() if self.path else []

    def end(self):
        """When its last process has ended."""
        if self.path:
            until(lambda: not self.processes(), 10)
            self.path.rmdir()


def used_by(pid):
    """Likewise, from the clock that the kernel has of each process (clock_getcpuclockid(3))."""
    return time.clock_gettime_ns((~int(pid) << 3) | 2) / 1e9


def words_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return [""]  # it has ended


def agents(group):
    """The delivery agents without biff, and with it; of each also those that a reload has left behind."""
    words = {pid: words_of(pid) for pid in group.processes()}
    those = [pid for pid in words if words[pid][0] == "local"]
    return [pid for pid in those if "told" not in words[pid]], [pid for pid in those if "told" in words[pid]]


def hand_in(to, count):
    words = ["-d", "-s", "4", "-m", count, "-l", 1000, "-f", "bob@mx.test", "-t", f"{to}@mx.test", "127.0.0.1:25"]
    run("/usr/sbin/smtp-source", *map(str, words))


def is_done():
    """Nothing is left in the queue: a message moves from one of its folders to the other in one step."""
    queue = ROOT / "var/spool/postfix"
    is_empty = lambda name: not any(file.is_file() for file in (queue / name).rglob("*"))
    return all(map(is_empty, ("incoming", "active", "deferred", "active")))


def release(to, messages, spent, over_smtp=False):
    """What was spent on each, until all are in their mailboxes. They are in the queue before the first is delivered, or
    come by SMTP meanwhile, and go one by one to one mailbox: two at a time would wait for each other's lock, a second.
    It ends when the last is in the mailbox, and its pipe has ended."""
    mailboxes = [ROOT / "var/mail" / address.partition("+")[0] for address in to]
    for mailbox in mailboxes:
        mailbox.unlink(missing_ok=True)
    if over_smtp:
        before = spent()
    for address in to:
        hand_in(address, messages // len(to))
    if not over_smtp:
        run("/usr/sbin/postsuper", "-H", "ALL")
        before = spent()
        run("/usr/sbin/postqueue", "-f")
    done = until(is_done, 60, 0.001)
    costs = [after - at_first for after, at_first in zip(spent(), before)]
    came = sum(mailbox.read_bytes().count(b"\nFrom ") + 1 for mailbox in mailboxes)
    if not done or came != messages:
        raise RuntimeError(f"{to}: of {messages} messages there came {came}")
    return costs


def batch(way, messages, group, relay):
    spent = lambda: (time.monotonic(), group.used(), used_by(relay.process.pid))
    return [cost / messages for cost in release([WAYS[way][0]], messages, spent, "smtp" in way)]


def together(turn, messages, group, relay):
    """Whose mailbox is whose, and who is first, changes. Agents are new ones each time: where one has its memory makes
    more of a difference than biff."""
    run("/usr/sbin/postfix", "reload")
    to = ["alice+none", "carol+biff"] if turn % 2 else ["alice+biff", "carol+none"]
    release(to, len(to) * WARM, lambda: ())
    parts = [*agents(group), [relay.process.pid]]
    spent = lambda: (group.used(), *(sum(map(used_by, pids)) for pids in parts))
    everything, *each = release(to, messages, spent)
    return [everything / messages, *(cost * 2 / messages for cost in each)]


def order(times):
    """What is measured in which turn: the two that are compared are beside each other, as often one first as the other."""
    for turn in range(times):
        yield from ((turn, way) for way in ("none", "biff", "biff", "none", "together"))
        yield from ((turn, way) for way in ("smtp", "smtp-biff", "smtp-biff", "smtp"))
        # The pipes are as far from the others as to be told at once.
        if turn % 4 == 0:
            yield from ((turn, way) for way in ("send", "true"))


def measure(group, port, messages, times):
    users = "".join(f"user {user} 127.0.0.{number}:{port}\n" for number, user in enumerate(PEOPLE, 1))
    relay = Relay(f"biff 127.0.0.1:512\ntrust {USER}\n{users}")
    try:
        relay.start(prepare=group.join)
        notice = ROOT / "run/nmnotify-relay"
        notice.mkdir()
        mount("--bind", relay.dir, notice)
        for way in WAYS:
            batch(way, messages, group, relay)
        for turn, way in order(times):
            try:
                costs = together(turn, messages, group, relay) if way == "together" else batch(way, messages, group, relay)
            except OSError:
                continue  # an agent of before the reload has ended meanwhile: it counts no more
            print(turn, way, *costs, flush=True)
        for user in PEOPLE[:3]:
            if not until(lambda: relay.said(f"told=done user={user}")):
                raise RuntimeError(f"nobody was told: {relay.log()[-5:]}")
    finally:
        relay.__exit__()


def main():
    tree, port, messages, times = sys.argv[1], *map(int, sys.argv[2:])
    prepare(tree)
    for to, forward in WAYS.values():
        if forward:
            (ROOT / "home" / to / ".forward").write_text(forward)
    group = Group()
    try:
        start(group)
        measure(group, port, messages, times)
    finally:
        stop()
        group.end()


if __name__ == "__main__":
    main()
