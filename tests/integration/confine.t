#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Confinement: what each policy forbids an action, and that it lets real programs do their work."""

import ctypes
import http.server
import os
import pwd
import shlex
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import dovecot  # noqa: E402
import front  # noqa: E402
from nmtest import BUILD, Sandbox, children_of, diag, equal, holds_socket, is_root, ok, run, skip, until  # noqa: E402

POLICIES = ("mail", "local", "none")
LINE = b"nm_notifyuser\r\n"


# ---- Helpers ----


class Actions:
    """Runs actions in a sandbox, each as an account of its own, in a folder of its own."""

    def __init__(self, box):
        self.box = box
        self.account = pwd.getpwnam(box.user) if box.user else pwd.getpwuid(os.geteuid())

    def folder(self, name):
        """One that the action's user owns."""
        path = self.box.dir / name
        path.mkdir(mode=0o700)
        self.give_away(path)
        return path

    def give_away(self, path):
        if self.box.user:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def write(self, path, text, mode=0o600):
        path.write_text(text)
        path.chmod(mode)
        self.give_away(path)
        return path

    def as_user(self):
        """Arguments for subprocess: the same user, unconfined."""
        if not self.box.user:
            return {}
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}

    def run(self, name, policy, action, home=None, env=(), more=""):
        """Exit status of the handler, which is the action's."""
        conf = self.box.config(
            f"account {name}\n"
            "    from    any\n"
            "    timeout 20s\n"
            f"    confine {policy}\n{more}"
            + "".join(f"    env     {variable}\n" for variable in [f"HOME={home or '/'}", *env])
            + f"    action  {shlex.join(map(str, action))}\n"
        )
        status = self.box.connect_and_run(conf, LINE)
        self.said = self.box.log()
        return status

    def ok(self, cond, name):
        """Like ok(), but with the log of what went wrong."""
        if not ok(cond, name):
            diag("\n".join(self.said[-20:]))


def program(name, *others):
    """Where a program is; system folders only, for the action's user has to get there."""
    for candidate in (name, *others):
        path = shutil.which(candidate, path="/usr/local/bin:/usr/bin:/bin")
        if path:
            return path
    return None


def missing(part, *needed):
    """Skips a part if a program that it needs is not there."""
    absent = [name for name in needed if not program(name)]
    if absent:
        skip(part, f"not installed: {' '.join(absent)}")
    return bool(absent)


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
signal.sigtimedwait([], 2)
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


def landlock_abi():
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, libc.syscall(444, None, 0, 1))  # landlock_create_ruleset, everywhere but on mips


def intrusion(box, actions, make, name, more, look=lambda pids: None):
    """What an action could do: {(to whom, what): what happened}. Everything is of one user, who has
    started the handler or nmnotifyd himself. `look` gets the process numbers while it runs."""
    result = box.out / name
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0nmtest.{os.getpid()}.{name}")
        listener.listen()
        bystander = subprocess.Popen(["/bin/sleep", "600"], **actions.as_user())
        words = ["/usr/bin/python3", "-I", "-S", box.dir / "intruder.py", result, f"nmtest.{os.getpid()}.{name}"]
        conf = box.config(
            f"account {name}\nfrom any\ninterval 0s\n{more}user {actions.account.pw_name}\n"
            f"action {shlex.join(map(str, [*words, bystander.pid]))}\n")
        try:
            with make(box, conf) as handlers:
                handlers.send()
                until(result.exists, 20)
                look(handlers.pids())
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


# ---- Fetching mail ----


def mbsync(server, actions, home):
    (home / "Mail").mkdir()
    actions.give_away(home / "Mail")
    rc = actions.write(home / "mbsyncrc", f"""\
IMAPStore far
Host 127.0.0.1
Port {server.imap_port}
User {server.user}
Pass {server.password}
SSLType None
AuthMechs PLAIN LOGIN

MaildirStore near
Path {home}/Mail/
Inbox {home}/Mail/INBOX

Channel test
Far :far:
Near :near:
Patterns INBOX
Create Near
Sync Pull
SyncState *
""")
    return [program("mbsync"), "-c", rc, "test"], home / "Mail" / "INBOX" / "new"


def fetchmail(server, actions, home):
    inbox = home / "inbox"
    inbox.mkdir()
    actions.give_away(inbox)
    rc = actions.write(home / "fetchmailrc", f"""\
poll 127.0.0.1 service {server.imap_port} protocol IMAP auth password timeout 10
  user {server.user} password "{server.password}" sslproto "" keep fetchall
  mda "cat > {inbox}/message"
""")
    action = ["fetchmail", "--nodetach", "--nosyslog", "--pidfile", home / "pid", "-f", rc]
    return [program("fetchmail"), *action[1:]], inbox


def getmail(server, actions, home):
    for folder in ("inbox", "inbox/new", "inbox/cur", "inbox/tmp"):
        (home / folder).mkdir()
        actions.give_away(home / folder)
    actions.write(home / "getmailrc", f"""\
[retriever]
type = SimplePOP3Retriever
server = 127.0.0.1
port = {server.pop3_port}
username = {server.user}
password = {server.password}

[destination]
type = Maildir
path = {home}/inbox/

[options]
delete = false
""")
    return [program("getmail"), f"--getmaildir={home}", "--rcfile=getmailrc"], home / "inbox/new"


def fetching():
    root = dovecot.find(BUILD)
    if not root:
        skip("mbsync, fetchmail and getmail deliver", "there is no Dovecot")
        return
    with Sandbox() as box:
        actions = Actions(box)
        with dovecot.Dovecot(root, actions.folder("server"), box.user) as server:
            for fetcher in (mbsync, fetchmail, getmail):
                name = fetcher.__name__
                if not missing(f"{name} delivers", name):
                    fetches(fetcher, name, server, actions)


def fetches(fetcher, name, server, actions):
    home, subject = actions.folder(name), f"for {name}"
    action, inbox = fetcher(server, actions, home)
    server.deliver(subject)
    # Each has its own time for seeing that it can't connect, and its own way to say so.
    status = actions.run(f"{name}-local", "local", action, home)
    actions.ok(status != 0 and not has(inbox, subject), f"confine local: {name} reaches no server")
    status = actions.run(name, "mail", action, home)
    actions.ok(status == 0, f"confine mail: {name} ends well")
    actions.ok(has(inbox, subject), f"confine mail: {name} delivers")


def sleeps(pid):
    """Has it closed its connection to the server, and no child that delivers?"""
    return not holds_socket(pid) and not children_of(pid)


def waking_a_daemon():
    """As in nmnotify.conf(5): fetchmail, called while a daemon of the same user runs, wakes it by a
    signal, which takes `isolate no`."""
    root = dovecot.find(BUILD)
    if not root:
        skip("fetchmail wakes its daemon", "there is no Dovecot")
        return
    if missing("fetchmail wakes its daemon", "fetchmail"):
        return
    with Sandbox() as box:
        actions = Actions(box)
        with dovecot.Dovecot(root, actions.folder("server"), box.user) as server:
            home = actions.folder("home")
            words, inbox = fetchmail(server, actions, home)
            rc, by = home / "fetchmailrc", home / "by"
            rc.write_text(rc.read_text().replace("/message", f"/message; echo $PPID > {by}"))
            where = f"FETCHMAILHOME={home}"  # of the fetchmailrc and the pid file
            server.deliver("first")
            daemon = subprocess.Popen(
                [words[0], "--nosyslog", "--nodetach", "--daemon", "3600"], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home,
                env={"HOME": str(home), "FETCHMAILHOME": str(home), "PATH": "/usr/bin:/bin"}, **actions.as_user())
            try:
                # It has fetched once, and now it sleeps for an hour.
                until(lambda: has(inbox, "first") and sleeps(daemon.pid))
                server.deliver("second")
                status = actions.run("awake", "mail", words[:1], home, [where], more="    isolate no\n")
                actions.ok(status == 0 and until(lambda: has(inbox, "second") and by.read_text()),
                           "isolate no: fetchmail wakes its daemon")
                equal(by.read_text().strip(), str(daemon.pid), "isolate no: it is the daemon that fetches")
                if landlock_abi() >= 6:
                    until(lambda: sleeps(daemon.pid))
                    by.write_text("")
                    server.deliver("third")
                    actions.run("isolated", "mail", words[:1], home, [where])
                    until(lambda: has(inbox, "third") and by.read_text())
                    ok(by.read_text().strip() not in ("", str(daemon.pid)),
                       "isolate yes: fetchmail takes its daemon for dead, and fetches beside it")
            finally:
                daemon.terminate()
                daemon.wait()


def has(inbox, subject):
    """Is there a message of that subject?"""
    return inbox.is_dir() and any(
        f"Subject: {subject}" in file.read_text(errors="replace") for file in inbox.iterdir())


# ---- Fetching over HTTP ----


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests_seen += 1
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass


class WebServer:
    def __init__(self, certificate=None):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.requests_seen = 0
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        # By name: looking that up is part of what has to work.
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://localhost:{self.server.server_port}/"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def requests_seen(self):
        return self.server.requests_seen


def web():
    if missing("curl fetches", "curl"):
        return
    with Sandbox() as box, WebServer() as server:
        actions = Actions(box)
        action = [program("curl"), "-sS", "--noproxy", "*", "--fail", "-o", "page", server.url]
        curl_fetches(actions, "mail", action)
        curl_fetches(actions, "none", action)
        before = server.requests_seen()
        status = actions.run("curl-local", "local", action, actions.folder("curl-local"))
        actions.ok(status == 7 and server.requests_seen() == before,
                   "confine local: curl can't connect")


def curl_fetches(actions, policy, action, name="curl"):
    home = actions.folder(f"{name}-{policy}")
    page = home / "page"
    action = [page if word == "page" else word for word in action]
    status = actions.run(f"{name}-{policy}", policy, action, home)
    actions.ok(status == 0 and page.exists() and page.read_text() == "hello",
               f"confine {policy}: {name} fetches")


def web_tls():
    if missing("curl fetches over TLS", "curl", "openssl"):
        return
    with Sandbox() as box:
        certificate = box.dir / "certificate.pem"
        subprocess.run(
            [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-nodes", "-keyout", certificate, "-out",
             box.dir / "public.pem", "-subj", "/CN=localhost", "-days", "2"],
            check=True, capture_output=True)
        with open(certificate, "a") as file:
            file.write((box.dir / "public.pem").read_text())
        with WebServer(certificate) as server:
            action = [program("curl"), "-sSk", "--noproxy", "*", "-o", "page", server.url]
            curl_fetches(Actions(box), "mail", action, "curl-with-tls")


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
            home = actions.folder(f"python-{policy}")
            script = actions.write(home / "script", PYTHON_SCRIPT)
            status = actions.run(f"python-{policy}", policy, [program("python3"), script], home)
            actions.ok(status == 0, f"confine {policy}: python3 with threads and processes")


def version_calls():
    commands = {"systemctl": "--version", "ssh": "-V", "git": "--version", "gpg": "--version",
                "notmuch": "--version", "maildrop": "-v"}
    with Sandbox() as box:
        actions = Actions(box)
        for name, option in commands.items():
            if missing(f"{name} {option}", name):
                continue
            for policy in ("mail", "local"):
                home = actions.folder(f"{name}-{policy}")
                status = actions.run(f"{name}-{policy}", policy, [program(name), option], home)
                actions.ok(status == 0, f"confine {policy}: {name} {option}")


# ---- Desktop notifications ----


class Notifications(threading.Thread):
    """A notification daemon as small as can be, on the given session bus. See the D-Bus
    specification, "Message Protocol"."""

    CALL, RETURN, ERROR = 1, 2, 3
    PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE = range(1, 9)
    NAME = "org.freedesktop.Notifications"

    def __init__(self, bus, uid):
        super().__init__(daemon=True)
        self.shown = []  # bodies of Notify
        self.serial = 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.connect(bus, uid)
        self.stream = self.socket.makefile("rb")
        self.socket.sendall(b"\0AUTH EXTERNAL %s\r\n" % str(uid).encode().hex().encode())
        if not self.stream.readline().startswith(b"OK"):
            raise RuntimeError("the bus does not want us")
        self.socket.sendall(b"BEGIN\r\n")
        self.ask("Hello")
        self.ask("RequestName", "su", self.string(self.NAME) + struct.pack("<I", 0))
        self.start()

    def connect(self, bus, uid):
        """A session's bus is for the session's user, whom it asks the kernel for."""
        before = os.geteuid()
        os.seteuid(uid)
        try:
            self.socket.connect(str(bus))
        finally:
            os.seteuid(before)

    @staticmethod
    def string(text):
        """Marshalled, and filled up to the 4 bytes that strings and numbers begin on."""
        data = struct.pack("<I", len(text)) + text.encode() + b"\0"
        return data + bytes(-len(data) % 4)

    def send(self, kind, fields, body=b""):
        header = b""
        for code, value in fields.items():
            header += bytes(-len(header) % 8)
            if code == self.REPLY_SERIAL:
                header += struct.pack("<BBcxI", code, 1, b"u", value)
            elif code == self.SIGNATURE:
                header += struct.pack("<BBcxB", code, 1, b"g", len(value)) + value.encode() + b"\0"
            else:
                type = b"o" if code == self.PATH else b"s"
                header += struct.pack("<BBcxI", code, 1, type, len(value)) + value.encode() + b"\0"
        self.serial += 1
        fixed = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), self.serial, len(header))
        self.socket.sendall(fixed + header + bytes(-len(header) % 8) + body)

    def receive(self):
        """(kind, serial, fields, body)"""
        fixed = self.stream.read(16)
        if len(fixed) < 16:
            raise EOFError
        order = "<" if fixed[:1] == b"l" else ">"
        kind, length, serial, rest = struct.unpack(order + "xBxxIII", fixed)
        header = self.stream.read(rest + -rest % 8)[:rest]
        fields, at = {}, 0
        while at < len(header):
            code, type = header[at], header[at + 2 : at + 3]
            at += 4
            if type == b"g":
                fields[code] = header[at + 1 : at + 1 + header[at]].decode()
                at += header[at] + 2
            else:
                number = struct.unpack_from(order + "I", header, at)[0]
                at += 4
                if type == b"u":
                    fields[code] = number
                else:
                    fields[code] = header[at : at + number].decode()
                    at += number + 1
            at += -at % 8
        return kind, serial, fields, self.stream.read(length)

    def ask(self, member, signature="", body=b""):
        fields = {self.PATH: "/org/freedesktop/DBus", self.INTERFACE: "org.freedesktop.DBus",
                  self.MEMBER: member, self.DESTINATION: "org.freedesktop.DBus"}
        if signature:
            fields[self.SIGNATURE] = signature
        self.send(self.CALL, fields, body)
        while self.receive()[0] != self.RETURN:
            pass

    def run(self):
        try:
            while True:
                kind, serial, fields, body = self.receive()
                if kind == self.CALL:
                    self.answer(serial, fields, body)
        except (OSError, EOFError, ValueError):
            pass  # the bus is gone, and so are we

    def answer(self, serial, fields, body):
        to = {self.REPLY_SERIAL: serial, self.DESTINATION: fields[self.SENDER]}
        if fields[self.MEMBER] == "Notify":
            self.shown.append(body)
            self.send(self.RETURN, {**to, self.SIGNATURE: "u"}, struct.pack("<I", 1))
        elif fields[self.MEMBER] == "GetServerInformation":
            texts = b"".join(map(self.string, ("test", "nmnotify", "1", "1.2")))
            self.send(self.RETURN, {**to, self.SIGNATURE: "ssss"}, texts)
        else:
            error = "org.freedesktop.DBus.Error.UnknownMethod"
            self.send(self.ERROR, {**to, self.ERROR_NAME: error})


def notification():
    if missing("notify-send notifies", "notify-send", "dbus-daemon"):
        return
    with Sandbox() as box:
        actions = Actions(box)
        bus = actions.folder("bus") / "socket"
        daemon = subprocess.Popen(
            [program("dbus-daemon"), "--session", "--nofork", "--nopidfile", "--print-address",
             f"--address=unix:path={bus}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin"}, cwd="/", **actions.as_user())
        try:
            daemon.stdout.readline()  # it listens when it says where
            receiver = Notifications(bus, actions.account.pw_uid)
            for policy in ("mail", "local"):
                text = f"mail under {policy}"
                address = f"DBUS_SESSION_BUS_ADDRESS=unix:path={bus}"
                action, home = [program("notify-send"), text], actions.folder(policy)
                status = actions.run(policy, policy, action, home, [address])
                actions.ok(status == 0 and any(text.encode() in body for body in receiver.shown),
                           f"confine {policy}: notify-send notifies")
        finally:
            daemon.terminate()
            daemon.wait()
            daemon.stdout.close()


run(forbidden, own_processes, isolation, fetching, waking_a_daemon, web, web_tls, shell_and_python, version_calls, notification)
