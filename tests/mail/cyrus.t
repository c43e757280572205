#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Cyrus tells of what it delivers and who logs in: itself, by its events; or its notifyd, of what it delivers."""

import signal
import socket
import sys

sys.dont_write_bytecode = True
import mailhost
from mailhost import LAPTOP, PASSWORD, RELAY
from nmtest import diag, kill, ok, until

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


mailhost.main(box, installed, events, last, unharmed, hanging, broken, notifyd, releases=("trixie",))
