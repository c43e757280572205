#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Dovecot tells of what it delivers, by LMTP and by its LDA behind Postfix; and of who has logged in."""

import re
import socket
import sys
import time

sys.dont_write_bytecode = True
import mailhost
from mailhost import LAPTOP
from nmtest import ok, until

box = mailhost.MailHost("dovecot", "postfix dovecot-lmtpd dovecot-sieve lua-socket", mailhost.POSTFIX)
# Nor is the script compiled at each delivery, in vain.
box.harm += r"|nmnotify\.svbin"

# As Dovecot's own documentation has LMTP behind Postfix, and users of the system.
LMTP = """
auth_username_format = {name}
service lmtp {{
  unix_listener /var/spool/postfix/private/dovecot-lmtp {{
    user = postfix
    group = postfix
    mode = 0600
  }}
}}
"""
NAME = {"2.3": "%Ln", "2.4": "%{user | username | lower}"}
LMTP_DELIVERS = ("mailbox_command=", "mailbox_transport=lmtp:unix:private/dovecot-lmtp")
LDA_DELIVERS = ("mailbox_transport=", "mailbox_command=/usr/lib/dovecot/dovecot-lda")


def postfix(*settings):
    words = " ".join(f"'{setting}'" for setting in settings)
    box.sh(f"postconf {words}; systemctl reload postfix")


def version():
    """Which words of a block are of the Dovecot that is there."""
    return box.dovecot_version()


def lmtp():
    box.imap("maildir")
    box.write("/etc/dovecot/conf.d/99-test-lmtp.conf", LMTP.format(name=NAME[version()]))
    box.sh("systemctl restart dovecot.service; systemctl start nmnotify-relay.socket")
    postfix(*LMTP_DELIVERS)


def without():
    box.sh("rm -f /etc/dovecot/conf.d/99-nmnotify.conf; systemctl reload dovecot")


def lda(name, usual):
    postfix(*LDA_DELIVERS)
    box.is_told(name, at=LAPTOP[0])
    box.is_unharmed(name, usual)


def lua():
    lmtp()
    usual = box.tells("LMTP, Lua", "cat >/etc/dovecot/nmnotify.lua", {"2.3": "lua:file=", "2.4": "lua_file ="}[version()])
    lda("LDA, Lua", usual)
    without()


def sieve():
    lmtp()
    usual = box.tells("LMTP, Sieve", "cat >/etc/dovecot/nmnotify.sieve", {"2.3": "sieve_before", "2.4": "sieve_script nmnotify"}[version()])
    lda("LDA, Sieve", usual)


def logins():
    """By whichever of the above; here it is the last one."""
    usual = box.delay()
    box.configure("user alice last")
    box.type("trust dovecot")
    for address, protocol in ((LAPTOP[1], "imap"), (LAPTOP[2], "pop3"), (LAPTOP[1], "pop3"), (LAPTOP[2], "imap")):
        box.quiet()
        box.log_in(address, protocol)
        box.is_told(f"last, {protocol}", at=address)
    box.is_told("last, where mbsync has logged in meanwhile", at=LAPTOP[0])
    for protocol in ("imap", "pop3"):
        box.is_unharmed(f"{protocol}", usual, lambda: box.log_in(LAPTOP[1], protocol))


def journal():
    """Without that: what Dovecot logs."""
    box.sh("rm -f /etc/dovecot/conf.d/99-nmnotify-login.conf; systemctl reload dovecot")
    box.configure("user alice last")
    started = time.time()
    box.type("trust nmnotify-relay-logs")
    counts = lambda: [int(n) for n in re.findall(r"\d+", box.show("nmnotify-relay-logs.service", "StatusText"))]

    def logged():
        """By mbsync, too."""
        said = [str(r.get("MESSAGE")) for r in box.journal("_SYSTEMD_UNIT=dovecot.service", after=started)]
        return sum(bool(re.match(r"(imap|pop3)-login: Log(in|ged in): ", line)) for line in said)

    until(lambda: counts() == [0, 0, 0], 20)
    for address, protocol in ((LAPTOP[1], "imap"), (LAPTOP[2], "pop3")):
        for _ in range(10):  # again, if the machine is so busy that it was read too late
            before, failed = logged(), counts()[1:]
            box.log_in(address, protocol)
            until(lambda: logged() > before and sum(counts()) == logged(), 60)
            if counts()[1:] == failed:
                break
        box.is_told(f"last, {protocol}, from the journal", at=address)


def pop3_may_come_at_once():
    """RFC 2449 has a server say how long a client must wait between two logins: Dovecot wants no wait."""
    with socket.create_connection(("127.0.0.1", 110), 60) as connection, connection.makefile("rw", newline="") as f:
        f.readline()
        f.write("CAPA\r\n")
        f.flush()
        capabilities = [line.split()[0] for line in iter(f.readline, ".\r\n")]
    ok("UIDL" in capabilities and "LOGIN-DELAY" not in capabilities, "POP3: nothing keeps a told client from logging in at once")


mailhost.main(box, lua, sieve, logins, journal, pop3_may_come_at_once)
