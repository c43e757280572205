#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A network process that has been taken over, and says rubbish to the runner."""

import ctypes
import os
import random
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
import nmtest
from front import listener
from nmnotifyd import FREE, Service
from turn import check_apart
from nmtest import Sandbox, diag, is_root, ok, skip, until

# src/daemon/share.h: struct request is ten words and a source, of six words.
REQUEST_BYTES = 4 * (10 + 6)


# ---- A network process that has been taken over ----


def end_of_pair(network):
    """A copy of the network process's end of the pair: what an intruder would have."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(network)
    try:
        fd = libc.syscall(438, pidfd, 3, 0)  # pidfd_getfd
        if fd < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        return socket.socket(fileno=fd)
    finally:
        os.close(pidfd)


def put(pair, data):
    while True:
        try:
            pair.send(data, socket.MSG_DONTWAIT)
            return
        except BlockingIOError:
            time.sleep(0.001)


def rubbish():
    interval_ms = 1000
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    chance = random.Random(seed)
    if not is_root():
        skip("a network process that has been taken over", "only root may be it")
        return
    with Sandbox() as box:
        conf = box.config(FREE + f"from 127.0.0.1\ninterval {interval_ms}ms\naction {box.recorder()}\n")
        with Service(box, conf, [listener()]) as service:
            try:
                pair = end_of_pair(service.network())
            except OSError as e:
                skip("rubbish from the network process", f"pidfd_getfd: {e}")
                return
            size = REQUEST_BYTES
            for _ in range(2000):
                put(pair, chance.randbytes(chance.choice((0, 1, 4, size - 1, size, size, size, size + 4, 300))) or b"\0")
            # Almost right: every kind, with words that are out of range in turn.
            for exact in (size - 4, size, size + 4):
                for _ in range(500):
                    words = [chance.choice((0, 1, 2, 3, 64, 255, 1 << 31, (1 << 32) - 1)) for _ in range(exact // 4)]
                    words[0] = chance.randrange(4)
                    put(pair, struct.pack(f"={len(words)}I", *words))
            service.send()
            ok(box.wait_starts(1), "rubbish: a line works")
            ok(service.is_running() and len(service.children()) <= 520, "rubbish: processes are bounded")
            until(lambda: len(service.others()) <= 1, 10)
            ok(len(service.others()) <= 1, "rubbish: and gone again")
            time.sleep(2 * interval_ms / 1000)
            check_apart(box, interval_ms, "rubbish")
            errors = [line for line in box.messages() if "rubbish" in line]
            ok(len(errors) <= 50, f"rubbish: the log does not grow with it ({len(errors)} lines)")
            if not ok(service.is_running(), "rubbish: the runner has outlived it"):
                diag(f"SEED={seed}")
            pair.close()


nmtest.run(rubbish)
