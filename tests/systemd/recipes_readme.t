#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""README's first set-up, with either pair of units, and what it says of make."""

import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
import recipes
import nmtest
from documents import commands
from nmtest import diag, equal, ok, until
from recipes import arrives, begin, box, checked, configure, deliver, docs, edit, sh, type_all


def readme_first_setup():
    # What container.Container does; the rest of the machine has no compiler.
    equal(commands(docs.take("README.md", "sudo make install\n")), ["make", "sudo make install"], "README: how it was installed")
    begin()
    deliver("mbsync", "first set-up")
    configure(docs.take("README.md", "from    192.0.2.25 127.0.0.1"))
    equal(checked(commands(docs.take("README.md", "nmnotify -t"))[0]), [], "README: nmnotify -t finds nothing wrong")
    edit(*commands(docs.take("README.md", "edit nmnotify@.service")), docs.take("README.md", "[Service]\nUser=alice"))
    edit(*commands(docs.take("README.md", "edit nmnotify.socket")), docs.take("README.md", "IPAddressDeny=any"))
    type_all(docs.take("README.md", "enable --now nmnotify.socket"))
    send, look = commands(docs.take("README.md", "nm_notifyuser\\r\\n' >/dev/tcp"))
    sh(send, user="alice")
    arrives("Mail/mbsync/new/*", "first set-up", "README: the first set-up fetches mail")
    said = until(lambda: (lambda t: t if "run=ended" in t else None)(sh(look))) or sh(look)
    ok("verdict=accepted" in said and re.search("run=ended .*status=0", said), "README: and its log says what README says")
    said = sh(commands(docs.take("README.md", "nmnotifyctl status"))[0])
    ok(re.search(r"(?m)^default +.* ago +status 0 ", said), "README: and nmnotifyctl shows it") or diag(said)
    said = sh(docs.take("README.md", "nmnotifyctl check").removeprefix("sudo "), check=False)
    ok(re.match(r"(OK|WARNING|CRITICAL|UNKNOWN): ", said), "README: and what keeps notifications from arriving") or diag(said)
    readme_other_pair(send)


def readme_other_pair(send):
    """To the letter: the same drop-ins about the other units, and two commands."""
    for unit, other in (("nmnotify@.service", "nmnotifyd.service"), ("nmnotify.socket", "nmnotifyd.socket")):
        text = (box.root / f"etc/systemd/system/{unit}.d/override.conf").read_text()
        edit(f"sudo systemctl edit {other}", text)
    block = docs.take("README.md", "enable --now nmnotifyd.socket")
    type_all(block)
    ok(box.is_active("nmnotifyd.socket") and not box.is_active("nmnotify.socket"), "README: the other pair listens")
    # Sooner than the interval: the limits hold across the change.
    deliver("mbsync", "the other pair")
    sh(send)
    arrives("Mail/mbsync/new/*", "the other pair", "README: the other pair fetches mail")
    box.run("systemctl", "disable", "--now", "nmnotifyd.socket")
    ok(True, "README: and is stopped")


def readme_rest():
    docs.shown("README.md", "ssh-keygen", why="packaging/dist.t types it")
    docs.shown("README.md", "postconf", why="Postfix, which is not installed here")
    docs.shown("README.md", "SYSTEMD=yes", why="make cross builds with it")
    targets = [line.split("  ")[0] for line in docs.take("README.md", "make demo").splitlines()]
    # And what README says of make in running text.
    targets += [word.strip() for word in docs.each(
        "README.md", "make install-sender\n", "make install\n", "make lint", "make bench\n", "make bench-quick", "make SYSTEMD=no",
        "make check\n", "make clean all SYSTEMD=no", "make clean all RELAY=no", "make install-listener", "make CROSS", "make quick",
        "make check-mail", "make dist", "make sbom", "make packages", "make check-image", "make check-long", "make fuzz", "make coverage",
    )]
    patterns = ("Makefile", "src/*.mk", "packaging/*.mk", "tests/**/*.mk")
    makefiles = "".join(path.read_text() for pattern in patterns for path in nmtest.PROJECT.glob(pattern))
    for command in targets:
        # They build and test, which is what is done around this test; that they are there, make says.
        words = ["make", "-n", "-C", str(nmtest.PROJECT), *command.split()[1:]]
        made = subprocess.run(words, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
        known = all(f"$({word.split('=')[0]})" in makefiles for word in words if "=" in word)
        ok(made.returncode == 0 and made.stdout and known, f"README: make knows: {command}") or diag(made.stderr)
    page = docs.take("README.md", "man ./man").split()[1]
    ok((nmtest.PROJECT / page).read_text().startswith(".\\\""), f"README: {page} is a page")
    docs.shown("README.md", "systemctl edit\n", why="how to say it; its commands are typed with each unit above")
    docs.shown("README.md", "User=alice\n", why="what is typed in step 1")
    said = docs.take("README.md", "apt-get install")
    wanted = re.search(r"(?m)^build='(.*)'", (nmtest.PROJECT / "tests/packages").read_text())[1].split()
    equal(sorted(said.splitlines()[0].split()[2:]), sorted(wanted), "README: to build takes what tests/packages has")


recipes.run(readme_first_setup, readme_rest)
