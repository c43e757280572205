#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The smallest system that is told of mail: Debian's kernel; and an initramfs of a busybox without a shell, whose
inetd listens, a static nmnotify or nmnotifyd, and its configuration. Nothing in it can be written but /run, and all
that listens runs as an ordinary user. The whole of it is in README.md beside this file. ARCH in the environment: the
architectures, if not x86-64 alone."""

import collections
import errno
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "systemd"))
import busybox
import container
import nmtest
import qemu
from nmtest import BUILD, LINE, diag, ok, skip, until
from system import System

# So that the kernel keeps each line of ours, and random numbers are there at once, as on real ones.
WORDS = ("printk.devkmsg=on",)
# The whole system without the kernel and its modules, as it is in memory.
MOST_BYTES = 640 * 1024
FLOOD = 2000
# Far longer than anything takes: the machine is emulated, and other tests run beside it.
SECONDS = 600

# busybox's init executes a line itself if it has none of a shell's characters, = among them.
INITTAB = """\
::sysinit:/bin/mount -t proc proc /proc
::sysinit:/bin/mount -t devtmpfs dev /dev
@MODULES@::sysinit:/bin/ifconfig eth0 10.0.2.15 up
::sysinit:/bin/mount -t tmpfs -o nosuid,nodev,noexec run /run
::sysinit:/bin/mkdir /run/nmnotify
::sysinit:/bin/chown alice /run/nmnotify /dev/kmsg /dev/@SERIAL@
::sysinit:/bin/mount -o remount,ro /
::sysinit:/bin/cat /proc/mounts
::sysinit:/bin/cat /proc/uptime
::respawn:/bin/inetd -f /etc/inetd.conf
"""
CONFIGURATION = """\
log      kmsg
from     10.0.2.2
interval 3s
limit    1000/s burst 1000
action   /bin/dd if=/etc/mail of=/dev/@SERIAL@
read     default /etc/mail
write    /dev/@SERIAL@
"""
MAIL = "There is new mail.\n"
FILES = {
    "etc/passwd": "root:x:0:0::/:/nonexistent\nalice:x:1000:1000::/:/nonexistent\n",
    "etc/group": "root:x:0:\nalice:x:1000:\n",
    "etc/nmnotify.conf": CONFIGURATION,
    "etc/mail": MAIL,
}
SERVERS = {
    "nmnotify": "79 stream tcp nowait alice /bin/nmnotify nmnotify\n",
    "nmnotifyd": "79 stream tcp wait alice /bin/nmnotifyd nmnotifyd\n",
}


class Smallest(System):
    """Its image."""

    def write(self, image, name):
        """The image. Returns how much of it is not the kernel's."""
        with open(image, "wb") as out:
            for directory in ("bin", "etc", "lib", "dev", "proc", "run"):
                qemu.entry(out, directory, stat.S_IFDIR | 0o755)
            qemu.entry(out, "dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
            qemu.entry(out, "bin/busybox", stat.S_IFREG | 0o755, self.busybox.read_bytes())
            qemu.entry(out, "init", stat.S_IFLNK | 0o777, b"/bin/busybox")
            for applet in busybox.APPLETS:
                qemu.entry(out, f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox")
            qemu.entry(out, f"bin/{name}", stat.S_IFREG | 0o755, self.program(name).read_bytes())
            loads = "".join(f"::sysinit:/bin/insmod /lib/{module.name}\n" for module in self.modules)
            files = {**FILES, "etc/inittab": INITTAB.replace("@MODULES@", loads), "etc/inetd.conf": SERVERS[name]}
            for path, text in files.items():
                text = text.replace("@SERIAL@", self.kind.serial)
                qemu.entry(out, path, stat.S_IFREG | 0o644, text.encode())
            size = out.tell()
            for module in self.modules:
                qemu.entry(out, f"lib/{module.name}", stat.S_IFREG | 0o644, module.read_bytes())
            qemu.end(out)
        return size


class Booted:
    """Such a machine, from `with` until its power is cut."""

    def __init__(self, system, image, said, *options):
        self.system, self.image, self.said, self.options = system, image, said, options

    def __enter__(self):
        # Another can take a port that was free, and then qemu ends.
        for _ in range(5):
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
            network = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-10.0.2.15:79"
            kind = self.system.kind
            card = f"{kind.card},netdev=net" + (",romfile=" if kind.card.endswith("pci") else "")
            options = ("-netdev", network, "-device", card, *self.options)
            self.machine = qemu.Machine(
                self.system.kernel, self.image, self.said, *WORDS, kind=kind, memory=256, processors=1, options=options
            )
            self.machine.__enter__()
            if until(self.text, SECONDS) or self.machine.wait(0):
                if not self.machine.wait(0):
                    return self
            self.machine.__exit__()
        raise RuntimeError("qemu does not start")

    def __exit__(self, *_):
        self.machine.__exit__()

    def text(self):
        return self.said.read_text(errors="replace") if self.said.exists() else ""

    def connect(self, data):
        """Says that, and returns what is answered until the other end closes; or an error's name."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                return client.recv(1)
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))

    def actions(self):
        return self.text().count(MAIL.strip())

    def tell(self, again=False):
        """Whether a line makes the action run. `again`: nobody need listen yet."""
        before = self.actions()

        def told():
            if again:
                self.connect(LINE)
            return self.actions() > before

        if not again:
            self.connect(LINE)
        return until(told, SECONDS, 0.1)

    def flood(self):
        """Connections of all kinds that are no line, some at once. Returns how they ended, and how many did so."""
        kinds = (b"x\r\n", b"", LINE[:5] + b"\0", b"y" * 1000)

        def some(number):
            for i in range(FLOOD // 20):
                ends.append(self.connect(kinds[(number + i) % len(kinds)]))

        ends = []
        threads = [threading.Thread(target=some, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return collections.Counter(ends)

    def begins_after(self):
        """From the kernel's end to the start of what listens, in seconds of the machine's own clock."""
        begun = re.search(r"\[ *([\d.]+)\] Run /init", self.text())
        up = re.search(r"(\d+\.\d\d) \d+\.\d\d\r*\n", self.text())
        return round(float(up[1]) - float(begun[1]), 2) if begun and up else "some"


def smallest(system, name):
    what = f"{system.architecture}: {name}"
    with tempfile.TemporaryDirectory(dir=BUILD) as place:
        image, said = Path(place) / "image", Path(place) / "serial"
        size = system.write(image, name)
        sizes = f"busybox {system.busybox.stat().st_size}, {name} {(system.kept / name).stat().st_size}"
        diag(f"{what}: {size} bytes: {sizes}")
        ok(size <= MOST_BYTES, f"{what}: all but the kernel is no more than {MOST_BYTES} bytes")
        boots(system, what, image, said)


def boots(system, name, image, said):
    with Booted(system, image, said) as box:
        if not ok(box.tell(again=True), f"{name}: it boots, and a line makes the action run"):
            diag(box.text()[-3000:])
            return
        ok(re.search(r"^rootfs / \S+ ro\b", box.text(), re.MULTILINE), f"{name}: nothing in / can be written")
        ok(box.connect(LINE) == b"", f"G7: {name}: it answers nothing")
        ends = box.flood()
        # Closed before all of it was read, a connection may be reset.
        if not ok(sum(ends.values()) == FLOOD and set(ends) <= {b"", "ECONNRESET", "EPIPE", "ENOTCONN"}, f"G7: {name}: nothing else is answered"):
            diag(ends)
        ok(box.tell(), f"{name}: after {FLOOD} connections that are no line, a line makes the action run")
        # The kernel may write a line of its log only when the next one comes, and so behind what an action wrote.
        lines = lambda: box.text().count("verdict=malformed")
        until(lambda: lines() or box.connect(b"") is None, SECONDS, 1)
        if not ok(0 < lines() < FLOOD / 10, f"G4: {name}: the kernel's log does not grow with the flood"):
            diag(box.text()[-2000:])
        diag(f"{name}: {lines()} lines of the flood in the log")
        ok(not re.search("Kernel panic|Out of memory|segfault", box.text()), f"{name}: nothing has broken")
        deferred = lambda: box.text().count("verdict=deferred")
        before = deferred()
        told = []

        def waits():
            told.append(box.tell())
            return deferred() > before

        ok(until(waits, SECONDS), f"{name}: a line within the interval waits")
        ok(all(told), f"G1: {name}: and each makes the action run") or diag(box.text()[-2000:])
        ok("verdict=error" not in box.text(), f"{name}: no line has come to an error")
    said.unlink()
    # Its clock counts instructions here, so that what else runs on this machine is not in the figure.
    with Booted(system, image, said, "-icount", "shift=1") as box:
        ok(box.tell(again=True), f"G5: {name}: after its power was cut it is as before")
        diag(f"{name}: {box.begins_after()} s from init to inetd, at 500 million instructions a second")


def older_kernel():
    """The oldest that Debian's archive has: 11's, without Landlock and what else ARCHITECTURE.md says."""
    try:
        system = Smallest("x86-64", "bullseye")
    except qemu.Unavailable as why:
        skip("Linux 5.10", " ".join(str(why).split()))
        return
    for name in SERVERS:
        with tempfile.TemporaryDirectory(dir=BUILD) as place:
            image, said = Path(place) / "image", Path(place) / "serial"
            system.write(image, name)
            with Booted(system, image, said) as box:
                ok(box.tell(again=True), f"Linux 5.10: {name}: it boots, and a line makes the action run") or diag(box.text()[-3000:])
                ok("Linux version 5.10." in box.text(), f"Linux 5.10: {name}: it is")
                # Where many have been said lately, the log does not say each.
                said = lambda: box.connect(b"x\r\n") == b"" and "verdict=malformed" in box.text()
                ok(until(said, SECONDS, 1), f"Linux 5.10: {name}: another one does not")
                ok(box.tell(), f"Linux 5.10: {name}: and the next one does")


def parts_of(system):
    """nmnotify's, and nmnotifyd's."""
    for name in SERVERS:
        def part(name=name):
            smallest(system, name)

        part.__name__ = f"{system.architecture}:{name}"
        yield part
    if system.architecture == "x86-64":
        yield older_kernel


if __name__ == "__main__":
    try:
        systems = [Smallest(architecture) for architecture in os.environ.get("ARCH", "x86-64").split()]
    except qemu.Unavailable as why:
        container.give_up(why)
    nmtest.run(*(part for system in systems for part in parts_of(system)))
