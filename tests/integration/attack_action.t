#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""An action gone bad: whatever it does to its own account, the others' lines and runs go on."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
import front as front_module
import nmtest
from attack import FREE, SOON, has_started_since, private_users
from front import Handlers, Service
from nmtest import Sandbox, boottime_ms, diag, equal, is_alive, ok, skip, until


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
    done()  # the supervisor may die of it, and we with it
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
            time.sleep(60)
        if count > 20:  # its timeout may come before there are no more
            worked[:] = [count]
            done()
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
            f"{FREE}interval 0s\ntimeout {3 * nmtest.SLOW:.0f}s\nisolate no\n"
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
    check_good(village, name)
    ok(until(lambda: len(list(processes_of(village.box.uid))) <= 1, 15, 0.2), f"{name}: timeout ends all of them")
    made = village.said()[1][0]
    ok(20 < made < 100, f"{name}: it made {made} processes")
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


nmtest.run(bad_action_of_the_handler, bad_action_of_nmnotifyd)
