#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""procmail and maildrop tell of what they deliver, for Postfix."""

import sys

sys.dont_write_bytecode = True
import mailhost

box = mailhost.MailHost("postfix", "postfix", mailhost.POSTFIX)


def command(words):
    box.sh(f"postconf 'mailbox_command={words}' && systemctl reload postfix")


def procmail_trap():
    box.sh("systemctl enable --now nmnotify-relay.socket")
    command('procmail -a "$EXTENSION"')
    box.imap("mbox")
    box.tells("procmail, TRAP", 'TRAP="')


def procmail_recipe():
    box.sh("rm /etc/procmailrc")
    box.tells("procmail, a recipe", ":0 c")


def maildrop():
    """Writes first, and tells then."""
    command("/usr/bin/maildrop")
    box.tells("maildrop, written first", 'cc "$DEFAULT')


def maildrop_copy():
    box.sh("rm /etc/maildroprc")
    box.tells("maildrop, a copy", 'cc "|/usr')


mailhost.main(box, procmail_trap, procmail_recipe, maildrop, maildrop_copy)
