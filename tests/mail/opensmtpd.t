#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""OpenSMTPD tells of what it delivers. Debian 13's."""

import re
import sys

sys.dont_write_bytecode = True
import mailhost
from mailhost import LAPTOP

DEBCONF = "opensmtpd opensmtpd/mailname string mx.test\nopensmtpd opensmtpd/root_address string root"
box = mailhost.MailHost("opensmtpd", "opensmtpd", DEBCONF)
box.queue = "smtpctl show queue"
box.harm = r"result=\"?(TempFail|PermFail)"


def comsat():
    box.sh("sed -i 's/^action \"local\" maildir/action \"local\" mbox/' /etc/smtpd.conf; systemctl restart opensmtpd")
    box.imap("mbox")
    box.tells("mbox", "enable nmnotify-relay-biff.socket")
    box.sh("systemctl disable --now nmnotify-relay-biff.socket; systemctl restart nmnotify-relay.socket")


def wrapper():
    """As Debian has it: Maildirs."""
    box.sh("sed -i 's/^action \"local\" mbox/action \"local\" maildir/' /etc/smtpd.conf; systemctl restart opensmtpd")
    box.imap("maildir")
    usual = box.delay()
    conf = box.read("/etc/smtpd.conf")
    action = re.search(r'^action "local".*\n', conf, re.MULTILINE)[0]
    box.write("/etc/smtpd.conf", conf.replace(action, box.recipe("mda wrapper")))
    box.sh("systemctl restart opensmtpd")
    box.is_told("mda wrapper", at=LAPTOP[0])
    box.is_unharmed("mda wrapper", usual)


def forward():
    box.sh("sed -i '/^mda wrapper/d; s/ wrapper tell//' /etc/smtpd.conf; systemctl restart opensmtpd")
    box.tells(".forward", "cat >~/.forward")


mailhost.main(box, comsat, wrapper, forward, releases=("trixie",))
