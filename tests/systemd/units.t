#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The units as `make install` installs them: systemd has nothing to complain of, and its own measure
of their exposure stays where it is. Needs no container, nor root."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
import nmtest
from nmtest import BUILD, PROJECT, diag, equal, ok, skip

SYSTEM, USER = "lib/systemd/system", "usr/lib/systemd/user"
SOCKETS = ("nmnotify.socket", "nmnotifyd.socket")
SERVICES = ("nmnotify@.service", "nmnotifyd.service", "nmnotify-start@.service")
TIMERS = ("nmnotify-start@.timer",)
RESUME = ("nmnotify-resume@.service",)
RELAY = ("nmnotify-relay.socket", "nmnotify-relay-biff.socket", "nmnotify-relay-cyrus.socket",
         "nmnotify-relay-status.socket", "nmnotify-relay.service")
RELAY += ("nmnotify-relay-proxied.socket", "nmnotify-relay-proxy.service", "nmnotify-relay-logs.service")
WATCH = ("nmnotify-watch@.path", "nmnotify-watch@.service")
# systemd-analyze security, in tenths. It does not see the programs' own filters, and counts those that
# the units leave to them.
EXPOSURE_MOST = {"nmnotifyd.service": 42, "nmnotify@.service": 53, "nmnotify-start@.service": 53, "nmnotify-relay.service": 10}
EXPOSURE_MOST.update({"nmnotify-relay-proxy.service": 4, "nmnotify-relay-logs.service": 2})
# systemd.exec(5): each of them gives the service a mount namespace of its own.
TAKE_MOUNTS = (
    "PrivateMounts PrivateTmp PrivateDevices PrivateIPC ProtectSystem ProtectHome ProtectProc ProcSubset "
    "ProtectControlGroups ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ReadWritePaths "
    "ReadOnlyPaths InaccessiblePaths ExecPaths NoExecPaths TemporaryFileSystem BindPaths BindReadOnlyPaths "
    "RootDirectory RootImage MountAPIVFS MountFlags DynamicUser"
).split()


# What would take away system calls, addresses or ids that an account's policy lets through; and other
# things of the user's than ours (RemoveIPC=: his other processes' memory).
TAKE_FROM_POLICIES = (
    "SystemCallFilter RestrictAddressFamilies RestrictRealtime RestrictSUIDSGID LockPersonality "
    "MemoryDenyWriteExecute IPAddressDeny SocketBindDeny RestrictNetworkInterfaces PrivateNetwork PrivateUsers "
    "RestrictFileSystems RemoveIPC PrivateIPC PrivateTmp ProtectHome ProcSubset SystemCallLog"
).split()


def make(root, target, *more):
    environment = nmtest.environment_for_make()
    directories = [f"SYSTEMDUNITDIR=/{SYSTEM}", f"SYSTEMDUSERUNITDIR=/{USER}"]
    subprocess.run(
        ["make", "-s", "-C", str(PROJECT), target, f"BUILD={BUILD}", f"DESTDIR={root}", *directories, *more],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )


class Root:
    """A place where the project is installed, with units that find their programs there."""

    def __init__(self, *more):
        self.more = more

    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix="nmtest."))
        make(self.path, "install", *self.more)
        for unit in self.path.rglob("*.service"):
            unit.write_text(unit.read_text().replace("ExecStart=/", f"ExecStart={self.path}/"))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def settings(self, directory, unit):
        """(key, value) pairs, in order; drop-ins are not looked at."""
        lines = (self.path / directory / unit).read_text().splitlines()
        return [tuple(line.split("=", 1)) for line in lines if "=" in line and not line.startswith("#")]

    def analyze(self, directory, *words):
        environment = {"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{self.path / directory}:"}
        environment.update(HOME=str(self.path), XDG_RUNTIME_DIR=str(self.path))
        return subprocess.run(
            ["systemd-analyze", *words],
            cwd=self.path / directory,
            capture_output=True,
            text=True,
            env=environment,
            timeout=nmtest.PATIENCE,
        )


def verify():
    with Root() as root:
        both = (*SOCKETS, *SERVICES, *TIMERS)
        for directory, manager, units in ((SYSTEM, "--system", both + RELAY + RESUME), (USER, "--user", both + WATCH)):
            for unit in units:
                result = root.analyze(directory, "verify", "--man=no", manager, f"./{unit}")
                said = result.stdout + result.stderr
                equal((result.returncode, said), (0, ""), f"verify {manager} {unit}: clean")


def verify_finds_what_is_wrong():
    with Root() as root:
        unit = root.path / SYSTEM / "nmnotify.socket"
        unit.write_text(unit.read_text().replace("MaxConnections=", "MaxConections="))
        said = root.analyze(SYSTEM, "verify", "--man=no", "./nmnotify.socket").stderr
        ok("MaxConections" in said, "verify: it would have been seen")


def exposure():
    with Root() as root:
        for unit, most in EXPOSURE_MOST.items():
            words = ("security", "--offline=true", "--no-pager", f"--threshold={most}", f"./{unit}")
            result = root.analyze(SYSTEM, *words)
            found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
            name = f"systemd-analyze security {unit}: at most {most / 10}"
            if ok(found and result.returncode == 0 and float(found[1]) * 10 <= most, name):
                diag(f"{unit}: {found[1]}")
            else:
                diag(result.stderr)
                diag("\n".join(line for line in result.stdout.splitlines() if line[:1] in "✗→"))


def no_mount_namespace():
    with Root() as root:
        for directory in (SYSTEM, USER):
            keys = {key for key, _ in root.settings(directory, "nmnotify@.service")}
            equal(keys & set(TAKE_MOUNTS), set(), f"{directory}/nmnotify@.service: no mount namespace")


def starts_are_like_lines():
    """In both units of handlers, all is alike that is about users, state and rights."""
    own = {"Description", "Documentation", "ExecStart", "StandardInput", "Wants", "After", "WantedBy", "Also"}
    with Root() as root:
        for directory in (SYSTEM, USER):
            one, other = (
                {(key, value) for key, value in root.settings(directory, unit) if key not in own}
                for unit in ("nmnotify@.service", "nmnotify-start@.service")
            )
            equal(sorted(one ^ other), [], f"{directory}/nmnotify-start@.service: as nmnotify@.service")


def one_filter():
    """The programs' own. services.t looks at what is refused in there."""
    with Root() as root:
        for directory in (SYSTEM, USER):
            for unit in SERVICES:
                keys = {key for key, _ in root.settings(directory, unit)}
                equal(keys & set(TAKE_FROM_POLICIES), set(), f"{directory}/{unit}: takes nothing from a policy")


def no_outage():
    """What would let a flood end the service."""
    with Root() as root:
        for directory in (SYSTEM, USER):
            for unit in SOCKETS:
                settings = dict(root.settings(directory, unit))
                limits = (settings.get("TriggerLimitIntervalSec"), settings.get("TriggerLimitBurst"))
                equal(limits, ("0", "0"), f"{directory}/{unit}: no trigger limit")
                equal(settings.get("FreeBind"), "yes", f"{directory}/{unit}: may be earlier than its address")
                ok("ListenDatagram" not in settings, f"{directory}/{unit}: UDP is opt-in")
                ok("DeferAcceptSec" in settings, f"{directory}/{unit}: silence starts nothing")
        for directory, unit in [(SYSTEM, unit) for unit in RELAY] + [(USER, unit) for unit in WATCH]:
            settings = dict(root.settings(directory, unit))
            limits = ["StartLimitIntervalSec"] if unit.endswith("service") else ["TriggerLimitIntervalSec", "TriggerLimitBurst"]
            equal({settings.get(key) for key in limits}, {"0"}, f"{directory}/{unit}: no limit of starts")
        for directory in (SYSTEM, USER):
            settings = dict(root.settings(directory, "nmnotifyd.service"))
            equal(settings.get("StartLimitIntervalSec"), "0", f"{directory}/nmnotifyd.service: no start limit")
            for unit in SERVICES:
                settings = dict(root.settings(directory, unit))
                kept = settings.get("RuntimeDirectoryPreserve")
                equal(kept, "yes", f"{directory}/{unit}: the state outlives it")


def younger_systemd():
    """Drop-ins for what this systemd may not know."""
    version = subprocess.run(["systemctl", "--version"], capture_output=True, text=True).stdout.split()[1]
    for number, wanted in ((252, 0), (253, 3), (254, 6), (255, 15)):
        with Root(f"SYSTEMD_VERSION={number}") as root:
            dropins = sorted(p.relative_to(root.path) for p in root.path.rglob("*.d/*.conf"))
            dropins = [p for p in dropins if "systemd" in p.parts and p.parts[-3] in ("system", "user")]
            equal(len(dropins), wanted, f"systemd {number}: {wanted} drop-ins")
            if int(version.split(".")[0]) >= number:
                for directory, manager in ((SYSTEM, "--system"), (USER, "--user")):
                    own = RELAY if directory == SYSTEM else WATCH
                    units = [f"./{unit}" for unit in (*SOCKETS, *SERVICES, *own)]
                    said = root.analyze(directory, "verify", "--man=no", manager, *units).stderr
                    equal(said, "", f"systemd {number}: verify {manager}: clean")
            make(root.path, "uninstall", f"SYSTEMD_VERSION={number}")
            conf = ("nmnotify.conf", "nmnotify-relay.conf", "nmnotify-relay-logs.conf")
            left = [p for p in root.path.rglob("*nmnotify*") if p.name not in conf and p.is_file()]
            left += [p for p in root.path.rglob("*.socket.d")] + [p for p in root.path.rglob("*.service.d")]
            equal(left, [], f"systemd {number}: make uninstall leaves none of it")


if not shutil.which("systemd-analyze"):
    skip("units", "there is no systemd-analyze here")
    nmtest.done()
nmtest.run(verify, verify_finds_what_is_wrong, exposure, no_mount_namespace, starts_are_like_lines, one_filter, no_outage, younger_systemd)
