#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Each command and setting in README.md, the pages and the comments of what is shipped is one that a test takes from
there, and tries; or one that a test names as only shown, with the reason. Needs no container, nor root."""

import sys

sys.dont_write_bytecode = True
from documents import Documents, takes
import nmtest
from nmtest import PROJECT, equal

docs = Documents()
# Of the relay, what relay.t does not type.
MAIL = "a mail system's configuration, which is not installed here"
docs.shown("man/nmnotify-relay.8", "notifysocket:", "\\alice, ", "cc ", "TRAP=", "service imap {", why=MAIL)
docs.shown("man/nmnotify.8", "InaccessiblePaths=", why="a drop-in's line; services_users.t has such directories")
docs.shown("man/nmnotify-relay.8", "users owed", why="the form of the status")
docs.shown("man/nmnotify-relay.8", "systemctl reload\n", "systemctl status\n", why="a name; relay.t reloads")
docs.shown("man/nmnotify-relay.8", "systemctl status nmnotifyd.socket", why="what to look at on the other machine")
docs.shown("units/nmnotify-relay-cyrus.socket", "notifysocket:", why=MAIL)
docs.shown("units/nmnotify-relay-biff.socket", "ListenDatagram=", why="a part of what the unit has")
docs.shown("units/nmnotify-relay-logs.service", "PrivateUsers=no", why="guest.t has it from the page")
docs.shown("units/nmnotify-relay.service", "ProcSubset=    ", "ReadWritePaths=", why="what is not there, and why")
docs.shown(
    "units/nmnotify-relay.conf", "   alice   last", "bob", "trust", "never", "strip-domain", "interval", "last-for", "source",
    why="unit/relay_conf.c reads each line",
)
docs.shown(
    "man/nmnotify-relay.conf.5", "user  alice  192.0.2.7\n", "user   dora", "never  default", "user   alice   last\n", "user   bob    home",
    "password-file", "socket  /tmp", why="unit/relay_conf.c reads each line",
)
docs.shown("man/nmnotify-relay.conf.5", "warning: user:", why="what the program says")
docs.shown("man/nmnotifyctl.8", "--metrics >", why="ctl_metrics.t reads what it writes")
docs.shown("man/nmnotify-relay-logs.8", "login=failed user=USER", why="the form of the log")
docs.shown("man/nmnotify-relay-logs.8", "systemctl status nmnotify-relay-logs", "journalctl -o verbose", why="what to look at")
tests = [path for path in sorted((PROJECT / "tests").rglob("*.t")) if "python3" in path.read_text().splitlines()[0]]
asked = {(name, part, test) for test in tests for name, part in takes(test) if name in docs.blocks}


def each_part_is_of_one_block():
    several = {f"{test.name}: {name}: {part}" for name, part, test in asked if len(docs.find(name, part)) != 1}
    equal(sorted(several), [], "what a test asks for is one block of its document")


def each_block_is_tried():
    for name, blocks in docs.blocks.items():
        taken = [block for of, part, _ in asked if of == name for block in docs.find(name, part)]
        left = [block.splitlines()[0].strip() for block in blocks if block not in taken]
        equal(left, [], f"{name}: every command and setting is run, or is known not to be")


nmtest.run(each_part_is_of_one_block, each_block_is_tried)
