#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The integration tests on other architectures, with a kernel of the architecture's own: where qemu-user has neither
filters nor nmnotifyd. A machine that boots straight into them: packages of Debian's that are only unpacked, Python among
them; the programs, and what the tests are helped by. ARCH in the environment: the architectures. It is emulated, and
takes minutes for each; so without LONG=1 it is skipped.

    LONG=1 ARCH=s390x integration.t integration/line.t      that one alone"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "systemd"))
import container
import nmtest
import qemu
import scripts
from nmtest import BUILD, PROJECT, diag
from system import System

CHOSEN = sys.argv[1:]
PACKAGES = "python3,dash,coreutils,util-linux,mount,procps,grep,sed,libcap2-bin,iproute2,netbase"
# Of those whose subject is another on another architecture (locks, atomics, the order of bytes, what starts what) these end in
# minutes; turn_killed.t, log.t and confine.t were not over after four, emulated.
SCRIPTS = """\
integration/line.t the_line bare_lf pieces resets closed_at_once
integration/silence.t
integration/conf_sources.t
integration/turn_run.t
integration/turn_waiter.t
integration/turn_limit.t
integration/state_files.t
integration/start.t
"""
PARTS = scripts.chosen(SCRIPTS, CHOSEN)
MOST_SECONDS = 3600
INIT = r"""#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /run /var/tmp && chmod 1777 /var/tmp
mount -t devpts -o ptmxmode=666 devpts /dev/pts
for place in /dev/shm /run /tmp; do mount -t tmpfs -o mode=1777 tmpfs $place; done
chmod 755 /run
ln -sf /proc/self/fd /dev/fd
ip link set lo up
cd /@PLACE@
export NMNOTIFY_TEST_SLOW=5 BUILD=/@PLACE@/build TIMES=1
while read -r number part; do
	timeout 900 unshare --pid --fork --kill-child --mount-proc python3 tests/$part >/tmp/out 2>&1 </dev/null
	echo "ended $?" >>/tmp/out
	sed "s,^,GUEST $number ," /tmp/out >/dev/@SERIAL@
done <parts
echo 'GUEST end' >/dev/@SERIAL@
sleep 1
echo b >/proc/sysrq-trigger
"""


def tree(system):
    """Unpacked, and kept."""
    made = system.kept / "tree"
    stamp = system.kept / "tree.stamp"
    if not stamp.exists() or stamp.read_text() != PACKAGES:
        shutil.rmtree(made, ignore_errors=True)
        release = system.kind.release or container.own_release()
        words = ["mmdebstrap", "--mode=root", "--variant=extract", f"--architectures={system.architecture}", "--quiet"]
        words += ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*", f"--include={PACKAGES}"]
        got = subprocess.run([*words, release, str(made), *container.sources(release)], capture_output=True, text=True)
        if got.returncode != 0:
            raise qemu.Unavailable(f"mmdebstrap failed: {got.stderr}")
        stamp.write_text(PACKAGES)
    return made


def build(system):
    """Programs and helpers, all of them static; what needs a library, the relay, is not there."""
    built = BUILD / "image" / system.architecture / "static"
    words = ["make", "-s", "-k", "-C", str(PROJECT), f"BUILD={built}", "SYSTEMD=no", f"CROSS={system.kind.triplet}-",
             f"CC={system.compiler}"]
    helpers = [f"{built}/tests/{path.stem}" for path in (PROJECT / "tests/integration").glob("*.c") if "names" not in path.stem]
    environment = nmtest.environment_for_make()
    subprocess.run([*words, "all"], check=True, env=environment)
    subprocess.run([*words, f"HOSTCC={system.kind.triplet}-gcc -static", *helpers], env=environment, capture_output=True)
    return built


def write(system, image, scratch):
    root = scratch / "root"
    scripts.put(root, build(system), PARTS)
    (root / "etc").mkdir()
    for name in ("passwd", "group", "nsswitch.conf"):
        shutil.copy(container.tree("trixie") / "root/etc" / name, root / "etc")
    (root / "etc/shadow").write_text("root:*:::::::\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    init = root / "init"
    init.write_text(INIT.replace("@PLACE@", scripts.PLACE).replace("@SERIAL@", system.kind.serial))
    init.chmod(0o755)
    with open(image, "wb") as out:
        qemu.add_tree(out, tree(system))
        qemu.add_mount_points(out)
        qemu.add_tree(out, root)
        qemu.end(out)


def integration(system):
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        image, said = Path(scratch) / "image", Path(scratch) / "serial"
        write(system, image, Path(scratch))
        begun = time.monotonic()
        with qemu.Machine(system.kernel, image, said, kind=system.kind, memory=1536) as machine:
            machine.wait(MOST_SECONDS)
        scripts.report(said.read_text(errors="replace"), PARTS, system.architecture)
        diag(f"{system.architecture}: {time.monotonic() - begun:.0f} s")


def parts():
    for system in systems:
        part = lambda system=system: integration(system)
        part.__name__ = system.architecture
        yield part


if __name__ == "__main__":
    if not os.environ.get("LONG"):
        print("1..0 # SKIP with LONG=1 alone")
        sys.exit(0)
    container.require("trixie")
    try:
        systems = [System(architecture) for architecture in os.environ.get("ARCH", "arm64").split() if architecture != "x86-64"]
    except qemu.Unavailable as why:
        container.give_up(why)
    del sys.argv[1:]
    nmtest.run(*parts())
