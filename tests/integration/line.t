#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The line: accepted if and only if it is these 15 bytes, decided as early as possible, never
answered."""

import signal
import sys
import time

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, Sandbox, equal, ok, until

# Every line may start the action: nothing else than the line decides.
FREE = "from any\ninterval 0s\nlimit 1000/s burst 100000\n"
AT_ONCE = 24  # handlers at a time


def batch(box, conf, cases, end=True):
    """Runs a handler for each of the cases (bytes). True if each ended with status 0 and sent
    nothing."""
    good, running = True, []

    def finish(handler):
        nonlocal good
        good = handler.wait() == 0 and handler.received() == b"" and good
        handler.close()

    for data in cases:
        running.append(box.start(conf, data=data, end=end))
        if len(running) == AT_ONCE:
            finish(running.pop(0))
    for handler in running:
        finish(handler)
    return good


def refused(name, cases, end=True, more=""):
    """None of the cases is the line."""
    cases = list(cases)
    with Sandbox() as box:
        conf = box.config(FREE + f"{more}action {box.recorder()}\n")
        ok(batch(box, conf, cases, end), f"line: {name}: status 0 and silence ({len(cases)})")
        equal(box.state().counts(), {"malformed": len(cases)}, f"line: {name}: all malformed")
        equal(box.starts(), [], f"line: {name}: nothing runs")


def taken(name, cases, end=True, more=""):
    """Each of the cases is the line."""
    cases = list(cases)
    with Sandbox() as box:
        conf = box.config(FREE + f"{more}action {box.recorder()}\n")
        for data in cases:
            handler = box.start(conf, data=data, end=end)
            ok(handler.wait() == 0 and handler.received() == b"", f"line: {name}: {data!r}")
        # With `interval 0s` the next start is a millisecond later: a quick second line waits for it.
        state = box.state()
        equal(state.accepted + state.deferred, len(cases), f"line: {name}: accepted")
        equal(len(box.starts()), len(cases), f"line: {name}: the action runs")


def the_line():
    taken("the line, and end of file", [LINE])
    taken("the line, with no end of file", [LINE], end=False, more="read-timeout 7d\n")


def mutations():
    refused(
        "any one byte changed",
        (
            LINE[:i] + bytes([byte]) + LINE[i + 1 :]
            for i in range(len(LINE))
            for byte in range(256)
            if byte != LINE[i]
        ),
    )


def lengths():
    refused("cut short", (LINE[:i] for i in range(len(LINE))))
    refused("one byte more", (LINE + bytes([byte]) for byte in range(256)))
    refused("one byte before", (bytes([byte]) + LINE for byte in range(256)))
    refused("one byte left out", (LINE[:i] + LINE[i + 1 :] for i in range(len(LINE))))
    refused(
        "other things",
        [LINE + LINE, LINE * 1000, LINE.upper(), b"\r\n", b"\n", b"\0" * 16, b"GET / HTTP/1.0\r\n\r\n",
         LINE[:-2] + b"\n\r", LINE[:-2] + b"\r\r\n", b" " + LINE, LINE[:-2] + b" \r\n", b"A" * 100000],
    )  # fmt: skip


def decided_early():
    """Without end of file, and a read-timeout too long to wait for."""
    more = "read-timeout 7d\n"
    refused("decided at the first LF", (LINE[:i] + b"\n" for i in range(14)), False, more)
    refused("decided at the 16th byte", [b"n" * 16, LINE[:14] + b"xy", LINE[:13] + b"\r\r\r"], False, more)
    refused("decided at the 16th byte that came with the line", [LINE + b"x", LINE + b"\n"], False, more)


def bare_lf():
    bare = LINE[:-2] + b"\n"
    taken("bare-lf yes", [bare, LINE], more="bare-lf yes\n")
    taken("bare-lf yes, no end of file", [bare, LINE], False, "bare-lf yes\nread-timeout 7d\n")
    refused("bare-lf no", [bare], more="bare-lf no\n")
    refused("bare-lf is not the default", [bare])
    refused(
        "bare-lf yes changes nothing else",
        [bare[:i] for i in range(14)]
        + [bare + bytes([byte]) for byte in range(256)]
        + [bare[:i] + bytes([bare[i] ^ bit]) + bare[i + 1 :] for i in range(14) for bit in (1, 128)],
        more="bare-lf yes\n",
    )


def pieces():
    with Sandbox() as box:
        conf = box.config(FREE + f"read-timeout 20s\naction {box.recorder()}\n")
        handlers = [box.start(conf) for _ in range(3)]
        for i in range(len(LINE)):
            for handler in handlers:
                handler.send(LINE[i : i + 1])
            time.sleep(0.003)
        handlers[0].shutdown()
        ok(all(h.wait() == 0 for h in handlers), "line: one byte a segment")
        counts = box.state().counts()
        equal(sum(counts.values()), 3, "line: one byte a segment: decided once each")
        ok(not set(counts) - {"accepted", "deferred", "coalesced"}, "line: one byte a segment: valid")
        ok(all(h.received() == b"" for h in handlers), "G7: silence to one byte a segment")

        before = box.state().malformed
        handler = box.start(conf)
        for byte in LINE[:-1] + b"x":
            handler.send(bytes([byte]))
            time.sleep(0.002)
        handler.shutdown()
        ok(handler.wait() == 0, "line: wrong, one byte a segment")
        equal(box.state().malformed, before + 1, "line: wrong, one byte a segment: malformed")

        for cut in (1, 7, 13, 14):
            starts = len(box.starts())
            handler = box.start(conf, data=LINE[:cut])
            time.sleep(0.01)
            handler.send(LINE[cut:])
            ok(handler.wait() == 0, f"line: in two segments, cut at {cut}")
            equal(len(box.starts()), starts + 1, f"line: in two segments, cut at {cut}: runs")


def more_later():
    """What comes after the decision is never read."""
    with Sandbox() as box:
        conf = box.config(FREE + f"action {box.recorder('sleep=300')}\n")
        handler = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "line: with more behind it, later: the action runs")
        handler.send(b"\r\nQUIT\r\n" * 100)
        ok(handler.wait() == 0, "line: with more behind it, later: status 0")
        equal(handler.received(), b"", "G7: silence to what comes after the line")
        equal(box.state().counts(), {"accepted": 1}, "line: with more behind it, later: accepted")


def silence_times_out():
    with Sandbox() as box:
        conf = box.config(FREE + f"read-timeout 400ms\naction {box.recorder()}\n")
        begun = time.monotonic()
        handlers = [box.start(conf, data=LINE[:i]) for i in range(len(LINE))]
        handlers.append(box.start(conf, data=b"n" * 15))
        ended = []
        for handler in handlers:
            ok(handler.wait() == 0, "line: no whole line in time: status 0")
            ended.append(time.monotonic())
        ok(ended[0] - begun >= 0.399, "line: read-timeout is given in full")
        ok(all(h.received() == b"" for h in handlers), "G7: silence to silence")
        equal(box.state().counts(), {"timeout": 16}, "line: verdict timeout")
        equal(box.starts(), [], "line: nothing runs after a timeout")
        ok(
            any("verdict=timeout account=default source=127.0.0.1" in l for l in box.log()),
            "log: verdict=timeout",
        )


def slow_sender():
    """read-timeout is for the whole line, not from byte to byte."""
    with Sandbox() as box:
        conf = box.config(FREE + f"read-timeout 400ms\naction {box.recorder()}\n")
        handler = box.start(conf)
        begun = time.monotonic()
        for byte in LINE:
            handler.send(bytes([byte]))
            time.sleep(0.06)
        took = time.monotonic() - begun
        ok(handler.wait() == 0, "line: a slow sender: status 0")
        equal(box.state().counts(), {"timeout": 1}, f"line: a slow sender times out ({took:.2f} s)")


def resets():
    with Sandbox() as box:
        conf = box.config(FREE + f"action {box.recorder()}\n")

        def reset_after(data):
            """A handler that finds data and a reset when it reads."""
            handler = box.start(conf)
            # poll(2), waiting for the line
            ok(until(lambda: process_is_in_poll(handler.pid)), "line: a handler waits for the line")
            handler.kill(signal.SIGSTOP)
            until(lambda: nmtest.process_state(handler.pid) == "T")
            handler.send(data)
            handler.reset()
            handler.kill(signal.SIGCONT)
            return handler.wait()

        equal(reset_after(b""), 0, "line: reset before any byte: status 0")
        equal(reset_after(LINE[:9]), 0, "line: reset in the middle: status 0")
        equal(reset_after(LINE[:-1]), 0, "line: reset before the last byte: status 0")
        equal(box.state().counts(), {"malformed": 3}, "line: reset before its end: malformed")
        equal(box.starts(), [], "line: reset before its end: nothing runs")
        equal(reset_after(LINE), 0, "G1: reset after the line: status 0")
        equal(len(box.starts()), 1, "G1: reset after the line: it counts")

        client, server = box.connection()
        client.sendall(LINE)
        gone = nmtest.Handler(0, client)
        gone.reset()
        handler = box.start(conf, pair=(client, server))
        equal(handler.wait(), 0, "line: a peer that is gone before the handler starts: status 0")
        ok(
            any(m == "verdict=denied source=unknown" for m in box.messages()),
            "line: a peer that is gone before the handler starts: nobody knows who it was",
        )


def process_is_in_poll(pid):
    """Sleeps in poll(2), and not only on its way there."""
    return nmtest.process_state(pid) == "S" and nmtest.process_waits_in(pid) is not None


def closed_at_once():
    """Neither who waits for its turn nor who supervises a run keeps the sender waiting."""
    with Sandbox() as box:
        conf = box.config(
            f"from any\ninterval 2s\nlimit 1000/s burst 1000\naction {box.recorder('until=go')}\n"
        )
        runs = box.start(conf, data=LINE)
        equal(runs.received(), b"", "line: accepted: closed")
        ok(runs.is_running(), "line: accepted: closed before the action has ended")
        ok(box.wait_starts(1), "line: accepted: the action runs")
        waits = box.start(conf, data=LINE)
        equal(waits.received(), b"", "line: deferred: closed")
        ok(waits.is_running() and until(box.has_waiter), "line: deferred: closed before the waiter waits")
        for handler, name in ((runs, "supervisor"), (waits, "waiter")):
            if not nmtest.is_root():
                nmtest.skip(f"line: a {name} holds no socket", "only root sees the descriptors of who is not dumpable")
                continue
            # It is shut down first, which we have seen, and then closed.
            ok(until(lambda: not nmtest.holds_socket(handler.pid)), f"line: a {name} holds no socket")
        (box.out / "go").touch()
        equal(runs.wait(), 0, "line: accepted: status of the action")
        equal(waits.wait(), 0, "line: deferred: status of the action")


def other_descriptors():
    """Sockets of other kinds, pipes, terminals, files: the source is local."""
    for fds in ("inetd", "unix", "unix-inetd", "pipe", "pipe-all", "tty", "file"):
        with Sandbox() as box:
            conf = box.config(FREE + f"action {box.recorder()}\n")
            handler = box.start(conf, data=LINE, fds=fds)
            ok(handler.wait() == 0, f"line: from {fds}: status 0")
            equal(handler.received(), b"", f"G7: silence on {fds}")
            equal(
                [r.source for r in box.runs()],
                ["127.0.0.1" if fds == "inetd" else "local"],
                f"line: from {fds}: the action knows the source",
            )
            bad = box.start(conf, data=LINE[:-1] + b"x", fds=fds, end=True)
            if fds == "tty":
                bad.close()  # hangs up: the only way to end it
            ok(bad.wait() == 0, f"line: wrong, from {fds}: status 0")
            equal(box.state().counts(), {"accepted": 1, "malformed": 1}, f"line: wrong, from {fds}")

            if fds in ("unix", "pipe", "tty"):
                conf = box.config(FREE + f"read-timeout 200ms\naction {box.recorder()}\n")
                handler = box.start(conf, data=LINE[:5], fds=fds)
                ok(handler.wait() == 0, f"line: silence from {fds}: status 0")
                equal(box.state().timeout, 1, f"line: silence from {fds}: timeout")


nmtest.run(
    the_line,
    mutations,
    lengths,
    decided_early,
    bare_lf,
    pieces,
    more_later,
    silence_times_out,
    slow_sender,
    resets,
    closed_at_once,
    other_descriptors,
)
