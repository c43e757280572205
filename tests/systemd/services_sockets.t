#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What the units' sockets take, and what keeps one from being there."""

import socket
import sys
import time

sys.dont_write_bytecode = True
from services import NOBODY, begin, box, check_well, drop_in, pair, run, send, state, wait_runs
from nmtest import LINE, diag, equal, ok, skip, until


# ---- Sending and looking ----


def send_datagram(data=LINE, port=79, source="127.0.0.1"):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((source, 0))
        client.sendto(data, ("127.0.0.1", port))


# ---- What keeps a socket from being there ----


def port_taken(name):
    begin()
    box.run("systemd-run", "--quiet", "--unit=other", "socat", "TCP6-LISTEN:79,fork,reuseaddr", "/dev/null")
    until(lambda: socket.socket().connect_ex(("127.0.0.1", 79)) == 0)
    after = time.time()
    result = box.run("systemctl", "start", f"{name}.socket", check=False)
    ok(result.returncode != 0, f"{name}: the port is another program's: the socket fails")
    lines = lambda: box.output("journalctl", "-q", "-o", "cat", f"--since=@{after:.3f}", "-u", f"{name}.socket")
    ok(until(lambda: "Address already in use" in lines()), f"{name}: and its journal says why")
    box.run("systemctl", "stop", "other.service")
    box.run("systemctl", "reset-failed")
    box.run("systemctl", "start", f"{name}.socket")
    check_well(name, "the port is free again")


def late_address(name):
    """One address alone, which comes when everything else is there."""
    begin()
    address = "192.0.2.9"
    with drop_in(f"{name}.socket", f"[Socket]\nListenStream=\nListenStream={address}:79\n"):
        box.run("systemctl", "start", f"{name}.socket")
        ok(box.is_active(f"{name}.socket"), f"{name}: an address that is not there yet: the socket is active")
        box.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        send(host=address)
        equal(wait_runs(1), 1, f"{name}: and works when the address has come")
        box.run("ip", "address", "delete", f"{address}/32", "dev", "lo")
        begin()


# ---- nmnotifyd alone ----


def datagrams():
    pair("nmnotifyd")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", 79))
            for _ in range(2):
                client.send(LINE)
                time.sleep(0.1)
        refused = False
    except ConnectionRefusedError:
        refused = True
    ok(refused, "nmnotifyd: without a drop-in nobody listens for datagrams")
    with drop_in("nmnotifyd.socket", "[Socket]\nListenDatagram=79\n"):
        datagrams_are_lines()


def datagrams_are_lines():
    pair("nmnotifyd")
    send_datagram(b"nm_notifyuser\r\n\r\n")
    send_datagram(b"rubbish")
    send_datagram(source=NOBODY)
    send_datagram()
    equal(wait_runs(1), 1, "nmnotifyd: a datagram is a line")
    counts = until(lambda: (lambda c: c if c.get("malformed") == 2 else None)(state().counts()))
    equal((counts or state().counts()).get("malformed"), 2, "nmnotifyd: a datagram that is not is none")
    check_well("nmnotifyd", "after datagrams")


# ---- Per connection alone ----


def poll_limit():
    """From 255 on: systemd takes its time with a socket. Those that are more wait, and none is lost."""
    pair("nmnotify")
    if not box.show("nmnotify.socket", "PollLimitBurst"):
        skip("PollLimitBurst=: what is more waits", "this systemd has no PollLimitBurst=")
        return
    limit = (box.show("nmnotify.socket", "PollLimitBurst"), box.show("nmnotify.socket", "PollLimitIntervalUSec"))
    equal(limit, ("100", "1s"), "PollLimitBurst=: as in the drop-in that is installed")
    for i in range(250):
        with socket.socket() as client:
            client.bind((f"127.0.9.{i + 1}", 0))
            client.connect(("127.0.0.1", 79))
            client.sendall(LINE)
    took = lambda: int(box.show("nmnotify.socket", "NAccepted"))
    ok(until(lambda: took() >= 250, step=0.2), "PollLimitBurst=: what is more waits, and is taken") or diag(took())
    send()
    equal(wait_runs(1), 1, "PollLimitBurst=: and a line works")
    until(lambda: not box.instances("nmnotify@*"))
    check_well("nmnotify", "more than PollLimitBurst=")


def many_from_one():
    pair("nmnotify")
    clients = []
    for _ in range(80):
        client = socket.socket()
        client.bind(("127.0.0.7", 0))
        client.connect(("127.0.0.1", 79))
        client.sendall(b"n")
        clients.append(client)
    until(lambda: len(box.instances("nmnotify@*")) >= 50)
    time.sleep(0.5)
    most = len(box.instances("nmnotify@*"))
    ok(most <= 50, f"MaxConnectionsPerSource=: one host has at most 50 ({most})")
    send()
    equal(wait_runs(1), 1, "MaxConnectionsPerSource=: another has its turn")
    for client in clients:
        client.close()
    until(lambda: not box.instances("nmnotify@*"))
    check_well("nmnotify", "many from one")


run((port_taken, late_address), nmnotifyd=(datagrams,), nmnotify=(many_from_one, poll_limit))
