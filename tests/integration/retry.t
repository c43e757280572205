#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A run that fails: owed again (`retry`), said (`failure`), and what counts as one (`success`); G1, G2, G4, G5."""

import os
import re
import shlex
import signal
import sys

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, Sandbox, equal, ok, until
from nmnotifyd import Service
from turn import FREE, RETRYING, check_runs, finish


def failing(box, *words):
    """An action that fails with status 1 until there is a file `well`."""
    return "/bin/sh -c " + shlex.quote(f"{box.recorder(*words)}; test -e {shlex.quote(str(box.out / 'well'))}")


def heal(box):
    (box.out / "well").touch()


def gaps_ms(box):
    starts = box.starts()
    return [(b - a) / 1e6 for a, b in zip(starts, starts[1:])]


def said(box, what):
    messages = [re.sub(r"^nmnotifyd?\[\d+\]: ", "", line) for line in box.log()]
    return [m for m in messages if m.startswith(f"run={what} ")]


def sleeps(box):
    return box.lock_is_held(RETRYING)


def is_at_rest(box):
    """Nothing is owed, and nobody waits or runs."""
    state = box.state()
    return not (state.due or state.owed or box.has_waiter() or box.is_in_run() or sleeps(box))


def one_sleeps(box, handlers):
    """Of these, who fail, one ends, and the other sleeps for the retry: who slept before, if it wakes so late that the
    line's run has failed already; else the line's. Returns the one who sleeps."""
    until(lambda: len(box.handlers_alive()) == 1)
    asleep, = box.handlers_alive()
    ended, = [handler for handler in handlers if handler is not asleep]
    equal(ended.wait(), 1, "one of the two processes ends")
    ok(until(lambda: sleeps(box)), "the other sleeps for the retry")
    ok(box.handlers_alive() == [asleep], "G4: it alone")
    return asleep


def until_it_succeeds():
    with Sandbox() as box:
        conf = box.config(
            FREE + f"interval 0s\nretry 300ms\nfailure 2 {box.recorder('facts=facts', out=out_of(box))}\naction {failing(box, 'facts=facts')}\n"
        )
        handler = box.start(conf, data=LINE)
        ok(box.wait_starts(3), "G1: a run that fails is tried again, and again")
        heal(box)
        equal(handler.wait(), 0, "status: of the run that succeeds, 0")
        equal(handler.received(), b"", "G7: silence")
        count = len(box.starts())
        wanted = [300 * 2**i for i in range(count - 1)]
        if not ok(all(gap >= least for gap, least in zip(gaps_ms(box), wanted)), "retry: the time doubles"):
            nmtest.diag(gaps_ms(box))
        check_runs(box, 0, "retry")
        ok(is_at_rest(box), "retry: then nothing is owed")
        equal(box.state().counts(), {"accepted": 1}, "retry: it is one line, with one verdict")
        equal({run.source for run in box.runs()}, {"127.0.0.1"}, "retry: for the same source")
        equal(len(said(box, "ended")), count, "log: each run's end")
        ok("status=1 " in said(box, "ended")[0] and said(box, "ended")[0].endswith(" retry=1"), "log: and when the next one is")
        ok("retry=" not in said(box, "ended")[-1], "log: not behind the last")
        equal(said(box, "failing"), ["run=failing account=default source=127.0.0.1 status=1 failures=2"], "log: failures are said once")
        equal(
            said(box, "recovered"),
            [f"run=recovered account=default source=127.0.0.1 failures={count - 1}"],
            "log: the first success behind them, too",
        )
        facts = (out_of(box) / "facts").read_text().splitlines()
        equal(len(box.starts(out_of(box))), 1, "failure: its program is run once")
        for fact in ("NMNOTIFY_ACCOUNT=default", "NMNOTIFY_FAILURES=2", "NMNOTIFY_STATUS=1"):
            ok(f"env {fact}" in facts, f"failure: its program has {fact}")
        own = (box.out / "facts").read_text()
        ok("NMNOTIFY_FAILURES" not in own and "NMNOTIFY_STATUS" not in own, "failure: the action has none of that")
        alike = ("fd ", "status Uid", "status Gid", "status Groups", "status NoNewPrivs", "status Seccomp", "status Cap", "status SigBlk", "status SigIgn", "status SigCgt")
        pick = lambda lines: [line for line in lines if line.startswith(alike)]
        equal(pick(facts), pick(own.splitlines()), "failure: user, filter, signals and descriptors are as for the action")


def out_of(box):
    out = box.dir / "failure"
    if not out.exists():
        out.mkdir()
        if box.user:
            os.chown(out, box.uid, box.gid)
    return out


def not_by_default():
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\naction {box.recorder('exit=1')}\n")
        for _ in range(4):
            equal(box.connect_and_run(conf), 1, "without retry: the action's status, at once")
        ok(is_at_rest(box), "without retry: nothing is owed")
        equal(len(said(box, "failing")), 1, "failure: said once without its being said")
        ok(said(box, "failing")[0].endswith(" failures=3"), "failure: 3 by default")
        equal(box.connect_and_run(box.config(FREE + f"interval 0s\naction {box.recorder()}\n")), 0, "then it succeeds")
        ok(said(box, "recovered")[0].endswith(" failures=4"), "failure: and that is said")


def what_a_failure_is():
    with Sandbox() as box:
        rest = FREE + "interval 0s\n"
        equal(box.connect_and_run(box.config(rest + f"success 0 1\nretry 1h\naction {box.recorder('exit=1')}\n")), 0, "success: a status that is one")
        ok(is_at_rest(box), "success: it is not tried again")
        conf = box.config(rest + f"success 1\naction {box.recorder()}\n", "zero.conf")
        equal((box.connect_and_run(conf), box.state().failures), (0, 1), "success: 0 is none if it is not said")
        conf = box.config(rest + f"success 0 143\ntimeout 200ms\naction {box.recorder('sleep=60000')}\n", "timeout.conf")
        equal((box.connect_and_run(conf), box.state().failures), (143, 2), "a run that timed out has failed")
        conf = box.config(rest + f"success 0 137\naction {box.recorder('signal=9')}\n", "signal.conf")
        equal((box.connect_and_run(conf), box.state().failures), (137, 3), "a run that a signal has ended, too")
        conf = box.config(rest + f"action {box.recorder()}\n", "well.conf")
        equal((box.connect_and_run(conf), box.state().failures), (0, 0), "one that succeeds ends the row")


def a_line_takes_over():
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 1s\nretry 1h\naction {failing(box)}\n")
        first = box.start(conf, data=LINE)
        ok(until(lambda: sleeps(box)), "a process sleeps for the retry")
        ok(not box.has_waiter() and not box.is_in_run(), "G4: it is not the waiter")
        box.connect_and_run(conf, data=b"rubbish\r\n")
        equal(len(box.starts()), 1, "what is no line changes nothing")
        second = box.start(conf, data=LINE)
        ok(box.wait_starts(2), "G1: a line does not wait for the retry")
        asleep = one_sleeps(box, (first, second))
        heal(box)
        third = box.start(conf, data=LINE)
        equal(third.wait(), 0, "the next line's run succeeds")
        equal(asleep.wait(), 1, "and nobody sleeps any more")
        check_runs(box, 1000, "lines beside a retry")
        ok(is_at_rest(box), "retry: then nothing is owed")
        for handler in (first, second, third):
            handler.close()


def who_sleeps_wakes_late():
    """The line's run has failed by then."""
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\nretry 1h\naction {failing(box)}\n")
        first = box.start(conf, data=LINE)
        ok(until(lambda: sleeps(box)), "a process sleeps for the retry")
        first.kill(signal.SIGSTOP)
        second = box.start(conf, data=LINE)
        equal(second.wait(), 1, "a line's process ends, for that one sleeps still")
        first.kill(signal.SIGCONT)
        ok(one_sleeps(box, (first, second)) is first, "which goes on to sleep, for the retry that is owed now")
        heal(box)
        finish([box.start(conf, data=LINE)], name="a last line")
        equal(first.wait(), 1, "until nothing is owed")
        ok(is_at_rest(box), "retry: then nothing is owed")
        second.close()


def a_line_during_the_run():
    """It waits for the end of the run that fails, and its start covers the retry."""
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\nretry 1h\naction {failing(box, 'until=go')}\n")
        first = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "a run that will fail")
        second = box.start(conf, data=LINE)
        ok(until(box.has_waiter), "a line during it")
        (box.out / "go").touch()
        ok(box.wait_starts(2), "G1: its start is not put off")
        asleep = one_sleeps(box, (first, second))
        heal(box)
        finish([box.start(conf, data=LINE)], name="a last line")
        equal(asleep.wait(), 1, "and nobody sleeps any more")
        ok(is_at_rest(box), "retry: then nothing is owed")


def interval_holds():
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 1500ms\nretry 1ms\naction {failing(box)}\n")
        handler = box.start(conf, data=LINE)
        ok(box.wait_starts(3), "G2: retries")
        heal(box)
        equal(handler.wait(), 0, "then a success")
        check_runs(box, 1500, "retries")
        handler.close()


def killed():
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\nretry 500ms\naction {failing(box)}\n")
        handler = box.start(conf, data=LINE)
        ok(until(lambda: sleeps(box)), "G5: who sleeps for a retry is killed")
        heal(box)
        handler.kill()
        handler.wait()
        # It may have been too late for that.
        before = len(box.starts())
        ok(box.state().due or before > 1, "G5: the debt stays")
        if before == 1:
            box.connect_and_run(conf, data=b"rubbish\r\n")
            ok(box.wait_starts(2), "G5: whatever comes next pays it")
        ok(until(lambda: is_at_rest(box)), "G5: nothing is left")

        (box.out / "well").unlink()
        conf = box.config(FREE + f"interval 0s\nretry 1h\naction {box.recorder('until=go')}\n", "long.conf")
        before = len(box.starts())
        handler = box.start(conf, data=LINE)
        ok(box.wait_starts(before + 1) and until(lambda: box.state().owed), "G5: a supervisor is killed in its run")
        handler.kill()
        handler.wait()
        (box.out / "go").touch()
        box.connect_and_run(conf, data=b"rubbish\r\n")
        ok(box.wait_ends(before + 1), "G5: that run was a failure, which the next connection pays")
        ok(until(lambda: is_at_rest(box)), "G5: and its success ends that")


def asked_to_end():
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\nretry 1h\nfailure 1 {box.recorder(out=out_of(box))}\naction {box.recorder('sleep=60000')}\n")
        handler = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "a run that a signal ends")
        handler.kill(signal.SIGTERM)
        equal(handler.wait(), 143, "SIGTERM: the process ends, and does not sleep")
        ok(box.state().due != 0, "G5: the run stays owed")
        equal(box.starts(out_of(box)), [], "failure: its program is not run")
        handler = box.start(box.config(FREE + f"retry 1h\naction {failing(box)}\ninterval 0s\n", "sleep.conf"), data=LINE)
        ok(until(lambda: sleeps(box)), "one that sleeps for a retry")
        handler.kill(signal.SIGTERM)
        equal(handler.wait(), -signal.SIGTERM, "SIGTERM: ends it")
        ok(box.state().due != 0, "G5: the run stays owed")


def not_executed():
    with Sandbox() as box:
        path = box.out / "program"
        conf = box.config(FREE + f"interval 0s\nretry 200ms\nfailure 1 /nonexistent/program\naction {path}\n")
        handler = box.start(conf, data=LINE)
        ok(until(lambda: len(said(box, "failed")) >= 2), "an action that is not there is tried again")
        path.with_suffix(".new").write_text(f"#!/bin/sh\nexec {box.recorder()}\n")
        path.with_suffix(".new").chmod(0o755)
        path.with_suffix(".new").rename(path)
        equal(handler.wait(), 0, "until it is there")
        equal(len(box.starts()), 1, "G1: one start")
        equal(
            [m for m in box.messages() if m.startswith("failure=")],
            ['failure=failed account=default reason="/nonexistent/program: No such file or directory"'],
            "failure: that its own program fails is said",
        )
        ok(is_at_rest(box), "retry: then nothing is owed")
        handler.close()


def nmnotifyd():
    with Sandbox() as box:
        conf = box.config(f"idle 500ms\n{FREE}interval 0s\nretry 600ms\nfailure 2\naction {failing(box)}\n")
        with Service(box, conf) as service:
            service.network()
            service.send()
            ok(box.wait_starts(3), "nmnotifyd: a run that fails is tried again, and it does not end for idleness")
            ok(until(lambda: not service.others()), "nmnotifyd: no process sleeps for that")
            heal(box)
            ok(until(lambda: said(box, "recovered")), "nmnotifyd: until it succeeds")
            check_runs(box, 600, "nmnotifyd: retries")
            equal(service.wait(), 0, "nmnotifyd: then it ends for idleness")
            ok(is_at_rest(box), "nmnotifyd: nothing is owed")


def nmnotifyd_new_words():
    """A line takes over, and so does a new configuration."""
    with Sandbox() as box:
        head = FREE + "interval 0s\n"
        conf = box.config(head + f"retry 2s\naction {failing(box)}\n")
        with Service(box, conf) as service:
            service.network()
            service.send()
            ok(until(lambda: box.state().due), "nmnotifyd: a retry is owed")
            service.send()
            ok(box.wait_starts(2), "G1: a line does not wait for it")
            ok(until(lambda: box.state().due), "nmnotifyd: a retry is owed again")
            box.config(head + f"retry 2s\naction {box.recorder('mark=new')}\n")
            os.kill(service.pid, signal.SIGHUP)
            ok(until(lambda: (box.out / "new").exists()), "nmnotifyd: it is the new configuration's action that is tried")
            ok(until(lambda: is_at_rest(box)), "nmnotifyd: nothing is owed")


nmtest.run(
    until_it_succeeds,
    not_by_default,
    what_a_failure_is,
    a_line_takes_over,
    who_sleeps_wakes_late,
    a_line_during_the_run,
    interval_holds,
    killed,
    asked_to_end,
    not_executed,
    nmnotifyd,
    nmnotifyd_new_words,
)
