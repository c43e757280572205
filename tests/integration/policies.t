#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What the compiled filters say of each system call, on each architecture, is what the texts say: by an interpreter of filters, and a second reading of the texts."""

import random
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import diag, ok
from policy import (
    AND, ANSWERS, CONSTANTS, ENOSYS, JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL, KILL, LOAD, MACHINE,
    POLICIES, RETURN, Reading, TARGETS, TEXTS, X32_BIT, _compiled, call_words, compile_policies, filters_of,
    newest_number, read_filters, run_filter, table_of, value_of,
)


# ---- Architectures ----

ARM_PRIVATE = range(0xF0000, 0xF0010)


# ---- The compiler ----


def read_lengths(printed):
    """{policy: the length that the table at the end gives}"""
    return {m[1]: int(m[2]) for m in re.finditer(r'\{ "(\w+)", code_\d+, (\d+) \},', printed)}


# ---- A machine that runs filters (bpf(4), and what seccomp(2) takes of it) ----

MAXIMUM = 4096  # BPF_MAXINSNS


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


# ---- Which calls to ask for ----


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
    ("programs.policy", "allow sendto arg3 & MSG_OOB_FASTOPEN", "allow sendto arg3 & MSG_OOB", "mail"),
    ("programs.policy", "allow recvfrom arg3 & MSG_OOB == 0", "allow recvfrom", "mail"),
    ("programs.policy", "allow setsockopt arg2 != TCP_ULP", "allow setsockopt arg2 != 30", "mail"),
    ("mail.policy", " and arg2 == NETLINK_ROUTE", "", "mail"),
    ("local.policy", "others refuse", "others allow", "local"),
    ("none.policy", "others allow", "others refuse", "none"),
    ("programs.policy", "allow execveat\n", "", "mail"),
    ("network.policy", " and arg4 == NULL", " and arg4 == 0", "network"),
    ("network.policy", "allow close arg0 != 3", "allow close", "network"),
    ("network.policy", "allow fcntl arg1 == 36", "allow fcntl arg1 == 36|37", "network"),
    ("send.policy", "allow connect arg0 != 3", "allow connect", "send"),
    ("relay.policy", "allow execveat arg0 == 4 and arg4 == 0x1000", "allow execveat arg0 == 4", "relay"),
    ("relay.policy", "allow mmap arg2 == 5 and arg4 != 0xffffffff", "allow mmap arg2 == 5", "relay"),
    ("relay.policy", "allow clone arg0 == FORK", "allow clone", "relay"),
    ("relay.policy", "arg2 == NETLINK_ROUTE", "arg2 == NETLINK_ROUTE|16", "relay"),
    ("send.policy", "allow write arg0 == 2", "allow write", "send"),
    ("proxy.policy", "allow recvmsg arg0 == 0 and arg2 == 66", "allow recvmsg arg0 == 0", "proxy"),
    ("proxy.policy", "and arg3 == 16384 and arg4 == NULL", "and arg3 == 16384", "proxy"),
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


nmtest.run(filters_say_what_the_texts_say, filters_can_be_loaded, a_broken_text_is_seen)
