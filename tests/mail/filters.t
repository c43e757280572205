#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""procmail and maildrop tell of what they deliver, for Postfix."""

import sys

sys.dont_write_bytecode = True
import mailhost
from mailhost import LAPTOP

DEBCONF = "postfix postfix/main_mailer_type select Internet Site\npostfix postfix/mailname string mx.test"
box = mailhost.MailHost("postfix", "postfix", DEBCONF)


def command(words):
    box.sh(f"postconf 'mailbox_command={words}' && systemctl reload postfix")


def procmail_trap():
    box.sh("systemctl enable --now nmnotify-relay.socket")
    command('procmail -a "$EXTENSION"')
    box.imap("mbox")
    usual = box.delay()
    box.type("TRAP")
    box.is_told("procmail, TRAP", at=LAPTOP[0])
    box.is_unharmed("procmail, TRAP", usual)


def procmail_recipe():
    box.sh("rm /etc/procmailrc")
    usual = box.delay()
    box.type(":0 c")
    box.is_told("procmail, a recipe", at=LAPTOP[0])
    box.is_unharmed("procmail, a recipe", usual)


def maildrop():
    """Writes first, and tells then."""
    command("/usr/bin/maildrop")
    usual = box.delay()
    box.type('cc "$DEFAULT')
    box.is_told("maildrop, written first", at=LAPTOP[0])
    box.is_unharmed("maildrop, written first", usual)


def maildrop_copy():
    box.sh("rm /etc/maildroprc")
    usual = box.delay()
    box.type('cc "|/usr')
    box.is_told("maildrop, a copy", at=LAPTOP[0])
    box.is_unharmed("maildrop, a copy", usual)


mailhost.main(box, procmail_trap, procmail_recipe, maildrop, maildrop_copy)
