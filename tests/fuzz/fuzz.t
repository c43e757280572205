#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Runs each fuzz target for FUZZ_TIME seconds (2; with LONG=1, 60), from its seeds: nothing crashes, and
the target's oracle finds nothing wrong. What a run of a minute or more discovers is kept, and the next
one begins with it.

    tests/fuzz/fuzz.t [TARGET ...]"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
from nmtest import BUILD, diag, done, ok, skip  # noqa: E402

HERE = Path(__file__).resolve().parent
PLACE = BUILD / "fuzz"
TARGETS = ("line", "conf", "executable", "source", "connection", "users", "network", "request", "state", "policy", "sender")
# Of the relay, which is not always built.
TARGETS += tuple(target for target in ("event", "redis", "names", "relay_conf", "owed", "logins") if (PLACE / target).exists())

TIME = float(os.environ.get("FUZZ_TIME") or (60 if os.environ.get("LONG") else 2))
KEPT = TIME >= 60
AT_ONCE = min(2, os.cpu_count() or 1)


def arguments(target, corpus, seeds):
    dictionary = HERE / f"{target}.dict"
    return [
        str(PLACE / target),
        f"-max_total_time={max(1, round(TIME))}",
        "-timeout=20",
        "-detect_leaks=0",  # nothing is allocated; and to look for leaks takes ptrace(2)
        "-print_final_stats=1",
        f"-artifact_prefix={PLACE}/found-{target}-",
        *([f"-dict={dictionary}"] if dictionary.exists() else []),
        str(corpus),
        str(seeds / target),
    ]


def fuzz(target, base, seeds):
    """(target, exit status, what it printed)"""
    corpus = (PLACE / "corpus" if KEPT else base / "corpus") / target
    corpus.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(
        arguments(target, corpus, seeds),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "TMPDIR": str(base)},
        timeout=TIME * 3 + 120,
    )
    return target, result.returncode, result.stdout.decode(errors="replace")


def report(target, status, printed):
    """Returns how many executions there were."""
    executions = re.search(r"stat::number_of_executed_units:\s*(\d+)", printed)
    count = int(executions[1]) if executions else 0
    coverage = re.findall(r" cov: (\d+) ", printed) or ["0"]
    if not ok(status == 0 and count > 0, f"fuzz: {target}: nothing wrong"):
        told = [l for l in printed.splitlines() if re.search("does not hold|ERROR|error:|SUMMARY|written to", l)]
        diag("\n".join(told[:20] or printed.splitlines()[-20:]))
    diag(f"{target}: {count} executions, {coverage[-1]} edges")
    return count


def main():
    targets = [t for t in TARGETS if t in sys.argv[1:] or len(sys.argv) == 1]
    missing = [t for t in targets if not (PLACE / t).exists()]
    if missing:
        skip("fuzz", f"not built, for want of clang's libFuzzer: {' '.join(missing)}")
        done()
    base = Path(tempfile.mkdtemp(prefix="nmnotify-fuzz."))
    try:
        seeds = base / "seeds"
        subprocess.run([sys.executable, str(HERE / "seeds.py"), str(seeds)], check=True, timeout=60)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = pool.map(lambda target: fuzz(target, base, seeds), targets)
            total = sum(report(*result) for result in results)
        diag(f"{total} executions")
    finally:
        shutil.rmtree(base, ignore_errors=True)
    done()


main()
