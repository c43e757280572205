#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The relay under a real systemd, in containers of Debian 12 and 13: what is handed over there is told to
nmnotifyd in the same one, whatever happens to the service."""

import os
import re
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import container
import documents
import nmtest
from nmtest import BUILD, LINE, PATIENCE, diag, equal, ok, skip, until
from redis_server import REDIS, Redis
from relay import ask

RELEASES = ("bookworm", "trixie")
# This process's; without, it is the one that starts the others.
RELEASE = "".join(sys.argv[1:2]) or None
RELAY, SEND, LOGIN = "nmnotify-relay.service", "/usr/local/bin/nmnotify-send", "/usr/local/sbin/nmnotify-login"
STATUS = "nmnotify-relay-status.socket"
PROXY, PROXIED = "nmnotify-relay-proxy.service", "/run/nmnotify-relay/proxied"
OUT = "/var/lib/nmnotify"
LISTENER = f"from any\nwrite default {OUT}\ninterval 100ms\nlimit 1000/s burst 1000\naction /usr/local/bin/recorder {OUT}/mail\n"
# Of carol's machine nobody answers yet; cyril's is known from his logins.
CONFIG = """
idle 2s
interval 200ms
settle 500ms
never 192.0.2.0/24
user alice 127.0.0.1
user carol 127.0.0.1:78
user nina home.test
user cyril last
"""
# systemd-analyze security, in tenths.
EXPOSURE_MOST, EXPOSURE_MOST_PROXY = 10, 4
DROP_IN = "/etc/systemd/system/nmnotify-relay.service.d/test.conf"

box = container.Container(RELEASE)
docs = documents.Documents()


# ---- Doing and looking ----


def runs():
    """How many lines nmnotifyd has acted on."""
    path = box.root / OUT.lstrip("/") / "mail/runs"
    return path.read_text().count("start ") if path.exists() else 0


def send(*words, user=None, early=False):
    box.run(SEND, "-e", *(["-n"] if early else []), *(w for name in words for w in ("-u", name)), user=user)


def is_told(before, name, seconds=PATIENCE):
    return ok(until(lambda: runs() > before, seconds), name) or show_units()


def show_units():
    """What an administrator would look at."""
    diag(box.output("systemctl", "status", "--no-pager", RELAY, "nmnotify-relay.socket", "nmnotifyd.service"))
    diag(box.output("journalctl", "-q", "--no-pager", "-b", "-n", "30", "--grep", "nmnotify|cycle"))


def typed(name, block, prompt=None, user=None):
    """What a page or a unit says to type, all of it; a comment may stand behind a command. A user has a
    session, which loginctl(1) asks for."""
    lines = [re.split(r"   +", command)[0] for command in documents.commands(block, prompt)]
    session = ["systemd-run", "--quiet", "--wait", "--pipe", f"--uid={user}", "-p", "PAMName=login"] if user else []
    result = box.run(*session, "bash", "-ec", "\n".join(lines), check=False)
    ok(result.returncode == 0, f"{name}: typed: {'; '.join(lines)}") or diag(result.stderr)


def datagram(address, data, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.sendto(data, address)


def unix(path, data):
    datagram(f"/proc/{box.leader}/root{path}", data, socket.AF_UNIX)


def main_pid(unit=RELAY):
    """By its number here."""
    inside = box.show(unit, "MainPID")
    for pid in box.pids(unit):
        status = Path(f"/proc/{pid}/status").read_text()
        if re.search(rf"NSpid:.*\b{inside}$", status, re.MULTILINE):
            return pid
    return None


def lines(what, after):
    box.run("journalctl", "--sync", check=False)
    return [r for r in box.journal("SYSLOG_IDENTIFIER=nmnotify-relay", after=after) if what in str(r.get("MESSAGE"))]


class Carol:
    """Her machine, at last."""

    def __enter__(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", 78))
        self.socket.listen()
        self.socket.settimeout(60)  # as long as two tries may be apart by then
        return self

    def hears(self, name):
        try:
            with self.socket.accept()[0] as connection:
                connection.settimeout(10)
                equal(connection.recv(100), LINE, name)
        except OSError as error:
            ok(False, name) or diag(error)
            show_units()

    def __exit__(self, *_):
        self.socket.close()


def owe_carol():
    after = time.time()
    send("carol")
    until(lambda: lines("told=failed user=carol", after))


def configure(text):
    box.write("/etc/nmnotify-relay.conf", text)


def fresh():
    """Nothing is owed; the socket listens, and the service is not there yet."""
    box.run("systemctl", "stop", "nmnotify-relay.socket", RELAY)
    box.run("systemctl", "reset-failed")
    box.run("sh", "-c", "rm -rf /var/lib/nmnotify-relay/*")
    configure(CONFIG)
    box.run("systemctl", "start", "nmnotify-relay.socket")


def is_well(name):
    equal(box.failed_units(), [], f"{name}: no failed unit is left")


# ---- The service ----


def activated():
    configure(CONFIG)
    typed("set-up", docs.take("man/nmnotify-relay.8", "systemctl enable --now nmnotify-relay.socket"), "#")
    enabled = [box.output("systemctl", "is-enabled", unit).strip() for unit in ("nmnotify-relay.socket", STATUS, RELAY)]
    equal(enabled, ["enabled"] * 3, "the socket enables the service, for what is owed at boot, and that for who asks")
    ok(not box.is_active(RELAY), "it is not there before it is needed")
    before = runs()
    send("alice")
    is_told(before, "root announces alice's mail: nmnotifyd is told")
    before = runs()
    send("alice", user="alice")
    is_told(before, "alice announces her own mail: nmnotifyd is told")
    before, after = runs(), time.time()
    send("carol", user="alice")
    ok(until(lambda: lines("relay=refused", after)), "alice announces carol's: refused, and said so")
    equal(box.show(RELAY, "User"), "nmnotify-relay", "it has a user of its own")
    is_well("activated")


def confined():
    fresh()
    before = runs()
    send("nina")
    is_told(before, "a name is looked up, in this unit and under the relay's filter")
    for pid in box.pids(RELAY):
        status = Path(f"/proc/{pid}/status").read_text()
        name = re.search(r"Name:\s*(\S+)", status)[1]
        facts = dict(re.findall(r"^(NoNewPrivs|Seccomp|CapEff|CapBnd):\s*(\S+)$", status, re.MULTILINE))
        wanted = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapBnd": "0" * 16}
        equal(facts, wanted, f"{name}: no privileges, and a filter")
    is_exposed(docs.take("man/nmnotify-relay.8", "systemd-analyze security"), EXPOSURE_MOST, "as it is")


def is_exposed(command, most, name):
    said = box.output(*command.split(), "--no-pager")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    name = f"systemd-analyze security, {name}: at most {most / 10}"
    ok(found and float(found[1]) * 10 <= most, name) or diag("\n".join(line for line in said.splitlines() if line[:1] in "✗→"))
    diag(f"{RELEASE}: {found and found[1]}")


def drop_in(text):
    """None: it goes."""
    if text is None:
        (box.root / DROP_IN.lstrip("/")).unlink()
    else:
        box.write(DROP_IN, text)
    box.run("systemctl", "daemon-reload")


def taken_over():
    """What the program cannot keep from itself, the unit does: relay_confined.t sees that there it goes through."""
    fresh()
    program = box.root / "usr/local/sbin/nmnotify-relay"
    outside = "/var/lib/outside"
    box.run("install", "-d", "-m", "777", outside)
    box.write(f"{outside}/file", "secret\n")
    has_firewall = box.run("systemd-run", "--quiet", "--wait", "-p", "IPAddressDeny=any", "bash", "-c",
                           "true >/dev/tcp/127.0.0.1/79", check=False).returncode != 0
    has_firewall or skip("IPAddressDeny=", "this container has no BPF for it; the guest does it")
    program.rename(f"{program}.kept")
    shutil.copy(container.relay(box.release, "tests/relay_taken"), program)
    drop_in(container.taken_over(outside, has_firewall))
    after = time.time()
    box.run("systemctl", "start", RELAY, check=False)
    equal(box.show(RELAY, "Result"), "success", "taken over, in the unit: it has come to its end")
    said = [str(record.get("MESSAGE")) for record in box.journal("SYSLOG_IDENTIFIER=nmnotify-relay", after=after)]
    wrong = [line for line in said if line.startswith(("through", "refused"))]
    equal(wrong, [], "taken over, in the unit: no more goes through, and what it needs does")
    ok(any(line.startswith("tried ") for line in said), "taken over, in the unit: it was tried") or diag("\n".join(said))
    drop_in(None)
    program.unlink()
    Path(f"{program}.kept").rename(program)


def namespace(pid):
    return os.readlink(f"/proc/{pid}/ns/user")


def private_users():
    """To the relay all others are nobody; the proxy says who they are, whose socket is for it alone."""
    fresh()
    before = runs()
    send("alice")
    ok(until(lambda: box.is_active(PROXY) and box.is_active(RELAY)), "private users: what is sent starts both")
    is_told(before, "private users: and is told")
    relay, proxy = main_pid(), main_pid(PROXY)
    ok(namespace(relay) != namespace(box.leader), "private users: the relay has a user namespace of its own")
    equal(namespace(proxy), namespace(box.leader), "private users: the proxy has that of who sends")
    equal(box.run("stat", "-c", "%U %a", PROXIED).stdout, "nmnotify-relay 600\n", "private users: the proxy's socket is for it alone")
    refused = box.run(SEND, "-e", "-s", PROXIED, "-u", "alice", user="alice", check=False)
    ok(refused.returncode != 0 and "Permission denied" in refused.stderr, "private users: a local user cannot write to it") or diag(refused)
    after = time.time()
    box.run(SEND, "-e", "-s", PROXIED, "-u", "alice")
    ok(until(lambda: lines("somebody else than the proxy", after)), "private users: what somebody else writes there is refused")
    before, after = runs(), time.time()
    unix("/run/nmnotify-relay/socket", b"from 0 0 1 0 mail alice")
    ok(until(lambda: lines("no notice", after)), "private users: nobody is believed who says himself from whom it is")
    equal(runs(), before, "private users: nor is anything told for it")
    equal(box.show(PROXY, "NRestarts"), "0", "private users: the proxy has not failed")
    is_exposed(f"systemd-analyze security {PROXY}", EXPOSURE_MOST_PROXY, "the proxy")
    facts = dict(re.findall(r"^(NoNewPrivs|Seccomp|CapEff|CapBnd):\s*(\S+)$", Path(f"/proc/{proxy}/status").read_text(), re.MULTILINE))
    equal(facts, {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapBnd": "0" * 16}, "the proxy: no privileges, and a filter")
    drop_in("[Service]\n" + docs.take("units/nmnotify-relay.service", "PrivateUsers=no"))
    fresh()
    before = runs()
    send("alice", user="alice")
    is_told(before, "PrivateUsers=no: what alice announces is told")
    drop_in(None)
    is_well("private users")


def proxy_killed():
    """Notices that the proxy has not handed on."""
    fresh()
    send("alice")
    until(lambda: box.is_active(PROXY) and box.is_active(RELAY))
    pid = main_pid(PROXY)
    os.kill(pid, signal.SIGSTOP)
    before = runs()
    send("alice", user="alice")
    os.kill(pid, signal.SIGKILL)
    is_told(before, "S5: the proxy killed: what it had not handed on is told")
    ok(until(lambda: box.show(PROXY, "NRestarts") == "1"), "S5: the proxy killed: it was restarted")
    pid = main_pid(PROXY)
    os.kill(pid, signal.SIGSTOP)
    send("carol")
    box.run("systemctl", "stop", "nmnotify-relay.socket", RELAY)
    ok(not box.is_active(RELAY) and not box.is_active(PROXY), "S5: stopped, with its socket")
    box.run("systemctl", "start", RELAY)
    with Carol() as carol:
        carol.hears("S5: stopped: what the proxy had not handed on is told after the next start")
    is_well("the proxy killed")


def idle():
    fresh()
    before = runs()
    send("alice")
    is_told(before, "idle: told")
    down = until(lambda: box.show(RELAY, "ActiveState") == "inactive")
    ok(down, "idle: the service ends")
    equal(box.show(RELAY, "Result"), "success", "idle: well")
    equal(box.show("nmnotify-relay-proxied.socket", "SubState"), "listening", "idle: systemd listens")
    before = runs()
    send("alice")
    is_told(before, "idle: the next event starts it again, and is told")
    is_well("idle")


def never_idle_in_debt():
    fresh()
    owe_carol()
    time.sleep(4)
    ok(box.is_active(RELAY), "idle: not while something is owed")
    with Carol() as carol:
        carol.hears("S1: it is tried until somebody answers")
    ok(until(lambda: not box.is_active(RELAY)), "idle: when it is told")


def killed():
    fresh()
    owe_carol()
    os.kill(main_pid(), signal.SIGKILL)
    ok(until(lambda: box.show(RELAY, "NRestarts") == "1" and box.is_active(RELAY)), "S5: killed: it is restarted")
    with Carol() as carol:
        carol.hears("S5: killed: what was owed is told")
    before = runs()
    send("alice")
    is_told(before, "S5: killed: what comes next, too")
    is_well("killed")


def killed_with_letters():
    """Datagrams that nobody has read yet."""
    fresh()
    send("alice")
    until(lambda: box.is_active(RELAY))
    pid = main_pid()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.5)
    before = runs()
    send("alice")
    send("carol")
    os.kill(pid, signal.SIGKILL)
    is_told(before, "S5: killed: what waits in the socket is told by the next one")
    with Carol() as carol:
        carol.hears("S5: killed: all of it")


def stopped_with_letters():
    fresh()
    send("alice")
    until(lambda: box.is_active(RELAY))
    time.sleep(0.5)
    os.kill(main_pid(), signal.SIGSTOP)
    send("carol")
    box.run("systemctl", "stop", "nmnotify-relay.socket", RELAY)
    ok(not box.is_active(RELAY), "stopped, with its socket")
    box.run("systemctl", "start", RELAY)
    with Carol() as carol:
        carol.hears("S5: stopped: what waited in the socket is owed, and told after the next start")
    is_well("stopped")


def reloaded():
    fresh()
    send("alice")
    until(lambda: box.is_active(RELAY))
    pid, after = main_pid(), time.time()
    configure(CONFIG.replace("idle 2s", "idle 60s") + "user dora 127.0.0.1\n")
    begun = time.monotonic()
    equal(box.run("systemctl", "reload", RELAY, check=False).returncode, 0, "reload")
    ok(time.monotonic() - begun < 5, "reload: systemd has heard that it is done")
    ok(until(lambda: lines("was read again", after)), "reload: the log says so")
    before = runs()
    send("dora")
    is_told(before, "reload: a new user is told")
    configure("usre alice 127.0.0.1\n")
    after = time.time()
    box.run("systemctl", "reload", RELAY, check=False)
    ok(until(lambda: lines("nmnotify-relay.conf:1", after)), "reload: of a broken file the log says where")
    ok(lines("stays as it was", after), "reload: and that the old one holds")
    before = runs()
    send("dora")
    is_told(before, "reload: it does")
    equal(main_pid(), pid, "reload: the process is the same") or diag(
        box.output("journalctl", "-q", "--no-pager", "-n", "40", "-u", RELAY))
    box.run("systemctl", "restart", "--no-block", RELAY)
    before, after = runs(), time.time()
    send("alice")
    time.sleep(12)
    found = box.journal(f"UNIT={RELAY}", "+", "SYSLOG_IDENTIFIER=nmnotify-relay", after=after)
    ok(len(found) <= 16, f"a broken file at the start: a few lines in 12 seconds ({len(found)})") or diag(found)
    configure(CONFIG)
    is_told(before, "a broken file, mended: what waited is told", 40)
    is_well("reload")


def booted():
    fresh()
    box.run("systemctl", "enable", "--quiet", "nmnotify-relay.socket")
    owe_carol()
    box.reboot()
    with Carol() as carol:
        carol.hears("S5: a reboot: what was owed is told, with no event to start the service")
    box.run("systemctl", "start", "nmnotifyd.socket")
    is_well("booted")


# ---- README ----


def readme():
    """From its first word to its last, but for the building; her machine is this one."""
    box.run("systemctl", "stop", "nmnotify-relay.socket", RELAY)
    ok(documents.commands(docs.take("README.md", "sudo make install-sender"))[-1] == "sudo make install-sender", "README: this end alone")
    configure(docs.take("README.md", "user    alice  192.0.2.79").replace("192.0.2.79", "127.0.0.1"))
    after = time.time()
    typed("README", docs.take("README.md", "sudo nmnotify-relay -t").replace("sudo ", ""))
    before = runs()
    datagram(("127.0.0.1", 512), b"alice@367\0")
    is_told(before, "README: Postfix says it, and nmnotifyd is told")
    before = runs()
    typed("README", docs.take("README.md", "sudo nmnotify-send -e -u alice").replace("sudo ", ""))
    is_told(before, "README: without a mail")
    ok(lines("told=done user=alice to=127.0.0.1:79", after), "README: the log says so")
    box.run("systemctl", "disable", "--quiet", "--now", "nmnotify-relay-biff.socket", "nmnotify-relay.socket", RELAY)
    fresh()


# ---- The other sockets ----


def biff():
    fresh()
    send("alice")
    typed("biff", docs.take("units/nmnotify-relay-biff.socket", "systemctl enable"))
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        for data in (b"alice@367\0", b"alice@1110:/var/mail/alice", b"alice@-1\n\0"):
            before = runs()
            datagram((host, 512), data, family)
            is_told(before, f"biff: {host}: {data}")
            time.sleep(0.3)
    box.run("systemctl", "stop", "nmnotify-relay-biff.socket", RELAY)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 512))
        result = box.run("systemctl", "start", "nmnotify-relay-biff.socket", check=False)
        ok(result.returncode != 0, "biff: who has the port keeps it")
        box.run("systemctl", "restart", "nmnotify-relay.socket")
        before = runs()
        send("alice")
        is_told(before, "biff: and the relay is there without it")
        equal(box.failed_units(), ["nmnotify-relay-biff.socket"], "biff: systemd says so")
    typed("biff again", docs.take("man/nmnotify-relay.8", "systemctl enable nmnotify-relay-biff.socket"), "#")
    ok(box.is_active("nmnotify-relay-biff.socket"), "biff: when it is free, it is there with the first one")
    box.run("systemctl", "disable", "--quiet", "--now", "nmnotify-relay-biff.socket")
    is_well("biff")


def cyrus():
    fresh()
    box.run("useradd", "--system", "cyrus")
    typed("cyrus", docs.take("units/nmnotify-relay-cyrus.socket", "systemctl enable"))
    before = runs()
    unix("/run/nmnotify-relay/cyrus", b"external\0MAIL\0\0alice\0INBOX\x000\0From: x\n\0")
    is_told(before, "cyrus: a delivery")
    equal(box.run("stat", "-c", "%U %a", "/run/nmnotify-relay/cyrus").stdout, "cyrus 600\n", "cyrus: nobody else")
    event = b'{"event":"Login","service":"imap","clientIP":"127.0.0.1","user":"cyril"}'
    unix("/run/nmnotify-relay/cyrus", b"external\0EVENT\0\0\0\x000\0" + event + b"\0")
    time.sleep(1)
    before = runs()
    send("cyril")
    is_told(before, "cyrus: a login is where the next mail is told")
    box.run("systemctl", "disable", "--quiet", "--now", "nmnotify-relay-cyrus.socket")
    is_well("cyrus")


def status(line="status\n"):
    """What it says of itself, to root of this machine, who is the container's, too."""
    return ask(f"/proc/{box.leader}/root/run/nmnotify-relay/status", line)


def asked():
    fresh()
    ok(box.is_active(STATUS), "asked: its socket comes with the first one")
    equal(box.run("stat", "-c", "%U %a", "/run/nmnotify-relay/status").stdout, "root 600\n", "asked: root alone")
    ok(not box.is_active(RELAY), "asked: nothing runs yet")
    said = status()
    equal(said["counts"]["events"], 0, "asked: who asks starts it, and is answered")
    equal([(one["kind"], one["place"]) for one in said["sockets"]],
          [("event", PROXIED), ("status", "/run/nmnotify-relay/status")], "asked: its sockets")
    equal(said["configuration"]["file"], "/etc/nmnotify-relay.conf", "asked: its configuration")
    ok(until(lambda: not box.is_active(RELAY)), "asked: when nothing is owed, it ends")
    owe_carol()
    ok(until(lambda: [one["port"] for one in status()["unreachable"]["list"]] == [78]), "asked: who is unreachable")
    carol = status("user carol\n")
    equal(([one["port"] for one in carol["destinations"]], [one["port"] for one in carol["owed"]["list"]]), ([78], [78]),
          "asked: where a user's line goes, and what is owed")
    box.run("systemctl", "restart", "nmnotify-relay.socket")
    # systemctl does not wait for what is restarted with it.
    ok(until(lambda: box.is_active(STATUS)), "asked: its socket is restarted with the first one")
    ok("owed" in status(), "asked: and answers")
    is_well("asked")


# ---- What the page says else ----


def shared_store():
    """Redis's socket, which is for its own group, while to the relay all other users are nobody."""
    if not REDIS.exists():
        skip("shared store", "tests/packages has not unpacked redis-tools")
        return
    fresh()
    place = Path(f"/proc/{box.leader}/root/run/redis")
    place.mkdir()
    box.run("groupadd", "--system", "redis")
    setting = docs.take("man/nmnotify-relay.conf.5", "SupplementaryGroups=redis").strip()
    with Redis(place, "--unixsocketperm", "770") as redis:
        os.chown(redis.path, 0, int(box.output("getent", "group", "redis").split(":")[2]))
        configure(f"{CONFIG}store redis+unix:/run/redis/{Path(redis.path).name}\n")
        stored = lambda user: redis.command("EXISTS", f"nmnotify:user:{user}") == b":1\r\n"
        before, after = runs(), time.time()
        box.run(LOGIN, "-u", "cyril", "-a", "127.0.0.1")
        ok(until(lambda: lines("going on from memory: Permission denied", after)), "shared store: another's socket is not for the relay, and it says so")
        send("cyril")
        is_told(before, "shared store: and goes on without")
        equal(stored("cyril"), False, "shared store: where nothing is")
        drop_in(f"[Service]\n{setting}\n")
        box.run("systemctl", "restart", RELAY)
        box.run(LOGIN, "-u", "cyril", "-a", "127.0.0.1")
        ok(until(lambda: stored("cyril")), f"shared store: {setting}: a login is there")
        box.run("systemctl", "restart", RELAY)
        before = runs()
        send("cyril")
        is_told(before, "shared store: and is known after a restart")
    drop_in(None)
    is_well("shared store")


def tried():
    """The page's example, as alice types it."""
    example = docs.take("man/nmnotify-relay.8", "cat >try.conf")
    lines = [re.sub(r"^\$ ", "", line) for line in example.splitlines()]
    script = "cd; " + "\n".join(lines).replace("nc -l 127.0.0.1 7979 &", "nc -l 127.0.0.1 7979 >heard &")
    script = script.replace("relay -l -f try.conf &", "relay -l -f try.conf & sleep 1") + "\nsleep 2; kill %1 %2; cat heard\n"
    result = box.run("env", "HOME=/home/alice", "USER=alice", "PATH=/usr/local/sbin:/usr/local/bin:/usr/bin:/bin", "bash", "-c",
                     script, user="alice", check=False)
    ok("nm_notifyuser" in result.stdout, "EXAMPLES: the line is heard") or diag(result.stderr)


def more_room():
    """The queue that is too small; the system's setting is put back, for it is this machine's, too."""
    fresh()
    before = box.output("sysctl", "-n", "net.unix.max_dgram_qlen").strip()
    typed("more room", docs.take("man/nmnotify-relay.8", "sysctl -w"), "#")
    typed("anew", docs.take("man/nmnotify-relay.8", "systemctl restart nmnotify-relay.service"))
    box.run("sysctl", "-w", f"net.unix.max_dgram_qlen={before}")
    before = runs()
    send("alice")
    is_told(before, "more room: told")
    is_well("more room")


# ---- A folder that is watched ----


def watched():
    fresh()
    if not box.lingers("alice"):
        skip("watched", "loginctl enable-linger does not work in this container")
        return
    new = "/home/alice/Maildir/new"
    box.run("mkdir", "-p", new, "/home/alice/Maildir/cur", user="alice")
    name = box.output("systemd-escape", "--path", "--template=nmnotify-watch@.path", new).strip()
    box.run("systemctl", "--user", "daemon-reload", user="alice")
    typed("watched", docs.take("units/user/nmnotify-watch@.path", "systemctl --user enable"), user="alice")
    page = docs.take("man/nmnotify-relay.8", "systemctl --user enable")
    typed("watched", page, "$", user="alice")
    for number in range(1, 4):
        before = runs()
        box.run("touch", f"/home/alice/Maildir/{number}", user="alice")
        box.run("mv", f"/home/alice/Maildir/{number}", f"{new}/{number}", user="alice")
        is_told(before, f"watched: message {number} is told")
        until(lambda: box.show(name.replace(".path", ".service"), "ActiveState", "alice") == "inactive")
        time.sleep(1)
    before = runs()
    box.run("sh", "-c", f"mv {new}/* /home/alice/Maildir/cur", user="alice")
    time.sleep(2)
    equal(runs(), before, "watched: what is read, and leaves nothing, is not told")
    spool = "/home/alice/mbox"
    name = box.output("systemd-escape", "--path", "--template=nmnotify-watch@.path", spool).strip()
    box.run("systemctl", "--user", "start", name, user="alice")
    before = runs()
    box.run("sh", "-c", f"echo From x >>{spool}", user="alice")
    is_told(before, "watched: a mailbox that is one file")
    ok(box.is_active(name, "alice"), "watched: on")
    drop_in = docs.take("units/user/nmnotify-watch@.service", "systemd-run").replace("@BINDIR@", "/usr/local/bin")
    box.write("/home/alice/.config/systemd/user/nmnotify-watch@.service.d/test.conf",
              "[Service]\n" + drop_in.replace("home.example.org", "127.0.0.1"))
    box.run("chown", "-R", "alice:", "/home/alice/.config")
    box.run("systemctl", "--user", "daemon-reload", user="alice")
    box.run("systemctl", "stop", "nmnotify-relay.socket", RELAY)
    before = runs()
    box.run("sh", "-c", f"echo From x >>{spool}", user="alice")
    is_told(before, "watched: without a relay, the line itself")


container.require(*RELEASES)
if not RELEASE:
    container.run_parts(sys.argv[0], RELEASES)
del sys.argv[1]
with box:
    box.write("/etc/nmnotify.conf", LISTENER)
    with open(f"/proc/{box.leader}/root/etc/hosts", "a") as hosts:
        hosts.write("127.0.0.1 home.test\n")
    shutil.copy(BUILD / "tests" / "recorder", box.root / "usr/local/bin/recorder")
    box.run("install", "-d", "-m", "700", "-o", "nmnotify", "-g", "nmnotify", OUT, f"{OUT}/mail")
    box.run("useradd", "--create-home", "--shell", "/bin/sh", "alice")
    configure(CONFIG)
    box.run("systemctl", "start", "nmnotifyd.socket")
    nmtest.run(
        activated, asked, readme, confined, taken_over, private_users, proxy_killed, idle, never_idle_in_debt, killed, killed_with_letters, stopped_with_letters, reloaded,
        biff, cyrus, shared_store, tried, more_room, watched, booted,
    )
