#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Real fetchers do their work under a policy, from a real IMAP and POP3 server and over HTTP; and what they start."""

import functools
import http.server
import re
import shlex
import ssl
import subprocess
import sys
import threading
from pathlib import Path

sys.dont_write_bytecode = True
for folder in ("integration", "systemd"):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / folder))
import dovecot
import documents
from actions import Actions, landlock_abi, missing, program
from nmtest import BUILD, Sandbox, children_of, equal, holds_socket, ok, run, skip, until

docs = documents.Documents(("man/nmnotify.conf.5",))


def action_of(block, name):
    """As it is in an example of the page's, whose files are where they are by default."""
    return shlex.split(re.search(rf"(?m)^ *action +(.*{name}.*)$", block)[1])


# ---- Fetching mail ----


def mbsync(server, actions, home):
    (home / "Mail").mkdir()
    actions.give_away(home / "Mail")
    rc = actions.write(home / "mbsyncrc", f"""\
IMAPStore far
Host 127.0.0.1
Port {server.imap_port}
User {server.user}
Pass {server.password}
SSLType None
AuthMechs PLAIN LOGIN

MaildirStore near
Path {home}/Mail/
Inbox {home}/Mail/INBOX

Channel test
Far :far:
Near :near:
Patterns INBOX
Create Near
Sync Pull
SyncState *
""")
    return [program("mbsync"), "-c", rc, "test"], home / "Mail" / "INBOX" / "new"


def fetchmail(server, actions, home):
    inbox = home / "inbox"
    inbox.mkdir()
    actions.give_away(inbox)
    rc = actions.write(home / "fetchmailrc", f"""\
poll 127.0.0.1 service {server.imap_port} protocol IMAP auth password timeout 10
  user {server.user} password "{server.password}" sslproto "" keep fetchall
  mda "cat > {inbox}/message"
""")
    action = ["fetchmail", "--nodetach", "--nosyslog", "--pidfile", home / "pid", "-f", rc]
    return [program("fetchmail"), *action[1:]], inbox


def getmail(server, actions, home):
    """It loses sight of a child that ends before it looks for it (its issue 226), and has one for each message, whatever
    delivers: so here there is one, and that takes a while."""
    inbox = home / "inbox"
    inbox.mkdir()
    actions.give_away(inbox)
    actions.write(home / "getmailrc", f"""\
[retriever]
type = SimplePOP3Retriever
server = 127.0.0.1
port = {server.pop3_port}
username = {server.user}
password = {server.password}

[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "cat >{inbox}/message && sleep 1")

[options]
delete = false
""")
    return [program("getmail"), f"--getmaildir={home}", "--rcfile=getmailrc"], inbox


def offlineimap(server, actions, home):
    actions.write(home / ".offlineimaprc", f"""\
[general]
accounts = test
[Account test]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {home}/Mail
[Repository far]
type = IMAP
remotehost = 127.0.0.1
remoteport = {server.imap_port}
remoteuser = {server.user}
remotepass = {server.password}
ssl = no
starttls = no
""")
    return action_of(docs.take("man/nmnotify.conf.5", "/usr/bin/offlineimap"), "offlineimap"), home / "Mail" / "INBOX" / "new"


def mpop(server, actions, home):
    for folder in ("inbox", "inbox/new", "inbox/cur", "inbox/tmp"):
        (home / folder).mkdir()
        actions.give_away(home / folder)
    actions.write(home / ".mpoprc", f"""\
account default
host 127.0.0.1
port {server.pop3_port}
user {server.user}
password {server.password}
auth user
tls off
keep on
delivery maildir {home}/inbox
""")
    return action_of(docs.take("man/nmnotify.conf.5", "/usr/bin/mpop"), "mpop"), home / "inbox" / "new"


def served(name, *programs):
    """A part that has a Dovecot, and what runs actions; where something is missing, `name` is skipped."""

    def decorate(part):
        @functools.wraps(part)
        def run_it():
            root = dovecot.find(BUILD)
            if not root:
                skip(name, "there is no Dovecot")
                return
            if missing(name, *programs):
                return
            with Sandbox() as box:
                actions = Actions(box)
                with dovecot.Dovecot(root, actions.folder("server"), box.user) as server:
                    actions.ports = (server.imap_port, server.pop3_port)
                    part(actions, server)

        return run_it

    return decorate


@served("the fetchers deliver")
def fetching(actions, server):
    for fetcher in (getmail, mbsync, fetchmail, offlineimap, mpop):
        name = fetcher.__name__
        if not missing(f"{name} delivers", name):
            fetches(fetcher, name, server, actions)


def fetches(fetcher, name, server, actions):
    home, subject = actions.folder(name), f"for {name}"
    action, inbox = fetcher(server, actions, home)
    server.deliver(subject)
    # Each has its own time for seeing that it can't connect, and its own way to say so.
    status = actions.run(f"{name}-local", "local", action, home)
    actions.ok(status != 0 and not has(inbox, subject), f"confine local: {name} reaches no server")
    status = actions.run(name, "mail", action, home)
    actions.ok(status == 0, f"confine mail: {name} ends well")
    actions.ok(has(inbox, subject), f"confine mail: {name} delivers")


@served("notmuch finds what is fetched", "notmuch", "mbsync")
def indexing(actions, server):
    """What many do next: `notmuch new`, behind a fetcher, or before a hook of notmuch's own that fetches."""
    home = actions.folder("home")
    mbsync(server, actions, home)
    (home / "mbsyncrc").rename(home / ".mbsyncrc")
    actions.write(home / ".notmuch-config", f"[database]\npath={home}/Mail\n[user]\nprimary_email=alice@example.org\n")
    block = docs.take("man/nmnotify.conf.5", "/usr/bin/notmuch")
    finds(server, actions, home, "behind", action_of(block, "notmuch"))
    hooks = home / "Mail" / ".notmuch" / "hooks"
    hooks.mkdir(parents=True, exist_ok=True)
    actions.give_away(hooks)
    actions.write(hooks / "pre-new", "#!/bin/sh\nexec /usr/bin/mbsync -q -a\n", 0o700)
    finds(server, actions, home, "hook", [program("notmuch"), "new", "--quiet"])


def finds(server, actions, home, name, action):
    server.deliver(f"for {name}")
    status = actions.run(name, "mail", action, home)
    actions.ok(status == 0, f"confine mail: notmuch, {name}, ends well")
    found = subprocess.run(
        [program("notmuch"), "count", f"subject:{name}"], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=home,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"}, **actions.as_user())
    equal(found.stdout.strip(), "1", f"confine mail: notmuch, {name}, finds the message")


def sleeps(pid):
    """Has it closed its connection to the server, and no child that delivers?"""
    return not holds_socket(pid) and not children_of(pid)


@served("fetchmail wakes its daemon", "fetchmail")
def waking_a_daemon(actions, server):
    """As in nmnotify.conf(5): fetchmail, called while a daemon of the same user runs, wakes it by a
    signal, which takes `isolate no`."""
    home = actions.folder("home")
    words, inbox = fetchmail(server, actions, home)
    rc, by = home / "fetchmailrc", home / "by"
    rc.write_text(rc.read_text().replace("/message", f"/message; echo $PPID > {by}.new; mv {by}.new {by}"))
    where = f"FETCHMAILHOME={home}"  # of the fetchmailrc and the pid file
    server.deliver("first")
    daemon = subprocess.Popen(
        [words[0], "--nosyslog", "--nodetach", "--daemon", "3600"], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home,
        env={"HOME": str(home), "FETCHMAILHOME": str(home), "PATH": "/usr/bin:/bin"}, **actions.as_user())
    try:
        # It has fetched once, and now it sleeps for an hour.
        until(lambda: has(inbox, "first") and sleeps(daemon.pid))
        by.write_text("")
        server.deliver("second")
        status = actions.run("awake", "mail", words[:1], home, [where], more="    isolate no\n")
        actions.ok(status == 0 and until(lambda: has(inbox, "second") and by.read_text()),
                   "isolate no: fetchmail wakes its daemon")
        equal(by.read_text().strip(), str(daemon.pid), "isolate no: it is the daemon that fetches")
        if landlock_abi() >= 6:
            until(lambda: sleeps(daemon.pid))
            by.write_text("")
            server.deliver("third")
            actions.run("isolated", "mail", words[:1], home, [where])
            until(lambda: has(inbox, "third") and by.read_text())
            ok(by.read_text().strip() not in ("", str(daemon.pid)),
               "isolate yes: fetchmail takes its daemon for dead, and fetches beside it")
    finally:
        daemon.terminate()
        daemon.wait()


def has(inbox, subject):
    """Is there a message of that subject?"""
    return inbox.is_dir() and any(
        f"Subject: {subject}" in file.read_text(errors="replace") for file in inbox.iterdir())


# ---- Fetching over HTTP ----


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests_seen += 1
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass


class WebServer:
    def __init__(self, certificate=None):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.requests_seen = 0
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        # By name: looking that up is part of what has to work.
        scheme = "https" if certificate else "http"
        self.port = self.server.server_port
        self.url = f"{scheme}://localhost:{self.port}/"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def requests_seen(self):
        return self.server.requests_seen


def web():
    if missing("curl fetches", "curl"):
        return
    with Sandbox() as box, WebServer() as server:
        actions = Actions(box, server.port)
        action = [program("curl"), "-sS", "--noproxy", "*", "--fail", "-o", "page", server.url]
        curl_fetches(actions, "mail", action)
        curl_fetches(actions, "none", action)
        before = server.requests_seen()
        status = actions.run("curl-local", "local", action, actions.folder("curl-local"))
        actions.ok(status == 7 and server.requests_seen() == before,
                   "confine local: curl can't connect")


def curl_fetches(actions, policy, action, name="curl"):
    home = actions.folder(f"{name}-{policy}")
    page = home / "page"
    action = [page if word == "page" else word for word in action]
    status = actions.run(f"{name}-{policy}", policy, action, home)
    actions.ok(status == 0 and page.exists() and page.read_text() == "hello",
               f"confine {policy}: {name} fetches")


def web_tls():
    if missing("curl fetches over TLS", "curl", "openssl"):
        return
    with Sandbox() as box:
        certificate = box.dir / "certificate.pem"
        subprocess.run(
            [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-nodes", "-keyout", certificate, "-out",
             box.dir / "public.pem", "-subj", "/CN=localhost", "-days", "2"],
            check=True, capture_output=True)
        with open(certificate, "a") as file:
            file.write((box.dir / "public.pem").read_text())
        with WebServer(certificate) as server:
            action = [program("curl"), "-sSk", "--noproxy", "*", "-o", "page", server.url]
            curl_fetches(Actions(box, server.port), "mail", action, "curl-with-tls")


# ---- Ordinary programs ----


def version_calls():
    commands = {"systemctl": "--version", "ssh": "-V", "git": "--version", "gpg": "--version",
                "maildrop": "-v"}
    with Sandbox() as box:
        actions = Actions(box)
        for name, option in commands.items():
            if missing(f"{name} {option}", name):
                continue
            for policy in ("mail", "local"):
                home = actions.folder(f"{name}-{policy}")
                status = actions.run(f"{name}-{policy}", policy, [program(name), option], home)
                actions.ok(status == 0, f"confine {policy}: {name} {option}")


run(fetching, indexing, waking_a_daemon, web, web_tls, version_calls)
