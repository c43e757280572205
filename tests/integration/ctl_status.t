#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyctl status says what is so, whatever the state is like, and changes nothing of it."""

import fcntl
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

sys.dont_write_bytecode = True
import nmtest
from ctl import CTL, NO_RELAY, Answers, account, ctl, status
from nmtest import LINE, Sandbox, State, equal, is_root, ok, skip, until
from nmnotifyd import FREE, Service
from relay import QUICK, Machine, Relay
from state import limits

EX_USAGE, EX_UNAVAILABLE, EX_NOPERM, EX_CONFIG = 64, 69, 77, 78
# Longer than the test.
LONG = "1h"


def never():
    """Before the first line."""
    with Sandbox() as box:
        conf = box.config(f"account one\nfrom any\naction {box.recorder()}\n")
        equal(account(conf, "one"), {"account": "one", "state": "none"}, "status: no state: none yet")
        ok("one: no state yet" in ctl(conf, "status")[1], "status: no state: said plainly")
        equal(list(box.state_dir.iterdir()), [], "status: no state: none is made")
        box.state_dir.rmdir()
        equal(account(conf, "one")["state"], "none", "status: no base: none yet")
        ok(not box.state_dir.exists(), "status: no base: none is made")


def life():
    """From a run to the next one."""
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 10/s burst 5\ninterval {LONG}\naction {box.recorder('until=go')}\n")
        before = time.time()
        handler = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "status: it runs")
        until(lambda: box.state().action and not box.state().owed)
        was = account(conf)
        ok(before - 1 <= was["last_start"] <= time.time() + 1, "status: runs: when it was started")
        equal(was["starts"], 1, "status: runs: starts")
        equal(was["verdicts"]["accepted"], 1, "status: runs: verdicts")
        ok(was["is_running"] and was["run"]["process"] == box.runs()[0].pid, "status: runs: its process")
        equal(was["run"]["command"], "recorder", "status: runs: its name")
        ok(0 <= was["run"]["seconds"] <= time.time() - before + 1, "status: runs: for how long")
        equal((was["waiter"], was["next_start"], was["debts"]), (False, None, []), "status: runs: nothing is owed")

        waiter = box.start(conf, data=LINE)
        ok(until(box.has_waiter), "status: it waits")
        until(lambda: box.state().deferred)
        was = account(conf)
        equal((was["waiter"], was["debts"]), (True, []), "status: waits: who")
        equal(was["next_start"]["why"], "run", "status: waits: for the run")
        ok(3000 < was["next_start"]["seconds"] <= 3601, "status: waits: not before the interval is over")

        (box.out / "go").touch()
        handler.wait()
        until(lambda: account(conf)["next_start"]["why"] == "interval")
        was = account(conf)
        equal((was["is_running"], was["run"]), (False, None), "status: has run: who waits is no run")
        equal(was["next_start"]["why"], "interval", "status: has run: it waits for the interval")
        when = was["last_start"] + 3600
        ok(abs(was["next_start"]["time"] - when) < 1, "status: has run: until when")

        waiter.kill()
        waiter.wait()
        was = account(conf)
        equal((was["waiter"], was["debts"]), (False, ["due"]), "status: the waiter has died: a debt")
        equal(was["next_start"]["why"], "debt", "status: the waiter has died: the next line pays")
        box.state().poke("owed", 1)
        box.state().poke("asked", 1)
        equal(account(conf)["debts"], ["due", "owed", "asked"], "status: all debts")


def ends():
    """How the last run ended."""
    with Sandbox() as box:
        conf = box.config("from any\nlimit 10/s burst 5\ninterval 0s\naction /bin/sh -c 'exit 3'\n")
        for count in (1, 2):
            before = time.time()
            box.connect_and_run(conf)
            was = account(conf)
            last = was["last_run"]
            equal((last["status"], last["failures_in_a_row"], was["failed"]), (3, count, count), f"status: failed {count} times")
            ok(before - 2 <= last["ended"] <= time.time() + 2, "status: failed: when")
        ok("status 3, 2 failed in a row" in ctl(conf, "status")[1], "status: failed: for people")
        conf = box.config("from any\nlimit 10/s burst 5\ninterval 0s\naction /bin/sh -c 'kill -9 $$'\n")
        box.connect_and_run(conf)
        equal(account(conf)["last_run"]["status"], 128 + 9, "status: killed: by which signal")
        conf = box.config("from any\nlimit 10/s burst 5\ninterval 0s\naction /bin/true\n")
        box.connect_and_run(conf)
        was = account(conf)
        equal((was["last_run"]["failures_in_a_row"], was["failed"]), (0, 3), "status: it works again")


def retries():
    """A run that is tried again is none that is owed by the dead."""
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 10/s burst 5\ninterval 0s\nretry {LONG}\naction /bin/false\n")
        handler = box.start(conf, data=LINE)
        ok(until(lambda: (account(conf).get("next_start") or {}).get("why") == "retry"), "status: retry: it is to come")
        was = account(conf)
        ok(3000 < was["next_start"]["seconds"] <= 3601, "status: retry: when")
        equal((was["waiter"], was["debts"]), (False, []), "status: retry: nobody waits, nothing is a debt")
        ok(re.search(r"in \d+ min: retry", ctl(conf, "status")[1]), "status: retry: for people")
        handler.kill()
        handler.wait()
        was = account(conf)
        equal((was["next_start"]["why"], was["debts"]), ("debt", ["due"]), "status: retry: who slept for it has died: a debt")


def retries_of_nmnotifyd():
    """There nobody sleeps for it: its runner looks, as long as it lives."""
    reasons = lambda: dict(re.findall(r'(?m)^nmnotify_next_start_reason{account="default",reason="(\w+)"} (\d)$', ctl(conf, "status", "--metrics")[1]))
    with Sandbox() as box:
        conf = box.config(f"{FREE}from any\ninterval 0s\nretry {LONG}\naction /bin/false\n")
        with Service(box, conf) as service:
            service.send()
            ok(until(lambda: (account(conf).get("next_start") or {}).get("why") == "retry"), "status: nmnotifyd's retry: it is to come")
            was = account(conf)
            ok(3000 < was["next_start"]["seconds"] <= 3601, "status: nmnotifyd's retry: when")
            ok(abs(was["next_start"]["time"] - time.time() - was["next_start"]["seconds"]) < 60, "status: nmnotifyd's retry: by the clock")
            equal((was["waiter"], was["debts"], was["last_run"]["failures_in_a_row"]), (False, [], 1), "status: nmnotifyd's retry: no debt")
            ok(re.search(r"in \d+ min: retry", ctl(conf, "status")[1]), "status: nmnotifyd's retry: for people")
            metrics = ctl(conf, "status", "--metrics")[1]
            ok(re.search(r'(?m)^nmnotify_next_start_timestamp_seconds{account="default"} \d+\.\d{3}$', metrics), "metrics: nmnotifyd's retry: when")
            equal(reasons(), {"now": "0", "limit": "0", "interval": "0", "run": "0", "retry": "1", "debt": "0"}, "metrics: nmnotifyd's retry: why")
            ok('nmnotify_debt{account="default",debt="due"} 0\n' in metrics, "metrics: nmnotifyd's retry: no debt")
            for pid in [*service.children(), service.pid]:
                nmtest.kill(pid)
            service.wait()
            was = account(conf)
            equal((was["next_start"]["why"], was["debts"]), ("debt", ["due"]), "status: nmnotifyd's retry: it has died: a debt")
            equal(reasons()["debt"], "1", "metrics: nmnotifyd's retry: it has died")


def source_limit():
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 1/{LONG} burst 2\ninterval 0s\naction {box.recorder()}\n")
        for count in (1, 2):
            box.connect_and_run(conf)
            was = account(conf)["limit"]
            equal((was["used"], was["fullest"], was["burst"]), (3, count, 2), f"status: limit: {count} of 2")
            equal(was["full"], 3 if count == 2 else 0, f"status: limit: {count} of 2: is it full?")
        waiter = box.start(conf, data=LINE)
        ok(until(box.has_waiter), "status: limit: it waits")
        until(lambda: box.state().due)
        equal(account(conf)["next_start"]["why"], "limit", "status: limit: that is why")
        waiter.kill()
        waiter.wait()


def changes_nothing():
    """Who looks neither takes a lock nor writes a byte."""
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 10/s burst 5\ninterval 0s\naction {box.recorder('until=go')}\n")
        handler = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "status: changes nothing: it runs")
        until(lambda: not box.state().owed)
        files = [p for p in box.state_dir.rglob("*") if p.is_file()]
        before = [(p.read_bytes(), p.stat().st_mtime_ns) for p in files]
        for args in ([], ["--json"], ["--metrics"]):
            equal(ctl(conf, "status", *args)[0], 0, f"status: changes nothing: {args}")
        equal([(p.read_bytes(), p.stat().st_mtime_ns) for p in files], before, "status: changes no byte of the state")
        (box.out / "go").touch()
        equal(handler.wait(), 0, "status: changes nothing: the run ends well")
        equal(box.connect_and_run(conf), 0, "status: changes nothing: the next one, too")


def damaged():
    """G6: every bit pattern means something, and it is printed."""
    rng = random.Random(4146)
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 3/60s burst 5\naction {box.recorder()}\n")
        box.connect_and_run(conf)
        turn = limits(box).with_name("turn")
        patterns = [bytes(State.SIZE), b"\xff" * State.SIZE, b"\x80" * State.SIZE]
        patterns += [rng.randbytes(State.SIZE) for _ in range(20)]
        bad = []
        for pattern in patterns:
            limits(box).write_bytes(pattern)
            turn.write_bytes(pattern[4:8])
            for args in ([], ["--json"], ["--metrics"], ["--openmetrics"]):
                code, out, err = ctl(conf, "status", *args)
                if (code, err) != (0, "") or not out:
                    bad.append((pattern[:16], args, code, err))
            was = account(conf)
            if was["is_running"] or was["waiter"] or not 0 <= was["limit"]["used"] <= was["limit"]["cells"]:
                bad.append((pattern[:16], was))
        equal(bad, [], f"G6: status: {len(patterns)} damaged states are shown")

        limits(box).write_bytes(bytes(State.SIZE))
        turn.write_bytes(bytes(4))
        for word in (0, nmtest.boottime_ms() + 60000):
            box.state().poke("last_start", word)
            equal(account(conf)["last_start"], None, f"G6: status: a last start at {word} is none")
        for name, content in (("empty", b""), ("one byte short", bytes(State.SIZE - 1))):
            limits(box).write_bytes(content)
            code, out, _ = ctl(conf, "status")
            ok(code == EX_NOPERM and "too short" in out, f"G6: status: a state that is {name}: said")
        limits(box).unlink()
        os.mkfifo(limits(box))
        code, out, _ = ctl(conf, "status")
        ok(code == EX_NOPERM and "not a regular file" in out, "G6: status: a fifo in its place: said")
        limits(box).unlink()
        limits(box).symlink_to("/dev/zero")
        code, out, _ = ctl(conf, "status")
        ok(code == EX_NOPERM and "not a regular file" in out, "G6: status: a link in its place: said")


def clock_set_back():
    """A machine without a clock of its own begins in 1970; so may one whose battery is empty."""
    with Sandbox() as box:
        conf = box.config("from any\naction /bin/true\n")
        box.connect_and_run(conf)
        # Then the start was before 1970.
        time.sleep(1.5)
        ahead = box.dir / "ahead"
        ahead.write_bytes(struct.pack("q", -int(time.time())))
        was = account(conf, env={"LD_PRELOAD": str(nmtest.BUILD / "tests" / "wall_clock.so"), "WALL_CLOCK": str(ahead)})
        times = [was["last_start"], was["last_run"]["ended"]]
        ok(all(abs(one) < 86400 for one in times), "status: the clock was set back: times are some of then") or nmtest.diag(times)


def users():
    """Each user sees his own account, root all; the rest is said."""
    if not is_root():
        skip("status: of several users", "not root")
        return
    with Sandbox() as box:
        text = f"limit 10/s burst 5\nfrom any\naction /bin/true\naccount one\nto 127.0.0.1\nuser {box.name}\naccount two\nuser {box.other.pw_name}\n"
        conf = box.config(text)
        program = box.bring(CTL)
        box.connect_and_run(conf)
        shutil.copytree(box.state_dir / "one", box.state_dir / "two", dirs_exist_ok=True)
        for path in (box.state_dir / "two", *(box.state_dir / "two").iterdir()):
            os.chown(path, box.other.pw_uid, -1)
        (box.state_dir / "two").chmod(0o700)
        seen = {one["account"]: one["state"] for one in status(conf)["listener"]["accounts"]}
        equal(seen, {"one": "read", "two": "read"}, "status: root sees all")
        seen = {one["account"]: one for one in status(conf, user=box.uid, program=program)["listener"]["accounts"]}
        equal((seen["one"]["state"], seen["two"]["state"]), ("read", "unreadable"), "status: a user sees his own")
        ok("Permission denied" in seen["two"]["error"], "status: and that he may not see another's")
        code, out, err = ctl(conf, "status", "two", user=box.uid, program=program)
        ok(code == EX_NOPERM and "Permission denied" in out, "status: asked for another's alone: a status of its own")


def mistakes():
    with Sandbox() as box:
        conf = box.config("from any\naction /bin/true\n")
        for args in (["nobody"], ["default", "default"], ["--nonsense"], ["--watch=0"], ["--watch=x"], ["--watch"], ["--watch", "--json"]):
            code, out, err = ctl(conf, "status", *args)
            ok(code == EX_USAGE and not out and err, f"status: {args}: refused")
        conf = box.config("nonsense\n", "bad.conf")
        equal(ctl(conf, "status")[0], EX_CONFIG, "status: a configuration that is wrong: refused")
        with open("/dev/full", "w") as full:
            conf = box.config("from any\naction /bin/true\n")
            code = subprocess.run([CTL, "-f", conf, "status"], stdout=full, stderr=subprocess.PIPE).returncode
            equal(code, 74, "status: what cannot be written is no success")


# ---- On a terminal ----


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, conf, *args, env=None, rows=24):
        self.fd, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 120, 0, 0))
        env = {"PATH": "/usr/bin:/bin", "TERM": "xterm", **(env or {})}
        # A shell's job in the background ignores SIGINT, and what it starts.
        words = ["/usr/bin/env", "--default-signal=INT", CTL, "-f", conf, "-s", NO_RELAY, *args]
        self.process = subprocess.Popen(words, stdin=other, stdout=other, stderr=other, env=env)
        os.close(other)
        self.said = b""

    def read(self, is_enough=lambda said: False):
        """Until that holds of it, or the end."""
        while not is_enough(self.said):
            if not select.select([self.fd], [], [], nmtest.PATIENCE)[0]:
                break
            try:
                got = os.read(self.fd, 65536)
            except OSError:
                got = b""
            if not got:
                break
            self.said += got
        return self.said

    def end(self, number=None):
        if number:
            self.process.send_signal(number)
        try:
            return self.process.wait(nmtest.PATIENCE)
        finally:
            os.close(self.fd)


def colours():
    with Sandbox() as box:
        conf = box.config("from any\naction /bin/true\n")
        box.connect_and_run(conf)
        for env, wanted in (({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)):
            terminal = Terminal(conf, "status", env=env)
            said = terminal.read()
            equal((terminal.end(), b"\x1b[1mACCOUNT\x1b[0m" in said), (0, wanted), f"status: colours on a terminal: {env}")
            equal(b"\x1b" in said, wanted, f"status: escapes on a terminal: {env}")
        ok("\x1b" not in ctl(conf, "status")[1], "status: no colours in a pipe")


def frames(terminal, count=2):
    """What is drawn, each time, behind what clears the screen."""
    ends = b"\x1b[J"
    first, *drawn = terminal.read(lambda said: said.count(ends) > count).split(ends)
    return first, drawn[:count]


def watched():
    with Sandbox() as box:
        conf = box.config("from any\nlimit 10/s burst 5\naction /bin/true\n")
        box.connect_and_run(conf)
        for number in (signal.SIGINT, signal.SIGTERM):
            terminal = Terminal(conf, "status", "--watch=1")
            first, drawn = frames(terminal)
            equal(first, b"\x1b[H", "status: watched: the screen is cleared once")
            ok(all(frame.startswith(b"\x1b[H") for frame in drawn), "status: watched: it is redrawn in place")
            ok(all(b"accepted" in frame for frame in drawn), "status: watched: all of it")
            ok(all(line.endswith(b"\x1b[K") for frame in drawn for line in frame.split(b"\r\n")[:-1]), "status: watched: line by line")
            equal(terminal.end(number), -number, "status: watched: a signal ends it")
        terminal = Terminal(conf, "status", "--watch=1", rows=3)
        equal([frame.count(b"\n") for frame in frames(terminal)[1]], [2, 2], "status: watched: as many lines as there is room for")
        terminal.end(signal.SIGINT)


def hostile_name():
    """What an action calls itself."""
    with Sandbox() as box:
        script = box.dir / "action"
        script.write_text("#!/bin/bash\nprintf 'a\\033[2J) S 1\\377b' >/proc/self/comm\nwhile [ ! -e $1 ]; do sleep 0.1; done\n")
        script.chmod(0o755)
        conf = box.config(f"from any\nlimit 10/s burst 5\ninterval 0s\nconfine none\naction {script} {box.out}/go\n")
        handler = box.start(conf, data=LINE)
        wanted = r"a\x1b[2J) S 1\xffb"
        got = until(lambda: (account(conf).get("run") or {}).get("command") == wanted)
        ok(got, "status: what an action calls itself is escaped") or nmtest.diag(account(conf))
        ok(f"{wanted} (" in ctl(conf, "status")[1], "status: and so for people")
        (box.out / "go").touch()
        handler.wait()


def relay():
    """What the relay says is there word by word, and for people."""
    with Machine() as machine, Sandbox() as box, Relay("user * none\n") as relay:
        conf = box.config("from any\naction /bin/true\n")
        relay.kill()
        relay.configure(f"status {relay.dir}/status\n{QUICK}user alice {machine}\nuser bob 127.0.0.8:1\n")
        relay.start()
        path = relay.dir / "status"
        relay.tell("mail alice")
        relay.tell("mail bob")
        ok(until(lambda: status(conf, relay=path)["relay"]["unreachable"]["total"] == 1), "status: relay: it is asked")
        ok(until(lambda: status(conf, relay=path)["relay"]["counts"]["told"] == 1), "status: relay: its counts")
        said = ctl(conf, "status", relay=path)[1]
        ok(re.search(r"(?m)^127\.0\.0\.8 port 1 tcp  .* s  +\d+  .*  Connection refused$", said), "status: relay: who is unreachable")
        ok(re.search(r"(?m)^lmdb:\S+ +there ", said), "status: relay: the store")
        ok(re.search(r"(?m)^1 users, 1 destinations ", said), "status: relay: what is owed")
        metrics = ctl(conf, "status", "--metrics", relay=path)[1]
        ok("\nnmnotify_relay_told_total 1\n" in metrics and "\nnmnotify_relay_up 1\n" in metrics, "status: relay: metrics")
        equal(status(conf, "default", relay=path)["relay"], None, "status: relay: not where one account is asked for")
        if is_root():
            code, said, _ = ctl(conf, "status", relay=path, user=box.other.pw_uid, program=box.bring(CTL))
            ok("only root may ask the relay" in said, "status: relay: somebody else may not ask, and is told")
        else:
            skip("status: relay: somebody else may not ask", "not root")


def relay_absent():
    with Sandbox() as box:
        conf = box.config("from any\naction /bin/true\n")
        code, out, err = ctl(conf, "status")
        equal((code, err, "Relay" in out), (0, "", False), "status: no relay: the listener alone")
        path = box.dir / "dead"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        equal(status(conf, relay=path)["relay"], {"error": f"{path}: Connection refused; run `systemctl restart nmnotify-relay.socket`, and see `journalctl -t nmnotify-relay`"}, "status: a relay that is dead: said")
        got = subprocess.run([CTL, "-s", box.dir / "none", "status"], capture_output=True, text=True)
        if not os.path.exists("/etc/nmnotify.conf"):
            ok(got.returncode == EX_UNAVAILABLE and "neither" in got.stderr, "status: neither listener nor relay: said")
            with Answers(box.dir, b'{"format": 1}\n') as one:
                got = subprocess.run([CTL, "-s", one.path, "status"], capture_output=True, text=True)
                ok(got.returncode == 0 and "Listener: none here" in got.stdout, "status: a relay alone is shown")


def relay_hostile():
    """Whatever comes from the socket: an end, and nothing that a terminal obeys."""
    with Sandbox() as box:
        conf = box.config("from any\naction /bin/true\n")
        bad = json.dumps(
            {
                "unreachable": {"list": [{"name": "\x1b]0;x\a\n", "reason": "\x9b2J"}]},
                "stores": [{"name": '\n"\\\x1b', "away": True, "users": None}],
            }
        )
        for name, answer, error in (
            ("no JSON", b"hello\n", "no JSON object"),
            ("a list", b"[1]\n", "no JSON object"),
            ("nothing", b"", "no JSON object"),
            ("no end", b" " * (1 << 21), "Message too long"),
            ("its error", b'{"error": "later\\u001b"}\n', "the relay says: later\\x1b"),
            ("wrong types", b'{"unreachable": [], "stores": {}, "owed": 3, "counts": "x", "sockets": null}', None),
            ("a terminal's words", bad.encode(), None),
        ):
            with Answers(box.dir, answer) as one:
                relay = status(conf, relay=one.path)["relay"]
                equal(one.asked, [b"status\n"], f"status: relay says {name}: it is asked once")
                ok(relay.get("error") is None if error is None else error in relay["error"], f"status: relay says {name}: and so it is")
                for args in ([], ["--metrics"]):
                    code, out, err = ctl(conf, "status", *args, relay=one.path)
                    ok(code == 0 and not err and not re.search(r"[^\n -~]", out), f"status: relay says {name}: {args}: printable")
        with Answers(box.dir, bad.encode()) as one:
            metrics = ctl(conf, "status", "--metrics", relay=one.path)[1]
            ok(r'{store="\n\"\\\\x1b"} 1' in metrics, "metrics: labels are escaped")
        with Answers(box.dir, None) as one:
            began = time.monotonic()
            error = status(conf, relay=one.path)["relay"]["error"]
            ok("no answer" in error and time.monotonic() - began >= 9, "status: a relay that is silent: not waited for for long")


nmtest.run(
    never,
    life,
    ends,
    retries,
    retries_of_nmnotifyd,
    source_limit,
    changes_nothing,
    damaged,
    clock_set_back,
    users,
    mistakes,
    colours,
    watched,
    hostile_name,
    relay,
    relay_absent,
    relay_hostile,
)
