#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyctl check under a real systemd, of Debian 12 and 13: what only the machine knows. Each finding is
provoked, and gone when its remedy has been done."""

import contextlib
import json
import re
import sys

sys.dont_write_bytecode = True
import container
import nmtest
from nmtest import diag, equal, ok, skip, until

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
WORDS = {OK: "OK", WARNING: "WARNING", CRITICAL: "CRITICAL", UNKNOWN: "UNKNOWN"}
RELEASES = ("bookworm", "trixie")
RELEASE = sys.argv[1] if sys.argv[1:] and sys.argv[1] in RELEASES else None
SOCKETS = ("nmnotify.socket", "nmnotifyd.socket", "nmnotify-relay.socket", "nmnotify-relay-biff.socket")
SOCKETS += ("nmnotify-relay-status.socket",)
CONFIG = "from any\naction /bin/true\n"
RELAY_CONFIG = "user alice 127.0.0.1\n"

box = container.Container(RELEASE)


def check(*enter):
    """The status, and {line: its word}, with what is fine."""
    result = box.run(*enter, "/usr/local/bin/nmnotifyctl", "check", "--verbose", check=False)
    first, *lines = result.stdout.splitlines()
    if result.stderr or not first.startswith(f"{WORDS[result.returncode]}: "):
        raise RuntimeError(f"{result.returncode}: {first}: {result.stderr}")
    return result.returncode, lines


def is_said(name, status, pattern):
    """One line says it, and nothing is worse."""
    word = WORDS[status].lower()
    got, lines = check()
    found = [line for line in lines if re.match(f"{word}: {pattern}", line)]
    return ok(got == status and len(found) == 1, f"check: {name}") or diag("\n".join([f"status {got}", *lines]))


def is_fine(name, *patterns):
    got, lines = check()
    good = got == OK and all(any(re.match(f"ok: {pattern}", line) for line in lines) for pattern in patterns)
    return ok(good, f"check: {name}") or diag("\n".join([f"status {got}", *lines]))


def systemctl(*words, **how):
    return box.run("systemctl", "--quiet", *words, **how)


@contextlib.contextmanager
def drop_in(unit, text):
    path = f"/etc/systemd/system/{unit}.d/test.conf"
    box.write(path, text)
    systemctl("daemon-reload")
    try:
        yield
    finally:
        (box.root / path.lstrip("/")).unlink()
        systemctl("daemon-reload")


@contextlib.contextmanager
def process(*words, has):
    """A program in there, once it has the port. Input that says nothing keeps it there."""
    box.run("systemd-run", "--quiet", "--unit=test-process", "sh", "-c", f"sleep infinity | {' '.join(words)}")
    try:
        if not until(lambda: has in box.output("ss", "-Hlntu")):
            raise RuntimeError(f"{words}: does not listen")
        yield
    finally:
        systemctl("stop", "test-process.service")


def begin(*enabled):
    """Nothing is in use but what is named."""
    systemctl("disable", "--now", *SOCKETS, "nmnotify-relay.service", "nmnotifyd.service", check=False)
    systemctl("reset-failed", check=False)
    box.write("/etc/nmnotify.conf", CONFIG)
    box.write("/etc/nmnotify-relay.conf", RELAY_CONFIG)
    if enabled:
        systemctl("enable", "--now", *enabled)


# ---- The listener ----


def listening():
    begin()
    is_said("nobody listens", CRITICAL, "port 79: nobody listens: run `systemctl enable --now nmnotifyd.socket`$")
    for socket in SOCKETS[:2]:
        begin(socket)
        is_fine(f"{socket} listens", f"port 79: {socket} listens$", f"{socket} is enabled, and active$")
    with drop_in("nmnotifyd.socket", "[Socket]\nListenStream=\nListenStream=7979\n"):
        systemctl("restart", "nmnotifyd.socket")
        is_fine("another port", "nmnotifyd.socket listens, but not on port 79$")
    begin()
    box.write("/etc/nmnotify.conf", f"user nobody\n{CONFIG}")
    with process("socat", "TCP-LISTEN:79", "-", has=":79 "):
        is_fine("a super-server listens", r"port 79: socat listens, process \d+$")
    with process("nc", "-l", "79", has=":79 "):
        is_said("another program listens", CRITICAL, r"port 79: nc has it, process \d+: stop it")
        box.write("/etc/nmnotify.conf", CONFIG)
        systemctl("enable", "nmnotifyd.socket")
        systemctl("start", "nmnotifyd.socket", check=False)
        got, lines = check()
        for pattern in (r"port 79: nc has it, process \d+: stop it", "nmnotifyd.socket has failed .*: run `systemctl restart nmnotifyd.socket`$"):
            ok(any(re.match(f"critical: {pattern}", line) for line in lines), f"check: the port is taken: {pattern}") or diag("\n".join(lines))
        equal(got, CRITICAL, "check: the port is taken: the status")


def at_odds():
    begin("nmnotifyd.socket")
    systemctl("enable", "nmnotify.socket")
    got, lines = check()
    ok(any(line.startswith("warning: nmnotify.socket and nmnotifyd.socket are both enabled") for line in lines), "check: both pairs are enabled") or diag("\n".join(lines))
    begin()
    systemctl("start", "nmnotifyd.socket")
    is_said("not there at boot", WARNING, "nmnotifyd.socket is not there after the next boot: run `systemctl enable nmnotifyd.socket`$")
    begin("nmnotifyd.socket")
    systemctl("stop", "nmnotifyd.socket")
    is_said("stopped", CRITICAL, "nmnotifyd.socket is enabled, and not active: run `systemctl restart nmnotifyd.socket`$")
    begin("nmnotifyd.socket")
    is_fine("mended")
    box.write("/etc/systemd/system/nmnotifyd.service.d/test.conf", "[Service]\nUMask=0027\n")
    is_said("not reloaded", WARNING, "nmnotifyd.service: its files were changed after systemd had read them: run `systemctl daemon-reload`")
    (box.root / "etc/systemd/system/nmnotifyd.service.d/test.conf").unlink()
    systemctl("daemon-reload")
    begin()
    box.write("/etc/systemd/system/finger.socket", "[Socket]\nAccept=yes\nListenStream=79\n[Install]\nWantedBy=sockets.target\n")
    box.write("/etc/systemd/system/finger@.service", "[Service]\nExecStart=/bin/true\nStandardInput=socket\n")
    systemctl("daemon-reload")
    systemctl("enable", "--now", "finger.socket")
    is_said("a finger daemon", CRITICAL, "port 79: finger.socket has it: run `systemctl disable --now` for it")
    is_said_too("warning: finger.socket is enabled, too, and wants the same port: run `systemctl disable --now finger.socket`", "a finger daemon is enabled")
    systemctl("disable", "--now", "finger.socket")


def is_said_too(line, name):
    _, lines = check()
    ok(line in lines, f"check: {name}") or diag("\n".join(lines))


def view(socket, unit, is_whole):
    begin(socket)
    where = re.escape(f"{unit}: /etc/nmnotify.conf")
    remedy = re.escape(f": mend it, or what the unit may see: `systemctl edit {unit}`") + "$"
    is_fine(f"{unit}: works", f"{re.escape(unit)}: its user can read the configuration, and do what it says$")
    box.write("/etc/nmnotify.conf", CONFIG.replace("true", "no-such"))
    is_said(f"{unit}: no action", CRITICAL, f"{where}:2: action: /bin/no-such: No such file or directory{remedy}")
    box.write("/etc/nmnotify.conf", CONFIG.replace("/bin/true", "/home/alice/fetch"))
    is_said(f"{unit}: not that user's action", CRITICAL, rf"{where}:2: action: /home/alice/fetch: Permission denied \(at /home/alice\){remedy}")
    box.write("/etc/nmnotify.conf", "user alice\n" + CONFIG)
    is_said(f"{unit}: another user than the account's", CRITICAL, rf"{re.escape(unit)} runs as nmnotify, and account default is to run as alice: its action is not started: write \[Service\] and User=alice with `systemctl edit")
    box.write("/etc/nmnotify.conf", CONFIG.replace("/bin/true", "/home/alice/fetch"))
    # The state is another user's then.
    box.run("rm", "-rf", "/run/nmnotify", "/var/lib/nmnotify")
    with drop_in(unit, "[Service]\nUser=alice\n"):
        is_fine(f"{unit}: that user's action", f"{re.escape(unit)}: its user can read")
    with drop_in(unit, "[Service]\nUser=alice\nProtectHome=yes\n"):
        is_said(f"{unit}: ProtectHome=", CRITICAL, f"{where}:2: action: /home/alice/fetch: .*{remedy}")
    if not is_whole:
        box.run("rm", "-rf", "/run/nmnotify", "/var/lib/nmnotify")
        return
    for setting in ("TemporaryFileSystem=/home", "InaccessiblePaths=/home/alice", "NoExecPaths=/home"):
        with drop_in(unit, f"[Service]\nUser=alice\n{setting}\n"):
            is_said(f"{unit}: {setting}", CRITICAL, f"{where}:2: action: /home/alice/fetch: .*{remedy}")
    with drop_in(unit, "[Service]\nUser=alice\nProtectHome=tmpfs\nBindPaths=/home/alice\n"):
        is_fine(f"{unit}: BindPaths=", f"{re.escape(unit)}: its user can read")
    box.run("rm", "-rf", "/run/nmnotify", "/var/lib/nmnotify")
    box.write("/etc/nmnotify.conf", CONFIG)
    (box.root / "etc/nmnotify.conf").chmod(0o600)
    is_said(f"{unit}: cannot read its configuration", CRITICAL, f"{where}: .*Permission denied{remedy}")
    box.write("/etc/nmnotify.conf", "state /no/where\n" + CONFIG)
    is_said(f"{unit}: cannot make its state", CRITICAL, f"{where}:1: state: /no/where cannot be made: .*{remedy}")
    box.write("/etc/nmnotify.conf", CONFIG + "timeout 5ms\n")
    is_said(f"{unit}: advice", WARNING, f"{where}:2: account default: the action is ended after 5ms.*{remedy}")
    box.write("/etc/nmnotify.conf", CONFIG)
    with drop_in(unit, "[Service]\nUser=nobody-is-called-so\n"):
        is_said(f"{unit}: no such user", CRITICAL, rf"{re.escape(unit)}: its User= does not exist.*: mend it with `systemctl edit {re.escape(unit)}`$")
    with drop_in(unit, "[Service]\nBindPaths=/no/where\n"):
        is_said(f"{unit}: no such path", CRITICAL, rf"{re.escape(unit)}: a path in its settings is not there")
    is_fine(f"{unit}: mended")


def views():
    """As the unit's user, in the unit's view of the files."""
    box.run("useradd", "--create-home", "--shell", "/bin/sh", "alice", check=False)
    box.write("/home/alice/fetch", "#!/bin/sh\nexit 0\n", 0o700)
    box.run("chown", "-R", "alice:", "/home/alice")
    box.run("chmod", "700", "/home/alice")
    for socket, unit in (("nmnotify.socket", "nmnotify@.service"), ("nmnotifyd.socket", "nmnotifyd.service")):
        view(socket, unit, is_whole=unit == "nmnotifyd.service")
    equal(box.instances("nmnotify-check-*"), [], "check: no unit is left")
    equal(box.failed_units(), [], "check: no unit has failed")
    got, lines = check("runuser", "-u", "nobody", "--")
    equal(got, UNKNOWN, "check: not as root: the status")
    ok("unknown: nmnotifyd.service: only root can see what its user sees: run this as root" in lines, "check: not as root") or diag("\n".join(lines))


def fetchmail():
    """Its daemon mode: what the user's files say, and what runs."""
    begin("nmnotifyd.socket")
    box.run("rm", "-rf", "/run/nmnotify", "/var/lib/nmnotify")
    home = box.root / "home/alice"
    action = lambda words, more="": box.write("/etc/nmnotify.conf", f"from any\naction /usr/bin/fetchmail{words}\n{more}")
    with drop_in("nmnotifyd.service", "[Service]\nUser=alice\n"):
        action("")
        fine = "account default: fetchmail's daemon mode is not in the way$"
        is_fine("fetchmail: no configuration", fine)
        box.write("/home/alice/.fetchmailrc", "set daemon 300\n", 0o600)
        is_said("fetchmail: set daemon", WARNING, "account default: fetchmail's own configuration says `set daemon`.*: add `--daemon 0` to the action$")
        action(" --daemon 0")
        is_fine("fetchmail: --daemon 0", fine)
        # A process of alice's by that name, which lives for as long as it is wanted.
        box.run("cp", "/bin/sleep", "/usr/local/bin/fetchmail")
        box.run("systemd-run", "--quiet", "--unit=test-fetchmail", "--uid=alice", "/usr/local/bin/fetchmail", "infinity")
        pid = box.show("test-fetchmail.service", "MainPID")
        until(lambda: box.read(f"/proc/{pid}/comm") == "fetchmail\n")
        box.write("/home/alice/.fetchmail.pid", f"{pid} 300\n")
        is_said("fetchmail: a daemon, and options", WARNING, f"account default: fetchmail runs as a daemon, process {pid}, and beside it takes no options: end it with `fetchmail --quit`")
        action("")
        is_said("fetchmail: a daemon, isolated", WARNING, f"account default: fetchmail runs as a daemon, process {pid}, which an isolated action cannot wake: write `isolate no`$")
        action("", "isolate no\n")
        is_fine("fetchmail: a daemon, which is woken", fine)
        systemctl("stop", "test-fetchmail.service")
        is_said("fetchmail: its daemon has ended", WARNING, "account default: fetchmail's own configuration says `set daemon`")
    for name in (".fetchmailrc", ".fetchmail.pid"):
        (home / name).unlink()
    box.run("rm", "-rf", "/run/nmnotify", "/var/lib/nmnotify")


def user_namespaces():
    begin("nmnotifyd.socket")
    with drop_in("nmnotifyd.service", "[Service]\nPrivateUsers=yes\n"):
        is_fine("user namespaces", "nmnotifyd.service: PrivateUsers= can be had from this kernel$")
        box.write("/root/none", "0\n")
        box.run("mount", "--bind", "/root/none", "/proc/sys/user/max_user_namespaces")
        is_said("no user namespaces", CRITICAL, "nmnotifyd.service: has PrivateUsers=, and this kernel allows no user namespaces: run `sysctl")
        begin("nmnotify-relay.socket")
        is_said("no user namespaces, the relay", CRITICAL, "nmnotify-relay.service: has PrivateUsers=, and this kernel allows no user namespaces: run `sysctl")
        with drop_in("nmnotify-relay.service", "[Service]\nPrivateUsers=no\n"):
            said = box.run("nmnotifyctl", "check", check=False).stdout
            ok("namespaces" not in said, "no user namespaces, the relay: what mends it") or diag(said)
        box.run("systemctl", "enable", "--quiet", "nmnotify-relay-logs.service")
        is_said("no user namespaces, what reads the journal", CRITICAL, "nmnotify-relay-logs.service: has PrivateUsers=, and this kernel allows no user namespaces: run `sysctl")
        box.run("systemctl", "disable", "--quiet", "nmnotify-relay-logs.service")
        box.run("umount", "/proc/sys/user/max_user_namespaces")


def firewall():
    begin("nmnotifyd.socket")
    chain = "type filter hook input priority 0; policy drop;"
    rules = lambda *more: "table inet test {\n" + f"chain in {{ {chain}\niif lo accept\n" + "\n".join(more) + "\n}\n}\n"
    if box.run("nft", rules(), check=False).returncode != 0:
        skip("check: firewall", "this kernel has no nftables, or not here")
        return
    warning = "firewall: it may keep port 79 out: the chain inet test in drops what no rule accepts.*: let the mail server in"
    is_said("firewall: keeps it out", WARNING, warning)
    for rule, is_named in (("tcp dport 22 accept", False), ("tcp dport 79 accept", True), ("tcp dport { 22, 79 } accept", True),
                           ("tcp dport 70-80 accept", True), ("tcp dport { 22, 80-90 } accept", False)):  # fmt: skip
        box.run("nft", "flush", "ruleset")
        box.run("nft", rules(rule))
        if is_named:
            is_fine(f"firewall: {rule}", "firewall: no chain of nftables keeps all out$")
        else:
            is_said(f"firewall: {rule}", WARNING, warning)
    # As firewalld has it: what nothing has accepted comes to a rule that refuses all.
    for end, is_kept in (("reject", True), ("counter drop", True), ("ip saddr 192.0.2.1 drop", False)):
        box.run("nft", "flush", "ruleset")
        box.run("nft", rules("tcp dport 22 accept", end).replace("policy drop", "policy accept"))
        if is_kept:
            is_said(f"firewall: {end}", WARNING, warning)
        else:
            is_fine(f"firewall: {end}", "firewall: no chain of nftables keeps all out$")
    box.run("nft", "flush", "ruleset")
    box.write("/usr/local/sbin/nft", "#!/bin/sh\nexit 1\n", 0o755)
    is_said("firewall: nft fails", UNKNOWN, "firewall: nft cannot list its rules: ")
    (box.root / "usr/local/sbin/nft").unlink()
    is_fine("firewall: nothing", "firewall: no chain of nftables keeps all out$")


def older_firewall():
    """Rules of iptables-legacy, of which nft says nothing. The kernel's tables, and the program, are said to be so."""
    begin("nmnotifyd.socket")
    box.run("mkdir", "-p", "/root/net")
    box.write("/root/net/ip_tables_names", "nat\nfilter\n")
    box.write("/root/see", "#!/bin/sh\ncp /proc/net/tcp* /proc/net/udp* /root/net\nmount --bind /root/net /proc/$$/net && exec /usr/local/bin/nmnotifyctl check --verbose\n", 0o755)
    iptables = box.root / "usr/local/sbin/iptables-legacy"
    warning = r"warning: firewall: it may keep port 79 out: INPUT of iptables-legacy drops what no rule accepts.*: let the mail server in"
    for listed, wanted in (
        ("-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT", warning),
        ("-P INPUT ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-port-unreachable", warning),
        ("-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 79 -j ACCEPT", None),
        ("-P INPUT DROP\n-A INPUT -p tcp -m multiport --dports 22,70:90 -j ACCEPT", None),
        ("-P INPUT DROP\n-A INPUT -p tcp -m multiport --dports 22,80:90,790 -j ACCEPT", warning),
        ("-P INPUT ACCEPT\n-A INPUT -s 192.0.2.1/32 -j DROP", None),
    ):
        box.write(iptables.relative_to(box.root), f"#!/bin/sh\ncat <<E\n{listed}\nE\n", 0o755)
        got = box.run("/root/see", check=False)
        found = [line for line in got.stdout.splitlines() if "iptables" in line]
        good = got.returncode == (WARNING if wanted else OK) and bool(found) == bool(wanted) and all(re.match(wanted, line) for line in found)
        ok(good, f"check: older firewall: {listed.splitlines()[-1]}") or diag(f"{got.returncode}\n{got.stdout}{got.stderr}")
    iptables.unlink()
    got = box.run("/root/see", check=False)
    ok("unknown: firewall: the kernel has rules of iptables-legacy, and it does not list them" in got.stdout, "check: older firewall: it cannot be listed") or diag(got.stdout)


REDIRECT = "table inet test { chain in { type nat hook prerouting priority -100; tcp dport 79 redirect to :7979; }\n}"
# What nft says of that, where the kernel has no redirection to show.
MATCH = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 79}}
RULE = {"rule": {"family": "inet", "table": "test", "chain": "in", "handle": 2, "expr": [MATCH, {"redirect": {"port": 7979}}]}}


def redirected():
    begin()
    box.write("/etc/nmnotify.conf", f"user nobody\n{CONFIG}")
    nft = box.root / "usr/local/sbin/nft"
    if box.has_nat():
        box.run("nft", REDIRECT)
    else:
        box.write(nft.relative_to(box.root), f"#!/bin/sh\ncat <<'E'\n{json.dumps({'nftables': [RULE]})}\nE\n", 0o755)
    is_said("redirected to nobody", CRITICAL, "port 79: is redirected to port 7979, where nobody listens: have its user run `systemctl --user enable")
    with process("socat", "TCP-LISTEN:7979", "-", has=":7979 "):
        is_fine("redirected", r"port 79: is redirected to port 7979, where socat listens, process \d+$")
    nft.unlink() if nft.exists() else box.run("nft", "flush", "ruleset")
    is_said("no more redirected", CRITICAL, "port 79: nobody listens: ")


class User:
    """alice, and her own systemd."""

    def __init__(self):
        box.run("sh", "-c", "id -u alice || useradd --create-home alice")
        self.home = box.output("sh", "-c", "echo ~alice").strip()
        box.run("install", "-d", "-o", "alice", f"{self.home}/.config")
        box.write(f"{self.home}/.config/nmnotify.conf", CONFIG)

    def systemctl(self, *words):
        box.run("systemctl", "--quiet", "--user", *words, user="alice", check=False)

    def check(self):
        words = ("/usr/local/bin/nmnotifyctl", "-f", f"{self.home}/.config/nmnotify.conf", "check", "--verbose")
        result = box.run(*words, user="alice", check=False)
        return result.returncode, result.stdout.splitlines()[1:]

    def is_said(self, name, status, *patterns):
        got, lines = self.check()
        good = got == status and all(any(re.match(pattern, line) for line in lines) for pattern in patterns)
        return ok(good, f"check: the user's own units: {name}") or diag("\n".join([f"status {got}", *lines]))


def user_units():
    begin()
    alice = User()
    if not box.lingers("alice"):
        alice.is_said("none", CRITICAL, "unknown: systemd's units cannot be looked at: the user's own one does not run: run `loginctl")
        skip("check: the user's own units", "loginctl enable-linger does not work in this container")
        return
    alice.systemctl("daemon-reload")
    alice.systemctl("disable", "--now", "nmnotify.socket", "nmnotifyd.socket")
    alice.is_said("nobody listens", CRITICAL, "critical: port 7979: nobody listens: run `systemctl --user enable --now nmnotifyd.socket`$")
    alice.systemctl("start", "nmnotifyd.socket")
    alice.is_said("not there at boot", WARNING, "warning: nmnotifyd.socket is not there after the next boot: run `systemctl --user enable nmnotifyd.socket`$")
    alice.systemctl("enable", "nmnotifyd.socket")
    alice.is_said("all is well", OK, "ok: port 7979: nmnotifyd.socket listens$", "ok: nmnotifyd.socket is enabled, and active$")
    box.run("rm", "/var/lib/systemd/linger/alice")
    alice.is_said("no lingering", WARNING, "warning: user alice does not linger: .*: run `loginctl enable-linger`$")
    box.run("touch", "/var/lib/systemd/linger/alice")
    alice.systemctl("disable", "--now", "nmnotifyd.socket")


# ---- The relay ----


def doveconf(says):
    """What the mail system has in its configuration."""
    box.write("/usr/local/sbin/doveconf", f"#!/bin/sh\necho '{says}'\n", 0o755)


def relay():
    doveconf("lua_file = /etc/dovecot/nmnotify.lua")
    begin("nmnotify-relay.socket")
    is_fine("relay", "relay: it answers$", "nmnotify-relay.service: its user can read", "nmnotify-relay.socket is enabled, and active$")
    got, lines = check()
    ok(not any("79" in line for line in lines), "check: relay: nothing of a listener that is not in use") or diag("\n".join(lines))
    systemctl("disable", "nmnotify-relay.service")
    is_said("relay: not at boot", WARNING, "nmnotify-relay.service is not started at boot.*: run `systemctl enable nmnotify-relay.service`$")
    begin("nmnotify-relay.socket")
    box.write("/etc/nmnotify-relay.conf", "user alice\n")
    got, lines = check()
    ok(got == CRITICAL and any(line.startswith("critical: nmnotify-relay.service: /etc/nmnotify-relay.conf:1: ") for line in lines), "check: relay: its configuration") or diag("\n".join(lines))
    begin("nmnotify-relay.socket")
    systemctl("stop", "nmnotify-relay-status.socket")
    is_said("relay: does not answer", CRITICAL, "relay: no relay answers here")
    begin("nmnotify-relay.socket")
    got, lines = check("runuser", "-u", "nobody", "--")
    equal(got, UNKNOWN, "check: relay: not as root: the status")
    ok(any(line.startswith("unknown: relay: only root may ask the relay") for line in lines), "check: relay: not as root") or diag("\n".join(lines))


def at_rest():
    """Who looks neither starts the relay nor keeps it from ending."""
    status = lambda *words: box.output("/usr/local/bin/nmnotifyctl", "status", *words)
    document = lambda: json.loads(status("--json"))["relay"]
    pid = lambda: box.show("nmnotify-relay.service", "MainPID")
    begin("nmnotify-relay.socket")
    box.write("/etc/nmnotify-relay.conf", f"{RELAY_CONFIG}idle 3s\n")
    systemctl("restart", "nmnotify-relay.service")
    ok("since" in document() and "\nnmnotify_relay_running 1\n" in status("--metrics"), "status: the relay runs")
    ok(until(lambda: document() == {"at_rest": True}, 60), "status: who asks does not keep it from ending") or diag(document())
    for words, wanted in (((), "\nRelay: at rest; "), (("--metrics",), "\nnmnotify_relay_running 0\n"),
                          (("--metrics",), "\nnmnotify_relay_up 1\n"), (("--openmetrics",), "\nnmnotify_relay_told_total 0\n")):  # fmt: skip
        ok(wanted in status(*words), f"status: at rest: {wanted.strip()}")
    # It may still be on its way out.
    ok(until(lambda: (pid(), box.show("nmnotify-relay.service", "ActiveState")) == ("0", "inactive")), "status: nor starts it")
    box.run("/usr/local/bin/nmnotifyctl", "explain", "user", "alice")
    ok(pid() != "0", "explain: starts it, and is answered")
    begin("nmnotify-relay.socket")


def biff():
    doveconf("lua_file = /etc/dovecot/nmnotify.lua")
    begin("nmnotify-relay.socket")
    systemctl("enable", "nmnotify-relay-biff.socket")
    is_said("biff: not started", CRITICAL, "nmnotify-relay-biff.socket is enabled, and not active: run `systemctl restart nmnotify-relay.socket`$")
    systemctl("restart", "nmnotify-relay.socket")
    is_fine("biff", "biff's port: nmnotify-relay-biff.socket has it$")
    systemctl("stop", "nmnotify-relay-biff.socket", "nmnotify-relay.service")  # which has the port, once it runs
    with process("nc", "-u", "-l", "127.0.0.1", "512", has=":512 "):
        got, lines = check()
        found = [line for line in lines if re.match(r"critical: biff's port, UDP 512: nc has it, process \d+, not nmnotify-relay-biff.socket: ", line)]
        ok(got == CRITICAL and found, "check: biff: another program has it") or diag("\n".join(lines))
    box.write("/etc/systemd/system/comsat.socket", "[Socket]\nListenDatagram=512\n")
    box.write("/etc/systemd/system/comsat.service", "[Service]\nExecStart=/bin/true\n")
    systemctl("daemon-reload")
    systemctl("start", "comsat.socket")
    _, lines = check()
    ok(any(line.startswith("critical: biff's port, UDP 512: comsat.socket has it, not nmnotify-relay-biff.socket: ") for line in lines), "check: biff: comsat has it") or diag("\n".join(lines))
    systemctl("stop", "comsat.socket")


def hooks():
    """Each mail system is a script that says what the real one would."""
    program = lambda name: box.root / "usr/local/sbin" / name
    begin("nmnotify-relay.socket")
    doveconf("protocols = imap")
    is_said("hook: none", WARNING, r"mail system: the configuration of Dovecot is not seen to tell of mail, and no event has come.*: do what nmnotify-mail\(7\) says of it$")
    box.run("/usr/local/bin/nmnotify-send", "-e", "-u", "alice")
    until(lambda: check()[0] == OK)
    is_fine("hook: none, but events come", "mail system: the relay is told of mail$")
    for path in ("/etc/dovecot/nmnotify.lua", "/etc/dovecot/nmnotify.sieve"):
        doveconf(f"x = {path}")
        is_fine(f"hook: Dovecot: {path}", "Dovecot tells of mail$")
    doveconf("")
    postconf = '#!/bin/sh\ncase "$*" in\n"-h biff") echo {biff} ;;\n"-h mailbox_command") echo {command} ;;\n-M) echo {services} ;;\n"") echo biff = {biff}; echo mailbox_command = {command} ;;\nesac\n'
    exim = "#!/bin/sh\necho {says}\n"
    biff_warning = "{} tells biff of mail, and nmnotify-relay-biff.socket is not enabled: run `systemctl enable nmnotify-relay-biff.socket`"
    for name, where, text, wanted in (
        ("biff=yes", "postconf", postconf.format(biff="yes", command="", services=""), biff_warning.format("Postfix")),
        ("procmail", "postconf", postconf.format(biff="no", command="procmail", services=""), biff_warning.format("Postfix")),
        ("its command", "postconf", postconf.format(biff="no", command="'x && /usr/local/bin/nmnotify-send -u'", services=""), None),
        ("its pipe", "postconf", postconf.format(biff="no", command="", services="nmnotify-send"), None),
        ("notify_comsat", "exim4", exim.format(says="notify_comsat"), biff_warning.format("Exim")),
        ("a router", "exim", exim.format(says="command = nmnotify-send"), None),
    ):  # fmt: skip
        box.write(f"/usr/local/sbin/{where}", text, 0o755)
        system = {"postconf": "Postfix"}.get(where, "Exim")
        if wanted:
            is_said(f"hook: {system}: {name}", WARNING, wanted)
            systemctl("enable", "nmnotify-relay-biff.socket")
            systemctl("restart", "nmnotify-relay.socket")
        is_fine(f"hook: {system}: {name}", f"{system} tells of mail$")
        systemctl("disable", "--now", "nmnotify-relay-biff.socket")
        program(where).unlink()
    begin("nmnotify-relay.socket")
    box.write("/usr/local/sbin/postconf", postconf.format(biff="yes", command="/usr/bin/deliver", services=""), 0o755)
    is_said("hook: biff=yes, and another program delivers", WARNING, "mail system: the configuration of Postfix, Dovecot is not seen to tell")
    program("postconf").unlink()
    program("doveconf").unlink()


def failed():
    """Sockets of the relay that could not be made."""
    doveconf("lua_file = /etc/dovecot/nmnotify.lua")
    for socket, name, others in (("nmnotify-relay.socket", "socket", "inactive"), ("nmnotify-relay-status.socket", "status", "active")):
        begin("nmnotify-relay.socket")
        systemctl("stop", "nmnotify-relay.service", "nmnotify-relay.socket", "nmnotify-relay-status.socket", check=False)
        box.run("mkdir", "-p", f"/run/nmnotify-relay/{name}/x")
        systemctl("start", "nmnotify-relay.socket", check=False)
        # Without the first, what comes to the others would have systemd try without an end to start the service.
        found = box.show("nmnotify-relay-status.socket" if name == "socket" else "nmnotify-relay.socket", "ActiveState")
        equal(found, others, f"{socket} has failed: the other one")
        _, lines = check()
        wanted = f"critical: {socket} has failed (`systemctl status` says why): run `systemctl restart nmnotify-relay.socket`"
        ok(wanted in lines, f"check: {socket} has failed") or diag("\n".join(lines))
        box.run("rm", "-r", f"/run/nmnotify-relay/{name}")
        systemctl("restart", "nmnotify-relay.socket")
        is_fine(f"{socket} is mended", f"{re.escape(socket)} is enabled, and active$")
    (box.root / "usr/local/sbin/doveconf").unlink()


def not_to_be_tried():
    """Units that cannot be looked at, or are another program's."""
    begin("nmnotifyd.socket")
    systemctl("mask", "--runtime", "nmnotifyd.service")
    is_said("a unit that is masked", CRITICAL, "nmnotifyd.service is masked: run `systemctl unmask nmnotifyd.service`$")
    systemctl("unmask", "--runtime", "nmnotifyd.service")
    if box.release != RELEASES[0]:
        return  # it takes its time
    with drop_in("nmnotifyd.service", "[Service]\nExecStart=\nExecStart=/bin/sh -c 'exec sleep infinity'\n"):
        is_said("a program that does not end", UNKNOWN, "nmnotifyd.service: could not be tried: it does not end: .*`systemctl cat nmnotifyd.service`")
    equal(box.instances("nmnotify-check-*"), [], "check: a program that does not end: it is ended")
    is_fine("nmnotifyd.service: mended")


def no_bus():
    """systemd is there, and nobody to ask it through."""
    begin("nmnotifyd.socket")
    box.write("/etc/nmnotify.conf", f"user nobody\n{CONFIG}")
    # systemctl(1) then asks systemd itself.
    systemctl("mask", "--runtime", "dbus.socket", "dbus.service")
    systemctl("stop", "dbus.socket", "dbus.service")
    is_said("no bus", UNKNOWN, "systemd's units cannot be looked at: no message bus answers: run `systemctl start dbus.socket`$")
    got, lines = check()
    ok(any(re.match("ok: port 79: systemd listens", line) for line in lines), "check: no bus: who listens is not wrong") or diag("\n".join(lines))
    systemctl("unmask", "--runtime", "dbus.socket", "dbus.service")
    systemctl("start", "dbus.socket")
    box.write("/etc/nmnotify.conf", CONFIG)
    is_fine("the bus is back", "port 79: nmnotifyd.socket listens$")


def nothing():
    begin()
    (box.root / "etc/nmnotify.conf").unlink()
    is_said("nothing is set up", UNKNOWN, "neither end is in use here: there is no /etc/nmnotify.conf: ")


container.require(*RELEASES)
if not RELEASE:
    container.run_parts(sys.argv[0], RELEASES)
del sys.argv[1]
with box:
    nmtest.run(listening, at_odds, views, fetchmail, user_namespaces, firewall, older_firewall, redirected, user_units, relay, at_rest, biff, hooks, failed, not_to_be_tried, no_bus, nothing)
