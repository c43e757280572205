#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyd: what its processes have, and what they say of mistakes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from front import NMNOTIFYD, listener
from nmnotifyd import FREE, Service
from nmtest import EX_CONFIG, Sandbox, equal, is_root, ok, skip, until


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


nmtest.run(
    passes_variables,
    mistakes_are_said_once,
    rests_where_its_start_fails,
    confinement,
    stray_descriptors,
)
