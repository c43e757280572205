#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyctl check, of a configuration that is named: what nmnotify -t says, fetchmail's daemon mode, what the
relay says of itself. What else the machine knows is for tests/systemd/ctl.t."""

import json
import re
import shlex
import subprocess
import sys

sys.dont_write_bytecode = True
import nmtest
from ctl import CTL, Answers, ctl
from nmtest import NMNOTIFY, Sandbox, diag, equal, ok

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
WORDS = {OK: "OK", WARNING: "WARNING", CRITICAL: "CRITICAL", UNKNOWN: "UNKNOWN"}
USUAL = "/run/nmnotify-relay/status"


def check(box, conf, *words, relay=USUAL, handler=NMNOTIFY):
    """The status, the summary, and the findings."""
    status, out, err = ctl(conf, "-p", box.bring(handler), "check", *words, relay=relay)
    first, *lines = out.splitlines()
    equal((err, first.split(":")[0]), ("", WORDS[status]), f"check {' '.join(words)}: the first line is the status")
    return status, first, lines


def finds(box, conf, name, wanted, pattern, **how):
    """One line says it, and nothing else is wrong."""
    status, _, lines = check(box, conf, **how)
    ok(status == wanted and len(lines) == 1 and re.fullmatch(f"{WORDS[wanted].lower()}: {pattern}", lines[0]), f"check: {name}") or diag(f"{status}: {lines}")


def configuration():
    with Sandbox() as box:
        conf = box.config("from any\naction /bin/true\n")
        equal(check(box, conf), (OK, "OK: 1 ok", []), "check: nothing is wrong")
        equal(check(box, conf, "--verbose"), (OK, "OK: 1 ok", [f"ok: {conf}: can be read, and done"]), "check: nothing is wrong, verbose")
        for name, text, status, what in (
            ("a mistake", "from any\naction /bin/true\nnonsense\n", CRITICAL, r"\d+: .*nonsense.*"),
            ("no such action", "from any\naction /bin/no-such\n", CRITICAL, r"\d+: action: /bin/no-such: No such file or directory"),
            ("no place for the state", "state /no/where\nfrom any\naction /bin/true\n", CRITICAL, r"\d+: state: /no/where cannot be made: .*"),
            ("advice", "from any\naction /bin/true\ntimeout 5ms\n", WARNING, r"\d+: account default: the action is ended after 5ms: .*"),
        ):  # fmt: skip
            finds(box, box.config(text), name, status, rf"{conf}:{what}: mend it: nmnotify.conf\(5\)")
        status, first, lines = check(box, box.config("from any\naction /bin/no-such\ntimeout 5ms\n"))
        equal((status, first), (CRITICAL, "CRITICAL: 1 critical, 1 warning, 0 ok"), "check: the worst is the status")
        equal([line.split(":")[0] for line in lines], ["critical", "warning"], "check: and comes first")
        finds(box, box.dir / "none", "no configuration", CRITICAL, r".*/none: .*No such file or directory.*: mend it: nmnotify.conf\(5\)")
        _, _, lines = check(box, box.config("from any\naction '/bin/\u00e9\u009b'\n"))
        ok("\\xc3\\xa9\\xc2\\x9b" in lines[0], "check: a terminal obeys no word") or diag(lines)
        no_end = box.dir / "no-end"
        no_end.write_text("#!/bin/sh\nexit 3\n")
        no_end.chmod(0o755)
        conf = box.config("from any\naction /bin/true\n")
        finds(box, conf, "-t fails without a word", CRITICAL, rf"{re.escape(str(box.bring(no_end)))} -t ends with status 3: run it", handler=no_end)
        status, out, _ = ctl(conf, "-p", "/no/program", "check", relay=USUAL)
        equal((status, out.splitlines()[1:]), (UNKNOWN, ["unknown: /no/program: No such file or directory: install the listener, or say where it is by -p"]), "check: no listener's program")
        for words in (("--no-such",), ("default",)):
            status, out, err = ctl(conf, "check", *words, relay=USUAL)
            ok(status == UNKNOWN and out == "" and "usage: nmnotifyctl check [--verbose]" in err, f"check: {words[0]} is refused") or diag(err)


def kernel_lacks():
    """Landlock, which is left out where the kernel has none."""
    with Sandbox() as box:
        refuse = box.bring(nmtest.BUILD / "tests" / "refuse")
        for said, status, wanted in (
            ("", OK, "ok: account default: nothing is done about what this kernel's Landlock lacks: isolate .*"),
            ("landlock required\n", CRITICAL, r"critical: .*landlock required: this kernel lacks .*: mend it: nmnotify.conf\(5\)"),
        ):
            conf = box.config(f"from any\naction /bin/true\n{said}")
            words = [refuse, "landlock_create_ruleset", "95", box.bring(CTL), "-f", conf, "-s", USUAL, "-p", box.bring(NMNOTIFY), "check", "--verbose"]
            got = subprocess.run(words, capture_output=True, text=True)
            lines = got.stdout.splitlines()[1:]
            ok(got.returncode == status and any(re.fullmatch(wanted, line) for line in lines), f"check: no Landlock: {said.strip() or 'as it is'}") or diag(f"{got.returncode} {lines} {got.stderr}")


def fetchmail():
    """Its daemon mode. tests/systemd/ctl.t has users with homes, and daemons that run."""
    with Sandbox() as box:
        program = box.dir / "fetchmail"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        files = {}
        for name, text in (("daemon", "# mine\n  set  daemon 300\npoll a\n"), ("zero", "set daemon 0\n"), ("none", "poll set daemon\n")):
            files[name] = box.dir / name
            files[name].write_text(text)
            files[name].chmod(0o644)
        daemon = files["daemon"]
        warning = "account default: fetchmail's own configuration says `set daemon`, so the action is over at once, and leaves a daemon behind: add `--daemon 0` to the action"
        for action, is_warned in (
            (f"{program} -f {daemon}", True), (f"{program} -f{daemon}", True), (f"{program} --fetchmailrc {daemon} -s", True),
            (f"{program} --fetchmailrc={daemon}", True), (f"{program} -f {daemon} -d 300", True),
            (f"{program} -f {files['zero']}", False), (f"{program} -f {files['none']}", False), (f"{program} -f {box.dir}/no-such", False),
            (f"{program} -f {daemon} --daemon 0", False), (f"{program} --daemon=0 -f {daemon}", False), (f"{program} -d0 -f {daemon}", False),
            (f"{program} -d 0 -f {daemon}", False), (f"{program} -N -f {daemon}", False), (f"{program} --nodetach -f {daemon}", False),
            ("/bin/sh -c " + shlex.quote(f"{program} -f {daemon} || [ $? -eq 1 ]"), True),
            ("/bin/sh -c " + shlex.quote(f"{program} -f {daemon} --daemon 0 || [ $? -eq 1 ]"), False),
        ):  # fmt: skip
            conf = box.config(f"from any\naction {action}\n")
            shown = action.replace(str(box.dir), "")
            if is_warned:
                finds(box, conf, shown, WARNING, re.escape(warning))
            else:
                status, _, lines = check(box, conf, "--verbose")
                equal((status, lines[1:]), (OK, ["ok: account default: fetchmail's daemon mode is not in the way"]), f"check: {shown}")
        status, _, lines = check(box, box.config(f"from any\naction /bin/true -f {daemon}\n"), "--verbose")
        equal((status, len(lines)), (OK, 1), "check: not fetchmail")


def relay():
    """What it says of its stores, its sockets and its configuration."""
    with Sandbox() as box:
        conf = box.config("from any\naction /bin/true\n")
        good = {"counts": {"events": 0}, "configuration": {"file": "x", "refused": None}, "sockets": [{"kind": "nmnotify-relay", "place": "/run/x", "deaf": False}]}
        good["stores"] = [{"name": "lmdb:/x", "away": False, "reason": None}]
        for name, change, status, wanted in (
            ("answers", {}, OK, None),
            ("a store is away", {"stores": [{"name": "redis:x", "away": True, "reason": "refused"}]}, CRITICAL, "relay: the store redis:x does not answer: refused: start it, or mend `store` in the relay's configuration"),
            ("a socket is deaf", {"sockets": [{"kind": "biff", "place": "[::1]:512", "deaf": True}]}, CRITICAL, "relay: it cannot read [::1]:512: run `systemctl restart nmnotify-relay.socket`"),
            ("its configuration is refused", {"configuration": {"refused": 1, "reason": "x:1: y"}}, WARNING, "relay: it goes on with an earlier configuration: x:1: y: mend it, and run `systemctl reload nmnotify-relay.service`"),
        ):  # fmt: skip
            with Answers(box.dir, json.dumps({**good, **change}).encode()) as answers:
                if wanted:
                    finds(box, conf, f"relay: {name}", status, re.escape(wanted), relay=answers.path)
                else:
                    status, _, lines = check(box, conf, "--verbose", relay=answers.path)
                    equal((status, lines[1:]), (OK, ["ok: relay: it answers", "ok: relay: the store lmdb:/x answers"]), f"check: relay: {name}")
        with Answers(box.dir, b"nonsense") as answers:
            finds(box, conf, "relay: says nonsense", CRITICAL, "relay: what the relay says is no JSON object: run `systemctl restart .*", relay=answers.path)
        finds(box, conf, "relay: none", CRITICAL, "relay: no relay answers here: .*", relay=box.dir / "status")


nmtest.run(configuration, kernel_lacks, fetchmail, relay)
