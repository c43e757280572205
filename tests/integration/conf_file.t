#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The configuration's file: which file, its text, its sizes, quoting, and each keyword's good values."""

import os
import re
import sys

sys.dont_write_bytecode = True
import nmtest
from conf import NAME, errors_of, escaped, nothing_runs, runs
from nmtest import PROJECT, EX_CONFIG, Sandbox, equal, is_root, ok, skip


# ---- The file ----


def the_file():
    with Sandbox() as box:
        text = f"from any\ninterval 0s\naction {box.recorder()}\n"
        conf = box.config(text)
        quiet = [f"-ostate {box.state_dir}", "-olog stderr"]
        runs(box, conf, "a good file")

        def bad(path, name, message):
            status, errors = errors_of(box, path)
            equal((status, errors), (EX_CONFIG, [f" {message}"]), f"conf: -t: {name}")
            nothing_runs(box, path, name, escaped(f"{path}: {message}"), args=quiet)

        bad(box.dir / "none", "a missing file", "cannot open: No such file or directory")
        bad(box.dir / "none" / "none", "a missing folder", "cannot open: No such file or directory")
        bad(box.dir, "a folder", "not a regular file")
        fifo = box.dir / "fifo"
        os.mkfifo(fifo, 0o600)
        bad(fifo, "a fifo", "not a regular file")
        bad("/dev/null", "a device", "not a regular file")
        for mode in (0o620, 0o602, 0o664, 0o666, 0o777):
            conf.chmod(mode)
            bad(conf, f"mode {mode:o}", "others than its owner may write it: chmod go-w")
        for mode in (0o644, 0o600, 0o400, 0o755):
            conf.chmod(mode)
            runs(box, conf, f"mode {mode:o}")
        link = box.dir / "link"
        link.symlink_to(conf)
        runs(box, link, "a symlink to a good file")
        if is_root():
            for owner in (box.uid, box.other.pw_uid):
                os.chown(conf, owner, -1)
                conf.chmod(0o600)
                bad(conf, f"owner {owner}", f"owned by user {owner}, neither root nor the running user: chown it")
                bad(link, f"a symlink to a file of user {owner}", f"owned by user {owner}, neither root nor the running user: chown it")
        else:
            conf.chmod(0)
            bad(conf, "not readable", "cannot open: Permission denied")
            skip("conf: somebody else's file", "not root")

        status, out, err = box.check("-t", "-f", "/no/such/file", "-o", "from any")
        ok(status == EX_CONFIG and "cannot open" in err, "conf: -f of a missing file is an error with -o, too")


def its_text():
    """Comments, blanks, sizes."""
    with Sandbox() as box:
        action = f"action {box.recorder()}"
        for name, text in (
            ("no newline at the end", f"from any\ninterval 0s\n{action}"),
            ("blanks and comments", f"\n\n  # x\n\tfrom\tany  # y\n   interval   0s\n#\n{action} # 'z\n\n"),
            ("quotes around a keyword", f"'from' any\n\"interval\" '0's\n{action}\n"),
            ("bytes beyond ASCII in a comment", f"# \u00e4\u20ac\nfrom any\ninterval 0s\n{action}\n"),
        ):
            runs(box, box.config(text), name)
        conf = box.config(f"from any\n{action}\n")
        conf.write_bytes(conf.read_bytes() + b"# a NUL \0 byte\n")
        status, errors = errors_of(box, conf)
        ok(status == EX_CONFIG and errors[-1].endswith(": a NUL byte: save the file as text, in UTF-8"), "conf: -t: a NUL byte")
        nothing_runs(box, conf, "a NUL byte")

        text = f"from any\ninterval 0s\n{action}\n"
        base = box.config(text).read_text()
        for size in (65535, 65536, 65537, 200000):
            conf.write_text(base + "#" * (size - len(base) - 1) + "\n")
            if size < 65536:
                runs(box, conf, f"{size} bytes")
                continue
            status, errors = errors_of(box, conf)
            equal(
                (status, errors), (EX_CONFIG, [" the configuration is longer than 65536 bytes"]), f"conf: {size} bytes"
            )
            nothing_runs(box, conf, f"{size} bytes")
        conf.write_text(base + "#" * (65535 - len(base) - 1) + "\n")
        status, errors = errors_of(box, conf, "-o", "bare-lf yes")
        equal(errors, [" the configuration is longer than 65536 bytes"], "conf: -o counts, too")
        status, _, err = box.check("-t", "-f", box.config(text), "-o", "env A=" + "x" * 65536)
        ok(status == EX_CONFIG and "-o:1: the configuration is longer" in err, "conf: a long -o")


def its_sizes():
    """As many as there is room for, and one more."""

    def accounts(n):
        return "".join(f"account a{i}\nfrom any\naction {true}\n" for i in range(n))

    with Sandbox() as box:
        true = "/bin/true"
        networks = [" ".join(f"from 10.0.{i}.{j}" if j == 1 else f"10.0.{i}.{j}" for j in range(1, 129)) for i in range(9)]
        for name, good, bad, message in (
            ("accounts", accounts(64), accounts(65), "account: 'a64' is one too many: 64 accounts is the most"),
            (
                "networks",
                "".join(f"account a{i}\n{networks[i]}\naction {true}\n" for i in range(8)),
                "".join(f"account a{i}\n{networks[i]}\naction {true}\n" for i in range(8)) + "to 192.0.2.1\n",
                "to: '192.0.2.1' is one too many: 1024 networks in all is the most",
            ),
            (
                "words of a line",
                f"from any\naction {true} " + "x " * 254,
                f"from any\naction {true} " + "x " * 255,
                "action: 'x ' is too much: 256 words a line is the most",
            ),
            (
                "words of actions",
                "from any\n" + "".join(f"account a{i}\naction {true} " + "x " * 254 + "\n" for i in range(8)),
                "from any\n" + "".join(f"account a{i}\naction {true} " + "x " * 254 + "\n" for i in range(9)),
                "action: '/bin/true' has too many words: 2048 in all actions is the most",
            ),
            (
                "variables",
                f"from any\naction {true}\n" + "".join(f"env A{i}=1\n" for i in range(512)),
                f"from any\naction {true}\n" + "".join(f"env A{i}=1\n" for i in range(513)),
                "env: 'A512=1' is one too many: 512 variables in all is the most",
            ),
            (
                "letters of a name",
                f"from any\naction {true}\naccount " + "a" * 32,
                f"from any\naction {true}\naccount " + "a" * 33,
                f"account: '{'a' * 33}' {NAME}",
            ),
        ):
            status, errors = errors_of(box, box.config(good))
            equal((status, without_warnings(errors)), (0, []), f"conf: {name}: as many as there is room for")
            status, errors = errors_of(box, box.config(bad))
            ok(
                # What follows is in an account that is not there.
                status == EX_CONFIG and errors[0].endswith(f": {message}") and (len(errors) == 1 or name == "accounts"),
                f"conf: {name}: one more",
            ) or nmtest.diag(errors)


def without_warnings(errors):
    """What is allowed may still be advised against."""
    return [error for error in errors if " warning: " not in error]


def good_values():
    """The edges of what is allowed."""
    with Sandbox() as box:
        for line in (
            "interval 0ms",
            "interval 7d",
            "interval 604800000ms",
            "timeout 1ms",
            "read-timeout 10080m",
            "limit 1/s",
            "limit 1/90s",
            "limit 4294967295/ms burst 1000",
            "limit 1/3d",
            "limit 1/1h burst 167",
            "idle 0s",
            "bare-lf yes",
            "confine none",
            "confine local",
            "env A= _b1=x=y",
            "log journal",
            "to 192.0.2.1 2001:db8::/32 ::ffff:192.0.2.0/120 0.0.0.0/0 ::/0",
            "to fe80::%lo/64 fe80::1%1",
        ):
            status, errors = errors_of(box, box.config(f"{line}\nfrom any\naction /bin/true\n"))
            equal((status, without_warnings(errors)), (0, []), f"conf: good: {line}")


def quoting():
    """As in a shell, without expansion."""
    words = [
        ("a b", ["a", "b"]),
        ("'a b'", ["a b"]),
        ('"a b"', ["a b"]),
        ("a\\ b", ["a b"]),
        ("a\tb", ["a", "b"]),
        ("a''b", ["ab"]),
        ("''", [""]),
        ('""', [""]),
        ("'' x", ["", "x"]),
        ("\"a\"'b'c", ["abc"]),
        ("'a\"b'", ['a"b']),
        ('"a\'b"', ["a'b"]),
        ('"a\\"b"', ['a"b']),
        ('"a\\\\b"', ["a\\b"]),
        ('"a\\nb"', ["a\\nb"]),
        ('"\\$\\`"', ["$`"]),
        ("'a\\b'", ["a\\b"]),
        ("'\\'", ["\\"]),
        ("a\\\\b", ["a\\b"]),
        ("\\a\\'\\\"", ["a'\""]),
        ("a#b", ["a#b"]),
        ("a #b", ["a"]),
        ("a '#b'", ["a", "#b"]),
        ("a \\#b", ["a", "#b"]),
        ("a '' # ''", ["a", ""]),
        ("$HOME ${x} `x` $(x)", ["$HOME", "${x}", "`x`", "$(x)"]),
        ("* ? [a] {a,b} ~ ~root", ["*", "?", "[a]", "{a,b}", "~", "~root"]),
        ("; | & < > ( ) !", [";", "|", "&", "<", ">", "(", ")", "!"]),
        ("x   ", ["x"]),
        ("\u00e4", ["\u00e4"]),
    ]
    with Sandbox() as box:
        for n, (written, wanted) in enumerate(words):
            free = "from any\ninterval 0s\nlimit 1000/s burst 100\n"
            conf = box.config(free + f"action {box.recorder(f'facts=f{n}')} {written}\n")
            box.connect_and_run(conf)
            facts = (box.out / f"f{n}").read_text().splitlines()
            got = [line[4:] for line in facts if line.startswith("arg ")]
            equal(got[4:], wanted, f"conf: quotes: {written}")


# ---- The example that is shipped ----


def shipped_example():
    """What it shows would be taken, with a program and a user that are there."""
    with Sandbox() as box:
        text = (PROJECT / "units/nmnotify.conf").read_text()
        text = re.sub(r"^#([a-z]+\s{2,}| {7})", r"\1", text, flags=re.MULTILINE)
        text = re.sub(r"/usr/bin/[\w-]+", "/bin/true", text).replace("alice", box.name)
        conf = box.config(text)
        status, _, wrong = box.check("-f", conf, "-t")
        equal((status, wrong), (0, ""), "the example configuration is one")
        shown = set(re.findall(r"^\s*([a-z-]+)\s", text, re.MULTILINE))
        wanted = {"from", "action", "user", "env", "pass", "interval", "timeout", "limit", "account", "retry", "success", "failure"}
        equal(shown - {"state", "log"}, wanted, "and shows what it should")


nmtest.run(the_file, its_text, its_sizes, good_values, quoting, shipped_example)
