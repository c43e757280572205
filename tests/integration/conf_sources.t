#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Which account a connection is for: networks, by where it comes from and where it goes to."""

import re
import sys

sys.dont_write_bytecode = True
import nmtest
from conf import nothing_runs
from nmtest import Sandbox, equal, skip


# ---- Accounts and networks ----


def verdicts_by_source(name, lines, cases):
    """cases: what TCPREMOTEIP and TCPLOCALIP are, and the account that takes it, or None."""
    with Sandbox() as box:
        text = "interval 0s\nlimit 1000/s burst 100\n"
        for account, line in lines.items():
            text += f"account {account}\n{line}\naction {box.recorder()}\n"
        conf = box.config(text)
        for source, to, wanted in cases:
            env = {"TCPREMOTEIP": source} if source else {}
            if to:
                env["TCPLOCALIP"] = to
            before = len(box.runs())
            box.connect_and_run(conf, fds="unix", env=env)
            got = [r.account for r in box.runs()[before:]]
            equal(got, [wanted] if wanted else [], f"conf: {name}: {source or 'local'}{' to ' + to if to else ''}")


def networks():
    verdicts_by_source(
        "the first that matches",
        {"a": "from 192.0.2.7", "b": "from 192.0.2.0/24", "c": "from any"},
        [("192.0.2.7", None, "a"), ("192.0.2.8", None, "b"), ("192.0.3.7", None, "c"), (None, None, "c")],
    )
    verdicts_by_source(
        "IPv4",
        {"a": "from 192.0.2.128/25 198.51.100.5 10.0.0.0/8 203.0.113.4/30"},
        [
            ("192.0.2.127", None, None),
            ("192.0.2.128", None, "a"),
            ("192.0.2.255", None, "a"),
            ("192.0.3.0", None, None),
            ("198.51.100.5", None, "a"),
            ("198.51.100.4", None, None),
            ("10.255.255.255", None, "a"),
            ("11.0.0.0", None, None),
            ("203.0.113.3", None, None),
            ("203.0.113.4", None, "a"),
            ("203.0.113.7", None, "a"),
            ("203.0.113.8", None, None),
            ("::ffff:192.0.2.200", None, "a"),
            ("::192.0.2.200", None, None),
            ("2001:db8::1", None, None),
            (None, None, None),
        ],
    )
    verdicts_by_source(
        "IPv6",
        {"a": "from 2001:db8:25::/48 2001:db8:26::1 2001:db8:30::/45"},
        [
            ("2001:db8:25::1", None, "a"),
            ("2001:db8:25:ffff:ffff:ffff:ffff:ffff", None, "a"),
            ("2001:db8:24:ffff::", None, None),
            ("2001:db8:26::1", None, "a"),
            ("2001:db8:26::2", None, None),
            ("2001:db8:37:ffff::", None, "a"),
            ("2001:db8:38::", None, None),
            ("192.0.2.1", None, None),
        ],
    )
    verdicts_by_source(
        "IPv4 in IPv6",
        {"a": "from ::ffff:192.0.2.0/120", "b": "from ::ffff:198.51.100.1"},
        [
            ("192.0.2.9", None, "a"),
            ("::ffff:192.0.2.9", None, "a"),
            ("192.0.3.9", None, None),
            ("198.51.100.1", None, "b"),
            ("198.51.100.2", None, None),
        ],
    )
    verdicts_by_source(
        "all of a kind",
        {"a": "from 0.0.0.0/0", "b": "from ::/0", "c": "from local"},
        [
            ("192.0.2.1", None, "a"),
            ("::ffff:192.0.2.1", None, "a"),
            ("2001:db8::1", None, "b"),
            ("::1", None, "b"),
            (None, None, "c"),
        ],
    )
    verdicts_by_source(
        "link-local",
        {"a": "from fe80::%lo/64", "b": "from fe80::2", "c": "from fe80::3%7"},
        [
            ("fe80::1%lo", None, "a"),
            ("fe80::1%1", None, "a"),
            ("fe80::1%7", None, None),
            ("fe80::1", None, None),
            ("fe80::2%7", None, "b"),
            ("fe80::2", None, "b"),
            ("fe80::3%7", None, "c"),
            ("fe80::3%8", None, None),
        ],
    )
    verdicts_by_source(
        "to",
        {
            "a": "from any\nto 192.0.2.79",
            "b": "from 198.51.100.0/24\nto 192.0.2.0/24",
            "c": "from any\nto 2001:db8::79 ::ffff:203.0.113.79",
        },
        [
            ("198.51.100.1", "192.0.2.79", "a"),
            ("198.51.100.1", "192.0.2.80", "b"),
            ("198.51.101.1", "192.0.2.80", None),
            ("198.51.100.1", "2001:db8::79", "c"),
            ("198.51.100.1", "203.0.113.79", "c"),
            ("198.51.100.1", "2001:db8::80", None),
            ("198.51.100.1", None, None),
        ],
    )


def real_sockets():
    """What the kernel says, and not the environment, is what counts for an internet socket."""
    lying = {"TCPREMOTEIP": "192.0.2.1", "REMOTE_ADDR": "192.0.2.1", "TCPLOCALIP": "192.0.2.2"}
    with Sandbox() as box:
        text = (
            "interval 0s\nlimit 1000/s burst 100\n"
            f"account lied\nfrom 192.0.2.1\naction {box.recorder()}\n"
            f"account liedto\nfrom any\nto 192.0.2.2\naction {box.recorder()}\n"
            f"account two\nfrom 127.0.0.2\nto 127.0.0.3\naction {box.recorder()}\n"
            f"account one\nfrom 127.0.0.0/29\naction {box.recorder()}\n"
            f"account six\nfrom ::1\nto ::1\naction {box.recorder()}\n"
            f"account last\nfrom local\naction {box.recorder()}\n"
        )
        conf = box.config(text)

        def account(**how):
            before = len(box.runs())
            equal(box.connect_and_run(conf, **how), 0, f"conf: sockets: {how}")
            return [(r.account, r.source) for r in box.runs()[before:]]

        equal(account(env=lying), [("one", "127.0.0.1")], "conf: the environment does not count")
        equal(account(env={"TCPREMOTEIP": "nonsense"}), [("one", "127.0.0.1")], "conf: nor does nonsense in it")
        equal(account(source="127.0.0.2"), [("one", "127.0.0.2")], "conf: to another address")
        equal(account(source="127.0.0.2", to="127.0.0.3"), [("two", "127.0.0.2")], "conf: to an address")
        equal(account(source="127.0.0.9"), [], "conf: nobody takes it")
        equal(box.messages()[-1], "verdict=denied source=127.0.0.9", "log: denied")
        mapped = "::ffff:127.0.0.3"
        if nmtest.has_ipv6():
            equal(account(source="::1", to="::1"), [("six", "::1")], "conf: IPv6")
            equal(
                account(source="::ffff:127.0.0.2", to=mapped),
                [("two", "127.0.0.2")],
                "conf: an IPv4 address on an IPv6 socket is IPv4",
            )
        else:
            skip("conf: IPv6", "there is none here")
        for fds in ("unix", "pipe", "tty", "file"):
            how = {"fds": fds, "env": {}}
            equal(account(**how), [("last", "local")], f"conf: {fds} is local")
            equal(
                account(fds=fds, env={"TCPREMOTEIP": "127.0.0.5"}), [("one", "127.0.0.5")], f"conf: {fds}: TCPREMOTEIP"
            )
        equal(account(fds="unix", env={"REMOTE_ADDR": "127.0.0.6"}), [("one", "127.0.0.6")], "conf: REMOTE_ADDR")
        equal(
            account(fds="unix", env={"REMOTE_ADDR": "192.0.2.1", "TCPREMOTEIP": "127.0.0.7"}),
            [("one", "127.0.0.7")],
            "conf: TCPREMOTEIP comes before REMOTE_ADDR",
        )
        for name, value in (
            ("TCPREMOTEIP", "nonsense"),
            ("TCPREMOTEIP", ""),
            ("TCPREMOTEIP", "127.0.0.1 "),
            ("TCPREMOTEIP", "127.0.0.1/32"),
            ("TCPREMOTEIP", "any"),
            ("REMOTE_ADDR", "nonsense"),
            ("REMOTE_ADDR", "127.0.0.1:79"),
        ):
            nothing_runs(
                box,
                conf,
                f"{name}={value}",
                re.escape(f"{name} '{value}' is not an address"),
                fds="unix",
                env={name: value},
            )
        nothing_runs(
            box,
            conf,
            "TCPLOCALIP=nonsense",
            "TCPLOCALIP 'nonsense' is not an address",
            fds="unix",
            env={"TCPLOCALIP": "nonsense"},
        )


nmtest.run(networks, real_sockets)
