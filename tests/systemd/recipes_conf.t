#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The configurations of nmnotify.conf(5), and the one that is shipped: each has its sender send the line, and does
what is said of it."""

import os
import re
import sys
import time

sys.dont_write_bytecode = True
import recipes
from nmtest import diag, equal, ok, until
from recipes import (
    CHECK, FETCHMAIL, HOME, PASSWORD, background, box, by_unit, configure, docs, fetches, home_file, mbsyncrc, notify,
    run_status, sh, touched,
)


def pages_configurations():
    """To the letter: each has its sender send the line, and does what is said of it."""
    page = "man/nmnotify.conf.5"
    mail = "Mail/mbsync/new/*"
    equal(docs.take("man/nmnotify-units.7", "nmnotify -t\n").strip(), CHECK, "man/nmnotify-units.7: how to check it")
    equal(docs.take("man/nmnotify.conf.5", "nmnotify -t\n").strip(), CHECK, f"{page}: how to check it")
    by_unit(docs.take("man/nmnotify.conf.5", "2001:db8:25::/48\nuser    alice\naction  /usr/bin/mbsync -q -a"))
    fetches(mail, f"{page}: the first")
    home_file(".mbsyncrc", mbsyncrc("mbsync", f"{HOME}/Mail/mbsync") + "\nGroup work\nChannel mbsync\n\nGroup home\nChannel mbsync\n")
    sh(f"chown alice: {HOME}/.mbsyncrc")
    after = time.time()
    by_unit(docs.take("man/nmnotify.conf.5", "account work"))
    fetches(mail, f"{page}: work")
    fetches(mail, f"{page}: home", source="198.51.100.1")
    equal(sorted(run_status(after))[:2], [("home", "0"), ("work", "0")], f"{page}: by account")
    # The server here speaks no TLS.
    alone = docs.take("man/nmnotify.conf.5", "read     default").replace("imaps", "imap")
    if "yes" in sh(f"test -d {HOME}/.local/state/isync && echo yes", check=False):
        alone = alone.replace("~/.mbsync\n", "~/.local/state/isync\n")
    by_unit(f"from 192.0.2.0/24\nuser alice\naction /usr/bin/mbsync -q -a\n{alone}")
    fetches(mail, f"{page}: the mail alone")
    isolate_no(docs.take("man/nmnotify.conf.5", "isolate   no"))
    credentials(docs.take("man/nmnotify.conf.5", "pass    CRED"))
    desktop(docs.take("man/nmnotify.conf.5", "You have mail"))
    failures(docs.take("man/nmnotify.conf.5", "failure   5"))
    # Both users, by the address that is connected to.
    sh("id bob >/dev/null 2>&1 || useradd --create-home --shell /bin/bash bob")
    box.write("/home/bob/.fetchmailrc", FETCHMAIL.format(user="bob") + '  mda "cat >> /home/bob/mail"\n', mode=0o600)
    sh("chown bob: /home/bob/.fetchmailrc")
    many = "[Service]\nUser=\nStateDirectory=\nCapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE CAP_KILL\n"
    by_unit(docs.take("man/nmnotify.conf.5", "account alice"), many)
    fetches(mail, f"{page}: alice, by her address", "2001:db8:25::1", "2001:db8:1::a")
    fetches("/home/bob/mail", f"{page}: bob, by his", "2001:db8:25::1", "2001:db8:1::b", "bob")
    # What -t says of lines like these.
    mask = docs.take("man/nmnotify.conf.5", "a network\n")
    configure("from 192.0.2.0/255.255.255.0\nuser alice\naction /bin/true && /bin/true\n")
    said = " ".join(sh(CHECK, check=False).split())
    for message in re.split(r"\n(?=/)", mask.strip()):
        ok(" ".join(message.split()) in said, f"{page}: -t says it: {message.splitlines()[0]}") or diag(said)
    docs.shown("man/nmnotify.conf.5", "Environment=GNUPGHOME", why="an example of what pass is for: the credentials are one, too")


def isolate_no(text):
    """A fetchmail that polls is woken, and goes on."""
    page = "man/nmnotify.conf.5"
    home_file(".fetchmailrc-poll", "set daemon 3000\n" + FETCHMAIL.format(user="fetchmail") + f'  mda "cat >> {HOME}/Mail/fetchmail"\n')
    sh(f"cp -p {HOME}/.fetchmailrc-poll {HOME}/.fetchmailrc; chown alice: {HOME}/.fetchmailrc*")
    daemon = lambda: sh("pgrep -u alice -x fetchmail", check=False).strip()
    with background("fetchmail", "su - alice -c 'fetchmail --nodetach'"):
        until(daemon)
        time.sleep(1)  # the first poll
        was = daemon()
        by_unit(text)
        fetches("Mail/fetchmail", f"{page}: the daemon that was woken", user="fetchmail")
        # Who has woken it ends by itself.
        ok(until(lambda: daemon() == was), f"{page}: and that is the one that was there") or diag(f"{was}, {daemon()}")


def credentials(text):
    """A password that only the unit has."""
    page = "man/nmnotify.conf.5"
    credential, command = docs.take("man/nmnotify.conf.5", "LoadCredential=mail"), docs.take("man/nmnotify.conf.5", "PassCmd")
    box.write(credential.strip().split(":")[1], PASSWORD, mode=0o600)
    home_file(".mbsyncrc", mbsyncrc("mbsync", f"{HOME}/Mail/mbsync").replace(f"Pass {PASSWORD}", command.strip()))
    sh(f"chown alice: {HOME}/.mbsyncrc")
    by_unit(text, f"[Service]\nUser=alice\n{credential}", ["has no 'user'"])
    fetches("Mail/mbsync/new/*", f"{page}: with the password of the unit")
    home_file(".mbsyncrc", mbsyncrc("mbsync", f"{HOME}/Mail/mbsync"))
    sh(f"chown alice: {HOME}/.mbsyncrc")


def desktop(text):
    """A message bus at the address of the page, and a notify-send that asks it."""
    page = "man/nmnotify.conf.5"
    address = re.search(r"unix:path=(\S+)", text)[1]
    call = "dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId"
    box.write("/usr/bin/notify-send", f"#!/bin/sh\n{call} >/home/alice/bus && echo \"$1\" >/home/alice/touched\n", mode=0o755)
    sh(f"mkdir -p {os.path.dirname(address)} && chown alice: {os.path.dirname(address)}; rm -f {address}")
    bus = f"setpriv --reuid=alice --regid=alice --clear-groups dbus-daemon --session --nofork --address=unix:path={address}"
    with background("bus", bus):
        until(lambda: box.run("test", "-S", address, check=False).returncode == 0)
        by_unit(text)
        good = touched(lambda: notify("192.0.2.25"))
        ok(good and sh(f"cat {HOME}/touched") == "You have mail.\n", f"{page}: tell the desktop") or diag(sh("journalctl -q -n 6 -o cat"))
    sh("rm /usr/bin/notify-send")


def failures(text):
    """What fetches has no configuration, so it fails, and five lines do not wait for the retry."""
    page = "man/nmnotify.conf.5"
    box.write("/usr/bin/notify-send", '#!/bin/sh\necho "$1, $NMNOTIFY_FAILURES" >/home/alice/touched\n', mode=0o755)
    sh(f"mv {HOME}/.mbsyncrc {HOME}/.mbsyncrc-away")
    by_unit("interval 0s\n" + text, "[Service]\nUser=alice\n", ["has no 'user'"])

    def five():
        for count in range(1, 6):
            notify("192.0.2.25")
            until(lambda: len(box.journal("NMNOTIFY_RUN=ended", after=after)) >= count)

    after = time.time()
    good = touched(five)
    ok(good and sh(f"cat {HOME}/touched") == "No mail can be fetched, 5\n", f"{page}: five failures") or diag(sh("journalctl -q -n 12 -o cat"))
    sh(f"mv {HOME}/.mbsyncrc-away {HOME}/.mbsyncrc; systemctl stop 'nmnotify@*'")
    fetches("Mail/mbsync/new/*", f"{page}: the first success behind them")
    sh("rm /usr/bin/notify-send")


def shipped_configuration():
    """Uncommented, as its comments say."""
    name = "units/nmnotify.conf"
    parts = docs.each("units/nmnotify.conf", "from           1", "action         /", "user  ", "env  ", "pass  ", "interval  ", "retry  ", "limit  ")
    one = "".join(parts)
    equal(docs.take("units/nmnotify.conf", "nmnotify -t").strip(), CHECK, f"{name}: how to check it")
    home_file(".mbsyncrc", mbsyncrc("mbsync", f"{HOME}/Mail/mbsync") + "\nGroup work\nChannel mbsync\n")
    home_file(".fetchmailrc", FETCHMAIL.format(user="fetchmail") + f'  mda "cat >> {HOME}/Mail/fetchmail"\n')
    sh(f"chown alice: {HOME}/.mbsyncrc {HOME}/.fetchmailrc")
    box.write("/usr/bin/notify-send", "#!/bin/sh\n", mode=0o755)
    by_unit(one)
    fetches("Mail/mbsync/new/*", f"{name}: one account")
    by_unit(one + docs.take("units/nmnotify.conf", "account  "))
    fetches("Mail/mbsync/new/*", f"{name}: the first of two accounts")
    fetches("Mail/fetchmail", f"{name}: the second", "2001:db8:25::1", "::1", "fetchmail")
    sh("rm /usr/bin/notify-send")


def names():
    page = "man/nmnotify.conf.5"
    command = docs.take("man/nmnotify.conf.5", "getent hosts NAME").strip()
    ok("127.0.0.1" in sh(command.replace("NAME", "client.example.org")) , f"{page}: typed: {command}")


recipes.run(pages_configurations, shipped_configuration, names)
