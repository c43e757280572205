#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The relay's look-ups: what a name server may say, and what becomes of it; S7, the process that reads it can do
nothing else; and whatever it does, the relay has an answer in time."""

import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
import nameserver as ns
import nmtest
from nmtest import BUILD, equal, ok, skip, until

NAMES, TAKEN = BUILD / "tests" / "names", BUILD / "tests" / "names_taken"
NOBODY = 65534
SLACK = 1500  # milliseconds that a busy machine may take longer


class Answer:
    def __init__(self, line):
        self.name, lives, took, *rest = line.split("\t")
        self.lives, self.took = int(lives), int(took)
        self.wrong = rest[1] if rest[:1] == ["!"] else None
        self.addresses = [] if self.wrong else rest

    def __repr__(self):
        return f"{self.name} {self.wrong or self.addresses} lives {self.lives} took {self.took}"


class Names:
    """A relay's look-ups, by tests/integration/names.c."""

    def __init__(self, timeout=2000, program=NAMES, user=None):
        self.process = subprocess.Popen([program, str(timeout)], user=user, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.timeout, self.said, self.late, self.buffer = timeout, [], [], b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        ok(self.process.wait(10) == 0, "it ends in order")
        self.process.stdout.close()
        equal(self.late, [], "it has never waited")

    def tell(self, *lines):
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
        self.process.stdin.flush()

    def line(self, patience):
        """The next that is an answer; None if there is none in time."""
        end = time.monotonic() + patience
        while True:
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                line = line.decode("utf-8", "surrogateescape")
                if line.startswith("said "):
                    self.said.append(line[5:])
                elif line.startswith("late "):
                    self.late.append(line)
                else:
                    return line
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                return None
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                return None
            self.buffer += chunk

    def answers(self, count):
        lines = [self.line(self.timeout / 1000 + 10) for _ in range(count)]
        return [Answer(line) for line in lines if line]

    def ask(self, *names):
        """{name: answer}, or the answer if it is one."""
        self.tell(*names)
        answers = {a.name: a for a in self.answers(len(names))}
        return answers.get(names[0]) if len(names) == 1 else answers

    def resolver(self):
        """The process that there is, when it sleeps: it is confined then."""
        until(lambda: nmtest.children_of(self.process.pid), 10)
        pids = nmtest.children_of(self.process.pid)
        if pids:
            until(lambda: Path(f"/proc/{pids[0]}/comm").read_text() == "nmnotify-names\n" and status_of(pids[0])["Seccomp"] == "2", 10)
        return pids[0] if pids else None


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


def etc(servers="127.0.0.53", hosts=""):
    ns.put("/etc/hosts", f"127.0.0.1 localhost\n{hosts}")
    ns.put("/etc/resolv.conf", "".join(f"nameserver {s}\n" for s in servers.split()) + "search wrong.test\n")


def say(**zone):
    """A handler that knows these names (a_test for a.test): a list of addresses, or what is called."""

    def handler(query):
        what = zone.get(query.name.replace(".", "_").replace("-", "_"))
        if callable(what):
            what(query)
        elif what is not None:
            query.answer(ns.addresses(query.name, 300, *what))
        else:
            query.answer(code=ns.NXDOMAIN)

    return handler


SILENT = "no name server of /etc/resolv.conf answers"
ANYHOW = "the name servers of /etc/resolv.conf fail, refuse, or cannot be reached"
FAILS = "the name servers of /etc/resolv.conf fail to look it up"
REFUSES = "the name servers of /etc/resolv.conf refuse to look it up"


def anyhow(got, wanted):
    """c-ares before 1.34 does not tell how servers fail, and takes a refusal of UDP for silence."""
    return got if wanted in (FAILS, REFUSES) and got == ANYHOW or wanted == ANYHOW and got == SILENT else wanted


# ---- What a name server says ----


def right():
    hundred = [f"10.0.{i}.1" for i in range(100)]
    chain = lambda q: q.answer(
        [ns.record("one.test", ns.CNAME, 200, ns.encode("two.test")), ns.record("two.test", ns.CNAME, 100, ns.encode("three.test")),
         *ns.addresses("three.test", 300, "192.0.2.3", "2001:db8::3")])
    mapped = lambda q: q.answer([ns.record(q.name, ns.AAAA, 300, bytes(10) + b"\xff\xff" + socket.inet_aton("127.0.0.1"))])
    zone = say(four_test=["192.0.2.1"], six_test=["2001:db8::1"], both_test=["192.0.2.1", "2001:db8::1"], one_test=chain,
               hundred_test=hundred, mapped_test=mapped, loop_test=["127.0.0.1", "::1"], twice_test=["192.0.2.1", "192.0.2.1"],
               _dmarc_x_test=["192.0.2.5"], wrong_test=["192.0.2.6"], alone=["192.0.2.7"])
    etc(hosts="192.0.2.99 here here.test  # there.test\n\t2001:db8::99\tHERE.test.\n192.0.2.98 here.test\n10.9.9.9 here.test.net\n"
              "192.0.2.99 here.test\nfe80::7%lo link.test\nrubbish here.test\n")
    with ns.Server(zone) as server, Names() as names:
        wanted = {
            "four.test": ["192.0.2.1"],
            "six.test": ["2001:db8::1"],
            "both.test": ["192.0.2.1", "2001:db8::1"],
            "one.test": ["192.0.2.3", "2001:db8::3"],
            "mapped.test": ["127.0.0.1"],
            "loop.test": ["127.0.0.1", "::1"],
            "twice.test": ["192.0.2.1"],
            "_dmarc.x.test": ["192.0.2.5"],
            "FOUR.test.": ["192.0.2.1"],
            "alone": ["192.0.2.7"],
            "localhost": ["127.0.0.1"],
            "here": ["192.0.2.99"],
            "here.test": ["192.0.2.98", "192.0.2.99", "2001:db8::99"],
            "link.test": ["fe80::7%lo"],
        }
        got = names.ask(*wanted)
        for name, addresses in wanted.items():
            equal(sorted(got[name].addresses) if name in got else None, addresses, f"name: {name}")
        equal(got["one.test"].lives, 100000, "name: the least time to live of a chain is it")
        equal(got["localhost"].lives, 60000, "name: what is in hosts lives a minute")
        many = names.ask("hundred.test")
        ok(len(many.addresses) == 16 and set(many.addresses) <= set(hundred), "name: of a hundred addresses it has 16")
        ok(("hundred.test", ns.A, True) in [a[:3] for a in server.asked], "name: what was cut is asked for by TCP")
        ok(("hundred.test", ns.A, False) in [a[:3] for a in server.asked], "name: and by UDP before")
        equal([a for a in server.asked if a[0].startswith(("here", "link", "localhost"))], [], "name: a name in hosts is not asked for")
        # Whoever owns wrong.test would have it.
        equal(names.ask("nx.test").wrong, "there is no such name", "name: one that is none")
        equal([a for a in server.asked if a[0].endswith("wrong.test")], [], "name: search domains are not used")
        equal(names.said, [], "name: nothing is said")


def wrong():
    etc()
    code = lambda c: lambda q: q.answer(code=c)
    zone = say(nx_test=None, empty_test=[], fail_test=code(ns.SERVFAIL), refuse_test=code(ns.REFUSED), not_test=code(ns.NOTIMP),
               silent_test=lambda q: None, loop_test=lambda q: q.answer([ns.record(q.name, ns.CNAME, 9, ns.encode(q.name))]),
               half_test=lambda q: q.kind == ns.A and q.answer(ns.addresses(q.name, 300, "192.0.2.1")))
    wanted = {
        "nx.test": "there is no such name",
        "empty.test": "the name has no address",
        "loop.test": "the name has no address",
        "fail.test": FAILS,
        "refuse.test": REFUSES,
        "silent.test": SILENT,
    }
    with ns.Server(zone), Names() as names:
        got = names.ask(*wanted, "not.test", "half.test")
        for name, text in wanted.items():
            equal(got[name].wrong, anyhow(got[name].wrong, text), f"wrong: {name}")
            equal(got[name].lives, 10000, f"wrong: {name}: lives 10 s")
        ok(got["not.test"].wrong, "wrong: a server that cannot")
        equal(got["half.test"].addresses, ["192.0.2.1"], "wrong: one kind of address that is not answered costs time alone")
        ok(got["half.test"].took < 2000, "wrong: and not all of it")
        ok(got["fail.test"].took < 1000, "wrong: who fails does not wait for who is silent")
        ok(got["silent.test"].took < 2000, "wrong: silence is an answer in time")


def dead():
    etc()
    with Names() as names:
        got = names.ask("a.test")
        equal((got.wrong, got.took < 1000), (anyhow(got.wrong, ANYHOW), True), "dead: a port that refuses is said at once")
    etc("127.0.0.54 127.0.0.55 127.0.0.53")
    with ns.Server(say(a_test=["192.0.2.1"])), ns.Server(lambda q: None, "127.0.0.55"), Names() as names:
        got = names.ask("a.test")
        equal((got.addresses, got.took < 2000), (["192.0.2.1"], True), "dead: of three name servers one lives")


def slow():
    etc()
    wakes = time.monotonic() + 3
    late = lambda q: ns.later(max(0, wakes - time.monotonic()), lambda: q.answer(ns.addresses(q.name, 300, "192.0.2.1")))
    with ns.Server(say(slow_test=late, quick_test=["192.0.2.2"])), Names(10000) as names:
        got = names.ask("slow.test", "quick.test")
        ok(got["quick.test"].took < 1000, "slow: who is not behind it does not wait") or nmtest.diag(got)
        equal(got["slow.test"].addresses, ["192.0.2.1"], "slow: an answer after 3 s is one") or nmtest.diag([got, names.said])
        # c-ares asks again meanwhile, and 1.34 takes the answer to what it asked last.
        ok(2000 <= got["slow.test"].took < 10000, "slow: and comes in time") or nmtest.diag(got)


def lies():
    """Each followed by the truth: whatever is no answer to the question changes nothing."""
    etc()
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind(("127.0.0.66", 53))
    evil = lambda q: ns.addresses(q.name, 300, "203.0.113.66", "2001:db8::66")

    def forged(query):
        flipped = bytes([query.id[0] ^ 1, query.id[1]])
        query.answer(evil(query), id=flipped)
        name = ns.encode("evil.test") + query.packet[query.end - 4 : query.end]
        query.answer(ns.addresses("evil.test", 300, "203.0.113.66", "2001:db8::66"), question=name)
        body = struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + query.packet[12 : query.end]
        whole = query.id + body + evil(query)[query.kind == ns.AAAA]
        other.sendto(whole, query.peer)  # from another address
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
            port.bind(("127.0.0.53", 0))
            port.sendto(whole, query.peer)  # from another port
        ns.later(0.2, lambda: query.answer(ns.addresses(query.name, 300, "192.0.2.1")))

    def garbage(query):
        for raw in (b"", b"x", query.id, query.id + b"\x81\x80", query.id + os.urandom(60), os.urandom(3000), flipped_header(query)):
            query.answer(raw=raw)
        ns.later(0.2, lambda: query.answer(ns.addresses(query.name, 300, "192.0.2.1")))

    def flipped_header(query):
        return bytes([query.id[1] ^ 0xFF, query.id[0]]) + query.packet[2:]

    def pointer(query):
        """Compression that points at itself, and records longer than the packet."""
        ring = query.id + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + query.packet[12 : query.end] + b"\xc0" + bytes([query.end])
        query.answer(raw=ring + struct.pack(">HHIH", query.kind, 1, 9, 65535) + b"x")

    # What is no answer by its id is no answer; what is one and rubbish may end the look-up, with nothing.
    with ns.Server(say(forged_test=forged, garbage_test=garbage, ring_test=pointer, a_test=["192.0.2.1"])), Names() as names:
        equal(names.ask("forged.test").addresses, ["192.0.2.1"], "lies: another id, name, address and port are no answer")
        got = names.ask("garbage.test")
        ok(got.wrong or got.addresses == ["192.0.2.1"], "lies: garbage is no address")
        ok(names.ask("ring.test").wrong, "lies: a ring of pointers is no address")
        equal(names.ask("a.test").addresses, ["192.0.2.1"], "lies: it goes on")
        equal(names.said, [], "lies: and the process has not died")
    other.close()


def garbage():
    """Packets that differ from right ones by some bytes: no crash, and never an address that was not sent."""
    import random

    etc()
    chance, seen = random.Random(4146), []

    def handler(query):
        good = query.id + struct.pack(">HHHHH", 0x8180, 1, 2, 0, 0) + query.packet[12 : query.end]
        good += ns.record(query.name, ns.CNAME, 9, ns.encode("x.test")) + ns.addresses("x.test", 9, "192.0.2.1", "2001:db8::1")[query.kind == ns.AAAA]
        bad = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            bad[chance.randrange(2, len(bad))] = chance.choice((0, 0xC0, 0xFF, 12, chance.randrange(256)))
        query.answer(raw=bytes(bad[: chance.choice((len(bad), len(bad), chance.randrange(12, len(bad))))]))

    with ns.Server(handler), Names(1000) as names:
        for turn in range(4):
            seen += names.ask(*(f"g{turn}-{i}.test" for i in range(100))).values()
        equal((len(seen), names.said), (400, []), "lies: 400 names with broken answers are answered, and nothing died")


# ---- Time to live ----


def lives():
    etc()
    ttl = lambda seconds: lambda q: q.answer(ns.addresses(q.name, seconds, "192.0.2.1"))
    zone = say(zero_test=ttl(0), one_test=ttl(1), top_test=ttl(1 << 31), all_test=ttl((1 << 32) - 1), long_test=ttl(864000), day_test=ttl(3600), nx_test=None)
    with ns.Server(zone) as server, Names() as names:
        wanted = {"zero.test": 1000, "one.test": 1000, "top.test": 1000, "all.test": 1000, "long.test": 86400000, "day.test": 3600000, "nx.test": 10000}
        got = names.ask(*wanted)
        # RFC 2181, 8: with its highest bit set it is 0. c-ares 1.34 has it as the longest instead, which is a day.
        for name in ("top.test", "all.test"):
            if got[name].lives == 86400000:
                wanted[name] = 86400000
        equal({name: a.lives for name, a in got.items()}, wanted, "lives: at least a second, at most a day")
        names.ask(*wanted)
        equal({name: server.count(name) for name in wanted}, dict.fromkeys(wanted, 1), "lives: not asked for again before it is over")
        time.sleep(1.1)
        names.ask(*wanted)
        equal({name: server.count(name) for name in wanted}, {n: 2 if l == 1000 else 1 for n, l in wanted.items()}, "lives: asked for again when it is over")
        names.tell(*["shared.test"] * 50)
        equal((len(names.answers(50)), server.count("shared.test")), (50, 1), "lives: fifty who ask at once share a question")


def invalid():
    etc()
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    good = [longest, longest + ".", "a" * 63 + ".test", "x-y_z.test", "3com.test", "1.2.3.com"]
    bad = ["", ".", "..", "a..test", ".a.test", "a.test..", longest + "b", longest + "b.", "a" * 64 + ".test", "a b.test", "a\x01.test",
           "a\x7f.test", "j\u00f6rg.test", "a\udcff.test", "-a.test", "a-.test", "a.test/x", "a@b.test", "a\\.test", "192.0.2.1", "127.1", "1.2.3.4.5",
           "0x7f.1", "::1", "fe80::1%lo", "*.test", "a.test:79"]
    with ns.Server(say(**{n.rstrip(".").replace(".", "_").replace("-", "_"): ["192.0.2.1"] for n in good})) as server, Names() as names:
        for name in good:
            equal(names.ask(name).addresses, ["192.0.2.1"], f"name: {len(name)} bytes, {name[:20]}")
        asked = len(server.asked)
        names.tell(*bad)
        texts = [a.wrong or a.addresses for a in names.answers(len(bad))]
        equal([t for t in texts if not str(t).startswith("it is no name")], [], "name: what is none is refused")
        equal(len(server.asked), asked, "name: and not asked for")


# ---- Files that change ----


def changes():
    etc(hosts="192.0.2.1 h.test\n")
    with ns.Server(say(a_test=["192.0.2.1"])), ns.Server(say(a_test=["192.0.2.2"], b_test=["192.0.2.2"]), "127.0.0.55"), Names() as names:
        equal([a.addresses for a in names.ask("a.test", "h.test").values()].count(["192.0.2.1"]), 2, "changes: as it was")
        before = names.resolver()
        ns.put("/etc/other", "")
        etc("127.0.0.55", hosts="192.0.2.2 i.test\n")
        ok(until(lambda: not nmtest.is_alive(before), 10), "changes: a process that has read what was changed ends")
        got = names.ask("b.test", "i.test")
        equal([a.addresses for a in got.values()], [["192.0.2.2"]] * 2, "changes: the next one has read it anew")
        equal(names.ask("a.test").addresses, ["192.0.2.1"], "changes: what is known stays known")
        names.tell("reload")
        equal(names.ask("a.test").addresses, ["192.0.2.2"], "changes: reload forgets it")
        # Written in place, as some do.
        before = names.resolver()
        Path("/etc/hosts").write_text("192.0.2.3 j.test\n")
        ok(until(lambda: not nmtest.is_alive(before), 10), "changes: a file written in place: it ends")
        equal(names.ask("j.test").addresses, ["192.0.2.3"], "changes: a file written in place")
        before = names.resolver()
        ns.put("/etc/other", "x")
        time.sleep(0.3)
        equal(names.resolver(), before, "changes: another file is none")
        equal(names.said, [], "changes: nothing is said")
    # A link to somewhere else, as systemd-resolved and NetworkManager have it.
    os.makedirs("/etc/run", exist_ok=True)
    ns.put("/etc/run/resolv.conf", "nameserver 127.0.0.53\n")
    os.unlink("/etc/resolv.conf")
    os.symlink("run/resolv.conf", "/etc/resolv.conf")
    with ns.Server(say(a_test=["192.0.2.2"]), "127.0.0.55"), Names() as names:
        ok(names.ask("b.test").wrong in (SILENT, ANYHOW), "changes: by a link")
        before = names.resolver()
        ns.put("/etc/run/resolv.conf", "nameserver 127.0.0.55\n")
        ok(until(lambda: not nmtest.is_alive(before), 10), "changes: of what the link leads to: it ends")
        equal(names.ask("a.test").addresses, ["192.0.2.2"], "changes: of what the link leads to")
    os.unlink("/etc/resolv.conf")


# ---- A process that does not do what it should ----


def killed():
    etc()
    late = lambda q: ns.later(0.7, lambda: q.answer(ns.addresses(q.name, 300, "192.0.2.1")))
    with ns.Server(say(slow_test=late, silent_test=lambda q: None)) as server, Names(4000) as names:
        names.tell("slow.test")
        until(lambda: server.count("slow.test"), 10)
        os.kill(names.resolver(), signal.SIGKILL)
        (got,) = names.answers(1)
        equal(got.addresses, ["192.0.2.1"], "killed: the next one is asked")
        ok(got.took < 4000 + SLACK, "killed: and answers in time")
        equal(names.said, ["the process that looks up names was killed by signal 9: it is started anew"], "killed: it is said")
        for i in range(4):
            os.kill(names.resolver(), signal.SIGKILL)
            begun = time.monotonic()
            got = names.ask(f"x{i}.test")
            ok(got.took < 4000 + SLACK, f"killed: time {i + 2}: an answer")
        equal(len(names.said), 1, "killed: it is said once")
        # Over and over: the time is up, and nobody waits longer.
        stop = time.monotonic() + 5
        names.tell("silent.test")
        while time.monotonic() < stop:
            for pid in nmtest.children_of(names.process.pid):
                nmtest.kill(pid)
            time.sleep(0.01)
        (got,) = names.answers(1)
        equal(got.wrong, "the process that looks up names did not answer in time", "killed: over and over: it is said in time")
        ok(got.took < 4000 + SLACK, "killed: over and over: nobody waits longer") or nmtest.diag(got)


def stopped():
    etc()
    with ns.Server(say(a_test=["192.0.2.1"], b_test=["192.0.2.2"])), Names(1000) as names:
        names.ask("a.test")
        first = names.resolver()
        os.kill(first, signal.SIGSTOP)
        names.tell("many 600")  # more than its queue takes
        line = names.line(10).split()
        equal(line[:3], ["many", "600", "600"], "stopped: each has an answer")
        ok(int(line[3]) < 1000 + SLACK, "stopped: in time") or nmtest.diag(line)
        equal(names.said, ["the process that looks up names hangs: it is started anew"], "stopped: it is said")
        equal(names.ask("b.test").addresses, ["192.0.2.2"], "stopped: the next one answers")
        ok(names.resolver() != first and not nmtest.is_alive(first), "stopped: it was killed")


RUBBISH = ("small", "large", "unknown", "local", "mapped", "scope", "count", "none", "rest", "behind", "wrong", "both")
SAID_RUBBISH = "the process that looks up names sent rubbish: it is started anew"


def taken_over():
    """Whatever it sends, the look-up ends, at once if it says something; and the next is another process."""
    etc()
    for what in RUBBISH:
        with Names(700, TAKEN) as names:
            equal(names.ask("right.test").addresses, ["192.0.2.66"], f"S6: {what}: before")
            first = names.resolver()
            got = names.ask(f"{what}.test")
            ok(got.wrong and got.took < 700 + SLACK, f"S7: {what}: no address, in time") or nmtest.diag(got)
            equal(names.said, [SAID_RUBBISH], f"S7: {what}: is said")
            ok(not nmtest.is_alive(first), f"S7: {what}: it is killed")
    with Names(2000, TAKEN) as names:
        got = names.ask("huge.test")
        equal((got.addresses, got.lives), (["192.0.2.66"], 86400000), "S7: it can lie about addresses, for a day")
    for what in ("twice", "flood"):
        with Names(2000, TAKEN) as names:
            equal(names.ask(f"{what}.test").addresses, ["192.0.2.66"], f"S7: {what}: one answer is taken")
            equal(names.ask("right.test").addresses, ["192.0.2.66"], f"S7: {what}: it goes on")
            equal(names.said, [SAID_RUBBISH], f"S7: {what}: is said")
    for what, said in (("empty", 1), ("leave", 0), ("crash", 1), ("silent", 1)):
        with Names(700, TAKEN) as names:
            got = names.ask(f"{what}.test")
            ok(got.wrong and got.took < 700 + SLACK, f"S7: {what}: an answer in time") or nmtest.diag(got)
            names.ask("right.test")
            equal(len(names.said), said, f"S7: {what}: is said if it was not meant to be") or nmtest.diag(names.said)


def calls():
    etc()
    with socket.socket() as finger, Names(5000, TAKEN) as names:
        finger.bind(("127.0.0.1", 79))
        finger.listen()
        got = names.ask("calls.test").addresses
        text = b"".join(socket.inet_pton(socket.AF_INET6 if ":" in a else socket.AF_INET, a) for a in got).rstrip(b"\0").decode()
        equal(text.split(":")[1:], [""], f"S7: each call that it has no need of is refused, {text.split(':')[0]}")
        ok(int(text.split()[0]) > 50, "S7: all were tried")


def confined():
    etc()
    with ns.Server(say(a_test=["192.0.2.1"])), Names() as names:
        names.ask("a.test")
        pid = names.resolver()
        status = status_of(pid)
        wanted = {"Seccomp": 2, "NoNewPrivs": 1, "CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapAmb": 0, "SigBlk": 0}
        equal({key: int(status[key], 16) for key in wanted}, wanted, "S7: no capability, no new privileges, a filter")
        until(lambda: len(os.listdir(f"/proc/{pid}/fd")) == 6, 5)  # the last socket is closed behind the answer
        fds = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{pid}/fd")}
        equal(fds, {0: "/dev/null", 1: "/dev/null", 2: "/dev/null", 3: "socket", 4: "anon_inode", 5: "anon_inode"}, "S7: its descriptors")
        equal(Path(f"/proc/{pid}/environ").read_bytes(), b"", "S7: no environment")
        equal(Path(f"/proc/{pid}/cmdline").read_bytes(), b"nmnotify-relay-names\0", "S7: no arguments")
        limits = Path(f"/proc/{pid}/limits").read_text()
        ok(f"Max data size             {64 << 20}" in limits, "S4: its memory has a bound")
        equal(len(nmtest.children_of(names.process.pid)), 1, "S7: one process")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        program = shutil.copy(NAMES, place)
        with ns.Server(say()), Names(program=program, user=NOBODY) as names:
            names.ask("nx.test")
            owner = os.stat(f"/proc/{names.resolver()}/fd").st_uid
            equal((status_of(names.resolver())["Uid"].split()[0], owner), (str(NOBODY), 0), "S7: not dumpable")
    for program in (NAMES, TAKEN):
        names = Names(60000, program)
        names.tell("stay.test")
        pid = names.resolver()
        names.process.kill()
        names.process.wait()
        ok(until(lambda: not nmtest.is_alive(pid), 10), f"S7: it dies with the relay, {program.name}")


def lazily():
    etc()
    with Names() as names:
        time.sleep(0.2)
        equal(nmtest.children_of(names.process.pid), [], "name: no process before the first name")
        names.tell("-")
        names.answers(1)
        equal(nmtest.children_of(names.process.pid), [], "name: nor for what is none")


# ---- Many ----


def memory_of(pid):
    return int(status_of(pid)["VmRSS"].split()[0])


def many():
    etc()
    with ns.Server(lambda q: q.answer(ns.addresses(q.name, 300, "192.0.2.1"))) as server, Names(8000) as names:
        names.tell("many 1000")
        got = names.line(20).split()
        equal(got[:3], ["many", "1000", "0"], "S4: a thousand names at once are looked up") or nmtest.diag(names.said)
        asked = len(server.asked)
        nmtest.diag(f"1,000 names in {got[3]} ms; relay {memory_of(names.process.pid)} KiB, resolver {memory_of(names.resolver())} KiB")
        nmtest.diag(f"{len({a[3] for a in server.asked})} source ports")
        names.tell("many 1000")
        got = names.line(20).split()
        equal((got[:3], len(server.asked)), (["many", "1000", "0"], asked), "S4: and then known")
        nmtest.diag(f"1,000 known names in {got[3]} ms")
        names.tell("reload", "many 6000")
        got = names.line(20).split()
        equal(got[:3], ["many", "6000", "4976"], "S4: of 6,000 all have an answer, and 1,024 have been looked up")
        names.tell("many 70000")
        got = names.line(30).split()
        equal(got[:2], ["many", "70000"], "S4: 70,000 at once all have an answer")
        for turn in range(5):
            names.tell("reload", f"many {1000 + turn}")
            names.line(20)
        equal(names.said, [], "S4: nothing is said")


if not BUILD.joinpath("tests", "names").exists():
    skip("names", "built without the relay")
    nmtest.done()
if not ns.private_network():
    skip("names", "it takes root, and namespaces")
    nmtest.done()
nmtest.run(right, wrong, dead, slow, lies, garbage, lives, invalid, changes, killed, stopped, taken_over, calls, confined, lazily, many)
