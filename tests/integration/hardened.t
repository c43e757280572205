#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Hosts from which something was taken away: what each row of SECURITY.md's table says of the handler, the service and
the sender. Each is in a mount namespace of its own."""

import os
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
import nmtest
import sender
from front import listener
from nmtest import BUILD, EX_OSERR, LINE, PROJECT, Sandbox, equal, ok, until
from receiver import Receiver

# Names are the table's; DIR is the sandbox, which stays as it is. What is mounted in the namespace goes with it.
HOSTS = {
    "root read-only": "mount --bind DIR DIR && mount -o remount,bind,ro / && ! touch /nmtest.probe 2>/dev/null",
    "temporary directories noexec": "for d in /tmp /var/tmp /dev/shm; do mount --bind $d $d && mount -o remount,bind,noexec $d; done; mount --bind DIR DIR && mount -o remount,bind,exec DIR",
    "`hidepid=2`": "mount -t proc -o hidepid=2 proc /proc",
    "no `/proc`": "mount -t tmpfs tmpfs /proc && ! [ -e /proc/self ]",
    "no `/sys`": "mount -t tmpfs tmpfs /sys",
    "no `/dev/log`, no journal": "mount -t tmpfs tmpfs /run; mkdir /run/dev && mount -t tmpfs tmpfs /run/dev && mknod -m 666 /run/dev/null c 1 3 && mount --move /run/dev /dev",
    "no `/dev/null`": "mount -t tmpfs tmpfs /dev",
}


def within(box, commands):
    """The words before a program's own."""
    return ["/usr/bin/unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", f'{{ {commands.replace("DIR", str(box.dir))}; }} || exit 99; exec "$@"', "sh"]


def rows():
    """What the table says: for each host, of whom it says that it works."""
    text = (PROJECT / "src/SECURITY.md").read_text().split("## Hardened hosts", 1)[1].split("\n## ", 1)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    return {cell[0]: cell[1] for cell in cells[1:]}


def works_on(name):
    return "do not run" not in said.get(name, "")


def listeners():
    for name, commands in HOSTS.items():
        works = works_on(name)
        with Sandbox() as box:
            conf = box.config(f"from any\ninterval 0s\nlandlock no\naction {box.recorder()}\n")
            handler = box.start(conf, data=LINE, end=True, prefix=within(box, commands))
            equal(handler.wait(), 0 if works else EX_OSERR, f"{name}: nmnotify: its status")
            equal(len(box.starts()), int(works), f"{name}: nmnotify: {'the' if works else 'no'} action runs")
            ok(works or any("/dev/null" in m for m in box.messages()), f"{name}: nmnotify: and if not, the log says why")
            equal(handler.received(), b"", f"{name}: nmnotify: G7: silence")
            handler.close()
            # By default, confined by Landlock.
            conf = box.config("from any\ninterval 0s\nlandlock yes\naction /bin/true\n")
            handler = box.start(conf, data=LINE, end=True, prefix=within(box, commands))
            equal(handler.wait(), 0 if works else EX_OSERR, f"{name}: nmnotify with Landlock: its status")
            handler.close()


def services():
    """nmnotifyd, as inetd would start it with its listening socket."""
    for name, commands in HOSTS.items():
        with Sandbox() as box, listener("tcp") as listening:
            conf = box.config(f"from any\ninterval 0s\nlandlock no\naction {box.recorder()}\n")
            words = [*within(box, commands), str(BUILD / "nmnotifyd"), "-f", str(conf)]
            with open(box.log_path, "a", encoding="utf-8") as log:
                process = subprocess.Popen(words, stdin=listening, stdout=log, stderr=log, env=dict(os.environ, **box._environment))
            works = works_on(name)
            try:
                with socket.create_connection(listening.getsockname()[:2]) as client:
                    client.sendall(LINE)
                    started = until(lambda: box.starts() or process.poll() is not None)
                ok(started and bool(box.starts()) == works, f"{name}: nmnotifyd: {'the' if works else 'no'} action runs")
            finally:
                if works:
                    process.terminate()
                equal(process.wait(nmtest.PATIENCE), 0 if works else EX_OSERR, f"{name}: nmnotifyd: its status")


def senders():
    for name, commands in HOSTS.items():
        with Sandbox() as box:
            relay = Receiver(box.dir / "socket")
            result = sender.run(*within(box, commands), sender.SEND, "-s", relay.path, "-e", "-u", "alice")
            equal((result.status, result.output, relay.messages()), (0, b"", [b"mail alice"]), f"{name}: nmnotify-send")


def table():
    equal(set(HOSTS) - set(said), set(), "SECURITY.md: each of them is a row")


said = rows()
if not nmtest.is_root() or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
    print("1..0 # SKIP no mount namespaces", flush=True)
    sys.exit(0)
nmtest.run(table, listeners, services, senders)
