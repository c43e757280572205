#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Sendmail tells of what it delivers. Debian 13's."""

import sys

sys.dont_write_bytecode = True
import mailhost

box = mailhost.MailHost("sendmail", "sendmail")
box.harm = r"stat=(Deferred|User unknown|Service unavailable|unknown mailer)|dsn=[45]\."
box.queue = "find /var/spool/mqueue /var/spool/mqueue-client -name 'qf*'"


def procmail():
    """Debian has Sendmail use it if it is there."""
    # On a machine that is busy with other tests it would take none.
    box.sh(r"sed -Ei 's/^#?O (QueueLA|RefuseLA|DelayLA)=.*/O \1=100000/' /etc/mail/sendmail.cf")
    box.sh("systemctl enable --now sendmail")
    box.imap("mbox")
    box.tells("procmail", "enable nmnotify-relay-biff.socket")


def mail_local():
    """... and this, if there is no other."""
    box.sh("rm /usr/bin/procmail /usr/bin/maildrop")
    box.tells("mail.local")
    box.sh("systemctl disable --now nmnotify-relay-biff.socket; systemctl restart nmnotify-relay.socket")


def forward():
    box.tells(".forward", "printf '%s")


mailhost.main(box, procmail, mail_local, forward, releases=("trixie",))
