#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Of mail that is refused, put in quarantine, or filed as spam nobody is told, where the page says so; of good mail, once:
Postfix with ClamAV's and SpamAssassin's milters, and behind them Dovecot's Sieve and Lua, procmail, and biff."""

import smtplib
import socket
import sys

sys.dont_write_bytecode = True
import mailhost
from mailhost import ARRIVAL_SECONDS, MX, RELAY, SOCKETS
from nmtest import equal, ok, until

# What is found in each body: the virus is the one of a database of our own, as is the rule that makes a message spam;
# SpamAssassin itself knows GTUBE, which is more than spam.
VIRUS = "nmnotify-test-virus"
SPAM = "nmnotify-test-spam"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
HELD = "/var/spool/postfix/hold/*"
JUNK, LIST = "/home/alice/Maildir/.Junk/new/*", "/home/alice/Maildir/.List/new/*"
MBOX, FILED = "/var/mail/alice", "/home/alice/mail/Junk"

# Dovecot delivers what Postfix takes.
LMTP = """
auth_username_format = %{user | username | lower}
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    user = postfix
    group = postfix
    mode = 0600
  }
}
"""
OWN = """
require ["body", "fileinto", "mailbox"];
if body :contains "list" {
  fileinto :create "List";
} elsif body :contains "unwanted" {
  discard;
} else {
  keep;
}
"""
# The message goes through Postfix once more.
FILTER = r"""
cat >>/etc/postfix/master.cf <<'END'
spamc unix - n n - - pipe
  flags=Rq user=nobody argv=/bin/sh -c
  {/usr/bin/spamc | /usr/sbin/sendmail -G -i -f "$$1" "$$2"} sh ${sender} ${recipient}
END
postconf -P smtp/inet/content_filter=spamc
"""


class Filtered(mailhost.MailHost):
    seen = None, 0

    def prepare(self):
        super().prepare()
        self.write("/var/lib/clamav/test.ndb", f"Test:0:*:{VIRUS.encode().hex()}\n")
        # Debian's wait for a database that is downloaded.
        for unit in ("clamav-daemon.service", "clamav-daemon.socket"):
            self.write(f"/etc/systemd/system/{unit}.d/test.conf", "[Unit]\nConditionPathExistsGlob=\n")
        self.write("/etc/spamassassin/test.cf", f"body NMNOTIFY /{SPAM}/\nscore NMNOTIFY 6\n")
        # No tests that ask the network.
        self.write("/etc/default/spamd", 'OPTIONS="--local --max-children 2"\n')
        self.sh("systemctl daemon-reload; systemctl stop clamav-freshclam.service")
        self.sh("systemctl restart clamav-daemon.service spamd.service; systemctl start nmnotify-relay.socket")
        self.type("MilterSocket")
        self.is_ready()

    def is_ready(self):
        for ready in ("spamc -K", "test -S /var/spool/postfix/spamass/spamass.sock", "nc -z 127.0.0.1 7357"):
            is_ready = lambda: self.run("bash", "-c", ready, check=False).returncode == 0
            ok(until(is_ready, ARRIVAL_SECONDS, 0.2), f"there is: {ready}") or self.tell()

    @staticmethod
    def _server():
        """Not from 127.0.0.1, which spamass-milter leaves alone."""
        try:
            return smtplib.SMTP(MX, 25, "sender.test", timeout=60)
        except ConnectionRefusedError:
            return None

    def news(self):
        """How many events the relay has read since this was asked. It reads in turn, and what is none is counted apart."""
        refused = self._counts()["refused"]
        path = f"/proc/{self.leader}/root/run/nmnotify-relay/socket"
        marked = [(socket.AF_UNIX, path)]
        if self.is_active(SOCKETS[1]):
            marked.append((socket.AF_INET, ("127.0.0.1", 512)))
        for family, address in marked:
            with socket.socket(family, socket.SOCK_DGRAM) as s:
                s.sendto(b"nothing", address)

        def read():
            counts = self._counts()
            return counts["refused"] >= refused + len(marked) and counts["users owed"] == 0

        if not until(read, ARRIVAL_SECONDS, 0.1):
            raise RuntimeError("the relay does not read")
        # One that has been started anew counts from 0.
        life, events = self.show(RELAY, "InvocationID"), self._counts()["events"]
        before = self.seen[1] if self.seen[0] == life else 0
        self.seen = life, events
        return events - before

    def _counts(self):
        said = self.show(RELAY, "StatusText") if self.is_active(RELAY) else ""
        words = said.replace(";", ",").split(", ")
        return {"users owed": 0, "refused": 0, "events": 0} | {what: int(n) for n, what in (w.split(" ", 1) for w in words if w)}

    def is_untold(self, name, body, where, events=0):
        """It goes there, and that is all; or so many events."""
        message, _ = self.send(body=body)
        if where:
            there = until(lambda: self._has(where, message), ARRIVAL_SECONDS)
            ok(there, f"{name}: it is in {where}") or self.tell()
        if where != HELD:
            ok(until(self._is_queue_empty, ARRIVAL_SECONDS), f"{name}: Postfix is done with it")
        equal(self.news(), events, f"{name}: {events} events")
        return message

    def is_refused(self, name, body):
        try:
            self.send(body=body)
            ok(False, f"{name}: it is refused")
        except smtplib.SMTPDataError as error:
            equal(error.smtp_code // 100, 5, f"{name}: it is refused: {error.smtp_error}")
        equal(self.news(), 0, f"{name}: nothing is told")

    def is_told_once(self, name):
        self.is_told(name)
        equal(self.news(), 1, f"{name}: of good mail there is one event")


box = Filtered(
    "filtered", "postfix dovecot-lmtpd lua-socket clamav-daemon clamav-milter spamass-milter spamd", mailhost.POSTFIX
)


def postfix(*settings):
    words = " ".join(f"'{setting}'" for setting in settings)
    box.sh(f"postconf {words}; systemctl reload postfix")


def lua():
    box.imap("maildir")
    box.write("/etc/dovecot/conf.d/99-test-lmtp.conf", LMTP)
    box.type("cat >/etc/dovecot/nmnotify.lua")
    box.type("lua_file =")
    box.type("cat >/etc/dovecot/spam.sieve")
    box.sh("systemctl restart dovecot.service")
    postfix("mailbox_command=", "mailbox_transport=lmtp:unix:private/dovecot-lmtp")
    box.is_told_once("Lua")
    box.is_untold("Lua as it is, spam", SPAM, JUNK, events=1)
    box.type('event.mailbox == "INBOX"')
    box.is_untold("Lua, spam", SPAM, JUNK)
    box.is_told_once("Lua, of the inbox alone")


def before():
    box.is_refused("GTUBE", GTUBE)
    message = box.is_untold("a virus", VIRUS, HELD)
    box.is_told_once("beside the quarantine")
    box.type("postsuper -H")
    ok(until(lambda: box.fetched(message), ARRIVAL_SECONDS), "what is released is on the laptop")
    equal(box.news(), 1, "... and one event was its")
    box.type("OnInfected Reject")
    box.is_ready()
    box.is_refused("a virus", VIRUS)


def sieve():
    box.type("cat >/etc/dovecot/nmnotify.sieve")
    box.type("sieve_script nmnotify")
    box.is_untold("Sieve as it is, spam", SPAM, JUNK, events=1)
    box.type("type = after")
    box.is_untold("Sieve, spam", SPAM, JUNK)
    box.is_told_once("Sieve")
    # What the user's own does.
    box.sh("cat >~/.dovecot.sieve <<'END'\n" + OWN + "END", "alice")
    box.is_untold("Sieve, a list", "list", LIST)
    box.is_untold("Sieve, discarded", "unwanted", None)
    box.is_told_once("Sieve, the user's own")


def biff():
    postfix("mailbox_transport=", "biff=yes")
    box.imap("mbox")
    box.type("enable nmnotify-relay-biff.socket")
    box.is_refused("biff, GTUBE", GTUBE)
    box.is_untold("biff, spam", SPAM, MBOX, events=1)
    box.is_told_once("biff")


def procmail():
    postfix('mailbox_command=procmail -a "$EXTENSION"')
    box.type("TRAP=\n")
    box.is_untold("procmail, spam", SPAM, FILED)
    box.is_told_once("procmail, beside spam")
    both = box.sh("cat ~alice/.procmailrc").replace("  COMSAT=no\n  TRAP=\n", "")
    box.write("/home/alice/.procmailrc", both)
    box.is_untold("procmail, of spam as well", SPAM, FILED, events=1)


def content_filter():
    """In the place of the milters; and procmail runs a program."""
    box.sh(FILTER)
    postfix("smtpd_milters=")
    box.sh("rm ~alice/.procmailrc")
    box.type('TRAP="')
    box.type("TRAP=\n")
    box.is_untold("a content filter, GTUBE", GTUBE, FILED)
    box.is_told_once("a content filter")


mailhost.main(box, lua, before, sieve, biff, procmail, content_filter, releases=("trixie",))
