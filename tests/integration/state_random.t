#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""G6: whatever bytes are in the state file, an account goes on."""

import os
import random
import sys
import time

sys.dont_write_bytecode = True
import nmtest
from nmtest import Sandbox, State, equal
from state import limits, quick, still_starts, works


# ---- G6 ----


def random_bytes():
    seed = int(os.environ.get("SEED") or time.time())
    nmtest.diag(f"SEED={seed}")
    rng = random.Random(seed)
    count = 150
    with Sandbox() as box:
        conf = quick(box)
        works(box, conf, "made afresh")
        # In place: as a broken disk or a bug would leave it.
        good = 0
        for n in range(count):
            with open(limits(box), "r+b", buffering=0) as f:
                f.write(rng.randbytes(State.SIZE))
            good += still_starts(box, conf, f"random bytes, number {n}", check=False)
        equal(good, count, f"G6: {count} states of random bytes: a line starts the action soon")
        equal(limits(box).stat().st_size, State.SIZE, "G6: the file is left in its place")


nmtest.run(random_bytes)
