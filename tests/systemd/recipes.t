#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What the documentation tells somebody to type, typed, with real fetchers and a real mail server: on
Debian 12 and 13, with both pairs of units. The words come from the documents themselves."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import container
import nmtest
from documents import Documents, commands
from nmtest import diag, equal, ok, skip, until

RELEASES = ("bookworm", "trixie")
PAIRS = {"nmnotify": "nmnotify@.service", "nmnotifyd": "nmnotifyd.service"}
PASSWORD = "secret"
CHECK = "nmnotify -t"
TOUCH = "/usr/bin/touch /home/alice/touched"
HOME = "/home/alice"

docs = Documents()
box = None


# ---- Typing ----


def sh(command, user=None, check=True, timeout=60):
    """As in a login shell of that user."""
    words = ["bash", "-c", command] if user is None else ["su", "-", user, "-c", command]
    result = box.run(*words, check=False, timeout=timeout)
    if check and result.returncode != 0:
        raise RuntimeError(f"{command}: status {result.returncode}: {result.stdout}{result.stderr}")
    return result.stdout + result.stderr


def checked(command, **how):
    """What `nmnotify -t` says, but for the line that says which state it is."""
    return [line for line in sh(command, **how).splitlines() if not line.startswith("state /")]


def on_terminal(command):
    return sh(f"script -qec {subprocess.list2cmdline([command])} /dev/null </dev/null", timeout=30)


def edit(command, text):
    """`systemctl edit` wants a terminal, and starts an editor: one that writes this."""
    # The last argument is the file: a younger systemd says which line to begin at, too.
    box.write("/usr/local/bin/test-editor", '#!/bin/sh\nfor file; do :; done\ncp /etc/edited "$file"\n', mode=0o755)
    box.write("/etc/edited", text)
    box.write("/etc/sudoers.d/editor", 'Defaults env_keep += "SYSTEMD_EDITOR"\n', mode=0o440)
    said = on_terminal(f"SYSTEMD_EDITOR=test-editor {command}")
    unit = command.split()[-1]
    found = [p for p in (box.root / "etc/systemd/system").glob(f"{unit}.d/override.conf")]
    if not ok(found and found[0].read_text().split() == text.split(), f"typed: {command}"):
        diag(said)


def type_all(block, prompt=None, **how):
    said = ""
    for command in commands(block, prompt):
        said += sh(command, **how)
        ok(True, f"typed: {command}")
    return said


def one_line(command):
    return " ".join(command.split())


def notify(source="127.0.0.1", host="127.0.0.1", more=""):
    sh(f"printf 'nm_notifyuser\\r\\n' | nc -w 2 {more} -s {source} {host} 79", check=False)


def background(name, command, **how):
    """A server that stays in front, until the end of the block. What it has started may go on."""
    return _Background(name, command, **how)


class _Background:
    def __init__(self, name, command, where="/"):
        self.name = name
        box.write(f"/etc/typed-{name}", f"cd {where}\nexec {command}\n")

    def __enter__(self):
        sh(f"systemd-run --quiet --collect --unit=typed-{self.name} -p KillMode=mixed bash /etc/typed-{self.name}")
        time.sleep(0.5)

    def __exit__(self, *_):
        sh(f"systemctl stop typed-{self.name}; systemctl reset-failed", check=False)


# ---- A mail server, and a user with all fetchers ----

DOVECOT = {
    "2.3": """
protocols = imap pop3
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:/srv/dovecot/%u
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home=/srv/dovecot/%u
}}
""",
    "2.4": """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap pop3
listen = 127.0.0.1
ssl = no
auth_allow_cleartext = yes
first_valid_uid = 1
mail_driver = maildir
mail_path = /srv/dovecot/%{{user}}
passdb static {{
  password = {password}
}}
userdb static {{
  fields {{
    uid = mail
    gid = mail
    home = /srv/dovecot/%{{user}}
  }}
}}
""",
}

# Whom the line's source fetches for: the action, and where the mail is then (a glob below the home).
# Each as its own documentation has it: state, locks and pid files are where they are by default.
FETCHERS = {
    "mbsync": ("/usr/bin/mbsync -q -a", "Mail/mbsync/new/*"),
    "ionice": ("/usr/bin/ionice -c3 /usr/bin/mbsync -q -c {home}/.mbsyncrc-ionice -a", "Mail/ionice/new/*"),
    "nice": ("/usr/bin/nice -n 10 /usr/bin/mbsync -q -c {home}/.mbsyncrc-nice -a", "Mail/nice/new/*"),
    "chrt": ("/usr/bin/chrt --idle 0 /usr/bin/mbsync -q -c {home}/.mbsyncrc-chrt -a", "Mail/chrt/new/*"),
    "fetchmail": ("{fetchmail}", "Mail/fetchmail"),
    "maildrop": ("/usr/bin/fetchmail --silent --daemon 0 -f {home}/.fetchmailrc-maildrop --pidfile {home}/.maildrop.pid", "Mail/maildrop/new/*"),
    "procmail": ("/usr/bin/fetchmail --silent --daemon 0 -f {home}/.fetchmailrc-procmail --pidfile {home}/.procmail.pid", "Mail/procmail/new/*"),
    "getmail": ("{getmail}", "Mail/getmail/new/*"),
    "offlineimap": ("/usr/bin/offlineimap -o -u quiet", "Mail/offlineimap/INBOX/new/*"),
    "mpop": ("/usr/bin/mpop --quiet", "Mail/mpop/new/*"),
}
SOURCES = {name: f"127.0.1.{number}" for number, name in enumerate(FETCHERS, 1)}


def mail_server():
    version = sh("dovecot --version").split()[0]
    box.write("/etc/dovecot/test.conf", DOVECOT[".".join(version.split(".")[:2])].format(password=PASSWORD))
    names = " ".join(f"/srv/dovecot/{name}" for name in ("alice", "bob", *FETCHERS))
    sh(f"for d in {names}; do install -d -o mail -g mail $d $d/cur $d/new $d/tmp; done")
    sh("systemd-run --quiet --unit=test-dovecot dovecot -F -c /etc/dovecot/test.conf")
    ok(until(lambda: "OK" in sh("exec 3<>/dev/tcp/127.0.0.1/143; head -c 4 <&3", check=False), 10), "a mail server answers")


def deliver(user, subject):
    """New mail at the server."""
    box.write("/etc/message", f"From: a@example.org\nTo: {user}@example.org\nSubject: {subject}\n\nHello.\n")
    name = f"/srv/dovecot/{user}/new/{time.time_ns()}.test"
    sh(f"install -o mail -g mail -m 600 /etc/message {name}")


def home_file(name, text):
    box.write(f"{HOME}/{name}", text, mode=0o600)


def mbsyncrc(user, where):
    """Stores of their own names: mbsync keeps what it knows of them by name."""
    return f"""IMAPStore {user}-far
Host 127.0.0.1
User {user}
Pass {PASSWORD}
SSLType None
AuthMechs LOGIN

MaildirStore {user}-near
Path {where}-all/
Inbox {where}

Channel {user}
Far :{user}-far:
Near :{user}-near:
Patterns INBOX
Create Near
Sync Pull
"""


def alice():
    """A user whose fetchers are set up as their documentation says, and who has fetched before: nothing here is
    for nmnotify's sake."""
    sh("id alice >/dev/null 2>&1 || useradd --create-home --shell /bin/bash alice")
    directories = [f"Mail/{name}/{sub}" for name in FETCHERS for sub in ("cur", "new", "tmp")
                   if name not in ("offlineimap", "fetchmail")]
    directories += [f"Mail/{name}-all" for name in ("mbsync", "ionice", "nice", "chrt")]
    sh(f"cd {HOME} && mkdir -p {' '.join(directories)} .config/getmail .mpop .procmail 'My rules'")
    for name in ("mbsync", "ionice", "nice", "chrt"):
        home_file(".mbsyncrc" if name == "mbsync" else f".mbsyncrc-{name}", mbsyncrc(name, f"{HOME}/Mail/{name}"))
    poll = 'poll 127.0.0.1 protocol IMAP auth password user {user} password "%s" sslproto "" keep\n' % PASSWORD
    home_file(".fetchmailrc", "set daemon 300\n" + poll.format(user="fetchmail") + f'  mda "cat >> {HOME}/Mail/fetchmail"\n')
    home_file(".fetchmailrc-maildrop", poll.format(user="maildrop") + '  mda "/usr/bin/maildrop"\n')
    home_file(".mailfilter", f'to "{HOME}/Mail/maildrop"\n')
    home_file(".fetchmailrc-procmail", poll.format(user="procmail") + '  mda "/usr/bin/procmail -d %T"\n')
    home_file(".procmailrc", f"MAILDIR={HOME}/Mail\nDEFAULT={HOME}/Mail/procmail/\nLOGFILE={HOME}/.procmail/log\n")
    for rc in ("home", "work"):
        home_file(f".config/getmail/{rc}", f"""[retriever]
type = SimplePOP3Retriever
server = 127.0.0.1
username = getmail
password = {PASSWORD}

[destination]
type = Maildir
path = {HOME}/Mail/getmail/

[options]
delete = false
read_all = false
""")
    home_file(".offlineimaprc", f"""[general]
accounts = a
[Account a]
localrepository = l
remoterepository = r
[Repository l]
type = Maildir
localfolders = {HOME}/Mail/offlineimap
[Repository r]
type = IMAP
remotehost = 127.0.0.1
remoteuser = offlineimap
remotepass = {PASSWORD}
ssl = no
starttls = no
""")
    home_file(".mpoprc", f"""account default
host 127.0.0.1
user mpop
password {PASSWORD}
tls off
auth user
keep on
delivery maildir {HOME}/Mail/mpop
""")
    sh(f"chown -R alice: {HOME} && chmod 700 {HOME}")


def has(pattern, subject):
    return sh(f"cd {HOME} && grep -ls 'Subject: {subject}$' {pattern}", check=False).strip() != ""


def arrives(pattern, subject, name, seconds=20):
    if not ok(until(lambda: has(pattern, subject), seconds, 0.1), name):
        diag(sh("journalctl -q -n 12 -o cat -t nmnotify -t nmnotifyd -t fetchmail", check=False))


def touched(send, seconds=10):
    """Whether what `send` does has an action touch the file."""
    sh(f"rm -f {HOME}/touched")
    send()
    return until(lambda: (box.root / HOME.lstrip("/") / "touched").exists(), seconds)


# ---- Beginning ----


def begin():
    """As after an installation."""
    sh("systemctl disable --quiet --now nmnotify.socket nmnotifyd.socket nmnotifyd.service; systemctl stop 'nmnotify@*'")
    sh("rm -rf /etc/systemd/system/nmnotify* /run/nmnotify /run/nmnotify-inetd; systemd-tmpfiles --create", check=False)
    sh("systemctl daemon-reload; systemctl reset-failed")


def configure(text):
    box.write("/etc/nmnotify.conf", text)


def often(block):
    """A configuration for a test that sends more lines than a mail server does."""
    return "interval 1s\nlimit 1000/s burst 1000\n" + block


def run_status(after):
    found = lambda: box.journal("NMNOTIFY_RUN=ended", after=after)
    return [(r["NMNOTIFY_ACCOUNT"], r["NMNOTIFY_STATUS"]) for r in until(found, 20) or []]


# ---- README ----


def readme_first_setup():
    # What container.Container does; the rest of the machine has no compiler.
    equal(commands(docs.take("README.md", "sudo make install")), ["make", "sudo make install"], "README: how it was installed")
    begin()
    deliver("mbsync", "first set-up")
    configure(docs.take("README.md", "from    192.0.2.25 127.0.0.1"))
    equal(checked(commands(docs.take("README.md", "nmnotify -t"))[0]), [], "README: nmnotify -t finds nothing wrong")
    edit(*commands(docs.take("README.md", "edit nmnotify@.service")), docs.take("README.md", "User=alice"))
    edit(*commands(docs.take("README.md", "edit nmnotify.socket")), docs.take("README.md", "IPAddressDeny=any"))
    type_all(docs.take("README.md", "enable --now nmnotify.socket"))
    send, look = commands(docs.take("README.md", "nm_notifyuser\\r\\n' >/dev/tcp"))
    sh(send, user="alice")
    arrives("Mail/mbsync/new/*", "first set-up", "README: the first set-up fetches mail")
    said = until(lambda: (lambda t: t if "run=ended" in t else None)(sh(look)), 10) or sh(look)
    ok("verdict=accepted" in said and re.search("run=ended .*status=0", said), "README: and its log says what README says")
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


def readme_inetd():
    begin()
    configuration = "from    192.0.2.25 127.0.0.1\nuser    alice\naction  /usr/bin/mbsync -q -a\n"
    configure(configuration + docs.take("README.md", "/run/nmnotify-inetd"))
    box.write("/etc/inetd.conf", docs.take("README.md", "finger stream tcp nowait"))
    sh("systemctl unmask inetd; systemctl daemon-reload; systemctl start inetd")
    type_all(docs.take("README.md", "sudo systemctl reload inetd"))
    deliver("mbsync", "by inetd")
    until(lambda: sh("exec 3<>/dev/tcp/127.0.0.1/79", check=False) == "", 5)
    type_all(docs.take("README.md", "nc -w 2 client.example.org 79"), check=False)
    arrives("Mail/mbsync/new/*", "by inetd", "README: inetd, and the other side's line, fetch mail")
    deliver("mbsync", "by nmnotify-send")
    type_all(docs.take("README.md", "nmnotify-send -e client"))
    arrives("Mail/mbsync/new/*", "by nmnotify-send", "README: inetd, and nmnotify-send's line, fetch mail")
    # The same in the page, and then nmnotifyd(8)'s for wait.
    equal(docs.take("man/nmnotify.8", "finger stream tcp nowait").split()[:5],
          "finger stream tcp nowait.2147483647 root".split(), "nmnotify(8): the same entry")
    configure(inetd_configuration().replace("192.0.2.25", "192.0.2.25 127.0.0.1"))
    deliver("mbsync", "by inetd, the page")
    time.sleep(10)  # the interval
    sh("printf 'nm_notifyuser\\r\\n' | nc -w 2 127.0.0.1 79", check=False)
    arrives("Mail/mbsync/new/*", "by inetd, the page", "nmnotify(8): its configuration for inetd fetches mail")
    inetd_waits()
    sh("systemctl stop inetd; systemctl mask --quiet inetd")
    docs.run_by("integration/superservers_nmnotifyd.t", "units/inetd.conf", "nmnotifyd")


def inetd_configuration(**instead):
    """nmnotify(8)'s, for all that start the handler as root; with other values for some keywords."""
    global _inetd_configuration
    _inetd_configuration = _inetd_configuration or docs.take("man/nmnotify.8", "/run/nmnotify-inetd")
    text = _inetd_configuration
    for keyword, value in instead.items():
        text, count = re.subn(rf"(?m)^({keyword} +).*$", rf"\g<1>{value}", text)
        assert count == 1, keyword
    return text


_inetd_configuration = None


def inetd_waits():
    """nmnotifyd(8): TCP and UDP, by one service for each."""
    page = "man/nmnotifyd.8"
    sh("systemctl stop inetd")
    begin()
    # What inetd has started outlives it, until it is idle.
    configure("from 127.0.0.1\nidle 1s\ninterval 1s\naction /usr/bin/touch /home/nmnotify/touched\n")
    sh("install -d -o nmnotify /home/nmnotify")
    box.write("/etc/inetd.conf", docs.take(page, "wait.2147483647"))
    after = time.time()
    sh("systemctl start inetd; sleep 0.5")
    for kind, more in (("TCP", ""), ("UDP", "-u")):
        sh("rm -f /home/nmnotify/touched; sleep 1.1")
        notify(more=more)
        ok(until(lambda: (box.root / "home/nmnotify/touched").exists(), 10), f"{page}: inetd hands over {kind}")
    gone = lambda: not sh("pgrep -x nmnotifyd", check=False)
    ok(until(gone, 20), f"{page}: and each ends when it is idle")
    # inetd is a service that tells systemd how it is; what it starts is not asked.
    noise = [r["MESSAGE"] for r in box.journal(after=after) if "notification message" in str(r.get("MESSAGE"))]
    equal(noise, [], f"{page}: systemd is told nothing in inetd's name")
    configure("from nobody\n")
    after = time.time()
    notify()
    errors = lambda: box.journal("NMNOTIFY_VERDICT=error", after=after)
    ok(until(errors, 10), f"{page}: a wrong configuration is in the log")
    time.sleep(3)
    equal(len(errors()), 1, f"{page}: and does not make a loop of processes")
    sh("systemctl stop inetd; pkill -x nmnotifyd", check=False)
    until(gone, 10)


def readme_rest():
    for part in ("sudo make install-sender", "user    alice  192.0.2.79", "sudo nmnotify-relay -t", "sudo nmnotify-send -e -u alice"):
        docs.run_by("systemd/relay.t", "README.md", part)
    docs.shown("README.md", "postconf", "Postfix, which is not installed here")
    targets = [line.split("  ")[0] for line in docs.take("README.md", "make demo").splitlines()]
    for part in MAKES:
        targets.append(docs.take("README.md", part).strip())
    patterns = ("Makefile", "src/*.mk", "tests/**/*.mk")
    makefiles = "".join(path.read_text() for pattern in patterns for path in nmtest.PROJECT.glob(pattern))
    for command in targets:
        # They build and test, which is what is done around this test; that they are there, make says.
        words = ["make", "-n", "-C", str(nmtest.PROJECT), *command.split()[1:]]
        made = subprocess.run(words, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
        known = all(f"$({word.split('=')[0]})" in makefiles for word in words if "=" in word)
        ok(made.returncode == 0 and made.stdout and known, f"README: make knows: {command}") or diag(made.stderr)
    page = docs.take("README.md", "man ./man").split()[1]
    ok((nmtest.PROJECT / page).read_text().startswith(".\\\""), f"README: {page} is a page")
    docs.shown("README.md", "systemctl edit", "how to say it; its commands are typed with each unit above")
    docs.shown("README.md", "User=alice", "what is typed in step 1")
    said = docs.take("README.md", "apt-get install")
    wanted = re.search(r"(?m)^build='(.*)'", (nmtest.PROJECT / "tests/packages").read_text())[1].split()
    equal(sorted(said.splitlines()[0].split()[2:]), sorted(wanted), "README: to build takes what tests/packages has")


# What README says of make in running text.
MAKES = ("make install-sender", "make install", "make lint", "make bench\n", "make bench-quick", "make SYSTEMD=no", "make check\n", "make clean all")
MAKES += ("make clean all RELAY=no", "make install-listener", "make CROSS", "make quick", "make check-mail", "make check-image", "make check-long", "make fuzz", "make coverage")


# ---- Every fetcher, in both pairs ----


def fetcher_configuration():
    """Actions of the pages where they have one, and the fetchers' own words where not."""
    fetchmail = docs.take("man/nmnotify.conf.5", "limit     10/h burst 3")
    getmail = docs.take("man/nmnotify.conf.5", "--rcfile=home")
    action = lambda block: re.search(r"(?m)^action +(.*)$", block)[1]
    variables = re.search(r"(?m)^env +.*$", getmail)[0]
    text = "interval 0s\nlimit 1000/s burst 1000\n"
    for name, (words, _) in FETCHERS.items():
        words = words.format(home=HOME, fetchmail=action(fetchmail), getmail=action(getmail))
        text += f"account {name}\n    from {SOURCES[name]}\n    user alice\n    action {words}\n"
        text += f"    {variables}\n" if name == "getmail" else ""
    return text


def fetchers():
    configuration = fetcher_configuration()
    for pair, service in PAIRS.items():
        begin()
        configure(configuration)
        edit(f"systemctl edit {service}", "[Service]\nUser=alice\n")
        sh(f"systemctl start {pair}.socket")
        after = time.time()
        for name in FETCHERS:
            deliver(name, f"{name} in {pair}")
            sh(f"printf 'nm_notifyuser\\r\\n' | nc -w 2 -s {SOURCES[name]} 127.0.0.1 79", check=False)
        for name, (_, where) in FETCHERS.items():
            arrives(where, f"{name} in {pair}", f"{pair}: {name} delivers", 30)
        until(lambda: len(run_status(after)) >= len(FETCHERS), 20)
        bad = [(name, status) for name, status in run_status(after) if status != "0"]
        equal(bad, [], f"{pair}: all end well")
        equal(sh(f"ls -d {HOME}/.mbsync {HOME}/.local/state/isync 2>/dev/null | wc -l").strip(), "1", f"{pair}: mbsync's state is in the home")


# ---- nmnotify-units(7), nmnotifyd(8) ----


def pages_pairs():
    """From one to the other and back, in each page that says how."""
    begin()
    configure(often(f"from 127.0.0.1\nuser alice\naction /usr/bin/mbsync -q -a\n"))
    for service in PAIRS.values():
        edit(f"systemctl edit {service}", "[Service]\nUser=alice\n")
    sh("systemctl enable --quiet --now nmnotify.socket")
    for number, (page, part) in enumerate((
        ("man/nmnotifyd.8", "enable --now nmnotifyd.socket"),
        ("man/nmnotifyd.8", "enable --now nmnotify.socket"),
        ("man/nmnotify-units.7", "enable --now nmnotifyd.socket"),
    )):
        block = docs.take(page, part)
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
        until(lambda: sh(f"ls {HOME}/touched", check=False).strip() == f"{HOME}/touched", 5),
    )[1]
    edit("systemctl edit nmnotify@.service", "[Service]\nUser=alice\n")
    page = "man/nmnotify-units.7"
    edit(*commands(docs.take(page, "edit nmnotify.socket"), "#"), docs.take(page, "IPAddressDeny=any"))
    sh("systemctl start nmnotify.socket")
    type_all(docs.take(page, "restart nmnotify.socket"), "#")
    ok(works(), f"{page}: with the firewall the machine itself is heard")
    edit("systemctl edit nmnotifyd.service", "[Service]\nUser=alice\n")
    sh("systemctl start nmnotifyd.socket")
    ok(not works(more="-u"), f"{page}: without its drop-in a datagram is nothing")
    edit(*commands(docs.take(page, "edit nmnotifyd.socket"), "#"), docs.take(page, "ListenDatagram=79"))
    type_all(docs.take(page, "restart nmnotifyd.socket"), "#")
    ok(works(more="-u"), f"{page}: with it, a datagram is a line")
    page = "man/nmnotifyd.8"
    edit(*commands(docs.take(page, "edit nmnotifyd.socket"), "#"), docs.take(page, "192.0.2.7:79"))
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
    command, text = docs.take(page, "edit nmnotify@.service"), docs.take(page, "CAP_SETUID")
    for pair, service in PAIRS.items():
        begin()
        account = "account {0}\n    from 127.0.0.{1}\n    user {0}\n    action /bin/sh -c 'id -un > ~/who'\n"
        configure(often(account.format("alice", 1) + account.format("bob", 2)))
        edit(commands(command, "#")[0].replace("nmnotify@.service", service), text)
        sh(f"systemctl start {pair}.socket")
        for user, source in (("alice", "127.0.0.1"), ("bob", "127.0.0.2")):
            sh(f"rm -f /home/{user}/who; printf 'nm_notifyuser\\r\\n' | nc -w 2 -s {source} 127.0.0.1 79", check=False)
            found = until(lambda: sh(f"cat /home/{user}/who", check=False).strip() == user, 10)
            ok(found, f"{page}: {pair}: an account of many users runs as {user}")
        # The comment of the unit says the same.
        comment = docs.take(f"units/{service}", "accounts of many users")
        settings = re.findall(r"\w+=(?:CAP_\w+ ?)*", re.split("less of the home", comment)[0])
        equal(sorted(s.strip() for s in settings), sorted(text.splitlines()[1:]), f"units/{service}: the same drop-in")
    begin()
    docs.shown("units/nmnotify@.service", "PrivateMounts=", "figures; tests/systemd/bench directives measures them")


# ---- Other super-servers, as a user ----


def pages_try():
    page = "man/nmnotify.8"
    home_file("try.conf", docs.take(page, "nmnotify-try\nlog     stderr"))
    sh(f"chown alice: {HOME}/try.conf; rm -rf /tmp/nmnotify-try")
    check, first = commands(docs.take(page, "nmnotify -t -f try.conf"), "$")
    sh("rm -f /etc/nmnotify.conf")  # some of it needs no file at all
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    equal(checked(f"{path} {check}", user="alice"), [], f"{page}: typed: {check}")
    send = commands(docs.take(page, "> /dev/tcp/127.0.0.1/7979"), "$")[0]
    others = commands(docs.take(page, "tcpsvd"), "$")
    alone = commands(docs.take(page, "-o 'state /tmp/nmnotify-try'"), "$")
    daemon = commands(docs.take("man/nmnotifyd.8", "systemd-socket-activate -l"), "$")
    for number, command in enumerate([first, *others, *alone, *daemon]):
        box.write(f"/etc/try{number}", f"cd\n{path} exec {command}\n")
        unit = f"try{number}"
        sh(f"systemd-run --quiet --unit={unit} --uid=alice -p WorkingDirectory={HOME} bash /etc/{unit}")
        listening = lambda: "7979" in sh("ss -Hltn 'sport = :7979'")
        until(listening, 10)
        sh("sleep 0.3; " + send, user="alice")
        wanted = "You have mail." if command in alone else "127.0.0.1"
        # On standard error, as the configuration says.
        said = lambda: sh(f"journalctl -q -o cat -u {unit}.service")
        good = until(lambda: "verdict=accepted" in said() and "run=ended" in said() and wanted in said(), 10)
        if not ok(good, f"{page}: typed: {command.split()[0]} ... {command.split()[-1]}"):
            diag(said())
        sh(f"systemctl stop {unit}; sleep 0.1")
        until(lambda: not listening(), 5)
        sh("rm -rf /tmp/nmnotify-try")  # or the next one is within the interval


def pages_systemd():
    """nmnotify(8), the same as README in three blocks."""
    page = "man/nmnotify.8"
    begin()
    configure("from 127.0.0.1\naction /usr/bin/mbsync -q -a\n")
    edit(*commands(docs.take(page, "edit nmnotify@.service"), "#"), docs.take(page, "User=alice"))
    enable, look = commands(docs.take(page, "journalctl -t nmnotify -f"), "#")
    sh(enable)
    deliver("mbsync", "the page")
    sh("printf 'nm_notifyuser\\r\\n' | nc -w 2 127.0.0.1 79", check=False)
    arrives("Mail/mbsync/new/*", "the page", f"{page}: its set-up for systemd fetches mail")
    ok("run=ended" in sh(f"timeout 3 {look}", check=False) or True, f"typed: {look}")
    sh("sleep 0.2; printf 'nm_notifyuser\\r\\n' | nc -w 2 -s 127.0.0.9 127.0.0.1 79", check=False)
    denied = commands(docs.take(page, "NMNOTIFY_VERDICT=denied"), "$")[0]
    ok(until(lambda: "source=127.0.0.9" in sh(denied), 5), f"{page}: typed: {denied}")
    begin()
    docs.shown(page, "verdict=accepted account=home", "the form of log lines: log.t")


def pages_xinetd():
    """Its program is unpacked beside inetd's; the rest is where the package has it."""
    page = "man/nmnotify.8"
    begin()
    configure(inetd_configuration(action=TOUCH))
    box.write("/etc/xinetd.d/nmnotify", docs.take(page, "service finger"))
    with background("xinetd", "/opt/xinetd/usr/sbin/xinetd -dontfork -f /opt/xinetd/etc/xinetd.conf"):
        ok(touched(lambda: notify("192.0.2.25")), f"{page}: xinetd, with its entry")


def pages_stunnel():
    """Both sides, with certificates as the page says, and a sender who has none."""
    page = "man/nmnotify.8"
    begin()
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2"
    sh(f"""mkdir -p /etc/stunnel /root/server && cd /root/server
{make} -subj /CN=ca -keyout ca.key -out /etc/stunnel/servers-ca.pem
{make} -subj /CN=client.example.org -keyout client.key -out client.crt
cat client.key client.crt >/etc/stunnel/client.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr
openssl x509 -req -days 2 -in server.csr -CA /etc/stunnel/servers-ca.pem -CAkey ca.key -CAcreateserial -out server.crt
cat server.key server.crt >server.pem""")
    box.write("/etc/stunnel/nmnotify.conf", "foreground = yes\n" + docs.take(page, "accept      = 7980"))
    box.write("/etc/nmnotify-tls.conf", inetd_configuration(**{"from": "127.0.0.1", "action": TOUCH}))
    command = commands(docs.take(page, "openssl s_client"), "$")[0]
    send = lambda words: sh(f"cd /root/server && {words}", check=False)
    with background("stunnel", "stunnel4 /etc/stunnel/nmnotify.conf"):
        until(lambda: "7980" in sh("ss -Hltn 'sport = :7980'"), 10)
        without = command.replace("-cert server.pem", "")
        ok(not touched(lambda: send(without), 2), f"{page}: stunnel lets nobody in who has no certificate")
        ok(touched(lambda: send(command)), f"{page}: stunnel, typed: {one_line(command)}")


def pages_udp():
    """Without nmnotifyd: socat, as root; for both families."""
    page = "man/nmnotify.8"
    for command, address in zip(commands(docs.take(page, "UDP4-RECVFROM"), "#"), ("127.0.0.1", "::1")):
        begin()
        configure(inetd_configuration(**{"from": address, "action": TOUCH}))
        with background("socat", command):
            good = touched(lambda: notify(address, address, "-u"))
            ok(good, f"{page}: typed: {one_line(command)}") or diag(sh("journalctl -q -n 6 -o cat"))


def pages_in_text():
    """What stands in running text."""
    begin()
    page = "man/nmnotify-units.7"
    sh("systemd-run --quiet --unit=other socat TCP6-LISTEN:79,fork,reuseaddr /dev/null; sleep 0.5")
    sh("systemctl start nmnotify.socket", check=False)
    command = docs.take(page, "journalctl -u nmnotify.socket").strip()
    ok(until(lambda: "Address already in use" in sh(command), 5), f"{page}: typed: {command}")
    sh("systemctl stop other; systemctl reset-failed")
    command = docs.take(page, "systemd-analyze security").strip()
    ok("NoNewPrivileges" in sh(f"{command} nmnotifyd.service", check=False), f"{page}: typed: {command}")
    for part in ("systemctl --user\n", "systemctl edit UNIT"):
        docs.shown(page, part, "how to say it; the whole commands are in the examples")
    docs.shown(page, "User=root", "what not to say")
    for part in ("PrivateUsers=yes", "PrivateUsers=no"):
        docs.run_by("systemd/guest.t", page, part)
    page = "man/nmnotify.8"
    configure(inetd_configuration(**{"from": "local", "action": TOUCH}))
    box.write("/etc/line.txt", "nm_notifyuser\r\n")
    command = docs.take(page, "nmnotify < line.txt").strip()
    ok(touched(lambda: sh(f"cd /etc; {command}")), f"{page}: typed: {command}")
    asks = docs.take(page, "timeout 3 bash").strip().replace("imap.example.org/993", "127.0.0.1/143")
    configure("from 127.0.0.1\naction /bin/sh -c \"" + asks.replace('"', '\\"') + "; touch /home/alice/touched\"\n")
    edit("systemctl edit nmnotify@.service", "[Service]\nUser=alice\n")
    sh("systemctl start nmnotify.socket")
    ok(touched(notify), f"{page}: an action that asks first: {asks}")
    docs.shown(page, "ping -c1", "what does nothing")
    docs.shown(page, "Accept=yes", "a name for what nmnotify.socket has")
    docs.shown(page, "User=alice", "what is typed in its set-up for systemd")
    docs.shown(page, "systemctl --user", "a name")
    own_unit(docs.take(page, "StandardInput=socket"))
    page = "man/nmnotify.conf.5"
    command = docs.take(page, "getent hosts NAME").strip()
    ok("127.0.0.1" in sh(command.replace("NAME", "client.example.org")) , f"{page}: typed: {command}")
    page = "man/nmnotifyd.8"
    for part in ("systemctl reload", "systemctl status"):
        docs.shown(page, part, "reload() types it, for nmnotifyd.service")


def own_unit(setting):
    """Accept=yes, and what one's own service must have."""
    begin()
    configure(inetd_configuration(**{"from": "127.0.0.1", "action": TOUCH}))
    box.write("/etc/systemd/system/own.socket", "[Socket]\nListenStream=79\nAccept=yes\n")
    service = "[Service]\nExecStart=/usr/local/sbin/nmnotify\n"
    for text, works in ((service, False), (service + setting, True)):
        box.write("/etc/systemd/system/own@.service", text)
        sh("systemctl daemon-reload; systemctl restart own.socket")
        equal(bool(touched(notify, 10 if works else 2)), works, f"nmnotify(8): an own unit {'with' if works else 'without'} {setting.strip()}")
    sh("systemctl stop own.socket; rm /etc/systemd/system/own*; systemctl daemon-reload; systemctl reset-failed")


# ---- nmnotify.conf(5), and the configuration that is shipped ----


def by_unit(text, drop_in="[Service]\nUser=alice\n", complaints=()):
    """A configuration to the letter, in the unit for each connection."""
    begin()
    configure(text)
    edit("systemctl edit nmnotify@.service", drop_in)
    sh("systemctl start nmnotify.socket")
    said = [line for line in checked(CHECK, check=False) if not any(c in line for c in complaints)]
    equal(said, [], f"typed: {CHECK}, for {text.split()[1]}")


def fetches(where, name, source="192.0.2.25", host="127.0.0.1", user="mbsync"):
    subject = name.split(": ", 1)[-1].replace("'", "")
    deliver(user, subject)
    notify(source, host)
    arrives(where, subject, name)


def pages_configurations():
    """To the letter: each has its sender send the line, and does what is said of it."""
    page = "man/nmnotify.conf.5"
    mail = "Mail/mbsync/new/*"
    for each in ("man/nmnotify-units.7", page):
        equal(docs.take(each, CHECK + "\n").strip(), CHECK, f"{each}: how to check it")
    by_unit(docs.take(page, "mbsync -q -a"))
    fetches(mail, f"{page}: the first")
    home_file(".mbsyncrc", mbsyncrc("mbsync", f"{HOME}/Mail/mbsync") + "\nGroup work\nChannel mbsync\n\nGroup home\nChannel mbsync\n")
    sh(f"chown alice: {HOME}/.mbsyncrc")
    after = time.time()
    by_unit(docs.take(page, "account work"))
    fetches(mail, f"{page}: work")
    fetches(mail, f"{page}: home", source="198.51.100.1")
    equal(sorted(run_status(after))[:2], [("home", "0"), ("work", "0")], f"{page}: by account")
    isolate_no(docs.take(page, "isolate   no"))
    credentials(docs.take(page, "pass    CRED"))
    desktop(docs.take(page, "notify-send"))
    # Both users, by the address that is connected to.
    sh("id bob >/dev/null 2>&1 || useradd --create-home --shell /bin/bash bob")
    box.write("/home/bob/.fetchmailrc", FETCHMAIL.format(user="bob") + '  mda "cat >> /home/bob/mail"\n', mode=0o600)
    sh("chown bob: /home/bob/.fetchmailrc")
    many = "[Service]\nUser=\nStateDirectory=\nCapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE CAP_KILL\n"
    by_unit(docs.take(page, "account alice"), many)
    fetches(mail, f"{page}: alice, by her address", "2001:db8:25::1", "2001:db8:1::a")
    fetches("/home/bob/mail", f"{page}: bob, by his", "2001:db8:25::1", "2001:db8:1::b", "bob")
    # What -t says of lines like these.
    mask = docs.take(page, "a network\n")
    configure("from 192.0.2.0/255.255.255.0\nuser alice\naction /bin/true && /bin/true\n")
    said = " ".join(sh(CHECK, check=False).split())
    for message in re.split(r"\n(?=/)", mask.strip()):
        ok(" ".join(message.split()) in said, f"{page}: -t says it: {message.splitlines()[0]}") or diag(said)
    docs.shown(page, "Environment=GNUPGHOME", "an example of what pass is for: the credentials are one, too")


FETCHMAIL = f'poll 127.0.0.1 protocol IMAP auth password user {{user}} password "{PASSWORD}" sslproto "" keep\n'


def isolate_no(text):
    """A fetchmail that polls is woken, and goes on."""
    page = "man/nmnotify.conf.5"
    home_file(".fetchmailrc-poll", "set daemon 3000\n" + FETCHMAIL.format(user="fetchmail") + f'  mda "cat >> {HOME}/Mail/fetchmail"\n')
    sh(f"cp -p {HOME}/.fetchmailrc-poll {HOME}/.fetchmailrc; chown alice: {HOME}/.fetchmailrc*")
    daemon = lambda: sh("pgrep -u alice -x fetchmail", check=False).strip()
    with background("fetchmail", "su - alice -c 'fetchmail --nodetach'"):
        until(daemon, 10)
        time.sleep(1)  # the first poll
        was = daemon()
        by_unit(text)
        fetches("Mail/fetchmail", f"{page}: the daemon that was woken", user="fetchmail")
        equal(daemon(), was, f"{page}: and that is the one that was there")


def credentials(text):
    """A password that only the unit has."""
    page = "man/nmnotify.conf.5"
    credential, command = docs.take(page, "LoadCredential=mail"), docs.take(page, "PassCmd")
    box.write(credential.strip().split(":")[1], PASSWORD, mode=0o600)
    home_file(".mbsyncrc", mbsyncrc("mbsync", f"{HOME}/Mail/mbsync").replace(f"Pass {PASSWORD}", command.strip()))
    sh(f"chown alice: {HOME}/.mbsyncrc")
    by_unit(text, f"[Service]\nUser=alice\n{credential}", ["has no 'user'"])
    fetches("Mail/mbsync/new/*", f"{page}: with the password of the unit")
    home_file(".mbsyncrc", mbsyncrc("mbsync", f"{HOME}/Mail/mbsync"))
    sh(f"chown alice: {HOME}/.mbsyncrc")


def desktop(text):
    """A message bus at the address of the page, and a notify-send that asks it."""
    page = "man/nmnotify.conf.5"
    address = re.search(r"unix:path=(\S+)", text)[1]
    call = "dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId"
    box.write("/usr/bin/notify-send", f"#!/bin/sh\n{call} >/home/alice/bus && echo \"$1\" >/home/alice/touched\n", mode=0o755)
    sh(f"mkdir -p {os.path.dirname(address)} && chown alice: {os.path.dirname(address)}; rm -f {address}")
    bus = f"setpriv --reuid=alice --regid=alice --clear-groups dbus-daemon --session --nofork --address=unix:path={address}"
    with background("bus", bus):
        by_unit(text)
        good = touched(lambda: notify("192.0.2.25"))
        ok(good and sh(f"cat {HOME}/touched") == "You have mail.\n", f"{page}: tell the desktop") or diag(sh("journalctl -q -n 6 -o cat"))
    sh("rm /usr/bin/notify-send")


def shipped_configuration():
    """Uncommented, as its comments say."""
    name = "units/nmnotify.conf"
    keywords = ("from  ", "action  ", "user  ", "env  ", "pass  ", "interval  ", "limit  ")
    one = "".join(docs.take(name, keyword) for keyword in keywords)
    equal(docs.take(name, "nmnotify -t").strip(), CHECK, f"{name}: how to check it")
    home_file(".mbsyncrc", mbsyncrc("mbsync", f"{HOME}/Mail/mbsync") + "\nGroup work\nChannel mbsync\n")
    home_file(".fetchmailrc", FETCHMAIL.format(user="fetchmail") + f'  mda "cat >> {HOME}/Mail/fetchmail"\n')
    sh(f"chown alice: {HOME}/.mbsyncrc {HOME}/.fetchmailrc")
    by_unit(one)
    fetches("Mail/mbsync/new/*", f"{name}: one account")
    by_unit(one + docs.take(name, "account  "))
    fetches("Mail/mbsync/new/*", f"{name}: the first of two accounts")
    fetches("Mail/fetchmail", f"{name}: the second", "2001:db8:25::1", "::1", "fetchmail")


def shipped_comments():
    """The rest of what comments of units say."""
    setting = docs.take("units/nmnotifyd.socket", "ListenDatagram=79")
    begin()
    configure(f"from 127.0.0.1\naction {TOUCH}\n")
    edit("systemctl edit nmnotifyd.service", "[Service]\nUser=alice\n")
    edit("systemctl edit nmnotifyd.socket", f"[Socket]\n{setting}")
    sh("systemctl start nmnotifyd.socket")
    ok(touched(lambda: notify(more="-u")), f"units/nmnotifyd.socket: {setting.strip()}")
    docs.shown("units/nmnotifyd.socket", "Accept=yes", "what it has not")
    begin()


# ---- The other end ----

RELAY = "/run/nmnotify-relay"


@contextlib.contextmanager
def relay():
    """Takes notices as the relay does; gives what has come since it was last asked."""
    taken = 0

    def notices(wanted):
        nonlocal taken
        count = taken
        got = until(lambda: len(all_of_them()) > count and all_of_them()[count:], 10) or []
        taken = len(all_of_them())
        return equal(got, [wanted], f"handed over: {wanted}")

    def all_of_them():
        return re.findall(r"(?:mail|early|login) .*?(?=mail |early |login |$)", sh(f"cat {RELAY}/notices"))

    sh(f"mkdir -p {RELAY}; : >{RELAY}/notices")
    with background("relay", f"socat -u UNIX-RECV:{RELAY}/socket,mode=666,unlink-early OPEN:{RELAY}/notices,append"):
        yield notices


def imap(source):
    """A login, and whether the mailbox is there."""
    said = sh(f"{{ sleep 1; printf 'a login alice {PASSWORD}\\r\\nb select INBOX\\r\\n'; sleep 1; printf 'c logout\\r\\n'; sleep 1; }} | "
              f"nc -w 5 -s {source} 127.0.0.1 143", check=False)
    ok("b OK" in said, "a mailbox is opened") or diag(said)


def senders_hooks():
    """Postfix, Exim and Courier are not in this tree: theirs was tried in one that has them."""
    page = "man/nmnotify-send.1"
    with relay() as notices:
        rule = docs.take(page, "TRAP=")
        for place in ("/etc/procmailrc", f"{HOME}/.procmailrc"):
            sh(f"mv {HOME}/.procmailrc {HOME}/.procmailrc.kept", check=False)
            box.write(place, f"DEFAULT={HOME}/Mail/hook\n{rule}", mode=0o644)
            sh("printf 'Subject: x\\n\\nhi\\n' | procmail -d alice")
            notices("mail alice")
            ok("Subject: x" in sh(f"cat {HOME}/Mail/hook"), f"{page}: procmail delivers, {place}")
            sh(f"rm {place} {HOME}/Mail/hook; mv {HOME}/.procmailrc.kept {HOME}/.procmailrc", check=False)
        hooks = docs.take("man/nmnotify-login.8", "imap-postlogin")
        line = docs.take("man/nmnotify-login.8", "pam_exec.so")
        usual = (box.root / "etc/dovecot/test.conf").read_text()
        passdb = "passdb {\n  driver = pam\n}\n" if "driver = static" in usual else "passdb pam {\n}\n"
        by_pam = re.sub(r"(?s)passdb.*?\n}\n", passdb, usual, count=1)
        box.write("/etc/pam.d/dovecot", f"auth required pam_permit.so\naccount required pam_permit.so\n{line}", mode=0o644)
        for text, source in ((usual + hooks, "192.0.2.25"), (by_pam, "198.51.100.1")):
            box.write("/etc/dovecot/test.conf", text)
            sh("systemctl stop test-dovecot; systemd-run --quiet --unit=test-dovecot dovecot -F -c /etc/dovecot/test.conf; sleep 1")
            imap(source)
            notices(f"login alice {source}")
        box.write("/etc/dovecot/test.conf", usual)
        sh("rm /etc/pam.d/dovecot; systemctl stop test-dovecot; systemd-run --quiet --unit=test-dovecot dovecot -F -c /etc/dovecot/test.conf")
    docs.shown(page, "\\alice,", "Postfix 3.7 and Exim 4.96")
    docs.shown(page, "vnd.dovecot.execute", "Dovecot's Sieve, 2.3")
    docs.shown("man/nmnotify-login.8", "exec /usr/local", "Courier 5.0")
    docs.shown(page, "$ nmnotify-send -e", "integration/direct.t sends to hosts of all kinds")


def relay_units():
    """What relay.t types, and the rest of what the relay's page and units say."""
    page = "man/nmnotify-relay.8"
    for name, part in (
        (page, "systemctl enable --now nmnotify-relay.socket"),
        (page, "systemctl enable nmnotify-relay-biff.socket"),
        (page, "systemctl --user enable"),
        (page, "cat >try.conf"),
        (page, "sysctl -w"),
        (page, "systemctl restart nmnotify-relay.service"),
        (page, "systemd-analyze security"),
        ("units/nmnotify-relay.service", "PrivateUsers=yes"),
        ("units/nmnotify-relay.service", "PrivateUsers=identity"),
        ("units/nmnotify-relay-biff.socket", "systemctl enable"),
        ("units/nmnotify-relay-cyrus.socket", "systemctl enable"),
        ("units/user/nmnotify-watch@.path", "systemctl --user enable"),
        ("units/user/nmnotify-watch@.service", "systemd-run"),
    ):
        docs.run_by("systemd/relay.t", name, part)
    mail = "a mail system's configuration, which is not installed here"
    for part in ("notifysocket:", "|/usr/local/bin/nmnotify-send -n -u alice", "cc ", "TRAP=", "service imap {"):
        docs.shown(page, part, mail)
    docs.shown(page, "users owed", "the form of the status")
    for part in ("systemctl reload", "systemctl status", "systemctl status"):
        docs.shown(page, part, "a name; relay.t reloads")
    docs.shown("units/nmnotify-relay-cyrus.socket", "notifysocket:", mail)
    docs.shown("units/nmnotify-relay-biff.socket", "ListenDatagram=", "a part of what the unit has")
    for part in ("PrivateUsers=    ", "ReadWritePaths="):
        docs.shown("units/nmnotify-relay.service", part, "what is not there, and why")
    for part in ("alice", "bob", "trust", "never", "strip-domain", "interval", "last-for", "source"):
        docs.shown("units/nmnotify-relay.conf", part, "unit/relay_conf.c reads each line")


# ---- User instances ----


def user_instances():
    parts = [(f"units/user/{name}.socket", f"--user enable --now {name}.socket") for name in PAIRS]
    parts.append(("man/nmnotify-units.7", "--user enable --now nmnotifyd.socket"))
    blocks = [docs.take(page, part) for page, part in parts]
    rules = [docs.take(page, "nft '") for page, _ in parts]
    same = {re.sub(r"\s+", " ", rule.lstrip("# ")) for rule in rules}
    equal(len({re.sub(r"[\s]", "", text) for text in same}), 1, "the rules of nft(8) are the same everywhere")
    if not user_manager():
        why = "loginctl enable-linger does not work in this container; the guest does it"
        skip("user instances", why)
        return
    home_file(".config/nmnotify.conf", "from any\ninterval 0s\nlimit 1000/s burst 1000\naction /usr/bin/touch /home/alice/touched\n")
    sh(f"chown -R alice: {HOME}/.config")
    for block, (page, _) in zip(blocks, parts):
        for command in commands(block, "$" if block.startswith("$") else None):
            command = re.split(r"   +", command)[0]
            # In a session: who is asked about there, by loginctl(1), is who has it.
            session = ["systemd-run", "--quiet", "--wait", "--pipe", "--uid=alice", "-p", "PAMName=login"]
            result = box.run(*session, "bash", "-c", command, check=False)
            ok(result.returncode == 0, f"{page}: typed: {command}") or diag(result.stderr)
        sh("rm -f /home/alice/touched; printf 'nm_notifyuser\\r\\n' | nc -w 2 127.0.0.1 7979", check=False)
        if not ok(until(lambda: (box.root / "home/alice/touched").exists(), 10), f"{page}: the user's own units work"):
            diag(sh("journalctl -q -n 12 -o cat", check=False))
        if box.has_nat():
            sh(re.sub("^# ", "", rules[-1].strip()))
            sh("rm -f /home/alice/touched; printf 'nm_notifyuser\\r\\n' | nc -w 2 127.0.0.1 79", check=False)
            ok(until(lambda: (box.root / "home/alice/touched").exists(), 10), f"{page}: and port 79, from the machine itself")
            sh("nft delete table inet nmnotify")
        box.run("systemctl", "--user", "disable", "--now", "nmnotify.socket", "nmnotifyd.socket", user="alice", check=False)
    if not box.has_nat():
        skip("port 79 redirected to a user", "this kernel has no nftables with NAT")


def user_manager():
    box.run("loginctl", "enable-linger", "alice", check=False)
    uid = sh("id -u alice").strip()
    return until(lambda: box.run("test", "-S", f"/run/user/{uid}/systemd/private", check=False).returncode == 0, 8)


# ---- The configuration anew ----


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
    until(lambda: len(box.pids(unit)) == 2, 5)

    def runs_the_second():
        line()
        return said("second configuration", after)

    ok(until(runs_the_second, 20, 1), "reload: after it, the second one")
    equal(box.show(unit, "MainPID"), pid, "reload: in the same service")
    ok(box.is_active(unit), "reload: which is active")
    configure("from 127.0.0.1\nactoin /bin/true\n")
    after = time.time()
    sh(f"systemctl reload {unit}", check=False)
    ok(said("actoin", after), "reload: a mistake is in the journal")
    refused = lambda: "was not read again" in sh(f"systemctl status {unit}", check=False)
    ok(until(refused, 10, 0.5), "reload: and systemctl status says that it was refused")
    ok(until(runs_the_second, 20, 1), "reload: the second configuration stays")
    ok(box.is_active(unit), "reload: the service is active")
    begin()


def line():
    sh("bash -c \"printf 'nm_notifyuser\\r\\n' >/dev/tcp/127.0.0.1/79\"", check=False)


def said(text, after):
    """In the journal, of ours."""
    return until(lambda: any(text in str(r.get("MESSAGE")) for r in box.journal(after=after)), 10)


# ---- An upgrade ----


def upgrade():
    """make install over what runs."""
    for pair, service in PAIRS.items():
        begin()
        configure(often("from 127.0.0.1\nuser alice\naction /usr/bin/touch /home/alice/touched\n"))
        edit(f"systemctl edit {service}", "[Service]\nUser=alice\n")
        sh(f"systemctl start {pair}.socket")
        for what in ("before", "after"):
            sh(f"rm -f {HOME}/touched; printf 'nm_notifyuser\\r\\n' | nc -w 2 127.0.0.1 79; sleep 1.1", check=False)
            ok(until(lambda: (box.root / "home/alice/touched").exists(), 10), f"{pair}: make install: a line works {what}")
            box.install()
            sh("systemctl daemon-reload; systemctl try-restart nmnotifyd.service; systemd-tmpfiles --create", check=False)
    begin()


# ---- All of it ----

TESTS = (
    readme_first_setup,
    readme_inetd,
    readme_rest,
    fetchers,
    pages_pairs,
    pages_sockets,
    pages_many_users,
    pages_try,
    pages_systemd,
    pages_xinetd,
    pages_stunnel,
    pages_udp,
    pages_in_text,
    pages_configurations,
    shipped_configuration,
    shipped_comments,
    senders_hooks,
    relay_units,
    user_instances,
    reload,
    upgrade,
)


def prepare():
    hosts = f"127.0.0.1 localhost client.example.org {sh('hostname').strip()}\n::1 localhost\n"
    box.write("/etc/hosts", hosts)
    for address in ("192.0.2.25/32", "198.51.100.1/32", "2001:db8:25::1/128", "2001:db8:1::a/128", "2001:db8:1::b/128"):
        sh(f"ip address add {address} dev lo")
    mail_server()
    alice()


def one_release(release):
    global box
    with container.Container(release) as box:
        nmtest.run(prepare, *TESTS, docs.check)


def all_releases():
    """At the same time: most of it is waiting."""
    container.run_parts(__file__, RELEASES)


if __name__ == "__main__":
    container.require(*RELEASES)
    if sys.argv[1:2] and sys.argv[1] in RELEASES:
        one_release(sys.argv.pop(1))
    all_releases()
