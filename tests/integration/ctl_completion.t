#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Completion of nmnotifyctl, in each shell as it is installed."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import nmtest
from ctl import CTL
from nmtest import PATIENCE, PROJECT, Sandbox, diag, equal, ok, skip

PLACE = PROJECT / "units/completion"
CONF = "account home\nfrom any\naction /bin/true\n  account work\nfrom any\naction /bin/true\n"


def environment(box):
    """The program is in PATH, as after make install."""
    (box.dir / "bin").mkdir(exist_ok=True)
    if not (box.dir / "bin/nmnotifyctl").exists():
        shutil.copy(CTL, box.dir / "bin/nmnotifyctl")
    return {"PATH": f"{box.dir}/bin:/usr/bin:/bin", "HOME": str(box.dir), "TERM": "dumb", "LC_ALL": "C.UTF-8"}


def said(env):
    """The subcommands that the program says it has."""
    out = subprocess.run(["nmnotifyctl", "-h"], env=env, capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in out.split("Subcommands:\n")[1].splitlines()}


def bash(env, words):
    script = f"""source {PLACE}/nmnotifyctl.bash
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _nmnotifyctl; printf '%s\\n' "${{COMPREPLY[@]}}" """
    got = subprocess.run(["bash", "-c", script, "bash", *words], env=env, capture_output=True, text=True, timeout=PATIENCE)
    ok(got.stderr == "", f"bash: {' '.join(words)}: without a complaint") or diag(got.stderr)
    return set(got.stdout.split())


def fish(env, words):
    script = f"source {PLACE}/nmnotifyctl.fish; complete -C '{' '.join(words)}'"
    got = subprocess.run(["fish", "-N", "-c", script], env=env, capture_output=True, text=True, timeout=PATIENCE)
    return {line.split("\t")[0] for line in got.stdout.splitlines()}


class Zsh:
    """An interactive one. What Tab has made of a line is what a function of the program's name is called with."""

    STAND_IN = 'nmnotifyctl() { if [[ $1 == -h ]]; then command nmnotifyctl -h; else print -r "ran<$*>"; fi }'

    def __init__(self, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe("zsh", ["zsh", "-f", "-i"], env)
        self._write(f"fpath=({PLACE} $fpath); autoload -Uz compinit; compinit -u -D; {self.STAND_IN}; print re''ady\n")
        self._read("ready")

    def _write(self, text):
        os.write(self.fd, text.encode())

    def _read(self, pattern):
        out, end = "", time.monotonic() + PATIENCE
        while not (match := re.search(pattern, out)) and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                out += os.read(self.fd, 65536).decode(errors="replace")
        return match

    def tab(self, *words):
        """The line's last word, completed."""
        self._write(" ".join(["nmnotifyctl", *words]) + "\t\n")
        match = self._read(r"ran<(.*)>\r?\n")
        return match[1].split()[-1] if match else None

    def close(self):
        os.close(self.fd)
        nmtest.kill(self.pid)
        os.waitpid(self.pid, 0)


def lists(complete, shell):
    equal(complete(["nmnotifyctl", ""]) - {'-f', '-h', '-p', '-s', '-V'}, HAS, f"{shell}: all subcommands")
    equal(complete(["nmnotifyctl", "hi"]), {"history"}, f"{shell}: the one that begins so")
    ok({"day", "hour"} <= complete(["nmnotifyctl", "history", "--by", ""]), f"{shell}: an option's value")
    ok("--svg" in complete(["nmnotifyctl", "history", "--s"]), f"{shell}: an option")
    ok("local" in complete(["nmnotifyctl", "explain", ""]), f"{shell}: an address")
    ok("default" in complete(["nmnotifyctl", "start", ""]), f"{shell}: an account")


def unique(zsh, conf):
    for name in sorted(HAS):
        others = HAS - {name}
        least = next(i for i in range(1, len(name) + 1) if not any(other.startswith(name[:i]) for other in others))
        equal(zsh.tab(name[:least]), name, f"zsh: {name}")
    equal(zsh.tab("history", "--by", "d"), "day", "zsh: an option's value")
    equal(zsh.tab("history", "--sv"), "--svg", "zsh: an option")
    equal(zsh.tab("explain", "l"), "local", "zsh: an address")
    equal(zsh.tab("start", "d"), "default", "zsh: an account")
    equal(zsh.tab("-f", str(conf), "try", "h"), "home", "zsh: the accounts of a configuration")


def main():
    global HAS
    with Sandbox() as box:
        env = environment(box)
        HAS = said(env)
        conf = box.dir / "conf"
        conf.write_text(CONF)
        lists(lambda words: bash(env, words), "bash")
        equal(bash(env, ["nmnotifyctl", "-f", str(conf), "try", ""]), {"default", "home", "work"}, "bash: the accounts of a configuration")
        if shutil.which("fish"):
            lists(lambda words: fish(env, words), "fish")
        else:
            skip("fish", "it is not installed")
        if shutil.which("zsh"):
            zsh = Zsh(env)
            unique(zsh, conf)
            zsh.close()
        else:
            skip("zsh", "it is not installed")


nmtest.run(main)
