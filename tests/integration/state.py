# SPDX-License-Identifier: ISC
"""What the tests of the state share: an account that is quick, refused or well."""

import os
import re
import sys
import time

sys.dont_write_bytecode = True
import nmtest
from nmtest import EX_OSERR, LINE, equal, ok

# No start has to wait for more than the interval and the window, (5 + 1) * 50 ms.
QUICK = "from any\nlimit 20/s burst 5\ninterval 300ms\nread-timeout 300ms\n"
BOUND_MS = 300 + 300
# For a machine that has other things to do.
SLACK_MS = 8000


def quick(box):
    return box.config(QUICK + f"action {box.recorder()}\n")


def refused(box, conf, reason, name, **how):
    """Exit status 71, silence, nothing runs, one line in the log."""
    box.forget_log_limits()
    before = len(box.starts()), len(box.log())
    handler = box.start(conf, data=LINE, **how)
    equal(handler.wait(), EX_OSERR, f"status: state: {name}: 71")
    equal(handler.received(), b"", f"G7: state: {name}: silence")
    equal(len(box.starts()), before[0], f"state: {name}: nothing runs")
    lines = [m for m in box.messages()[before[1] :]]
    wanted = rf'verdict=error (account=\S+ )?source=\S+ reason=".*{reason}.*"'
    if not ok(
        len(lines) == 1 and re.fullmatch(wanted, lines[0]), f"log: state: {name}: one clear line"
    ):
        nmtest.diag("\n".join(lines))
    handler.close()


def works(box, conf, name, **how):
    box.forget_log_limits()
    before = len(box.starts())
    equal(box.connect_and_run(conf, **how), 0, f"state: {name}: status 0")
    equal(len(box.starts()), before + 1, f"state: {name}: the action runs")


def limits(box, account="default"):
    return box.state_dir / account / "limits"


def chown_to_user(box, path):
    if box.user:
        os.chown(path, box.uid, box.gid, follow_symlinks=False)


# ---- G6 ----


def still_starts(box, conf, name, check=True):
    """A line starts the action, and soon. Returns whether it did."""
    before, begun = len(box.starts()), time.monotonic()
    handler = box.start(conf, data=LINE, end=True)
    try:
        status = handler.wait(30)
    except TimeoutError:
        status = "hangs"
    took = (time.monotonic() - begun) * 1000
    good = status == 0 and len(box.starts()) == before + 1 and took <= BOUND_MS + SLACK_MS
    if check or not good:
        if not ok(good, f"G6: {name}: a line starts the action soon"):
            nmtest.diag(f"status {status}, {len(box.starts()) - before} starts, {took:.0f} ms")
    handler.end()
    return good
