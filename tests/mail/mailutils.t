#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Mailutils' servers have no hook, and tell PAM who logs in, but not from where: the kernel knows that."""

import sys

sys.dont_write_bytecode = True
import mailhost
from mailhost import LAPTOP
from nmtest import ok, until

box = mailhost.MailHost("mailutils", "postfix mailutils-imap4d mailutils-pop3d", mailhost.POSTFIX)

SERVERS = {"mailutils-imap4d.service": "imap4d", "mailutils-pop3d.service": "pop3d"}
# Of Type=forking, as Debian has it, systemd may take a process for the server that ends at once, and then ends the
# server, too.
FOREGROUND = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=exec\nExecStart=\nExecStart=/usr/sbin/{program} --daemon --foreground\n"
START_SECONDS = 120


def wait():
    up = lambda: all(f":{port} " in box.output("ss", "-Hltn") for port in (110, 143))
    ok(until(up, START_SECONDS), "mailutils is up")


def delivery():
    """Postfix's, to mailboxes, with biff: postfix.t tries it."""
    global usual
    for server, program in SERVERS.items():
        box.write(f"/etc/systemd/system/{server}.d/test.conf", FOREGROUND.format(program=program))
    box.sh(f"systemctl daemon-reload; systemctl reset-failed; systemctl restart {' '.join(SERVERS)}")
    wait()
    box.sh("postconf mailbox_command= biff=yes; systemctl reload postfix")
    usual = box.delay()
    box.sh("systemctl enable nmnotify-relay-biff.socket; systemctl enable --now nmnotify-relay.socket")
    box.is_told("mailutils", at=LAPTOP[0])


def pam():
    box.type("/etc/mailutils.conf")
    wait()


def last():
    box.follows()


def unharmed():
    box.is_unharmed("mailutils", usual, box.log_in_twice)


def no_address():
    """If it gives PAM the address one day, the script is needless."""
    box.sh("sed -i s,nmnotify-pam,nmnotify-login, /etc/pam.d/gnu-mail")
    box.log_in(LAPTOP[1], "imap")
    reason = lambda: [r["MESSAGE"] for r in box.journal("SYSLOG_IDENTIFIER=nmnotify-login") if "PAM_RHOST" in r["MESSAGE"]]
    ok(until(reason, 60), "PAM is not told the address")


mailhost.main(box, delivery, pam, last, unharmed, no_address, releases=("trixie",))
