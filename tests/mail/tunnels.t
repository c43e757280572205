#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The line through a tunnel, as nmnotify-tunnel(7) says: with TLS, where the certificate's name chooses the account; and
by ssh(1) from a laptop that nobody can reach. A broken tunnel loses no line, and a wrong certificate or key gets nothing.
WireGuard takes a kernel: tests/systemd/guest.t."""

import sys
import time

sys.dont_write_bytecode = True
import mailhost
from documents import commands
from mailhost import ARRIVAL_SECONDS, LAPTOP, MX, PASSWORD
from nmtest import diag, equal, ok, skip, until

PAGE = "man/nmnotify-tunnel.7"
USERS = ("alice", "carol")
MACHINES = f"{MX} mail.example.org\n{LAPTOP[0]} laptop.example.org\n"
# Units that are the laptop's.
APART = ("stunnel@nmnotify.service", "user@.service")
DELIVERY = "/usr/lib/dovecot/dovecot-lda && /usr/local/bin/nmnotify-send -u $USER"
LINE = r"printf 'nm_notifyuser\r\n'"
IN_LAPTOP = ["ip", "netns", "exec", "laptop"]


class Tunnels(mailhost.MailHost):
    def prepare(self):
        for unit in APART:
            self.write(f"/etc/systemd/system/{unit}.d/laptop.conf", "[Service]\nNetworkNamespacePath=/run/netns/laptop\n")
        super().prepare()
        self.sh(f"printf '{MACHINES}' >>/etc/hosts")
        self.sh(f"useradd --create-home --shell /bin/bash carol; echo carol:{PASSWORD} | chpasswd")
        self.sh("systemctl stop nmnotifyd.socket")
        self.sh("systemctl enable --now nmnotify-relay.socket")
        self.sh(f"postconf 'mailbox_command={DELIVERY}'; systemctl reload postfix")
        self.imap("maildir")
        for user in USERS:
            self.sh(f"sed 's/User alice/User {user}/' /etc/laptop.mbsyncrc >.mbsyncrc && chmod 600 .mbsyncrc && mkdir Mail", user)

    def type(self, part):
        """On the machine, and as the user, that the prompt names."""
        block = self.recipe(part)
        prompt = block.split()[0]
        user, apart = {"mail#": (None, ()), "laptop#": (None, IN_LAPTOP), "laptop$": ("alice", IN_LAPTOP)}[prompt]
        said = ""
        for command in commands(block, prompt):
            said += self.sh(command, user, apart=apart)
            ok(True, f"typed: {prompt} {command.splitlines()[0]}")
        return said

    def fetched(self, message, user="alice"):
        return any(self._has(f"/home/{user}/Mail/INBOX/{folder}/*", message) for folder in ("new", "cur"))

    def arrives(self, name, message, user="alice"):
        there = until(lambda: self.fetched(message, user), ARRIVAL_SECONDS)
        ok(there, f"{name}: a message to {user} is on the laptop") or self.tell()

    def comes(self, name, user="alice"):
        self.arrives(name, self.send(user)[0], user)

    def accounts(self, after):
        records = self.journal("SYSLOG_IDENTIFIER=nmnotifyd", after=after)
        return [r.get("NMNOTIFY_ACCOUNT") for r in records if "NMNOTIFY_VERDICT" in r]

    def listens(self, address, apart=IN_LAPTOP):
        return until(lambda: self.run(*apart, "ss", "-Hltn", f"src = {address}").stdout.strip(), ARRIVAL_SECONDS)

    def told(self, how, after):
        return until(lambda: self.journal(f"NMNOTIFY_TOLD={how}", after=after), ARRIVAL_SECONDS)


box = Tunnels("tunnels", "postfix openssh-server openssh-client", mailhost.POSTFIX, PAGE)


# ---- TLS ----

# Who is not of the authority, has a name that he has given himself, or is of a name's without being an authority.
STRANGERS = """
new="openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
$new -x509 -days 9 -subj /CN=alice.example.org -keyout self.key -out self.crt
$new -subj /CN=alice.example.org -keyout forged.key -out forged.csr
openssl x509 -req -days 9 -in forged.csr -CA carol.crt -CAkey carol.key -CAcreateserial -out forged.crt
cat self.key self.crt >self.pem
cat forged.key forged.crt carol.crt >forged.pem
"""


def knock(port, certificate):
    """A whole line, as somebody sends it who has a certificate and a key."""
    words = f"-cert {certificate}.pem -cert_chain {certificate}.pem -key {certificate}.pem" if certificate else ""
    client = f"timeout 20 openssl s_client -quiet -no_ign_eof {words} -connect laptop.example.org:{port}"
    box.sh(f"cd /etc/stunnel && {LINE} | {client}", check=False)


def tls():
    box.configure("user dora none")
    box.type("-subj /CN=nmnotify")
    box.sh(f"cd /etc/stunnel && umask 077 && {STRANGERS}")
    box.type("checkHost = laptop.example.org")
    box.type("checkHost = alice.example.org")
    box.type("ListenStream=127.0.0.3:79")
    box.listens("0.0.0.0:7981")
    for user in USERS:
        after = time.time()
        box.comes("TLS", user)
        equal(set(box.accounts(after)), {user}, f"TLS: {user}'s certificate is for {user}'s account alone")
    equal(box.run(*IN_LAPTOP, "ss", "-Hltn", "sport = 79 and not src 127.0.0.0/8").stdout, "", "TLS: port 79 is closed")


def tls_wrong():
    """Who has another certificate, or none, gets nothing; one's own is nobody else's."""
    box.sh("systemctl stop stunnel@nmnotify-relay.service")  # nobody else speaks
    after = time.time()
    for port, own, other in ((7980, "alice", "carol"), (7981, "carol", "alice")):
        for certificate in ("", "self", "forged", "laptop", other):
            if certificate != "forged" or own == "alice":
                knock(port, certificate)
    # What they could have caused would have come before this.
    knock(7980, "alice")
    ok(until(lambda: box.accounts(after), 30), "TLS: the right certificate is let in")
    knock(7981, "carol")
    ok(until(lambda: "carol" in box.accounts(after), 30), "TLS: so is the other one, to its own account")
    equal(sorted(box.accounts(after)), ["alice", "carol"], "TLS: a wrong certificate gets nothing")
    box.sh("systemctl start stunnel@nmnotify-relay.service")


def tls_broken():
    """A laptop that is away, or somebody else's: the line is owed, and comes."""
    box.sh("systemctl stop stunnel@nmnotify.service")
    after = time.time()
    message = box.send()[0]
    ok(box.told("failed", after), "TLS: S1: what stunnel has taken, and cannot pass on, is not done")
    # A certificate of the authority's, but not the laptop's.
    box.sh("sed 's/laptop.pem/carol.pem/' /etc/stunnel/nmnotify.conf >/etc/stunnel/other.conf")
    box.sh("systemd-run --quiet --unit=other -p NetworkNamespacePath=/run/netns/laptop stunnel4 /etc/stunnel/other.conf")
    box.listens("0.0.0.0:7980")
    after = time.time()
    ok(box.told("failed", after), "TLS: a laptop with a wrong certificate is told nothing")
    equal(box.accounts(after), [], "TLS: not a line gets there")
    box.sh("systemctl stop other.service; systemctl start stunnel@nmnotify.service")
    box.arrives("TLS: S1: what was owed", message)


# ---- ssh ----


def has_manager():
    """The user's, as in nobody.t."""
    uid = box.sh("id -u alice").strip()
    box.write("/var/lib/systemd/linger/alice", "")
    box.sh(f"systemctl start user@{uid}.service", check=False)
    is_up = lambda: box.run("test", "-S", f"/run/user/{uid}/systemd/private", check=False).returncode == 0
    return until(is_up, 20) or skip("ssh", "no user's manager starts in this container")


def ssh():
    if not has_manager():
        return
    box.sh("systemctl disable --now stunnel@nmnotify stunnel@nmnotify-relay nmnotifyd.socket nmnotifyd.service")
    box.configure("user dora none")
    box.type("useradd --system")
    box.sh("mkdir -m 700 .ssh", "alice")
    seen = box.type("ssh-keygen -q")
    box.sh("cp ~alice/.ssh/nmnotify.pub /root/alice.pub")
    ok(box.type("ssh_host_ed25519").split()[1] in seen, "ssh: both ends see the same key of the server's")
    box.type("permitlisten=")
    box.type("Host nmnotify")
    ok(box.listens("127.0.0.1:7982", ()), "ssh: the port is there")
    box.comes("ssh")


THERE = "nmnotify-tunnel@mail.example.org"
CAROLS_SSH = "ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o ExitOnForwardFailure=yes -i /home/carol/.ssh/nmnotify"
NO_PORT = {
    "another's port": "127.0.0.1:7982",
    "all addresses": "0.0.0.0:7983",
    "any port": "127.0.0.1:0",
    "a Unix socket": "/tmp/socket",
}
NO_WAY = {"the server's other ports": f"{MX}:25", "its Unix sockets": "/run/dbus/system_bus_socket"}


def carol_tries(*words):
    return box.sh(f"timeout 20 {CAROLS_SSH} {' '.join(words)}", "carol", check=False, apart=IN_LAPTOP)


def ssh_wrong():
    """Another's key: one port of its own, and nothing else."""
    box.sh("mkdir -m 700 .ssh; ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/nmnotify", "carol")
    box.sh("install -o carol -m 600 ~alice/.ssh/known_hosts ~carol/.ssh/; cp ~carol/.ssh/nmnotify.pub /root/carol.pub")
    box.sh(commands(box.recipe("permitlisten="), "mail#")[0].replace("alice", "carol").replace("7982", "7983"))
    box.sh("systemctl --user stop nmnotify-tunnel.service", "alice", apart=IN_LAPTOP)
    until(lambda: not box.run("ss", "-Hltn", "src = 127.0.0.1:7982").stdout, 60)
    for name, port in NO_PORT.items():
        said = carol_tries(f"-N -R {port}:127.0.0.1:7979", THERE)
        ok("remote port forwarding failed" in said, f"ssh: a key cannot have {name}") or diag(said)
    for name, place in NO_WAY.items():
        said = carol_tries(f"-W {place}", THERE)
        ok("stdio forwarding failed" in said, f"ssh: nor reach {name}") or diag(said)
    said = carol_tries(THERE, "echo is run")
    ok("is run" not in said and "denied" not in said, "ssh: nor run anything") or diag(said)
    apart = "-p User=carol -p NetworkNamespacePath=/run/netns/laptop"
    box.sh(f"systemd-run --quiet --unit=carol {apart} {CAROLS_SSH} -N -R 127.0.0.1:7983:127.0.0.1:7979 {THERE}")
    ok(box.listens("127.0.0.1:7983", ()), "ssh: its own port it has")
    box.sh("systemctl stop carol.service")
    box.sh("systemctl --user start nmnotify-tunnel.service", "alice", apart=IN_LAPTOP)
    ok(box.listens("127.0.0.1:7982", ()), "ssh: alice's is back")


SOONER = """
sed -i 's/ServerAliveInterval .*/ServerAliveInterval 2/; s/ConnectTimeout .*/ConnectTimeout 5/' ~/.ssh/config
sed -i 's/RestartSec=.*/RestartSec=1/' ~/.config/systemd/user/*.service
systemctl --user daemon-reload
systemctl --user restart nmnotify-tunnel.service
"""


def ssh_broken():
    """The link goes down. Both ends see it sooner than the page has it, so that the test need not wait."""
    box.sh("sed -i 's/ClientAliveInterval .*/ClientAliveInterval 2/' /etc/ssh/sshd_config.d/nmnotify.conf; systemctl reload ssh")
    box.sh(SOONER, "alice", apart=IN_LAPTOP)
    box.listens("127.0.0.1:7982", ())
    box.comes("ssh, once more")
    after = time.time()
    box.sh("ip link set mx down")
    message = box.send()[0]
    ok(box.told("failed", after), "ssh: S1: what sshd has taken, and cannot pass on, is not done")
    gone = lambda: not box.run("ss", "-Hltn", "src = 127.0.0.1:7982").stdout
    ok(until(gone, 60), "ssh: the server lets go of the port")
    # A laptop that comes back from elsewhere.
    box.sh(f"ip -n laptop address flush dev lap scope global; ip -n laptop address add {LAPTOP[1]}/24 dev lap")
    box.sh("ip link set mx up")
    ok(box.listens("127.0.0.1:7982", ()), "ssh: the tunnel comes back")
    box.arrives("ssh: S1: what was owed", message)
    done = box.told("done", after)
    equal({r["NMNOTIFY_TO"] for r in done}, {"127.0.0.1:7982"}, "ssh: through the tunnel")


mailhost.main(box, tls, tls_wrong, tls_broken, ssh, ssh_wrong, ssh_broken, releases=("trixie",))
