#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The draining service without systemd: what it is handed, what it takes, and what it survives. The
guarantees are those of the handler (turn.t, line.t), which shares its accounts."""

import ctypes
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import front
import nmtest
from front import NMNOTIFYD, listener
from nmtest import BUILD, EX_CONFIG, LINE, PATIENCE, PROJECT, Sandbox, boottime_ms, diag, equal, is_alive, is_root, ok, skip, until

INETD = PROJECT / "build" / "packages" / "openbsd-inetd/usr/sbin/inetd"
FREE = "limit 1000/s burst 10000\n"
# src/daemon/network.h
CONNECTIONS_MAX = 1024
# src/daemon/share.h: struct request is ten words and a source, of six words.
REQUEST_BYTES = 4 * (10 + 6)


def word_after(a, b):
    return (b - a) & 0xFFFFFFFF


def check_runs(box, interval_ms, name):
    """G2 of all runs so far."""
    runs = box.runs()
    ok(all(r.overlap == 0 for r in runs), f"G2: {name}: no run while another goes on")
    gaps = [word_after(a.last_start, b.last_start) for a, b in zip(runs, runs[1:])]
    if not ok(all(gap >= interval_ms for gap in gaps), f"G2: {name}: starts are an interval apart"):
        diag(f"gaps: {gaps} ms")


# ---- A service ----


class Service(front.Service):
    """... that is asked how it ended, and what came back."""

    def start(self):
        self.status = None
        super().start()

    def others(self):
        return self.children()[1:]

    def is_running(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    def wait(self, timeout=PATIENCE):
        until(lambda: not self.is_running(), timeout)
        return self.status

    def end(self):
        """As systemd does it: asks, and then kills what is left, which dies with the runner."""
        if self.is_running():
            left = self.children()
            os.kill(self.pid, signal.SIGTERM)
            if self.wait(15) is None:
                os.kill(self.pid, signal.SIGKILL)
                self.wait()
                for pid in left:
                    nmtest.kill(pid)

    # -- The other end --

    def address(self, index=0):
        return self.sockets[index].getsockname()[:2]

    def connect(self, source="127.0.0.1", index=0, to=None):
        listening = self.sockets[index]
        client = socket.socket(socket.AF_INET6 if ":" in (to or self.address(index)[0]) else socket.AF_INET)
        client.settimeout(PATIENCE)
        if client.family == socket.AF_INET:
            client.bind((source, 0))
        client.connect((to or self.address(index)[0], self.address(index)[1]))
        return client

    def send(self, data=LINE, source="127.0.0.1", index=0, to=None):
        """Sends, and waits for the end of the connection. What came back."""
        with self.connect(source, index, to) as client:
            try:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                return client.recv(100)
            except OSError:
                return b""  # closed unread

    def send_datagram(self, data=LINE, source="127.0.0.1", index=0, to=None):
        to = to or self.address(index)[0]
        with socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM) as client:
            if client.family == socket.AF_INET:
                client.bind((source, 0))
            client.sendto(data, (to, self.address(index)[1]))


def is_gone(client, timeout=0.0):
    """Has the other end closed?"""
    client.settimeout(timeout or 0.001)
    try:
        return client.recv(1) == b""
    except (TimeoutError, BlockingIOError):
        return False
    except OSError:
        return True


def counted(box, wanted, account="default"):
    """Waits until these verdicts were counted; what was counted."""
    state = box.state(account)
    until(lambda: state.path.exists() and state.counts() == wanted, 5)
    return state.counts()


# ---- What it takes ----


def every_socket():
    with Sandbox() as box:
        # IPv6 has one loopback address only.
        networks = {"tcp4": "127.0.0.1", "udp4": "127.0.0.2", "tcp6": "::1"}
        text = FREE + "interval 0s\n"
        for account, network in networks.items():
            action = box.recorder(account=account, out=box.out / account)
            text += f"account {account}\nfrom {network}\naction {action}\n"
            (box.out / account).mkdir()
            if box.user:
                os.chown(box.out / account, box.uid, box.gid)
        sockets = [listener("tcp"), listener("tcp", "::1"), listener("udp"), listener("udp", "::1")]
        with Service(box, box.config(text), sockets) as service:
            equal(service.send(index=0), b"", "G7: silence")
            ok(box.wait_starts(1, out=box.out / "tcp4"), "four sockets: TCP, IPv4")
            service.send(index=1)
            ok(box.wait_starts(1, out=box.out / "tcp6"), "four sockets: TCP, IPv6")
            service.send_datagram(source="127.0.0.2", index=2)
            ok(box.wait_starts(1, out=box.out / "udp4"), "four sockets: UDP, IPv4")
            service.send_datagram(index=3)
            ok(box.wait_starts(2, out=box.out / "tcp6"), "four sockets: UDP, IPv6")
            service.send(source="127.0.0.9")
            denied = nmtest.State(box.state_dir / ".denied")
            ok(until(lambda: denied.denied == 1), "a source without an account is denied")
            os.kill(service.pid, signal.SIGTERM)
            equal(service.wait(), 0, "SIGTERM ends it well")


def local_addresses():
    """`to`, which a datagram's ancillary data tells; IPv4 on a socket of both families."""
    with Sandbox() as box:
        text = FREE + "interval 0s\nfrom any\n"
        for account, to in (("one", "127.0.0.1"), ("two", "127.0.0.2")):
            (box.out / account).mkdir()
            if box.user:
                os.chown(box.out / account, box.uid, box.gid)
            text += f"account {account}\nto {to}\naction {box.recorder(account=account, out=box.out / account)}\n"
        sockets = [listener("tcp", "::"), listener("udp", "::"), listener("udp", "0.0.0.0")]
        with Service(box, box.config(text), sockets) as service:
            for count, (kind, index) in enumerate((("tcp", 0), ("udp", 1), ("udp", 2)), 1):
                for account, to in (("one", "127.0.0.1"), ("two", "127.0.0.2")):
                    (service.send if kind == "tcp" else service.send_datagram)(index=index, to=to)
                    ok(box.wait_starts(count, out=box.out / account), f"to: {kind}, socket {index}: {to}")


def lines():
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 1h\nread-timeout 1s\naction {box.recorder()}\n")
        with Service(box, conf, [listener()]) as service:
            client = service.connect()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in LINE:
                client.sendall(bytes([byte]))
                time.sleep(0.01)
            ok(is_gone(client, 5), "a line in 15 pieces: the connection is closed")
            ok(box.wait_starts(1), "a line in 15 pieces: the action runs")
            bad = (b"nm_notifyuser\n", b"nm_notifyuse\r\n", b"\r\n", b"nm_notifyuser\r\nx", b"x" * 5000, b"", b"nm_notify")
            for data in bad:
                service.send(data)
            wanted = {"accepted": 1, "malformed": len(bad)}
            equal(counted(box, wanted), wanted, "what is not the line is malformed")
            client = service.connect()
            client.sendall(LINE[:-1])
            begun = time.monotonic()
            ok(is_gone(client, 10), "read-timeout: half a line is given up")
            ok(0.9 < time.monotonic() - begun < 3, "read-timeout: after that time")
            wanted["timeout"] = 1
            equal(counted(box, wanted), wanted, "read-timeout: the verdict")
            client = service.connect()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(LINE[:4])
            client.close()
            wanted["malformed"] += 1
            equal(counted(box, wanted), wanted, "a reset is the end of what was sent")


def datagrams():
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 1h\naction {box.recorder()}\n")
        with Service(box, conf, [listener("udp")]) as service:
            bad = (b"", b"nm_notifyuser\n", LINE + b"\n", LINE + LINE, b"x" * 16, b"x" * 60000, LINE[:-1])
            for data in bad:
                service.send_datagram(data)
            equal(counted(box, {"malformed": len(bad)}), {"malformed": len(bad)}, "datagrams that are not the line")
            service.send_datagram()
            ok(box.wait_starts(1), "a datagram that is")
            service.send_datagram()
            ok(until(box.has_waiter), "a second one waits")
            # A batch while the process stands still: it finds all of them at once.
            network = service.network()
            os.kill(network, signal.SIGSTOP)
            for _ in range(100):
                service.send_datagram()
            os.kill(network, signal.SIGCONT)
            wanted = {"accepted": 1, "deferred": 1, "coalesced": 100, "malformed": len(bad)}
            equal(counted(box, wanted), wanted, "a batch: every datagram is counted once")
            ok(len(service.others()) == 1, "G4: one waiter")


def descriptors_by_datagram():
    """A Unix socket's datagrams can bring descriptors (unix(7)). None stays, whoever sends them."""
    with Sandbox() as box:
        conf = box.config(FREE + f"from local 127.0.0.1\ninterval 0s\naction {box.recorder()}\n")
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        unix.bind(str(box.dir / "datagrams"))
        with Service(box, conf, [listener(), unix]) as service:
            count = lambda: len(os.listdir(f"/proc/{service.network()}/fd"))
            before = count()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.connect(str(box.dir / "datagrams"))
                for _ in range(100):
                    socket.send_fds(client, [b"x"], [client.fileno()] * 8)
            counted(box, {"malformed": 100})
            equal(count(), before, "800 descriptors by Unix datagrams: none stays")
            service.send()
            ok(box.wait_starts(1), "and a line starts the action")


def wrong_sockets():
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\naction {box.recorder()}\n")
        a, b = socket.socketpair()
        with Service(box, conf, [a], inetd=True) as service:
            equal(service.wait(), nmtest.EX_CONFIG, "a connection instead of a listening socket: 78")
        b.close()
        with Service(box, conf, [socket.socket(socket.AF_INET, socket.SOCK_STREAM)]) as service:
            equal(service.wait(), nmtest.EX_CONFIG, "a socket that does not listen: 78")
        pipe, end = os.pipe()
        with Service(box, conf, [os.fdopen(pipe), os.fdopen(end, "w")]) as service:
            equal(service.wait(), nmtest.EX_CONFIG, "no socket at all: 78")
        ok("descriptor 3 (nmnotify) is no socket" in box.messages()[-1], "by its name")
        ok(not box.runs(), "nothing has run")


# ---- Confinement ----


# ---- The configuration ----


def passes_variables():
    """`pass` takes them from the service's own environment, and no other comes through."""
    with Sandbox() as box:
        action = f"action {box.recorder('facts=facts')}\n"
        conf = box.config(FREE + f"from any\ninterval 0s\npass GNUPGHOME A UNSET\nenv A=env\naccount a\n{action}")
        starter = {"GNUPGHOME": "/g", "A": "starter", "SECRET": "s", "LISTEN_FDNAMES": "nmnotify"}
        with Service(box, conf, environment=starter) as service:
            service.send()
            ok(box.wait_ends(1), "pass: a run")
        facts = [f for f in (box.out / "facts").read_text().splitlines() if f.startswith("env ")]
        ok("env GNUPGHOME=/g" in facts, "pass: what it names reaches the action")
        ok("env A=env" in facts and "env A=starter" not in facts, "pass: env stands over it")
        others = [f for f in facts if re.match("env (UNSET|SECRET|LISTEN_|NOTIFY_)", f)]
        equal(others, [], "pass: what it does not name does not")


def mistakes_are_said_once():
    """One line in the log, in the words of -t; and nothing is served."""
    with Sandbox() as box:
        good = f"from any\naction {box.recorder()}\n"
        missing = box.dir / "missing.conf"
        for name, conf in (
            ("a word", box.config(good + "nonsense\n", "word.conf")),
            ("several words", box.config("interval x\n" + good + "nonsense\ntimeout 'y\n", "words.conf")),
            ("an account without an action", box.config("from any\n", "lacks.conf")),
            ("no file", missing),
        ):
            checked = subprocess.run([NMNOTIFYD, "-t", "-f", conf], capture_output=True, text=True, env={})
            said = checked.stderr.splitlines()
            ok(checked.returncode == EX_CONFIG and said, f"mistake: {name}: -t says it")
            box.log_path.write_text("")
            box.forget_log_limits()
            with Service(box, conf) as service:
                equal(service.wait(), EX_CONFIG, f"mistake: {name}: status {EX_CONFIG}")
                pid = service.pid
            equal(box.log(), [f'nmnotifyd[{pid}]: verdict=error reason="{said[0]}"'], f"mistake: {name}: one line, in the words of -t")


def rests_where_its_start_fails():
    """systemd would start it again each second. Without systemd's sockets, see wrong_sockets(): it ends at once."""
    with Sandbox() as box:
        action = f"action {box.recorder()}\n"
        for name, status, conf in (
            ("a mistake", EX_CONFIG, box.config("nonsense\n", "mistake.conf")),
            ("no state", nmtest.EX_OSERR, box.config(f"state /dev/null\nfrom any\n{action}", "state.conf")),
        ):
            with Service(box, conf, environment={"NOTIFY_SOCKET": "/nowhere"}) as service:
                ok(until(lambda: box.log()), f"{name}: the log has it at once")
                ok(service.is_running(), f"{name}: it rests")
                begun = time.monotonic()
                os.kill(service.pid, signal.SIGTERM)
                equal(service.wait(), -signal.SIGTERM, f"{name}: until it is asked to end")
                ok(time.monotonic() - begun < 5, f"{name}: and no longer")
            box.log_path.write_text("")
            begun = time.monotonic()
            with Service(box, conf, environment={"NOTIFY_SOCKET": "/nowhere"}) as service:
                equal(service.wait(), status, f"{name}: status {status}")
                ok(time.monotonic() - begun >= 9.5, f"{name}: after ten seconds")
            box.log_path.write_text("")
        conf = box.config(FREE + f"from any\ninterval 0s\n{action}", "good.conf")
        with Service(box, conf, environment={"NOTIFY_SOCKET": "/nowhere"}) as service:
            os.kill(service.network(), signal.SIGKILL)
            equal(service.wait(5), nmtest.EX_OSERR, "one that has served does not")


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def confinement():
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 1h\naction {box.recorder()}\n")
        with Service(box, conf, [listener(), listener("udp")]) as service:
            service.send()
            box.wait_ends(1)
            service.send()
            until(box.has_waiter)
            network = service.network()
            status = status_of(network)
            equal(status["Seccomp"].strip(), "2", "network process: filtered")
            equal(status["NoNewPrivs"].strip(), "1", "network process: no new privileges")
            for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
                equal(int(status[kind], 16), 0, f"network process: {kind} is empty")
            if is_root():
                ok("0" not in status["Uid"].split() + status["Gid"].split(), "network process: not root")
                equal(status["Groups"].split().count("0"), 0, "network process: not in root's group")
            equal(status_of(service.others()[0])["Seccomp"].strip(), "2", "waiter: filtered")
            if not is_root():
                skip("the processes' descriptors", "only root may look at them")
                return
            fds = {int(fd): os.readlink(f"/proc/{network}/fd/{fd}") for fd in os.listdir(f"/proc/{network}/fd")}
            equal([fds.get(fd) for fd in range(3)], ["/dev/null"] * 3, "network process: 0 to 2 lead nowhere")
            kinds = sorted("turn" if v.endswith("/turn") else v.split(":")[0] for k, v in fds.items() if k > 2)
            # The pair's end, two listening sockets, the account's turn file, the poll set.
            equal(kinds, ["anon_inode", "socket", "socket", "socket", "turn"], "network process: its descriptors")
            runner = [os.readlink(f"/proc/{service.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{service.pid}/fd")]
            mine = {f"socket:[{os.fstat(s.fileno()).st_ino}]" for s in service.sockets}
            equal(mine, mine & set(runner), "runner: the listening sockets, to hand them over")
            theirs = {link for link in runner if link.startswith("socket:")} - mine
            ok(len(theirs) <= 2, "runner: no connection; the pair, and the log's socket")
            waiter = service.others()[0]
            own = {os.readlink(f"/proc/{waiter}/fd/{fd}") for fd in os.listdir(f"/proc/{waiter}/fd")}
            equal(mine & own, set(), "waiter: no socket of the network")


def stray_descriptors():
    """What was open when it was started, and is not one of its sockets, nobody gets."""
    with Sandbox() as box:
        secret = box.dir / "secret"
        secret.write_text("secret")
        secret.chmod(0o600)
        conf = box.config(f"{FREE}from any\ninterval 0s\naction {box.recorder('sleep=60000')}\n")
        for inetd in (False, True):
            name = "inetd" if inetd else "systemd"
            before = len(box.starts())
            with Service(box, conf, inetd=inetd, stray=secret) as service:
                service.send()
                ok(box.wait_starts(before + 1), f"a descriptor that was left open, {name}: the action starts")
                pids = {**dict(zip(("runner", "network process", "supervisor"), [service.pid, *service.children()])),
                        "action": box.pids("action")[-1]}
                for whose, pid in pids.items() if is_root() else [("action", pids["action"])]:
                    fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
                    ok(str(secret) not in fds, f"a descriptor that was left open, {name}: not the {whose}'s")


# ---- Sharing with handlers ----


def shared():
    """Lines by both ways at once, from several sources: one turn, one limit."""
    interval_ms, seconds = 500, 6
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 60/m burst 2\ninterval {interval_ms}ms\naction {box.recorder('sleep=50')}\n")
        with Service(box, conf, [listener(), listener("udp")]) as service:
            begun = boottime_ms()
            handlers = []
            while boottime_ms() - begun < seconds * 1000:
                last = boottime_ms()
                source = random.choice(("127.0.0.1", "127.0.0.2"))
                way = random.randrange(3)
                if way == 0:
                    handlers.append(box.start(conf, source=source, data=LINE, end=True))
                else:
                    (service.send if way == 1 else service.send_datagram)(source=source, index=way - 1)
                time.sleep(random.random() * 0.02)
            ok(until(lambda: box.runs() and box.runs()[-1].start / 1e6 >= last, 10), "G1: shared: the last line is followed by a start")
            until(lambda: not box.has_waiter() and not box.is_in_run(), 10)
            took = (boottime_ms() - begun) / 1000
            check_runs(box, interval_ms, "shared")
            # G3: two sources, each burst + t/T.
            most = 2 * (2 + took / 1)
            ok(len(box.runs()) <= most, f"G3: shared: {len(box.runs())} starts of two sources, at most {most:.0f}")
            counts = box.state().counts()
            equal(counts.get("error", 0), 0, "shared: no error")
            ok(all(h.wait() == 0 for h in handlers), "shared: handlers end well")
            diag(f"shared: {len(handlers)} handlers, {counts}")


def covers_each_other():
    """A waiter of one covers a line of the other."""
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 3s\naction {box.recorder()}\n")
        with Service(box, conf, [listener()]) as service:
            service.send()
            box.wait_ends(1)
            handler = box.start(conf, data=LINE, end=True)
            until(box.has_waiter)
            service.send()
            service.send()
            ok(box.wait_starts(2), "a handler waits: its start comes")
            box.wait_ends(2)
            equal(handler.wait(), 0, "a handler waits: and it ends well")
            service.send()
            until(box.has_waiter)
            equal(box.connect_and_run(conf), 0, "the service waits: a handler is covered")
            ok(box.wait_starts(3), "the service waits: its start comes")
            until(lambda: not box.is_in_run(), 5)
            time.sleep(0.3)
            equal(len(box.runs()), 3, "three starts in all")
            counts = box.state().counts()
            equal(counts, {"accepted": 1, "deferred": 2, "coalesced": 3}, "every line is counted")
            check_runs(box, 3000, "covered")


# ---- What it survives ----


def killed_waiter():
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 3s\naction {box.recorder('until=go')}\n")
        with Service(box, conf, [listener()]) as service:
            (box.out / "go").touch()
            service.send()
            box.wait_ends(1)
            (box.out / "go").unlink()
            service.send()
            until(box.has_waiter)
            waiter = service.others()[0]
            os.kill(waiter, signal.SIGKILL)
            another = lambda: box.has_waiter() and service.others()[:1] not in ([], [waiter])
            ok(until(another, 3), "G5: a waiter is killed: the runner takes the debt over at once")
            ok(box.wait_starts(2), "G5: a waiter is killed: its start comes")
            supervisor = (until(service.others) or [None])[0]
            action = box.runs()[-1].pid
            os.kill(supervisor, signal.SIGKILL)
            ok(until(lambda: not is_alive(action)), "G5: a supervisor is killed: its action dies")
            service.send()
            ok(box.wait_starts(3), "G5: a supervisor is killed: the next line's start comes")
            (box.out / "go").touch()
            box.wait_ends(2)
            check_runs(box, 3000, "killed")


def killed_service(which):
    """The runner or the network process, while one waits; then all that is left, as systemd does."""
    name = ("the runner", "the network process")[which]
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 2s\naction {box.recorder()}\n")
        with Service(box, conf, [listener()]) as service:
            service.send()
            box.wait_ends(1)
            service.send()
            until(box.has_waiter)
            network, waiter = service.network(), service.others()[0]
            os.kill((service.pid, network)[which], signal.SIGKILL)
            equal(service.wait(), -9 if which == 0 else nmtest.EX_OSERR, f"G5: {name} is killed: the runner's end")
            ok(until(lambda: not is_alive(network)), f"G5: {name} is killed: the network process ends")
            nmtest.kill(waiter)
            until(lambda: not is_alive(waiter), 5)
            ok(box.state().due != 0, f"G5: {name} is killed: the debt is in the state")
            service.start()
            ok(box.wait_starts(2), f"G5: {name} is killed: restarted, it pays without being asked")
            service.send()
            ok(box.wait_starts(3), f"G5: {name} is killed: a line works")
            check_runs(box, 2000, f"{name} is killed")


def killed_runner():
    killed_service(0)


def killed_network():
    killed_service(1)


def has_started(box, since):
    """Since then; also an action that was killed before it could write that down."""
    state = box.state()
    is_executed = state.due == 0 and state.owed == 0 and word_after(since & 0xFFFFFFFF, state.last_start) < 1 << 31
    return is_executed or (box.starts() and box.starts()[-1] / 1e6 >= since)


def killed_at_random():
    """SIGKILL of one of its processes at some moment after a line was counted. As a super-server does
    it, what is dead is started again."""
    rounds, interval_ms = 25, 200
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    chance = random.Random(seed)
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval {interval_ms}ms\naction {box.recorder('sleep=20')}\n")
        with Service(box, conf, [listener()]) as service:
            lost = []
            for number in range(rounds):
                service.network()
                before = sum(box.state().counts().values()) if box.state().path.exists() else 0
                arrived = boottime_ms()
                service.send()
                if not until(lambda: sum(box.state().counts().values()) > before, 10):
                    lost.append((number, "not counted"))
                    continue
                time.sleep(chance.random() * 0.3)
                victims = [service.pid, *service.children()]
                victim = chance.choice(victims)
                nmtest.kill(victim)
                if victim in victims[:2]:
                    until(lambda: not service.is_running(), 10)
                    service.start()
                if not until(lambda: has_started(box, arrived), 10):
                    state = box.state()
                    locks = (box.has_waiter(), box.is_in_run())
                    lost.append((number, victims.index(victim), state.due, state.owed, state.action, *locks))
            if not ok(not lost, f"G5: SIGKILL {rounds} times: no line is lost"):
                diag(f"lost: {lost}; SEED={seed}")
            until(lambda: not box.is_in_run() and not box.has_waiter(), 10)
            check_runs(box, interval_ms, "SIGKILL")


def stopped():
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 1h\naction {box.recorder()}\n")
        with Service(box, conf, [listener()]) as service:
            service.send()
            box.wait_ends(1)
            service.send()
            until(box.has_waiter)
            processes = [service.pid, *service.children()]
            begun = time.monotonic()
            os.kill(service.pid, signal.SIGTERM)
            equal(service.wait(), 0, "SIGTERM: it ends well")
            ok(time.monotonic() - begun < 10, "SIGTERM: at once")
            ok(until(lambda: not any(is_alive(p) for p in processes)), "SIGTERM: with all of its processes")
            ok(box.state().due != 0, "SIGTERM: what a waiter owed stays in the state")
        conf = box.config(FREE + f"from any\ninterval 0s\naction {box.recorder('ignore-term', 'sleep=30000')}\n")
        with Service(box, conf, [listener()]) as service:
            ok(box.wait_starts(2), "started again, it pays")
            begun = time.monotonic()
            os.kill(service.pid, signal.SIGTERM)
            equal(service.wait(), 0, "SIGTERM during a run: it ends well")
            took = time.monotonic() - begun
            ok(4 < took < 20, f"SIGTERM during a run: the action is killed after 5 s ({took:.1f})")
            ok(not is_alive(box.runs()[-1].pid), "SIGTERM during a run: it is gone")


def idle():
    with Sandbox() as box:
        conf = box.config("idle 1s\n" + FREE + f"from any\ninterval 0s\nread-timeout 15s\naction {box.recorder('sleep=2000')}\n")
        with Service(box, conf, [listener()]) as service:
            begun = time.monotonic()
            service.send()
            ok(box.wait_starts(1), "idle: a line")
            ok(box.wait_ends(1), "idle: it does not end while an action runs")
            equal(service.wait(), 0, "idle: then it ends well")
            ok(1.9 < time.monotonic() - begun < 15, "idle: after that time")
            service.start()
            service.network()
            client = service.connect()
            client.sendall(b"n")
            time.sleep(2)
            ok(service.is_running(), "idle: a connection that may yet say its line keeps it")
            client.close()
            equal(service.wait(), 0, "idle: until it does not")


def silent_connections():
    count = 1000
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 0s\nread-timeout 60s\naction {box.recorder()}\n")
        with Service(box, conf, [listener()]) as service:
            clients = [service.connect() for _ in range(count)]
            for client in clients[::2]:
                client.sendall(b"nm_")
            begun = boottime_ms()
            service.send(source="127.0.0.2")
            box.wait_starts(1)
            late = box.starts()[0] / 1e6 - begun
            ok(late < 5000, f"{count} silent connections: a line starts its action after {late:.0f} ms")
            # One more than there is room for drops the oldest, which has said nothing.
            more = [service.connect() for _ in range(CONNECTIONS_MAX - count + 10)]
            dropped = lambda: [i for i, c in enumerate(clients[:50]) if is_gone(c)]
            until(lambda: len(dropped()) >= 10, 10)
            gone = dropped()
            equal(gone, list(range(10)), "a full table: the oldest are dropped, and no others")
            ok(not any(is_gone(c) for c in more), "a full table: the newest are not")
            clients[20].sendall(b"notifyuser\r\n")
            ok(box.wait_starts(2), "a full table: one that goes on in time is served")
            ok(not [c for c in box.state().counts() if c == "error"], "a full table: no error")
            for client in clients + more:
                client.close()


def silent_flood_is_forgotten():
    """After the clients are gone nothing of them is left."""
    if not is_root():
        skip("300 connections are gone: so are their descriptors", "only root may look at them")
        return
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 0s\nread-timeout 60s\naction {box.recorder()}\n")
        with Service(box, conf, [listener()]) as service:
            before = len(os.listdir(f"/proc/{service.network()}/fd"))
            clients = [service.connect() for _ in range(300)]
            for client in clients:
                client.sendall(b"x")
            until(lambda: len(os.listdir(f"/proc/{service.network()}/fd")) >= before + 300, 5)
            for client in clients:
                client.close()
            count = lambda: len(os.listdir(f"/proc/{service.network()}/fd"))
            until(lambda: count() == before, 5)
            equal(count(), before, "300 connections are gone: so are their descriptors")


# ---- A network process that has been taken over ----


def end_of_pair(network):
    """A copy of the network process's end of the pair: what an intruder would have."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(network)
    try:
        fd = libc.syscall(438, pidfd, 3, 0)  # pidfd_getfd
        if fd < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        return socket.socket(fileno=fd)
    finally:
        os.close(pidfd)


def put(pair, data):
    while True:
        try:
            pair.send(data, socket.MSG_DONTWAIT)
            return
        except BlockingIOError:
            time.sleep(0.001)


def rubbish():
    interval_ms = 1000
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    chance = random.Random(seed)
    if not is_root():
        skip("a network process that has been taken over", "only root may be it")
        return
    with Sandbox() as box:
        conf = box.config(FREE + f"from 127.0.0.1\ninterval {interval_ms}ms\naction {box.recorder()}\n")
        with Service(box, conf, [listener()]) as service:
            try:
                pair = end_of_pair(service.network())
            except OSError as e:
                skip("rubbish from the network process", f"pidfd_getfd: {e}")
                return
            size = REQUEST_BYTES
            for _ in range(2000):
                put(pair, chance.randbytes(chance.choice((0, 1, 4, size - 1, size, size, size, size + 4, 300))) or b"\0")
            # Almost right: every kind, with words that are out of range in turn.
            for exact in (size - 4, size, size + 4):
                for _ in range(500):
                    words = [chance.choice((0, 1, 2, 3, 64, 255, 1 << 31, (1 << 32) - 1)) for _ in range(exact // 4)]
                    words[0] = chance.randrange(4)
                    put(pair, struct.pack(f"={len(words)}I", *words))
            service.send()
            ok(box.wait_starts(1), "rubbish: a line works")
            ok(service.is_running() and len(service.children()) <= 520, "rubbish: processes are bounded")
            until(lambda: len(service.others()) <= 1, 10)
            ok(len(service.others()) <= 1, "rubbish: and gone again")
            time.sleep(2 * interval_ms / 1000)
            check_runs(box, interval_ms, "rubbish")
            errors = [line for line in box.messages() if "rubbish" in line]
            ok(len(errors) <= 50, f"rubbish: the log does not grow with it ({len(errors)} lines)")
            if not ok(service.is_running(), "rubbish: the runner has outlived it"):
                diag(f"SEED={seed}")
            pair.close()


# ---- Who starts it ----


def socket_activate():
    program = shutil.which("systemd-socket-activate")
    if not program:
        skip("systemd-socket-activate", "there is none here")
        return
    for kind, flag in (("tcp", []), ("udp", ["-d"])):
        with Sandbox() as box:
            conf = box.config("idle 1s\n" + FREE + f"from any\ninterval 0s\naction {box.recorder()}\n")
            taken = [listener(kind), listener(kind, "::1")]
            ports = [s.getsockname()[1] for s in taken]
            for s in taken:
                s.close()
            addresses = [f"127.0.0.1:{ports[0]}", f"[::1]:{ports[1]}"]
            words = [program, *flag, *(w for a in addresses for w in ("-l", a)), str(NMNOTIFYD), "-f", str(conf)]
            with open(box.log_path, "ab") as log:
                process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                until(lambda: b"Listening" in box.log_path.read_bytes().split(b"\n", 1)[0] and
                      box.log_path.read_bytes().count(b"Listening") == 2, 10)
                for number, (host, port) in enumerate((("127.0.0.1", ports[0]), ("::1", ports[1])), 1):
                    family = socket.AF_INET6 if ":" in host else socket.AF_INET
                    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as client:
                        client.connect((host, port))
                        client.sendall(LINE)
                        ok(box.wait_starts(number), f"systemd-socket-activate: {kind}, {host}")
                process.wait(PATIENCE)
                equal(process.returncode, 0, f"systemd-socket-activate: {kind}: it ends when it is idle")
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()


def inetd_hands_over():
    """As inetd's `wait` does: the socket on 0, 1 and 2."""
    for kind in ("tcp", "udp"):
        with Sandbox() as box:
            # Standard error is the network: nothing may be written there.
            conf = box.config("log syslog\n" + FREE + f"from any\ninterval 0s\naction {box.recorder('say=hello')}\n")
            with Service(box, conf, [listener(kind)], inetd=True) as service:
                if kind == "tcp":
                    equal(service.send(), b"", f"inetd: {kind}: G7: silence")
                else:
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                        client.settimeout(1)
                        client.sendto(LINE, service.address())
                        try:
                            got = client.recv(100)
                        except TimeoutError:
                            got = b""
                        equal(got, b"", f"inetd: {kind}: G7: silence")
                ok(box.wait_starts(1), f"inetd: {kind}: the line runs the action")


def openbsd_inetd():
    if not is_root() or not INETD.exists():
        skip("openbsd-inetd", "it takes root" if INETD.exists() else "tests/packages has not unpacked it")
        return
    with Sandbox() as box:
        conf = box.config("log syslog\nidle 1s\n" + FREE + f"from any\ninterval 0s\naction {box.recorder()}\n")
        ports = {}
        for kind in ("tcp", "udp"):
            with listener(kind) as s:
                ports[kind] = s.getsockname()[1]
        entries = "".join(
            f"127.0.0.1:{ports[kind]} {'stream' if kind == 'tcp' else 'dgram'} {kind}4 wait root {NMNOTIFYD} nmnotifyd -f {conf}\n"
            for kind in ports
        )
        (box.dir / "inetd.conf").write_text(entries)
        with open(box.log_path, "ab") as log:
            inetd = subprocess.Popen([INETD, "-i", str(box.dir / "inetd.conf")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            def send(kind):
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as c:
                    c.settimeout(PATIENCE)
                    if kind == "tcp":
                        until(lambda: c.connect_ex(("127.0.0.1", ports[kind])) == 0, 10)
                    else:
                        c.connect(("127.0.0.1", ports[kind]))
                    try:
                        c.sendall(LINE)
                        return c.recv(10) if kind == "tcp" else b""
                    except OSError:
                        return b""

            def services():
                path = f"/proc/{inetd.pid}/task/{inetd.pid}/children"
                return [pid for pid in map(int, Path(path).read_text().split()) if is_alive(pid)]

            equal(send("tcp"), b"", "openbsd-inetd: G7: silence")
            ok(box.wait_starts(1), "openbsd-inetd: wait, tcp: the line runs the action")
            send("udp")
            ok(box.wait_starts(2), "openbsd-inetd: wait, udp: a datagram runs the action")
            ok(until(lambda: not services(), 10), "openbsd-inetd: idle: both end")
            send("tcp")
            send("udp")
            ok(box.wait_starts(3), "openbsd-inetd: and are started again")
            until(lambda: not services(), 10)
        finally:
            inetd.terminate()
            inetd.wait()


def without_systemd():
    """make SYSTEMD=no"""
    if not shutil.which("make"):
        skip("make SYSTEMD=no", "there is no make here")
        return
    with Sandbox() as box:
        build = box.dir / "build"
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
        words = ["make", "-s", "-j2", "-C", str(PROJECT), f"BUILD={build}", "SYSTEMD=no", f"{build}/nmnotifyd"]
        built = subprocess.run(words, capture_output=True, text=True, env=environment)
        if not equal((built.returncode, built.stderr), (0, ""), "make SYSTEMD=no: it builds"):
            return
        program = build / "nmnotifyd"
        program.chmod(0o755)
        ok(b"libsystemd.so" not in program.read_bytes(), "make SYSTEMD=no: without libsystemd")
        ok(b"/ld-" not in program.read_bytes(), "make SYSTEMD=no: static")
        conf = box.config(FREE + f"from any\ninterval 0s\naction {box.recorder()}\n")
        with Service(box, conf, [listener()], inetd=True, program=program) as service:
            service.send()
            ok(box.wait_starts(1), "make SYSTEMD=no: it serves descriptor 0")


nmtest.run(
    every_socket,
    local_addresses,
    lines,
    datagrams,
    descriptors_by_datagram,
    wrong_sockets,
    passes_variables,
    mistakes_are_said_once,
    rests_where_its_start_fails,
    confinement,
    stray_descriptors,
    shared,
    covers_each_other,
    killed_waiter,
    killed_runner,
    killed_network,
    killed_at_random,
    stopped,
    idle,
    silent_connections,
    silent_flood_is_forgotten,
    rubbish,
    socket_activate,
    inetd_hands_over,
    openbsd_inetd,
    without_systemd,
)
