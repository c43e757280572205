#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Landlock: what of files, TCP ports and other processes an action can reach, by default and as the configuration says."""

import errno
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import front
import nmtest
from actions import Actions, LINE, landlock_abi, makes_sockets, program
from nmtest import BUILD, NMNOTIFY, Sandbox, diag, equal, is_root, ok, run, skip, until

# ---- A fetcher, taken over ----

# Tries what stands in the table, and writes down what happened: "done", or the error's name.
THIEF = r"""
import ctypes, errno, os, signal, socket, subprocess, sys, time
result, box, elsewhere, sibling, ports = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5:]
home, state = os.environ["HOME"], box + "/state/" + os.environ["NMNOTIFY_ACCOUNT"]
libc = ctypes.CDLL(None, use_errno=True)

def call(got):
    if got < 0:
        raise OSError(ctypes.get_errno(), "")

def write(path, flags=0):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
    os.write(fd, b"x")
    os.close(fd)

def connect(port):
    with socket.socket() as s:
        s.connect(("127.0.0.1", int(port)))

def fast_open(port):
    with socket.socket() as s:
        s.sendto(b"id\n", 0x20000000, ("127.0.0.1", int(port)))

def bus():
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(box + "/bus")

def execute(path):
    with open(path, "w") as f:
        f.write("#!/bin/sh\n")
    os.chmod(path, 0o700)
    subprocess.run([path], check=True)

def through_link(target, link):
    os.symlink(target, link)
    write(link)

attempts = {
    "state, read": lambda: open(state + "/limits", "rb").read(1),
    "state, write": lambda: write(state + "/limits"),
    "state, truncate": lambda: os.truncate(state + "/turn", 0),
    "state, remove": lambda: os.unlink(state + "/turn"),
    "state, add": lambda: write(state + "/new"),
    "state, list": lambda: os.listdir(box + "/state"),
    "state, move": lambda: os.rename(state + "/limits", home + "/limits"),
    "state, through a link": lambda: through_link(state + "/limits", home + "/link"),
    "configuration, read": lambda: open(box + "/nmnotify.conf").read(1),
    "configuration, write": lambda: write(box + "/nmnotify.conf"),
    "supervisor, signal": lambda: os.kill(os.getppid(), 0),
    "sibling, signal": lambda: os.kill(sibling, 0),
    "sibling, ptrace": lambda: call(libc.ptrace(0x4206, sibling, None, None)),
    "sibling, environment": lambda: open(f"/proc/{sibling}/environ").read(1),
    "home, key": lambda: open(home + "/.ssh/id").read(1),
    "home, another key": lambda: write(home + "/.ssh/authorized_keys"),
    "home, shell's start": lambda: write(home + "/.profile", os.O_APPEND),
    "home, unit": lambda: write(home + "/.config/systemd/user/bad.service"),
    "home, mail": lambda: write(home + "/Maildir/tmp/new"),
    "home, mail, deliver": lambda: os.rename(home + "/Maildir/tmp/new", home + "/Maildir/new/new"),
    "home, lock": lambda: write(home + "/.lock", os.O_EXCL),
    "elsewhere, read": lambda: open(elsewhere + "/file").read(1),
    "elsewhere, write": lambda: write(elsewhere + "/file"),
    "elsewhere, cron job": lambda: write(elsewhere + "/crontab"),
    "elsewhere, execute": lambda: execute(elsewhere + "/program"),
    "temporary, write": lambda: write(box + "/tmp/x"),
    "temporary, execute": lambda: execute(box + "/tmp/program"),
    "null": lambda: write("/dev/null"),
    "passwd": lambda: open("/etc/passwd").read(1),
    "mail's port": lambda: connect(ports[0]),
    "reverse shell": lambda: connect(ports[1]),
    "reverse shell, fast open": lambda: fast_open(ports[1]),
    "user's bus": bus,
}
lines = []
for name, attempt in attempts.items():
    try:
        attempt()
        lines.append(f"{name}\tdone\n")
    except OSError as e:
        lines.append(f"{name}\t{errno.errorcode[e.errno]}\n")
with open(result + ".new", "w") as f:
    f.writelines(lines)
os.rename(result + ".new", result)
"""

DONE, NO = "done", "EACCES"
# What it tries; the least version of Landlock that keeps it from that, and what happens: with nothing but
# the policy `mail`; by default; with only the mail in reach.
TABLE = {
    "state, read": (2, DONE, NO, NO),
    "state, write": (2, DONE, NO, NO),
    "state, truncate": (3, DONE, NO, NO),
    "state, remove": (2, DONE, NO, NO),
    "state, add": (2, DONE, NO, NO),
    "state, list": (2, DONE, NO, NO),
    "state, move": (2, DONE, NO, NO),
    "state, through a link": (2, DONE, NO, NO),
    "configuration, read": (2, DONE, NO, NO),
    "configuration, write": (0, NO, NO, NO),
    "supervisor, signal": (6, DONE, "EPERM", "EPERM"),
    "sibling, signal": (6, DONE, "EPERM", "EPERM"),
    "sibling, ptrace": (0, "EPERM", "EPERM", "EPERM"),
    "sibling, environment": (2, DONE, NO, NO),
    "home, key": (2, DONE, DONE, NO),
    "home, another key": (2, DONE, DONE, NO),
    "home, shell's start": (2, DONE, DONE, NO),
    "home, unit": (2, DONE, DONE, NO),
    "home, mail": (0, DONE, DONE, DONE),
    "home, mail, deliver": (0, DONE, DONE, DONE),
    "home, lock": (2, DONE, DONE, NO),
    "elsewhere, read": (2, DONE, NO, NO),
    "elsewhere, write": (2, DONE, NO, NO),
    "elsewhere, cron job": (2, DONE, NO, NO),
    "elsewhere, execute": (2, DONE, NO, NO),
    "temporary, write": (2, DONE, DONE, NO),
    "temporary, execute": (2, DONE, NO, NO),
    "null": (0, DONE, DONE, DONE),
    "passwd": (0, DONE, DONE, DONE),
    "mail's port": (0, DONE, DONE, DONE),
    "reverse shell": (4, DONE, NO, NO),
    "reverse shell, fast open": (0, "EPERM", "EPERM", "EPERM"),
    "user's bus": (0, DONE, DONE, DONE),
}


SOCKETS = ("mail's port", "reverse shell", "user's bus")


class Village:
    """A sandbox with all that is in the table."""

    def __init__(self, box):
        self.box, self.actions = box, Actions(box)
        self.count = 0
        (box.dir / "tmp").mkdir()
        self.actions.give_away(box.dir / "tmp")
        self.actions.write(box.dir / "thief.py", THIEF)
        # Outside of what is temporary, where only root can make one.
        self.elsewhere = Path(tempfile.mkdtemp(prefix="nmtest.", dir="/home" if is_root() else box.dir))
        self.elsewhere.chmod(0o755)
        self.actions.give_away(self.elsewhere)
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.ports = [str(listener.getsockname()[1]) for listener in self.listeners]
        self.bus = socket.socket(socket.AF_UNIX)
        self.bus.bind(str(box.dir / "bus"))
        self.bus.listen()
        (box.dir / "bus").chmod(0o666)
        self.sibling = subprocess.Popen(["/bin/sleep", "600"], **self.actions.as_user())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sibling.kill()
        self.sibling.wait()
        for opened in (*self.listeners, self.bus):
            opened.close()
        shutil.rmtree(self.elsewhere, ignore_errors=True)

    def home(self):
        """A fresh one, with what people have there."""
        self.count += 1
        home = self.actions.folder(f"home{self.count}")
        for name in (".ssh", ".config", ".config/systemd", ".config/systemd/user", "Maildir", "Maildir/tmp", "Maildir/new"):
            (home / name).mkdir()
            self.actions.give_away(home / name)
        for path in (home / ".ssh" / "id", home / ".profile", self.elsewhere / "file"):
            self.actions.write(path, "secret\n")
        return home

    def conf(self, name, words, more, home):
        return self.box.config(
            f"account {name}\nfrom any\ninterval 0s\nconfine mail\n{more}env HOME={home}\n"
            f"action {shlex.join(map(str, words))}\n")

    def theft(self, make, name, more):
        """{attempt: what happened}"""
        home = self.home()
        result = home / "Maildir" / "result"
        words = [program("python3"), "-I", "-S", self.box.dir / "thief.py", result, self.box.dir, self.elsewhere,
                 self.sibling.pid, *self.ports]
        # Its own file is out of the mail.
        conf = self.conf(name, words, more.format(thief=self.box.dir / "thief.py", home=home, port=self.ports[0]), home)
        with make(self.box, conf) as handlers:
            handlers.send()
            until(result.exists)
            handlers.settle() if hasattr(handlers, "settle") else None
        if not result.exists():
            diag("\n".join(self.box.log()[-5:]))
            return {}
        return dict(line.split("\t") for line in result.read_text().splitlines())


WAYS = {
    "before": "landlock no\nisolate no\n",
    "default": "landlock yes\nread default {thief}\nconnect default {port}\n",
    "mail alone": "landlock yes\nread default {thief}\nexecute /usr\nwrite ~/Maildir\nconnect {port}\n",
}


def taken_over_of(make, service):
    abi = landlock_abi()
    with Sandbox() as box, Village(box) as village:
        for column, (way, more) in enumerate(WAYS.items()):
            found = village.theft(make, f"{service}{column}", more)
            for attempt, (least, *happens) in TABLE.items():
                if not is_root() and attempt.startswith("elsewhere"):
                    continue  # it is in what is temporary
                wanted = happens[column]
                if column > 0 and abi < least:
                    wanted = happens[0]
                if attempt in SOCKETS and not makes_sockets():
                    wanted = "EPERM"
                equal(found.get(attempt), wanted, f"{service}: {way}: {attempt}")


def fetcher_taken_over():
    """What a fetcher that strangers have taken over can do."""
    taken_over_of(front.Handlers, "nmnotify")


def fetcher_of_nmnotifyd_taken_over():
    taken_over_of(front.Service, "nmnotifyd")


# ---- The words ----


class Words:
    """Runs lines of shell, each as an action with words of its own."""

    def __init__(self, box):
        self.box, self.actions = box, Actions(box)
        self.count = 0
        self.place = self.actions.folder("place")
        self.home = self.actions.folder("home")
        for name in ("one", "two"):
            (self.home / name).mkdir()
            self.actions.give_away(self.home / name)
            self.actions.write(self.home / name / "file", "x\n")
            self.actions.write(self.home / name / "run", "#!/bin/sh\n", 0o700)
        self.actions.write(self.place / "file", "x\n")

    def can(self, lines, script, home=None, policy="none", env=()):
        """Does it end well?"""
        self.count += 1
        text = "".join(f"    {line}\n" for line in lines)
        return self.actions.run(f"w{self.count}", policy, ["/bin/sh", "-c", script], home or self.home, env, text) == 0


def words():
    """What each word of `read`, `write`, `execute` and `connect` lets through, alone: under a policy
    without a default what is not said is not restricted."""
    if landlock_abi() < 4:
        skip("words", f"Landlock's ABI is {landlock_abi()}")
        return
    with Sandbox() as box:
        w = Words(box)
        read, write, execute = ("cat ~/{}/file", "echo x > ~/{}/file", "~/{}/run")
        system = "read /usr /lib /lib64 /etc /proc"
        for name, line, script in (("read", f"{system} ~/one", read), ("write", "write ~/one /dev", write),
                                   ("execute", "execute /usr /bin /lib /lib64 ~/one", execute)):
            ok(w.can([line], script.format("one")), f"{name}: below a path")
            ok(not w.can([line], script.format("two")), f"{name}: beside it")
            ok(w.can([], script.format("two")), f"{name}: not said: anywhere")
            ok(w.can([f"{name} any"], script.format("two")), f"{name} any: anywhere")
        ok(w.can(["write ~/one"], "cat ~/one/file ~/two/file"), "write: others can still be read")
        ok(w.can([system, "write ~/one"], "cat ~/one/file"), "write: can be read, too")
        ok(not w.can([system, "write ~/one"], "cat ~/two/file"), "... and nothing else")
        ok(w.can(["write default"], "echo x > ~/two/file"), "default: as under the policy mail: the home")
        ok(not w.can(["write default"], f"echo x > {box.dir}/new"), "default: not beside the state")
        ok(w.can(["write default"], f"echo x > {w.place}/file"), "default: what is temporary, beside the state's own way")
        ok(w.can(["write ~"], "echo x > ~/new && mkdir ~/d && mv ~/new ~/d/old && ln -s a ~/d/b && rm -r ~/d"), "write ~: the home")
        ok(not w.can(["write ~"], "echo x > new", home="/"), "write ~: a home that is the root is none")
        ok(w.can(["write ~/one", "env HOME=/"], "true"), "write: a home that has no such directory")
        # What is not there, and what a link leads to, is left out.
        (w.home / "link").symlink_to(w.home / "two")
        ok(not w.can(["write ~/link /dev/null"], "echo x > ~/link/file"), "write: nothing through a link")
        ok(not w.can(["write ~/none"], "mkdir ~/none"), "write: what is not there")
        ok(not w.can(["write ~/../place /dev/null"], f"echo x > {w.place}/file"), "write: ~ leads to nothing above it")
        ok(not w.can([f"write {w.home}/link/"], "echo x > ~/two/file"), "write: nor through one in an absolute path")
        ok(w.can([f"read {box.dir} /usr /lib /lib64 /etc", "write ~"], "cat ~/one/file"), "read: what is beside our own")
        ok(not w.can([f"read {box.dir} /usr /lib /lib64 /etc", "write ~"], f"cat {box.dir}/nmnotify.conf"), "read: the configuration never")
        ok(not w.can(["read /", "write ~"], f"ls {box.state_dir}"), "read /: the state never")
        ok(w.can(["read /", "write ~"], f"cat {w.place}/file /etc/passwd"), "read /: all else")
        # As it is where root starts the handler: what is in it can be reached, but not listed.
        box.state_dir.chmod(0o711)
        mine = f"cat {box.state_dir}/$NMNOTIFY_ACCOUNT/limits"
        ok(w.can([], mine) and not w.can(["read /"], mine), "read /: nor what is in it, if it cannot be listed")


def ports():
    """`connect`, by real connections."""
    if landlock_abi() < 4:
        skip("connect", f"Landlock's ABI is {landlock_abi()}")
        return
    with Sandbox() as box:
        w = Words(box)
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            script = f"{program('python3')} -I -S -c \"import socket; socket.create_connection(('127.0.0.1', {port}))\""
            for policy, lines, wanted in (
                ("none", [], True), ("none", [f"connect {port}"], True), ("none", ["connect imaps"], False),
                ("mail", [], False), ("mail", [f"connect default {port}"], True), ("mail", ["connect any"], True),
                ("mail", ["connect default"], False), ("none", ["connect default"], False), ("mail", [f"connect {port}"], True),
            ):
                equal(w.can(lines, script, policy=policy), wanted, f"confine {policy}: {lines}")


def home_with_our_own():
    """A home is one even if the configuration is in it: fetchers make their locks there."""
    if landlock_abi() < 2:
        skip("home", f"Landlock's ABI is {landlock_abi()}")
        return
    with Sandbox() as box:
        w = Words(box)
        # The sandbox itself is the home: state and configuration are in it.
        w.actions.give_away(box.dir)
        ok(w.can([], "echo x > ~/lock && rm ~/lock", home=box.dir, policy="mail"), "confine mail: a lock in the home")
        ok(not w.can(["write ~/state"], "echo x > ~/state/new", home=box.dir), "write: but not the state itself")


# ---- Kernels that cannot ----


LACKS = ("read, write and execute (ABI 2)", "write, for truncate(2) (ABI 3)", "connect (ABI 4)", "isolate (ABI 6)")
NOTHING = "read any\nwrite any\nexecute any\nconnect any\nisolate no\n"


def runs_lacking(before, name, lacks, reads):
    """Everything runs, unless what is lacking is required. `reads`: can the action read the configuration?"""
    with Sandbox() as box:
        actions = Actions(box)
        home = actions.folder("home")
        for use, more, wanted in (("yes", "", 0), ("required", "", 126), ("required", NOTHING, 0)):
            action = f"/bin/sh -c 'cat {box.dir}/nmnotify.conf >~/read; echo x >~/there'"
            conf = box.config(f"from any\ninterval 0s\nlimit 1000/s burst 100\nlandlock {use}\n{more}env HOME={home}\naction {action}\n")
            for file in ("there", "read"):
                (home / file).unlink(missing_ok=True)
            status = box.connect_and_run(conf, LINE, prefix=before)
            what = f"{name}: landlock {use}{', nothing asked for' if more else ''}"
            equal(status, wanted, what)
            equal((home / "there").exists(), wanted == 0, f"{what}: the action")
            if wanted:
                ok(any(f"landlock required: this kernel lacks {lacks}" in line for line in box.log()), f"{what}: the log says why")
            else:
                equal((home / "read").read_text() != "", reads or bool(more), f"{what}: what the kernel can do is done")
            done = subprocess.run([*before, NMNOTIFY, "-t", "-f", conf], capture_output=True, text=True)
            equal(done.returncode, 78 if wanted else 0, f"{what}: -t")
            said = done.stderr if wanted else done.stdout
            equal(f"this kernel lacks {lacks}" in said, not more, f"{what}: -t says what is lacking")


def lacking():
    """Kernels without Landlock, and with an older one."""
    refuse, older = BUILD / "tests" / "refuse", BUILD / "tests" / "older_landlock"
    if not refuse.exists():
        skip("a kernel without Landlock", f"{refuse} has not been built")
    else:
        for error in ("38", "95", "1"):  # ENOSYS, EOPNOTSUPP, EPERM
            runs_lacking([refuse, "landlock_create_ruleset", error], f"no Landlock ({error})", ", ".join(LACKS), True)
    for abi, first in ((1, 0), (2, 1), (3, 2), (5, 3)):
        name = f"Landlock's ABI {abi}"
        if not older.exists():
            skip(name, f"{older} has not been built")
        elif landlock_abi() < abi:
            skip(name, f"it is {landlock_abi()}")
        elif subprocess.run([older, str(abi), "/bin/true"]).returncode != 0:
            skip(name, "seccomp_unotify(2) cannot be used here")
        else:
            runs_lacking([older, str(abi)], name, ", ".join(LACKS[first:]), abi < 2)


def check_of_paths():
    """-t: what a path will not be good for."""
    with Sandbox() as box:
        actions = Actions(box)
        (box.dir / "link").symlink_to(box.dir)
        for line, wanted in (
            (f"write {box.dir}", ""), (f"read {box.dir}/none", f"warning: read: '{box.dir}/none' is left out: No such file or directory"),
            (f"execute {box.dir}/link", f"warning: execute: '{box.dir}/link' is left out: {os.strerror(errno.ELOOP)}: write where the link leads"),
            (f"landlock no\nwrite {box.dir}/none", ""), (f"env HOME={box.dir}\nwrite ~/none", ""),
        ):
            conf = box.config(f"from any\n{line}\naction /bin/true\n" if "landlock" in line else f"landlock yes\nfrom any\n{line}\naction /bin/true\n")
            done = subprocess.run([NMNOTIFY, "-t", "-f", conf], capture_output=True, text=True)
            # libc's word for it may be another than Python's.
            said = done.stderr.replace("Symbolic link loop", os.strerror(errno.ELOOP)).splitlines()
            said = [part for part in said if "home of" not in part]
            equal((done.returncode, [part.split(": ", 1)[1] for part in said]), (0, [wanted] if wanted else []), f"-t: {line.splitlines()[-1]}")


run(fetcher_taken_over, fetcher_of_nmnotifyd_taken_over, words, ports, home_with_our_own, lacking, check_of_paths)
