#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Confinement: what each policy forbids an action, and what of other processes it can reach."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import front
from actions import Actions, LINE, landlock_abi, makes_sockets, missing, program
from nmtest import BUILD, Sandbox, diag, equal, is_root, ok, run, skip, until

POLICIES = ("mail", "local", "none")


# ---- What is forbidden ----


def forbidden():
    binary = BUILD / "tests" / "forbidden"
    if not binary.exists():
        skip("what is forbidden", f"{binary} has not been built")
        return
    with Sandbox() as box:
        actions = Actions(box)
        copy = box.dir / "forbidden"
        shutil.copy(binary, copy)
        copy.chmod(0o755)
        words = []
        if subprocess.run([binary, "i386"]).returncode != 0:
            words = ["no-i386"]
            skip("calls of 32-bit programs are killed", "the kernel has no IA32 emulation")
        for policy in POLICIES:
            result = actions.folder(policy) / "tap"
            status = actions.run(policy, policy, [copy, policy, result, *words])
            report(policy, result.read_text().splitlines() if result.exists() else [])
            actions.ok(status == 0, f"confine {policy}: the table came to its end, all as expected")


def report(policy, lines):
    """Passes on another program's TAP as one's own."""
    seen = 0
    for line in lines:
        if line.startswith("# "):
            diag(line[2:])
        elif " - " in line:
            seen += 1
            ok(line.startswith("ok "), f"confine {policy}: {line.split(' - ', 1)[1]}")
    ok(lines[-1:] == [f"1..{seen}"] and seen > 50, f"confine {policy}: the whole table was tried")


# ---- Other processes ----

# Tries to get at the process that supervises it, at nmnotifyd's others if there are any, and at those
# of the command line; and writes down what happened.
INTRUDER = """\
import errno, os, signal, socket, sys

def status(pid, key):
    return next(l.split()[1:] for l in open(f"/proc/{pid}/status") if l.startswith(key + ":"))

def attempt(task):
    try:
        task()
        return "done"
    except OSError as e:
        return errno.errorcode[e.errno]

def abstract():
    with socket.socket(socket.AF_UNIX) as s:
        s.connect("\\0" + sys.argv[2])

supervisor = os.getppid()
targets = {"supervisor": supervisor}
if status(supervisor, "Name") == ["nmnotifyd"]:
    targets["runner"] = runner = int(status(supervisor, "PPid")[0])
    others = map(int, open(f"/proc/{runner}/task/{runner}/children").read().split())
    targets["network process"] = next(pid for pid in others if pid != supervisor)
targets["bystander"] = int(sys.argv[3])
with open(sys.argv[1] + ".new", "w") as out:
    for name, pid in targets.items():
        for what, task in (
            ("memory", lambda: os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))),
            ("signal", lambda: os.kill(pid, 0)),
        ):
            print(name, what, attempt(task), sep="\t", file=out)
    print("bystander", "abstract socket", attempt(abstract), sep="\t", file=out)
    child = os.fork()
    if child == 0:
        signal.pause()
    print("child", "signal", attempt(lambda: os.kill(child, signal.SIGKILL)), sep="\t", file=out)
    os.waitpid(child, 0)
    # To be looked at from outside, too.
    print("itself", "dumpable", os.stat(f"/proc/self").st_uid == os.getuid(), sep="\t", file=out)
os.rename(sys.argv[1] + ".new", sys.argv[1])
while not os.path.exists(sys.argv[1] + ".seen"):
    signal.sigtimedwait([], 0.05)
"""


class OwnService(front.Service):
    """nmnotifyd, as the action's own user starts it."""

    def _become(self):
        if is_root():
            os.setgroups([])
            os.setresgid(self.box.gid, self.box.gid, self.box.gid)
            os.setresuid(self.box.uid, self.box.uid, self.box.uid)
        super()._become()


class OwnHandlers(front.Handlers):
    """The handler, likewise."""

    def send(self, source="127.0.0.1", data=LINE):
        become = [program("setpriv"), f"--reuid={self.box.uid}", f"--regid={self.box.gid}", "--clear-groups"]
        self.handlers.append(
            self.box.start(self.conf, data=data, end=True, prefix=become if is_root() else []))


PTRACE_SEIZE = 0x4206


def seize(uid, pid):
    """The name of the error with which somebody of that user traces a process, and "done" if none.
    Not within our own process, which would have to let go of it."""
    tracer = (
        "import ctypes, errno, sys; c = ctypes.CDLL(None, use_errno=True); "
        f"failed = c.ptrace({PTRACE_SEIZE}, int(sys.argv[1]), None, None); "
        "print(errno.errorcode[ctypes.get_errno()] if failed else 'done')")
    how = {"user": uid, "extra_groups": []} if is_root() else {}
    return subprocess.run(["/usr/bin/python3", "-I", "-S", "-c", tracer, str(pid)],
                          capture_output=True, text=True, **how).stdout.strip()


def has_yama():
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    return scope.exists() and scope.read_text().strip() != "0"


def intrusion(box, actions, make, name, more, look=lambda pids: None):
    """What an action could do: {(to whom, what): what happened}. Everything is of one user, who has
    started the handler or nmnotifyd himself. `look` gets the process numbers while it runs."""
    result = box.out / name
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{box.dir.name}.{name}")
        listener.listen()
        bystander = subprocess.Popen(["/bin/sleep", "600"], **actions.as_user())
        words = ["/usr/bin/python3", "-I", "-S", box.dir / "intruder.py", result, f"{box.dir.name}.{name}"]
        conf = box.config(
            f"account {name}\nfrom any\ninterval 0s\n{more}user {actions.account.pw_name}\n"
            f"action {shlex.join(map(str, [*words, bystander.pid]))}\n")
        try:
            with make(box, conf) as handlers:
                handlers.send()
                until(result.exists)
                look(handlers.pids())
                result.with_name(f"{name}.seen").touch()
        finally:
            bystander.kill()
            bystander.wait()
    if not result.exists():
        diag("\n".join(box.log()[-5:]))
        return {}
    lines = [line.split("\t") for line in result.read_text().splitlines()]
    return {(whom, what): happened for whom, what, happened in lines}


PROGRAMS = (
    ("nmnotify", OwnHandlers, ("supervisor",)),
    ("nmnotifyd", lambda box, conf: OwnService(box, conf, program=box.bring(front.NMNOTIFYD)),
     ("supervisor", "runner", "network process")),
)


def own_processes():
    """An action's user may be the one who runs nmnotify. Then its processes must be out of reach, too,
    or no confinement is one."""
    with Sandbox() as box:
        actions = Actions(box)
        for path in (box.state_dir, box.log_path):
            actions.give_away(path)
        actions.write(box.dir / "intruder.py", INTRUDER)
        for service, make, ours in PROGRAMS:
            for policy in POLICIES:
                name, traced = f"{service}-{policy}", {}

                def look(pids):
                    traced.update((pid, seize(box.uid, pid)) for pid in pids)

                found = intrusion(box, actions, make, name, f"confine {policy}\nisolate no\n", look)
                for whom in ours:
                    got = found.get((whom, "memory"))
                    ok(got in ("EACCES", "EPERM"), f"confine {policy}: {service}'s {whom}: no memory to write to ({got})")
                ok(len(traced) >= len(ours) and set(traced.values()) == {"EPERM"},
                   f"confine {policy}: {service}: its user cannot trace it ({traced})")
                equal(found.get(("itself", "dumpable")), "True",
                      f"confine {policy}: {service}: the action itself can be looked into, as any program")
                if not has_yama():
                    equal(found.get(("bystander", "memory")), "done",
                          f"confine {policy}: {service}: isolate no: another process's memory is its user's")


def isolation():
    """`isolate yes`: other processes are out of the action's reach."""
    if landlock_abi() < 6:
        skip("isolate", f"the kernel has no Landlock with scopes (ABI {landlock_abi()})")
        return
    with Sandbox() as box:
        actions = Actions(box)
        for path in (box.state_dir, box.log_path):
            actions.give_away(path)
        actions.write(box.dir / "intruder.py", INTRUDER)
        for service, make, ours in PROGRAMS:
            for policy, more, wanted in (
                ("mail", "", False), ("none", "", False), ("local", "", True),
                ("mail", "isolate no\n", True), ("local", "isolate yes\n", False),
            ):
                words = f"confine {policy}" + (f", {more.strip()}" if more else "")
                found = intrusion(box, actions, make, f"{service}-{policy}{len(more)}", f"confine {policy}\n{more}")
                for whom, what in [(whom, "signal") for whom in (*ours, "bystander")] + [("bystander", "abstract socket")]:
                    equal(found.get((whom, what)), "done" if wanted else "EPERM",
                          f"{words}: {service}: {what}: {whom}")
                if not wanted:
                    ok(found.get(("bystander", "memory")) in ("EACCES", "EPERM"),
                       f"{words}: {service}: no process's memory")
                equal(found.get(("child", "signal")), "done", f"{words}: {service}: its own child it can signal")


# ---- Ordinary programs ----

SHELL_SCRIPT = """\
#!/bin/sh
set -eu
cd "$HOME"
mkdir folder && cp -p script folder/copy && ln -s copy folder/link && mkfifo fifo
for word in three one two; do echo $word; done | sort | tail -n 1 > last
(sleep 0.01; echo done > late) & wait $!
trap 'echo caught > trapped' USR1
kill -USR1 $$
[ "$(cat last late trapped)" = "two
done
caught" ]
"""
PYTHON_SCRIPT = """\
import asyncio, concurrent.futures, multiprocessing, os, socket, sqlite3, subprocess, tempfile
import threading

os.chdir(os.environ["HOME"])
threads = [threading.Thread(target=os.getpid) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
assert subprocess.check_output("echo hello | cat", shell=True) == b"hello\\n"
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert list(pool.map(abs, range(-3, 0))) == [3, 2, 1]
with multiprocessing.Pool(2) as pool:
    assert pool.map(abs, range(-3, 0)) == [3, 2, 1]
async def child():
    return await (await asyncio.create_subprocess_exec("true")).wait()
assert asyncio.run(child()) == 0
with tempfile.NamedTemporaryFile(dir=".") as file:
    sqlite3.connect(file.name).execute("create table t (c)")
a, b = socket.socketpair()
socket.send_fds(a, [b"x"], [0])
assert len(socket.recv_fds(b, 1, 1)[1]) == 1
"""


def shell_and_python():
    with Sandbox() as box:
        actions = Actions(box)
        for policy in POLICIES:
            home = actions.folder(f"shell-{policy}")
            script = actions.write(home / "script", SHELL_SCRIPT, 0o700)
            status = actions.run(f"shell-{policy}", policy, [script], home)
            actions.ok(status == 0, f"confine {policy}: a shell script with a pipeline")
        if missing("python3 with threads and processes", "python3"):
            return
        for policy in POLICIES:
            if policy != "none" and not makes_sockets():
                skip(f"confine {policy}: python3 with threads and processes", "it cannot make sockets here")
                continue
            home = actions.folder(f"python-{policy}")
            script = actions.write(home / "script", PYTHON_SCRIPT)
            status = actions.run(f"python-{policy}", policy, [program("python3"), script], home)
            actions.ok(status == 0, f"confine {policy}: python3 with threads and processes")


run(forbidden, own_processes, isolation, shell_and_python)
