#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Who asks the relay what it is doing is answered, whatever it is doing; and whoever asks, and however, keeps it from
nothing (S1, S4)."""

import json
import os
import signal
import socket
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import nmtest
from nmtest import equal, ok, skip, until
from redis_server import Redis
from relay import QUICK, Asked, Machine, answer_of, as_user, connect


def numbers():
    with Machine() as machine, Asked(f"{QUICK}user alice {machine}\nuser bob 127.0.0.8:1\nuser carol nobody.invalid\n") as relay:
        first = relay.ask()
        equal((first["format"], first["owed"], first["connections"]), (1, {"users": 0, "destinations": 0}, 0), "nothing is owed")
        equal(first["unreachable"], {"total": 0, "more": 0, "list": []}, "nobody is unreachable")
        equal(first["configuration"], {"file": str(relay.conf), "read": first["since"], "refused": None, "reason": None},
              "the configuration is that of the start")
        ok(abs(first["now"] - time.time()) < nmtest.PATIENCE and first["since"] <= first["now"], "the time is now")
        equal([(one["kind"], one["place"]) for one in first["sockets"]],
              [("event", str(relay.path)), ("status", str(relay.status))], "it says which sockets it has")
        relay.tell("mail alice")
        relay.tell("login alice 192.0.2.9")
        relay.tell("rubbish")
        relay.tell("mail bob")
        relay.tell("mail carol")
        ok(until(lambda: relay.ask()["unreachable"]["total"] == 2), "who does not answer is counted")
        ok(until(lambda: relay.ask()["counts"]["told"] == 1), "and what was told")
        said = relay.ask()
        equal({name: said["counts"][name] for name in ("events", "logins", "refused", "lost", "given_up")},
              {"events": 3, "logins": 1, "refused": 1, "lost": 0, "given_up": 0}, "events, logins and refusals are counted")
        equal(said["owed"], {"users": 2, "destinations": 2}, "users and destinations that are owed a line")
        bob = next(one for one in said["unreachable"]["list"] if one.get("address") == "127.0.0.8")
        equal((bob["port"], bob["protocol"], bob["reason"]), (1, "tcp", "Connection refused"), "an address, and why not")
        ok(bob["failures"] >= 1 and first["now"] <= bob["since"] <= said["now"], "since when, and how often")
        carol = next(one for one in said["unreachable"]["list"] if one.get("name") == "nobody.invalid")
        ok(carol["port"] == 79 and carol["reason"], "a name, and why not")
        ok(said["names"]["process"], "names are looked up")
        store = said["stores"][0]
        equal((store["name"], store["kind"], store["away"], store["reason"]), (f"lmdb:{relay.state}/last", "lmdb", False, None),
              "the store is there")
        equal(store["users"], 1, "how many users' last addresses it has")
        relay.tell("login alice 192.0.2.10")
        relay.tell("login dave 192.0.2.11")
        ok(until(lambda: relay.ask()["counts"]["logins"] == 3), "two more logins")
        equal(relay.ask()["stores"][0]["users"], 2, "of which one is another user's")


def told(answer):
    """(where, is it told, why not) of each destination."""
    return [(one.get("address", one.get("name")), one["told"], one["why_not"]) for one in answer["destinations"]]


def users():
    with Machine() as machine, Asked(f"""{QUICK}strip-domain yes
user alice {machine} localhost:{machine.port} nobody.invalid
user bob last 2 192.0.2.7
user carol last:7 127.0.0.8:1
user nobody none
user *.fixed [2001:db8::1]:8
""") as relay:
        answer = relay.ask("user alice@example.org\n")
        equal((answer["format"], answer["user"]), (1, "alice"), "a user, without his domain")
        lines = relay.conf.read_text().splitlines()
        line = next(i for i, text in enumerate(lines, 1) if text.startswith("user alice"))
        equal(answer["said"], {"by": "line", "file": str(relay.conf), "line": line, "pattern": "alice"}, "which line it is")
        equal(told(answer), [("127.0.0.1", True, None), ("localhost", True, None), ("nobody.invalid", True, None)],
              "where his line goes")
        ok(until(lambda: relay.ask("user alice\n")["destinations"][2]["reason"] not in (None, "it is being looked up")),
           "a name that is not there, and why")
        # `never` of the test does not have the default in it.
        ok(until(lambda: {"address": "127.0.0.1", "told": True, "why_not": None}
                 in relay.ask("user alice\n")["destinations"][1]["addresses"]), "a name's addresses")
        equal(answer["owed"], None, "he is owed nothing")
        equal((relay.ask("user erin.fixed\n")["said"]["pattern"], told(relay.ask("user erin.fixed\n"))),
              ("*.fixed", [("2001:db8::1", True, None)]), "a pattern")
        equal((relay.ask("user nobody\n")["said"]["pattern"], told(relay.ask("user nobody\n"))), ("nobody", []), "none")
        equal((relay.ask("user frank\n")["said"], told(relay.ask("user frank\n"))), (None, []), "nobody says anything")

        equal(told(relay.ask("user bob\n")), [("192.0.2.7", True, None)], "who has not logged in, and has another target")
        for last in (3, 2, 1):
            relay.tell(f"login bob 192.0.2.{last + 100}")
            ok(until(lambda: relay.ask("user bob\n")["logins"][:1] == []
                     or relay.ask("user bob\n")["logins"][0]["address"] == f"192.0.2.{last + 100}"), "a login is seen")
        answer = relay.ask("user bob\n")
        equal(told(answer), [("192.0.2.101", True, None), ("192.0.2.102", True, None), ("192.0.2.103", False, "beyond"),
                             ("192.0.2.7", False, "spared")], "who has logged in")
        equal([(one["address"], one["valid"]) for one in answer["logins"]],
              [(f"192.0.2.{last + 100}", True) for last in (1, 2, 3)], "from where, the last first")
        ok(all(abs(one["at"] - time.time()) < 2 * nmtest.PATIENCE for one in answer["logins"]), "and when")

        relay.tell("mail carol")
        ok(until(lambda: (relay.ask("user carol\n")["owed"] or {"list": []})["list"]), "what is owed")
        ok(until(lambda: relay.ask("user carol\n")["owed"]["list"][0]["failures"]), "that it failed")
        owed = relay.ask("user carol\n")["owed"]
        ok(owed["routed"] and owed["ends"] >= owed["since"] + 3599, "how long it is owed")
        # Between two tries; while it is tried there is no next one.
        ok(until(lambda: relay.ask("user carol\n")["owed"]["list"][0]["next_ms"] is not None), "when it is tried again")
        one = relay.ask("user carol\n")["owed"]["list"][0]
        equal((one["address"], one["port"], one["reason"]), ("127.0.0.8", 1, "Connection refused"), "where, and why not")


def excluded():
    """What was a login before `never` was changed."""
    with Asked(f"{QUICK}user * last 3\n") as relay:
        for address in ("198.51.100.7", "127.0.0.9", "192.0.2.50"):
            relay.tell(f"login alice {address}")
        ok(until(lambda: len(relay.ask("user alice\n")["logins"]) == 3), "logins are known")
        relay.configure("never default 198.51.100.0/24\nuser * last 3\n")
        relay.process.send_signal(signal.SIGHUP)
        ok(until(lambda: not all(is_told for _, is_told, _ in told(relay.ask("user alice\n")))), "and excluded by a reload")
        answer = relay.ask("user alice\n")
        equal(sorted((one["address"], one["why_not"], one.get("network")) for one in answer["destinations"]),
              [("127.0.0.9", "never-default", "127.0.0.0/8"), ("192.0.2.50", None, None),
               ("198.51.100.7", "never", "198.51.100.0/24")], "S6: by which networks")


def hostile():
    """Names of any bytes, which are also in what it says of a destination that is not there."""
    with Asked(f"{QUICK}user * 127.0.0.8:1\n") as relay:
        for name, text in ((b'"},{\\\\', '"},{\\\\'), (b"\xff\xfe", "\\xff\\xfe"), ("zürich".encode(), "zürich"),
                           (b"a" * 254, "a" * 254), (b"\x80" * 254, "\\x80" * 254), (b"${jndi:x} 'or'1'='1 <b>",
                                                                              "${jndi:x} 'or'1'='1 <b>")):
            connection = connect(relay.status)
            relay.tell(b"mail " + name)
            connection.sendall(b"user " + name + b"\n")
            got = answer_of(connection)
            ok(all(32 <= byte < 127 for byte in got[:-1]) and got[-1:] == b"\n", "a line of ASCII")
            equal(json.loads(got)["user"], text, f"a name of any bytes: {name[:8]!r}")


def others_away():
    """What would answer does not: who asks is answered in time, and who has gone is not waited for."""
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    with Machine() as machine, Asked(
            f"{QUICK}store redis://127.0.0.1:{silent.getsockname()[1]}\nuser alice {machine}\nuser * last\n") as relay:
        for _ in range(8):
            client = connect(relay.status)
            client.sendall(b"user bob\n")
            client.close()
        answer = relay.ask("user bob\n")
        equal((answer["remembered"], answer["incomplete"]), (True, True), "the store is away, and may know more")
        ok(relay.tells("alice", machine), "S1: it tells")
        relay.tell("mail bob")
        ok(until(lambda: (relay.ask("user bob\n")["owed"] or {"routed": True})["routed"] is False),
           "it is owed, and nobody knows where to")
    silent.close()


def store_hangs():
    """It is there, and then does not answer: whoever asks, and goes, takes a place as long as the store may take."""
    with tempfile.TemporaryDirectory(prefix="nmstatus.") as place, Redis(place) as redis, Machine() as machine, Asked(
            f"{QUICK}store redis+unix:{redis.path}\nuser alice {machine}\nuser * last\n") as relay:
        ok(until(lambda: not relay.ask()["stores"][0]["away"]), "a store that is shared is there")
        relay.tell("login bob 192.0.2.100")
        ok(until(lambda: relay.ask("user bob\n")["logins"] == [{"address": "192.0.2.100", "at": None, "valid": True}]
                 and not relay.ask("user bob\n")["remembered"]), "what it knows, but for the time")
        redis.signal(signal.SIGSTOP)
        client = connect(relay.status)
        client.sendall(b"user bob\n")
        client.close()
        time.sleep(0.1)  # so that it is gone, most of the time, before the next one comes
        equal(relay.ask("user dora\n")["user"], "dora", "whoever comes then is not answered for who has gone")
        for _ in range(8):
            client = connect(relay.status)
            client.sendall(b"user bob\n")
            client.close()
        ok(relay.tells("alice", machine), "S1: it tells while the store hangs")
        answer = relay.ask("user bob\n")
        equal((answer["remembered"], [one["address"] for one in answer["logins"]]), (True, ["192.0.2.100"]),
              "the answer is from memory then")
        redis.signal(signal.SIGCONT)
        ok(until(lambda: not relay.ask()["stores"][0]["away"]), "when it goes on, it is there again")
        redis.signal(signal.SIGSTOP)
        waiting = connect(relay.status)
        waiting.sendall(b"user bob\n")
        equal(relay.kill(signal.SIGTERM), 0, "SIGTERM: it ends, while somebody waits for the store's answer")
        waiting.close()


def reloads():
    with Asked(f"{QUICK}user * none\n") as relay:
        relay.conf.write_text("rubbish\n")
        relay.process.send_signal(signal.SIGHUP)
        ok(until(lambda: relay.ask()["configuration"]["refused"]), "a configuration that was refused is said")
        ok("rubbish" in relay.ask()["configuration"]["reason"], "and why")
        relay.configure(f"{QUICK}user * none\n")
        relay.process.send_signal(signal.SIGHUP)
        ok(until(lambda: not relay.ask()["configuration"]["refused"]), "until the next one is read")
        equal(relay.ask()["configuration"]["reason"], None, "and nothing is wrong any more")


def away():
    with Asked(f"{QUICK}store redis://127.0.0.1:1\nuser * last\n") as relay:
        ok(until(lambda: relay.ask()["stores"][0]["away"]), "a store that is away is said to be")
        ok(relay.ask()["stores"][0]["reason"], "and why")


def rubbish():
    with Machine() as machine, Asked(f"{QUICK}user alice {machine}\n") as relay:
        for line in (b"\n", b"status", b"STATUS\n", b"status \n", b"user \n", b"user a\x00b\n", b"user " + b"a" * 300 + b"\n",
                     b"\xff" * 64 + b"\n", b"x" * 1000000, b"mail alice\n"):
            connection = connect(relay.status)
            try:
                connection.sendall(line)
                connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError, OSError):
                pass
            got = answer_of(connection)
            equal(list(json.loads(got)), ["error"], f"rubbish is answered by why: {line[:12]!r}")
        equal(relay.ask()["counts"]["events"], 0, "and is no event")
        # In pieces, and with more behind it.
        connection = connect(relay.status)
        for byte in b"status\n":
            connection.send(bytes([byte]))
            time.sleep(0.01)
        ok("owed" in json.loads(answer_of(connection)), "a line may come in pieces")
        ok("owed" in relay.ask(b"status\nstatus\nmore"), "what is behind it is not looked at")
        ok(relay.tells("alice", machine), "S1: it tells")


def silent():
    """Nobody of them says or reads anything, and there are more than are served at a time."""
    with Machine() as machine, Asked(f"{QUICK}user alice {machine}\n") as relay:
        quiet = [connect(relay.status) for _ in range(8)]
        ok(relay.tells("alice", machine), "S1: it tells, while silent clients keep their places")
        ok("owed" in relay.ask(), "who waits behind them has his turn, when their time is up")
        equal([answer_of(one) for one in quiet], [b""] * 8, "they get nothing")


def unread():
    """Its answer does not fit what the kernel keeps for the client, who does not read."""
    addresses = "".join(f"user u{i} 127.1.{i // 200}.{i % 200 + 1}:1\n" for i in range(1000))
    with Machine() as machine, Asked(f"{QUICK}{addresses}user alice {machine}\n") as relay:
        for i in range(1000):
            relay.tell(f"mail u{i}")
        ok(until(lambda: relay.ask()["unreachable"]["total"] == 1000), "a thousand destinations are dead")
        said = relay.ask()
        equal(said["owed"], {"users": 1000, "destinations": 1000}, "all of them are owed a line")
        equal((said["unreachable"]["more"], len(said["unreachable"]["list"])), (900, 100), "S4: the list is cut")
        since = [one["since"] for one in said["unreachable"]["list"]]
        equal(since, sorted(since), "who has failed for longest is first")
        stuck = []
        for _ in range(8):
            connection = socket.socket(socket.AF_UNIX)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            connection.connect(str(relay.status))
            connection.sendall(b"status\n")
            stuck.append(connection)
        ok(relay.tells("alice", machine), "S1: it tells, while nobody reads the answers")
        ok("owed" in relay.ask(), "who waits behind them has his turn")
        for connection in stuck:
            connection.close()


def many():
    with Machine() as machine, Asked(f"{QUICK}user alice {machine}\n") as relay:
        clients = [connect(relay.status) for _ in range(100)]
        for client in clients:
            client.sendall(b"status\n")
        ok(relay.tells("alice", machine), "S1: it tells, while a hundred ask")
        equal([list(json.loads(answer_of(client)))[0] for client in clients], ["format"] * 100, "all of them are answered")
        # Who goes away without a word, or in the middle.
        for i in range(100):
            client = connect(relay.status)
            client.send(b"status\n"[: i % 8] or b"s")
            client.close()
        ok("owed" in relay.ask(), "and so is who comes after a hundred that have gone")
        descriptors = len(os.listdir(f"/proc/{relay.process.pid}/fd"))
        ok(until(lambda: len(os.listdir(f"/proc/{relay.process.pid}/fd")) <= descriptors), "no descriptor is left")


def strangers():
    with Asked(f"{QUICK}user * none\n") as relay:
        equal(relay.status.stat().st_mode & 0o777, 0o600, "only its owner may connect")
        if not nmtest.is_root():
            skip("another user is refused", "takes root")
            return
        os.chmod(relay.dir, 0o755)

        def refused():
            try:
                connect(relay.status)
            except PermissionError:
                return True

        equal(as_user(65534, refused), 0, "another user cannot connect")
        relay.status.chmod(0o666)
        equal(as_user(65534, lambda: list(relay.ask()) == ["error"]), 0, "nor is he answered if the mode lets him")
        ok("owed" in relay.ask(), "root is")


def ends():
    """Who asks does not keep it from ending: he is answered before it does, or by the next one; not if a signal ends it."""
    with Asked(f"{QUICK}idle 1s\nuser * none\n", activated=True) as relay:
        ok("owed" in relay.ask(), "a socket that was handed over is answered at")

        held = []

        def has_ended():
            held.append(connect(relay.status))
            return relay.process.poll() is not None

        ok(until(has_ended, step=0.3), "idle: it ends, while somebody connects all the time")
        equal(relay.process.returncode, 0, "and nothing was wrong")
        for one in held:
            one.close()
        relay.start()
        ok("owed" in relay.ask(), "the next one serves who waits")
        connected = []
        while relay.process.poll() is None:
            connected.append(connect(relay.status))
            time.sleep(0.2)
            if len(connected) > 2:
                connected[-3].sendall(b"status\n")
        relay.start()
        for one in connected[-2:]:
            one.sendall(b"status\n")
        answers = [json.loads(answer_of(one)) for one in connected]
        ok(all("owed" in one for one in answers), f"idle: {len(answers)} who say late what they want are answered by this one or the next")
    with Asked(f"{QUICK}user * none\n") as relay:
        quiet = connect(relay.status)
        equal(relay.kill(signal.SIGTERM), 0, "SIGTERM: it ends, while somebody is connected")
        equal(answer_of(quiet), b"", "who gets the end")


nmtest.run(numbers, users, excluded, hostile, others_away, store_hangs, reloads, away, rubbish, silent, unread, many, strangers, ends)
