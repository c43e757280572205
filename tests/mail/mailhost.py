# SPDX-License-Identifier: ISC
"""A mail server as Debian has it, with nmnotify, and a laptop that it tells: one script a mail system.

    import mailhost
    box = mailhost.MailHost("postfix", "postfix", debconf=mailhost.POSTFIX)

    def biff():
        box.imap("mbox")                # what it delivers to, and Dovecot serves to the laptop
        usual = box.delay()             # of a delivery without us
        box.type("postconf biff=yes")   # the commands of that block of man/nmnotify-mail.7, as they are there
        box.is_told("biff")             # by SMTP, all the way to the laptop's Maildir
        box.is_unharmed("biff", usual)  # ... with the relay stopped, frozen, deaf: no delivery waits

    mailhost.main(box, biff)

main() runs the script's parts on each release of Debian, in a container that is made once and kept in build/:
Debian with systemd, the fetchers and Dovecot (../systemd/container.py), and over it the packages that are named,
installed without starting any; what their scripts ask is answered by `debconf`. It is booted with what they
enable running, as after an apt-get install, and with nmnotify as `make install` leaves it. At the end main() sees
to it that nothing was returned to its author or is still in the queue. `postfix.t trixie biff` runs one part.

There are the users alice, who has mail and the password "secret", and bob, who sends it and would get it back.
The machine is mx.test, 192.0.2.25. The laptop is its neighbour: a network namespace of the container with the
addresses of LAPTOP, where nmnotifyd.socket listens on port 79, and starts `mbsync -a` as the user laptop, who
fetches alice's mail from mx.test.

    box.sh(command, user=None)          as in a shell there; what it printed. It raises unless check=False. `apart`: words
                                        before it
    box.type(part), box.recipe(part)    a block of the page that has this in it: typed ($ is alice, # is root; what
                                        stands below a command belongs to it); its text, for a file
    box.configure(*lines)               /etc/nmnotify-relay.conf, with the sockets' units started anew, if enabled
    box.imap("mbox" or "maildir")       where alice's mail is. A system with a server of its own sets box.mailbox
                                        alone: a glob, with {user} in it
    box.send(to="alice", body=...)      a message by SMTP: (its Message-ID, the time of the 250)
    box.delay()                         seconds of the slowest of three deliveries, from 250 to an empty queue
    box.quiet()                         when the laptop fetches no more
    box.laptop("10s", "mpop")           it fetches with that, and so often at most
    box.starts()                        when it began to, each time
    box.log_in(address, "imap")         alice checks mail from there ("imap" or "pop3")
    box.is_told(name, at=address)       ... and the line went to that address of the laptop's
    box.is_unharmed(name, usual, also)  by whichever sockets of the relay are enabled; also() is something else that
                                        must not wait, such as a login
    box.tells(name, part ...)           all that the example does from delay() on
    box.follows()                       alice checks mail here and there, and the line goes there
    box.log_in_twice()                  ... by IMAP and POP3, for `also`
    box.fill(socket, datagram)          until that one of them, "socket" or "cyrus", takes no more
    box.queue, box.harm                 a command that says so if nothing is in the queue; what the journal must not
                                        have, a regular expression

The rest is Container's: box.write, box.run, box.journal, box.is_active ...
"""

import ctypes
import os
import re
import secrets
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
for folder in ("integration", "systemd"):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / folder))
import container
import fcntl
import nmtest
from documents import Documents, commands
from nmtest import PROJECT, diag, equal, ok, until

RELEASES = ("trixie", "bookworm")
PAGE = "man/nmnotify-mail.7"
# What Postfix asks while it is installed.
POSTFIX = "postfix postfix/main_mailer_type select Internet Site\npostfix postfix/mailname string mx.test"
HOST, MX = "mx.test", "192.0.2.25"
LAPTOP = ("192.0.2.79", "192.0.2.80", "192.0.2.81")
# Who looks into a Maildir moves what is in `new` to `cur`.
MAILBOX = {"mbox": "/var/mail/{user}", "maildir": "/home/{user}/Maildir/[nc][eu][wr]/*"}
PASSWORD = "secret"
RELAY = "nmnotify-relay.service"
SOCKETS = ("nmnotify-relay.socket", "nmnotify-relay-biff.socket", "nmnotify-relay-cyrus.socket")
# How long a message may take to where it goes, on the slowest machine.
ARRIVAL_SECONDS = 120
# More than the kernel keeps of any of the relay's sockets.
MORE_THAN_FIT = 20000
SO_SNDBUFFORCE = 32

# ---- A layer over the tree of the release ----

_LAYER_VERSION = 1
# apt is this machine's, with the tree's sources. Its archives are kept: each package is fetched once.
_MAKE = r"""
base=$1 new=$2 archives=$3 debconf=$4 packages=$5
hostname {host}
work=$(mktemp -d)
mount -t tmpfs -o mode=755 layer "$work"
mkdir "$work/upper" "$work/work" "$work/root"
root=$work/root
mount -t overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" layer "$root"
printf '%s\n' {host} | tee "$root/etc/hostname" >"$root/etc/mailname"
printf '127.0.0.1 localhost\n{mx} {host} mx\n::1 localhost\n' >"$root/etc/hosts"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
mkdir -p "$archives/lists/partial" "$archives/partial"
mount --bind "$archives" "$root/var/cache/apt/archives"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs run "$root/run"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
printf '%s\n' "$debconf" | chroot "$root" debconf-set-selections
set -- -qq -y -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 -o Debug::NoLocking=1 \
	-o Dir::State="$root/var/lib/apt" -o Dir::State::status="$root/var/lib/dpkg/status" \
	-o Dir::State::lists="$archives/lists" -o Dir::Cache::archives="$root/var/cache/apt/archives" \
	-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Dir::Etc::sourcelist="$root/etc/apt/sources.list" \
	-o Dir::Etc::sourceparts=/dev/null -o DPkg::Chroot-Directory="$root" -o Acquire::Languages=none
(
	flock 9
	[ -n "$(find "$archives/lists" -maxdepth 1 -name '*Packages*' -mmin -600)" ] || apt-get "$@" update
	# shellcheck disable=SC2086 # words are meant
	apt-get "$@" --no-install-recommends --download-only install $packages
) 9>"$archives/lock"
# shellcheck disable=SC2086
apt-get "$@" --no-install-recommends install $packages
rm "$root/usr/sbin/policy-rc.d"
umount "$root/run" "$root/dev" "$root/proc" "$root/var/cache/apt/archives" "$root"
cp -a "$work/upper" "$new"
umount "$work"
rmdir "$work"
"""


def layer_of(system, release):
    return PROJECT / "build" / f"mail-{system}-{release}"


def make_layer(system, release, packages, debconf):
    """Once, and again with other packages, or over another tree."""
    layer, base = layer_of(system, release), container.tree(release)
    stamp = f"{_LAYER_VERSION} {packages} {debconf} {(base / 'stamp').stat().st_mtime_ns}\n"
    with open(f"{layer}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (layer / "stamp").exists() and (layer / "stamp").read_text() == stamp:
            return
        diag(f"making build/{layer.name}, once")
        fresh = Path(f"{layer}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        apart = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
        words = [base / "root", fresh / "root", PROJECT / "build" / f"mail-archives-{release}", debconf, packages]
        made = subprocess.run(
            [*apart, "bash", "-ec", _MAKE.replace("{host}", HOST).replace("{mx}", MX), "make", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        if made.returncode != 0:
            container.give_up(f"{packages} cannot be installed: " + " ".join(made.stdout.splitlines()[-3:]))
        (fresh / "stamp").write_text(stamp)
        shutil.rmtree(layer, ignore_errors=True)
        os.rename(fresh, layer)


# ---- The host ----

_LISTENER = f"""
from {MX}
interval INTERVAL
limit 1000/s burst 1000
action /usr/local/bin/fetch
"""
# When it begins, and then a fetcher as it is.
_FETCH = """#!/bin/bash
echo "$EPOCHREALTIME" >>~/started
exec FETCHER
"""
_MBSYNCRC = f"""
IMAPStore far
Host {MX}
User alice
Pass {PASSWORD}
SSLType None
AuthMechs LOGIN

MaildirStore near
Path ~/Mail/
Inbox ~/Mail/INBOX

Channel mail
Far :far:
Near :near:
Patterns INBOX
Create Near
Sync Pull
"""
# Debian's Dovecot, but for these: no TLS, which is not what this is about; and Maildirs, if it is to be.
_DOVECOT = {"2.3": "disable_plaintext_auth = no\n", "2.4": "auth_allow_cleartext = yes\n"}
_DOVECOT_MAILDIR = {
    "2.3": "mail_location = maildir:~/Maildir\n",
    "2.4": "mail_driver = maildir\nmail_path = ~/Maildir\nmail_inbox_path = ~/Maildir\n",
}
_MACHINE = f"""
ip link add mx type veth peer name lap
ip address add {MX}/24 dev mx
ip link set mx up
ip netns add laptop
ip link set lap netns laptop
for address in {' '.join(LAPTOP)}; do ip -n laptop address add $address/24 dev lap; done
ip -n laptop link set lap up
ip -n laptop link set lo up
useradd --create-home --shell /bin/bash alice
useradd --create-home --shell /bin/bash bob
useradd --create-home --shell /bin/bash laptop
printf '%s:{PASSWORD}\\n' alice bob | chpasswd
install -d -o laptop -g laptop ~laptop/Mail
install -o laptop -g laptop -m 600 /etc/laptop.mbsyncrc ~laptop/.mbsyncrc
systemctl daemon-reload
systemctl start nmnotifyd.socket
"""


class MailHost(container.Container):
    def __init__(self, system, packages, debconf="", page=PAGE):
        arguments = [word for word in sys.argv[1:2] if word in RELEASES]
        super().__init__(*arguments)
        self.is_whole = not arguments
        self.system, self.packages, self.debconf = system, packages, debconf
        self.page, self.documents = page, Documents((page,))
        self.mailbox = MAILBOX["mbox"]
        self.queue = "mailq | grep -v 'queue is empty'; :"
        self.harm = r"status=(bounced|deferred)"

    def below(self):
        return [layer_of(self.system, self.release) / "root", *super().below()]

    def install(self):
        super().install()
        # Postfix takes none that has two names, as all have in a tree that was copied by hard links.
        self.write("/etc/mailname", f"{HOST}\n")

    # -- Before the first part --

    def prepare(self):
        self.laptop()
        apart = "NetworkNamespacePath=/run/netns/laptop\n"
        self.write("/etc/systemd/system/nmnotifyd.socket.d/laptop.conf", f"[Socket]\n{apart}")
        self.write("/etc/systemd/system/nmnotifyd.service.d/laptop.conf", f"[Service]\nUser=laptop\n{apart}")
        # A test stops it for longer.
        self.write(f"/etc/systemd/system/{RELAY}.d/test.conf", "[Service]\nWatchdogSec=0\n")
        # ... and starts these more often than five times in ten seconds.
        self.write("/etc/systemd/system/nmnotify-.socket.d/test.conf", "[Unit]\nStartLimitIntervalSec=0\n")
        self.write("/etc/laptop.mbsyncrc", _MBSYNCRC)
        self.sh(_MACHINE)
        self.configure("user alice 192.0.2.79")

    def configure(self, *lines):
        """The relay's; it does not end while a test goes on, and a second message need not wait."""
        self.write("/etc/nmnotify-relay.conf", "\n".join(("interval 200ms", "idle 10m", *lines)) + "\n")
        self.sh("nmnotify-relay -t")
        if self.is_active(SOCKETS[0]):
            self.sh(f"systemctl restart {SOCKETS[0]}")

    def imap(self, kind):
        """Dovecot serves alice's mailboxes of this kind, as Debian has it else."""
        version = self.dovecot_version()
        settings = _DOVECOT[version] + (_DOVECOT_MAILDIR[version] if kind == "maildir" else "")
        self.write("/etc/dovecot/conf.d/99-test.conf", settings)
        self.mailbox = MAILBOX[kind]
        self.sh("systemctl unmask dovecot.service; systemctl enable --quiet dovecot.service; systemctl restart dovecot.service")
        self.sh("rm -rf ~laptop/.mbsync ~laptop/.local/state/isync")

    def dovecot_version(self):
        return ".".join(self.sh("dovecot --version").split(".")[:2])

    # -- Typing --

    def sh(self, command, user=None, check=True, timeout=120, apart=()):
        words = ["su", "-", user, "-c", command] if user else ["bash", "-c", command]
        result = self.run(*apart, *words, check=False, timeout=timeout)
        if check and result.returncode != 0:
            raise RuntimeError(f"{command}: status {result.returncode}: {result.stdout}{result.stderr}")
        return result.stdout + result.stderr

    def recipe(self, part):
        return self.documents.take(self.page, part)

    def type(self, part):
        block = self.recipe(part)
        typed = [(c, None) for c in commands(block, "#") if block.startswith("# ")]
        typed += [(c, "alice") for c in commands(block, "$") if block.startswith("$ ")]
        if not typed:
            raise LookupError(f"{self.page}: nothing to type: {part}")
        said = "".join(self.sh(command, user) for command, user in typed)
        ok(True, f"typed: {'; '.join(command.splitlines()[0] for command, _ in typed)}")
        return said

    # -- Mail --

    def send(self, to="alice", body="Hello."):
        """Whole when the server has said 250, and when that was."""
        name = f"<{secrets.token_hex(8)}@sender.test>"
        text = f"From: bob@{HOST}\r\nTo: {to}@{HOST}\r\nSubject: test\r\nMessage-ID: {name}\r\n\r\n{body}\r\n"
        # A server that is about to start is asked again, as any sender does it.
        with until(self._server, ARRIVAL_SECONDS) as server:
            server.sendmail(f"bob@{HOST}", [f"{to}@{HOST}"], text)
            return name, time.time()

    @staticmethod
    def _server():
        try:
            return smtplib.SMTP("127.0.0.1", 25, "sender.test", timeout=60)
        except ConnectionRefusedError:
            return None

    def _has(self, pattern, text):
        for path in self.root.glob(pattern.lstrip("/")):
            try:
                if text in path.read_text(errors="replace"):
                    return True
            except (FileNotFoundError, NotADirectoryError):
                pass  # it has been read, and so has another name
        return False

    def deliver(self, name, to="alice"):
        """Sends a message; which, and the seconds until it was in the mailbox, and the mail system done with it."""
        message, begun = self.send(to)
        there = until(lambda: self._has(self.mailbox.format(user=to), message), ARRIVAL_SECONDS)
        there = there and until(self._is_queue_empty, ARRIVAL_SECONDS)
        seconds = time.time() - begun
        ok(there, f"{name}: it is delivered") or self.tell()
        return message, seconds

    def delay(self):
        seconds = [self.deliver("before")[1] for _ in range(3)]
        diag(f"{self.release}: delivered in {', '.join(f'{s * 1000:.0f}' for s in seconds)} ms")
        return max(seconds)

    def _is_queue_empty(self):
        return not self.sh(self.queue).strip()

    def tell(self):
        diag(self.output("journalctl", "-q", "--no-pager", "-b", "-n", "40", "-o", "short-monotonic"))

    # -- The laptop --

    def laptop(self, interval="100ms", fetcher="/usr/bin/mbsync -q -a"):
        self.write("/etc/nmnotify.conf", _LISTENER.replace("INTERVAL", interval))
        self.write("/usr/local/bin/fetch", _FETCH.replace("FETCHER", fetcher), 0o755)
        self.sh("systemctl try-reload-or-restart nmnotifyd.service")

    def starts(self):
        path = self.root / "home/laptop/started"
        return path.read_text().split() if path.exists() else []

    def fetched(self, message):
        return any(self._has(f"/home/laptop/Mail/INBOX/{folder}/*", message) for folder in ("new", "cur"))

    def quiet(self, seconds=0.0):
        """What was told before is over, for so long."""
        busy = [time.monotonic()]

        def over():
            if self.sh("pgrep -u laptop mbsync", check=False):
                busy[0] = time.monotonic()
                return False
            return time.monotonic() - busy[0] >= seconds

        until(over, ARRIVAL_SECONDS)

    def is_told(self, name, to="alice", at=None):
        self.quiet()
        before, after = len(self.starts()), time.time()
        message, accepted = self.send(to)
        there = until(lambda: self.starts()[before:] and self.fetched(message), ARRIVAL_SECONDS)
        if not ok(there, f"{name}: a message is on the laptop"):
            self.tell()
            return
        milliseconds = (float(self.starts()[before]) - accepted) * 1000
        diag(f"{self.release}: {name}: {milliseconds:.1f} ms from the 250 to the action")
        if at:
            told = lambda: {r["NMNOTIFY_TO"].rsplit(":", 1)[0] for r in self.journal("NMNOTIFY_TOLD=done", after=after)}
            equal(until(told, 20), {at}, f"{name}: the line went to {at}")

    def tells(self, name, *parts):
        """With these blocks typed. What a delivery took without us."""
        usual = self.delay()
        for part in parts:
            self.type(part)
        self.is_told(name, at=LAPTOP[0])
        self.is_unharmed(name, usual)
        return usual

    def follows(self, ready=lambda: None):
        """Checking mail tells where alice is, and so does the laptop's fetching, each time. ready() waits for what a new
        configuration of the relay takes."""
        self.configure("user alice last")
        ready()
        self.log_in(LAPTOP[1], "imap")
        self.is_told("last, IMAP", at=LAPTOP[1])
        self.is_told("last, the fetcher's", at=LAPTOP[0])
        self.log_in(LAPTOP[2], "pop3")
        self.is_told("last, POP3", at=LAPTOP[2])
        self.configure("user alice 192.0.2.79")
        ready()

    def log_in_twice(self):
        for protocol in ("imap", "pop3"):
            self.log_in(LAPTOP[1], protocol)

    def log_in(self, address, protocol):
        """From the laptop; as far as being let in, and out."""
        said = []
        thread = threading.Thread(target=self._log_in, args=(address, protocol, said))
        thread.start()
        thread.join()
        if not ok(said and said[-1], f"{protocol}: alice has logged in from {address}"):
            diag(said)

    def _log_in(self, address, protocol, said):
        """A thread can be in a network namespace of its own."""
        fd = os.open(f"/proc/{self.leader}/root/run/netns/laptop", os.O_RDONLY | os.O_CLOEXEC)
        container._enter_network(fd)
        os.close(fd)
        port, words, good = {
            "imap": (143, [f"a login alice {PASSWORD}", "b logout"], "a OK"),
            "pop3": (110, ["user alice", f"pass {PASSWORD}", "quit"], "+OK"),
        }[protocol]
        with socket.create_connection((MX, port), 60, (address, 0)) as connection, connection.makefile("rw", newline="") as f:
            said.append(f.readline())
            good_ones = []
            for word in words:
                f.write(f"{word}\r\n")
                f.flush()
                lines = [f.readline()]
                while protocol == "imap" and lines[-1].startswith("*"):
                    lines.append(f.readline())
                said += lines
                good_ones.append(lines[-1].startswith(good))
            said.append(all(good_ones) if protocol == "pop3" else good_ones[0])

    # -- No delivery suffers --

    def is_unharmed(self, name, usual, also=None):
        """With the relay in each state that it must not be in. `usual` is a delivery without us."""
        bound = 5 + 5 * usual
        used = [unit for unit in SOCKETS if self.is_active(unit)]

        def quick(state):
            message, seconds = self.deliver(f"S3: {name}: the relay is {state}")
            ok(seconds < bound, f"S3: {name}: the relay is {state}: the delivery does not wait")
            diag(f"{self.release}: {name}: {state}: {seconds * 1000:.0f} ms")
            if also:
                begun = time.monotonic()
                also()
                ok(time.monotonic() - begun < bound, f"S3: {name}: the relay is {state}: nor does that wait")
            return message

        self.sh(f"systemctl stop {' '.join(used)} {RELAY}")
        quick("stopped")
        self.sh(f"systemctl start {' '.join(used)}")
        self.is_told(f"{name}: after a stop")
        pids = self.pids(RELAY)
        ok(pids, f"{name}: the relay runs")
        for pid in pids:
            nmtest.kill(pid, signal.SIGSTOP)
        try:
            message = quick("frozen")
            self._fill(used)
            quick("deaf")
        finally:
            for pid in pids:
                nmtest.kill(pid, signal.SIGCONT)
        ok(until(lambda: self.fetched(message), ARRIVAL_SECONDS), f"S1: {name}: what came meanwhile is on the laptop")
        self.quiet(2.0)  # all of it, which may take more than one line
        self.is_told(f"{name}: after that")

    def fill(self, name="socket", datagram=b"mail nobody"):
        """Until one of the relay's Unix sockets takes no more."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as s:
            # The queue is to be full, and not what this one sender may have in it.
            s.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 26)
            s.connect(f"/proc/{self.leader}/root/run/nmnotify-relay/{name}")
            try:
                for _ in range(MORE_THAN_FIT):
                    s.send(datagram)
                raise RuntimeError("the relay's socket takes everything")
            except BlockingIOError:
                pass

    def _fill(self, units):
        """Until nothing fits any more."""
        self.fill()
        if SOCKETS[1] in units:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                for _ in range(MORE_THAN_FIT):
                    s.sendto(b"nobody@0\0", ("127.0.0.1", 512))

    def nothing_is_wrong(self):
        """After all parts."""
        left = until(self._is_queue_empty, ARRIVAL_SECONDS, 0.2)
        ok(left, "S3: nothing is left in the queue") or diag(self.sh(self.queue))
        harm = [r["MESSAGE"] for r in self.journal() if re.search(self.harm, str(r.get("MESSAGE")))]
        equal(harm, [], "S3: nothing was deferred or returned")
        boxes = {pattern.format(user="bob") for pattern in (*MAILBOX.values(), self.mailbox)}
        ok(not any(self._has(pattern, "") for pattern in boxes), "S3: nothing has come back to its author")


def main(box, *parts, releases=RELEASES):
    """All of a script. Ends the process."""
    container.require(*(releases if box.is_whole else (box.release,)))
    names = [word for word in sys.argv[1:] if word in [part.__name__ for part in parts]]
    if box.is_whole and not names:
        for release in releases:
            make_layer(box.system, release, box.packages, box.debconf)
        container.run_parts(sys.argv[0], releases)
    make_layer(box.system, box.release, box.packages, box.debconf)
    # The parts that are named, and what comes before and after all of them.
    chosen = [part for part in parts if not names or part.__name__ in names]
    sys.argv[1:] = []
    with box:
        nmtest.run(box.prepare, *chosen, box.nothing_is_wrong)
