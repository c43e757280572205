# SPDX-License-Identifier: ISC
"""What the tests share that type what the documentation says, in containers of Debian 12 and 13, with real fetchers and
a real mail server: recipes_*.t. The words come from the documents themselves.

    from recipes import box, docs, type_all
    recipes.run(part, another_part)
"""

import subprocess
import sys
import time

sys.dont_write_bytecode = True
import container
import nmtest
from documents import Documents, commands
from nmtest import PATIENCE, diag, equal, ok, until

RELEASES = ("bookworm", "trixie")
PAIRS = {"nmnotify": "nmnotify@.service", "nmnotifyd": "nmnotifyd.service"}
PASSWORD = "secret"
CHECK = "nmnotify -t"
TOUCH = "/usr/bin/touch /home/alice/touched"
HOME = "/home/alice"

docs = Documents()
# Of this process's release; without one, it is the one that starts the others.
RELEASE = "".join(word for word in sys.argv[1:2] if word in RELEASES) or None
box = container.Container(RELEASE)


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
    "offlineimap": ("{offlineimap}", "Mail/offlineimap/INBOX/new/*"),
    "mpop": ("{mpop}", "Mail/mpop/new/*"),
}
SOURCES = {name: f"127.0.1.{number}" for number, name in enumerate(FETCHERS, 1)}
FETCHMAIL = f'poll 127.0.0.1 protocol IMAP auth password user {{user}} password "{PASSWORD}" sslproto "" keep\n'


def mail_server():
    version = sh("dovecot --version").split()[0]
    box.write("/etc/dovecot/test.conf", DOVECOT[".".join(version.split(".")[:2])].format(password=PASSWORD))
    names = " ".join(f"/srv/dovecot/{name}" for name in ("alice", "bob", *FETCHERS))
    sh(f"for d in {names}; do install -d -o mail -g mail $d $d/cur $d/new $d/tmp; done")
    sh("systemd-run --quiet --unit=test-dovecot dovecot -F -c /etc/dovecot/test.conf")
    ok(until(lambda: "OK" in sh("exec 3<>/dev/tcp/127.0.0.1/143; head -c 4 <&3", check=False)), "a mail server answers")


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


def arrives(pattern, subject, name, seconds=PATIENCE):
    if not ok(until(lambda: has(pattern, subject), seconds, 0.1), name):
        diag(sh("journalctl -q -n 12 -o cat -t nmnotify -t nmnotifyd -t fetchmail", check=False))


def touched(send, seconds=PATIENCE):
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
    return [(r["NMNOTIFY_ACCOUNT"], r["NMNOTIFY_STATUS"]) for r in until(found) or []]


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


# ---- All of it ----


def prepare():
    hosts = f"127.0.0.1 localhost client.example.org {sh('hostname').strip()}\n::1 localhost\n"
    box.write("/etc/hosts", hosts)
    for address in ("192.0.2.25/32", "198.51.100.1/32", "2001:db8:25::1/128", "2001:db8:1::a/128", "2001:db8:1::b/128"):
        sh(f"ip address add {address} dev lo")
    mail_server()
    alice()


def run(*parts):
    """In both releases at the same time: most of it is waiting."""
    container.require(*RELEASES)
    if not RELEASE:
        container.run_parts(sys.argv[0], RELEASES)
    del sys.argv[1]
    with box:
        nmtest.run(prepare, *parts, docs.check)
