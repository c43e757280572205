# SPDX-License-Identifier: ISC
"""A Dovecot for the tests, 2.3 or 2.4: a real IMAP and POP3 server on loopback, with one user and one
mailbox.

It runs as an unprivileged user, in the foreground, out of a temporary folder, and is ended by its
process id. An installed Dovecot will do; so will one that was only unpacked, which is kinder to the
machine (the packages' scripts start a server on all addresses):

    python3 dovecot.py build/dovecot        # fetch Debian's packages and unpack them there
"""

import grp
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = ["dovecot-core", "dovecot-imapd", "dovecot-pop3d", "libexttextcat-2.0-0"]

CONFIGURATION = """\
protocols = imap pop3
listen = 127.0.0.1
base_dir = {dir}/run
state_dir = {dir}/state
libexec_dir = {root}/usr/lib/dovecot
mail_plugin_dir = {root}/usr/lib/dovecot/modules
login_plugin_dir = {root}/usr/lib/dovecot/modules/login
log_path = {dir}/log
instance_name = nmnotify-test

# Everything runs as the user who starts it: there is nobody to become, and nowhere to chroot to.
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 0
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3_port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}

ssl = no
auth_mechanisms = plain login
"""

# An unpacked Dovecot finds its libraries by the last line; master hands nothing on that is not named.
CONFIGURATION_2_3 = """\
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = {dir}/passwd
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/mail
}}
mail_location = maildir:{dir}/mail/Maildir
import_environment = LD_LIBRARY_PATH
"""

# Its first two lines have to come before all others.
VERSIONS_2_4 = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
"""
CONFIGURATION_2_4 = """\
auth_allow_cleartext = yes
passdb passwd-file {{
  passwd_file_path = {dir}/passwd
}}
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    home = {dir}/mail
  }}
}}
mail_driver = maildir
mail_path = {dir}/mail/Maildir
import_environment {{
  LD_LIBRARY_PATH = {libraries}
}}
"""

# What is compiled in, without a setting to change it, and where an unpacked Dovecot looks instead; all
# of it starts in base_dir. The TLS module is loaded by the login processes even if TLS is off, and
# doveconf is what every program gets its settings from.
PATHS = {
    b"/usr/lib/dovecot/modules": b"/proc/self/cwd/modules",
    b"/usr/bin/doveconf": b"/proc/self/cwd/dc",
}


def find(build):
    """The folder that usr/sbin/dovecot is in: an unpacked tree, or / if installed; or None."""
    for root in (Path(build) / "dovecot", Path("/")):
        needed = ["sbin/dovecot", "bin/doveconf", "lib/dovecot/imap", "lib/dovecot/pop3"]
        if all((root / "usr" / file).exists() for file in needed):
            return root
    return None


def unpack(root):
    """Downloads the packages and unpacks them; runs none of their scripts."""
    root = Path(root).absolute()
    packages = root / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    # Root has no need of apt's own user for downloads, who may not be able to write here.
    subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *PACKAGES],
                   cwd=packages, check=True)
    for package in packages.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, root], check=True)
    shutil.rmtree(packages)
    for name in ("usr/sbin/dovecot", "usr/lib/dovecot/libdovecot.so.0"):
        file = (root / name).resolve()
        code = file.read_bytes()
        for path, instead in PATHS.items():
            code = code.replace(b"\0" + path + b"\0", b"\0" + instead.ljust(len(path), b"\0") + b"\0")
        file.write_bytes(code)
    (root / "relocated").touch()  # for tests/packages: it was unpacked in this way


def is_reachable(path):
    """May every user go there? Not in a clone below /root."""
    return all(folder.stat().st_mode & 0o001 for folder in Path(path).absolute().parents)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Dovecot:
    """A context manager. `dir` must exist and belong to `user` (None: whoever runs the test)."""

    def __init__(self, root, dir, user=None):
        account = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
        self.root, self.dir, self.account = Path(root), Path(dir), account
        self.user, self.password = "alice", secrets.token_hex(8)
        self.imap_port, self.pop3_port = free_port(), free_port()
        self.process = None

    def __enter__(self):
        a, run = self.account, self.dir
        inbox = run / "mail" / "Maildir"
        for folder in [run / "run", run / "state", *(inbox / sub for sub in ("cur", "new", "tmp"))]:
            folder.mkdir(parents=True)
        if os.geteuid() == 0 and not is_reachable(self.root / "usr"):
            self.root = Path(shutil.copytree(self.root, run / "root", symlinks=True))
        (run / "run" / "modules").symlink_to(self.root / "usr/lib/dovecot/modules")
        (run / "run" / "dc").symlink_to(self.root / "usr/bin/doveconf")
        (run / "passwd").write_text(f"{self.user}:{{PLAIN}}{self.password}\n")
        libraries = self.root / "usr/lib/dovecot"
        libraries = f"{libraries}:{libraries}/modules/old-stats"
        (run / "dovecot.conf").write_text(self.configuration().format(
            dir=run, root=str(self.root).rstrip("/"), user=a.pw_name, uid=a.pw_uid, gid=a.pw_gid,
            group=self.group(), imap_port=self.imap_port, pop3_port=self.pop3_port, libraries=libraries))
        self.give_away(run)
        with open(run / "output", "w") as output:
            self.process = subprocess.Popen(
                [self.root / "usr/sbin/dovecot", "-F", "-c", run / "dovecot.conf"],
                env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": libraries}, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, cwd=run / "run", **self.identity())
        try:
            self.wait_until_it_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def configuration(self):
        """For the version that is there."""
        said = subprocess.run(
            [self.root / "usr/sbin/dovecot", "--version"], capture_output=True, text=True, check=True,
            env={"LD_LIBRARY_PATH": str(self.root / "usr/lib/dovecot")}).stdout
        if [int(part) for part in said.split(".")[:2]] < [2, 4]:
            return CONFIGURATION + CONFIGURATION_2_3
        return VERSIONS_2_4 + CONFIGURATION + CONFIGURATION_2_4

    def group(self):
        return grp.getgrgid(self.account.pw_gid).gr_name

    def identity(self):
        if os.geteuid() != 0:
            return {}
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}

    def give_away(self, path):
        if os.geteuid() != 0:
            return
        for name in [path, *Path(path).rglob("*")]:
            os.chown(name, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)

    def wait_until_it_answers(self):
        deadline = time.monotonic() + 5
        for port, greeting in ((self.imap_port, b"* OK"), (self.pop3_port, b"+OK")):
            while True:
                try:
                    with socket.create_connection(("127.0.0.1", port), 1) as s:
                        if s.recv(100).startswith(greeting):
                            break
                except OSError:
                    pass
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("Dovecot does not answer: " + self.complaints())
                time.sleep(0.02)

    def complaints(self):
        text = ""
        for name in ("output", "log"):
            file = self.dir / name
            text += file.read_text(errors="replace") if file.exists() else ""
        return text.strip()[-2000:] or "it says nothing"

    def deliver(self, subject):
        """Puts a message into the inbox, as a delivery agent would."""
        inbox, name = self.dir / "mail" / "Maildir", f"{time.time_ns()}.{secrets.token_hex(4)}.test"
        message = inbox / "tmp" / name
        message.write_text(
            f"From: sender@example.org\nTo: {self.user}@example.org\nSubject: {subject}\n"
            f"Date: Thu, 01 Jan 1970 00:00:00 +0000\nMessage-ID: <{name}@example.org>\n\nHello.\n")
        self.give_away(message)
        message.rename(inbox / "new" / name)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: dovecot.py FOLDER")
    unpack(sys.argv[1])
