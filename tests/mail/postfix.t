#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Postfix tells of what it delivers."""

import sys

sys.dont_write_bytecode = True
import mailhost
from mailhost import LAPTOP

DEBCONF = "postfix postfix/main_mailer_type select Internet Site\npostfix postfix/mailname string mx.test"
box = mailhost.MailHost("postfix", "postfix", DEBCONF)


def procmail():
    """Debian has Postfix use it if it is there. It tells by itself."""
    box.imap("mbox")
    usual = box.delay()
    box.type("nmnotify-relay -t")
    box.type("enable nmnotify-relay-biff.socket")
    box.is_told("procmail", at=LAPTOP[0])
    box.is_unharmed("procmail", usual)


def biff():
    box.sh("postconf mailbox_command=; systemctl reload postfix")
    usual = box.delay()
    box.type("biff=yes")
    box.is_told("biff", at=LAPTOP[0])
    box.is_unharmed("biff", usual)
    box.sh("systemctl disable --now nmnotify-relay-biff.socket; systemctl restart nmnotify-relay.socket")


mailhost.main(box, procmail, biff)
