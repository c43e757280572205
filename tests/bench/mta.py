# SPDX-License-Identifier: ISC
"""Postfix, as the package has it, in a root directory of its own: deliveries a second to one user's mailbox,
while nobody is told; with its biff and a relay; and with pipes in the user's .forward. For relay.

Its tree lies over this machine's, in memory, where no disk is waited for: what telling costs shows most.

    mta.py TREE PORT MESSAGES TIMES     in namespaces of its own: WAY RATE..., one a line

PORT of 127.0.0.1 is where the line goes."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
from nmtest import BUILD, until
from relay import Relay

BASE = Path("/mnt")
ROOT = BASE / "root"
USER = 2001
PASSWD = f"postfix:x:2000:2000::/var/spool/postfix:/bin/false\nalice:x:{USER}:{USER}::/home/alice:/bin/sh\n"
GROUP = f"postfix:x:2000:\npostdrop:x:2002:\nalice:x:{USER}:\n"
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
smtpd_data_restrictions = check_recipient_access static:HOLD
smtpd_client_connection_count_limit = 0
shlib_directory = /usr/lib/postfix
daemon_directory = /usr/lib/postfix/sbin
local_destination_concurrency_limit = 1
biff = no
"""
SEND = "/usr/bin/nmnotify-send"
# What the .forward says, and whether biff is on.
WAYS = {
    "none": ("", "no"),
    "biff": ("", "yes"),
    "send": (f'\\alice, "|{SEND} -u alice"\n', "no"),
    "true": ('\\alice, "|/bin/true"\n', "no"),
}


def run(*words, check=True):
    subprocess.run(["chroot", ROOT, *words], check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)


def append(path, text):
    with open(path, "a") as file:
        file.write(text)


def prepare(tree):
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
    append(ROOT / "etc/passwd", PASSWD)
    append(ROOT / "etc/group", GROUP)
    (ROOT / "etc/hosts").write_text("127.0.0.1 localhost mx.test\n")
    for name, owner in (("home/alice", USER), ("var/lib/postfix", 2000), ("var/spool/postfix", 0), ("var/mail", 0)):
        (ROOT / name).mkdir(parents=True, exist_ok=True)
        os.chown(ROOT / name, owner, owner)
    (ROOT / "var/mail").chmod(0o1777)
    shutil.copy(BUILD / "nmnotify-send", ROOT / SEND[1:])
    # No service of it in a root directory of its own, in which it would lack things.
    lines = [line.split() for line in (ROOT / "usr/share/postfix/master.cf.dist").read_text().splitlines()]
    services = [line[:4] + ["n"] + line[5:] for line in lines if len(line) >= 8 and line[0].isalnum()]
    services.append("postlog unix-dgram n - n - 1 postlogd".split())
    (ROOT / "etc/postfix/master.cf").write_text("".join(" ".join(line) + "\n" for line in services))
    (ROOT / "etc/postfix/main.cf").write_text(MAIN)


def set_way(way):
    forward, biff = WAYS[way]
    path = ROOT / "home/alice/.forward"
    path.unlink(missing_ok=True)
    if forward:
        path.write_text(forward)
        os.chown(path, USER, USER)
    run("/usr/sbin/postconf", "-e", f"biff = {biff}")
    run("/usr/sbin/postfix", "reload")
    time.sleep(0.5)


def hand_in(count):
    run("/usr/sbin/smtp-source", "-d", "-s", "4", "-m", str(count), "-l", "1000", "-f", "bob@mx.test", "-t", "alice@mx.test", "127.0.0.1:25")


def delivered():
    return (ROOT / "var/log/postfix.log").read_text().count("(delivered to mailbox)")


def rate(way, messages):
    """All are held in the queue before the first is delivered, one by one: two at a time would wait for each
    other's lock of the mailbox, a second. It ends when the last is in the mailbox, and its pipe
    has ended."""
    set_way(way)
    (ROOT / "var/mail/alice").unlink(missing_ok=True)
    hand_in(messages)
    wanted = delivered() + messages
    begun = time.monotonic()
    run("/usr/sbin/postsuper", "-H", "ALL")
    run("/usr/sbin/postqueue", "-f")
    active = ROOT / "var/spool/postfix/active"
    if not until(lambda: delivered() >= wanted and not any(active.iterdir()), 60, 0.01):
        raise RuntimeError(f"{way}: {wanted - delivered()} messages did not come")
    return messages / (time.monotonic() - begun)


def main():
    tree, port, messages, times = sys.argv[1], *map(int, sys.argv[2:])
    prepare(tree)
    run("/usr/sbin/postfix", "set-permissions", check=False)  # of manual pages, too, which are not here
    run("/usr/sbin/postfix", "start")
    if not until(lambda: socket.socket().connect_ex(("127.0.0.1", 25)) == 0, 10):
        raise RuntimeError("postfix does not answer")
    rates = {way: [] for way in WAYS}
    with Relay(f"biff 127.0.0.1:512\nuser alice 127.0.0.1:{port}\n") as relay:
        notice = ROOT / "run/nmnotify-relay"
        notice.mkdir()
        mount("--bind", relay.dir, notice)
        rate("none", messages // 5)
        for turn in range(times):
            # The pipes are as far from the others as to be told at once.
            for way in WAYS if turn % 4 == 0 else ("none", "biff"):
                rates[way].append(rate(way, messages))
        if not relay.said("told=done user=alice"):
            raise RuntimeError("nobody was told")
    run("/usr/sbin/postfix", "stop")
    for way, values in rates.items():
        print(way, *values)


main()
