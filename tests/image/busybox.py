# SPDX-License-Identifier: ISC
"""A static busybox of nothing but what the smallest system needs, from the source of this release's package, whose own
programs have neither an inetd nor a size that is small. Made once for each architecture, and kept."""

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "systemd"))
import container
import nmtest
import qemu

APPLETS = ("cat", "chown", "dd", "ifconfig", "inetd", "init", "insmod", "mkdir", "mount")
# Users are read from /etc by busybox itself: of libc's way to them a static program has only a half. No shell.
SETTINGS = ("STATIC", "LFS", "USE_BB_PWD_GRP", "FEATURE_USE_INITTAB", "FEATURE_MOUNT_FLAGS", "SH_IS_NONE")
SETTINGS += tuple(applet.upper() for applet in APPLETS)


def program(kept, compiler, triplet, headers):
    """Kept in that folder. `headers`: where the kernel's are, of which musl has none."""
    made = kept / "busybox"
    stamp = kept / "busybox.settings"
    if not made.exists() or not stamp.exists() or stamp.read_text() != str(SETTINGS):
        with tempfile.TemporaryDirectory(dir=kept) as place:
            shutil.copy(_make(_source(Path(place)), compiler, triplet, headers), made)
        stamp.write_text(str(SETTINGS))
    return made


def _source(place):
    """Its folder there. This machine's package lists need not have sources, so apt gets lists of its own for it."""
    apt = qemu.apt_of(place, sorted({line.replace("deb ", "deb-src ", 1) for line in container.sources(container.own_release())}))
    words = ["apt-get", "-qq", *apt, "--download-only", "source", "busybox"]
    got = subprocess.run(words, cwd=place, capture_output=True, text=True)
    found = list(place.glob("busybox_*.orig.tar.*[a-z2]"))
    if not found:
        raise qemu.Unavailable(f"the source of busybox cannot be had: {got.stderr}")
    with tarfile.open(found[0]) as archive:
        archive.extractall(place)
    return next(path for path in place.glob("busybox-*") if path.is_dir())


def _make(folder, compiler, triplet, headers):
    # busybox has an ARCH of its own.
    environment = {k: v for k, v in nmtest.environment_for_make().items() if k != "ARCH"}

    def make(*words, answers=None):
        words = ["make", "-s", "-C", str(folder), *words]
        subprocess.run(words, check=True, env=environment, input=answers, text=True, capture_output=True)

    make("allnoconfig")
    config = folder / ".config"
    text = config.read_text()
    for setting in SETTINGS:
        text = re.sub(f"^# CONFIG_{setting} is not set$", f"CONFIG_{setting}=y", text, flags=re.MULTILINE)
    text = re.sub("^CONFIG_SH_IS_ASH=y$", "# CONFIG_SH_IS_ASH is not set", text, flags=re.MULTILINE)
    config.write_text(text)
    make("oldconfig", answers="\n" * 1000)
    missing = [setting for setting in SETTINGS if f"CONFIG_{setting}=y\n" not in config.read_text()]
    if missing:
        raise RuntimeError(f"busybox has no {missing}")
    own = folder / "headers"
    own.mkdir()
    for name in ("linux", "asm", "asm-generic"):
        (own / name).symlink_to(next(place / name for place in headers if (place / name).exists()))
    make("-j2", f"CC={compiler}", f"CROSS_COMPILE={triplet}-", f"CFLAGS=-idirafter {own}", "busybox")
    return folder / "busybox"
