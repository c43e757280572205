#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyctl explain: it says what then happens."""

import re
import sys

sys.dont_write_bytecode = True
import nmtest
from ctl import ctl
from nmtest import LINE, Sandbox, equal, ok, until

EX_USAGE, EX_NOPERM, EX_CONFIG = 64, 77, 78

CONF = """limit 1/1h burst 2
account first
  from 127.0.0.2 127.0.1.0/24
  interval 0s
  action {first}
account second
  from 127.0.0.0/8
  to 127.0.0.9
  interval 1h
  action {second}
account third
  from local
  action {third} 'a b'
"""


def lines(conf, *words):
    status, out, err = ctl(conf, "explain", *words)
    equal((status, err), (0, ""), f"explain {' '.join(words)}: can be said")
    return out.splitlines()


def which_account():
    with Sandbox() as box:
        conf = box.config(CONF.format(**{name: box.recorder(account=name) for name in ("first", "second", "third")}))
        number = {line.strip(): i for i, line in enumerate(conf.read_text().splitlines(), 1)}
        for source, to, account, word in (
            ("127.0.0.2", "127.0.0.1", "first", ["from 127.0.0.2 127.0.1.0/24"]),
            ("127.0.1.7", "127.0.0.9", "first", ["from 127.0.0.2 127.0.1.0/24"]),
            ("127.0.0.3", "127.0.0.9", "second", ["from 127.0.0.0/8", "to 127.0.0.9"]),
            ("127.0.0.3", "127.0.0.1", None, []),
        ):
            said = lines(conf, source, "to", to)
            taken = [line for line in said if " takes it: " in line]
            equal([line.split()[1] for line in taken], [account] if account else [], f"explain: {source} to {to}: whose it is")
            equal([f":{number[text]}: `{text.split()[0]} " in taken[0] for text in word], [True] * len(word), f"explain: {source} to {to}: by which line")
            equal(box.connect_and_run(conf, source=source, to=to), 0, f"explain: {source} to {to}: and a line comes")
            if account:
                ok(box.wait_starts(box.state(account).starts), f"explain: {source} to {to}: it is that account's")
                ok(box.state(account).counts(), f"explain: {source} to {to}: which has counted it")
            else:
                equal(said[-1], "A line is denied, unread: no account takes it, for the reasons above", f"explain: {source} to {to}: what becomes of it")
        said = lines(conf, "127.0.0.3")
        ok("  ... but it would, at one of these: nmnotifyctl explain ADDRESS to ADDRESS" in said, "explain: it depends on the local address")
        said = lines(conf, "local")
        ok(any(line.endswith(" a b") for line in said), "explain: the action's words")


def forecast(conf, source="127.0.0.1"):
    (line,) = [line for line in lines(conf, source) if line.startswith("A line now: ")]
    return line[len("A line now: ") :]


def what_becomes_of_it():
    with Sandbox() as box:
        conf = box.config(f"from 127.0.0.0/8\nlimit 1/1h burst 1\ninterval 1h\naction {box.recorder('sleep=60000')}\n")
        equal(forecast(conf), "accepted, and the action starts at once", "explain: no state yet")
        ok(not box.state_dir.exists() or not any(box.state_dir.iterdir()), "explain: and none is made")
        first = box.start(conf, data=LINE)
        ok(box.wait_starts(1), "explain: a run")
        ok(re.fullmatch(r"deferred, until the run in progress has ended, and for 3\d\d\d\.\d{3} s at least, by `(limit|interval)`", forecast(conf)), "explain: a run in progress, and the source's limit")
        waiter = box.start(conf, source="127.0.0.5", data=LINE)
        ok(until(lambda: box.has_waiter() and box.state().deferred == 1), "explain: somebody waits")
        ok(forecast(conf).startswith("coalesced, with the start that somebody waits for already"), "explain: that start is this one's, too")
        third = box.start(conf, data=LINE)
        equal(third.wait(), 0, "explain: another line")
        equal(box.state().coalesced, 1, "explain: and so it is")
        for handler in (waiter, first, third):
            handler.kill() if handler is not third else None
            handler.close()


def mistakes():
    with Sandbox() as box:
        conf = box.config(f"from any\naction {box.recorder()}\n")
        for words in ((), ("nobody",), ("10.0.0.1", "to"), ("10.0.0.1", "from", "10.0.0.2"), ("10.0.0.1", "to", "x"), ("1.2.3.4/8",)):
            equal(ctl(conf, "explain", *words)[0], EX_USAGE, f"explain {' '.join(words)}: is refused")
        equal(ctl(box.dir / "none", "explain", "10.0.0.1")[0], EX_CONFIG, "explain: no configuration")
        _, out, _ = ctl(box.config("from any\naction /bin/true '\u00e9\u009b'\n"), "explain", "10.0.0.1")
        ok("\\xc3\\xa9\\xc2\\x9b" in out, "explain: a terminal obeys no word")
        equal(box.connect_and_run(conf), 0, "explain: a state")
        (box.state_dir / "default" / "limits").write_bytes(b"x")
        status, _, err = ctl(conf, "explain", "10.0.0.1")
        ok(status == EX_NOPERM and "too short" in err, "explain: a state that was cut") or nmtest.diag(err)


nmtest.run(which_account, what_becomes_of_it, mistakes)
