#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Courier runs what tells of mail, by its own delivery or by maildrop; PAM, or a user's loginexec, tells of logins."""

import smtplib
import sys

sys.dont_write_bytecode = True
import mailhost
from mailhost import LAPTOP, RELAY
from nmtest import equal, ok, until

DEBCONF = """courier-base courier-base/webadmin-configmode boolean false
courier-mta courier-mta/defaultdomain string mx.test
courier-mta courier-mta/dsnfrom string mailer@mx.test"""
box = mailhost.MailHost("courier", "courier-mta courier-imap courier-pop maildrop", DEBCONF)

# There is no name service to ask for senders' domains.
SETUP = """
sed -i s/^BOFHCHECKDNS=1/BOFHCHECKDNS=0/ /etc/courier/esmtpd
echo mx.test >/etc/courier/locals
for user in alice bob; do su - $user -c 'maildirmake ~/Maildir'; done
systemctl restart courier.service courier-mta.service
"""
# Of the last part that set them.
CLEAN = """
sed -i -E '/^(cc|DEFAULT)/d' /etc/maildroprc
rm -f ~alice/.courier
printf 'DEFAULTDELIVERY=./Maildir\n' >>/etc/courier/courierd
systemctl restart courier.service courier-mta.service
"""
# Where alice was.
FORGET = f"""
systemctl stop nmnotify-relay.socket {RELAY}
rm -rf /var/lib/nmnotify-relay/*
systemctl start nmnotify-relay.socket
"""
START_SECONDS = 120


def is_up():
    try:
        with smtplib.SMTP("127.0.0.1", 25, timeout=60):
            return True
    except (OSError, smtplib.SMTPException):
        return False


def wait():
    ok(until(is_up, START_SECONDS), "Courier is up")


def installed():
    box.sh(SETUP)
    wait()
    box.mailbox = mailhost.MAILBOX["maildir"]
    box.queue = "mailq | grep -E '^ *[1-9][0-9]* messages'; :"
    box.harm = r"status: (deferred|failure)|error,relay="
    global usual
    usual = box.delay()
    box.sh("systemctl enable --now nmnotify-relay.socket")


def delivery():
    """Its own, of all users; and PAM, which logins go on with, too."""
    box.type("cat >>/etc/courier/courierd")
    wait()
    box.is_told("DEFAULTDELIVERY", at=LAPTOP[0])
    box.type("/etc/pam.d/$service")
    box.follows()
    box.is_unharmed("DEFAULTDELIVERY", usual, box.log_in_twice)


def maildrop():
    box.sh(CLEAN)
    box.type("/usr/bin/maildrop")
    wait()
    box.is_told("maildrop", at=LAPTOP[0])
    box.is_unharmed("maildrop", usual)


def courier():
    box.sh(CLEAN)
    wait()
    box.type("~/.courier")
    box.is_told(".courier", at=LAPTOP[0])
    box.is_unharmed(".courier", usual)


def loginexec():
    """Without PAM. Of the user herself it is not believed, else she could have lines sent to where she likes."""
    box.sh("sed -i /nmnotify/d /etc/pam.d/imap /etc/pam.d/pop3")
    box.type("~/Maildir/loginexec")
    box.configure("user alice last 192.0.2.79")
    box.sh(FORGET)
    box.log_in(LAPTOP[1], "imap")
    box.is_told("loginexec, who is not trusted", at=LAPTOP[0])
    box.configure("trust alice", "user alice last")
    box.log_in(LAPTOP[1], "imap")
    box.is_told("loginexec, IMAP", at=LAPTOP[1])
    box.log_in(LAPTOP[2], "pop3")
    box.is_told("loginexec, POP3", at=LAPTOP[2])
    box.configure("user alice 192.0.2.79", "trust alice")
    box.is_unharmed("loginexec", usual, box.log_in_twice)
    equal(box.sh("ls ~alice/Maildir/loginexec").strip(), "/home/alice/Maildir/loginexec", "loginexec: Courier has left it there")


mailhost.main(box, installed, delivery, maildrop, courier, loginexec, releases=("trixie",))
