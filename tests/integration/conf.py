# SPDX-License-Identifier: ISC
"""What the tests of the configuration share: what a program says of it, and whether it runs with it."""

import re
import sys

sys.dont_write_bytecode = True
import nmtest
from nmtest import EX_CONFIG, LINE, equal, ok

TIME = "is not a time such as 500ms, 10s, 5m, 2h or 1d"
NAME = "is not a name: a letter or digit, then letters, digits, '.', '_' and '-', 32 at most"
SEE = "nmnotify.conf(5) has them all"


def errors_of(box, conf, *args):
    """What -t says, by lines, without the file's name; and its status."""
    status, out, err = box.check("-t", "-f", conf, *args)
    # An older kernel has not all of Landlock.
    wanted = r"state /\S+ \(.*\)\n(landlock ABI \d: this kernel lacks .*\n)?" if status == 0 else ""
    ok(re.fullmatch(wanted, out), "conf: -t: standard output has the state's directory, and what the kernel lacks; or nothing")
    return status, [line.replace(f"{conf}:", "", 1) for line in err.splitlines()]


def nothing_runs(box, conf, name, wanted=None, status=EX_CONFIG, **how):
    """At run time: exit status 78, silence, one log line."""
    box.forget_log_limits()
    before = len(box.starts()), len(box.log())
    handler = box.start(conf, data=LINE, **how)
    equal(handler.wait(), status, f"status: conf: {name}: {status}")
    equal(handler.received(), b"", f"G7: conf: {name}: silence")
    equal(len(box.starts()), before[0], f"conf: {name}: nothing runs")
    lines = box.messages()[before[1] :]
    if wanted is not None:
        good = len(lines) == 1 and re.fullmatch(rf'verdict=error .*reason="?{wanted}"?', lines[0])
        if not ok(good, f"log: conf: {name}: one line"):
            nmtest.diag("\n".join(lines))
            nmtest.diag(f"wanted: {wanted}")
    handler.close()


def runs(box, conf, name, **how):
    before = len(box.starts())
    equal(box.connect_and_run(conf, **how), 0, f"conf: {name}: status 0")
    return equal(len(box.starts()), before + 1, f"conf: {name}: the action runs")


def escaped(text):
    """As a regular expression for the log's reason."""
    text = re.sub(r'[\x00-\x1f"\\\x7f-\xff]', lambda m: f"\\x{ord(m[0]):02x}", text)
    return re.escape(text)
