#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Every fetcher of the pages in both pairs of units; and what mail systems run to hand over deliveries and logins."""

import contextlib
import re
import sys
import time

sys.dont_write_bytecode = True
import recipes
from nmtest import diag, equal, ok, until
from recipes import (
    FETCHERS, HOME, PAIRS, PASSWORD, SOURCES, arrives, background, begin, box, configure, deliver, docs, edit, run_status, sh,
)

RELAY = "/run/nmnotify-relay"


# ---- Fetchers ----


def fetcher_configuration():
    """Actions of the pages where they have one, and the fetchers' own words where not."""
    fetchmail = docs.take("man/nmnotify.conf.5", "limit     10/h burst 3")
    getmail = docs.take("man/nmnotify.conf.5", "--rcfile=home")
    offlineimap = docs.take("man/nmnotify.conf.5", "/usr/bin/offlineimap")
    mpop = docs.take("man/nmnotify.conf.5", "/usr/bin/mpop")
    action = lambda block, name="": re.search(rf"(?m)^ *action +(.*{name}.*)$", block)[1]
    variables = re.search(r"(?m)^env +.*$", getmail)[0]
    text = "interval 0s\nlimit 1000/s burst 1000\n"
    for name, (words, _) in FETCHERS.items():
        words = words.format(home=HOME, fetchmail=action(fetchmail), getmail=action(getmail),
                             offlineimap=action(offlineimap, "offlineimap"), mpop=action(mpop, "mpop"))
        text += f"account {name}\n    from {SOURCES[name]}\n    user alice\n    action {words}\n"
        text += f"    {variables}\n" if name == "getmail" else ""
    return text


def fetchers():
    configuration = fetcher_configuration()
    for pair, service in PAIRS.items():
        begin()
        configure(configuration)
        edit(f"systemctl edit {service}", "[Service]\nUser=alice\n")
        sh(f"systemctl start {pair}.socket")
        after = time.time()
        for name in FETCHERS:
            deliver(name, f"{name} in {pair}")
            sh(f"printf 'nm_notifyuser\\r\\n' | nc -w 2 -s {SOURCES[name]} 127.0.0.1 79", check=False)
        for name, (_, where) in FETCHERS.items():
            arrives(where, f"{name} in {pair}", f"{pair}: {name} delivers")
        until(lambda: len(run_status(after)) >= len(FETCHERS))
        bad = [(name, status) for name, status in run_status(after) if status != "0"]
        equal(bad, [], f"{pair}: all end well")
        equal(sh(f"ls -d {HOME}/.mbsync {HOME}/.local/state/isync 2>/dev/null | wc -l").strip(), "1", f"{pair}: mbsync's state is in the home")


# ---- What mail systems run ----


@contextlib.contextmanager
def relay():
    """Takes notices as the relay does; gives what has come since it was last asked."""
    taken = 0

    def notices(wanted):
        nonlocal taken
        count = taken
        got = until(lambda: len(all_of_them()) > count and all_of_them()[count:]) or []
        taken = len(all_of_them())
        return equal(got, [wanted], f"handed over: {wanted}")

    def all_of_them():
        return re.findall(r"(?:mail|early|login) .*?(?=mail |early |login |$)", sh(f"cat {RELAY}/notices"))

    sh(f"mkdir -p {RELAY}; : >{RELAY}/notices")
    with background("relay", f"socat -u UNIX-RECV:{RELAY}/socket,mode=666,unlink-early OPEN:{RELAY}/notices,append"):
        yield notices


def imap(source):
    """A login, and whether the mailbox is there."""
    said = sh(f"{{ sleep 1; printf 'a login alice {PASSWORD}\\r\\nb select INBOX\\r\\n'; sleep 1; printf 'c logout\\r\\n'; sleep 1; }} | "
              f"nc -w 5 -s {source} 127.0.0.1 143", check=False)
    ok("b OK" in said, "a mailbox is opened") or diag(said)


def senders_hooks():
    """Postfix, Exim and Courier are not in this tree: theirs was tried in one that has them."""
    page = "man/nmnotify-send.1"
    with relay() as notices:
        rule = docs.take("man/nmnotify-send.1", "TRAP=")
        for place in ("/etc/procmailrc", f"{HOME}/.procmailrc"):
            sh(f"mv {HOME}/.procmailrc {HOME}/.procmailrc.kept", check=False)
            box.write(place, f"DEFAULT={HOME}/Mail/hook\n{rule}", mode=0o644)
            sh("printf 'Subject: x\\n\\nhi\\n' | procmail -d alice")
            notices("mail alice")
            ok("Subject: x" in sh(f"cat {HOME}/Mail/hook"), f"{page}: procmail delivers, {place}")
            sh(f"rm {place} {HOME}/Mail/hook; mv {HOME}/.procmailrc.kept {HOME}/.procmailrc", check=False)
        hooks = docs.take("man/nmnotify-login.8", "imap-postlogin")
        line = docs.take("man/nmnotify-login.8", "pam_exec.so")
        usual = (box.root / "etc/dovecot/test.conf").read_text()
        passdb = "passdb {\n  driver = pam\n}\n" if "driver = static" in usual else "passdb pam {\n}\n"
        by_pam = re.sub(r"(?s)passdb.*?\n}\n", passdb, usual, count=1)
        box.write("/etc/pam.d/dovecot", f"auth required pam_permit.so\naccount required pam_permit.so\n{line}", mode=0o644)
        for text, source in ((usual + hooks, "192.0.2.25"), (by_pam, "198.51.100.1")):
            box.write("/etc/dovecot/test.conf", text)
            sh("systemctl stop test-dovecot; systemd-run --quiet --unit=test-dovecot dovecot -F -c /etc/dovecot/test.conf; sleep 1")
            imap(source)
            notices(f"login alice {source}")
        box.write("/etc/dovecot/test.conf", usual)
        sh("rm /etc/pam.d/dovecot; systemctl stop test-dovecot; systemd-run --quiet --unit=test-dovecot dovecot -F -c /etc/dovecot/test.conf")
    docs.shown("man/nmnotify-send.1", "\\alice,", why="Postfix 3.7 and Exim 4.96")
    docs.shown("man/nmnotify-send.1", "vnd.dovecot.execute", why="Dovecot's Sieve, 2.3")
    docs.shown("man/nmnotify-login.8", "exec /usr/local", why="Courier 5.0")
    docs.shown("man/nmnotify-send.1", "$ nmnotify-send -e", why="integration/direct.t sends to hosts of all kinds")


recipes.run(fetchers, senders_hooks)
