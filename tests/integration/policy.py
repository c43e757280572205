# SPDX-License-Identifier: ISC
"""The policies' compiler as its tests call it, for each architecture; and a machine that runs the filters."""

import re
import socket
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from nmtest import BUILD, PROJECT

COMPILER = BUILD / "policy-compile"
SYSCALLS = BUILD / "tests" / "syscalls"
TEXTS = PROJECT / "src" / "policy"
POLICIES = ("mail", "local", "none", "network", "send", "resolver", "relay", "logs", "proxy")
ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
WRONG_ENOSYS = -1
ANSWERS = {ALLOW: "allow", EPERM: "EPERM", ENOSYS: "ENOSYS", KILL: "kill", WRONG_ENOSYS: "another machine's ENOSYS"}


# ---- Architectures ----


class Target:
    """What the kernel tells a filter: AUDIT_ARCH_* of linux/audit.h, in the machine's byte order."""

    def __init__(self, triplet, arch, big_endian=False, first=0):
        self.triplet, self.arch, self.first = triplet, arch, first
        self.order = ">" if big_endian else "<"
        self.is_mips = first != 0
        self.is_s390 = triplet.startswith("s390")
        self.is_x86_64 = triplet.startswith("x86_64")
        self.is_arm = triplet.startswith("arm-")
        self.column = 1 if self.is_mips else 2 if triplet.startswith("hppa") else 0  # of MACHINE
        # 64 bits of an argument are two words, and this is the one with the lower bits.
        self.low, self.high = (1, 0) if big_endian else (0, 1)


TARGETS = [
    Target("x86_64-linux-gnu", 0xC000003E),
    Target("aarch64-linux-gnu", 0xC00000B7),
    Target("arm-linux-gnueabihf", 0x40000028),
    Target("i686-linux-gnu", 0x40000003),
    Target("riscv64-linux-gnu", 0xC00000F3),
    Target("mips-linux-gnu", 0x00000008, big_endian=True, first=4000),
    Target("mipsel-linux-gnu", 0x40000008, first=4000),
    Target("mips64-linux-gnuabi64", 0x80000008, big_endian=True, first=5000),
    Target("mips64el-linux-gnuabi64", 0xC0000008, first=5000),
    Target("mips64-linux-gnuabin32", 0xA0000008, big_endian=True, first=6000),
    Target("mips64el-linux-gnuabin32", 0xE0000008, first=6000),
    Target("powerpc-linux-gnu", 0x00000014, big_endian=True),
    Target("powerpc64-linux-gnu", 0x80000015, big_endian=True),
    Target("powerpc64le-linux-gnu", 0xC0000015),
    Target("s390x-linux-gnu", 0x80000016, big_endian=True),
    Target("s390-linux-gnu", 0x00000016, big_endian=True),
    Target("hppa-linux-gnu", 0x0000000F, big_endian=True),
]
X32_BIT = 0x40000000
UNIFIED = 424  # from here on all architectures number alike, counted from their first
GAP = range(335, UNIFIED)  # x86_64 skipped these for that


# ---- The compiler ----


def compile_policies(triplet, texts=TEXTS, names=POLICIES, env=None, compiler=COMPILER):
    """(exit status, what it printed, what it complained of)"""
    paths = [str(Path(texts) / f"{name}.policy") for name in names]
    done = subprocess.run(
        [str(compiler), triplet, *paths], capture_output=True, text=True, timeout=60, env=env
    )
    return done.returncode, done.stdout, done.stderr


def read_filters(printed):
    """{policy: its instructions as (code, jt, jf, k)} from the C that the compiler prints."""
    filters, filling = {}, None
    for line in printed.splitlines():
        if heading := re.fullmatch(r"/\* (\w+)\.policy \*/", line):
            filling = filters.setdefault(heading[1], [])
        elif instruction := re.fullmatch(r"\t\{ 0x(\w+), (\d+), (\d+), 0x(\w+) \},", line):
            code, jt, jf, k = instruction.groups()
            filling.append((int(code, 16), int(jt), int(jf), int(k, 16)))
    return filters


_compiled = {}


def filters_of(target):
    if target.triplet not in _compiled:
        status, printed, complaint = compile_policies(target.triplet)
        if status != 0:
            raise RuntimeError(complaint)
        _compiled[target.triplet] = printed
    return {policy: [usual_answer(target, *line) for line in code] for policy, code in read_filters(_compiled[target.triplet]).items()}


def usual_answer(target, operation, jt, jf, k):
    """An instruction whose error is the usual number, whatever the target's is; of another one, it stays unknown."""
    own = 0x50000 | value_of(target, "ENOSYS")
    if operation == RETURN and k in (ENOSYS, own):
        k = ENOSYS if k == own else WRONG_ENOSYS
    return operation, jt, jf, k


# ---- A machine that runs filters (bpf(4), and what seccomp(2) takes of it) ----

LOAD, AND, RETURN = 0x20, 0x54, 0x06
JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL = 0x05, 0x15, 0x25, 0x35


def run_filter(code, words):
    """The answer to a struct seccomp_data, given as its 16 words of 32 bits."""
    accumulator = at = 0
    while True:
        operation, jt, jf, k = code[at]
        at += 1
        if operation == JUMP_GREATER_EQUAL:
            at += jt if accumulator >= k else jf
        elif operation == JUMP_EQUAL:
            at += jt if accumulator == k else jf
        elif operation == RETURN:
            return k
        elif operation == LOAD:
            accumulator = words[k >> 2]
        elif operation == AND:
            accumulator &= k
        elif operation == JUMP_GREATER:
            at += jt if accumulator > k else jf
        elif operation == JUMP:
            at += k
        else:
            raise ValueError(f"instruction {operation:#x}")


def call_words(target, number, arguments, arch=None):
    """struct seccomp_data: number, architecture, instruction pointer, six arguments of 64 bits."""
    words = [number, target.arch if arch is None else arch, 0x12345678, 0x9ABCDEF0]
    for argument in arguments:
        halves = [0, 0]
        halves[target.low] = argument & 0xFFFFFFFF
        halves[target.high] = argument >> 32
        words += halves
    return words


# ---- A second reading of the texts ----

CONSTANTS = {
    "AF_UNIX": socket.AF_UNIX,
    "AF_INET": socket.AF_INET,
    "AF_INET6": socket.AF_INET6,
    "AF_NETLINK": 16,
    "NETLINK_ROUTE": 0,
    "SOCK_TYPE_MASK": 0xF,
    "IPPROTO_ICMP": 1,
    "IPPROTO_TCP": 6,
    "IPPROTO_UDP": 17,
    "IPPROTO_ICMPV6": 58,
    "MSG_OOB": 1,
    "MSG_OOB_FASTOPEN": 0x20000001,
    "TCP_ULP": 31,
    # linux/sockios.h
    "SIOCGIFBR": 0x8940,
    "SIOCSIFBR": 0x8941,
    "SIOCADDDLCI": 0x8980,
    "SIOCDELDLCI": 0x8981,
    "SIOCGIFVLAN": 0x8982,
    "SIOCSIFVLAN": 0x8983,
    # NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET of linux/sched.h
    "CLONE_NEW*": 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000,
    "S_IFMT": 0o170000,
    "S_IFREG": 0o100000,
    "S_IFIFO": 0o010000,
    "S_IFSOCK": 0o140000,
    "PER_LINUX32": 8,
    "UNAME26": 0x20000,
    "PER_LINUX32_UNAME26": 0x20008,
    "PER_QUERY": 0xFFFFFFFF,
}
# Elsewhere, on mips, on hppa.
MACHINE = {
    "TIOCSTI": (0x5412, 0x5472, 0x5412),
    "TIOCLINUX": (0x541C, 0x5483, 0x541C),
    "TIOCSETD": (0x5423, 0x7401, 0x5423),
    "SOCK_STREAM": (1, 2, 1),
    "SOCK_DGRAM": (2, 1, 2),
    "SOCK_NONBLOCK_CLOEXEC": (0x80800, 0x80080, 0x40200000),
    "FORK": (0x1200011, 0x1200012, 0x1200012),  # with SIGCHLD
    "ENOSYS": (38, 89, 251),
}


class Reading:
    """A policy's text: for each name that it mentions its word and its lines' conditions."""

    def __init__(self, name, texts=TEXTS):
        self.lines, self.others, self.newest = {}, None, None
        self._read(Path(texts) / f"{name}.policy")

    def _read(self, path):
        for line in path.read_text().splitlines():
            words = line.split("#")[0].split()
            if not words:
                continue
            if words[0] == "include":
                self._read(path.parent / words[1])
            elif words[0] == "others":
                self.others = words[1]
            elif words[0] == "newest":
                self.newest = words[1]
            else:
                conditions = " ".join(words[2:]).split(" and ") if words[2:] else []
                self.lines.setdefault(words[1], []).append((words[0], conditions))

    def answer(self, target, name, offset, arguments, newest):
        """What must become of a call. `offset` is its number, counted from the first."""
        if name in self.lines:
            return self._answer_of_lines(target, name, arguments)
        if is_newer(target, offset, newest):
            return ENOSYS
        return ALLOW if self.others == "allow" else EPERM

    def _answer_of_lines(self, target, name, arguments):
        for word, conditions in self.lines[name]:
            if all(holds(target, name, condition, arguments) for condition in conditions):
                return {"allow": ALLOW, "refuse": EPERM, "enosys": ENOSYS}[word]
        return EPERM

    def has_conditions(self, name):
        return any(conditions for _, conditions in self.lines.get(name, []))


def is_newer(target, offset, newest):
    """Was there no such call when the policies were written? By numbers alone, as they have gone on
    alike since 424. riscv's one call from between is the exception."""
    if target.is_x86_64 and offset in GAP:
        return True
    if target.triplet.startswith("riscv") and offset == 258:  # riscv_hwprobe, Linux 6.4
        return True
    return newest < offset < 0xF0000


def value_of(target, word):
    if word in MACHINE:
        return MACHINE[word][target.column]
    return CONSTANTS[word] if word in CONSTANTS else int(word, 0)


def holds(target, name, condition, arguments):
    """Whether a condition such as `arg1 & S_IFMT == 0|S_IFREG` holds."""
    left, operator, right = re.split(r"\s*([!=]=)\s*", condition)
    argument, _, mask = left.partition(" & ")
    index = int(argument[3:])
    if target.is_s390 and name == "clone":
        index = {0: 1, 1: 0}.get(index, index)
    if right == "NULL":
        return arguments[index] == 0
    low = arguments[index] & 0xFFFFFFFF
    if mask:
        low &= value_of(target, mask)
    is_one = low in [value_of(target, word) for word in right.split("|")]
    return is_one == (operator == "==")


# ---- Which calls to ask for ----

_tables = {}


def table_of(target):
    """{number: name} as libseccomp knows them."""
    if target.triplet not in _tables:
        printed = subprocess.run(
            [str(SYSCALLS), hex(target.arch)], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        pairs = (line.split() for line in printed.splitlines())
        _tables[target.triplet] = {int(n): name for n, name in pairs if int(n) >= target.first}
    return _tables[target.triplet]


def newest_number(reading):
    """x86_64's, like that of every architecture."""
    for number, name in table_of(TARGETS[0]).items():
        if name == reading.newest:
            return number
    raise ValueError(reading.newest)
