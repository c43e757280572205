#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""packaging/apparmor is what apparmor_parser takes, and packaging/selinux what checkmodule and the reference policy's
interfaces take. systemd/guest.t has the former enforced."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import PROJECT, diag, ok

APPARMOR, SELINUX = PROJECT / "packaging/apparmor", PROJECT / "packaging/selinux"
REFERENCE = Path("/usr/share/selinux/devel/Makefile")


def run(*words, **how):
    return subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **how)


def apparmor():
    parser = shutil.which("apparmor_parser") or shutil.which("/usr/sbin/apparmor_parser")
    if not parser or not Path("/etc/apparmor.d/tunables").is_dir():
        nmtest.skip("AppArmor: profiles", "there is no apparmor_parser here")
        return
    for profile in sorted(path for path in APPARMOR.iterdir() if path.is_file()):
        got = run(parser, "--skip-kernel-load", "--skip-cache", "-I", APPARMOR, "-I", "/etc/apparmor.d", profile)
        ok(got.returncode == 0, f"AppArmor: {profile.name}") or diag(got.stdout)


def selinux():
    if not REFERENCE.exists() or not shutil.which("checkmodule") or not shutil.which("semodule_package"):
        nmtest.skip("SELinux: the module", "there is no checkmodule or reference policy here")
        return
    with tempfile.TemporaryDirectory() as place:
        for path in SELINUX.iterdir():
            shutil.copy(path, place)
        got = run("make", "-s", "-f", REFERENCE, "nmnotify.pp", cwd=place)
        made = Path(place) / "nmnotify.pp"
        ok(got.returncode == 0 and made.exists() and made.stat().st_size > 0, "SELinux: the module") or diag(got.stdout)


nmtest.run(apparmor, selinux)
