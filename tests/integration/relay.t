#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotify-relay on its own: S1, S2, S4, S5, S6 and S7 with real sockets, deaths and machines that are no good."""

import os
import pwd
import signal
import socket
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
import nmtest
from nmtest import LINE, equal, ok, skip, until
from relay import QUICK, Beginnings, Machine, Relay, as_user

# What a loaded machine may add to a time.
SLACK = 0.3


def unused_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]



def gaps(times):
    return [b - a for a, b in zip(times, times[1:])]


# Anybody else than root sees when his machine's process had its turn, and not when a connection began.
BEGINNINGS = Beginnings() if nmtest.is_root() else None


def apart(machine, since=0):
    """S2, with QUICK's interval; of a port that was another test's until the machine was made, or `since` then."""
    if not BEGINNINGS:
        skip("S2: none sooner than the interval", "not root")
        return
    began = BEGINNINGS.of(machine.port, since=since or machine.made)
    if not ok(len(began) > 1 and all(gap >= 0.5 for gap in gaps(began)), "S2: none sooner than the interval"):
        nmtest.diag(gaps(began))


# ---- S1, S2 ----


def told():
    """S1: who has mail is told, and S7: nothing else leaves."""
    machine, other = Machine(), Machine("::1") if nmtest.has_ipv6() else Machine("127.0.0.2")
    with Relay(f"{QUICK}user alice {machine}\nuser both {machine} {other}\n") as relay:
        begin = time.time()
        relay.tell("mail alice")
        ok(until(lambda: machine.lines), "S1: a line comes")
        ok(machine.times()[0] - begin < 1 + SLACK, "S1: at once")
        equal(machine.lines[0][1], LINE, "S7: the line, and nothing else")
        relay.tell("mail nobody")
        relay.tell("mail both")
        ok(until(lambda: len(machine.lines) == 2 and other.lines), "S1: each of two machines is told")
        apart(machine)
        time.sleep(0.6)
        equal((len(machine.lines), len(other.lines)), (2, 1), "S2: and once is enough")
        ok(relay.said("told=done user=alice") and not relay.said("failed"), "it says so in the log")
        equal(relay.kill(signal.SIGTERM), 0, "SIGTERM: status 0")


def many():
    """S1: a sending covers all that came before, and no more."""
    machine = Machine()
    with Relay(f"{QUICK}user * {machine}\n") as relay:
        begin = time.time()
        for i in range(5000):
            relay.tell(f"mail u{i % 100}")
        last = time.time()
        ok(until(lambda: machine.lines and machine.times()[-1] >= last - SLACK), "S1: the last event is told, too")
        time.sleep(0.7)
        took = machine.times()[-1] - begin
        ok(len(machine.lines) <= took / 0.5 + 2, "S2: 5,000 events are few lines")
        apart(machine)
        before = len(machine.lines)
        time.sleep(0.6)
        relay.tell("mail u1")
        ok(until(lambda: len(machine.lines) == before + 1), "S1: what comes later is told again")


def early():
    """S1: what cannot be seen yet is told when it can."""
    machine = Machine()
    with Relay(f"{QUICK}user alice {machine}\n") as relay:
        begin = time.time()
        relay.tell("early alice")
        ok(until(lambda: machine.lines), "S1: it is told")
        ok(0.4 <= machine.times()[0] - begin < 1.4 + SLACK, "S1: after `settle`")


def unreachable():
    """S1: it is tried again until it is done."""
    port = unused_port()
    with Relay(f"{QUICK}user alice 127.0.0.1:{port}\n") as relay:
        relay.tell("mail alice")
        ok(until(lambda: relay.said('told=failed user=alice') and relay.said('reason="Connection refused"')), "refused: it says why")
        machine = Machine(port=port)
        ok(until(lambda: machine.lines, 5), "S1: told when it is there")
        machine.close()


def bad_machines():
    """S2: one connection at a time, whatever the other end does."""
    def holds(connection):
        time.sleep(2.5)

    def talks(connection):
        connection.sendall(b"220 what do you want\r\n" * 1000)

    slow, resetting, talking = Machine(how=holds), Machine(resets=True), Machine(how=talks)
    with Relay(f"{QUICK}user slow {slow}\nuser resets {resetting}\nuser talks {talking}\n") as relay:
        for _ in range(6):
            for user in ("slow", "resets", "talks"):
                relay.tell(f"mail {user}")
            time.sleep(0.3)
        ok(until(lambda: slow.lines and resetting.lines and talking.lines), "S1: all of them are told")
        equal(resetting.most_open, 1, "S2: one that resets: one at a time")
        equal({line for _, line in talking.lines}, {LINE}, "S7: one that talks: gets the line, whole")
        for machine in (slow, resetting, talking):
            apart(machine)


def tunnels():
    """S1: who passes the line on has it before the machine does: done is when he has ended the connection in order."""
    text = QUICK.replace("timeout 1s", "timeout 4s")
    # It keeps the first connection for longer than the relay waits.
    given_up = threading.Event()
    good, resetting, holding = Machine(how=lambda _: time.sleep(0.5)), Machine(resets=True), Machine(how=lambda _: given_up.wait())
    users = f"user good {good}\nuser resets {resetting}\nuser holds {holding}\n"
    with Relay(f"{text}tunnel 10.0.0.0/8 127.0.0.0/8\n{users}") as relay:
        for user in ("good", "resets", "holds"):
            relay.tell(f"mail {user}")
        ok(until(lambda: relay.said("told=done user=good")), "S1: a tunnel that ends in order has passed it on")
        ok(good.lines, "S1: and not before it has ended")
        ok(until(lambda: len(resetting.lines) >= 2), "S1: one that resets has not: it is tried again")
        ok(relay.said("told=failed user=resets") and relay.said('reason="Connection reset by peer"'), "it says so")
        ok(until(lambda: relay.said("told=failed user=holds") and relay.said('reason="Connection timed out"')), "nor has one that says nothing")
        given_up.set()
        ok(until(lambda: relay.said("told=done user=holds")), "S1: it is told when that has passed")
        equal((relay.said("told=failed user=good"), relay.said("told=done user=resets")), ([], []), "neither is the other")
        equal({line for _, line in good.lines + resetting.lines}, {LINE}, "S7: the line, and nothing else")
    direct = Machine(resets=True)
    with Relay(f"{text}tunnel 10.0.0.0/8\nuser alice {direct}\n") as relay:
        relay.tell("mail alice")
        ok(until(lambda: relay.said("told=done user=alice")), "S7: elsewhere one that is reset behind the line is done")


def full_backlog():
    """S2: a machine that takes no connection is tried for `timeout`, one at a time."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        holders = []
        for _ in range(3):
            holder = socket.socket()
            holder.setblocking(False)
            holder.connect_ex(("127.0.0.1", port))
            holders.append(holder)
        live = Machine()
        with Relay(f"{QUICK}user dead 127.0.0.1:{port}\nuser live {live}\n") as relay:
            relay.tell("mail dead")
            time.sleep(0.1)
            relay.tell("mail live")
            ok(until(lambda: live.lines, 2), "Fair: it delays nobody else")
            ok(until(lambda: relay.said("user=dead"), 5), "S1: its time is up")
            ok("Connection timed out" in relay.said("user=dead")[0], "it says why")
        for holder in holders:
            holder.close()


def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(nmtest.PATIENCE)
        with Relay(f"{QUICK}protocol udp\nuser alice 127.0.0.1:{receiver.getsockname()[1]}\n") as relay:
            relay.tell("mail alice")
            equal(receiver.recv(100), LINE, "UDP: one datagram is the line")


# ---- Logins ----


def logins():
    """S1: who logs in knows; and `last` is where he did."""
    port = unused_port()
    text = f"{QUICK}port {port}\nuser alice last\nuser bob 127.0.0.2\nuser carol last 127.0.0.1\n"
    with Relay(text) as relay:
        relay.tell("mail alice")  # no address is known: nothing is owed
        relay.tell("mail bob")
        ok(until(lambda: relay.said("user=bob")), "the other machine is not there")
        time.sleep(0.5)
        relay.tell("login bob ::ffff:127.0.0.2")
        relay.tell("login alice 127.0.0.3")
        machines = [Machine(address, port) for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")]
        one, two, three, four = machines
        time.sleep(1.5)
        equal([len(m.lines) for m in machines], [0, 0, 0, 0], "S1: a login covers what was owed")
        relay.tell("mail alice")
        ok(until(lambda: three.lines), "last: where she logged in")
        relay.tell("login alice 127.0.0.4")
        relay.tell("login alice 203.0.113.1")
        relay.tell("mail alice")
        ok(until(lambda: four.lines), "last: where she did so last; S6: but for the networks of `never`")
        relay.tell("mail carol")
        ok(until(lambda: one.lines), "last, with an address for who is not known")
        relay.tell("login carol 127.0.0.2")
        time.sleep(0.6)
        relay.tell("mail carol")
        ok(until(lambda: two.lines), "which is not used when he is")
        for machine in machines:
            machine.close()


def last_three():
    port = unused_port()
    machines = [Machine(f"127.0.0.{i}", port) for i in range(1, 5)]
    with Relay(f"{QUICK}port {port}\nuser alice last 3\n") as relay:
        for i in (1, 2, 3, 4, 2):
            relay.tell(f"login alice 127.0.0.{i}")
        relay.tell("mail alice")
        ok(until(lambda: sum(len(m.lines) for m in machines) >= 3), "last 3: three machines are told")
        time.sleep(0.3)
        equal([len(m.lines) for m in machines], [0, 1, 1, 1], "the three last different ones")
    for machine in machines:
        machine.close()


# ---- S4 ----


def bounds():
    """S4: what is too much costs the newest, and is said."""
    port = unused_port()
    with Relay(f"{QUICK}users 3\nuser * 127.0.0.1:{port}\n") as relay:
        for i in range(5):
            relay.tell(f"mail u{i}")
        ok(until(lambda: relay.said("relay=refused")), "S4: too many users: it says so")
        machine = Machine(port=port)
        ok(until(lambda: machine.lines, 5), "and those before are told")
        machine.close()
    for text, name in (("mail", "no user"), ("nonsense alice", "no word of ours"), ("mail " + "x" * 300, "too long a user"),
                       ("login alice", "no address"), ("login alice 1.2.3", "no address either"), (b"mail \xff\x01", "a control character"),
                       (b"x" * 9000, "too long a datagram"), (b"", "an empty one")):
        with Relay(QUICK + "user * none\n") as relay:
            relay.tell(text)
            ok(until(lambda: relay.said("relay=refused")), f"S4: {name}: is refused, and said")


def descriptors():
    """S4: as many connections as descriptors allow, and no event is lost for want of them."""
    machines = [Machine(f"127.0.1.{i}") for i in range(1, 41)]
    users = "".join(f"user u{i} {machine}\n" for i, machine in enumerate(machines))
    with Relay(f"{QUICK}{users}", limit=(80, 80)) as relay:
        ok(until(lambda: relay.said("LimitNOFILE")), "S4: it says that fewer are possible")
        for i in range(40):
            relay.tell(f"mail u{i}")
        ok(until(lambda: all(machine.lines for machine in machines)), "S1: all are told")
    for machine in machines:
        machine.close()


# ---- S5 ----


def deaths():
    """S5: SIGKILL at any moment; what was handed over is told."""
    # Nobody else's, and refused.
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    port, since = taken.getsockname()[1], time.time()
    with Relay(f"{QUICK}user * 127.0.0.1:{port}\n", activated=True) as relay:
        relay.tell("mail alice")
        ok(until(lambda: relay.said("user=alice")), "it is owed")
        relay.kill()
        relay.tell("mail bob")  # into the socket that outlives it
        taken.close()
        machine = Machine(port=port)
        relay.start()
        ok(until(lambda: machine.lines), "S5: it is told after the death")
        time.sleep(0.7)
        before = len(machine.lines)
        relay.kill()
        relay.start()
        time.sleep(0.7)
        equal(len(machine.lines), before, "S5: what is done is not told again")
        for i in range(30):
            relay.tell(f"mail u{i}")
            if i % 3 == 0:
                time.sleep(0.002 * (i % 7))
                relay.kill()
                relay.start(wait=False)
        last = time.time()
        ok(until(lambda: machine.times()[-1] >= last), "S5: deaths amid events: the last one is told") or nmtest.diag(relay.log()[-5:])
        apart(machine, since)
        machine.close()


def damaged():
    """S5: files that are no good never stop it."""
    machine = Machine()
    for name, damage in (("missing", lambda p: p.unlink()), ("nonsense", lambda p: p.write_bytes(os.urandom(100000))),
                         ("empty", lambda p: p.write_bytes(b"")), ("cut", lambda p: os.truncate(p, 70000))):
        with Relay(f"{QUICK}user alice {machine}\n") as relay:
            relay.tell("mail alice")
            relay.kill(signal.SIGTERM)
            for path in relay.state.iterdir():
                if path.is_file():
                    damage(path)
            before = len(machine.lines)
            relay.start()
            relay.tell("mail alice")
            ok(until(lambda: len(machine.lines) > before), f"S5: {name} files: it goes on")
            if name == "nonsense":
                ok(relay.said("owed: is damaged or of another version"), "S5: and says so")
    machine.close()


def no_state():
    """S1 is kept from memory where there can be no file."""
    if not nmtest.private_mounts():
        skip("S5: a full disk", "not root")
        return
    machine = Machine()
    with Relay(f"{QUICK}user alice {machine}\n") as relay:
        relay.kill(signal.SIGTERM)
        nmtest.mount_tmpfs(str(relay.state), "size=16k")
        try:
            relay.start()
            ok(until(lambda: relay.said("lost when the relay")), "S5: a full disk: it says so")
            relay.tell("mail alice")
            ok(until(lambda: machine.lines), "S1: and tells all the same")
            relay.kill()
        finally:
            nmtest.unmount(str(relay.state))
    machine.close()


# ---- S6 ----


def whose():
    """S6: who may say what of whom."""
    if not nmtest.is_root():
        skip("S6: other users", "not root")
        return
    one, other = pwd.getpwnam("nobody"), pwd.getpwnam("daemon")
    machine = Machine()
    with Relay(f"{QUICK}trust {other.pw_name}\nuser * {machine}\n") as relay:
        def says(user, text):
            return as_user(user.pw_uid, lambda: relay.tell(text) or True)

        def is_told(user, text):
            before = len(machine.lines)
            equal(says(user, text), 0, f"{user.pw_name} says '{text}'")
            return until(lambda: len(machine.lines) > before, 1.2)

        ok(is_told(one, "mail nobody"), "S6: of himself")
        ok(not is_told(one, "mail alice"), "S6: not of others")
        ok(relay.said("not trusted"), "S6: which is said")
        ok(is_told(other, "mail alice"), "S6: who is trusted: of others, too")
        says(one, "login nobody 127.0.0.9")
        says(one, "login alice 127.0.0.9")
        ok(until(lambda: len(relay.said("not trusted")) >= 3), "S6: where he logs in from nobody can say himself")
    machine.close()


def other_sockets():
    """Biff's port and Cyrus's socket."""
    machine = Machine()
    port = unused_port()
    with Relay(f"{QUICK}biff 127.0.0.1:{port}\ncyrus {{}}\nuser * {machine}\n".format("/nonexistent/x")) as relay:
        equal(relay.process.wait(nmtest.PATIENCE), 78, "a socket that cannot be made ends it")
        relay.configure(f"{QUICK}biff 127.0.0.1:{port}\ncyrus {relay.dir}/cyrus\nuser * {machine}\n")
        relay.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as biff:
            biff.sendto(b"alice@367\0", ("127.0.0.1", port))
            ok(until(lambda: len(machine.lines) == 1), "biff's datagram is an event")
            biff.sendto(b"login alice 127.0.0.1", ("127.0.0.1", port))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as cyrus:
            cyrus.sendto(b"external\0MAIL\0\0alice\0INBOX\x000\0From: a\n\0", f"{relay.dir}/cyrus")
            ok(until(lambda: len(machine.lines) == 2), "Cyrus's datagram is an event")
        ok(until(lambda: relay.said("relay=refused")), "a login by biff's port is refused")
    machine.close()


# ---- The administrator ----


def reload():
    one, two = Machine(), Machine()
    with Relay(f"{QUICK}user alice {one}\n") as relay:
        relay.tell("mail alice")
        ok(until(lambda: one.lines), "told")
        relay.configure(f"{QUICK}user alice {two}\n")
        relay.process.send_signal(signal.SIGHUP)
        ok(until(lambda: relay.said("read again")), "SIGHUP: it reads the configuration again")
        relay.tell("mail alice")
        ok(until(lambda: two.lines), "which holds from now on")
        relay.configure("user alice nonsense nonsense/\n")
        relay.process.send_signal(signal.SIGHUP)
        ok(until(lambda: relay.said("stays as it was")), "a wrong one is not taken")
        ok(relay.said("conf:"), "and it says what is wrong")
        time.sleep(0.5)
        relay.tell("mail alice")
        ok(until(lambda: len(two.lines) == 2), "the old one holds")
        equal(relay.process.poll(), None, "it goes on")


def beginnings():
    """What is wrong is said, and ends it: 78, or 73."""
    for text, part in (("nonsense 1\n", "nonsense"), ("user alice\n", "user"), ("settle 1\n", "settle")):
        with Relay(text) as relay:
            equal(relay.process.wait(nmtest.PATIENCE), 78, f"{part}: status 78")
            ok(relay.said(part), "and a line that names it")
    with Relay(f"{QUICK}user * none\n") as relay:
        second = Relay(QUICK)
        second.conf.write_text(relay.conf.read_text())
        second.start()
        ok(second.process.wait(nmtest.PATIENCE) != 0 and second.said("another process answers"), "two of them: the second ends")
        equal(relay.process.poll(), None, "and the first goes on")
        second.__exit__()


nmtest.run(told, many, early, unreachable, bad_machines, tunnels, full_backlog, udp, logins, last_three, bounds, descriptors, deaths, damaged,
           no_state, whose, other_sockets, reload, beginnings)
