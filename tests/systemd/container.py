# SPDX-License-Identifier: ISC
"""A whole system with systemd as its first process, for the tests beside this file.

    import container
    container.require()                  # prints why it cannot be, and ends, if it cannot be
    with container.Container() as box:   # installed with `make install`, and booted
        box.run("systemctl", "start", "nmnotifyd.socket")

The tree is made once by mmdebstrap(1), from the package sources of this machine, and kept in
build/systemd-tree-RELEASE; of another release of Debian, too. A test gets an overlay over it, gone
with the test. The container has a network
of its own, in which there is nothing but a loopback interface: port 79 there is nobody else's, and
no load gets out.
"""

import ctypes
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
import nmtest
from nmtest import BUILD, PROJECT, until

# libpam-systemd is for user instances, nftables for the redirection of port 79 to them. The rest is what
# README and the pages name: fetchers, delivery agents, super-servers; and a mail server for them.
PACKAGES = (
    "systemd,systemd-sysv,dbus,libpam-systemd,nftables,iproute2,sudo,netbase,netcat-openbsd,"
    "isync,fetchmail,getmail6,offlineimap3,mpop,maildrop,procmail,dovecot-imapd,dovecot-pop3d,"
    "openbsd-inetd,ucspi-tcp,ipsvd,socat,openssl,stunnel4,polkitd,procps,"
    # The relay's libraries have other names in each release: there it is built anew.
    "gcc,libc6-dev,libc-ares-dev,libhiredis-dev,libjansson-dev,liblmdb-dev,libseccomp-dev,libsystemd-dev,make"
)
# It excludes the other inetd, so it is only unpacked, into /opt; what it needs, that one has brought.
UNPACKED = "xinetd"
UNPACK = f"""
cd "$1/opt"
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq -o APT::Sandbox::User=root download {UNPACKED}
dpkg -x {UNPACKED}_*.deb {UNPACKED}
rm {UNPACKED}_*.deb
"""
# They are there for some tests, and not to be started in all of them.
MASKED = ("dovecot.service", "fetchmail.service", "inetd.service", "stunnel4.service")
# With another list, another tree.
STAMP = f"7 {PACKAGES} {UNPACKED}\n"
BOOT_SECONDS = 60
# Processes of the container are never the test's own.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

_INSIDE = "NMNOTIFY_TEST_MOUNTS"
# Set where a container is known to work: there not to have one is a failure.
_NEEDED = "NMNOTIFY_TEST_NEEDS_CONTAINER"
# Set where this machine itself is for the test alone (guest.py): it takes the container's place.
IS_MACHINE = "NMNOTIFY_TEST_MACHINE" in os.environ


# ---- Can it be? ----


def give_up(why):
    """Skips the whole file, and says why."""
    why = " ".join(str(why).split())
    print(f"1..0 # SKIP {why}", flush=True)
    if os.environ.get(_NEEDED):
        print(f"Bail out!  {why}", flush=True)
        sys.exit(1)
    print(f"{sys.argv[0]}: skipped: {why}", file=sys.stderr)
    sys.exit(0)


def require(*releases):
    """Ends the test, with the reason, if there can be no container here. Comes back in a mount
    namespace of its own, which takes all mounts away with it, and with the trees made: of this
    machine's release, or of those that are named."""
    if IS_MACHINE:
        return
    if os.geteuid() != 0:
        give_up("a container takes root")
    for program in ("systemd-nspawn", "mmdebstrap", "nsenter", "unshare", "setpriv"):
        if not shutil.which(program):
            give_up(f"there is no {program} here")
    if not os.environ.get(_INSIDE):
        probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)
        if probe.returncode != 0:
            give_up(f"no mount namespaces: {probe.stderr}")
        os.environ[_INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    for release in releases or (own_release(),):
        make_tree(release)


def own_release():
    """The code name of this machine's release."""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.split("=", 1)[1].strip('"')
    give_up("this machine has no apt with a release to make a tree of")


def sources(release):
    """The package sources of this machine that are of its own release, as lines of apt's old format,
    with `release` in its place. The files themselves may name others."""
    suite = own_release()
    if not shutil.which("apt-get"):
        give_up("this machine has no apt with a release to make a tree of")
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        capture_output=True,
        text=True,
    ).stdout
    lines = []
    for line in listed.splitlines():
        uri, found, *component = line.split()
        if component and re.fullmatch(re.escape(suite) + r"(-updates|-security)?", found):
            lines.append(f"deb {uri} {found.replace(suite, release)} {component[0]}")
    if not lines:
        give_up("apt has no package lists here (apt-get update)")
    return lines


def tree(release):
    return PROJECT / "build" / f"systemd-tree-{release}"


def make_tree(release):
    """Once, however many tests want it at the same time."""
    tree(release).parent.mkdir(exist_ok=True)
    with open(f"{tree(release)}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make_tree(release)


def _make_tree(release):
    stamp = tree(release) / "stamp"
    if stamp.exists() and stamp.read_text() == STAMP:
        return
    lines = sources(release)
    fresh = Path(f"{tree(release)}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    nmtest.diag(f"making build/{tree(release).name}, once")
    made = subprocess.run(
        ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={PACKAGES}", "--quiet"]
        + ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*"]
        + [f"--customize-hook=set -e; {UNPACK}"]
        + [release, str(fresh / "root"), *lines],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    if made.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        give_up("mmdebstrap failed: " + " ".join(made.stderr.splitlines()[-3:]))
    for unit in MASKED:
        (fresh / "root/etc/systemd/system" / unit).symlink_to("/dev/null")
    (fresh / "stamp").write_text(STAMP)
    shutil.rmtree(tree(release), ignore_errors=True)
    os.rename(fresh, tree(release))


def relay(release, program="nmnotify-relay"):
    """The relay, or what is built of it, as the release's own libraries want it."""
    if release == own_release():
        return BUILD / program
    root, place = tree(release) / "root", f"build/relay-{release}"
    with open(f"{tree(release)}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["mount", "--bind", str(PROJECT), str(root / "mnt")], check=True)
        try:
            made = subprocess.run(
                ["chroot", str(root), "make", "-s", "-C", "/mnt", f"BUILD={place}", f"{place}/{program}"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env=ENVIRONMENT,
            )
        finally:
            subprocess.run(["umount", str(root / "mnt")], check=True)
    if made.returncode != 0:
        raise RuntimeError(f"the relay cannot be built in {root}: {made.stderr}")
    return PROJECT / place / program


def taken_over(outside, is_unicast):
    """A drop-in with which relay_taken, in the relay's place, tries what it could do in the unit. Whether the kernel
    has what IPAddressDeny= takes, the caller knows."""
    words = ["TAKEN_PORT=79", f"TAKEN_OUTSIDE={outside}", "TAKEN_NOEXEC=1", *(["TAKEN_UNICAST=1"] if is_unicast else [])]
    return f"[Service]\nType=oneshot\nRestart=no\nEnvironment={' '.join(words)}\n"


# ---- Control groups ----

_GROUPS = Path("/sys/fs/cgroup")


def _is_systemd():
    return Path("/run/systemd/system").is_dir()


class _Group:
    """Where there is no systemd to give the container a scope, two containers would share a control
    group, and each of their systemds would end the other's processes. So each gets one of its own,
    in the hierarchies that systemd uses: unified, and named systemd."""

    def __init__(self, name):
        if (_GROUPS / "cgroup.procs").exists():
            bases = [_GROUPS]
        else:
            bases = [p for p in (_GROUPS / "systemd", _GROUPS / "unified") if p.is_dir()]
        self.paths = [] if _is_systemd() else [base / name for base in bases]

    def make(self):
        for path in self.paths:
            path.mkdir()

    def enter(self):
        """In a child, before it becomes systemd-nspawn."""
        for path in self.paths:
            (path / "cgroup.procs").write_text("0")

    def remove(self):
        for path in self.paths:
            for directory, _, _ in os.walk(path, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    pass  # it stays, empty, and harms nobody


# ---- The container ----

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


# What systemd-nspawn ends with when the container reboots, if it has been told to keep its unit.
_REBOOT = 133


def _network():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _enter_network(fd):
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Container:
    """Booted when entered. Sockets that this process makes afterwards are in its network."""

    def __init__(self, release=None):
        self.release = release or own_release()
        # Not by the process number: tests run beside it with numbers of their own.
        self.name = f"nmnotify-test-{secrets.token_hex(4)}-{self.release}"
        self.group = _Group(self.name)
        self.nspawn = None
        self.leader = None
        self.dir = None
        self.network = _network()

    def __enter__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="systemd.", dir=BUILD))
        try:
            self._mount()
            self.install()
            self.boot()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, *_):
        if kind not in (None, SystemExit) and self.leader:
            nmtest.diag(self.output("journalctl", "--no-pager", "-n", "60", "-o", "short-monotonic"))
        try:
            self.power_off()
        finally:
            _enter_network(self.network)
            subprocess.run(["umount", "--lazy", str(self.dir)], capture_output=True)
            self.group.remove()
            try:
                os.rmdir(self.dir)
            except OSError:
                pass

    def _mount(self):
        """The overlay, in memory: the tree stays as it is."""
        mount = ["mount", "-t", "tmpfs", "-o", "mode=755", "nmnotify-test", str(self.dir)]
        subprocess.run(mount, check=True)
        for name in ("upper", "work", "root"):
            (self.dir / name).mkdir()
        self.root = self.dir / "root"
        below = ":".join(map(str, self.below()))
        layers = f"lowerdir={below},upperdir={self.dir}/upper,workdir={self.dir}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", layers, "nmnotify-test", str(self.root)], check=True)

    def below(self):
        """What the overlay is over, the uppermost first."""
        return [tree(self.release) / "root"]

    def install(self):
        """As a user does it; with the drop-ins for the systemd that is in there."""
        directories = (self.root / "usr/lib/x86_64-linux-gnu/systemd", self.root / "usr/lib/systemd")
        cores = [found for path in directories for found in path.glob("libsystemd-core-*.so")]
        version = re.search(r"core-(\d+)", str(cores[0]))[1] if cores else ""
        words = [f"BUILD={BUILD}", f"DESTDIR={self.root}", f"SYSTEMD_VERSION={version}"]
        subprocess.run(
            ["make", "-s", "-C", str(PROJECT), "install", *words],
            check=True,
            stdout=subprocess.DEVNULL,
            env=nmtest.environment_for_make(),
        )
        for program in ("nmnotify-relay", "nmnotify-relay-logs"):
            shutil.copy(relay(self.release, program), self.root / "usr/local/sbin" / program)

    def write(self, path, text, mode=0o644):
        """A file in the container, with its directories."""
        target = self.root / str(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def read(self, path):
        """As it is seen in there, which also holds for /run."""
        return Path(f"/proc/{self.leader}/root/{str(path).lstrip('/')}").read_text(errors="replace")

    def boot(self):
        self.group.make()
        self._start()
        if not self._await_boot():
            give_up(f"systemd-nspawn does not boot here: {self._console()}")
        self.run("systemd-sysusers")
        self.run("systemctl", "daemon-reload")

    def _start(self):
        command = ["systemd-nspawn", "--boot", "--quiet", f"--directory={self.root}"]
        command += [f"--machine={self.name}", "--private-network", "--link-journal=no", "--console=pipe"]
        command += ["--register=no", "--settings=no", "--timezone=off", "--resolv-conf=off"]
        if not _is_systemd():
            command.append("--keep-unit")
        self.output_path = self.dir / "console"
        with open(self.output_path, "wb") as console:
            # If this process is killed, it goes too, and all that is in the container with it.
            self.nspawn = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                preexec_fn=self.group.enter,
            )

    def _console(self):
        return self.output_path.read_text(errors="replace")[-300:]

    def _find_leader(self):
        """The first process of the container: nspawn's child that has a PID namespace of its own."""
        try:
            children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text()
            for pid in children.split():
                own = os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
                if own and Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    return int(pid)
        except OSError:
            pass
        return None

    def _await_boot(self, before=None):
        def has_leader():
            self.leader = self._find_leader()
            return (self.leader and self.leader != before) or self.nspawn.poll() is not None

        until(has_leader, BOOT_SECONDS)
        if not self.leader or self.leader == before:
            return False
        # It takes questions once it has its bus; then it says when it is done.
        states = ("running", "degraded")
        is_up = lambda: self.output("systemctl", "is-system-running").strip() in states
        if not until(is_up, BOOT_SECONDS, 0.05):
            return False
        fd = os.open(f"/proc/{self.leader}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _enter_network(fd)
        os.close(fd)
        return True

    def reboot(self):
        before = self.leader
        self.run("systemctl", "reboot", "--no-block", check=False)
        if not _is_systemd():
            if self.nspawn.wait(BOOT_SECONDS) != _REBOOT:
                raise RuntimeError(f"the container does not reboot: {self._console()}")
            _enter_network(self.network)
            self._start()
        if not self._await_boot(before):
            raise RuntimeError("the container does not come up again")

    def power_off(self):
        if self.nspawn is None:
            return
        if self.nspawn.poll() is None and self.leader:
            self.run("systemctl", "poweroff", "--no-block", check=False)
            until(lambda: self.nspawn.poll() is not None)
        if self.nspawn.poll() is None:
            self.nspawn.send_signal(signal.SIGKILL)
        self.nspawn.wait()

    # -- Commands in there --

    def _command(self, words, user):
        enter = ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid"]
        enter += ["--cgroup", "--root", "--wdns=/", "--"]
        if user:
            uid = self.output("id", "-u", user).strip()
            runtime = f"/run/user/{uid}"
            enter += ["runuser", "-u", user, "--", "env", f"XDG_RUNTIME_DIR={runtime}"]
        return [*enter, *map(str, words)]

    def run(self, *words, user=None, check=True, timeout=120):
        result = subprocess.run(
            self._command(words, user),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=ENVIRONMENT,
        )
        if check and result.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, words))}: status {result.returncode}: {result.stderr}")
        return result

    def output(self, *words, user=None):
        return self.run(*words, user=user, check=False).stdout

    def start(self, *words, **how):
        """A process in there that goes on; for Popen's own arguments."""
        return subprocess.Popen(self._command(words, None), env=ENVIRONMENT, **how)

    def has_nat(self):
        """Does this kernel redirect ports? Asked with a rule that is nobody's."""
        rule = "table inet probe { chain c { type nat hook prerouting priority -100; tcp dport 1 redirect to :2; }\n}"
        return self.run("nft", "-c", rule, check=False).returncode == 0

    # -- systemd --

    def lingers(self, user):
        """Is the user's own systemd there, without a login? From systemd 256 on logind wants of a container what this
        one has not; guest.t has a kernel of its own."""
        may = self.run("loginctl", "enable-linger", user, check=False).returncode == 0
        private = f"/run/user/{self.output('id', '-u', user).strip()}/systemd/private"
        return may and until(lambda: self.run("test", "-S", private, check=False).returncode == 0)

    def show(self, unit, what, user=None):
        manager = ["--user"] if user else []
        return self.output("systemctl", *manager, "show", "--value", "-p", what, unit, user=user).strip()

    def is_active(self, unit, user=None):
        return self.show(unit, "ActiveState", user) == "active"

    def failed_units(self):
        listed = self.output("systemctl", "list-units", "--all", "--failed", "--plain", "--no-legend")
        return [line.split()[0] for line in listed.splitlines() if line.strip()]

    def instances(self, pattern):
        """Units that are loaded, in whatever state."""
        listed = self.output("systemctl", "list-units", "--all", "--plain", "--no-legend", pattern)
        return [line.split()[0] for line in listed.splitlines() if line.strip()]

    def journal(self, *matches, after=None):
        """Records, as dictionaries; with `after`, of a time.time(), those from then on. Not by a
        cursor: with matches, systemd 252 drops the first record behind it."""
        self.run("journalctl", "--sync", check=False)
        since = [f"--since=@{after:.6f}"] if after else []
        text = self.output("journalctl", "-q", "-o", "json", *since, *matches)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def pids(self, unit, user=None):
        """Processes of a unit by their numbers here, outside."""
        group = self.show(unit, "ControlGroup", user)
        if not group:
            return []
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
                same = os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{self.leader}/ns/pid")
            except OSError:
                continue
            if same and any(line.split(":", 2)[2].endswith(group) for line in lines):
                found.append(int(pid))
        return found


# ---- No container ----


class Machine(Container):
    """This machine in a container's place, with what is installed there already. It does not reboot."""

    def __init__(self, release=None):
        super().__init__(release)
        self.root, self.leader = Path("/"), 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def _command(self, words, user):
        if not user:
            return list(map(str, words))
        uid = self.output("id", "-u", user).strip()
        return ["runuser", "-u", user, "--", "env", f"XDG_RUNTIME_DIR=/run/user/{uid}", *map(str, words)]


# ---- Several containers ----


def run_parts(script, names, at_once=True):
    """Runs a test once for each name, its first argument, at the same time or in turn; the results are one's
    own."""
    # They end with this one, and clean up.
    alive = ("setpriv", "--pdeathsig", "TERM", "--")
    start = lambda name: subprocess.Popen([*alive, script, name], stdout=subprocess.PIPE, text=True)
    tests = [(name, start(name)) for name in names] if at_once else ((name, start(name)) for name in names)
    for name, test in tests:
        output = test.communicate()[0]
        nmtest.pass_on(output.splitlines(), name)
        plan = re.search(r"^1\.\.(\d+)$", output, re.MULTILINE)
        complete = plan and int(plan[1]) == len(re.findall(r"^(?:not )?ok ", output, re.MULTILINE))
        nmtest.ok(complete, f"{name}: all was run")
    nmtest.done()
