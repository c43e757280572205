#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The configuration: what it says, and that nothing runs if anything in it is wrong."""

import ctypes
import os
import re
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
import nmtest
from nmtest import BUILD, EX_CONFIG, EX_OSERR, LINE, NMNOTIFY, Sandbox, equal, is_root, ok, skip

PROGRAMS = (NMNOTIFY, BUILD / "nmnotifyd")

TIME = "is not a time such as 500ms, 10s, 5m, 2h or 1d"
LIMIT = "is not COUNT/PERIOD, such as 12/m, and perhaps burst NUMBER"
NAME = "is not a name: a letter or digit, then letters, digits, '.', '_' and '-', 32 at most"
CR_LF = "lines end in CR LF, as on Windows: save the file with LF alone, or convert it with dos2unix"
SPACE = "a no-break space, where a space is meant"
FORGED = "because an answer of the name service could change or be forged"
SEE = "nmnotify.conf(5) has them all"
PERIOD = "at this rate takes more than 7d to recover: write a shorter PERIOD"
WHOLE = "is not an absolute path: write it whole, from '/' on"
FOUR = "an IPv4 address has four numbers"

BACKSLASH = "a backslash ends the line, which cannot go on on the next one: write all on one line"


def quote(c):
    return f"a quote before it is not closed: write a second {c}, or \\{c} if it is meant as it is"


NO_TIMES = "1 s -1s 1.5s 1S 1w 0x1s 1ss +1s 99999999999999999999s".split()
NO_LIMITS = [
    "1", "1/", "/s", "0/s", "1/0s", "1/x", "-1/s", "1/s/s", "4294967296/s", "1/s 5", "1/s bust 5",
    "1/s burst", "1/s burst 0", "1/s burst x", "1/s burst 1x", "1/s burst 4294967296",
]  # fmt: skip
# A word of `from`, and what is said about it.
NO_NETWORKS = [
    ("nowhere", f"names are not looked up: write the address that 'getent hosts nowhere' shows, {FORGED}"),
    ("example.org", f"names are not looked up: write the address that 'getent hosts example.org' shows, {FORGED}"),
    ("mail.example.org:79", f"names are not looked up: write the address that 'getent hosts mail.example.org' shows, {FORGED}"),
    ("*.example.org", "names are not looked up: write addresses or networks, such as 192.0.2.0/24"),
    ("localhost", "names are not looked up: write 127.0.0.1 and ::1"),
    *((all, "write 'any' for every source, or 0.0.0.0/0 for all of IPv4") for all in ("Any", "ANY", "all", "*", "0/0")),
    ("Local", "write 'local' for Unix sockets, pipes and terminals"),
    ("''", "not an address, network, 'any' or 'local', such as 192.0.2.25"),
    ("192.0.2", f"{FOUR}: write 192.0.2.0/24 for all that begin so"),
    ("192.0.2.", f"{FOUR}: write 192.0.2.0/24 for all that begin so"),
    ("192.0.2.*", f"{FOUR}: write 192.0.2.0/24 for all that begin so"),
    ("10.x.x.x", f"{FOUR}: write 10.0.0.0/8 for all that begin so"),
    ("10/8", f"{FOUR}: write 10.0.0.0/8"),
    ("192.0.2/24", f"{FOUR}: write 192.0.2.0/24"),
    ("1.2.3.256", f"{FOUR} from 0 to 255"),
    ("1.2.3.4.5", f"{FOUR} from 0 to 255"),
    ("01.2.3.4", "a leading zero, which means octal to some: write 1.2.3.4"),
    ("192.0.2.010/32", "a leading zero, which means octal to some: write 192.0.2.10/32"),
    ("192.0.2.1-192.0.2.9", "a range is not understood: write 192.0.2.1 192.0.2.2/31 192.0.2.4/30 192.0.2.8/31"),
    ("192.0.2.0-255", "a range is not understood: write 192.0.2.0/24"),
    ("192.0.2.9-192.0.2.1", "a range is not understood: write networks, such as 192.0.2.0/24"),
    ("0.0.0.1-255.255.255.254", "a range is not understood: write networks, such as 0.0.0.0/24"),
    ("192.0.2.1,192.0.2.2", "networks stand apart by spaces alone: write them so"),
    ("192.0.2.1,", "networks stand apart by spaces alone: write them so"),
    ("192.0.2.0/255.255.255.0", "a network mask is written as the number of its bits: write 192.0.2.0/24"),
    ("192.0.2.0/0.0.0.255", "a network mask is written as the number of its bits: write 192.0.2.0/24"),
    ("192.0.2.25/255.255.255.240", "a network mask is written as the number of its bits: write 192.0.2.16/28"),
    ("192.0.2.0/255.0.255.0", "the prefix length is not a number from 0 to 32"),
    *((f"192.0.2.0/{bad}", "the prefix length is not a number from 0 to 32") for bad in ("33", "", "x", "-1", "24x")),
    *((f"{a}/129", "the prefix length is not a number from 0 to 128") for a in ("2001:db8::", "::ffff:192.0.2.0")),
    ("192.0.2.1/24", "the address has bits beyond its prefix length: write 192.0.2.0/24 for the network, or 192.0.2.1 for the one address"),
    ("192.0.3.0/22", "the address has bits beyond its prefix length: write 192.0.0.0/22 for the network, or 192.0.3.0 for the one address"),
    ("2001:db8::1/64", "the address has bits beyond its prefix length: write 2001:db8::/64 for the network, or 2001:db8::1 for the one address"),
    ("::ffff:192.0.2.1/120", "the address has bits beyond its prefix length: write 192.0.2.0/24 for the network, or 192.0.2.1 for the one address"),
    ("::ffff:192.0.2.0/95", "the prefix length is less than 96, where IPv4 begins: write it as IPv4"),
    ("192.0.2.1:79", "a sender's port says nothing: write 192.0.2.1"),
    ("192.0.2.1%eth0", "an IPv4 address has no interface behind it: write 192.0.2.1"),
    ("[2001:db8::1]", "an address has no brackets and no port here: write 2001:db8::1"),
    ("[2001:db8::1]:79", "an address has no brackets and no port here: write 2001:db8::1"),
    ("2001:db8", "an IPv6 address has eight groups, or '::' for zeros: write 2001:db8::/32"),
    ("2001:db8:*", "an IPv6 address has eight groups, or '::' for zeros: write 2001:db8::/32"),
    ("2001:db8:::1", "not an IPv6 address, such as 2001:db8::25"),
    ("::1%lo", "only a link-local address has an interface behind it: write ::1"),
    ("fe80::1%nosuchif0", "there is no interface 'nosuchif0': leave out one that comes and goes, and write fe80::1"),
    ("fe80::1%nosuchif0/64", "there is no interface 'nosuchif0': leave out one that comes and goes, and write fe80::1"),
    ("!192.0.2.1", "nothing can be excluded: write what is permitted, the rest is denied"),
    ("alice@example.org", "the line has no sender: write the address of the mail server"),
    ("https://192.0.2.1/", "write the address alone, not a URL"),
]  # fmt: skip
LEAVE = "leave out one of them", "write all of it on one line"
NO_VARIABLES = ["A", "=1", "1A=1", "A-B=1", "A.B=1"]
ONCE = [
    "interval 1s", "limit 1/s", "timeout 1s", "read-timeout 1s", "bare-lf no", "from any",
    "to 192.0.2.1", "confine mail", "isolate no", "action /bin/true", "log stderr", "state /proc/nowhere", "user nobody",
]  # fmt: skip

# A line, and what is wrong with it.
WRONG = [
    # words
    ("nonsense", f"there is no keyword 'nonsense': {SEE}"),
    ("Interval 1s", "there is no keyword 'Interval': write 'interval' and a space"),
    ("interval: 1s", "there is no keyword 'interval:': write 'interval' and a space"),
    ("interval=1s", "there is no keyword 'interval=1s': write 'interval' and a space"),
    *((f"{word} x", f"there is no keyword '{word}': write '{meant}' and a space") for word, meant in (
        ("frmo", "from"), ("form:", "from"), ("fromm", "from"), ("fro", "from"), ("rom", "from"), ("frim", "from"),
        ("intervall", "interval"), ("intreval", "interval"), ("nterval", "interval"), ("Acction", "action"),
        ("actions", "action"), ("readtimeout", "read-timeout"), ("read_timeout=5s", "read-timeout"), ("uesr", "user"),
    )),
    *((f"{word} x", f"there is no keyword '{word}': {SEE}") for word in (
        "t", "so", "lgo", "en", "fr", "fmro1", "morf", "interrvall", "x", ":", "=x", "timeouts2", "ideal",
    )),
    ("''", f"there is no keyword '': {SEE}"),
    ("interval", "interval: a value is missing: write such as 'interval 10s'"),
    ("interval 1s 2s", "interval: '2s' is one word too many: nothing can be behind '1s'"),
    ("limit 1/s burst 2 3", "limit: '3' is one word too many: nothing can be behind '2'"),
    ("env", "env: a value is missing: write such as 'env TZ=UTC'"),
    ("interval 1s # and so on\r", CR_LF),
    ("interval 1\rs", "a control character, '\\x0d': remove it"),
    ("interval 1\x01s", "a control character, '\\x01': remove it"),
    ("interval 1\x1b[1ms", "a control character, '\\x1b': remove it"),
    ("interval '1s", f"interval: '1s': {quote(chr(39))}"),
    ('interval "1s', f"interval: '1s': {quote(chr(34))}"),
    ('interval "1s\\"', f"interval: '1s\"': {quote(chr(34))}"),
    ("action /bin/true x'y z  # it", f"action: 'y z  # it': {quote(chr(39))}"),
    ("'interval 1s", f"'interval 1s': {quote(chr(39))}"),
    ("interval 1s \\", f"interval: '': {BACKSLASH}"),
    ("interval 1s\\", f"interval: '1s': {BACKSLASH}"),
    # what an editor has made of it
    ("interval\u00a01s", f"there is no keyword 'interval\\xc2\\xa01s': it has {SPACE}"),
    ("interval 1s\u00a0", f"interval: '1s\\xc2\\xa0' has {SPACE}"),
    ("from 192.0.2.1\u00a0192.0.2.2", f"from: '192.0.2.1\\xc2\\xa0192.0.2.2' has {SPACE}"),
    ("account \u201ca\u201d", "account: '\\xe2\\x80\\x9ca\\xe2\\x80\\x9d' has a typographic quote: write ' or \""),
    ("from 192.0.2.1\u2013192.0.2.9", "from: '192.0.2.1\\xe2\\x80\\x93192.0.2.9' has a typographic dash: write - or --"),
    ("\ufeffinterval 1s", "there is no keyword '\\xef\\xbb\\xbfinterval': it has a byte order mark: save the file without"),
    ("env " + "A=1 " * 256, "env: 'A=1 ' is too much: 256 words a line is the most"),
    # times
    *((f"interval {bad}", f"interval: '{bad}' {TIME}") for bad in NO_TIMES),
    ("interval ''", f"interval: '' {TIME}"),
    ("interval 8d", "interval: '8d' is not between 0ms and 7d"),
    ("interval 169h", "interval: '169h' is not between 0ms and 7d"),
    ("timeout 0s", "timeout: '0s' is not between 1ms and 7d"),
    ("timeout 604800001ms", f"timeout: '604800001ms' {TIME}"),
    ("timeout x", f"timeout: 'x' {TIME}"),
    ("read-timeout 0ms", "read-timeout: '0ms' is not between 1ms and 7d"),
    ("read-timeout 7", f"read-timeout: '7' {TIME}"),
    ("idle 8d", "idle: '8d' is not between 0ms and 7d"),
    # limits
    *((f"limit {bad}", f"limit: '{bad}' {LIMIT}") for bad in NO_LIMITS),
    ("limit 1/8d", "limit: '1/8d': burst 1 " + PERIOD),
    ("limit 1/d burst 7", "limit: '1/d burst 7': burst 7 " + PERIOD + ", or a smaller burst"),
    ("limit 1/604800000d burst 4294967295", "limit: '1/604800000d burst 4294967295': burst 4294967295 " + PERIOD + ", or a smaller burst"),
    # 2^29 days times 2^32 is 0 modulo 2^64.
    ("limit 1/536870912d burst 4294967295", "limit: '1/536870912d burst 4294967295': burst 4294967295 " + PERIOD + ", or a smaller burst"),
    # networks
    *((f"from {bad}", f"from: '{bad.strip(chr(39))}': {message}") for bad, message in NO_NETWORKS),
    ("from 192.0.2.1 nowhere", f"from: 'nowhere': {NO_NETWORKS[0][1]}"),
    ("to any", "to: 'any': not an address or network: without 'to' every local address counts"),
    ("to local", "to: 'local': a Unix socket has no address: write those of this machine"),
    ("to h", "to: 'h': " + NO_NETWORKS[0][1].replace("nowhere", "h")),
    # the rest
    ("state relative", f"state: 'relative' {WHOLE}"),
    ("state ~/nm", "state: '~/nm' is not an absolute path: nothing is expanded here, so write it whole"),
    ("action $HOME/x", "action: '$HOME/x' is not an absolute path: nothing is expanded here, so write it whole"),
    ("log file", "log: 'file' is not auto, journal, syslog or stderr"),
    ("bare-lf maybe", "bare-lf: 'maybe' is not yes or no"),
    ("isolate maybe", "isolate: 'maybe' is not yes or no"),
    ("confine strict", "confine: 'strict' is no policy: write mail, local or none"),
    ("action true", "action: 'true' is not an absolute path: write the one that 'command -v true' shows"),
    ("action ./true", f"action: './true' {WHOLE}"),
    *((f"env {bad}", f"env: '{bad}' is not NAME=value, such as TZ=UTC") for bad in NO_VARIABLES),
    ("env 'A B=1'", "env: 'A B=1' is not NAME=value, such as TZ=UTC"),
    ("env NMNOTIFY_SOURCE=1", "env: 'NMNOTIFY_SOURCE=1': NMNOTIFY_ is ours to set: write another name"),
    ("account -a", f"account: '-a' {NAME}"),
    ("account a/b", f"account: 'a/b' {NAME}"),
    ("account ..", f"account: '..' {NAME}"),
    ("account ''", f"account: '' {NAME}"),
    ("account " + "a" * 33, f"account: '{'a' * 33}' {NAME}"),
    ("account a\naccount a", "account: 'a' is there already (line {first}): write another name"),
    ("account a\nstate /tmp", "state belongs before the first account, a (line {first}): write it there"),
    ("account a\nlog auto", "log belongs before the first account, a (line {first}): write it there"),
    *((f"{line}\n{line}", f"{line.split()[0]} is said twice, first on line {{first}}: {LEAVE[line[:3] in ('fro', 'to ')]}") for line in ONCE),
    ("account a\n# it\nfrom any\nfrom any", "from is said twice, first on line {first + 2}: write all of it on one line"),
]  # fmt: skip


# What an account must have.
AS = {line.split()[0]: f": write such as '{line}'" for line in ("from 192.0.2.25", "action /usr/bin/mbsync -q -a", "user alice")}


def errors_of(box, conf, *args):
    """What -t says, by lines, without the file's name; and its status."""
    status, out, err = box.check("-t", "-f", conf, *args)
    wanted = r"state /\S+ \(.*\)\n" if status == 0 else ""
    ok(re.fullmatch(wanted, out), "conf: -t: standard output has the state's directory, or nothing")
    return status, [line.replace(f"{conf}:", "", 1) for line in err.splitlines()]


def head_lines(conf, text):
    """How many lines the sandbox has put before text."""
    return conf.read_bytes().decode(errors="replace").count("\n") - text.count("\n")


def nothing_runs(box, conf, name, wanted=None, status=EX_CONFIG, **how):
    """At run time: exit status 78, silence, one log line."""
    box.forget_log_limits()
    before = len(box.starts()), len(box.log())
    handler = box.start(conf, data=LINE, **how)
    equal(handler.wait(), status, f"status: conf: {name}: {status}")
    equal(handler.received(), b"", f"G7: conf: {name}: silence")
    equal(len(box.starts()), before[0], f"conf: {name}: nothing runs")
    lines = box.messages()[before[1] :]
    if wanted is not None:
        good = len(lines) == 1 and re.fullmatch(rf'verdict=error .*reason="?{wanted}"?', lines[0])
        if not ok(good, f"log: conf: {name}: one line"):
            nmtest.diag("\n".join(lines))
            nmtest.diag(f"wanted: {wanted}")
    handler.close()


def unescaped(text):
    """As bytes, what -t has written as \\xHH."""
    return re.sub(r"\\x(\w\w)", lambda m: chr(int(m[1], 16)), text)


def runs(box, conf, name, **how):
    before = len(box.starts())
    equal(box.connect_and_run(conf, **how), 0, f"conf: {name}: status 0")
    return equal(len(box.starts()), before + 1, f"conf: {name}: the action runs")


def escaped(text):
    """As a regular expression for the log's reason."""
    text = re.sub(r'[\x00-\x1f"\\\x7f-\xff]', lambda m: f"\\x{ord(m[0]):02x}", text)
    return re.escape(text)


# ---- What is wrong ----


def every_message():
    with Sandbox() as box:
        for line, message in WRONG:
            if line.startswith("user") and not is_root():
                line = line.replace("nobody", box.name)
            text = f"{line}\nfrom any\naction {box.recorder()}\n"
            if line.startswith(("from", "account")):
                text = f"{line}\n"
            if line.startswith("action"):
                text = f"{line}\nfrom any\n"
            conf = box.config(text)
            number = head_lines(conf, text) + 1 + line.count("\n")
            # Where the first of several lines is.
            message = re.sub(r"\{first( \+ \d)?\}", lambda m: str(number - line.count("\n") + int(m[1][3:] if m[1] else 0)), message)
            status, errors = errors_of(box, conf)
            short = line.replace("\n", " / ")[:40]
            equal(status, EX_CONFIG, f"status: -t: {short}")
            equal(errors, [f"{number}: {message}"], f"conf: -t: {short}")
            reason = escaped(unescaped(f"{conf}:{number}: {message}"))
            # A log of unknown target cannot be looked at here; one that the file chose can.
            known = not line.startswith("log file")
            nothing_runs(box, conf, short, reason if known else None)


def all_at_once():
    """-t says all that is wrong, in order; the log says the first."""
    with Sandbox() as box:
        text = "interval x\n\n# a comment\nfrom any\nnonsense\naccount a\ntimeout 0s\naction /bin/true x 'y\n"
        conf = box.config(text)
        n = head_lines(conf, text)
        status, errors = errors_of(box, conf)
        equal(status, EX_CONFIG, "status: -t: several lines are wrong")
        equal(
            errors,
            [
                f"{n + 1}: interval: 'x' {TIME}",
                f"{n + 5}: there is no keyword 'nonsense': {SEE}",
                f"{n + 7}: timeout: '0s' is not between 1ms and 7d",
                f"{n + 8}: action: 'y': {quote(chr(39))}",
            ],
            "conf: -t says all that is wrong",
        )
        nothing_runs(box, conf, "several lines are wrong", escaped(f"{conf}:{n + 1}: interval: 'x' {TIME}"))

        text = "account a\nfrom any\naccount b\naction /bin/true\naccount c\n"
        conf = box.config(text)
        n = head_lines(conf, text)
        status, errors = errors_of(box, conf)
        equal(
            errors,
            [
                f"{n + 1}: account a has no 'action'{AS['action']}",
                f"{n + 3}: account b has no 'from'{AS['from']}",
                f"{n + 5}: account c has no 'from'{AS['from']}",
                f"{n + 5}: account c has no 'action'{AS['action']}",
            ],
            "conf: -t says of all accounts what they lack",
        )
        nothing_runs(box, conf, "an account lacks something", escaped(f"{conf}:{n + 1}: account a has no 'action'{AS['action']}"))
        for text, lacks in (("from any\n", "action"), (f"action {box.recorder()}\n", "from")):
            conf = box.config(text)
            _, errors = errors_of(box, conf)
            equal(errors, [f" account default has no '{lacks}'{AS[lacks]}"], f"conf: the one account has no {lacks}")
            nothing_runs(
                box, conf, f"the one account has no {lacks}", escaped(f"{conf}: account default has no '{lacks}'{AS[lacks]}")
            )


def checks_the_machine():
    """-t looks for users and programs, too."""
    with Sandbox() as box:
        good = box.config(f"from any\naction {box.recorder()}\n")
        said = f"state {box.state_dir} (from the configuration)\n"
        equal(box.check("-t", "-f", good), (0, said, ""), "conf: -t: which state it is, and nothing else")
        ok(not list(box.state_dir.iterdir()), "conf: -t touches no state")
        text = "from any\naction /no/such/program\n"
        conf = box.config(text)
        status, errors = errors_of(box, conf)
        ok(
            status == EX_CONFIG and len(errors) == 1 and re.search(r"/no/such/program.*No such file", errors[0]),
            "conf: -t: the program is missing",
        )
        locked = box.dir / "locked"
        locked.write_text("#!/bin/sh\n")
        conf = box.config(f"from any\naction {locked}\n")
        status, errors = errors_of(box, conf)
        ok(
            status == EX_CONFIG and len(errors) == 1 and "Permission denied" in errors[0],
            "conf: -t: the program may not be executed",
        )
        text = "from any\nuser no-such-user-here\naction /bin/true\n"
        conf = box.config(text)
        status, errors = errors_of(box, conf)
        ok(
            status == EX_CONFIG and len(errors) == 1 and "no-such-user-here is not in /etc/passwd" in errors[0],
            "conf: -t: the user is missing",
        )


def users():
    with Sandbox() as box:
        action = f"action {box.recorder()}\n"
        unknown = box.config(f"from any\nuser no-such-user-here\n{action}")
        if not is_root():
            nothing_runs(box, unknown, "an unknown user", ".*no-such-user-here is not the running user.*")
            root = box.config(f"from any\nuser root\n{action}")
            nothing_runs(box, root, "root, for an ordinary user", ".*root is not the running user.*")
            mine = box.config(f"from any\ninterval 0s\nuser {box.name}\n{action}")
            runs(box, mine, "the running user, by name")
            mine = box.config(f"from any\ninterval 0s\n{action}")
            runs(box, mine, "the running user, unsaid")
            skip("conf: root", "not root")
            return
        nothing_runs(box, unknown, "an unknown user", "user no-such-user-here is not in /etc/passwd")
        root = box.config(f"from any\nuser root\n{action}")
        nothing_runs(box, root, "user root", "user root is root, whom no action may run as")
        status, errors = errors_of(box, root)
        ok(status == EX_CONFIG and "root is root" in errors[0], "conf: -t: user root")
        bare = box.dir / "bare.conf"
        bare.write_text(f"state {box.state_dir}\nlog stderr\nfrom any\n{action}")
        status, errors = errors_of(box, bare)
        needs = "which root must have: a super-server that starts nmnotify as somebody else needs none"
        equal(
            (status, errors),
            (0, [f" warning: account default has no 'user', {needs}"]),
            "conf: -t: root without user: another starter could run it",
        )
        nothing_runs(box, bare, "root without user", ".*account default has no 'user', which root must have: write such as 'user alice'")
        two = box.dir / "two.conf"
        two.write_text(
            f"state {box.state_dir}\nlog stderr\nfrom any\n{action}account a\nuser {box.user}\naccount b\n"
        )
        status, errors = errors_of(box, two)
        equal(
            (status, errors),
            (
                0,
                [
                    f"7: warning: account b has no 'user', {needs}",
                    "7: warning: account b is never reached: account a (line 5) takes all of it first",
                ],
            ),
            "conf: -t: one account without user",
        )
        nothing_runs(box, two, "one account without user", escaped(f"{two}:7: account b has no 'user', which root must have{AS['user']}"))
        good = box.config(f"from any\ninterval 0s\naccount a\nuser {box.user}\n{action}")
        runs(box, good, "a user of the account's own")


# ---- The file ----


def the_file():
    with Sandbox() as box:
        text = f"from any\ninterval 0s\naction {box.recorder()}\n"
        conf = box.config(text)
        quiet = [f"-ostate {box.state_dir}", "-olog stderr"]
        runs(box, conf, "a good file")

        def bad(path, name, message):
            status, errors = errors_of(box, path)
            equal((status, errors), (EX_CONFIG, [f" {message}"]), f"conf: -t: {name}")
            nothing_runs(box, path, name, escaped(f"{path}: {message}"), args=quiet)

        bad(box.dir / "none", "a missing file", "cannot open: No such file or directory")
        bad(box.dir / "none" / "none", "a missing folder", "cannot open: No such file or directory")
        bad(box.dir, "a folder", "not a regular file")
        fifo = box.dir / "fifo"
        os.mkfifo(fifo, 0o600)
        bad(fifo, "a fifo", "not a regular file")
        bad("/dev/null", "a device", "not a regular file")
        for mode in (0o620, 0o602, 0o664, 0o666, 0o777):
            conf.chmod(mode)
            bad(conf, f"mode {mode:o}", "others than its owner may write it: chmod go-w")
        for mode in (0o644, 0o600, 0o400, 0o755):
            conf.chmod(mode)
            runs(box, conf, f"mode {mode:o}")
        link = box.dir / "link"
        link.symlink_to(conf)
        runs(box, link, "a symlink to a good file")
        if is_root():
            for owner in (box.uid, box.other.pw_uid):
                os.chown(conf, owner, -1)
                conf.chmod(0o600)
                bad(conf, f"owner {owner}", f"owned by user {owner}, neither root nor the running user: chown it")
                bad(link, f"a symlink to a file of user {owner}", f"owned by user {owner}, neither root nor the running user: chown it")
        else:
            conf.chmod(0)
            bad(conf, "not readable", "cannot open: Permission denied")
            skip("conf: somebody else's file", "not root")

        status, out, err = box.check("-t", "-f", "/no/such/file", "-o", "from any")
        ok(status == EX_CONFIG and "cannot open" in err, "conf: -f of a missing file is an error with -o, too")


def its_text():
    """Comments, blanks, sizes."""
    with Sandbox() as box:
        action = f"action {box.recorder()}"
        for name, text in (
            ("no newline at the end", f"from any\ninterval 0s\n{action}"),
            ("blanks and comments", f"\n\n  # x\n\tfrom\tany  # y\n   interval   0s\n#\n{action} # 'z\n\n"),
            ("quotes around a keyword", f"'from' any\n\"interval\" '0's\n{action}\n"),
            ("bytes beyond ASCII in a comment", f"# \u00e4\u20ac\nfrom any\ninterval 0s\n{action}\n"),
        ):
            runs(box, box.config(text), name)
        conf = box.config(f"from any\n{action}\n")
        conf.write_bytes(conf.read_bytes() + b"# a NUL \0 byte\n")
        status, errors = errors_of(box, conf)
        ok(status == EX_CONFIG and errors[-1].endswith(": a NUL byte: save the file as text, in UTF-8"), "conf: -t: a NUL byte")
        nothing_runs(box, conf, "a NUL byte")

        text = f"from any\ninterval 0s\n{action}\n"
        base = box.config(text).read_text()
        for size in (65535, 65536, 65537, 200000):
            conf.write_text(base + "#" * (size - len(base) - 1) + "\n")
            if size < 65536:
                runs(box, conf, f"{size} bytes")
                continue
            status, errors = errors_of(box, conf)
            equal(
                (status, errors), (EX_CONFIG, [" the configuration is longer than 65536 bytes"]), f"conf: {size} bytes"
            )
            nothing_runs(box, conf, f"{size} bytes")
        conf.write_text(base + "#" * (65535 - len(base) - 1) + "\n")
        status, errors = errors_of(box, conf, "-o", "bare-lf yes")
        equal(errors, [" the configuration is longer than 65536 bytes"], "conf: -o counts, too")
        status, _, err = box.check("-t", "-f", box.config(text), "-o", "env A=" + "x" * 65536)
        ok(status == EX_CONFIG and "-o:1: the configuration is longer" in err, "conf: a long -o")


def its_sizes():
    """As many as there is room for, and one more."""

    def accounts(n):
        return "".join(f"account a{i}\nfrom any\naction {true}\n" for i in range(n))

    with Sandbox() as box:
        true = "/bin/true"
        networks = [" ".join(f"from 10.0.{i}.{j}" if j == 1 else f"10.0.{i}.{j}" for j in range(1, 129)) for i in range(9)]
        for name, good, bad, message in (
            ("accounts", accounts(64), accounts(65), "account: 'a64' is one too many: 64 accounts is the most"),
            (
                "networks",
                "".join(f"account a{i}\n{networks[i]}\naction {true}\n" for i in range(8)),
                "".join(f"account a{i}\n{networks[i]}\naction {true}\n" for i in range(8)) + "to 192.0.2.1\n",
                "to: '192.0.2.1' is one too many: 1024 networks in all is the most",
            ),
            (
                "words of a line",
                f"from any\naction {true} " + "x " * 254,
                f"from any\naction {true} " + "x " * 255,
                "action: 'x ' is too much: 256 words a line is the most",
            ),
            (
                "words of actions",
                "from any\n" + "".join(f"account a{i}\naction {true} " + "x " * 254 + "\n" for i in range(8)),
                "from any\n" + "".join(f"account a{i}\naction {true} " + "x " * 254 + "\n" for i in range(9)),
                "action: '/bin/true' has too many words: 2048 in all actions is the most",
            ),
            (
                "variables",
                f"from any\naction {true}\n" + "".join(f"env A{i}=1\n" for i in range(512)),
                f"from any\naction {true}\n" + "".join(f"env A{i}=1\n" for i in range(513)),
                "env: 'A512=1' is one too many: 512 variables in all is the most",
            ),
            (
                "letters of a name",
                f"from any\naction {true}\naccount " + "a" * 32,
                f"from any\naction {true}\naccount " + "a" * 33,
                f"account: '{'a' * 33}' {NAME}",
            ),
        ):
            status, errors = errors_of(box, box.config(good))
            equal((status, without_warnings(errors)), (0, []), f"conf: {name}: as many as there is room for")
            status, errors = errors_of(box, box.config(bad))
            ok(
                # What follows is in an account that is not there.
                status == EX_CONFIG and errors[0].endswith(f": {message}") and (len(errors) == 1 or name == "accounts"),
                f"conf: {name}: one more",
            ) or nmtest.diag(errors)


def without_warnings(errors):
    """What is allowed may still be advised against."""
    return [error for error in errors if " warning: " not in error]


def good_values():
    """The edges of what is allowed."""
    with Sandbox() as box:
        for line in (
            "interval 0ms",
            "interval 7d",
            "interval 604800000ms",
            "timeout 1ms",
            "read-timeout 10080m",
            "limit 1/s",
            "limit 1/90s",
            "limit 4294967295/ms burst 1000",
            "limit 1/3d",
            "limit 1/1h burst 167",
            "idle 0s",
            "bare-lf yes",
            "confine none",
            "confine local",
            "env A= _b1=x=y",
            "log journal",
            "to 192.0.2.1 2001:db8::/32 ::ffff:192.0.2.0/120 0.0.0.0/0 ::/0",
            "to fe80::%lo/64 fe80::1%1",
        ):
            status, errors = errors_of(box, box.config(f"{line}\nfrom any\naction /bin/true\n"))
            equal((status, without_warnings(errors)), (0, []), f"conf: good: {line}")


def quoting():
    """As in a shell, without expansion."""
    words = [
        ("a b", ["a", "b"]),
        ("'a b'", ["a b"]),
        ('"a b"', ["a b"]),
        ("a\\ b", ["a b"]),
        ("a\tb", ["a", "b"]),
        ("a''b", ["ab"]),
        ("''", [""]),
        ('""', [""]),
        ("'' x", ["", "x"]),
        ("\"a\"'b'c", ["abc"]),
        ("'a\"b'", ['a"b']),
        ('"a\'b"', ["a'b"]),
        ('"a\\"b"', ['a"b']),
        ('"a\\\\b"', ["a\\b"]),
        ('"a\\nb"', ["a\\nb"]),
        ('"\\$\\`"', ["$`"]),
        ("'a\\b'", ["a\\b"]),
        ("'\\'", ["\\"]),
        ("a\\\\b", ["a\\b"]),
        ("\\a\\'\\\"", ["a'\""]),
        ("a#b", ["a#b"]),
        ("a #b", ["a"]),
        ("a '#b'", ["a", "#b"]),
        ("a \\#b", ["a", "#b"]),
        ("a '' # ''", ["a", ""]),
        ("$HOME ${x} `x` $(x)", ["$HOME", "${x}", "`x`", "$(x)"]),
        ("* ? [a] {a,b} ~ ~root", ["*", "?", "[a]", "{a,b}", "~", "~root"]),
        ("; | & < > ( ) !", [";", "|", "&", "<", ">", "(", ")", "!"]),
        ("x   ", ["x"]),
        ("\u00e4", ["\u00e4"]),
    ]
    with Sandbox() as box:
        for n, (written, wanted) in enumerate(words):
            free = "from any\ninterval 0s\nlimit 1000/s burst 100\n"
            conf = box.config(free + f"action {box.recorder(f'facts=f{n}')} {written}\n")
            box.connect_and_run(conf)
            facts = (box.out / f"f{n}").read_text().splitlines()
            got = [line[4:] for line in facts if line.startswith("arg ")]
            equal(got[4:], wanted, f"conf: quotes: {written}")


# ---- The command line ----


def version(box):
    """-V: the version alone on the first line, and then what can be had here."""
    abi = max(0, ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1))  # landlock_create_ruleset(2)
    for name in ("nmnotify", "nmnotifyd"):
        done = subprocess.run([BUILD / name, "-V"], capture_output=True, text=True)
        ok(done.returncode == 0 and done.stderr == "", f"conf: {name} -V")
        first, *lines = done.stdout.splitlines()
        ok(re.fullmatch(rf"{name} \d+\.\d+\.\d+", first), f"conf: {name} -V: {first}")
        said = dict(line.split(": ", 1) for line in lines)
        equal(said.get("policies"), "mail local none", f"conf: {name} -V: the policies")
        is_static = b"/ld-" not in (BUILD / name).read_bytes()[:4096]
        ok(said.get("libc", "").endswith("static" if is_static else "dynamic"), f"conf: {name} -V: libc: {said.get('libc')}")
        has_systemd = b"libsystemd.so" in (BUILD / name).read_bytes()
        equal(said.get("libsystemd"), "yes" if has_systemd else "no", f"conf: {name} -V: libsystemd")
        equal(said.get("seccomp"), "yes", f"conf: {name} -V: seccomp")
        landlock = said.get("Landlock", "")
        ok(landlock.startswith(f"ABI {abi}," if abi else "not in this kernel"), f"conf: {name} -V: Landlock: {landlock}")
        equal("no effect" in landlock, abi < 6, f"conf: {name} -V: whether isolate has an effect")


def command_line():
    with Sandbox() as box:

        def which(text, *args, conf=True):
            """The mark that the action has left."""
            for mark in box.out.glob("mark-*"):
                mark.unlink()
            path = box.config(text) if conf else None
            box.connect_and_run(path, args=args)
            return [m.name for m in box.out.glob("mark-*")]

        def action(mark):
            return f"action {box.recorder(f'mark=mark-{mark}')}"

        free = "from any\ninterval 0s\nlimit 1000/s burst 100\n"
        equal(which(free + action("file")), ["mark-file"], "conf: the file")
        equal(
            which(free + action("file"), "-o", action("option")),
            ["mark-option"],
            "conf: -o stands over a file's default",
        )
        equal(which(free, "-o" + action("option")), ["mark-option"], "conf: -o without a blank")
        equal(
            which(free + "account a\n" + action("account"), "-o", action("option")),
            ["mark-account"],
            "conf: an account's word stands over -o",
        )
        equal(
            which(free + action("file") + "\naccount a\n", "-o", action("option")),
            ["mark-option"],
            "conf: an account inherits what -o says",
        )
        equal(
            which(
                free + "account b\n" + action("file"),
                *("-o", "account a", "-o", "from any", "-o", action("option")),
            ),
            ["mark-option"],
            "conf: an account of -o comes first",
        )
        equal(
            which(
                free + "account b\n" + action("file"),
                *("-o", "account a", "-o", "from 192.0.2.1", "-o", action("option")),
            ),
            ["mark-file"],
            "conf: an account of -o that does not match",
        )
        path = box.config(free + action("file"))
        for args, message in (
            (["-o", "nonsense"], f"-o:1: there is no keyword 'nonsense': {SEE}"),
            (["-o", "bare-lf no", "-o", "interval x"], f"-o:2: interval: 'x' {TIME}"),
            (["-o", "timeout 1s", "-o", "timeout 2s"], "-o:2: timeout is said twice, first on line 1: leave out one of them"),
            (["-o", "log stderr\nfrom any"], "-o:1: a control character, '\\x0a': remove it"),
        ):
            status, _, err = box.check("-t", "-f", path, *args)
            equal((status, err), (EX_CONFIG, message + "\n"), f"conf: {args[-1]!r} of -o")
            nothing_runs(box, path, f"{args[-1]!r} of -o", args=args)
        bad = box.config("from any\ninterval x\n" + action("file"), "bad.conf")
        status, _, err = box.check("-t", "-f", bad, "-o", "interval 1s")
        ok(status == EX_CONFIG and f"interval: 'x' {TIME}" in err, "conf: what -o stands over is checked nevertheless")

        other = box.dir / "other"
        equal(box.connect_and_run(path, args=["-o", f"state {other}"]), 0, "conf: -o state")
        ok((other / "default" / "limits").exists(), "conf: -o state stands over the file's")
        log = len(box.log())
        box.connect_and_run(box.config(free + "log syslog\n" + action("file")), args=["-o", "log stderr"])
        ok(len(box.log()) > log, "conf: -o log stands over the file's")

        env = free + f"env A=file B=file\naction {box.recorder('facts=facts')}\n"
        box.connect_and_run(box.config(env), args=["-o", "env A=option C=option"])
        facts = (box.out / "facts").read_text().splitlines()
        ok({"env A=file", "env B=file", "env C=option"} <= set(facts), "conf: env adds up, the later one wins")

        for args, wanted in (
            (["-x"], "-x"),
            (["-f"], "-f"),
            (["-o"], "-o"),
            (["--help"], "--help"),
            (["something"], "something"),
            (["-"], "-"),
            (["--", "something"], "something"),
            (["something", "-h"], "something"),
            (["-tx"], "-tx"),
            (["-t", "-f"], "-f"),
            (["-tf"], "-tf"),
            (["-t\udcff"], "-t\\xff"),
        ):
            for program in PROGRAMS:
                status, out, err = box.check(*args, program=program)
                told = f"'{wanted}'\n" in err and f"\nusage: {program.name} " in err
                ok(status == EX_CONFIG and out == "" and told, f"conf: {program.name} {args} is refused")
        for program in PROGRAMS:
            status, out, err = box.check("-h", program=program)
            ok(status == 0 and out.startswith(f"usage: {program.name} ") and err == "", f"conf: {program.name} -h")
            for args in (["-tf", path], [f"-tf{path}"], ["-f", path, "-t", "--"]):
                status, out, err = box.check(*args, program=program)
                ok(status == 0 and out.startswith("state ") and err == "", f"conf: {program.name} {args[0]}")
        equal(box.check("-f", path, "-o", "-t"), (EX_CONFIG, "", ""), "conf: -t behind -o is its word, and checks nothing")
        version(box)

        if os.path.exists("/etc/nmnotify.conf"):
            skip("conf: -o without a file", "there is an /etc/nmnotify.conf")
            return
        options = [f"state {box.state_dir}", "log stderr", "from any", "interval 0s", action("option")]
        options += [f"user {box.user}"] if box.user else []
        args = [word for option in options for word in ("-o", option)]
        equal(which("", *args, conf=False), ["mark-option"], "conf: -o needs no file at the usual place")
        handler = box.start(None, data=LINE)
        equal(handler.wait(), EX_CONFIG, "conf: without -o a missing file is an error")


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


def no_connection():
    """Descriptor 0 is something else."""
    with Sandbox() as box:
        conf = box.config(f"from any\naction {box.recorder()}\n")
        systemd = {"NOTIFY_SOCKET": "/nowhere"}  # under inetd it would rest for 10 s
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            handler = box.start(conf, fds="unix", descriptors={0: listener.fileno()}, env=systemd)
            equal(handler.wait(), EX_CONFIG, "status: conf: a listening socket")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            datagram.bind(("127.0.0.1", 0))
            handler = box.start(conf, fds="unix", descriptors={0: datagram.fileno()}, env=systemd)
            equal(handler.wait(), EX_CONFIG, "status: conf: a datagram socket")
        handler = box.start(conf, fds="unix", descriptors={0: None})
        equal(handler.wait(), EX_OSERR, "status: conf: no descriptor 0")
        handler = box.start(conf, fds="unix", descriptors={0: None, 1: None, 2: None})
        equal(handler.wait(), EX_OSERR, "status: conf: no descriptors at all")
        equal(
            box.messages(),
            [
                'verdict=error reason="descriptor 0 is a listening socket, not a connection"',
                'verdict=error reason="descriptor 0 is a datagram socket, not a connection"',
            ],
            "log: conf: no connection",
        )
        equal(box.starts(), [], "conf: no connection: nothing runs")


nmtest.run(
    every_message,
    all_at_once,
    checks_the_machine,
    users,
    the_file,
    its_text,
    its_sizes,
    good_values,
    quoting,
    command_line,
    networks,
    real_sockets,
    no_connection,
)
