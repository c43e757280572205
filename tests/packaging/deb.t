#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Debian's packages: built on each release by an ordinary user, of the tarball; judged by lintian; and in a booted
system installed, used, upgraded, removed and purged. They stay in build/dist/debian-RELEASE.

    deb.t trixie       one release alone"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
for folder in ("integration", "systemd", "mail"):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / folder))
import container
import mailhost
import nmtest
from nmtest import BUILD, LINE, PROJECT, diag, equal, ok, until

RELEASES = ("trixie", "bookworm")
VERSION = re.search(r"(?m)^VERSION := (.*)", (PROJECT / "Makefile").read_text())[1]
PACKAGES = ("nmnotify", "nmnotifyctl", "nmnotifyd", "nmnotify-relay", "nmnotify-send")
# Beyond what the tree has, to build and judge them.
TOOLS = "build-essential debhelper lintian musl-tools pkgconf"
MORE_TOOLS = {"trixie": " systemd-dev libcmocka-dev"}
# As Debian builds it; a package is the same without its tests.
WITH_TESTS = "DEB_BUILD_OPTIONS=parallel=2 dpkg-buildpackage"
WITHOUT_TESTS = "DEB_BUILD_OPTIONS='nocheck parallel=2' dpkg-buildpackage -Pnocheck"
BUILT_BY = {"trixie": WITH_TESTS, "bookworm": WITHOUT_TESTS}
# What Debian 12's lintian, older than what it judges, has: a version of the policy, a field that it does not know, and
# what it wants for another init, which Debian 13's no longer does.
SUPPRESSED = {"bookworm": "newer-standards-version,unknown-field,package-supports-alternative-init-but-no-init.d-script"}
# The slowest machine builds them in this time.
BUILD_SECONDS = 1800
SYSTEM_UNITS = ("nmnotify.socket", "nmnotifyd.socket", "nmnotifyd.service", "nmnotify-relay.service", "nmnotify-relay.socket",
                "nmnotify-relay-biff.socket", "nmnotify-relay-cyrus.socket", "nmnotify-relay-logs.service")
FETCHED = "/var/lib/nmnotify/fetched"
CONFIG = f"from 127.0.0.1\ninterval 0s\nwrite default /var/lib/nmnotify\naction /usr/bin/touch {FETCHED}\n"
# Nobody hears bob's yet.
RELAY_CONFIG = "user alice 127.0.0.1\nuser bob 127.0.0.1:7979\ninterval 100ms\n"
ADDED = "# This is new in the next version.\n"
# What changes on any system; and dpkg's, apt's and this test's own.
CHANGING = r"/(var/(log|cache|tmp|lib/(dpkg|apt|systemd/(?!deb-systemd)))|tmp|root|etc/(passwd|group|g?shadow|subu?gid)-?$|etc/\.pwd\.lock)"


def tarball():
    found = BUILD / "dist" / f"nmnotify-{VERSION}.tar.gz"
    if not found.exists():
        subprocess.run(["make", "-s", "-C", str(PROJECT), f"BUILD={BUILD}", "dist"], check=True, env={"PATH": os.environ["PATH"]})
    return found


def call(*words, **how):
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", **how)
    return done.returncode, done.stdout


def must(*words, **how):
    status, output = call(*words, **how)
    if status != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {output[-2000:]}")
    return output


# ---- Building ----


def built(release):
    """The .deb files of a release, in build/dist; None if they cannot be built."""
    mailhost.make_layer("packaging", release, TOOLS + MORE_TOOLS.get(release, ""), "")
    out = BUILD / "dist" / f"debian-{release}"
    place = Path(tempfile.mkdtemp(prefix="debian.", dir=BUILD))
    must("mount", "-t", "tmpfs", "-o", "mode=755", "nmnotify-test", place)
    try:
        root = overlay(release, place)
        home = root / "home/builder"
        must("chroot", root, "useradd", "--create-home", "builder")
        source = home / f"nmnotify-{VERSION}"
        must("tar", "-xzf", tarball(), "-C", home)
        shutil.copytree(source / "packaging/debian", source / "debian")
        shutil.copy(tarball(), home / f"nmnotify_{VERSION}.orig.tar.gz")
        must("chroot", root, "chown", "-R", "builder:", "/home/builder")
        shell = lambda command: call("unshare", "--pid", "--fork", "--kill-child", f"--mount-proc={root}/proc", "chroot", root, "su", "-l", "builder", "-c",
                                     f"export LC_ALL=C.UTF-8; cd nmnotify-{VERSION} && {command}", timeout=BUILD_SECONDS)
        status, log = shell(f"{BUILT_BY[release]} --unsigned-source --unsigned-changes")
        if not ok(status == 0, f"{release}: dpkg-buildpackage, as an ordinary user", tell=False):
            diag(log[-3000:])
            return None
        if BUILT_BY[release] == WITH_TESTS:
            ok(re.search("(?m)^Result: PASS$", log), f"{release}: and its tests pass there", tell=False)
        equal(re.findall(r"(?m)^(?:src|build)/.*warning: .*", log), [], f"{release}: no compiler has a warning")
        status, said = shell(f"lintian -EviIL +pedantic --fail-on error,warning,info,pedantic,experimental --suppress-tags "
                             f"'{SUPPRESSED.get(release, '')}' ../*.changes")
        said = [line for line in said.splitlines() if not line.startswith("N:")]
        equal((status, said), (0, []), f"{release}: lintian has nothing to say")
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        for path in home.glob("nmnotify*_*"):
            shutil.copy(path, out)
    finally:
        must("umount", "--lazy", place)
        place.rmdir()
    if owner := os.environ.get("SUDO_UID"):
        must("chown", "-R", owner, out.parent)
    return sorted(path for path in out.glob("*.deb") if "-dbgsym" not in path.name)


def overlay(release, place):
    for name in ("upper", "work", "root"):
        (place / name).mkdir()
    root = place / "root"
    below = f"{mailhost.layer_of('packaging', release)}/root:{container.tree(release)}/root"
    must("mount", "-t", "overlay", "-o", f"lowerdir={below},upperdir={place}/upper,workdir={place}/work", "nmnotify-test", root)
    must("mount", "--bind", "/dev", root / "dev")
    must("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=666", "devpts", root / "dev/pts")
    return root


def control(deb, field):
    return must("dpkg-deb", "-f", deb, field).strip()


def fields(release, debs):
    """What they need: libraries if they are linked with them, and what is in static programs."""
    of = {deb.name.split("_")[0]: deb for deb in debs}
    equal(sorted(of), sorted(PACKAGES), f"{release}: these packages")
    for name in ("nmnotify", "nmnotify-send"):
        ok("musl (= " in control(of[name], "Static-Built-Using"), f"{release}: {name} says what is in it")
        ok(not re.search(r"\blib", control(of[name], "Depends")), f"{release}: {name} needs no library")
    needed = re.findall(r"\b(lib[a-z-]+)", control(of["nmnotify-relay"], "Depends"))
    wanted = ["libc", "libcares" if "libcares" in needed else "libc-ares", "libhiredis", "libjansson", "liblmdb", "libsystemd"]
    equal(sorted(needed), sorted(wanted), f"{release}: the relay needs its libraries")


def next_version(debs, folder):
    """The same with another version, of which some of the configuration is new."""
    folder.mkdir()
    for deb in debs:
        tree = folder / "tree"
        must("dpkg-deb", "-R", deb, tree)
        text = (tree / "DEBIAN/control").read_text()
        (tree / "DEBIAN/control").write_text(text.replace(f"{VERSION}-1", f"{VERSION}-2"))
        for path in (tree / "etc").glob("*.conf"):
            path.write_text(path.read_text() + ADDED)
        sums = tree / "DEBIAN/md5sums"
        sums.write_text("".join(line for line in sums.read_text().splitlines(True) if " etc/" not in line))
        must("dpkg-deb", "-b", "-Znone", "--root-owner-group", tree, folder / deb.name.replace(f"{VERSION}-1", f"{VERSION}-2"))
        shutil.rmtree(tree)


# ---- In a booted system ----


class Box(container.Container):
    debs = ()

    def install(self):
        """By dpkg, when it is booted; with documentation, which the tree is without."""
        for path in (self.root / "etc/dpkg/dpkg.cfg.d").iterdir():
            path.unlink()
        (self.root / "root/1").mkdir()
        for deb in self.debs:
            shutil.copy(deb, self.root / "root/1")
        next_version(self.debs, self.root / "root/2")
        shutil.copy(PROJECT / "packaging/debian/tests/line", self.root / "root/line")

    def dpkg(self, *words):
        """Without questions: what the administrator has changed stays."""
        words = ["env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confdef", "--force-confold", *words]
        return self.run(*words, check=False, timeout=600)

    def set_of(self, version):
        return sorted(f"/root/{version}/{path.name}" for path in (self.root / f"root/{version}").glob("*.deb"))

    def files(self):
        found = self.output("find", "/", "-xdev", "-not", "-path", "/proc/*").splitlines()
        return {path for path in found if not re.match(CHANGING, path)}

    def exists(self, path):
        return self.run("test", "-e", path, check=False).returncode == 0

    def is_enabled(self, unit):
        return self.output("systemctl", "is-enabled", unit).strip()

    def running(self):
        return set(self.output("pgrep", "nmnotify").split())

    def listens(self):
        return bool(re.search(r":79\s", self.output("ss", "-Hltn")))


def send():
    with socket.create_connection(("127.0.0.1", 79), 30) as connection:
        connection.sendall(LINE)


def starts(box, how, act=send):
    """What it does starts the action."""
    box.run("rm", "-f", FETCHED)
    act()
    if not ok(until(lambda: box.exists(FETCHED), 120, 0.1), f"{box.release}: {how}: the action runs", tell=False):
        diag(box.output("journalctl", "--no-pager", "-n", "30", "-o", "cat"))


def installed(box):
    done = box.dpkg("-i", *box.set_of(1))
    if not ok(done.returncode == 0, f"{box.release}: installed", tell=False):
        diag(done.stdout + done.stderr)
        raise RuntimeError("not installed")
    unwanted = [unit for unit in SYSTEM_UNITS if box.is_enabled(unit) not in ("disabled", "static") or box.is_active(unit)]
    equal(unwanted, [], f"{box.release}: installed: nothing is enabled or active")
    equal(box.failed_units(), [], f"{box.release}: installed: nothing has failed")
    ok(not box.listens(), f"{box.release}: installed: nothing listens on port 79", tell=False)
    equal(box.output("dpkg", "--verify", *PACKAGES), "", f"{box.release}: installed: all that dpkg knows is as it was")
    users = box.output("getent", "passwd", "nmnotify", "nmnotify-relay", "nmnotify-relay-logs").splitlines()
    equal(len(users), 3, f"{box.release}: installed: has its users")
    ok(box.exists("/run/nmnotify"), f"{box.release}: installed: has its directory", tell=False)
    done = box.run("bash", "/root/line", check=False, timeout=600)
    ok(done.returncode == 0, f"{box.release}: its own test, as autopkgtest(1) runs it", tell=False) or diag(done.stdout + done.stderr)


def used(box):
    box.write("/etc/nmnotify.conf", CONFIG)
    box.write("/etc/nmnotify-relay.conf", RELAY_CONFIG)
    box.run("systemctl", "enable", "--now", "nmnotify.socket")
    starts(box, "nmnotify.socket")
    box.run("systemctl", "disable", "--now", "nmnotify.socket")
    box.run("systemctl", "enable", "--now", "nmnotifyd.socket", "nmnotify-relay.socket", "nmnotify-start@default.timer")
    starts(box, "nmnotifyd.socket")
    starts(box, "nmnotify-send, nmnotify-relay.socket", lambda: box.run("nmnotify-send", "-e", "-u", "alice"))
    ok(box.run("nmnotifyctl", "status", check=False).returncode == 0, f"{box.release}: nmnotifyctl status", tell=False)
    box.run("nmnotify-send", "-e", "-u", "bob")


class Knocking(threading.Thread):
    """Connects all the time, and counts who was refused."""

    def __init__(self):
        super().__init__(daemon=True)
        self.network, self.ended = os.open("/proc/thread-self/ns/net", os.O_RDONLY), threading.Event()
        self.knocks, self.refused = 0, 0

    def run(self):
        container._enter_network(self.network)
        while not self.ended.wait(0.02):
            self.knocks += 1
            try:
                socket.create_connection(("127.0.0.1", 79), 30).close()
            except ConnectionRefusedError:
                self.refused += 1


def upgraded(box):
    old = box.running()
    ok(old, f"{box.release}: upgraded: while it runs")
    knocking = Knocking()
    knocking.start()
    done = box.dpkg("-i", *box.set_of(2))
    knocking.ended.set()
    knocking.join()
    ok(done.returncode == 0, f"{box.release}: upgraded", tell=False) or diag(done.stdout + done.stderr)
    ok(knocking.knocks and not knocking.refused, f"{box.release}: upgraded: no connection was refused meanwhile")
    equal(box.read("/etc/nmnotify.conf"), CONFIG, f"{box.release}: upgraded: what was changed in /etc stays")
    ok(ADDED in box.read("/etc/nmnotify.conf.dpkg-dist"), f"{box.release}: upgraded: ... with the new one beside it", tell=False)
    ok(ADDED in box.read("/etc/nmnotify-relay-logs.conf"), f"{box.release}: upgraded: what was not is new", tell=False)
    equal([unit for unit in ("nmnotifyd.socket", "nmnotify-relay.socket") if box.is_enabled(unit) != "enabled" or not box.is_active(unit)],
          [], f"{box.release}: upgraded: what was enabled and active is")
    equal((box.is_enabled("nmnotify.socket"), box.is_active("nmnotify.socket")), ("disabled", False),
          f"{box.release}: upgraded: what was not is not")
    left = lambda: old & box.running()
    ok(until(lambda: not left(), 60, 0.1), f"{box.release}: upgraded: no old program runs", tell=False) or diag(left())
    starts(box, "upgraded", lambda: box.run("nmnotify-send", "-e", "-u", "alice"))
    with socket.create_server(("127.0.0.1", 7979)) as server:
        server.settimeout(120)
        with server.accept()[0] as connection:
            equal(connection.recv(100), LINE, f"{box.release}: upgraded: a line that was owed before is sent")


def removed(box):
    done = box.dpkg("-r", *PACKAGES)
    ok(done.returncode == 0, f"{box.release}: removed", tell=False) or diag(done.stdout + done.stderr)
    equal([unit for unit in (*SYSTEM_UNITS, "nmnotify-start@default.timer") if box.is_active(unit)], [],
          f"{box.release}: removed: nothing is active")
    ok(not box.listens(), f"{box.release}: removed: nothing listens on port 79", tell=False)
    equal(box.output("pgrep", "-l", "nmnotify"), "", f"{box.release}: removed: nothing of it runs")
    kept = ("/etc/nmnotify.conf", "/etc/nmnotify-relay.conf", FETCHED, "/var/lib/nmnotify-relay")
    equal([path for path in kept if not box.exists(path)], [], f"{box.release}: removed: configuration and state are kept")


def purged(box, before):
    done = box.dpkg("-P", *PACKAGES)
    ok(done.returncode == 0, f"{box.release}: purged", tell=False) or diag(done.stdout + done.stderr)
    left = box.files() - before
    equal(sorted(left), ["/var/lib/nmnotify", FETCHED], f"{box.release}: purged: nothing is left, but mail that an action has delivered")
    ok(not box.exists("/run/nmnotify"), f"{box.release}: purged: nothing in /run", tell=False)
    equal(box.failed_units(), [], f"{box.release}: purged: nothing has failed")
    done = box.dpkg("-i", *box.set_of(2))
    ok(done.returncode == 0, f"{box.release}: purged: and installed again", tell=False) or diag(done.stdout + done.stderr)
    box.write("/etc/nmnotify.conf", CONFIG)
    box.run("systemctl", "start", "nmnotifyd.socket")
    starts(box, "installed again")


def whole(release):
    begun = time.monotonic()
    debs = built(release)
    diag(f"{release}: built after {time.monotonic() - begun:.0f} s")
    if debs:
        fields(release, debs)
        Box.debs = debs
        with Box(release) as box:
            before = box.files()
            installed(box)
            used(box)
            upgraded(box)
            removed(box)
            purged(box, before)
    diag(f"{release}: all after {time.monotonic() - begun:.0f} s")


container.require(*RELEASES)
if len(sys.argv) > 1:
    release = sys.argv.pop()

    def deb():
        whole(release)

    nmtest.run(deb)
tarball()
container.run_parts(sys.argv[0], RELEASES)
