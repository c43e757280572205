#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Of the filters: calls of other architectures, and what must hold whatever the texts say."""

import sys

sys.dont_write_bytecode = True
import nmtest
from nmtest import diag, ok
from policy import ALLOW, ANSWERS, ENOSYS, EPERM, KILL, TARGETS, X32_BIT, call_words, filters_of, run_filter, table_of, value_of


# ---- The tests ----


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
    # MSG_FASTOPEN, by which Landlock does not see that a connection begins
    *((GATED, name, (0, 0, 0, flags), EPERM) for name in ("send", "sendto", "sendmmsg") for flags in (1 << 29, 0x20004000)),
    (GATED, "sendmsg", (0, 0, 1 << 29), EPERM),
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
    # What waits is looked at in 0, handed on to 3, and taken away from 0.
    *((("proxy",), name, (0,), EPERM) for name in NEVER),
    *((("proxy",), name, (2, 1, 0), EPERM) for name in ("socket", "execve", "openat", "open", "connect", "bind", "listen",
      "accept4", "read", "sendmsg", "sendmmsg", "recvmmsg", "fork", "clone", "kill", "mmap", "mprotect", "close", "dup2",
      "dup3", "fcntl", "prctl", "setsockopt", "socketcall")),
    (("proxy",), "recvmsg", (0, 1, 66), ALLOW),
    *((("proxy",), "recvmsg", words, EPERM) for words in ((0, 1, 64), (0, 1, 2), (3, 1, 66))),
    (("proxy",), "recvfrom", (0, 0, 0, 64), ALLOW),
    *((("proxy",), "recvfrom", words, EPERM) for words in ((0, 0, 0, 0), (3, 0, 0, 64))),
    (("proxy",), "sendto", (3, 0, 0, 16384, 0), ALLOW),
    *((("proxy",), "sendto", words, EPERM) for words in ((3, 0, 0, 16384, 1), (3, 0, 0, 0, 0), (0, 0, 0, 16384, 0))),
    (("proxy",), "write", (2,), ALLOW),
    *((("proxy",), "write", (fd,), EPERM) for fd in (0, 1, 3)),
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
    # The relay: nobody connects to it, and it executes what is behind one descriptor, and nothing else.
    *((("relay",), name, (0,), EPERM) for name in NEVER),
    *((("relay",), name, (2, 1, 0), EPERM) for name in ("listen", "accept", "accept4", "open", "creat", "openat2", "execve",
      "fork", "vfork", "tgkill", "tkill", "ioctl", "chmod", "fchmod", "fchmodat", "chown", "fchownat", "link", "linkat",
      "symlink", "symlinkat", "mknodat", "memfd_create", "chdir", "setuid", "setresuid", "setgroups", "seccomp",
      "socketcall", "pidfd_open", "shmget", "setxattr", "ipc")),
    *((("relay",), "socket", (family, kind, 0), ALLOW) for family in (2, 10) for kind in (1, 2, 0x80801)),
    *((("relay",), "socket", (family, 3, 0), EPERM) for family in (0, 2, 3, 10, 17, 38, 40)),
    *((("relay",), "socket", (2, kind, protocol), EPERM) for kind in (1, 2) for protocol in (1, 33, 132, 136, 262)),
    *((("relay",), "socket", (16, 3, protocol), EPERM) for protocol in range(1, 22)),
    (("relay",), "socket", (16, 3, 0), ALLOW),
    (("relay",), "socketpair", (2, 1, 0), EPERM),
    (("relay",), "execveat", (4, 1, 1, 1, 0x1000), ALLOW),
    *((("relay",), "execveat", (fd, 1, 1, 1, flags), EPERM) for fd, flags in ((3, 0x1000), (5, 0x1000), (4, 0), (4, 0x1100))),
    *((("relay",), name, (0, 4096, protection, 2, fd), ALLOW) for name in ("mmap", "mmap2") for protection, fd in
      ((0, 0xFFFFFFFF), (1, 5), (3, 5), (3, 0xFFFFFFFF), (5, 5))),
    *((("relay",), name, (0, 4096, protection, 2, fd), EPERM) for name in ("mmap", "mmap2") for protection, fd in
      ((5, 0xFFFFFFFF), (7, 5), (7, 0xFFFFFFFF), (4, 5), (6, 5))),
    *((("relay",), "mprotect", (0, 4096, protection), EPERM) for protection in (4, 5, 6, 7)),
    (("relay",), "setsockopt", (0, 6, 31), EPERM),
    (("relay",), "tgkill", (1, 1, 6), ALLOW),
    *((("relay",), "tgkill", (1, 1, number), EPERM) for number in (0, 1, 9, 15, 19)),
    *((("relay",), name, (4, command), EPERM) for name in ("fcntl", "fcntl64") for command in (5, 6, 7, 8, 15, 36, 37, 1024, 1033)),
    # What looks up names: no file, no process, no socket but for UDP and TCP, and nobody connects to it.
    *((("resolver",), name, (0,), EPERM) for name in NEVER),
    *((("resolver",), name, (2, 1, 0), EPERM) for name in ("execve", "execveat", "openat", "openat2", "open", "creat",
      "bind", "listen", "accept", "accept4", "write", "pwrite64", "sendmsg", "sendmmsg", "recvmsg", "recvmmsg", "fork", "vfork",
      "clone", "kill", "tgkill", "mprotect", "dup", "dup2", "dup3", "ioctl", "shutdown", "prctl", "socketcall", "socketpair",
      "memfd_create", "stat", "unlinkat", "readlinkat", "setrlimit", "prlimit64", "rt_sigaction", "futex", "seccomp")),
    *((("resolver",), "socket", (family, 1, 0), EPERM) for family in (0, 1, 3, 16, 17, 38, 40)),
    *((("resolver",), "socket", (2, 3, protocol), EPERM) for protocol in (0, 1, 255)),
    *((("resolver",), "socket", (2, kind, protocol), EPERM) for kind in (1, 2) for protocol in (1, 33, 132, 136, 262)),
    *((("resolver",), name, (fd,), EPERM) for name in ("close", "connect", "writev") for fd in (3, 4, 5)),
    *((("resolver",), name, (fd,), ALLOW) for name in ("close", "connect", "writev") for fd in (6, 1023)),
    *((("resolver",), "writev", (fd,), EPERM) for fd in (0, 1, 2)),
    *((("resolver",), "sendto", (fd, 0, 0, flags, 0, 0), ALLOW) for fd in (3, 6) for flags in (0, 0x4000)),
    *((("resolver",), "sendto", (6, 0, 0, flags, 0, 0), EPERM) for flags in (1, 4, 0x20000000)),
    *((("resolver",), "sendto", (6, 0, 0, 0, address, 0), EPERM) for address in (1, 1 << 32, 1 << 63)),
    *((("resolver",), "read", (fd,), EPERM) for fd in (0, 3, 4, 6)),
    (("resolver",), "read", (5,), ALLOW),
    *((("resolver",), "fcntl", (6, command), ALLOW) for command in (1, 2, 3, 4)),
    *((("resolver",), "fcntl", (6, command), EPERM) for command in (0, 5, 6, 7, 8, 15, 36, 37, 1024, 1030, 1033)),
    *((("resolver",), "fcntl", (fd, 4), EPERM) for fd in (3, 4, 5)),
    *((("resolver",), "setsockopt", (6, level, option), EPERM) for level, option in ((0, 1), (1, 1), (6, 2), (6, 31), (41, 1))),
    (("resolver",), "setsockopt", (6, 6, 1), ALLOW),
    *((("resolver",), name, (0, 4096, 3, 0x22, 0xFFFFFFFF), ALLOW) for name in ("mmap", "mmap2")),
    *((("resolver",), name, (0, 4096, rights, 0x22, fd), EPERM) for name in ("mmap", "mmap2")
      for rights, fd in ((7, 0xFFFFFFFF), (5, 0xFFFFFFFF), (1, 0xFFFFFFFF), (3, 0), (3, 3))),
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


nmtest.run(foreign_calls_are_killed, truths_hold)
