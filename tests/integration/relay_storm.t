#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""S1, S2 and S5 of the relay's table and inbox: the process that takes events in and tells destinations is
killed at any instruction, thousands of times, while others go on sending. With LONG=1, for ten minutes.
What holds is judged by what was handed over and what was told, not by what the code does."""

import os
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import nmtest
from nmtest import BUILD, diag, ok, skip

STORM = BUILD / "tests" / "relay_storm"
SECONDS = int(os.environ.get("STORM_SECONDS") or (600 if os.environ.get("LONG") else 20))
SEED = int(os.environ.get("SEED") or time.time())


def S1_S2_S5_in_a_storm_of_kills():
    if not STORM.exists():
        skip("the relay's storm", "the relay is not built")
        return
    with tempfile.TemporaryDirectory(prefix="nmnotify-storm-") as directory:
        words = [STORM, directory, str(SECONDS), str(SEED)]
        result = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS * 3 + 120)
    said = re.search(r"(\d+) rounds, (\d+) kills, (\d+) events, (\d+) tellings", result.stdout)
    diag(f"SEED={SEED}: {result.stdout.strip()}")
    ok(said and int(said[2]) > 20 * SECONDS and int(said[3]) > 100 * SECONDS, "it was stormy")
    wrong = result.stderr.splitlines()
    if not ok(result.returncode == 0 and not wrong, "S1, S2, S5: nothing is lost, nothing told too often"):
        diag("\n".join(wrong[:20]))


nmtest.run(S1_S2_S5_in_a_storm_of_kills)
