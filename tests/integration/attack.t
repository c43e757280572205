#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The attacker's afternoon. Three of them, each with what he has: the port and nothing else; an
account on the machine that may not write the state; and the action, gone bad, with all that its user
has. What holds against each is checked here, for the handler under a super-server and for nmnotifyd;
what cannot be held (an action denies the service to its own account) is checked to go no further.

Not here, since it is elsewhere: lines and their pieces (line.t), damaged and misplaced state
(state.t), what each policy refuses (confine.t), a network process that was taken over (nmnotifyd.t).
Nor is LD_PRELOAD: neither program is ever set-user-ID, so whoever can set its environment starts it, as
himself, and could start anything else."""

import ctypes
import fcntl
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
import front as front_module
from front import Handlers, Service, is_gone, listener
from nmtest import LINE, PATIENCE, Sandbox, boottime_ms, diag, equal, is_alive, is_root, ok, skip, until

FREE = "limit 1000/s burst 10000\n"
# For a machine that has other things to do.
SOON = 5

# ---- A super-server for the handler ----


class Server:
    """The handler below a real super-server, on loopback."""

    def __init__(self, box, conf, most):
        with listener() as s:
            self.port = s.getsockname()[1]
        self.log = open(box.log_path, "ab")
        handler = [str(nmtest.NMNOTIFY), "-f", str(conf)]
        commands = {
            "tcpserver": ["-q", "-R", "-H", "-l0", "-b", "1000", "-c", str(most), "127.0.0.1", str(self.port), *handler],
            "tcpsvd": ["-l", "localhost", "-c", str(most), "-b", "1000", "127.0.0.1", str(self.port), *handler],
        }
        self.name = next((n for n in commands if shutil.which(n)), None)
        if not self.name:
            raise FileNotFoundError("neither tcpserver nor tcpsvd")
        self.process = subprocess.Popen(
            [self.name, *commands[self.name]], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        until(self._answers, 10)

    def _answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        handlers = self.children()
        self.process.terminate()
        self.process.wait(10)
        for pid in handlers:
            nmtest.kill(pid)
        self.log.close()

    def children(self):
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [p for p in map(int, Path(path).read_text().split()) if is_alive(p)]

    def connect(self, source="127.0.0.1"):
        client = socket.socket()
        client.settimeout(PATIENCE)
        client.bind((source, 0))
        client.connect(("127.0.0.1", self.port))
        return client

    def is_calm(self):
        return not self.children()

    def resources(self):
        """What must not grow: of the super-server, as the handlers are gone."""
        return {"processes": len(self.children())}


class Daemon(Service):
    """nmnotifyd, and what it has."""

    def is_calm(self):
        return len(self.children()) <= 1

    def resources(self):
        found = {"processes": len(self.pids())}
        for name, pid in (("runner", self.pid), ("network", self.network())):
            if is_root():
                found[f"{name}: descriptors"] = len(os.listdir(f"/proc/{pid}/fd"))
            status = Path(f"/proc/{pid}/status").read_text()
            found[f"{name}: KiB"] = int(re.search(r"VmData:\s+(\d+)", status)[1])
        return found


# ---- The port, and nothing else ----


def close_with_reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def push(client, data, flags=0):
    """What the other end still takes."""
    try:
        client.setblocking(False)
        return client.send(data, flags)
    except OSError:
        return 0


def silent(_):
    pass


def half(client):
    push(client, LINE[:7])


def almost(client):
    push(client, LINE[:-1])


def urgent(client):
    push(client, b"nm_no")
    push(client, b"!", socket.MSG_OOB)
    push(client, b"tify")


def all_urgent(client):
    push(client, LINE, socket.MSG_OOB)


def fin_first(client):
    client.shutdown(socket.SHUT_WR)


def huge(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    push(client, b"nm_notifyuser" + b"\0" * (1 << 20))


def reset(client):
    close_with_reset(client)


def reset_behind_half(client):
    push(client, LINE[:9])
    close_with_reset(client)


HOSTILE = (silent, half, almost, urgent, all_urgent, fin_first, huge, reset, reset_behind_half)


def trickle(clients):
    """Another byte from each of those that are slow, too slow for the line ever to be whole."""
    for kind, client in clients:
        if kind is silent and client.fileno() >= 0:
            push(client, b"n")


def has_started_since(box, begun, account):
    return any(s / 1e6 >= begun for s in box.starts(out=box.out / account))


def wave(front, box, count, name):
    """Attackers, and a mail server in their midst."""
    clients = []
    late = []
    for number in range(count):
        kind = HOSTILE[number % len(HOSTILE)]
        client = front.connect(f"127.0.{1 + number // 200}.{1 + number % 200}")
        kind(client)
        clients.append((kind, client))
        if number % (count // 5) == count // 10:
            trickle(clients)
            begun = boottime_ms()
            with front.connect("127.0.0.2") as good:
                push(good, LINE)
                until(lambda: has_started_since(box, begun, "good"), SOON)
                late.append(boottime_ms() - begun)
    if not ok(len(late) >= 5 and max(late) < SOON * 1000, f"G1: {name}: lines among {count} attackers start in time"):
        diag(f"after {late} ms")
    with front.connect("127.0.0.2") as slow:
        # The last byte comes late, but not too late.
        slow.sendall(LINE[:-1])
        time.sleep(0.3)
        begun = boottime_ms()
        slow.sendall(LINE[-1:])
        ok(until(lambda: has_started_since(box, begun, "good"), SOON), f"G1: {name}: a line whose last byte is late, too")
    open_ones = [c for _, c in clients if c.fileno() >= 0]
    # Within the time for a line all of them are closed. Anything that came back raises.
    ok(until(lambda: all(is_gone(c) for c in open_ones), 15, 0.1), f"{name}: all attackers' connections end")
    for client in open_ones:
        client.close()
    ok(until(front.is_calm, 15), f"G4: {name}: no process is left of them")


def from_the_port(make, count, name):
    """Twice: what the second wave adds is growth."""
    with Sandbox() as box:
        for account in ("good", "evil"):
            (box.out / account).mkdir()
            if box.user:
                os.chown(box.out / account, box.uid, box.gid)
        conf = box.config(
            f"{FREE}interval 0s\nread-timeout 2s\n"
            f"account good\nfrom 127.0.0.2\naction {box.recorder(account='good', out=box.out / 'good')}\n"
            f"account evil\nfrom 127.0.0.0/8\naction {box.recorder(account='evil', out=box.out / 'evil')}\n"
        )
        try:
            front = make(box, conf)
        except FileNotFoundError as e:
            skip(name, e)
            return
        with front:
            wave(front, box, count, f"{name}, first wave")
            before, size = front.resources(), box.log_path.stat().st_size
            wave(front, box, count, f"{name}, second wave")
            after = front.resources()
            equal(after, before, f"G4: {name}: no more processes, descriptors, memory after another {count}")
            grown = box.log_path.stat().st_size - size
            # The six lines that were valid say something, too, and are not limited.
            ok(grown < 12000, f"G4: {name}: the log has grown by {grown} bytes")
            equal(box.runs(out=box.out / "evil"), [], f"{name}: attackers have started nothing")
            counts = box.state("evil").counts()
            ok(not set(counts) - {"malformed", "timeout", "coalesced"}, f"{name}: their verdicts: {counts}")


def port_of_the_handler():
    from_the_port(lambda box, conf: Server(box, conf, 900), 600, "handler")


def port_of_nmnotifyd():
    from_the_port(lambda box, conf: Daemon(box, conf), 2000, "nmnotifyd")


def forged_datagrams():
    """Every datagram from an address of its own choosing; one of them is the mail server's."""
    interval, period, burst, mail_server = 300, 500, 2, "127.0.0.2"
    with Sandbox() as box:
        conf = box.config(
            f"limit 1/{period}ms burst {burst}\ninterval {interval}ms\nfrom 127.0.0.0/16\naction {box.recorder()}\n"
        )
        with ExitStack() as stack:
            udp = listener("udp")
            service = stack.enter_context(Service(box, conf, [listener(), udp]))
            forgers = []
            for number in range(400):
                s = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                s.bind((mail_server if number % 4 == 0 else f"127.0.{number // 200}.{3 + number % 200}", 0))
                s.setblocking(False)
                forgers.append(s)
            begun, sent, late = boottime_ms(), 0, []
            while boottime_ms() - begun < 4000:
                for s in forgers[sent % 8 :: 8]:
                    try:
                        s.sendto(LINE if sent % 3 else b"nm_notifyuser\r\n\r\n", udp.getsockname())
                    except OSError:
                        pass
                    sent += 1
                time.sleep(0.02)
                if sent % 10 == 0:
                    late.append(boottime_ms())
                    service.send(mail_server)
            last = boottime_ms()
            service.send(mail_server)
            bound = interval + (burst + 1) * period + SOON * 1000
            late.append(last)
            until(lambda: box.starts() and box.starts()[-1] / 1e6 >= last, bound / 1000)
            begun_at = [s / 1e6 for s in box.starts()]
            wrong = [a for a in late if not any(0 <= s - a <= bound for s in begun_at)]
            ok(not wrong, f"G1: {sent} forged datagrams: each of {len(late)} lines of the mail server has its start")
            words = [r.last_start for r in box.runs()]
            gaps = [(b - a) & 0xFFFFFFFF for a, b in zip(words, words[1:])]
            ok(len(gaps) >= 5 and min(gaps) >= interval, f"G2: forged datagrams: {len(words)} starts, an interval apart")
            answers = 0
            for s in forgers:
                try:
                    s.recv(16)
                    answers += 1
                except BlockingIOError:
                    pass
            equal(answers, 0, "G7: forged datagrams: nothing comes back to any of the addresses")
            ok(len(service.pids()) <= 4, "G4: forged datagrams: a waiter and a supervisor at most")


# ---- A local user, who may not write the state ----


def as_user(entry, task):
    """What task() says, in a process of that user; an exception's errno is a negative number."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()  # within a session everybody may say SIGCONT
            os.setgroups([])
            os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
            try:
                answer = task()
            except OSError as e:
                answer = -e.errno
            os.write(writer, repr(answer).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as f:
        answer = f.read()
    os.waitpid(pid, 0)
    return answer


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    result = _libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


PTRACE, PTRACE_SEIZE = 101, 0x4206
PROCESS_VM_READV, PIDFD_OPEN, PIDFD_GETFD = 310, 434, 438


def intrude(pid):
    """What somebody may try to do to a process. Returns what worked."""
    worked = []

    def attempt(name, task):
        try:
            task()
            worked.append(name)
        except OSError:
            pass

    for file in ("mem", "environ", "maps", "auxv", "syscall", "stack", "pagemap", "timers", "clear_refs"):
        attempt(file, lambda: Path(f"/proc/{pid}/{file}").open("rb").read(1))
    attempt("fd", lambda: os.listdir(f"/proc/{pid}/fd"))
    for link in ("cwd", "root", "exe", "ns/net"):
        attempt(link, lambda: os.readlink(f"/proc/{pid}/{link}"))
    for file in ("mem", "oom_score_adj", "coredump_filter"):
        attempt(f"write {file}", lambda: os.close(os.open(f"/proc/{pid}/{file}", os.O_WRONLY)))
    attempt("sched_setaffinity", lambda: os.sched_setaffinity(pid, {0}))
    attempt("setpriority", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
    attempt("prlimit", lambda: call(302, pid, 7, 0, 0) if os.uname().machine == "x86_64" else call(261, pid, 7, 0, 0))
    if os.uname().machine == "x86_64":
        attempt("ptrace", lambda: call(PTRACE, PTRACE_SEIZE, pid, 0, 0))
        buffer = ctypes.create_string_buffer(8)
        where = struct.pack("PN", ctypes.addressof(buffer), 8)
        vector = ctypes.create_string_buffer(where)
        attempt("process_vm_readv", lambda: call(PROCESS_VM_READV, pid, ctypes.addressof(vector), 1, ctypes.addressof(vector), 1, 0))

        def getfd():
            call(PIDFD_GETFD, call(PIDFD_OPEN, pid, 0), 0, 0)

        attempt("pidfd_getfd", getfd)
    for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGUSR1, signal.SIGTERM, 0):
        attempt(f"kill {number}", lambda: os.kill(pid, number))
    return worked


def lock_all(path):
    """Every lock that a file which can be read lets one take. Kept until the process ends."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pass
    for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK):
        try:
            fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0))  # F_OFD_SETLK
        except OSError:
            pass
    return fd


def need_root(name):
    if not is_root():
        skip(name, "takes root: there are several users in it")
        return False
    return True


def local_user_and_files():
    """The state is not his to read, write or lock."""
    if not need_root("a local user and the state"):
        return
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 0s\naction {box.recorder()}\n")
        equal(box.connect_and_run(conf), 0, "local user: a first line")
        state = box.state_dir / "default"
        refused = repr(-13)  # EACCES
        for name in ("limits", "turn"):
            for flags in (os.O_RDONLY, os.O_RDWR, os.O_PATH):
                equal(as_user(box.other, lambda: os.close(os.open(state / name, flags))), refused, f"local user: open {name}, {flags:#x}")
            equal(as_user(box.other, lambda: os.link(state / name, box.dir / "link")), refused, f"local user: link {name}")
            equal(as_user(box.other, lambda: os.unlink(state / name)), refused, f"local user: unlink {name}")
        for task, what in (
            (lambda: os.rename(state, box.state_dir / "away"), "rename the account's directory"),
            (lambda: os.symlink("/", box.state_dir / "next"), "put a symlink beside it"),
            (lambda: os.mkdir(box.state_dir / "next"), "make another account's before it is there"),
            (lambda: os.unlink(box.state_dir / ".denied"), "remove the counters of the denied"),
            (lambda: os.open(box.state_dir / ".denied", os.O_RDONLY | os.O_CREAT), "open or make the counters of the denied"),
        ):
            ok(as_user(box.other, task) in (refused, repr(-2)), f"local user: {what}")
        # Locks on what he can open: the base, which others may read here.
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setresuid(box.other.pw_uid, box.other.pw_uid, box.other.pw_uid)
                held = lock_all(box.state_dir)
                os.write(writer, b"x")
                time.sleep(60 if held >= 0 else 0)
            finally:
                os._exit(0)
        try:
            equal(os.read(reader, 1), b"x", "local user: locks the base")
            equal(box.connect_and_run(conf, timeout=SOON), 0, "local user: locks on the base hold nobody")
            equal(len(box.starts()), 2, "local user: the action runs")
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def local_user_and_readable_turn():
    """Whoever may read the turn file may lock it, with a lock for readers. So it is refused."""
    if not need_root("a local user and a turn file that he may read"):
        return
    for mode in (0o640, 0o604, 0o660, 0o666):
        with Sandbox() as box:
            conf = box.config(FREE + f"from any\ninterval 0s\naction {box.recorder()}\n")
            equal(box.connect_and_run(conf), 0, f"turn, mode {mode:o}: a first line")
            (box.state_dir / "default" / "turn").chmod(mode)
            equal(box.connect_and_run(conf), nmtest.EX_OSERR, f"turn, mode {mode:o}: refused")
            ok("others may open turn" in box.messages()[-1], f"turn, mode {mode:o}: the log says so")
            equal(len(box.starts()), 1, f"turn, mode {mode:o}: nothing runs")


def local_user_and_processes():
    """None of the processes is his, whatever it is doing."""
    if not need_root("a local user and the processes"):
        return
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 1h\nread-timeout 60s\naction {box.recorder('sleep=60000')}\n")
        reads = box.start(conf)
        until(lambda: nmtest.process_waits_in(reads.pid) is not None, 5)
        runs = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "local user: an action runs")
        waits = box.start(conf, data=LINE)
        ok(until(box.has_waiter), "local user: a waiter waits")
        for name, pid in (("reader", reads.pid), ("supervisor", runs.pid), ("waiter", waits.pid), ("action", box.pids("action")[0])):
            equal(as_user(box.other, lambda: intrude(pid)), "[]", f"local user: can do nothing to the {name}")
        # The account's own user can end them. But what was born as root he cannot look into.
        harmless = {f"kill {n}" for n in (15, 19, 18, 10, 0)} | {"sched_setaffinity", "setpriority", "prlimit"}
        with Service(box, conf) as service:
            network = service.network()
            for name, pid in (("runner", service.pid), ("network process", network)):
                equal(as_user(box.other, lambda: intrude(pid)), "[]", f"local user: can do nothing to nmnotifyd's {name}")
            owner = type("Owner", (), {"pw_uid": box.uid, "pw_gid": box.gid})
            equal(as_user(owner, lambda: intrude(service.pid)), "[]", "the account's user: can do nothing to nmnotifyd's runner")
        # Last, since it ends it.
        done = set(eval(as_user(owner, lambda: intrude(reads.pid))))  # noqa: S307 a list of our own
        ok(not done - harmless, f"the account's user: cannot look into a handler that root has started: {done - harmless}")


def local_user_and_handler():
    """He starts it himself, with another's configuration, state and source: it is only he."""
    if not need_root("a local user and the handler"):
        return
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 0s\naction {box.recorder()}\n")
        box.connect_and_run(conf)
        before = len(box.starts())
        tool = shutil.which("setpriv")
        if not tool:
            skip("a local user and the handler", "no setpriv(1)")
            return
        become = [tool, f"--reuid={box.other.pw_uid}", f"--regid={box.other.pw_gid}", "--clear-groups"]
        lies = {"TCPREMOTEIP": "127.0.0.1", "RUNTIME_DIRECTORY": str(box.state_dir), "USER": box.user, "HOME": "/root"}
        for text in (conf, box.config(f"user {box.other.pw_name}\n{FREE}from any\naction {box.recorder()}\n", "his.conf")):
            for env in ({}, lies):
                status = box.connect_and_run(text, prefix=become, env=env, fds="pipe")
                ok(status in (nmtest.EX_CONFIG, nmtest.EX_OSERR), f"local user: with another's state: {status}")
        equal(len(box.starts()), before, "local user: nothing has run")
        equal(box.connect_and_run(conf), 0, "local user: and the next line of the mail server")
        equal(len(box.starts()), before + 1, "local user: runs the action")


# ---- The action, gone bad ----

# What it does stands in `todo`; afterwards it says so in `done`, with what worked.
BAD = r'''
import ctypes, fcntl, os, signal, struct, sys, time
state, out, others = sys.argv[1:4]
todo = open(out + "/todo").read()
with open(out + "/pids", "a") as f:
    f.write(f"{os.getpid()}\n")
libc = ctypes.CDLL(None, use_errno=True)
limits, turn = state + "/limits", state + "/turn"
worked = []

def done():
    with open(out + "/new", "w") as f:
        f.write(repr((todo, worked)))
    os.rename(out + "/new", out + "/done")

def attempt(name, task):
    try:
        task()
        worked.append(name)
    except OSError:
        pass

def daemon():
    """The parent is left to end; what goes on is in a session of its own."""
    if os.fork():
        time.sleep(0.3)
        os._exit(0)
    os.setsid()
    with open(out + "/pids", "a") as f:
        f.write(f"{os.getpid()}\n")

def lock(first, count):
    fd = os.open(turn, os.O_RDWR)
    wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, first, count, 0)
    fcntl.fcntl(fd, 38, wanted)
    done()
    time.sleep(60)

def mine():
    """Processes of this user, but not this one."""
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and int(entry) != os.getpid() and os.stat("/proc/" + entry).st_uid in (os.getuid(), 0):
                if f"Uid:\t{os.getuid()}\t" in open(f"/proc/{entry}/status").read():
                    yield int(entry)
        except OSError:
            pass

if todo == "overwrite":
    with open(limits, "r+b", buffering=0) as f:
        f.write(b"\xff" * 65536)
elif todo == "name others' processes":
    # A word that the supervisor clears when the run ends: only if it dies will it be believed.
    with open(limits, "r+b", buffering=0) as f:
        f.seek(8)
        f.write(struct.pack("=II", 1, 1))
    done()
    os.kill(os.getppid(), signal.SIGKILL)
elif todo == "truncate":
    os.truncate(limits, 0)
elif todo == "truncate all the time":
    daemon()
    end = time.monotonic() + 3
    done()
    while time.monotonic() < end:
        attempt("", lambda: os.truncate(limits, 0))
        time.sleep(0.01)
    os._exit(0)
elif todo == "replace":
    for path, target in ((limits, others + "/limits"), (turn, "/etc/shadow")):
        os.unlink(path)
        os.symlink(target, path)
    attempt("the other's", lambda: os.open(others + "/limits", os.O_RDONLY))
    attempt("rename", lambda: os.rename(state, state + ".old"))
    attempt("symlink", lambda: os.symlink(others, state + ".new"))
elif todo == "hold both locks":
    # Not what is running: that is the supervisor's for as long as we live.
    daemon()
    time.sleep(1)
    lock(0, 2)
elif todo == "hold running":
    daemon()
    time.sleep(1)
    lock(1, 1)
elif todo == "kill the supervisor":
    libc.prctl(1, 0)  # and live on
    os.kill(os.getppid(), signal.SIGKILL)
    done()
    time.sleep(2)
elif todo == "kill all":
    done()
    os.kill(-1, signal.SIGKILL)
elif todo == "stop the supervisor":
    os.kill(os.getppid(), signal.SIGSTOP)
elif todo == "stop all":
    daemon()
    end = time.monotonic() + 3
    done()
    while time.monotonic() < end:
        for pid in mine():
            attempt("", lambda: os.kill(pid, signal.SIGSTOP))
        # Nobody shall see that somebody waits.
        with open(limits, "r+b", buffering=0) as f:
            f.write(bytes(16))
    os._exit(0)
elif todo == "bomb":
    count = 0
    while True:
        try:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            count += 1
        except OSError:
            worked.append(count)
            done()
            time.sleep(60)
elif todo == "escape":
    parent = os.getppid()
    for file in ("mem", "environ", "fd", "maps", "root"):
        attempt(file, lambda: os.listdir(f"/proc/{parent}/fd") if file == "fd" else os.readlink(f"/proc/{parent}/root") if file == "root" else open(f"/proc/{parent}/{file}", "rb").read(1))
    attempt("setuid", lambda: os.setuid(0))
    attempt("setgroups", lambda: os.setgroups([0]))
    attempt("chown", lambda: os.chown(limits, 0, 0))
    # User and mount namespaces, by way of every call that makes them.
    attempt("unshare", lambda: libc.unshare(0x10000000) and (_ for _ in ()).throw(OSError()))
    for runner in sys.argv[4:]:
        for number in (signal.SIGTERM, signal.SIGSTOP, 0):
            attempt(f"kill {runner}", lambda: os.kill(int(runner), number))
    set_uid = out + "/../su-id"
    text = os.popen(set_uid + " -u").read().strip()
    worked += [] if text == str(os.getuid()) else ["set-user-ID: " + text]
done()
'''


@contextmanager
def private_users():
    """Users that nobody else on this machine is: what ends all processes of one ends ours alone."""
    if not nmtest.private_mounts():
        yield False
        return
    first = 300000 + os.getpid() % 100000 * 3
    text = re.sub(r"(?m)^nobody:x:\d+:", f"nobody:x:{first}:", Path("/etc/passwd").read_text())
    text = re.sub(r"(?m)^games:x:\d+:", f"games:x:{first + 1}:", text)
    # The network process's own, for it must be no account's.
    text = re.sub(r"(?m)^nmnotify:.*\n", "", text) + f"nmnotify:x:{first + 2}:{first + 2}::/:/bin/false\n"
    with Sandbox() as box:
        copy = box.dir / "passwd"
        copy.write_text(text)
        copy.chmod(0o644)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(os.fsencode(copy), b"/etc/passwd", None, 4096, None) != 0:  # MS_BIND
            raise OSError(ctypes.get_errno(), "mount on /etc/passwd")
        try:
            yield True
        finally:
            nmtest.unmount("/etc/passwd")


class Village:
    """Two accounts of two users. The first one's action does what it is told, the second's is good."""

    def __init__(self, stack, program):
        self.box = box = stack.enter_context(Sandbox())
        script = box.dir / "bad.py"
        script.write_text(BAD)
        script.chmod(0o644)
        shutil.copy("/usr/bin/id", box.out / "su-id")
        (box.out / "su-id").chmod(0o4755)
        for account, entry in (("bad", (box.uid, box.gid)), ("good", (box.other.pw_uid, box.other.pw_gid))):
            (box.out / account).mkdir()
            os.chown(box.out / account, *entry)
        self.todo("nothing")
        bad = f"/usr/bin/python3 -I -S {script} {box.state_dir}/bad {box.out}/bad {box.state_dir}/good"
        conf = box.config(
            # What holds where the kernel keeps no action from its user's processes (confine.t: isolate).
            f"{FREE}interval 0s\ntimeout 3s\nisolate no\n"
            f"account bad\nuser {box.user}\nfrom 127.0.0.3\naction {bad}\n"
            f"account good\nuser {box.other.pw_name}\nfrom 127.0.0.2\n"
            f"action {box.recorder(account='good', out=box.out / 'good')}\n"
        )
        self.front = stack.enter_context(program(box, conf))
        stack.callback(self.end_bad)

    def todo(self, what):
        (self.box.out / "bad" / "done").unlink(missing_ok=True)
        (self.box.out / "bad" / "todo").write_text(what)

    def said(self):
        """(what it was told, what worked), or None."""
        try:
            return eval((self.box.out / "bad" / "done").read_text())  # noqa: S307 of our own script
        except OSError:
            return None

    def misdeed(self, what):
        self.todo(what)
        self.front.send("127.0.0.3")
        return until(lambda: (self.said() or [None])[0] == what, SOON)

    def good_line(self):
        """How long it takes the good account's start to come, in ms; None: too long."""
        begun = boottime_ms()
        self.front.send("127.0.0.2")
        if until(lambda: has_started_since(self.box, begun, "good"), SOON):
            return boottime_ms() - begun
        return None

    def bad_line(self, patience=SOON):
        """Does the bad account's action run, now that it does nothing?"""
        self.todo("nothing")
        self.front.send("127.0.0.3")
        return until(self.said, patience)

    def restart(self, name):
        """The service, which must have gone on until now."""
        if isinstance(self.front, Service):
            ok(self.front.is_running(), f"{name}: the service goes on")
            self.front.end()
            self.front.start()

    def end_bad(self):
        """All that is left of the bad account's user, whom only this test has."""
        for _ in range(200):
            pids = [p for p in processes_of(self.box.uid)]
            for pid in pids:
                nmtest.kill(pid)
            if not pids:
                return
            time.sleep(0.01)


def processes_of(uid):
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if re.search(rf"(?m)^Uid:\t{uid}\t", (entry / "status").read_text()) and is_alive(int(entry.name)):
                yield int(entry.name)
        except OSError:
            pass


def check_good(village, name, lines=3):
    late = [village.good_line() for _ in range(lines)]
    ok(None not in late, f"{name}: the other account's lines start in time: {late} ms")


def misdeeds(program, deeds):
    with private_users() as there_are:
        if not there_are:
            skip(f"{program.name}: bad actions", "takes root, and a mount namespace")
            return
        # For the users' processes; root's are not bounded by it.
        before = resource.getrlimit(resource.RLIMIT_NPROC)
        for deed in deeds:
            with ExitStack() as stack:
                resource.setrlimit(resource.RLIMIT_NPROC, (80, before[1]))
                stack.callback(resource.setrlimit, resource.RLIMIT_NPROC, before)
                name = f"{program.name}: {deed.__name__.replace('_', ' ')}"
                deed(Village(stack, program), name)


def overwrites_the_state(village, name):
    ok(village.misdeed("overwrite"), f"{name}: done")
    check_good(village, name)
    ok(village.bad_line(), f"G6: {name}: its own account goes on")


def names_others_processes(village, name):
    """Process 1 for its run, and the supervisor dead: waited for, not killed, and not for ever."""
    ok(village.misdeed("name others' processes"), f"{name}: done")
    check_good(village, name)
    ok(village.bad_line(15), f"G6: {name}: its own account goes on")


def replaces_its_files(village, name):
    before = os.stat("/etc/shadow")
    ok(village.misdeed("replace"), f"{name}: done")
    equal(village.said()[1], [], f"{name}: only within its own directory")
    check_good(village, name)
    village.todo("nothing")
    village.front.send("127.0.0.3")
    check_good(village, name)
    after = os.stat("/etc/shadow")
    equal((after.st_size, after.st_mode, after.st_mtime), (before.st_size, before.st_mode, before.st_mtime), f"{name}: what its links name is left alone")
    if isinstance(village.front, Service):
        # It still has the files that it opened. When it starts again it finds the others.
        until(village.said, SOON)
        village.todo("nothing")
        village.front.end()
        village.front.start()
        said = lambda: any("account=bad" in m and "cannot open limits" in m for m in village.box.messages())  # noqa: E731
        ok(until(said, SOON), f"{name}: the log says so")
        village.front.send("127.0.0.3")
        wanted = "nmnotifyd[]: verdict=error account=bad source=127.0.0.3"
        said = lambda: wanted in [re.sub(r"\[\d+\]", "[]", line) for line in village.box.log()]  # noqa: E731
        ok(until(said, SOON), f"{name}: its line is refused, and no process made for it")
        check_good(village, f"{name}, and it starts again")
    equal(village.said(), None, f"{name}: nothing runs for it any more")
    counts = village.box.state("good").counts()
    equal(counts.get("error", 0), 0, f"{name}: nothing is wrong with the other account")
    shutil.rmtree(village.box.state_dir / "bad")
    village.front.end()
    village.front.start()
    ok(village.bad_line(), f"{name}: until the directory is removed")


def denies_itself(village, name, deed, left):
    """Its own lines are in vain from then on, and of all of them one such process is left at most."""
    ok(village.misdeed(deed), f"{name}: done")
    village.todo("nothing")
    for _ in range(20):
        village.front.send("127.0.0.3")
    check_good(village, name)
    ok(until(lambda: count_of(village) <= 1, 10), f"G4: {name}: its lines leave no more than a {left} ({count_of(village)})")
    equal(village.said(), None, f"{name}: it has denied itself the service")


def holds_both_locks(village, name):
    """All of its own lines are in vain, but none of them stays."""
    denies_itself(village, name, "hold both locks", "process")
    village.end_bad()
    ok(village.bad_line(), f"G5: {name}: until it ends")


def holds_running(village, name):
    denies_itself(village, name, "hold running", "waiter")
    pids = (village.box.out / "bad" / "pids").read_text().split()
    os.kill(int(pids[-1]), signal.SIGKILL)
    ok(until(village.said, SOON), f"G1: {name}: until it ends, when the waiter's turn has come")


def count_of(village):
    """Handlers, or nmnotifyd's waiters and supervisors; not what an action has left behind, whose
    parent is nmnotifyd."""
    front = village.front
    pids = front.pids()[2:] if isinstance(front, Service) else front.pids()
    program = nmtest.NMNOTIFY.resolve(), front_module.NMNOTIFYD.resolve()
    return len([p for p in pids if executes(p) in program])


def executes(pid):
    try:
        return Path(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return None


def kills_its_supervisor(village, name):
    """And lives on. Its next run is none of the others' business."""
    ok(village.misdeed("kill the supervisor"), f"{name}: done")
    check_good(village, name)
    ok(village.bad_line(), f"G5: {name}: its own account goes on")


def kills_all_it_can(village, name):
    ok(village.misdeed("kill all"), f"{name}: done")
    check_good(village, name)
    ok(village.bad_line(), f"G5: {name}: its own account goes on")


def stops_its_supervisor(village, name):
    ok(village.misdeed("stop the supervisor"), f"{name}: done")
    village.todo("nothing")
    for _ in range(10):
        village.front.send("127.0.0.3")
    check_good(village, name)
    ok(until(lambda: count_of(village) <= 2, 10), f"G4: {name}: its lines leave no more than a waiter ({count_of(village)})")
    equal(village.said(), None, f"{name}: it has denied itself the service")
    for pid in list(processes_of(village.box.uid)):
        nmtest.kill(pid, signal.SIGCONT)
    ok(until(village.said, SOON), f"G1: {name}: until it goes on")


def stops_all_it_can(village, name):
    """Lines for it all the time, each of whose processes is stopped as soon as it is the user's."""
    ok(village.misdeed("stop all"), f"{name}: done")
    village.todo("nothing")
    if isinstance(village.front, Service):
        for _ in range(1500):
            village.front.send("127.0.0.3")
        ok(count_of(village) <= 32, f"G4: {name}: its processes are bounded ({count_of(village)})")
    check_good(village, name, 10)
    village.end_bad()
    ok(village.bad_line(15), f"G5: {name}: its own account goes on when they are gone")


def bombs(village, name):
    """Its timeout ends a fork bomb that a limit of processes bounds, as it stays in its group."""
    ok(village.misdeed("bomb"), f"{name}: done")
    ok(20 < village.said()[1][0] < 100, f"{name}: it made {village.said()[1]} processes")
    check_good(village, name)
    ok(until(lambda: len(list(processes_of(village.box.uid))) <= 1, 15, 0.2), f"{name}: timeout ends all of them")
    ok(village.bad_line(), f"G2: {name}: its own account goes on")


def truncates(village, name):
    """nmnotifyd has all accounts' state mapped: there the account takes nothing any more, until the
    super-server starts the service again."""
    ok(village.misdeed("truncate"), f"{name}: done")
    time.sleep(1.5)
    village.front.send("127.0.0.3")
    check_good(village, name)
    village.restart(name)
    ok(village.bad_line(), f"G6: {name}: its own account goes on")


def truncates_all_the_time(village, name):
    ok(village.misdeed("truncate all the time"), f"{name}: done")
    check_good(village, name)
    time.sleep(1.5)
    village.end_bad()
    check_good(village, f"{name}, until it ends")
    village.restart(name)
    ok(village.bad_line(), f"G6: {name}: its own account goes on")


def tries_to_escape(village, name):
    front = village.front
    if isinstance(front, Service):
        conf = village.front.conf
        conf.write_text(conf.read_text().replace("/good\naccount", f"/good {front.pid} {front.network()}\naccount"))
        front.end()
        front.start()
    control = subprocess.run([village.box.out / "su-id", "-u"], user=village.box.uid, capture_output=True, text=True)
    if control.stdout.strip() != "0":
        diag("set-user-ID programs have no effect here anyway")
    ok(village.misdeed("escape"), f"{name}: done")
    equal(village.said()[1], [], f"{name}: nothing worked")
    check_good(village, name)
    ok(village.bad_line(), f"{name}: its own account goes on")


DEEDS = [
    overwrites_the_state,
    names_others_processes,
    replaces_its_files,
    holds_both_locks,
    holds_running,
    kills_its_supervisor,
    kills_all_it_can,
    stops_its_supervisor,
    stops_all_it_can,
    bombs,
    truncates,
    truncates_all_the_time,
    tries_to_escape,
]


def chosen():
    """DEEDS=1,2: some of them alone."""
    names = os.environ.get("DEEDS")
    return [d for d in DEEDS if not names or d.__name__ in names.split(",")]


def bad_action_of_the_handler():
    misdeeds(Handlers, chosen())


def bad_action_of_nmnotifyd():
    misdeeds(Service, chosen())


def network_user():
    """The network process is no account's user's, if it can be."""
    with private_users() as there_are:
        if not there_are:
            skip("the network process's user", "takes root, and a mount namespace")
            return
        uids = {}
        for line in Path("/etc/passwd").read_text().splitlines():
            name, _, uid, *_ = line.split(":")
            uids[name] = int(uid)
        for user, wanted in (("games", "nmnotify"), ("nmnotify", "nobody"), ("nobody", "nmnotify")):
            with Sandbox() as box:
                conf = box.config(f"user {user}\nfrom any\naction /bin/true\n")
                with Service(box, conf) as service:
                    status = Path(f"/proc/{service.network()}/status").read_text()
                    found = int(re.search(r"Uid:\s+(\d+)", status)[1])
                    equal(found, uids[wanted], f"nmnotifyd for {user}: the network process is {wanted}")


nmtest.run(
    port_of_the_handler,
    port_of_nmnotifyd,
    forged_datagrams,
    local_user_and_files,
    local_user_and_readable_turn,
    local_user_and_processes,
    local_user_and_handler,
    network_user,
    bad_action_of_the_handler,
    bad_action_of_nmnotifyd,
)
