#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""G7: not a byte is sent to the other end, and nothing of the connection, the super-server or the
handler reaches the action but the source's address."""

import grp
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack

sys.dont_write_bytecode = True
import nmtest
from nmtest import EX_CONFIG, EX_OSERR, LINE, Sandbox, equal, is_root, ok, skip, until

FREE = "from any\nlimit 1000/s burst 10000\ninterval 0s\nread-timeout 200ms\n"

# What a super-server may hand over, with the other end on 0; on 0 and 1; on all three.
KINDS = ("tcp", "inetd", "unix", "unix-inetd", "pipe", "pipe-all")
# Where -h, -V and -t are asked for, a pipe leads to whoever asks.
SOCKETS = ("tcp", "inetd", "unix", "unix-inetd")


def silent(box, conf, name, data=LINE, status=0, kinds=KINDS, **how):
    """A handler that ends with this status and has sent nothing."""
    for fds in kinds:
        handler = box.start(conf, data=data, fds=fds, end=True, **how)
        equal(handler.wait(), status, f"status: {name}, {fds}: {status}")
        equal(handler.received(), b"", f"G7: {name}, {fds}: silence")
        handler.close()


def verdicts():
    with Sandbox() as box:
        conf = box.config(FREE + f"action {box.recorder('say=hello')}\n")
        silent(box, conf, "the line")
        silent(box, conf, "another line", b"GET / HTTP/1.0\r\n\r\n")
        silent(box, conf, "nothing", b"")
        silent(box, conf, "too much", LINE * 10)
        for fds in KINDS:
            handler = box.start(conf, data=b"nm_", fds=fds)
            equal((handler.wait(), handler.received()), (0, b""), f"G7: timeout, {fds}: silence")
        nobody = box.config(f"from 192.0.2.1\naction {box.recorder()}\n")
        silent(box, nobody, "denied")
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 1000/s burst 10000\ninterval 60s\naction {box.recorder()}\n")
        box.connect_and_run(conf)
        for fds in KINDS:
            waiter = box.start(conf, data=LINE, fds=fds)
            equal(waiter.received(), b"", f"G7: deferred, {fds}: silence, and closed at once")
            ok(until(box.has_waiter), f"G7: deferred, {fds}: it waits")
            if fds != KINDS[-1]:
                waiter.kill()
                waiter.wait()
        silent(box, conf, "coalesced")
        silent(box, conf, "coalesced, unread", b"x" * 5)


def troubles():
    """What goes wrong is for the log alone."""
    with Sandbox() as box:
        good = box.config(FREE + f"action {box.recorder()}\n")
        silent(box, box.config("nonsense\n", "bad.conf"), "a broken configuration", status=EX_CONFIG)
        silent(box, box.dir / "none", "no configuration", status=EX_CONFIG)
        silent(box, good, "a bad option", args=["-x"], status=EX_CONFIG)
        silent(box, good, "an option without its value", args=["-o"], status=EX_CONFIG)
        silent(box, good, "an argument", args=["x"], status=EX_CONFIG)
        silent(box, good, "a bad -o", args=["-o", "nonsense"], status=EX_CONFIG)
        silent(box, good, "-h", args=["-h"], kinds=SOCKETS)
        silent(box, good, "-V", args=["-V"], kinds=SOCKETS)
        silent(box, good, "-t", args=["-t"], kinds=SOCKETS)
        silent(
            box, box.dir / "bad.conf", "-t of a broken configuration", args=["-t"], status=EX_CONFIG, kinds=SOCKETS
        )
        for fds in ("unix", "unix-inetd", "pipe", "pipe-all"):
            handler = box.start(good, fds=fds, env={"TCPREMOTEIP": "nonsense"})
            equal((handler.wait(), handler.received()), (EX_CONFIG, b""), f"G7: bad TCPREMOTEIP, {fds}")
        (box.state_dir / "default").touch()
        silent(box, good, "unusable state", status=EX_OSERR)
        equal(box.starts(), [], "G7: nothing has run")


def bad_actions():
    with Sandbox() as box:
        for name, words, status in (
            ("a crash", ["signal=11"], 128 + signal.SIGSEGV),
            ("a failure", ["say=failed", "exit=1"], 1),
            ("an action that talks and closes", ["say=hello", "close", "sleep=1"], 0),
            ("an action that leaves a daemon", ["say=hello", "daemon=60000"], 0),
        ):
            silent(box, box.config(FREE + f"action {box.recorder(*words)}\n"), name, status=status)
        silent(box, box.config(FREE + "action /no/such/program\n"), "a missing program", status=127)
        script = box.dir / "script"
        script.write_text("#!/bin/sh\necho hello\necho hello >&2\n(echo hello >&0) 2>/dev/null\nls /no/such\nexit 3\n")
        script.chmod(0o755)
        silent(box, box.config(FREE + f"action {script}\n"), "a script", status=3)


def two_sockets():
    """A wrapper may hand over one socket or pipe to read from and another one to write to."""
    with Sandbox() as box:
        good = box.config(FREE + f"action {box.recorder('say=hello')}\n")
        bad = box.config("nonsense\n", "bad.conf")
        for first in ("unix", "pipe", "tcp"):
            for name, conf, args in (
                ("the line", good, []),
                ("-h", good, ["-h"]),
                ("-V", good, ["-V"]),
                ("a bad option", good, ["-x"]),
                ("-t", bad, ["-t"]),
                ("a broken configuration", bad, []),
            ):
                if first != "tcp" and name in ("-h", "-V", "-t"):
                    continue  # there is no connection: somebody asks
                for numbers in ((1,), (1, 2)):
                    if first == "tcp":
                        # A second internet connection.
                        answer, theirs = box.connection()
                    else:
                        answer, theirs = socket.socketpair(socket.AF_UNIX)
                    with answer:
                        with theirs:
                            both = {number: theirs.fileno() for number in numbers}
                            handler = box.start(conf, data=LINE, fds=first, args=args, descriptors=both)
                        handler.wait()
                        answer.settimeout(nmtest.PATIENCE)
                        equal(answer.recv(100), b"", f"G7: {name}: {first} on 0, a socket on {numbers}")
                        equal(handler.received(), b"", f"G7: {name}: {first} on 0, with a socket on {numbers}")


# ---- The action's world ----


def facts_of(box, name):
    """What the recorder wrote: a list of values for each key, and /proc/self/status."""
    facts, status = {}, {}
    for line in (box.out / name).read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == "status":
            field, _, value = value.partition(":")
            status[field] = value.split()
        else:
            facts.setdefault(key, []).append(value)
    return facts, status


def environment():
    noise = {
        "PATH": "/nowhere",
        "HOME": "/nowhere",
        "LD_PRELOAD": "/nowhere.so",
        "IFS": "x",
        "TCPREMOTEHOST": "evil.example",
        "REMOTE_ADDR": "192.0.2.66",
        "NMNOTIFY_ACCOUNT": "x",
        "NMNOTIFY_EVIL": "x",
        "LISTEN_FDS": "1",
        "USER": "nobody-else",
        "RUNTIME_DIRECTORY": "/nowhere",
    }
    with Sandbox() as box:

        def base(account, source):
            return {
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": box.home,
                "USER": box.name,
                "LOGNAME": box.name,
                "SHELL": box.shell,
                "NMNOTIFY_ACCOUNT": account,
                "NMNOTIFY_SOURCE": source,
            }

        def got(name):
            lines = facts_of(box, name)[0]["env"]
            found = dict(line.split("=", 1) for line in lines)
            equal(len(lines), len(found), f"env: {name}: no name is there twice")
            return found

        conf = box.config(FREE + f"action {box.recorder('facts=bare')}\n")
        box.connect_and_run(conf, env=noise)
        equal(got("bare"), base("default", "127.0.0.1"), "env: exactly what is documented")
        box.connect_and_run(conf, fds="unix", env={**noise, "TCPREMOTEIP": "2001:DB8:0::1"})
        equal(got("bare"), base("default", "2001:db8::1"), "env: a source in its usual form")
        box.connect_and_run(conf, fds="unix", env={"TCPREMOTEIP": "fe80::1%lo"})
        equal(got("bare")["NMNOTIFY_SOURCE"], "fe80::1%lo", "env: a source with its interface")
        box.connect_and_run(conf, fds="pipe", env={})
        equal(got("bare")["NMNOTIFY_SOURCE"], "local", "env: a local source")

        conf = box.config(
            "interval 0s\nenv A=default B=default C='a b' D= E==\nenv B=later\nenv TZ=UTC\n"
            f"account one\nfrom 127.0.0.1\nenv C=account F=account\nenv F=later HOME=/one PATH=/bin\n"
            f"action {box.recorder('facts=one')}\n"
            f"account two\nfrom any\nenv X=two\naction {box.recorder('facts=two')}\n"
        )
        box.connect_and_run(conf)
        box.connect_and_run(conf, source="127.0.0.2")
        shared = {"A": "default", "B": "later", "C": "a b", "D": "", "E": "=", "TZ": "UTC"}
        equal(
            got("one"),
            {**base("one", "127.0.0.1"), **shared, "C": "account", "F": "later", "HOME": "/one", "PATH": "/bin"},
            "env: an account's own, and the defaults'; the later wins",
        )
        equal(got("two"), {**base("two", "127.0.0.2"), **shared, "X": "two"}, "env: not another account's")


def own_services():
    """In a user's own unit his programs find his services: XDG_RUNTIME_DIR, if it is his."""
    setpriv = shutil.which("setpriv")
    if is_root() and setpriv is None:
        skip("env: XDG_RUNTIME_DIR", "no setpriv(1)")
        return
    with Sandbox() as box:
        become = [setpriv, f"--reuid={box.uid}", f"--regid={box.gid}", "--clear-groups"] if is_root() else []
        (box.state_dir / "default").mkdir(mode=0o700)
        his, open_to_all = box.dir / "his", box.dir / "open"
        for path, mode in ((his, 0o700), (open_to_all, 0o770)):
            path.mkdir()
            path.chmod(mode)
        file = his / "file"
        file.touch()
        if is_root():
            for path in (box.state_dir / "default", his, open_to_all, file):
                os.chown(path, box.uid, box.gid)

        def got(conf, path, prefix=become):
            equal(box.start(conf, data=LINE, env={"XDG_RUNTIME_DIR": str(path)}, prefix=prefix).wait(), 0, f"env: {path}")
            lines = facts_of(box, "facts")[0]["env"]
            return [line.partition("=")[2] for line in lines if line.startswith("XDG_RUNTIME_DIR=")]

        conf = box.config(FREE + f"action {box.recorder('facts=facts')}\n")
        equal(got(conf, his), [str(his)], "env: XDG_RUNTIME_DIR that is the user's")
        for path, name in (
            (open_to_all, "that others may write to"),
            (file, "that is a file"),
            (box.dir / "none", "that is not there"),
            ("his", "that is no absolute path"),
            ("", "that is empty"),
            *([("/", "that is root's")] if is_root() else []),
            (f"{his}/{'/' * 300}", "that is too long"),
        ):
            equal(got(conf, path), [], f"env: not an XDG_RUNTIME_DIR {name}")
        if is_root():
            equal(got(conf, his, ()), [], "env: not an XDG_RUNTIME_DIR that root's super-server has")
        said = box.config(FREE + f"env XDG_RUNTIME_DIR=/said\naction {box.recorder('facts=facts')}\n")
        equal(got(said, his), ["/said"], "env: what the configuration says of XDG_RUNTIME_DIR")

        if not shutil.which("dbus-daemon") or not shutil.which("dbus-send"):
            skip("env: an action asks the user's bus", "no D-Bus")
            return
        bus = subprocess.Popen(
            [*become, "dbus-daemon", "--session", f"--address=unix:path={his}/bus", "--nofork", "--nopidfile"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        ok(until((his / "bus").exists), "env: a bus of the user")
        ask = "/usr/bin/dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId"
        asks = box.config(FREE + f"action {ask}\n")
        env = {"XDG_RUNTIME_DIR": str(his)}
        equal(box.start(asks, data=LINE, env=env, prefix=become).wait(), 0, "env: an action asks the user's bus")
        ok(box.start(asks, data=LINE, env={}, prefix=become).wait() != 0, "env: which it would not find without")
        bus.terminate()
        bus.wait()


def descriptors():
    with Sandbox() as box, ExitStack() as stack:
        conf = box.config(FREE + f"action {box.recorder('facts=facts')}\n")
        more = {n: stack.enter_context(socket.socket()).fileno() for n in (3, 4, 7, 100, 500)}
        where = {
            "tcp": str(box.log_path),
            "unix": str(box.log_path),
            "pipe": str(box.log_path),
            "tty": str(box.log_path),
            "inetd": "/dev/null",
            "unix-inetd": "/dev/null",
            "pipe-all": "/dev/null",
        }
        for fds, output in where.items():
            handler = box.start(conf, data=LINE, fds=fds, descriptors=more)
            equal(handler.wait(), 0, f"G7: descriptors of the action, {fds}: it runs")
            equal(
                facts_of(box, "facts")[0]["fd"],
                ["0 /dev/null", f"1 {output}", f"2 {output}"],
                f"G7: descriptors of the action, {fds}: its own three",
            )
        handler = box.start(conf, data=LINE, descriptors={1: None, 2: None})
        equal(handler.wait(), 0, "G7: descriptors 1 and 2 closed: it runs")
        equal(
            facts_of(box, "facts")[0]["fd"],
            ["0 /dev/null", "1 /dev/null", "2 /dev/null"],
            "G7: descriptors 1 and 2 closed: /dev/null",
        )


def output_goes_to_the_log():
    with Sandbox() as box:
        conf = box.config(FREE + f"action {box.recorder('say=hello')}\n")
        box.connect_and_run(conf)
        equal(box.log_path.read_text().count("hello"), 2, "log: the action's output goes where the log goes")
        reader, writer = os.pipe()
        handler = box.start(conf, data=LINE, descriptors={2: writer})
        os.close(writer)
        handler.wait()
        with os.fdopen(reader, "rb") as f:
            text = f.read()
        # What the action says and what is said of it come in no order, and the run before may still be ending.
        equal((text.count(b"hello"), text.count(b"verdict=")), (2, 1), "log: a pipe on 2 is a log")


def process():
    with Sandbox() as box:
        words = ["facts=facts", "exit=7"]
        conf = box.config(FREE + f"action {box.recorder(*words)}\n")
        ignored = [signal.SIGPIPE, signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]
        blocked = [signal.SIGCHLD, signal.SIGTERM, signal.SIGALRM, signal.SIGHUP, signal.SIGRTMIN, signal.SIGBUS]
        handler = box.start(conf, data=LINE, ignore=ignored, block=blocked)
        equal(handler.wait(), 7, "status: a super-server that ignores and blocks signals: the action's")
        facts, status = facts_of(box, "facts")
        for field, name in (("SigIgn", "ignored"), ("SigBlk", "blocked"), ("SigCgt", "caught")):
            equal(int(status[field][0], 16), 0, f"G7: no signal is {name} in the action")
        pid = facts["pid"]
        equal((facts["sid"], facts["pgid"]), (pid, pid), "G7: the action leads a session and a group")
        equal(facts["ppid"], [str(handler.pid)], "G7: its parent is the supervisor")
        ids = [str(box.uid)] * 4, [str(box.gid)] * 4
        equal((status["Uid"], status["Gid"]), ids, "G7: the action's user and group, all four of each")
        for caps in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            equal(int(status[caps][0], 16), 0, f"G7: the action has no capability: {caps}")
        equal((status["NoNewPrivs"], status["Seccomp"]), (["1"], ["2"]), "G7: the action is confined")
        home = box.home if os.path.isdir(box.home) and os.access(box.home, os.X_OK) else "/"
        equal(facts["cwd"], [home], "G7: the action starts in its home, or in /")

        waits = box.start(
            box.config(FREE + f"action {box.recorder('sleep=60000')}\n"), data=LINE, ignore=ignored, block=blocked
        )
        box.wait_starts(2)
        waits.kill(signal.SIGTERM)
        equal(waits.wait(), 143, "status: SIGTERM to a supervisor that was started with it ignored and blocked")
        if not is_root():
            skip("G7: groups", "not root")
            return
        other = box.other
        groups = {other.pw_gid} | {g.gr_gid for g in grp.getgrall() if other.pw_name in g.gr_mem}
        os.chown(box.out, other.pw_uid, -1)
        for path in box.out.iterdir():
            os.chown(path, other.pw_uid, -1)
        conf = box.config(FREE + f"user {other.pw_name}\naccount other\naction {box.recorder('facts=other')}\n")
        before = os.getgroups()
        os.setgroups([0, 4, 27])
        try:
            box.connect_and_run(conf)
        finally:
            os.setgroups(before)
        facts, status = facts_of(box, "other")
        equal({int(g) for g in facts["group"]}, groups, "G7: the action has its user's groups, not the super-server's")
        home = other.pw_dir if os.path.isdir(other.pw_dir) else "/"
        equal(facts["cwd"], [home], "G7: the action starts in the home that there is")
        equal(status["Uid"], [str(other.pw_uid)] * 4, "G7: the account's user")


def capabilities():
    """A super-server may leave some to an ordinary user; the action gets none."""
    setpriv = shutil.which("setpriv")
    if not is_root() or setpriv is None:
        skip("G7: capabilities that a super-server leaves", "not root, or no setpriv(1)")
        return
    with Sandbox() as box:
        conf = box.config(FREE + f"action {box.recorder('facts=facts')}\n")
        (box.state_dir / "default").mkdir(mode=0o700)
        os.chown(box.state_dir / "default", box.uid, box.gid)
        become = [setpriv, f"--reuid={box.uid}", f"--regid={box.gid}", "--clear-groups"]
        become += ["--inh-caps=+chown,+kill", "--ambient-caps=+chown,+kill"]
        equal(box.start(conf, data=LINE, prefix=become).wait(), 0, "G7: an ordinary user's handler runs")
        _, status = facts_of(box, "facts")
        equal(status["Uid"], [str(box.uid)] * 4, "G7: as the ordinary user")
        for caps in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            equal(int(status[caps][0], 16), 0, f"G7: no capability is left to the action: {caps}")


def guards():
    """What an action can ask before it fetches, under policy mail and with a bounding set without CAP_NET_RAW (13),
    as in the units: as nmnotify(8) says."""
    tools = [shutil.which(name) for name in ("ping", "setcap", "bash")]
    if not is_root() or None in tools:
        skip("guards of an action", "not root, or no ping(8), setcap(8) or bash(1)")
        return
    ping, setcap, bash = tools
    alone = (
        "import ctypes, fcntl, os, socket, struct, sys; libc = ctypes.CDLL(None); libc.unshare(0x40000000); "
        "s = socket.socket(); fcntl.ioctl(s, 0x8914, struct.pack('16sh14x', b'lo', 0x41)); "
        "open('/proc/sys/net/ipv4/ping_group_range', 'w').write(sys.argv[1]); "
        "libc.prctl(24, 13, 0, 0, 0); os.execv(sys.argv[2], sys.argv[2:])"
    )
    with Sandbox() as box:
        plain, capable = box.dir / "ping", box.dir / "capable"
        for path in (plain, capable):
            shutil.copyfile(ping, path)
            path.chmod(0o755)
        subprocess.run([setcap, "cap_net_raw+ep", capable], check=True)

        def ends(action, group_range="0 2147483647"):
            conf = box.config(FREE + f"action {action}\n")
            return box.start(conf, data=LINE, prefix=[sys.executable, "-c", alone, group_range]).wait()

        equal(ends(f"{capable} -c1 -W1 127.0.0.1"), 126, "guards: ping with a file capability, as Debian's: 126")
        equal(ends(f"{plain} -c1 -W1 127.0.0.1"), 0, "guards: a copy of ping, where every group may have such sockets")
        ok(ends(f"{plain} -c1 -W1 127.0.0.1", "1 0") not in (0, 126), "guards: and where none may")
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            asks = f"{bash} -c '</dev/tcp/127.0.0.1/{port}'"
            conf = box.config(FREE + f"action {asks}\n")
            equal(box.start(conf, data=LINE).wait(), 0, "guards: bash asks a port that answers")
        conf = box.config(FREE + f"action {asks}\n")
        ok(box.start(conf, data=LINE).wait() != 0, "guards: bash asks a port that does not")


def borrowed_ids():
    """A super-server that gave up only some ids, or a set-user-ID program: the action could have them back."""
    if not nmtest.private_mounts():
        skip("G7: ids of two users", "no mount namespace of our own: not root, or not allowed")
        return
    # Where errors are counted: what the environment says is not believed then.
    nmtest.tempfile.tempdir = "/var/tmp"  # since /tmp gets another one over it
    nmtest.mount_tmpfs("/run", "mode=755")
    nmtest.mount_tmpfs("/tmp", "mode=1777")
    try:
        check_borrowed_ids()
    finally:
        nmtest.unmount("/tmp")
        nmtest.unmount("/run")
        nmtest.tempfile.tempdir = None


def check_borrowed_ids():
    become = "import os, sys; ids = eval(sys.argv[1]); os.setresgid(*ids[3:]); os.setresuid(*ids[:3]); "
    become += "os.execv(sys.argv[2], sys.argv[2:])"
    with Sandbox() as box:
        conf = box.config(FREE + f"log stderr\naction {box.recorder()}\n")
        u, g = box.uid, box.gid
        for name, ids in (
            ("the real user is root", (0, u, u, g, g, g)),
            ("the effective user is root", (u, 0, 0, 0, 0, 0)),
            ("the real group is root's", (u, u, u, 0, g, g)),
            ("the effective group is root's", (u, u, u, g, 0, 0)),
            ("the real user is another", (box.other.pw_uid, u, u, g, g, g)),
        ):
            for program in ("nmnotify", "nmnotifyd"):
                said = len(box.log())
                box.forget_log_limits()
                prefix = [sys.executable, "-c", become, repr(ids)]
                handler = box.start(conf, data=LINE, prefix=prefix, program=program)
                equal(handler.wait(), EX_OSERR, f"G7: {program}: {name}: status 71")
                got = [line.partition(": ")[2] for line in box.log()[said:]]
                wanted = f"started as user {ids[0]} for user {ids[1]}, group {ids[3]} for group {ids[4]}: both must be the same"
                equal(got, [f'verdict=error reason="{wanted}"'], f"log: {program}: {name}")
        equal(box.starts(), [], "G7: with ids of two users nothing runs")
        (box.state_dir / "default").mkdir(mode=0o700)
        os.chown(box.state_dir / "default", u, g)
        ids = (u, u, u, g, g, g)
        handler = box.start(conf, data=LINE, prefix=[sys.executable, "-c", become, repr(ids)])
        equal(handler.wait(), 0, "G7: one user's ids: it runs")


nmtest.run(
    verdicts,
    troubles,
    bad_actions,
    two_sockets,
    environment,
    own_services,
    descriptors,
    output_goes_to_the_log,
    process,
    capabilities,
    guards,
    borrowed_ids,
)
