#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyd shares the turn with handlers, and survives the end of any of its processes (G1, G2, G5)."""

import os
import random
import signal
import sys
import time

sys.dont_write_bytecode = True
import nmtest
from front import listener
from nmnotifyd import FREE, Service
from turn import check_apart, word_after
from nmtest import LINE, Sandbox, boottime_ms, diag, equal, is_alive, ok, until


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
            check_apart(box, interval_ms, "shared")
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
            check_apart(box, 3000, "covered")


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
            check_apart(box, 3000, "killed")


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
            check_apart(box, 2000, f"{name} is killed")


def killed_runner():
    killed_service(0)


def killed_network():
    killed_service(1)


def unanswered():
    """The network process has taken a line; it is killed, and the runner, before there is a process for it."""
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 0s\naction {box.recorder()}\n")
        box.connect_and_run(conf)
        state = box.state()
        state.poke("asked_for", nmtest.boottime_ms())
        state.poke("asked", 7)
        with Service(box, conf, [listener()]):
            ok(box.wait_starts(2), "G1, G5: a line that nobody answered: the next service starts the action")
            ok(until(lambda: state.asked == 0), "G1, G5: a line that nobody answered: now it is")


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
            check_apart(box, interval_ms, "SIGKILL")


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


nmtest.run(
    shared,
    covers_each_other,
    killed_waiter,
    killed_runner,
    killed_network, unanswered,
    killed_at_random,
    stopped,
)
