#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""An attacker who is another user of this machine, or has taken over the network process's user."""

import ctypes
import fcntl
import os
import re
import shutil
import signal
import struct
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from attack import FREE, SOON, private_users
from front import Service
from nmtest import LINE, Sandbox, equal, is_root, ok, skip, until


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

    def look(file):
        # Some can be opened by anybody, and have nothing in them.
        if not Path(f"/proc/{pid}/{file}").open("rb").read(1):
            raise OSError

    for file in ("mem", "environ", "maps", "auxv", "syscall", "stack", "pagemap", "timers", "clear_refs"):
        attempt(file, lambda: look(file))
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
                    status = Path(f"/proc/{service.network()}/status")
                    found = lambda: int(re.search(r"Uid:\s+(\d+)", status.read_text())[1])
                    # It may have waited for something before that.
                    until(lambda: found() == uids[wanted])
                    equal(found(), uids[wanted], f"nmnotifyd for {user}: the network process is {wanted}")


nmtest.run(
    local_user_and_files,
    local_user_and_readable_turn,
    local_user_and_processes,
    local_user_and_handler,
    network_user,
)
