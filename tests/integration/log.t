#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The log: one line a decision, for people and programs; never more than a flood deserves; never
waited for. And exact counters, and exit statuses."""

import fcntl
import os
import re
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from front import Service
from nmtest import EX_CONFIG, EX_OSERR, LINE, Sandbox, State, equal, ok, skip, until
from receiver import Receiver, fields, private_run_and_dev

FREE = "from any\nlimit 1000/s burst 10000\ninterval 0s\nread-timeout 100ms\n"
PLACE = "account=default source=127.0.0.1"
ENDED = r"run=ended account=default source=127\.0\.0\.1 status=%d seconds=\d+\.\d\d"


def lines(box, wanted, name):
    """The whole log, by regular expressions."""
    got = box.messages()
    if not ok(
        len(got) == len(wanted) and all(re.fullmatch(w, g) for w, g in zip(wanted, got)), f"log: {name}"
    ):
        nmtest.diag("\n".join(got))
        nmtest.diag("wanted:\n" + "\n".join(wanted))
    box.log_path.write_text("")
    box.forget_log_limits()


def plain(text):
    return re.escape(text)


def each_verdict():
    with Sandbox() as box:
        conf = box.config(FREE + f"action {box.recorder()}\n")
        handler = box.start(conf, data=LINE)
        handler.wait()
        equal(
            [re.sub(r"\].*", "", l) for l in box.log()],
            [f"nmnotify[{handler.pid}"] * 2,
            "log: the program and its process come first",
        )
        lines(box, [plain(f"verdict=accepted {PLACE}"), ENDED % 0], "accepted, and the end of the run")
        box.connect_and_run(conf, b"x\r\n")
        lines(box, [plain(f"verdict=malformed {PLACE} reason=other-text")], "malformed")
        for data, reason in (
            (LINE[:-2] + b"\n", "bare-lf"),
            (b"", "empty"),
            (LINE[:9], "cut"),
            (LINE + b"x", "text-after"),
            (b" " + LINE, "text-before"),
            (b"a=b \"c\x1b\r\n", "other-text"),
        ):
            box.connect_and_run(conf, data)
            lines(box, [plain(f"verdict=malformed {PLACE} reason={reason}")], f"malformed: {reason}")
        box.start(conf, data=b"nm").wait()
        lines(box, [plain(f"verdict=timeout {PLACE} reason=cut")], "timeout")
        box.start(conf).wait()
        lines(box, [plain(f"verdict=timeout {PLACE} reason=empty")], "timeout, and nothing came")
        conf = box.config(f"interval 0s\naccount a\nfrom 192.0.2.1\naction {box.recorder()}\n")
        box.connect_and_run(conf)
        lines(box, [plain("verdict=denied source=127.0.0.1")], "denied: of no account")
        if nmtest.has_ipv6():
            box.connect_and_run(conf, source="::1", to="::1")
            lines(box, [plain("verdict=denied source=::1")], "denied, IPv6")
        box.connect_and_run(conf, fds="unix", env={})
        lines(box, [plain("verdict=denied source=local")], "denied, local")
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 1000/s burst 10000\ninterval 1s\naction {box.recorder()}\n")
        box.connect_and_run(conf)
        waiter = box.start(conf, data=LINE)
        ok(until(box.has_waiter), "log: a waiter")
        until(lambda: len(box.log()) == 3)
        box.connect_and_run(conf, source="127.0.0.2")
        waiter.wait()
        lines(
            box,
            [
                plain(f"verdict=accepted {PLACE}"),
                ENDED % 0,
                plain(f"verdict=deferred {PLACE}"),
                plain("verdict=coalesced account=default source=127.0.0.2"),
                ENDED % 0,
            ],
            "deferred, coalesced; the run is its waiter's",
        )
        state = box.state()
        equal(state.counts(), {"accepted": 1, "deferred": 1, "coalesced": 1}, "log: counted")
        equal(state.starts, 2, "log: starts are counted")


def no_connection():
    """A unit with Accept=yes, but without StandardInput=socket: the sender is not blamed, nor anybody else."""
    with Sandbox() as box:
        conf = box.config(FREE + f"action {box.recorder()}\n")
        remote = {"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "1024"}
        null = os.open("/dev/null", os.O_RDWR)
        for fds, descriptors, what in (
            ("tcp", {0: null}, "/dev/null or the like"),
            ("tty", None, "a terminal"),
        ):
            handler = box.start(conf, data=LINE, fds=fds, descriptors=descriptors, env=remote)
            equal(handler.wait(), EX_CONFIG, f"status: {what} instead of the connection")
            said = f"descriptor 0 is no connection, but {what}: a unit needs StandardInput=socket"
            lines(box, [plain(f'verdict=error reason="{said}"')], f"{what} instead of the connection")
        os.close(null)


def ends_of_runs():
    with Sandbox() as box:
        for words, status, reason in (
            (["exit=0"], 0, ""),
            (["exit=1"], 1, ""),
            (["exit=77"], 77, ""),
            (["exit=126"], 126, ""),
            (["exit=255"], 255, ""),
            (["signal=11"], 128 + signal.SIGSEGV, ""),
            (["signal=9"], 128 + signal.SIGKILL, ""),
            (["signal=15"], 128 + signal.SIGTERM, ""),
            (["signal=6"], 128 + signal.SIGABRT, ""),
            (["sleep=60000"], 128 + signal.SIGTERM, " reason=timeout"),
            (["helper=5000", "exit=3"], 3, " left=running"),
            (["daemon=5000"], 0, " left=running"),
            (["daemon=5000", "sleep=60000"], 128 + signal.SIGTERM, " reason=timeout left=running"),
            (["helper=50000", "sleep=60000"], 128 + signal.SIGTERM, " reason=timeout"),
            (["helper=20", "daemon=20"], 0, ""),
        ):
            conf = box.config(FREE + f"timeout 200ms\nfailure 1000\naction {box.recorder(*words)}\n")
            equal(box.connect_and_run(conf), status, f"status: {words[0]}")
            lines(
                box,
                [rf"verdict=(accepted|deferred) {plain(PLACE)}", ENDED % status + reason],
                f"the end of a run: {words[0]}",
            )
        conf = box.config(FREE + f"action {box.recorder('sleep=250')}\n")
        box.connect_and_run(conf)
        seconds = re.search(r" seconds=(\d+\.\d\d)$", box.messages()[-1])
        ok(seconds and 0.25 <= float(seconds[1]) < 10, "log: how long a run took")


def no_room():
    """Whatever is wrong with the program, too: that there is no room for a process is what the log says."""
    prlimit = shutil.which("prlimit")
    if prlimit is None:
        skip("log: no room for a process", "no prlimit here")
        return
    with Sandbox() as box:
        for program in ("/no/such", "/bin/true"):
            conf = box.config(FREE + f"action {program}\n")
            handler = box.start(conf, data=LINE, prefix=[prlimit, "--nproc=1"])
            equal(handler.wait(), 126, f"status: no room for a process: {program}")
            said = f'run=failed {PLACE} status=126 reason="{program}: Resource temporarily unavailable"'
            lines(box, [rf"verdict=(accepted|deferred) {plain(PLACE)}", plain(said)], f"no room for a process: {program}")


def detaches():
    """As `fetchmail --daemon 300` does: its first process ends well at once, having fetched nothing yet."""
    with Sandbox() as box:
        script = box.dir / "script"
        conf = box.config(FREE + f"timeout 500ms\naction {script}\n")

        def runs(text, more, name, **how):
            script.write_text("#!/bin/sh\n" + text)
            script.chmod(0o755)
            equal(box.start(conf, data=LINE, **how).wait(), 0, f"status: {name}")
            lines(box, [rf"verdict=(accepted|deferred) {plain(PLACE)}", ENDED % 0 + more], name)

        runs("setsid sh -c 'sleep 3 & exec sleep 3' & exit 0\n", " left=running", "it detaches")
        runs("(setsid sleep 3 &)\nexit 0\n", " left=running", "its child detaches, and ends before it")
        runs("sleep 0.05 &\nexit 0\n", "", "what it leaves behind ends soon")
        runs("for i in 1 2 3; do (sleep 0.01 &); done; sleep 0.2\n", "", "what it leaves behind has ended before")
        wrapper = ["/bin/sh", "-c", 'sleep 3 & exec "$0" "$@"']
        runs("exit 0\n", "", "a wrapper has left a child to the handler before", prefix=wrapper)


def fetchmail_detaches():
    """What its own configuration says, nmnotify.conf(5)'s example overrides."""
    program = shutil.which("fetchmail")
    if program is None:
        skip("log: fetchmail that detaches", "not installed")
        return
    with Sandbox() as box:
        home = box.dir / "home"
        home.mkdir(mode=0o700)
        rc = home / "rc"
        rc.write_text('set daemon 300\npoll 127.0.0.1 port 1 protocol imap user "a" password "b"\n')
        rc.chmod(0o600)
        for path in (home, rc):
            os.chown(path, box.uid, box.gid)
        words = f"{program} --silent -f {rc} --pidfile {home}/pid"
        conf = box.config(FREE + f"env HOME={home}\naction {words}\n")
        equal(box.start(conf, data=LINE).wait(), 0, "status: fetchmail, set daemon: it says that all is well")
        lines(box, [rf"verdict=accepted {plain(PLACE)}", ENDED % 0 + " left=running"], "fetchmail, set daemon")
        daemon = int((home / "pid").read_text().split()[0])
        if Path(f"/proc/{daemon}/comm").read_text().strip() == "fetchmail":
            os.kill(daemon, signal.SIGKILL)
        until(lambda: not nmtest.is_alive(daemon))
        (home / "pid").unlink(missing_ok=True)
        conf = box.config(FREE + f"env HOME={home}\naction {words} --daemon 0\n")
        equal(box.start(conf, data=LINE).wait(), 2, "status: fetchmail --daemon 0: its own, of a server that is not there")
        got = [m for m in box.messages() if m.startswith("run=")]
        ok(len(got) == 1 and re.fullmatch(ENDED % 2, got[0]), "log: fetchmail --daemon 0 stays in the foreground")


def orphans_are_reaped():
    with Sandbox() as box:
        script = box.dir / "script"
        script.write_text("#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9; do (true &); done\ntouch $0.done\nsleep 30\n")
        script.chmod(0o755)
        box.dir.chmod(0o777)
        handler = box.start(box.config(FREE + f"action {script}\n"), data=LINE)
        ok(until((box.dir / "script.done").exists), "G4: an action with many orphans runs")
        one = lambda: len(nmtest.children_of(handler.pid)) == 1  # noqa: E731
        ok(until(one, 5), "G4: of orphans that have ended nothing is left while it runs")
        handler.kill(signal.SIGTERM)
        handler.wait()
        # Orphans that end all the time, faster than anybody could wait for each.
        script.write_text("#!/bin/sh\nwhile :; do (true &); done\n")
        began = time.monotonic()
        handler = box.start(box.config(FREE + f"timeout 300ms\naction {script}\n"), data=LINE)
        equal(handler.wait(), 128 + signal.SIGTERM, "G2: orphans that end all the time do not put off the timeout")
        ok(time.monotonic() - began < 3, "G2: nor the end of the process group")


def escapes():
    """A value cannot end its line, nor pose as another field."""
    with Sandbox() as box:
        for name, written in (
            (b"plain", "plain"),
            (b"two words", "two words"),
            (b"a=b", "a=b"),
            (b'quo"te', "quo\\x22te"),
            (b"back\\slash", "back\\x5cslash"),
            (b"new\nline", "new\\x0aline"),
            (b"\r\t\x1b[31m\x7f", "\\x0d\\x09\\x1b[31m\\x7f"),
            (b"\xc3\xa4\xff", "\\xc3\\xa4\\xff"),
            (b'x" verdict=accepted account="y', "x\\x22 verdict=accepted account=\\x22y"),
        ):
            path = Path(os.fsdecode(os.fsencode(box.dir) + b"/" + name))
            handler = box.start(path, data=LINE, args=["-o", "log stderr"])
            equal(handler.wait(), EX_CONFIG, f"status: a missing file {name!r}")
            lines(
                box,
                [plain(f'verdict=error reason="{box.dir}/{written}: cannot open: No such file or directory"')],
                f"escaped: {name!r}",
            )
        box.forget_log_limits()
        box.start(Path("/" + "\n" * 3000), data=LINE, args=["-o", "log stderr"]).wait()
        got = box.messages()
        ok(len(got) == 1 and re.fullmatch(r'verdict=error reason="?/(\\x0a)+"?', got[0]), "log: a long value is cut")
        ok(len(got[0]) < 1024, "log: a line has a bound")


# ---- Floods ----


def flood(box, conf, count, verdict, state, name, **how):
    """`count` connections of a verdict: lines are limited, counters exact."""
    box.log_path.write_text("")
    before, started = getattr(state(), verdict) if state().path.exists() else 0, time.monotonic()
    handlers = []
    for _ in range(count):
        handlers.append(box.start(conf, **how))
        if len(handlers) >= 20:
            handlers.pop(0).wait()
    for handler in handlers:
        handler.wait()
    # Ten at once, and one more in ten seconds.
    most = 10 + int((time.monotonic() - started) / 10) + 1
    got = [m for m in box.messages() if m.startswith(f"verdict={verdict} ")]
    ok(5 <= len(got) <= most, f"log: {name}: {count} connections, {len(got)} lines")
    equal(getattr(state(), verdict) - before, count, f"log: {name}: the counter is exact")
    told = sum(int(n) for n in re.findall(r"suppressed=(\d+)", "\n".join(got)))
    equal(
        len(got) + told + state().suppressed(verdict), count, f"log: {name}: lines and suppressed ones make {count}"
    )
    return state().suppressed(verdict)


def floods():
    count = 150
    with Sandbox() as box:
        conf = box.config(FREE + f"action {box.recorder()}\n")
        state = box.state
        for verdict, data, reason in (("malformed", b"x\n", "other-text"), ("timeout", b"nm_", "cut")):
            hidden = flood(box, conf, count, verdict, state, verdict, data=data)
            # Time passes.
            state().poke(State.LOG_TAT + nmtest.VERDICTS.index(verdict), 0)
            box.log_path.write_text("")
            box.start(conf, data=data).wait()
            said = plain(f"verdict={verdict} {PLACE} reason={reason} suppressed={hidden}")
            lines(box, [said], f"{verdict}: then it is said how many")
            equal(state().suppressed(verdict), 0, f"log: {verdict}: and counted from nothing again")
            box.start(conf, data=data).wait()
            lines(box, [plain(f"verdict={verdict} {PLACE} reason={reason}")], f"{verdict}: nothing suppressed, nothing said")
        for _ in range(15):
            box.connect_and_run(conf)
        got = [m for m in box.messages() if re.match("verdict=(accepted|deferred) ", m)]
        equal(len(got), 15, "log: what starts the action is always said")

        denied = box.config(f"from 192.0.2.1\naction {box.recorder()}\n", "denied.conf")
        hidden = flood(
            box, denied, count, "denied", lambda: State(box.state_dir / ".denied"), "denied", data=LINE
        )
        State(box.state_dir / ".denied").poke(State.LOG_TAT + nmtest.VERDICTS.index("denied"), 0)
        box.log_path.write_text("")
        box.connect_and_run(denied)
        lines(box, [plain(f"verdict=denied source=127.0.0.1 suppressed={hidden}")], "denied: then it is said how many")
        bad = box.config("nonsense\n", "bad.conf")
        flood(box, bad, count, "error", lambda: State(box.state_dir / ".denied"), "error", data=LINE)
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 1000/s burst 10000\ninterval 60s\naction {box.recorder()}\n")
        box.connect_and_run(conf)
        box.start(conf, data=LINE)
        ok(until(box.has_waiter), "log: a waiter")
        until(lambda: box.state().due)
        flood(box, conf, count, "coalesced", box.state, "coalesced", data=LINE)
        equal(box.state().counts()["accepted"], 1, "log: coalesced: nothing else was counted")


def never_waited_for():
    """A log that nobody reads loses lines; it does not hold up a connection."""
    with Sandbox() as box:
        conf = box.config(FREE + f"action {box.recorder()}\n")
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            pass
        fcntl.fcntl(writer, fcntl.F_SETFL, 0)
        begun = time.monotonic()
        for data in (LINE, b"x\n"):
            handler = box.start(conf, data=data, descriptors={2: writer})
            equal(handler.wait(), 0, f"log: a full pipe: {data!r} is decided on")
        ok(time.monotonic() - begun < 20, "log: a full pipe is not waited for")
        os.close(reader)
        handler = box.start(conf, data=LINE, descriptors={2: writer})
        equal(handler.wait(), 0, "log: a pipe that nobody reads any more: the action runs")
        os.close(writer)
        equal(len(box.starts()), 2, "log: without a log the action runs all the same")


# ---- The journal and syslog ----


def daemons():
    if not nmtest.private_mounts():
        skip("log: journal and syslog", "no mount namespace of our own: not root, or not allowed")
        return
    with Sandbox() as box:
        private_run_and_dev()
        try:
            journal_and_syslog(box)
            kernel(box)
        finally:
            nmtest.unmount("/dev")
            nmtest.unmount("/run")


def journal_and_syslog(box):
    head = f"state {box.state_dir}\nuser {box.user}\n{FREE}"

    def conf(log, action=box.recorder(), more=""):
        return box.config(head + f"log {log}\n{more}action {action}\n")

    def one(name, datagrams, wanted, common):
        """A single datagram with exactly these fields."""
        if not ok(len(datagrams) == 1, f"log: {name}: one datagram"):
            nmtest.diag(datagrams)
            return
        got = fields(datagrams[0])
        seconds = got.pop("NMNOTIFY_SECONDS", None)
        message = " ".join(
            f'{k[9:].lower()}={v}' if not re.search("[ =]", v) else f'{k[9:].lower()}="{v}"'
            for k, v in wanted.items()
        )
        got["MESSAGE"] = re.sub(r" seconds=\d+\.\d\d", "", got.get("MESSAGE", ""))
        equal(got, {**common, **wanted, "MESSAGE": message}, f"log: {name}: fields of the journal")
        equal(seconds is not None, wanted.get("NMNOTIFY_RUN") == "ended", f"log: {name}: seconds of a run")

    def common(priority):
        return {"SYSLOG_IDENTIFIER": "nmnotify", "PRIORITY": str(priority), "SYSLOG_FACILITY": "3"}

    malformed, why = {"NMNOTIFY_VERDICT": "malformed"}, {"NMNOTIFY_REASON": "other-text"}
    place = {"NMNOTIFY_ACCOUNT": "default", "NMNOTIFY_SOURCE": "127.0.0.1"}

    journal = Receiver("/run/systemd/journal/socket")
    syslog = Receiver("/dev/log")
    for log in ("auto", "journal"):
        equal(box.connect_and_run(conf(log)), 0, f"status: log {log}")
        got = journal.messages()
        one(f"{log}, accepted", got[:1], {"NMNOTIFY_VERDICT": "accepted", **place}, common(5))
        one(f"{log}, run", got[1:], {"NMNOTIFY_RUN": "ended", **place, "NMNOTIFY_STATUS": "0"}, common(5))
        box.connect_and_run(conf(log), b"x")
        one(f"{log}, malformed", journal.messages(), {**malformed, **place, **why}, common(5))
    box.connect_and_run(conf("auto", box.recorder("exit=3")))
    run = {"NMNOTIFY_RUN": "ended", **place}
    one("a run that failed", journal.messages()[1:], {**run, "NMNOTIFY_STATUS": "3"}, common(4))
    box.connect_and_run(conf("auto", "/no/such"))
    one(
        "a run that could not begin",
        journal.messages()[1:],
        {
            "NMNOTIFY_RUN": "failed",
            **place,
            "NMNOTIFY_STATUS": "127",
            "NMNOTIFY_REASON": "/no/such: No such file or directory",
        },
        common(3),
    )
    box.connect_and_run(conf("auto"), b"x")
    journal.messages()
    (box.state_dir / "default").chmod(0o777)
    equal(box.connect_and_run(conf("auto")), EX_OSERR, "status: log auto, unusable state")
    one(
        "an error",
        journal.messages(),
        {
            "NMNOTIFY_VERDICT": "error",
            **place,
            "NMNOTIFY_REASON": f"state {box.state_dir}: others may write to default",
        },
        common(3),
    )
    (box.state_dir / "default").chmod(0o700)
    equal(box.start(Path("/no\nsuch"), data=LINE).wait(), EX_CONFIG, "status: no configuration")
    one(
        "no configuration",
        journal.messages(),
        {"NMNOTIFY_VERDICT": "error", "NMNOTIFY_REASON": "/no\\x0asuch: cannot open: No such file or directory"},
        common(3),
    )
    equal((syslog.messages(), box.log()), ([], []), "log: what the journal takes goes nowhere else")

    # Under inetd standard error is the other end.
    handler = box.start(conf("stderr"), data=LINE, fds="inetd")
    handler.wait()
    equal((len(journal.messages()), handler.received()), (2, b""), "log: stderr that is the other end: the journal")

    # The handler is confined when it logs.
    for policy in ("mail", "local", "none"):
        box.connect_and_run(conf("auto", more=f"confine {policy}\n"))
        equal(len(journal.messages()), 2, f"log: confine {policy}: the journal is reached")

    before = box.state().malformed
    auto = conf("auto")
    handlers = [box.start(auto, data=LINE) for _ in range(30)]
    ok(all(h.wait() == 0 for h in handlers), "log: a journal that does not read is not waited for")
    equal((syslog.messages(), box.log()), ([], []), "log: what it loses goes nowhere else")
    ok(0 < len(journal.messages()) <= 60, "log: it gets what it has room for")
    journal.messages()
    equal(box.state().malformed, before, "log: nothing else was counted")

    equal(box.connect_and_run(conf("syslog"), b"x"), 0, "status: log syslog")
    handler = box.start(conf("syslog"), data=LINE)
    handler.wait()
    got = [m.decode() for m in syslog.messages()]
    wanted = [
        rf"<29>nmnotify\[\d+\]: verdict=malformed {plain(PLACE)} reason=other-text( suppressed=\d+)?",
        rf"<29>nmnotify\[{handler.pid}\]: verdict=(accepted|deferred) {plain(PLACE)}",
        rf"<29>nmnotify\[{handler.pid}\]: {ENDED % 0}",
    ]
    if not ok(len(got) == 3 and all(re.fullmatch(w, g) for w, g in zip(wanted, got)), "log: syslog's format"):
        nmtest.diag(got)
    equal((journal.messages(), box.log()), ([], []), "log: syslog: goes nowhere else")

    def reached(log, fds="tcp"):
        """Where the two lines of a run go."""
        handler = box.start(conf(log), data=LINE, fds=fds)
        equal((handler.wait(), handler.received()), (0, b""), f"G7: log {log} on {fds}: silence")
        got = {"syslog": len(syslog.messages()) if syslog.path.exists() else 0, "stderr": len(box.log())}
        box.log_path.write_text("")
        return {k: v for k, v in got.items() if v}

    journal.close()  # its socket is there, but nobody listens
    equal(reached("auto"), {"syslog": 2}, "log: auto, a journal that is dead: syslog")
    journal.path.unlink()
    equal(reached("auto"), {"syslog": 2}, "log: auto, no journal: syslog")
    equal(reached("auto", "inetd"), {"syslog": 2}, "log: auto, no journal, inetd: syslog")
    equal(reached("journal"), {}, "log: journal, no journal: nowhere")
    equal(reached("stderr"), {"stderr": 2}, "log: stderr: nowhere else")
    syslog.remove()
    equal(reached("auto"), {"stderr": 2}, "log: auto, neither journal nor syslog: stderr")
    equal(reached("syslog"), {}, "log: syslog, no syslog: nowhere")
    equal(reached("auto", "inetd"), {}, "log: auto, nothing there, inetd: nowhere")
    equal(reached("auto", "unix-inetd"), {}, "log: auto, nothing there, a socket on all three: nowhere")


class Kmsg:
    """In the place of /dev/kmsg, which root alone may write: a pipe with a name."""

    PATH = "/dev/kmsg"

    def __init__(self):
        os.mkfifo(self.PATH, 0o600)
        self.pipe = os.open(self.PATH, os.O_RDONLY | os.O_NONBLOCK)

    def messages(self):
        text = b""
        while part := self._part():
            text += part
        return re.split("(?<=.)(?=<)", text.decode()) if text else []

    def _part(self):
        try:
            return os.read(self.pipe, 65536)
        except BlockingIOError:
            return b""

    def remove(self):
        os.close(self.pipe)
        os.unlink(self.PATH)


def kernel(box):
    head = f"state {box.state_dir}\nuser {box.user}\n{FREE}log kmsg\n"
    action = f"action {box.recorder()}\n"
    kmsg = Kmsg()
    for policy in ("mail", "local", "none"):
        handler = box.start(box.config(head + f"confine {policy}\n" + action), data=LINE)
        handler.wait()
        wanted = [
            rf"<29>nmnotify\[{handler.pid}\]: verdict=(accepted|deferred) {plain(PLACE)}",
            rf"<29>nmnotify\[{handler.pid}\]: {ENDED % 0}",
        ]
        got = kmsg.messages()
        if not ok(
            len(got) == 2 and all(re.fullmatch(w, g) for w, g in zip(wanted, got)), f"log: kmsg, confine {policy}: one write a line"
        ):
            nmtest.diag(got)
    box.start(box.config(head + "nonsense\n" + action), data=LINE).wait()
    got = kmsg.messages()
    ok(len(got) == 1 and "<27>" in got[0] and "nonsense" in got[0], "log: kmsg: what is wrong with the configuration")

    with Service(box, box.config(head + action, "service.conf")) as service:

        def runs():
            """A run's lines: those of its turn process, which is the account's user."""
            service.send()
            heard = []
            until(lambda: heard.extend(kmsg.messages()) or any("run=ended" in line for line in heard))
            return [re.sub(r"\[\d+\]: (\w+).*", r" \1", line) for line in heard]

        wanted = ["<29>nmnotifyd verdict", "<29>nmnotifyd run"]
        equal(runs(), wanted, "log: kmsg: nmnotifyd")
        service.send(data=b"x")
        ok(until(lambda: any("verdict=malformed" in line for line in kmsg.messages())), "log: kmsg: nmnotifyd's runner")
        before = service.network()
        os.kill(service.pid, signal.SIGHUP)
        ok(until(lambda: service.children() and before not in service.children()), "log: kmsg: SIGHUP")
        equal(runs(), wanted, "log: kmsg: nmnotifyd, the configuration read again")
        held = [os.readlink(path) for path in Path(f"/proc/{service.pid}/fd").iterdir()]
        equal(held.count(Kmsg.PATH), 1, "log: kmsg: nmnotifyd holds it open once")

    # -t, as who could not write there; and nothing is lost but lines.
    conf = box.config(head + action)
    wrong = "log: /dev/kmsg cannot be written by this user, and lines are lost: "
    equal(wrong in box.check("-t", "-f", conf)[2], False, "-t: log kmsg, as root")
    kmsg.remove()
    ok(f"{conf}: warning: {wrong}No such file" in box.check("-t", "-f", conf)[2], "-t: log kmsg, which is not there")
    equal(box.connect_and_run(conf), 0, "log: kmsg that is not there: nothing else is lost")
    equal(box.log(), [], "log: kmsg that is not there: nowhere else")


nmtest.run(
    each_verdict,
    no_connection,
    ends_of_runs,
    no_room,
    detaches,
    fetchmail_detaches,
    orphans_are_reaped,
    escapes,
    floods,
    never_waited_for,
    daemons,
)
