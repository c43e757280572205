#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Each mistake of a configuration is told, with its line; and what of it only the machine can tell."""

import re
import sys

sys.dont_write_bytecode = True
import nmtest
from conf import NAME, SEE, TIME, errors_of, escaped, nothing_runs, runs
from nmtest import EX_CONFIG, Sandbox, equal, is_root, ok, skip

LIMIT = "is not COUNT/PERIOD, such as 12/m, and perhaps burst NUMBER"
CR_LF = "lines end in CR LF, as on Windows: save the file with LF alone, or convert it with dos2unix"
SPACE = "a no-break space, where a space is meant"
FORGED = "because an answer of the name service could change or be forged"
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
LISTS = "from", "to", "read", "write", "execute", "connect"
NO_VARIABLES = ["A", "=1", "1A=1", "A-B=1", "A.B=1"]
ONCE = [
    "interval 1s", "limit 1/s", "timeout 1s", "read-timeout 1s", "bare-lf no", "from any",
    "to 192.0.2.1", "confine mail", "isolate no", "landlock no", "read any", "write any", "execute any", "connect any", "action /bin/true", "log stderr", "state /proc/nowhere", "user nobody",
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
    ("log file", "log: 'file' is not auto, journal, syslog, stderr or kmsg"),
    ("bare-lf maybe", "bare-lf: 'maybe' is not yes or no"),
    ("isolate maybe", "isolate: 'maybe' is not yes or no"),
    ("landlock maybe", "landlock: 'maybe' is not yes, no or required"),
    *((f"{word} {bad}", f"{word}: '{bad}' is not an absolute path, nor one below ~, the action's home")
      for word, bad in (("read", "etc"), ("write", "~alice"), ("execute", "$HOME/bin"))),
    *((f"connect {bad}", f"connect: '{bad}' is not a TCP port: write its number, or imaps, pop3s or the like (nmnotify.conf(5))")
      for bad in ("0", "65536", "telnet", "-1")),
    ("write any ~", "write: 'any' is everything: leave out the rest"),
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
    *((f"{line}\n{line}", f"{line.split()[0]} is said twice, first on line {{first}}: {LEAVE[line.split()[0] in LISTS]}") for line in ONCE),
    ("account a\n# it\nfrom any\nfrom any", "from is said twice, first on line {first + 2}: write all of it on one line"),
]  # fmt: skip
# What an account must have.
AS = {line.split()[0]: f": write such as '{line}'" for line in ("from 192.0.2.25", "action /usr/bin/mbsync -q -a", "user alice")}


def head_lines(conf, text):
    """How many lines the sandbox has put before text."""
    return conf.read_bytes().decode(errors="replace").count("\n") - text.count("\n")


def unescaped(text):
    """As bytes, what -t has written as \\xHH."""
    return re.sub(r"\\x(\w\w)", lambda m: chr(int(m[1], 16)), text)


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


nmtest.run(every_message, all_at_once, checks_the_machine, users)
