#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What nmnotify-units(7), the pages of both programs and the units' comments say of units, typed: pairs, sockets, many
users, users' own units; and a reload, and an upgrade."""

import re
import sys
import time

sys.dont_write_bytecode = True
import recipes
from documents import commands
from nmtest import diag, equal, ok, skip, until
from recipes import (
    HOME, PAIRS, TOUCH, arrives, begin, box, configure, deliver, docs, edit, home_file, mbsyncrc, notify, often, sh, touched,
    type_all,
)


def pages_pairs():
    """From one to the other and back, in each page that says how."""
    begin()
    configure(often(f"from 127.0.0.1\nuser alice\naction /usr/bin/mbsync -q -a\n"))
    for service in PAIRS.values():
        edit(f"systemctl edit {service}", "[Service]\nUser=alice\n")
    sh("systemctl enable --quiet --now nmnotify.socket")
    for number, (page, block) in enumerate((
        ("man/nmnotifyd.8", docs.take("man/nmnotifyd.8", "systemctl enable --now nmnotifyd.socket")),
        ("man/nmnotifyd.8", docs.take("man/nmnotifyd.8", "systemctl enable --now nmnotify.socket")),
        ("man/nmnotify-units.7", docs.take("man/nmnotify-units.7", "systemctl enable --now nmnotifyd.socket")),
    )):
        type_all(block, "#")
        deliver("mbsync", f"{page} {number}")
        sh("printf 'nm_notifyuser\\r\\n' | nc -w 2 127.0.0.1 79", check=False)
        arrives("Mail/mbsync/new/*", f"{page} {number}", f"{page}: the pair changes, and mail is fetched")
    less_of_the_home()


def less_of_the_home():
    text = docs.take("man/nmnotify-units.7", "edit nmnotifyd.service")
    drop_in = docs.take("man/nmnotify-units.7", "ProtectHome=tmpfs")
    configure(often("from 127.0.0.1\nuser alice\naction /bin/sh -c 'ls -A /home/alice /home/alice/Mail; exec mbsync -q -a'\n"))
    # What it says is for an mbsync whose state is beside its mail.
    home_file(".mbsyncrc", mbsyncrc("mbsync", f"{HOME}/Mail/mbsync") + "SyncState *\n")
    sh(f"chown alice: {HOME}/.mbsyncrc; rm -f {HOME}/Mail/mbsync/new/*")
    edit(*commands(text, "#"), "[Service]\nUser=alice\n" + drop_in.removeprefix("[Service]\n"))
    sh("systemctl restart nmnotifyd.socket")
    deliver("mbsync", "less of the home")
    after = time.time()
    sh("printf 'nm_notifyuser\\r\\n' | nc -w 2 127.0.0.1 79", check=False)
    arrives("Mail/mbsync/new/*", "less of the home", "nmnotify-units(7): with less of the home mail is fetched")
    seen = " ".join(str(r.get("MESSAGE")) for r in box.journal(after=after))
    ok(".mbsyncrc" in seen and ".fetchmailrc" not in seen, "nmnotify-units(7): and the rest of it is not seen")
    home_file(".mbsyncrc", mbsyncrc("mbsync", f"{HOME}/Mail/mbsync"))
    sh(f"chown alice: {HOME}/.mbsyncrc")


def pages_sockets():
    begin()
    configure(often("from any\nuser alice\naction /usr/bin/touch /home/alice/touched\n"))
    works = lambda host="127.0.0.1", more="": (
        sh(f"rm -f {HOME}/touched; sleep 1.1; printf 'nm_notifyuser\\r\\n' | nc -w 2 {more} {host} 79", check=False),
        until(lambda: sh(f"ls {HOME}/touched", check=False).strip() == f"{HOME}/touched"),
    )[1]
    edit("systemctl edit nmnotify@.service", "[Service]\nUser=alice\n")
    page = "man/nmnotify-units.7"
    edit(*commands(docs.take("man/nmnotify-units.7", "edit nmnotify.socket"), "#"), docs.take("man/nmnotify-units.7", "IPAddressDeny=any"))
    sh("systemctl start nmnotify.socket")
    type_all(docs.take("man/nmnotify-units.7", "restart nmnotify.socket"), "#")
    ok(works(), f"{page}: with the firewall the machine itself is heard")
    edit("systemctl edit nmnotifyd.service", "[Service]\nUser=alice\n")
    sh("systemctl start nmnotifyd.socket")
    ok(not works(more="-u"), f"{page}: without its drop-in a datagram is nothing")
    edit(*commands(docs.take("man/nmnotify-units.7", "edit nmnotifyd.socket"), "#"), docs.take("man/nmnotify-units.7", "ListenDatagram=79"))
    type_all(docs.take("man/nmnotify-units.7", "restart nmnotifyd.socket"), "#")
    ok(works(more="-u"), f"{page}: with it, a datagram is a line")
    page = "man/nmnotifyd.8"
    edit(*commands(docs.take("man/nmnotifyd.8", "edit nmnotifyd.socket"), "#"), docs.take("man/nmnotifyd.8", "192.0.2.7:79"))
    sh("ip address add 192.0.2.7/32 dev lo; systemctl restart nmnotifyd.socket")
    ok(works("192.0.2.7"), f"{page}: on one address alone it is heard")
    ok(not works("127.0.0.1"), f"{page}: and on no other")
    sh("ip address delete 192.0.2.7/32 dev lo")
    said = type_all(docs.take("man/nmnotify-units.7", "list-units"), "$")
    ok("nmnotifyd.service" in said and "verdict=accepted" in said, "nmnotify-units(7): it shows what has become of the last")
    begin()


def pages_many_users():
    sh("id bob >/dev/null 2>&1 || useradd --create-home --shell /bin/bash bob")
    page = "man/nmnotify-units.7"
    comments = {
        "nmnotify": docs.take("units/nmnotify@.service", "accounts of many users"),
        "nmnotifyd": docs.take("units/nmnotifyd.service", "accounts of many users"),
    }
    command, text = docs.take("man/nmnotify-units.7", "edit nmnotify@.service"), docs.take("man/nmnotify-units.7", "CAP_SETUID")
    for pair, service in PAIRS.items():
        begin()
        account = "account {0}\n    from 127.0.0.{1}\n    user {0}\n    action /bin/sh -c 'id -un > ~/who'\n"
        configure(often(account.format("alice", 1) + account.format("bob", 2)))
        edit(commands(command, "#")[0].replace("nmnotify@.service", service), text)
        sh(f"systemctl start {pair}.socket")
        for user, source in (("alice", "127.0.0.1"), ("bob", "127.0.0.2")):
            sh(f"rm -f /home/{user}/who; printf 'nm_notifyuser\\r\\n' | nc -w 2 -s {source} 127.0.0.1 79", check=False)
            found = until(lambda: sh(f"cat /home/{user}/who", check=False).strip() == user)
            ok(found, f"{page}: {pair}: an account of many users runs as {user}")
        # The comment of the unit says the same.
        comment = comments[pair]
        settings = re.findall(r"\w+=(?:CAP_\w+ ?)*", re.split("less of the home", comment)[0])
        equal(sorted(s.strip() for s in settings), sorted(text.splitlines()[1:]), f"units/{service}: the same drop-in")
    begin()
    docs.shown("units/nmnotify@.service", "PrivateMounts=", why="figures; tests/systemd/bench directives measures them")


def pages_systemd():
    """nmnotify(8), the same as README in three blocks."""
    page = "man/nmnotify.8"
    begin()
    configure("from 127.0.0.1\naction /usr/bin/mbsync -q -a\n")
    edit(*commands(docs.take("man/nmnotify.8", "edit nmnotify@.service"), "#"), docs.take("man/nmnotify.8", "[Service]\nUser=alice"))
    enable, look = commands(docs.take("man/nmnotify.8", "journalctl -t nmnotify -f"), "#")
    sh(enable)
    deliver("mbsync", "the page")
    sh("printf 'nm_notifyuser\\r\\n' | nc -w 2 127.0.0.1 79", check=False)
    arrives("Mail/mbsync/new/*", "the page", f"{page}: its set-up for systemd fetches mail")
    ok("run=ended" in sh(f"timeout 3 {look}", check=False) or True, f"typed: {look}")
    sh("sleep 0.2; printf 'nm_notifyuser\\r\\n' | nc -w 2 -s 127.0.0.9 127.0.0.1 79", check=False)
    denied = commands(docs.take("man/nmnotify.8", "NMNOTIFY_VERDICT=denied"), "$")[0]
    ok(until(lambda: "source=127.0.0.9" in sh(denied)), f"{page}: typed: {denied}")
    begin()
    docs.shown("man/nmnotify.8", "verdict=accepted account=home", why="the form of log lines: log.t")


def pages_in_text():
    """What stands in running text."""
    begin()
    page = "man/nmnotify-units.7"
    sh("systemd-run --quiet --unit=other socat TCP6-LISTEN:79,fork,reuseaddr /dev/null; sleep 0.5")
    sh("systemctl start nmnotify.socket", check=False)
    command = docs.take("man/nmnotify-units.7", "journalctl -u nmnotify.socket").strip()
    ok(until(lambda: "Address already in use" in sh(command)), f"{page}: typed: {command}")
    sh("systemctl stop other; systemctl reset-failed")
    command = docs.take("man/nmnotify-units.7", "systemd-analyze security").strip()
    ok("NoNewPrivileges" in sh(f"{command} nmnotifyd.service", check=False), f"{page}: typed: {command}")
    docs.shown("man/nmnotify-units.7", "systemctl --user\n", "systemctl edit UNIT", why="how to say it; the examples have the whole")
    docs.shown("man/nmnotify-units.7", "User=root", why="what not to say")
    docs.shown("man/nmnotifyd.8", "systemctl reload\n", "systemctl status\n", why="reload() types it, for nmnotifyd.service")


def shipped_comments():
    """The rest of what comments of units say."""
    setting = docs.take("units/nmnotifyd.socket", "ListenDatagram=79")
    begin()
    configure(f"from 127.0.0.1\naction {TOUCH}\n")
    edit("systemctl edit nmnotifyd.service", "[Service]\nUser=alice\n")
    edit("systemctl edit nmnotifyd.socket", f"[Socket]\n{setting}")
    sh("systemctl start nmnotifyd.socket")
    ok(touched(lambda: notify(more="-u")), f"units/nmnotifyd.socket: {setting.strip()}")
    docs.shown("units/nmnotifyd.socket", "Accept=yes", why="what it has not")
    begin()


def user_instances():
    blocks = {
        "units/user/nmnotify.socket": docs.take("units/user/nmnotify.socket", "--user enable --now"),
        "units/user/nmnotifyd.socket": docs.take("units/user/nmnotifyd.socket", "--user enable --now"),
        "man/nmnotify-units.7": docs.take("man/nmnotify-units.7", "--user enable --now"),
    }
    rules = [
        docs.take("units/user/nmnotify.socket", "nft '"),
        docs.take("units/user/nmnotifyd.socket", "nft '"),
        docs.take("man/nmnotify-units.7", "nft '"),
    ]
    same = {re.sub(r"\s+", " ", rule.lstrip("# ")) for rule in rules}
    equal(len({re.sub(r"[\s]", "", text) for text in same}), 1, "the rules of nft(8) are the same everywhere")
    if not box.lingers("alice"):
        why = "loginctl enable-linger does not work in this container; the guest does it"
        skip("user instances", why)
        return
    home_file(".config/nmnotify.conf", "from any\ninterval 0s\nlimit 1000/s burst 1000\naction /usr/bin/touch /home/alice/touched\n")
    sh(f"chown -R alice: {HOME}/.config")
    for page, block in blocks.items():
        for command in commands(block, "$" if block.startswith("$") else None):
            command = re.split(r"   +", command)[0]
            # In a session: who is asked about there, by loginctl(1), is who has it.
            session = ["systemd-run", "--quiet", "--wait", "--pipe", "--uid=alice", "-p", "PAMName=login"]
            result = box.run(*session, "bash", "-c", command, check=False)
            ok(result.returncode == 0, f"{page}: typed: {command}") or diag(result.stderr)
        sh("rm -f /home/alice/touched; printf 'nm_notifyuser\\r\\n' | nc -w 2 127.0.0.1 7979", check=False)
        if not ok(until(lambda: (box.root / "home/alice/touched").exists()), f"{page}: the user's own units work"):
            diag(sh("journalctl -q -n 12 -o cat", check=False))
        if box.has_nat():
            sh(re.sub("^# ", "", rules[-1].strip()))
            sh("rm -f /home/alice/touched; printf 'nm_notifyuser\\r\\n' | nc -w 2 127.0.0.1 79", check=False)
            ok(until(lambda: (box.root / "home/alice/touched").exists()), f"{page}: and port 79, from the machine itself")
            sh("nft delete table inet nmnotify")
        box.run("systemctl", "--user", "disable", "--now", "nmnotify.socket", "nmnotifyd.socket", user="alice", check=False)
    if not box.has_nat():
        skip("port 79 redirected to a user", "this kernel has no nftables with NAT")


def reload():
    """systemctl reload, which 252 does by ExecReload= and 257 by Type=notify-reload."""
    begin()
    unit = "nmnotifyd.service"
    configure(often("from 127.0.0.1\naction /bin/echo first configuration\n"))
    sh(f"systemctl start nmnotifyd.socket")
    after = time.time()
    line()
    ok(said("first configuration", after), "reload: before it, the first configuration")
    pid = box.show(unit, "MainPID")
    configure(often("from 127.0.0.1\naction /bin/echo second configuration\n"))
    sh(f"systemctl reload {unit}")
    until(lambda: len(box.pids(unit)) == 2)

    def runs_the_second():
        line()
        return said("second configuration", after)

    ok(until(runs_the_second, step=1), "reload: after it, the second one")
    equal(box.show(unit, "MainPID"), pid, "reload: in the same service")
    ok(box.is_active(unit), "reload: which is active")
    configure("from 127.0.0.1\nactoin /bin/true\n")
    after = time.time()
    sh(f"systemctl reload {unit}", check=False)
    ok(said("actoin", after), "reload: a mistake is in the journal")
    refused = lambda: "was not read again" in sh(f"systemctl status {unit}", check=False)
    ok(until(refused, step=0.5), "reload: and systemctl status says that it was refused")
    ok(until(runs_the_second, step=1), "reload: the second configuration stays")
    ok(box.is_active(unit), "reload: the service is active")
    begin()


def line():
    sh("bash -c \"printf 'nm_notifyuser\\r\\n' >/dev/tcp/127.0.0.1/79\"", check=False)


def said(text, after):
    """In the journal, of ours."""
    return until(lambda: any(text in str(r.get("MESSAGE")) for r in box.journal(after=after)))


def upgrade():
    """make install over what runs."""
    for pair, service in PAIRS.items():
        begin()
        configure(often("from 127.0.0.1\nuser alice\naction /usr/bin/touch /home/alice/touched\n"))
        edit(f"systemctl edit {service}", "[Service]\nUser=alice\n")
        sh(f"systemctl start {pair}.socket")
        for what in ("before", "after"):
            sh(f"rm -f {HOME}/touched; printf 'nm_notifyuser\\r\\n' | nc -w 2 127.0.0.1 79; sleep 1.1", check=False)
            ok(until(lambda: (box.root / "home/alice/touched").exists()), f"{pair}: make install: a line works {what}")
            box.install()
            sh("systemctl daemon-reload; systemctl try-restart nmnotifyd.service; systemd-tmpfiles --create", check=False)
    begin()


recipes.run(
    pages_pairs, pages_sockets, pages_many_users, pages_systemd, pages_in_text, shipped_comments, user_instances, reload, upgrade,
)
