#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Mail that comes without a mail system of Debian's: by a program that writes it and knows of nothing else, which the
user's own systemd watches; and the line of a .qmail, run as qmail-local(8) does it."""

import secrets
import sys
import time

sys.dont_write_bytecode = True
import mailhost
from mailhost import ARRIVAL_SECONDS, HOST, LAPTOP
from nmtest import skip, until

TO_MAILDIR = "tail -n +2 /srv/message >Maildir/tmp/NAME && mv Maildir/tmp/NAME Maildir/new"
TO_MAILBOX = "cat /srv/message >>/var/mail/alice"
# Its environment; SIGPIPE is ignored, and who does not end with 0 has the message returned or deferred.
_QMAIL = "USER=alice HOME=/home/alice LOCAL=alice HOST=mx.test EXT= SENDER=bob@mx.test RECIPIENT=alice@mx.test PATH=/usr/bin:/bin"
AS_QMAIL = TO_MAILDIR + f""" && trap '' PIPE && sed -n 's/^|//p' .qmail | grep -q send &&
    env -i {_QMAIL} /bin/sh -c "$(sed -n 's/^|//p' .qmail)" </srv/message"""


class Plain(mailhost.MailHost):
    def prepare(self):
        super().prepare()
        self.sh("systemctl enable --now nmnotify-relay.socket")
        self.sh("mkdir -p Maildir/new Maildir/cur Maildir/tmp", "alice")

    def send(self, to="alice"):
        name = f"<{secrets.token_hex(8)}@sender.test>"
        text = f"From bob@{HOST} Mon Jan  1 00:00:00 2024\nFrom: bob@{HOST}\nMessage-ID: {name}\n\nHello.\n\n"
        self.write("/srv/message", text)
        # It raises if that does not end with 0.
        self.sh(self.writer.replace("NAME", secrets.token_hex(8)), to)
        return name, time.time()


# Any layer with a mail server will do: what its Postfix does is another's business.
box = Plain("postfix", "postfix", mailhost.POSTFIX)


def qmail():
    box.imap("maildir")
    box.writer = TO_MAILDIR
    usual = box.delay()
    box.type("./Maildir/")
    box.writer = AS_QMAIL
    box.is_told("qmail's line", at=LAPTOP[0])
    box.is_unharmed("qmail's line", usual)


def has_manager():
    """The user's, as `loginctl enable-linger` keeps it, which not every container lets it do."""
    uid = box.sh("id -u alice").strip()
    box.write("/var/lib/systemd/linger/alice", "")
    box.sh(f"systemctl start user@{uid}.service", check=False)
    is_up = lambda: box.run("test", "-S", f"/run/user/{uid}/systemd/private", check=False).returncode == 0
    return until(is_up, 20) or skip("watched", "no user's manager starts in this container")


def maildir():
    if has_manager():
        box.imap("maildir")
        box.writer = TO_MAILDIR
        box.type("~/Maildir/new")
        box.is_told("a Maildir, watched", at=LAPTOP[0])
        box.is_told("a Maildir, watched, once more")
        box.is_unharmed("a Maildir, watched", 0)
        box.sh("systemctl --user disable --now 'nmnotify-watch@*.path'", "alice")


def mailbox():
    if has_manager():
        box.sh("install -o alice -g mail -m 660 /dev/null /var/mail/alice")
        box.writer = TO_MAILBOX
        box.imap("mbox")
        box.type("/var/mail/$USER")
        box.is_told("a mailbox, watched", at=LAPTOP[0])
        box.is_told("a mailbox, watched, once more")
        box.is_unharmed("a mailbox, watched", 0)


mailhost.main(box, qmail, maildir, mailbox)
