#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The compiler of policies: libseccomp's versions, the kernel's numbers, architectures it does not know, and mistakes."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import BUILD, diag, ok, skip
from policy import COMPILER, Reading, SYSCALLS, TARGETS, _compiled, compile_policies, filters_of, newest_number, table_of

NEWER = BUILD / "tests" / "newer.so"
HOST = "x86_64-linux-gnu"


# ---- Architectures ----

NO_TARGETS = ("x86_64-linux-gnux32", "armeb-linux-gnueabi", "aarch64_be-linux-gnu", "powerpcle-linux-gnu",
              "sparc64-linux-gnu", "")


# ---- The tests ----


def a_newer_libseccomp_changes_nothing():
    """What is newer than `newest` has no number that counts: ENOSYS, whatever it is called."""
    if not NEWER.exists():
        skip("policy: a newer libseccomp changes nothing", f"{NEWER} has not been built")
        return
    newest = newest_number(Reading("mail"))
    env = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(NEWER), "NEWEST": str(newest)}
    named = subprocess.run(
        [str(SYSCALLS), hex(TARGETS[0].arch)], capture_output=True, text=True, check=True, timeout=60, env=env
    ).stdout
    if not ok("from_the_future_500" in named, "policy: libseccomp knows calls of the future, for this test"):
        return
    for target in TARGETS:
        filters_of(target)
        status, printed, _ = compile_policies(target.triplet, env=env)
        same = status == 0 and printed == _compiled[target.triplet]
        ok(same, f"policy: {target.triplet}: a newer libseccomp makes the same filters")


def read_macros(text):
    """{name: number} of `#define __NR_name 1`, or `(__NR_Linux + 1)` with a base that is one, too."""
    pattern = r"^#define __NR_(\w+) \(?(?:__NR_(\w+)\s*\+\s*)?(\d+)\)?$"
    found = {m[1]: (m[2], int(m[3])) for m in re.finditer(pattern, text, re.MULTILINE)}
    return {n: value + (found.get(base, ("", 0))[1] if base else 0) for n, (base, value) in found.items()}


def numbers_are_the_kernels():
    """libseccomp's numbers are those of the kernel's headers, for whichever compilers are here."""
    for target in TARGETS:
        names = [f"{target.triplet}-gcc", *(["cc"] if target.triplet == HOST else [])]
        compiler = next((c for c in names if shutil.which(c)), None)
        if compiler is None or (compiler == "cc" and os.uname().machine != "x86_64"):
            continue
        macros = subprocess.run(
            [compiler, "-dM", "-E", "-include", "asm/unistd.h", "-"],
            input="", capture_output=True, text=True, timeout=60,
        ).stdout
        kernel = read_macros(macros)
        ours = {name: number for number, name in table_of(target).items()}
        wrong = {n: (ours[n], kernel[n]) for n in ours.keys() & kernel.keys() if ours[n] != kernel[n]}
        common = len(ours.keys() & kernel.keys())
        if not ok(common > 200 and not wrong, f"policy: {target.triplet}: {common} numbers are the kernel's"):
            diag(wrong)


def strangers_are_refused():
    """A target without filters must not get another's."""
    for triplet in NO_TARGETS:
        status, printed, complaint = compile_policies(triplet)
        ok(status != 0 and not printed and "no target" in complaint, f"policy: no filters for '{triplet}'")
    for name in ("mail.txt", "a b.policy", ".policy"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_text("include x\n")
            done = subprocess.run([str(COMPILER), HOST, str(path)], capture_output=True, text=True, timeout=60)
            ok(done.returncode != 0, f"policy: '{name}' is no policy's name")


GOOD = "newest set_mempolicy_home_node\nothers refuse\n"
MISTAKES = [
    ("others refuse\n", "newest"),
    ("newest set_mempolicy_home_node\n", "others"),
    (GOOD + "others refuse\n", ":3:"),
    (GOOD + "newest set_mempolicy_home_node\n", ":3:"),
    ("newest read\nothers refuse\n", ":1:"),
    ("newest no_such_call\nothers refuse\n", ":1:"),
    (GOOD + "others perhaps\n", ":3:"),
    (GOOD + "allow\n", ":3:"),
    (GOOD + "permit read\n", ":3:"),
    (GOOD + "allow no_such_call\n", ":3:"),
    (GOOD + "allow read\nrefuse read\n", ":4:"),
    (GOOD + "allow read\nallow read arg0 == 1\n", ":4:"),
    (GOOD + "allow read arg0 == 1\nallow read\n", ":4:"),
    (GOOD + "refuse read arg0 == 1\n", ":3:"),
    (GOOD + "enosys read arg0 == 1\n", ":3:"),
    (GOOD + "allow read arg6 == 1\n", ":3:"),
    (GOOD + "allow read arg00 == 1\n", ":3:"),
    (GOOD + "allow read arg0 = 1\n", ":3:"),
    (GOOD + "allow read arg0 ==\n", ":3:"),
    (GOOD + "allow read arg0 == |\n", ":3:"),
    (GOOD + "allow read arg0 == AF_NOTHING\n", ":3:"),
    (GOOD + "allow read arg0 == -1\n", ":3:"),
    (GOOD + "allow read arg0 == 0x100000000\n", ":3:"),
    (GOOD + "allow read arg0 != NULL\n", ":3:"),
    (GOOD + "allow read arg0 & 1 == NULL\n", ":3:"),
    (GOOD + "allow read arg0 & 1 == 2\n", ":3:"),
    (GOOD + "allow read arg0 == 1 or arg1 == 2\n", ":3:"),
    (GOOD + "allow read arg0 == 1 and\n", ":3:"),
    (GOOD + "allow read arg0 == 1 and arg1 == 2 and arg2 == 3 and arg3 == 4\n", ":3:"),
    (GOOD + "allow read arg0 == " + "|".join(map(str, range(11))) + "\n", ":3:"),
    (GOOD + "include no_such_file.policy\n", ":3:"),
    ("include test.policy\n", "deep"),
    (GOOD + "allow " + "read " * 25 + "\n", ":3:"),
    (GOOD + "others allow please\n", ":3:"),
]


def mistakes_are_told():
    """A text with a mistake makes no filter, and the message says where it is."""
    with tempfile.TemporaryDirectory() as folder:
        for text, message in MISTAKES:
            (Path(folder) / "test.policy").write_text(text)
            status, printed, complaint = compile_policies(HOST, folder, ["test"])
            last = text.replace(GOOD, "").strip().replace("\n", "; ")[:60]
            if not ok(status != 0 and message in complaint, f"policy: a mistake is told: {last}"):
                diag(complaint)
        (Path(folder) / "test.policy").write_text(GOOD)
        ok(compile_policies(HOST, folder, ["test"])[0] == 0, "policy: without mistakes there is a filter")


nmtest.run(
    a_newer_libseccomp_changes_nothing,
    numbers_are_the_kernels,
    strangers_are_refused,
    mistakes_are_told,
)
