#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What cannot fail, fails: each system call is refused, one at a time. Whatever it was for, nothing hangs
or crashes, nothing is said to the other end, what exits with 71 or 78 has run nothing and says why, nothing
runs unconfined or as root, and the next connection finds nothing in its way."""

import errno
import fcntl
import os
import signal
import socket
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
import sender
from nmtest import BUILD, EX_CONFIG, EX_OSERR, LINE, NMNOTIFY, Sandbox, diag, is_alive, ok, until
from receiver import Receiver

REFUSE = BUILD / "tests" / "refuse"
NMNOTIFYD = BUILD / "nmnotifyd"
LISTENERS_MAX = 32  # src/lib/service.h
ERRORS = (errno.EPERM, errno.ENOMEM)

# What the programs and their libcs call, on any architecture. Not exit_group(2), without which nothing ends,
# not wait4(2), without which an action's end is not known before its timeout, and not clock_gettime(2), without
# which it is always now.
CALLS = """
    accept4 bind brk capget capset chdir clock_nanosleep clone clone3 close close_range connect
    dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait epoll_wait execve fallocate fchmod fchown fcntl fcntl64
    fork fstat fstatfs fstat64 ftruncate ftruncate64 futex futex_time64 getdents64 getegid geteuid getgid getgroups
    getpeername getpid getppid getrandom getresgid getresuid getrlimit getsockname getsockopt getuid ioctl kill
    landlock_create_ruleset landlock_restrict_self lseek madvise
    mkdir mkdirat mmap mmap2 mprotect munmap nanosleep newfstatat open openat pidfd_open pipe2 poll ppoll
    prctl pread64 prlimit64 read readlink readv recvfrom recvmmsg recvmsg rt_sigaction rt_sigprocmask
    rt_sigtimedwait seccomp sendmsg sendto set_robust_list set_tid_address setgid setgroups setregid
    setresgid setresuid setreuid setsid setsockopt setuid shutdown sigaltstack signalfd4 socket socketpair
    stat statx timer_create timer_delete timer_settime timer_settime64 unlink unlinkat vfork waitid write writev
""".split()


# Without these there is no confinement, and root stays root.
CONFINING = {"prctl"} | ({"setgroups", "setresgid", "setresuid"} if nmtest.is_root() else set())


# Without these there is no dynamic program.
LOADERS = {"mmap", "mmap2"}


def is_static(program):
    """Has it no PT_INTERP?"""
    return b"/ld-" not in Path(program).read_bytes()[:4096]


def allowed(status):
    """Its own exit: any but a crash. What is refused is refused to the action, too, which may end as it
    likes, and be killed if its supervisor cannot wait for it."""
    return status is not None and (status >= 0 or status == -signal.SIGSYS)


def handler_without(box, conf, call, number, wrong):
    before, said = len(box.starts()), len(box.log())
    handler = box.start(conf, data=LINE, end=True, fds="unix", prefix=[str(REFUSE), call, str(number)])
    what = f"{call}, {errno.errorcode[number]}"
    try:
        status = handler.wait(10)
    except TimeoutError:
        wrong.append(f"{what}: hangs in {nmtest.process_waits_in(handler.pid)}")
        handler.end()
        return
    if status == 3:
        handler.close()
        return
    if not allowed(status):
        wrong.append(f"{what}: status {status}")
    # The action of one that ends with 71 has not been executed.
    if status in (EX_OSERR, EX_CONFIG) and len(box.starts()) > before:
        wrong.append(f"{what}: status {status}, but the action was started")
    # Of a descriptor that may not be looked at nobody knows whether it is the network; and where no file can be
    # had to count lines in, only some are written.
    quiet = ("write", "writev", "fstat", "open", "openat", "mmap", "mmap2")
    if status in (EX_OSERR, EX_CONFIG) and len(box.log()) == said and call not in quiet:
        wrong.append(f"{what}: status {status}, and not a word of it")
    if call in CONFINING and (status != EX_OSERR or len(box.starts()) > before):
        wrong.append(f"{what}: status {status}, {len(box.starts()) - before} starts")
    if handler.received(5):
        wrong.append(f"{what}: {handler.received(5)!r} was sent")
    handler.close()


def senders():
    """S3: a mail system's hook ends with 0, and without a word. Without -e nobody hears of it, with -e whoever asked."""
    with Sandbox() as box:
        relay = Receiver(box.dir / "socket")
        wrong = []
        for call in CALLS:
            for number in ERRORS:
                words = [REFUSE, call, number, sender.SEND, "-s", relay.path, "-u", "alice"]
                quiet, told = sender.run(*words), sender.run(*words, "-e")
                if quiet.status == 3:
                    break
                handed_over = relay.messages() == [b"mail alice"] * 2
                if handed_over != (call not in ("socket", "sendto")):
                    wrong.append(f"{call}, {errno.errorcode[number]}: handed over: {handed_over}")
                if (quiet.status, quiet.output) != (0, b"") or (told.status == 0) != handed_over:
                    wrong.append(f"{call}, {errno.errorcode[number]}: {quiet}; with -e: {told}")
        if not ok(not wrong, f"S3: nmnotify-send: each of {len(CALLS)} system calls refused: status 0, not a word"):
            diag("\n".join(wrong))


def logins():
    """S3: whatever is refused, the login goes on."""
    with Sandbox() as box:
        relay = Receiver(box.dir / "socket")
        wrong = []
        for call in sorted(set(CALLS) - {"execve"}):
            # What it executes is under the same filter.
            words = [REFUSE, call, errno.EPERM, BUILD / "nmnotify-login", "-s", relay.path, BUILD / "bench" / "empty"]
            result = sender.run(*words, env={"USER": "alice", "IP": "::1"})
            if result.status == 3:
                continue
            if (result.status, result.output, bool(relay.messages())) != (0, b"", call not in ("socket", "sendto")):
                wrong.append(f"{call}: {result}")
        if not ok(not wrong, "S3: nmnotify-login: each system call refused: its command is executed, and not a word"):
            diag("\n".join(wrong))


def lines_at(listener, patience):
    """What came by each connection; waits up to `patience` seconds for the first."""
    lines = []
    listener.settimeout(patience)
    while True:
        try:
            connection, _ = listener.accept()
        except (TimeoutError, BlockingIOError):
            return lines
        listener.settimeout(0)
        with connection:
            connection.settimeout(5)
            try:
                lines.append(connection.recv(100))
            except ConnectionResetError:
                lines.append(b"reset")


def hosts():
    """Sending itself: with -e it is the truth whether the line is there; without, status 0 and not a word."""
    wrong = []
    for name in ("127.0.0.1", "localhost"):
        for call in CALLS:
            # One each: what the first leaves behind may come late.
            with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
                words = [REFUSE, call, errno.EPERM, sender.SEND, "-4", "-w", "3"]
                quiet = sender.run(*words, f"{name}:{one.getsockname()[1]}")
                if quiet.status == 3:
                    continue
                told = sender.run(*words, "-e", f"{name}:{two.getsockname()[1]}")
                lines = lines_at(two, 5) if told.status == 0 else []
            if (quiet.status, quiet.output) != (0, b"") or (told.status == 0 and set(lines) != {LINE}):
                wrong.append(f"{name}: {call}: {quiet}; with -e: {told}, {lines}")
            if told.status == 0 and call in (CONFINING if name == "localhost" else {"prctl"}):
                wrong.append(f"{name}: {call}: sent unconfined")
    if not ok(not wrong, f"S3: nmnotify-send HOST: each of {len(CALLS)} system calls refused: no hang, and the truth"):
        diag("\n".join(wrong))


def pretences():
    """A filter that refuses a call and says that it was done: what was to be given up is not."""
    if not nmtest.is_root():
        nmtest.skip("G7: privileges that were only said to be dropped", "not root")
        return
    with Sandbox() as box:
        conf = box.config(f"from any\naction {box.recorder()}\n")
        box.connect_and_run(conf)
        groups = os.getgroups()
        os.setgroups([0, 4])
        try:
            for call in ("setgroups", "setresgid", "setresuid"):
                handler = box.start(conf, data=LINE, end=True, prefix=[str(REFUSE), call, "0"])
                nmtest.equal(handler.wait(10), EX_OSERR, f"G7: {call} that only says that it was done: status 71")
        finally:
            os.setgroups(groups)
        nmtest.equal(len(box.starts()), 1, "G7: and nothing runs")


def handlers():
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 1000/s burst 100\ninterval 0s\nread-timeout 1s\naction {box.recorder()}\n")
        box.connect_and_run(conf)
        wrong, blocked = [], []
        for call in CALLS if is_static(NMNOTIFY) else sorted(set(CALLS) - LOADERS):
            for number in ERRORS:
                handler_without(box, conf, call, number, wrong)
            before = len(box.starts())
            box.forget_log_limits()
            box.connect_and_run(conf)
            if not box.wait_starts(before + 1, 5):
                blocked.append(call)
        if not ok(not wrong, f"each of {len(CALLS)} system calls refused: no crash, no hang, no byte, no run"):
            diag("\n".join(wrong))
        if not ok(not blocked, "G5: after each of them a line starts the action"):
            diag(" ".join(blocked))


class Service:
    def __init__(self, box, conf, words, sockets=()):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(16)
        log = os.open(box.log_path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        # Out of the way of the numbers that are to be filled.
        fds = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD_CLOEXEC, 100) for s in sockets or [self.listener]]
        command = " ".join(map(str, [*words, NMNOTIFYD, "-f", conf]))
        self.pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", f"LISTEN_PID=$$ LISTEN_FDS={len(fds)} exec {command}"],
            {"PATH": "/usr/bin:/bin"},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, log, 2),
                *((os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(fds, 3)),
            ],
        )
        self.status = None
        for fd in [log, *fds]:
            os.close(fd)

    def children(self):
        return nmtest.children_of(self.pid)

    def is_running(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is None

    def send(self):
        """What came back; None: it does not take the line."""
        with socket.create_connection(self.listener.getsockname(), 5) as client:
            client.settimeout(1)
            try:
                client.send(LINE)
                return client.recv(10)
            except OSError as e:
                return None if isinstance(e, TimeoutError) else b""

    def end(self):
        self.listener.close()
        left = self.children()
        if self.is_running():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        for pid in left:
            nmtest.kill(pid)
        until(lambda: not any(map(is_alive, left)), 5)


def service_without(box, conf, call, wrong):
    service = Service(box, conf, [REFUSE, call, errno.EPERM])
    before = len(box.starts())
    try:
        until(lambda: not service.is_running() or service.children(), 2)
        if service.is_running() and service.send():
            wrong.append(f"{call}: something was sent")
        until(lambda: not service.is_running() or len(box.starts()) > before, 0.1)
        if call in CONFINING and len(box.starts()) > before:
            wrong.append(f"{call}: the action was started")
        if not service.is_running() and not allowed(service.status):
            wrong.append(f"{call}: status {service.status}")
    finally:
        service.end()


def services():
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 1000/s burst 100\ninterval 0s\nread-timeout 1s\naction {box.recorder()}\n")
        wrong, blocked = [], []
        for call in sorted(set(CALLS) - LOADERS):
            service_without(box, conf, call, wrong)
        if not ok(not wrong, f"nmnotifyd: each of {len(set(CALLS) - LOADERS)} system calls refused: no crash, no byte"):
            diag("\n".join(wrong))
        before = len(box.starts())
        service = Service(box, conf, [])
        try:
            until(service.children, 5)
            service.send()
            ok(box.wait_starts(before + 1, 5), "G5: nmnotifyd: after all of them a line starts the action")
        finally:
            service.end()


def sockets_refused():
    """By nmnotifyd itself, which says of which kind it takes none, or how many are too many."""
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM)
    packets = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    packets.bind("")
    packets.listen()
    datagrams = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(LISTENERS_MAX + 1)]
    for s in datagrams:
        s.bind(("127.0.0.1", 0))
    cases = {"neither internet nor Unix": [netlink], "stream": [packets], "too many": datagrams}
    with Sandbox() as box:
        conf = box.config(f"from any\naction {box.recorder()}\n")
        for words, sockets in cases.items():
            service = Service(box, conf, [], sockets)
            until(lambda: not service.is_running(), 5)
            nmtest.equal(service.status, EX_CONFIG, f"nmnotifyd: a wrong socket: status ({words})")
            ok(words in box.log()[-1], f"nmnotifyd: a wrong socket: {words}")
            service.end()
        service = Service(box, conf, [], datagrams[1:])
        ok(until(service.children, 5), "nmnotifyd: as many as there may be")
        service.end()


nmtest.run(handlers, senders, logins, hosts, pretences, services, sockets_refused)
