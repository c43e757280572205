#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyd with nothing to do, and with connections that say nothing (G4)."""

import os
import sys
import time

sys.dont_write_bytecode = True
import nmtest
from front import listener
from nmnotifyd import FREE, Service, is_gone
from nmtest import Sandbox, boottime_ms, equal, is_root, ok, skip, until

# src/daemon/network.h
CONNECTIONS_MAX = 1024


# ---- What it survives ----


def idle():
    with Sandbox() as box:
        conf = box.config("idle 1s\n" + FREE + f"from any\ninterval 0s\nread-timeout 15s\naction {box.recorder('sleep=2000')}\n")
        with Service(box, conf, [listener()]) as service:
            begun = time.monotonic()
            service.send()
            ok(box.wait_starts(1), "idle: a line")
            ok(box.wait_ends(1), "idle: it does not end while an action runs")
            equal(service.wait(), 0, "idle: then it ends well")
            ok(1.9 < time.monotonic() - begun < 15, "idle: after that time")
            service.start()
            service.network()
            client = service.connect()
            client.sendall(b"n")
            time.sleep(2)
            ok(service.is_running(), "idle: a connection that may yet say its line keeps it")
            client.close()
            equal(service.wait(), 0, "idle: until it does not")


def silent_connections():
    count = 1000
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 0s\nread-timeout 60s\naction {box.recorder()}\n")
        with Service(box, conf, [listener()]) as service:
            clients = [service.connect() for _ in range(count)]
            for client in clients[::2]:
                client.sendall(b"nm_")
            begun = boottime_ms()
            service.send(source="127.0.0.2")
            box.wait_starts(1)
            late = box.starts()[0] / 1e6 - begun
            ok(late < 5000, f"{count} silent connections: a line starts its action after {late:.0f} ms")
            # One more than there is room for drops the oldest, which has said nothing.
            more = [service.connect() for _ in range(CONNECTIONS_MAX - count + 10)]
            dropped = lambda: [i for i, c in enumerate(clients[:50]) if is_gone(c)]
            until(lambda: len(dropped()) >= 10, 10)
            gone = dropped()
            equal(gone, list(range(10)), "a full table: the oldest are dropped, and no others")
            ok(not any(is_gone(c) for c in more), "a full table: the newest are not")
            clients[20].sendall(b"notifyuser\r\n")
            ok(box.wait_starts(2), "a full table: one that goes on in time is served")
            ok(not [c for c in box.state().counts() if c == "error"], "a full table: no error")
            for client in clients + more:
                client.close()


def silent_flood_is_forgotten():
    """After the clients are gone nothing of them is left."""
    if not is_root():
        skip("300 connections are gone: so are their descriptors", "only root may look at them")
        return
    with Sandbox() as box:
        conf = box.config(FREE + f"from any\ninterval 0s\nread-timeout 60s\naction {box.recorder()}\n")
        with Service(box, conf, [listener()]) as service:
            before = len(os.listdir(f"/proc/{service.network()}/fd"))
            clients = [service.connect() for _ in range(300)]
            for client in clients:
                client.sendall(b"x")
            until(lambda: len(os.listdir(f"/proc/{service.network()}/fd")) >= before + 300, 5)
            for client in clients:
                client.close()
            count = lambda: len(os.listdir(f"/proc/{service.network()}/fd"))
            until(lambda: count() == before, 5)
            equal(count(), before, "300 connections are gone: so are their descriptors")


nmtest.run(idle, silent_connections, silent_flood_is_forgotten)
