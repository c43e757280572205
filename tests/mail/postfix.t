#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Postfix tells of what it delivers: by biff, or by what delivers for it."""

import sys

sys.dont_write_bytecode = True
import mailhost
from mailhost import LAPTOP, PASSWORD

box = mailhost.MailHost("postfix", "postfix", mailhost.POSTFIX)

# Users of Dovecot's own.
VIRTUAL = {
    "2.3": f"""
disable_plaintext_auth = no
first_valid_uid = 1
auth_username_format = %Ln
mail_location = maildir:~/Maildir
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid=vmail gid=vmail home=/srv/%n
}}
service auth {{
  unix_listener auth-userdb {{
    user = vmail
  }}
}}
""",
    "2.4": f"""
auth_allow_cleartext = yes
first_valid_uid = 1
auth_username_format = %{{user | username | lower}}
mail_driver = maildir
mail_path = ~/Maildir
mail_inbox_path = ~/Maildir
passdb static {{
  password = {PASSWORD}
}}
userdb static {{
  fields {{
    uid = vmail
    gid = vmail
    home = /srv/%{{user | username}}
  }}
}}
service auth {{
  unix_listener auth-userdb {{
    user = vmail
  }}
}}
""",
}


def postfix(*settings):
    """Delivers so until now."""
    words = " ".join(f"'{setting}'" for setting in settings)
    box.sh(f"postconf {words}; systemctl reload postfix")


def procmail():
    box.imap("mbox")
    box.tells("procmail", "nmnotify-relay -t", "enable nmnotify-relay-biff.socket")


def procmail_maildir():
    box.imap("maildir")
    box.write("/etc/procmailrc", "DEFAULT=$HOME/Maildir/\n")
    box.is_told("procmail, Maildir", at=LAPTOP[0])


def biff():
    box.imap("mbox")
    postfix("mailbox_command=")
    box.tells("biff", "biff=yes")


def no_biff():
    """What follows has to do without."""
    box.sh("systemctl disable --now nmnotify-relay-biff.socket; systemctl restart nmnotify-relay.socket")
    postfix("biff=no")


def command():
    no_biff()
    box.imap("maildir")
    postfix("mailbox_command=/usr/lib/dovecot/dovecot-lda")
    box.tells("mailbox_command", "mailbox_command=/usr")


def forward():
    no_biff()
    box.imap("maildir")
    postfix("mailbox_command=", "home_mailbox=Maildir/")
    box.tells(".forward", "alice, \"|")
    box.sh("rm ~alice/.forward")


def pipe():
    """All of mx.test's users are Dovecot's."""
    no_biff()
    box.sh("useradd --system vmail; for user in alice bob; do install -d -o vmail -g vmail /srv/$user; done")
    box.imap("maildir")
    box.write("/etc/dovecot/conf.d/99-test.conf", VIRTUAL[box.dovecot_version()])
    box.write("/etc/dovecot/conf.d/auth-system.conf.ext", "")
    box.sh("systemctl restart dovecot.service")
    box.mailbox = "/srv/{user}/Maildir/new/*"
    box.sh("postconf -M 'lda/unix=lda unix - n n - - pipe flags=DRhu user=vmail argv=/usr/lib/dovecot/dovecot-lda -d ${recipient}'")
    postfix("mydestination=localhost", "virtual_mailbox_domains=mx.test", "virtual_transport=lda", "lda_destination_recipient_limit=1")
    usual = box.delay()
    box.configure("user alice@mx.test 192.0.2.79")
    box.type("master.cf")
    box.is_told("pipe", at=LAPTOP[0])
    box.is_unharmed("pipe", usual)


mailhost.main(box, procmail, procmail_maildir, biff, command, forward, pipe)
