# SPDX-License-Identifier: ISC
"""What a container does not have: Debian 13 on a kernel of its own, in qemu. The whole system is an initramfs;
/usr/local/bin/guest, which a test writes, is started in it, and writes to the serial line what the test is told.

    guest.require("bookworm")                # ends the test, with the reason, if there can be none
    with guest.Guest("base", LEFT_OUT, "bookworm") as place:
        (place.root / "usr/local/bin/guest").write_text(...)
        text, seconds = place.run(memory=2048)
"""

import gzip
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "image"))
import container
import nmtest
import qemu
from nmtest import BUILD, PROJECT, diag

RELEASE = "trixie"
KEPT = PROJECT / "build" / "guest"
# What no container has: the modules, and what loads them and tells one. Of the kernel's release.
TOOLS = ("wireguard-tools", "kmod")
MODULES = ("wireguard", "veth", "nft_fib_inet", "nft_chain_nat", "nft_redir")
# Far more than it takes: other tests run beside it.
SECONDS = 900
WORDS = ("rdinit=/sbin/init", "systemd.show_status=no", "systemd.unit=multi-user.target")


def require(release):
    """Comes back with that release's kernel, and beside it TOOLS and MODULES, all of which is kept."""
    container.require(RELEASE)
    KEPT.mkdir(parents=True, exist_ok=True)
    try:
        qemu.require()
        _kernel(release)
    except qemu.Unavailable as why:
        container.give_up(why)


def _kernel(release):
    return qemu.kernel(KEPT / release, qemu.KERNEL, MODULES, TOOLS, container.sources(release))


class Guest:
    """It is installed as a user does it, over the tree without what that pattern leaves out; which is kept by that name.
    `release`: its kernel's."""

    def __init__(self, name, left_out, release):
        self.name, self.left_out, self.kernel = name, left_out, release

    def __enter__(self):
        self._place = tempfile.TemporaryDirectory(dir=BUILD)
        self.root = Path(self._place.name) / "root"
        self.root.mkdir()
        words = [f"BUILD={BUILD}", f"DESTDIR={self.root}", "SYSTEMD_VERSION=257", "SYSTEMDUNITDIR=/usr/lib/systemd/system"]
        environment = nmtest.environment_for_make()
        subprocess.run(["make", "-s", "-C", str(PROJECT), "install", *words], check=True, stdout=subprocess.DEVNULL, env=environment)
        units = self.root / "etc/systemd/system"
        (units / "multi-user.target.wants").mkdir(parents=True)
        (units / "multi-user.target.wants/guest.service").symlink_to("../guest.service")
        (units / "guest.service").write_text("[Unit]\nIgnoreOnIsolate=yes\n[Service]\nExecStart=/usr/local/bin/guest\n")
        (self.root / "etc/hostname").write_text("guest\n")
        # Nobody is there to log in, and the serial line is the test's.
        for unit in ("serial-getty@ttyS0.service", "getty@tty1.service", "systemd-firstboot.service"):
            (units / unit).symlink_to("/dev/null")
        return self

    def __exit__(self, *_):
        self._place.cleanup()

    def run(self, memory, seconds=SECONDS):
        """What it wrote to the serial line until it powered off, and how long that took."""
        image, said = Path(self._place.name) / "image", Path(self._place.name) / "serial"
        with open(image, "wb") as out:
            out.write(self._base().read_bytes())
            out.write(b"\0" * (-out.tell() % 512))
            qemu.add_tree(out, self.root)
            qemu.end(out)
        begun = time.monotonic()
        with qemu.Machine(_kernel(self.kernel), image, said, *WORDS, memory=memory) as machine:
            if not machine.wait(seconds):
                diag(f"it is not done after {seconds} s")
        return said.read_text(errors="replace"), time.monotonic() - begun

    def add_modules(self):
        """They, and what loads them."""
        shutil.copytree(KEPT / self.kernel / "modules", self.root / "usr/local/lib/modules")
        shutil.copy(next((KEPT / self.kernel / "tools").rglob("bin/kmod")), self.root / "usr/local/bin/insmod")

    def _base(self):
        """The system without what is tested; kept."""
        archive, stamp = KEPT / f"{self.name}.gz", KEPT / f"{self.name}.stamp"
        wanted = f"{container.STAMP}{self.left_out.pattern}"
        if not archive.exists() or not stamp.exists() or stamp.read_text() != wanted:
            with gzip.open(archive, "wb", 1) as out:
                qemu.add_tree(out, container.tree(RELEASE) / "root", self.left_out)
                qemu.add_mount_points(out)
                qemu.end(out)
            stamp.write_text(wanted)
        return archive
