# SPDX-License-Identifier: ISC
"""A machine of its own, in qemu, whose whole system is an initramfs that a test writes.

    with open(image, "wb") as out:
        add_tree(out, root)          # as many trees as are wanted: what comes later comes over it
        end(out)
    with Machine(kernel, image, said, "rdinit=/sbin/init", memory=1024) as machine:
        machine.wait(900)            # until it powers off
    said.read_text()                 # what it wrote to its serial line

Nobody but root need do that. All is emulated: a KVM that is there need not work, in a machine that is a guest
itself. A machine has no network, unless the test asks for one (`options`)."""

import lzma
import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

# What tests make once.
KEPT = Path(__file__).resolve().parent.parent.parent / "build" / "image"
# Debian's, with the drivers of such a machine and few others.
KERNEL = "linux-image-cloud-amd64"


class Kind:
    """A kind of machine. `emulator`: the program, and what it emulates. `serial`: the serial line's name. `card`: its
    network card, with the modules that the kernel of that `package` needs for it. `release`: of the package, if this
    machine's own release of Debian does not have it, or not in each. `architecture`: the package's. `memory`, in
    MiB, and `processors`: the most that are of use."""

    def __init__(self, triplet, emulator, serial, package, card="virtio-net-pci", modules=("virtio_pci", "virtio_net"), **more):
        self.triplet, self.emulator, self.serial, self.package = triplet, emulator.split(), serial, package
        self.card, self.modules = card, modules
        self.release, self.architecture, self.memory = more.get("release"), more.get("architecture"), more.get("memory", 1536)
        self.processors = more.get("processors", 2)


_ARM = "qemu-system-arm -M virt,highmem=off -cpu cortex-a15", "ttyAMA0", "linux-image-armmp"
# By Debian's names of the architectures. Nobody makes a kernel for a machine of armel's that qemu has; armhf's runs
# armel's programs.
KINDS = {
    "x86-64": Kind("x86_64-linux-gnu", "qemu-system-x86_64 -nodefaults -cpu max", "ttyS0", KERNEL),
    "i386": Kind("i686-linux-gnu", "qemu-system-i386 -nodefaults -cpu max", "ttyS0", "linux-image-686", release="bookworm"),
    # Older ones make an atomic operation of several instructions, between which nobody can be stopped.
    "arm64": Kind("aarch64-linux-gnu", "qemu-system-aarch64 -M virt -cpu neoverse-n1", "ttyAMA0", "linux-image-cloud-arm64"),
    "armhf": Kind("arm-linux-gnueabihf", *_ARM),
    "armel": Kind("arm-linux-gnueabi", *_ARM, architecture="armhf"),
    "riscv64": Kind("riscv64-linux-gnu", "qemu-system-riscv64 -M virt", "ttyS0", "linux-image-riscv64", release="trixie"),
    # Its kernel knows no more memory, and often hangs with two processors.
    "mipsel": Kind(
        "mipsel-linux-gnu", "qemu-system-mipsel -M malta", "ttyS0", "linux-image-4kc-malta", release="bookworm", memory=256, processors=1
    ),
    "s390x": Kind(
        "s390x-linux-gnu", "qemu-system-s390x -nodefaults -cpu max", "ttysclp0", "linux-image-s390x", "virtio-net-ccw", ("virtio_net",)
    ),
}


# ---- An initramfs ----


def entry(out, name, mode, data=b"", uid=0, gid=0, device=(0, 0)):
    """One of cpio's, in the newc format (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    path = name.encode() + b"\0"
    fields = [0, mode, uid, gid, 1, 0, len(data), 0, 0, *device, len(path), 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    out.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))


def add_tree(out, root, left_out=None):
    """Directories, links and files of the tree; without those whose path the pattern matches."""
    for directory, names, files in os.walk(root):
        for name in sorted(names + files):
            path = Path(directory) / name
            inside = str(path.relative_to(root))
            if left_out and left_out.match(inside):
                if name in names:
                    names.remove(name)
                continue
            info = path.lstat()
            data = b""
            if stat.S_ISLNK(info.st_mode):
                data = os.readlink(path).encode()
            elif stat.S_ISREG(info.st_mode):
                data = path.read_bytes()
            elif not stat.S_ISDIR(info.st_mode):
                continue
            entry(out, inside, info.st_mode, data, info.st_uid, info.st_gid)


def add_mount_points(out):
    """What a system wants to find empty, and the device that the kernel gives to the first process."""
    for name in ("proc", "sys", "dev", "run", "tmp"):
        entry(out, name, stat.S_IFDIR | (0o1777 if name == "tmp" else 0o755))
    entry(out, "dev/console", stat.S_IFCHR | 0o600, device=(5, 1))


def end(out):
    entry(out, "TRAILER!!!", 0)


# ---- A kernel ----


class Unavailable(Exception):
    """What this machine does not have, or apt."""


def require(kind=KINDS["x86-64"]):
    program = kind.emulator[0]
    if not shutil.which(program):
        raise Unavailable(f"there is no {program} here")


def apt_of(place, lines, architecture=None):
    """The words with which apt knows those sources alone, as lines of its old format, by lists of its own, in that folder;
    as on a machine of that architecture."""
    (place / "lists/partial").mkdir(parents=True)
    (place / "sources.list").write_text("\n".join(lines) + "\n")
    words = ["-o", "Debug::NoLocking=true", "-o", "Acquire::Languages=none", "-o", f"Dir::Etc::sourcelist={place}/sources.list"]
    words += ["-o", "Dir::Etc::sourceparts=/dev/null", "-o", f"Dir::State::lists={place}/lists"]
    words += ["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "-o", "APT::Sandbox::User=root"]
    if architecture:
        words += ["-o", f"APT::Architecture={architecture}", "-o", f"APT::Architectures={architecture}"]
        words += ["-o", "Dir::State::status=/dev/null"]
    subprocess.run(["apt-get", "-qq", *words, "update"], capture_output=True)  # a download will tell
    return words


def unpack(package, place, apt=()):
    """Where no package manager knows of it."""
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as directory:
        words = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", *apt, "download", package]
        got = subprocess.run(words, cwd=directory, capture_output=True, text=True)
        found = list(Path(directory).glob("*.deb"))
        if not found:
            raise Unavailable(f"{package} cannot be had: {got.stderr}")
        subprocess.run(["dpkg", "-x", found[0], place], check=True)


def newest(package, apt=()):
    """The package that a package like linux-image-cloud-amd64 has only a link to."""
    depends = subprocess.run(["apt-cache", *apt, "depends", package], capture_output=True, text=True).stdout
    name = re.search(r"Depends: (linux-image-\S+)", depends)
    if not name:
        raise Unavailable(f"apt has no {package} here (apt-get update)")
    return name[1]


def kernel(kept, package, modules, tools=(), lines=(), architecture=None):
    """Kept in that folder: boot/vmlinuz-*, whose path it returns; those modules, in modules/, with the number of their
    turn before the name; and those packages, in tools/. `lines`: of the package sources, and the architecture, if they are
    not this machine's."""
    if not (kept / "whole").exists():
        shutil.rmtree(kept, ignore_errors=True)
        with tempfile.TemporaryDirectory() as place:
            apt = apt_of(Path(place), lines, architecture) if lines else ()
            unpack(newest(package, apt), kept, apt)
            for tool in tools:
                unpack(tool, kept / "tools", apt)
        (kept / "modules").mkdir()
        for number, (name, data) in enumerate(with_needed(kept, modules).items()):
            (kept / "modules" / f"{number:02}-{name}.ko").write_bytes(data)
        for folder in ("lib", "usr/lib"):
            shutil.rmtree(kept / folder, ignore_errors=True)
        (kept / "whole").touch()
    return sorted(kept.glob("boot/vmlinu[zx]-*"))[-1]


def with_needed(where, wanted):
    """Those modules that are not within the kernel, and what they need before them, in the order in which they are loaded:
    what is in each, by its name."""
    files = {path.name.split(".")[0].replace("-", "_"): path for path in where.rglob("*.ko*")}
    within = "".join(path.read_text() for path in where.rglob("modules.builtin")).replace("-", "_")
    order = {}

    def add(name):
        name = name.replace("-", "_")
        if name in order or f"/{name}.ko\n" in within:
            return
        data = files[name].read_bytes()
        if files[name].suffix == ".xz":
            data = lzma.decompress(data)
        for other in filter(None, re.search(rb"\0depends=([^\0]*)\0", data)[1].decode().split(",")):
            add(other)
        order[name] = data

    for name in wanted:
        add(name)
    return order


# ---- Its machine ----


class Machine:
    """It runs from `with` until it powers off, or `with` ends, as if its power were cut. `said`: the file that gets
    what it writes to its serial line, which is its console, too. `words` are for the kernel."""

    def __init__(self, boot, image, said, *words, kind=KINDS["x86-64"], memory=1024, processors=2, options=()):
        accelerator = "tcg" if "-icount" in options else "tcg,thread=multi"
        self._command = [*kind.emulator, "-m", str(memory), "-smp", str(processors), "-no-reboot", "-display", "none"]
        self._command += ["-accel", accelerator, "-monitor", "none", "-serial", f"file:{said}"]
        self._command += ["-kernel", str(boot), "-initrd", str(image), *(options or ("-net", "none"))]
        self._command += ["-append", " ".join((f"console={kind.serial}", "panic=-1", *words))]

    def __enter__(self):
        self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def wait(self, seconds):
        """Whether it has powered off before that."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True
