#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Cyrus tells of what it delivers and who logs in: itself, by its events; or its notifyd, of what it delivers."""

import signal
import socket
import sys
import time

sys.dont_write_bytecode = True
import mailhost
from mailhost import ARRIVAL_SECONDS, LAPTOP, PASSWORD, RELAY
from nmtest import diag, equal, kill, ok, until

box = mailhost.MailHost("cyrus", "postfix cyrus-imapd cyrus-pop3d sasl2-bin", mailhost.POSTFIX)

# As Debian has it, but for services whose programs are in other packages, and without which it does not start;
# users; and one may check mail by POP3 twice in a minute.
SETUP = rf"""
sed -i -E '/^\s(nntp|http)\s/d' /etc/cyrus.conf
sed -i -E '/^(httpmodules|popminpoll):/d' /etc/imapd.conf
printf '%s\n' 'autocreate_post: yes' 'sasl_mech_list: PLAIN LOGIN' >>/etc/imapd.conf
for user in alice bob; do echo {PASSWORD} | saslpasswd2 -p -c -u mx.test $user; done
usermod -aG mail postfix
postconf -F lmtp/unix/chroot=n
postconf mailbox_transport=lmtp:unix:/run/cyrus/socket/lmtp
systemctl restart postfix.service cyrus-imapd.service
"""
# Its folder has no user's name in it.
MAILBOX = """
place=$(su cyrus -s /bin/sh -c '/usr/lib/cyrus/bin/mbpath user.alice') && ln -sfn ..$place /srv/alice
"""
EVENT = b"external\0MAIL\0\0nobody\0INBOX\x000\0From: nobody\n\0"
# RFC 2449's delay, which Cyrus takes in seconds, too; and the laptop's `interval`. By the difference one login may be
# slower than the next.
DELAY_SECONDS, INTERVAL_SECONDS = 2, 8
LONG_SECONDS = 3600
FETCHES = 3
REFUSED = "Logins must be at least"
MPOP = "/usr/bin/mpop --quiet"
MPOPRC = f"""
account default
host mail.example.org
user alice
password {PASSWORD}
auth user
tls off
keep on
delivery maildir ~/Mail/INBOX
"""
# Without TLS it is Cyrus's, and with TLS this one's, which hands over to it.
POP3S = """
printf '%s mail.example.org\n' 192.0.2.25 >>/etc/hosts
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=mail.example.org -keyout /etc/pop3s.pem -out /etc/pop3s.crt
cat /etc/pop3s.crt >>/etc/pop3s.pem
systemd-run --quiet --unit=pop3s socat OPENSSL-LISTEN:995,reuseaddr,fork,cert=/etc/pop3s.pem,verify=0 TCP:127.0.0.1:110
install -o laptop -g laptop -m 600 /etc/laptop.mpoprc ~laptop/.mpoprc
"""
# systemd asks a relay that hangs to end before it kills it.
HANGS = "[Service]\nWatchdogSec=5s\nTimeoutAbortSec=1s\n"
HANGING_SECONDS = 120
START_SECONDS = 120


def is_up():
    """Else Postfix would defer what it cannot hand over while Cyrus starts."""
    with socket.socket(socket.AF_UNIX) as lmtp:
        try:
            return lmtp.connect(f"/proc/{box.leader}/root/run/cyrus/socket/lmtp") is None
        except OSError:
            return False


def wait():
    ok(until(is_up, START_SECONDS), "Cyrus is up")


def listen():
    """systemd gives the socket to Cyrus after it has made it, and a restart of the relay's own does not wait for that."""
    ok(until(lambda: box.is_active("nmnotify-relay-cyrus.socket"), START_SECONDS), "Cyrus has its socket")


def installed():
    box.sh(SETUP)
    wait()
    box.send()
    ok(until(lambda: not box.run("bash", "-c", MAILBOX, check=False).returncode, START_SECONDS), "alice has a mailbox")
    box.mailbox = "/srv/{user}/*."
    global usual
    usual = box.delay()


def events():
    box.type("notifysocket")
    wait()
    listen()
    box.is_told("events", at=LAPTOP[0])


def last():
    box.follows(listen)


def delay(seconds):
    """A minimum between two logins of a user, for POP3; or none."""
    box.sh("sed -i /^popminpoll:/d /etc/imapd.conf")
    box.sh(f"echo popminpoll: {seconds}s >>/etc/imapd.conf" if seconds else ":")
    box.sh("systemctl restart cyrus-imapd.service")
    wait()
    listen()


def login_delay():
    """The laptop fetches by POP3, and is not refused however fast mail comes, if its `interval` is not below the delay."""
    box.write("/etc/laptop.mpoprc", MPOPRC)
    box.sh(POP3S)
    ok(until(lambda: ":995 " in box.output("ss", "-Hltn"), START_SECONDS), "POP3 by TLS is up")
    delay(DELAY_SECONDS)
    equal(box.type("CAPA").count(f"LOGIN-DELAY {DELAY_SECONDS}\n"), 2, "Cyrus says which delay it wants")
    box.quiet()
    begun, before, sent = time.time(), len(box.starts()), []
    box.laptop(f"{INTERVAL_SECONDS}s", MPOP)
    while len(box.starts()) < before + FETCHES and time.time() < begun + ARRIVAL_SECONDS:
        sent.append(box.send()[0])
        time.sleep(DELAY_SECONDS / 5)
    there = until(lambda: all(map(box.fetched, sent)), ARRIVAL_SECONDS)
    ok(there, "interval above LOGIN-DELAY: all messages are on the laptop")
    fetches = len(box.starts()) - before
    diag(f"{len(sent)} messages in {time.time() - begun:.0f} s, by {fetches} fetches")
    ok(FETCHES <= fetches < len(sent), "... which came faster than they were fetched")
    equal(set(ended(begun, fetches)), {"0"}, "... each fetch ended well")
    equal(refusals(begun), 0, "... and no login was refused")
    delay(LONG_SECONDS)
    begun = time.time()
    message, _ = box.send()
    ok(until(lambda: refusals(begun), ARRIVAL_SECONDS), "interval below LOGIN-DELAY: the login is refused")
    ok(until(lambda: set(ended(begun, 1)) - {"0"}, ARRIVAL_SECONDS), "... and the fetch ends badly")
    ok(not box.fetched(message), "... without the message")
    delay(DELAY_SECONDS)
    box.send()
    ok(until(lambda: box.fetched(message), ARRIVAL_SECONDS), "... which comes by the next fetch")
    delay(None)
    box.laptop()


def refusals(after):
    return sum(REFUSED in str(record.get("MESSAGE")) for record in box.journal(after=after))


def ended(after, count):
    """The fetches' statuses, when there are so many."""
    found = lambda: box.journal("NMNOTIFY_RUN=ended", after=after)
    until(lambda: len(found()) >= count, ARRIVAL_SECONDS)
    return [record["NMNOTIFY_STATUS"] for record in found()]


def unharmed():
    """Not with its own queue full: see below."""
    box.is_unharmed("events", usual, box.log_in_twice)


def hanging():
    """Cyrus waits for room in the queue; so the watchdog is what lets it go on."""
    box.write(f"/etc/systemd/system/{RELAY}.d/test.conf", HANGS)
    box.sh("systemctl daemon-reload; systemctl restart nmnotify-relay.socket")
    listen()
    box.is_told("before it hangs")
    for pid in box.pids(RELAY):
        kill(pid, signal.SIGSTOP)
    box.fill("cyrus", EVENT)
    _, seconds = box.deliver("S3: the relay hangs, and its queue is full")
    ok(seconds < HANGING_SECONDS, "S3: systemd ends it, and the delivery goes on")
    diag(f"after {seconds:.1f} s")
    box.log_in_twice()
    box.is_told("after that")
    box.write(f"/etc/systemd/system/{RELAY}.d/test.conf", "[Service]\nWatchdogSec=0\n")
    box.sh("systemctl daemon-reload; systemctl restart nmnotify-relay.socket")


def broken():
    """A relay that cannot start reads the queue all the same; and without the socket Cyrus does not wait at all."""
    box.sh("cp /etc/nmnotify-relay.conf /root/good; echo nonsense >>/etc/nmnotify-relay.conf")
    box.sh(f"systemctl restart nmnotify-relay.socket; systemctl stop {RELAY}")
    listen()
    box.fill("cyrus", EVENT)
    box.deliver("S3: the configuration is wrong")
    box.log_in_twice()
    box.fill("cyrus", EVENT)
    _, seconds = box.deliver("S3: the configuration is wrong, and the queue was full once more")
    ok(seconds < 5 + 5 * usual, "S3: the delivery does not wait")
    box.sh(box.recipe("systemctl stop nmnotify-relay-cyrus.socket"))
    _, seconds = box.deliver("S3: the configuration is wrong, and the socket is stopped")
    ok(seconds < 5 + 5 * usual, "S3: the delivery does not wait")
    box.log_in_twice()
    box.sh("cp /root/good /etc/nmnotify-relay.conf; systemctl restart nmnotify-relay.socket")
    listen()
    box.is_told("when the configuration is right again")


def notifyd():
    box.sh("systemctl disable --now nmnotify-relay-cyrus.socket; systemctl restart nmnotify-relay.socket")
    box.sh("sed -i -E '/^(event_|notifysocket:)/d' /etc/imapd.conf")
    box.sh("echo 'notifysocket: /run/cyrus/socket/notify' >>/etc/imapd.conf")
    box.type("mailnotifier")
    wait()
    box.is_told("notifyd", at=LAPTOP[0])
    box.is_unharmed("notifyd", usual, box.log_in_twice)


mailhost.main(box, installed, events, last, login_delay, unharmed, hanging, broken, notifyd, releases=("trixie",))
