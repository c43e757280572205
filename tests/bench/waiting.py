# SPDX-License-Identifier: ISC
"""A hundred mailboxes, and three ways to have their mail at once or nearly: the relay and a listener for each; a
fetchmail for each that waits with IMAP's IDLE; and one that asks once a minute. For relay.

Postfix (see mta.py) delivers, to mailboxes that Dovecot serves. It is all on this machine: clients are at addresses
of their own, from 127.1.0.0 on. Nothing is encrypted.

    waiting.py TREE PORT MESSAGES     in namespaces of its own: prints JSON

Of each way: `delays`, milliseconds from the 250 to the action; `memory`, KiB of the server's processes beyond a
Dovecot that nobody is connected to, and of the clients': of what processes share, their share; `processes`, likewise;
`connections` that are open while nothing happens; `processor`, ms of server and clients for a message, without what
Postfix uses, or of asking one mailbox once."""

import json
import os
import pwd
import re
import smtplib
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "mail"))
import mta
from mta import BASE, ROOT
from paths import BENCH, FREE
import dovecot
import front
import servers
from nmtest import BUILD, until
from relay import Relay

MAILBOXES = 100
NAMES = [f"u{number}" for number in range(MAILBOXES)]
USER = pwd.getpwnam("nobody")
MESSAGE = "From: bob@mx.test\r\nTo: {to}@mx.test\r\nSubject: news\r\n\r\nHello.\r\n"
# Nothing goes on, if in that time they use less than that share of a processor.
QUIET_SECONDS, QUIET_SHARE = 0.5, 0.02


class Imap(dovecot.Dovecot):
    """It serves what Postfix delivers."""

    def configuration(self):
        text = super().configuration()
        text = text.replace("maildir:{dir}/mail/Maildir", f"mbox:{{dir}}/mail/%u:INBOX={ROOT}/var/mail/%u")
        text = text.replace("mail_driver = maildir", f"mail_driver = mbox\nmail_inbox_path = {ROOT}/var/mail/%{{{{user}}}}")
        return text.replace("mail_path = {dir}/mail/Maildir", "mail_path = {dir}/mail/%{{user}}")

    def __enter__(self):
        super().__enter__()
        with open(self.dir / "passwd", "a") as file:
            file.write("".join(f"{name}:{{PLAIN}}{self.password}\n" for name in NAMES))
        return self


class Client:
    """A user's machine."""

    def __init__(self, number, server):
        self.name, self.address = NAMES[number], f"127.1.0.{number}"
        self.dir, self.home = BASE / "clients" / self.name, BASE / "clients" / self.name / "home"
        self.home.mkdir(parents=True)
        self.stamp = self.home / "stamp"
        self.stamp.write_bytes(bytes(8))
        for words in ("", "idle"):
            self._rc(words).write_text(
                f"poll 127.0.0.1 service {server.imap_port} protocol IMAP auth password timeout 60\n"
                f'  user {self.name} password "{server.password}" sslproto "" keep {words}\n'
                f'  mda "cat >/dev/null; {BASE}/stamp {self.stamp}"\n'
            )
            self._rc(words).chmod(0o600)
        for path in (self.home, *self.home.iterdir()):
            os.chown(path, USER.pw_uid, USER.pw_gid)

    def _rc(self, words):
        return self.home / f"rc{words}"

    def fetching(self, words=""):
        """What fetches when it is called, or goes on to wait."""
        return ["/usr/bin/fetchmail", "--nodetach", "--nosyslog", "--pidfile", self.home / "pid", "-f", self._rc(words)]

    def popen(self, words=""):
        how = {"user": USER.pw_uid, "group": USER.pw_gid, "extra_groups": []}
        null = subprocess.DEVNULL
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "FETCHMAILHOME": str(self.home)}
        command = [str(word) for word in self.fetching(words)]
        return subprocess.Popen(command, stdin=null, stdout=null, stderr=null, cwd="/", env=environment, **how)

    @contextmanager
    def listening(self, port, action):
        """nmnotifyd, which has nothing to do."""
        state, conf = self.dir / "state", self.dir / "conf"
        state.mkdir(mode=0o755)
        conf.write_text(
            f"state {state}\nlog stderr\nuser {USER.pw_name}\n{FREE}from 127.0.0.0/8\ninterval 0s\n"
            f"env HOME={self.home} FETCHMAILHOME={self.home}\nlandlock no\naction {' '.join(map(str, action))}\n"
        )
        with front.listener(address=self.address, port=port) as listening:
            service = front.Service(servers.NOBODY, conf, [listening])
            try:
                yield service
            finally:
                service.end()

    def stamped(self):
        return int.from_bytes(self.stamp.read_bytes(), sys.byteorder)


class Bench:
    def __init__(self, server, at_server, at_clients):
        self.server, self.at_server, self.at_clients = server, at_server, at_clients
        self.clients = [Client(number, server) for number in range(MAILBOXES)]
        self.base = 0, 0

    def quiet(self):
        """Until server and clients have nothing to do."""
        def is_quiet():
            before = self.processor()
            time.sleep(QUIET_SECONDS)
            return self.processor() - before < QUIET_SHARE * QUIET_SECONDS

        until(is_quiet, 60, 0)

    def processor(self):
        return self.at_server.used() + self.at_clients.used()

    def sizes(self):
        """(KiB, processes) of the server; of the clients."""
        groups = [group.processes() for group in (self.at_server, self.at_clients)]
        return [(sum(map(proportional, pids)), len(pids)) for pids in groups]

    def connections(self):
        """Open ones, seen from both sides: of the server, of the clients."""
        port = f"{self.server.imap_port:04X}"
        lines = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ends = [(near, far) for near, far, state in lines if state == "01"]
        return [sum(near.endswith(f":{port}") for near, _ in ends), sum(far.endswith(f":{port}") for _, far in ends)]

    def delay(self, client):
        """Milliseconds from the 250 to the action."""
        before = client.stamped()
        with smtplib.SMTP("127.0.0.1", 25) as smtp:
            smtp.ehlo()
            smtp.mail("bob@mx.test")
            smtp.rcpt(f"{client.name}@mx.test")
            code, text = smtp.data(MESSAGE.format(to=client.name))
            accepted = time.monotonic_ns()
        if code != 250:
            raise RuntimeError(f"Postfix: {code} {text}")
        if not until(lambda: client.stamped() != before, 30, 0.002):
            raise RuntimeError(f"no action for {client.name}: {self.server.complaints()}")
        return (client.stamped() - accepted) / 1e6

    def way(self, clients):
        """Of one that waits now."""
        self.quiet()
        server, at_clients = self.sizes()
        found = {
            "memory": (server[0] - self.base[0], at_clients[0]),
            "processes": (server[1] - self.base[1], at_clients[1]),
            "connections": self.connections(),
        }
        return {**found, **self.messages(clients)}

    def messages(self, clients):
        used = self.processor()
        delays = [self.delay(client) for client in clients]
        self.quiet()
        return {"delays": delays, "processor": (self.processor() - used) * 1000 / len(clients)}

    # -- The ways --

    def told(self, port, messages):
        users = "".join(f"user {client.name} {client.address}:{port}\n" for client in self.clients)
        half = MAILBOXES // 2
        with ExitStack() as stack:
            with self.at_server.inside():
                stack.enter_context(Relay(f"biff 127.0.0.1:512\n{users}"))
            with self.at_clients.inside():
                for number, client in enumerate(self.clients):
                    action = [BASE / "stamp", client.stamp] if number < half else client.fetching()
                    stack.enter_context(client.listening(port, action))
            return self.way(self.clients[:messages]), self.messages(self.clients[half : half + messages])

    def idle(self, messages):
        processes = []
        try:
            with self.at_clients.inside():
                processes += [client.popen("idle") for client in self.clients]
            if not until(lambda: self.connections() == [MAILBOXES] * 2, 60, 0.1):
                raise RuntimeError(f"not all are connected: {self.connections()}: {self.server.complaints()}")
            return self.way(self.clients[:messages])
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()

    def poll(self):
        """Of all, with nothing new: milliseconds of one, and of a processor."""
        used, took = self.processor(), []
        for client in self.clients:
            begun = time.monotonic()
            with self.at_clients.inside():
                process = client.popen()
            process.wait()
            took.append((time.monotonic() - begun) * 1000)
        self.quiet()
        return {"took": took, "processor": (self.processor() - used) * 1000 / MAILBOXES}


def proportional(pid):
    """KiB; none, if it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return int(re.search(r"^Pss: *(\d+)", text, re.MULTILINE)[1]) if "Pss:" in text else 0


def main():
    tree, port, messages = sys.argv[1], *map(int, sys.argv[2:])
    root = dovecot.find(BUILD)
    if not root:
        raise RuntimeError("there is no Dovecot")
    mta.prepare(tree, NAMES, USER.pw_uid)
    mta.append(ROOT / "etc/postfix/main.cf", "smtpd_data_restrictions =\nbiff = yes\n")
    (BASE / "stamp").write_bytes((BENCH / "stamp").read_bytes())
    (BASE / "stamp").chmod(0o755)
    directory = BASE / "dovecot"
    directory.mkdir()
    os.chown(directory, USER.pw_uid, USER.pw_gid)
    groups = [mta.Group() for _ in range(3)]
    at_mta, at_server, at_clients = groups
    if not all(group.path for group in groups):
        raise RuntimeError("no control groups of one's own")
    try:
        mta.start(at_mta)
        with ExitStack() as stack:
            with at_server.inside():
                server = stack.enter_context(Imap(root, directory, USER.pw_name))
            bench = Bench(server, at_server, at_clients)
            bench.poll()  # what Dovecot starts once, and does once with each mailbox, it has done then
            bench.base = bench.sizes()[0]
            told, told_fetched = bench.told(port, messages)
            found = {"told": told, "told, fetched": told_fetched, "idle": bench.idle(messages), "poll": bench.poll()}
        print(json.dumps(found))
    finally:
        mta.stop()
        for group in groups:
            group.end()


main()
