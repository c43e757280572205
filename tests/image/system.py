# SPDX-License-Identifier: ISC
"""What a machine of another architecture is made of: Debian's kernel for it, a compiler whose libc is musl, busybox, and
our programs. All of it is kept in build/image/ARCHITECTURE."""

import shutil
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "systemd"))
import busybox
import container
import nmtest
import qemu
from nmtest import BUILD, PROJECT


class System:
    """What such a system is made of, for an architecture. `release`: the kernel's, if it is not the usual one."""

    def __init__(self, architecture, release=None):
        self.architecture, self.kind = architecture, qemu.KINDS[architecture]
        self.kept = qemu.KEPT / architecture
        self.kept.mkdir(parents=True, exist_ok=True)
        # Before anything is made that takes long.
        qemu.require(self.kind)
        kernel = self.kept / (release or "kernel")
        self.kernel = self._kernel(kernel, release or self.kind.release)
        self.modules = sorted((kernel / "modules").iterdir())
        self.compiler = "musl-gcc" if architecture == "x86-64" else self._compiler()
        headers = (Path("/usr") / self.kind.triplet / "include", Path("/usr/include") / self.kind.triplet, Path("/usr/include"))
        self.busybox = busybox.program(self.kept, self.compiler, self.kind.triplet, headers)

    def _kernel(self, kept, release):
        architecture = self.kind.architecture or self.architecture.replace("x86-64", "amd64")
        lines = container.sources(release or container.own_release())
        return qemu.kernel(kept, self.kind.package, self.kind.modules, lines=lines, architecture=architecture)

    def _compiler(self):
        """musl's, for that architecture: what is unpacked knows only where it would be installed."""
        unpacked = PROJECT / "build/packages" / f"musl-{self.architecture}"
        specs = next(unpacked.glob("usr/lib/*/musl-gcc.specs"), None)
        if not specs:
            raise qemu.Unavailable(f"there is no {unpacked} (tests/packages image-{self.architecture})")
        (self.kept / "musl").mkdir(exist_ok=True)
        for path in specs.parent.iterdir():
            shutil.copy(path, self.kept / "musl")
        own = self.kept / "musl" / specs.name
        own.write_text(specs.read_text().replace("/usr/", f"{unpacked}/usr/"))
        compiler = self.kept / "musl-gcc"
        # What is in a newer release's library for debuggers, Debian 12's linker for riscv64 dies of.
        compiler.write_text(f'#!/bin/sh\nexec {self.kind.triplet}-gcc -Wl,--strip-debug "$@" -specs "{own}"\n')
        compiler.chmod(0o755)
        return compiler

    def program(self, name):
        """The static one, stripped. nmnotifyd is static as it is without systemd."""
        built = BUILD
        if self.architecture != "x86-64" or name != "nmnotify":
            built = BUILD / "image" / self.architecture / "static"
            cross = [] if self.architecture == "x86-64" else [f"CROSS={self.kind.triplet}-", f"CC={self.compiler}"]
            words = ["make", "-s", "-C", str(PROJECT), f"BUILD={built}", "SYSTEMD=no", *cross, str(built / name)]
            subprocess.run(words, check=True, env=nmtest.environment_for_make())
        stripped = self.kept / name
        subprocess.run([f"{self.kind.triplet}-strip", "-o", stripped, built / name], check=True)
        return stripped
