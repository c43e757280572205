#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The integration tests on other architectures, with a kernel of the architecture's own: where qemu-user has neither
filters nor nmnotifyd. A machine that boots straight into them: packages of Debian's that are only unpacked, Python among
them; the programs, and what the tests are helped by. ARCH in the environment: the architectures. It is emulated, and
takes minutes for each; so without LONG=1 it is skipped.

    LONG=1 ARCH=s390x integration.t integration/line.t      that one alone"""

import os
import re
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
PACKAGES = "python3,bash,dash,coreutils,util-linux,mount,procps,grep,sed,libcap2-bin,iproute2,netbase,libc-bin"
# What programs and helpers are linked with there.
PACKAGES += ",libc6-dev,libsystemd-dev,libseccomp-dev,libc-ares-dev,libhiredis-dev,libjansson-dev,liblmdb-dev"
NOT_IN_IMAGE = re.compile(
    r"usr/include$|usr/lib/[^/]*/.*\.a$|usr/lib/[^/]*/(gconv|perl.*|libperl.*)$|var/(cache|lib)/|"
    r"usr/share/(man|info|perl.*|bash-completion)$|usr/bin/perl")
# Those whose subject is another one on another architecture: locks, atomics, the order of bytes, the width of a time,
# system calls and their filters, what starts what; without parts that only take long, or count on a machine's speed.
SCRIPTS = """\
integration/start.t
integration/line.t the_line bare_lf pieces resets closed_at_once other_descriptors
integration/silence.t
integration/log.t each_verdict no_connection no_room escapes daemons
integration/conf_sources.t
integration/conf_file.t
integration/state_files.t
integration/state_errors.t
integration/turn_run.t
integration/turn_waiter.t
integration/turn_limit.t
integration/turn_killed.t killed_waiters killed_waiter_behind_a_run killed_before_exec slow_death
integration/turn_killed.t owed_at_every_instruction
integration/retry.t
integration/reload.t
integration/policies.t filters_can_be_loaded
integration/confine.t
integration/reach.t
integration/nmnotifyd_confined.t
integration/nmnotifyd_sockets.t
integration/taken_over.t nothing_gets_out nothing_more_is_allowed secrets
integration/send.t
integration/login.t
integration/direct.t destinations datagrams several names confined
integration/names.t right wrong taken_over calls confined
integration/relay.t told early tunnels udp logins bounds descriptors deaths damaged whose
integration/relay_confined.t
integration/relay_logs.t
integration/relay_proxy.t says_who_and_when S6_nobody_is_taken_for_another S1_a_login_is_as_old_as_it_was
integration/store.t
integration/ctl_status.t
"""
# qemu's s390x does not come over an instruction of many bytes in single steps.
NOT_THERE = {"s390x": "integration/turn_killed.t owed_at_every_instruction"}
MOST_SECONDS = 3600
INIT = r"""#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /run /var/tmp /home && chmod 1777 /var/tmp
mount -t devpts -o ptmxmode=666 devpts /dev/pts
for place in /dev/shm /run /tmp; do mount -t tmpfs -o mode=1777 tmpfs $place; done
chmod 755 /run
ln -sf /proc/self/fd /dev/fd
ip link set lo up
cd /@PLACE@
export NMNOTIFY_TEST_SLOW=3 BUILD=/@PLACE@/build TIMES=1
while read -r number part; do
	{
		timeout 900 unshare --pid --fork --kill-child --mount-proc python3 tests/$part </dev/null
		echo "ended $?"
	} 2>&1 | sed -u "s,^,GUEST $number ," >/dev/@SERIAL@
done <parts
echo 'GUEST end' >/dev/@SERIAL@
sleep 1
echo b >/proc/sysrq-trigger
"""


def scripts_of(system):
    return [part for part in scripts.chosen(SCRIPTS, CHOSEN) if part != NOT_THERE.get(system.architecture)]


def tree(system):
    """Unpacked, and kept."""
    made = system.kept / "tree"
    stamp = system.kept / "tree.stamp"
    release = system.kind.release or container.own_release()
    words = ["mmdebstrap", "--mode=root", "--variant=extract", f"--architectures={system.architecture}", "--quiet"]
    words += ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*", f"--include={PACKAGES}"]
    # As Debian is installed.
    words += ["--setup-hook=for part in bin lib sbin; do mkdir -p $1/usr/$part; ln -s usr/$part $1/$part; done"]
    # The release alone: its updates are not always there for each architecture.
    lines = [line for line in container.sources(release) if line.split()[2] == release]
    words += [release, str(made), *lines]
    if not stamp.exists() or stamp.read_text() != "\n".join(words):
        shutil.rmtree(made, ignore_errors=True)
        got = subprocess.run(words, capture_output=True, text=True)
        if got.returncode != 0:
            raise qemu.Unavailable(f"mmdebstrap failed: {got.stderr}")
        stamp.write_text("\n".join(words))
    return made


def build(system, made):
    """Programs and helpers, as they are built on such a machine: by a compiler that has that tree for a system."""
    built = BUILD / "image" / system.architecture / "whole"
    triplet = system.kind.triplet
    compiler = f"{triplet}-gcc --sysroot={made} -L{made}/usr/lib/{triplet.replace('i686', 'i386')}"
    words = ["make", "-s", "-C", str(PROJECT), f"BUILD={built}", "SYSTEMD=yes", "RELAY=yes", f"CROSS={triplet}-", f"CC={system.compiler}",
             f"DAEMON_CC={compiler}", f"TEST_CC={compiler}"]
    helpers = [f"{built}/tests/{path.stem}" for path in (PROJECT / "tests/integration").glob("*.c")]
    environment = nmtest.environment_for_make()
    subprocess.run([*words, "all"], check=True, env=environment)
    words.append(f"HOSTCC={compiler}")
    subprocess.run([*words, *helpers], check=True, env=environment)
    # What this machine ran to build them, for that one.
    subprocess.run([*words, f"BUILD={built}/there", f"{built}/there/policy-compile"], check=True, env=environment)
    return built


def write(system, image, scratch):
    root, made = scratch / "root", tree(system)
    built = build(system, made)
    scripts.put(root, built, scripts_of(system))
    shutil.copy(built / "there/policy-compile", root / scripts.PLACE / "build")
    (root / "etc").mkdir()
    for name in ("passwd", "group", "nsswitch.conf"):
        shutil.copy(container.tree("trixie") / "root/etc" / name, root / "etc")
    (root / "etc/shadow").write_text("root:*:::::::\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    init = root / "init"
    init.write_text(INIT.replace("@PLACE@", scripts.PLACE).replace("@SERIAL@", system.kind.serial))
    init.chmod(0o755)
    with open(image, "wb") as out:
        qemu.add_tree(out, made, NOT_IN_IMAGE)
        qemu.add_mount_points(out)
        qemu.add_tree(out, root)
        qemu.end(out)


def integration(system):
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        image, said = Path(scratch) / "image", Path(scratch) / "serial"
        write(system, image, Path(scratch))
        begun = time.monotonic()
        kind = system.kind
        # A tmpfs may have no more than half of the memory.
        with qemu.Machine(
            system.kernel, image, said, "rootfstype=ramfs", kind=kind, memory=kind.memory, processors=kind.processors
        ) as machine:
            machine.wait(MOST_SECONDS)
        scripts.report(said.read_text(errors="replace"), scripts_of(system), system.architecture)
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
