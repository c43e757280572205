#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Exim tells of what it delivers: to mailboxes, to Maildirs, and by a program."""

import sys

sys.dont_write_bytecode = True
import mailhost
from nmtest import equal, ok

DEBCONF = """
exim4-config exim4/dc_eximconfig_configtype select internet site; mail is sent and received directly using SMTP
exim4-config exim4/dc_other_hostnames string mx.test
exim4-config exim4/dc_postmaster string root
exim4-config exim4/mailname string mx.test
""".strip()
box = mailhost.MailHost("exim", "exim4-daemon-light", DEBCONF)
box.queue = "exim4 -bp"


def mailbox():
    box.imap("mbox")
    box.tells("comsat, mbox", "enable nmnotify-relay-biff.socket", "notify_comsat")


def maildir():
    box.sh("sed -i 's/^dc_localdelivery=.*/dc_localdelivery=maildir_home/' /etc/exim4/update-exim4.conf.conf")
    box.sh("systemctl reload exim4")
    box.imap("maildir")
    box.tells("comsat, Maildir")
    box.sh("systemctl disable --now nmnotify-relay-biff.socket; systemctl restart nmnotify-relay.socket")


def program():
    box.tells("unseen router", "unseen")


def nothing_is_logged():
    said = box.sh(r"grep -E ' (==|\*\*) ' /var/log/exim4/mainlog; cat /var/log/exim4/paniclog 2>/dev/null; :")
    equal(said, "", "S3: Exim's own log has no deferral, failure or panic")
    ok("=> alice" in box.sh("cat /var/log/exim4/mainlog"), "... and has its deliveries")


mailhost.main(box, mailbox, maildir, program, nothing_is_logged)
