#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The compiled filters say what the policies' texts say, on every architecture that there are
filters for: an interpreter runs them with each number of a system call and rubbish for arguments,
and a second, independent reading of the texts tells what the answer must be."""

import os
import random
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import BUILD, PROJECT, diag, ok, skip

COMPILER = BUILD / "policy-compile"
SYSCALLS = BUILD / "tests" / "syscalls"
NEWER = BUILD / "tests" / "newer.so"
TEXTS = PROJECT / "src" / "policy"
POLICIES = ("mail", "local", "none", "network")
HOST = "x86_64-linux-gnu"

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
ANSWERS = {ALLOW: "allow", EPERM: "EPERM", ENOSYS: "ENOSYS", KILL: "kill"}

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
NO_TARGETS = ("x86_64-linux-gnux32", "armeb-linux-gnueabi", "aarch64_be-linux-gnu", "powerpcle-linux-gnu",
              "sparc64-linux-gnu", "")

X32_BIT = 0x40000000
ARM_PRIVATE = range(0xF0000, 0xF0010)
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


def read_lengths(printed):
    """{policy: the length that the table at the end gives}"""
    return {m[1]: int(m[2]) for m in re.finditer(r'\{ "(\w+)", code_\d+, (\d+) \},', printed)}


_compiled = {}


def filters_of(target):
    if target.triplet not in _compiled:
        status, printed, complaint = compile_policies(target.triplet)
        if status != 0:
            raise RuntimeError(complaint)
        _compiled[target.triplet] = printed
    return read_filters(_compiled[target.triplet])


# ---- A machine that runs filters (bpf(4), and what seccomp(2) takes of it) ----

LOAD, AND, RETURN = 0x20, 0x54, 0x06
JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL = 0x05, 0x15, 0x25, 0x35
MAXIMUM = 4096  # BPF_MAXINSNS


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


def is_loadable(code):
    """What the kernel demands of a filter (bpf_check_classic, seccomp_check_filter)."""
    if not 0 < len(code) <= MAXIMUM:
        return False
    for at, (operation, jt, jf, k) in enumerate(code):
        if operation in (JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL):
            if at + 1 + max(jt, jf) >= len(code):
                return False
        elif operation == JUMP:
            if at + 1 + k >= len(code):
                return False
        elif operation == LOAD:
            if k % 4 or k >= 64:
                return False
        elif operation not in (AND, RETURN):
            return False
    return code[-1][0] == RETURN


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
# Elsewhere, on mips.
MACHINE = {
    "TIOCSTI": (0x5412, 0x5472),
    "TIOCLINUX": (0x541C, 0x5483),
    "TIOCSETD": (0x5423, 0x7401),
    "SOCK_STREAM": (1, 2),
    "SOCK_DGRAM": (2, 1),
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
        return MACHINE[word][target.is_mips]
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


def numbers_to_ask(target, chance):
    """All that the tables have, all around them, and some of everywhere."""
    numbers = set(range(target.first, target.first + 1100)) | set(ARM_PRIVATE)
    numbers |= {0xEFFFF, 0xF0FFF, X32_BIT - 1, X32_BIT, X32_BIT + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF}
    numbers |= {X32_BIT + n for n in range(0, 600, 7)}
    numbers |= set(range(max(0, target.first - 50), target.first)) | set(range(0, 8000, 61))
    numbers |= {chance.getrandbits(32) for _ in range(200)}
    return sorted(numbers)


def values_of_conditions(target, reading, name):
    """Values that matter to a call's conditions, and their neighbours."""
    values = {0, 1, 0xFFFFFFFF}
    for _, conditions in reading.lines[name]:
        for condition in conditions:
            for word in re.split(r"[|\s]+", condition):
                if word in CONSTANTS or word in MACHINE or re.match(r"\d", word):
                    value = value_of(target, word)
                    values |= {value, value ^ 1, value + 1 & 0xFFFFFFFF, value | 0o644}
                    values |= {value & 1 << bit for bit in range(32)}
    return sorted(values)


def arguments_to_ask(target, reading, name, chance):
    """Rubbish; and for a call with conditions also what they are about, with rubbish above it."""
    asked = [(0,) * 6, (2**64 - 1,) * 6, tuple(chance.getrandbits(64) for _ in range(6))]
    if reading.has_conditions(name):
        values = values_of_conditions(target, reading, name)
        highs = (0, 0xDEADBEEF << 32, 1 << 32, 0xFFFFFFFF << 32)
        for _ in range(300):
            asked.append(tuple(chance.choice(values) | chance.choice(highs) for _ in range(6)))
        for _, conditions in reading.lines[name]:
            if len(conditions) > 1:
                asked += nearly_right(target, conditions, chance)
    return asked


def nearly_right(target, conditions, chance):
    """Arguments that fit all of a line's conditions but one, which gets every small number."""
    for wrong in conditions:
        for number in range(300):
            arguments = [chance.getrandbits(32) for _ in range(6)]
            for condition in conditions:
                left, _, right = re.split(r"\s*([!=]=)\s*", condition)
                argument, _, mask = left.partition(" & ")
                others = chance.getrandbits(32) & ~value_of(target, mask) if mask else 0
                right = 0 if right == "NULL" else value_of(target, chance.choice(right.split("|"))) | others
                arguments[int(argument[3:])] = number if condition is wrong else right
            yield tuple(arguments)


def must_be(target, reading, number, arguments, newest):
    """By the second reading."""
    if target.is_x86_64 and number >= X32_BIT:
        return KILL
    name = table_of(target).get(number)
    if name is None:
        return ENOSYS
    return reading.answer(target, name, number - target.first, arguments, newest)


def differences(target, policy, code, reading, most=5):
    """Where the filter says something else than the text: (number of questions, differences)."""
    chance = random.Random(f"{target.triplet} {policy}")
    newest, found, asked = newest_number(reading), [], 0
    for number in numbers_to_ask(target, chance):
        name = table_of(target).get(number)
        for arguments in arguments_to_ask(target, reading, name, chance):
            got = run_filter(code, call_words(target, number, arguments))
            wanted = must_be(target, reading, number, arguments, newest)
            asked += 1
            if got != wanted and len(found) < most:
                found.append((number, name, [hex(a) for a in arguments], got, wanted))
    return asked, found


def tell(found):
    for number, name, arguments, got, wanted in found:
        diag(f"{number} {name} {arguments}: {ANSWERS.get(got, hex(got))}, not {ANSWERS[wanted]}")


# ---- The tests ----


def filters_say_what_the_texts_say():
    total = 0
    for target in TARGETS:
        for policy, code in filters_of(target).items():
            asked, found = differences(target, policy, code, Reading(policy))
            total += asked
            if not ok(not found, f"policy: {policy} on {target.triplet} is what its text says"):
                tell(found)
    diag(f"{total} calls put to {len(TARGETS) * len(POLICIES)} filters")


def filters_can_be_loaded():
    for target in TARGETS:
        filters = filters_of(target)
        ok(set(filters) == set(POLICIES), f"policy: {target.triplet} has a filter for each policy")
        ok(all(is_loadable(code) for code in filters.values()), f"policy: {target.triplet}: the kernel takes them")
        lengths = {policy: len(code) for policy, code in filters.items()}
        ok(read_lengths(_compiled[target.triplet]) == lengths, f"policy: {target.triplet}: lengths are right")


def foreign_calls_are_killed():
    """Alone a number means nothing: another architecture's calls must not be looked up in this one's."""
    archs = {t.arch for t in TARGETS} | {0, 0xFFFFFFFF, 0x12345678, 0xC00000F3 ^ 0x80000000}
    for target in TARGETS:
        survivors = [
            (policy, hex(arch), number)
            for policy, code in filters_of(target).items()
            for arch in archs - {target.arch}
            for number in (0, 1, 4, 11, 39, 59, 93, 4001, 5001, 6001, X32_BIT, 0xFFFFFFFF)
            if run_filter(code, call_words(target, number, (0,) * 6, arch)) != KILL
        ]
        if not ok(not survivors, f"policy: {target.triplet}: calls of a foreign architecture are killed"):
            diag(survivors[:5])
    x86_64 = TARGETS[0]
    numbers = [*range(X32_BIT, X32_BIT + 1000), 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
    for policy, code in filters_of(x86_64).items():
        killed = all(run_filter(code, call_words(x86_64, n, (0,) * 6)) == KILL for n in numbers)
        ok(killed, f"policy: {policy}: x32's calls are killed")


# What no text may change: (policies, call, arguments, answer on every architecture that has it).
ACTIONS = ("mail", "local", "none")
GATED = ("mail", "local")
NEVER = """ptrace process_vm_readv process_vm_writev pidfd_getfd mount umount2 pivot_root chroot unshare setns
    open_tree move_mount fsopen fsmount mount_setattr open_by_handle_at init_module finit_module
    delete_module bpf perf_event_open kexec_load kexec_file_load iopl ioperm io_uring_setup io_uring_enter
    io_uring_register userfaultfd add_key request_key keyctl reboot swapon swapoff acct sethostname syslog
    fanotify_init settimeofday clock_settime clock_settime64 adjtimex clock_adjtime clock_adjtime64""".split()
ALWAYS = """read write close mmap mmap2 brk execve openat rt_sigaction futex futex_time64 clock_gettime
    clock_gettime64 wait4 exit exit_group getpid fstat kill poll ppoll pipe2 dup3""".split()
HAND_WRITTEN = [
    *((ACTIONS, name, (0,), EPERM) for name in NEVER),
    *((ACTIONS, name, (0,), ALLOW) for name in ALWAYS),
    (ACTIONS, "clone3", (0,), ENOSYS),
    (GATED, "socketcall", (1,), EPERM),
    (ACTIONS, "socket", (1, 1, 0), ALLOW),
    *((("mail", "none"), "socket", (family, kind, protocol), ALLOW) for family in (2, 10) for kind, protocol in (
        ("SOCK_STREAM", 0), ("SOCK_STREAM", 6), ("SOCK_STREAM+0x80800", 6), ("SOCK_DGRAM+0x80000", 0),
        ("SOCK_DGRAM", 17), ("SOCK_DGRAM", 1), ("SOCK_DGRAM", 58))),
    # MPTCP, SCTP, DCCP, UDP-Lite, SMC; raw; and what fits nothing.
    *((("mail",), "socket", (family, kind, protocol), EPERM) for family in (2, 10) for kind, protocol in (
        ("SOCK_STREAM", 262), ("SOCK_STREAM", 132), (5, 132), (5, 0), (6, 33), (6, 0), ("SOCK_DGRAM", 136),
        ("SOCK_STREAM", 256), (3, 1), (3, 58), (3, 255), ("SOCK_STREAM", 1), ("SOCK_STREAM", 58),
        ("SOCK_STREAM", 17), ("SOCK_DGRAM", 6), (0, 0), (15, 0))),
    (("mail", "none"), "socket", (16, 3, 0), ALLOW),
    (("local",), "socket", (2, 1, 0), EPERM),
    (("local",), "socket", (10, 1, 0), EPERM),
    (("local",), "socket", (16, 3, 0), EPERM),
    *((GATED, "socket", (family, 3, 0), EPERM) for family in (0, 3, 4, 5, 9, 15, 17, 29, 30, 38, 40, 44)),
    *((GATED, "socket", (16, 3, protocol), EPERM) for protocol in range(1, 22)),
    (ACTIONS, "socketpair", (1, 1, 0), ALLOW),
    (GATED, "socketpair", (2, 1, 0), EPERM),
    (ACTIONS, "clone", (0x11,), ALLOW),
    (ACTIONS, "clone", (0x3D0F00,), ALLOW),  # a thread
    *((ACTIONS, "clone", (0x11 | 1 << bit,), EPERM) for bit in (17, 25, 26, 27, 28, 29, 30)),
    (ACTIONS, "ioctl", (0, 0x5413), ALLOW),
    (ACTIONS, "ioctl", (0, 0x541B), ALLOW),
    (ACTIONS, "ioctl", (0, "TIOCSTI"), EPERM),
    (ACTIONS, "ioctl", (0, "TIOCLINUX"), EPERM),
    (ACTIONS, "ioctl", (0, "TIOCSETD"), EPERM),
    # SIOCGIFBR, SIOCSIFBR, SIOCADDDLCI, SIOCDELDLCI, SIOCGIFVLAN, SIOCSIFVLAN; SIOCGIFCONF
    *((ACTIONS, "ioctl", (0, number), EPERM) for number in (0x8940, 0x8941, *range(0x8980, 0x8984))),
    (ACTIONS, "ioctl", (0, 0x8912), ALLOW),
    # MSG_OOB, alone and with others; MSG_NOSIGNAL, MSG_PEEK
    *((GATED, name, (0, 0, 0, flags), EPERM) for name in ("send", "sendto", "sendmmsg", "recv", "recvfrom",
      "recvmmsg", "recvmmsg_time64") for flags in (1, 0x4001)),
    *((GATED, name, (0, 0, 0, flags), ALLOW) for name in ("send", "sendto", "sendmmsg", "recv", "recvfrom",
      "recvmmsg", "recvmmsg_time64") for flags in (0, 2, 0x4000)),
    *((GATED, name, (0, 0, flags), EPERM) for name in ("sendmsg", "recvmsg") for flags in (1, 0x4001)),
    *((GATED, name, (0, 1, flags, 1), ALLOW) for name in ("sendmsg", "recvmsg") for flags in (0, 2, 0x4000)),
    # TCP_ULP; TCP_NODELAY; SO_PEEK_OFF is 42, IP_TRANSPARENT 19, but something is 31 at each level.
    (GATED, "setsockopt", (0, 6, 31), EPERM),
    (GATED, "setsockopt", (0, 6, 1), ALLOW),
    (GATED, "setsockopt", (0, 1, 31), ALLOW),
    (("none",), "setsockopt", (0, 6, 31), ALLOW),
    *((ACTIONS, "personality", (p,), ALLOW) for p in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)),
    *((ACTIONS, "personality", (p,), EPERM) for p in (0x40000, 0x400000, 0x200000, 0xFFFFFFFE)),
    *((ACTIONS, "mknod", (0, m), ALLOW) for m in (0o644, 0o100644, 0o10644, 0o140644)),
    *((ACTIONS, "mknod", (0, m), EPERM) for m in (0o20644, 0o60644, 0o40755, 0o120777)),
    *((ACTIONS, "mknodat", (0, 0, m), ALLOW) for m in (0o644, 0o100644, 0o10644, 0o140644)),
    *((ACTIONS, "mknodat", (0, 0, m), EPERM) for m in (0o20644, 0o60644, 0o40755, 0o120777)),
    *((("network",), name, (0,), EPERM) for name in NEVER),
    *((("network",), name, (2, 1, 0), EPERM) for name in ("socket", "execve", "openat", "open", "connect",
      "bind", "write", "writev", "sendmsg", "sendmmsg", "fork", "vfork", "clone", "kill", "mmap", "mmap2",
      "mprotect", "dup2", "dup3", "ioctl", "accept", "getpeername", "shutdown", "prctl", "socketcall")),
    *((("network",), name, (4, 0, 0, 0), ALLOW) for name in ("accept4", "close", "epoll_wait", "epoll_pwait",
      "nanosleep", "clock_nanosleep", "exit_group", "getsockname")),
    # The socket pair stays what it is.
    (("network",), "close", (3,), EPERM),
    *((("network",), "close", (fd,), ALLOW) for fd in (0, 2, 1023)),
    # MSG_DONTWAIT and nothing else.
    *((("network",), name, (4, 0, 0, 0x40), ALLOW) for name in ("recvfrom", "recv", "recvmmsg", "recvmmsg_time64")),
    *((("network",), name, (4, 0, 0, flags), EPERM) for name in ("recvfrom", "recv", "recvmmsg", "recvmmsg_time64")
      for flags in (0, 1, 0x41)),
    *((("network",), name, (4, 0, 0, 0x40, 1), EPERM) for name in ("recvmmsg", "recvmmsg_time64")),
    # EPOLL_CTL_ADD, _DEL, _MOD.
    *((("network",), "epoll_ctl", (4, what), ALLOW) for what in (1, 2)),
    *((("network",), "epoll_ctl", (4, what), EPERM) for what in (0, 3)),
    *((("network",), name, (0, what), EPERM) for name in ("futex", "futex_time64") for what in (0, 1, 129)),
    (("network",), "mremap", (0, 65536, 65536, 3), ALLOW),
    *((("network",), "mremap", (0, old, new, flags), EPERM) for old, new, flags in
      ((4096, 65536, 3), (65536, 131072, 3), (65536, 65536, 1), (65536, 65536, 7))),
    # MSG_DONTWAIT and MSG_NOSIGNAL.
    (("network",), "sendto", (3, 0, 0, 0x4040, 0, 0), ALLOW),
    *((("network",), "sendto", (3, 0, 0, flags, 0, 0), EPERM) for flags in (0, 1, 0x4041)),
    *((("network",), "sendto", (3, 0, 0, 0x4040, address, 0), EPERM) for address in (1, 1 << 32, 1 << 63)),
    *((("network",), "sendto", (fd, 0, 0, 0x4040, 0, 0), EPERM) for fd in (0, 1, 2, 4, 1023, 0xFFFFFFFF)),
    (("network",), "send", (3, 0, 0, 0x4040), ALLOW),
    (("network",), "send", (4, 0, 0, 0x4040), EPERM),
    (("network",), "fcntl", (4, 36), ALLOW),
    (("network",), "fcntl64", (4, 36), ALLOW),
    *((("network",), name, (4, command), EPERM) for name in ("fcntl", "fcntl64") for command in
      (0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 37, 38, 1024, 1033)),
]


def truths_hold():
    """What the policies are for, said once more without their texts: a mistake in them, or one in
    both readings of them, would not be seen otherwise."""
    for target in TARGETS:
        filters, wrong, asked = filters_of(target), [], 0
        numbers = {name: number for number, name in table_of(target).items()}
        for policies, name, arguments, wanted in HAND_WRITTEN:
            if name not in numbers:
                continue
            values = [sum(value_of(target, v) for v in str(a).split("+")) for a in arguments]
            values += [0] * (6 - len(values))
            if target.is_s390 and name == "clone":
                values[0], values[1] = values[1], values[0]
            # Rubbish above an address makes it another one.
            whole = name == "sendto" or (name.startswith("recvmmsg") and policies == ("network",))
            for high in (0,) if whole else (0, 0xDEAD << 32, 0xFFFFFFFF << 32):
                words = call_words(target, numbers[name], [v | high for v in values])
                for policy in policies:
                    asked += 1
                    got = run_filter(filters[policy], words)
                    if got != wanted:
                        wrong.append((policy, name, values, ANSWERS.get(got), ANSWERS[wanted]))
        if not ok(asked > 500 and not wrong, f"policy: {target.triplet}: what must hold whatever the texts say"):
            diag("\n".join(map(str, wrong[:5])))


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


# A mistake in a file, and the policy and the targets that must show it.
BREAKS = [
    ("always.policy", "refuse ptrace", "allow ptrace", "none"),
    ("always.policy", "enosys clone3\n", "", "none"),
    ("always.policy", "arg0 & CLONE_NEW* == 0", "arg0 & 0x10000000 == 0", "mail"),
    ("always.policy", "TIOCSTI|TIOCLINUX|TIOCSETD|", "TIOCSTI|TIOCSETD|", "local"),
    ("always.policy", "|TIOCSETD", "", "none"),
    ("always.policy", "allow mknodat arg2", "allow mknodat arg1", "mail"),
    ("mail.policy", "AF_INET|AF_INET6", "AF_INET|AF_INET6|17", "mail"),
    ("mail.policy", "== 0|IPPROTO_TCP\n", "== 0|IPPROTO_TCP|262\n", "mail"),
    ("mail.policy", " and arg2 == 0|IPPROTO_TCP\n", "\n", "mail"),
    ("mail.policy", "arg1 & SOCK_TYPE_MASK == SOCK_STREAM", "arg1 == SOCK_STREAM", "mail"),
    ("programs.policy", "allow sendmsg arg2", "allow sendmsg arg3", "local"),
    ("programs.policy", "allow recvfrom arg3 & MSG_OOB == 0", "allow recvfrom", "mail"),
    ("programs.policy", "allow setsockopt arg2 != TCP_ULP", "allow setsockopt arg2 != 30", "mail"),
    ("mail.policy", " and arg2 == NETLINK_ROUTE", "", "mail"),
    ("local.policy", "others refuse", "others allow", "local"),
    ("none.policy", "others allow", "others refuse", "none"),
    ("programs.policy", "allow execveat\n", "", "mail"),
    ("network.policy", " and arg4 == NULL", " and arg4 == 0", "network"),
    ("network.policy", "allow close arg0 != 3", "allow close", "network"),
    ("network.policy", "allow fcntl arg1 == 36", "allow fcntl arg1 == 36|37", "network"),
]


def a_broken_text_is_seen():
    """This test itself: a filter made from a text with a mistake differs from the right text."""
    host = TARGETS[0]
    for name, right, wrong, policy in BREAKS:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "policy"
            shutil.copytree(TEXTS, copy)
            text = (copy / name).read_text()
            (copy / name).write_text(text.replace(right, wrong, 1))
            status, printed, _ = compile_policies(host.triplet, copy, [policy])
            code = read_filters(printed).get(policy, [])
            found = status == 0 and differences(host, policy, code, Reading(policy))[1]
            ok(right in text and found, f"policy: seen: {shlex.quote(right.strip())} becomes {wrong.strip()!r}")


if not COMPILER.exists() or not SYSCALLS.exists():
    skip("policies", f"{SYSCALLS} has not been built")
    nmtest.done()
nmtest.run(
    filters_say_what_the_texts_say,
    filters_can_be_loaded,
    foreign_calls_are_killed,
    truths_hold,
    a_newer_libseccomp_changes_nothing,
    numbers_are_the_kernels,
    strangers_are_refused,
    mistakes_are_told,
    a_broken_text_is_seen,
)
